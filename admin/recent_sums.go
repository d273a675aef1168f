// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// Sums by name that are many are kept for a moment: who pages through a list that is
// sorted by them asks again and again, and shall find the same order.
const (
	keptSumsFrom = 5_000 // names
	keptSumsFor  = 5 * time.Second
)

// recentSums are the sums by name that were asked for last, one for each dimension. The
// zero value is ready.
type recentSums struct {
	mu   sync.Mutex
	last map[usage.Dimension]*namedSums
}

// namedSums are to be read only.
type namedSums struct {
	span time.Duration
	at   time.Time
	sums map[string]usage.Counts
	from time.Time
}

// of returns the sums of a span before now, and when they really begin.
func (r *recentSums) of(l *usage.Ledger, d usage.Dimension, span time.Duration, now time.Time) (map[string]usage.Counts, time.Time, error) {
	r.mu.Lock() // while they are made, too: who asks for the same waits for them
	defer r.mu.Unlock()
	if s := r.last[d]; s != nil && s.span == span && now.Sub(s.at).Abs() < keptSumsFor {
		return s.sums, s.from, nil
	}
	delete(r.last, d)
	sums, from, err := l.NamesSince(d, now.Add(-span))
	if err == nil && len(sums) >= keptSumsFrom {
		if r.last == nil {
			r.last = map[usage.Dimension]*namedSums{}
		}
		r.last[d] = &namedSums{span, now, sums, from}
	}
	return sums, from, err
}
