// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

var update = flag.Bool("update", false, "rewrite the upstream.json files of testdata/chat_request")

// fixedMemo is a translate.Memo of fixed signatures.
type fixedMemo map[string]string

func (m fixedMemo) Signature(id string) (string, bool) { s, ok := m[id]; return s, ok }
func (m fixedMemo) Remember(id, signature string)      { m[id] = signature }

func requestEnv() translate.Env {
	return translate.Env{Now: time.Unix(1, 0), NewID: func(n int) string { return strings.Repeat("x", n) }}
}

func decodeWith(t testing.TB, env translate.Env, o Options, body string) *ChatRequest {
	t.Helper()
	r, f := DecodeChat(env, o, []byte(body))
	if f != nil {
		t.Fatalf("DecodeChat: %v", f)
	}
	return r
}

// upstream is the request as Google gets it, decoded.
func upstream(t testing.TB, r *ChatRequest) map[string]any {
	t.Helper()
	var m map[string]any
	out := r.Gemini.Append(nil)
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return m
}

func parsed(t testing.TB, doc string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(doc), &v); err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	return v
}

func sameJSON(t testing.TB, got any, want string) {
	t.Helper()
	if !reflect.DeepEqual(got, parsed(t, want)) {
		g, _ := json.Marshal(got)
		t.Errorf("\n got %s\nwant %s", g, want)
	}
}

const (
	m2  = "gemini-2.0-flash"
	m25 = "gemini-2.5-flash"
	m3  = "gemini-3-flash-preview"
	m36 = "gemini-3.6-flash"
)

// Whole conversations: testdata/chat_request/<case>/client.json becomes
// upstream.json beside it.
func TestDecodeChat_Golden(t *testing.T) {
	dirs, err := filepath.Glob("testdata/chat_request/*")
	if err != nil || len(dirs) == 0 {
		t.Fatal("no cases", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			client, err := os.ReadFile(filepath.Join(dir, "client.json"))
			if err != nil {
				t.Fatal(err)
			}
			r := decodeWith(t, requestEnv(), Options{}, string(client))
			got := string(r.Gemini.Append(nil)) + "\n"
			file := filepath.Join(dir, "upstream.json")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
}

// The rows of specs/openai.md §3 and the request rows of §21 about messages.
func TestDecodeChat_Contents(t *testing.T) {
	const call = `{"id":"c1","type":"function","function":{"name":"w","arguments":"{}"}}`
	const fc1 = `{"functionCall":{"id":"c1","name":"w","args":{}},"thoughtSignature":"skip_thought_signature_validator"}`
	fr := func(id, response string) string {
		return `{"functionResponse":{"id":"` + id + `","name":"w","response":` + response + `}}`
	}
	withCall := func(model, args string) (string, string, string) {
		return model, `[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"w","arguments":` + args + `}}]},{"role":"tool","tool_call_id":"c1","content":"r"}]`, ""
	}
	callArgs := func(want string) string {
		return `[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"functionCall":{"id":"c1","name":"w","args":` + want + `}}]},{"role":"user","parts":[` + fr("c1", `{"output":"r"}`) + `]}]`
	}
	result := func(content string) string {
		return `[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[` + call + `]},{"role":"tool","tool_call_id":"c1","content":` + content + `}]`
	}
	resultWant := func(response string) string {
		return `[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[` + fc1 + `]},{"role":"user","parts":[` + fr("c1", response) + `]}]`
	}
	type row struct{ name, model, messages, system, want string }
	rows := []row{
		{"3.2 system and developer", m3, `[{"role":"system","content":"Be terse"},{"role":"developer","content":[{"type":"text","text":"Use French"}]},{"role":"user","content":"Hi"}]`,
			`{"parts":[{"text":"Be terse"},{"text":"Use French"}]}`, `[{"role":"user","parts":[{"text":"Hi"}]}]`},
		{"3.2 late system is hoisted", m3, `[{"role":"user","content":"Hi"},{"role":"system","content":"S"}]`, `{"parts":[{"text":"S"}]}`, `[{"role":"user","parts":[{"text":"Hi"}]}]`},
		{"21.26 only system", m3, `[{"role":"system","content":"S"}]`, ``, `[{"role":"user","parts":[{"text":"S"}]}]`},
		{"21.29 gemma-3 system folded", "gemma-3-27b-it", `[{"role":"system","content":"A"},{"role":"system","content":"B"},{"role":"user","content":"Hi"}]`, ``,
			`[{"role":"user","parts":[{"text":"A\n\nB\n\n"},{"text":"Hi"}]}]`},
		{"gemma-3 system before a model turn", "gemma-3-27b-it", `[{"role":"system","content":"A"},{"role":"assistant","content":"Hi"},{"role":"user","content":"x"}]`, ``,
			`[{"role":"user","parts":[{"text":"A\n\n"}]},{"role":"model","parts":[{"text":"Hi"}]},{"role":"user","parts":[{"text":"x"}]}]`},
		{"gemma-4 has a system instruction", "gemma-4-31b-it", `[{"role":"system","content":"A"},{"role":"user","content":"Hi"}]`, `{"parts":[{"text":"A"}]}`, `[{"role":"user","parts":[{"text":"Hi"}]}]`},
		{"tts has none", "gemini-2.5-flash-preview-tts", `[{"role":"system","content":"A"},{"role":"user","content":"Hi"}]`, ``, `[{"role":"user","parts":[{"text":"A\n\n"},{"text":"Hi"}]}]`},
		{"3.3 name of a user is ignored", m3, `[{"role":"user","name":"bob","content":"Hi"}]`, ``, `[{"role":"user","parts":[{"text":"Hi"}]}]`},
		{"21.27 empty text part", m3, `[{"role":"user","content":[{"type":"text","text":""},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]}]`, ``,
			`[{"role":"user","parts":[{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="}}]}]`},
		{"21.28 empty assistant dropped, neighbours merged", m3, `[{"role":"user","content":"a"},{"role":"assistant","content":"","tool_calls":[]},{"role":"user","content":"b"}]`, ``,
			`[{"role":"user","parts":[{"text":"a"},{"text":"b"}]}]`},
		{"3.4 null content", m3, `[{"role":"user","content":"a"},{"role":"assistant","content":null},{"role":"user","content":"b"}]`, ``, `[{"role":"user","parts":[{"text":"a"},{"text":"b"}]}]`},
		{"3.4 refusals", m3, `[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"text","text":"t"},{"type":"refusal","refusal":"r1"}],"refusal":"r2"},{"role":"user","content":"b"}]`, ``,
			`[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[{"text":"t"},{"text":"r1"},{"text":"r2"}]},{"role":"user","parts":[{"text":"b"}]}]`},
		{"3.4 reasoning is not sent back", m3, `[{"role":"user","content":"a"},{"role":"assistant","content":"t","reasoning_content":"hm","reasoning":"hm"},{"role":"user","content":"b"}]`, ``,
			`[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[{"text":"t"}]},{"role":"user","parts":[{"text":"b"}]}]`},
		{"3.4 custom tool call", m25, `[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[{"id":"c1","type":"custom","custom":{"name":"w","input":"x\"y"}}]},{"role":"tool","tool_call_id":"c1","content":"r"}]`, ``,
			callArgs(`{"input":"x\"y"}`)},
		{"3.4 function_call and function message", m25, `[{"role":"user","content":"q"},{"role":"assistant","content":null,"function_call":{"name":"w","arguments":"{\"a\":1}"}},{"role":"function","name":"w","content":"r"}]`, ``,
			strings.ReplaceAll(callArgs(`{"a":1}`), `"c1"`, `"call_1_0"`)},
		{"3.6 adjacent users", m3, `[{"role":"user","content":"a"},{"role":"user","content":"b"}]`, ``, `[{"role":"user","parts":[{"text":"a"},{"text":"b"}]}]`},
		{"3.6 adjacent assistants", m25, `[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"assistant","content":"c"}]`, ``, `[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[{"text":"b"},{"text":"c"}]}]`},
		{"3.6 text then call over two messages", m3, `[{"role":"user","content":"q"},{"role":"assistant","content":"t"},{"role":"assistant","tool_calls":[` + call + `]},{"role":"tool","tool_call_id":"c1","content":"r"}]`, ``,
			`[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"text":"t"},` + fc1 + `]},{"role":"user","parts":[` + fr("c1", `{"output":"r"}`) + `]}]`},
		{"3.6 sequential calls stay sequential", m25, `[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[` + call + `]},{"role":"tool","tool_call_id":"c1","content":"r"},{"role":"assistant","tool_calls":[{"id":"c2","function":{"name":"w","arguments":""}}]},{"role":"tool","tool_call_id":"c2","content":"s"}]`, ``,
			`[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"functionCall":{"id":"c1","name":"w","args":{}}}]},{"role":"user","parts":[` + fr("c1", `{"output":"r"}`) + `]},{"role":"model","parts":[{"functionCall":{"id":"c2","name":"w","args":{}}}]},{"role":"user","parts":[` + fr("c2", `{"output":"s"}`) + `]}]`},
		{"3.6 parallel calls over two messages", m25, `[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[` + call + `]},{"role":"assistant","tool_calls":[{"id":"c2","function":{"name":"w","arguments":""}}]},{"role":"tool","tool_call_id":"c2","content":"s"},{"role":"tool","tool_call_id":"c1","content":"r"}]`, ``,
			`[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"functionCall":{"id":"c1","name":"w","args":{}}},{"functionCall":{"id":"c2","name":"w","args":{}}}]},{"role":"user","parts":[` + fr("c1", `{"output":"r"}`) + `,` + fr("c2", `{"output":"s"}`) + `]}]`},
		{"21.14 results in call order", m25, `[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"w","arguments":"{}"}},{"id":"b","function":{"name":"w","arguments":"{}"}}]},{"role":"tool","tool_call_id":"b","content":"B"},{"role":"tool","tool_call_id":"a","content":"A"}]`, ``,
			`[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"functionCall":{"id":"a","name":"w","args":{}}},{"functionCall":{"id":"b","name":"w","args":{}}}]},{"role":"user","parts":[` + fr("a", `{"output":"A"}`) + `,` + fr("b", `{"output":"B"}`) + `]}]`},
		{"21.15 missing result, user text apart", m25, `[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"w","arguments":"{}"}},{"id":"b","function":{"name":"w","arguments":"{}"}}]},{"role":"tool","tool_call_id":"a","content":"A"},{"role":"user","content":"u"}]`, ``,
			`[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"functionCall":{"id":"a","name":"w","args":{}}},{"functionCall":{"id":"b","name":"w","args":{}}}]},{"role":"user","parts":[` + fr("a", `{"output":"A"}`) + `,` + fr("b", `{"error":"no result was provided"}`) + `]},{"role":"user","parts":[{"text":"u"}]}]`},
		{"3.5 the last of two results", m3, result(`"r"},{"role":"tool","tool_call_id":"c1","content":"again"`), ``, resultWant(`{"output":"again"}`)},
		{"3.5 an id used again belongs to the nearest call", m25, `[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[` + call + `]},{"role":"tool","tool_call_id":"c1","content":"r"},{"role":"assistant","tool_calls":[` + call + `]},{"role":"tool","tool_call_id":"c1","content":"s"}]`, ``,
			`[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"functionCall":{"id":"c1","name":"w","args":{}}}]},{"role":"user","parts":[` + fr("c1", `{"output":"r"}`) + `]},{"role":"model","parts":[{"functionCall":{"id":"c1","name":"w","args":{}}}]},{"role":"user","parts":[` + fr("c1", `{"output":"s"}`) + `]}]`},
		{"3.5 two calls with one id take their results in turn", m25, `[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[` + call + `,` + call + `]},{"role":"tool","tool_call_id":"c1","content":"r"},{"role":"tool","tool_call_id":"c1","content":"s"}]`, ``,
			`[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"functionCall":{"id":"c1","name":"w","args":{}}},{"functionCall":{"id":"c1","name":"w","args":{}}}]},{"role":"user","parts":[` + fr("c1", `{"output":"r"}`) + `,` + fr("c1", `{"output":"s"}`) + `]}]`},
		{"3.4 two functions of one name in two messages", m25, `[{"role":"user","content":"q"},{"role":"assistant","function_call":{"name":"w","arguments":"{}"}},{"role":"assistant","function_call":{"name":"w","arguments":"{}"}},{"role":"function","name":"w","content":"r"},{"role":"function","name":"w","content":"s"}]`, ``,
			`[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"functionCall":{"id":"call_1_0","name":"w","args":{}}},{"functionCall":{"id":"call_2_1","name":"w","args":{}}}]},{"role":"user","parts":[` + fr("call_1_0", `{"output":"r"}`) + `,` + fr("call_2_1", `{"output":"s"}`) + `]}]`},
		{"3.5 an empty id is none", m3, strings.Replace(result(`"r"`), `"tool_call_id":"c1"`, `"tool_call_id":""`, 1), ``, resultWant(`{"output":"r"}`)},
		{"21.16 result of plain text", m3, result(`"Error: no such file"`), ``, resultWant(`{"output":"Error: no such file"}`)},
		{"21.17 result of an array", m3, result(`"[1,2]"`), ``, resultWant(`{"output":[1,2]}`)},
		{"21.17 result of a number", m3, result(`"5"`), ``, resultWant(`{"output":"5"}`)},
		{"21.17 result of the text null", m3, result(`"null"`), ``, resultWant(`{"output":"null"}`)},
		{"21.17 result null", m3, result(`null`), ``, resultWant(`{"output":""}`)},
		{"21.18 large integers", m3, result(`"{\"id\":9007199254740993,\"m\":-9007199254740993,\"ok\":9007199254740992,\"f\":1.5e300,\"s\":\"9007199254740993\"}"`), ``,
			resultWant(`{"id":"9007199254740993","m":"-9007199254740993","ok":9007199254740992,"f":1.5e300,"s":"9007199254740993"}`)},
		{"3.5 result of an object in text", m3, result(`" {\"t\":4} "`), ``, resultWant(`{"t":4}`)},
		{"3.5 result of escaped JSON", m3, result(`"\u007b\"t\":4}"`), ``, resultWant(`{"t":4}`)},
		{"3.5 result of an object", m3, result(`{"t":4}`), ``, resultWant(`{"t":4}`)},
		{"3.5 result of text parts", m3, result(`[{"type":"text","text":"{\"a\":"},{"type":"text","text":"1}"}]`), ``, resultWant(`{"a":1}`)},
		{"3.5 result with an image on 3", m3, result(`[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]`), ``,
			`[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[` + fc1 + `]},{"role":"user","parts":[{"functionResponse":{"id":"c1","name":"w","response":{"output":"see"},"parts":[{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="}}]}}]}]`},
		{"3.5 result with an image on 2.5", m25, result(`[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]`), ``,
			`[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"functionCall":{"id":"c1","name":"w","args":{}}}]},{"role":"user","parts":[` + fr("c1", `{"output":"see"}`) + `,{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="}}]}]`},
		{"21.19 user text after results", m3, result(`"r"},{"role":"user","content":"u"`), ``,
			`[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[` + fc1 + `]},{"role":"user","parts":[` + fr("c1", `{"output":"r"}`) + `]},{"role":"user","parts":[{"text":"u"}]}]`},
		{"3.7 results move after their calls", m3, `[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[` + call + `]},{"role":"assistant","content":"wait"},{"role":"user","content":"u"},{"role":"tool","tool_call_id":"c1","content":"r"}]`, ``,
			`[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[` + fc1 + `]},{"role":"user","parts":[` + fr("c1", `{"output":"r"}`) + `]},{"role":"model","parts":[{"text":"wait"}]},{"role":"user","parts":[{"text":"u"}]}]`},
		{"3.7 result without a call", m3, `[{"role":"user","content":"q"},{"role":"assistant","content":"t"},{"role":"tool","tool_call_id":"zz","content":"r\"s"}]`, ``,
			`[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"text":"t"}]},{"role":"user","parts":[{"text":"[tool result zz]: r\"s"}]}]`},
		{"3.7 first turn is text of the model", m25, `[{"role":"assistant","content":"t"},{"role":"user","content":"u"}]`, ``, `[{"role":"model","parts":[{"text":"t"}]},{"role":"user","parts":[{"text":"u"}]}]`},
		{"3.7 first turn is text of the model, gemma", "gemma-4-31b-it", `[{"role":"assistant","content":"t"},{"role":"user","content":"u"}]`, ``, `[{"role":"user","parts":[{"text":" "}]},{"role":"model","parts":[{"text":"t"}]},{"role":"user","parts":[{"text":"u"}]}]`},
		{"3.7 first turn is a call, at the end too", m3, `[{"role":"assistant","tool_calls":[` + call + `]}]`, ``,
			`[{"role":"user","parts":[{"text":" "}]},{"role":"model","parts":[` + fc1 + `]},{"role":"user","parts":[` + fr("c1", `{"error":"no result was provided"}`) + `]}]`},
		{"21.25 prefill on 2.5", m25, `[{"role":"user","content":"q"},{"role":"assistant","content":"Sure, {"}]`, ``, `[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"text":"Sure, {"}]}]`},
		{"21.25 prefill on 3.6", m36, `[{"role":"user","content":"q"},{"role":"assistant","content":"Sure, {"}]`, ``,
			`[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"text":"Sure, {"}]},{"role":"user","parts":[{"text":"Continue."}]}]`},
		{"3.7 lone surrogate", m3, `[{"role":"user","content":"a\ud800b"}]`, ``, `[{"role":"user","parts":[{"text":"a�b"}]}]`},
		{"7.2 text signature", m3, `[{"role":"user","content":"q"},{"role":"assistant","content":"t","extra_content":{"google":{"thought_signature":"S"}}},{"role":"user","content":"u"}]`, ``,
			`[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"text":"t","thoughtSignature":"S"}]},{"role":"user","parts":[{"text":"u"}]}]`},
		{"3.7 an empty text that is signed stays", m3, `[{"role":"user","content":"q"},{"role":"assistant","content":"","extra_content":{"google":{"thought_signature":"S"}}},{"role":"user","content":"u"}]`, ``,
			`[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"text":"","thoughtSignature":"S"}]},{"role":"user","parts":[{"text":"u"}]}]`},
		{"images of an earlier answer", m3, `[{"role":"user","content":"q"},{"role":"assistant","content":"t","images":[{"type":"image_url","index":0,"image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]},{"role":"user","content":"u"}]`, ``,
			`[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"text":"t"},{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="}}]},{"role":"user","parts":[{"text":"u"}]}]`},
		{"result without id goes to the open call", m3, strings.Replace(result(`"r"`), `"tool_call_id":"c1",`, ``, 1), ``, resultWant(`{"output":"r"}`)},
	}
	for _, a := range []struct{ name, args, want string }{
		{"3.4 arguments object", `"{\"c\":\"Oslo\"}"`, `{"c":"Oslo"}`},
		{"3.4 arguments empty", `" \n"`, `{}`},
		{"3.4 arguments array", `"[1]"`, `{"value":[1]}`},
		{"3.4 arguments number", `"9007199254740993"`, `{"value":"9007199254740993"}`},
		{"3.4 arguments invalid", `"{\"c\":"`, `{"_raw":"{\"c\":"}`},
		{"3.4 arguments as an object", `{"a":1}`, `{"a":1}`},
		{"3.4 arguments null", `null`, `{}`},
	} {
		model, messages, sys := withCall(m25, a.args)
		rows = append(rows, row{a.name, model, messages, sys, callArgs(a.want)})
	}
	for _, c := range rows {
		t.Run(c.name, func(t *testing.T) {
			got := upstream(t, decodeWith(t, requestEnv(), Options{}, fmt.Sprintf(`{"model":%q,"messages":%s}`, c.model, c.messages)))
			sameJSON(t, got["contents"], c.want)
			if c.system == "" {
				c.system = "null"
			}
			sameJSON(t, got["systemInstruction"], c.system)
		})
	}
}
