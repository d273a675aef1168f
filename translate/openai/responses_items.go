// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"slices"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/media"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// carried is what a reasoning item gives to the next item of the model.
type carried struct {
	thoughts    []gemini.Part // signed thoughts, which stand before it
	text, image rawjson.Value // signatures
}

// items walks the conversation: the items of the earlier response, then the
// request's own. Source: specs/openai.md §20.2.
func (d *responsesDecoder) items() {
	if v := d.out.own.instructions; v != nil && !v.IsEmptyString() {
		d.system = append(d.system, gemini.Part{Text: v})
	}
	d.earlier = d.out.previous.Len()
	if !d.sequence(d.out.previous, 0) {
		return
	}
	switch input := d.out.own.input; input.Kind() {
	case rawjson.Missing:
		if d.out.previous == nil {
			d.reject("input", "Missing required parameter: 'input'.")
		}
	case rawjson.String:
		d.message, d.part = d.earlier, -1
		d.ask(d.parts(nil, input, false))
	case rawjson.Array:
		if input.Len() == 0 && d.out.previous == nil {
			d.reject("input", "'input' must not be empty.")
			return
		}
		d.sequence(input, d.earlier)
	default:
		d.reject("input", "Invalid type for 'input': expected a string or an array of items, but got %s instead.", input.Kind())
	}
}

// sequence reads the items of a list, the first of which has the position at.
func (d *responsesDecoder) sequence(list rawjson.Value, at int) bool {
	for i, v := range d.doc.Elems(list) {
		if d.message, d.part = at+i, -1; d.message >= maxMessages {
			d.reject("input", "At most %d items are supported.", maxMessages)
		}
		if d.failure == nil && d.isPart(v, rawjson.Object, "") {
			d.item(v)
		}
		if d.failure != nil {
			return false
		}
	}
	return true
}

// item reads one item.
func (d *responsesDecoder) item(v rawjson.Value) {
	typ := d.doc.Get(v, "type")
	if typ.IsNull() {
		if d.doc.Get(v, "role").IsNull() {
			d.rejectPart("type", "Missing required parameter: '%s'.", d.path("type"))
			return
		}
		d.messageItem(v)
		return
	}
	if !d.isPart(typ, rawjson.String, "type") {
		return
	}
	switch word := typ.Text(); word {
	case "message":
		d.messageItem(v)
	case "function_call", "custom_tool_call":
		d.callItem(v, word == "custom_tool_call")
	case "function_call_output", "custom_tool_call_output":
		d.outputItem(v)
	case "reasoning":
		d.reasoningItem(v)
	case "image_generation_call":
		d.imageItem(v)
	case "item_reference":
		d.reference(v)
	default:
		if !droppedItems[word] {
			d.rejectPart("type", "Unsupported item type %q.", clip(word))
		}
	}
}

// droppedItems are traces of OpenAI's own tools in the history. Gemini has no
// part for them, and their results stand in the messages after them.
var droppedItems = map[string]bool{
	"additional_tools": true, "agent_message": true, "apply_patch_call": true, "apply_patch_call_output": true,
	"code_interpreter_call": true, "compaction": true, "compaction_summary": true, "compaction_trigger": true,
	"computer_call": true, "computer_call_output": true, "configuration_update": true, "context_compaction": true,
	"file_search_call": true, "ghost_snapshot": true, "local_shell_call": true, "local_shell_call_output": true,
	"mcp_approval_request": true, "mcp_approval_response": true, "mcp_call": true, "mcp_list_tools": true,
	"program": true, "program_output": true, "shell_call": true, "shell_call_output": true,
	"tool_search_call": true, "tool_search_output": true, "web_search_call": true,
}

// messageItem reads {role, content}.
func (d *responsesDecoder) messageItem(v rawjson.Value) {
	m := d.readMessage(v)
	if m.role == nil {
		d.rejectPart("role", "Missing required parameter: '%s'.", d.path("role"))
		return
	}
	if !d.isPart(m.role, rawjson.String, "role") {
		return
	}
	if d.chat { // its answers were messages, calls among them
		d.said(&m)
		return
	}
	switch string(m.role.Inner()) {
	case "system", "developer":
		d.system = d.textParts(d.system, m.content)
	case "user":
		d.ask(d.parts(nil, m.content, false))
	case "assistant":
		parts := d.parts(nil, d.spoken(m.content), true)
		parts = signText(parts, d.lead.text)
		if d.lead.text = nil; len(parts) > 0 {
			t := d.answer()
			t.parts = append(t.parts, parts...)
		}
	default:
		d.rejectPart("role", "Unknown role %q. Use system, developer, user or assistant.", clip(m.role.Text()))
	}
}

// ask adds parts of the user. What reasoning items carried does not cross them.
func (d *responsesDecoder) ask(parts []gemini.Part) {
	if len(parts) > 0 {
		d.lead = carried{}
		d.user(parts)
	}
}

// answer returns the model turn that the next item of the model belongs to.
func (d *responsesDecoder) answer() *turn {
	if !d.continues(false) {
		d.turns = append(d.turns, turn{model: true})
	}
	t := d.last()
	t.parts = append(t.parts, d.lead.thoughts...)
	d.lead.thoughts = nil
	return t
}

// callItem reads function_call {call_id, name, arguments} and custom_tool_call
// {call_id, name, input}.
func (d *responsesDecoder) callItem(v rawjson.Value, custom bool) {
	name, id := v.Get("name"), v.Get("call_id")
	if name.Kind() != rawjson.String || name.IsEmptyString() {
		d.rejectPart("name", "Missing required parameter: '%s'.", d.path("name"))
		return
	}
	var args rawjson.Value
	if custom {
		input := v.Get("input")
		if !input.IsNull() && !d.isPart(input, rawjson.String, "input") {
			return
		}
		args = wrap("input", orEmpty(input))
	} else {
		text := v.Get("arguments")
		if k := text.Kind(); k != rawjson.Object && !text.IsNull() && !d.isPart(text, rawjson.String, "arguments") {
			return
		}
		args = d.arguments(text, -1)
	}
	t := d.answer()
	signature := callSignature(v, nil)
	if id.IsNull() || id.IsEmptyString() {
		id = d.syntheticID(len(t.calls))
	} else if d.isPart(id, rawjson.String, "call_id") {
		var suffix rawjson.Value
		if id, suffix = splitID(id); signature == nil {
			signature = suffix
		}
	} else {
		return
	}
	if s, ok := d.byCallID[id.Text()]; ok {
		delete(d.byCallID, id.Text()) // an id used again is another call
		signature = s
	}
	if len(t.calls) == 0 && !slices.ContainsFunc(t.parts, served) {
		var lead []gemini.Part
		for _, a := range d.recallAsides(id) {
			lead = append(lead, a.part)
		}
		t.parts = append(lead, t.parts...)
	}
	key := d.remember(len(d.turns)-1, len(t.calls), id)
	d.add(t, key, id, fullName(v, name), args, d.recall(signature, id))
}

// outputItem reads function_call_output and custom_tool_call_output {call_id,
// output}, the output a string or a list of input parts.
func (d *responsesDecoder) outputItem(v rawjson.Value) {
	d.lead = carried{}
	id, output := v.Get("call_id"), v.Get("output")
	if id.IsNull() {
		id = nil
	}
	d.list = "output"
	defer func() { d.list = "content" }()
	if list := partList(output); list != nil {
		if d.result(&message{content: list}, id); d.failure == nil {
			return
		}
		d.failure, d.part = nil, -1 // it only looked like one
	}
	d.result(&message{content: output}, id)
}

// partList returns the list of input parts that a tool wrote as text, nil unless
// each element is one and has its media in it: text does not make us fetch.
func partList(output rawjson.Value) rawjson.Value {
	if output.Kind() != rawjson.String || !opens(output.Inner()) {
		return nil
	}
	list, err := rawjson.Parse(bytes.TrimSpace(textBytes(output)))
	if err != nil || list.Kind() != rawjson.Array || list.Len() == 0 {
		return nil
	}
	for _, e := range list.Elems() {
		switch e.Get("type").Text() {
		case "input_text", "input_image", "input_file", "input_audio":
		default:
			return nil
		}
		for _, key := range [...]string{"image_url", "file_url"} {
			if url := e.Get(key); !url.IsNull() && !media.IsDataURL(textBytes(url)) {
				return nil
			}
		}
	}
	return list
}

// reasoningItem reads reasoning {summary, encrypted_content}. Without a signature
// of ours it says nothing to Gemini.
func (d *responsesDecoder) reasoningItem(v rawjson.Value) {
	kind, callID, signature, ok := openEnvelope(v.Get("encrypted_content"))
	if !ok {
		return
	}
	switch kind {
	case signedCall:
		if d.byCallID == nil {
			d.byCallID = map[string]rawjson.Value{}
		}
		d.byCallID[callID] = signature
	case signedText:
		d.lead.text = signature
	case signedImage:
		d.lead.image = signature
	case signedThought:
		if text := summaryText(v.Get("summary")); len(text) > 2 {
			d.lead.thoughts = append(d.lead.thoughts, gemini.Part{Text: text, Thought: true, ThoughtSignature: signature})
		}
	case signedLast:
		if d.continues(false) {
			t := d.last()
			t.parts = signText(t.parts, signature)
		}
	case signedTail:
		t := d.answer()
		t.parts = append(t.parts, gemini.Part{Text: rawjson.Value(`""`), ThoughtSignature: signature})
	case nativeWhole:
		if p, _ := gemini.DecodeNativePart(signature); d.takesNative(&p) {
			t := d.answer()
			t.parts = append(t.parts, p)
		}
	}
}

// summaryText joins the texts of a summary.
func summaryText(summary rawjson.Value) rawjson.Value {
	text := []byte{'"'}
	for _, e := range summary.Elems() {
		text = append(text, e.Get("text").Inner()...)
	}
	return append(text, '"')
}

// imageItem reads image_generation_call {result}, an image the model made.
func (d *responsesDecoder) imageItem(v rawjson.Value) {
	result := d.doc.Get(v, "result")
	if result.IsNull() || result.IsEmptyString() || !d.isPart(result, rawjson.String, "result") {
		return
	}
	raw := media.TextIn(&d.doc, result)
	p := gemini.Part{ThoughtSignature: d.lead.image}
	if media.IsDataURL(raw.Bytes) {
		if !d.dataURL(&p, raw, "", "result") {
			return
		}
	} else {
		clean, ok := media.Base64(raw)
		if !ok {
			d.rejectPart("result", "'%s' is not valid base64.", d.path("result"))
			return
		}
		mime := media.Sniff(clean)
		if mime == "" {
			mime = "image/png"
		}
		p.InlineData = &gemini.Blob{MIMEType: mime, Data: clean}
	}
	d.lead.image = nil
	t := d.answer()
	t.parts = append(t.parts, p)
}
