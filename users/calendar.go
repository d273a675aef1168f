// SPDX-License-Identifier: Apache-2.0

package users

import (
	"sync/atomic"
	"time"
)

// periods are the calendar day and month of a moment in a zone.
type periods struct {
	from, day, dayEnds, monthEnds int64 // from and ends in Unix nanoseconds
	month                         int64
}

// calendar tells periods. It is as fast as a comparison while the day lasts. Use it
// with a zone; safe for concurrent use.
type calendar struct {
	zone *time.Location
	now  atomic.Pointer[periods]
}

// at returns the periods of a moment: day counts from 1970-01-01, month from January
// of the year 0.
func (c *calendar) at(ns int64) *periods {
	if p := c.now.Load(); p != nil && ns >= p.from && ns < p.dayEnds {
		return p
	}
	y, m, d := time.Unix(0, ns).In(c.zone).Date()
	p := &periods{
		from:      time.Date(y, m, d, 0, 0, 0, 0, c.zone).UnixNano(),
		day:       time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400,
		dayEnds:   time.Date(y, m, d+1, 0, 0, 0, 0, c.zone).UnixNano(),
		month:     int64(y)*12 + int64(m) - 1,
		monthEnds: time.Date(y, m+1, 1, 0, 0, 0, 0, c.zone).UnixNano(),
	}
	c.now.Store(p)
	return p
}

// of returns the number of a unit's period, and its end.
func (p *periods) of(u unit) (number, ends int64) {
	switch u {
	case day:
		return p.day, p.dayEnds
	case month:
		return p.month, p.monthEnds
	default:
		return 0, forever
	}
}
