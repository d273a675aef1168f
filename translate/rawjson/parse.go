// SPDX-License-Identifier: Apache-2.0

package rawjson

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// MaxDepth is how deeply arrays and objects may nest.
// Source: specs/gateways.md D1.
const MaxDepth = 128

// SyntaxError says where a document stops being JSON.
type SyntaxError struct {
	Offset int // bytes before the offending one
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("invalid JSON at byte %d: %s", e.Offset, e.Reason)
}

// Parse checks that doc is one JSON value and returns it, aliasing doc. Strings
// that are no Unicode text (invalid UTF-8, half a surrogate pair), which Google
// refuses, are repaired with U+FFFD in a copy. The error is a *[SyntaxError].
func Parse(doc []byte) (Value, error) {
	p := parser{doc: doc}
	return p.whole()
}

type parser struct {
	doc    []byte
	long   []long // strings of least bytes and more
	least  int    // 0 for none
	broken bool   // some string is no Unicode text
}

// whole checks the document.
func (p *parser) whole() (Value, error) {
	start := space(p.doc, 0)
	end, err := p.value(start, 0)
	if err != nil {
		return nil, err
	}
	if rest := space(p.doc, end); rest != len(p.doc) {
		return nil, p.fail(rest, "unexpected data after the value")
	}
	v := Value(p.doc[start:end:end])
	if p.broken {
		v = repair(v)
	}
	return v, nil
}

func (p *parser) fail(at int, reason string) error {
	if at >= len(p.doc) {
		reason = "unexpected end"
	}
	return &SyntaxError{Offset: at, Reason: reason}
}

// value checks the value at doc[i] and returns the offset after it.
func (p *parser) value(i, depth int) (int, error) {
	if i >= len(p.doc) {
		return i, p.fail(i, "")
	}
	switch c := p.doc[i]; c {
	case '"':
		return p.str(i)
	case '{', '[':
		if depth >= MaxDepth {
			return i, p.fail(i, fmt.Sprintf("nested more than %d levels deep", MaxDepth))
		}
		if c == '{' {
			return p.object(i, depth+1)
		}
		return p.array(i, depth+1)
	case 't':
		return p.literal(i, "true")
	case 'f':
		return p.literal(i, "false")
	case 'n':
		return p.literal(i, "null")
	default:
		return p.number(i)
	}
}

func (p *parser) literal(i int, word string) (int, error) {
	if !bytes.HasPrefix(p.doc[i:], []byte(word)) {
		return i, p.fail(i, "a value was expected")
	}
	return i + len(word), nil
}

func (p *parser) object(i, depth int) (_ int, err error) {
	if i = space(p.doc, i+1); i < len(p.doc) && p.doc[i] == '}' {
		return i + 1, nil
	}
	for {
		if i >= len(p.doc) || p.doc[i] != '"' {
			return i, p.fail(i, "a member name was expected")
		}
		if i, err = p.str(i); err != nil {
			return i, err
		}
		if i = space(p.doc, i); i >= len(p.doc) || p.doc[i] != ':' {
			return i, p.fail(i, "a colon was expected")
		}
		if i, err = p.value(space(p.doc, i+1), depth); err != nil {
			return i, err
		}
		if i = space(p.doc, i); i >= len(p.doc) {
			return i, p.fail(i, "")
		}
		switch p.doc[i] {
		case '}':
			return i + 1, nil
		case ',':
			i = space(p.doc, i+1)
		default:
			return i, p.fail(i, "a comma or } was expected")
		}
	}
}

func (p *parser) array(i, depth int) (_ int, err error) {
	if i = space(p.doc, i+1); i < len(p.doc) && p.doc[i] == ']' {
		return i + 1, nil
	}
	for {
		if i, err = p.value(i, depth); err != nil {
			return i, err
		}
		if i = space(p.doc, i); i >= len(p.doc) {
			return i, p.fail(i, "")
		}
		switch p.doc[i] {
		case ']':
			return i + 1, nil
		case ',':
			i = space(p.doc, i+1)
		default:
			return i, p.fail(i, "a comma or ] was expected")
		}
	}
}

func (p *parser) number(i int) (int, error) {
	start := i
	digits := func() bool {
		from := i
		for i < len(p.doc) && '0' <= p.doc[i] && p.doc[i] <= '9' {
			i++
		}
		return i > from
	}
	at := func(c byte) bool { return i < len(p.doc) && p.doc[i] == c }
	if at('-') {
		i++
	}
	if at('0') {
		i++
	} else if !digits() {
		if i == start {
			return i, p.fail(i, "a value was expected")
		}
		return i, p.fail(i, "a digit was expected")
	}
	if at('.') {
		if i++; !digits() {
			return i, p.fail(i, "a digit was expected")
		}
	}
	if at('e') || at('E') {
		if i++; at('+') || at('-') {
			i++
		}
		if !digits() {
			return i, p.fail(i, "a digit was expected")
		}
	}
	return i, nil
}

// near is how much of a string is checked at a time: what the first pass brought is
// still near in the next ones.
const near = 16 << 10

// str checks the string at doc[i]. Its end and its escapes are searched with IndexByte,
// which reads base64 at memory speed, the stretches between them tested in words of
// eight bytes.
func (p *parser) str(i int) (int, error) {
	from, plain := i, true
	i++
	stop, closed := i, false // there is no quote in doc[i:stop], and one at stop if closed
	for {
		if i >= stop {
			stop = min(i+near, len(p.doc))
			n := bytes.IndexByte(p.doc[i:stop], '"')
			if closed = n >= 0; closed {
				stop = i + n
			}
		}
		stretch := p.doc[i:stop]
		escape := bytes.IndexByte(stretch, '\\')
		if escape >= 0 {
			stretch = stretch[:escape]
		}
		control, ascii := scan(stretch)
		if control {
			for j, c := range stretch {
				if c < ' ' {
					return i + j, p.unlessCut(i, p.fail(i+j, "a control character in a string must be escaped"))
				}
			}
		}
		if !ascii {
			if escape < 0 && !closed && stop < len(p.doc) {
				stretch = beforeCut(stretch)
				stop = i + len(stretch)
			}
			p.broken = p.broken || !utf8.Valid(stretch)
		}
		i += len(stretch)
		switch {
		case escape >= 0:
			plain = false
			end, err := p.escape(i)
			if err != nil {
				return i, p.unlessCut(i, err)
			}
			i = end
		case closed:
			if p.least > 0 && i+1-from >= p.least {
				p.long = append(p.long, long{from, i + 1, plain})
			}
			return i + 1, nil
		case i == len(p.doc):
			return i, p.fail(i, "")
		}
	}
}

// unlessCut is err, unless the string that it was met in has no end: then the document
// was cut, which says more.
func (p *parser) unlessCut(i int, err error) error {
	if bytes.IndexByte(p.doc[i:], '"') < 0 {
		return p.fail(len(p.doc), "")
	}
	return err
}

// beforeCut is s without the beginning of a letter that goes on after it.
func beforeCut(s []byte) []byte {
	for n := 1; n < utf8.UTFMax && n <= len(s); n++ {
		if c := s[len(s)-n]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(s[len(s)-n:]) {
				return s[:len(s)-n]
			}
			break
		}
	}
	return s
}

// StringAt checks the string at doc[i] and returns it. It is none, or not ok, where
// [Parse] would have to repair it.
func StringAt(doc []byte, i int) (v Value, ok bool) {
	if i >= len(doc) || doc[i] != '"' {
		return nil, false
	}
	p := parser{doc: doc}
	end, err := p.str(i)
	if err != nil || p.broken {
		return nil, false
	}
	return Value(doc[i:end:end]), true
}

// escape checks the escape sequence at doc[i].
func (p *parser) escape(i int) (int, error) {
	if i+1 >= len(p.doc) {
		return i, p.fail(len(p.doc), "")
	}
	switch p.doc[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2, nil
	case 'u':
		if i+6 > len(p.doc) {
			return i, p.fail(len(p.doc), "")
		}
		for j := i + 2; j < i+6; j++ {
			if hexDigit[p.doc[j]] == 0 {
				return j, p.fail(j, "four hexadecimal digits were expected")
			}
		}
		r, next := unescape(p.doc, i)
		if r == utf8.RuneError && hex4(p.doc, i+2) != utf8.RuneError {
			p.broken = true
		}
		if next == i+12 { // a pair: its second half must be hexadecimal, which DecodeRune has seen
			return next, nil
		}
		return i + 6, nil
	default:
		return i + 1, p.fail(i+1, "unknown escape sequence")
	}
}

var hexDigit = func() (t [256]byte) {
	for _, c := range "0123456789abcdefABCDEF" {
		t[c] = 1
	}
	return t
}()

const (
	highBits = 0x8080808080808080
	spaces   = 0x2020202020202020
)

// scan reports whether s has a byte below 0x20, and whether all are ASCII.
func scan(s []byte) (control, ascii bool) {
	// Most text has neither such a byte nor another one, which takes less to see than
	// which of both it has.
	rest := s
	var first, second uint64 // two, so that neither waits for the other
	for len(rest) >= 32 {
		w := (*[32]byte)(rest)
		a, b := binary.LittleEndian.Uint64(w[:8]), binary.LittleEndian.Uint64(w[8:16])
		c, d := binary.LittleEndian.Uint64(w[16:24]), binary.LittleEndian.Uint64(w[24:])
		first |= (a - spaces) | a | ((b - spaces) | b)
		second |= (c - spaces) | c | ((d - spaces) | d)
		rest = rest[32:]
	}
	if (first|second)&highBits != 0 {
		return scanBoth(s)
	}
	return scanBoth(rest)
}

// scanBoth tells control characters from letters that are not ASCII.
func scanBoth(s []byte) (control, ascii bool) {
	var ctl, top uint64
	for len(s) >= 8 {
		a := binary.LittleEndian.Uint64(s)
		ctl |= (a - spaces) &^ a
		top |= a
		s = s[8:]
	}
	for _, c := range s {
		if c < ' ' {
			ctl |= highBits
		}
		top |= uint64(c)
	}
	// A borrow may mark a byte above a control character, never one without;
	// it cannot turn "none" into "some".
	return ctl&highBits != 0, top&highBits == 0
}

// repair returns a copy of v whose strings are Unicode text.
func repair(v Value) Value {
	out := make([]byte, 0, len(v)+16)
	for i := 0; i < len(v); {
		c := v[i]
		switch {
		case c == '\\':
			r, next := unescape(v, i)
			if r == utf8.RuneError {
				out = append(out, "\uFFFD"...)
				if next > i+6 {
					next = i + 6
				}
			} else {
				out = append(out, v[i:next]...)
			}
			i = next
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRune(v[i:])
			out = utf8.AppendRune(out, r)
			i += n
		default:
			out = append(out, c)
			i++
		}
	}
	return out
}
