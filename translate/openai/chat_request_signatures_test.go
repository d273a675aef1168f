// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"testing"
)

// signatures lists the thought signatures of all function calls, "" for none.
func signatures(r *ChatRequest) (list []string) {
	for _, c := range r.Gemini.Contents {
		for _, p := range c.Parts {
			if p.FunctionCall != nil {
				list = append(list, p.ThoughtSignature.Text())
			}
		}
	}
	return list
}

func sameStrings(t *testing.T, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

const skip = "skip_thought_signature_validator"

// The places of specs/openai.md §7.2, in their order, then the memo, then the
// placeholder (§7.3) and the request rows of §21 about signatures.
func TestDecodeChat_Signatures(t *testing.T) {
	call := func(id, extra, function string) string {
		return `{"id":"` + id + `","type":"function"` + extra + `,"function":{"name":"w","arguments":"{}"` + function + `}}`
	}
	all := `,"thought_signature":"C","provider_specific_fields":{"thought_signature":"E"}`
	for _, c := range []struct {
		name, model, message, calls string
		memo                        fixedMemo
		want                        []string
	}{
		{"extra_content of the call", m3, ``, call("c1", `,"extra_content":{"google":{"thought_signature":"A"}}`+all, `,"extra_content":{"google":{"thought_signature":"B"}}`), nil, []string{"A"}},
		{"extra_content of the function", m3, ``, call("c1", all, `,"extra_content":{"google":{"thought_signature":"B"}},"thought_signature":"D"`), nil, []string{"B"}},
		{"thought_signature of the call", m3, ``, call("c1", all, `,"thought_signature":"D"`), nil, []string{"C"}},
		{"thoughtSignature of the call", m3, ``, call("c1", `,"thoughtSignature":"C"`, ``), nil, []string{"C"}},
		{"thought_signature of the function", m3, ``, call("c1", `,"provider_specific_fields":{"thought_signature":"E"}`, `,"thought_signature":"D"`), nil, []string{"D"}},
		{"provider_specific_fields", m3, ``, call("c1", `,"provider_specific_fields":{"thought_signature":"E"}`, ``), nil, []string{"E"}},
		{"id suffix", m3, ``, call("c1__thought__F+/=", ``, ``), nil, []string{"F+/="}},
		{"reasoning_details", m3, `,"reasoning_details":[{"type":"reasoning.text","text":"x"},{"type":"reasoning.text","signature":"G"}]`, call("c1", ``, ``) + `,` + call("c2", ``, ``), nil, []string{"G", ""}},
		{"reasoning.encrypted", m3, `,"reasoning_details":[{"type":"reasoning.encrypted","format":"google-gemini-v1","data":"H"}]`, call("c1", ``, ``), nil, []string{"H"}},
		{"thinking_blocks", m3, `,"thinking_blocks":[{"type":"thinking","thinking":"x","signature":"I"}]`, call("c1", ``, ``), nil, []string{"I"}},
		{"memo", m3, ``, call("c1", ``, ``), fixedMemo{memoKey(m3, "c1"): "M"}, []string{"M"}},
		{"memo of another family", m3, ``, call("c1", ``, ``), fixedMemo{memoKey("gemini-2.5-flash", "c1"): "M"}, []string{skip}},
		{"memo by the id without suffix", m3, ``, call("c1", ``, ``), fixedMemo{memoKey(m3, "c2"): "M"}, []string{skip}},
		{"client before memo", m3, ``, call("c1", `,"thought_signature":"C"`, ``), fixedMemo{memoKey(m3, "c1"): "M"}, []string{"C"}},
		{"21.20 placeholder on the first of two", m3, ``, call("c1", ``, ``) + `,` + call("c2", ``, ``), nil, []string{skip, ""}},
		{"21.21 none on 2.5", m25, ``, call("c1", ``, ``), nil, []string{""}},
		{"none on gemma", "gemma-4-31b-it", ``, call("c1", ``, ``), nil, []string{""}},
		{"21.22 unsigned sibling", m3, ``, call("c1", `,"thought_signature":"C"`, ``) + `,` + call("c2", ``, ``), nil, []string{"C", ""}},
		{"2.5 keeps what it gets", m25, ``, call("c1", `,"thought_signature":"C"`, ``), nil, []string{"C"}},
		{"empty signatures count as none", m3, ``, call("c1", `,"thought_signature":""`, ``), nil, []string{skip}},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := requestEnv()
			if c.memo != nil {
				env.Memo = c.memo
			}
			r := decodeWith(t, env, Options{}, `{"model":"`+c.model+`","messages":[{"role":"user","content":"q"},{"role":"assistant"`+c.message+`,"tool_calls":[`+c.calls+`]}]}`)
			sameStrings(t, signatures(r), c.want...)
		})
	}
	t.Run("every step gets one", func(t *testing.T) {
		r := decodeWith(t, requestEnv(), Options{}, `{"model":"`+m3+`","messages":[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[`+call("c1", ``, ``)+`]},{"role":"tool","tool_call_id":"c1","content":""},{"role":"assistant","tool_calls":[`+call("c2", ``, ``)+`]}]}`)
		sameStrings(t, signatures(r), skip, skip)
	})
	t.Run("id suffix is cut from the result too", func(t *testing.T) {
		r := decodeWith(t, requestEnv(), Options{}, `{"model":"`+m3+`","messages":[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[`+call("c1__thought__F", ``, ``)+`]},{"role":"tool","tool_call_id":"c1__thought__F","content":"r"}]}`)
		sameJSON(t, upstream(t, r)["contents"].([]any)[2], `{"role":"user","parts":[{"functionResponse":{"id":"c1","name":"w","response":{"output":"r"}}}]}`)
	})
}

// 21.23: real signatures are replaced once, text signatures go away.
func TestChatRequest_Unsign(t *testing.T) {
	doc := func(model string) string {
		return `{"model":"` + model + `","messages":[{"role":"user","content":"q"},
		{"role":"assistant","content":"t","extra_content":{"google":{"thought_signature":"T"}},"tool_calls":[
			{"id":"c1","thought_signature":"A","function":{"name":"w","arguments":"{}"}},{"id":"c2","thought_signature":"B","function":{"name":"w","arguments":"{}"}}]},
		{"role":"tool","tool_call_id":"c1","content":"r"},{"role":"tool","tool_call_id":"c2","content":"r"},
		{"role":"assistant","content":"","extra_content":{"google":{"thought_signature":"U"}}},{"role":"user","content":"u"}]}`
	}
	results := `{"role":"user","parts":[{"functionResponse":{"id":"c1","name":"w","response":{"output":"r"}}},{"functionResponse":{"id":"c2","name":"w","response":{"output":"r"}}}]},{"role":"user","parts":[{"text":"u"}]}]`
	r := decodeWith(t, requestEnv(), Options{}, doc(m3))
	if !r.Unsign() {
		t.Error("there was something to replace")
	}
	sameJSON(t, upstream(t, r)["contents"], `[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"text":"t"},{"functionCall":{"id":"c1","name":"w","args":{}},"thoughtSignature":"`+skip+`"},{"functionCall":{"id":"c2","name":"w","args":{}}}]},`+results)
	if r.Unsign() {
		t.Error("nothing was left to replace")
	}
	r = decodeWith(t, requestEnv(), Options{}, doc(m25))
	if !r.Unsign() || r.Unsign() {
		t.Error("2.5: once, no more")
	}
	sameStrings(t, signatures(r), "", "")
	r = decodeWith(t, requestEnv(), Options{}, body(m3, ""))
	if r.Unsign() {
		t.Error("a request without signatures")
	}
}
