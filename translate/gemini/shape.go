// SPDX-License-Identifier: Apache-2.0

package gemini

import (
	"slices"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// shape is an event of a stream with holes where its text and its token counts are.
// Google sends an answer in events that differ in these alone, so that those after the
// second need not be parsed: what fills the holes is checked, what is between them
// compared. An event that does not fit is decoded as if there was no shape. The zero
// value, and a nil one, fit nothing.
type shape struct {
	doc   []byte        // the event it was learnt from, which all leaves of the Response but the text alias
	holes []hole        // in their order; none while the shape fits nothing
	text  rawjson.Value // of the event that fits
	unfit int           // how often in a row it was learnt for nothing
}

// hole is a stretch of doc that may be another in the next event.
type hole struct {
	from, to int
	name     []byte // of the count; nil for the text
	count    int64  // in the event that fits
}

const (
	// maxShape is longer than what is worth a copy: an event of text has 600 bytes.
	maxShape = 4 << 10
	// maxUnfit is how often an answer may show another shape in each event, as one of
	// calls does, before it is believed to.
	maxUnfit = 4
)

// forget makes s fit nothing; memory is kept.
func (s *shape) forget() {
	if s != nil {
		s.holes = s.holes[:0]
	}
}

// reset is forget for another answer.
func (s *shape) reset() {
	if s != nil {
		*s = shape{doc: s.doc[:0], holes: s.holes[:0]}
	}
}

// fits reports whether doc is the event with other text and counts, which are left in
// s then.
func (s *shape) fits(doc []byte) bool {
	if s == nil || len(s.holes) == 0 {
		return false
	}
	at, from := 0, 0
	for i := range s.holes {
		h := &s.holes[i]
		same := s.doc[from:h.from]
		if len(doc)-at < len(same) || string(doc[at:at+len(same)]) != string(same) {
			return false
		}
		at += len(same)
		if h.name == nil {
			var ok bool
			if s.text, ok = rawjson.StringAt(doc, at); !ok {
				return false
			}
			at += len(s.text)
		} else {
			var digits int
			if h.count, digits = countAt(doc, at); digits == 0 {
				return false
			}
			at += digits
		}
		from = h.to
	}
	return string(doc[at:]) == string(s.doc[from:])
}

// maxDigits is what no true count has more of.
const maxDigits = 9

// countAt reads a whole number; of what is none, it has no digits.
func countAt(doc []byte, at int) (n int64, digits int) {
	for _, c := range doc[at:min(at+maxDigits+1, len(doc))] {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int64(c-'0')
		digits++
	}
	if digits > maxDigits || digits > 1 && doc[at] == '0' {
		return 0, 0
	}
	return n, digits
}

// learn makes the shape fit events like v, which r was decoded from, where v is one text
// of one candidate. The first document is not learnt, as an answer in one piece has no
// other, nor the first with a finishReason, which is the last of most models.
func (r *Response) learn(v rawjson.Value) {
	first := !r.begun
	r.begun = true
	if first || len(v) > maxShape || v.Kind() != rawjson.Object || !r.isText() {
		return
	}
	ends := r.Candidates[0].FinishReason != nil
	last := ends && !r.ended
	if r.ended = ends; last {
		return
	}
	if r.shape == nil {
		r.shape = new(shape)
	}
	s := r.shape
	if s.unfit >= maxUnfit {
		return
	}
	s.unfit++
	s.doc = append(s.doc[:0], v...)
	s.holes = slices.Grow(s.holes, 6) // the text, and the counts of one that thinks and of a cache
	r.DecodeValue(s.doc)              // once more, which changes nothing but where the leaves are
	c := rawjson.Value(s.doc).Cursor()
	if !s.mark(&c) {
		s.forget()
	}
}

// isText reports whether r was one text and nothing that would have to be kept.
func (r *Response) isText() bool {
	if len(r.Candidates) != 1 || len(r.Candidates[0].Parts) != 1 || r.BlockReason != nil || r.Error != nil {
		return false
	}
	c := &r.Candidates[0]
	return c.Parts[0].Text.Kind() == rawjson.String && c.Parts[0].ThoughtSignature == nil &&
		c.Grounding == nil && c.Citations == nil && c.Logprobs == nil && c.URLContext == nil
}

// mark finds the holes, and reports false where some member that has one is there twice:
// the last would count, which may have none.
func (s *shape) mark(c *rawjson.Cursor) bool {
	texts, usages, whole := 0, 0, true
	c.Open('{')
	for key, ok := c.Key(); ok; key, ok = c.Key() {
		switch string(key) {
		case "candidates":
			texts += s.texts(c, "content", "parts", "text")
		case "usageMetadata":
			usages++
			whole = whole && s.counts(c)
		default:
			c.Value()
		}
	}
	return texts == 1 && usages <= 1 && whole
}

// texts marks what is at the end of a path as holes, in all elements of lists, and counts
// them.
func (s *shape) texts(c *rawjson.Cursor, path ...string) (n int) {
	switch {
	case len(path) == 0:
		from := c.Offset()
		c.Value()
		s.holes = append(s.holes, hole{from: from, to: c.Offset()})
		return 1
	case c.Kind() == rawjson.Array:
		for c.Open('['); c.Elem(); {
			n += s.texts(c, path...)
		}
	case c.Kind() == rawjson.Object:
		name, rest := path[0], path[1:] //nolint:gosec // it is not empty: that is the first case
		c.Open('{')
		for key, ok := c.Key(); ok; key, ok = c.Key() {
			if string(key) == name {
				n += s.texts(c, rest...)
			} else {
				c.Value()
			}
		}
	default:
		c.Value()
	}
	return n
}

// counts marks token counts as holes, and reports whether each is there once, and plain.
func (s *shape) counts(c *rawjson.Cursor) bool {
	all := true
	var u Usage
	for open := c.Open('{'); open; {
		key, ok := c.Key()
		if !ok {
			break
		}
		from := c.Offset()
		v := c.Value()
		count := u.counter(key)
		if count == nil {
			continue
		}
		_, digits := countAt(v, 0)
		all = all && digits == len(v) && *count == 0
		*count = 1 // it was there
		s.holes = append(s.holes, hole{from: from, to: c.Offset(), name: key})
	}
	return all
}

// fill takes over what an event has that fits the shape.
func (r *Response) fill() {
	for i := range r.shape.holes {
		if h := &r.shape.holes[i]; h.name == nil {
			r.Candidates[0].Parts[0].Text = r.shape.text
		} else {
			*r.Usage.counter(h.name) = h.count
		}
	}
	r.shape.unfit = 0
}
