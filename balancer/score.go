// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"math"
	"time"
)

// score has the parts of [adaptive]'s measure that are about the quota.
type score struct{ load, slowness, room, reliability float64 }

func (s score) cost() float64 { return s.load * s.price() }

// price is the cost for each request in flight.
func (s score) price() float64 { return s.slowness / s.room / (s.reliability * s.reliability) }

// show tells picks what the books say now. Under q.mu, after [quota.forget].
func (q *quota) show(now time.Time) {
	s := q.score(q.counted(), now, 1)
	until := now.Add(showFor).UnixNano()
	if q.minute.good > 0 {
		until = min(until, q.minute.good) // then there is more room
	}
	q.price.bits.Store(math.Float64bits(s.price()))
	q.priceUntil.Store(until)
	left := q.tpm.holds(now) - q.minute.tokens
	q.left.Store(left)
	q.model.eased(left)
	q.days.Store(q.today)
	q.daysUntil.Store(q.dayEnds)
}

// showFor is how long a price stands: what is known of a pace fades, and others
// change what it is compared with.
const showFor = time.Second

// cost is [adaptive]'s measure, but for what the key itself costs. Nobody waits for
// whoever is at the books, which would hold up all who compare many keys, and all
// who waited would then take the same one: what the books said last will do, and
// the more are there, the more it costs.
func (q *quota) cost(now time.Time, aligned bool, weight float64) float64 {
	price := q.price.load()
	if (weight != 1 || now.UnixNano() >= q.priceUntil.Load()) && q.mu.TryLock() {
		q.forget(now, aligned)
		q.show(now)
		price = q.score(q.counted(), now, weight).price()
		q.mu.Unlock()
	}
	requests, at := q.load.get()
	return (float64(requests)/weight + 1) * price * float64(1+at)
}

// score computes the score for what is in the windows. It changes nothing. Under
// q.mu.
func (q *quota) score(u used, now time.Time, weight float64) score {
	slowness := 1.0
	if q.pace.perToken > notSlow*q.model.pace.load() { // else it costs no exponential to know
		slowness = max(q.pace.ratio(q.model, now)/notSlow, 1)
	}
	return score{
		load:        float64(q.inFlight)/weight + 1,
		slowness:    slowness,
		room:        q.room(u, now, weight),
		reliability: max(q.pace.reliability(now), 0.05),
	}
}

// room is the free share of the fullest window. Under q.mu.
func (q *quota) room(u used, now time.Time, weight float64) float64 {
	rpm := q.rpm.holds(now)
	if rpm == unlimited {
		rpm = q.model.hint(q.proven)
	}
	part := 1 / weight
	room := 1 - float64(u.requests)*part/float64(rpm)
	if rpm == unlimited {
		room = 8 / (8 + float64(u.requests)*part) // spread, as long as nothing is known
	}
	if tpm := q.tpm.holds(now); tpm != unlimited {
		room = min(room, 1-float64(u.tokens)*part/float64(tpm))
	}
	if rpd := q.rpd.holds(now); rpd != unlimited {
		room = min(room, 1-float64(u.today)*part/float64(rpd))
	}
	return max(room, leastRoom)
}

// fit reports whether a conversation may stay with the quota.
func (q *quota) fit(c candidates) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.pace.ratio(q.model, c.now) > tooSlow || q.pace.reliability(c.now) < 0.5 {
		return false
	}
	mean := float64(c.pool.inFlight.Load()+1) / float64(max(c.pool.usable.Load(), 1))
	return float64(q.inFlight) <= 2+tooLoaded*mean
}

// usage returns the requests of the day and those in flight.
func (q *quota) usage(c candidates) (today int64, inFlight int32) {
	if c.now.Unix() >= q.daysUntil.Load() {
		q.mu.Lock()
		q.forget(c.now, c.pool.aligned())
		q.show(c.now)
		q.mu.Unlock()
	}
	requests, _ := q.load.get()
	return q.days.Load(), requests
}

// roomFor returns when so many tokens fit into the minute.
func (q *quota) roomFor(tokens int64, now time.Time, aligned bool) time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.forget(now, aligned)
	if q.fits(now, tokens) {
		return now
	}
	return q.minute.room(unlimited, max(q.tpm.holds(now)-tokens, 0), aligned)
}
