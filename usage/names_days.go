// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"slices"
	"sync"
)

// daySums are the sums by name of days that are over, added up. They do not change,
// so who asks for a week once more need not read it again. Up to maxNames of the
// days that were asked for last are kept, some 200 bytes each.
type daySums struct {
	mu   sync.Mutex // held for the reading: who asks for the same waits for it
	days []int64
	sums nameCounts
}

// sumDays calls fn with the sums of closed days.
func (l *Ledger) sumDays(o overlay, spans []int64, d Dimension, fn func(string, *Counts)) error {
	if !d.remembered() {
		return l.storedNames(o, days, spans, d, fn)
	}
	slices.Sort(spans)
	s := &l.daySums[d]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sums == nil || !slices.Equal(s.days, spans) {
		sums := nameCounts{}
		if err := l.storedNames(o, days, spans, d, func(name string, c *Counts) { sums.add(name, c, maxNames) }); err != nil {
			return err
		}
		s.days, s.sums = spans, sums
	}
	for name, c := range s.sums {
		fn(name, c)
	}
	return nil
}
