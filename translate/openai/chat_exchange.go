// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Chat is one POST /v1/chat/completions. It implements [translate.Exchange].
//
// Text, thoughts and media are copied from Gemini's JSON to the client's as they
// are, still encoded; only what needs the text itself (tool names, offsets of
// annotations) decodes it.
type Chat struct {
	env    translate.Env
	req    *ChatRequest
	call   translate.Call
	answer gemini.Response

	id       []byte   // Google's response id, encoded; empty while unknown
	choices  []choice // in order of appearance
	blocked  bool     // the prompt was refused
	ids      callIDs
	logprobs rawjson.Value
	head     []byte // what each chunk starts with, up to the choice's index
	tail     string // what each chunk but the finish ends with
	scratch  []byte
}

var _ translate.Released = (*Chat)(nil)

// NewChat decodes a chat completions request. The result aliases body.
func NewChat(env translate.Env, o Options, body []byte) (*Chat, *translate.Failure) {
	req, f := DecodeChat(env, o, body)
	if f != nil {
		return nil, f
	}
	return newChat(env, req, len(body)), nil
}

// newChat returns the exchange of a request whose body had size bytes; Gemini's is
// hardly larger.
func newChat(env translate.Env, req *ChatRequest, size int) *Chat {
	x := &Chat{env: env, req: req}
	x.call = translate.Call{
		Method:   "POST",
		Path:     "/v1beta/models/" + req.Target + ":generateContent",
		Model:    req.Target,
		Asked:    req.Asked,
		Generate: true,
	}
	if req.Stream {
		x.call.Path = "/v1beta/models/" + req.Target + ":streamGenerateContent"
		x.call.Query = "alt=sse"
		x.call.Stream = translate.SSE
		x.tail = `,"logprobs":null,"finish_reason":null}]` + x.noUsage() + "}\n\n"
	}
	x.call.Body, x.call.Pieces = req.Gemini.Encode(nil, size)
	return x
}

// noUsage is the member of all chunks but the last when the client asked for usage.
func (x *Chat) noUsage() string {
	if x.req.IncludeUsage {
		return `,"usage":null`
	}
	return ""
}

// Call implements [translate.Exchange].
func (x *Chat) Call() *translate.Call { return &x.call }

// Begin implements [translate.Exchange].
func (x *Chat) Begin() {
	x.answer.Reset()
	x.choices, x.ids, x.blocked, x.logprobs = nil, nil, false, nil
	x.id, x.head = x.id[:0], x.head[:0]
}

// Unsign implements [translate.Exchange].
func (x *Chat) Unsign() bool {
	if !x.req.Unsign() {
		return false
	}
	x.call.Body, x.call.Pieces = x.req.Gemini.Encode(nil, x.call.Length())
	return true
}

// Release implements [translate.Released].
func (x *Chat) Release() {
	x.call.Body, x.call.Pieces = nil, nil
	x.req.Gemini = gemini.Request{ServiceTier: x.req.Gemini.ServiceTier} // which answers may name
}

// Heartbeat implements [translate.Exchange]: a comment, which all SDKs skip.
func (x *Chat) Heartbeat() string { return ": keepalive\n\n" }

// ContentType implements [translate.Exchange].
func (x *Chat) ContentType() string {
	if x.req.Stream {
		return "text/event-stream; charset=utf-8"
	}
	return contentType
}

// Error implements [translate.Exchange].
func (x *Chat) Error(f *translate.Failure) translate.Answer { return Error(f) }

// Abort implements [translate.Exchange]. No [DONE] follows: SDKs raise on the
// error member. Source: specs/openai.md §12.4.
func (x *Chat) Abort(dst []byte, f *translate.Failure) []byte {
	dst = append(dst, "data: "...)
	dst = appendError(dst, f)
	return append(dst, '\n', '\n')
}

// Usage implements [translate.Exchange].
func (x *Chat) Usage() gemini.Usage { return x.answer.Usage }

// Summary implements [translate.Summarized].
func (x *Chat) Summary() *gemini.Summary { return &x.answer.Summary }

// decode reads a document and reports what is no answer.
func (x *Chat) decode(doc []byte) error {
	if err := decodeAnswer(&x.answer, doc); err != nil {
		return err
	}
	if id := x.answer.ResponseID.Inner(); len(x.id) == 0 && len(id) <= 128 {
		x.id = append(x.id, id...) // the document is gone when the next frame comes
	}
	return nil
}

// envelope appends the members that a completion and its chunks share.
func (x *Chat) envelope(dst []byte, object string) []byte {
	dst = append(dst, `{"id":"chatcmpl-`...)
	if len(x.id) > 0 {
		dst = append(dst, x.id...)
	} else {
		dst = append(dst, x.env.NewID(24)...)
	}
	dst = append(append(append(dst, `","object":"`...), object...), `","created":`...)
	dst = strconv.AppendInt(dst, x.env.Now.Unix(), 10)
	dst = append(dst, `,"model":`...)
	dst = rawjson.AppendQuoted(dst, x.req.Model)
	if x.req.ServiceTier {
		tier := x.req.Gemini.ServiceTier
		if tier == "" || tier == "standard" {
			tier = "default"
		}
		dst = append(dst, `,"service_tier":`...)
		dst = rawjson.AppendQuoted(dst, tier)
	}
	return append(dst, `,"system_fingerprint":null`...)
}
