// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"encoding/binary"
	"errors"
	"time"
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

// words reads texts that follow each other. They share one string.
func (r *reader) words(out []string) {
	look := *r
	for range out {
		look.take(look.uvarint())
	}
	all := string(r.rest[:len(r.rest)-len(look.rest)])
	for i := range out {
		n := r.uvarint()
		from := len(all) - (len(r.rest) - len(look.rest))
		if r.take(n); r.damaged {
			return
		}
		out[i] = all[from : from+int(n)]
	}
}

// rows are encoded records, of which columns are decoded when they are asked for.
// It is for one goroutine.
type rows struct {
	n       int
	columns [][]byte
	ints    [len(intColumns)][]int64
	known   [len(intColumns)]bool // ints that are of these rows
	texts   [len(textColumns)]*texts
	tries   *tries
	ids     []string // where they are not packed
	damaged bool
}

// texts is a decoded column of texts.
type texts struct {
	words  []string
	places []byte
	width  int
}

func (t *texts) place(i int) int {
	switch t.width {
	case 1:
		return int(t.places[i])
	case 2:
		return int(t.places[2*i]) | int(t.places[2*i+1])<<8
	}
	return 0
}

func (t *texts) at(i int) string {
	if p := t.place(i); p < len(t.words) {
		return t.words[p]
	}
	return ""
}

// find returns the place of a word, or -1.
func (t *texts) find(word string) int {
	for i, w := range t.words {
		if w == word {
			return i
		}
	}
	return -1
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
	*b = rows{columns: b.columns, ints: b.ints, n: int(n)}
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

// text returns a column of texts.
func (b *rows) text(column int) *texts {
	if b.texts[column] != nil {
		return b.texts[column]
	}
	in := reader{rest: b.columns[columnTexts+column]}
	t := &texts{words: make([]string, in.count())}
	in.words(t.words)
	switch {
	case len(t.words) > 256:
		t.width = 2
	case len(t.words) > 1:
		t.width = 1
	}
	t.places = in.take(uint64(t.width * b.n))
	if in.damaged {
		b.damaged = true
		t.words, t.width = nil, 0
	}
	b.texts[column] = t
	return t
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

// tries are where the attempts of each row are.
type tries struct {
	words []string
	rest  []byte
	at    []int  // in rest
	plain []bool // rows whose tries are all plain
}

// attempts returns the tries of a row.
func (b *rows) attempts(i int) []Try {
	t := b.allTries()
	if len(t.at) == 0 {
		return nil
	}
	in := reader{rest: t.rest[t.at[i]:]}
	n := in.count()
	if n == 0 {
		return nil
	}
	word := func() string {
		if p := in.uvarint(); p < uint64(len(t.words)) {
			return t.words[p]
		}
		in.damaged = true
		return ""
	}
	out := make([]Try, n)
	for j := range out {
		t := &out[j]
		if kind := in.take(1); len(kind) == 1 && kind[0] == 1 {
			t.KeyID, t.Project, t.Status, t.Verdict = b.text(textKey).at(i), b.text(textProject).at(i), 200, "ok"
		} else {
			t.KeyID, t.Project, t.Verdict, t.Reason = word(), word(), word(), word()
			t.Status = int(in.varint())
			if charged := in.take(1); len(charged) == 1 && charged[0] == 1 {
				for _, n := range t.Charge.fields() {
					*n = in.varint()
				}
			}
		}
		t.Started = time.Duration(in.varint()) * time.Millisecond
		t.Duration = time.Duration(in.varint()) * time.Millisecond
	}
	b.damaged = b.damaged || in.damaged
	return out
}

// allTries finds where the tries of each row are, without reading them.
func (b *rows) allTries() *tries {
	if b.tries != nil {
		return b.tries
	}
	t := &tries{}
	b.tries = t
	in := reader{rest: b.columns[columnTries]}
	if len(in.rest) == 0 {
		return t
	}
	t.words = make([]string, in.count())
	in.words(t.words)
	t.rest, t.at, t.plain = in.rest, make([]int, b.n), make([]bool, b.n)
	for i := range b.n {
		t.at[i], t.plain[i] = len(t.rest)-len(in.rest), true
		for range in.count() {
			if kind := in.take(1); len(kind) != 1 || kind[0] != 1 {
				t.plain[i] = false
				in.skip(5)
				if charged := in.take(1); len(charged) == 1 && charged[0] == 1 {
					in.skip(chargeFields)
				}
			}
			in.skip(2)
		}
	}
	b.damaged = b.damaged || in.damaged
	return t
}

// record makes a row a record again.
func (b *rows) record(i int) (r Record) {
	r.RequestID = b.id(i)
	for c := range intColumns {
		intColumns[c].set(&r, b.int(c)[i])
	}
	for c := range textColumns {
		textColumns[c].set(&r, b.text(c).at(i))
	}
	r.Tries = b.attempts(i)
	return r
}

// all makes them all records again.
func (b *rows) all() ([]Record, error) {
	out := make([]Record, b.n)
	for i := range out {
		out[i] = b.record(i)
	}
	if b.damaged {
		return nil, errDamaged
	}
	return out, nil
}
