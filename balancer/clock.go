// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"container/heap"
	"time"
)

const (
	// setBackBy is how far the clock must have been set back for it to be noticed.
	setBackBy = 2 * time.Second
	// latestEvery is how exactly the latest time is remembered. It is written by
	// picks, which would wait for each other.
	latestEvery = 100 * time.Millisecond
)

// notice looks whether the clock was set back since the last pick, and returns the
// time. What the pool knows is kept by the wall clock, for it outlives the process:
// without it all that was counted would count, and all that rests would rest, for as
// long again as the clock was ahead.
func (p *Pool) notice(now time.Time) time.Time {
	at, latest := now.UnixNano(), p.latest.Load()
	if at >= latest-int64(setBackBy) {
		if at > latest+int64(latestEvery) {
			p.latest.Store(at)
		}
		return now
	}
	p.lock()
	defer p.unlock()
	now = p.now() // whoever was held up since he looked at the clock has not set it back
	at, latest = now.UnixNano(), p.latest.Load()
	if at < latest-int64(setBackBy) {
		p.latest.Store(at)
		p.setBack(time.Duration(latest-at), now)
	}
	return now
}

// setBack makes all times earlier by as much as the clock was set back. Pacific
// midnights stay where they are. Under p.mu.
func (p *Pool) setBack(by time.Duration, now time.Time) {
	midnight := pacificMidnight(now)
	for _, t := range p.projects {
		for i := range t.met {
			t.met[i].at = t.met[i].at.Add(-by)
		}
		for _, q := range t.quotas {
			q.mu.Lock()
			q.setBack(by, midnight.Unix())
			q.mu.Unlock()
		}
	}
	for _, m := range *p.models.Load() {
		for i := range m.refusals {
			m.refusals[i].ends = m.refusals[i].ends.Add(-by)
		}
	}
	for _, r := range p.restHeap {
		r.since, r.until, r.at = r.since.Add(-by), r.until.Add(-by), r.at-int64(by)
		if r.kind == ExhaustedForDay && r.inForce {
			r.until, r.at = midnight, midnight.UnixNano()
		}
		if r.scope == ScopeModel && r.inForce {
			r.model.until.Store(r.until.UnixNano())
		}
		p.markRest(r)
	}
	heap.Init(&p.restHeap)
	if len(p.restHeap) > 0 {
		p.nextRest.Store(p.restHeap[0].at)
	}
	for _, e := range p.byID {
		if !e.alone.IsZero() {
			e.alone = e.alone.Add(-by)
		}
	}
	if !p.nextProbe.IsZero() {
		p.nextProbe = p.nextProbe.Add(-by)
	}
	p.grace.Add(-int64(by))
	for _, t := range p.projects {
		for _, q := range t.quotas {
			p.look(q, now)
		}
		if s := t.spending.Load(); s != nil {
			s.mu.Lock()
			s.setBack(by, now)
			s.mu.Unlock()
			p.lookSpending(s, now)
		}
	}
	p.version++
}

// setBack is that of the pool. Leases that are under way keep the times that they
// began at: what they have to correct is not found and stays. Under q.mu.
func (q *quota) setBack(by time.Duration, midnight int64) {
	d := int64(by)
	for i := range q.minute.spends {
		q.minute.spends[i].at -= d
	}
	q.minute.good = 0
	q.pace.at -= d
	q.pace.since -= d
	for _, l := range []*limit{&q.rpm, &q.tpm, &q.rpd} {
		l.learned -= d
	}
	if q.announced != 0 {
		q.announced -= d
	}
	if q.doubted == q.dayEnds {
		q.doubted = midnight
	}
	q.dayEnds = midnight // a day that was begun too early goes on
	q.priceUntil.Store(0)
	q.daysUntil.Store(0)
}

// setBack is that of the pool. What was spent moves by whole slots, to where it
// counts longer. Under s.mu.
func (s *spending) setBack(by time.Duration, now time.Time) {
	old := s.slots
	newest := s.newest
	s.slots, s.newest, s.sum = [spendSlots]int64{}, slotOf(now), 0
	for n := newest - spendSlots + 1; n <= newest; n++ {
		at := min(n-int64(by/spendGrid), s.newest)
		if at > s.newest-spendSlots {
			s.slots[at%spendSlots] += old[n%spendSlots]
			s.sum += old[n%spendSlots]
		}
	}
	s.limit.learned -= int64(by)
	s.since, s.retry = s.since.Add(-by), s.retry.Add(-by)
}
