// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// message posts a request as Anthropic's SDKs do.
func (w *world) message(body string, header ...string) answer {
	w.t.Helper()
	return w.post("/v1/messages", body, append([]string{"Authorization", "", "X-Api-Key", w.key, "Anthropic-Version", "2023-06-01"}, header...)...)
}

// asked is what Google was asked last.
func (w *world) asked() string {
	w.t.Helper()
	entries := w.google.Entries(fakegemini.Attempts)
	if len(entries) == 0 {
		w.t.Fatal("Google was not asked")
	}
	return string(entries[len(entries)-1].Body)
}

// at is the part of a JSON document that a path such as contents.0.parts leads to,
// with sorted names; "" for none.
func at(t testing.TB, document, path string) string {
	t.Helper()
	var v any
	decode(t, document, &v)
	for name := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[name]
		case []any:
			if i, err := strconv.Atoi(name); err == nil && i < len(in) {
				v = in[i]
				continue
			}
			return ""
		}
	}
	if v == nil {
		return ""
	}
	out, err := json.Marshal(v)
	must(t, err)
	return string(out)
}

// claudeEvent is an event of a stream.
type claudeEvent struct {
	Type         string
	Index        int
	Message      struct{ Model string }
	ContentBlock json.RawMessage `json:"content_block"`
	Delta        json.RawMessage
	Usage        json.RawMessage
	Error        struct{ Type, Message string }
}

// claudeEvents reads a stream and checks what all have in common: an event's name
// before its data, blocks one after the other without gaps.
func claudeEvents(t testing.TB, stream string) (events []claudeEvent) {
	t.Helper()
	open, next := false, 0
	for text := range strings.SplitSeq(strings.TrimSuffix(stream, "\n\n"), "\n\n") {
		name, data, ok := strings.Cut(text, "\n")
		var e claudeEvent
		if err := json.Unmarshal([]byte(strings.TrimPrefix(data, "data: ")), &e); !ok || err != nil || name != "event: "+e.Type {
			t.Fatalf("not an event (%v): %q in %s", err, text, stream)
		}
		switch e.Type {
		case "content_block_start":
			if open || e.Index != next {
				t.Errorf("block %d starts, the last one open: %v: %s", e.Index, open, stream)
			}
			open = true
		case "content_block_delta":
			if !open || e.Index != next {
				t.Errorf("a delta of block %d, which is not open: %s", e.Index, stream)
			}
		case "content_block_stop":
			open = false
			next++
		}
		events = append(events, e)
	}
	return events
}

// outline are the types of events, with those of blocks and deltas, repeated ones
// and pings once.
func outline(events []claudeEvent) string {
	var all []string
	for _, e := range events {
		name := e.Type
		for _, inner := range []json.RawMessage{e.ContentBlock, e.Delta} {
			var typed struct{ Type string }
			if json.Unmarshal(inner, &typed) == nil && typed.Type != "" {
				name = typed.Type
			}
		}
		switch {
		case name == "ping" || len(all) > 0 && all[len(all)-1] == name:
		case name == "content_block_stop":
			all = append(all, "/")
		default:
			all = append(all, name)
		}
	}
	return strings.Join(all, " ")
}

// TestAnthropic_ClaudeCode is what Claude Code sends for "hi". Source:
// specs/native-anthropic.md C.11, F 19 and 23.
func TestAnthropic_ClaudeCode(t *testing.T) {
	w := newWorld(t, keys(2), func(c *Config) {
		c.Aliases = []settings.Alias{{Name: "claude-opus-5-5", Targets: []string{"gemini-3.8-flash"}}}
	})
	const body = `{"model":"claude-opus-5-5[1m]","max_tokens":128000,"stream":true,
 "system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1.330.440; cc_entrypoint=cli;"},
  {"type":"text","text":"You are Claude Code.","cache_control":{"type":"ephemeral"}},{"type":"text","text":"Work in /w."}],
 "thinking":{"type":"adaptive","display":"omitted"},"context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]},
 "metadata":{"user_id":"{\"device_id\":\"d\",\"session_id\":\"s1\"}"},"output_config":{"effort":"high"},
 "safeguards":[{"type":"dangerous_tool_use","classifier_context":{"cwd":"/home/ann/secret-project"}}],
 "tools":[{"name":"Bash","description":"run","input_schema":{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"command":{"type":"string"},"timeout":{"type":"integer","exclusiveMinimum":0}},"required":["command"],"additionalProperties":false}},
  {"name":"WebSearch","input_schema":{"type":"object","properties":{"query":{"type":"string"}}},"defer_loading":true},
  {"name":"DeferredToolPlaceholder","input_schema":{"type":"object","properties":{}},"defer_loading":true}],
 "messages":[{"role":"user","content":[{"type":"text","text":"hi [[no_calls]]","cache_control":{"type":"ephemeral"}}]},
  {"role":"system","content":[{"type":"text","text":"# Environment"}],"output_config":{"effort":"medium"}}]}`
	got := w.post("/v1/messages?beta=true", body, "Anthropic-Version", "2023-06-01", "User-Agent", "claude-cli/2.1.330 (external, cli)", "X-App", "cli",
		"X-Claude-Code-Session-Id", "s1", "Anthropic-Beta", "claude-code-20250219,interleaved-thinking-2025-05-14")
	if got.status != http.StatusOK || got.header.Get("Content-Type") != "text/event-stream; charset=utf-8" || got.header.Get("Request-Id") == "" {
		t.Fatalf("%d %v %s", got.status, got.header, got.body)
	}
	events := claudeEvents(t, got.body)
	if o := outline(events); o != "message_start text text_delta / message_delta message_stop" {
		t.Errorf("events: %s", o)
	}
	if m := events[0].Message.Model; m != "claude-opus-5-5[1m]" {
		t.Errorf("the model is %q", m)
	}
	asked := w.asked()
	for path, want := range map[string]string{
		"generationConfig.maxOutputTokens":          "65536",
		"generationConfig.thinkingConfig":           `{"thinkingLevel":"MEDIUM"}`,
		"systemInstruction.parts.0.text":            `"You are Claude Code."`,
		"systemInstruction.parts.2.text":            `"# Environment"`,
		"tools.0.functionDeclarations.0.name":       `"Bash"`,
		"tools.0.functionDeclarations.0.parameters": "",
		"tools.0.functionDeclarations.1":            "",
		"contents.1":                                "",
	} {
		if got := at(t, asked, path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	if strings.Contains(asked, "billing") || strings.Contains(asked, "secret-project") || strings.Contains(asked, "session_id") {
		t.Errorf("Google was told what is not its business: %s", asked)
	}
}

// TestAnthropic_History: what Google gets of the turns before. Source:
// specs/native-anthropic.md F 20 to 23.
func TestAnthropic_History(t *testing.T) {
	const tools = `"tools":[{"name":"Bash","input_schema":{"type":"object","properties":{"command":{"type":"string"}}}},{"name":"WebSearch","input_schema":{"type":"object","properties":{}},"defer_loading":true},{"name":"DeferredToolPlaceholder","input_schema":{"type":"object","properties":{}},"defer_loading":true}]`
	call := func(id string) string {
		return `{"type":"tool_use","id":"` + id + `","name":"Bash","input":{"command":"ls"}}`
	}
	result := func(id, content string) string {
		return `{"type":"tool_result","tool_use_id":"` + id + `","content":` + content + `}`
	}
	foreign := `{"type":"thinking","thinking":"I plan","signature":"EqQBCkgIBBABGAIiQ0xhdWRl"}`
	for name, tc := range map[string]struct {
		assistant, user string
		want            map[string]string
	}{
		"signature of Claude": {foreign + "," + call("toolu_1"), result("toolu_1", `"hi"`), map[string]string{
			"contents.1.parts.0.thoughtSignature":          `"skip_thought_signature_validator"`,
			"contents.1.parts.0.functionCall.name":         `"Bash"`,
			"contents.1.parts.1":                           "",
			"contents.2.parts.0.functionResponse.response": `{"output":"hi"}`,
		}},
		"results in reverse, and text": {call("toolu_1") + "," + call("toolu_2"), result("toolu_2", `"b"`) + "," + result("toolu_1", `"a"`) + `,{"type":"text","text":"go on"}`, map[string]string{
			"contents.2.parts.0.functionResponse.id": `"toolu_1"`,
			"contents.2.parts.1.functionResponse.id": `"toolu_2"`,
			"contents.2.parts.2":                     "",
			"contents.3":                             `{"parts":[{"text":"go on"}],"role":"user"}`,
			"contents.1.parts.1.thoughtSignature":    "",
		}},
		"deferred tools": {call("toolu_1"), result("toolu_1", `[{"type":"tool_reference","tool_name":"WebSearch"}]`), map[string]string{
			"contents.2.parts.0.functionResponse.response": `{"output":"Tools loaded: WebSearch"}`,
			"tools.0.functionDeclarations.1.name":          `"WebSearch"`,
			"tools.0.functionDeclarations.2":               "",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, keys(1))
			got := w.message(`{"model":"gemini-3.8-flash","max_tokens":500,` + tools + `,"messages":[{"role":"user","content":"list"},{"role":"assistant","content":[` + tc.assistant + `]},{"role":"user","content":[` + tc.user + `]}]}`)
			if got.status != http.StatusOK {
				t.Fatalf("%d %s", got.status, got.body)
			}
			asked := w.asked()
			for path, want := range tc.want {
				if got := at(t, asked, path); got != want {
					t.Errorf("%s is %s, want %s", path, got, want)
				}
			}
			if strings.Contains(asked, "I plan") {
				t.Error("thoughts were sent as text")
			}
		})
	}
}

// TestAnthropic_Answers: what becomes of Google's answers, in a stream and whole.
// Source: specs/native-anthropic.md F 24, 25, 27, 28.
func TestAnthropic_Answers(t *testing.T) {
	const finish = `,"finishReason":"STOP"`
	chunk := func(parts, finish, usage string) string {
		return `{"candidates":[{"content":{"role":"model","parts":[` + parts + `]}` + finish + `}],"usageMetadata":{` + usage + `},"responseId":"R1"}`
	}
	for _, tc := range []struct {
		name    string
		chunks  []string
		outline string
		whole   map[string]string
	}{
		{"thought and call", []string{
			chunk(`{"text":"a","thought":true}`, "", ""),
			chunk(`{"functionCall":{"name":"f","args":{"x":1}},"thoughtSignature":"c2ln"}`, "", ""), chunk(`{"text":""}`, finish, `"promptTokenCount":9`),
		}, "message_start thinking thinking_delta signature_delta / tool_use input_json_delta / message_delta message_stop",
			map[string]string{"stop_reason": `"tool_use"`}},
		{"signed text", []string{chunk(`{"text":"Hello","thoughtSignature":"c2ln"}`, finish, "")}, "message_start text text_delta / message_delta message_stop",
			map[string]string{"content.0.text": `"Hello"`, "content.0.type": `"text"`, "stop_reason": `"end_turn"`}},
		{"blocked", []string{`{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":5},"responseId":"R1"}`}, "message_start message_delta message_stop",
			map[string]string{"content": "[]", "stop_reason": `"refusal"`, "stop_details.type": `"refusal"`, "usage.input_tokens": "5"}},
		{"usage", []string{chunk(`{"text":"Hello"}`, finish, `"promptTokenCount":1000,"cachedContentTokenCount":800,"candidatesTokenCount":50,"thoughtsTokenCount":30`)},
			"message_start text text_delta / message_delta message_stop",
			map[string]string{"usage.input_tokens": "200", "usage.cache_read_input_tokens": "800", "usage.output_tokens": "80", "usage.output_tokens_details.thinking_tokens": "30"}},
	} {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprint(tc.name, stream), func(t *testing.T) {
				w := newWorld(t, keys(1), scripted(t, func(rw http.ResponseWriter, _ *http.Request) {
					if !stream { // all in one
						_, _ = io.WriteString(rw, joined(t, tc.chunks))
						return
					}
					rw.Header().Set("Content-Type", "text/event-stream")
					for _, c := range tc.chunks {
						_, _ = io.WriteString(rw, "data: "+c+"\r\n\r\n")
					}
				}))
				got := w.message(fmt.Sprintf(`{"model":"claude-sonnet-5-5","max_tokens":5000,"stream":%v,"thinking":{"type":"adaptive"},"tools":[{"name":"f","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":"hi"}]}`, stream))
				if got.status != http.StatusOK {
					t.Fatalf("%d %s", got.status, got.body)
				}
				if stream {
					events := claudeEvents(t, got.body)
					if o := outline(events); o != tc.outline {
						t.Errorf("events: %s\nwant    %s", o, tc.outline)
					}
					return
				}
				for path, want := range tc.whole {
					if got := at(t, got.body, path); got != want {
						t.Errorf("%s is %s, want %s", path, got, want)
					}
				}
			})
		}
	}
}

// joined is the whole answer that a stream's events are.
func joined(t testing.TB, chunks []string) string {
	t.Helper()
	var all []any
	var last map[string]any
	for _, c := range chunks {
		last = nil
		decode(t, c, &last)
		if candidates, ok := last["candidates"].([]any); ok {
			all = append(all, candidates[0].(map[string]any)["content"].(map[string]any)["parts"].([]any)...)
		}
	}
	if candidates, ok := last["candidates"].([]any); ok {
		candidates[0].(map[string]any)["content"].(map[string]any)["parts"] = all
	}
	out, err := json.Marshal(last)
	must(t, err)
	return string(out)
}
