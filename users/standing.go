// SPDX-License-Identifier: Apache-2.0

package users

import (
	"net/netip"
	"time"
)

// LimitState is one limit as it stands. Budgets are in nano-USD.
type LimitState struct {
	Limit     string        // as in Limits' JSON: rpm, tpm, …, budget.day, concurrency
	Max       int64         // the limit; 0 for none
	Used      int64         // by requests that ended or run; may be above Max
	Remaining int64         // what is left now, never below 0
	Reset     time.Duration // when all of it is there again, if nothing else comes; 0 for concurrency and totals
}

// Standing is how a key stands.
type Standing struct {
	Windows   []LimitState // of the limits that are set
	Spent     Spent
	LastUsed  time.Time  // zero for never
	LastIP    netip.Addr // zero for unknown
	LimitedTo time.Time  // until when a limit refuses requests; zero for not now, far away for what time does not end
}

// Spent is money in nano-USD, reservations of requests in flight included.
type Spent struct{ Day, Month, Total int64 }

// never is the end of what time does not end.
var never = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// usedOf is how much of a limit is used. The period of a calendar must be the one of
// now.
func (c *counters) usedOf(id limitID, now, limit int64) int64 {
	switch {
	case id == concurrency:
		return c.inFlight
	case id < firstCalendar:
		return owed(c.tat[id-firstRate]-now, limit)
	default:
		return c.sums[id-firstCalendar].used()
	}
}

// turn begins the periods of now.
func (c *counters) turn(per *periods) {
	for i := range c.sums {
		period, _ := per.of(limits[firstCalendar+limitID(i)].unit)
		c.sums[i].turn(period)
	}
}

// state returns one limit; ok is false where it is not set.
func (c *counters) state(p *policy, id limitID, now int64, per *periods) (s LimitState, ok bool) {
	limit := p.max[id]
	if limit <= 0 {
		return LimitState{}, false
	}
	s = LimitState{Limit: limits[id].name, Max: limit, Used: c.usedOf(id, now, limit)}
	s.Remaining = max(0, limit-s.Used)
	switch {
	case id == concurrency:
	case id < firstCalendar:
		s.Reset = time.Duration(max(0, c.tat[id-firstRate]-now))
	default:
		if _, ends := per.of(limits[id].unit); ends != forever {
			s.Reset = time.Duration(ends - now)
		}
	}
	return s, true
}

// shown is the order of limits for people.
var shown = [...]limitID{rpm, tpm, rpd, tpd, monthlyTokens, budgetDay, budgetMonth, budgetTotal, concurrency}

// Remaining returns the key's limits as they are now; none for no limits.
func (ad *Admission) Remaining() []LimitState { return ad.account.Remaining() }

// Remaining returns the key's limits as they are now; none for no limits.
func (a *Account) Remaining() (states []LimitState) { return a.Standing().Windows }

// Windows returns what response headers tell: of the limits of requests, and of those of
// tokens, the one that leaves the least; Max is 0 for none. It allocates nothing.
func (a *Account) Windows() (ofRequests, ofTokens LimitState) {
	p := a.policy.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock(a.registry.now().UnixNano())
	per := a.registry.calendar.at(now)
	a.counters.turn(per)
	tightest := func(ids ...limitID) (least LimitState) {
		for _, id := range ids {
			s, ok := a.counters.state(p, id, now, per)
			if ok && (least.Max == 0 || s.Remaining < least.Remaining || s.Remaining == least.Remaining && s.Reset > least.Reset) {
				least = s
			}
		}
		return least
	}
	return tightest(rpm, rpd), tightest(tpm, tpd, monthlyTokens)
}

// Standing returns how the key stands now.
func (a *Account) Standing() Standing {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock(a.registry.now().UnixNano())
	return a.standing(now)
}

// standing is Standing at a moment. The caller holds mu.
func (a *Account) standing(now int64) Standing {
	p := a.policy.Load()
	per := a.registry.calendar.at(now)
	a.counters.turn(per)
	s := Standing{LastIP: a.ip, LastUsed: moment(a.used)}
	for _, id := range shown {
		if state, ok := a.counters.state(p, id, now, per); ok {
			s.Windows = append(s.Windows, state)
		}
	}
	total := func(id limitID) int64 { return a.counters.sums[id-firstCalendar].used() }
	s.Spent = Spent{total(budgetDay), total(budgetMonth), total(budgetTotal)}
	if until := a.limitedUntil(p, now, per); until > now {
		s.LimitedTo = moment(until)
	}
	return s
}

// limitedUntil is when the last limit that refuses requests passes; forever for what
// time does not end, and in the past for none. The caller holds mu, and the periods
// are those of now.
func (a *Account) limitedUntil(p *policy, now int64, per *periods) int64 {
	until := a.refused
	for id := firstCalendar; id < limitCount; id++ {
		if limit := p.max[id]; limit > 0 && a.counters.usedOf(id, now, limit) >= limit {
			_, ends := per.of(limits[id].unit)
			until = max(until, ends)
		}
	}
	return until
}

// moment is Unix nanoseconds as a time; zero for 0.
func moment(ns int64) time.Time {
	switch ns {
	case 0:
		return time.Time{}
	case forever:
		return never
	}
	return time.Unix(0, ns).UTC()
}
