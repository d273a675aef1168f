// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strings"
	"testing"
)

// specs/openai.md §7.3: signatures of text and images for clients that drop them.
func TestTextSignatures(t *testing.T) {
	const pic = "gemini-3.1-flash-image"
	ask := func(model, messages string) string { return `{"model":"` + model + `","messages":[` + messages + `]}` }
	user := func(s string) string { return `{"role":"user","content":"` + s + `"}` }
	said := func(s string) string {
		return `,{"role":"assistant","content":` + s + `},{"role":"user","content":"go on"}`
	}
	image := `{"inlineData":{"mimeType":"image/png","data":"QUJD"},"thoughtSignature":"PIC"}`
	for _, c := range []struct {
		name, model, first string
		stream             bool
		parts              string // of the first answer
		later, next        string // the model of the next request, and its conversation
		want               string // its model turn
	}{
		{"text", m3, user("q"), false, `{"text":"An é\nanswer","thoughtSignature":"S"}`, m3, user("q") + said(`"An é\nanswer"`), `[{"text":"An é\nanswer","thoughtSignature":"S"}]`},
		{"text, streamed", m3, user("q"), true, `{"text":"An answer","thoughtSignature":"S"}`, m3, user("q") + said(`"An answer"`), `[{"text":"An answer","thoughtSignature":"S"}]`},
		{"signed by an empty part", m3, user("q"), true, `{"text":"An answer"},{"text":"","thoughtSignature":"S"}`, m3, user("q") + said(`"An answer"`), `[{"text":"An answer","thoughtSignature":"S"}]`},
		{"trimmed, in parts", m3, user("q"), false, `{"text":"An answer\n","thoughtSignature":"S"}`, m3, user("q") + said(`[{"type":"text","text":"An "},{"type":"text","text":"answer"}]`), `[{"text":"An "},{"text":"answer","thoughtSignature":"S"}]`},
		{"the client's own comes first", m3, user("q"), false, `{"text":"An answer","thoughtSignature":"S"}`, m3, user("q") + `,{"role":"assistant","content":"An answer","extra_content":{"google":{"thought_signature":"OWN"}}},` + user("x"), `[{"text":"An answer","thoughtSignature":"OWN"}]`},
		{"another text", m3, user("q"), false, `{"text":"An answer","thoughtSignature":"S"}`, m3, user("q") + said(`"Another"`), `[{"text":"Another"}]`},
		{"the same words to another question", m3, user("q"), false, `{"text":"Yes.","thoughtSignature":"S"}`, m3, user("r") + said(`"Yes."`), `[{"text":"Yes."}]`},
		{"another family", m3, user("q"), false, `{"text":"An answer","thoughtSignature":"S"}`, "gemini-3.1-pro-preview", user("q") + said(`"An answer"`), `[{"text":"An answer"}]`},
		{"a family without signatures", m25, user("q"), false, `{"text":"An answer","thoughtSignature":"S"}`, m25, user("q") + said(`"An answer"`), `[{"text":"An answer"}]`},
		{"image", pic, user("draw"), false, image, pic, user("draw") + `,{"role":"assistant","content":null,"images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"}}]},` + user("bluer"),
			`[{"inlineData":{"mimeType":"image/png","data":"QUJD"},"thoughtSignature":"PIC"}]`},
		{"image as content, streamed", pic, user("draw"), true, image, pic, user("draw") + `,{"role":"assistant","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"}}]},` + user("bluer"),
			`[{"inlineData":{"mimeType":"image/png","data":"QUJD"},"thoughtSignature":"PIC"}]`},
		{"another image", pic, user("draw"), false, image, pic, user("draw") + `,{"role":"assistant","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJE"}}]},` + user("bluer"),
			`[{"inlineData":{"mimeType":"image/png","data":"QUJE"}}]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := requestEnv()
			env.Memo = fixedMemo{}
			first := ask(c.model, c.first)
			if c.stream {
				first = strings.Replace(first, `"messages"`, `"stream":true,"messages"`, 1)
			}
			x, f := NewChat(env, Options{}, []byte(first))
			if f != nil {
				t.Fatal(f)
			}
			var err error
			if c.stream {
				_, err = stream(t, x, finished(c.parts, "STOP"))
			} else {
				x.Begin()
				_, err = x.Response(nil, []byte(finished(c.parts, "STOP")))
			}
			if err != nil {
				t.Fatal(err)
			}
			r := decodeWith(t, env, Options{}, ask(c.later, c.next))
			sameJSON(t, upstream(t, r)["contents"].([]any)[1].(map[string]any)["parts"], c.want)
		})
	}
	t.Run("after thoughts in tags", func(t *testing.T) {
		env := requestEnv()
		env.Memo = fixedMemo{}
		o := Options{Reasoning: ReasoningTags}
		x, f := NewChat(env, o, []byte(ask(m3, user("q"))))
		if f != nil {
			t.Fatal(f)
		}
		x.Begin()
		if _, err := x.Response(nil, []byte(finished(`{"text":"hm","thought":true},{"text":"An answer","thoughtSignature":"S"}`, "STOP"))); err != nil {
			t.Fatal(err)
		}
		r := decodeWith(t, env, o, ask(m3, user("q")+said(`"<thought>hm</thought>An answer"`)))
		sameJSON(t, upstream(t, r)["contents"].([]any)[1].(map[string]any)["parts"], `[{"text":"An answer","thoughtSignature":"S"}]`)
	})
	t.Run("without a memo", func(t *testing.T) {
		r := decodeWith(t, requestEnv(), Options{}, ask(m3, user("q")+said(`"An answer"`)))
		sameJSON(t, upstream(t, r)["contents"].([]any)[1].(map[string]any)["parts"], `[{"text":"An answer"}]`)
	})
}
