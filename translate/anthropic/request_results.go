// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// result gives a tool's result to the call it answers, wherever that stands before;
// of two the later one holds. The name comes from the call, never from the id. A
// result without call is returned as what the user says (C.3).
func (d *decoder) result(b rawjson.Value) (orphan []gemini.Part) {
	var id, content, failed rawjson.Value
	for k, m := range d.doc.Members(b) {
		switch string(k.Inner()) {
		case "tool_use_id":
			id = m
		case "content":
			content = m
		case "is_error":
			failed = m
		}
	}
	if !d.isHere(id, rawjson.String, "tool_use_id") {
		return nil
	}
	text, shown := d.resultContent(content)
	if d.failure != nil {
		return nil
	}
	key := id.Text()
	ref, ok := d.calls[key]
	if !ok {
		said := append([]byte(`[tool result `), id.Inner()...)
		said = append(append(said, `]: `...), text.Inner()...)
		return append([]gemini.Part{{Text: quoteInner(said)}}, shown...)
	}
	t := &d.turns[ref.turn]
	t.answered = true
	c := &t.calls[ref.call]
	for c.response != nil && c.next > 0 { // of several under one id, the first without result
		ref.call = c.next
		c = &t.calls[ref.call]
	}
	d.calls[key] = ref
	word := "output"
	if failed.IsTrue() {
		word = "error"
	}
	c.response, c.media = wrap(word, text), shown
	return nil
}

// resultContent reads the content of a result: text, line by line, and media. Text
// stays text, also where it is JSON: an agent wants to see what it will have to edit.
func (d *decoder) resultContent(v rawjson.Value) (text rawjson.Value, shown []gemini.Part) {
	switch v.Kind() {
	case rawjson.Missing, rawjson.Null:
		return rawjson.Value(`""`), nil
	case rawjson.String:
		return v, nil
	default:
		if !d.isContent(v) {
			return nil, nil
		}
	}
	var lines []rawjson.Value
	var loaded []byte
	for i, b := range d.doc.Elems(v) {
		if d.at.inner = i; i >= maxMessages {
			d.reject(d.path(""), "At most %d blocks are supported in a result", maxMessages)
		}
		if d.failure != nil || !d.isHere(b, rawjson.Object, "") {
			break
		}
		switch typ := d.doc.Get(b, "type"); {
		case !d.isHere(typ, rawjson.String, "type"):
		case typ.Is("tool_reference"):
			loaded = d.toolReference(loaded, b)
		case typ.Is("browser_state"):
			lines = append(lines, rawjson.Quote(string(rawjson.Compact(nil, b))))
		default:
			for _, p := range d.block(nil, b, typ) {
				if p.Text != nil {
					lines = append(lines, p.Text)
				} else {
					shown = append(shown, p)
				}
			}
		}
	}
	d.at.inner = -1
	if loaded != nil {
		lines = append(lines, quoteInner(loaded))
	}
	return joinLines(lines), shown
}

// toolReference notes that a deferred tool is loaded.
func (d *decoder) toolReference(dst []byte, b rawjson.Value) []byte {
	name := b.Get("tool_name")
	if !d.isHere(name, rawjson.String, "tool_name") {
		return dst
	}
	d.load(name.Text(), true)
	if dst == nil {
		return append([]byte("Tools loaded: "), name.Inner()...)
	}
	return append(append(dst, ", "...), name.Inner()...)
}

// joinLines joins strings by line breaks; a single one is not copied.
func joinLines(lines []rawjson.Value) rawjson.Value {
	if len(lines) == 1 {
		return lines[0]
	}
	text := []byte{'"'}
	for i, l := range lines {
		if i > 0 {
			text = append(text, `\n`...)
		}
		text = append(text, l.Inner()...)
	}
	return append(text, '"')
}

// responses answers the calls of a turn, all of them, in their order.
func (d *decoder) responses(t *turn) []gemini.Part {
	parts := make([]gemini.Part, 0, len(t.calls))
	for i := range t.calls {
		c := &t.calls[i]
		r := &gemini.FunctionResponse{ID: t.parts[c.part].FunctionCall.ID, Name: c.name, Response: c.response}
		if r.Response == nil {
			r.Response = gemini.NoResult
		}
		parts = append(parts, gemini.Part{FunctionResponse: r})
		if d.req.features.Has(capability.PartMedia) {
			r.Parts = c.media
		} else {
			parts = append(parts, c.media...)
		}
	}
	return parts
}
