// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

const stop = `{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}]}`

// answered is a whole answer with these parts, which ends for reason.
func answered(parts, reason string) string {
	return `{"responseId":"R1","candidates":[{"content":{"role":"model","parts":[` + parts + `]},"finishReason":"` + reason + `"}]}`
}

// event is an event of a stream with these parts.
func event(parts string) string {
	return `{"responseId":"R1","candidates":[{"content":{"role":"model","parts":[` + parts + `]}}]}`
}

const (
	think  = `{"text":"Hm","thought":true}`
	hello  = `{"text":"Hi"}`
	callF  = `{"functionCall":{"id":"k1","name":"f","args":{"a": 1}},"thoughtSignature":"S1"}`
	callG  = `{"functionCall":{"name":"g"}}`
	search = `{"toolCall":{"toolType":"GOOGLE_SEARCH_WEB","args":{"queries":["q0"]}},"thoughtSignature":"T1"}`
	result = `{"toolResponse":{"toolType":"GOOGLE_SEARCH_WEB"},"thoughtSignature":"T2"}`
	code   = `{"executableCode":{"language":"PYTHON","code":"print(1)"}}`
	output = `{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"1\n"}}`
)

// TestMessages_Parts is the table of C.6: what becomes of each kind of part, whether
// it comes in one piece or in a stream of one event.
func TestMessages_Parts(t *testing.T) {
	for _, tc := range []struct {
		name, parts string
		change      []func(*plan)
		want        string
	}{
		{"text", hello, nil, "text Hi"},
		{"texts join", hello + `,{"text":" you"}`, nil, "text Hi you"},
		{"text escapes", `{"text":"\u00e9\"\\\n\ud83d\ude00</x>"}`, nil, "text é\"\\\n😀</x>"},
		{"signed text is text", `{"text":"Hi","thoughtSignature":"S"}`, []func(*plan){thinks}, "text Hi"},
		{"thought unasked", think + "," + hello, nil, "text Hi"},
		{"thought", think + "," + hello, []func(*plan){thinks}, "thinking Hm | text Hi"},
		{"thoughts join", think + `,{"text":"m","thought":true}`, []func(*plan){thinks}, "thinking Hmm"},
		{"thought omitted", think + "," + hello, []func(*plan){omits}, "text Hi"},
		{"thought and signed text", think + `,{"text":"Hi","thoughtSignature":"S"}`, []func(*plan){thinks}, "thinking Hm text=S | text Hi"},
		{"signature on the text's end", think + "," + hello + `,{"text":"","thoughtSignature":"S"}`, []func(*plan){thinks}, "thinking Hm text=S | text Hi"},
		{"call", callF, nil, `tool_use f{"a":1}`},
		{"call without arguments", callG, nil, `tool_use g{}`},
		{"arguments are null", `{"functionCall":{"name":"g","args":null}}`, nil, `tool_use g{}`},
		{"arguments are no object", `{"functionCall":{"name":"g","args":[1, "\""]}}`, nil, `tool_use g{"value":[1,"\""]}`},
		{"call without name", `{"functionCall":{"args":{}}},` + hello, nil, `text Hi`},
		{"name with prefix", `{"functionCall":{"name":"default_api:f"}}`, []func(*plan){func(p *plan) { p.names.Declare("f") }}, `tool_use f{}`},
		{"name that was cleaned", `{"functionCall":{"name":"` + "a_b" + `"}}`, []func(*plan){func(p *plan) { p.names.Declare("a b"); p.names.Sent("a b") }}, `tool_use a b{}`},
		{"calls", callF + "," + callG, nil, `tool_use f{"a":1} | tool_use g{}`},
		{"one call only", callF + "," + callG + "," + hello, []func(*plan){oneCall}, `tool_use f{"a":1} | text Hi`},
		{"text after a call", hello + "," + callF + "," + hello, nil, `text Hi | tool_use f{"a":1} | text Hi`},
		{"signed call, thinking", think + "," + callF, []func(*plan){thinks}, `thinking Hm ID1=S1 | tool_use f{"a":1}`},
		{"signed call, no thoughts", callF, []func(*plan){thinks}, `thinking  ID1=S1 | tool_use f{"a":1}`},
		{"signed call, thoughts omitted", think + "," + callF, []func(*plan){omits}, `thinking  ID1=S1 | tool_use f{"a":1}`},
		{"unsigned call, no thoughts", callG, []func(*plan){thinks}, `tool_use g{}`},
		{"look-ahead over text", think + "," + hello + "," + callF, []func(*plan){thinks}, `thinking Hm ID1=S1 | text Hi | tool_use f{"a":1}`},
		{"parallel calls", think + "," + callF + "," + callG, []func(*plan){thinks}, `thinking Hm ID1=S1 | tool_use f{"a":1} | tool_use g{}`},
		{"look-ahead ends at a thought", think + "," + hello + "," + think + "," + callF, []func(*plan){thinks}, `thinking Hm | text Hi | thinking Hm ID1=S1 | tool_use f{"a":1}`},
		{"look-ahead and one call", think + "," + callG + "," + callF, []func(*plan){thinks, oneCall}, `thinking Hm | tool_use g{}`},
		{"draft of an image", `{"inlineData":{"mimeType":"image/png","data":"AA=="},"thought":true},` + hello, []func(*plan){thinks}, "text Hi"},
		{"image", `{"inlineData":{"mimeType":"image/png","data":"AA=="}}`, nil, "text [Gemini answered with image/png, which the Messages API has no block for.]"},
		{"file", `{"fileData":{"fileUri":"https://x/y"}}`, nil, "text [https://x/y](https://x/y)"},
		{"code", hello + "," + code + "," + output, nil, "text Hi\n```python\nprint(1)\n```\n\n```\n1\n\n```\n"},
		{
			"code of a declared tool", hello + "," + code + "," + output + "," + hello, []func(*plan){codes},
			`text Hi | server_tool_use code_execution{"code":"print(1)"} | code_execution_tool_result {"type":"code_execution_result","stdout":"1\n","stderr":"","return_code":0,"content":[]} | text Hi`,
		},
		{
			"code that failed", code + `,{"codeExecutionResult":{"outcome":"OUTCOME_FAILED","output":"no"}}`, []func(*plan){codes},
			`server_tool_use code_execution{"code":"print(1)"} | code_execution_tool_result {"type":"code_execution_result","stdout":"","stderr":"no","return_code":1,"content":[]}`,
		},
		{
			"code that took too long", code + `,{"codeExecutionResult":{"outcome":"OUTCOME_DEADLINE_EXCEEDED"}}`, []func(*plan){codes},
			`server_tool_use code_execution{"code":"print(1)"} | code_execution_tool_result {"type":"code_execution_tool_result_error","error_code":"execution_time_exceeded"}`,
		},
		{"result without code", output, []func(*plan){codes}, "text \n```\n1\n\n```\n"},
		{
			"code comes back", think + "," + code + "," + output + "," + hello, []func(*plan){codes, thinks},
			`thinking Hm +` + code + ` | server_tool_use code_execution{"code":"print(1)"} | code_execution_tool_result {"type":"code_execution_result","stdout":"1\n","stderr":"","return_code":0,"content":[]} | thinking  +` + output + ` | text Hi`,
		},
		{"Google's tools come back", think + "," + search + "," + result + "," + hello, []func(*plan){thinks}, `thinking Hm +` + search + ` +` + result + ` | text Hi`},
		{"Google's tools without thoughts", search + "," + result + "," + callF, []func(*plan){thinks}, `thinking  ID1=S1 +` + search + ` +` + result + ` | tool_use f{"a":1}`},
		{"Google's tools unasked", search + "," + result + "," + hello, nil, `text Hi`},
		{"unknown part", `{"strange":{}},` + hello, nil, `text Hi`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, err := both(t, answered(tc.parts, "STOP"), tc.change...)
			if err != nil {
				t.Fatal(err)
			}
			got := m.brief(t, &Options{})
			ids := 0
			for _, b := range m.Content {
				if b.Type == "tool_use" {
					ids++
					got = strings.ReplaceAll(got, b.ID, "ID"+string(rune('0'+ids)))
				}
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if m.ID != "msg_R1" || m.Model != "claude-x" || m.Role != "assistant" || m.Type != "message" {
				t.Errorf("head %+v", m)
			}
			want := "end_turn"
			if ids > 0 {
				want = "tool_use"
			}
			if *m.StopReason != want {
				t.Errorf("stop_reason %s, want %s", *m.StopReason, want)
			}
		})
	}
}

// TestMessages_Reasons is the table of stop reasons in C.6, with text before the end.
func TestMessages_Reasons(t *testing.T) {
	for _, tc := range []struct{ reason, want, explained string }{
		{"STOP", "end_turn", ""},
		{"MAX_TOKENS", "max_tokens", ""},
		{"CONTINUATION", "max_tokens", ""},
		{"SAFETY", "refusal", "Gemini stopped the answer (SAFETY). because"},
		{"PROHIBITED_CONTENT", "refusal", "Gemini stopped the answer (PROHIBITED_CONTENT). because"},
		{"BLOCKLIST", "refusal", "Gemini stopped the answer (BLOCKLIST). because"},
		{"SPII", "refusal", "Gemini stopped the answer (SPII). because"},
		{"RECITATION", "refusal", "Gemini stopped the answer (RECITATION). because"},
		{"LANGUAGE", "refusal", "Gemini stopped the answer (LANGUAGE). because"},
		{"IMAGE_SAFETY", "refusal", "Gemini stopped the answer (IMAGE_SAFETY). because"},
		{"IMAGE_OTHER", "refusal", "Gemini stopped the answer (IMAGE_OTHER). because"},
		{"NO_IMAGE", "end_turn", ""},
		{"MALFORMED_FUNCTION_CALL", "end_turn", ""},
		{"MALFORMED_RESPONSE", "end_turn", ""},
		{"UNEXPECTED_TOOL_CALL", "end_turn", ""},
		{"TOO_MANY_TOOL_CALLS", "end_turn", ""},
		{"MISSING_THOUGHT_SIGNATURE", "end_turn", ""},
		{"OTHER", "end_turn", ""},
		{"FINISH_REASON_UNSPECIFIED", "end_turn", ""},
		{"NEW_REASON", "end_turn", ""},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			doc := strings.TrimSuffix(answered(hello, tc.reason), "}]}") + `,"finishMessage":"because"}]}`
			m, err := both(t, doc)
			if err != nil {
				t.Fatal(err)
			}
			if *m.StopReason != tc.want || m.StopSequence != nil || (m.StopDetails != nil) != (tc.want == "refusal") {
				t.Errorf("%s", m.end())
			}
			if d := m.StopDetails; d != nil && (d.Type != "refusal" || d.Category != nil || d.Explanation != tc.explained) {
				t.Errorf("%+v", d)
			}
			want := tc.want
			if want == "end_turn" {
				want = "tool_use"
			}
			m, err = both(t, answered(callF, tc.reason))
			if err != nil || *m.StopReason != want {
				t.Errorf("with a call: %v, %v", m, err)
			}
		})
	}
	m, err := both(t, answered(hello, "TOO_MANY_TOOL_CALLS"), codes)
	if err != nil || *m.StopReason != "pause_turn" {
		t.Errorf("too many calls of server tools: %v, %v", m, err)
	}
}

// TestMessages_Faults are answers that are none, and some that only look so.
func TestMessages_Faults(t *testing.T) {
	for _, tc := range []struct {
		name, doc string
		kind      translate.Kind
	}{
		{"nothing", `{}`, translate.EmptyAnswer},
		{"no candidates", `{"candidates":[],"usageMetadata":{"promptTokenCount":3}}`, translate.EmptyAnswer},
		{"empty candidate", `{"candidates":[{}]}`, translate.EmptyAnswer},
		{"empty list", `[]`, translate.EmptyAnswer},
		{"feedback without reason", `{"promptFeedback":{}}`, translate.EmptyAnswer},
		{"OTHER", answered(``, "OTHER"), translate.EmptyAnswer},
		{"malformed callF", answered(think, "MALFORMED_FUNCTION_CALL"), translate.MalformedAnswer},
		{"unexpected callF", answered(`{"text":""}`, "UNEXPECTED_TOOL_CALL"), translate.MalformedAnswer},
		{"missing signature", answered(``, "MISSING_THOUGHT_SIGNATURE"), translate.MalformedAnswer},
		{"no JSON", `<html>`, translate.MalformedAnswer},
		{"cut document", `{"candidates":[{"content":{"parts":[{"text":"H`, translate.Truncated},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := both(t, tc.doc); !isFailure(err, tc.kind) {
				t.Errorf("%v", err)
			}
			if _, err := both(t, tc.doc, thinks, searches); !isFailure(err, tc.kind) {
				t.Errorf("%v", err)
			}
		})
	}
	for _, reason := range []string{"MAX_TOKENS", "SAFETY", "STOP"} {
		if m, err := both(t, answered(``, reason)); err != nil || len(m.Content) > 0 {
			t.Errorf("%s without content: %v, %v", reason, m, err)
		}
	}
}

// TestMessages_Blocked is case 27: a prompt that was blocked is a refusal.
func TestMessages_Blocked(t *testing.T) {
	m, err := both(t, `{"responseId":"R","promptFeedback":{"blockReason":"PROHIBITED_CONTENT","blockReasonMessage":"Not \"this\"."},"usageMetadata":{"promptTokenCount":7}}`, thinks)
	if err != nil {
		t.Fatal(err)
	}
	if *m.StopReason != "refusal" || len(m.Content) != 0 || m.Usage.Input != 7 ||
		m.StopDetails.Explanation != `Gemini blocked the request (PROHIBITED_CONTENT). Not "this".` {
		t.Errorf("%s", show(m))
	}
	out, err := streamDocs(messages(streamed), event(hello), `{"promptFeedback":{"blockReason":"SAFETY"}}`)
	if err != nil {
		t.Fatal(err)
	}
	if m, names := collect(t, []byte(out)); *m.StopReason != "end_turn" && *m.StopReason != "refusal" || m.text() != "Hi" {
		t.Errorf("blocked later: %s %s", show(m), names)
	}
}

// TestMessages_Usage is case 28, and what else C.6 says of counts.
func TestMessages_Usage(t *testing.T) {
	for _, tc := range []struct{ name, usage, want string }{
		{"cached", `{"promptTokenCount":1000,"cachedContentTokenCount":800,"candidatesTokenCount":50,"thoughtsTokenCount":30}`, "200 800 80 30"},
		{"tools", `{"promptTokenCount":10,"toolUsePromptTokenCount":5,"candidatesTokenCount":1}`, "15 0 1 0"},
		{"more cached than prompt", `{"promptTokenCount":10,"cachedContentTokenCount":20}`, "0 20 0 0"},
		{"none", `null`, "0 0 0 0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			doc := strings.TrimSuffix(answered(hello, "STOP"), "}") + `,"usageMetadata":` + tc.usage + `}`
			m, err := both(t, doc)
			if err != nil {
				t.Fatal(err)
			}
			u := m.Usage
			if got := show([]int64{u.Input, u.CacheRead, u.Output, u.Details.Thinking}); got != "["+strings.ReplaceAll(tc.want, " ", ",")+"]" {
				t.Errorf("usage %s, want %s", got, tc.want)
			}
			if u.CacheCreation != 0 || u.ServerTools != nil || u.ServiceTier != "standard" {
				t.Errorf("usage %s", show(u))
			}
		})
	}
}

// TestMessages_Memo: what the envelope of a thinking block carries is remembered, too.
func TestMessages_Memo(t *testing.T) {
	x := messages()
	m, err := respond(t, x, answered(callF+","+callG, "STOP"))
	if err != nil {
		t.Fatal(err)
	}
	remembered := x.env.Memo.(memo)
	if len(remembered) != 1 || remembered[memoKey(m38, m.Content[0].ID)] != "S1" {
		t.Errorf("%v", remembered)
	}
	if id := m.Content[0].ID; !strings.HasPrefix(id, "toolu_") || len(id) != 28 || id == m.Content[1].ID {
		t.Errorf("id %s", id)
	}
}

// TestMessages_Begin: an attempt's answer leaves nothing to the next.
func TestMessages_Begin(t *testing.T) {
	x := messages(streamed, thinks, searches)
	want, err := streamDocs(x, event(hello), stop)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := streamDocs(x, event(think+","+search+","+callF), `{"error":{"code":503}}`); err == nil {
		t.Fatal(out)
	}
	if out, err := streamDocs(x, event(hello), stop); err != nil || out != want {
		t.Errorf("%s, %v", out, err)
	}
}

// TestMessages_Released: a large request is let go of, and the answer goes on.
func TestMessages_Released(t *testing.T) {
	x, f := NewMessages(answerEnv(), Options{}, []byte(requestBody(m38, `"stream":true,"tools":[{"name":"f","input_schema":{"type":"object"}}]`)))
	if f != nil {
		t.Fatal(f)
	}
	if x.Call().Length() == 0 || x.Call().Query != "alt=sse" || x.Call().Stream != translate.SSE || !x.Call().Generate {
		t.Errorf("%+v", x.Call())
	}
	x.Begin()
	out, err := x.Event(nil, translate.Frame{Data: []byte(event(callF))})
	if err != nil {
		t.Fatal(err)
	}
	x.Release()
	if x.Call().Length() != 0 {
		t.Errorf("%d bytes are held", x.Call().Length())
	}
	if out, err = x.Event(out, translate.Frame{Data: []byte(stop)}); err != nil {
		t.Fatal(err)
	}
	if out, err = x.End(out); err != nil {
		t.Fatal(err)
	}
	if m, _ := collect(t, out); *m.StopReason != "tool_use" {
		t.Errorf("%s", show(m))
	}
}
