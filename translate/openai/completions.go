// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"slices"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Completion is one legacy POST /v1/completions. It implements [translate.Batch]:
// each prompt is a conversation of one message, so several are several calls.
//
//	prompt           a user content; of a list, one call per element
//	max_tokens, temperature, top_p, stop, seed, presence_penalty,
//	frequency_penalty, logit_bias, n, stream, stream_options, safety_settings,
//	google, extra_body: as in chat completions
//	echo, best_of, suffix, logprobs: refused, unless they ask for nothing
//	user             ignored
//
// A stream has one prompt. Source: specs/openai.md §19.2.
type Completion struct {
	*Chat  // reads answers as if they were not streamed
	stream bool
	calls  []*translate.Call
	sent   []int // of a stream: how much of each choice's content went out
}

var _ translate.Batch = (*Completion)(nil)

// maxCalls is how many calls one request may cause: prompts times choices where
// the model writes one choice per call.
const maxCalls = 32

// completionFields are the members that chat completions do not have, or mean
// otherwise.
type completionFields struct {
	chat                                  *chatFields
	prompt, echo, bestOf, suffix, logprob rawjson.Value
}

func (f *completionFields) field(name string) *rawjson.Value {
	switch name {
	case "prompt":
		return &f.prompt
	case "echo":
		return &f.echo
	case "best_of":
		return &f.bestOf
	case "suffix":
		return &f.suffix
	case "logprobs":
		return &f.logprob
	case "model", "max_tokens", "temperature", "top_p", "top_k", "stop", "seed", "presence_penalty", "frequency_penalty",
		"logit_bias", "n", "stream", "stream_options", "user", "safety_settings", "extra_body", "google":
		return f.chat.field(name)
	}
	return nil
}

// NewCompletion decodes a completions request. The result aliases body.
func NewCompletion(env translate.Env, o Options, body []byte) (*Completion, *translate.Failure) {
	doc, f := parseBody(body)
	if f != nil {
		return nil, f
	}
	o.Reasoning = ReasoningOff // there is no place for thoughts
	d := newDecoder(env, &o, &completionWords)
	in := &completionFields{chat: &d.in}
	d.sort(doc, in.field)
	var prompts []rawjson.Value
	f = d.run(
		func() { d.model(d.in.model) },
		func() { d.unservable(in) },
		d.params, d.limits, d.penalties, d.probabilities, d.output, d.extras, d.combine, d.thinking,
		func() { prompts = d.prompts(in.prompt) },
	)
	if f != nil {
		return nil, f
	}
	x := &Completion{stream: d.req.Stream}
	each := max(1, d.req.Calls)
	if len(prompts)*each > maxCalls {
		return nil, translate.Invalid("prompt", "A request may cause at most %d calls; this one has %d prompts of %d choices each.", maxCalls, len(prompts), each)
	}
	for _, p := range prompts {
		d.req.Gemini.Contents = userText(p)
		c := newChat(env, d.req, len(p))
		if x.Chat == nil {
			x.Chat = c
		}
		x.calls = append(x.calls, slices.Repeat([]*translate.Call{&c.call}, each)...)
	}
	d.req.Stream = false // from here on, chunks are made by Completion
	return x, nil
}

// completionWords is how errors name what Completion shares with chat completions.
var completionWords = wording{conversation: "prompt", limit: "max_tokens", format: "response_format"}

// unservable refuses what Gemini has no equivalent of, unless nothing is asked for.
func (d *decoder) unservable(in *completionFields) {
	const why = "Gemini has no equivalent of '%s'."
	if in.echo.IsTrue() {
		d.reject("echo", why, "echo")
	} else if in.echo != nil {
		d.is(in.echo, rawjson.Bool, "echo")
	}
	if in.bestOf != nil && d.whole(in.bestOf, "best_of", 1, 20) > 1 {
		d.reject("best_of", why, "best_of")
	}
	if in.suffix != nil && !in.suffix.IsEmptyString() {
		d.reject("suffix", why, "suffix")
	}
	if in.logprob != nil {
		d.reject("logprobs", why, "logprobs")
	}
}

// prompts returns the texts, of which none is empty.
func (d *decoder) prompts(v rawjson.Value) (list []rawjson.Value) {
	switch v.Kind() {
	case rawjson.Missing:
		d.reject("prompt", "Missing required parameter: 'prompt'.")
	case rawjson.String:
		if list = append(list, v); v.IsEmptyString() {
			d.reject("prompt", "'prompt' must not be empty.")
		}
	case rawjson.Array:
		for i, e := range v.Elems() {
			switch {
			case e.Kind() == rawjson.Number || e.Kind() == rawjson.Array:
				d.reject("prompt", "Token arrays are not supported; send text.")
			case i >= maxCalls:
				d.reject("prompt", "At most %d prompts are supported in a request.", maxCalls)
			default:
				d.is(e, rawjson.String, index("prompt", i, ""))
			}
			if d.failure != nil {
				return nil
			}
			list = append(list, e)
		}
	default:
		d.reject("prompt", "Invalid type for 'prompt': expected a string or an array of strings, but got %s instead.", v.Kind())
	}
	if d.failure != nil {
		return nil
	}
	for i, e := range list {
		if e.IsEmptyString() {
			d.reject(index("prompt", i, ""), "A prompt must not be empty.")
		}
	}
	switch {
	case len(list) == 0:
		d.reject("prompt", "'prompt' must not be empty.")
	case len(list) > 1 && d.req.Stream:
		d.reject("prompt", "A streamed completion has one prompt; ask without stream, or send one request for each.")
	}
	return list
}

// Calls implements [translate.Batch].
func (x *Completion) Calls() []*translate.Call { return x.calls }

// Response implements [translate.Exchange].
func (x *Completion) Response(dst, body []byte) ([]byte, error) {
	return x.Join(dst, [][]byte{body})
}

// Join implements [translate.Batch]. Choices are numbered prompt by prompt.
func (x *Completion) Join(dst []byte, answers [][]byte) ([]byte, error) {
	x.Begin()
	out := dst
	var total gemini.Usage
	n := 0
	for i, body := range answers {
		x.next()
		if err := x.whole(body); err != nil {
			return dst, err
		}
		if total = total.Plus(x.answer.Usage); i == 0 {
			total = x.answer.Usage
			out = append(x.completion(out), `,"choices":[`...)
		}
		for j := range x.choices {
			x.choices[j].sawCall = false // finish_reason knows no calls here
			if n > 0 {
				out = append(out, ',')
			}
			c := &x.choices[j]
			out = appendInt(append(out, `{"index":`...), int64(n))
			out = append(append(append(out, `,"text":"`...), c.content...), `","logprobs":null,"finish_reason":"`...)
			out = append(append(out, x.finishWord(c)...), '"', '}')
			n++
		}
	}
	x.answer.Usage = total
	out = appendUsage(append(out, `],"usage":`...), total)
	return append(out, '}'), nil
}
