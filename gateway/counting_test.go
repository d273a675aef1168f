// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// claudeCount is what Claude Code's /context sends for one tool of its own.
func claudeCount(tool int) string {
	return fmt.Sprintf(`{"model":"claude-sonnet-5-5","messages":[{"role":"user","content":"foo"}],"tools":[{"name":"tool_%d","description":"%s","input_schema":{"type":"object","properties":{"a":{"type":"string"}}}}]}`,
		tool, strings.Repeat("x", 40+tool))
}

// counted asks for the counts all at once.
func (w *world) counted(bodies ...string) []answer {
	w.t.Helper()
	answers := make([]answer, len(bodies))
	var wg sync.WaitGroup
	for i, body := range bodies {
		wg.Go(func() {
			answers[i] = w.do(w.t.Context(), http.MethodPost, "/v1/messages/count_tokens?beta=true", body)
		})
	}
	wg.Wait()
	return answers
}

var ofCounting = fakegemini.ByMethod("countTokens")

// TestCounting_Burst: 26 counts at once, of which some are for the same, are asked for
// once each, four at a time, and cost no limit. Source: specs/native-anthropic.md F 30.
func TestCounting_Burst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, keys(6))
		_, secret, err := w.users.Create(t.Context(), users.Spec{Name: "few", Limits: users.Limits{RPM: 1, Concurrency: 1}})
		must(t, err)
		w.key = secret
		w.google.Script(fakegemini.Rule{Method: "countTokens", Steer: fakegemini.Steer{Delay: time.Second}})
		const different = 10
		var bodies []string
		for i := range 26 {
			bodies = append(bodies, claudeCount(i%different))
		}
		started := time.Now()
		for i, got := range w.counted(bodies...) {
			if got.status != http.StatusOK || got.body == "" || at(t, got.body, "input_tokens") == "" {
				t.Errorf("%d: %d %s", i, got.status, got.body)
			}
			if got.header.Get("Content-Type") != "application/json" || got.header.Get("Request-Id") == "" {
				t.Errorf("%d: headers %v", i, got.header)
			}
		}
		if took := time.Since(started); took != 3*time.Second { // 4 + 4 + 2
			t.Errorf("took %s, want three rounds of a second", took)
		}
		entries := w.google.Entries(ofCounting)
		if len(entries) != different {
			t.Errorf("Google was asked %d times for %d counts", len(entries), different)
		}
		for i, e := range entries {
			running := 0
			for _, other := range entries[:i+1] {
				if other.End.After(e.At) {
					running++
				}
			}
			if running > countWidth {
				t.Errorf("%d counts at once", running)
			}
		}
		w.counted(bodies...)
		if n := w.google.Count(ofCounting); n != different {
			t.Errorf("what is known was asked again: %d", n)
		}
		time.Sleep(countFresh)
		w.counted(bodies[0])
		if n := w.google.Count(ofCounting); n != different+1 {
			t.Errorf("an old count was not asked again: %d", n)
		}
	})
}

// TestCounting_Estimates: where Google cannot be asked, counts are estimates, which
// nobody takes for more later; the request's own faults are told.
func TestCounting_Estimates(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T, *world){
		"overloaded": func(_ *testing.T, w *world) {
			w.google.Script(fakegemini.Rule{Method: "countTokens", Steer: fakegemini.Steer{Status: 503}})
		},
		"broken": func(_ *testing.T, w *world) {
			w.google.Script(fakegemini.Rule{Method: "countTokens", Steer: fakegemini.Steer{Break: fakegemini.Reset}})
		},
		"nonsense": func(_ *testing.T, w *world) {
			w.google.Script(fakegemini.Rule{Method: "countTokens", Steer: fakegemini.Steer{Status: 200, Body: `{"totalTokens":"?"}`}})
		},
		"rate limit": func(_ *testing.T, w *world) {
			w.google.Script(fakegemini.Rule{Method: "countTokens", Steer: fakegemini.Steer{RetryInfo: 30 * time.Second, Status: 429}})
		},
		"no good key": func(_ *testing.T, w *world) {
			for i := range 2 {
				w.google.SetKeyState(fakegemini.DemoKey(i+1), fakegemini.KeyInvalid)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, keys(2))
			prepare(t, w)
			started := time.Now()
			for _, got := range w.counted(claudeCount(1), claudeCount(1), claudeCount(2)) {
				if n := at(t, got.body, "input_tokens"); got.status != http.StatusOK || n == "" || n == "0" {
					t.Errorf("%d %s", got.status, got.body)
				}
			}
			if took := time.Since(started); took > 8*time.Second {
				t.Errorf("estimates came after %s", took)
			}
			if n := len(w.gw.counts.known); n != 0 {
				t.Errorf("%d estimates were kept as counts", n)
			}
		})
	}
	w := newWorld(t, keys(2))
	w.google.Script(fakegemini.Rule{Method: "countTokens", Steer: fakegemini.Steer{Status: 400}})
	for _, got := range w.counted(claudeCount(1), claudeCount(1)) {
		claudeError(t, got, 400, "invalid_request_error", "")
	}
}

// TestCounting_Hangs: a count that takes too long is estimated.
func TestCounting_Hangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, keys(2))
		w.google.Script(fakegemini.Rule{Method: "countTokens", Steer: fakegemini.Steer{Break: fakegemini.Hang}})
		var bodies []string
		for i := range 2 * countWidth { // half of them get no place
			bodies = append(bodies, claudeCount(i), claudeCount(i))
		}
		started := time.Now()
		for _, got := range w.counted(bodies...) {
			if got.status != http.StatusOK || at(t, got.body, "input_tokens") == "" {
				t.Errorf("%d %s", got.status, got.body)
			}
		}
		if took := time.Since(started); took != countPatience {
			t.Errorf("took %s", took)
		}
		if n := len(w.gw.counts.queues) + len(w.gw.counts.asked); n != 0 {
			t.Errorf("%d counts are left over", n)
		}
	})
}

// TestCounting_ClientLeaves: others who wait for the same go on without the client
// whose request asked.
func TestCounting_ClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, keys(1))
		w.google.Script(fakegemini.Rule{Method: "countTokens", Steer: fakegemini.Steer{Delay: 2 * time.Second}})
		ctx, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { w.do(ctx, http.MethodPost, "/v1/messages/count_tokens", claudeCount(1)) })
		synctest.Wait()
		var others []answer
		wg.Go(func() { others = w.counted(claudeCount(1), claudeCount(1)) })
		time.Sleep(time.Second)
		leave()
		wg.Wait()
		for _, got := range others {
			if got.status != http.StatusOK || at(t, got.body, "input_tokens") == "" {
				t.Errorf("%d %s", got.status, got.body)
			}
		}
		if n := w.google.Count(ofCounting); n != 2 {
			t.Errorf("Google was asked %d times, want 2", n)
		}
	})
}

// TestCounts_Panic: a bug in one count leaves no place taken and nobody waiting.
func TestCounts_Panic(t *testing.T) {
	var c counts
	for range 2 * countWidth {
		func() {
			defer func() { _ = recover() }()
			c.ask(t.Context(), countKey{1}, "u", func() ([]byte, *translate.Failure) { panic("a bug") })
		}()
	}
	got, f := c.ask(t.Context(), countKey{1}, "u", func() ([]byte, *translate.Failure) { return []byte("7"), nil })
	if f != nil || string(got) != "7" {
		t.Errorf("%s %v", got, f)
	}
}

// TestCounts_Full: who finds too many waiting does not wait.
func TestCounts_Full(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c counts
		slow := func() ([]byte, *translate.Failure) { time.Sleep(time.Second); return []byte("7"), nil }
		var wg sync.WaitGroup
		for i := range countWidth + countWaiting {
			wg.Go(func() { c.ask(t.Context(), countKey{1, byte(i), byte(i >> 8)}, "u", slow) })
		}
		synctest.Wait()
		if _, f := c.ask(t.Context(), countKey{2}, "u", slow); f == nil || f.Kind != translate.Overloaded {
			t.Errorf("one more: %v", f)
		}
		if _, f := c.ask(t.Context(), countKey{3}, "other", slow); f != nil {
			t.Errorf("another user: %v", f)
		}
		wg.Wait()
	})
}
