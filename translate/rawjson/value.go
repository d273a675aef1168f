// SPDX-License-Identifier: Apache-2.0

// Package rawjson reads JSON in place. A document is checked once, by [Parse] or
// [ParseDocument];
// after that every [Value] is a sub-slice of it, and walking values can neither
// fail nor copy. Strings stay in their encoded form until somebody asks for the
// text, so a megabyte of base64 travels from request to request as a slice.
//
// Why not encoding/json: the bodies here are rewritten, not used. Decoding and
// encoding them by reflection costs ten times the rest of the gateway's work
// (see bench/README.md).
package rawjson

import (
	"bytes"
	"iter"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// Value is one JSON value without surrounding space. It must come from [Parse],
// from walking a parsed value, or from [Quote]; other bytes give undefined
// results (but no out-of-range access to memory). The nil Value is "missing",
// for example a member that an object does not have.
//
// A Value aliases the document it came from, which therefore must not be
// changed while the Value is in use. Reading is safe for concurrent use.
type Value []byte

// Kind is the JSON type of a [Value].
type Kind uint8

// The kinds of values. Missing is the kind of the nil Value.
const (
	Missing Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

// String returns the kind's name as it reads well in an error message.
func (k Kind) String() string {
	return [...]string{"nothing", "null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

// Kind tells the JSON type from the first byte.
func (v Value) Kind() Kind {
	if len(v) == 0 {
		return Missing
	}
	switch v[0] {
	case '"':
		return String
	case '{':
		return Object
	case '[':
		return Array
	case 't', 'f':
		return Bool
	case 'n':
		return Null
	default:
		return Number
	}
}

// IsNull reports whether v is missing or null. In every API served here an
// optional field that is null means the same as one that is absent.
func (v Value) IsNull() bool { return len(v) == 0 || v[0] == 'n' }

// IsTrue reports whether v is the boolean true.
func (v Value) IsTrue() bool { return len(v) == 4 && v[0] == 't' }

// Is reports whether v is a string with exactly the text s.
func (v Value) Is(s string) bool {
	if v.Kind() != String {
		return false
	}
	inner := v[1 : len(v)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner) == s
	}
	return v.Text() == s
}

// IsEmptyString reports whether v is the string "".
func (v Value) IsEmptyString() bool { return len(v) == 2 && v[0] == '"' }

// Inner returns the encoded bytes between the quotes of a string, nil for any
// other kind. Inner bytes of two strings may be joined to the encoding of the
// joined text.
func (v Value) Inner() []byte {
	if v.Kind() != String {
		return nil
	}
	return v[1 : len(v)-1]
}

// Escaped reports whether the string v contains an escape sequence, so that
// [Value.Inner] differs from its text.
func (v Value) Escaped() bool { return bytes.IndexByte(v.Inner(), '\\') >= 0 }

// Text returns the text of a string, "" for any other kind. It allocates.
func (v Value) Text() string {
	inner := v.Inner()
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	return string(AppendText(make([]byte, 0, len(inner)), v))
}

// AppendText appends the text of the string v, escapes resolved, to dst.
func AppendText(dst []byte, v Value) []byte {
	inner := v.Inner()
	for {
		i := bytes.IndexByte(inner, '\\')
		if i < 0 {
			return append(dst, inner...)
		}
		dst = append(dst, inner[:i]...)
		var r rune
		r, i = unescape(inner, i)
		dst = utf8.AppendRune(dst, r)
		inner = inner[i:]
	}
}

// unescape decodes the escape sequence at s[i] and returns the offset after it.
func unescape(s []byte, i int) (r rune, next int) {
	if i+1 >= len(s) {
		return utf8.RuneError, len(s)
	}
	switch c := s[i+1]; c {
	case 'b':
		return '\b', i + 2
	case 'f':
		return '\f', i + 2
	case 'n':
		return '\n', i + 2
	case 'r':
		return '\r', i + 2
	case 't':
		return '\t', i + 2
	case 'u':
		r = hex4(s, i+2)
		if !utf16.IsSurrogate(r) {
			return r, min(i+6, len(s))
		}
		if i+7 < len(s) && s[i+6] == '\\' && s[i+7] == 'u' {
			if pair := utf16.DecodeRune(r, hex4(s, i+8)); pair != utf8.RuneError {
				return pair, min(i+12, len(s))
			}
		}
		return utf8.RuneError, min(i+6, len(s))
	default: // quote, backslash, slash
		return rune(c), i + 2
	}
}

// hex4 decodes four hexadecimal digits at s[i]; anything else is RuneError.
func hex4(s []byte, i int) rune {
	if i+4 > len(s) {
		return utf8.RuneError
	}
	var r rune
	for _, c := range s[i : i+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return utf8.RuneError
		}
		r = r<<4 | rune(c)
	}
	return r
}

// Int returns a number that is a whole one in the range of int64, as well as
// one in a string (Google writes 64-bit numbers as strings). A number with a
// fraction or exponent counts when its value is whole.
func (v Value) Int() (int64, bool) {
	s := []byte(v)
	switch v.Kind() {
	case String:
		s = v.Inner()
	case Number:
	default:
		return 0, false
	}
	n, err := strconv.ParseInt(view(s), 10, 64)
	if err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(view(s), 64)
	if err != nil || f != float64(int64(f)) || f >= 1<<63 || f < -1<<63 {
		return 0, false
	}
	return int64(f), true
}

// Float returns the value of a number.
func (v Value) Float() (float64, bool) {
	if f, ok := v.decimal(); ok {
		return f, true
	}
	if v.Kind() != Number {
		return 0, false
	}
	f, err := strconv.ParseFloat(view(v), 64)
	return f, err == nil
}

// powers of ten that a float64 holds exactly, as many as decimal has digits.
var powers = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// decimal reads a number of up to 15 digits without an exponent, such as vectors have.
// Its digits and the power of ten are exact then, and one division rounds as it should.
func (v Value) decimal() (f float64, ok bool) {
	digits := v
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > len(powers) {
		return 0, false
	}
	n, point := int64(0), len(digits)
	for i, c := range digits {
		switch {
		case c >= '0' && c <= '9':
			n = 10*n + int64(c-'0')
		case c == '.' && point == len(digits) && i > 0:
			point = i
		default:
			return 0, false
		}
	}
	if point < len(digits) {
		f = float64(n) / powers[len(digits)-point-1]
	} else if f = float64(n); len(digits) == len(powers) { // 16 of them
		return 0, false
	}
	if len(digits) < len(v) {
		f = -f
	}
	return f, true
}

// Get returns the member of an object with this name, nil where there is none
// or v is no object. Of several, the last one counts, as in encoding/json.
func (v Value) Get(name string) (member Value) {
	for k, m := range v.Members() {
		if k.Is(name) {
			member = m
		}
	}
	return member
}

// Members iterates over the members of an object in document order; the key is
// a string Value. Over any other kind it iterates not at all.
func (v Value) Members() iter.Seq2[Value, Value] {
	return (*Document)(nil).Members(v)
}

// Elems iterates over the elements of an array. Over any other kind it
// iterates not at all.
func (v Value) Elems() iter.Seq2[int, Value] {
	return (*Document)(nil).Elems(v)
}

// Len counts the members of an object or the elements of an array.
func (v Value) Len() (n int) {
	for range v.Elems() {
		n++
	}
	for range v.Members() {
		n++
	}
	return n
}

// Quote returns s as a JSON string. HTML characters are not escaped; invalid
// UTF-8 becomes U+FFFD.
func Quote(s string) Value { return AppendQuoted(make([]byte, 0, len(s)+2), s) }

// AppendQuoted appends s as a JSON string to dst, as [Quote] does.
func AppendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	dst = AppendEscaped(dst, s)
	return append(dst, '"')
}

// AppendEscaped appends s to dst, encoded for the inside of a JSON string.
func AppendEscaped(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || n != 1 {
				i += n
				continue
			}
			dst = append(append(dst, s[start:i]...), "\uFFFD"...)
			i++
			start = i
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	return append(dst, s[start:]...)
}

// Compact appends v without space between its tokens to dst.
func Compact(dst []byte, v Value) []byte {
	from := 0 // of what is not copied yet
	for i := 0; i < len(v); {
		switch v[i] {
		case '"':
			i = skipString(v, i, nil)
		case ' ', '\t', '\n', '\r':
			dst = append(dst, v[from:i]...)
			i = space(v, i)
			from = i
		default:
			i++
		}
	}
	return append(dst, v[from:]...)
}

// view reads b as a string without a copy, for parsers that keep nothing.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// shapes are the bytes that say where a value ends.
var shapes = [256]bool{'"': true, '{': true, '[': true, '}': true, ']': true}

// skip returns the offset after the value at b[i], which may be in d.
func skip(b []byte, i int, d *Document) int {
	if i >= len(b) {
		return i
	}
	switch b[i] {
	case '"':
		return skipString(b, i, d)
	case '{', '[':
		depth := 0
		for i < len(b) {
			if !shapes[b[i]] {
				i++
				continue
			}
			switch b[i] {
			case '"':
				i = skipString(b, i, d)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
		return i
	default:
		for i < len(b) {
			switch b[i] {
			case ',', ']', '}', ' ', '\n', '\r', '\t':
				return i
			}
			i++
		}
		return i
	}
}

// skipString returns the offset after the string at b[i], which may be in d.
func skipString(b []byte, i int, d *Document) int {
	from := i
	i++
	for {
		n := bytes.IndexByte(d.head(b[i:]), '"')
		if n < 0 {
			if l := d.find(b, from); l != nil {
				return min(from+l.to-l.from, len(b))
			}
			if n = bytes.IndexByte(b[i:], '"'); n < 0 {
				return len(b)
			}
		}
		i += n
		escapes := 0
		for j := i - 1; j >= 0 && b[j] == '\\'; j-- {
			escapes++
		}
		i++
		if escapes%2 == 0 {
			return i
		}
		if l := d.find(b, from); l != nil { // a long text that quotes
			return min(from+l.to-l.from, len(b))
		}
	}
}
