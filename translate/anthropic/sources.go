// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"bytes"
	"math"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// sources are what an answer with Google's search or page fetching says of where its
// text is from. Google tells it with the last event, but in a message it stands
// before the text, and text with citations in blocks of its own: the text waits.
// Source: specs/native-anthropic.md C.6.
type sources struct {
	text     []byte // the model's text, decoded
	told     int    // how much of it was written
	partAt   []int  // where each part of the answer starts in it
	lastPart partKind

	grounding []rawjson.Value // groundingMetadata objects
	queries   []string        // of the searches, encoded
	asked     []string        // queries of calls of the tool, for answers that tell no others
	pages     []fetchedPage
	announced bool // the blocks of searches and pages were written
}

// source is a page that text is from; all encoded.
type source struct{ url, title string }

// fetchedPage is one that Google fetched.
type fetchedPage struct {
	url    string // encoded
	failed bool
}

// span is a stretch of text with a source.
type span struct {
	from, to int
	source
}

// partKind is what a part is, as far as it decides whether the next event of a stream
// goes on with it: Google cuts text and thoughts anywhere, but counts parts of the
// whole.
type partKind uint8

const (
	partNone partKind = iota
	partText
	partThought
	partOther
)

// startPart notes where a part starts in the text; fresh is false for the first one
// of a further event.
func (x *Messages) startPart(p *gemini.Part, fresh bool) {
	s := x.sources
	if s == nil {
		return
	}
	kind := partOther
	switch {
	case p.Text == nil || p.FunctionCall != nil:
	case p.Thought:
		kind = partThought
	default:
		kind = partText
	}
	if !fresh && kind == s.lastPart && kind != partOther {
		return
	}
	s.lastPart = kind
	s.partAt = append(s.partAt, len(s.text))
}

// ground takes over what a candidate tells of sources.
func (x *Messages) ground(c *gemini.Candidate) {
	s := x.sources
	if s == nil {
		return
	}
	if c.Grounding.Kind() == rawjson.Object {
		g := rawjson.Value(rawjson.Compact(nil, c.Grounding))
		s.grounding = append(s.grounding, g)
		for _, q := range g.Get("webSearchQueries").Elems() {
			s.queries = addOnce(s.queries, q)
		}
	}
	for _, m := range c.URLContext.Get("urlMetadata").Elems() {
		p := fetchedPage{url: string(m.Get("retrievedUrl").Inner())}
		p.failed = !m.Get("urlRetrievalStatus").Is("URL_RETRIEVAL_STATUS_SUCCESS")
		if p.url != "" && !slices.Contains(s.pages, p) {
			s.pages = append(s.pages, p)
		}
	}
}

// called takes over a call of Google's search that the model made.
func (s *sources) called(call rawjson.Value) {
	for _, q := range call.Get("args").Get("queries").Elems() {
		s.asked = addOnce(s.asked, q)
	}
}

func addOnce(list []string, v rawjson.Value) []string {
	if s := string(v.Inner()); s != "" && !slices.Contains(list, s) {
		return append(list, s)
	}
	return list
}

// tellSources writes the text that waited, and before it the searches and pages as
// far as they are known.
func (x *Messages) tellSources(dst []byte) []byte {
	s := x.sources
	if !s.announced && (len(s.grounding) > 0 || len(s.pages) > 0) {
		s.announced = true
		if x.blocks.open == blockText {
			dst = x.blocks.endText(dst)
		}
		dst = x.announce(x.begin(dst))
	}
	if s.told == len(s.text) {
		return dst
	}
	spans := s.spans(x.keeps)
	for s.told < len(s.text) {
		to, citations := s.next(spans)
		inner := rawjson.AppendEscaped(nil, string(s.text[s.told:to]))
		s.told = to
		if len(citations) == 0 {
			dst = x.blocks.text(dst, inner)
			continue
		}
		if x.blocks.open == blockText {
			dst = x.blocks.endText(dst)
		}
		dst = x.blocks.cited(dst, inner, citations)
	}
	return dst
}

// announce writes the blocks of searches and pages.
func (x *Messages) announce(dst []byte) []byte {
	s := x.sources
	if x.plan.search != nil {
		queries := s.queries
		if len(queries) == 0 {
			queries = s.asked
		}
		found := s.found(x.keeps)
		if len(queries) == 0 && len(found) > 0 {
			queries = []string{""} // results must stand somewhere
		}
		dst = x.searched(dst, queries, found)
	}
	if x.plan.fetch != nil {
		dst = x.fetched(dst, s.pages)
	}
	return dst
}

// keeps reports whether the client lets a domain through.
func (x *Messages) keeps(domain string) bool {
	for _, t := range []*serverTool{x.plan.search, x.plan.fetch} {
		if t != nil && !t.domainAllowed(domain) {
			return false
		}
	}
	return true
}

// found are the pages that were found, each once.
func (s *sources) found(keeps func(domain string) bool) (list []source) {
	for _, g := range s.grounding {
		for _, chunk := range g.Get("groundingChunks").Elems() {
			src, ok := sourceOf(chunk, keeps)
			if ok && !slices.ContainsFunc(list, func(o source) bool { return o.url == src.url }) {
				list = append(list, src)
			}
		}
	}
	return list
}

// sourceOf reads a chunk. Google's links are redirects of its own, so the title or
// the member domain says where they lead.
func sourceOf(chunk rawjson.Value, keeps func(domain string) bool) (s source, ok bool) {
	for _, kind := range []string{"web", "retrievedContext", "maps"} {
		c := chunk.Get(kind)
		uri := c.Get("uri")
		if len(uri.Inner()) == 0 {
			continue
		}
		title, domain := c.Get("title"), c.Get("domain").Text()
		if domain == "" {
			domain = title.Text()
		}
		if u, err := url.Parse(uri.Text()); err == nil && (domain == "" || !strings.HasSuffix(u.Hostname(), ".google.com")) {
			domain = u.Hostname()
		}
		s = source{string(uri.Inner()), string(title.Inner())}
		if s.title == "" {
			s.title = string(rawjson.Quote(domain).Inner())
		}
		return s, keeps(domain)
	}
	return s, false
}

// matchesDomain reports whether a domain is another, or below it.
func matchesDomain(domain, other string) bool {
	domain, other = strings.ToLower(domain), strings.ToLower(other)
	other, _, _ = strings.Cut(other, "/") // lists may have paths, which nobody knows here
	return domain == other || strings.HasSuffix(domain, "."+other)
}

// maxSpans bounds what one answer makes of citations; Google gives dozens.
const maxSpans = 1000

// spans are the stretches of the text with a source, each once.
func (s *sources) spans(keeps func(domain string) bool) (list []span) {
	var chunks []rawjson.Value
	for _, g := range s.grounding {
		if all := g.Get("groundingChunks"); all.Len() > 0 {
			chunks = chunks[:0]
			for _, c := range all.Elems() {
				chunks = append(chunks, c)
			}
		}
		for _, support := range g.Get("groundingSupports").Elems() {
			from, to, ok := s.segment(support.Get("segment"))
			if !ok {
				continue
			}
			for _, i := range support.Get("groundingChunkIndices").Elems() {
				n, ok := i.Int()
				if !ok || n < 0 || n >= int64(len(chunks)) {
					continue
				}
				if src, ok := sourceOf(chunks[n], keeps); ok && len(list) < maxSpans && !slices.Contains(list, span{from, to, src}) {
					list = append(list, span{from, to, src})
				}
			}
		}
	}
	return list
}

// segment reads startIndex and endIndex, which count bytes from the start of part
// partIndex. Where the segment brings its text and the offsets miss it (models count
// from elsewhere at times), the text decides. Offsets out of range and inside a
// character are none. Source: specs/openai.md §10.6.
func (s *sources) segment(v rawjson.Value) (from, to int, ok bool) {
	start, _ := v.Get("startIndex").Int()
	end, ok := v.Get("endIndex").Int()
	if !ok || start < 0 || end <= start || end > math.MaxInt32 {
		return 0, 0, false
	}
	from, to = int(start), int(end)
	if i, _ := v.Get("partIndex").Int(); i > 0 && i < int64(len(s.partAt)) {
		from, to = from+s.partAt[i], to+s.partAt[i]
	}
	if text := rawjson.AppendText(nil, v.Get("text")); len(text) > 0 {
		if to > len(s.text) || !bytes.Equal(s.text[from:to], text) {
			if n := bytes.Index(s.text, text); n >= 0 {
				from, to = n, n+len(text)
			}
		}
	}
	return from, to, to <= len(s.text) && utf8.RuneStart(s.text[from]) && (to == len(s.text) || utf8.RuneStart(s.text[to]))
}

// next is the end of the next stretch of text with one set of sources, and the
// citations that it has, encoded.
func (s *sources) next(spans []span) (to int, citations [][]byte) {
	from, to := s.told, len(s.text)
	var seen []string
	for _, sp := range spans {
		switch {
		case sp.from > from:
			to = min(to, sp.from)
		case sp.to > from:
			to = min(to, sp.to)
		}
	}
	for _, sp := range spans {
		if sp.from <= from && sp.to > from && !slices.Contains(seen, sp.url) {
			seen = append(seen, sp.url)
			citations = append(citations, sp.citation(s.text))
		}
	}
	return to, citations
}

// maxCited is how many bytes of text a citation repeats at most.
const maxCited = 150

// citation is a citation of the text, encoded. Google does not tell what the source
// says, only for what it stands.
func (sp *span) citation(text []byte) []byte {
	cited := text[sp.from:sp.to]
	if len(cited) > maxCited {
		n := maxCited
		for !utf8.RuneStart(cited[n]) {
			n--
		}
		cited = cited[:n]
	}
	c := append([]byte(`{"type":"web_search_result_location","url":"`), sp.url...)
	c = append(append(append(c, `","title":"`...), sp.title...), `","cited_text":"`...)
	c = rawjson.AppendEscaped(c, string(cited))
	return append(c, `","encrypted_index":"`+opaque+`"}`...)
}
