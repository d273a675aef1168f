// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Responses is one POST /v1/responses. It implements [translate.Exchange].
//
// Whole and streamed answers take the same way: parts become items, one open at
// a time, and a stream tells of each step what a whole answer only collects.
type Responses struct {
	env    translate.Env
	req    *responsesRequest
	call   translate.Call
	answer gemini.Response

	id    string // of the response; "" before it began
	sent  int    // events so far, and so the next sequence number
	begun bool   // there is output, or the end
	ended bool   // the answer is whole
	all   choice // the text of all messages, its sources, the end of the answer
	items itemList
	open  openItem
	ids   callIDs

	firstCall   string   // its id
	waiting     [][]byte // native parts from before the first output
	nativeParts []byte   // elements before it, see [aside]

	refusal  []byte // why the prompt was blocked, encoded; nil when it was not
	searched bool   // the search is told
	logprobs rawjson.Value
	scratch  []byte
	document []byte // the response object, where it is to be kept
	deltas   []int  // lengths of the pieces of texts, likewise
}

var _ translate.Released = (*Responses)(nil)

// NewResponses decodes a Responses request. The result aliases body.
func NewResponses(env translate.Env, o Options, body []byte) (*Responses, *translate.Failure) {
	req, f := decodeResponses(env, &o, body)
	if f != nil {
		return nil, f
	}
	x := &Responses{env: env, req: req}
	x.call = callTo(req.ChatRequest, "generateContent")
	if req.Stream {
		x.call = callTo(req.ChatRequest, "streamGenerateContent")
		x.call.Query, x.call.Stream = "alt=sse", translate.SSE
	}
	x.call.Generate = true
	x.call.Body, x.call.Pieces = req.Gemini.Encode(nil, len(body)+len(req.previous))
	return x, nil
}

// Call implements [translate.Exchange].
func (x *Responses) Call() *translate.Call { return &x.call }

// Begin implements [translate.Exchange].
func (x *Responses) Begin() {
	x.answer.Reset()
	*x = Responses{env: x.env, req: x.req, call: x.call, answer: x.answer, scratch: x.scratch[:0]}
}

// Unsign implements [translate.Exchange].
func (x *Responses) Unsign() bool {
	if !x.req.Unsign() {
		return false
	}
	x.call.Body, x.call.Pieces = x.req.Gemini.Encode(nil, x.call.Length())
	return true
}

// Release implements [translate.Released].
func (x *Responses) Release() {
	x.call.Body, x.call.Pieces = nil, nil
	x.req.release()
}

// Heartbeat implements [translate.Exchange]: a comment, which all SDKs skip.
func (x *Responses) Heartbeat() string { return ": keepalive\n\n" }

// ContentType implements [translate.Exchange].
func (x *Responses) ContentType() string {
	if x.req.Stream {
		return eventStream
	}
	return contentType
}

// Error implements [translate.Exchange].
func (x *Responses) Error(f *translate.Failure) translate.Answer { return Error(f) }

// Usage implements [translate.Exchange].
func (x *Responses) Usage() gemini.Usage { return x.answer.Usage }

// Summary implements [translate.Summarized].
func (x *Responses) Summary() *gemini.Summary { return &x.answer.Summary }

// Response implements [translate.Exchange].
func (x *Responses) Response(dst, body []byte) ([]byte, error) {
	if err := decodeAnswer(&x.answer, body); err != nil {
		return dst, err
	}
	x.take(nil)
	if x.all.finish == nil && x.all.seen { // it is whole, whatever it lacks
		x.all.finish = []byte(`""`)
	}
	_, end, err := x.conclude(nil)
	if err != nil {
		return dst, err
	}
	from := len(dst)
	dst = x.appendResponse(dst, end)
	x.finish(dst[from:])
	return dst, nil
}

// Event implements [translate.Exchange].
func (x *Responses) Event(dst []byte, frame translate.Frame) ([]byte, error) {
	if len(frame.Data) == 0 || string(frame.Data) == "[DONE]" {
		return dst, nil
	}
	if err := decodeAnswer(&x.answer, frame.Data); err != nil {
		return dst, err
	}
	if x.tooLarge() {
		return dst, &translate.Failure{
			Kind: translate.MalformedAnswer, Code: "image_too_large", Status: 200,
			Message: "Gemini's answer has images that are too large for a streamed answer; ask without stream.",
		}
	}
	return x.take(dst), nil
}

// End implements [translate.Exchange]. No [DONE] follows: the last event says it.
func (x *Responses) End(dst []byte) ([]byte, error) {
	out, end, err := x.conclude(dst)
	if err != nil {
		return dst, err
	}
	out = x.event(out, "response."+end.status)
	out = append(out, `,"response":`...)
	from := len(out)
	out = x.appendResponse(out, end)
	x.finish(out[from:])
	return append(out, "}\n\n"...), nil
}

// Abort implements [translate.Exchange]. The open item stays open: a client that
// asks again must not find half of one in its history.
// Source: specs/openai.md §20.5.
func (x *Responses) Abort(dst []byte, f *translate.Failure) []byte {
	x.waiting = nil
	dst = x.begin(dst)
	dst = x.event(dst, "response.failed")
	dst = append(dst, `,"response":`...)
	dst = x.appendResponse(dst, ending{status: "failed", failure: f})
	return append(dst, "}\n\n"...)
}

// finish notes that the answer is whole.
func (x *Responses) finish(document []byte) {
	x.ended = true
	if x.req.kept {
		x.document = append([]byte(nil), document...)
	}
}

// Stored returns what to keep when the answer has ended, so that a later request
// can name it as previous_response_id: its id and the JSON array of all items of
// the conversation up to and with it, as [Options.Previous] must return them.
// The id is empty where nothing is to be kept: store was false, there is no
// store, the conversation is too large for it, or the answer failed.
func (x *Responses) Stored() (id string, items []byte) {
	if !x.ended || !x.req.kept {
		return "", nil
	}
	input := x.req.own.input
	items = make([]byte, 0, len(x.req.previous)+len(input)+len(x.items.buf)+64*(input.Len()+2))
	items = append(items, '[')
	for _, v := range x.req.previous.Elems() {
		items = append(append(items, v...), ',')
	}
	if input.Kind() == rawjson.String {
		items = append(x.appendInput(items, userMessage(input), 0), ',')
	}
	for i, v := range input.Elems() {
		if item, ok := x.req.referred[i]; ok {
			v = item // which may be forgotten earlier than this answer
		}
		items = append(x.appendInput(items, v, i), ',')
	}
	items = append(items, x.items.buf...)
	items[len(items)-1] = ']' // in place of the last comma; an answer has an item
	return x.id, items
}

func userMessage(text rawjson.Value) rawjson.Value {
	return append(append([]byte(`{"role":"user","content":`), text...), '}')
}

// Trace returns what else to keep of such an answer, a JSON object: how many of
// its items were its input, and how its texts were cut into deltas.
func (x *Responses) Trace() []byte {
	own := x.req.own.input.Len()
	if x.req.own.input.Kind() == rawjson.String {
		own = 1
	}
	dst := strconv.AppendInt([]byte(`{"input":`), int64(x.req.previous.Len()+own), 10)
	dst = append(dst, `,"deltas":[`...)
	for i, n := range x.deltas {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, int64(n), 10)
	}
	return append(dst, `]}`...)
}

// Document returns the response object of an answer that [Responses.Stored]
// keeps, for those who ask for it later; nil where nothing is to be kept.
func (x *Responses) Document() []byte { return x.document }

// decodeAnswer reads a document and reports what is no answer.
func decodeAnswer(to *gemini.Response, doc []byte) error {
	if err := to.Decode(doc); err != nil {
		return translate.Unreadable(err, len(doc))
	}
	if to.Error != nil {
		return translate.ErrorInAnswer(to.Error)
	}
	return nil
}
