// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// unhappy are the routes that do not answer a well-formed request of the admin with
// success in a fixture, and the code that they answer with instead.
var unhappy = map[string]string{
	"POST /admin/setup":            "setup_closed",
	"POST /admin/session/sudo":     "no_session",
	"POST /admin/admin-key/rotate": "locked",
}

// caller is somebody who makes a request.
type caller struct {
	name string
	// prepare makes the request theirs.
	prepare func(f *fixture, r *http.Request)
	// refused is the code that they must be answered with whatever else they send,
	// "" if the route is theirs.
	refused func(rt route) string
}

func header1(key string) func(*fixture, *http.Request) {
	return func(_ *fixture, r *http.Request) { r.Header.Set("Authorization", "Bearer "+key) }
}

// session makes the request one of a page of this site that is signed in; then
// spoils it.
func sessionOf(key string, spoil func(f *fixture, r *http.Request)) func(*fixture, *http.Request) {
	return func(f *fixture, r *http.Request) {
		f.t.Helper()
		r.AddCookie(f.signIn(key))
		r.Header.Set("Origin", "http://example.com")
		if spoil != nil {
			spoil(f, r)
		}
	}
}

func always(code string) func(route) string {
	return func(rt route) string {
		if rt.needs == needsNone {
			return ""
		}
		return code
	}
}

// whoever has a wrong key is told so even where none is needed.
func everywhere(code string) func(route) string { return func(route) string { return code } }

func viewerMay(rt route) string {
	if rt.needs == needsNone || rt.needs == needsSession || rt.needs == needsRole && reads(rt.method) {
		return ""
	}
	return "read_only"
}

func changes(code string) func(route) string {
	return func(rt route) string {
		if reads(rt.method) {
			return ""
		}
		return code
	}
}

func callers() []caller {
	return []caller{
		{"guest", func(*fixture, *http.Request) {}, always("missing_admin_key")},
		{"empty header", func(_ *fixture, r *http.Request) { r.Header.Set("Authorization", "Bearer ") }, always("missing_admin_key")},
		{"wrong key", header1(adminKey + "x"), everywhere("wrong_admin_key")},
		{"basic", func(_ *fixture, r *http.Request) { r.SetBasicAuth("admin", adminKey) }, everywhere("wrong_admin_key")},
		{"user key", func(f *fixture, r *http.Request) {
			_, secret := f.createUserKey("mallory")
			header1(secret)(f, r)
		}, everywhere("wrong_admin_key")},
		{"viewer key", header1(viewerKey), viewerMay},
		{"admin key", header1(adminKey), func(route) string { return "" }},
		{"admin key from another site", func(f *fixture, r *http.Request) {
			header1(adminKey)(f, r)
			r.Header.Set("Origin", "https://evil.example")
			r.Host = "evil.example"
		}, func(route) string { return "" }}, // only who has the key can send it
		{"viewer session", sessionOf(viewerKey, nil), viewerMay},
		{"admin session", sessionOf(adminKey, nil), func(rt route) string {
			if rt.needs == needsSudo {
				return "sudo_required"
			}
			return ""
		}},
		{"session of an unknown cookie", func(_ *fixture, r *http.Request) {
			r.AddCookie(&http.Cookie{Name: "gb_session", Value: "guessed"})
			r.Header.Set("Origin", "http://example.com")
		}, always("session_ended")},
		{"two cookies", sessionOf(adminKey, func(f *fixture, r *http.Request) {
			r.AddCookie(&http.Cookie{Name: "gb_session", Value: "x"})
		}), always("session_ended")},
		{"session without Origin", sessionOf(adminKey, func(_ *fixture, r *http.Request) { r.Header.Del("Origin") }), changes("cross_origin")},
		{"session from another site", sessionOf(adminKey, func(_ *fixture, r *http.Request) { r.Header.Set("Origin", "https://evil.example") }), changes("cross_origin")},
		{"session from a sandboxed frame", sessionOf(adminKey, func(_ *fixture, r *http.Request) { r.Header.Set("Origin", "null") }), changes("cross_origin")},
		{"session from a subdomain", sessionOf(adminKey, func(_ *fixture, r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }), changes("cross_origin")},
		{"session, Sec-Fetch-Site says cross-site", sessionOf(adminKey, func(_ *fixture, r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }), changes("cross_origin")},
		{"session, another port of the host", sessionOf(adminKey, func(_ *fixture, r *http.Request) { r.Header.Set("Origin", "http://example.com:9999") }), changes("cross_origin")},
		{"session under a rebound name", sessionOf(adminKey, func(_ *fixture, r *http.Request) {
			r.Host = "evil.example"
			r.Header.Set("Origin", "http://evil.example")
		}), everywhere("host_not_allowed")},
		{"expired session", sessionOf(adminKey, func(f *fixture, _ *http.Request) { f.clock.advance(sessionIdle) }), always("session_ended")},
	}
}

// input is what is wrong with a request; right is the status for who may make it.
type input struct {
	name   string
	spoil  func(r *http.Request)
	method string
	body   string
	query  string
	right  int
}

// inputs are the faults that the route can have. What may change something comes
// last.
func inputs(rt route) []input {
	all := []input{
		{name: "unknown parameter", query: "?no_such_parameter=1", right: http.StatusBadRequest},
		{name: "wrong method", method: wrongMethod(rt.path), right: http.StatusMethodNotAllowed},
	}
	if reads(rt.method) {
		return append(all, input{name: "well-formed"})
	}
	all = append(all, input{name: "wrong content type", body: `{}`, right: http.StatusUnsupportedMediaType, spoil: func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}})
	if !rt.streams {
		all = append(all,
			input{name: "bad JSON", body: `{"x":`, right: http.StatusBadRequest},
			input{name: "unknown field", body: `{"no_such_field":1}`, right: http.StatusBadRequest},
		)
	}
	return append(all, input{name: "well-formed"})
}

// wrongMethod is one that no route of the path has.
func wrongMethod(path string) string {
	for _, method := range []string{"PUT", "PATCH", "DELETE", "POST", "TRACE"} {
		if !slices.ContainsFunc(routes, func(rt route) bool { return rt.path == path && rt.method == method }) {
			return method
		}
	}
	return "LINK"
}

// TestRoutes_CallersAndInputs is the whole table: every route, every kind of caller,
// every kind of fault. Who may not use a route is told that and nothing else; who
// may is told what is wrong. Source: specs/gateways.md A6.
func TestRoutes_CallersAndInputs(t *testing.T) {
	everybody := callers()
	if testing.Short() { // a fifth of some thousand requests, and no faulty ones
		few := []string{"guest", "viewer key", "viewer session", "admin session", "session from another site"}
		everybody = slices.DeleteFunc(everybody, func(c caller) bool { return !slices.Contains(few, c.name) })
	}
	for _, rt := range routes {
		t.Run(rt.method+" "+rt.path, func(t *testing.T) {
			t.Parallel()
			for _, who := range everybody {
				f := newFixture(t, settings.Patch{})
				f.pool.SetProbed(true)
				id := f.object(rt.path)
				faults := inputs(rt)
				if testing.Short() {
					faults = faults[len(faults)-1:] // well-formed
				}
				for _, in := range faults {
					f.clock.advance(time.Hour) // forgets wrong keys before
					walkOne(t, f, id, rt, who, in)
				}
			}
		})
	}
}

func walkOne(t *testing.T, f *fixture, id string, rt route, who caller, in input) {
	t.Helper()
	spec := f.spec
	defer func() { f.spec = spec }()
	method, body := rt.method, operationBodies[rt.method+" "+rt.path]
	if in.method != "" {
		method, body = in.method, ""
		f.spec = nil // the operation is not in it
	}
	if in.body != "" {
		body = in.body
	}
	r := request(method, strings.ReplaceAll(rt.path, "{id}", id)+in.query, body)
	if in.spoil != nil {
		in.spoil(r)
	}
	if mediaType := operationTypes[rt.method+" "+rt.path]; mediaType != "" && in.body == "" && body != "" {
		r.Header.Set("Content-Type", mediaType)
	}
	who.prepare(f, r)
	w := f.do(r)
	what := fmt.Sprintf("%s, %s", who.name, in.name)
	wantCode, wantStatus := who.refused(rt), in.right
	if in.method != "" {
		wantCode = refusedForMethod(who, rt, method)
	}
	switch code := problemCode(w); {
	case wantCode != "":
		if w.Code/100 != 4 || code != wantCode {
			t.Errorf("%s: %d %s, want %s", what, w.Code, w.Body, wantCode)
		}
	case wantStatus != 0:
		if w.Code != wantStatus {
			t.Errorf("%s: %d %s, want %d", what, w.Code, w.Body, wantStatus)
		}
	case w.Code/100 != 2 && !expected(rt, who, code):
		t.Errorf("%s: %d %s, want success", what, w.Code, w.Body)
	}
	if w.Code == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" && rt.needs != needsNone {
		t.Errorf("%s: 401 without WWW-Authenticate", what)
	}
}

// expected tells whether a route cannot succeed in the fixture.
func expected(rt route, who caller, code string) bool {
	want := unhappy[rt.method+" "+rt.path]
	return want != "" && code == want || want == "setup_closed" && code == "wrong_setup_token"
}

// refusedForMethod: without a route there is nothing that a guest may do, and no
// role to look at.
func refusedForMethod(who caller, rt route, method string) string {
	rt.needs, rt.method = needsRole, method
	switch code := who.refused(rt); code {
	case "read_only", "sudo_required", "cross_origin", "host_not_allowed":
		return ""
	default:
		return code
	}
}

func problemCode(w *httptest.ResponseRecorder) string {
	if w.Header().Get("Content-Type") != "application/problem+json" {
		return ""
	}
	_, rest, _ := strings.Cut(w.Body.String(), `"code":"`)
	code, _, _ := strings.Cut(rest, `"`)
	return code
}

// signIn makes a session and returns its cookie.
func (f *fixture) signIn(key string) *http.Cookie {
	f.t.Helper()
	r := request("POST", "/admin/session", fmt.Sprintf(`{"key":%q}`, key))
	r.Header.Set("Origin", "http://example.com")
	w := f.do(r)
	if w.Code != http.StatusCreated {
		f.t.Fatalf("signing in: %d %s", w.Code, w.Body)
	}
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		f.t.Fatalf("signing in gave %d cookies", len(cookies))
	}
	return cookies[0]
}

// browser sends what a page of this site sends that has the cookie.
func (f *fixture) browser(cookie *http.Cookie, method, target, body string) *httptest.ResponseRecorder {
	f.t.Helper()
	r := request(method, target, body)
	r.AddCookie(cookie)
	if !reads(method) {
		r.Header.Set("Origin", "http://example.com")
	}
	return f.do(r)
}

// TestPaths_MutatedNeverPassWithoutKey sends every route in 500 forms that matchers
// in front may see as something else. Source: specs/gateways.md W2.
func TestPaths_MutatedNeverPassWithoutKey(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.spec = nil // the paths are not in it
	mutations := pathMutations()
	if len(mutations) < 500 {
		t.Fatalf("%d mutations", len(mutations))
	}
	public := map[string]bool{"GET /admin/setup": true}
	for _, rt := range routes {
		for _, mutate := range mutations {
			target := mutate(strings.ReplaceAll(rt.path, "{id}", "x"))
			if !strings.HasPrefix(target, "/") {
				continue
			}
			f.clock.advance(time.Hour)
			r := httptest.NewRequestWithContext(t.Context(), rt.method, "/", strings.NewReader(`{}`))
			parsed, err := r.URL.Parse(target)
			if err != nil {
				continue
			}
			r.URL = parsed
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			f.ServeHTTP(w, r)
			if w.Code < 400 && w.Code != http.StatusTemporaryRedirect && !public[rt.method+" "+rt.path] {
				t.Errorf("%s %s = %d without a key", rt.method, target, w.Code)
			}
		}
	}
}

// pathMutations are all pairs of single ones.
func pathMutations() []func(string) string {
	replace := func(old, with string) func(string) string {
		return func(p string) string { return strings.Replace(p, old, with, 1) }
	}
	single := []func(string) string{
		func(p string) string { return p },
		func(p string) string { return "/" + p },
		func(p string) string { return p + "/" },
		func(p string) string { return strings.ReplaceAll(p, "/", "//") },
		replace("/admin/", "/admin/./"),
		replace("/admin/", "/admin/ui/../"),
		replace("/admin/", "/x/../admin/"),
		replace("/admin/", "/admin%2f"),
		replace("/admin/", "/admin%2F"),
		replace("/admin/", "/admin/ui/%2e%2e/"),
		replace("/admin/", "/%61dmin/"),
		replace("/admin/", "/admin;x/"),
		replace("/admin/", "/admin%5c"),
		replace("/admin/", "/admin%3b/"),
		replace("/admin", "/ADMIN"),
		strings.ToUpper,
		func(p string) string { return p + ";.html" },
		func(p string) string { return p + "%00" },
		func(p string) string { return p + "%20" },
		func(p string) string { return p + ".json" },
		func(p string) string { return p + "?lang=en" },
		func(p string) string { return "/admin/ui" + p },
		func(p string) string { return p + "/../session" },
		func(p string) string { return p + "#/admin/session" },
	}
	var pairs []func(string) string
	for _, one := range single {
		for _, other := range single {
			pairs = append(pairs, func(p string) string { return other(one(p)) })
		}
	}
	return pairs
}
