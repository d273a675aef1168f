// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"math"
	"time"
)

// score has the parts of [adaptive]'s measure that are about the quota.
type score struct{ load, slowness, room, reliability float64 }

func (s score) cost() float64 { return s.load * s.slowness / s.room / (s.reliability * s.reliability) }

// cost is the part of [adaptive]'s measure that is about the quota.
// Where somebody else is at the books, he takes or gives something right now:
// waiting for him would hold up all who compare many keys, and all who waited would
// then take the same key. It is the cost as it was last, and more for that.
func (q *quota) cost(now time.Time, aligned bool, weight float64) float64 {
	if !q.mu.TryLock() {
		if last := q.last.load(); last > 0 {
			return last * busy * float64(1+q.comers.Load())
		}
		q.mu.Lock()
	}
	defer q.mu.Unlock()
	q.forget(now, aligned)
	cost := q.score(used{q.minute.requests, q.minute.tokens, q.today}, now, weight).cost()
	q.last.bits.Store(math.Float64bits(cost))
	return cost
}

// busy is how many times more the books cost that somebody else is at.
const busy = 2

// score computes the score for what is in the windows. It changes nothing. Under
// q.mu.
func (q *quota) score(u used, now time.Time, weight float64) score {
	return score{
		load:        float64(q.inFlight+q.comers.Load())/weight + 1,
		slowness:    max(q.pace.ratio(q.model, now)/notSlow, 1),
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
// Books that somebody else is at are taken for one request more than they last had.
func (q *quota) usage(c candidates) (today int64, inFlight int32) {
	if !q.mu.TryLock() {
		if last := q.used.Load(); last > 0 {
			return last, 1
		}
		q.mu.Lock()
	}
	defer q.mu.Unlock()
	q.forget(c.now, c.pool.aligned())
	q.used.Store(q.today + 1)
	return q.today, q.inFlight
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
