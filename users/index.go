// SPDX-License-Identifier: Apache-2.0

package users

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// index is what lists look through: a row for each key, in memory, so that a search
// reads no store. It is read in the background after the start, or when first
// needed, and follows every change from then on. A row and its text take about 120
// bytes for a name of 20; see bench/README.md for the figure at a million keys.
// The zero value is an index that was not read. Safe for concurrent use.
type index struct {
	reading sync.Mutex // held while the store is read

	mu     sync.RWMutex
	ready  bool
	early  map[string]bool // changed while the store is read: what it says of them is old
	seen   []sighting      // meanwhile
	blocks []block         // with the texts of rows, but for those that are loose
	rows   []row           // in the order of creation, as far as they were read; those removed are dead
	dead   int
	places map[keyID]int32 // of ids in rows; without a pointer, so that the collector passes it by
	named  []int32         // places sorted by name, but for …
	moved  map[int32]bool  // … those whose name is new
}

// keyID is the id of a user key without a pointer.
type keyID [idSize]byte

func idOf(id string) (k keyID) {
	copy(k[:], id)
	return k
}

// row is a key as lists find it. Times are in Unix seconds, 0 for never.
type row struct {
	text    string // name, id, labels and pool tags, in lower case, each followed by a newline
	name    uint16 // size of the name
	flags   rowFlags
	created int64 // nanoseconds
	expires uint32
	used    uint32
	limited uint32 // until then
}

type rowFlags uint8

const (
	rowEnabled rowFlags = 1 << iota
	rowDeleted
	rowDead  // removed from the index
	rowLoose // its text is in no block
)

// never32 stands for a second that does not come.
const never32 = math.MaxUint32

// sighting is what the index is told of a key's counters.
type sighting struct {
	id            string
	used, limited int64 // Unix nanoseconds; limited forever for what time does not end
}

func second32(ns int64) uint32 {
	switch s := seconds(ns); {
	case ns <= 0:
		return 0
	case s >= never32:
		return never32
	default:
		return uint32(s) //nolint:gosec // in range
	}
}

// newRow makes the row of a key.
func newRow(k *indexed) row {
	var b strings.Builder
	name := strings.ToLower(k.Name)
	b.WriteString(name)
	b.WriteByte('\n')
	b.WriteString(k.ID)
	b.WriteByte('\n')
	for _, list := range [][]string{k.Labels, k.Tags} {
		for _, word := range list {
			b.WriteString(strings.ToLower(word))
			b.WriteByte('\n')
		}
	}
	r := row{text: b.String(), name: uint16(min(len(name), math.MaxUint16)), created: k.Created.UnixNano()} //nolint:gosec // in range
	if !k.ExpiresAt.IsZero() {
		r.expires = second32(k.ExpiresAt.UnixNano())
	}
	if k.Enabled {
		r.flags |= rowEnabled
	}
	if !k.Deleted.IsZero() {
		r.flags |= rowDeleted
	}
	return r
}

// id is the key's id in the row's text.
func (r *row) id() string { return r.text[r.name+1 : int(r.name)+1+idSize] }

// status is the place of the key's status in Statuses, at a moment.
func (r *row) status(now uint32) int {
	switch {
	case r.flags&rowDeleted != 0:
		return deletedPlace
	case r.flags&rowEnabled == 0:
		return disabledPlace
	case r.expires != 0 && r.expires <= now:
		return expiredPlace
	case r.limited > now:
		return limitedPlace
	default:
		return activePlace
	}
}

// indexed is what of a record the index reads.
type indexed struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Tags      []string  `json:"tags"`
	Labels    []string  `json:"labels"`
	Created   time.Time `json:"created"`
	ExpiresAt time.Time `json:"expires_at"`
	Deleted   time.Time `json:"deleted"`
	Enabled   bool      `json:"enabled"`
}

// load reads the index if that was not done. Several callers wait for one. Of what the
// store says of counters, live knows newer.
func (x *index) load(ctx context.Context, s store.Store, live func() []sighting) error {
	if x.isReady() {
		return nil
	}
	x.reading.Lock()
	defer x.reading.Unlock()
	if x.isReady() {
		return nil
	}
	x.mu.Lock()
	x.early = map[string]bool{}
	x.mu.Unlock()
	before := live() // what is flushed from here on is told
	rows, err := readRows(ctx, s)
	if err != nil {
		x.mu.Lock()
		x.early, x.seen, x.rows, x.places = nil, nil, nil, nil
		x.mu.Unlock()
		return fmt.Errorf("reading the index of user keys: %w", err)
	}
	blocks := pack(rows)
	places := make(map[keyID]int32, len(rows))
	named := make([]int32, len(rows))
	for i := range rows {
		places[idOf(rows[i].id())], named[i] = int32(i), int32(i) //nolint:gosec // fewer than 2^31 keys
	}
	slices.SortFunc(named, func(a, b int32) int { return byName(&rows[a], &rows[b]) })
	x.mu.Lock()
	defer x.mu.Unlock()
	// What changed meanwhile was put into rows of its own; it replaces what was read.
	late, early := x.rows, x.early
	x.rows, x.blocks, x.places, x.named, x.moved, x.dead = rows, blocks, places, named, map[int32]bool{}, 0
	x.ready, x.early = true, nil
	for id := range early {
		x.drop(id)
	}
	for i := range late {
		if late[i].flags&rowDead == 0 {
			x.insert(late[i])
		}
	}
	x.note(append(before, x.seen...))
	x.seen = nil
	return nil
}

func (x *index) isReady() bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.ready
}

// readRows reads all rows, the oldest first.
func readRows(ctx context.Context, s store.Store) (rows []row, err error) {
	var damaged error
	decode := func(_ string, value []byte) (row, error) {
		var k indexed
		if err := json.Unmarshal(value, &k); err != nil || len(k.ID) != idSize {
			return row{}, cmp.Or(err, ErrNotFound)
		}
		return newRow(&k), nil
	}
	// On half of the processors: requests are served meanwhile.
	err = store.ScanDecoded(s, keyPrefix, (runtime.GOMAXPROCS(0)+1)/2, decode, func(d store.Decoded[row]) bool {
		if d.Err != nil {
			damaged = fmt.Errorf("record of user key %s is damaged: %w", d.Key, d.Err)
			return false
		}
		rows = append(rows, d.Value)
		return len(rows)%1000 != 0 || ctx.Err() == nil
	})
	if err := cmp.Or(err, damaged, ctx.Err()); err != nil {
		return nil, err
	}
	i := 0 // both are in the order of ids
	err = s.Scan(sumPrefix, "", func(key string, value []byte) bool {
		id := key[len(sumPrefix):]
		for i < len(rows) && rows[i].id() < id {
			i++
		}
		if i < len(rows) && rows[i].id() == id {
			used, limited := summary(string(value))
			rows[i].used = uint32(min(max(used, 0), never32))       //nolint:gosec // in range
			rows[i].limited = uint32(min(max(limited, 0), never32)) //nolint:gosec // in range
		}
		return ctx.Err() == nil
	})
	if err := cmp.Or(err, ctx.Err()); err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(a.created, b.created), strings.Compare(a.id(), b.id())) })
	return rows, nil
}

// byName orders rows by name, and those of one name by id.
func byName(a, b *row) int { return strings.Compare(a.text, b.text) }

// put takes a key that was made or changed.
func (x *index) put(k *Key, limited int64) {
	r := newRow(&indexed{
		ID: k.ID, Name: k.Name, Tags: k.Tags, Labels: k.Labels,
		Created: k.Created, ExpiresAt: k.ExpiresAt, Deleted: k.Deleted, Enabled: k.Enabled,
	})
	r.limited = second32(limited)
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.ready:
	case x.early == nil: // nobody reads: it will be read
		return
	default:
		x.early[k.ID] = true
	}
	if i, known := x.places[idOf(k.ID)]; known {
		old := &x.rows[i]
		r.used = old.used
		if old.text == r.text {
			r.text, r.flags = old.text, r.flags|old.flags&rowLoose
		} else {
			r.flags |= rowLoose
			if x.ready {
				x.moved[i] = true
			}
		}
		*old = r
		return
	}
	x.insert(r)
}

// insert adds a row. The caller holds mu.
func (x *index) insert(r row) {
	if x.places == nil {
		x.places = map[keyID]int32{}
	}
	i := int32(len(x.rows)) //nolint:gosec // fewer than 2^31 keys
	r.flags |= rowLoose
	x.rows = append(x.rows, r)
	x.places[idOf(r.id())] = i
	if x.ready {
		x.moved[i] = true
	}
}

// remove forgets a key.
func (x *index) remove(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.early != nil {
		x.early[id] = true
	}
	x.drop(id)
}

// drop forgets a key, and from time to time the room of those that were. The caller
// holds mu.
func (x *index) drop(id string) {
	i, known := x.places[idOf(id)]
	if !known {
		return
	}
	delete(x.places, idOf(id))
	x.rows[i] = row{flags: rowDead}
	if x.dead++; !x.ready || x.dead < 1000 || x.dead < len(x.rows)/4 {
		return
	}
	x.sortNames()
	moves := make([]int32, len(x.rows)) // from old to new
	kept := x.rows[:0]
	for i := range x.rows {
		if x.rows[i].flags&rowDead == 0 {
			moves[i] = int32(len(kept)) //nolint:gosec // fewer than 2^31 keys
			kept = append(kept, x.rows[i])
		}
	}
	clear(x.rows[len(kept):])
	x.rows, x.dead = kept, 0
	x.blocks = pack(kept)
	clear(x.places)
	for i := range kept {
		x.places[idOf(kept[i].id())] = int32(i) //nolint:gosec // fewer than 2^31 keys
	}
	for n, i := range x.named {
		x.named[n] = moves[i]
	}
}

// saw takes what a flush knows.
func (x *index) saw(seen []sighting) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.ready:
		x.note(seen)
	case x.early != nil:
		x.seen = append(x.seen, seen...)
	}
}

// note takes over when keys were used. The caller holds mu.
func (x *index) note(seen []sighting) {
	for _, s := range seen {
		if i, known := x.places[idOf(s.id)]; known {
			x.rows[i].used, x.rows[i].limited = second32(s.used), second32(s.limited)
		}
	}
}

// sortNames puts the rows that moved where they belong among the sorted. It costs one
// pass over all, and few comparisons. The caller holds mu.
func (x *index) sortNames() {
	if len(x.moved) == 0 && x.dead == 0 {
		return
	}
	fresh := make([]int32, 0, len(x.moved))
	for i := range x.moved {
		if x.rows[i].flags&rowDead == 0 {
			fresh = append(fresh, i)
		}
	}
	compare := func(a, b int32) int { return byName(&x.rows[a], &x.rows[b]) }
	slices.SortFunc(fresh, compare)
	old := slices.DeleteFunc(x.named, func(i int32) bool { return x.rows[i].flags&rowDead != 0 || x.moved[i] })
	merged := make([]int32, 0, len(old)+len(fresh))
	for _, i := range fresh {
		at, _ := slices.BinarySearchFunc(old, i, compare)
		merged = append(append(merged, old[:at]...), i)
		old = old[at:]
	}
	x.named = append(merged, old...)
	clear(x.moved)
}
