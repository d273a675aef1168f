// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"math/bits"
	"sync/atomic"
)

// bitmap is a growing set of slots. Writers hold Pool.mu; readers hold nothing
// and may see a change a moment later than the writer's other changes.
type bitmap struct {
	words atomic.Pointer[[]atomic.Uint64]
}

// view returns the words; bits beyond them are 0.
func (b *bitmap) view() []atomic.Uint64 {
	if w := b.words.Load(); w != nil {
		return *w
	}
	return nil
}

// has reports slot's bit.
func (b *bitmap) has(slot int) bool { return word(b.view(), slot/64)>>(slot%64)&1 != 0 }

// set makes slot's bit v and reports whether that changed it.
func (b *bitmap) set(slot int, v bool) bool {
	words, i, bit := b.view(), slot/64, uint64(1)<<(slot%64)
	if i >= len(words) {
		if !v {
			return false
		}
		grown := make([]atomic.Uint64, max(i+1, len(words)*2))
		for j := range words {
			grown[j].Store(words[j].Load())
		}
		words = grown
		b.words.Store(&words)
	}
	if v {
		return words[i].Or(bit)&bit == 0
	}
	return words[i].And(^bit)&bit != 0
}

// slots is a growing table by slot, with the same rules as bitmap. It takes memory
// where something is in it only: one table per model, most of them for few keys.
type slots[T any] struct {
	table atomic.Pointer[[]atomic.Pointer[page[T]]]
}

type page[T any] [64]atomic.Pointer[T]

// get returns what is at a slot, nil for nothing.
func (s *slots[T]) get(slot int) *T {
	if t := s.table.Load(); t != nil && slot/64 < len(*t) {
		if p := (*t)[slot/64].Load(); p != nil {
			return p[slot%64].Load()
		}
	}
	return nil
}

// set puts v at a slot.
func (s *slots[T]) set(slot int, v *T) {
	var table []atomic.Pointer[page[T]]
	if t := s.table.Load(); t != nil {
		table = *t
	}
	i := slot / 64
	if i >= len(table) {
		if v == nil {
			return
		}
		grown := make([]atomic.Pointer[page[T]], max(i+1, 2*len(table)))
		for j := range table {
			grown[j].Store(table[j].Load())
		}
		table = grown
		s.table.Store(&table)
	}
	p := table[i].Load()
	if p == nil {
		if v == nil {
			return
		}
		p = new(page[T])
		table[i].Store(p)
	}
	p[slot%64].Store(v)
}

func word(words []atomic.Uint64, i int) uint64 {
	if i < len(words) {
		return words[i].Load()
	}
	return 0
}

// count returns how many slots are in it.
func (b *bitmap) count() int {
	n := 0
	words := b.view()
	for i := range words {
		n += bits.OnesCount64(words[i].Load())
	}
	return n
}
