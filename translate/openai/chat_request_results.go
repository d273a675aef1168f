// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// result gives a tool's result to the call it answers, wherever that stands
// before; of two the later one holds. Without a call the model still gets to
// know it, as text of the user (§3.7).
func (d *decoder) result(m *message, key rawjson.Value) {
	if key != nil && !d.isPart(key, rawjson.String, d.words.callID) {
		return
	}
	text, media := d.resultContent(m.content)
	if d.failure != nil {
		return
	}
	if key.IsEmptyString() {
		key = nil
	}
	if key != nil {
		key, _ = splitID(key)
	}
	name := string(textBytes(key))
	ref, ok := d.calls[name]
	if key == nil {
		ref, ok = d.unanswered()
	}
	if !ok && key != nil {
		if ref, ok = d.named(m.name, name); ok {
			key = nil // it is no call's id
		}
	}
	if !ok {
		d.user(append(orphan(key, text), media...))
		return
	}
	t := &d.turns[ref.turn]
	t.answered = true
	if key != nil {
		ref.call = t.answering(ref.call, name)
		d.calls[name] = ref // where the next result under it begins to search
	}
	c := &t.calls[ref.call]
	c.response, c.media = response(text), media
}

// unanswered finds the call a result without id must be meant for.
func (d *decoder) unanswered() (callRef, bool) {
	for i := len(d.turns) - 1; i >= 0; i-- {
		if t := &d.turns[i]; len(t.calls) > 0 {
			n, ok := t.unanswered()
			return callRef{i, n}, ok
		}
	}
	return callRef{}, false
}

// maxNamed is among how many calls of a turn one is looked for by its name, which
// costs a look at each of them.
const maxNamed = 256

// named finds the call that a result with an unknown id is for by the function's
// name, which some clients send beside the id or as the id: the first of that name
// in the last turn of calls that has no result yet. Source: specs/openai.md §3.5.
func (d *decoder) named(member rawjson.Value, id string) (callRef, bool) {
	name := id
	if member.Kind() == rawjson.String {
		name = member.Text()
	} else if !d.req.names.Declared(id) {
		return callRef{}, false
	}
	name = d.req.names.Sent(name)
	for i := len(d.turns) - 1; i >= 0; i-- {
		t := &d.turns[i]
		for j := range t.calls[:min(len(t.calls), maxNamed)] {
			if c := &t.calls[j]; c.response == nil && c.name.Is(name) {
				return callRef{i, j}, true
			}
		}
		if len(t.calls) > 0 {
			break
		}
	}
	return callRef{}, false
}

// resultContent reads the content of a tool message: a value, and media.
func (d *decoder) resultContent(v rawjson.Value) (rawjson.Value, []gemini.Part) {
	switch v.Kind() {
	case rawjson.Missing, rawjson.Null:
		return rawjson.Value(`""`), nil
	case rawjson.String, rawjson.Object:
		return v, nil
	case rawjson.Array:
	default:
		d.isPart(v, rawjson.String, d.list)
		return nil, nil
	}
	parts := d.parts(nil, v, false)
	d.part = -1
	text := []byte{'"'}
	media := parts[:0]
	for _, p := range parts {
		if p.Text != nil {
			text = append(text, p.Text.Inner()...)
		} else {
			media = append(media, p)
		}
	}
	return append(text, '"'), media
}

// response makes the object that Gemini wants of a result (§3.5). The name
// output is the documented one.
func response(v rawjson.Value) rawjson.Value {
	if v.Kind() == rawjson.Object {
		return gemini.StructSafe(v)
	}
	if opens(v.Inner()) {
		if parsed, err := rawjson.Parse(bytes.TrimSpace(textBytes(v))); err == nil {
			switch parsed.Kind() {
			case rawjson.Object:
				return gemini.StructSafe(parsed)
			case rawjson.Array:
				return wrap("output", gemini.StructSafe(parsed))
			}
		}
	}
	return wrap("output", v)
}

// opens reports whether the text inside a JSON string may begin an object or an
// array, so that most results need not be parsed.
func opens(inner []byte) bool {
	for i := 0; i < len(inner); i++ {
		switch inner[i] {
		case ' ':
		case '{', '[':
			return true
		case '\\': // an escaped space, or an escaped bracket from a careful encoder
			if i++; i < len(inner) && inner[i] == 'u' {
				return true
			}
			if i >= len(inner) || bytes.IndexByte([]byte("nrt"), inner[i]) < 0 {
				return false
			}
		default:
			return false
		}
	}
	return false
}

func orphan(id, v rawjson.Value) []gemini.Part {
	text := append([]byte(`"[tool result `), id.Inner()...)
	text = append(text, "]: "...)
	if v.Kind() == rawjson.Object {
		text = rawjson.AppendEscaped(text, string(v))
	} else {
		text = append(text, v.Inner()...)
	}
	return []gemini.Part{{Text: append(text, '"')}}
}
