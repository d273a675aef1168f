// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"bytes"
	"slices"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// What tools of the server did in earlier turns. What Google's own tools did comes
// back whole in the envelope; of all else, and of other servers' turns, the model gets
// to know the gist, as text: the query and the pages, the code and its output.
// Source: C.2.

// serverUse notes a call of a server tool, for the result to name.
func (s *spoken) serverUse(b rawjson.Value) {
	if id := b.Get("id"); id.Kind() == rawjson.String {
		if s.queries == nil {
			s.queries = map[string]rawjson.Value{}
		}
		s.queries[id.Text()] = b
	}
}

// serverResult reads the result of a server tool.
func (d *decoder) serverResult(s *spoken, b rawjson.Value, word string) {
	content := b.Get("content")
	for _, ref := range content.Get("tool_references").Elems() {
		if name := ref.Get("tool_name"); name.Kind() == rawjson.String {
			d.load(name.Text(), true)
		}
	}
	if word == "tool_search_tool_result" || word == "advisor_tool_result" || d.replayed(s) {
		return
	}
	use := s.queries[b.Get("tool_use_id").Text()]
	if text := gist(use, content); len(text) > 0 {
		s.parts = append(s.parts, gemini.Part{Text: quoteInner(text)})
	}
}

// replayed reports whether an envelope of the present message brings what the
// server's tools did. It may stand before or after the blocks that tell of it.
func (d *decoder) replayed(s *spoken) bool {
	if s.replayed == nil {
		found := false
		for _, b := range d.messages[d.at.message].Get("content").Elems() {
			if b.Get("type").Is("thinking") {
				e, ok := openEnvelope(d.opts, b.Get("signature"))
				found = found || ok && e.family == d.req.family && slices.ContainsFunc(e.parts, func(p gemini.Part) bool { return d.takesNative(&p) })
			}
		}
		s.replayed = &found
	}
	return *s.replayed
}

// gist is what a server tool did, as encoded text; empty where there is nothing to
// tell.
func gist(use, content rawjson.Value) []byte {
	text := []byte{'['}
	if name := use.Get("name").Inner(); len(name) > 0 {
		text = append(text, name...)
	} else {
		text = append(text, "tool"...)
	}
	input := use.Get("input")
	for _, field := range [...]string{"query", "url", "code", "command"} {
		if v := input.Get(field).Inner(); len(v) > 0 {
			text = append(append(text, ": "...), v...)
			break
		}
	}
	text = append(text, ']')
	n := len(text)
	switch content.Kind() {
	case rawjson.String:
		text = appendLine(text, content.Inner())
	case rawjson.Array:
		for _, e := range content.Elems() {
			text = appendGist(text, e)
		}
	default:
		text = appendGist(text, content)
	}
	if use == nil && len(text) == n {
		return nil
	}
	return text
}

// appendGist appends what one result says.
func appendGist(text []byte, v rawjson.Value) []byte {
	title, url := v.Get("title").Inner(), v.Get("url").Inner()
	if len(title) == 0 {
		title = v.Get("content").Get("title").Inner() // of a page that was fetched
	}
	switch {
	case len(title) > 0 && len(url) > 0:
		text = appendLine(text, title)
		text = append(append(append(text, " ("...), url...), ')')
	case len(title)+len(url) > 0:
		text = appendLine(text, append(bytes.Clone(title), url...))
	}
	for _, field := range [...]string{"text", "stdout", "stderr", "error_code"} {
		text = appendLine(text, v.Get(field).Inner())
	}
	return text
}

func appendLine(text, inner []byte) []byte {
	if len(inner) == 0 {
		return text
	}
	return append(append(text, `\n`...), inner...)
}
