// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// responsesRequest is a decoded POST /v1/responses: what it shares with chat
// completions, and what its answer repeats.
type responsesRequest struct {
	*ChatRequest
	own       responsesFields
	echo      responsesEcho
	limit     rawjson.Value         // max_output_tokens
	previous  rawjson.Value         // items of the earlier response, an array; nil for none
	referred  map[int]rawjson.Value // items of kept answers, by the index in input of what refers to them
	store     bool                  // the answer is to be kept, as the client asked
	kept      bool                  // it will be
	encrypted bool                  // reasoning items carry signatures to the client
}

// responsesFields are the members of the body that chat completions lack; null
// and absent ones are nil.
type responsesFields struct {
	input, instructions, previousID, conversation, store, background rawjson.Value
	prompt, include, text, reasoning, metadata, user, truncation     rawjson.Value
	maxToolCalls, topLogprobs, cacheKey, safetyID                    rawjson.Value
}

// responsesEcho are members that chat completions have as well, as the answer
// repeats them.
type responsesEcho struct{ temperature, topP, tools, toolChoice rawjson.Value }

var responsesWords = wording{
	conversation: "input", callID: "call_id", limit: "max_output_tokens", effort: "reasoning.effort",
	format: "text.format", schema: "text.format.schema", items: true,
}

// release lets go of the client's body: what answers repeat of it is copied, the
// conversation only stays where it is to be kept.
func (r *responsesRequest) release() {
	r.Gemini = gemini.Request{ServiceTier: r.Gemini.ServiceTier}
	own, echo := &r.own, &r.echo
	for _, v := range []*rawjson.Value{
		&own.instructions, &own.previousID, &own.conversation, &own.store, &own.background, &own.prompt, &own.include,
		&own.text, &own.reasoning, &own.metadata, &own.user, &own.truncation, &own.maxToolCalls, &own.topLogprobs,
		&own.cacheKey, &own.safetyID, &echo.temperature, &echo.topP, &echo.tools, &echo.toolChoice, &r.limit,
	} {
		*v = bytes.Clone(*v)
	}
	if !r.kept {
		own.input, r.previous, r.referred = nil, nil, nil
	}
}

// responsesDecoder adds to the shared decoder what only the Responses API has.
type responsesDecoder struct {
	*decoder
	out      *responsesRequest
	chat     bool                     // the answer is a chat completion
	lead     carried                  // what the next item of the model takes along
	byCallID map[string]rawjson.Value // signatures of calls, by call id

	keptID    string        // the kept answer that was referred to last
	keptItems rawjson.Value // and its items
}

// decodeResponses decodes a Responses request, whose form input_tokens shares.
// The result aliases body. Source: specs/openai.md §20.1.
func decodeResponses(env translate.Env, o *Options, body []byte) (*responsesRequest, *translate.Failure) {
	doc, f := parseBody(body)
	if f != nil {
		return nil, f
	}
	d := &responsesDecoder{decoder: newDecoder(env, o, &responsesWords)}
	d.out = &responsesRequest{ChatRequest: d.req}
	d.sort(doc, d.slot)
	d.model(d.in.model)
	f = d.run(
		d.params, d.limits, d.probabilities, d.tier, d.silent, d.output,
		d.stateful, d.repeated, d.included, d.text, d.reasoning,
		d.tools, d.extras, d.toolChoice, d.combine, d.format, d.thinking,
		d.items, d.contents, d.cached, d.relaxed,
	)
	if f != nil {
		return nil, f
	}
	d.out.kept = d.out.store && (o.MaxKept == 0 || len(d.out.own.input)+len(d.out.previous) <= o.MaxKept)
	d.out.limit = d.in.maxCompletionTokens
	d.out.echo = responsesEcho{d.in.temperature, d.in.topP, d.in.tools, d.in.toolChoice}
	return d.out, nil
}

// slot returns where a member of the body is kept, nil for an unknown one.
func (d *responsesDecoder) slot(name string) *rawjson.Value {
	own := &d.out.own
	switch name {
	case "input":
		return &own.input
	case "instructions":
		return &own.instructions
	case "previous_response_id":
		return &own.previousID
	case "conversation":
		return &own.conversation
	case "store":
		return &own.store
	case "background":
		return &own.background
	case "prompt":
		return &own.prompt
	case "include":
		return &own.include
	case "text":
		return &own.text
	case "reasoning":
		return &own.reasoning
	case "metadata":
		return &own.metadata
	case "user":
		return &own.user
	case "truncation":
		return &own.truncation
	case "max_tool_calls":
		return &own.maxToolCalls
	case "top_logprobs":
		return &own.topLogprobs
	case "prompt_cache_key":
		return &own.cacheKey
	case "safety_identifier":
		return &own.safetyID
	case "max_output_tokens":
		return &d.in.maxCompletionTokens
	case "model", "stream", "temperature", "top_p", "top_k", "parallel_tool_calls", "tool_choice", "tools",
		"service_tier", "safety_settings", "cached_content", "extra_body", "google", "image_config":
		return d.in.field(name)
	case "context_management", "stream_options", "prompt_cache_retention", "prompt_cache_options", "moderation",
		"client_metadata", "access_programs", "image", "personality":
		return &d.in.ignored // accepted without effect
	}
	return nil
}

// silent refuses models that answer in sound, for which there is no item.
func (d *responsesDecoder) silent() {
	if d.family.Has(capability.Speaks) {
		d.reject("model", "%s answers in audio, which the Responses API cannot carry; use /v1/audio/speech or /v1/chat/completions.", d.req.Target)
	}
}

// refuse turns down a feature as a whole.
func (d *responsesDecoder) refuse(param, message string) {
	if d.failure == nil {
		d.failure = &translate.Failure{Kind: translate.InvalidRequest, Param: param, Code: "unsupported_parameter", Message: message}
	}
}

// stateful reads what refers to state of the server.
func (d *responsesDecoder) stateful() {
	own := &d.out.own
	if v := own.background; v != nil && d.is(v, rawjson.Bool, "background") && v.IsTrue() {
		d.refuse("background", "Background responses are not supported; wait for the answer, or stream it.")
	}
	if own.prompt != nil {
		d.refuse("prompt", "Prompt templates are not supported; send instructions and input.")
	}
	if own.conversation != nil {
		d.refuse("conversation", "Conversations are not supported; use 'previous_response_id', or resend the input.")
	}
	keep := own.store == nil || d.is(own.store, rawjson.Bool, "store") && own.store.IsTrue()
	d.out.store = keep && d.opts.Previous != nil
	d.out.encrypted = own.store != nil && !keep
	if own.previousID == nil || !d.is(own.previousID, rawjson.String, "previous_response_id") || own.previousID.IsEmptyString() {
		return
	}
	if d.opts.Previous == nil {
		d.refuse("previous_response_id", "Stored responses are not supported; resend the input.")
		return
	}
	if items, ok := d.opts.Previous(own.previousID.Text()); ok {
		if v, err := rawjson.Parse(items); err == nil && v.Kind() == rawjson.Array {
			d.out.previous = v
			return
		}
	}
	if d.failure == nil {
		d.failure = &translate.Failure{
			Kind: translate.InvalidRequest, Param: "previous_response_id", Code: "previous_response_not_found",
			Message: "Previous response with id '" + clip(own.previousID.Text()) + "' not found.",
		}
	}
}

// repeated checks what has no effect upstream but comes back in the answer.
func (d *responsesDecoder) repeated() {
	own := &d.out.own
	for _, f := range [...]struct {
		v     rawjson.Value
		kind  rawjson.Kind
		param string
	}{
		{own.instructions, rawjson.String, "instructions"},
		{own.metadata, rawjson.Object, "metadata"},
		{own.user, rawjson.String, "user"},
		{own.cacheKey, rawjson.String, "prompt_cache_key"},
		{own.safetyID, rawjson.String, "safety_identifier"},
		{own.truncation, rawjson.String, "truncation"},
		{own.maxToolCalls, rawjson.Number, "max_tool_calls"},
	} {
		if f.v != nil {
			d.is(f.v, f.kind, f.param)
		}
	}
}

// included reads include and top_logprobs. What else include can ask for is
// always there or never.
func (d *responsesDecoder) included() {
	wanted := false
	if v := d.out.own.include; v != nil && d.is(v, rawjson.Array, "include") {
		for i, e := range v.Elems() {
			switch {
			case e.Is("reasoning.encrypted_content"):
				d.out.encrypted = true
			case e.Is("message.output_text.logprobs"):
				wanted = true
			case e.Kind() != rawjson.String:
				d.is(e, rawjson.String, index("include", i, ""))
				return
			}
		}
	}
	var top int64
	if v := d.out.own.topLogprobs; v != nil {
		if top = d.whole(v, "top_logprobs", 0, 20); top > 0 && !d.family.Has(capability.LogProbs) {
			d.reject("top_logprobs", "%s does not support 'top_logprobs'.", d.req.Target)
			return
		}
	}
	if (wanted || top > 0) && d.family.Has(capability.LogProbs) {
		d.req.Logprobs, d.req.TopLogprobs = true, int(top)
		d.req.Gemini.Config.ResponseLogprobs, d.req.Gemini.Config.Logprobs = true, top
	}
}

// text reads text: format; verbosity has no equivalent.
func (d *responsesDecoder) text() {
	v := d.out.own.text
	if v == nil || !d.is(v, rawjson.Object, "text") {
		return
	}
	if f := v.Get("format"); !f.IsNull() {
		d.in.responseFormat = f
	}
	if w := v.Get("verbosity"); !w.IsNull() {
		d.is(w, rawjson.String, "text.verbosity")
	}
}

// reasoning reads the effort, and whether summaries of the thoughts are wanted.
func (d *responsesDecoder) reasoning() {
	v := d.out.own.reasoning
	if v == nil || !d.is(v, rawjson.Object, "reasoning") {
		return
	}
	if e := v.Get("effort"); !e.IsNull() {
		d.in.reasoningEffort = e
	}
	for _, name := range [...]string{"summary", "generate_summary"} {
		s := v.Get(name)
		if s.IsNull() || !d.is(s, rawjson.String, "reasoning."+name) {
			continue
		}
		switch {
		case s.Is("auto"), s.Is("concise"), s.Is("detailed"):
			d.thoughts = yes
		case s.Is("none"):
			d.thoughts = no
		default:
			d.reject("reasoning."+name, "Unknown value %q for 'reasoning.%s'. Use auto, concise or detailed.", clip(s.Text()), name)
		}
	}
}
