// SPDX-License-Identifier: Apache-2.0

package sse

import (
	"bytes"
	"io"
)

// ArrayReader reads the elements of a JSON array, the form streamGenerateContent
// has without alt=sse. A frame ends right after its element; brackets and commas
// belong to the frame they come before, and the closing bracket is a frame
// without data. Where the body is no array of objects the rest is one frame.
//
// It only looks for where elements end and leaves their syntax to the decoder.
type ArrayReader struct {
	buffer
	opened bool // the array's bracket was seen
	e      element
}

// element is what is known of the element at the start of the buffer.
type element struct {
	pos    int // bytes looked at
	from   int // where the element starts, -1 while unknown
	depth  int
	text   bool // inside a string
	escape bool // after a backslash
	rest   bool // no element but the rest of the body
	end    int
}

// NewArrayReader returns an ArrayReader of r.
func NewArrayReader(r io.Reader) *ArrayReader {
	return &ArrayReader{buffer: newBuffer(r), e: element{from: -1}}
}

// Next implements [Frames].
func (r *ArrayReader) Next() (raw, data []byte, err error) {
	for !r.complete() {
		if r.end-r.start > r.max {
			return nil, nil, ErrTooLarge
		}
		if r.err != nil {
			if r.err != io.EOF || r.start == r.end {
				return nil, nil, r.err
			}
			r.e.end = r.end - r.start
			break
		}
		r.fill()
	}
	n := r.e.end
	if n > r.max {
		return nil, nil, ErrTooLarge
	}
	raw = r.b[r.start : r.start+n : r.start+n]
	if r.e.from >= 0 {
		data = bytes.TrimSpace(raw[r.e.from:])
	}
	r.start += n
	r.e = element{from: -1}
	return raw, data, nil
}

// Ready implements [Frames].
func (r *ArrayReader) Ready() bool {
	return r.complete() || r.err == io.EOF && r.end > r.start
}

// Release implements [Frames].
func (r *ArrayReader) Release() {
	r.release()
	r.e = element{from: -1}
}

// complete looks for the end of the element in what was read, going on where it
// stopped before.
func (r *ArrayReader) complete() bool {
	e, b := &r.e, r.bytes()
	if e.end > 0 {
		return true
	}
	if e.from < 0 {
		r.begin(b)
	}
	if e.from < 0 || e.rest {
		return false
	}
	for e.pos < len(b) {
		if e.text {
			e.skipText(b)
			continue
		}
		switch b[e.pos] {
		case '"':
			e.text = true
		case '{', '[':
			e.depth++
		case '}', ']':
			if e.depth--; e.depth == 0 {
				e.pos++
				e.end = e.pos
				return true
			}
		}
		e.pos++
	}
	return false
}

// begin looks for the start of an element.
func (r *ArrayReader) begin(b []byte) {
	e := &r.e
	for ; e.pos < len(b); e.pos++ {
		switch c := b[e.pos]; c {
		case ' ', '\t', '\r', '\n', ',', ']':
		case '[':
			if r.opened {
				e.from = e.pos
				return
			}
			r.opened = true
		default:
			e.from, e.rest = e.pos, c != '{'
			return
		}
	}
}

// skipText moves to the end of the string, or of what there is of it.
func (e *element) skipText(b []byte) {
	if e.escape {
		e.escape = false
		e.pos++
		return
	}
	rest := b[e.pos:]
	quote := bytes.IndexByte(rest, '"')
	if quote >= 0 {
		rest = rest[:quote]
	}
	if n := bytes.IndexByte(rest, '\\'); n >= 0 {
		e.pos += n + 1
		e.escape = true
		return
	}
	e.pos += len(rest)
	if quote >= 0 {
		e.pos++
		e.text = false
	}
}
