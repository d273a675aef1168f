// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

const minute = time.Minute

// bound is the most answers that any scheduler, however much it knows of the
// future, could have got for these arrivals, if it may hold each of them for up
// to hold. It is exact where requests are the limit, and an upper bound (of a
// relaxed problem) where tokens are.
func (s *Scenario) bound(arrivals []Arrival, hold time.Duration, start time.Time) int {
	total := 0
	byModel := map[string][]Arrival{}
	for _, a := range arrivals {
		byModel[a.Model] = append(byModel[a.Model], a)
	}
	for model, list := range byModel {
		slots, pooled, daily := 0, int64(0), int64(0)
		unlimited, capped, dayless := false, true, false
		for i := range s.Projects {
			l, ok := s.Projects[i].limits(model)
			if !ok {
				continue
			}
			slots += int(l.RPM)
			pooled += l.TPM
			daily += l.RPD
			dayless = dayless || l.RPD == 0
			unlimited = unlimited || l.RPM == 0
			capped = capped && l.TPM > 0
		}
		n := len(list)
		switch {
		case unlimited:
		case s.Aligned:
			n = alignedBound(list, slots, hold, start)
		default:
			n = rollingBound(list, slots, hold)
		}
		if capped {
			n = min(n, tokenBound(list, pooled, hold))
		}
		if !dayless {
			n = min(n, dayBound(list, int(daily), hold, start))
		}
		total += n
	}
	return total
}

// rollingBound serves equal requests with rolling minutes.
//
// A project that may start k requests in any 60 s is k machines that are busy
// for 60 s with each request: k+1 starts within 60 s are excluded if and only if
// every start is at least 60 s after the k-th before it, which is what handing
// them to k machines in turn says. All projects together are slots machines.
// Requests come with a release (arrival) and a deadline (arrival + hold) in the
// same order. Then first come, first served on the machine that is free first,
// leaving out only who cannot be served in time, serves the most:
// take a best schedule; sorted, it serves in the order of arrival on the machine
// free first, since deadlines have that order too. Say it leaves out a request j
// that could start at time t on machine m, and let i be the request that it
// starts next on m. With j in the place of i, m starts at max(release of j, free)
// ≤ max(release of i, free) and so is free no later, and everything after fits as
// before; with no such i, j is an answer more. Repeated, the best schedule
// becomes the greedy one. TestBound compares with brute force.
func rollingBound(list []Arrival, slots int, hold time.Duration) int {
	free := make(durations, slots)
	for i := range free {
		free[i] = -minute
	}
	served := 0
	for _, a := range list {
		if slots == 0 || free[0] > a.At+hold {
			continue
		}
		served++
		free[0] = max(a.At, free[0]) + minute
		heap.Fix(&free, 0)
	}
	return served
}

type durations []time.Duration

func (d durations) Len() int           { return len(d) }
func (d durations) Less(i, j int) bool { return d[i] < d[j] }
func (d durations) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *durations) Push(x any)        { *d = append(*d, x.(time.Duration)) }
func (d *durations) Pop() any          { panic("never shrinks") }

// alignedBound is the same with minutes of the clock: each is a box for so many
// requests, and each request fits into the boxes that its time to wait touches.
// Both ends of that have the order of arrival, so that the first box with room is
// the best by the same exchange.
func alignedBound(list []Arrival, slots int, hold time.Duration, start time.Time) int {
	used := map[time.Time]int{}
	served := 0
	for _, a := range list {
		at := start.Add(a.At)
		for box := at.Truncate(minute); !box.After(at.Add(hold)); box = box.Add(minute) {
			if used[box] < slots {
				used[box]++
				served++
				break
			}
		}
	}
	return served
}

// dayBound is an upper bound where every project has a limit by the day: a day
// serves no more than that, of the requests that can be in it.
func dayBound(list []Arrival, daily int, hold time.Duration, start time.Time) int {
	inDay := map[time.Time]int{}
	for _, a := range list {
		from := fakegemini.NextMidnight(start.Add(a.At))
		inDay[from]++
		if until := fakegemini.NextMidnight(start.Add(a.At + hold)); !until.Equal(from) {
			inDay[until]++
		}
	}
	sum := 0
	for _, n := range inDay {
		sum += min(n, daily)
	}
	return min(sum, len(list))
}

// tokenBound is an upper bound where tokens are the limit. It relaxes the
// problem: all projects' tokens are one quota, requests can be cut, and minutes
// are looked at one by one. In each 60 s at most so many tokens can be served,
// out of the requests that could be in them; the most requests are the smallest
// ones. Any grid of minutes gives a bound; the least one of several is taken.
func tokenBound(list []Arrival, pooled int64, hold time.Duration) int {
	best := len(list)
	if len(list) == 0 {
		return 0
	}
	for shift := time.Duration(0); shift < minute; shift += 5 * time.Second {
		sum := 0
		for from := -shift; from <= list[len(list)-1].At+hold; from += minute {
			var sizes []int64
			for _, a := range list {
				if a.At+hold >= from && a.At < from+minute {
					sizes = append(sizes, a.Tokens)
				}
			}
			slices.Sort(sizes)
			left := pooled
			for _, n := range sizes {
				if left <= 0 {
					break
				}
				left -= n
				sum++ // the last one in part: rounded up
			}
		}
		best = min(best, sum)
	}
	return best
}

func sortArrivals(list []Arrival) {
	slices.SortStableFunc(list, func(a, b Arrival) int { return cmp.Compare(a.At, b.At) })
}
