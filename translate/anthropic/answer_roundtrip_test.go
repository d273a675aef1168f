// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestMessages_RoundTrip: an answer that a client sends back as it got it, in one piece
// or put together from a stream, is for Gemini what Gemini said, signatures on the
// parts they are of. Cases 20 and 24.
func TestMessages_RoundTrip(t *testing.T) {
	for _, tc := range []struct {
		name, parts, thinking string
		dropMemo              bool
		want                  string // the model's parts
	}{
		{
			"envelope", think + `,{"text":"Hi","thoughtSignature":"UzA="},` + signedF + "," + callG, `{"type":"adaptive"}`, true,
			`[{"text":"Hi","thoughtSignature":"UzA="},{"functionCall":{"id":"#","name":"f","args":{"a":1}},"thoughtSignature":"UzE="},{"functionCall":{"id":"#","name":"g","args":{}}}]`,
		},
		{
			"envelope without thoughts", signedF, `{"type":"enabled","budget_tokens":2000,"display":"omitted"}`, true,
			`[{"functionCall":{"id":"#","name":"f","args":{"a":1}},"thoughtSignature":"UzE="}]`,
		},
		{
			"memo", signedF, `{"type":"disabled"}`, false,
			`[{"functionCall":{"id":"#","name":"f","args":{"a":1}},"thoughtSignature":"UzE="}]`,
		},
		{
			"placeholder", signedF, `{"type":"disabled"}`, true,
			`[{"functionCall":{"id":"#","name":"f","args":{"a":1}},"thoughtSignature":"skip_thought_signature_validator"}]`,
		},
		{
			"Google's own tools", think + "," + strings.ReplaceAll(search+","+result, `"T`, `"VD`) + "," + hello + "," + signedF, `{"type":"adaptive"}`, true,
			`[` + strings.ReplaceAll(search+","+result, `"T`, `"VD`) + `,{"text":"Hi"},{"functionCall":{"id":"#","name":"f","args":{"a":1}},"thoughtSignature":"UzE="}]`,
		},
	} {
		for _, stream := range []string{"false", "true"} {
			t.Run(tc.name+", stream "+stream, func(t *testing.T) {
				env := answerEnv()
				tools := `"tools":[{"name":"f","input_schema":{"type":"object"}},{"name":"g","input_schema":{"type":"object"}}],"thinking":` + tc.thinking
				x, f := NewMessages(env, Options{}, []byte(requestBody(m38, `"stream":`+stream+`,`+tools)))
				if f != nil {
					t.Fatal(f)
				}
				var m *wireMessage
				if stream == "true" {
					out, err := streamDocs(x, answered(tc.parts, "STOP"))
					if err != nil {
						t.Fatal(err)
					}
					m, _ = collect(t, []byte(out))
				} else {
					var err error
					if m, err = respond(t, x, answered(tc.parts, "STOP")); err != nil {
						t.Fatal(err)
					}
				}
				if tc.dropMemo {
					env.Memo = nil
				}
				var results []string
				for _, b := range m.Content {
					if b.Type == "tool_use" {
						results = append(results, `{"type":"tool_result","tool_use_id":"`+b.ID+`","content":"ok"}`)
					}
				}
				next := decodeRequest(t, env, Options{}, requestBody(m38, tools+`,"messages":[{"role":"user","content":"q"},{"role":"assistant","content":`+
					show(m.Content)+`},{"role":"user","content":[`+strings.Join(results, ",")+`]}]`))
				got := show(member(sentUpstream(t, next), "contents.1.parts"))
				for _, b := range m.Content {
					if b.Type == "tool_use" {
						got = strings.ReplaceAll(got, b.ID, "#")
					}
				}
				var a, b any
				if json.Unmarshal([]byte(got), &a) != nil || json.Unmarshal([]byte(tc.want), &b) != nil || show(a) != show(b) {
					t.Errorf("got  %s\nwant %s", got, tc.want)
				}
			})
		}
	}
}

const signedF = `{"functionCall":{"name":"f","args":{"a":1}},"thoughtSignature":"UzE="}`
