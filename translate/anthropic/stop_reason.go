// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"bytes"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// The stop reasons in use. Clients' types know no others.
const (
	stopEnd      = "end_turn"
	stopLength   = "max_tokens"
	stopSequence = "stop_sequence"
	stopTools    = "tool_use"
	stopPause    = "pause_turn"
	stopRefusal  = "refusal"
)

// reason translates the end of the answer, or says why it is none.
// Source: specs/native-anthropic.md C.6.
func (x *Messages) reason() (string, *translate.Failure) {
	if x.cut != "" {
		return stopSequence, nil
	}
	word := rawjson.Value(x.finishReason).Text()
	if x.blocked != nil && word == "" {
		return stopRefusal, nil
	}
	end := stopEnd
	if x.calls > 0 {
		end = stopTools
	}
	switch word {
	case "MAX_TOKENS", "CONTINUATION":
		return stopLength, nil
	case "SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "RECITATION", "LANGUAGE":
		return stopRefusal, nil
	case "MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL":
		if !x.output {
			return "", malformed("malformed_function_call", "Gemini made a function call that is not valid ("+word+").")
		}
	case "MISSING_THOUGHT_SIGNATURE":
		if !x.output {
			return "", malformed("missing_thought_signature", "Gemini misses a thought signature in the conversation.")
		}
	case "TOO_MANY_TOOL_CALLS": // of Google's own tools: the turn may go on in another request
		if x.calls == 0 && x.serverTools() && x.output {
			return stopPause, nil
		}
	case "OTHER":
		if !x.output {
			return "", translate.NoContent()
		}
	default:
		if strings.HasPrefix(word, "IMAGE_") {
			return stopRefusal, nil
		}
	}
	if x.blocked != nil && !x.output {
		return stopRefusal, nil
	}
	return end, nil
}

func malformed(code, message string) *translate.Failure {
	return &translate.Failure{Kind: translate.MalformedAnswer, Code: code, Status: 200, Retry: true, Message: message}
}

// serverTools reports whether any of Google's own tools was asked for.
func (x *Messages) serverTools() bool {
	return x.plan.search != nil || x.plan.fetch != nil || x.plan.code != nil
}

// complete reports why the answer is not a whole one.
func (x *Messages) complete() error {
	switch {
	case x.blocked != nil || x.cut != "":
		return nil
	case x.finishReason == nil && x.seen:
		return translate.CutOff()
	case x.finishReason == nil:
		return translate.NoContent()
	}
	if _, f := x.reason(); f != nil {
		return f
	}
	return nil
}

// appendStop appends the members that tell why the message ends; always appends
// stop_details where there are none, too.
func (x *Messages) appendStop(dst []byte, always bool) []byte {
	reason, _ := x.reason()
	if reason == "" {
		reason = stopRefusal // of a blocked prompt
	}
	dst = append(append(append(dst, `"stop_reason":"`...), reason...), `","stop_sequence":`...)
	if x.cut != "" {
		dst = rawjson.AppendQuoted(dst, x.cut)
	} else {
		dst = append(dst, `null`...)
	}
	switch {
	case reason == stopRefusal:
		dst = append(dst, `,"stop_details":{"type":"refusal","category":null,"explanation":"`...)
		return append(x.explain(dst), `"}`...)
	case always:
		return append(dst, `,"stop_details":null`...)
	default:
		return dst
	}
}

// explain appends why Gemini refused, encoded, without quotes.
func (x *Messages) explain(dst []byte) []byte {
	word, start := x.finishReason, "Gemini stopped the answer ("
	if x.blocked != nil {
		word, start = x.blocked, "Gemini blocked the request ("
	}
	dst = append(append(dst, start...), rawjson.Value(word).Inner()...)
	dst = append(dst, `).`...)
	if len(x.why) > 0 {
		dst = append(append(dst, ' '), x.why...)
	}
	return dst
}

// cutText takes over text of a request with stop sequences that Gemini does not
// know of. What may be the beginning of one waits for what comes next.
func (x *Messages) cutText(dst []byte, v rawjson.Value) []byte {
	x.held = rawjson.AppendText(x.held, v)
	at, found := len(x.held), ""
	for _, s := range x.plan.stops {
		if i := bytes.Index(x.held, []byte(s)); i >= 0 && i < at {
			at, found = i, s
		}
	}
	if found == "" {
		at -= longestStart(x.held, x.plan.stops)
	}
	rest := append([]byte(nil), x.held[at:]...)
	if at > 0 {
		dst = x.say(dst, rawjson.Quote(string(x.held[:at])))
	}
	if x.held = rest; found == "" {
		return dst
	}
	x.held, x.cut, x.ended = nil, found, true
	if x.plan.stream { // the client need not wait for the rest, which it never sees
		return x.finish(dst)
	}
	return dst
}

// longestStart is how many bytes at the end of text may begin one of stops.
func longestStart(text []byte, stops []string) (longest int) {
	for _, s := range stops {
		for n := min(len(s)-1, len(text)); n > longest; n-- {
			if bytes.HasSuffix(text, []byte(s[:n])) {
				longest = n
				break
			}
		}
	}
	return longest
}
