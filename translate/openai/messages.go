// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/media"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// message is one element of messages; null and absent members are nil.
type message struct {
	role, content, name, refusal, toolCallID rawjson.Value
	toolCalls, functionCall, audio, images   rawjson.Value
	extra, reasoningDetails, thinkingBlocks  rawjson.Value

	asides []aside
}

func (d *decoder) readMessage(v rawjson.Value) (m message) {
	for k, e := range d.doc.Members(v) {
		if e.IsNull() {
			continue
		}
		switch string(k.Inner()) {
		case "role":
			m.role = e
		case "content":
			m.content = e
		case "name":
			m.name = e
		case "refusal":
			m.refusal = e
		case "tool_call_id":
			m.toolCallID = e
		case "tool_calls":
			m.toolCalls = e
		case "function_call":
			m.functionCall = e
		case "audio":
			m.audio = e
		case "images":
			m.images = e
		case "extra_content":
			m.extra = e
		case "reasoning_details":
			m.reasoningDetails = e
		case "thinking_blocks":
			m.thinkingBlocks = e
		}
	}
	return m
}

// turn is one content in the making. The results of a model turn's calls are
// kept with it and become the content after it.
type turn struct {
	model    bool
	parts    []gemini.Part
	calls    []call
	answered bool // a result arrived: further calls are another step
	waiting  int  // the calls before this one have their results
}

// call is one function call of a model turn.
type call struct {
	part     int    // in turn.parts
	key      string // what results name it by
	name     rawjson.Value
	response rawjson.Value // nil until a result arrived
	media    []gemini.Part // what the result shows besides
}

// answering finds the call that a result under the key is for, from a call under
// it on: of several with one id, which some servers derive from the name, the
// first that has no result yet, else the last.
func (t *turn) answering(first int, key string) (found int) {
	found = first
	for i := first; i < len(t.calls); i++ {
		if c := &t.calls[i]; c.key == key {
			if found = i; c.response == nil {
				break
			}
		}
	}
	return found
}

// unanswered finds the first call that has no result.
func (t *turn) unanswered() (n int, ok bool) {
	for t.waiting < len(t.calls) && t.calls[t.waiting].response != nil {
		t.waiting++
	}
	return t.waiting, t.waiting < len(t.calls)
}

// callRef finds a call: turns[turn].calls[call].
type callRef struct{ turn, call int }

// messages walks the conversation. Source: specs/openai.md §3.
func (d *decoder) messages() {
	if d.in.messages == nil {
		d.reject("messages", "Missing required parameter: 'messages'.")
		return
	}
	if !d.is(d.in.messages, rawjson.Array, "messages") {
		return
	}
	for i, v := range d.doc.Elems(d.in.messages) {
		if d.message, d.part = i, -1; i >= maxMessages {
			d.reject("messages", "At most %d messages are supported.", maxMessages)
		}
		if d.failure != nil || !d.isPart(v, rawjson.Object, "") {
			return
		}
		m := d.readMessage(v)
		if m.role == nil {
			d.rejectPart("role", "Missing required parameter: '%s'.", d.path("role"))
			return
		}
		if !d.isPart(m.role, rawjson.String, "role") {
			return
		}
		d.said(&m)
	}
	if d.message < 0 {
		d.reject("messages", "'messages' must not be empty.")
	}
	d.req.turn = d.turnHash()
}

// said adds a message by its role.
func (d *decoder) said(m *message) {
	switch string(m.role.Inner()) {
	case "system", "developer":
		d.system = d.textParts(d.system, m.content)
	case "user":
		d.user(d.parts(nil, m.content, false))
	case "assistant":
		d.assistant(m)
	case "tool":
		d.result(m, m.toolCallID)
	case "function":
		d.result(m, m.name)
	default:
		d.rejectPart("role", "Unknown role %q. Use system, developer, user, assistant or tool.", clip(m.role.Text()))
	}
}

// user adds parts to the conversation as the user's; none adds nothing.
func (d *decoder) user(parts []gemini.Part) {
	if len(parts) == 0 {
		return
	}
	if t := d.last(); t != nil && !t.model {
		t.parts = append(t.parts, parts...)
		return
	}
	d.turns = append(d.turns, turn{parts: parts})
}

func (d *decoder) last() *turn {
	if len(d.turns) == 0 {
		return nil
	}
	return &d.turns[len(d.turns)-1]
}

// assistant adds a model turn: text, images, calls, in this order (§3.4). What
// it thought is not sent back. A message without any of them adds nothing.
func (d *decoder) assistant(m *message) {
	if m.audio != nil {
		d.rejectPart("audio", "Audio of earlier answers cannot be referred to; send its transcript as content.")
		return
	}
	parts := d.parts(nil, d.spoken(m.content), true)
	if m.refusal != nil && d.isPart(m.refusal, rawjson.String, "refusal") && !m.refusal.IsEmptyString() {
		parts = append(parts, gemini.Part{Text: m.refusal})
	}
	signature := googleSignature(m.extra)
	if signature == nil {
		signature = d.recallText(parts)
	}
	parts = signText(parts, signature)
	if m.asides = d.asidesOf(m); len(m.asides) > 0 {
		parts = weave(parts, m.asides)
	}
	if m.images != nil && d.isPart(m.images, rawjson.Array, "images") {
		d.list = "images"
		parts = d.parts(parts, m.images, true)
		d.list = "content"
	}
	d.recallImages(parts)
	called := m.functionCall != nil || m.toolCalls.Len() > 0
	if len(parts) == 0 && !called {
		d.toolCalls(&turn{}, 0, m) // nothing to add, but types are checked
		return
	}
	if !d.continues(called) {
		d.turns = append(d.turns, turn{model: true})
	}
	t := d.last()
	t.parts = append(t.parts, parts...)
	d.toolCalls(t, len(d.turns)-1, m)
}

// continues reports whether an assistant message goes on with the last turn.
// After calls only more calls of the same step do: text has to wait for their
// results, and once those are there it is another step (§3.6). Items of a
// Responses conversation come in the order of the model's parts, text after
// calls included, so that there only the results end a step.
func (d *decoder) continues(called bool) bool {
	t := d.last()
	if t == nil || !t.model {
		return false
	}
	return len(t.calls) == 0 || (called || d.words.items) && !t.answered
}

// toolCalls adds the calls of an assistant message to t, the turn number at.
func (d *decoder) toolCalls(t *turn, at int, m *message) {
	if m.toolCalls != nil && d.isPart(m.toolCalls, rawjson.Array, "tool_calls") {
		for i, v := range m.toolCalls.Elems() {
			if i >= maxMessages {
				d.rejectPart("tool_calls", "At most %d tool calls are supported in a message.", maxMessages)
			}
			if d.failure != nil {
				return
			}
			d.toolCall(t, at, v, i, m)
			for _, a := range m.asides {
				if a.calls == i+1 {
					t.parts = append(t.parts, a.part)
				}
			}
		}
	}
	if m.functionCall == nil || !d.isPart(m.functionCall, rawjson.Object, "function_call") {
		return
	}
	name := m.functionCall.Get("name")
	if !d.isPart(name, rawjson.String, "function_call.name") {
		return
	}
	args := d.arguments(m.functionCall.Get("arguments"), -1)
	key := d.remember(at, len(t.calls), name) // results of this kind name the function, not the call
	d.add(t, key, d.syntheticID(len(t.calls)), name, args, firstSignature(m, t))
}

// syntheticID names a call that has no id. It cannot be mistaken for one of a
// client's and is the same for the same conversation, so that caching works.
func (d *decoder) syntheticID(n int) rawjson.Value {
	return rawjson.Quote("call_" + strconv.Itoa(d.message) + "_" + strconv.Itoa(n))
}

// add appends a function call to a turn.
func (d *decoder) add(t *turn, key string, id, name, args, signature rawjson.Value) {
	sent := name
	if text := name.Text(); !gemini.ValidToolName(text) {
		sent = rawjson.Quote(d.req.names.Sent(text))
	}
	t.calls = append(t.calls, call{part: len(t.parts), key: key, name: sent})
	t.parts = append(t.parts, gemini.Part{
		FunctionCall:     &gemini.FunctionCall{ID: id, Name: sent, Args: args},
		ThoughtSignature: signature,
	})
}

// remember makes results under the key find the n-th call of the turn, or the
// first one of that turn under the same key.
func (d *decoder) remember(at, n int, key rawjson.Value) string {
	if d.calls == nil {
		d.calls = map[string]callRef{}
	}
	text := string(textBytes(key))
	if ref, ok := d.calls[text]; !ok || ref.turn != at {
		d.calls[text] = callRef{at, n}
	}
	return text
}

// textBytes is the text of a string, without a copy where nothing is escaped.
func textBytes(v rawjson.Value) []byte { return media.TextOf(v).Bytes }

// toolCall reads one element of tool_calls.
func (d *decoder) toolCall(t *turn, at int, v rawjson.Value, i int, m *message) {
	path := func(tail string) string { return d.path(index("tool_calls", i, tail)) }
	if v.Kind() != rawjson.Object {
		d.is(v, rawjson.Object, path(""))
		return
	}
	var id, typ, function, custom rawjson.Value
	for k, e := range v.Members() {
		if e.IsNull() {
			continue
		}
		switch string(k.Inner()) {
		case "id":
			id = e
		case "type":
			typ = e
		case "function":
			function = e
		case "custom":
			custom = e
		}
	}
	body, tail := function, ".function"
	switch {
	case typ == nil, typ.Is("function"):
	case typ.Is("custom"):
		body, tail = custom, ".custom"
	default:
		d.reject(path(".type"), "Tool calls must be of type function or custom.")
		return
	}
	if body.Kind() != rawjson.Object {
		d.is(body, rawjson.Object, path(tail))
		return
	}
	name := body.Get("name")
	if name.Kind() != rawjson.String || name.IsEmptyString() {
		d.reject(path(tail+".name"), "Missing required parameter: '%s'.", path(tail+".name"))
		return
	}
	var args rawjson.Value
	if tail == ".custom" {
		input := body.Get("input")
		if !input.IsNull() && input.Kind() != rawjson.String {
			d.is(input, rawjson.String, path(".custom.input"))
			return
		}
		args = wrap("input", orEmpty(input))
	} else {
		args = d.arguments(body.Get("arguments"), i)
	}
	signature := callSignature(v, function)
	if id == nil || id.IsEmptyString() {
		id = d.syntheticID(len(t.calls))
	} else if id.Kind() != rawjson.String {
		d.is(id, rawjson.String, path(".id"))
		return
	} else {
		var suffix rawjson.Value
		if id, suffix = splitID(id); signature == nil {
			signature = suffix
		}
	}
	if signature == nil {
		signature = firstSignature(m, t)
	}
	key := d.remember(at, len(t.calls), id)
	d.add(t, key, id, name, args, d.recall(signature, id))
}

// arguments reads the arguments of a call in the history as an object (§3.4).
// History cannot be mended by the user, so that nothing is refused for what it
// says: text that is no JSON is handed over as text. i is the call's place in
// tool_calls, negative for function_call.
func (d *decoder) arguments(v rawjson.Value, i int) rawjson.Value {
	switch v.Kind() {
	case rawjson.Missing, rawjson.Null:
		return rawjson.Value("{}")
	case rawjson.Object:
		return gemini.StructSafe(v)
	case rawjson.String:
	default:
		tail := "function_call.arguments"
		if i >= 0 {
			tail = index("tool_calls", i, ".function.arguments")
		}
		d.isPart(v, rawjson.String, tail)
		return nil
	}
	text := bytes.TrimSpace(textBytes(v))
	if len(text) == 0 {
		return rawjson.Value("{}")
	}
	parsed, err := rawjson.Parse(text)
	switch {
	case err != nil:
		return wrap("_raw", v)
	case parsed.Kind() != rawjson.Object:
		return wrap("value", gemini.StructSafe(parsed))
	}
	return gemini.StructSafe(parsed)
}

// wrap returns {"key":v}.
func wrap(key string, v rawjson.Value) rawjson.Value {
	out := make([]byte, 0, len(key)+len(v)+5)
	out = append(append(append(out, '{', '"'), key...), '"', ':')
	return append(append(out, v...), '}')
}

func orEmpty(v rawjson.Value) rawjson.Value {
	if v.IsNull() {
		return rawjson.Value(`""`)
	}
	return v
}
