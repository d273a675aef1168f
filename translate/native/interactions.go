// SPDX-License-Identifier: Apache-2.0

package native

import (
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Interaction is a request of the Interactions API, and of what was made in its
// image: errors have words for codes, events have names. It implements
// [translate.Exchange].
// Source: specs/native-anthropic.md A.11.
type Interaction struct {
	*Exchange
	usage gemini.Usage
	ended bool // the stream said that nothing follows, or why
}

// NewInteraction returns the exchange of a request that goes to Google as call says.
func NewInteraction(call *translate.Call) *Interaction { return &Interaction{Exchange: New(call)} }

// CodeUnknownOutcome is the Code of a failure after which Google may have done what
// was asked. Its clients try again after all errors from 500 on.
const CodeUnknownOutcome = "outcome_unknown"

// Begin implements [translate.Exchange].
func (x *Interaction) Begin() {
	x.Exchange.Begin()
	x.usage, x.ended = gemini.Usage{}, false
}

// Response implements [translate.Exchange].
func (x *Interaction) Response(dst, body []byte) ([]byte, error) {
	doc, err := rawjson.Parse(body)
	if err != nil {
		return dst, translate.Unreadable(err, len(body))
	}
	if e := doc.Get("error"); e.Kind() == rawjson.Object && doc.Get("id") == nil {
		return dst, translate.ErrorInAnswer(e)
	}
	x.count(doc)
	return append(dst, body...), nil
}

// Event implements [translate.Exchange].
func (x *Interaction) Event(dst []byte, frame translate.Frame) ([]byte, error) {
	if string(frame.Data) == "[DONE]" {
		x.ended = true
	} else if doc, err := rawjson.Parse(frame.Data); err == nil {
		x.count(doc.Get("interaction"))
		switch kind := doc.Get("event_type").Text(); {
		case kind == "interaction.completed", kind == "error", kind == "" && doc.Get("error") != nil:
			x.ended = true
		}
	}
	return append(dst, frame.Raw...), nil
}

// End implements [translate.Exchange]. A stream that lacks its last event was cut,
// and would else look like one that ended.
func (x *Interaction) End(dst []byte) ([]byte, error) {
	if !x.ended {
		return dst, translate.CutOff()
	}
	return dst, nil
}

// count takes the id and the usage of an interaction.
func (x *Interaction) count(interaction rawjson.Value) {
	x.answer.Summary.Named(interaction.Get("id"))
	v := interaction.Get("usage")
	if v.Kind() != rawjson.Object {
		return
	}
	number := func(name string) int64 {
		n, _ := v.Get(name).Int() // what is missing is 0
		return n
	}
	x.usage = gemini.Usage{
		Reported: true,
		Prompt:   number("total_input_tokens"), Cached: number("total_cached_tokens"),
		Candidates: number("total_output_tokens"), Thoughts: number("total_thought_tokens"),
		ToolUse: number("total_tool_use_tokens"), Total: number("total_tokens"),
	}
	if model := strings.TrimPrefix(interaction.Get("model").Text(), "models/"); gemini.ValidModelID(model) {
		x.usage.Version = model
	}
}

// Usage implements [translate.Exchange].
func (x *Interaction) Usage() gemini.Usage { return x.usage }

// Error implements [translate.Exchange].
func (x *Interaction) Error(f *translate.Failure) translate.Answer { return ErrorInWords(f) }

// Abort implements [translate.Exchange].
func (x *Interaction) Abort(dst []byte, f *translate.Failure) []byte {
	_, code := words(f)
	dst = append(dst, "event: error\ndata: {\"event_type\":\"error\",\"error\":{\"code\":"...)
	dst = rawjson.AppendQuoted(dst, code)
	dst = append(dst, `,"message":`...)
	return append(rawjson.AppendQuoted(dst, f.Message), "}}\n\n"...)
}

// ErrorInWords is [Error] for the endpoints whose errors have a word for a code.
func ErrorInWords(f *translate.Failure) translate.Answer {
	status, code := words(f)
	body := rawjson.AppendQuoted([]byte(`{"error":{"code":`), code)
	body = rawjson.AppendQuoted(append(body, `,"message":`...), f.Message)
	return translate.Answer{Status: status, ContentType: contentType, Body: append(body, '}', '}')}
}

// words are the HTTP status and the code of a failure.
func words(f *translate.Failure) (httpStatus int, code string) {
	if f.Code == CodeUnknownOutcome {
		return 424, f.Code
	}
	s, ok := statuses[f.Kind]
	if !ok {
		s = statuses[translate.Internal]
	}
	switch {
	case f.Kind == translate.Unauthenticated:
		s.code, code = 401, "unauthenticated"
	case s.code == 429:
		code = "rate_limit_exceeded"
		if f.Kind == translate.QuotaExhausted {
			code = "quota_exceeded"
		}
	case f.Kind == translate.InvalidRequest:
		code = "invalid_request"
	default:
		code = strings.ToLower(s.name)
	}
	if relayed[f.Kind] {
		if v, err := rawjson.Parse(f.Details); err == nil {
			if word := v.Get("code").Text(); word != "" {
				code = word
			}
		}
	}
	return s.code, code
}
