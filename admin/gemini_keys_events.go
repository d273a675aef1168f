// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"maps"
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

// keyEventPause is how often pages hear of the keys. Source: specs/ui.md §4.
const keyEventPause = 500 * time.Millisecond

// keysEvent is the event keys: the counts of the whole pool, and which keys changed:
// a list of ids, or "many".
type keysEvent struct {
	Counts  map[string]int `json:"counts"`
	Changed any            `json:"changed"`
}

// keyWatch makes the event, nil where nothing changed.
type keyWatch struct {
	pool *balancer.Pool

	mu     sync.Mutex
	watch  *balancer.Watch // nil before the first
	counts map[string]int
}

func (w *keyWatch) event() any {
	w.mu.Lock()
	defer w.mu.Unlock()
	counts := countKeys(w.pool.Counts())
	if w.watch == nil {
		w.watch, w.counts = w.pool.Watch(), counts
		return nil // whoever listens has just read the list
	}
	ids, many := w.watch.Next()
	if len(ids) == 0 && !many && maps.Equal(counts, w.counts) {
		return nil
	}
	w.counts = counts
	if many {
		return keysEvent{counts, "many"}
	}
	return keysEvent{counts, notNil(ids)}
}
