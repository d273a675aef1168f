// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"bytes"
	"math"
	"slices"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
	"github.com/gemini-balance/caddy-gemini-balance/translate/schema"
)

// The parameters that need no knowledge of the conversation, in the order of C.1.

// limit reads max_tokens. Clients ask for more than Gemini's models can write.
func (d *decoder) limit() {
	v := d.in.maxTokens
	if !d.is(v, rawjson.Number, "max_tokens") {
		return
	}
	n, ok := v.Int()
	switch {
	case !ok:
		d.reject("max_tokens", "Input should be a valid integer")
	case n < 1:
		d.reject("max_tokens", "Input should be greater than or equal to 1")
	}
	d.req.maxTokens = n
	n = min(n, math.MaxInt32)
	if most := d.req.features.OutputLimit; most > 0 {
		n = min(n, most)
	}
	d.req.gemini.Config.MaxOutputTokens = n
}

// listed checks that there are messages, before anything else is looked at.
func (d *decoder) listed() {
	if !d.is(d.in.messages, rawjson.Array, "messages") {
		return
	}
	for i, v := range d.doc.Elems(d.in.messages) {
		if i >= maxMessages {
			d.reject("messages", "At most %d messages are supported", maxMessages)
			return
		}
		d.messages = append(d.messages, v)
	}
	if len(d.messages) == 0 {
		d.reject("messages", "At least one message is required")
	}
}

func (d *decoder) streamed() {
	if v := d.in.stream; v != nil && d.is(v, rawjson.Bool, "stream") {
		d.req.stream = v.IsTrue()
	}
}

// sampling takes what newer models ignore, and newer versions of Anthropic's API
// refuse, without a word.
func (d *decoder) sampling() {
	config, effective := &d.req.gemini.Config, d.req.features.Has(capability.Sampling)
	if v := d.in.temperature; d.within(v, "temperature", 0, 1) && effective {
		config.Temperature = v
	}
	if v := d.in.topP; d.within(v, "top_p", 0, 1) && effective {
		if f, _ := v.Float(); f > 0 { // 0 is not a usable value upstream
			config.TopP = v
		}
	}
	if v := d.in.topK; d.within(v, "top_k", 0, math.MaxInt32) && effective {
		n, ok := v.Int()
		if !ok {
			d.reject("top_k", "Input should be a valid integer")
		} else if n > 0 {
			config.TopK = v
		}
	}
}

const (
	maxNativeStops = 5 // that Gemini takes
	maxStops       = 1_000
)

// stops keeps what Gemini is not told for the answer's conversion to emulate.
func (d *decoder) stops() {
	v := d.in.stopSequences
	if v == nil || !d.is(v, rawjson.Array, "stop_sequences") {
		return
	}
	config := &d.req.gemini.Config
	for i, s := range v.Elems() {
		if i >= maxStops {
			d.reject("stop_sequences", "At most %d stop sequences are supported", maxStops)
		}
		param := "stop_sequences." + string(integer(int64(i)))
		if d.failure != nil || !d.is(s, rawjson.String, param) {
			return
		}
		text := s.Text()
		switch {
		case strings.TrimSpace(text) == "":
		case slices.ContainsFunc(config.StopSequences, func(v rawjson.Value) bool { return v.Is(text) }), slices.Contains(d.req.stops, text):
		case len(config.StopSequences) < maxNativeStops:
			config.StopSequences = append(config.StopSequences, s)
		default:
			d.req.stops = append(d.req.stops, text)
		}
	}
}

// identity finds the client's name of the conversation, by which its requests stay
// with one project and its cache. Claude Code has it in metadata.user_id, as JSON or
// at the end of a longer word, and in a header. None of it is sent on.
func (d *decoder) identity() {
	d.req.conversation = d.opts.Session
	if d.in.metadata == nil || !d.is(d.in.metadata, rawjson.Object, "metadata") {
		return
	}
	user := d.in.metadata.Get("user_id")
	if user.IsNull() || !d.is(user, rawjson.String, "metadata.user_id") {
		return
	}
	text := user.Text()
	if strings.HasPrefix(text, "{") {
		if v, err := rawjson.Parse([]byte(text)); err == nil && v.Get("session_id").Text() != "" {
			d.req.conversation = v.Get("session_id").Text()
		}
	} else if _, session, ok := strings.Cut(text, "_session_"); ok && session != "" {
		d.req.conversation = session
	}
}

// refused says what would be expected to work and cannot.
func (d *decoder) refused() {
	if v := d.in.mcpServers; v.Len() > 0 {
		d.reject("mcp_servers", "not supported by this gateway")
	}
}

// billing begins a block that Claude Code writes for Anthropic. It changes with every
// request and would defeat the implicit cache.
var billing = []byte("x-anthropic-billing-header:")

// prompt reads system: text, or blocks of text.
func (d *decoder) prompt() {
	switch v := d.in.system; v.Kind() {
	case rawjson.Missing:
	case rawjson.String, rawjson.Array:
		d.system = d.textOnly(d.system, v)
	default:
		d.reject("system", "Input should be a string or an array of text blocks, not %s", v.Kind())
	}
}

// textOnly reads content that can only be text, and appends a part for each block.
func (d *decoder) textOnly(dst []gemini.Part, v rawjson.Value) []gemini.Part {
	if v.Kind() == rawjson.String {
		return appendInstruction(dst, v)
	}
	for i, b := range v.Elems() {
		if d.at.block = i; d.failure != nil || !d.isHere(b, rawjson.Object, "") {
			break
		}
		typ, text := b.Get("type"), b.Get("text")
		if !typ.IsNull() && !typ.Is("text") {
			continue // what else may come means nothing to Gemini
		}
		if d.isHere(text, rawjson.String, "text") {
			dst = appendInstruction(dst, text)
		}
	}
	d.at.block = -1
	return dst
}

func appendInstruction(dst []gemini.Part, text rawjson.Value) []gemini.Part {
	if text.IsEmptyString() || bytes.HasPrefix(text.Inner(), billing) {
		return dst
	}
	return append(dst, gemini.Part{Text: text})
}

// format reads output_config.format, or its older form output_format.
func (d *decoder) format() {
	v, param := d.in.outputFormat, "output_format"
	if f := d.in.outputConfig.Get("format"); !f.IsNull() {
		v, param = f, "output_config.format"
	}
	if v == nil || !d.is(v, rawjson.Object, param) {
		return
	}
	if typ := v.Get("type"); !typ.Is("json_schema") {
		d.reject(param+".type", "Input should be 'json_schema'")
		return
	}
	raw := v.Get("schema")
	if !d.is(raw, rawjson.Object, param+".schema") {
		return
	}
	d.req.json = true
	config, features := &d.req.gemini.Config, d.req.features
	if !features.Has(capability.JSONMode) || len(d.req.gemini.Tools) > 0 && !features.Has(capability.JSONWithTools) {
		d.schemaText = raw
		return
	}
	config.ResponseMIMEType = "application/json"
	if raw.Len() == 0 {
		return
	}
	convert, to := schema.Light, &config.ResponseJSONSchema
	if !features.Has(capability.JSONSchema) {
		convert, to = schema.Strict, &config.ResponseSchema
	}
	out, err := convert(raw)
	if err != nil {
		d.reject(param+".schema", "%v", err)
		return
	}
	*to = out
}

// schemaPart says in words what models refuse as a setting beside tools.
func schemaPart(raw rawjson.Value) gemini.Part {
	const head = "Unless you call a function, answer with one JSON value and nothing else. It must follow this JSON Schema:\n"
	return gemini.Part{Text: rawjson.Quote(head + string(rawjson.Compact(nil, raw)))}
}
