// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"bytes"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Models that are asked for JSON in words put a Markdown fence around it. It goes where
// a text is one fenced block as a whole, which streams know at its end only: text that
// begins with a fence waits for it there. Source: specs/openai.md §9.1.

const fence = "```"

// jsonText takes over text of an answer that was to be JSON.
func (x *Messages) jsonText(dst []byte, v rawjson.Value) []byte {
	if x.flowing {
		return x.say(dst, v)
	}
	x.fenced = rawjson.AppendText(x.fenced, v)
	if start := bytes.TrimLeft(x.fenced, " \t\r\n"); bytes.HasPrefix(start, []byte(fence)) || bytes.HasPrefix([]byte(fence), start) {
		if x.plan.stream {
			dst = append(dst, pingEvent...)
		}
		return dst
	}
	x.flowing = true
	return x.sayFenced(dst, x.fenced)
}

// sayFenced writes text that waited.
func (x *Messages) sayFenced(dst, text []byte) []byte {
	v := rawjson.Quote(string(text))
	x.fenced = nil
	return x.say(dst, v)
}

// unfenced returns what stands in text that is one fenced block, or else the text.
func unfenced(text []byte) []byte {
	rest, opens := bytes.CutPrefix(bytes.TrimSpace(text), []byte(fence))
	language, rest, line := bytes.Cut(rest, []byte("\n"))
	rest, closes := bytes.CutSuffix(rest, []byte(fence))
	switch {
	case !opens || !line || !closes || bytes.ContainsAny(bytes.TrimSpace(language), "` {[\""):
		return text
	case bytes.HasPrefix(rest, []byte(fence)) || bytes.Contains(rest, []byte("\n"+fence)):
		return text // another block begins
	}
	if rest = bytes.TrimSpace(rest); len(rest) == 0 {
		return text
	}
	return rest
}
