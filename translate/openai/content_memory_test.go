// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// The memory of a stream's text goes back once, as large as it has grown, also where
// another text took its place; a stream that is ended again fails, and harms none.
func TestContent_GivesBack(t *testing.T) {
	for name, fields := range map[string]string{
		"text": ``, "JSON in a fence": `,"response_format":{"type":"json_object"}`,
	} {
		t.Run(name, func(t *testing.T) {
			x, f := NewChat(translate.Env{NewID: func(int) string { return "id" }}, Options{}, []byte(`{"model":"gemini-2.5-flash","stream":true,"messages":[{"role":"user","content":"hi"}]`+fields+`}`))
			if f != nil {
				t.Fatal(f)
			}
			x.Begin()
			out, err := x.Event(nil, translate.Frame{Data: []byte(`{"candidates":[{"content":{"parts":[{"text":"` + "```json\\n{\\\"a\\\":1}\\n```" + `"}]},"finishReason":"STOP"}]}`)})
			if err != nil {
				t.Fatal(err)
			}
			home := x.choices[0].home
			if out, err = x.End(out); err != nil || !strings.HasSuffix(string(out), "data: [DONE]\n\n") {
				t.Fatalf("%v: %s", err, out)
			}
			if fenced := strings.Contains(string(out), "```"); fenced != (fields == "") {
				t.Errorf("fenced: %v\n%s", fenced, out)
			}
			if cap(*home) < firstContent {
				t.Errorf("memory of %d bytes goes back", cap(*home))
			}
			if _, err = x.End(nil); err == nil {
				t.Error("a stream ends twice")
			}
		})
	}
}
