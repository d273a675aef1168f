// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// A request that is larger than what any project may use in a minute is refused in the
// client's dialect, as one that no waiting helps, after few attempts; nothing rests
// for it, and others are served at once.
func TestOversized(t *testing.T) {
	c := keys(40)
	c.Limits = fakegemini.Limits{TPM: 1000}
	large := strings.Repeat("word ", 4000)
	for _, s := range surfaces {
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t, c)
			ask := func(prompt string) answer { return w.ask(s, prompt) }
			oversized(t, w, ask, large, map[bool]string{true: `"code":"context_length_exceeded"`, false: `"status":"INVALID_ARGUMENT"`}[s.openai])
		})
	}
	t.Run("anthropic", func(t *testing.T) {
		w := newWorld(t, c)
		ask := func(prompt string) answer {
			return w.message(fmt.Sprintf(`{"model":%q,"max_tokens":100,"messages":[{"role":"user","content":%q}]}`, model, prompt))
		}
		oversized(t, w, ask, large, "prompt is too long: ")
	})
}

// TestOversized_Fallback: another model of the alias may have more room.
func TestOversized_Fallback(t *testing.T) {
	const first, second = "gemini-3.5-flash", "gemini-2.5-flash"
	c := keys(5)
	for i := range c.Keys {
		c.Projects = append(c.Projects, fakegemini.Project{Name: c.Keys[i].Project, Limits: map[string]fakegemini.Limits{first: {TPM: 1000}}})
	}
	w := newWorld(t, c, func(c *Config) {
		c.Aliases = []settings.Alias{{Name: "smart", Targets: []string{first, second}}}
	})
	got := w.do(t.Context(), http.MethodPost, "/v1/chat/completions",
		fmt.Sprintf(`{"model":"smart","messages":[{"role":"user","content":%q}]}`, strings.Repeat("word ", 4000)))
	if got.status != http.StatusOK || got.header.Get("X-Gemini-Balance-Model") != second || len(w.pool.Rests(0)) > 0 {
		t.Errorf("%d by %q: %s; rests %+v", got.status, got.header.Get("X-Gemini-Balance-Model"), got.body, w.pool.Rests(0))
	}
}

func oversized(t *testing.T, w *world, ask func(prompt string) answer, large, says string) {
	t.Helper()
	for round := range 20 {
		before := w.google.Count()
		a := ask(large)
		attempts := w.google.Count() - before
		if a.status != http.StatusBadRequest || a.header.Get("Retry-After") != "" || a.header.Get("Retry-After-Ms") != "" ||
			!strings.Contains(a.body, says) || !strings.Contains(a.body, "1000") {
			t.Fatalf("round %d: %d %v %s", round, a.status, a.header, a.body)
		}
		if attempts > 3 || round == 19 && attempts > 1 {
			t.Errorf("round %d: %d attempts", round, attempts)
		}
		if rests := w.pool.Rests(0); len(rests) > 0 {
			t.Fatalf("round %d: rests %+v", round, rests)
		}
	}
	before := w.google.Count()
	for range 5 {
		ask("hi")
	}
	if v := w.google.Violations(); len(v) > 0 {
		t.Errorf("Google complains: %+v", v)
	}
	before += 5
	if a := ask("hi"); a.status != http.StatusOK || w.google.Count() != before+1 {
		t.Errorf("a small request after it: %d %s", a.status, a.body)
	}
}
