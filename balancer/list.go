// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// pageSize is what a Query without a limit gets.
const pageSize = 100

// List returns a page of the keys that match, how many match in all, and how
// many keys the whole pool has by state, search or not. It holds up no request.
// In the order of adding it sorts nothing and stops looking where the rest is
// known.
func (p *Pool) List(q Query) (page []Key, total int, counts map[State]int) {
	if q.Limit <= 0 {
		q.Limit = pageSize
	}
	q.Offset = max(q.Offset, 0)
	search := strings.ToLower(strings.TrimSpace(q.Search))
	p.mu.Lock()
	counts = maps.Clone(p.counts)
	total = len(p.byID)
	p.mu.Unlock()
	maps.DeleteFunc(counts, func(_ State, n int) bool { return n == 0 })
	slots := *p.slots.Load()
	matches := func(e *entry) bool {
		return e != nil && (q.State == "" || e.live.Load().state == q.State) && (search == "" || e.matches(search))
	}
	compare := sorts[q.Sort]
	filtered := q.State != "" || search != ""
	if compare == nil && q.Order != "desc" && !filtered {
		skip := q.Offset
		for i := range slots {
			e := slots[i].Load()
			if e == nil {
				continue
			}
			if skip--; skip >= 0 {
				continue
			}
			if page = append(page, e.key()); len(page) == q.Limit {
				break
			}
		}
		return page, total, counts
	}
	var found []*entry
	for i := range slots {
		if e := slots[i].Load(); matches(e) {
			found = append(found, e)
		}
	}
	if compare != nil {
		slices.SortStableFunc(found, compare)
	}
	if q.Order == "desc" {
		slices.Reverse(found)
	}
	for _, e := range found[min(q.Offset, len(found)):min(q.Offset+q.Limit, len(found))] {
		page = append(page, e.key())
	}
	return page, len(found), counts
}

// sorts are the orders that a list can have, besides that of adding.
var sorts = map[string]func(a, b *entry) int{
	"id":      func(a, b *entry) int { return cmp.Compare(a.id, b.id) },
	"name":    func(a, b *entry) int { return cmp.Compare(a.spec.Load().name, b.spec.Load().name) },
	"project": func(a, b *entry) int { return cmp.Compare(a.key().Project, b.key().Project) },
	"state": func(a, b *entry) int {
		return cmp.Compare(slices.Index(States, a.live.Load().state), slices.Index(States, b.live.Load().state))
	},
	"created":     func(a, b *entry) int { return a.spec.Load().created.Compare(b.spec.Load().created) },
	"state_since": func(a, b *entry) int { return a.live.Load().since.Compare(b.live.Load().since) },
	"in_flight":   func(a, b *entry) int { return cmp.Compare(a.inFlight.Load(), b.inFlight.Load()) },
}
