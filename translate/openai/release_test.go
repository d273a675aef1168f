// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// TestRelease: once released, an exchange answers the same and holds nothing of
// the client's body, which is overwritten here.
func TestRelease(t *testing.T) {
	const tools = `"tools":[{"type":"function","function":{"name":"my tool!","parameters":{"type":"object","properties":{"a":{"type":"string"}}}}}]`
	const flat = `"tools":[{"type":"function","name":"my tool!","parameters":{"type":"object","properties":{"a":{"type":"string"}}}},{"type":"custom","name":"raw"}]`
	const rest = `"stream":true,"model":"gemini-2.5-flash","temperature":0.25,"top_p":0.5,"service_tier":"flex","metadata":{"a":"b"},"user":"somebody","prompt_cache_key":"key","safety_identifier":"id","tool_choice":"auto",`
	const items = `"input":[{"role":"user","content":"A question"}],"instructions":"Be brief.","reasoning":{"effort":"low","summary":"auto"},"text":{"format":{"type":"text"},"verbosity":"low"},"max_output_tokens":77,"max_tool_calls":5,"truncation":"auto",`
	events := []string{
		`{"candidates":[{"content":{"parts":[{"text":"Thinking","thought":true}],"role":"model"},"index":0}],"responseId":"id1"}`,
		`{"candidates":[{"content":{"parts":[{"text":"Some text."}],"role":"model"},"index":0}],"responseId":"id1"}`,
		`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"my_tool_","args":{"a":"b"}}}],"role":"model"},"index":0}],"responseId":"id1"}`,
		`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"raw","args":{"input":"b"}}}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":5,"totalTokenCount":5},"responseId":"id1"}`,
	}
	for name, tc := range map[string]struct {
		body string
		to   func(o Options, body []byte) (translate.Released, *translate.Failure)
		kept Options
	}{
		"chat":                {`{` + rest + tools + `,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"A question"}]}`, releasedChat, Options{}},
		"responses":           {`{"store":false,` + rest + items + flat + `}`, releasedResponses, Options{}},
		"responses too large": {`{` + rest + items + flat + `}`, releasedResponses, Options{Previous: nothingKept, MaxKept: 10}},
	} {
		t.Run(name, func(t *testing.T) {
			answer := func(release bool) string {
				body := []byte(tc.body)
				x, f := tc.to(tc.kept, body)
				if f != nil {
					t.Fatal(f)
				}
				x.Begin()
				var out []byte
				for i, e := range events {
					var err error
					if out, err = x.Event(out, translate.Frame{Data: []byte(e)}); err != nil {
						t.Fatal(err)
					}
					if i == 0 && release {
						x.Release()
						copy(body, bytes.Repeat([]byte("#"), len(body)))
					}
				}
				if c := x.Call(); release && (c.Body != nil || c.Pieces != nil) {
					t.Error("the call still has its body")
				}
				out, err := x.End(out)
				if err != nil {
					t.Fatal(err)
				}
				if r, ok := x.(*Responses); ok {
					if id, items := r.Stored(); id != "" || items != nil || r.Document() != nil {
						t.Errorf("%s is to be kept: %s", id, items)
					}
				}
				return string(out)
			}
			if before, after := answer(false), answer(true); before != after {
				t.Errorf("without release\n%s\nwith\n%s", before, after)
			}
		})
	}
}

func releasedChat(o Options, body []byte) (translate.Released, *translate.Failure) {
	return NewChat(answerEnv(), o, body)
}

func releasedResponses(o Options, body []byte) (translate.Released, *translate.Failure) {
	return NewResponses(answerEnv(), o, body)
}
