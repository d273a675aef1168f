// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// spendByBooks says why a project rests that has spent its limit by our own count.
const spendByBooks = "spend limit of ten minutes, by own count"

// Spends reports whether it matters what requests cost: some project's spending is
// counted. Without, nobody need work out [Want.Cost] and [Outcome.Cost].
func (p *Pool) Spends() bool { return p.spends.Load() }

// maySpend reserves what a request is taken to cost that is to have a key. It reports
// false where the key's project may not spend now; then it rests. locked tells that
// p.mu is held.
func (p *Pool) maySpend(e *entry, cost int64, now time.Time, locked bool) (held stake, ok bool) {
	if !p.spends.Load() {
		return stake{}, true
	}
	s := e.live.Load().project.spending.Load()
	if s == nil {
		return stake{}, true
	}
	held, ok, next := s.reserve(cost, now)
	if !next.IsZero() {
		p.showSpending(s, now, locked)
	}
	return held, ok
}

// unspend gives back what a request held that got no room in its quota.
func (p *Pool) unspend(held stake, now time.Time, locked bool) {
	s := held.of
	if s == nil {
		return
	}
	s.release(held)
	if s.shown.Load() {
		p.showSpending(s, now, locked)
	}
}

func (p *Pool) showSpending(s *spending, now time.Time, locked bool) {
	if !locked {
		p.lock()
		defer p.unlock()
	}
	p.lookSpending(s, now)
}

// spent books what an attempt cost its project, and learns from a refusal.
func (p *Pool) spent(l *Lease, o *Outcome) {
	if l.stake.of == nil && o.Cost == 0 && o.Verdict != SpendLimited {
		return
	}
	now := p.now()
	t := l.entry.live.Load().project // it may have become another since
	s := t.spending.Load()
	if s == nil && o.Verdict == SpendLimited {
		p.lock()
		if s = t.spending.Load(); s == nil && !t.guessed() { // strangers must not pay for a guess
			s = p.makeSpending(t, now)
		}
		p.unlock()
	}
	if s == nil {
		s = l.stake.of
	}
	if s == nil {
		return
	}
	if l.stake.of != nil && l.stake.of != s {
		l.stake.of.release(l.stake)
	}
	p.markSpending(s)
	if next := s.end(l.stake, o, now); next.IsZero() && !s.shown.Load() {
		return
	}
	p.lock()
	defer p.unlock()
	if p.lookSpending(s, now) {
		p.serve(now)
	}
}

// makeSpending returns what a project spends, and begins to count it. Under p.mu.
func (p *Pool) makeSpending(t *project, now time.Time) *spending {
	s := t.spending.Load()
	if s == nil {
		s = &spending{project: t, since: now, newest: slotOf(now)}
		s.limit.set = p.limits.spend(t)
		t.spending.Store(s)
		p.spends.Store(true)
	}
	return s
}

// lookSpending computes anew whether a project may spend, carries it into what picks
// read, and reports whether it may. Under p.mu.
func (p *Pool) lookSpending(s *spending, now time.Time) bool {
	s.mu.Lock()
	until, _ := s.stands(now)
	s.mu.Unlock()
	r := s.fill
	if !until.After(now) {
		s.shown.Store(false)
		if r != nil {
			p.forget(r)
			p.show(r)
		}
		return true
	}
	if r == nil {
		r = &rest{scope: ScopeProject, project: s.project, spending: s, kind: Cooling, why: spendByBooks, index: -1, since: now, inForce: true}
		s.fill = r
		p.resting++
	}
	changed := !r.until.Equal(until)
	r.until = until
	p.recount(r)
	p.schedule(r, until)
	if changed {
		p.show(r)
	}
	s.shown.Store(true)
	return false
}

// spend returns what the rules let a project spend within ten minutes, in nano-USD; 0
// for nothing said.
func (l limitRules) spend(t *project) int64 {
	for i := range l.rules {
		if r := &l.rules[i]; r.Spend > 0 && r.about(t) {
			return r.Spend
		}
	}
	return 0
}

// limitSpending applies new rules to a project. Under p.mu.
func (p *Pool) limitSpending(t *project, now time.Time) {
	set, s := p.limits.spend(t), t.spending.Load()
	if s == nil && set == 0 {
		return
	}
	s = p.makeSpending(t, now)
	s.mu.Lock()
	s.limit.set = set
	s.mu.Unlock()
	p.lookSpending(s, now)
}

// retrySpending lets a request try at once whether Google takes more than it did.
// Under p.mu.
func (p *Pool) retrySpending(t *project, now time.Time) {
	s := t.spending.Load()
	if s == nil {
		return
	}
	s.mu.Lock()
	s.retry = time.Time{}
	s.mu.Unlock()
	p.lookSpending(s, now)
}

// moveSpending makes what a project has spent another's. Under p.mu.
func (p *Pool) moveSpending(from, to *project, now time.Time) {
	old := from.spending.Load()
	if old == nil {
		return
	}
	fresh := to.spending.Load() == nil
	s := p.makeSpending(to, now)
	s.absorb(old, now)
	if fresh {
		s.since = old.since
	}
	from.spending.Store(nil)
	if old.fill != nil {
		p.forget(old.fill)
	}
	p.limitSpending(from, now) // keys may come to it again
	p.markSpending(old)
	p.markSpending(s)
	p.lookSpending(s, now)
}

// spendPrefix is where the store has what projects spend: <project>, escaped →
// spendRecord, with a TTL.
const spendPrefix = "balancer/spend/"

// spendRecord is a spending. What is under way is not in it: it may never have cost
// anything.
type spendRecord struct {
	Project string       `json:"project"`
	Slots   [][2]int64   `json:"slots,omitempty"` // of the clock, by spendGrid since 1970; nano-USD
	Since   time.Time    `json:"since"`
	Limit   *limitRecord `json:"limit,omitempty"`
	Retry   time.Time    `json:"retry,omitzero"`
}

// markSpending puts s among what Flush writes.
func (p *Pool) markSpending(s *spending) {
	if s.touched.Swap(true) {
		return
	}
	p.touchedMu.Lock()
	p.spendings = append(p.spendings, s)
	p.touchedMu.Unlock()
}

// op is the write of s. What was moved to another project is deleted.
func (s *spending) op(now time.Time) store.Op {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now)
	r := spendRecord{Project: s.project.id, Since: s.since, Limit: s.limit.record(), Retry: s.retry}
	op := store.Op{Key: spendPrefix + url.PathEscape(r.Project)}
	if s.project.spending.Load() != s {
		return op
	}
	for n := s.newest - spendSlots + 1; n <= s.newest; n++ {
		if cost := s.slots[n%spendSlots]; cost > 0 {
			r.Slots = append(r.Slots, [2]int64{n, cost})
		}
	}
	op.Value, op.TTL = encode(r), learnedFor+time.Hour
	return op
}

// flushSpending writes what was spent since the last time.
func (p *Pool) flushSpending() error {
	p.writeMu.Lock()
	defer p.writeMu.Unlock()
	now := p.now()
	p.touchedMu.Lock()
	touched := p.spendings
	p.spendings = nil
	p.touchedMu.Unlock()
	for _, s := range touched {
		s.touched.Store(false)
	}
	unwritten, err := writeEach(p, touched, func(s *spending) store.Op { return s.op(now) })
	for _, s := range unwritten {
		p.markSpending(s)
	}
	if err != nil {
		return fmt.Errorf("keeping what the projects spent: %w", err)
	}
	return nil
}

// loadSpending takes a spendRecord. What the clock has not reached yet, because it was
// set back, is left out. Under p.mu.
func (p *Pool) loadSpending(value []byte, now time.Time) error {
	var r spendRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return err
	}
	if r.Project == "" {
		return errors.New("it names no project")
	}
	s := p.makeSpending(p.projectOf(r.Project), now)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, slot := range r.Slots {
		if n, cost := slot[0], slot[1]; n > s.newest-spendSlots && n <= s.newest && cost > 0 {
			s.slots[n%spendSlots] += cost
			s.sum += cost
		}
	}
	if r.Since.Before(now) {
		s.since = r.Since
	}
	if r.Retry.Sub(now) <= spendWindow {
		s.retry = r.Retry
	}
	s.limit = s.limit.later(r.Limit.limit(now))
	return nil
}
