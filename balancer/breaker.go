// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"slices"
	"time"
)

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

// health is how many projects may serve a model, and how many of those the breaker
// has taken out.
type health struct {
	serving, broken int
	good            time.Time // until when it need not be counted anew
}

// healthOf counts the projects that may serve a model now or shortly: those with a key
// that is neither dead nor out for long. Of many it may be a second old. Under p.mu.
func (p *Pool) healthOf(m *model, now time.Time) *health {
	h := &m.health
	if left := h.good.Sub(now); left > 0 && left <= time.Second {
		return h
	}
	*h = health{}
	began := p.now()
	for _, t := range p.projects {
		if !slices.ContainsFunc(t.keys, func(e *entry) bool { return p.serves(e, m) }) {
			continue
		}
		h.serving++
		if m.rests[t].broke() {
			h.broken++
		}
	}
	if len(p.projects) > fewEntries {
		h.good = now.Add(min(staleness*p.now().Sub(began), time.Second))
	}
	return h
}

// serves reports whether a key may serve a model now or shortly. Under p.mu.
func (p *Pool) serves(e *entry, m *model) bool {
	if !e.live.Load().state.leasable() || p.lacks(e, m) {
		return false
	}
	r := p.longest(e, m)
	return r == nil || r.kind == Cooling
}

// trip makes the quota of a lease rest, twice as long each time until a success.
// After the rest, one request at a time finds out whether it serves again. Where
// half of the projects that could serve rest for that already, the trouble is
// Google's or the requests', and resting more of them would only make it worse.
// Under p.mu.
func (p *Pool) trip(l *Lease, q *quota, o *Outcome, now time.Time) {
	if q.model.rests[q.project].broke() {
		return // this was on its way when it began to rest
	}
	h := p.healthOf(q.model, now)
	if 2*(h.broken+1) > h.serving {
		return
	}
	p.rest(&rest{scope: ScopeProjectModel, project: q.project, model: q.model}, l, &Outcome{
		Verdict: ServerError, Blame: ScopeProjectModel, Rest: breakerRest, Escalate: true, Reason: o.Reason,
	}, now)
	if r := q.model.rests[q.project]; r.holds() {
		r.why = brokenDown
		p.recount(r)
		h.broken++
		q.mu.Lock()
		q.half = true
		q.mu.Unlock()
	}
}

// brokenDown is why a project rests whose attempts failed.
const brokenDown = "half of the attempts failed"

// broke reports whether the breaker holds r.
func (r *rest) broke() bool { return r.holds() && r.why == brokenDown }
