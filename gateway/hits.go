// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"sync"
	"sync/atomic"
	"time"
)

// Hits counts what aliases were asked for, by the hour, for a day. All sites share
// one; it is in memory and begins anew with the process. Safe for concurrent use;
// counting a known name allocates nothing. The zero value is ready.
type Hits struct {
	mu    sync.RWMutex
	names map[string]*hours
}

// hours is a ring of a day's hours. An hour that was overtaken while it is counted
// may lose that count: these are figures for people.
type hours [24]struct{ hour, count atomic.Int64 }

// maxHits bounds the names that are counted; there are no more aliases.
const maxHits = 10_000

func (h *Hits) add(name string, at time.Time) {
	if h == nil {
		return
	}
	h.mu.RLock()
	ring := h.names[name]
	h.mu.RUnlock()
	if ring == nil {
		if ring = h.begin(name); ring == nil {
			return
		}
	}
	hour := at.Unix() / 3600
	slot := &ring[hour%24]
	if before := slot.hour.Load(); before != hour && slot.hour.CompareAndSwap(before, hour) {
		slot.count.Store(0)
	}
	slot.count.Add(1)
}

func (h *Hits) begin(name string) *hours {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.names == nil {
		h.names = map[string]*hours{}
	}
	if h.names[name] == nil && len(h.names) < maxHits {
		h.names[name] = new(hours)
	}
	return h.names[name]
}

// Day is how often an alias was asked for in the hour of now and the 23 before.
func (h *Hits) Day(name string, now time.Time) (n int64) {
	h.mu.RLock()
	ring := h.names[name]
	h.mu.RUnlock()
	if ring == nil {
		return 0
	}
	for i := range ring {
		if ring[i].hour.Load() > now.Unix()/3600-24 {
			n += ring[i].count.Load()
		}
	}
	return n
}
