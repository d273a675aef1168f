// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"encoding/binary"
	"errors"
)

var errDamaged = errors.New("is damaged")

// reader takes values out of bytes. After damage it gives zeros and says so.
type reader struct {
	rest    []byte
	damaged bool
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.rest, r.damaged = nil, true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) varint() int64 {
	n, size := binary.Varint(r.rest)
	if size <= 0 {
		r.rest, r.damaged = nil, true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// skip passes numbers, which are as long whether they have a sign or not.
func (r *reader) skip(n int) {
	for range n {
		r.uvarint()
	}
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.rest, r.damaged = nil, true
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

// count reads how many things of at least one byte follow.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.rest, r.damaged = nil, true
		return 0
	}
	return int(n)
}

func (r *reader) text() string { return string(r.take(r.uvarint())) }

// skipVarints passes numbers, n of them.
func (r *reader) skipVarints(n int) {
	for i, c := range r.rest {
		if n == 0 {
			r.rest = r.rest[i:]
			return
		}
		if c < 0x80 {
			n--
		}
	}
	r.rest, r.damaged = nil, r.damaged || n > 0
}

// rows are encoded records, of which columns are decoded when they are asked for.
// It is for one goroutine.
type rows struct {
	n       int
	many    bool // records that are wanted: whole columns are decoded for them
	columns [][]byte
	ints    [len(intColumns)][]int64
	known   [len(intColumns)]bool // ints that are of these rows
	texts   [len(textColumns)]texts
	tries   tries
	ids     []string // where they are not packed
	damaged bool
}

// decodeRows opens what encodeRows wrote.
func decodeRows(data []byte) (*rows, error) {
	b := newRows()
	return b, b.open(data)
}

func newRows() *rows { return &rows{columns: make([][]byte, columnTexts+len(textColumns))} }

// open makes b other rows. What it gave before is no longer good, but for records.
func (b *rows) open(data []byte) error {
	if len(data) == 0 || data[0] != blockFormat {
		return errDamaged
	}
	in := reader{rest: data[1:]}
	n := in.uvarint()
	*b = rows{columns: b.columns, ints: b.ints, n: int(n), tries: tries{at: b.tries.at, plain: b.tries.plain}}
	for i := range b.columns {
		b.columns[i] = in.take(in.uvarint())
	}
	if in.damaged || n > 1<<16 {
		return errDamaged
	}
	return nil
}

// int returns a column of numbers.
func (b *rows) int(column int) []int64 {
	if b.known[column] {
		return b.ints[column]
	}
	b.known[column] = true
	if cap(b.ints[column]) < b.n {
		b.ints[column] = make([]int64, b.n)
	}
	out := b.ints[column][:b.n]
	b.ints[column] = out
	in := reader{rest: b.columns[columnInts+column]}
	if len(in.rest) == 0 {
		clear(out)
		return out
	}
	before := int64(0)
	for i := range out {
		if len(in.rest) > 0 && in.rest[0] < 0x80 { // one byte, mostly
			out[i] = before + (int64(in.rest[0]>>1) ^ -int64(in.rest[0]&1))
			in.rest = in.rest[1:]
		} else {
			out[i] = before + in.varint()
		}
		if column == intAt {
			before = out[i]
		}
	}
	b.damaged = b.damaged || in.damaged
	return out
}

// number returns a number of one row.
func (b *rows) number(column, i int) int64 {
	if b.many || b.known[column] || column == intAt {
		return b.int(column)[i]
	}
	in := reader{rest: b.columns[columnInts+column]}
	if len(in.rest) == 0 {
		return 0
	}
	in.skipVarints(i)
	n := in.varint()
	b.damaged = b.damaged || in.damaged
	return n
}

// id returns the request id of a row.
func (b *rows) id(i int) string {
	column := b.columns[columnID]
	if len(column) == 0 {
		b.damaged = true
		return ""
	}
	if column[0] == 1 {
		if column = column[1:]; len(column) < (i+1)*idBytes {
			b.damaged = true
			return ""
		}
		return unpackID(column[i*idBytes : (i+1)*idBytes])
	}
	if b.ids == nil {
		in := reader{rest: column[1:]}
		b.ids = make([]string, b.n)
		for j := range b.ids {
			b.ids[j] = in.text()
		}
		b.damaged = b.damaged || in.damaged
	}
	return b.ids[i]
}

// findID returns the row with a request id, or -1.
func (b *rows) findID(id string) int {
	column := b.columns[columnID]
	if len(column) > 0 && column[0] == 1 {
		want, ok := packID(nil, id)
		for i := 0; ok && i < b.n && len(column) > (i+1)*idBytes; i++ {
			if string(column[1+i*idBytes:1+(i+1)*idBytes]) == string(want) {
				return i
			}
		}
		return -1
	}
	for i := range b.n {
		if b.id(i) == id {
			return i
		}
	}
	return -1
}

// record makes a row a record again.
func (b *rows) record(i int) (r Record) {
	r.RequestID = b.id(i)
	for c := range intColumns {
		intColumns[c].set(&r, b.number(c, i))
	}
	for c := range textColumns {
		textColumns[c].set(&r, b.word(c, i))
	}
	r.Tries = b.attempts(i)
	return r
}

// all makes them all records again.
func (b *rows) all() ([]Record, error) {
	out := make([]Record, b.n)
	b.many = true
	for i := range out {
		out[i] = b.record(i)
	}
	if b.damaged {
		return nil, errDamaged
	}
	return out, nil
}
