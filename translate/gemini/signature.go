// SPDX-License-Identifier: Apache-2.0

package gemini

import (
	"bytes"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Sentinel is the documented placeholder for the signature of a call that was not
// made by the model or whose signature got lost. Source: specs/openai.md §7.1.
var Sentinel = rawjson.Value(`"skip_thought_signature_validator"`)

// NoResult answers a call whose result the client never sent; Gemini wants one for
// each.
var NoResult = rawjson.Value(`{"error":"no result was provided"}`)

// ValidSignature reports whether v is base64 of either alphabet, as every signature
// of Google's is and both placeholders are.
func ValidSignature(v rawjson.Value) bool {
	inner := v.Inner()
	return len(inner) > 0 && strings.Trim(string(inner), base64Alphabet) == ""
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_="

// DecodeNativePart reads a call or result of a tool of Google's that came back from
// a client, who may have changed it: nothing else passes.
func DecodeNativePart(v rawjson.Value) (p Part, ok bool) {
	if v.Kind() != rawjson.Object {
		return p, false
	}
	found := 0
	for k, m := range v.Members() {
		switch string(k.Inner()) {
		case "toolCall", "toolResponse", "executableCode", "codeExecutionResult":
			if found++; m.Kind() != rawjson.Object {
				return p, false
			}
		case "thoughtSignature":
			if !ValidSignature(m) {
				return p, false
			}
		default:
			return p, false
		}
	}
	return DecodePart(v), found == 1
}

// Unsign replaces all thought signatures, which Google refused, by the sentinel on
// the first function call of each model turn, where the model insists on one. It
// reports false where nothing was left to replace. Source: specs/openai.md §7.3.
func (r *Request) Unsign(insists bool) bool {
	changed := false
	for i := range r.Contents {
		c := &r.Contents[i]
		first := true
		kept := c.Parts[:0]
		for _, p := range c.Parts {
			var want rawjson.Value
			if p.ServerToolKey != "" { // worth nothing without its signature
				changed = true
				continue
			}
			if p.FunctionCall != nil && first {
				first = false
				if insists {
					want = Sentinel
				}
			}
			if !bytes.Equal(p.ThoughtSignature, want) {
				changed = true
				p.ThoughtSignature = want
			}
			if want == nil && p.Text.IsEmptyString() {
				continue // was there for its signature only
			}
			kept = append(kept, p)
		}
		c.Parts = kept
	}
	r.Contents = withoutEmpty(r.Contents)
	return changed
}

// withoutEmpty drops contents that lost their last part.
func withoutEmpty(contents []Content) []Content {
	kept := contents[:0]
	for _, c := range contents {
		if len(c.Parts) > 0 {
			kept = append(kept, c)
		}
	}
	return kept
}
