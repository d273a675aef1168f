// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"time"
)

// maxLooks is how often a pick is repeated because somebody else took the room
// that it had seen.
const maxLooks = 16

// clockEvidence is how many refusals must speak for windows that follow the clock,
// more than speak against it.
const clockEvidence = 3

// aligned reports whether Google's minutes seem to follow the clock.
func (p *Pool) aligned() bool { return p.clock.Load() >= clockEvidence }

// take picks a key for the lane and counts the request against its quota; nil if
// no key has room. locked tells that p.mu is held.
func (p *Pool) take(l *lane, w *Want, now time.Time, locked bool) *Lease {
	for range maxLooks {
		e := p.pick(l, w, now)
		if e == nil {
			return nil
		}
		lease := &Lease{pool: p, entry: e, lane: l, model: w.Model, tried: w.Tried, began: now}
		if w.Unmetered || l.model.name == "" {
			return p.grant(lease)
		}
		q := p.quotaOf(e, l.model, locked)
		r, ok, next := q.reserve(now, w.Tokens, p.aligned())
		if ok {
			lease.quota, lease.reserved = q, r
		}
		if !next.until.IsZero() {
			if !locked {
				p.lock()
			}
			p.mark(q, next, now)
			if !locked {
				p.unlock()
			}
		}
		if ok {
			if w.Affinity != 0 {
				p.settleAt(w.Affinity, e)
			}
			return p.grant(lease)
		}
	}
	return nil
}

// grant counts the lease.
func (p *Pool) grant(l *Lease) *Lease {
	l.entry.inFlight.Add(1)
	p.inFlight.Add(1)
	l.tried.add(l.entry)
	return l
}

// quotaOf returns the quota of a key's project for a model.
func (p *Pool) quotaOf(e *entry, m *model, locked bool) *quota {
	if q := m.quota(e.slot); q != nil {
		return q
	}
	if !locked {
		p.lock()
		defer p.unlock()
	}
	return p.makeQuota(e.live.Load().project, m)
}

// makeQuota returns the quota of a project for a model. Under p.mu.
func (p *Pool) makeQuota(t *project, m *model) *quota {
	q := t.quotas[m]
	if q == nil {
		q = &quota{project: t, model: m}
		q.left.Store(unlimited)
		q.rpm.set, q.tpm.set, q.rpd.set = p.limits.of(t.id, m.name)
		if t.quotas == nil {
			t.quotas = map[*model]*quota{}
		}
		t.quotas[m] = q
	}
	for _, e := range t.keys {
		m.quotas.set(e.slot, q)
	}
	return q
}

// mark carries a standing into what picks read. Under p.mu.
func (p *Pool) mark(q *quota, s standing, now time.Time) {
	p.markQuota(q)
	changed := q.soft != s.soft || q.gated != s.gated
	q.soft, q.gated = s.soft, s.gated
	switch {
	case s.until.After(now):
		kind, why := Cooling, minuteByBooks
		if s.day {
			kind, why = ExhaustedForDay, dayByBooks
		}
		p.fill(q, kind, why, s.until, now)
	case q.fill.holds():
		p.forget(q.fill)
		changed = true
	}
	if changed {
		p.showQuota(q)
	}
}

// The rests by our own books.
const (
	minuteByBooks = "per-minute quota, by own count"
	dayByBooks    = "daily quota, by own count"
)

// fill makes a quota rest until the books have room again. Other than the rests
// that Google announces, it may end earlier than was said: a reservation may be
// taken back. Under p.mu.
func (p *Pool) fill(q *quota, kind, why string, until, now time.Time) {
	r := q.fill
	if r == nil {
		r = &rest{scope: ScopeProjectModel, project: q.project, model: q.model, books: q, index: -1, since: now}
		q.fill = r
		q.project.models++
	}
	r.kind, r.why, r.until = kind, why, until
	if !r.inForce {
		r.inForce = true
		p.resting++
	}
	p.schedule(r, until)
	p.show(r)
}

// showQuota carries what a quota says into the bitmaps. Under p.mu.
func (p *Pool) showQuota(q *quota) {
	p.version++
	for _, e := range q.project.keys {
		p.block(q.model, e)
	}
}

// settle ends what a lease holds of its quota.
func (p *Pool) settle(l *Lease, o *Outcome) {
	if l.quota == nil {
		return
	}
	q := l.quota.current()
	now := p.now()
	s, trips := q.end(l.reserved, o, now.Sub(l.began), now, p.aligned())
	if !l.reserved.explore && !uncounted(o.Verdict) && !trips && !s.trial && len(o.Limits) == 0 {
		p.markQuota(q)
		return
	}
	p.lock()
	defer p.unlock()
	if len(o.Limits) > 0 || o.RetryAfter > 0 {
		q = p.study(l, o, now)
		q.mu.Lock()
		s = q.stands(now, p.aligned())
		q.mu.Unlock()
	}
	if next := p.refute(q, now); next != q || l.reserved.explore {
		q = next
		q.mu.Lock()
		s = q.stands(now, p.aligned())
		q.mu.Unlock()
	}
	p.mark(q, s, now)
	if trips {
		p.trip(l, q, o, now)
	}
	p.serve(now)
}

// Accepted tells that Google took the attempt's request, long before the answer
// ends: what the request explored is known then.
func (l *Lease) Accepted() {
	if l.quota == nil || !l.reserved.explore || l.done.Load() {
		return
	}
	q := l.quota.current()
	p, now := l.pool, l.pool.now()
	q.mu.Lock()
	l.reserved.explore = false
	q.exploring--
	r := l.reserved
	r.explore = true
	q.took(r, now)
	q.mu.Unlock()
	p.lock()
	defer p.unlock()
	q = p.refute(q, now)
	p.look(q, now)
	p.serve(now)
}

// study learns from a refusal, and returns the quota that it was about. Under p.mu.
func (p *Pool) study(l *Lease, o *Outcome, now time.Time) *quota {
	q := l.quota.current()
	p.part(q.project, false, now)
	q = q.current()
	for _, limit := range o.Limits {
		if w, tokens := limit.window(); w == perMinute && !tokens && limit.Value > 0 {
			q.model.teach(limit.Value)
			p.seekKin(q, limit.Value, now.Add(o.RetryAfter), now)
			q = q.current()
		}
	}
	evidence := q.learn(o, l.reserved, l.tried, now, p.aligned())
	p.clock.Store(min(max(p.clock.Load()+evidence, -2*clockEvidence), 2*clockEvidence))
	p.markQuota(q)
	return q
}

// markQuota puts q among what Flush writes.
func (p *Pool) markQuota(q *quota) {
	if q.touched.Swap(true) {
		return
	}
	p.touchedMu.Lock()
	p.touched = append(p.touched, q)
	p.touchedMu.Unlock()
}
