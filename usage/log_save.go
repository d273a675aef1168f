// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"maps"
	"slices"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// unblocked are the rows that are in no block, at a moment.
type unblocked struct {
	rows   []Record
	first  uint64   // sequence number of rows[0]
	saved  int      // of rows, in chunks
	chunks []uint64 // of those
}

// save writes one block, or what is left as a chunk. more says that there is more
// to save.
func (l *Log) save() (more bool, err error) {
	l.mu.Lock()
	u := unblocked{l.tail, l.first, l.saved, l.chunks}
	l.mu.Unlock()
	switch {
	case len(u.rows) == 0:
		return false, nil
	case len(u.rows) >= blockRows, l.overdue(u.rows[0].At), l.heavy():
		return true, l.saveBlock(u)
	case u.saved == len(u.rows):
		return false, nil
	}
	seq, n := u.first+uint64(u.saved), min(chunkRows, len(u.rows)-u.saved)
	data := encodeRows(u.rows[u.saved : u.saved+n])
	for len(data) > chunkBytes && n > 1 { // texts that somebody made to be different and long, or many tries
		n /= 2
		data = encodeRows(u.rows[u.saved : u.saved+n])
	}
	if err := l.store.Write(store.Batch{Ops: []store.Op{{Key: rowKey(chunkPrefix, seq), Value: data}}}); err != nil {
		return false, err
	}
	l.mu.Lock()
	l.saved, l.chunks = u.saved+n, append(l.chunks, seq)
	l.young[seq] = int64(len(data))
	l.mu.Unlock()
	return u.saved+n < len(u.rows), nil
}

// heavy tells whether what is in no block yet is a large part of all that may be kept,
// by its bodies: only whole blocks are dropped.
func (l *Log) heavy() bool { return l.youngSize() > l.options.Load().MaxSize/8 }

// saveBlock turns the first rows, and the chunks that have them, into a block: as many
// as a batch takes.
func (l *Log) saveBlock(u unblocked) error {
	n := u.fewer(blockRows)
	s, batch := l.asBlock(u, n)
	for batch.Check() != nil {
		fewer := u.fewer(n / 2)
		if fewer >= n { // those of one chunk, or one row: the store says what it thinks of it
			break
		}
		n = fewer
		s, batch = l.asBlock(u, n)
	}
	if err := l.store.Write(batch); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// A copy, so that what readers of the old tail hold can go when they do.
	l.tail = append(make([]Record, 0, max(blockRows, len(l.tail)-n)), l.tail[n:]...)
	l.first += uint64(n)
	l.saved = max(0, u.saved-n)
	l.chunks = slices.DeleteFunc(slices.Clone(u.chunks), func(seq uint64) bool { return seq < l.first })
	done := func(seq uint64, _ int64) bool { return seq < l.first }
	maps.DeleteFunc(l.sizes, done)
	maps.DeleteFunc(l.young, done)
	v := *l.view.Load()
	v.blocks = append(v.blocks, s)
	v.size += s.size
	v.rows += int64(s.rows)
	l.view.Store(&v)
	l.publish()
	return nil
}

// fewer is how many rows make a block of at most n, which splits no chunk: but those of
// the first one are not too many.
func (u *unblocked) fewer(n int) int {
	n = max(1, min(n, len(u.rows)))
	if n >= u.saved {
		return n
	}
	ends := u.saved
	for _, seq := range slices.Backward(u.chunks[1:]) {
		if ends <= n {
			break
		}
		ends = int(seq - u.first)
	}
	return ends
}

// asBlock is what a block of the first n rows takes.
func (l *Log) asBlock(u unblocked, n int) (*summary, store.Batch) {
	rows, next := u.rows[:n], u.first+uint64(n)
	l.mu.Lock()
	bodies := int64(0)
	for seq, size := range l.sizes {
		if seq < next {
			bodies += size
		}
	}
	l.mu.Unlock()
	data := encodeRows(rows)
	s := summarize(u.first, rows, int64(len(data)), bodies)
	ops := make([]store.Op, 0, len(u.chunks)+3)
	ops = append(ops,
		store.Op{Key: rowKey(blockPrefix, u.first), Value: data},
		store.Op{Key: rowKey(summaryPrefix, u.first), Value: s.encode()},
		store.Op{Key: rowKey(filterPrefix, u.first), Value: append([]byte{bloomProbes}, *s.bloom.Load()...)})
	for _, seq := range u.chunks {
		if seq < next {
			ops = append(ops, store.Op{Key: rowKey(chunkPrefix, seq)})
		}
	}
	return s, store.Batch{Ops: ops}
}
