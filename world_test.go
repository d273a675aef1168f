// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

const testModel = "gemini-2.5-flash"

// world is an App with a handler, in front of a simulated Google.
type world struct {
	t      *testing.T
	google *fakegemini.Server
	app    *App
	server *httptest.Server
	secret string // of a user key without limits
	wrap   func(context.Context) context.Context

	mu   sync.Mutex
	seen []caddy.Event
}

// newWorld starts one; options are members of the App's JSON.
func newWorld(t *testing.T, google fakegemini.Config, options string) *world {
	t.Helper()
	w := &world{t: t, google: fakegemini.New(google), wrap: func(ctx context.Context) context.Context { return ctx }}
	must(t, w.google.Start())
	var keys []string
	for i, k := range google.Keys {
		t.Setenv(fmt.Sprint("GB_WORLD_", i), k.Secret)
		keys = append(keys, fmt.Sprintf(`{"key": "{env.GB_WORLD_%d}", "name": "key %d"}`, i, i))
	}
	w.app = mustProvision(t, `{"store": {"backend": "memory"}, "probe": false, "upstream": `+quoted(w.google.URL)+`, "keys": [`+strings.Join(keys, ",")+`]`+options+`}`)
	must(t, w.app.events.On("", w))
	h := new(Handler)
	must(t, h.Provision(w.app.ctx))
	must(t, w.app.Start())
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r = caddyhttp.PrepareRequest(r.WithContext(w.wrap(r.Context())), caddy.NewReplacer(), rw, nil)
		caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, "127.0.0.1")
		if err := h.ServeHTTP(rw, r, caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })); err != nil {
			t.Error(err)
		}
	}))
	w.secret = w.user(users.Spec{Name: "unlimited", Unlimited: true})
	t.Cleanup(func() {
		w.server.Close()
		must(t, w.app.Cleanup())
		w.google.Close()
	})
	return w
}

func (w *world) user(spec users.Spec) (secret string) {
	w.t.Helper()
	_, secret, err := w.app.shared.users.Create(w.t.Context(), spec)
	must(w.t, err)
	return secret
}

// chat asks with a user key.
func (w *world) chat(secret, say string, more string) (status int, body string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.server.URL+"/v1/chat/completions",
		strings.NewReader(fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]%s}`, testModel, say, more)))
	must(w.t, err)
	req.Header.Set("Authorization", "Bearer "+secret)
	req.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	res, err := w.server.Client().Do(req)
	must(w.t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	must(w.t, err)
	return res.StatusCode, string(data)
}

// Handle implements caddyevents.Handler.
func (w *world) Handle(_ context.Context, e caddy.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, e)
	return nil
}

// event waits for the next event of a name and forgets those before it.
func (w *world) event(name string) map[string]any {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		w.mu.Lock()
		for i, e := range w.seen {
			if e.Name() == name {
				w.seen = w.seen[i+1:]
				w.mu.Unlock()
				return e.Data
			}
		}
		w.mu.Unlock()
	}
	w.t.Fatalf("no event %s", name)
	return nil
}

func googleKeys(n int, edit ...func(*fakegemini.Config)) fakegemini.Config {
	var c fakegemini.Config
	for i := range n {
		c.Keys = append(c.Keys, fakegemini.Key{Secret: fakegemini.DemoKey(i + 1), Project: fmt.Sprint("p", i)})
	}
	for _, f := range edit {
		f(&c)
	}
	return c
}

// post sends a body, or a plain prompt in Google's form, with the key without limits.
func (w *world) post(path, body string) (status int) {
	w.t.Helper()
	status, _ = w.send(path, body)
	return status
}

// send is post for those who read the answer.
func (w *world) send(path, body string) (status int, answer string) {
	w.t.Helper()
	if body == "" {
		body = `{"contents":[{"parts":[{"text":"hi"}]}]}`
	}
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.server.URL+path, strings.NewReader(body))
	must(w.t, err)
	req.Header.Set("Authorization", "Bearer "+w.secret)
	res, err := w.server.Client().Do(req)
	must(w.t, err)
	text, _ := io.ReadAll(res.Body)
	must(w.t, res.Body.Close())
	return res.StatusCode, string(text)
}
