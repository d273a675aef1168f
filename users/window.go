// SPDX-License-Identifier: Apache-2.0

package users

import "time"

// minuteLog counts requests in a sliding window of a minute, exactly: in any 60
// seconds at most the limit, and a fresh key may spend all of it at once. A
// token bucket or GCRA allows one or the other, not both; a fixed window twice
// the limit around its border; so this is a log of the moments, with those of
// the same tick (10 ms) counted together. That bounds its memory to 6,001 words
// however high the limit. A moment counts as the end of its tick, so a slot may
// come back up to 10 ms late and never early. The zero value is an empty log.
type minuteLog struct {
	ring  []uint64 // tick<<countBits | count, oldest at head
	head  int
	size  int
	total int64
}

const (
	window    = time.Minute
	tick      = 10 * time.Millisecond
	countBits = 20
	countMask = 1<<countBits - 1
	idleRing  = 8 // a larger ring is given back when it is empty
)

func tickOf(now int64) uint64 { return uint64((now + int64(tick) - 1) / int64(tick)) }

// leaves is when the requests of an entry leave the window.
func leaves(entry uint64) int64 { return int64(entry>>countBits)*int64(tick) + int64(window) }

// expire forgets what is older than the window.
func (l *minuteLog) expire(now int64) {
	for l.size > 0 && leaves(l.ring[l.head]) <= now {
		l.total -= int64(l.ring[l.head] & countMask)
		l.head = (l.head + 1) % len(l.ring)
		l.size--
	}
	if l.size == 0 && len(l.ring) > idleRing {
		l.ring, l.head = nil, 0
	}
}

// take adds one request.
func (l *minuteLog) take(now int64) {
	l.total++
	t := tickOf(now)
	if l.size > 0 {
		last := &l.ring[(l.head+l.size-1)%len(l.ring)]
		if *last>>countBits >= t && *last&countMask < countMask {
			*last++
			return
		}
	}
	if l.size == len(l.ring) {
		grown := make([]uint64, max(4, 2*len(l.ring)))
		for i := range l.size {
			grown[i] = l.ring[(l.head+i)%len(l.ring)]
		}
		l.ring, l.head = grown, 0
	}
	l.ring[(l.head+l.size)%len(l.ring)] = t<<countBits | 1
	l.size++
}

// untake removes one request that was taken at now, if it still counts.
func (l *minuteLog) untake(now int64) {
	t := tickOf(now)
	for i := l.size - 1; i >= 0; i-- {
		entry := &l.ring[(l.head+i)%len(l.ring)]
		if *entry>>countBits < t {
			return
		}
		if *entry>>countBits == t && *entry&countMask > 0 {
			*entry--
			l.total--
			return
		}
	}
}

// wait is how long until one more request fits under the limit.
func (l *minuteLog) wait(now, limit int64) time.Duration {
	left := l.total
	for i := range l.size {
		entry := l.ring[(l.head+i)%len(l.ring)]
		if left -= int64(entry & countMask); left < limit {
			return time.Duration(leaves(entry) - now)
		}
	}
	return window
}

// bucket is a token bucket with reservation and debt (specs/gateways.md §3.2),
// seen from its other side: how much of the capacity is used. It refills in a
// minute. A request reserves at most the whole capacity, so one that is larger
// than the limit passes when the bucket is full and is paid off afterwards; the
// debt is at most one more capacity. The zero value is a full bucket.
type bucket struct {
	used float64
	at   int64
}

// roundOff absorbs what float arithmetic may leave of a refill.
const roundOff = 1e-6

func (b *bucket) refill(now, capacity int64) {
	if now > b.at {
		b.used = max(0, b.used-float64(now-b.at)*float64(capacity)/float64(window))
		b.at = now
	}
}

// fits tells whether the reservation fits; wait is when it will.
func (b *bucket) fits(reserve, capacity int64) (ok bool, wait time.Duration) {
	over := b.used + float64(reserve) - float64(capacity)
	if over <= roundOff {
		return true, 0
	}
	return false, time.Duration(over / float64(capacity) * float64(window))
}

// add takes tokens, or gives them back if n < 0.
func (b *bucket) add(n, capacity int64) {
	b.used = min(max(0, b.used+float64(n)), 2*float64(capacity))
}

// dayCount counts the requests of one calendar day.
type dayCount struct {
	day   int64 // days since 1970-01-01 in the registry's zone
	count int64
}

func (d *dayCount) turn(day int64) {
	if day > d.day {
		d.day, d.count = day, 0
	}
}

// dayOf is the number of the calendar day, and how long it still lasts.
func dayOf(now time.Time, zone *time.Location) (day int64, rest time.Duration) {
	if zone == time.UTC {
		sec := now.Unix()
		day = sec / 86400
		return day, time.Unix((day+1)*86400, 0).Sub(now)
	}
	y, m, d := now.In(zone).Date()
	day = time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400
	return day, time.Date(y, m, d+1, 0, 0, 0, 0, zone).Sub(now)
}

// drained is how long until the log is empty.
func (l *minuteLog) drained(now int64) time.Duration {
	if l.size == 0 {
		return 0
	}
	return time.Duration(leaves(l.ring[(l.head+l.size-1)%len(l.ring)]) - now)
}
