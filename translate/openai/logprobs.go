// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// closeWithLogprobs ends a chunk with the probabilities that came with it.
func (x *Chat) closeWithLogprobs(dst []byte) []byte {
	dst = append(dst, `,"logprobs":`...)
	dst = x.appendLogprobs(dst, x.logprobs)
	x.logprobs = nil
	dst = append(dst, `,"finish_reason":null}]`...)
	return append(append(dst, x.noUsage()...), '}', '\n', '\n')
}

// strayLogprobs takes care of probabilities that no text came with.
func (x *Chat) strayLogprobs(dst []byte, c *choice) []byte {
	switch {
	case x.logprobs == nil:
	case !x.req.Stream:
		c.logprobs = x.appendLogprobs(c.logprobs[:0], x.logprobs)
	case c.role:
		return x.closeWithLogprobs(append(x.open(dst, c, false), '{', '}'))
	}
	x.logprobs = nil
	return dst
}

// appendLogprobs appends OpenAI's logprobs object for a logprobsResult.
// Source: specs/openai.md §10.8.
func (x *Chat) appendLogprobs(dst []byte, result rawjson.Value) []byte {
	dst = append(dst, `{"content":[`...)
	dst = appendTokens(dst, result, x.req.TopLogprobs, true)
	return append(dst, `],"refusal":null}`...)
}

// appendTokens appends the tokens of a logprobsResult, with at most top
// alternatives each. Events of the Responses API go without bytes.
func appendTokens(dst []byte, result rawjson.Value, top int, withBytes bool) []byte {
	var tops []rawjson.Value
	for _, t := range result.Get("topCandidates").Elems() {
		tops = append(tops, t.Get("candidates"))
	}
	for i, chosen := range result.Get("chosenCandidates").Elems() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendToken(dst, chosen, withBytes)
		dst = append(dst, `,"top_logprobs":[`...)
		if i < len(tops) {
			for j, token := range tops[i].Elems() {
				if j >= top {
					break
				}
				if j > 0 {
					dst = append(dst, ',')
				}
				dst = append(appendToken(dst, token, withBytes), '}')
			}
		}
		dst = append(dst, ']', '}')
	}
	return dst
}

// appendToken appends the members of one token, without the closing brace.
func appendToken(dst []byte, v rawjson.Value, withBytes bool) []byte {
	token := v.Get("token")
	dst = append(append(append(dst, `{"token":"`...), token.Inner()...), `","logprob":`...)
	if p := v.Get("logProbability"); p.Kind() == rawjson.Number {
		dst = append(dst, p...)
	} else {
		dst = append(dst, '0') // proto3 leaves out zeros
	}
	if !withBytes {
		return dst
	}
	dst = append(dst, `,"bytes":[`...)
	for i, b := range rawjson.AppendText(nil, token) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(b), 10)
	}
	return append(dst, ']')
}
