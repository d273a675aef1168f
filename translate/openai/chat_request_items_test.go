// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"fmt"
	"strings"
	"testing"
)

const cursorTools = `"tools":[{"type":"function","name":"w","parameters":{"type":"object","properties":{"c":{"type":"string"}}}}]`

// TestDecodeChat_Items: the body of a Responses request becomes what the same
// conversation in messages becomes.
func TestDecodeChat_Items(t *testing.T) {
	const (
		chatCall   = `{"role":"assistant","content":"I look.","tool_calls":[{"id":"c1","type":"function","function":{"name":"w","arguments":"{\"c\":\"Oslo\"}"}}]}`
		chatResult = `{"role":"tool","tool_call_id":"c1","content":"rain"}`
		itemCall   = `{"type":"function_call","call_id":"c1","name":"w","arguments":"{\"c\":\"Oslo\"}"}`
		itemResult = `{"type":"function_call_output","call_id":"c1","output":"rain"}`
		chatTools  = `"tools":[{"type":"function","function":{"name":"w","parameters":{"type":"object","properties":{"c":{"type":"string"}}}}}]`
		schema     = `"schema":{"type":"object","properties":{"a":{"type":"string"}}}`
	)
	for name, tc := range map[string]struct{ items, messages string }{
		"text":          {`"input":"q"`, `"messages":[{"role":"user","content":"q"}]`},
		"null messages": {`"messages":null,"input":"q"`, `"messages":[{"role":"user","content":"q"}]`},
		"instructions": {
			`"instructions":"s","input":[{"role":"user","content":[{"type":"input_text","text":"q"}]}]`,
			`"messages":[{"role":"system","content":"s"},{"role":"user","content":"q"}]`,
		},
		"image": {
			`"input":[{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,iVBORw0KGgo="}]}]`,
			`"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]}]`,
		},
		"calls": {
			cursorTools + `,"input":[{"role":"user","content":"q"},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"I look."}]},` + itemCall + `,` + itemResult + `]`,
			chatTools + `,"messages":[{"role":"user","content":"q"},` + chatCall + `,` + chatResult + `]`,
		},
		"messages among items": {
			chatTools + `,"input":[{"role":"user","content":"q"},` + chatCall + `,` + chatResult + `]`,
			chatTools + `,"messages":[{"role":"user","content":"q"},` + chatCall + `,` + chatResult + `]`,
		},
		"the words of the Responses API": {
			`"input":"q","max_output_tokens":9,"reasoning":{"effort":"low","summary":"auto"},"text":{"format":{"type":"json_schema",` + schema + `}}`,
			`"messages":[{"role":"user","content":"q"}],"max_tokens":9,"google":{"thinking_config":{"thinking_level":"low","include_thoughts":true}},"response_format":{"type":"json_schema","json_schema":{` + schema + `}}`,
		},
		"the words of chat completions": {
			`"input":"q","max_tokens":9,"stop":"x","n":1,"reasoning_effort":"low","response_format":{"type":"json_schema","json_schema":{` + schema + `}},"user":7`,
			`"messages":[{"role":"user","content":"q"}],"max_tokens":9,"stop":"x","reasoning_effort":"low","response_format":{"type":"json_schema","json_schema":{` + schema + `}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			body := func(rest string) string { return fmt.Sprintf(`{"model":%q,%s}`, m3, rest) }
			want := show(upstream(t, decodeWith(t, requestEnv(), Options{}, body(tc.messages))))
			if got := show(upstream(t, decodeWith(t, requestEnv(), Options{}, body(tc.items)))); got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
}

// TestDecodeChat_ItemsFaults: faults name the fields that the client wrote.
func TestDecodeChat_ItemsFaults(t *testing.T) {
	for name, tc := range map[string]struct{ rest, param string }{
		"neither":                {`"stream":true`, "messages"},
		"null input":             {`"input":null`, "messages"},
		"both":                   {`"input":"q","messages":[]`, "messages"},
		"no items":               {`"input":[]`, "input"},
		"a number":               {`"input":7`, "input"},
		"role":                   {`"input":[{"role":"user","content":"q"},{"role":"x","content":"q"}]`, "input[1].role"},
		"part":                   {`"input":[{"role":"user","content":[{"type":"input_text"}]}]`, "input[0].content[0].text"},
		"tool":                   {`"input":"q","tools":[{"type":"function"}]`, "tools[0].function"},
		"result without call":    {`"input":[{"role":"user","content":"q"},{"type":"function_call_output","call_id":7,"output":"r"}]`, "input[1].call_id"},
		"max_output_tokens":      {`"input":"q","max_output_tokens":0`, "max_output_tokens"},
		"max_completion_tokens":  {`"input":"q","max_completion_tokens":0`, "max_completion_tokens"},
		"reasoning.effort":       {`"input":"q","reasoning":{"effort":"x"}`, "reasoning.effort"},
		"reasoning_effort":       {`"input":"q","reasoning_effort":"x"`, "reasoning_effort"},
		"text.format":            {`"input":"q","text":{"format":{"type":"x"}}`, "text.format.type"},
		"response_format":        {`"input":"q","response_format":{"type":"x"}`, "response_format.type"},
		"stream_options":         {`"input":"q","stream_options":7`, "stream_options"},
		"background":             {`"input":"q","background":true`, "background"},
		"a response nobody kept": {`"input":"q","previous_response_id":"resp_1"`, "previous_response_id"},
	} {
		t.Run(name, func(t *testing.T) {
			_, f := DecodeChat(requestEnv(), Options{}, fmt.Appendf(nil, `{"model":%q,%s}`, m3, tc.rest))
			if f == nil || f.Param != tc.param {
				t.Fatalf("%+v, want a fault of %s", f, tc.param)
			}
		})
	}
	if _, f := DecodeChat(requestEnv(), Options{Strict: true}, []byte(`{"model":"`+m3+`","input":"q","instructions":"s","inputs":1}`)); f == nil || f.Param != "inputs" {
		t.Errorf("%+v, want a fault of inputs only", f)
	}
}

// TestChat_Items: such a request is answered with a chat completion, whole or in
// chunks, and what that answer's signatures were is known when it comes back.
func TestChat_Items(t *testing.T) {
	env := requestEnv()
	env.Memo = fixedMemo{}
	const doc = `{"candidates":[{"content":{"parts":[{"text":"I look."},{"functionCall":{"name":"w","args":{"c":"Oslo"},"id":"g1"},"thoughtSignature":"U2ln"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2},"responseId":"r"}`
	ask := func(input, more string) *Chat {
		t.Helper()
		x, f := NewChat(env, Options{}, fmt.Appendf(nil, `{"model":%q,%s,"input":%s%s}`, m3, cursorTools, input, more))
		if f != nil {
			t.Fatal(f)
		}
		x.Begin()
		return x
	}
	x := ask(`"q"`, "")
	out, err := x.Response(nil, []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"object":"chat.completion"`, `"content":"I look."`, `"tool_calls":[{`, `"name":"w"`, `"finish_reason":"tool_calls"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %s in %s", want, out)
		}
	}
	_, id, _ := strings.Cut(string(out), `"tool_calls":[{"id":"`)
	id, _, _ = strings.Cut(id, `"`)
	x = ask(`"q"`, `,"stream":true,"stream_options":{"include_usage":true}`)
	if !strings.Contains(x.Call().Path, ":streamGenerateContent") {
		t.Errorf("path %s", x.Call().Path)
	}
	chunks, err := stream(t, x, doc)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"object":"chat.completion.chunk"`, `"content":"I look."`, `"name":"w"`, `"choices":[],"usage":{`, "data: [DONE]"} {
		if !strings.Contains(chunks, want) {
			t.Errorf("no %s in %s", want, chunks)
		}
	}
	x = ask(`[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"output_text","text":"I look."}]},{"type":"function_call","call_id":"`+id+`","name":"w","arguments":"{\"c\":\"Oslo\"}"},{"type":"function_call_output","call_id":"`+id+`","output":"rain"}]`, "")
	if sent := string(x.Call().Whole()); !strings.Contains(sent, `"thoughtSignature":"U2ln"`) {
		t.Errorf("the signature of the call is lost: %s", sent)
	}
}
