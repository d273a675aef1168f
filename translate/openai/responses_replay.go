// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Kept is an answer of the Responses API as it is kept: what is asked of it later
// is answered from here. Its parts are those that [Responses] had for it, and none
// of the methods changes them.
type Kept struct {
	Items    []byte // see [Responses.Stored]
	Document []byte // see [Responses.Document]
	Trace    []byte // see [Responses.Trace]
}

// unreadable is for kept bytes that are none of ours.
func unreadable() *translate.Failure {
	return &translate.Failure{Kind: translate.Internal, Message: "The kept response cannot be read."}
}

// Response appends the response object; encrypted adds the encrypted_content of
// reasoning items, which the answer had only where it was asked for.
func (k *Kept) Response(dst []byte, encrypted bool) ([]byte, *translate.Failure) {
	if !encrypted {
		return append(dst, k.Document...), nil
	}
	document, err := rawjson.Parse(k.Document)
	items, err2 := rawjson.Parse(k.Items)
	trace, err3 := rawjson.Parse(k.Trace)
	if err != nil || err2 != nil || err3 != nil {
		return dst, unreadable()
	}
	input, _ := trace.Get("input").Int()
	output := []byte{'['}
	for i, item := range items.Elems() {
		if int64(i) >= input {
			output = append(append(output, item...), ',')
		}
	}
	output = append(bytes.TrimSuffix(output, []byte{','}), ']')
	return changed(dst, document, func(name string, v rawjson.Value) rawjson.Value {
		if name == "output" {
			return output
		}
		return v
	}), nil
}

// changed appends an object with other values of some members; nil leaves one out.
func changed(dst []byte, object rawjson.Value, value func(name string, v rawjson.Value) rawjson.Value) []byte {
	dst = append(dst, '{')
	first := true
	for k, v := range object.Members() {
		if v = value(string(k.Inner()), v); v == nil {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(append(append(append(dst, '"'), k.Inner()...), '"', ':'), v...)
	}
	return append(dst, '}')
}

// Events appends the stream of events of the answer, without those up to the
// sequence number after, negative for none. An answer that was streamed is told in
// the very events that it had.
// Source: specs/openai.md §20.5.
func (k *Kept) Events(dst []byte, after int64, encrypted bool) ([]byte, *translate.Failure) {
	body, f := k.Response(nil, encrypted)
	if f != nil {
		return dst, f
	}
	document, err := rawjson.Parse(body)
	trace, err2 := rawjson.Parse(k.Trace)
	if err != nil || err2 != nil || document.Get("status").Kind() != rawjson.String {
		return dst, unreadable()
	}
	r := &replay{after: after, dst: dst}
	for _, n := range trace.Get("deltas").Elems() {
		n, _ := n.Int()
		r.deltas = append(r.deltas, int(n))
	}
	begun := rawjson.Value(changed(nil, document, unfinished))
	r.event("response.created").member("response", begun).end()
	r.event("response.in_progress").member("response", begun).end()
	for i, item := range document.Get("output").Elems() {
		r.item(i, item)
	}
	r.event("response."+document.Get("status").Text()).member("response", document).end()
	return r.dst, nil
}

// unfinished are the members of a response that goes on.
func unfinished(name string, v rawjson.Value) rawjson.Value {
	switch name {
	case "status":
		return rawjson.Value(`"in_progress"`)
	case "output":
		return rawjson.Value(`[]`)
	case "completed_at", "incomplete_details", "usage":
		return rawjson.Value(`null`)
	}
	return v
}

// replay writes events.
type replay struct {
	dst    []byte
	sent   int64
	after  int64
	from   int   // where the present event begins
	deltas []int // lengths of the texts' pieces, those to come

	index rawjson.Value // of the present item in the output, a number
	id    rawjson.Value // of the present item
}

func (r *replay) event(name string) *replay {
	r.from = len(r.dst)
	r.dst = append(append(append(r.dst, "event: "...), name...), "\ndata: {\"type\":\""...)
	r.dst = append(append(r.dst, name...), `","sequence_number":`...)
	r.dst = strconv.AppendInt(r.dst, r.sent, 10)
	return r
}

func (r *replay) member(name string, v rawjson.Value) *replay {
	r.dst = append(append(append(r.dst, ',', '"'), name...), '"', ':')
	if v == nil {
		v = rawjson.Value("null")
	}
	r.dst = append(r.dst, v...)
	return r
}

// end ends the event, which is forgotten where the client has it already.
func (r *replay) end() {
	r.dst = append(r.dst, "}\n\n"...)
	if r.sent <= r.after {
		r.dst = r.dst[:r.from]
	}
	r.sent++
}

// of starts an event about the present item.
func (r *replay) of(name string) *replay {
	return r.event(name).member("item_id", r.id).member("output_index", r.index)
}

func (r *replay) steps(names ...string) {
	for _, name := range names {
		r.of(name).end()
	}
}

// item writes the events of an item.
func (r *replay) item(i int, item rawjson.Value) {
	r.index, r.id = strconv.AppendInt(nil, int64(i), 10), item.Get("id")
	typ := item.Get("type").Text()
	added := changed(nil, item, func(name string, v rawjson.Value) rawjson.Value { return begun(typ, name, v) })
	r.event("response.output_item.added").member("output_index", r.index).member("item", added).end()
	switch typ {
	case "reasoning":
		r.reasoning(item.Get("summary"))
	case "message":
		for _, part := range item.Get("content").Elems() {
			r.part(part)
		}
	case "function_call":
		arguments := item.Get("arguments")
		r.of("response.function_call_arguments.delta").member("delta", arguments).end()
		r.of("response.function_call_arguments.done").member("name", item.Get("name")).member("arguments", arguments).end()
	case "custom_tool_call":
		r.of("response.custom_tool_call_input.delta").member("delta", item.Get("input")).end()
		r.of("response.custom_tool_call_input.done").member("input", item.Get("input")).end()
	case "image_generation_call":
		r.steps("response.image_generation_call.in_progress", "response.image_generation_call.generating", "response.image_generation_call.completed")
	case "web_search_call":
		r.steps("response.web_search_call.in_progress", "response.web_search_call.searching", "response.web_search_call.completed")
	case "code_interpreter_call":
		r.steps("response.code_interpreter_call.in_progress")
		r.of("response.code_interpreter_call_code.delta").member("delta", item.Get("code")).end()
		r.of("response.code_interpreter_call_code.done").member("code", item.Get("code")).end()
		r.steps("response.code_interpreter_call.interpreting", "response.code_interpreter_call.completed")
	}
	r.event("response.output_item.done").member("output_index", r.index).member("item", item).end()
}

// begun are the members of an item that was just added.
func begun(typ, name string, v rawjson.Value) rawjson.Value {
	switch {
	case typ == "reasoning" && (name == "status" || name == "encrypted_content"):
		return nil
	case name == "status":
		return rawjson.Value(`"in_progress"`)
	case name == "content", name == "summary", name == "outputs":
		return rawjson.Value(`[]`)
	case name == "arguments", name == "input", name == "code":
		return rawjson.Value(`""`)
	case name == "result":
		return rawjson.Value(`null`)
	}
	return v
}

func (r *replay) reasoning(summary rawjson.Value) {
	for i, part := range summary.Elems() {
		at := rawjson.Value(strconv.AppendInt(nil, int64(i), 10))
		empty := rawjson.Value(changed(nil, part, unwritten))
		r.of("response.reasoning_summary_part.added").member("summary_index", at).member("part", empty).end()
		for _, piece := range r.pieces(part.Get("text")) {
			r.of("response.reasoning_summary_text.delta").member("summary_index", at).member("delta", piece).end()
		}
		r.of("response.reasoning_summary_text.done").member("summary_index", at).member("text", part.Get("text")).end()
		r.of("response.reasoning_summary_part.done").member("summary_index", at).member("part", part).end()
	}
}

// unwritten are the members of a part that was just added.
func unwritten(name string, v rawjson.Value) rawjson.Value {
	switch name {
	case "text", "refusal":
		return rawjson.Value(`""`)
	case "annotations", "logprobs":
		return rawjson.Value(`[]`)
	}
	return v
}

// part writes the events of a message's content.
func (r *replay) part(part rawjson.Value) {
	first := rawjson.Value("0")
	r.of("response.content_part.added").member("content_index", first).member("part", changed(nil, part, unwritten)).end()
	if refusal := part.Get("refusal"); refusal != nil {
		r.of("response.refusal.delta").member("content_index", first).member("delta", refusal).end()
		r.of("response.refusal.done").member("content_index", first).member("refusal", refusal).end()
	} else {
		text, tokens := part.Get("text"), part.Get("logprobs")
		told := tokenReader{list: tokens}
		for _, piece := range r.pieces(text) {
			r.of("response.output_text.delta").member("content_index", first).member("delta", piece).member("logprobs", told.next(len(piece.Inner()))).end()
		}
		for i, source := range part.Get("annotations").Elems() {
			r.of("response.output_text.annotation.added").member("content_index", first).
				member("annotation_index", strconv.AppendInt(nil, int64(i), 10)).member("annotation", source).end()
		}
		r.of("response.output_text.done").member("content_index", first).member("text", text).member("logprobs", plainTokens(tokens)).end()
	}
	r.of("response.content_part.done").member("content_index", first).member("part", part).end()
}

// pieces cuts a text into what its deltas had.
func (r *replay) pieces(text rawjson.Value) (pieces []rawjson.Value) {
	for rest := text.Inner(); len(rest) > 0; {
		n := len(rest)
		if len(r.deltas) > 0 && r.deltas[0] > 0 && r.deltas[0] <= n {
			n, r.deltas = r.deltas[0], r.deltas[1:]
		}
		pieces = append(pieces, quoted(rest[:n]))
		rest = rest[n:]
	}
	return pieces
}

// tokenReader gives out log probabilities along with the text they are of.
type tokenReader struct {
	list      rawjson.Value
	given     int // tokens
	text, end int // encoded bytes of their text, and of the pieces
}

// next are those that begin within the next n bytes.
func (t *tokenReader) next(n int) rawjson.Value {
	t.end += n
	out := []byte{'['}
	for i, token := range t.list.Elems() {
		if i < t.given {
			continue
		}
		if t.text >= t.end {
			break
		}
		t.given++
		t.text += len(token.Get("token").Inner())
		out = append(appendPlain(out, token), ',')
	}
	return append(bytes.TrimSuffix(out, []byte{','}), ']')
}

// plainTokens are log probabilities as events have them: without bytes.
func plainTokens(list rawjson.Value) rawjson.Value {
	out := []byte{'['}
	for _, token := range list.Elems() {
		out = append(appendPlain(out, token), ',')
	}
	return append(bytes.TrimSuffix(out, []byte{','}), ']')
}

func appendPlain(dst []byte, token rawjson.Value) []byte {
	return changed(dst, token, func(name string, v rawjson.Value) rawjson.Value {
		switch name {
		case "bytes":
			return nil
		case "top_logprobs":
			return plainTokens(v)
		}
		return v
	})
}
