// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

const (
	keyHeader      = "X-Gemini-Balance-Key"
	attemptsHeader = "X-Gemini-Balance-Attempts"
)

// explained makes the world's user key one that answers explain themselves to, and
// returns an ordinary one.
func (w *world) explained() (ordinary string) {
	w.t.Helper()
	ordinary = w.key
	_, secret, err := w.users.Create(w.t.Context(), users.Spec{Name: "operator", Unlimited: true, Explain: true})
	must(w.t, err)
	w.key = secret
	return ordinary
}

// served returns the id of the key that Google was asked with last.
func (w *world) served() string {
	entries := w.google.Entries()
	return balancer.KeyID(entries[len(entries)-1].Key)
}

// TestExplain: operators' own keys hear which Gemini key served, on every surface,
// in answers and errors; others never do.
func TestExplain(t *testing.T) {
	for _, s := range surfaces {
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t, keys(3), func(c *Config) { c.Heartbeat = time.Minute })
			ordinary := w.explained()
			check := func(what string, got answer, status, attempts int) {
				t.Helper()
				if got.status != status || got.header.Get(keyHeader) != w.served() || got.header.Get(attemptsHeader) != fmt.Sprint(attempts) {
					t.Errorf("%s: %d, key %q, attempts %q; want %d, %s, %d", what, got.status, got.header.Get(keyHeader), got.header.Get(attemptsHeader), status, w.served(), attempts)
				}
			}
			check("an answer", w.ask(s, "[[say hello]]"), 200, 1)
			w.google.Script(fakegemini.Rule{Times: 1, Steer: fakegemini.Steer{Status: 503}})
			check("after another attempt", w.ask(s, "[[say hello]]"), 200, 2)
			check("an error of Google", w.ask(s, "[[status 400]]"), 400, 1)
			unasked := w.do(t.Context(), "POST", "/v1/chat/completions", `{"model":"x"}`)
			if unasked.status != 400 || unasked.header.Get(attemptsHeader) != "" {
				t.Errorf("without an attempt: %d %v", unasked.status, unasked.header)
			}
			w.key = ordinary
			if got := w.ask(s, "[[say hello]]"); got.status != 200 || got.header.Get(keyHeader) != "" || got.header.Get(attemptsHeader) != "" {
				t.Errorf("an ordinary key hears %v", got.header)
			}
		})
	}
}

// TestExplain_Heartbeat: once a heartbeat has sent the header, the key that served
// comes in a trailer; the header must not name one that another replaced.
func TestExplain_Heartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, keys(3), func(c *Config) { c.Heartbeat = 30 * time.Millisecond })
		client := w.front(t)
		ordinary := w.explained()
		ask := func() (header, trailer http.Header, body string) {
			t.Helper()
			w.google.Script(fakegemini.Rule{Times: 1, Steer: fakegemini.Steer{Delay: 200 * time.Millisecond, Status: 503}})
			req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://gw/v1/chat/completions",
				strings.NewReader(`{"model":"`+model+`","messages":[{"role":"user","content":"[[say done]]"}],"stream":true}`))
			must(t, err)
			req.Header.Set("Authorization", "Bearer "+w.key)
			res, err := client.Do(req)
			must(t, err)
			defer res.Body.Close()
			data, err := io.ReadAll(res.Body)
			must(t, err)
			return res.Header, res.Trailer, string(data)
		}
		header, trailer, body := ask()
		if !strings.HasPrefix(body, ": ") || !strings.Contains(body, "done") {
			t.Fatalf("no heartbeat before the answer: %s", body)
		}
		if header.Get(keyHeader) != "" || trailer.Get(keyHeader) != w.served() || trailer.Get(attemptsHeader) != "2" {
			t.Errorf("header %q, trailer %v; want %s", header.Get(keyHeader), trailer, w.served())
		}
		w.key = ordinary
		if header, trailer, _ = ask(); header.Get(keyHeader) != "" || len(trailer) > 0 {
			t.Errorf("an ordinary key hears %v", trailer)
		}
	})
}

// TestExplain_OtherAnswers: uploads, batches and lists tell it, too.
func TestExplain_OtherAnswers(t *testing.T) {
	w := newWorld(t, keys(2))
	w.explained()
	kind, file := form(t, "file", "a.txt", []byte("text"), "purpose", "user_data")
	for name, got := range map[string]answer{
		"batch":  w.post("/v1/completions", `{"model":"`+model+`","prompt":["a","b"]}`),
		"models": w.get("/v1/models"),
		"upload": w.post("/v1/files", file, "Content-Type", kind),
	} {
		if !strings.HasPrefix(got.header.Get(keyHeader), "gk_") || got.header.Get(attemptsHeader) == "" {
			t.Errorf("%s: %d %v %s", name, got.status, got.header, got.body)
		}
	}
}
