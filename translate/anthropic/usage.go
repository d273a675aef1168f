// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

// served counts the uses of Google's own tools that an answer tells of.
type served struct{ searches, fetches int }

// inputTokens is what Anthropic calls input: without what came from a cache, which
// Google counts as part of the prompt.
func inputTokens(u gemini.Usage) int64 { return max(0, u.Input()-u.Cached) }

// appendUsage appends the usage object of a message. Nothing is ever written to a
// cache at a price of its own. Source: specs/native-anthropic.md C.6.
func appendUsage(dst []byte, u gemini.Usage, s served) []byte {
	dst = strconv.AppendInt(append(dst, `{"input_tokens":`...), inputTokens(u), 10)
	dst = strconv.AppendInt(append(dst, `,"cache_creation_input_tokens":0,"cache_read_input_tokens":`...), u.Cached, 10)
	dst = append(dst, `,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0}`...)
	dst = appendOutput(dst, u)
	dst = append(dst, `,"service_tier":"standard","server_tool_use":`...)
	if s == (served{}) {
		return append(dst, `null}`...)
	}
	return append(s.append(dst), '}')
}

// appendStartUsage appends the usage that a stream starts with, where nothing was
// written yet. Google need not have counted the prompt by then; the estimate stands
// in. Source: specs/native-anthropic.md C.7.
func appendStartUsage(dst []byte, u gemini.Usage, estimate int64) []byte {
	input := inputTokens(u)
	if u.Input() == 0 {
		input = estimate
	}
	dst = strconv.AppendInt(append(dst, `{"input_tokens":`...), input, 10)
	dst = strconv.AppendInt(append(dst, `,"cache_creation_input_tokens":0,"cache_read_input_tokens":`...), u.Cached, 10)
	return append(dst, `,"output_tokens":0}`...)
}

// appendEndUsage appends the totals that a stream ends with. They replace what it
// started with, so all are there.
func appendEndUsage(dst []byte, u gemini.Usage, s served) []byte {
	dst = strconv.AppendInt(append(dst, `{"input_tokens":`...), inputTokens(u), 10)
	dst = strconv.AppendInt(append(dst, `,"cache_read_input_tokens":`...), u.Cached, 10)
	dst = append(dst, `,"cache_creation_input_tokens":0`...)
	dst = appendOutput(dst, u)
	if s != (served{}) {
		dst = s.append(append(dst, `,"server_tool_use":`...))
	}
	return append(dst, '}')
}

func appendOutput(dst []byte, u gemini.Usage) []byte {
	dst = strconv.AppendInt(append(dst, `,"output_tokens":`...), u.Output(), 10)
	dst = strconv.AppendInt(append(dst, `,"output_tokens_details":{"thinking_tokens":`...), u.Thoughts, 10)
	return append(dst, '}')
}

func (s served) append(dst []byte) []byte {
	dst = strconv.AppendInt(append(dst, `{"web_search_requests":`...), int64(s.searches), 10)
	dst = strconv.AppendInt(append(dst, `,"web_fetch_requests":`...), int64(s.fetches), 10)
	return append(dst, '}')
}
