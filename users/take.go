// SPDX-License-Identifier: Apache-2.0

package users

import "math"

// limitID names one limit of a user key.
type limitID uint8

const (
	concurrency limitID = iota
	rpm
	tpm
	rpd
	tpd
	monthlyTokens
	budgetDay
	budgetMonth
	budgetTotal
	limitCount

	firstRate     = rpm // rates are rpm and tpm
	firstCalendar = rpd // calendars are all from here on
	rateCount     = firstCalendar - firstRate
	calendarCount = limitCount - firstCalendar
)

// measure is what a limit counts.
type measure uint8

const (
	requests measure = iota
	tokens
	cost // nano-USD
	measureCount
)

// unit is for how long a calendar counts.
type unit uint8

const (
	day unit = iota
	month
	ever
)

// limits describes each limit. Words is what its maximum counts, for people.
var limits = [limitCount]struct {
	name    string
	words   string
	measure measure
	unit    unit // of calendars
}{
	concurrency:   {"concurrency", "requests at the same time", requests, ever},
	rpm:           {"rpm", "requests per minute", requests, ever},
	tpm:           {"tpm", "tokens per minute", tokens, ever},
	rpd:           {"rpd", "requests per day", requests, day},
	tpd:           {"tpd", "tokens per day", tokens, day},
	monthlyTokens: {"monthly_tokens", "tokens per month", tokens, month},
	budgetDay:     {"budget.day", "USD per day", cost, day},
	budgetMonth:   {"budget.month", "USD per month", cost, month},
	budgetTotal:   {"budget.total", "USD in all", cost, ever},
}

// claim is the part of one limit in a step: how much is wanted of it.
type claim struct {
	limit  limitID
	max    int64 // the limit; 0 for none, which is counted where it is a calendar's
	amount int64 // wanted, or to correct by
	period int64 // calendars: number of the day or month
	left   int64 // calendars: nanoseconds until the period ends; forever for never
}

// forever is a wait that time does not end.
const forever = math.MaxInt64

// counters are what the limits of one key have counted. The zero value has counted
// nothing. Whoever holds them guards them; their methods are the whole seam to a
// cluster, see the package comment.
type counters struct {
	inFlight int64 // leases that are held
	tat      [rateCount]int64
	sums     [calendarCount]sum
}

// sum counts in one period, in two totals that only grow.
type sum struct {
	period int64
	taken  int64
	given  int64 // back
	held   int64 // of what is taken, reserved by requests in flight and not used yet: it may come back. Not stored
}

func (s *sum) used() int64 { return s.taken - s.given }

// turn begins a later period. Where the clock was set back to an earlier one, that takes
// over what was counted: a clock that was a year ahead for a moment must not have a day
// last for a year.
func (s *sum) turn(period int64) {
	if period > s.period {
		*s = sum{period: period}
	} else if period < s.period {
		s.held = 0 // who holds it names the other period
	}
	s.period = period
}

// take checks all claims and, if every one fits, takes them all; else it takes
// nothing and returns the place in claims of the one that must be waited for
// longest, and how long. A claim of 0 fits where the limit is not used up. now is in
// Unix nanoseconds and must not go back for rates.
func (c *counters) take(now int64, claims []claim) (refused int, wait int64) {
	refused = -1
	for i := range claims {
		if w := c.wait(now, &claims[i]); w > wait {
			refused, wait = i, w
		}
	}
	if refused >= 0 {
		return refused, wait
	}
	for i := range claims {
		switch k := &claims[i]; {
		case k.limit == concurrency:
			c.inFlight += k.amount
		case k.limit < firstCalendar:
			c.tat[k.limit-firstRate] = max(c.tat[k.limit-firstRate], now) + span(k.amount, k.max)
		default:
			s := &c.sums[k.limit-firstCalendar]
			s.taken += k.amount
			if comesBack(k.limit) {
				s.held += k.amount
			}
		}
	}
	return -1, 0
}

// comesBack reports whether requests may use less of a calendar than they have reserved.
func comesBack(id limitID) bool { return limits[id].measure != requests }

// waitsForOthers reports whether a claim that does not fit would, without what requests
// in flight have reserved: they may need less of it.
func (c *counters) waitsForOthers(k *claim) bool {
	if k.limit < firstCalendar {
		return k.limit == concurrency
	}
	s := &c.sums[k.limit-firstCalendar]
	return s.used()-s.held+max(k.amount, 1) <= k.max
}

// letGo says that of a reservation so much is used or given back by now.
func (c *counters) letGo(id limitID, period, amount int64) {
	if s := &c.sums[id-firstCalendar]; s.period == period {
		s.held = max(s.held-amount, 0)
	}
}

// inFlightWait is for how long a client is told to wait for another of its requests
// to end, which nobody knows.
const inFlightWait = 1e9

// wait returns after how many nanoseconds a claim fits if nothing else comes; 0 for
// now. It begins the period of a calendar.
func (c *counters) wait(now int64, k *claim) int64 {
	switch {
	case k.limit == concurrency:
		if k.max > 0 && c.inFlight+k.amount > k.max {
			return inFlightWait
		}
	case k.limit < firstCalendar:
		ahead := max(c.tat[k.limit-firstRate]-now, 0)
		return max(ahead+span(max(k.amount, 1), k.max)-minute, 0)
	default:
		s := &c.sums[k.limit-firstCalendar]
		s.turn(k.period)
		switch {
		case k.max <= 0 || s.used()+max(k.amount, 1) <= k.max:
		case c.waitsForOthers(k):
			return inFlightWait
		default:
			return max(k.left, 1)
		}
	}
	return 0
}

// settle corrects what was taken by the amounts of the claims, up or down, be it
// there or not, so that others find it gone or back. A rate is in debt for one more
// of its maximum at most. The period of a calendar is the one of now.
func (c *counters) settle(now int64, claims []claim) {
	for i := range claims {
		switch k := &claims[i]; {
		case k.limit == concurrency:
			c.inFlight += k.amount
		case k.limit < firstCalendar:
			tat := &c.tat[k.limit-firstRate]
			if k.amount >= 0 {
				*tat = min(max(*tat, now)+span(k.amount, k.max), now+2*minute)
			} else {
				*tat = max(*tat-span(-k.amount, k.max), now)
			}
		default:
			s := &c.sums[k.limit-firstCalendar]
			s.turn(k.period)
			if k.amount >= 0 {
				s.taken += k.amount
			} else {
				s.given -= k.amount
			}
		}
	}
}
