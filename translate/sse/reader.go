// SPDX-License-Identifier: Apache-2.0

// Package sse cuts streamed answers into frames, without changing a byte of
// them, and writes server-sent events.
//
// A [Reader] takes text/event-stream bodies, an [ArrayReader] the elements of a
// JSON array that arrives piece by piece; both are [Frames]. How the bytes were
// split on their way never changes what comes out.
package sse

import (
	"bytes"
	"io"
)

// Frames is a streamed answer, frame by frame. It is used by one goroutine.
type Frames interface {
	// Next returns the next frame: its bytes as they came, so that all of them
	// joined are the body, and the document inside, empty where there is none.
	// Both are valid until the following call. The error is io.EOF after a clean
	// end, [ErrTooLarge], or what the source failed with; a frame that was cut
	// by a failure is not returned.
	Next() (raw, data []byte, err error)
	// Within has room asked before an event takes more than 64 KiB of memory. It is
	// called before the first Next, if at all.
	Within(room Room)
	// Ready reports whether a whole further frame was received already. It
	// never blocks.
	Ready() bool
	// Release gives the memory back for reuse. It is optional; nothing that was
	// returned before may be used after it.
	Release()
}

// Room is who knows how much memory there is.
type Room interface {
	// Take waits until a stream may hold so many bytes in all. An error, which ends the
	// stream, says why it may not.
	Take(bytes int64) error
	// Leave tells that it holds next to nothing again.
	Leave()
}

// Reader reads server-sent events. It accepts what the WHATWG standard accepts
// (LF, CRLF and CR, mixed; comments; a byte order mark; several data lines per
// event) and beyond it an event without its final blank line, and a document
// without "data:", which is an error that some front end wrote into the stream:
// everything from there to the end is one frame.
type Reader struct {
	buffer
	event  scan
	begun  bool   // the byte order mark can only come before this
	joined []byte // several data lines, joined
}

// scan is what is known of the event at the start of the buffer. Offsets are
// relative to that start.
type scan struct {
	pos      int  // start of the line that is not complete yet
	seen     int  // bytes already searched for a line's end
	lf       int  // where the next LF is; when negative, the first -lf-1 bytes have none
	lines    int  // complete lines, without leading blank ones
	afterCR  bool // the last line ended with a lone CR
	bare     bool // no event but a document
	bareFrom int
	datas    int // data lines
	dataFrom int // of the first data line
	dataTo   int
	end      int // after the terminator; 0 while unknown
}

// NewReader returns a Reader of r.
func NewReader(r io.Reader) *Reader {
	return &Reader{buffer: newBuffer(r), event: scan{lf: -1}}
}

// Next implements [Frames].
func (r *Reader) Next() (raw, data []byte, err error) {
	for !r.complete() {
		if r.end-r.start > r.max {
			return nil, nil, ErrTooLarge
		}
		if r.err != nil {
			if r.err != io.EOF || r.start == r.end {
				return nil, nil, r.err
			}
			r.finish()
			break
		}
		r.fill()
	}
	n := r.event.end
	if n > r.max {
		return nil, nil, ErrTooLarge
	}
	raw = r.b[r.start : r.start+n : r.start+n]
	data = r.data(raw)
	r.start += n
	r.event = scan{lf: afterCut(r.event.lf, n)}
	r.begun = true
	return raw, data, nil
}

// Ready implements [Frames].
func (r *Reader) Ready() bool {
	return r.complete() || r.err == io.EOF && r.end > r.start
}

// Release implements [Frames].
func (r *Reader) Release() {
	r.release()
	r.event = scan{lf: -1}
}

// complete looks for the end of the event in what was read, going on where it
// stopped before.
func (r *Reader) complete() bool {
	e, b := &r.event, r.bytes()
	for e.end == 0 && !e.bare {
		at := r.lineEnd(b)
		if at < 0 {
			return false
		}
		next := at + 1
		cr := b[at] == '\r'
		blank := at == e.pos
		switch {
		case !cr, blank && (e.lines == 0 || e.afterCR):
			// Blank lines before an event belong to it, one byte at a time. After
			// CR CR an LF would come too late to wait for: it starts the next.
		case next == len(b) && r.err == nil:
			e.seen = at // whether an LF follows decides where the line ends
			return false
		case next < len(b) && b[next] == '\n':
			next++
			cr = false
		}
		if blank && e.lines > 0 {
			e.end = next
			return true
		}
		if !blank {
			r.line(b, e.pos, at)
			e.lines++
			e.afterCR = cr
		}
		e.pos, e.seen = next, next
	}
	return e.end > 0
}

// lineEnd finds the next CR or LF. Each byte is searched once for either,
// whatever the mixture, so that no body costs quadratic time.
func (r *Reader) lineEnd(b []byte) int {
	e := &r.event
	if e.lf < e.seen {
		from := e.seen
		if e.lf < 0 {
			from = max(from, -e.lf-1)
		}
		n := bytes.IndexByte(b[from:], '\n')
		if n < 0 {
			e.lf = -len(b) - 1
		} else {
			e.lf = from + n
		}
	}
	to := len(b)
	if e.lf >= 0 {
		to = e.lf
	}
	if n := bytes.IndexByte(b[e.seen:to], '\r'); n >= 0 {
		return e.seen + n
	}
	e.seen = to
	return max(e.lf, -1)
}

// afterCut is what scan.lf becomes when n bytes are taken off the front.
func afterCut(lf, n int) int {
	if lf >= n {
		return lf - n
	}
	if lf < 0 {
		return min(lf+n, -1)
	}
	return -1
}

// line takes notice of one line of the event.
func (r *Reader) line(b []byte, from, to int) {
	e := &r.event
	if !r.begun {
		r.begun = true
		if bytes.HasPrefix(b[from:to], []byte("\xEF\xBB\xBF")) {
			if from += 3; from == to {
				return
			}
		}
	}
	name := b[from:to]
	value := to
	if colon := bytes.IndexByte(name, ':'); colon >= 0 {
		name, value = name[:colon], from+colon+1
	}
	switch string(name) {
	case "data":
		if e.datas++; e.datas == 1 {
			if value < to && b[value] == ' ' {
				value++
			}
			e.dataFrom, e.dataTo = value, to
		}
	case "", "event", "id", "retry": // "" is a comment
	default:
		// Inside an event the standard says to ignore unknown fields.
		if e.datas == 0 {
			e.bare, e.bareFrom = true, from
		}
	}
}

// finish ends the last event where the body ends.
func (r *Reader) finish() {
	e, b := &r.event, r.bytes()
	if !e.bare && e.pos < len(b) {
		r.line(b, e.pos, len(b))
	}
	e.end = len(b)
}

// data returns the document inside raw, for which complete has set the offsets.
func (r *Reader) data(raw []byte) []byte {
	e := &r.event
	switch {
	case e.bare:
		return bytes.TrimSpace(raw[e.bareFrom:])
	case e.datas < 2:
		return raw[e.dataFrom:e.dataTo:e.dataTo]
	}
	r.joined = append(r.joined[:0], raw[e.dataFrom:e.dataTo]...)
	for rest := raw[e.dataTo:]; len(rest) > 0; {
		line := rest
		if n := bytes.IndexAny(rest, "\r\n"); n >= 0 {
			line, rest = rest[:n], rest[n+1:]
		} else {
			rest = nil
		}
		if v, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			v, _ = bytes.CutPrefix(v, []byte(" "))
			r.joined = append(append(r.joined, '\n'), v...)
		} else if string(line) == "data" {
			r.joined = append(r.joined, '\n')
		}
	}
	return r.joined
}
