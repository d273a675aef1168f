// SPDX-License-Identifier: Apache-2.0

package users

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Account is a user key with its live counters. All holders of one key share
// the same counters. Safe for concurrent use.
type Account struct {
	registry *Registry
	policy   atomic.Pointer[policy]
	recent   atomic.Bool // used since the eviction hand last passed

	mu       sync.Mutex
	evicted  bool  // no longer in the cache; another Account may count now
	last     int64 // latest time seen, Unix nanoseconds
	counters counters
	used     int64      // when a request last came, Unix nanoseconds
	ip       netip.Addr // from where
	refused  int64      // until when a limit refuses, by the last refusal; Unix nanoseconds
	saved    saveState  // of all above
	behind   bool       // the log knows more than its own record; see sumLog
	due      bool       // … which is written with the next flush
}

// saveState says how far an account is from the store.
type saveState uint8

const (
	saved   saveState = iota
	logged            // in the log, but not in a record of its own
	unsaved           // in the registry's list of what to write
	saving            // being written
)

// Ask is what a request wants to be admitted for.
type Ask struct {
	Model   string     // by the name that the client used; "" for a request that names none
	Dialect string     // openai, anthropic, gemini
	IP      netip.Addr // the client's address
	Tokens  int64      // input and output, estimated
	Cost    int64      // estimated, nano-USD
	Priced  bool       // Cost is known, be it 0
	Free    bool       // costs nothing: it takes a place among those in flight, and is no request of rpm or rpd
}

// Used is what a request has used. In a settlement -1 stands for unknown.
type Used struct {
	Tokens int64 // input and output
	Cost   int64 // nano-USD
}

// Key returns the key as it is now.
func (a *Account) Key() Key { return a.policy.Load().key }

// Explains reports whether answers tell which Gemini key served.
func (a *Account) Explains() bool { return a.policy.Load().key.Explain }

// Allows reports whether the key may use a model, by the name clients give it.
func (a *Account) Allows(model string) bool { return a.policy.Load().allows(model) }

// Permits checks what of a request does not depend on limits, and takes nothing: for
// the parts of something that was admitted as a whole.
func (a *Account) Permits(now time.Time, dialect string, ip netip.Addr) *Refusal {
	return a.policy.Load().forbids(now, &Ask{Dialect: dialect, IP: ip})
}

// Admit reserves what a request needs: a request of each limit that counts them, a
// place among those in flight, tokens and money. All limits are checked and taken in
// one step: what is refused took nothing. It allocates the Admission and nothing
// else.
func (a *Account) Admit(now time.Time, ask Ask) (*Admission, *Refusal) {
	for {
		p := a.policy.Load()
		if refusal := p.forbids(now, &ask); refusal != nil {
			return nil, refusal
		}
		a.mu.Lock()
		if !a.evicted {
			admission, refusal := a.take(now.UnixNano(), &ask)
			a.mu.Unlock()
			return admission, refusal
		}
		a.mu.Unlock()
		// Evicted between Authenticate and now: count where the others do.
		current, err := a.registry.account(a.Key().ID)
		switch {
		case errors.Is(err, ErrUnknownKey):
			return nil, &Refusal{Kind: Forbidden, Limit: "key", Message: err.Error()}
		case err != nil:
			return nil, &Refusal{
				Kind: Unavailable, Limit: "store", RetryAfter: time.Second,
				Message: "the user key cannot be checked now; try again",
			}
		}
		a = current
	}
}

// take checks all limits and then takes from all. The caller holds mu.
func (a *Account) take(now int64, ask *Ask) (*Admission, *Refusal) {
	p := a.policy.Load()
	now = a.clock(now)
	reserve := p.reserve(ask)
	per := a.registry.calendar.at(now)
	var room [limitCount]claim
	claims := append(room[:0], claim{limit: concurrency, max: p.max[concurrency], amount: 1})
	for id := firstRate; id < firstCalendar && !ask.Free; id++ {
		if p.max[id] > 0 {
			claims = append(claims, claim{limit: id, max: p.max[id], amount: reserve[limits[id].measure]})
		}
	}
	for id := firstCalendar; id < limitCount && !ask.Free; id++ {
		period, ends := per.of(limits[id].unit)
		limit := p.max[id]
		if limits[id].measure == cost && ask.Priced && ask.Cost <= 0 {
			limit = 0 // what is free needs no money
		}
		claims = append(claims, claim{id, limit, reserve[limits[id].measure], period, left(ends, now)})
	}
	if i, wait := a.counters.take(now, claims); i >= 0 {
		refusal := a.refuse(now, wait, &claims[i])
		switch {
		case wait == forever:
			a.refused = forever
			a.markUnsaved()
		case !refusal.Until.IsZero():
			a.refused = max(a.refused, refusal.Until.UnixNano())
			a.markUnsaved()
		}
		return nil, refusal
	}
	a.used, a.ip = now, ask.IP
	if !ask.Free {
		a.refused = 0 // or only of larger requests than this one
	}
	a.markUnsaved()
	reserved := Used{reserve[tokens], reserve[cost]}
	ad := &Admission{account: a, rated: p.max[rpm] > 0 && !ask.Free, reserved: reserved, charged: reserved}
	for i := range ad.held {
		id := firstCalendar + limitID(i)
		h := &ad.held[i]
		h.period, _ = per.of(limits[id].unit)
		if h.amount = reserve[limits[id].measure]; comesBack(id) {
			h.open = h.amount
		}
	}
	return ad, nil
}

// reserve is what a request takes of each measure, never more than a limit of it.
func (p *policy) reserve(ask *Ask) (by [measureCount]int64) {
	if ask.Free {
		return by
	}
	by = [measureCount]int64{requests: 1, tokens: max(ask.Tokens, 0), cost: max(ask.Cost, 0)}
	for id, m := range p.max {
		if of := limits[id].measure; of != requests && m > 0 {
			by[of] = min(by[of], m)
		}
	}
	return by
}

func left(ends, now int64) int64 {
	if ends == forever {
		return forever
	}
	return ends - now
}

// setBack is how far the clock must have been set back to be believed. Callers read
// it before they upload what they send.
const setBack = int64(time.Hour)

// clock returns the time for rates, which does not go back by what callers read
// before others came first. The caller holds mu.
func (a *Account) clock(now int64) int64 {
	if back := a.last - now; back > setBack {
		for i := range a.counters.tat {
			a.counters.tat[i] -= back
		}
		a.last = now
		a.refused = 0 // until a time by another clock
	}
	a.last = max(a.last, now)
	return a.last
}

// markUnsaved has the account written with the next flush. The caller holds mu.
func (a *Account) markUnsaved() {
	if a.saved == saved || a.saved == logged {
		a.registry.unsaved.add(a)
	}
	a.saved = unsaved
}

// Prepaid is what the request that began something was charged for it, and when.
type Prepaid struct {
	Used
	At time.Time
}

// Charge makes u what something has cost that ended after its own request, which was
// charged for it before: what is more is taken, be it there or not, so that later requests
// of the key find it gone, and what was too much is given back, as far as the day or month
// is not over. Of rates it has flowed back by itself. What is below 0 in u stays as it
// was. A key that no longer exists, or cannot be read now, is not charged.
func (a *Account) Charge(u Used, before Prepaid) {
	for {
		a.mu.Lock()
		if !a.evicted {
			late := Admission{account: a, late: true, charged: before.Used}
			per := a.registry.calendar.at(before.At.UnixNano())
			for i := range late.held {
				id := firstCalendar + limitID(i)
				late.held[i].period, _ = per.of(limits[id].unit)
				late.held[i].amount = [measureCount]int64{tokens: before.Tokens, cost: before.Cost}[limits[id].measure]
			}
			late.charge(u)
			a.mu.Unlock()
			return
		}
		a.mu.Unlock()
		current, err := a.registry.account(a.Key().ID)
		if err != nil {
			return
		}
		a = current
	}
}

// adopt gives the account a changed policy. What was used of a rate stays used.
func (a *Account) adopt(p *policy, now int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.policy.Load()
	now = a.clock(now)
	for id := firstRate; id < firstCalendar; id++ {
		tat := &a.counters.tat[id-firstRate]
		*tat = rescale(*tat, now, before.max[id], p.max[id])
	}
	a.policy.Store(p)
	a.forgive()
}

// forgive forgets what was refused last, by limits that may be others now. The caller
// holds mu.
func (a *Account) forgive() {
	if a.refused != 0 {
		a.refused = 0
		a.markUnsaved()
	}
}

// idle tells whether forgetting the account would change no decision. The
// caller holds mu.
func (a *Account) idle(now int64) bool {
	return a.counters.inFlight == 0 && a.saved == saved &&
		a.counters.tat[0] <= now && a.counters.tat[1] <= now
}
