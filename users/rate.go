// SPDX-License-Identifier: Apache-2.0

package users

import (
	"math/bits"
	"time"
)

// A rate is GCRA with cost: one number, the theoretical arrival time (TAT), in Unix
// nanoseconds. It is the moment at which all that was taken will have flowed back;
// N units flow back in a minute, so one moves it by a minute/N. A request fits if it
// leaves the TAT at most a minute ahead: a rested key may spend all of N at once.
// Source: specs/gateways.md §3.2, §3.8.

// minute is the window of rates.
const minute = int64(time.Minute)

// span is how far n units of a limit per minute move the TAT. It is rounded down to
// a nanosecond, so that N requests at once are admitted and no more: exactly up to
// N = 244,948, which is where the roundings of N requests are worth one. Above, at
// most N²/(6·10¹⁰) more fit into a moment: 0.002 % at a million. Giving back moves by
// the same as taking did.
func span(n, limit int64) int64 {
	if n <= 1<<27 { // the product is below 2^63
		return n * minute / limit
	}
	// More than two minutes is never looked at, and a difference of such amounts is
	// none of a request's.
	n = min(n, 4*limit)
	hi, lo := bits.Mul64(uint64(n), uint64(minute)) //nolint:gosec // neither is negative
	q, _ := bits.Div64(hi, lo, uint64(limit))       //nolint:gosec // positive
	return int64(q)                                 //nolint:gosec // at most four minutes
}

// owed is how many units of a limit have not flowed back yet, rounded up.
func owed(ahead, limit int64) int64 {
	if ahead <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(ahead), uint64(limit)) //nolint:gosec // neither is negative
	q, r := bits.Div64(hi, lo, uint64(minute))
	// What is missing to a whole unit is the rounding of span, as far as that goes.
	if r > uint64(limit) || q == 0 { //nolint:gosec // positive
		q++
	}
	return int64(q) //nolint:gosec // at most twice the limit
}

// rescale makes what is owed of one limit the same number of units of another.
func rescale(tat, now, before, after int64) int64 {
	if tat <= now || before <= 0 || after <= 0 {
		return tat
	}
	return now + min(span(owed(tat-now, before), after), 2*minute)
}
