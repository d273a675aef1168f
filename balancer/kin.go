// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"slices"
	"time"
)

const (
	// kinFor is how long the guess is held. A wrong one costs capacity, and finding a
	// right one again costs a refusal for each key.
	kinFor = 24 * time.Hour
	// kinMargin is how long a minute must still be full for a trial: Google's may end
	// a little earlier than by the books.
	maxOdd    = 2
	kinMargin = 2 * time.Second
	kinAlone  = 90 * time.Second // how long keys stay apart whose guess was refuted
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

// onTheMinute reports whether a time may be the end of a minute of the clock. Where
// Google's windows follow that, all projects are refused until the same moment.
func onTheMinute(t time.Time) bool { return near(t.Round(minute), t) }

// unite makes the projects of two quotas one. Under p.mu.
func (p *Pool) unite(a, b *quota, now time.Time) {
	if other, own := a.current().project, b.current().project; other != own && len(other.keys) > 0 {
		p.join(other, own, now)
	}
}

// hasMet reports whether t was refused until the same moment as other before.
func (t *project) hasMet(other *project, now time.Time) bool {
	return slices.ContainsFunc(t.met, func(m meeting) bool { return m.other == other && now.Sub(m.at) < kinMemory })
}

// part ends a guess that is too old, or refuted. What each key used goes with it.
// Under p.mu.
func (p *Pool) part(t *project, refuted bool, now time.Time) {
	var leave []*entry
	var slots []int
	for _, e := range t.keys {
		if l := e.live.Load(); l.kin != "" && (refuted || now.Sub(l.kinAt) >= kinFor) {
			leave, slots = append(leave, e), append(slots, e.slot)
		}
	}
	if len(leave) == 0 {
		return
	}
	type share struct {
		used          map[int][]spend // by slot
		rpm, tpm, rpd limit
	}
	shares := map[*model]share{}
	for _, q := range t.quotas {
		q.mu.Lock()
		shares[q.model] = share{q.minute.part(slots), q.rpm, q.tpm, q.rpd}
		q.mu.Unlock()
	}
	for _, e := range leave {
		next := *e.live.Load()
		next.kin = ""
		e.live.Store(&next)
		p.markKey(e)
		p.regroup(e, now)
		for m, s := range shares {
			q := p.makeQuota(e.live.Load().project, m)
			q.mu.Lock()
			q.minute.merge(s.used[e.slot])
			q.rpm, q.tpm, q.rpd = q.rpm.later(s.rpm), q.tpm.later(s.tpm), q.rpd.later(s.rpd)
			q.mu.Unlock()
			p.look(q, now)
		}
	}
	for _, q := range t.quotas {
		p.look(q, now)
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
	if !q.model.free {
		for _, e := range t.keys {
			e.alone = now.Add(kinAlone)
		}
	}
	p.split(t, now)
	return q.current()
}

// split parts the keys of a project, and makes new ones of the sets. Under p.mu.
func (p *Pool) split(t *project, now time.Time, sets ...[]*entry) {
	for _, q := range t.quotas {
		q.mu.Lock()
		q.trial, q.odd = kinNone, 0
		q.mu.Unlock()
	}
	t.bold = false
	p.part(t, true, now)
	for _, set := range sets {
		for _, e := range set[1:] {
			p.join(set[0].live.Load().project, e.live.Load().project, now)
		}
	}
}

// guessed reports whether the project is a guess.
func (t *project) guessed() bool {
	return slices.ContainsFunc(t.keys, func(e *entry) bool {
		l := e.live.Load()
		return l.kin != "" && l.consumer == "" && e.spec.Load().project == ""
	})
}

// provenKin reports whether a trial has shown that the keys share the project.
func (q *quota) provenKin() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.trial == kinProven
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
