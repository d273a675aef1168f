// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"strconv"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Limits of a request. Source: specs/gateways.md D1.
const (
	maxMessages  = 100_000 // Anthropic's own limit; also of blocks in a message
	maxTools     = 1_024
	maxFunctions = 512 // Google's own limit of declarations
)

// members are those of the body that mean something here; null ones are nil. All
// others are ignored: clients send betas that this gateway need not know (C.1).
type members struct {
	model, maxTokens, messages, system, stream rawjson.Value
	tools, toolChoice, thinking, outputConfig  rawjson.Value
	outputFormat, stopSequences, metadata      rawjson.Value
	temperature, topP, topK, mcpServers        rawjson.Value
}

// member returns where a member of the body is kept, nil for one that is ignored.
func (m *members) member(name string) *rawjson.Value {
	switch name {
	case "model":
		return &m.model
	case "max_tokens":
		return &m.maxTokens
	case "messages":
		return &m.messages
	case "system":
		return &m.system
	case "stream":
		return &m.stream
	case "tools":
		return &m.tools
	case "tool_choice":
		return &m.toolChoice
	case "thinking":
		return &m.thinking
	case "output_config":
		return &m.outputConfig
	case "output_format":
		return &m.outputFormat
	case "stop_sequences":
		return &m.stopSequences
	case "metadata":
		return &m.metadata
	case "temperature":
		return &m.temperature
	case "top_p":
		return &m.topP
	case "top_k":
		return &m.topK
	case "mcp_servers":
		return &m.mcpServers
	}
	return nil
}

// decoder turns one request. The first fault is kept and ends the work.
type decoder struct {
	env     translate.Env
	opts    *Options
	req     *request
	doc     rawjson.Document
	in      members
	failure *translate.Failure

	defaults translate.Defaults

	at place // in the conversation, for error paths

	messages []rawjson.Value // all of them
	system   []gemini.Part
	turns    []turn
	calls    map[string]callRef // the nearest call so far by id
	users    *int               // the last message of the user, nil where not looked for
	begun    bool               // an assistant message was seen
	replays  bool               // the history has calls of Google's own tools
	effort   string             // the last that was asked for, "" for none

	tools       []tool
	loaded      map[string]bool // what the conversation says of deferred and removed tools
	searchable  bool            // a tool search was declared, so that all deferred tools count
	strict      bool            // some tool has strict:true
	functions   []gemini.FunctionDeclaration
	serverNames []string // of server tools, which a choice may name without effect

	schemaText rawjson.Value // a schema that can only be asked for in words
}

// place is where in the conversation the decoder is; -1 for not in one.
type place struct{ message, block, inner int }

// decodeMessages decodes the body of POST /v1/messages. The result aliases body,
// which must not change while it is in use.
func decodeMessages(env translate.Env, o *Options, body []byte) (*request, *translate.Failure) {
	return decode(env, o, body, true)
}

// decodeCountTokens decodes the body of POST /v1/messages/count_tokens, which is the
// same without max_tokens and stream.
func decodeCountTokens(env translate.Env, o *Options, body []byte) (*request, *translate.Failure) {
	return decode(env, o, body, false)
}

func decode(env translate.Env, o *Options, body []byte, generate bool) (*request, *translate.Failure) {
	doc, err := rawjson.ParseDocument(body)
	if err != nil {
		return nil, translate.Invalid("", "The request body is not valid JSON: %v.", err)
	}
	if kind := doc.Root.Kind(); kind != rawjson.Object {
		return nil, translate.Invalid("", "The request body must be a JSON object, not %s.", kind)
	}
	d := &decoder{env: env, opts: o, doc: doc, req: &request{}, at: place{-1, -1, -1}}
	d.read()
	steps := []func(){
		d.model, d.limit, d.listed, d.streamed, d.sampling, d.stops, d.identity, d.refused,
		d.prompt, d.readTools, d.efforts, d.conversation,
		d.declare, d.choice, d.combine, d.format, d.thinking, d.contents, d.settle,
	}
	if !generate {
		steps[1] = func() {} // max_tokens
	}
	for _, step := range steps {
		if step(); d.failure != nil {
			return nil, d.failure
		}
	}
	return d.req, nil
}

// read sorts the members of the body.
func (d *decoder) read() {
	for k, v := range d.doc.Members(d.doc.Root) {
		name := k.Inner()
		if k.Escaped() {
			name = rawjson.AppendText(nil, k)
		}
		if m := d.in.member(string(name)); m != nil {
			if *m = v; v.IsNull() {
				*m = nil
			}
		}
	}
}

// settle writes what is sent with every request.
func (d *decoder) settle() {
	g := &d.req.gemini
	if g.SafetySettings = d.opts.Safety; d.defaults.Safety != nil {
		g.SafetySettings = d.defaults.Safety
	}
	d.req.schemas.Start(g, d.req.target, d.req.features, d.env.Memo)
}

// reject keeps the first fault.
func (d *decoder) reject(param, format string, args ...any) {
	if d.failure == nil {
		d.failure = translate.Invalid(param, format, args...)
	}
}

// missing is [decoder.reject] for a field that has to be there.
func (d *decoder) missing(param string) { d.reject(param, "Field required") }

// is checks the JSON type of a field, which must be there.
func (d *decoder) is(v rawjson.Value, kind rawjson.Kind, param string) bool {
	switch {
	case v.Kind() == kind:
		return true
	case v.IsNull():
		d.missing(param)
	default:
		d.reject(param, "Input should be %s, not %s", kind, v.Kind())
	}
	return false
}

// isHere is [decoder.is] for a field of the present message or block; the path is
// only built where it is needed.
func (d *decoder) isHere(v rawjson.Value, kind rawjson.Kind, tail string) bool {
	return v.Kind() == kind || d.is(v, kind, d.path(tail))
}

// optional is [decoder.isHere] for a field that need not be there: of another type
// it is rejected, and null is as good as absent.
func (d *decoder) optional(v rawjson.Value, kind rawjson.Kind, tail string) bool {
	return !v.IsNull() && d.isHere(v, kind, tail)
}

// path names a field of the present message or block, as Anthropic does.
func (d *decoder) path(tail string) string {
	p := "messages"
	if d.at.message < 0 {
		p = "system"
	} else {
		p += "." + strconv.Itoa(d.at.message)
	}
	if d.at.block >= 0 {
		if d.at.message >= 0 {
			p += ".content"
		}
		p += "." + strconv.Itoa(d.at.block)
	}
	if d.at.inner >= 0 {
		p += ".content." + strconv.Itoa(d.at.inner)
	}
	if tail != "" {
		p += "." + tail
	}
	return p
}

// within checks a number that may be absent against its range, and reports whether
// it is there.
func (d *decoder) within(v rawjson.Value, param string, low, high float64) bool {
	if v == nil || !d.is(v, rawjson.Number, param) {
		return false
	}
	if f, ok := v.Float(); !ok || f < low || f > high {
		d.reject(param, "Input should be between %g and %g", low, high)
		return false
	}
	return true
}

// clip shortens a client's text for an error message.
func clip(s string) string {
	if len(s) <= 80 {
		return s
	}
	return strings.ToValidUTF8(s[:80], "") + "…"
}

// integer is n as a JSON number.
func integer(n int64) rawjson.Value { return strconv.AppendInt(nil, n, 10) }

// wrap returns {"key":v}.
func wrap(key string, v rawjson.Value) rawjson.Value {
	out := make([]byte, 0, len(key)+len(v)+5)
	out = append(append(append(out, '{', '"'), key...), '"', ':')
	return append(append(out, v...), '}')
}
