// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"math"
	"time"
)

const (
	// influxWindow is over how many seconds the requests of a lane are counted that
	// found no key.
	influxWindow = 10
	// catchUp is how many times as many as come are served after trouble of Google's:
	// the whole of a queue at once might be too much for a Google that is just back.
	// Whoever waited for a time is served within half of it. specs/gateways.md §4.2 U7.
	catchUp = 2
)

// influx knows how many requests come to a lane while others wait, and spreads those
// who wait over time accordingly. Guarded by Pool.mu.
type influx struct {
	counts [influxWindow]struct{ second, came int64 }
	gap    time.Duration // between two that are served
	next   time.Time     // when it would be the next one's time
}

// came counts a request.
func (f *influx) came(now time.Time) {
	this := now.Unix()
	c := &f.counts[this%influxWindow]
	if c.second != this {
		c.second, c.came = this, 0
	}
	c.came++
	first, all := this, int64(0)
	for _, c := range f.counts {
		if c.second > this-influxWindow {
			first, all = min(first, c.second), all+c.came
		}
	}
	over := max(now.Sub(time.Unix(first, 0)), time.Second)
	f.gap = min(over/time.Duration(catchUp*all), rampStep)
}

// room is how many may be served now: those of one step of the ramp.
func (f *influx) room(now time.Time) int {
	if f.gap <= 0 {
		return math.MaxInt
	}
	return int(now.Add(rampStep).Sub(later(f.next, now)) / f.gap)
}

// gave counts one that is served.
func (f *influx) gave(now time.Time) { f.next = later(f.next, now).Add(f.gap) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// troubles reports whether an attempt ended for trouble of Google's, or on the way
// there, that many others may have, too.
func (o *Outcome) troubles() bool {
	v := o.Verdict
	return v == Overloaded || v == ServerError || v == UpstreamTimeout || v == Throttled || v == CapacityExhausted || v == Network
}
