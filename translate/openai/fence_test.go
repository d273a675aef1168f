// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// specs/openai.md §9.1: the fence around JSON that was asked for, whole and cut
// into a stream in every place.
func TestFence(t *testing.T) {
	object := func(r *ChatRequest) { r.JSONMode = true }
	for _, c := range []struct{ name, text, want string }{
		{"json", "```json\n{\"a\":1}\n```", `{"a":1}`},
		{"without a language", "```\n[1]\n```\n", `[1]`},
		{"another language", "```JSON \n[1]\n```", `[1]`},
		{"space around", " \n```json\n\n{\"a\":\n 1}\n\n``` \n", "{\"a\":\n 1}"},
		{"carriage returns", "```json\r\n{\"a\":1}\r\n```\r\n", `{"a":1}`},
		{"a fence in a string", "```json\n{\"md\":\"```js\\n1\\n```\"}\n```", "{\"md\":\"```js\\n1\\n```\"}"},
		{"what has to be escaped", "```json\n{\"é\\\\\":\"\\t😀\"}\n```", "{\"é\\\\\":\"\\t😀\"}"},
		{"none", `{"a":"` + "```json" + `"}`, `{"a":"` + "```json" + `"}`},
		{"text before it", "Here:\n```json\n{}\n```", "Here:\n```json\n{}\n```"},
		{"text after it", "```json\n{}\n```\nThere.", "```json\n{}\n```\nThere."},
		{"two blocks", "```json\n1\n```\nand\n```\n2\n```", "```json\n1\n```\nand\n```\n2\n```"},
		{"cut off", "```json\n{\"a\":", "```json\n{\"a\":"},
		{"one line", "```{}```", "```{}```"},
		{"nothing in it", "```json\n```", "```json\n```"},
		{"two backticks", "``{}", "``{}"},
		{"space alone", " \n", " \n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			quote := func(s string) string {
				b, _ := json.Marshal(s)
				return string(b)
			}
			whole, err := respond(t, chat(object), finished(`{"text":`+quote(c.text)+`}`, "STOP"))
			if err != nil || *whole.Choices[0].Message.Content != c.want {
				t.Errorf("whole: %s, %v", show(whole), err)
			}
			runes := []rune(c.text)
			for i := range runes {
				head, tail := string(runes[:i]), string(runes[i:])
				x := chat(object, streamed)
				out, err := stream(t, x, fmt.Sprintf(`{"candidates":[{"content":{"parts":[{"text":%s}]}}]}`, quote(head)), finished(`{"text":`+quote(tail)+`}`, "STOP"))
				if err != nil {
					t.Fatal(err)
				}
				if got := collect(t, x, []byte(out)); *got.Choices[0].Message.Content != c.want {
					t.Errorf("cut at %d: %s", i, show(got))
				}
			}
			// The responses dialect checks for itself that both ways agree.
			const format = `"input":"q","text":{"format":{"type":"json_object"}}`
			r, err := bothResponses(t, Options{}, format, finished(`{"text":`+quote(c.text)+`}`, "STOP"))
			if err != nil || !strings.Contains(show(r), quote(quote(c.want))[1:len(quote(quote(c.want)))-1]) && !strings.Contains(show(r), quote(c.want)) {
				t.Errorf("responses: %s, %v", show(r), err)
			}
		})
	}
	t.Run("JSON that has none streams at once", func(t *testing.T) {
		x := chat(object, streamed)
		x.Begin()
		out, err := x.Event(nil, translate.Frame{Data: []byte(`{"candidates":[{"content":{"parts":[{"text":"\n {"}]}}]}`)})
		if err != nil || !strings.Contains(string(out), `"content":"\n {"`) {
			t.Errorf("%s, %v", out, err)
		}
	})
	t.Run("text that is no JSON is left alone", func(t *testing.T) {
		x := chat(streamed)
		out, err := stream(t, x, finished("{\"text\":\"```json\\n{}\\n```\"}", "STOP"))
		if err != nil || *collect(t, x, []byte(out)).Choices[0].Message.Content != "```json\n{}\n```" {
			t.Errorf("%s, %v", out, err)
		}
	})
	t.Run("responses in single bytes", func(t *testing.T) {
		x := responses(t, Options{}, `"input":"q","stream":true,"text":{"format":{"type":"json_object"}}`)
		events := ""
		for _, text := range []string{"``", "`js", "on\\n{", "}\\n", "```"} {
			events += `data: {"candidates":[{"content":{"parts":[{"text":"` + text + `"}]}}]}` + "\r\n\r\n"
		}
		out, err := playResponses(x, iotest.OneByteReader(strings.NewReader(events+"data: "+finished(`{"text":""}`, "STOP")+"\r\n\r\n")))
		if err != nil || !strings.Contains(string(out), `"delta":"{}"`) || strings.Contains(string(out), fence) {
			t.Errorf("%s, %v", out, err)
		}
	})
}
