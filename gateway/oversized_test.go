// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
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
	if a := ask("hi"); a.status != http.StatusOK || w.google.Count() != before+1 {
		t.Errorf("a small request after it: %d %s", a.status, a.body)
	}
}
