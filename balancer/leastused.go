// SPDX-License-Identifier: Apache-2.0

package balancer

import "math"

const (
	// mostLooked bounds how many candidates least_used compares.
	mostLooked = 1024
	// Among keys with as few requests as any, so many are compared by what they have
	// in flight, of so many that are looked at.
	mostEqual  = 4
	enoughSeen = 12
	mostRaces  = 4 // after which a choice stands, although another was made meanwhile
)

// leastUsed chooses the key with the fewest requests in the current Pacific day,
// among equals one with none in flight, or few, among those the one whose turn it
// is. It is exact in pools of up to 1,024 candidates and takes the least of as many
// in larger ones.
//
// What makes it cheap is the lane's level: no candidate has fewer requests than
// that, but perhaps the one whose turn it is. A key that has no more is the choice;
// all are compared only where none is met, which raises the level.
type leastUsed struct{}

func (leastUsed) pick(c candidates) *entry {
	l := c.lane
	for race := 0; ; race++ {
		turn := l.cursor.Load()
		best, next, level := c.least(int(turn&math.MaxUint32), l.floor(c))
		if best == nil {
			return nil
		}
		// Numbered, so that two who saw the same do not take the same.
		if l.cursor.CompareAndSwap(turn, (turn>>32+1)<<32&math.MaxInt64|int64(next)) || race == mostRaces {
			l.level.Store(level)
			return best
		}
	}
}

// floor returns the level. It begins anew with each Pacific day and where keys may
// have come.
func (l *lane) floor(c candidates) int64 {
	gains := c.pool.gains.Load()
	if c.now.Unix() < l.levelEnds.Load() && gains == l.levelOf.Load() {
		return l.level.Load()
	}
	l.levelEnds.Store(pacificMidnight(c.now).Unix())
	l.levelOf.Store(gains)
	l.level.Store(0)
	return 0
}

// lower tells the lanes of a key that came back and has so many requests.
func (m *model) lower(today int64) {
	m.plain.lower(today)
	if all := m.lanes.Load(); all != nil {
		for _, l := range *all {
			l.lower(today)
		}
	}
}

func (l *lane) lower(today int64) {
	if l.level.Load() > today {
		l.level.Store(today)
	}
}

// least returns the choice from a slot on, where the next look begins and the new
// level.
func (c candidates) least(from int, level int64) (best *entry, next int, _ int64) {
	const none = math.MaxInt64
	var used, second int64 = none, none
	var flying int32
	first, equals := -1, 0
	looked := 0
	for ; looked < mostLooked; looked++ {
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
		if u < used || u == used && f < flying {
			best, used, second, flying = e, u, used, f
		} else {
			second = min(second, u)
		}
		if u > level {
			continue
		}
		equals++ // those that are passed over for what they have in flight come up again
		if f == 0 || equals >= mostEqual || looked >= enoughSeen {
			break
		}
	}
	switch {
	case best == nil:
		return nil, 0, level
	case equals == 0 && looked < mostLooked:
		if level = second; level == none { // of all others
			level = used
		}
	case equals == 0:
		level = used
	}
	if used < level && looked < mostLooked {
		return best, best.slot, level // it still has fewest after this
	}
	return best, best.slot + 1, level
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
