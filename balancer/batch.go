// SPDX-License-Identifier: Apache-2.0

package balancer

import "github.com/gemini-balance/caddy-gemini-balance/store"

// A batch is full with so many ops, or with one that brings it to so many bytes.
// With the last one it stays below what stores take: no record has half a megabyte.
const (
	batchOps   = 1000
	batchBytes = store.MaxBatchBytes / 2
)

// batch gathers what goes into one write.
type batch struct {
	ops  []store.Op
	size int // bytes
}

func (b *batch) add(ops ...store.Op) {
	for _, op := range ops {
		b.ops = append(b.ops, op)
		b.size += op.Size()
	}
}

func (b *batch) full() bool { return len(b.ops) >= batchOps || b.size >= batchBytes }

// writeEach writes the op of each item, in as many batches as it takes, and also in
// each of them. It stops at the first that fails and returns the items that are not
// written. Under p.writeMu.
func writeEach[T any](p *Pool, items []T, op func(T) store.Op, also ...store.Op) (left []T, err error) {
	for len(items) > 0 {
		var b batch
		b.add(also...)
		n := 0
		for ; n < len(items) && !b.full(); n++ {
			b.add(op(items[n]))
		}
		if err := p.store.Write(store.Batch{Ops: b.ops}); err != nil {
			return items, err
		}
		items = items[n:]
	}
	return nil, nil
}
