// SPDX-License-Identifier: Apache-2.0

package users

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Status is what an operator is told of a key.
type Status string

// The statuses of keys; the first that fits, from Deleted to Active.
const (
	Active   Status = "active"
	Limited  Status = "limited" // enabled, but a limit refuses requests now
	Expired  Status = "expired"
	Disabled Status = "disabled"
	Deleted  Status = "deleted" // unknown to clients; can be restored for [DeletedFor]
)

// Statuses are all there are.
var Statuses = []Status{Active, Limited, Expired, Disabled, Deleted}

func statusOf(k *Key, limited, now time.Time) Status {
	switch {
	case !k.Deleted.IsZero():
		return Deleted
	case !k.Enabled:
		return Disabled
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return Expired
	case limited.After(now):
		return Limited
	default:
		return Active
	}
}

// Sort is an order of keys.
type Sort string

// The orders of keys. Keys that were never used, or never expire, come last.
const (
	ByCreated Sort = "created"
	ByName    Sort = "name" // without regard to case
	ByUsed    Sort = "last_used"
	ByExpiry  Sort = "expires_at"
	ByValue   Sort = "value" // of [Query.Values]
)

// Query says which keys, in what order. The zero value is no key of all.
type Query struct {
	Limit, Offset int
	Search        string        // text in the name, the id, a label or a pool tag, without regard to case; or a hint or a whole key
	Status        Status        // "" for all but those deleted
	Label         string        // a label or a pool tag, without regard to case
	Expiring      time.Duration // those that expire within it, and have not; 0 for all
	Unused        time.Duration // those not used for so long, nor made since; 0 for all
	Sort          Sort          // "" for ByCreated
	Ascending     bool          // otherwise the newest, or Z, comes first
	// Values are by id, for ByValue: what somebody else counts. Keys without one, or
	// with 0, come last.
	Values map[string]int64
}

// Page is a part of the keys that a [Query] finds.
type Page struct {
	Keys  []View
	Total int // that it finds in all
	// Counts are the keys by status that it would find for any status. "all" is
	// without those deleted.
	Counts map[string]int
}

// List returns a page of the keys. It looks through the index, which costs some
// nanoseconds a key, and reads the page from the store. The first call after a start
// may wait for the index to be read.
func (r *Registry) List(ctx context.Context, q Query) (Page, error) {
	ids, total, counts, err := r.find(ctx, q)
	if err != nil {
		return Page{}, err
	}
	page := Page{Total: total, Counts: counts, Keys: make([]View, 0, len(ids))}
	for _, id := range ids {
		v, err := r.view(id)
		if errors.Is(err, ErrNotFound) {
			continue // deleted for good meanwhile
		}
		if err != nil {
			return Page{}, err
		}
		page.Keys = append(page.Keys, v)
	}
	return page, nil
}

// IDs returns the ids of the keys that List would return.
func (r *Registry) IDs(ctx context.Context, q Query) ([]string, error) {
	ids, _, _, err := r.find(ctx, q)
	return ids, err
}

// Count returns the number of keys, without those deleted.
func (r *Registry) Count() (int, error) {
	_, total, _, err := r.find(context.Background(), Query{})
	return total, err
}

func (r *Registry) find(ctx context.Context, q Query) (ids []string, total int, counts map[string]int, err error) {
	if err := r.loadIndex(ctx); err != nil {
		return nil, 0, nil, err
	}
	q.Limit, q.Offset = max(q.Limit, 0), max(q.Offset, 0)
	if q.Sort == ByName {
		r.index.mu.Lock()
		r.index.sortNames()
		r.index.mu.Unlock()
	}
	r.index.mu.RLock()
	defer r.index.mu.RUnlock()
	f := r.index.filter(&q, r.now())
	for _, i := range r.index.page(&q, &f) {
		ids = append(ids, strings.Clone(r.index.rows[i].id()))
	}
	return ids, f.total, f.words(), nil
}

// found is what a filter found.
type found struct {
	bits   []uint64 // by place
	total  int
	counts [5]int // by the place in Statuses
}

func (f *found) has(i int32) bool { return f.bits[i>>6]&(1<<(i&63)) != 0 }

func (f *found) words() map[string]int {
	counts := map[string]int{"all": 0}
	for i, status := range Statuses {
		counts[string(status)] = f.counts[i]
		if status != Deleted {
			counts["all"] += f.counts[i]
		}
	}
	return counts
}

// Places of statuses in Statuses.
const (
	activePlace = iota
	limitedPlace
	expiredPlace
	disabledPlace
	deletedPlace
)

var statusPlace = map[Status]int{Active: activePlace, Limited: limitedPlace, Expired: expiredPlace, Disabled: disabledPlace, Deleted: deletedPlace}

// filter looks through all rows. The caller holds mu.
func (x *index) filter(q *Query, at time.Time) found {
	f := found{bits: make([]uint64, (len(x.rows)+63)/64)}
	now := second32(at.UnixNano())
	search := needle(q.Search)
	var hits []uint64
	if search != "" {
		hits = make([]uint64, len(f.bits))
		x.search(search, hits)
	}
	label := ""
	if q.Label != "" {
		label = "\n" + strings.ToLower(q.Label) + "\n"
	}
	soon := second32(at.Add(q.Expiring).UnixNano())
	idle := at.Add(-q.Unused)
	unused, since := second32(idle.UnixNano()), idle.UnixNano()
	wanted, all := statusPlace[q.Status], q.Status == ""
	for i := range x.rows {
		r := &x.rows[i]
		switch { // cheap things first
		case r.flags&rowDead != 0,
			q.Expiring > 0 && (r.expires == 0 || r.expires <= now || r.expires > soon),
			q.Unused > 0 && (r.used > unused || r.created > since),
			search != "" && hits[i>>6]&(1<<(i&63)) == 0 && (r.flags&rowLoose == 0 || !strings.Contains(r.text, search)),
			label != "" && !strings.Contains(r.text[int(r.name)+1+idSize:], label):
			continue
		}
		status := r.status(now)
		f.counts[status]++
		if status == wanted || all && status != deletedPlace {
			f.bits[i>>6] |= 1 << (i & 63)
			f.total++
		}
	}
	return f
}

// needle is what to look for in rows: of a key, or its hint, the id is enough.
func needle(search string) string {
	search = strings.ToLower(strings.TrimSpace(search))
	if rest, ok := strings.CutPrefix(search, credentialPrefix); ok && rest != "" {
		id, _, _ := strings.Cut(rest, "-")
		id, _, _ = strings.Cut(id, "…")
		return "\n" + id
	}
	return search
}

// page returns the places of a page. The caller holds mu, and the names are sorted
// if they are asked for.
func (x *index) page(q *Query, f *found) []int32 {
	n := min(q.Limit, f.total-min(q.Offset, f.total))
	if n == 0 {
		return nil
	}
	switch q.Sort {
	case ByUsed:
		return x.sorted(q, f, n, func(r *row) uint32 { return r.used })
	case ByExpiry:
		return x.sorted(q, f, n, func(r *row) uint32 { return r.expires })
	case ByValue:
		ranks := x.ranks(q.Values)
		return x.sorted(q, f, n, func(r *row) uint32 { return ranks[r.id()] })
	case ByName:
		return walk(q, f, n, len(x.named), func(i int) int32 { return x.named[i] })
	default:
		return walk(q, f, n, len(x.rows), func(i int) int32 { return int32(i) }) //nolint:gosec // fewer than 2^31 keys
	}
}

// walk takes a page of an order that is there: all places by rank.
func walk(q *Query, f *found, n, all int, place func(rank int) int32) []int32 {
	page := make([]int32, 0, n)
	skip := q.Offset
	for rank := 0; len(page) < n && rank < all; rank++ {
		i := place(all - 1 - rank)
		if q.Ascending {
			i = place(rank)
		}
		switch {
		case !f.has(i):
		case skip > 0:
			skip--
		default:
			page = append(page, i)
		}
	}
	return page
}

// ranks are the places of values among all that there are, from 1; 0 stays 0.
func (x *index) ranks(values map[string]int64) map[string]uint32 {
	all := slices.Sorted(maps.Values(values))
	ranks := make(map[string]uint32, len(values))
	for id, v := range values {
		if v != 0 {
			at, _ := slices.BinarySearch(all, v)
			ranks[id] = uint32(at) + 1 //nolint:gosec // fewer than 2^31 keys
		}
	}
	return ranks
}

// placeBits are those of a place in a rank.
const placeBits = 31

// sorted takes a page of an order that is not there, without sorting the rest. 0
// comes last either way, and of equals the newest first. A rank is what rows are
// sorted by and their place, in one number.
func (x *index) sorted(q *Query, f *found, n int, by func(*row) uint32) []int32 {
	ranks := make([]uint64, 0, f.total)
	for i := range x.rows {
		if !f.has(int32(i)) { //nolint:gosec // fewer than 2^31 keys
			continue
		}
		v := uint64(by(&x.rows[i]))
		switch {
		case v == 0:
			v = never32 + 1
		case !q.Ascending:
			v = never32 - v
		}
		ranks = append(ranks, v<<placeBits|uint64(math.MaxInt32-i)) //nolint:gosec // fewer than 2^31 keys
	}
	nth(ranks, q.Offset)
	nth(ranks[q.Offset:], n)
	part := ranks[q.Offset : q.Offset+n]
	slices.Sort(part)
	page := make([]int32, n)
	for i, rank := range part {
		page[i] = math.MaxInt32 - int32(rank&math.MaxInt32) //nolint:gosec // 31 bits
	}
	return page
}

// nth moves the n least to the front, by quickselect with the middle of three.
func nth(all []uint64, n int) {
	for n > 0 && n < len(all) {
		last := len(all) - 1
		a, b, c := all[0], all[last/2], all[last]
		pivot := max(min(a, b), min(max(a, b), c))
		i, j := 0, last
		for i <= j {
			for all[i] < pivot {
				i++
			}
			for all[j] > pivot {
				j--
			}
			if i <= j {
				all[i], all[j] = all[j], all[i]
				i++
				j--
			}
		}
		switch {
		case n <= j:
			all = all[:j+1]
		case n > i:
			all, n = all[i:], n-i
		default:
			return
		}
	}
}
