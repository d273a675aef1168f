// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Older models put a Markdown fence around JSON that was asked for. It goes where
// the whole text is one fenced block, which streams know at the end only: text that
// begins with a fence waits for it there. Source: specs/openai.md §9.1.

const fence = "```"

// opensFence reports whether encoded text begins with a fence, or may still do so
// when more of it comes.
func opensFence(inner []byte) bool {
	for len(inner) > 0 {
		switch {
		case inner[0] == ' ':
			inner = inner[1:]
		case inner[0] == '\\' && len(inner) > 1 && bytes.IndexByte([]byte("nrt"), inner[1]) >= 0:
			inner = inner[2:]
		default:
			n := min(len(inner), len(fence))
			return string(inner[:n]) == fence[:n]
		}
	}
	return true
}

// flow returns what a stream tells of JSON that inner was just added to, nothing
// while it has to wait.
func (c *choice) flow(inner []byte) []byte {
	switch {
	case c.flowing:
	case c.tagged: // thoughts stand before it, which is no JSON anyway
		c.flowing = true
	case opensFence(c.content):
		return nil
	default:
		c.flowing = true
		return c.content
	}
	return inner
}

// unfence takes the fence away from the content. What pointed into it is lost.
func (c *choice) unfence() {
	if !opensFence(c.content) {
		return
	}
	if text, ok := unfenced(rawjson.AppendText(nil, quoted(c.content))); ok {
		c.content, c.gaps, c.grounding, c.citations = rawjson.AppendEscaped(c.content[:0], string(text)), nil, nil, nil
	}
}

// unfenced returns what stands in text that is one fenced block.
func unfenced(text []byte) (_ []byte, ok bool) {
	rest, opens := bytes.CutPrefix(bytes.TrimSpace(text), []byte(fence))
	language, rest, line := bytes.Cut(rest, []byte("\n"))
	rest, closes := bytes.CutSuffix(rest, []byte(fence))
	if !opens || !line || !closes || bytes.ContainsAny(bytes.TrimSpace(language), "` {[\"") {
		return nil, false
	}
	if bytes.HasPrefix(rest, []byte(fence)) || bytes.Contains(rest, []byte("\n"+fence)) {
		return nil, false // another block begins
	}
	rest = bytes.TrimSpace(rest)
	return rest, len(rest) > 0
}
