// SPDX-License-Identifier: Apache-2.0

package gateway

import "sync"

// scratchSize is how much of an answer has room in memory that is used again: whole
// answers without media, and what leaves a stream in one write.
const scratchSize = 4 << 10

var scratches = sync.Pool{New: func() any { return &scratch{b: make([]byte, scratchSize), pooled: true} }}

// scratch is memory for converted output, on its way to the client. What is appended
// to it beyond its size is elsewhere, and not used again.
type scratch struct {
	b      []byte
	pooled bool
}

// takeScratch returns a scratch of size bytes at least.
func takeScratch(size int) *scratch {
	if size > scratchSize {
		return &scratch{b: make([]byte, size)}
	}
	return scratches.Get().(*scratch)
}

// giveBack ends its use. Nothing may refer to its bytes any more.
func (s *scratch) giveBack() {
	if s.pooled {
		scratches.Put(s)
	}
}
