// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"fmt"
	"strings"
	"time"
)

// succeeded applies a success. Only what it changes takes the lock.
func (p *Pool) succeeded(l *Lease) {
	e := l.entry
	m := l.lane.model
	if !m.served.Load() {
		m.served.Store(true)
	}
	if m.name != l.model { // there were too many names, but this is one that Google knows
		p.lock()
		p.modelOf(l.model, true)
		p.unlock()
	}
	untested := p.untested.has(e.slot) // which most keys are not, so that this is all it costs
	escalated := p.escalated.Load() > 0 && e.live.Load().project.escalated.Load() > 0
	waited := l.lane.waiting.Load() > 0
	if !waited && l.lane.troubled.Load() {
		l.lane.troubled.Store(false)
	}
	if !untested && !escalated && !waited {
		return
	}
	now := p.now()
	p.lock()
	defer p.unlock()
	if untested && e.live.Load().state == StateUntested {
		p.transition(e, StateActive, "", now)
	}
	if escalated {
		project := e.live.Load().project
		p.calm(project.rest, l)
		if m := (*p.models.Load())[l.model]; m != nil {
			p.calm(m.rests[project], l)
		}
	}
	if waited {
		l.lane.ramp.given-- // what was given was good: one more may go
		p.endRests(now, restsPerPick)
		p.serve(now)
	}
}

// calm takes the memory of repetitions from r after a success, unless that began
// before the rest: then it says nothing about it.
func (p *Pool) calm(r *rest, l *Lease) {
	if r == nil || r.step == 0 || !l.began.After(r.since) {
		return
	}
	p.setStep(r, 0)
	if !r.inForce {
		p.forget(r)
	}
}

// blame applies any other outcome.
func (p *Pool) blame(l *Lease, o Outcome) {
	now := p.now()
	e := l.entry
	o.Reason = strings.ReplaceAll(o.Reason, *e.secret, "[redacted]") // the classifier did it; a leak must not hang on that
	p.lock()
	defer p.unlock()
	if o.Consumer != "" {
		p.reveal(e, strings.TrimPrefix(o.Consumer, "projects/"), now)
	}
	if e.live.Load().state == StateUntested && (o.Verdict == RateLimited || o.Verdict == Exhausted) {
		p.transition(e, StateActive, "", now) // Google counts what a key asks only if it knows the key
	}
	if o.Blame == ScopeProject && e.live.Load().project.guessed() {
		o.Blame = ScopeKey // what is only guessed to be kin must not suffer for it
	}
	if o.State != "" {
		dead := []*entry{e}
		if o.Blame == ScopeProject {
			dead = e.live.Load().project.keys
		}
		for _, k := range dead {
			if p.transition(k, o.State, o.Reason, now) && !o.State.leasable() {
				p.hurry()
			}
		}
	}
	if o.UntilMidnight && l.quota != nil && l.quota.current().doubts(&o, now, p.aligned()) {
		o.UntilMidnight, o.Rest = false, max(o.RetryAfter, doubtedRest)
	}
	if o.Rest > 0 || o.UntilMidnight {
		for _, target := range targets(p, l, &o) {
			p.rest(target, l, &o, now)
		}
	}
	if o.Verdict == ModelForbidden {
		p.doubt(e, o.Reason, now)
	}
	if o.Verdict == ModelMissing && l.model != "" {
		p.miss(l, &o, now)
	}
	p.endRests(now, restsPerPick)
	p.serve(now)
}

const (
	// missingRest is how long a model that nobody has rests for all keys.
	// Source: specs/openai.md §13.3 row 11.
	missingRest = 5 * time.Minute
	// What says that nobody has it: so many projects in a row, if Google's lists of
	// the keys' models are known and none has it; else so many.
	missingUnlisted = 2
	missingUnknown  = 8
)

// miss books that a project has no such model. Names come from clients: one that
// does not exist must not be asked of key after key. Under p.mu.
func (p *Pool) miss(l *Lease, o *Outcome, now time.Time) {
	m := l.lane.model
	if m.name != l.model || m.served.Load() || !m.listed.IsZero() {
		return
	}
	enough := missingUnknown
	if len(p.listings) > 0 {
		enough = missingUnlisted
	}
	missing := 0
	for _, r := range m.rests {
		if r.holds() && r.why == why[ModelMissing] {
			missing++
		}
	}
	if missing >= enough {
		p.rest(&rest{scope: ScopeModel, model: m}, l, &Outcome{Verdict: ModelMissing, Rest: missingRest, Reason: o.Reason}, now)
	}
}

// manyForbidden is how many models a project is refused before that is laid to
// the key. Source: specs/openai.md §13.3 row 5.
const manyForbidden = 3

// doubt takes a key out of service that was never of use and whose project may
// not use one model after the other. A key that did serve stays: requests choose
// the models, and three odd ones must not cost a good key. Under p.mu.
func (p *Pool) doubt(e *entry, reason string, now time.Time) {
	l := e.live.Load()
	if l.state != StateUntested {
		return
	}
	forbidden := 0
	for _, r := range p.restsOf(l.project) {
		if r.holds() && r.why == why[ModelForbidden] {
			forbidden++
		}
	}
	if forbidden >= manyForbidden && p.transition(e, StateMisconfigured, fmt.Sprintf("%d models forbidden, the last with %s", forbidden, reason), now) {
		p.hurry()
	}
}

// targets are what an outcome makes rest. A quota may be reported under the name
// of a base model; then both rest. Source: specs/openai.md §13.2.
func targets(p *Pool, l *Lease, o *Outcome) []*rest {
	// By its id, because a key that was deleted meanwhile may have been the last of
	// its project; what it learnt is true all the same.
	id := l.entry.live.Load().project.id
	switch o.Blame {
	case ScopeNone:
	case ScopeProjectModel:
		names := []string{l.model}
		for _, limit := range o.Limits {
			if limit.Model != "" && limit.Model != l.model {
				names = append(names, limit.Model)
			}
		}
		var out []*rest
		for _, name := range names {
			if len(name) > maxModelName {
				continue // no model: nothing to remember
			}
			if m := p.modelOf(name, true); m.name == name {
				out = append(out, &rest{scope: ScopeProjectModel, project: p.projectOf(id), model: m})
			}
		}
		return out
	case ScopeProject:
		return []*rest{{scope: ScopeProject, project: p.projectOf(id)}}
	case ScopeKey:
		if !l.entry.gone {
			return []*rest{{scope: ScopeKey, entry: l.entry}}
		}
	case ScopeModel:
		if m := p.modelOf(l.model, true); m.name == l.model {
			return []*rest{{scope: ScopeModel, model: m}}
		}
	case ScopeRoute:
		return []*rest{{scope: ScopeRoute, proxy: l.entry.proxy()}}
	}
	return nil
}

// rest makes target rest as the outcome says.
func (p *Pool) rest(target *rest, l *Lease, o *Outcome, now time.Time) {
	target.kind, target.why, target.reason = Cooling, why[o.Verdict], o.Reason
	until := now.Add(o.Rest)
	switch {
	case o.UntilMidnight:
		target.kind = ExhaustedForDay
		if midnight := pacificMidnight(now); midnight.After(until) {
			until = midnight
		}
	case o.Verdict == Exhausted:
		target.kind = ExhaustedForDay
	case o.Verdict == NoQuota || o.Verdict == ModelForbidden || o.Verdict == ModelMissing:
		target.kind = NotAvailable
	}
	step := 0
	if o.Escalate {
		step = 1
		if r := p.known(target); r != nil && r.step > 0 {
			step = r.step
			// Answers to attempts that were on their way when the rest began are one
			// refusal, not several.
			if l.began.After(r.since) {
				step = min(step+1, maxStep)
			}
		}
		if most := o.ceiling(target.scope); o.Rest < most {
			until = now.Add(min(o.Rest<<(step-1), most))
		}
	}
	r := p.extend(target, until, now)
	if step > r.step {
		p.setStep(r, step)
	}
}

// setStep changes how often r has been repeated.
func (p *Pool) setStep(r *rest, step int) {
	if r.project != nil && (r.step > 0) != (step > 0) {
		if step > 0 {
			r.project.escalated.Add(1)
			p.escalated.Add(1)
		} else {
			r.project.escalated.Add(-1)
			p.escalated.Add(-1)
		}
	}
	if step == 0 && r.scope == ScopeProjectModel {
		if q := r.project.quota(r.model); q != nil {
			q.mu.Lock()
			q.half = false
			q.mu.Unlock()
		}
	}
	r.step = step
	p.markRest(r)
}

// why says in a few words what makes a target rest.
var why = map[Verdict]string{
	InvalidKey:        "invalid key",
	LeakedKey:         "leaked key",
	SuspendedKey:      "suspended",
	MisconfiguredKey:  "misconfigured",
	UnfundedProject:   "billing or credits",
	Location:          "region refused",
	ForeignResource:   "resource of another project",
	ModelForbidden:    "model not allowed",
	ModelMissing:      "model not found",
	RateLimited:       "per-minute quota",
	Exhausted:         "daily quota",
	SpendLimited:      "spend limit of ten minutes",
	NoQuota:           "model not in the tier",
	Throttled:         "throttled without a reason",
	CapacityExhausted: "no capacity at Google",
	Overloaded:        "Google is overloaded",
	ServerError:       "server errors",
	UpstreamTimeout:   "no answer in time",
	Network:           "network trouble",
	RouteBlocked:      "egress route blocked",
	Unusable:          "unusable answers",
	Unclassified:      "unknown trouble",
}

// verdicts is why, looked up the other way: rests are kept with their words.
var verdicts = func() map[string]Verdict {
	m := make(map[string]Verdict, len(why))
	for v, words := range why {
		m[words] = v
	}
	return m
}()
