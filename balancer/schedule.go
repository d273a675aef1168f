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

// mostEvidence is where it stops, so that a change is noticed.
const mostEvidence = 2 * clockEvidence

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
		if w.Unmetered || l.model.name == "" {
			return p.grant(&Lease{pool: p, entry: e, lane: l, model: w.Model, tried: w.Tried, began: now})
		}
		held, ok := p.maySpend(e, w.Cost, now, locked)
		if !ok {
			continue
		}
		// Nothing is allocated until others see that the key is taken: while the
		// collector runs that may take long, and all who looked would have the same one.
		chosen := p.quotaOf(e, l.model, locked)
		chosen.load.add(1 + atBooks)
		q := chosen.acquire()
		r, ok, next := q.reserve(now, w.Tokens, int32(e.slot)+1, p.aligned())
		if ok {
			q.load.add(1)
		}
		q.mu.Unlock()
		chosen.load.add(-1 - atBooks)
		if !next.until.IsZero() || next.gated {
			if !locked {
				p.lock()
			}
			p.look(q, now)
			if !locked {
				p.unlock()
			}
		}
		if ok {
			if w.Affinity != 0 {
				p.settleAt(w.Affinity, e)
			}
			return p.grant(&Lease{
				pool: p, entry: e, lane: l, model: w.Model, tried: w.Tried, began: now, quota: q, reserved: r, stake: held, estimate: w.estimate,
			})
		}
		p.unspend(held, now, locked)
	}
	return nil
}

// grant counts the lease.
func (p *Pool) grant(l *Lease) *Lease {
	l.entry.inFlight.Add(1)
	p.inFlight.Add(1)
	if at := uint32(l.began.Unix()); l.entry.lastUsed.Load() != at {
		l.entry.lastUsed.Store(at)
	}
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
	q := t.quota(m)
	if q == nil {
		q = p.blocks.quotas.next(p.blocks.size)
		q.project, q.model = t, m
		q.left.Store(unlimited)
		q.price.add(1) // nothing is known
		q.rpm.set, q.tpm.set, q.rpd.set = p.limits.of(t, m.name)
		t.quotas = append(t.quotas, q)
	}
	for _, e := range t.keys {
		m.quotas.set(e.slot, q)
	}
	return q
}

// look computes anew what the books of a quota say, carries it into what picks
// read, and reports whether there is room. What was computed before p.mu was held
// may be of yesterday. Under p.mu.
func (p *Pool) look(q *quota, now time.Time) bool {
	q = q.acquire()
	s := q.stands(now, p.aligned())
	q.show(now)
	q.mu.Unlock()
	p.mark(q, s, now)
	return s.until.IsZero() || s.soft
}

// mark is look for a standing. Under p.mu.
func (p *Pool) mark(q *quota, s standing, now time.Time) {
	p.markQuota(q)
	q.shown.Store(s.nanos())
	changed := q.soft != s.soft || q.gated != s.gated
	q.soft, q.gated = s.soft, s.gated
	switch {
	case s.until.After(now):
		kind, why := Cooling, minuteByBooks
		if s.day {
			kind, why = ExhaustedForDay, dayByBooks
		}
		changed = p.fill(q, kind, why, s.until, now) || changed
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

// fill makes a quota rest until the books have room again, and reports whether it
// did not before. Other than the rests
// that Google announces, it may end earlier than was said: a reservation may be
// taken back. Under p.mu.
func (p *Pool) fill(q *quota, kind, why string, until, now time.Time) (changed bool) {
	r := q.fill
	if r == nil {
		r = &rest{scope: ScopeProjectModel, project: q.project, model: q.model, books: q, index: -1, since: now}
		q.fill = r
		q.project.models++
	}
	if changed = !r.inForce; changed {
		r.inForce = true
		p.resting++
	} else if !r.until.Equal(until) {
		p.version++
	}
	r.kind, r.why, r.until = kind, why, until
	p.recount(r)
	p.schedule(r, until)
	return changed
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
	now := p.now()
	l.quota.load.add(atBooks)
	q := l.quota.acquire()
	explored := l.reserved.explore
	s, trips := q.end(l.reserved, o, now.Sub(l.began), now, p.aligned())
	q.load.add(-1)
	q.mu.Unlock()
	l.quota.load.add(-atBooks)
	if uncounted(o.Verdict) {
		l.follow(q)
	}
	waited := uncounted(o.Verdict) && l.lane.waiting.Load() > 0
	if !explored && !trips && !waited && !s.trial && len(o.Limits) == 0 && s.nanos() == q.shown.Load() {
		p.markQuota(q)
		return
	}
	p.lock()
	defer p.unlock()
	q = q.current()
	p.look(q, now)
	if len(o.Limits) > 0 || o.RetryAfter > 0 {
		q = p.study(l, o, now)
	}
	q = p.refute(q, now)
	p.look(q, now)
	if trips {
		p.trip(l, q, o, now)
	}
	p.serve(now)
}

// follow takes a reservation back where it went with a key that was parted from
// its project meanwhile; q is the quota that it was made in.
func (l *Lease) follow(q *quota) {
	own := q.model.quota(l.entry.slot)
	if own == nil || own.current() == q {
		return
	}
	own = own.acquire()
	if own != q {
		own.minute.settle(l.reserved.at, -l.reserved.tokens, true)
	}
	own.mu.Unlock()
}

// Accepted tells that Google took the attempt's request, long before the answer
// ends: what the request explored is known then.
func (l *Lease) Accepted() {
	if l.quota == nil || !l.reserved.explore || l.done.Load() {
		return
	}
	p, now := l.pool, l.pool.now()
	q := l.quota.acquire()
	q.took(l.reserved, now)
	l.reserved.explore = false
	q.exploring--
	q.mu.Unlock()
	p.lock()
	defer p.unlock()
	q = p.refute(q.current(), now)
	p.look(q, now)
	p.serve(now)
}

// study learns from a refusal, and returns the quota that it was about. Under p.mu.
func (p *Pool) study(l *Lease, o *Outcome, now time.Time) *quota {
	q := l.quota.current()
	p.part(q.project, false, now)
	q = q.current()
	if t := l.entry.live.Load().project; t != q.project && !l.entry.gone {
		q = p.makeQuota(t, q.model) // it was of that project all along
	}
	for _, limit := range o.Limits {
		if w, tokens := limit.window(); w == perMinute && !tokens && limit.Value > 0 {
			q.model.teach(limit.Value)
			p.seekKin(q, &fullMinute{l.entry, limit.Value, l.began, now.Add(o.RetryAfter), now})
			if !l.entry.gone {
				q = p.makeQuota(l.entry.live.Load().project, q.model)
			}
		}
	}
	evidence := q.learn(o, l.reserved, l.tried, now, p.aligned())
	p.clock.Store(min(max(p.clock.Load()+evidence, -mostEvidence), mostEvidence))
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
