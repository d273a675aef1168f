// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// requests makes chat completion requests that OpenAI would take, or that clients
// send all the same, in any order of turns.
type requests struct{ *rand.Rand }

func (r requests) one(list ...string) string { return list[r.IntN(len(list))] }

func (r requests) maybe(percent int) bool { return r.IntN(100) < percent }

func (r requests) words() string {
	return r.one("", "hi", "né 😀", "a\nb", `{"a":1}`, `[1]`, "5", "null", " ", "\"\\", strings.Repeat("word ", 50))
}

func (r requests) content(media bool) any {
	switch r.IntN(5) {
	case 0:
		return nil
	case 1, 2:
		return r.words()
	}
	parts := []any{}
	for range r.IntN(4) {
		part := map[string]any{"type": "text", "text": r.words()}
		if media && r.maybe(30) {
			part = map[string]any{"type": "image_url", "image_url": map[string]any{"url": "data:image/png;base64,iVBORw0KGgo=", "detail": r.one("auto", "low", "high")}}
		}
		parts = append(parts, part)
	}
	return parts
}

// calls are tool calls whose ids may repeat, be missing or never be answered.
func (r requests) calls() (list []any) {
	for range 1 + r.IntN(3) {
		call := map[string]any{"type": "function", "function": map[string]any{
			"name": r.tool(), "arguments": r.one("", "{}", `{"a":1}`, "[1]", "{broken", `"text"`, `{"id":9007199254740993}`),
		}}
		if r.maybe(90) {
			call["id"] = r.one("c1", "c2", "c3", "c4", "call with space")
		}
		list = append(list, call)
	}
	return list
}

func (r requests) tool() string {
	return r.one("f", "weather_in", "1/read file", "mcp.tool", "été", "google_search")
}

func (r requests) message() map[string]any {
	switch r.IntN(12) {
	case 0:
		return map[string]any{"role": r.one("system", "developer"), "content": r.words()}
	case 1, 2, 3:
		return map[string]any{"role": "user", "content": r.content(true), "name": "bob"}
	case 4, 5:
		return map[string]any{"role": "assistant", "content": r.content(false), "refusal": nil}
	case 6, 7:
		return map[string]any{"role": "assistant", "content": r.content(false), "tool_calls": r.calls(), "reasoning_content": "hm"}
	case 8:
		return map[string]any{"role": "assistant", "content": nil, "function_call": map[string]any{"name": r.tool(), "arguments": "{}"}}
	case 9:
		return map[string]any{"role": "function", "name": r.tool(), "content": r.words()}
	default:
		return map[string]any{"role": "tool", "tool_call_id": r.one("c1", "c2", "c3", "c4", "c5"), "content": r.content(true)}
	}
}

// schema is a JSON Schema as generators and people write them.
func (r requests) schema(depth int) map[string]any {
	kinds := 9
	if depth > 2 {
		kinds = 5
	}
	switch r.IntN(kinds) {
	case 0:
		return map[string]any{"type": "string", "enum": []any{"a", "b", nil}, "description": "d"}
	case 1:
		return map[string]any{"type": []any{"integer", "null"}, "exclusiveMinimum": 0, "multipleOf": 2}
	case 2:
		return map[string]any{"const": r.one("x", "y"), "title": "T"}
	case 3:
		return map[string]any{"type": "string", "format": r.one("email", "date-time", "uuid"), "minLength": 1, "pattern": "^a"}
	case 4:
		return map[string]any{"$ref": "#/$defs/D", "description": "d"}
	case 5:
		return map[string]any{"anyOf": []any{r.schema(depth + 1), map[string]any{"type": "null"}}, "default": nil}
	case 6:
		return map[string]any{"type": "array", "items": r.schema(depth + 1), "uniqueItems": true, "minItems": 1}
	case 7:
		return map[string]any{"oneOf": []any{r.schema(depth + 1), r.schema(depth + 1)}, "not": map[string]any{}}
	default:
		return r.object(depth + 1)
	}
}

func (r requests) object(depth int) map[string]any {
	properties := map[string]any{}
	for range r.IntN(4) {
		properties[r.one("a", "b", "title", "$ref", "format")] = r.schema(depth)
	}
	o := map[string]any{
		"type": "object", "properties": properties, "required": []any{"a", "ghost"}, "additionalProperties": false,
		"$schema": "https://json-schema.org/draft/2020-12/schema",
	}
	if depth == 0 {
		o["$defs"] = map[string]any{"D": map[string]any{"type": "object", "properties": map[string]any{"next": map[string]any{"$ref": "#/$defs/D"}, "v": map[string]any{"type": "number"}}}}
	}
	return o
}

// request is one with some of all parameters.
func (r requests) request(model string) map[string]any {
	q := map[string]any{"model": model, "stream": r.maybe(50)}
	messages := []any{}
	for range 1 + r.IntN(10) {
		messages = append(messages, r.message())
	}
	q["messages"] = messages
	parameters := map[string]func() any{
		"temperature": func() any { return r.Float64() * 2 }, "top_p": func() any { return r.Float64() }, "top_k": func() any { return 1 + r.IntN(50) },
		"stop": func() any { return []any{"X", "", "Y"} }, "seed": func() any { return r.Int64() }, "max_tokens": func() any { return 1 + r.IntN(200_000) },
		"max_completion_tokens": func() any { return 1 + r.IntN(2000) }, "presence_penalty": func() any { return r.Float64()*4 - 2 },
		"frequency_penalty": func() any { return 0 }, "logit_bias": func() any { return map[string]any{} },
		"reasoning_effort": func() any { return r.one("none", "minimal", "low", "medium", "high", "xhigh", "max") },
		"service_tier":     func() any { return r.one("auto", "default", "flex", "priority", "scale") }, "user": func() any { return "u" },
		"parallel_tool_calls": func() any { return r.maybe(50) }, "stream_options": func() any { return map[string]any{"include_usage": true} },
		"web_search_options": func() any { return map[string]any{} }, "n": func() any { return 1 + r.IntN(2) },
		"response_format": func() any {
			if r.maybe(30) {
				return map[string]any{"type": r.one("text", "json_object")}
			}
			return map[string]any{"type": "json_schema", "json_schema": map[string]any{"name": "n", "strict": true, "schema": r.object(0)}}
		},
	}
	for _, name := range slices.Sorted(maps.Keys(parameters)) { // the same for the same seed
		if r.maybe(15) {
			q[name] = parameters[name]()
		}
	}
	if r.maybe(50) {
		var tools []any
		for _, name := range []string{"f", "weather_in", "1/read file", "mcp.tool", "_1_read_file"} {
			if r.maybe(50) {
				tools = append(tools, map[string]any{"type": "function", "function": map[string]any{"name": name, "parameters": r.object(0), "strict": r.maybe(30)}})
			}
		}
		if len(tools) > 0 {
			q["tools"] = tools
			q["tool_choice"] = r.one("auto", "none", "required")
		}
	}
	return q
}

// items are the request in the words of the Responses API.
func (r requests) items(q map[string]any) map[string]any {
	var input []any
	text := func(role string, content any) any {
		kind := "input_text"
		if role == "assistant" {
			kind = "output_text"
		}
		list := []any{}
		switch c := content.(type) {
		case string:
			return c
		case []any:
			for _, p := range c {
				part := p.(map[string]any)
				if image, ok := part["image_url"].(map[string]any); ok {
					list = append(list, map[string]any{"type": "input_image", "image_url": image["url"], "detail": image["detail"]})
				} else {
					list = append(list, map[string]any{"type": kind, "text": part["text"]})
				}
			}
		}
		return list
	}
	for _, m := range q["messages"].([]any) {
		m := m.(map[string]any)
		role := m["role"].(string)
		switch role {
		case "tool":
			input = append(input, map[string]any{"type": "function_call_output", "call_id": m["tool_call_id"], "output": text("user", m["content"])})
			continue
		case "function":
			continue
		}
		if r.maybe(30) && role == "assistant" {
			input = append(input, map[string]any{"type": "reasoning", "id": "rs_1", "summary": []any{}})
		}
		input = append(input, map[string]any{"type": "message", "role": role, "content": text(role, m["content"])})
		calls, _ := m["tool_calls"].([]any)
		for _, c := range calls {
			call := c.(map[string]any)
			function := call["function"].(map[string]any)
			id, _ := call["id"].(string)
			if id == "" {
				id = "c9"
			}
			input = append(input, map[string]any{"type": "function_call", "call_id": id, "name": function["name"], "arguments": function["arguments"]})
		}
	}
	out := map[string]any{"model": q["model"], "stream": q["stream"], "input": input, "store": r.maybe(50)}
	for _, name := range []string{"temperature", "top_p", "service_tier", "user", "parallel_tool_calls", "tool_choice"} {
		if v, ok := q[name]; ok {
			out[name] = v
		}
	}
	if limit, ok := q["max_tokens"].(int); ok {
		out["max_output_tokens"] = limit + 16
	}
	if effort, ok := q["reasoning_effort"]; ok {
		out["reasoning"] = map[string]any{"effort": effort, "summary": "auto"}
	}
	if tools, ok := q["tools"].([]any); ok {
		list := []any{}
		for _, t := range tools {
			flat := map[string]any{"type": "function"}
			maps.Copy(flat, t.(map[string]any)["function"].(map[string]any))
			list = append(list, flat)
		}
		if r.maybe(30) {
			list = append(list, map[string]any{"type": "web_search"})
		}
		out["tools"] = list
	}
	return out
}

// TestGeneratedRequests: whatever of it is accepted, Google takes. The simulated
// one knows Google's rules of turns, parts, signatures, names, fields and limits.
func TestGeneratedRequests(t *testing.T) {
	models := []string{
		"gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-3-flash-preview", "gemini-3.1-pro-preview", "gemini-3.5-flash-lite",
		"gemini-3.6-flash", "gemini-flash-latest", "gemini-flash-lite-latest", "gemma-3-27b-it", "gemini-3-pro-image", "gemini-2.5-flash-image",
		"gemini-2.5-flash-preview-tts",
	}
	w := newWorld(t, keys(1), func(c *Config) { c.Memo = NewMemo(1<<20, 0) })
	const each = 60
	for i := range 2 * len(models) {
		model, path := models[i/2], []string{"/v1/chat/completions", "/v1/responses"}[i%2]
		t.Run(model+path, func(t *testing.T) {
			served := 0
			for seed := range uint64(each) {
				r := requests{rand.New(rand.NewPCG(seed, 1))} //nolint:gosec // the same requests each time
				q := r.request(model)
				if path == "/v1/responses" {
					q = r.items(q)
				}
				body, err := json.Marshal(q)
				must(t, err)
				w.google.Forget()
				a := w.post(path, string(body))
				for _, e := range w.google.Entries() {
					if e.Status == 400 {
						t.Errorf("seed %d: %s\nGoogle got  %s\nclient sent %s", seed, a.body, e.Body, body)
					}
				}
				switch {
				case a.status == 200:
					served++
				case a.status == 400 && !strings.Contains(a.body, `"param":null`):
				default:
					t.Errorf("seed %d: %d %s\n%s", seed, a.status, a.body, body)
				}
			}
			if speech := strings.HasSuffix(model, "-tts") && path == "/v1/responses"; !speech && served < each/10 { // which has no place for sound
				t.Errorf("only %d of %d were served", served, each)
			}
		})
	}
}
