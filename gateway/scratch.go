// SPDX-License-Identifier: Apache-2.0

package gateway

import "sync"

// scratchSize is how much of an answer has room in memory that is used again: whole
// answers without media, and what leaves a stream in one write.
const scratchSize = 4 << 10

// pooledScratch is the most that is used again: thousands of streams may be open.
const pooledScratch = 16 << 10

var scratches = sync.Pool{New: func() any { return &scratch{b: make([]byte, scratchSize), pooled: true} }}

// scratch is memory for converted output, on its way to the client.
type scratch struct {
	b      []byte
	pooled bool
}

// takeScratch returns a scratch of size bytes at least.
func takeScratch(size int) *scratch {
	if size > pooledScratch {
		return &scratch{b: make([]byte, size)}
	}
	s := scratches.Get().(*scratch)
	if len(s.b) < size {
		s.b = make([]byte, pooledScratch)
	}
	return s
}

// giveBack ends its use. What was appended to it may have grown to memory elsewhere,
// which is used again in its place unless it is large. Nothing may refer to its bytes
// any more.
func (s *scratch) giveBack(grown []byte) {
	if !s.pooled {
		return
	}
	if cap(grown) > len(s.b) && cap(grown) <= pooledScratch {
		s.b = grown[:cap(grown)]
	}
	scratches.Put(s)
}
