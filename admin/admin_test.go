// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

const (
	adminKey  = "canary-admin-key-0123456789"
	viewerKey = "canary-viewer-key-0123456789"
)

// fixture is the API over a store in memory, with a clock of its own.
type fixture struct {
	http.Handler
	t      testing.TB
	store  store.Store
	pool   *balancer.Pool
	users  *users.Registry
	usage  *usage.Ledger
	state  *State
	config Config
	clock  *testClock

	// google answers validations; it knows every key at first.
	google func(ctx context.Context, id, model string) (balancer.Outcome, error)

	rotation error // of replacing the master key; while there is one, that is under way

	spec *document // when set, every answer must be as described there
}

// testClock stands still until a test moves it; what streams still read it meanwhile.
type testClock struct{ nanos atomic.Int64 }

func newClock(at time.Time) *testClock {
	c := &testClock{}
	c.nanos.Store(at.UnixNano())
	return c
}

func (c *testClock) now() time.Time { return time.Unix(0, c.nanos.Load()).UTC() }

func (c *testClock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

func newFixture(t testing.TB, declared settings.Patch) *fixture {
	t.Helper()
	f := &fixture{t: t, store: memory.New(), clock: newClock(time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)), spec: parseDocument(t)}
	clock := f.clock.now
	f.pool = openPool(t, f.store, clock)
	var err error
	if f.users, err = users.Open(f.store, users.Options{Now: clock}); err != nil {
		t.Fatal(err)
	}
	if f.usage, err = usage.Open(f.store, usage.Options{Now: clock}); err != nil {
		t.Fatal(err)
	}
	st, err := settings.Open(f.store, declared)
	if err != nil {
		t.Fatal(err)
	}
	f.state = openState(t, f.store, clock)
	f.google = func(_ context.Context, id, _ string) (balancer.Outcome, error) {
		if _, ok := f.pool.Get(id); !ok {
			return balancer.Outcome{}, balancer.ErrNotFound
		}
		return balancer.Outcome{}, nil
	}
	f.config = Config{
		Validate: func(ctx context.Context, id, model string) (balancer.Outcome, error) { return f.google(ctx, id, model) },
		State:    f.state,
		Pool:     f.pool, Users: f.users, Usage: f.usage, Settings: st,
		System:       systemOf(t, f),
		Hosts:        []string{"example.com"},
		AdminKeyHash: sha256.Sum256([]byte(adminKey)), ViewerKeyHash: sha256.Sum256([]byte(viewerKey)),
		StoreKind: "memory", Version: "v0.0.0-test", Started: f.clock.now().Add(-time.Hour), Now: clock,
	}
	f.Handler = New(f.config)
	return f
}

func openState(t testing.TB, s store.Store, clock func() time.Time) *State {
	t.Helper()
	sealer, err := store.NewSealer(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	state, err := Open(s, sealer, StateOptions{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(state.Close)
	return state
}

func openPool(t testing.TB, s store.Store, clock func() time.Time) *balancer.Pool {
	t.Helper()
	sealer, err := store.NewSealer(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	pool, err := balancer.Open(balancer.Options{Store: s, Sealer: sealer, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

// request makes a request as a script would.
func request(method, target, body string) *http.Request {
	ctx := context.Background()
	if strings.HasPrefix(target, "/admin/events") {
		gone, cancel := context.WithCancel(ctx)
		cancel() // else the stream does not end
		ctx = gone
	}
	r := httptest.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// do sends a request as it is.
func (f *fixture) do(r *http.Request) *httptest.ResponseRecorder {
	f.t.Helper()
	w := httptest.NewRecorder()
	method, path := r.Method, r.URL.Path
	f.ServeHTTP(w, r)
	if f.spec != nil {
		f.spec.check(f.t, method, path, w)
	}
	return w
}

// admin sends a request with the admin key.
func (f *fixture) admin(method, target, body string) *httptest.ResponseRecorder {
	f.t.Helper()
	r := request(method, target, body)
	r.Header.Set("Authorization", "Bearer "+adminKey)
	return f.do(r)
}

// must is admin for what a test only prepares with; it returns the decoded answer.
func (f *fixture) must(method, target, body string) map[string]any {
	f.t.Helper()
	w := f.admin(method, target, body)
	if w.Code/100 != 2 {
		f.t.Fatalf("%s %s: %d %s", method, target, w.Code, w.Body)
	}
	if w.Code == http.StatusNoContent {
		return nil
	}
	return decoded(f.t, w)
}

func decoded(t testing.TB, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("answer is no JSON object: %v: %s", err, w.Body)
	}
	return v
}

// geminiSecret makes up a Gemini key; each has the word canary in it.
func geminiSecret(n int) string { return fmt.Sprintf("AIzaSyCanary-%026d", n) }

func (f *fixture) addGeminiKey(n int) (id string) {
	f.t.Helper()
	return f.must("POST", "/admin/keys/gemini", fmt.Sprintf(`{"key":%q,"name":"key %d"}`, geminiSecret(n), n))["id"].(string)
}

func (f *fixture) createUserKey(name string) (id, secret string) {
	f.t.Helper()
	key := f.must("POST", "/admin/keys/user", fmt.Sprintf(`{"name":%q}`, name))
	return key["id"].(string), key["key"].(string)
}

// scenario is one request and what must come back.
type scenario struct {
	name         string
	method, path string
	body         string
	header       map[string]string // "" removes; without Authorization the admin key is sent
	status       int
	contains     []string
	excludes     []string
}

func (s scenario) run(t *testing.T, f *fixture) {
	t.Run(s.name, func(t *testing.T) {
		r := request(s.method, s.path, s.body)
		r.Header.Set("Authorization", adminKey)
		for name, value := range s.header {
			r.Header.Set(name, value)
			if value == "" {
				r.Header.Del(name)
			}
		}
		w := f.do(r)
		if w.Code != s.status {
			t.Errorf("%s %s = %d, want %d: %s", s.method, s.path, w.Code, s.status, w.Body)
		}
		for _, part := range s.contains {
			if !strings.Contains(w.Body.String(), part) {
				t.Errorf("answer lacks %q: %s", part, w.Body)
			}
		}
		for _, part := range s.excludes {
			if strings.Contains(w.Body.String(), part) {
				t.Errorf("answer has %q: %s", part, w.Body)
			}
		}
	})
}

// operationBodies are what the walks over all routes send; a route with a body
// that is missing here fails them. Tests of a resource add theirs in an init
// function.
var operationBodies = map[string]string{
	"POST /admin/setup":        `{"token":"canary"}`,
	"POST /admin/session":      `{"key":"` + adminKey + `"}`,
	"POST /admin/session/sudo": `{"key":"` + adminKey + `"}`,
	"POST /admin/config":       `{"retry":{"attempts":2}}`,
	"POST /admin/keys/gemini":  `{"key":"AIzaSyCanary-walk"}`,
	"POST /admin/keys/user":    `{"name":"walk"}`,
}

// operationTypes are the media types of those that are no JSON.
var operationTypes = map[string]string{}

// objects make what {id} stands for in the walks, by the beginning of the path; the
// longest decides. Tests of a resource add theirs in an init function.
var objects = map[string]func(f *fixture) (id string){
	"/admin/keys/gemini/": func(f *fixture) string { return f.addGeminiKey(1) },
	"/admin/keys/user/": func(f *fixture) string {
		id, _ := f.createUserKey("walker")
		return id
	},
	"/admin/jobs/": func(f *fixture) string { return f.endedJob() },
}

// object makes what the {id} of a path stands for, "" if it has none.
func (f *fixture) object(path string) string {
	f.t.Helper()
	if !strings.Contains(path, "{id}") {
		return ""
	}
	longest := ""
	for prefix := range objects {
		if strings.HasPrefix(path, prefix) && len(prefix) > len(longest) {
			longest = prefix
		}
	}
	if longest == "" {
		f.t.Fatalf("%s: objects has nothing for {id}", path)
	}
	return objects[longest](f)
}

// endedJob is a job with two results.
func (f *fixture) endedJob() (id string) {
	f.t.Helper()
	c := &call{header: http.Header{}}
	_, body, err := f.state.jobs.start(c, jobSpec{kind: "bulk", name: "walk", total: 2}, func(_ context.Context, j *job) error {
		j.result(map[string]string{"id": "gk_1", "what": "done"})
		j.result(map[string]string{"id": "gk_2", "what": "=1+1"})
		j.done(2)
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.state.jobs.workers.Wait()
	return body.(jobView).ID
}

// TestAnswers_CarrySecurityHeaders looks at a success, an error and the page.
func TestAnswers_CarrySecurityHeaders(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	for _, target := range []string{"/admin/status", "/admin/nothing", "/admin/ui/"} {
		cache := "no-store"
		if target == "/admin/ui/" {
			cache = "no-cache" // asked for each time, answered with 304
		}
		h := f.admin("GET", target, "").Header()
		for name, want := range map[string]string{
			"Cache-Control":                cache,
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "no-referrer",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Access-Control-Allow-Origin":  "",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s = %q, want %q", target, name, got, want)
			}
		}
		for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, part) || strings.Contains(csp, "unsafe") {
				t.Errorf("%s: Content-Security-Policy = %q", target, csp)
			}
		}
		if !strings.HasPrefix(h.Get("X-Request-Id"), "adm_") {
			t.Errorf("%s: X-Request-Id = %q", target, h.Get("X-Request-Id"))
		}
	}
}

func TestRequests_AreChecked(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	id := f.addGeminiKey(1)
	deep := strings.Repeat(`{"limits":`, 20) + "1" + strings.Repeat("}", 20)
	for _, s := range []scenario{
		{name: "unknown route", method: "GET", path: "/admin/nothing", status: 404, contains: []string{"route_not_found", "openapi.json"}},
		{name: "outside of admin", method: "GET", path: "/v1/models", status: 404},
		{name: "wrong method", method: "PUT", path: "/admin/config", status: 405, contains: []string{"GET, HEAD, POST, PATCH, OPTIONS"}},
		{name: "wrong method on an item", method: "PUT", path: "/admin/keys/gemini/" + id, status: 405},
		{name: "fixed path before {id}", method: "DELETE", path: "/admin/keys/gemini/rests", status: 405},
		{name: "options", method: "OPTIONS", path: "/admin/status", status: 204},
		{name: "head", method: "HEAD", path: "/admin/status", status: 200},
		{name: "double and trailing slashes", method: "GET", path: "//admin//status/", status: 200},
		{name: "key without Bearer", method: "GET", path: "/admin/status", status: 200},
		{name: "bearer in lower case", method: "GET", path: "/admin/status", header: map[string]string{"Authorization": "bearer " + adminKey}, status: 200},
		{name: "unknown parameter", method: "GET", path: "/admin/keys/gemini?limt=5", status: 400, contains: []string{"unknown_parameter", `"limt"`, "it takes limit"}},
		{name: "parameter where none is", method: "GET", path: "/admin/status?pretty", status: 400, contains: []string{"it takes none"}},
		{name: "repeated parameter", method: "GET", path: "/admin/keys/gemini?limit=1&limit=2", status: 400, contains: []string{"repeated_parameter"}},
		{name: "malformed query", method: "GET", path: "/admin/keys/gemini?q=%zz", status: 400, contains: []string{"invalid_query"}},
		{name: "form body", method: "POST", path: "/admin/config", body: `{}`, header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, status: 415, contains: []string{"not_json"}},
		{name: "text body", method: "POST", path: "/admin/config", body: `{}`, header: map[string]string{"Content-Type": "text/plain"}, status: 415},
		{name: "no content type", method: "POST", path: "/admin/config", body: `{}`, header: map[string]string{"Content-Type": ""}, status: 415},
		{name: "charset", method: "POST", path: "/admin/config", body: `{}`, header: map[string]string{"Content-Type": "application/json; charset=utf-8"}, status: 200},
		{name: "encoded body", method: "POST", path: "/admin/config", body: `{}`, header: map[string]string{"Content-Encoding": "gzip"}, status: 415},
		{name: "empty body", method: "POST", path: "/admin/config", status: 400, contains: []string{"invalid_json"}},
		{name: "no JSON", method: "POST", path: "/admin/config", body: `{"strategy"`, status: 400, contains: []string{"invalid_json", "byte 11"}},
		{name: "two objects", method: "POST", path: "/admin/config", body: `{}{}`, status: 400},
		{name: "list", method: "POST", path: "/admin/config", body: `[]`, status: 400, contains: []string{"not a JSON object"}},
		{name: "not UTF-8", method: "POST", path: "/admin/config", body: "{\"strategy\":\"\xff\"}", status: 400},
		{name: "too deep", method: "POST", path: "/admin/keys/user", body: deep, status: 400},
		{name: "body of an operation without", method: "POST", path: "/admin/keys/gemini/" + id + "/disable", body: `{"reason":"x"}`, status: 400, contains: []string{"unknown_field"}},
		{name: "empty object there", method: "POST", path: "/admin/keys/gemini/" + id + "/disable", body: `{}`, status: 200},
		{name: "too large", method: "POST", path: "/admin/keys/gemini", body: `{"key":"` + strings.Repeat("x", maxBody) + `"}`, status: 413, contains: []string{"8 MiB"}},
		{name: "same site", method: "POST", path: "/admin/config", body: `{}`, header: map[string]string{"Origin": "http://example.com", "Sec-Fetch-Site": "same-origin"}, status: 200},
		{name: "reading from another site stays unreadable", method: "GET", path: "/admin/status", header: map[string]string{"Origin": "https://evil.example"}, status: 200},
	} {
		s.run(t, f)
	}
}

// TestPaths_HaveOneForm: with the key, too, other spellings are refused, so that
// a matcher in front of this handler and the handler mean the same path.
func TestPaths_HaveOneForm(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.spec = nil // the paths are not in it
	for path, want := range map[string]int{
		"/admin/%73tatus": 400, "/admin%2Fstatus": 400, "/admin/status%00": 400, "/admin/status;x": 400, "/admin/status%3Bx": 400,
		"/admin/./status": 400, "/admin/keys/../status": 400, `/admin/%5Cstatus`: 400, "/admin/Status": 404, "/admin/status/x": 404,
	} {
		if w := f.admin("GET", path, ""); w.Code != want {
			t.Errorf("%s = %d, want %d", path, w.Code, want)
		}
	}
}

func TestMatch_IsUnambiguous(t *testing.T) {
	seen := map[string]bool{}
	for i := range routes {
		rt := &routes[i]
		name := rt.method + " " + rt.path
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
		path := strings.Split(strings.ReplaceAll(rt.path, "{id}", "some-id")[1:], "/")
		found, id, allow := match(rt.method, path)
		if found != rt || slices.Contains(path, "some-id") != (id == "some-id") || !strings.Contains(allow, rt.method) {
			t.Errorf("match(%s) = %v, %q, %q", name, found, id, allow)
		}
	}
}
