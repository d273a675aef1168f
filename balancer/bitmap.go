// SPDX-License-Identifier: Apache-2.0

package balancer

import "sync/atomic"

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

func word(words []atomic.Uint64, i int) uint64 {
	if i < len(words) {
		return words[i].Load()
	}
	return 0
}
