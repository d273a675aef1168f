// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

// TestLargeBodies_AreSentAgain: a request whose image is sent from the client's
// body goes to another key whole, and to an answer.
func TestLargeBodies_AreSentAgain(t *testing.T) {
	image := strings.Repeat("AAAA", 1<<18)
	for name, tc := range map[string]struct{ path, body string }{
		"chat":      {"/v1/chat/completions", `{"model":"gemini-2.5-flash","messages":[{"role":"user","content":[{"type":"text","text":"Hello"},{"type":"image_url","image_url":{"url":"data:image/png;base64,` + image + `"}}]}]}`},
		"stream":    {"/v1/chat/completions", `{"model":"gemini-2.5-flash","stream":true,"messages":[{"role":"user","content":[{"type":"text","text":"Hello"},{"type":"image_url","image_url":{"url":"data:image/png;base64,` + image + `"}}]}]}`},
		"responses": {"/v1/responses", `{"model":"gemini-2.5-flash","input":[{"role":"user","content":[{"type":"input_text","text":"Hello"},{"type":"input_image","detail":"auto","image_url":"data:image/png;base64,` + image + `"}]}]}`},
		"native":    {"/v1beta/models/gemini-2.5-flash:generateContent", `{"contents":[{"role":"user","parts":[{"text":"Hello"},{"inlineData":{"mimeType":"image/png","data":"` + image + `"}}]}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, keys(3))
			w.google.Script(fakegemini.Rule{Times: 2, Steer: fakegemini.Steer{Status: 503}})
			if got := w.do(t.Context(), http.MethodPost, tc.path, tc.body); got.status != http.StatusOK {
				t.Errorf("%d %s", got.status, got.body)
			}
			entries := w.google.Entries(fakegemini.Attempts)
			if len(entries) != 3 {
				t.Errorf("%d attempts", len(entries))
			}
			for _, e := range entries {
				if !bytes.Contains(e.Body, []byte(`"data":"`+image+`"`)) {
					t.Errorf("attempt %d lacks the image", e.N)
				}
			}
		})
	}
}

// TestLongRequests: 10,000 messages and 512 tools are answered.
func TestLongRequests(t *testing.T) {
	list := func(n int, element string) string { return strings.Repeat(element+",", n-1) + element }
	tools := func(format string) string {
		all := make([]string, 512)
		for i := range all {
			all[i] = fmt.Sprintf(format, i)
		}
		return strings.Join(all, ",")
	}
	const schema = `"parameters":{"type":"object","properties":{"q":{"type":"string"}},"required":["q"]}`
	for name, tc := range map[string]struct{ path, body string }{
		"chat, messages":   {"/v1/chat/completions", `{"model":"gemini-2.5-flash","messages":[` + list(5000, `{"role":"user","content":"Hello"},{"role":"assistant","content":"Hi"}`) + `]}`},
		"chat, tools":      {"/v1/chat/completions", `{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Hello"}],"tools":[` + tools(`{"type":"function","function":{"name":"tool_%d",`+schema+`}}`) + `]}`},
		"responses, items": {"/v1/responses", `{"model":"gemini-2.5-flash","input":[` + list(5000, `{"role":"user","content":"Hello"},{"role":"assistant","content":"Hi"}`) + `]}`},
		"responses, tools": {"/v1/responses", `{"model":"gemini-2.5-flash","input":"Hello","tools":[` + tools(`{"type":"function","name":"tool_%d",`+schema+`}`) + `]}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, keys(1))
			if got := w.do(t.Context(), http.MethodPost, tc.path, tc.body); got.status != http.StatusOK {
				t.Errorf("%d %.300s", got.status, got.body)
			}
		})
	}
}
