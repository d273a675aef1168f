// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"sync"
	"time"
)

// liveSeconds is the length of the sliding window.
const liveSeconds = 60

// live are the sums of the last minute, by second.
type live struct {
	seconds [liveSeconds]liveSums
	sum     liveSums // of them
	now     int64    // Unix second of the newest
}

type liveSums struct {
	counts      Counts
	took, first histogram
}

// advance lets go of what is a minute old. Each second is let go of once.
func (l *live) advance(second int64) {
	if second-l.now >= liveSeconds {
		*l = live{now: second}
		return
	}
	for ; l.now < second; l.now++ {
		s := &l.seconds[(l.now+1)%liveSeconds]
		if s.counts.some() {
			l.sum.counts.subtract(&s.counts)
			l.sum.took.subtract(&s.took)
			l.sum.first.subtract(&s.first)
			*s = liveSums{}
		}
	}
}

// record adds a request. One that comes late, or from before the clock was set
// back, counts as of the newest second.
func (l *live) record(r *Record, n *Counts) {
	l.advance(r.At.Unix())
	for _, s := range [...]*liveSums{&l.seconds[l.now%liveSeconds], &l.sum} {
		s.counts.add(n)
		if r.Attempts > 0 {
			s.took.add(r.Duration)
		}
		if r.FirstOutput > 0 {
			s.first.add(r.FirstOutput)
		}
	}
}

// Live says what happened in the last 60 seconds.
type Live struct {
	Counts
	Latency
}

// Live returns the figures of the last 60 seconds.
func (l *Ledger) Live() Live {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refresh()
	l.live.advance(l.now().Unix())
	s := &l.live.sum
	return Live{s.counts, latencyOf(&s.took, &s.first)}
}

// Latency is how long requests took that were tried at all.
type Latency struct {
	P50, P95   time.Duration // of the whole request; 0 where nothing is Timed
	First50    time.Duration // until the first output; 0 where nothing is FirstTimed
	Timed      bool
	FirstTimed bool
}

func latencyOf(took, first *histogram) (l Latency) {
	l.P50, l.Timed = took.quantile(0.5)
	l.P95, _ = took.quantile(0.95)
	l.First50, l.FirstTimed = first.quantile(0.5)
	return l
}

// feedSize is how many requests wait for who reads a [Feed].
const feedSize = 64

// Feed gets requests as they end. Who does not take them in time misses some.
type Feed struct {
	ledger *Ledger

	mu     sync.Mutex
	rows   []Record
	missed int
}

// Feed starts a feed, which must be closed.
func (l *Ledger) Feed() *Feed {
	f := &Feed{ledger: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.feeds[f] = struct{}{}
	return f
}

// Close ends the feed.
func (f *Feed) Close() {
	f.ledger.mu.Lock()
	defer f.ledger.mu.Unlock()
	delete(f.ledger.feeds, f)
}

func (f *Feed) offer(r *Record) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.rows) == feedSize {
		f.missed++
		return
	}
	f.rows = append(f.rows, *r)
}

// Take returns the requests that ended since the last call, and how many more did.
func (f *Feed) Take() (rows []Record, missed int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rows, missed = f.rows, f.missed
	f.rows, f.missed = nil, 0
	return rows, missed
}
