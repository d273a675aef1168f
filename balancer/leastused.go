// SPDX-License-Identifier: Apache-2.0

package balancer

// mostLooked bounds how many candidates least_used compares.
const mostLooked = 1024

// leastUsed chooses the key with the fewest requests in the current Pacific day,
// among equals the one with the fewest in flight, among those the one whose turn
// it is. It is exact in pools of up to 1,024 candidates and takes the least of as
// many in larger ones.
type leastUsed struct{}

func (leastUsed) pick(c candidates) *entry {
	var best *entry
	var used int64
	var flying int32
	from := int(c.lane.cursor.Load())
	// A key that has no more than the least that a whole look found is the one.
	level := c.lane.level.Load()
	first := -1
	for range mostLooked {
		e := c.next(from)
		if e == nil || e.slot == first {
			break
		}
		if first < 0 {
			first = e.slot
		}
		from = e.slot + 1
		u, f := int64(0), e.inFlight.Load()
		if q := c.lane.model.quota(e.slot); q != nil {
			u, f = q.usage(c)
		}
		if best == nil || u < used || u == used && f < flying {
			best, used, flying = e, u, f
		}
		if used <= level && flying == 0 {
			break
		}
	}
	if best != nil {
		c.lane.level.Store(used)
		c.lane.cursor.Store(int64(best.slot) + 1)
	}
	return best
}

// measure is the requests of the day, and for those in flight a little more.
func (leastUsed) measure(c candidates, e *entry) float64 {
	today, inFlight := int64(0), e.inFlight.Load()
	if q := c.lane.model.quota(e.slot); q != nil {
		q.mu.Lock()
		today, inFlight = q.counts(c.now, c.pool.aligned()).today, q.inFlight
		q.mu.Unlock()
	}
	return float64(today) + float64(inFlight)/1e6
}
