// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Limits of a request. Source: specs/gateways.md D1, specs/openai.md §5.1.
const (
	maxMessages  = 10_000 // and parts of one message
	maxTools     = 1_024
	maxFunctions = 512 // Google's own limit of declarations
)

// ChatRequest is a decoded POST /v1/chat/completions: the request for Gemini
// and what the conversion of its answer has to know.
type ChatRequest struct {
	Model  string // as the client wrote it; answers echo it
	Asked  string // Model without prefixes and suffixes: what aliases and permissions go by
	Target string // Gemini model id

	Stream          bool // stream
	IncludeUsage    bool // stream_options.include_usage
	LegacyFunctions bool // functions instead of tools: answer with function_call
	ServiceTier     bool // service_tier was given: answers name the tier
	ParallelCalls   bool // parallel_tool_calls; true where absent
	JSONMode        bool // response_format asked for JSON
	Logprobs        bool // logprobs
	TopLogprobs     int  // top_logprobs, 0 to 20
	N               int  // number of choices, at least 1
	Calls           int  // calls that write them, one each; 0 where one call writes all

	// Reasoning is how thoughts are shown: reasoning_content, thought_tags or off.
	Reasoning string
	// AudioFormat is how audio is sent back, wav or pcm16; "" where none was asked for.
	AudioFormat string

	Gemini gemini.Request

	family  *capability.Family
	schemas translate.Schemas
	turn    uint64 // of the user, see turnHash
	names   toolNames
	remote  translate.Remotes // parts that wait for Provide
}

// chatFields are the members of the body, null and absent ones nil.
type chatFields struct {
	model, messages, stream, streamOptions, n, stop, seed          rawjson.Value
	temperature, topP, topK, presencePenalty, frequencyPenalty     rawjson.Value
	maxCompletionTokens, maxTokens, logprobs, topLogprobs          rawjson.Value
	logitBias, responseFormat, modalities, audio, imageConfig      rawjson.Value
	tools, toolChoice, parallelToolCalls, functions, functionCall  rawjson.Value
	reasoningEffort, serviceTier, webSearchOptions, safetySettings rawjson.Value
	cachedContent, extraBody, google                               rawjson.Value
	ignored                                                        rawjson.Value
}

// field returns where a member of the body is kept, nil for an unknown one.
func (f *chatFields) field(name string) *rawjson.Value {
	switch name {
	case "model":
		return &f.model
	case "messages":
		return &f.messages
	case "stream":
		return &f.stream
	case "stream_options":
		return &f.streamOptions
	case "n":
		return &f.n
	case "stop":
		return &f.stop
	case "seed":
		return &f.seed
	case "temperature":
		return &f.temperature
	case "top_p":
		return &f.topP
	case "top_k":
		return &f.topK
	case "presence_penalty":
		return &f.presencePenalty
	case "frequency_penalty":
		return &f.frequencyPenalty
	case "max_completion_tokens":
		return &f.maxCompletionTokens
	case "max_tokens":
		return &f.maxTokens
	case "logprobs":
		return &f.logprobs
	case "top_logprobs":
		return &f.topLogprobs
	case "logit_bias":
		return &f.logitBias
	case "response_format":
		return &f.responseFormat
	case "modalities":
		return &f.modalities
	case "audio":
		return &f.audio
	case "image_config":
		return &f.imageConfig
	case "tools":
		return &f.tools
	case "tool_choice":
		return &f.toolChoice
	case "parallel_tool_calls":
		return &f.parallelToolCalls
	case "functions":
		return &f.functions
	case "function_call":
		return &f.functionCall
	case "reasoning_effort":
		return &f.reasoningEffort
	case "service_tier":
		return &f.serviceTier
	case "web_search_options":
		return &f.webSearchOptions
	case "safety_settings":
		return &f.safetySettings
	case "cached_content":
		return &f.cachedContent
	case "extra_body":
		return &f.extraBody
	case "google":
		return &f.google
	case "user", "safety_identifier", "metadata", "store", "prompt_cache_key", "prompt_cache_retention",
		"prompt_cache_options", "moderation", "prediction", "verbosity":
		return &f.ignored // accepted without effect, §9
	}
	return nil
}

// wording is how an endpoint calls what several have, and in what they differ.
type wording struct {
	conversation string // the list of messages or items
	callID       string // the call a result answers
	limit        string // most tokens of output
	effort       string // of reasoning
	format       string // of the answer's text
	schema       string // within format, as an error names it
	items        bool   // the conversation has items of many types: the Responses API
}

var chatWords = wording{
	conversation: "messages", callID: "tool_call_id", limit: "max_completion_tokens", effort: "reasoning_effort",
	format: "response_format", schema: "response_format.json_schema.schema",
}

// decoder turns one request. The first fault is kept and ends the work.
type decoder struct {
	env     translate.Env
	opts    *Options
	own     Options // room for what opts points to
	req     *ChatRequest
	family  *capability.Family
	doc     rawjson.Document
	in      chatFields
	failure *translate.Failure

	words         *wording
	message, part int    // position in the conversation, for error paths
	earlier       int    // positions before the request's own: those of an earlier response
	list          string // the member of the message that part counts in
	system        []gemini.Part
	turns         []turn
	calls         map[string]callRef // the nearest call so far by id
	served        bool               // the history has calls of Google's own tools

	functions    []gemini.FunctionDeclaration
	builtIns     []gemini.Tool
	builtInPath  string // the field that asked for the first of them
	toolless     bool   // tool_choice is none
	strict       bool   // some tool has strict:true
	defaults     translate.Defaults
	suffixSearch bool   // the model string asked for search
	suffixEffort string // the model string asked for this effort
	budget       int64  // tokens for thinking, where a number is known
	thoughts     wish   // include_thoughts

	schemaText rawjson.Value // a schema that can only be asked for in words
}

// DecodeChat decodes a chat completions request. The result aliases body, which
// must not change while it is in use. Failures are the client's fault and name
// the field.
func DecodeChat(env translate.Env, o Options, body []byte) (*ChatRequest, *translate.Failure) {
	doc, f := parseBody(body)
	if f != nil {
		return nil, f
	}
	d := decoders.Get().(*decoder)
	defer d.giveBack()
	d.own = o
	d.begin(env, &d.own, &chatWords)
	d.sort(doc, d.in.field)
	if d.in.messages == nil && hasItems(doc.Root) {
		return decodeChatItems(env, o, doc)
	}
	d.model(d.in.model)
	f = d.run(
		d.params, d.limits, d.penalties, d.probabilities, d.tier, d.output,
		d.tools, d.extras, d.search, d.toolChoice, d.combine, d.format,
		d.thinking, d.messages, d.contents, d.cached, d.relaxed,
	)
	if f != nil {
		return nil, f
	}
	return d.req, nil
}

// parseBody reads a body that must be an object.
func parseBody(body []byte) (rawjson.Document, *translate.Failure) {
	doc, err := rawjson.ParseDocument(body)
	if err != nil {
		return doc, translate.Invalid("", "The request body is not valid JSON: %v.", err)
	}
	if kind := doc.Root.Kind(); kind != rawjson.Object {
		return doc, translate.Invalid("", "The request body must be a JSON object, not %s.", kind)
	}
	return doc, nil
}

// decoders are used again: one is 2 kB, and what it makes refers to nothing of it.
var decoders = sync.Pool{New: func() any { return new(decoder) }}

func (d *decoder) giveBack() {
	*d = decoder{}
	decoders.Put(d)
}

func newDecoder(env translate.Env, o *Options, words *wording) *decoder {
	d := new(decoder)
	d.begin(env, o, words)
	return d
}

// begin makes the zero decoder d ready.
func (d *decoder) begin(env translate.Env, o *Options, words *wording) {
	d.env, d.opts, d.words, d.req = env, o, words, &ChatRequest{N: 1, ParallelCalls: true}
	d.message, d.part, d.list = -1, -1, "content"
}

// run takes the steps up to the first fault.
func (d *decoder) run(steps ...func()) *translate.Failure {
	for _, step := range steps {
		if d.failure != nil {
			break
		}
		step()
	}
	return d.failure
}

// sort puts the members of the body where slot says, null ones nowhere.
func (d *decoder) sort(doc rawjson.Document, slot func(name string) *rawjson.Value) {
	d.doc = doc
	for k, v := range d.doc.Members(doc.Root) {
		name := k.Inner()
		if k.Escaped() {
			name = rawjson.AppendText(nil, k)
		}
		slot := slot(string(name))
		if slot == nil {
			if d.opts.Strict {
				d.reject(clip(string(name)), "Unrecognized request argument supplied: %s", clip(string(name)))
			}
			continue
		}
		if *slot = v; v.IsNull() {
			*slot = nil
		}
	}
}

// reject keeps the first fault.
func (d *decoder) reject(param, format string, args ...any) {
	if d.failure == nil {
		d.failure = translate.Invalid(param, format, args...)
	}
}

// rejectPart is reject for a field of the current message or part of one.
func (d *decoder) rejectPart(tail, format string, args ...any) {
	d.reject(d.path(tail), format, args...)
}

// path names a field of the current message or part.
func (d *decoder) path(tail string) string {
	if d.message < d.earlier {
		return "previous_response_id"
	}
	p := d.words.conversation + "[" + strconv.Itoa(d.message-d.earlier) + "]"
	if d.part >= 0 {
		p += "." + d.list + "[" + strconv.Itoa(d.part) + "]"
	}
	if tail != "" {
		p += "." + tail
	}
	return p
}

// is checks the JSON type of a field that is present.
func (d *decoder) is(v rawjson.Value, kind rawjson.Kind, param string) bool {
	if v.Kind() == kind {
		return true
	}
	d.reject(param, "Invalid type for '%s': expected %s, but got %s instead.", param, kind, v.Kind())
	return false
}

// isPart is is for a field of the current message or part; the path is only
// built where it is needed.
func (d *decoder) isPart(v rawjson.Value, kind rawjson.Kind, tail string) bool {
	return v.Kind() == kind || d.is(v, kind, d.path(tail))
}

// index names an element of a list in an error path.
func index(list string, i int, tail string) string {
	return fmt.Sprintf("%s[%d]%s", list, i, tail)
}

// ToolName returns the client's name of a tool for the name Gemini uses. Names
// it does not know pass through.
func (r *ChatRequest) ToolName(sent string) string { return r.names.Client(sent) }

// CustomTool reports whether the client declared the tool of this name (its
// own, see [ChatRequest.ToolName]) as a custom one: its call is answered with
// type custom and the member "input" of the arguments as plain text.
func (r *ChatRequest) CustomTool(name string) bool { return r.names.custom[name] }
