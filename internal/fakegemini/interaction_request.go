// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"cmp"
	"encoding/json"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// readInteraction reads a request for an interaction and checks that its project
// has what it names. The request comes back as one for generateContent; it may
// be set beside an answer, so that directives in it count.
func (x *exchange) readInteraction(v rawjson.Value) (*interaction, *request, answer) {
	model, agent := v.Get("model").Text(), v.Get("agent").Text()
	x.s.books.update(func() { x.e.Model = cmp.Or(model, agent) })
	q := readInput(v)
	switch {
	case (model == "") == (agent == ""):
		return nil, q, failure(400, "Exactly one of 'model' and 'agent' must be set.")
	case v.Get("input") == nil:
		return nil, q, failure(400, "'input' is required.")
	case v.Get("background").IsTrue() && v.Get("store").Kind() == rawjson.Bool && !v.Get("store").IsTrue():
		return nil, q, failure(400, "'background' needs 'store'.")
	case agent != "":
		x.model = &Model{ID: agent, Generation: 3}
	default:
		if a := x.findModel("generateContent"); a.status != 0 {
			return nil, q, a
		}
	}
	i := &interaction{shared: object{}, background: v.Get("background").IsTrue(), input: json.RawMessage(v.Get("input"))}
	if a := x.interactionRefs(v, q, i); a.status != 0 {
		return nil, q, a
	}
	for _, name := range []string{"model", "agent", "previous_interaction_id"} {
		if s := v.Get(name).Text(); s != "" {
			i.shared[name] = s
		}
	}
	now := x.s.cfg.Now().UTC().Format("2006-01-02T15:04:05Z")
	i.shared["created"], i.shared["updated"] = now, now
	return i, q, answer{}
}

// interactionRefs checks what an interaction refers to, beside its input.
func (x *exchange) interactionRefs(v rawjson.Value, q *request, i *interaction) answer {
	if id := v.Get("previous_interaction_id").Text(); id != "" {
		before := x.owned("interactions/" + id)
		if before == nil {
			return failure(404, "Interaction "+id+" was not found.")
		}
		x.s.mu.Lock()
		q.textTokens += before.interaction().tokens()
		q.tokens += before.interaction().tokens()
		x.s.mu.Unlock()
	}
	q.cache = v.Get("cached_content").Text()
	if a := x.usable(q); a.status != 0 {
		return a
	}
	if agent := v.Get("agent").Text(); agent != "" {
		if _, foreign := x.find("agents/" + agent); foreign != "" { // of no project: Google's own
			return failure(404, "Agent "+agent+" was not found.")
		}
	}
	switch e := v.Get("environment"); e.Kind() {
	case rawjson.String:
		if i.environment = e.Text(); x.owned("environments/"+i.environment) == nil {
			return failure(404, "Environment "+i.environment+" was not found.")
		}
	case rawjson.Object:
		i.environment = x.makePlain("environments", rawjson.Value("{}")).value.(object)["id"].(string)
	}
	if i.environment != "" {
		i.shared["environment_id"] = i.environment
	}
	return answer{}
}

// tokens of an interaction that comes before another one.
func (i *interaction) tokens() int64 {
	n, _ := i.usage["total_tokens"].(int64)
	return n
}

// readInput makes a request for generateContent of an interaction's input.
func readInput(v rawjson.Value) *request {
	var parts []object
	answered := false // there are results of functions
	var take func(rawjson.Value)
	take = func(in rawjson.Value) {
		switch in.Kind() {
		case rawjson.String:
			parts = append(parts, object{"text": in.Text()})
			return
		case rawjson.Array:
			for _, e := range in.Elems() {
				take(e)
			}
			return
		}
		switch in.Get("type").Text() {
		case "text":
			parts = append(parts, object{"text": in.Get("text").Text()})
		case "user_input":
			take(in.Get("content"))
		case "function_result":
			answered = true
			parts = append(parts, object{"text": "The function answered " + string(in.Get("result")) + "."})
		default:
			if uri := in.Get("uri").Text(); uri != "" {
				parts = append(parts, object{"fileData": object{"fileUri": uri, "mimeType": in.Get("mime_type").Text()}})
			} else if data := in.Get("data"); data != nil {
				parts = append(parts, object{"inlineData": object{"data": data.Text(), "mimeType": in.Get("mime_type").Text()}})
			}
		}
	}
	take(v.Get("input"))
	body := object{"contents": []object{{"role": "user", "parts": parts}}}
	var functions, tools []object
	for _, t := range v.Get("tools").Elems() {
		switch t.Get("type").Text() {
		case "function":
			if f := (object{"name": t.Get("name").Text()}); !answered {
				if p := t.Get("parameters"); p != nil {
					f["parametersJsonSchema"] = json.RawMessage(p)
				}
				functions = append(functions, f)
			}
		case "file_search":
			tools = append(tools, object{"fileSearch": object{"fileSearchStoreNames": json.RawMessage(cmp.Or(string(t.Get("file_search_store_names")), "[]"))}})
		}
	}
	if len(functions) > 0 {
		tools = append(tools, object{"functionDeclarations": functions})
	}
	body["tools"] = tools
	q := &request{body: rawjson.Value(compact(pretty(body)))}
	q.read(q.body)
	return q
}

// run makes the steps of an interaction.
func (i *interaction) run(x *exchange, q *request) {
	r := x.compose(q)
	i.status = "completed"
	if r.finish == "MAX_TOKENS" {
		i.status = "incomplete"
	}
	for n, p := range r.joined() {
		switch text, _ := p["text"].(string); {
		case p["thought"] == true:
			i.steps = append(i.steps, object{"type": "thought", "summary": []object{{"type": "text", "text": text}}, "signature": signature(x.model.base(), "thought")})
		case p["functionCall"] != nil:
			call := p["functionCall"].(object)
			if call["id"] == nil {
				call["id"] = "fc" + x.id(n)[:10]
			}
			i.steps = append(i.steps, object{"type": "function_call", "id": call["id"], "name": call["name"], "arguments": call["args"]})
			i.status = "requires_action"
		case text != "":
			i.steps = append(i.steps, object{"type": "model_output", "content": []object{{"type": "text", "text": text}}})
		}
	}
	var out int64
	for _, n := range r.output {
		out += n
	}
	i.usage = object{
		"total_input_tokens": q.tokens, "total_output_tokens": out, "total_thought_tokens": r.thoughts,
		"total_cached_tokens": r.cached, "total_tool_use_tokens": int64(0), "total_tokens": q.tokens + out + r.thoughts,
	}
}
