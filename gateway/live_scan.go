// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// jsonScan looks for members of a JSON document that passes in pieces, so that a
// frame of many megabytes need not be held to be understood. It is no parser: what
// is no JSON it takes for something, and its receiver refuses it. The zero value
// with a watch is ready; it allocates for what is captured only.
type jsonScan struct {
	watch memberWatch

	objects [2]uint64 // which of the open brackets are objects, a bit each
	depth   int       // open brackets
	pos     int       // bytes before p
	quoted  bool
	escaped bool // the byte before was a backslash
	key     bool // the string is a name, or the next one is
	broken  bool // nested too deep, or closed what was not open

	name    []byte // of the last member, encoded
	due     bool   // the value that follows is wanted
	taking  bool   // a value is being captured
	level   int    // depth of its member
	value   []byte
	tooLong bool
}

// memberWatch is told of the members of a document.
type memberWatch interface {
	// member reports whether the value of the member name, at a depth from 1, is
	// wanted. name is decoded and only valid during the call; names longer than
	// maxMemberName are cut.
	member(depth int, name []byte) bool
	// captured brings a value that was wanted, which ends before the byte end of
	// the document. It is only valid during the call; nil if longer than
	// maxCaptured.
	captured(depth int, value rawjson.Value, end int)
}

const (
	maxMemberName = 64
	maxCaptured   = 64 << 10
	maxScanDepth  = 128 // more than protobuf's JSON takes
)

// reset begins a new document.
func (s *jsonScan) reset() {
	*s = jsonScan{watch: s.watch, name: s.name[:0], value: s.value[:0]}
}

// whole reports whether the document is over: nothing is open any more.
func (s *jsonScan) whole() bool { return s.depth == 0 && !s.quoted && !s.broken }

// open is how many of the bytes that were looked at last belong to a value that is
// wanted and not over yet.
func (s *jsonScan) open() int {
	if !s.taking {
		return 0
	}
	return len(s.value)
}

// write looks at the next piece.
func (s *jsonScan) write(p []byte) {
	from := 0 // of what is to be captured
	for i := 0; i < len(p) && !s.broken; {
		if s.quoted {
			n, closed := s.inString(p[i:])
			i += n
			if closed && s.taking && s.depth == s.level {
				from = s.take(p, from, i)
				s.end(s.pos + i)
			}
			continue
		}
		c := p[i]
		if s.due && c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			s.due, s.taking, s.level, s.value, s.tooLong = false, true, s.depth, s.value[:0], false
			from = i
		}
		if literal := s.taking && s.depth == s.level; literal && (c == ',' || c == '}' || c == ']') {
			from = s.take(p, from, i)
			s.end(s.pos + i)
		}
		i++
		s.structure(c)
		if s.taking && s.depth == s.level && (c == '}' || c == ']') {
			from = s.take(p, from, i)
			s.end(s.pos + i)
		}
	}
	if s.taking {
		s.take(p, from, len(p))
	}
	s.pos += len(p)
}

// structure follows a byte outside of strings.
func (s *jsonScan) structure(c byte) {
	switch c {
	case '"':
		if s.quoted = true; s.key {
			s.name = s.name[:0]
		}
	case '{', '[':
		if s.depth == maxScanDepth {
			s.broken = true
			return
		}
		bit := uint64(1) << (s.depth % 64)
		if s.key = c == '{'; s.key {
			s.objects[s.depth/64] |= bit
		} else {
			s.objects[s.depth/64] &^= bit
		}
		s.depth++
	case '}', ']':
		s.key = false
		if s.depth--; s.depth < 0 {
			s.broken = true
		}
	case ',':
		s.key = s.depth > 0 && s.objects[(s.depth-1)/64]&(1<<((s.depth-1)%64)) != 0
	case ':':
		if !s.taking {
			s.due = s.watch.member(s.depth, memberName(s.name))
		}
	}
}

// inString goes on in a string and reports how far, and whether that ended it.
func (s *jsonScan) inString(p []byte) (n int, closed bool) {
	for n < len(p) {
		if s.escaped {
			s.escaped = false
			n = s.letters(p, n, 1)
			continue
		}
		next := bytes.IndexByte(p[n:], '"')
		if next < 0 {
			next = len(p) - n
		}
		if slash := bytes.IndexByte(p[n:n+next], '\\'); slash >= 0 {
			n = s.letters(p, n, slash+1)
			s.escaped = true
			continue
		}
		if n = s.letters(p, n, next); n < len(p) {
			s.quoted, s.key = false, false
			return n + 1, true
		}
	}
	return n, false
}

// letters moves over count bytes of a string, which a name keeps.
func (s *jsonScan) letters(p []byte, at, count int) int {
	if room := maxMemberName - len(s.name); s.key && room > 0 {
		s.name = append(s.name, p[at:at+min(count, room)]...)
	}
	return at + count
}

// take keeps p[from:to] of the value that is captured.
func (s *jsonScan) take(p []byte, from, to int) int {
	if s.tooLong = s.tooLong || len(s.value)+to-from > maxCaptured; !s.tooLong {
		s.value = append(s.value, p[from:to]...)
	}
	return to
}

// end hands a captured value over.
func (s *jsonScan) end(at int) {
	s.taking = false
	if s.tooLong {
		s.watch.captured(s.level, nil, at)
		return
	}
	s.watch.captured(s.level, rawjson.Value(bytes.TrimRight(s.value, " \t\r\n")), at)
}

// memberName decodes a name; nearly all are themselves.
func memberName(name []byte) []byte {
	if bytes.IndexByte(name, '\\') < 0 {
		return name
	}
	quoted := append(append([]byte{'"'}, name...), '"')
	if v, err := rawjson.Parse(quoted); err == nil {
		return []byte(v.Text())
	}
	return name
}
