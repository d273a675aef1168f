// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"encoding/binary"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// dropBatch is how many blocks are dropped in one batch.
const dropBatch = 64

func bigEndian(b []byte) uint64 { return binary.BigEndian.Uint64(b) }

// SetOptions changes what is kept, from the next flush on.
func (l *Log) SetOptions(o LogOptions) {
	o = o.complete()
	l.options.Store(&o)
}

// Kept says what there is in a [Log].
type Kept struct {
	From      time.Time // when the oldest row ended; zero for no rows
	Rows      int64
	Bytes     int64         // of the encoded rows, their summaries and bodies; the store's own overhead is not in it
	Retention time.Duration // what is older is dropped
	MaxSize   int64         // what is more is dropped, the oldest first
	Lost      int64         // rows that this process had no room for, because the store failed for long
}

// Kept says what there is.
func (l *Log) Kept() Kept {
	v, o := l.view.Load(), l.options.Load()
	k := Kept{Rows: v.rows + int64(len(v.tail)), Bytes: v.size + l.youngSize(), Retention: o.Retention, MaxSize: o.MaxSize, Lost: l.lost.Load()}
	switch {
	case len(v.blocks) > 0:
		k.From = time.UnixMilli(v.blocks[0].from).UTC()
	case len(v.tail) > 0:
		k.From = v.tail[0].At.UTC()
	}
	return k
}

// youngSize are the bytes of what is in the store and in no block yet.
func (l *Log) youngSize() (size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, sizes := range []map[uint64]int64{l.young, l.sizes} {
		for _, n := range sizes {
			size += n
		}
	}
	return size
}

// drop removes the oldest blocks while they are too old or too much, up to the row
// keep.
func (l *Log) drop(keep uint64) error {
	o := l.options.Load()
	for {
		v := l.view.Load()
		size, n := v.size+l.youngSize(), 0
		oldest := l.now().Add(-o.Retention).UnixMilli()
		for n < min(len(v.blocks), dropBatch) {
			s := v.blocks[n]
			if s.until >= oldest && size <= o.MaxSize || s.first+uint64(s.rows) > keep {
				break
			}
			size -= s.size
			n++
		}
		if n == 0 {
			return nil
		}
		if err := l.dropBlocks(v.blocks[:n]); err != nil {
			return err
		}
	}
}

// dropBlocks removes the first blocks.
func (l *Log) dropBlocks(blocks []*summary) error {
	last := blocks[len(blocks)-1]
	next := last.first + uint64(last.rows)
	ops := []store.Op{{Key: logMeta, Value: binary.BigEndian.AppendUint64(nil, next)}}
	for _, s := range blocks {
		ops = append(ops, store.Op{Key: rowKey(blockPrefix, s.first)}, store.Op{Key: rowKey(summaryPrefix, s.first)}, store.Op{Key: rowKey(filterPrefix, s.first)})
		if s.bodies == 0 {
			continue
		}
		// Before the block, so that none is left behind. There are blockRows at most.
		bodies := make([]store.Op, s.rows)
		for i := range bodies {
			bodies[i].Key = rowKey(bodyPrefix, s.first+uint64(i))
		}
		if err := l.store.Write(store.Batch{Ops: bodies}); err != nil {
			return err
		}
	}
	if err := l.store.Write(store.Batch{Ops: ops}); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	v := *l.view.Load()
	for _, s := range blocks {
		v.size -= s.size
		v.rows -= int64(s.rows)
	}
	v.blocks = v.blocks[len(blocks):]
	l.view.Store(&v)
	return nil
}
