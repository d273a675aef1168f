// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"math/bits"
	"sync"
)

// Memory for large request bodies is lent, and used again by later requests: clearing a
// mebibyte for each image, and having the collector come for it every thirty requests,
// cost half of what the whole request does. A body is given back where it is certain that
// nobody reads it any more: by the exchange itself, at its very end, and not at all where
// anything may have outlived that; see [exchange.returnBody].
const (
	lentFrom = 64 << 10
	lentMost = 4 << 20
)

// lent is memory for one body.
type lent struct{ b []byte }

// lenders are those of all sizes, four to an octave, so that a body takes a quarter more
// than its size at most.
var lenders [4 * (22 - 16)]sync.Pool

// sized is the size of memory for so many bytes, from lentFrom to lentMost, and the place
// of its lender.
func sized(bytes int64) (size int64, place int) {
	octave := bits.Len64(uint64(bytes-1)) - 1 //nolint:gosec // positive
	step := int64(1) << (octave - 2)
	steps := (bytes + step - 1) / step // 5 to 8 for what is more than a power of two
	return steps * step, (octave-16)*4 + int(steps) - 5
}

func lendable(bytes int64) bool { return lentFrom < bytes && bytes <= lentMost }

// lend returns memory for so many bytes, or nil for a size that is not lent. What it
// holds is another request's.
func lend(bytes int64) *lent {
	if !lendable(bytes) {
		return nil
	}
	size, place := sized(bytes)
	if l, ok := lenders[place].Get().(*lent); ok {
		return l
	}
	return &lent{make([]byte, size)}
}

// spoil is set where memory that was given back is to be overwritten, so that who still
// reads it is found out: in tests, and under the race detector.
var spoil = raceDetector

func (l *lent) giveBack() {
	if spoil {
		for i := range l.b {
			l.b[i] = '!'
		}
	}
	_, place := sized(int64(len(l.b)))
	lenders[place].Put(l)
}

// returnBody gives the memory of the body back, as the last that an exchange does.
// Nobody may have it any more: no transport that reads it when it has returned, no second
// attempt beside the first, no part of a batch, nothing that a panic left halfway, and no
// operation but those whose converters keep nothing for later.
func (x *exchange) returnBody() {
	l := x.lent
	if x.lent = nil; l == nil || !x.over || x.retained || x.call == nil || !x.call.Generate {
		return
	}
	x.body, x.conv, x.call = nil, nil, nil
	l.giveBack()
}
