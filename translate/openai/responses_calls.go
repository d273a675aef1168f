// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// functionCall takes over a call, which Gemini sends whole.
func (x *Responses) functionCall(dst []byte, p *gemini.Part) []byte {
	name := x.req.ToolName(p.FunctionCall.Name.Text())
	if name == "" {
		return dst
	}
	x.all.output = true
	if x.all.sawCall && !x.req.ParallelCalls {
		return dst // the client asked for one at a time
	}
	x.all.sawCall = true
	dst = x.begin(dst)
	callID := x.ids.take(p.FunctionCall.ID, x.env.NewID)
	if x.firstCall == "" {
		x.firstCall = callID
	}
	if s := p.ThoughtSignature; len(s.Inner()) > 0 {
		if x.env.Memo != nil {
			x.env.Memo.Remember(memoKey(x.req.Target, callID), s.Text())
		}
		if s := x.signature(p); s != nil {
			dst = x.mark(dst, signedCall, callID, s)
		}
	}
	dst = x.closeItem(dst, statusCompleted)
	if x.req.CustomTool(name) {
		return x.customCall(dst, p.FunctionCall.Args, name, callID)
	}
	id, place := x.newItem("fc_")
	from := len(x.items.buf)
	b := append(append(x.items.buf, `{"type":"function_call","id":"`...), id...)
	b = x.appendCallHead(b, name, callID)
	b = append(b, `,"arguments":"`...)
	head := len(b)
	b = appendArguments(b, &x.scratch, p.FunctionCall.Args)
	tail := len(b)
	x.items.buf = append(b, `","status":"completed"},`...)
	if x.req.Stream {
		args := x.items.buf[head:tail]
		dst = x.added(dst)
		dst = append(append(dst, x.items.buf[from:head]...), `","status":"in_progress"}`+"}\n\n"...)
		dst = x.event(dst, "response.function_call_arguments.delta")
		dst = append(append(append(dst, place...), `,"delta":"`...), args...)
		dst = append(dst, "\"}\n\n"...)
		dst = x.event(dst, "response.function_call_arguments.done")
		dst = append(append(dst, place...), `,"name":`...)
		dst = rawjson.AppendQuoted(dst, x.shortName(name))
		dst = append(append(append(dst, `,"arguments":"`...), args...), "\"}\n\n"...)
	}
	return x.done(dst, from)
}

// appendCallHead appends the members call_id, name and namespace.
func (x *Responses) appendCallHead(dst []byte, name, callID string) []byte {
	dst = append(append(append(dst, `","call_id":"`...), callID...), `","name":`...)
	dst = rawjson.AppendQuoted(dst, x.shortName(name))
	if n, ok := x.req.names.spaces[name]; ok {
		dst = rawjson.AppendQuoted(append(dst, `,"namespace":`...), n.space)
	}
	return dst
}

// shortName is the name of a tool within its namespace.
func (x *Responses) shortName(name string) string {
	if n, ok := x.req.names.spaces[name]; ok {
		return n.name
	}
	return name
}

// customCall takes over the call of a custom tool: its input is plain text.
func (x *Responses) customCall(dst []byte, args rawjson.Value, name, callID string) []byte {
	id, place := x.newItem("ctc_")
	from := len(x.items.buf)
	b := append(append(x.items.buf, `{"type":"custom_tool_call","id":"`...), id...)
	b = x.appendCallHead(b, name, callID)
	b = append(b, `,"input":"`...)
	head := len(b)
	if input := args.Get("input"); input.Kind() == rawjson.String {
		b = append(b, input.Inner()...)
	} else {
		b = appendArguments(b, &x.scratch, args)
	}
	tail := len(b)
	x.items.buf = append(b, `"},`...)
	if x.req.Stream {
		input := x.items.buf[head:tail]
		dst = x.added(dst)
		dst = append(append(dst, x.items.buf[from:head]...), `"}`+"}\n\n"...)
		dst = x.event(dst, "response.custom_tool_call_input.delta")
		dst = append(append(append(dst, place...), `,"delta":"`...), input...)
		dst = append(dst, "\"}\n\n"...)
		dst = x.event(dst, "response.custom_tool_call_input.done")
		dst = append(append(append(dst, place...), `,"input":"`...), input...)
		dst = append(dst, "\"}\n\n"...)
	}
	return x.done(dst, from)
}

// image takes over a generated image.
func (x *Responses) image(dst []byte, p *gemini.Part) []byte {
	x.all.output = true
	dst = x.begin(dst)
	if s := x.signature(p); len(s) > 0 {
		dst = x.mark(dst, signedImage, "", s)
	}
	dst = x.closeItem(dst, statusCompleted)
	id, place := x.newItem("ig_")
	from := len(x.items.buf)
	b := append(append(x.items.buf, `{"type":"image_generation_call","id":"`...), id...)
	head := len(b)
	b = append(append(b, `","status":"completed","result":"`...), p.InlineData.Data...)
	x.items.buf = append(b, `"},`...)
	if x.req.Stream {
		dst = x.added(dst)
		dst = append(append(dst, x.items.buf[from:head]...), `","status":"in_progress","result":null}`+"}\n\n"...)
		dst = x.steps(dst, place, "response.image_generation_call.in_progress",
			"response.image_generation_call.generating", "response.image_generation_call.completed")
	}
	return x.done(dst, from)
}

// container names where code ran; Google has no name for it, clients want one.
const container = `"container_id":"gemini"`

// code takes over code that Gemini ran itself.
func (x *Responses) code(dst, code []byte) []byte {
	x.all.output = true
	dst = x.openItem(dst, codeItem, "ci_")
	x.open.text = append(x.open.text, code...)
	if !x.req.Stream {
		return dst
	}
	o := &x.open
	dst = x.added(dst)
	dst = append(append(append(dst, `{"type":"code_interpreter_call","id":"`...), o.id...), `","status":"in_progress",`+container+`,"code":"","outputs":[]}`+"}\n\n"...)
	dst = x.steps(dst, o.place, "response.code_interpreter_call.in_progress")
	dst = x.event(dst, "response.code_interpreter_call_code.delta")
	dst = append(append(append(dst, o.place...), `,"delta":"`...), code...)
	dst = append(dst, "\"}\n\n"...)
	dst = x.event(dst, "response.code_interpreter_call_code.done")
	dst = append(append(append(dst, o.place...), `,"code":"`...), code...)
	dst = append(dst, "\"}\n\n"...)
	return x.steps(dst, o.place, "response.code_interpreter_call.interpreting")
}

// codeResult takes over what the code before it wrote.
func (x *Responses) codeResult(dst, output []byte) []byte {
	if x.open.kind != codeItem {
		dst = x.code(dst, nil)
	}
	x.open.outputs = append(append(x.open.outputs, `{"type":"logs","logs":"`...), output...)
	x.open.outputs = append(x.open.outputs, `"}`...)
	return x.closeItem(dst, statusCompleted)
}

func (x *Responses) closeCode(dst []byte, o *openItem, status string) []byte {
	from := len(x.items.buf)
	b := append(append(append(x.items.buf, `{"type":"code_interpreter_call","id":"`...), o.id...), `","status":"`...)
	b = append(append(append(b, status...), `",`+container+`,"code":"`...), o.text...)
	x.items.buf = append(append(append(b, `","outputs":[`...), o.outputs...), `]},`...)
	if x.req.Stream {
		dst = x.steps(dst, o.place, "response.code_interpreter_call.completed")
	}
	return x.done(dst, from)
}

// search tells of Google's web search as soon as it is known, once. In streams
// that is often at the end.
func (x *Responses) search(dst []byte) []byte {
	dst = x.begin(dst)
	if x.searched || x.open.kind != noItem {
		return dst
	}
	queries, found := x.queries()
	if !found {
		return dst
	}
	x.searched = true
	return x.searchItem(dst, queries)
}

// searchItem tells of a web search.
func (x *Responses) searchItem(dst []byte, queries rawjson.Value) []byte {
	id, place := x.newItem("ws_")
	from := len(x.items.buf)
	b := append(append(x.items.buf, `{"type":"web_search_call","id":"`...), id...)
	head := len(b)
	b = append(b, `","status":"completed"`...)
	tail := len(b)
	b = append(b, `,"action":{"type":"search","query":"`...)
	for _, q := range queries.Elems() {
		b = append(b, q.Inner()...)
		break
	}
	b = append(b, '"')
	if queries.Len() > 0 {
		b = append(append(b, `,"queries":`...), queries...)
	}
	x.items.buf = append(b, `}},`...)
	if x.req.Stream {
		item := x.items.buf[from:]
		dst = x.added(dst)
		dst = append(append(dst, item[:head-from]...), `","status":"in_progress"`...)
		dst = append(append(dst, item[tail-from:len(item)-1]...), "}\n\n"...)
		dst = x.steps(dst, place, "response.web_search_call.in_progress",
			"response.web_search_call.searching", "response.web_search_call.completed")
	}
	return x.done(dst, from)
}

// queries are the searches of the answer so far, and whether there were any.
func (x *Responses) queries() (queries rawjson.Value, found bool) {
	for _, g := range x.all.grounding {
		if q := g.Get("webSearchQueries"); q.Len() > 0 {
			return texts(q), true
		}
		for _, chunk := range g.Get("groundingChunks").Elems() {
			found = found || !chunk.Get("web").IsNull()
		}
	}
	return nil, found
}

// texts keeps the strings of an array.
func texts(list rawjson.Value) rawjson.Value {
	out := []byte{'['}
	for _, e := range list.Elems() {
		if e.Kind() != rawjson.String {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, e...)
	}
	return append(out, ']')
}

// refuse says in a message why the prompt was blocked.
func (x *Responses) refuse(dst []byte) []byte {
	id, place := x.newItem("msg_")
	part := func(dst, text []byte) []byte {
		return append(append(append(dst, `{"type":"refusal","refusal":"`...), text...), `"}`...)
	}
	if x.req.Stream {
		dst = x.added(dst)
		dst = append(append(append(dst, `{"type":"message","id":"`...), id...), `","status":"in_progress","role":"assistant","content":[]}`+"}\n\n"...)
		dst = x.event(dst, "response.content_part.added")
		dst = append(append(dst, place...), `,"content_index":0,"part":`...)
		dst = append(part(dst, nil), "}\n\n"...)
		dst = x.event(dst, "response.refusal.delta")
		dst = append(append(append(dst, place...), `,"content_index":0,"delta":"`...), x.refusal...)
		dst = append(dst, "\"}\n\n"...)
		dst = x.event(dst, "response.refusal.done")
		dst = append(append(append(dst, place...), `,"content_index":0,"refusal":"`...), x.refusal...)
		dst = append(dst, "\"}\n\n"...)
		dst = x.event(dst, "response.content_part.done")
		dst = append(append(dst, place...), `,"content_index":0,"part":`...)
		dst = append(part(dst, x.refusal), "}\n\n"...)
	}
	from := len(x.items.buf)
	b := append(append(append(x.items.buf, `{"type":"message","id":"`...), id...), `","status":"incomplete","role":"assistant","content":[`...)
	x.items.buf = append(part(b, x.refusal), `]},`...)
	return x.done(dst, from)
}
