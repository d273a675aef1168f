// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"slices"

	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// inMessage is one element of messages; null and absent members are nil.
type inMessage struct{ role, content, effort, clearAt rawjson.Value }

func (d *decoder) readMessage(v rawjson.Value) (m inMessage) {
	for k, e := range d.doc.Members(v) {
		if e.IsNull() {
			continue
		}
		switch string(k.Inner()) {
		case "role":
			m.role = e
		case "content":
			m.content = e
		case "output_config":
			m.effort = e.Get("effort")
		case "clear_at":
			m.clearAt = e
		}
	}
	return m
}

// turn is one content in the making. The results of a model turn's calls are kept
// with it and become the content after it.
type turn struct {
	model    bool
	alone    bool // nothing is added to it
	parts    []gemini.Part
	calls    []call
	answered bool // a result arrived: further calls are another step
}

// call is one function call of a model turn.
type call struct {
	part     int // in turn.parts
	next     int // the next call under the same id in the turn, 0 for none
	name     rawjson.Value
	response rawjson.Value // nil until a result arrived
	media    []gemini.Part // what the result shows besides
}

// callRef finds the calls under an id in a turn: the first that may be without a
// result, and the last.
type callRef struct{ turn, call, last int }

// conversation walks the messages. Source: C.2.
func (d *decoder) conversation() {
	for i, v := range d.messages {
		d.at = place{i, -1, -1}
		if !d.isHere(v, rawjson.Object, "") {
			return
		}
		m := d.readMessage(v)
		if !d.isHere(m.role, rawjson.String, "role") {
			return
		}
		if !d.isContent(m.content) {
			return
		}
		switch string(m.role.Inner()) {
		case "user":
			d.user(m.content)
		case "assistant":
			d.begun = true
			d.assistant(m.content)
		case "system":
			d.systemMessage(&m)
		default:
			d.reject(d.path("role"), "Input should be 'user', 'assistant' or 'system'")
		}
		if d.failure != nil {
			return
		}
	}
	d.at = place{-1, -1, -1}
}

// isContent checks the type of content: text, or blocks.
func (d *decoder) isContent(v rawjson.Value) bool {
	switch v.Kind() {
	case rawjson.String, rawjson.Array:
		return true
	case rawjson.Missing, rawjson.Null:
		d.missing(d.path("content"))
	default:
		d.reject(d.path("content"), "Input should be a string or an array of blocks, not %s", v.Kind())
	}
	return false
}

func (d *decoder) last() *turn {
	if len(d.turns) == 0 {
		return nil
	}
	return &d.turns[len(d.turns)-1]
}

// say adds parts to the conversation as the user's; none adds nothing. Parts never
// go into the content of results: those stand with their calls (OS§3.5).
func (d *decoder) say(parts []gemini.Part) {
	if len(parts) == 0 {
		return
	}
	if t := d.last(); t != nil && !t.model && (!t.alone || d.req.features.Has(capability.UserFirst)) {
		t.parts = append(t.parts, parts...)
		return
	}
	d.turns = append(d.turns, turn{parts: parts})
}

// systemMessage reads a system message amid the others: before the first answer it
// is part of the instruction, later a reminder at its place.
func (d *decoder) systemMessage(m *inMessage) {
	if d.readEffort(m.effort, d.path("output_config.effort")); d.failure != nil {
		return
	}
	d.toolChanges(m.content)
	if m.clearAt.Is("next_user_message") && d.userFollows() {
		return
	}
	if !d.begun {
		d.system = d.textOnly(d.system, m.content)
		return
	}
	said := d.textOnly(nil, m.content)
	if len(said) == 0 {
		return
	}
	text := []byte(`"<system-reminder>`)
	for _, p := range said {
		text = append(append(text, `\n`...), p.Text.Inner()...)
	}
	reminder := []gemini.Part{{Text: append(text, `\n</system-reminder>"`...)}}
	if d.req.features.Has(capability.UserFirst) { // which wants turns to alternate
		d.say(reminder)
		return
	}
	d.turns = append(d.turns, turn{parts: reminder, alone: true})
}

// userFollows reports whether a message of the user comes after the present one.
func (d *decoder) userFollows() bool {
	if d.users == nil {
		last := -1
		for i, v := range slices.Backward(d.messages) {
			if v.Get("role").Is("user") {
				last = i
				break
			}
		}
		d.users = &last
	}
	return *d.users > d.at.message
}

// toolChanges reads the blocks of a system message that are not text.
func (d *decoder) toolChanges(content rawjson.Value) {
	for i, b := range d.doc.Elems(content) {
		d.at.block = i
		d.toolChange(b, b.Get("type"))
	}
	d.at.block = -1
}

// toolChange applies a block that adds or removes a tool amid the conversation, if
// it is one. A tool may be defined right there.
func (d *decoder) toolChange(b, typ rawjson.Value) bool {
	added := typ.Is("tool_addition")
	if !added && !typ.Is("tool_removal") {
		return false
	}
	t := b.Get("tool")
	name := t.Get("name")
	if definition := t.Get("definition"); added && definition.Kind() == rawjson.Object {
		if name = definition.Get("name"); !d.req.names.Declared(name.Text()) {
			d.readTool(definition, toolPath{inline: d.path("tool.definition")})
		}
	}
	if name.Kind() == rawjson.String {
		d.load(name.Text(), added)
	}
	return true
}

// user reads a message of the user. Results go to the calls they answer; all else
// becomes a content after them.
func (d *decoder) user(content rawjson.Value) {
	if content.Kind() == rawjson.String {
		if !content.IsEmptyString() {
			d.say([]gemini.Part{{Text: content}})
		}
		return
	}
	var parts, orphans []gemini.Part
	for i, b := range d.doc.Elems(content) {
		if d.at.block = i; i >= maxMessages {
			d.reject(d.path(""), "At most %d blocks are supported in a message", maxMessages)
		}
		if d.failure != nil || !d.isHere(b, rawjson.Object, "") {
			return
		}
		typ := d.doc.Get(b, "type")
		if !d.isHere(typ, rawjson.String, "type") {
			return
		}
		if typ.Is("tool_result") {
			orphans = append(orphans, d.result(b)...)
			continue
		}
		if !d.toolChange(b, typ) {
			parts = d.block(parts, b, typ)
		}
	}
	d.at.block = -1
	d.say(append(orphans, parts...))
}

// assistant reads a message of the assistant. Its parts stay in their order; what
// it thought is not sent back, but for the signatures in there.
func (d *decoder) assistant(content rawjson.Value) {
	s := spoken{}
	if content.Kind() == rawjson.String {
		if !content.IsEmptyString() {
			s.parts = []gemini.Part{{Text: content}}
		}
	}
	for i, b := range d.doc.Elems(content) {
		if d.at.block = i; i >= maxMessages {
			d.reject(d.path(""), "At most %d blocks are supported in a message", maxMessages)
		}
		if d.failure != nil || !d.isHere(b, rawjson.Object, "") {
			return
		}
		typ := d.doc.Get(b, "type")
		if !d.isHere(typ, rawjson.String, "type") {
			return
		}
		d.said(&s, b, typ)
	}
	d.at.block = -1
	if d.failure == nil && len(s.parts) > 0 {
		d.answer(&s)
	}
}

// answer adds what an assistant message says to the conversation. After calls only
// more calls of the same step join the turn: text has to wait for their results, and
// once those are there it is another step (OS§3.6).
func (d *decoder) answer(s *spoken) {
	t := d.last()
	if t == nil || !t.model || len(t.calls) > 0 && (len(s.calls) == 0 || t.answered) {
		d.turns = append(d.turns, turn{model: true})
		t = d.last()
	}
	at, offset := len(d.turns)-1, len(t.parts)
	t.parts = append(t.parts, s.parts...)
	for _, c := range s.calls {
		c.part += offset
		if d.calls == nil {
			d.calls = map[string]callRef{}
		}
		n := len(t.calls)
		t.calls = append(t.calls, c.call)
		if ref, ok := d.calls[c.id]; ok && ref.turn == at {
			t.calls[ref.last].next = n
			d.calls[c.id] = callRef{at, ref.call, n}
		} else {
			d.calls[c.id] = callRef{at, n, n}
		}
	}
}
