// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// transition moves a key to a state that an attempt revealed and reports whether
// it did. Attempts only move keys that are leased at all: what an operator
// disabled, or what is dead, is not brought back by an answer that was under
// way. Under p.mu.
func (p *Pool) transition(e *entry, to State, reason string, now time.Time) bool {
	l := e.live.Load()
	if e.gone || !l.state.leasable() || l.state == to || to == StateUntested || to == StateDisabled || !to.valid() {
		return false
	}
	p.enter(e, to, reason, now)
	return true
}

// enter moves a key to a state, whatever it was. Under p.mu.
func (p *Pool) enter(e *entry, to State, reason string, now time.Time) {
	next := *e.live.Load()
	from := next.state
	next.state, next.reason, next.since = to, reason, now
	e.live.Store(&next)
	p.counts[from]--
	p.counts[to]++
	p.version++
	e.happened(now, string(to), reason)
	p.news.add(e.id)
	p.reprobe(e, to, now)
	p.refresh(e)
	p.markKey(e)
	if from != to {
		p.changes = append(p.changes, StateChange{KeyID: e.id, From: from, To: to, Reason: reason, At: now})
	}
}

// SetState is an operator's change of a key's state, also of a declared one:
// usually to StateDisabled, and to StateUntested or StateActive to use the key
// again. It is on disk when SetState returns and visible only then. It returns
// [ErrNotFound], or an error of the store.
func (p *Pool) SetState(ctx context.Context, id string, s State, reason string) error {
	if !s.valid() {
		return fmt.Errorf("unknown state %q; want one of %q", s, States)
	}
	return p.change(ctx, id, p.decide(s, reason, false))
}

// Reset is an operator's word that a key, also a declared one, is worth a new
// try: it is untested again, and the rests end that keep it from being used,
// with the memory of how often they were repeated: the key's own, its project's
// and those of its project for single models, which frees the other keys of the
// project too. What Google named as the project's limits is forgotten: the next
// request finds the truth, if they were raised. What is counted stays, and so do the
// limits of the operator. Rests of a model for all keys and of an egress route stay, for
// they are not about the key. All of it is on disk when Reset returns, and
// requests that wait for a key are served. It returns [ErrNotFound], or an error
// of the store.
func (p *Pool) Reset(ctx context.Context, id string) error {
	return p.change(ctx, id, p.decide(StateUntested, resetReason, true))
}

const resetReason = "reset by an operator"

// decide is what an operator decided of a key; renewed also ends its rests.
func (p *Pool) decide(s State, reason string, renewed bool) changer {
	return func(e *entry, now time.Time) (step, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		var ops []store.Op
		if renewed {
			for _, r := range p.restsUpon(e) {
				ops = append(ops, store.Op{Key: r.record().key()})
			}
			for _, q := range e.live.Load().project.quotas {
				p.bookLog.dirty[q.project.shelf] = true
				ops = append(ops, p.bookLog.record(q.append(nil, now, true)))
			}
		}
		next := *e.live.Load()
		next.state, next.reason, next.since = s, reason, now
		ops = append(ops, e.stateOpWith(&next, event{at: now.UnixNano(), what: string(s), detail: reason}))
		return step{ops: ops, apply: func() {
			if renewed {
				p.renew(e, now)
			}
			p.enter(e, s, reason, now)
		}}, nil
	}
}

// renew ends the rests upon e and forgets what Google named as limits. Under p.mu.
func (p *Pool) renew(e *entry, now time.Time) {
	// Those too that came during the write: none of them is in the store yet.
	for _, r := range p.restsUpon(e) {
		p.forget(r)
		p.show(r)
	}
	for _, q := range e.live.Load().project.quotas {
		q.renew()
		p.look(q, now)
	}
	p.retrySpending(e.live.Load().project, now)
}

// restsUpon returns the rests, in force or remembered, of a key and its project.
// Under p.mu.
func (p *Pool) restsUpon(e *entry) []*rest {
	rests := p.restsOf(e.live.Load().project)
	if e.rest != nil {
		rests = append(rests, e.rest)
	}
	return rests
}

// projectOf returns the project with this id. Under p.mu.
func (p *Pool) projectOf(id string) *project {
	if found := p.projects[id]; found != nil {
		return found
	}
	made := p.blocks.projects.next(p.blocks.size)
	made.id, made.shelf = id, shelfOf(id)
	p.shelves[made.shelf] = append(p.shelves[made.shelf], made)
	made.keys, made.quotas = made.only[:0], made.main[:0]
	p.projects[id] = made
	if p.limits.spend(made) > 0 {
		p.makeSpending(made, p.now())
	}
	return made
}

// dropIfUnused forgets a project that nothing belongs to. What its books hold is
// kept as long as it matters: the key may come back, or be declared yet. Under p.mu.
func (p *Pool) dropIfUnused(t *project) {
	if len(t.keys) == 0 && t.models == 0 && t.rest == nil && p.projects[t.id] == t && !t.matters(p.now()) {
		delete(p.projects, t.id)
		p.shelves[t.shelf] = slices.DeleteFunc(p.shelves[t.shelf], func(other *project) bool { return other == t })
	}
}

// matters reports whether any of the project's books do. Under Pool.mu.
func (t *project) matters(now time.Time) bool {
	if s := t.spending.Load(); s != nil && s.matters(now) {
		return true
	}
	for _, q := range t.quotas {
		q.mu.Lock()
		matters := q.matters(now)
		q.mu.Unlock()
		if matters {
			return true
		}
	}
	return false
}

// dropProjects forgets the projects that nothing belongs to any more, once an hour.
func (p *Pool) dropProjects(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.dropped) < time.Hour {
		return
	}
	p.dropped = now
	p.dropTrash(now)
	for _, t := range p.projects {
		if s := t.spending.Load(); s != nil && p.limits.spend(t) == 0 && !s.matters(now) {
			t.spending.Store(nil)
		}
		p.dropIfUnused(t)
	}
}

// reveal books the project number that Google named for a key. What the
// operator named goes before it. Under p.mu.
func (p *Pool) reveal(e *entry, consumer string, now time.Time) {
	l := e.live.Load()
	if e.gone || consumer == "" || l.consumer == consumer {
		return
	}
	next := *l
	next.consumer = consumer
	e.live.Store(&next)
	p.markKey(e)
	p.regroup(e, now)
}

// regroup puts a key into the project that its spec and consumer name. What a
// project of the key's own had learnt goes along: it is about the same quota.
// Under p.mu.
func (p *Pool) regroup(e *entry, now time.Time) {
	l := e.live.Load()
	from, to := l.project, p.projectOf(projectID(e.id, e.spec.Load(), l))
	if from == to {
		return
	}
	if from != nil {
		from.keys = slices.DeleteFunc(from.keys, func(k *entry) bool { return k == e })
	}
	to.keys = append(to.keys, e)
	next := p.blocks.lives.next(p.blocks.size)
	*next = *l
	next.project = to
	e.live.Store(next)
	if from != nil && from.id == e.id {
		p.carry(from, to, now)
	}
	p.rebook(e, from, to)
	p.tier(e, now)
	if from != nil {
		p.dropIfUnused(from)
	}
	p.version++
	p.refresh(e)
}

// rebook makes e draw on the quotas of the project it moved to. What a project
// without other keys had used counts there, too. Under p.mu.
func (p *Pool) rebook(e *entry, from, to *project) {
	if from != nil && len(from.keys) == 0 {
		for _, q := range from.quotas {
			p.makeQuota(to, q.model).absorb(q)
			if q.fill != nil {
				p.forget(q.fill)
			}
			p.markQuota(q)
		}
		from.quotas = nil
		p.moveSpending(from, to, p.now())
	}
	for _, m := range *p.models.Load() {
		q := to.quota(m)
		m.quotas.set(e.slot, q)
		p.block(m, e)
		if q != nil {
			p.look(q, p.now())
		}
	}
}

// carry makes the rests of one project those of another too. Under p.mu.
func (p *Pool) carry(from, to *project, now time.Time) {
	for _, r := range p.restsOf(from) {
		if !r.holds() {
			continue
		}
		moved := p.extend(&rest{scope: r.scope, project: to, model: r.model, kind: r.kind, why: r.why, reason: r.reason}, r.until, now)
		if r.step > moved.step {
			p.setStep(moved, r.step)
		}
	}
}
