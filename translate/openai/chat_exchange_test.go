// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// TestNewChat goes from a client's body to a client's answer.
func TestNewChat(t *testing.T) {
	const tools = `"tools":[{"type":"function","function":{"name":"1/read file"}},{"type":"custom","custom":{"name":"run"}},{"type":"function","function":{"name":"f"}}]`
	for _, streams := range []bool{false, true} {
		body := `{"model":"gemini-3-flash-preview","messages":[{"role":"user","content":"Hi"}],` + tools
		if streams {
			body += `,"stream":true,"stream_options":{"include_usage":true}`
		}
		x, f := NewChat(answerEnv(), Options{}, []byte(body+"}"))
		if f != nil {
			t.Fatal(f)
		}
		call := x.Call()
		path, query, form := "/v1beta/models/gemini-3-flash-preview:generateContent", "", translate.Unary
		if streams {
			path, query, form = "/v1beta/models/gemini-3-flash-preview:streamGenerateContent", "alt=sse", translate.SSE
		}
		if call.Method != "POST" || call.Path != path || call.Query != query || call.Stream != form || !call.Generate || call.Model != "gemini-3-flash-preview" {
			t.Errorf("%+v", call)
		}
		sent := string(call.Whole())
		if !strings.Contains(sent, `"_1_read_file"`) {
			t.Errorf("§21.47 sent %s", sent)
		}
		parts := `{"functionCall":{"name":"_1_read_file","args":{"p":1}}},{"functionCall":{"name":"run","args":{"input":"ls \"x\"\n"}}},{"functionCall":{"name":"default_api:f"}}`
		var got *wireCompletion
		var err error
		if streams {
			var out string
			out, err = stream(t, x, finished(parts, "STOP"))
			if err == nil {
				got = collect(t, x, []byte(out))
			}
		} else {
			got, err = respond(t, x, finished(parts, "STOP"))
		}
		if err != nil {
			t.Fatal(err)
		}
		calls := got.Choices[0].Message.ToolCalls
		if len(calls) != 3 || calls[0].Function.Name != "1/read file" || calls[2].Function.Name != "f" {
			t.Fatalf("names: %s", show(calls))
		}
		if c := calls[1]; c.Type != "custom" || c.Function != nil || c.Custom.Name != "run" || c.Custom.Input != "ls \"x\"\n" {
			t.Errorf("custom: %s", show(c))
		}
	}
	if _, f := NewChat(answerEnv(), Options{}, []byte(`{`)); f == nil || f.Kind != translate.InvalidRequest {
		t.Errorf("no JSON: %v", f)
	}
}

// TestChat_Unsign is §21.23: the second attempt has placeholders.
func TestChat_Unsign(t *testing.T) {
	body := `{"model":"gemini-3-flash-preview","messages":[{"role":"user","content":"Hi"},
		{"role":"assistant","tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"REALSIG"}}}]},
		{"role":"tool","tool_call_id":"call_1","content":"ok"}],"tools":[{"type":"function","function":{"name":"f"}}]}`
	x, f := NewChat(answerEnv(), Options{}, []byte(body))
	if f != nil {
		t.Fatal(f)
	}
	if !strings.Contains(string(x.Call().Whole()), "REALSIG") {
		t.Fatalf("sent %s", x.Call().Whole())
	}
	if !x.Unsign() || strings.Contains(string(x.Call().Whole()), "REALSIG") || !strings.Contains(string(x.Call().Whole()), "skip_thought_signature_validator") {
		t.Errorf("unsigned %s", x.Call().Whole())
	}
	if x.Unsign() {
		t.Error("nothing was left to replace")
	}
}
