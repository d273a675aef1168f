// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"cmp"
	"slices"
	"time"
)

const (
	// kinTolerance is how far apart the ends of one minute may seem in two refusals.
	kinTolerance = 20 * time.Millisecond
	// kinMemory is how long a first meeting counts; two by chance so soon are rare.
	kinMemory = 15 * time.Minute
	// kinFor is how long the guess is held. A wrong one costs capacity, and finding a
	// right one again costs a refusal for each key.
	kinFor = 24 * time.Hour
	// kinMargin is how long a minute must still be full for a trial: Google's may end
	// a little earlier than by the books.
	maxOdd      = 2
	kinMargin   = 2 * time.Second
	kinAlone    = 90 * time.Second // how long keys stay apart whose guess was refuted
	maxRefusals = 256
)

// kinTrial is how far a guess that keys share a project was put to the test: when
// their minute is full by the common books, one request more is let through. If
// Google takes it, they do not share.
type kinTrial uint8

const (
	kinNone kinTrial = iota // nothing was guessed
	kinUntested
	kinProven
	kinRefuted
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
	if used >= limit || !q.project.guessable(now) || onTheMinute(ends) {
		return
	}
	m := q.model
	kept := m.refusals[:0]
	var near []refusal
	for _, r := range m.refusals {
		if !r.ends.After(now) || r.quota == q || len(r.quota.project.keys) == 0 {
			continue
		}
		kept = append(kept, r)
		if apart(r.ends, ends) <= kinTolerance && r.quota.project.guessable(now) {
			near = append(near, r)
		}
	}
	clear(m.refusals[len(kept):])
	if len(kept) < maxRefusals {
		kept = append(kept, refusal{q, ends, used})
	}
	m.refusals = kept
	slices.SortFunc(near, func(a, b refusal) int { return cmp.Compare(apart(a.ends, ends), apart(b.ends, ends)) })
	sum := used
	for i, r := range near {
		// The nearest ones that together make up the limit are the kin; strangers are
		// near by chance, and further away.
		if sum += r.used; sum < limit {
			continue
		}
		if sum <= limit+1 {
			for _, kin := range near[:i+1] {
				p.unite(kin.quota, q, now)
			}
			return
		}
		break
	}
	for _, r := range near {
		other, own := r.quota.current().project, q.current().project
		if own.hasMet(other, now) || other.hasMet(own, now) || oldestEnds(r.quota.current(), q.current(), ends) {
			p.unite(r.quota, q, now)
			continue
		}
		own.met, own.metAt = other, now
	}
}

// onTheMinute reports whether a time may be the end of a minute of the clock. Where
// Google's windows follow that, all projects are refused until the same moment.
func onTheMinute(t time.Time) bool { return near(t.Round(minute), t) }

// apart is the distance of two times.
func apart(a, b time.Time) time.Duration { return a.Sub(b).Abs() }

// unite makes the projects of two quotas one. Under p.mu.
func (p *Pool) unite(a, b *quota, now time.Time) {
	if other, own := a.current().project, b.current().project; other != own && len(other.keys) > 0 {
		p.join(other, own, now)
	}
}

// hasMet reports whether t was refused until the same moment as other before.
func (t *project) hasMet(other *project, now time.Time) bool {
	return t.met == other && now.Sub(t.metAt) < kinMemory
}

// part ends a guess that is too old, or refuted. Under p.mu.
func (p *Pool) part(t *project, refuted bool, now time.Time) {
	for _, e := range slices.Clone(t.keys) {
		l := e.live.Load()
		if l.kin == "" || now.Sub(l.kinAt) < kinFor && !refuted {
			continue
		}
		next := *l
		next.kin = ""
		e.live.Store(&next)
		p.markKey(e)
		p.regroup(e, now)
	}
}

// refute parts the keys of a quota's project if its trial has shown that they do
// not share it. It returns the quota that is left. Under p.mu.
func (p *Pool) refute(q *quota, now time.Time) *quota {
	q.mu.Lock()
	refuted := q.trial == kinRefuted
	q.mu.Unlock()
	if !refuted {
		return q
	}
	t := q.project
	for _, other := range t.quotas {
		other.mu.Lock()
		other.trial = kinNone
		other.mu.Unlock()
	}
	for _, e := range t.keys {
		e.alone = now.Add(kinAlone)
	}
	p.part(t, true, now)
	return q.current()
}

// guessed reports whether the project is a guess.
func (t *project) guessed() bool {
	return slices.ContainsFunc(t.keys, func(e *entry) bool {
		l := e.live.Load()
		return l.kin != "" && l.consumer == "" && e.spec.Load().project == ""
	})
}

// guessable reports whether nobody named the project, and it may be guessed.
func (t *project) guessable(now time.Time) bool {
	for _, e := range t.keys {
		if e.spec.Load().project != "" || e.live.Load().consumer != "" || e.alone.After(now) {
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
	for _, q := range to.quotas {
		q.mu.Lock()
		q.trial, q.odd = kinUntested, 0
		q.mu.Unlock()
	}
}

// oldestEnds reports whether the oldest request of two quotas leaves the minute at
// a time.
func oldestEnds(a, b *quota, at time.Time) bool {
	first := int64(0)
	for _, q := range [...]*quota{a, b} {
		q.mu.Lock()
		if len(q.minute.spends) > 0 {
			if end := q.minute.spends[0].ends(false); first == 0 || end < first {
				first = end
			}
		}
		q.mu.Unlock()
	}
	d := at.Sub(time.Unix(0, first-int64(skew)))
	return d > -50*time.Millisecond && d < 400*time.Millisecond
}
