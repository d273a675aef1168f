// SPDX-License-Identifier: Apache-2.0

package users

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// RefusalKind says what kind of answer a refusal is.
type RefusalKind uint8

// The kinds of refusals.
const (
	Forbidden   RefusalKind = iota + 1 // the key may not do this, now or later
	RateLimited                        // a limit is used up; it will pass
	OverBudget                         // a budget is used up; it will pass if Until says so
	Unavailable                        // the store does not answer; not the key's fault
)

// Refusal says why a request was not admitted, for its sender to read.
type Refusal struct {
	Kind       RefusalKind
	Limit      string        // as in Limits' JSON (rpm, budget.day, …), or models, dialects, cidrs, price, key, store
	Message    string        // a sentence or several
	Max        int64         // of the limit; nano-USD for budgets. 0 where Kind is none of a limit's
	Used       int64         // of it, by requests that ended or run
	RetryAfter time.Duration // when the same request may pass; 0 where time does not help
	Until      time.Time     // the same as a moment; zero where time does not help
}

// Error makes a Refusal an error.
func (r *Refusal) Error() string { return r.Message }

// refuse words a refusal by a limit. The caller holds mu.
func (a *Account) refuse(now, wait int64, c *claim) *Refusal {
	p, of := a.policy.Load(), &limits[c.limit]
	r := &Refusal{Kind: RateLimited, Limit: of.name, Max: c.max, Used: a.counters.usedOf(c.limit, now, c.max)}
	money := of.measure == cost
	others := a.counters.waitsForOthers(c)
	if money && !others {
		r.Kind = OverBudget
	}
	var b strings.Builder
	fmt.Fprintf(&b, "user key %s has reached its limit of %s %s (%s): %s used", p.key.ID, amount(c.max, money), of.words, of.name, amount(r.Used, money))
	if others && c.limit != concurrency {
		b.WriteString(" or reserved for requests that run")
	}
	if want := max(c.amount, 1); of.measure != requests && r.Used < c.max {
		fmt.Fprintf(&b, ", %s requested", amount(want, money))
	}
	switch {
	case wait == forever:
		b.WriteString(". It does not pass by itself: ask the operator for more.")
	case others:
		b.WriteString(". Wait for one of them to end, or send fewer at once.")
	default:
		r.Until = time.Unix(0, now).Add(time.Duration(wait)).UTC()
		fmt.Fprintf(&b, ". Please try again in %s, at %s.", Wait(time.Duration(wait)), ceil(r.Until, time.Second).Format(time.RFC3339))
	}
	if wait != forever {
		r.RetryAfter = max(time.Duration(wait), time.Millisecond)
	}
	r.Message = b.String()
	return r
}

func amount(n int64, money bool) string {
	if money {
		return USD(n).String()
	}
	return strconv.FormatInt(n, 10)
}

// Wait words a wait as clients' headers have it: 6m0s; rounded up to a second, and
// below one to a millisecond.
func Wait(d time.Duration) string {
	unit := time.Second
	if d < time.Second {
		unit = time.Millisecond
	}
	return (d + unit - 1).Truncate(unit).String()
}

func ceil(t time.Time, d time.Duration) time.Time {
	if down := t.Truncate(d); down.Equal(t) {
		return down
	}
	return t.Truncate(d).Add(d)
}
