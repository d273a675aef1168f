// SPDX-License-Identifier: Apache-2.0

package balancer

import "time"

// A project whose attempts for a model fail with errors of the server and time-outs
// is left alone for a while; what breaks on the way is the route's fault. The numbers are those of
// specs/gateways.md §7.
const (
	breakerWindow = 30 * time.Second
	breakerLeast  = 10 // attempts before a share of them says anything
	breakerRest   = 15 * time.Second
)

// count counts an attempt and reports whether at least half of those of the
// window failed. Under quota.mu.
func (s *pace) count(o *Outcome, now time.Time) (trips bool) {
	if at := now.UnixNano(); at-s.since > int64(breakerWindow) {
		s.since, s.attempts, s.bad = at, 0, 0
	}
	s.attempts++
	bad := o.Verdict == ServerError || o.Verdict == UpstreamTimeout
	if bad {
		s.bad++
	}
	if s.attempts < breakerLeast || 2*s.bad < s.attempts || !bad {
		return false
	}
	s.since = 0
	return true
}

// trip makes the quota of a lease rest, twice as long each time until a success.
// Where half of the projects rest for that already, the trouble is Google's or
// the requests', and resting more of them would only make it worse. Under p.mu.
func (p *Pool) trip(l *Lease, q *quota, o *Outcome, now time.Time) {
	broken := 1
	for _, r := range q.model.rests {
		if r.holds() && r.why == brokenDown {
			broken++
		}
	}
	if 2*broken > len(p.projects) {
		return
	}
	p.rest(&rest{scope: ScopeProjectModel, project: q.project, model: q.model}, l, &Outcome{
		Verdict: ServerError, Blame: ScopeProjectModel, Rest: breakerRest, Escalate: true, Reason: o.Reason,
	}, now)
	if r := q.model.rests[q.project]; r != nil && r.holds() {
		r.why = brokenDown
	}
}

// brokenDown is why a project rests whose attempts failed.
const brokenDown = "half of the attempts failed"
