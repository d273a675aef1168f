// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// pairs marks each two bytes that are both of the standard base64 alphabet. Two
// at a time halve the loads; the few rows in use stay in the first-level cache.
var pairs = func() (t [1 << 16]bool) {
	for a := range 256 {
		for b := range 256 {
			t[a<<8|b] = alphabet[a] && alphabet[b]
		}
	}
	return t
}()

var alphabet = func() (t [256]bool) {
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
		t[c] = true
	}
	return t
}()

// sample is how much of both ends of large data is checked byte by byte.
const sample = 32 << 10

// Text is the text of a JSON string.
type Text struct {
	Bytes  []byte
	Copied bool // escapes were resolved, so that any byte may be in it
}

// TextOf is the text of a string, without a copy where nothing is escaped; empty
// for any other value.
func TextOf(v rawjson.Value) Text { return TextIn(nil, v) }

// TextIn is [TextOf] for a string that may be a long one of doc.
func TextIn(doc *rawjson.Document, v rawjson.Value) Text {
	if doc.Escaped(v) {
		return Text{rawjson.AppendText(nil, v), true}
	}
	return Text{v.Inner(), false}
}

// From returns the text after the first n bytes.
func (t Text) From(n int) Text { return Text{t.Bytes[n:], t.Copied} }

// Base64 returns t as standard, padded base64: its own bytes where they
// are, a copy where it has spaces, line breaks, the URL-safe alphabet or no
// padding.
//
// Between the ends of large data only the URL-safe letters are looked for, which
// runs at memory speed: all that clients do differently shows at the ends too.
// What else may hide there Google refuses with a 400 of its own. It cannot break
// out of the string, as the bytes stood in one before; copied text did not, and
// is checked in full.
func Base64(t Text) ([]byte, bool) {
	b := t.Bytes
	if n := len(b); !t.Copied && n > 4*sample {
		middle := b[sample : n-sample]
		if n%4 == 0 && IsBase64(b[:sample]) && IsBase64(b[n-sample:]) && !urlSafe(middle) {
			return b, true
		}
	} else if IsBase64(b) {
		return b, true
	}
	out := make([]byte, 0, len(b)+4)
	for _, c := range b {
		switch {
		case alphabet[c]:
		case c == '-':
			c = '+'
		case c == '_':
			c = '/'
		case c == ' ' || c == '\n' || c == '\r' || c == '\t':
			continue
		case c == '=':
		default:
			return nil, false
		}
		out = append(out, c)
	}
	out = bytes.TrimRight(out, "=")
	switch len(out) % 4 {
	case 1:
		return nil, false
	case 2:
		out = append(out, '=', '=')
	case 3:
		out = append(out, '=')
	}
	return out, IsBase64(out)
}

// urlSafe reports whether b has a letter that only the URL-safe alphabet has. What the
// search for one brought near is still near for the other.
func urlSafe(b []byte) bool {
	for len(b) > 0 {
		next := b[:min(len(b), 16<<10)]
		if bytes.IndexByte(next, '-') >= 0 || bytes.IndexByte(next, '_') >= 0 {
			return true
		}
		b = b[len(next):]
	}
	return false
}

// IsBase64 reports whether the whole of b is standard, padded base64.
func IsBase64(b []byte) bool {
	if len(b)%4 != 0 {
		return false
	}
	n := len(b)
	for i := 0; i < 2 && n > 0 && b[n-1] == '='; i++ {
		n--
	}
	body := b[:n]
	for len(body) >= 16 {
		x, y := binary.LittleEndian.Uint64(body), binary.LittleEndian.Uint64(body[8:])
		ok := pairs[uint16(x)] && pairs[uint16(x>>16)] && pairs[uint16(x>>32)] && pairs[uint16(x>>48)] &&
			pairs[uint16(y)] && pairs[uint16(y>>16)] && pairs[uint16(y>>32)] && pairs[uint16(y>>48)]
		if !ok {
			return false
		}
		body = body[16:]
	}
	for _, c := range body {
		if !alphabet[c] {
			return false
		}
	}
	return true
}

// Sniff tells the type of base64 data from its first bytes, "" where it cannot.
func Sniff(data []byte) string {
	var head [48]byte
	n, _ := base64.StdEncoding.Decode(head[:], data[:min(len(data)/4*4, 64)])
	return SniffBytes(head[:n])
}

// SniffBytes is [Sniff] for data that is not encoded.
func SniffBytes(b []byte) string {
	for _, m := range magic {
		if len(b) >= m.at+len(m.bytes) && string(b[m.at:m.at+len(m.bytes)]) == m.bytes {
			return m.mime
		}
	}
	return ""
}

// magic has the more particular patterns first.
var magic = []struct {
	at          int
	bytes, mime string
}{
	{0, "\x89PNG\r\n\x1a\n", "image/png"},
	{0, "\xff\xd8\xff", "image/jpeg"},
	{8, "WEBP", "image/webp"},
	{0, "GIF8", "image/gif"},
	{4, "ftyphei", "image/heic"},
	{4, "ftypmif1", "image/heif"},
	{4, "ftypmsf1", "image/heif"},
	{4, "ftypM4A", "audio/mp4"},
	{4, "ftypqt", "video/quicktime"},
	{4, "ftyp3g", "video/3gpp"},
	{4, "ftyp", "video/mp4"},
	{0, "%PDF-", "application/pdf"},
	{8, "WAVE", "audio/wav"},
	{8, "AVI ", "video/avi"},
	{8, "AIFF", "audio/aiff"},
	{0, "ID3", "audio/mpeg"},
	{0, "\xff\xfb", "audio/mpeg"},
	{0, "\xff\xf3", "audio/mpeg"},
	{0, "\xff\xf1", "audio/aac"},
	{0, "OggS", "audio/ogg"},
	{0, "fLaC", "audio/flac"},
	{0, "\x1aE\xdf\xa3", "video/webm"},
	{0, "<svg", "image/svg+xml"},
}
