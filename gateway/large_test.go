// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
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
