// SPDX-License-Identifier: Apache-2.0

package users

import (
	"errors"
	"fmt"
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
	evicted  bool // no longer in the cache; another Account may count now
	inFlight int64
	last     int64 // latest time seen, Unix nanoseconds
	minute   minuteLog
	tokens   bucket
	day      dayCount
	saved    saveState // of day
}

// saveState says how far the day's count is from the store.
type saveState uint8

const (
	saved   saveState = iota
	unsaved           // in the registry's list of what to write
	saving            // being written
)

// RefusalKind says what kind of answer a refusal is.
type RefusalKind uint8

// The kinds of refusals.
const (
	Forbidden   RefusalKind = iota + 1 // the key may not do this, now or later
	RateLimited                        // a limit is used up; it will pass
	Unavailable                        // the store does not answer; not the key's fault
)

// Refusal says why a request was not admitted, for its sender to read.
type Refusal struct {
	Kind       RefusalKind
	Limit      string        // rpm, tpm, rpd, concurrency, models, dialects, cidrs, key, store
	Message    string        // a sentence
	RetryAfter time.Duration // when the same request may pass; 0 for Forbidden
}

// Error makes a Refusal an error.
func (r *Refusal) Error() string { return r.Message }

// Admission is the right to run one request. Settle or Cancel ends it; a long one
// tells by Use what it has used meanwhile.
type Admission struct {
	account *Account
	at      int64 // time of admission, Unix nanoseconds
	day     int64 // day that was counted, 0 for none
	counted bool  // in the minute
	over    atomic.Bool

	charged int64 // tokens taken for it so far. Guarded by account.mu
}

// LimitState is one limit as response headers tell it.
type LimitState struct {
	Limit     string        // rpm, tpm, rpd, concurrency
	Max       int64         // the limit
	Remaining int64         // what is left now, never below 0
	Reset     time.Duration // when all of it is there again, if nothing else comes; 0 for concurrency
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
	return a.policy.Load().forbids(now, "", dialect, ip)
}

// Admit reserves what a request needs: a request of the minute and of the day,
// a place among those in flight, and estTokens tokens. All limits are checked
// and taken in one step: what is refused took nothing. The model is the name
// that the client asked for, "" for a request that names none; ip is the
// client's address.
func (a *Account) Admit(now time.Time, model, dialect string, ip netip.Addr, estTokens int64) (*Admission, *Refusal) {
	for {
		if refusal := a.policy.Load().forbids(now, model, dialect, ip); refusal != nil {
			return nil, refusal
		}
		a.mu.Lock()
		if !a.evicted {
			admission, refusal := a.take(now, estTokens)
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
			return nil, &Refusal{Kind: Unavailable, Limit: "store", RetryAfter: time.Second,
				Message: "the user key cannot be checked now; try again"}
		}
		a = current
	}
}

// take checks all limits and then takes from all. The caller holds mu.
func (a *Account) take(now time.Time, estTokens int64) (*Admission, *Refusal) {
	p := a.policy.Load()
	limits := &p.key.Limits
	a.last = max(a.last, now.UnixNano()) // callers read the clock before they get here
	reserve := min(max(estTokens, 1), limits.TPM)

	if limits.Concurrency > 0 && a.inFlight >= limits.Concurrency {
		return nil, p.limited("concurrency", limits.Concurrency, "requests at the same time", time.Second)
	}
	a.minute.expire(a.last)
	if limits.RPM > 0 && a.minute.total >= limits.RPM {
		return nil, p.limited("rpm", limits.RPM, "requests per minute", a.minute.wait(a.last, limits.RPM))
	}
	var day int64
	if limits.RPD > 0 {
		var rest time.Duration
		day, rest = dayOf(now, a.registry.zone)
		if a.day.turn(day); a.day.count >= limits.RPD {
			return nil, p.limited("rpd", limits.RPD, "requests per day", rest)
		}
		day = a.day.day
	}
	if limits.TPM > 0 {
		a.tokens.refill(a.last, limits.TPM)
		if ok, wait := a.tokens.fits(reserve, limits.TPM); !ok {
			return nil, p.limited("tpm", limits.TPM, "tokens per minute", wait)
		}
		a.tokens.add(reserve, limits.TPM)
	}
	if limits.RPM > 0 {
		a.minute.take(a.last)
	}
	if day != 0 {
		a.day.count++
		a.markUnsaved()
	}
	a.inFlight++
	return &Admission{account: a, at: a.last, day: day, counted: limits.RPM > 0, charged: reserve}, nil
}

func (p *policy) limited(limit string, value int64, what string, wait time.Duration) *Refusal {
	return &Refusal{
		Kind: RateLimited, Limit: limit, RetryAfter: max(wait, time.Millisecond),
		Message: fmt.Sprintf("user key %s has reached its limit of %d %s (%s)", p.key.ID, value, what, limit),
	}
}

// markUnsaved has the day's count written with the next flush.
func (a *Account) markUnsaved() {
	if a.saved == saved {
		a.registry.unsaved.add(a)
	}
	a.saved = unsaved
}

// Use charges a request that still runs with the tokens that it has used so far,
// from its beginning: what goes beyond the charge until now is taken at once, be
// it there or not, so that other requests of the key find it gone. Calls may come
// in any order; less than before changes nothing, and neither does a call after
// Settle or Cancel. Safe for concurrent use.
func (ad *Admission) Use(tokens int64) {
	a := ad.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if ad.over.Load() || tokens <= ad.charged {
		return
	}
	if capacity := a.policy.Load().key.Limits.TPM; capacity > 0 {
		a.last = max(a.last, a.registry.now().UnixNano())
		a.tokens.refill(a.last, capacity) // what is taken now does not flow back for the time before
	}
	a.charge(ad, tokens)
}

// charge makes tokens what an admission is charged. The caller holds mu.
func (a *Account) charge(ad *Admission, tokens int64) {
	more := tokens - ad.charged
	ad.charged = tokens
	if capacity := a.policy.Load().key.Limits.TPM; capacity > 0 {
		a.tokens.add(more, capacity)
	}
}

// Charge takes tokens for something that ended after its own request, be they there
// or not, so that later requests of the key find them gone. A key that no longer
// exists, or cannot be read now, is not charged.
func (a *Account) Charge(tokens int64) {
	for {
		a.mu.Lock()
		if !a.evicted {
			if capacity := a.policy.Load().key.Limits.TPM; capacity > 0 {
				a.last = max(a.last, a.registry.now().UnixNano())
				a.tokens.refill(a.last, capacity)
				a.tokens.add(tokens, capacity)
			}
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

// Charged is how many tokens are taken for the request until now.
func (ad *Admission) Charged() int64 {
	ad.account.mu.Lock()
	defer ad.account.mu.Unlock()
	return ad.charged
}

// Settle ends an admission whose request was sent: it frees the place and
// corrects the charge, which is the reservation or what Use has made of it, to the
// tokens that were really used, in either direction. tokens < 0 means unknown and
// keeps the charge. Only the first call of Settle or Cancel counts.
func (ad *Admission) Settle(tokens int64) {
	if ad.over.Swap(true) {
		return
	}
	a := ad.account
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inFlight--
	if tokens >= 0 {
		a.charge(ad, tokens)
	}
}

// Cancel ends an admission whose request never went out: all is given back.
// Only the first call of Settle or Cancel counts.
func (ad *Admission) Cancel() {
	if ad.over.Swap(true) {
		return
	}
	a := ad.account
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inFlight--
	a.charge(ad, 0)
	if ad.counted {
		a.minute.untake(ad.at)
	}
	if ad.day != 0 && ad.day == a.day.day {
		a.day.count--
		a.markUnsaved()
	}
}

// Remaining returns the key's limits as they are now; none for no limits.
func (ad *Admission) Remaining() []LimitState { return ad.account.Remaining() }

// Remaining returns the key's limits as they are now; none for no limits.
func (a *Account) Remaining() (states []LimitState) {
	now := a.registry.now()
	limits := a.policy.Load().key.Limits
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = max(a.last, now.UnixNano())
	if limits.RPM > 0 {
		a.minute.expire(a.last)
		states = append(states, LimitState{"rpm", limits.RPM, max(0, limits.RPM-a.minute.total), a.minute.drained(a.last)})
	}
	if limits.TPM > 0 {
		a.tokens.refill(a.last, limits.TPM)
		_, full := a.tokens.fits(limits.TPM, limits.TPM)
		states = append(states, LimitState{"tpm", limits.TPM, max(0, limits.TPM-int64(a.tokens.used)), full})
	}
	if limits.RPD > 0 {
		day, rest := dayOf(now, a.registry.zone)
		a.day.turn(day)
		states = append(states, LimitState{"rpd", limits.RPD, max(0, limits.RPD-a.day.count), rest})
	}
	if limits.Concurrency > 0 {
		states = append(states, LimitState{"concurrency", limits.Concurrency, max(0, limits.Concurrency-a.inFlight), 0})
	}
	return states
}

// idle tells whether forgetting the account would change no decision. The
// caller holds mu.
func (a *Account) idle(now int64) bool {
	a.minute.expire(now)
	if capacity := a.policy.Load().key.Limits.TPM; capacity > 0 {
		a.tokens.refill(now, capacity)
	} else {
		a.tokens.used = 0 // the limit was taken away
	}
	return a.inFlight == 0 && a.minute.total == 0 && a.tokens.used == 0 && a.saved == saved
}
