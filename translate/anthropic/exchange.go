// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

// Messages is one POST /v1/messages. It implements [translate.Exchange].
//
// Text and thoughts are copied from Gemini's JSON to the client's as they are, still
// encoded; only what has to look into the text (stop sequences, places of citations)
// decodes it.
type Messages struct {
	env  translate.Env
	opts *Options
	req  *request
	plan *plan // of req
	call translate.Call

	estimate int64 // tokens of the prompt, for as long as Google has not counted them

	answer gemini.Response
	reply
}

// reply is what is known of one attempt's answer. Byte slices belong to it.
type reply struct {
	id      []byte // Google's response id, encoded; empty while unknown
	blocks  blocks
	begun   bool // what comes before the first block was written
	ended   bool // nothing more is shown
	seen    bool // some part came, however empty
	output  bool // text, a call or media
	calls   int  // tool_use blocks
	now     coming
	sealed  map[string]bool // ids of calls whose signature is in the envelope of a block
	pending []gemini.Part   // of Google's own tools, for the next envelope

	sources *sources // nil where no tool was asked for that tells of any
	codeID  string   // of the code that runs
	served  served

	held []byte // text that may be the beginning of a stop sequence, decoded
	cut  string // the stop sequence that ended the text

	fenced  []byte // JSON that may stand in a fence, decoded
	flowing bool   // … does not

	finishReason []byte // Gemini's, encoded with its quotes; nil while unknown
	blocked      []byte // why the prompt was refused, likewise
	why          []byte // Google's message about either, encoded, without quotes

	scratch []byte
}

var (
	_ translate.Linked    = (*Messages)(nil)
	_ translate.Relaxed   = (*Messages)(nil)
	_ translate.Released  = (*Messages)(nil)
	_ translate.Estimated = (*Messages)(nil)
)

// NewMessages decodes a request of the Messages API. The result aliases body.
func NewMessages(env translate.Env, o Options, body []byte) (*Messages, *translate.Failure) {
	req, f := decodeMessages(env, &o, body)
	if f != nil {
		return nil, f
	}
	return newMessages(env, &o, req, len(body)), nil
}

// newMessages returns the exchange of a request whose body had size bytes; Gemini's is
// hardly larger.
func newMessages(env translate.Env, o *Options, req *request, size int) *Messages {
	x := &Messages{env: env, opts: o, req: req, plan: &req.plan}
	method := "generateContent"
	if req.stream {
		method = "streamGenerateContent"
	}
	x.call = req.call(method)
	x.call.Generate = true
	if req.stream {
		x.call.Query, x.call.Stream = "alt=sse", translate.SSE
	}
	x.encode(size)
	x.Begin()
	return x
}

func (x *Messages) encode(size int) {
	x.call.Body, x.call.Pieces = x.req.gemini.Encode(nil, size)
}

// Call implements [translate.Exchange].
func (x *Messages) Call() *translate.Call { return &x.call }

// Begin implements [translate.Exchange].
func (x *Messages) Begin() {
	x.answer.Reset()
	x.reply = reply{id: x.id[:0], scratch: x.scratch[:0], now: coming{ids: x.now.ids[:0]}}
	x.blocks.events = x.plan.stream
	if x.plan.search != nil || x.plan.fetch != nil {
		x.sources = &sources{}
	}
}

// Unsign implements [translate.Exchange].
func (x *Messages) Unsign() bool {
	if !x.req.unsign() {
		return false
	}
	x.encode(x.call.Length())
	return true
}

// Relax implements [translate.Relaxed].
func (x *Messages) Relax() bool {
	if !x.req.relax(x.env.Memo) {
		return false
	}
	x.encode(x.call.Length())
	return true
}

// Remote implements [translate.Linked].
func (x *Messages) Remote() []string { return x.req.remotes.URLs() }

// Provide implements [translate.Linked].
func (x *Messages) Provide(find func(url string) (mimeType string, data []byte, err error)) *translate.Failure {
	size, f := x.req.provide(find)
	if f != nil {
		return f
	}
	x.encode(x.call.Length() + size)
	return nil
}

// Estimate implements [translate.Estimated].
func (x *Messages) Estimate(input int64) { x.estimate = input }

// Release implements [translate.Released].
func (x *Messages) Release() {
	x.call.Body, x.call.Pieces = nil, nil
	x.req.gemini = gemini.Request{}
}

// Heartbeat implements [translate.Exchange]. Clients take a ping at any time, also
// before the message starts.
func (x *Messages) Heartbeat() string {
	if x.plan.stream {
		return pingEvent
	}
	return ""
}

// ContentType implements [translate.Exchange].
func (x *Messages) ContentType() string {
	if x.plan.stream {
		return eventStream
	}
	return contentType
}

// Error implements [translate.Exchange].
func (x *Messages) Error(f *translate.Failure) translate.Answer {
	return Error(namedModel(f, x.plan.model))
}

// namedModel words a failure that is about the model as Anthropic does.
func namedModel(f *translate.Failure, model string) *translate.Failure {
	if f.Kind != translate.ModelNotFound {
		return f
	}
	named := *f
	named.Param, named.Message = "", "model: "+model+". "+f.Message
	return &named
}

// Abort implements [translate.Exchange]. No message_stop follows: clients tell by it
// whether the message is whole. Source: specs/native-anthropic.md C.7.
func (x *Messages) Abort(dst []byte, f *translate.Failure) []byte {
	if !x.plan.stream || x.ended {
		return dst
	}
	return appendErrorEvent(dst, namedModel(f, x.plan.model))
}

// Usage implements [translate.Exchange].
func (x *Messages) Usage() gemini.Usage { return x.answer.Usage }

// Summary implements [translate.Summarized].
func (x *Messages) Summary() *gemini.Summary { return &x.answer.Summary }
