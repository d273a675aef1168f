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

// Page is a page of keys, and what can be told of all keys that match.
type Page struct {
	Keys  []View
	Total int // that match
	// All, Statuses and States count the keys that match but for status and state.
	All      int
	Statuses map[Status]int // every status is there
	States   map[State]int  // every state is there
}

// Attention is how many keys an operator should look at: those that Google refuses.
func (p *Page) Attention() int { return p.Statuses[StatusInvalid] }

// Orders that do not follow from a key alone.
const (
	byStatus  = "status"
	byQuota   = "quota" // the share of the day that is used up; those without a limit first, by how much they used
	byMeasure = "measure"
)

// Sorts are the orders that a page can have, besides "measure" and that of adding.
var Sorts = append(slices.Sorted(maps.Keys(sorts)), byStatus, byQuota)

// Page returns a page of the keys that match. It holds up no request, and orders no
// more keys than the page needs.
func (p *Pool) Page(q Query) Page {
	if q.Limit <= 0 {
		q.Limit = pageSize
	}
	q.Offset = max(q.Offset, 0)
	f := p.find(q.filter())
	out := Page{Total: len(f.entries), All: f.total, Statuses: map[Status]int{}, States: map[State]int{}}
	for i, s := range Statuses {
		out.Statuses[s] = f.statuses[i]
	}
	for _, s := range States {
		out.States[s] = f.states[s]
	}
	now := p.now()
	entries := p.window(f.entries, &q)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range entries {
		out.Keys = append(out.Keys, p.view(e, now))
	}
	return out
}

// Counts counts the keys of the whole pool, as [Pool.Page] does those that match.
func (p *Pool) Counts() (statuses map[Status]int, states map[State]int, all int) {
	var n [isNone + 1]int
	for _, s := range p.statusTable().status {
		n[s]++
	}
	statuses, states = map[Status]int{}, map[State]int{}
	for i, s := range Statuses {
		statuses[s] = n[i]
		all += n[i]
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range States {
		states[s] = p.counts[s]
	}
	return statuses, states, all
}

// List is [Pool.Page] without statuses. The counts are of the whole pool, search or
// not; states without a key are left out.
func (p *Pool) List(q Query) (page []Key, total int, counts map[State]int) {
	all := p.Page(q)
	for _, v := range all.Keys {
		page = append(page, v.Key)
	}
	p.mu.Lock()
	counts = maps.Clone(p.counts)
	p.mu.Unlock()
	maps.DeleteFunc(counts, func(_ State, n int) bool { return n == 0 })
	return page, all.Total, counts
}

// sorted is a key with what it is ordered by.
type sorted struct {
	number int64
	text   string
	slot   int
	entry  *entry
}

func (s sorted) compare(other sorted) int {
	return cmp.Or(cmp.Compare(s.number, other.number), strings.Compare(s.text, other.text), cmp.Compare(s.slot, other.slot))
}

// window returns the entries of a page, in its order.
func (p *Pool) window(all []*entry, q *Query) []*entry {
	from, to := min(q.Offset, len(all)), min(q.Offset+q.Limit, len(all))
	by := sorts[q.Sort]
	switch {
	case q.Sort == byMeasure && q.Measure != nil:
		by = func(e *entry) (int64, string) { return q.Measure(e.id), "" }
	case q.Sort == byStatus:
		table := p.statusTable()
		by = func(e *entry) (int64, string) { return int64(table.of(p, e)), "" }
	case q.Sort == byQuota:
		by = p.byQuota(all)
	}
	if q.Order == "desc" { // exactly the other way round, ties included
		from, to = len(all)-to, len(all)-from
	}
	var out []*entry
	if by == nil {
		out = slices.Clone(all[from:to])
	} else {
		items := make([]sorted, len(all))
		for i, e := range all {
			items[i].entry, items[i].slot = e, e.slot
			items[i].number, items[i].text = by(e)
		}
		sortWindow(items, from, to)
		for _, s := range items[from:to] {
			out = append(out, s.entry)
		}
	}
	if q.Order == "desc" {
		slices.Reverse(out)
	}
	return out
}

// byQuota orders by [Pool.fullest]. It has p.mu for some keys at a time.
func (p *Pool) byQuota(all []*entry) func(*entry) (int64, string) {
	shares := make(map[*entry]int64, len(all))
	now := p.now()
	for some := range slices.Chunk(all, explained) {
		p.mu.Lock()
		for _, e := range some {
			if _, share := p.fullest(e, now); share > 0 {
				shares[e] = int64(share * 1e12)
			}
		}
		p.mu.Unlock()
	}
	return func(e *entry) (int64, string) { return shares[e], "" }
}

// sortWindow puts what belongs between two places there, in order. What is before
// and behind stays in no order.
func sortWindow(items []sorted, from, to int) {
	lo, hi := 0, len(items)
	for _, k := range [...]int{from, to} { // first what is before from goes, then what is behind to
		a, b := lo, hi
		for b-a > 64 && a < k && k < b {
			m := partition(items[a:b]) + a
			if k <= m {
				b = m
			} else {
				a = m
			}
		}
		if b-a <= 64 {
			slices.SortFunc(items[a:b], sorted.compare)
		}
		if k == from {
			lo = min(k, len(items))
		}
	}
	slices.SortFunc(items[from:to], sorted.compare)
}

// partition splits items, of which there are three at least, in two that are not
// empty, none in the first greater than any in the second, and returns where the
// second begins (Hoare, with the median of three).
func partition(items []sorted) int {
	n := len(items)
	a, b, c := items[0], items[n/2], items[n-1]
	if a.compare(b) > 0 {
		a, b = b, a
	}
	if b.compare(c) > 0 {
		b = c
		if a.compare(b) > 0 {
			b = a
		}
	}
	i, j := -1, n
	for {
		for i++; items[i].compare(b) < 0; i++ {
		}
		for j--; items[j].compare(b) > 0; j-- {
		}
		if i >= j {
			return max(i, 1)
		}
		items[i], items[j] = items[j], items[i]
	}
}

// sorts are what keys are ordered by: a number, then a text, then their slot.
var sorts = map[string]func(e *entry) (int64, string){
	"id":      func(e *entry) (int64, string) { return 0, e.id },
	"name":    func(e *entry) (int64, string) { return 0, e.spec.Load().name },
	"batch":   func(e *entry) (int64, string) { return 0, e.spec.Load().batch },
	"project": func(e *entry) (int64, string) { return 0, e.named() },
	"state": func(e *entry) (int64, string) {
		return int64(slices.Index(States, e.live.Load().state)), ""
	},
	"created":      func(e *entry) (int64, string) { return e.spec.Load().created, "" },
	"state_since":  func(e *entry) (int64, string) { return nanos(e.live.Load().since), "" },
	"in_flight":    func(e *entry) (int64, string) { return int64(e.inFlight.Load()), "" },
	"last_used":    func(e *entry) (int64, string) { return int64(e.lastUsed.Load()), "" },
	"validated_at": func(e *entry) (int64, string) { return e.probedAt.Load(), "" },
	"weight":       func(e *entry) (int64, string) { return int64(e.spec.Load().weight), "" },
	"reason":       func(e *entry) (int64, string) { return 0, e.live.Load().reason },
}

// named is the project of a key that has not one of its own.
func (e *entry) named() string {
	s, l := e.spec.Load(), e.live.Load()
	if s.project != "" || l.consumer != "" || l.kin != "" {
		return projectID(e.id, s, l)
	}
	return ""
}
