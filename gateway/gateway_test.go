// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

func TestServe_EverySurface(t *testing.T) {
	w := newWorld(t, keys(2))
	for _, s := range surfaces {
		got := w.ask(s, "[[say Grüße & <b>]][[events 1]]")
		if got.status != http.StatusOK || !strings.Contains(got.body, "Grüße & <b>") {
			t.Errorf("%s: %d %s", s.name, got.status, got.body)
		}
		if !strings.HasPrefix(got.header.Get("X-Request-Id"), "req_") {
			t.Errorf("%s: no request id", s.name)
		}
	}
	if v := w.google.Violations(); len(v) > 0 {
		t.Errorf("violations: %+v", v)
	}
	for _, e := range w.google.Entries() {
		if e.Header.Get("Authorization") != "" || strings.Contains(e.Query, "key") || e.Header.Get("X-Api-Key") != "" {
			t.Errorf("a credential went upstream: %v %s", e.Header, e.Query)
		}
	}
}

// TestNative_BytesPassUntouched compares what Google got and sent with what the
// client sent and got.
func TestNative_BytesPassUntouched(t *testing.T) {
	w := newWorld(t, keys(1))
	body := "{ \"contents\" : [ {\"parts\":[{\"text\":\"[[say x]]\"}],\"role\":\"user\"} ],\n\t\"safetySettings\":[] }"
	got := w.do(t.Context(), http.MethodPost, "/v1beta/models/"+model+":generateContent?prettyPrint=false&fields=x&key=", body)
	entry := w.google.Entries()[0]
	if got.status != http.StatusOK || string(entry.Body) != body {
		t.Errorf("Google got %s", entry.Body)
	}
	if entry.Query != "prettyPrint=false" {
		t.Errorf("query %q went upstream", entry.Query)
	}
	if int64(len(got.body)) != entry.Bytes {
		t.Errorf("Google sent %d bytes, the client got %d", entry.Bytes, len(got.body))
	}
}

// TestCredential runs every place a key may be in through every surface: the
// decision must not depend on the endpoint.
func TestCredential(t *testing.T) {
	w := newWorld(t, keys(1))
	none := []string{"Authorization", ""}
	for name, tc := range map[string]struct {
		query  string
		header []string
		ok     bool
		status [2]int // openai, native
	}{
		"encoded query":       {"%6bey=" + w.key, none, true, [2]int{}},
		"bearer":              {"", nil, true, [2]int{}},
		"bearer, lower case":  {"", []string{"Authorization", "bearer " + w.key}, true, [2]int{}},
		"x-api-key":           {"", append(none, "X-Api-Key", w.key), true, [2]int{}},
		"x-goog-api-key":      {"", append(none, "X-Goog-Api-Key", w.key), true, [2]int{}},
		"query":               {"key=" + w.key, none, true, [2]int{}},
		"the same twice":      {"key=" + w.key, []string{"X-Api-Key", w.key}, true, [2]int{}},
		"empty ones":          {"key=", []string{"X-Goog-Api-Key", " "}, true, [2]int{}},
		"two different":       {"", []string{"X-Api-Key", "gb-other"}, false, [2]int{400, 400}},
		"none":                {"", none, false, [2]int{401, 403}},
		"unknown":             {"", []string{"Authorization", "Bearer sk-123"}, false, [2]int{401, 400}},
		"one digit wrong":     {"", []string{"Authorization", "Bearer " + w.key[:len(w.key)-1] + "~"}, false, [2]int{401, 400}},
		"far too long":        {"", []string{"Authorization", "Bearer " + strings.Repeat("x", 4000)}, false, [2]int{401, 400}},
		"basic is no API key": {"", []string{"Authorization", "Basic eDp5"}, false, [2]int{401, 403}},
	} {
		for column, path := range []string{"/openai/v1/chat/completions", "/v1beta/models/" + model + ":generateContent"} {
			t.Run(name+" "+path, func(t *testing.T) {
				body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hi"}]}`, model)
				if column == 1 {
					body = `{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}`
				}
				got := w.do(t.Context(), http.MethodPost, path+"?"+tc.query, body, tc.header...)
				want := tc.status[column]
				if tc.ok {
					want = http.StatusOK
				}
				if got.status != want {
					t.Errorf("status %d, want %d: %s", got.status, want, got.body)
				}
				if strings.Contains(got.body, w.key) || strings.Contains(got.body, "sk-123") {
					t.Errorf("the answer repeats the credential: %s", got.body)
				}
			})
		}
	}
}

// endless counts what is read of it.
type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.n += len(p)
	return len(p), nil
}

func TestBody(t *testing.T) {
	w := newWorld(t, keys(1), func(c *Config) { c.MaxRequestSize = 2000 })
	path := "/v1/chat/completions"
	pad := func(n int) string {
		body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hi"}]}`, model)
		return body + strings.Repeat(" ", n-len(body))
	}
	if got := w.do(t.Context(), "POST", path, pad(2000)); got.status != 200 {
		t.Errorf("at the limit: %d %s", got.status, got.body)
	}
	if got := w.do(t.Context(), "POST", path, pad(2001)); got.status != 413 || !strings.Contains(got.body, "2000 bytes") {
		t.Errorf("above the limit: %d %s", got.status, got.body)
	}
	if got := w.do(t.Context(), "POST", path, pad(500), "Content-Encoding", "br"); got.status != 415 {
		t.Errorf("compressed: %d %s", got.status, got.body)
	}
	if got := w.do(t.Context(), "POST", path, `{"model":`); got.status != 400 || !strings.Contains(got.body, "JSON") {
		t.Errorf("half a body: %d %s", got.status, got.body)
	}
	if got := w.do(t.Context(), "POST", path, ""); got.status != 400 {
		t.Errorf("no body: %d %s", got.status, got.body)
	}
	// Unknown length: read until it is known to be too much, and no further.
	for _, path := range []string{path, "/v1/messages", "/v1beta/models/" + model + ":generateContent"} {
		body := new(endless)
		r := httptest.NewRequest(http.MethodPost, path, body)
		r.Header.Set("Authorization", "Bearer "+w.key)
		got := httptest.NewRecorder()
		w.server.Config.Handler.ServeHTTP(got, r)
		if got.Code != http.StatusRequestEntityTooLarge || body.n > 2000+64<<10 {
			t.Errorf("%s: %d after %d bytes of an endless body", path, got.Code, body.n)
		}
	}
	if n := w.google.Count(); n != 1 {
		t.Errorf("%d requests went upstream, want 1", n)
	}
}

// TestBody_NotReadForStrangers: authentication comes before the body.
func TestBody_NotReadForStrangers(t *testing.T) {
	w := newWorld(t, keys(1))
	conn, err := net.Dial("tcp", w.server.Listener.Addr().String())
	must(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: gw\r\nContent-Length: 90000000\r\nContent-Type: application/json\r\n\r\n{")
	must(t, err)
	must(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer before the body came: %v", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d, want 401", res.StatusCode)
	}
}

// TestDisconnect: whoever leaves, ends the upstream request at once.
func TestDisconnect(t *testing.T) {
	for _, s := range surfaces {
		for _, prompt := range []string{"[[hang]]", "[[events 9]][[silence 4]]", "[[events 1000]][[pace 20ms]]"} {
			if !s.stream && strings.Contains(prompt, "pace") {
				continue
			}
			t.Run(s.name+prompt, func(t *testing.T) {
				t.Parallel()
				disconnect(t, newWorld(t, keys(1)), s, prompt)
			})
			t.Run(s.name+prompt+" time", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					if took := disconnect(t, newBubble(t, keys(1)), s, prompt); took > 0 {
						t.Errorf("upstream was cancelled after %s", took)
					}
				})
			})
		}
	}
}

// disconnect leaves a request that has come to Google, and tells how much later Google
// was left.
func disconnect(t *testing.T, w *world, s surface, prompt string) time.Duration {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.askCtx(ctx, s, prompt)
	}()
	if !w.google.Wait(time.Minute, 1) {
		t.Fatal("nothing came upstream")
	}
	left := time.Now()
	cancel()
	if !w.google.Wait(time.Minute, 1, fakegemini.CanceledByClient) {
		t.Fatal("upstream was not cancelled")
	}
	<-done
	if rests := w.pool.Rests(10); len(rests) > 0 {
		t.Errorf("a key rests because a client left: %+v", rests)
	}
	if n := w.google.Count(); n != 1 {
		t.Errorf("%d attempts for a client that left", n)
	}
	return w.google.Entries()[0].CanceledAt.Sub(left)
}

// TestHeartbeat: a waiting OpenAI stream gets comments, still changes keys, and
// ends whole; native streams get nothing of the kind.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, keys(3), func(c *Config) { c.Heartbeat = 30 * time.Millisecond })
		w.google.Script(fakegemini.Rule{Times: 1, Steer: fakegemini.Steer{Delay: 200 * time.Millisecond, Status: 503}})
		got := w.ask(surfaces[1], "[[say done]]")
		if got.status != 200 || !strings.HasPrefix(got.body, ": ") || !strings.Contains(got.body, "done") || !strings.HasSuffix(got.body, "data: [DONE]\n\n") {
			t.Errorf("%d %s", got.status, got.body)
		}
		if n := w.google.Count(); n != 2 {
			t.Errorf("%d attempts, want 2", n)
		}
		w.google.Script(fakegemini.Rule{Times: 1, Steer: fakegemini.Steer{Delay: 200 * time.Millisecond, Text: "late"}})
		if got := w.ask(surfaces[3], "x"); strings.Contains(got.body, ": ping") || !strings.HasPrefix(got.body, "data: ") {
			t.Errorf("native: %s", got.body)
		}
		// All fails after the header is out: the error comes in-band, without [DONE].
		w.google.Script(fakegemini.Rule{Steer: fakegemini.Steer{Delay: 100 * time.Millisecond, Status: 400}})
		got = w.ask(surfaces[1], "x")
		if got.status != 200 || strings.Contains(got.body, "[DONE]") || !strings.Contains(got.body, `"error"`) {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

func TestModels(t *testing.T) {
	w := newWorld(t, keys(2), func(c *Config) {
		c.Aliases = []settings.Alias{
			{Name: "gpt-4o", Targets: []string{"gemini-3.5-flash"}},
			{Name: "o1", Targets: []string{"gemini-gone", "gemini-3.5-flash"}}, // answers, so it is listed
		}
	})
	ids := func(key string) (ids []string) {
		t.Helper()
		got := w.do(t.Context(), "GET", "/v1/models", "", "Authorization", "Bearer "+key)
		var list struct {
			Object string
			Data   []struct{ ID, Object string }
		}
		if err := json.Unmarshal([]byte(got.body), &list); err != nil || got.status != 200 || list.Object != "list" {
			t.Fatalf("%d %v %s", got.status, err, got.body)
		}
		for _, m := range list.Data {
			ids = append(ids, m.ID)
		}
		return ids
	}
	if all := strings.Join(ids(w.key), " "); !strings.HasPrefix(all, "gpt-4o o1 ") || !strings.Contains(all, "gemini-3.5-flash") {
		t.Errorf("models: %s", all)
	}
	_, limited, err := w.users.Create(t.Context(), users.Spec{Name: "limited", Models: []string{"gpt-*"}})
	must(t, err)
	if some := ids(limited); len(some) != 1 || some[0] != "gpt-4o" {
		t.Errorf("models of a limited key: %v", some)
	}
	for path, want := range map[string]int{"/v1/models/gpt-4o": 200, "/v1/models/o1": 200, "/v1/models/gemini-3.5-flash": 200, "/v1/models/nope": 404, "/v1/models/..%2f..": 404} {
		if got := w.do(t.Context(), "GET", path, ""); got.status != want {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	// What probes learnt of other keys is listed, too.
	w.pool.SetProbed(true)
	page, _, _ := w.pool.List(balancer.Query{})
	must(t, w.pool.ProbeNow(page[0].ID))
	due, _ := w.pool.Probes(10)
	for _, pr := range due {
		pr.Done(balancer.Outcome{}, []string{"gemini-3.5-flash", "gemini-rare"})
	}
	if len(due) == 0 {
		t.Fatal("nothing was probed")
	}
	if all := strings.Join(ids(w.key), " "); strings.Count(all, "gemini-3.5-flash ") != 1 || !strings.HasSuffix(all, " gemini-rare") {
		t.Errorf("models: %s", all)
	}
	if some := ids(limited); len(some) != 1 {
		t.Errorf("models of a limited key: %v", some)
	}
	if got := w.do(t.Context(), "GET", "/status", ""); !strings.Contains(got.body, `"gemini-rare"`) {
		t.Errorf("status: %s", got.body)
	}
	got := w.do(t.Context(), "POST", "/v1/chat/completions", `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}`)
	if got.status != 200 || !strings.Contains(got.body, `"model":"gpt-4o"`) {
		t.Errorf("alias: %d %s", got.status, got.body)
	}
	got = w.do(t.Context(), "POST", "/v1/chat/completions", `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}`, "Authorization", "Bearer "+limited)
	if got.status != 200 || got.header.Get("X-Ratelimit-Limit-Requests") == "" {
		t.Errorf("alias by a limited key: %d %v %s", got.status, got.header, got.body)
	}
	got = w.do(t.Context(), "POST", "/v1/chat/completions", `{"model":"gemini-3.5-flash","messages":[{"role":"user","content":"hi"}]}`, "Authorization", "Bearer "+limited)
	if got.status != 403 {
		t.Errorf("a forbidden model: %d %s", got.status, got.body)
	}
}

func TestUserLimits(t *testing.T) {
	w := newWorld(t, keys(1))
	_, key, err := w.users.Create(t.Context(), users.Spec{Name: "two a minute", Limits: users.Limits{RPM: 2}})
	must(t, err)
	for i, want := range []int{200, 200, 429} {
		got := w.do(t.Context(), "POST", "/v1/chat/completions", fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hi"}]}`, model), "Authorization", "Bearer "+key)
		if got.status != want {
			t.Fatalf("request %d: %d %s", i, got.status, got.body)
		}
		if want == 429 && (got.header.Get("Retry-After") == "" || !strings.Contains(got.body, "rpm")) {
			t.Errorf("%v %s", got.header, got.body)
		}
	}
	if n := w.google.Count(); n != 2 {
		t.Errorf("%d requests went upstream", n)
	}
}

func TestUnserved(t *testing.T) {
	w := newWorld(t, keys(1))
	for _, tc := range []struct {
		method, path string
		want         int
		contains     string
	}{
		{"POST", "/v1/moderations", 404, "unknown_url"},
		{"GET", "/v1/chat/completions", 405, "POST"},
		{"POST", "/v1beta/models/m:deleteEverything", 404, "NOT_FOUND"},
		{"GET", "/somewhere/else", http.StatusTeapot, ""},
		{"GET", "/health", 200, `"ready":true`},
		{"HEAD", "/health", 200, ""},
		{"GET", "/status", 200, `"usable_keys":1`},
		{"POST", "/status", 405, ""},
		{"OPTIONS", "/v1/chat/completions", 204, ""},
		{"OPTIONS", "/v1/nope", 404, "unknown_url"},
	} {
		if got := w.do(t.Context(), tc.method, tc.path, ""); got.status != tc.want || !strings.Contains(got.body, tc.contains) {
			t.Errorf("%s %s: %d %s", tc.method, tc.path, got.status, got.body)
		}
	}
}

func TestCORS(t *testing.T) {
	w := newWorld(t, keys(1), func(c *Config) { c.CORS = []string{"https://chat.example.com"} })
	got := w.do(t.Context(), "OPTIONS", "/v1/chat/completions", "", "Authorization", "", "Origin", "https://chat.example.com", "Access-Control-Request-Headers", "authorization,x-stainless-os")
	if got.status != 204 || got.header.Get("Access-Control-Allow-Origin") != "https://chat.example.com" ||
		got.header.Get("Access-Control-Allow-Headers") != "authorization,x-stainless-os" {
		t.Errorf("preflight: %d %v", got.status, got.header)
	}
	got = w.do(t.Context(), "POST", "/v1/chat/completions", "{}", "Authorization", "", "Origin", "https://chat.example.com")
	if got.status != 401 || got.header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("an error the page cannot read: %d %v", got.status, got.header)
	}
	got = w.do(t.Context(), "GET", "/v1/models", "", "Origin", "https://evil.example")
	if got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("foreign origin: %v", got.header)
	}
}

func TestAnonymous(t *testing.T) {
	w := newWorld(t, keys(1), func(c *Config) { c.Anonymous = true })
	body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hi"}]}`, model)
	for auth, want := range map[string]int{"": 200, "Bearer sk-whatever": 200, "Bearer " + w.key: 200, "Bearer gb-wrong": 401} {
		if got := w.do(t.Context(), "POST", "/v1/chat/completions", body, "Authorization", auth); got.status != want {
			t.Errorf("%q: %d %s", auth, got.status, got.body)
		}
	}
}

func TestNoKeys(t *testing.T) {
	w := newWorld(t, fakegemini.Config{})
	for _, s := range surfaces {
		got := w.ask(s, "hi")
		if got.status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d %s", s.name, got.status, got.body)
		}
		checkError(t, s, got)
	}
	if got := w.do(t.Context(), "GET", "/health", ""); !strings.Contains(got.body, `"ready":false`) {
		t.Errorf("health: %s", got.body)
	}
}

// TestRecovery: when all keys rest for less than retry.wait, the client waits
// and never notices.
func TestRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, keys(2))
		w.google.Script(fakegemini.Rule{Times: 2, Steer: fakegemini.Steer{Status: 429, RetryInfo: time.Second}})
		start := time.Now()
		if got := w.ask(surfaces[0], "[[say back]]"); got.status != 200 || !strings.Contains(got.body, "back") {
			t.Fatalf("%d %s", got.status, got.body)
		}
		if waited := time.Since(start); waited < time.Second {
			t.Errorf("answered after %s, before the announced time", waited)
		}
		if v := w.google.Violations(); len(v) > 0 {
			t.Errorf("violations: %+v", v)
		}
	})
}

// TestResetAfterFinish: a connection that breaks after the finishing event has
// lost nothing.
func TestResetAfterFinish(t *testing.T) {
	whole := "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"all of it\"}],\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}]}\r\n\r\n"
	google := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, whole)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer google.Close()
	w := newWorld(t, keys(1), func(c *Config) {
		up, err := upstream.New(upstream.Config{BaseURL: google.URL})
		must(t, err)
		t.Cleanup(up.Close)
		c.Upstream = up
	})
	for _, s := range []surface{surfaces[1], surfaces[3]} {
		got := w.ask(s, "hi")
		if got.status != 200 || !strings.Contains(got.body, "all of it") || strings.Contains(got.body, `"error"`) {
			t.Errorf("%s: %d %s", s.name, got.status, got.body)
		}
		if s.openai && !strings.HasSuffix(got.body, "data: [DONE]\n\n") {
			t.Errorf("no success marker: %s", got.body)
		}
	}
}

func TestNew_Refuses(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("New accepts nothing")
	}
}
