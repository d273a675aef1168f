// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// TestHeartbeat_NamesFallback: the header that a heartbeat sends names the model that
// is asked by then, although another goroutine turned to it. The race detector watches.
func TestHeartbeat_NamesFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const first, second = "gemini-3.5-flash", "gemini-2.5-flash"
		w := newBubble(t, keys(1), func(c *Config) {
			c.Aliases = []settings.Alias{{Name: "smart", Targets: []string{first, second}}}
			c.Heartbeat = time.Second
		})
		w.google.Script(
			fakegemini.Rule{Model: first, Steer: fakegemini.Steer{Status: http.StatusNotFound, Body: `{"error":{"code":404,"status":"NOT_FOUND","message":"models/` + first + ` is not found for API version v1beta, or is not supported for generateContent."}}`}},
			fakegemini.Rule{Model: second, Steer: fakegemini.ParseSteer("[[delay 3s]]")},
		)
		got := w.do(t.Context(), http.MethodPost, "/v1/chat/completions",
			`{"model":"smart","messages":[{"role":"user","content":"hi"}],"stream":true}`)
		if model := got.header.Get("X-Gemini-Balance-Model"); got.status != http.StatusOK || model != second {
			t.Errorf("%d by %q: %s", got.status, model, got.body)
		}
	})
}
