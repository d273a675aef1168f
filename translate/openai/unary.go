// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// unary is the part of [translate.Exchange] that all endpoints share whose
// upstream answer comes in one piece. What the client gets may still be framed
// as events: one Response then appends all of them.
type unary struct {
	env    translate.Env
	call   translate.Call
	model  string // as the client wrote it
	stream bool   // the client reads server-sent events
	usage  gemini.Usage
	said   gemini.Summary
}

const (
	eventStream = "text/event-stream; charset=utf-8"
	plainText   = "text/plain; charset=utf-8"
)

// generate sets the call to generateContent of the decoded model; size is about
// what the body takes.
func (x *unary) generate(d *decoder, size int) {
	x.env, x.model = d.env, d.req.Model
	if safety := d.safetyByDefault(); safety != nil {
		d.req.Gemini.SafetySettings = safety
	}
	x.call = callTo(d.req, "generateContent")
	x.call.Generate = true
	x.call.Body, x.call.Pieces = d.req.Gemini.Encode(nil, size)
}

// callTo is a call of a method of the request's model, without a body.
func callTo(req *ChatRequest, method string) translate.Call {
	return translate.Call{
		Method: "POST",
		Path:   "/v1beta/models/" + req.Target + ":" + method,
		Model:  req.Target,
		Asked:  req.Asked,
	}
}

// Call implements [translate.Exchange].
func (x *unary) Call() *translate.Call { return &x.call }

// Begin implements [translate.Exchange].
func (x *unary) Begin() { x.usage, x.said = gemini.Usage{}, gemini.Summary{} }

// Event implements [translate.Exchange]; the upstream answer is no stream.
func (x *unary) Event(dst []byte, _ translate.Frame) ([]byte, error) { return dst, nil }

// End implements [translate.Exchange].
func (x *unary) End(dst []byte) ([]byte, error) { return dst, nil }

// Abort implements [translate.Exchange].
func (x *unary) Abort(dst []byte, f *translate.Failure) []byte {
	if !x.stream {
		return dst
	}
	return append(appendError(append(dst, "data: "...), f), '\n', '\n')
}

// Heartbeat implements [translate.Exchange].
func (x *unary) Heartbeat() string {
	if x.stream {
		return ": keepalive\n\n"
	}
	return ""
}

// Error implements [translate.Exchange].
func (x *unary) Error(f *translate.Failure) translate.Answer { return Error(f) }

// ContentType implements [translate.Exchange].
func (x *unary) ContentType() string {
	if x.stream {
		return eventStream
	}
	return contentType
}

// Unsign implements [translate.Exchange].
func (x *unary) Unsign() bool { return false }

// Usage implements [translate.Exchange].
func (x *unary) Usage() gemini.Usage { return x.usage }

// Summary implements [translate.Summarized].
func (x *unary) Summary() *gemini.Summary { return &x.said }

// readAnswer decodes a whole answer of generateContent and reports what is none.
func readAnswer(to *gemini.Response, body []byte) error {
	if err := decodeAnswer(to, body); err != nil {
		return err
	}
	if len(to.Candidates) == 0 && to.BlockReason == nil {
		return translate.NoContent()
	}
	return nil
}

// refused reports whether the answer was withheld by a filter, and by which.
// Source: the second and third row of specs/openai.md §10.3.
func refused(r *gemini.Response) (reason string, ok bool) {
	if r.BlockReason != nil {
		return r.BlockReason.Text(), true
	}
	for i := range r.Candidates {
		reason := r.Candidates[i].FinishReason.Text()
		if word, _ := finishOf(reason, true); word == finishFilter {
			return reason, true
		}
	}
	return "", false
}

// filtered is the failure for what a filter withheld; another attempt would meet
// the same filter.
func filtered(code, reason string) *translate.Failure {
	return &translate.Failure{
		Kind: translate.InvalidRequest, Code: code, Status: 200,
		Message: "Gemini refused to answer this request (" + clip(reason) + ").",
	}
}

// unusableMedia is the failure for media that cannot be handed on.
func unusableMedia(message string) *translate.Failure {
	return &translate.Failure{Kind: translate.MalformedAnswer, Status: 200, Retry: true, Message: message}
}

// visible are the parts of an answer that are no thoughts.
func visible(r *gemini.Response) func(yield func(*gemini.Part) bool) {
	return func(yield func(*gemini.Part) bool) {
		for i := range r.Candidates {
			for j := range r.Candidates[i].Parts {
				if p := &r.Candidates[i].Parts[j]; !p.Thought && !yield(p) {
					return
				}
			}
		}
	}
}

// userText is the contents of a request that only says something.
func userText(text rawjson.Value) []gemini.Content {
	return []gemini.Content{{Role: "user", Parts: []gemini.Part{{Text: text}}}}
}
