// SPDX-License-Identifier: Apache-2.0

package balancer

import "slices"

// maxNews is how many changes of keys are remembered for those who watch.
const maxNews = 128

// MaxChanged is how many changed keys a [Watch] names, at most.
const MaxChanged = 100

// news are the last keys that were changed: added, edited, deleted, or moved to
// another state. Guarded by Pool.mu.
type news struct {
	seq uint64 // changes ever
	ids [maxNews]string
}

func (n *news) add(id string) {
	n.ids[n.seq%maxNews] = id
	n.seq++
}

// Watch follows how the keys of a pool change. It is for one goroutine.
type Watch struct {
	pool  *Pool
	seen  uint64
	table *statusTable
}

// Watch begins to follow the keys.
func (p *Pool) Watch() *Watch {
	p.mu.Lock()
	seen := p.news.seq
	p.mu.Unlock()
	return &Watch{pool: p, seen: seen, table: p.statusTable()}
}

// Next tells which keys were changed, or came to another status, since the last
// call. With more than [MaxChanged] of them it names none, and many is true.
func (w *Watch) Next() (changed []string, many bool) {
	p := w.pool
	table := p.statusTable()
	p.mu.Lock()
	first, seq := w.seen, p.news.seq
	w.seen = seq
	many = seq-first > maxNews
	for i := first; i < seq && !many; i++ {
		changed = append(changed, p.news.ids[i%maxNews])
	}
	p.mu.Unlock()
	before := w.table
	w.table = table
	if table != before {
		slots := *p.slots.Load()
		for i := range min(len(table.status), len(before.status), len(slots)) {
			if table.status[i] == before.status[i] {
				continue
			}
			if e := slots[i].Load(); e != nil {
				changed = append(changed, e.id)
			}
			if len(changed) > 2*MaxChanged {
				return nil, true
			}
		}
	}
	slices.Sort(changed)
	if changed = slices.Compact(changed); many || len(changed) > MaxChanged {
		return nil, true
	}
	return changed, false
}
