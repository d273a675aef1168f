// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"encoding/binary"
	"math/bits"
	"time"
)

// A histogram has a bucket for each of the first 16 ms, and then 16 for each
// doubling, up to 70 minutes: what it says is at most 6 % off. Histograms of two
// spans add up to that of both. Source: Gil Tene's HdrHistogram.
const (
	subBuckets  = 16
	histBuckets = subBuckets * 19
)

type histogram [histBuckets]uint32

func bucketOf(ms int64) int {
	if ms < subBuckets {
		return int(max(ms, 0))
	}
	exp := bits.Len64(uint64(ms)) - 5 // ms>>exp is from 16 to 31
	return min(exp*subBuckets+int(ms>>exp), histBuckets-1)
}

// bucketFrom is the least of a bucket in milliseconds.
func bucketFrom(bucket int) int64 {
	if bucket < 2*subBuckets {
		return int64(bucket)
	}
	exp := bucket/subBuckets - 1
	return int64(bucket-exp*subBuckets) << exp
}

func (h *histogram) add(d time.Duration) { h[bucketOf(millis(d))]++ }

func (h *histogram) merge(o *histogram) {
	for i, n := range o {
		h[i] += n
	}
}

func (h *histogram) subtract(o *histogram) {
	for i, n := range o {
		h[i] -= n
	}
}

// quantile returns what a share of the values is not above, to the middle of its
// bucket. known is false where there are no values.
func (h *histogram) quantile(share float64) (d time.Duration, known bool) {
	total := uint64(0)
	for _, n := range h {
		total += uint64(n)
	}
	if total == 0 {
		return 0, false
	}
	rank := max(uint64(share*float64(total)+0.999999), 1)
	for i, n := range h {
		if rank <= uint64(n) {
			ms := (bucketFrom(i) + bucketFrom(i+1) - 1) / 2
			return time.Duration(max(ms, bucketFrom(i))) * time.Millisecond, true
		}
		rank -= uint64(n)
	}
	return 0, false
}

// append writes the buckets that have something.
func (h *histogram) append(out []byte) []byte {
	some := 0
	for _, n := range h {
		if n > 0 {
			some++
		}
	}
	out = binary.AppendUvarint(out, uint64(some))
	before := 0
	for i, n := range h {
		if n > 0 {
			out = binary.AppendUvarint(out, uint64(i-before))
			out = binary.AppendUvarint(out, uint64(n))
			before = i
		}
	}
	return out
}

// mergeFrom adds what append wrote.
func (h *histogram) mergeFrom(in *reader) {
	at := 0
	for range in.count() {
		at += int(in.uvarint())
		n := in.uvarint()
		if at < 0 || at >= histBuckets {
			in.damaged = true
			return
		}
		h[at] += uint32(n)
	}
}
