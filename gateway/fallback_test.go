// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// TestFallback: a chain of models is gone through for what another model may
// not have, and only before the client has seen output.
func TestFallback(t *testing.T) {
	const first, second = "gemini-3.5-flash", "gemini-2.5-flash"
	for name, tc := range map[string]struct {
		rule   *fakegemini.Rule
		served string
		status int
	}{
		"all is well":       {nil, first, 200},
		"gone for new ones": {&fakegemini.Rule{Model: first, Steer: fakegemini.Steer{Status: 404, Body: `{"error":{"code":404,"status":"NOT_FOUND","message":"models/` + first + ` is not found for API version v1beta, or is not supported for generateContent."}}`}}, second, 200},
		"overloaded":        {&fakegemini.Rule{Model: first, Steer: fakegemini.Steer{Status: 503}}, second, 200},
		"minute used up":    {&fakegemini.Rule{Model: first, Steer: fakegemini.Steer{Status: 429, RetryInfo: 30 * time.Second}}, second, 200},
		"both overloaded":   {&fakegemini.Rule{Steer: fakegemini.Steer{Status: 503}}, second, 503},
		"bad request":       {&fakegemini.Rule{Model: first, Steer: fakegemini.Steer{Status: 400}}, first, 400},
		"server error":      {&fakegemini.Rule{Model: first, Steer: fakegemini.Steer{Status: 500}}, first, 502},
	} {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " stream ", stream), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, keys(2), func(c *Config) {
					c.Aliases = []settings.Alias{{Name: "smart", Targets: []string{first, second}}}
				})
				patchWait(t, w, 0)
				if tc.rule != nil {
					w.google.Script(*tc.rule)
				}
				got := w.do(t.Context(), http.MethodPost, "/v1/chat/completions",
					fmt.Sprintf(`{"model":"smart","messages":[{"role":"user","content":"hi"}],"stream":%v}`, stream))
				if got.status != tc.status || got.header.Get("X-Gemini-Balance-Model") != tc.served {
					t.Fatalf("%d by %q, want %d by %q: %s", got.status, got.header.Get("X-Gemini-Balance-Model"), tc.status, tc.served, got.body)
				}
				if tc.status == 200 && !strings.Contains(got.body, `"model":"smart"`) {
					t.Errorf("the client's word is not echoed: %s", got.body)
				}
			})
		}
	}
}

// TestFallback_NotAfterOutput: what broke off is told, not repeated by another
// model.
func TestFallback_NotAfterOutput(t *testing.T) {
	w := newWorld(t, keys(2), func(c *Config) {
		c.Aliases = []settings.Alias{{Name: "smart", Targets: []string{"gemini-3.5-flash", "gemini-2.5-flash"}}}
	})
	got := w.do(t.Context(), http.MethodPost, "/v1/chat/completions",
		`{"model":"smart","messages":[{"role":"user","content":"[[events 9]][[pace 9ms]][[error_event 4]]"}],"stream":true}`)
	if n := w.google.Count(); n != 1 || !strings.Contains(got.body, `"error"`) {
		t.Errorf("%d attempts: %s", n, got.body)
	}
}

func TestFallback_Native(t *testing.T) {
	w := newWorld(t, keys(2), func(c *Config) {
		c.Aliases = []settings.Alias{{Name: "smart", Targets: []string{"gemini-3.5-flash", "gemini-2.5-flash"}}}
	})
	w.google.Script(fakegemini.Rule{Model: "gemini-3.5-flash", Steer: fakegemini.Steer{Status: 503}})
	got := w.do(t.Context(), http.MethodPost, "/v1beta/models/smart:generateContent", `{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}`)
	if got.status != 200 || !strings.Contains(got.body, `gemini-2.5-flash`) {
		t.Errorf("%d %s", got.status, got.body)
	}
}
