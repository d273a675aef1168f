// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// spendWindow is how long what a project spends counts against its spend limit.
	// Source: https://ai.google.dev/gemini-api/docs/rate-limits, "Spend-based rate
	// limits", and specs/gateways.md §4.3.
	spendWindow = 10 * time.Minute
	// spendGrid is what the window is counted by. One more than fits into it, because
	// the slot of now has just begun: what is in a slot counts up to a whole one longer
	// here than at Google, and never shorter. Source: specs/gateways.md §3.2.
	spendGrid  = 30 * time.Second
	spendSlots = int64(spendWindow/spendGrid) + 1
)

// spending is what a project has spent within ten minutes, on all models together.
// It is made when the operator names a limit, or with the first refusal for one:
// other projects pay a nil check.
//
// Google says that too much was spent, but never how much may be. What had been
// spent at a refusal, by our own count, stands for the limit for a day. It is no
// more than a hint, because others may spend on the same billing account: beyond it
// the project rests, but for one request at a time that tries whether Google takes
// more by now. What a model without a price costs is not counted: where there is
// nothing else, the project rests as Google says and for no other reason.
type spending struct {
	project *project

	mu       sync.Mutex
	slots    [spendSlots]int64 // nano-USD; that of slot n of the clock at n mod spendSlots
	newest   int64             // slot of the clock that the others are older than
	sum      int64             // over slots
	reserved int64             // estimates of what is under way
	running  int32             // leases that it was reserved for
	limit    limit             // nano-USD; value is what had been spent when Google refused
	since    time.Time         // since when all that is spent is counted
	retry    time.Time         // from when a request may try to go beyond limit.value
	trying   bool              // one does

	shown   atomic.Bool // the project rests for it
	touched atomic.Bool // among what Flush writes
	fill    *rest       // nil where there is room; guarded by Pool.mu
}

// stake is what a lease holds of a spending.
type stake struct {
	of    *spending // nil for a project that nothing is counted for
	cost  int64     // nano-USD, an estimate
	tries bool      // it goes beyond limit.value
}

// slotOf is the slot of the clock that a time is in.
func slotOf(t time.Time) int64 { return t.Unix() / int64(spendGrid/time.Second) }

// forget drops what does not count any more. Under s.mu.
func (s *spending) forget(now time.Time) {
	slot := slotOf(now)
	if slot < s.newest-spendSlots { // the clock was set back: nothing may rest for years for that
		s.slots, s.sum, s.newest = [spendSlots]int64{}, 0, slot
	}
	for n := max(s.newest+1, slot-spendSlots+1); n <= slot; n++ {
		s.sum -= s.slots[n%spendSlots]
		s.slots[n%spendSlots] = 0
	}
	s.newest = max(s.newest, slot)
}

// add counts what was spent. Under s.mu.
func (s *spending) add(cost int64, now time.Time) {
	s.forget(now)
	s.slots[s.newest%spendSlots] += cost
	s.sum += cost
}

// spent is what counts, with what is under way. Under s.mu.
func (s *spending) spent() int64 { return s.sum + s.reserved }

// room returns when so much will have left the window that less than limit is in it.
// Where all of it is under way, that is not known: then, when the window is empty.
// Under s.mu.
func (s *spending) room(limit int64) time.Time {
	left, slot := s.spent(), s.newest-spendSlots+1
	for ; slot < s.newest; slot++ {
		if left -= s.slots[slot%spendSlots]; left < limit {
			break
		}
	}
	return time.Unix((slot+spendSlots)*int64(spendGrid/time.Second), 0)
}

// stands returns when the project may spend again, zero for now, and whether it then
// goes beyond what Google is known to take. Google refuses when the limit is
// reached, and does not foresee what a request will cost; neither do we. Under s.mu.
func (s *spending) stands(now time.Time) (until time.Time, tries bool) {
	s.forget(now)
	switch spent := s.spent(); {
	case s.limit.set > 0 && spent >= s.limit.set:
		return s.room(s.limit.set), false
	case spent < s.limit.holds(now):
		return time.Time{}, false
	case s.trying:
		return s.room(s.limit.value), false
	case s.retry.After(now):
		return earlier(s.room(s.limit.value), s.retry), false
	}
	return time.Time{}, true
}

// reserve counts the estimate of a request, if the project may spend, and returns how
// the next one stands.
func (s *spending) reserve(cost int64, now time.Time) (held stake, ok bool, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, tries := s.stands(now)
	if !until.IsZero() {
		return stake{}, false, until
	}
	s.reserved += cost
	s.running++
	s.trying = s.trying || tries
	next, _ = s.stands(now)
	return stake{s, cost, tries}, true, next
}

// release takes back what a lease holds.
func (s *spending) release(held stake) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.giveBack(held)
}

// giveBack is release under s.mu.
func (s *spending) giveBack(held stake) {
	s.reserved -= held.cost
	s.running--
	if held.tries {
		s.trying = false
	}
}

// end counts what an attempt cost, learns from its end, and returns how the next one
// stands. What it held of another project's was released before.
func (s *spending) end(held stake, o *Outcome, now time.Time) (next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if held.of == s {
		s.giveBack(held)
	}
	switch {
	case uncounted(o.Verdict):
	case o.Cost > 0:
		s.add(o.Cost, now)
	default:
		s.add(held.cost, now) // better known than nothing
	}
	s.forget(now)
	spent := s.spent()
	switch {
	case o.Verdict == SpendLimited:
		// What was spent before the count began is missing in it.
		if spent > 0 && now.Sub(s.since) >= spendWindow {
			s.limit.learns(spent, now)
		}
		s.retry = now.Add(spendWindow)
		if o.RetryAfter > 0 {
			s.retry = now.Add(o.RetryAfter)
		}
	case held.tries && (o.Verdict == OK || o.Verdict == Blocked):
		more := max(s.limit.value, spent)
		s.limit.learns(more+more/4, now)
	}
	next, _ = s.stands(now)
	return next
}

// matters reports whether the count holds what will be missed. Under Pool.mu.
func (s *spending) matters(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now)
	return s.sum > 0 || s.running > 0 || s.limit.fresh(now) || s.fill != nil
}

// absorb takes over what another project had spent, because it is this one. What is
// under way is counted here when it ends. Under Pool.mu.
func (s *spending) absorb(from *spending, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from.mu.Lock()
	defer from.mu.Unlock()
	s.forget(now)
	from.forget(now)
	for n := max(s.newest, from.newest) - spendSlots + 1; n <= min(s.newest, from.newest); n++ {
		s.slots[n%spendSlots] += from.slots[n%spendSlots]
		s.sum += from.slots[n%spendSlots]
	}
	if from.retry.After(s.retry) {
		s.retry = from.retry
	}
	s.limit = s.limit.later(from.limit)
}

// window describes what was spent.
func (s *spending) window(now, set time.Time) *Window {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(now)
	w := s.limit.window(s.spent(), now, set)
	if w.Source == SourceLearned {
		w.Source = SourceObserved
	}
	return &w
}

// spends describes what the project has spent; nil where nobody asks for it.
func (t *project) spends(now, set time.Time) *Window {
	if s := t.spending.Load(); s != nil {
		return s.window(now, set)
	}
	return nil
}
