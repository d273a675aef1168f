// SPDX-License-Identifier: Apache-2.0

package rawjson

import (
	"cmp"
	"iter"
	"slices"
	"unsafe"
)

// Document is a checked document that knows where its long strings end. Walking values
// otherwise searches the end of each, so that a megabyte of base64 is gone through once
// for every object and array around it. The walks of a Document over values of others, or
// of a nil one, are those of [Value]. Reading is safe for concurrent use.
type Document struct {
	Root  Value
	long  []long // in their order
	least int    // how many bytes each of them has at least
}

// long is a string that is worth remembering, at these offsets of the document.
type long struct {
	from, to int
	plain    bool // it has no escapes
}

// longString is from how many bytes on it pays to remember a string.
const longString = 4 << 10

// ParseDocument is [Parse] for those who walk what may have long strings.
func ParseDocument(doc []byte) (Document, error) { return parseDocument(doc, longString) }

func parseDocument(doc []byte, least int) (Document, error) {
	p := parser{doc: doc, least: least}
	root, err := p.whole()
	if err != nil || p.broken { // a copy, whose offsets are others
		return Document{Root: root}, err
	}
	start := space(doc, 0) // which the root has not
	for i := range p.long {
		p.long[i].from -= start
		p.long[i].to -= start
	}
	return Document{root, p.long, least}, nil
}

// head is how much of a string is searched for its end before it is looked for among the
// long ones: most are short.
func (d *Document) head(s []byte) []byte {
	if d == nil || len(d.long) == 0 {
		return s
	}
	return s[:min(len(s), d.least)]
}

// find returns the long string at b[i], nil where there is none that is known.
func (d *Document) find(b []byte, i int) *long {
	if d == nil || len(d.long) == 0 {
		return nil
	}
	// Where b is not part of the document, the difference is no offset of it.
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b))) + uintptr(i) - uintptr(unsafe.Pointer(unsafe.SliceData(d.Root)))
	if at >= uintptr(len(d.Root)) {
		return nil
	}
	n, found := slices.BinarySearchFunc(d.long, int(at), func(l long, at int) int { return cmp.Compare(l.from, at) })
	if !found {
		return nil
	}
	return &d.long[n]
}

// Members is [Value.Members] of v.
func (d *Document) Members(v Value) iter.Seq2[Value, Value] {
	return func(yield func(Value, Value) bool) {
		if v.Kind() != Object {
			return
		}
		for i := 1; ; {
			i = space(v, i)
			if i >= len(v) || v[i] != '"' {
				return
			}
			end := skipString(v, i, d)
			key := v[i:end:end]
			i = space(v, end)
			i = space(v, i+1) // the colon
			end = skip(v, i, d)
			if end <= i || !yield(key, v[i:end:end]) {
				return
			}
			i = space(v, end)
			if i >= len(v) || v[i] != ',' {
				return
			}
			i++
		}
	}
}

// Elems is [Value.Elems] of v.
func (d *Document) Elems(v Value) iter.Seq2[int, Value] {
	return func(yield func(int, Value) bool) {
		if v.Kind() != Array {
			return
		}
		i := space(v, 1)
		if i >= len(v) || v[i] == ']' {
			return
		}
		for n := 0; ; n++ {
			end := skip(v, i, d)
			if end <= i || !yield(n, v[i:end:end]) {
				return
			}
			i = space(v, end)
			if i >= len(v) || v[i] != ',' {
				return
			}
			i = space(v, i+1)
		}
	}
}

// Get is [Value.Get] of v.
func (d *Document) Get(v Value, name string) (member Value) {
	for k, m := range d.Members(v) {
		if k.Is(name) {
			member = m
		}
	}
	return member
}

// Escaped is [Value.Escaped] of v.
func (d *Document) Escaped(v Value) bool {
	if l := d.find(v, 0); l != nil {
		return !l.plain
	}
	return v.Escaped()
}
