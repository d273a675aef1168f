// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"slices"
	"time"
)

const (
	// kinTolerance is how far apart the ends of one minute may seem in two refusals.
	kinTolerance = 50 * time.Millisecond
	// kinMemory is how long a first meeting counts; two by chance so soon are rare.
	kinMemory = 15 * time.Minute
	// kinFor is how long the guess is held. A wrong one costs capacity, and finding a
	// right one again costs a refusal for each key.
	kinFor      = 24 * time.Hour
	maxRefusals = 256
)

// refusal is a per-minute refusal of a key that had not used up the limit by
// itself: somebody else draws on the same quota. Guarded by Pool.mu.
type refusal struct {
	quota *quota
	ends  time.Time // when Google said there is room again
	used  int64     // requests in the minute, by the books
}

// seekKin looks for keys that share a project although nobody said so. Keys of
// one project are refused until the same moment, and none of them has used up
// the limit by itself. Together they have; or where others draw on the project
// too, the same two meet a second time. Under p.mu.
func (p *Pool) seekKin(q *quota, limit int64, ends, now time.Time) {
	q.mu.Lock()
	used := q.minute.requests
	q.mu.Unlock()
	if used >= limit || !q.project.guessable() {
		return
	}
	m := q.model
	kept := m.refusals[:0]
	sum := used
	var kin []*project
	for _, r := range m.refusals {
		if !r.ends.After(now) || r.quota == q || len(r.quota.project.keys) == 0 {
			continue
		}
		kept = append(kept, r)
		if d := r.ends.Sub(ends); d < -kinTolerance || d > kinTolerance || !r.quota.project.guessable() {
			continue
		}
		sum += r.used
		kin = append(kin, r.quota.project)
	}
	clear(m.refusals[len(kept):])
	if len(kept) < maxRefusals {
		kept = append(kept, refusal{q, ends, used})
	}
	m.refusals = kept
	for _, other := range kin {
		if sum >= limit || q.project.hasMet(other, now) || other.hasMet(q.project, now) {
			p.join(other, q.project, now)
			continue
		}
		q.project.met, q.project.metAt = other, now
	}
}

// hasMet reports whether t was refused until the same moment as other before.
func (t *project) hasMet(other *project, now time.Time) bool {
	return t.met == other && now.Sub(t.metAt) < kinMemory
}

// part ends a guess that is too old. Under p.mu.
func (p *Pool) part(t *project, now time.Time) {
	for _, e := range slices.Clone(t.keys) {
		l := e.live.Load()
		if l.kin == "" || now.Sub(l.kinAt) < kinFor {
			continue
		}
		next := *l
		next.kin = ""
		e.live.Store(&next)
		p.markKey(e)
		p.regroup(e, now)
	}
}

// guessable reports whether nobody named the project.
func (t *project) guessable() bool {
	for _, e := range t.keys {
		if e.spec.Load().project != "" || e.live.Load().consumer != "" {
			return false
		}
	}
	return len(t.keys) > 0
}

// join makes two projects one. Under p.mu.
func (p *Pool) join(a, b *project, now time.Time) {
	to, from := a, b
	if len(b.keys) > len(a.keys) {
		to, from = b, a
	}
	if to == from {
		return
	}
	kin := to.id
	for _, e := range slices.Clone(from.keys) {
		next := *e.live.Load()
		next.kin, next.kinAt = kin, now
		e.live.Store(&next)
		p.markKey(e)
		p.regroup(e, now)
	}
}
