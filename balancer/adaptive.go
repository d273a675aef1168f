// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"math"
	"math/bits"
	"math/rand/v2"
)

const (
	// samples is how many candidates a pick of a large pool compares. Two avoid a
	// herd; four also keep the fullest of a thousand keys below its limit.
	samples = 4
	// What keeps a conversation from its key: that is so many times slower than the
	// mean, or has so many times the mean of requests in flight.
	tooSlow = 3.0
	// notSlow is how many times slower than the mean a key may be without being
	// called slow: answers differ.
	notSlow   = 1.5
	tooLoaded = 1.25
	// paidCost makes keys that cost money the choice for when the free ones are
	// nearly full.
	paidCost = 8.0
	// stale is how many times more a choice may cost at a second look without being
	// made anew, up to moreLooks times.
	stale     = 1.2
	moreLooks = 3
	leastRoom = 0.02
)

// adaptive chooses the key that is expected to answer best: the least
//
//	cost = (in flight / weight + 1) · slowness / room / reliability²    (· 8 for a paid key)
//
// where slowness is the time per token against the model's mean, room the free
// share of the fullest window (minute requests, minute tokens, day requests; what
// is used counts by the weight's part, so that a key of weight 2 takes about twice
// as much as one of weight 1 until it is full), and
// reliability the share of the last attempts that did not fail for the server's
// fault. What is known of a key's pace fades within a minute, so that one that
// was slow is tried again. Pools of up to 64 keys compare all of them, larger ones
// four at random: many pickers at once spread instead of crowding on the best.
//
// A conversation that is long enough to be cached implicitly stays with its key as
// long as that has room and is neither slow nor overloaded; see [candidates.home].
type adaptive struct{}

func (adaptive) pick(c candidates) *entry {
	n := min(len(c.open), (len(c.slots)+63)/64)
	if n == 0 {
		return nil
	}
	if c.hash != 0 {
		if e := c.home(n); e != nil {
			return e
		}
	}
	for look := 0; ; look++ {
		best, cost := c.cheap(n)
		// Others may have taken it while the rest were looked at: without a second look
		// all who saw it idle would go there.
		if best == nil || look == moreLooks || c.cost(best.slot) <= cost*stale {
			return best
		}
	}
}

// cheap returns the candidate that costs least, in pools of n > 1 words of a sample.
func (c candidates) cheap(n int) (*entry, float64) {
	if n == 1 {
		return c.cheapest(0)
	}
	return c.sample(n)
}

// sample compares a few candidates at random, of n words. In large pools most of
// the time goes by waiting for memory, so that it asks for all of it at first, and
// for nothing of a key but what it is compared by.
func (c candidates) sample(n int) (best *entry, least float64) {
	var slots [samples]int
	var quotas [samples]*quota
	used := max(min(n*64, int(c.pool.top.Load())), 1)
	for i := range slots {
		slots[i] = c.toss(used)
	}
	for i, slot := range slots {
		quotas[i] = c.lane.model.quota(slot)
	}
	for _, q := range quotas {
		if q != nil {
			q.load.get()
		}
	}
	chosen := -1
	least = math.Inf(1)
	for _, slot := range slots {
		if c.word(slot/64)>>(slot%64)&1 == 0 || c.leaves(slot) {
			e := c.next(slot)
			if e == nil {
				return nil, 0
			}
			slot = e.slot
		}
		if cost := c.cost(slot); slot != chosen && cost < least {
			chosen, least = slot, cost
		}
	}
	if best = c.slots[chosen].Load(); best == nil {
		return c.next(chosen), least // it was deleted just now
	}
	return best, least
}

// tosses is how many slots are drawn for a sample before it is the next candidate
// after one: keys behind many that are out must not be the sample of all of those.
const tosses = 4

// toss returns a slot at random, of a candidate if one comes up.
func (c candidates) toss(used int) (slot int) {
	for range tosses {
		slot = rand.IntN(used)
		if c.word(slot/64)>>(slot%64)&1 != 0 {
			break
		}
	}
	return slot
}

// cheapest compares all candidates of a word, beginning anywhere, so that equals
// take turns.
func (c candidates) cheapest(i int) (best *entry, least float64) {
	least = math.Inf(1)
	words := c.word(i)
	shift := 0
	if words != 0 {
		// Begin at a candidate, each as likely as the other.
		for range rand.IntN(bits.OnesCount64(words)) {
			shift = shift + bits.TrailingZeros64(words>>shift) + 1
		}
	}
	for w := bits.RotateLeft64(words, -shift); w != 0; w &= w - 1 {
		slot := i*64 + (bits.TrailingZeros64(w)+shift)%64
		if c.leaves(slot) {
			continue
		}
		if cost := c.cost(slot); cost < least {
			if e := c.slots[slot].Load(); e != nil {
				best, least = e, cost
			}
		}
	}
	return best, least
}

// cost is what the choice is made by.
func (c candidates) cost(slot int) float64 {
	weight := c.weight(slot)
	q := c.lane.model.quota(slot)
	if q == nil {
		return (1 + float64(c.inFlight(slot))/weight) * c.price(slot)
	}
	return q.cost(c.now, c.pool.aligned(), weight) * c.price(slot)
}

// inFlight is how many requests a key has in flight, of all models.
func (c candidates) inFlight(slot int) int32 {
	if e := c.slots[slot].Load(); e != nil {
		return e.inFlight.Load()
	}
	return 0
}

// measure is the cost. What does not count any more stays in the books.
func (adaptive) measure(c candidates, e *entry) float64 {
	weight := float64(e.spec.Load().weight)
	cost := 1 + float64(e.inFlight.Load())/weight
	if q := c.lane.model.quota(e.slot); q != nil {
		q.mu.Lock()
		cost = q.score(q.counts(c.now, c.pool.aligned()), c.now, weight).cost()
		q.mu.Unlock()
	}
	return cost * c.price(e.slot)
}

// weight is that of a key. Most have none of their own, which a bit tells.
func (c candidates) weight(slot int) float64 {
	if c.pool.weighted.has(slot) {
		if e := c.slots[slot].Load(); e != nil {
			return float64(e.spec.Load().weight)
		}
	}
	return 1
}

// price is what a key costs more for costing money.
func (c candidates) price(slot int) float64 {
	if c.pool.paid.has(slot) {
		return paidCost
	}
	return 1
}
