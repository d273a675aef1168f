// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Gemini marks what a source supports by byte offsets into the model's text;
// OpenAI counts characters of the message content, which also has what the
// model's text does not: thought tags, code, links. Source: specs/openai.md §10.6.

// offsets converts from one to the other.
type offsets struct {
	text   []byte // the model's text, decoded
	pieces []piece
	parts  func(i int) (from int, ok bool) // where a part of the answer starts in text
}

// piece is a stretch of text that stands in content without a gap.
type piece struct {
	from  int // byte offset in text
	shift int // characters of content before it that are not text
}

func (c *choice) offsets() offsets {
	var o offsets
	shift, at := 0, 0
	add := func(to int) {
		o.pieces = append(o.pieces, piece{len(o.text), shift})
		o.text = rawjson.AppendText(o.text, quoted(c.content[at:to]))
	}
	for _, g := range c.gaps {
		add(g.from)
		shift += utf8.RuneCount(rawjson.AppendText(nil, quoted(c.content[g.from:g.to])))
		at = g.to
	}
	add(len(c.content))
	o.parts = c.partStart
	return o
}

// What a part is, as far as it decides whether the next event of a stream goes on
// with it: Google cuts text and thoughts anywhere, but counts parts of the whole.
const (
	partNone = iota
	partText
	partThought
	partOther
)

// startPart notes where a part starts in content; fresh is false for the first
// one of a further event.
func (c *choice) startPart(p *gemini.Part, fresh bool) {
	kind := partOther
	switch {
	case p.Text == nil || p.FunctionCall != nil:
	case p.Thought:
		kind = partThought
	default:
		kind = partText
	}
	if !fresh && kind == c.lastPart && kind != partOther {
		return
	}
	c.lastPart = kind
	c.partAt = append(c.partAt, len(c.content))
}

// partStart is where part i starts in the model's text, in bytes.
func (c *choice) partStart(i int) (from int, ok bool) {
	if i >= len(c.partAt) {
		return 0, false
	}
	end, at := c.partAt[i], 0
	add := func(to int) {
		if to = min(to, end); to > at {
			from += len(rawjson.AppendText(nil, quoted(c.content[at:to])))
		}
	}
	for _, g := range c.gaps {
		add(g.from)
		at = g.to
	}
	add(len(c.content))
	return from, true
}

// quoted makes encoded text a value.
func quoted(inner []byte) rawjson.Value {
	v := make([]byte, 0, len(inner)+2)
	return append(append(append(v, '"'), inner...), '"')
}

// characters converts a byte offset; last says that it is the end of a span.
// It reports false out of range and inside a character.
func (o *offsets) characters(at int, last bool) (int, bool) {
	if at < 0 || at > len(o.text) || at < len(o.text) && !utf8.RuneStart(o.text[at]) {
		return 0, false
	}
	shift := 0
	for _, p := range o.pieces {
		if p.from < at || p.from == at && !last {
			shift = p.shift
		}
	}
	return utf8.RuneCount(o.text[:at]) + shift, true
}

// span is a stretch of content and where it is from.
type span struct {
	from, to   int
	url, title string // encoded, without quotes
}

// annotations appends the elements of the message's annotations.
func (c *choice) annotations(dst []byte) []byte {
	for _, s := range c.spans() {
		if len(dst) > 0 {
			dst = append(dst, ',')
		}
		dst = s.append(dst)
	}
	return dst
}

// spans are the stretches of content with a source, each once.
func (c *choice) spans() (list []span) {
	if len(c.grounding) == 0 && len(c.citations) == 0 {
		return nil
	}
	o := c.offsets()
	seen := map[span]bool{}
	add := func(s span) {
		key := s
		key.title = ""
		if s.url == "" || seen[key] {
			return
		}
		seen[key] = true
		list = append(list, s)
	}
	var chunks []rawjson.Value
	for _, g := range c.grounding {
		if list := g.Get("groundingChunks"); list.Len() > 0 {
			chunks = chunks[:0]
			for _, chunk := range list.Elems() {
				chunks = append(chunks, chunk)
			}
		}
		for _, support := range g.Get("groundingSupports").Elems() {
			o.support(support, chunks, add)
		}
	}
	for _, g := range c.citations {
		for _, name := range []string{"citationSources", "citations"} {
			for _, source := range g.Get(name).Elems() {
				from, to, ok := o.segment(source)
				if ok || source.Get("startIndex") == nil && source.Get("endIndex") == nil { // of no place, but named
					add(span{from, to, inner(source.Get("uri")), inner(source.Get("title"))})
				}
			}
		}
	}
	return list
}

// support adds a span for each source of one supported segment.
func (o *offsets) support(support rawjson.Value, chunks []rawjson.Value, add func(span)) {
	from, to, ok := o.segment(support.Get("segment"))
	if !ok {
		return
	}
	for _, i := range support.Get("groundingChunkIndices").Elems() {
		n, ok := i.Int()
		if !ok || n < 0 || n >= int64(len(chunks)) {
			continue
		}
		for _, kind := range []string{"web", "retrievedContext", "maps"} {
			source := chunks[n].Get(kind)
			if url := inner(source.Get("uri")); url != "" {
				title := inner(source.Get("title"))
				if title == "" {
					title = inner(source.Get("domain"))
				}
				add(span{from, to, url, title})
				break
			}
		}
	}
}

// segment reads startIndex and endIndex, which count from the start of part
// partIndex. Where the segment brings its text and the offsets miss it (models
// count from elsewhere at times), the text decides.
func (o *offsets) segment(v rawjson.Value) (from, to int, ok bool) {
	start, _ := v.Get("startIndex").Int()
	end, ok := v.Get("endIndex").Int()
	if !ok || start < 0 || end <= start {
		return 0, 0, false
	}
	a, b := int(start), int(end)
	if i, _ := v.Get("partIndex").Int(); i > 0 && i <= math.MaxInt16 {
		if base, ok := o.parts(int(i)); ok {
			a, b = a+base, b+base
		}
	}
	if text := rawjson.AppendText(nil, v.Get("text")); len(text) > 0 {
		if b > len(o.text) || !bytes.Equal(o.text[a:b], text) {
			if n := bytes.Index(o.text, text); n >= 0 {
				a, b = n, n+len(text)
			}
		}
	}
	from, ok = o.characters(a, false)
	if !ok {
		return 0, 0, false
	}
	to, ok = o.characters(b, true)
	return from, to, ok
}

func inner(v rawjson.Value) string { return string(v.Inner()) }

func (s span) append(dst []byte) []byte {
	dst = append(dst, `{"type":"url_citation","url_citation":{"start_index":`...)
	dst = strconv.AppendInt(dst, int64(s.from), 10)
	dst = append(dst, `,"end_index":`...)
	dst = strconv.AppendInt(dst, int64(s.to), 10)
	dst = append(append(append(dst, `,"url":"`...), s.url...), `","title":"`...)
	return append(append(dst, s.title...), `"}}`...)
}

// metadata is the grounding as Google sent it, nil where there is none. Of
// several the last holds what came before.
func (c *choice) metadata() rawjson.Value {
	if n := len(c.grounding); n > 0 {
		return c.grounding[n-1]
	}
	return nil
}

// appendMetadata appends the member with Google's own grounding object, whose
// search suggestions clients have to show.
func appendMetadata(dst []byte, metadata rawjson.Value) []byte {
	if metadata == nil {
		return dst
	}
	dst = append(dst, `,"extra_content":{"google":{"grounding_metadata":`...)
	return append(append(dst, metadata...), '}', '}')
}
