// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"bytes"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Blocks, by the table in specs/native-anthropic.md C.2.

// block reads a block that both sides may send, and appends its parts. Empty text is
// dropped, as Gemini refuses it, and so are blocks that mean nothing here: new ones
// come with every beta.
func (d *decoder) block(dst []gemini.Part, b, typ rawjson.Value) []gemini.Part {
	switch string(typ.Inner()) {
	case "text":
		text := b.Get("text")
		if d.isHere(text, rawjson.String, "text") && !text.IsEmptyString() {
			dst = append(dst, gemini.Part{Text: text})
		}
	case "image":
		dst = d.source(dst, b, "image")
	case "document":
		dst = d.document(dst, b)
	case "search_result":
		dst = append(dst, searchResult(b))
	case "compaction":
		if text := b.Get("content"); text.Kind() == rawjson.String && !text.IsEmptyString() {
			dst = append(dst, gemini.Part{Text: text})
		}
		for _, change := range b.Get("tool_changes").Elems() {
			d.toolChange(change, change.Get("type"))
		}
	}
	return dst
}

// spoken is what an assistant message says.
type spoken struct {
	parts     []gemini.Part
	calls     []spokenCall
	signed    map[string]rawjson.Value // signatures that envelopes bring, by id
	replayed  *bool                    // some envelope brings Google's own calls and results; nil where not looked for
	queries   map[string]rawjson.Value // what server tools were called with, by id
	signature rawjson.Value            // of the text to come
}

// spokenCall is a call and what results name it by.
type spokenCall struct {
	call
	id string
}

// said reads a block of the assistant's.
func (d *decoder) said(s *spoken, b, typ rawjson.Value) {
	switch word := string(typ.Inner()); word {
	case "thinking":
		d.envelope(s, b.Get("signature"))
	case "redacted_thinking":
		d.envelope(s, b.Get("data"))
	case "tool_use":
		d.toolUse(s, b)
	case "server_tool_use", "mcp_tool_use":
		s.serverUse(b)
	default:
		if d.toolChange(b, typ) || d.failure != nil {
			return
		}
		if bytes.HasSuffix(typ.Inner(), []byte("_tool_result")) && word != "tool_result" {
			d.serverResult(s, b, word)
			return
		}
		n := len(s.parts)
		if s.parts = d.block(s.parts, b, typ); len(s.parts) > n && word == "text" && s.signature != nil {
			s.parts[n].ThoughtSignature, s.signature = s.signature, nil
		}
	}
}

// toolUse reads a call.
func (d *decoder) toolUse(s *spoken, b rawjson.Value) {
	var id, name, input rawjson.Value
	for k, m := range b.Members() {
		switch string(k.Inner()) {
		case "id":
			id = m
		case "name":
			name = m
		case "input":
			input = m
		}
	}
	if !d.isHere(id, rawjson.String, "id") || !d.isHere(name, rawjson.String, "name") {
		return
	}
	if id.IsEmptyString() || name.IsEmptyString() {
		d.reject(d.path(""), "The id and the name of a tool use must not be empty")
		return
	}
	switch input.Kind() {
	case rawjson.Object:
		input = gemini.StructSafe(input)
	case rawjson.Missing, rawjson.Null:
		input = rawjson.Value("{}")
	default:
		input = wrap("value", gemini.StructSafe(input))
	}
	if text := name.Text(); !gemini.ValidToolName(text) {
		name = rawjson.Quote(d.req.names.Sent(text))
	}
	s.calls = append(s.calls, spokenCall{call{part: len(s.parts), name: name}, id.Text()})
	s.parts = append(s.parts, gemini.Part{
		FunctionCall:     &gemini.FunctionCall{ID: id, Name: name, Args: input},
		ThoughtSignature: d.signatureOf(s, id.Text()),
	})
}

// document reads a document with its title and context before it.
func (d *decoder) document(dst []gemini.Part, b rawjson.Value) []gemini.Part {
	var head []byte
	for _, line := range [...]struct{ label, field string }{{"Document: ", "title"}, {"Context: ", "context"}} {
		if v := d.doc.Get(b, line.field); d.optional(v, rawjson.String, line.field) && !v.IsEmptyString() {
			if head != nil {
				head = append(head, `\n`...)
			}
			head = append(append(head, line.label...), v.Inner()...)
		}
	}
	if head != nil {
		dst = append(dst, gemini.Part{Text: quoteInner(head)})
	}
	return d.source(dst, b, "document")
}

// searchResult is a client's own search result as text.
func searchResult(b rawjson.Value) gemini.Part {
	text := []byte("Search result: ")
	text = append(text, b.Get("title").Inner()...)
	if from := b.Get("source").Inner(); len(from) > 0 {
		text = append(append(append(text, " ("...), from...), ')')
	}
	for _, e := range b.Get("content").Elems() {
		text = append(append(text, `\n`...), e.Get("text").Inner()...)
	}
	return gemini.Part{Text: quoteInner(text)}
}

// quoteInner makes a string of encoded text.
func quoteInner(inner []byte) rawjson.Value {
	out := make([]byte, 0, len(inner)+2)
	return append(append(append(out, '"'), inner...), '"')
}
