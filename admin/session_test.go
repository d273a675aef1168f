// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

func TestSession_CookieFlags(t *testing.T) {
	for name, test := range map[string]struct {
		tls  bool
		keep bool
		want []string
		not  []string
	}{
		"plain HTTP": {false, false, []string{"gb_session=", "Path=/", "HttpOnly", "SameSite=Strict"}, []string{"Secure", "__Host-", "Max-Age", "Domain"}},
		"TLS":        {true, false, []string{"__Host-gb_session=", "Path=/", "HttpOnly", "SameSite=Strict", "Secure"}, []string{"Max-Age", "Domain"}},
		"TLS, kept":  {true, true, []string{"__Host-gb_session=", "Secure", "Max-Age=43200"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, settings.Patch{})
			r := request("POST", "/admin/session", fmt.Sprintf(`{"key":"Bearer %s","keep":%t}`, adminKey, test.keep))
			if test.tls {
				r.TLS = &tls.ConnectionState{HandshakeComplete: true}
			}
			w := f.do(r)
			cookie := w.Header().Get("Set-Cookie")
			if w.Code != http.StatusCreated {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			for _, part := range test.want {
				if !strings.Contains(cookie, part) {
					t.Errorf("cookie %q lacks %q", cookie, part)
				}
			}
			for _, part := range test.not {
				if strings.Contains(cookie, part) {
					t.Errorf("cookie %q has %q", cookie, part)
				}
			}
			if value, _, _ := strings.Cut(cookie, ";"); len(value) < 50 || strings.Contains(w.Body.String(), value[strings.Index(value, "=")+1:]) {
				t.Errorf("the id is short, or in the body: %q", value)
			}
		})
	}
}

// TestSession_OverTLSTakesItsOwnCookieOnly: a page under plain HTTP can set the other.
func TestSession_OverTLSTakesItsOwnCookieOnly(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	cookie := f.signIn(adminKey)
	r := request("GET", "/admin/session", "")
	r.TLS = &tls.ConnectionState{HandshakeComplete: true}
	r.AddCookie(cookie)
	if w := f.do(r); w.Code != http.StatusUnauthorized {
		t.Errorf("%d %s, want 401", w.Code, w.Body)
	}
}

func TestSession_HeaderMakesNoCookie(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.spec = nil
	for _, rt := range routes {
		if rt.path == "/admin/session" && rt.method == "POST" {
			continue
		}
		w := f.admin(rt.method, strings.ReplaceAll(rt.path, "{id}", "x"), operationBodies[rt.method+" "+rt.path])
		if cookie := w.Header().Get("Set-Cookie"); cookie != "" && !strings.Contains(cookie, "Max-Age=0") {
			t.Errorf("%s %s sets %q", rt.method, rt.path, cookie)
		}
	}
}

// TestSession_Ends walks a session through time: what keeps it, what does not.
func TestSession_Ends(t *testing.T) {
	for name, test := range map[string]struct {
		keep  bool
		every time.Duration
		do    func(f *fixture, c *http.Cookie)
		ends  time.Duration // when it has ended
	}{
		"nothing":         {false, 31 * time.Minute, func(*fixture, *http.Cookie) {}, 31 * time.Minute},
		"reading":         {false, 10 * time.Minute, func(f *fixture, c *http.Cookie) { f.browser(c, "GET", "/admin/session", "") }, 30 * time.Minute},
		"events":          {false, 10 * time.Minute, func(f *fixture, c *http.Cookie) { f.browser(c, "GET", "/admin/events", "") }, 30 * time.Minute},
		"ping":            {false, 20 * time.Minute, func(f *fixture, c *http.Cookie) { f.browser(c, "POST", "/admin/session/ping", "") }, 12 * time.Hour},
		"a change":        {false, 20 * time.Minute, func(f *fixture, c *http.Cookie) { f.browser(c, "POST", "/admin/config", `{}`) }, 12 * time.Hour},
		"kept, nothing":   {true, time.Hour, func(*fixture, *http.Cookie) {}, 12 * time.Hour},
		"kept, with ping": {true, time.Hour, func(f *fixture, c *http.Cookie) { f.browser(c, "POST", "/admin/session/ping", "") }, 12 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, settings.Patch{})
			f.spec = nil
			r := request("POST", "/admin/session", fmt.Sprintf(`{"key":%q,"keep":%t}`, adminKey, test.keep))
			cookie := f.do(r).Result().Cookies()[0]
			for passed := test.every; ; passed += test.every {
				f.clock.advance(test.every)
				test.do(f, cookie)
				w := f.browser(cookie, "GET", "/admin/session", "")
				if ended := w.Code == http.StatusUnauthorized; ended != (passed >= test.ends) {
					t.Fatalf("after %v: %d %s", passed, w.Code, w.Body)
				} else if ended {
					if w.Header().Get("Set-Cookie") == "" {
						t.Error("the cookie is not taken away")
					}
					return
				}
			}
		})
	}
}

func TestSession_SignOut(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	one, two, three := f.signIn(adminKey), f.signIn(adminKey), f.signIn(viewerKey)
	if w := f.browser(one, "DELETE", "/admin/session", ""); w.Code != http.StatusNoContent || !strings.Contains(w.Header().Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("sign out: %d, cookie %q", w.Code, w.Header().Get("Set-Cookie"))
	}
	if w := f.browser(one, "GET", "/admin/session", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("after signing out: %d", w.Code)
	}
	if w := f.browser(three, "DELETE", "/admin/sessions", ""); w.Code != http.StatusForbidden {
		t.Errorf("a viewer ends all: %d", w.Code)
	}
	if w := f.browser(two, "DELETE", "/admin/sessions", ""); w.Code != http.StatusNoContent {
		t.Errorf("ending all: %d %s", w.Code, w.Body)
	}
	for _, cookie := range []*http.Cookie{two, three} {
		if w := f.browser(cookie, "GET", "/admin/session", ""); w.Code != http.StatusUnauthorized {
			t.Errorf("after ending all: %d", w.Code)
		}
	}
}

// TestSession_NoIDOutlivesASignIn: an id that somebody planted is worth nothing.
func TestSession_NoIDOutlivesASignIn(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	old := f.signIn(viewerKey)
	r := request("POST", "/admin/session", fmt.Sprintf(`{"key":%q}`, adminKey))
	r.AddCookie(old)
	r.Header.Set("Origin", "http://example.com")
	w := f.do(r)
	if fresh := w.Result().Cookies(); w.Code != http.StatusCreated || len(fresh) != 1 || fresh[0].Value == old.Value {
		t.Fatalf("%d %v", w.Code, fresh)
	}
	if w := f.browser(old, "GET", "/admin/session", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("the old session: %d %s", w.Code, w.Body)
	}
}

// TestSession_EndsWithItsKey: another admin key in force, by a reload or a rotation,
// ends the sessions of the old one; the viewers' stay.
func TestSession_EndsWithItsKey(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	admin, viewer := f.signIn(adminKey), f.signIn(viewerKey)
	other := f.config
	other.AdminKeyHash = sha256.Sum256([]byte("another-admin-key-0123"))
	f.Handler = New(other)
	if w := f.browser(admin, "GET", "/admin/session", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("admin: %d", w.Code)
	}
	if w := f.browser(viewer, "GET", "/admin/session", ""); w.Code != http.StatusOK {
		t.Errorf("viewer: %d", w.Code)
	}
	// A key that becomes another role's ends it, too: viewers do not become admins.
	other.AdminKeyHash, other.ViewerKeyHash = other.ViewerKeyHash, [32]byte{}
	f.Handler = New(other)
	if w := f.browser(viewer, "GET", "/admin/session", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("viewer whose key is the admin's now: %d", w.Code)
	}
}

func TestSession_SurvivesAReload(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	cookie := f.signIn(adminKey)
	f.Handler = New(f.config)
	if w := f.browser(cookie, "GET", "/admin/session", ""); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestSudo(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.spec = nil
	cookie := f.signIn(adminKey)
	rotate := func() string { return problemCode(f.browser(cookie, "POST", "/admin/admin-key/rotate", "")) }
	sudo := func(c *http.Cookie, key string) int {
		return f.browser(c, "POST", "/admin/session/sudo", fmt.Sprintf(`{"key":%q}`, key)).Code
	}
	if code := rotate(); code != "sudo_required" {
		t.Errorf("before: %s", code)
	}
	if got := sudo(cookie, viewerKey); got != http.StatusUnauthorized {
		t.Errorf("with the viewer key: %d", got)
	}
	if code := rotate(); code != "sudo_required" {
		t.Errorf("after a wrong key: %s", code)
	}
	if got := sudo(cookie, adminKey); got != http.StatusOK {
		t.Errorf("with the key: %d", got)
	}
	if code := rotate(); code != "locked" { // the fixture's key is configured
		t.Errorf("after: %s", code)
	}
	f.clock.advance(sudoTime)
	if code := rotate(); code != "sudo_required" {
		t.Errorf("five minutes later: %s", code)
	}
	if got := sudo(f.signIn(viewerKey), adminKey); got != http.StatusForbidden {
		t.Errorf("a viewer with the admin key: %d; they should sign in", got)
	}
}

// TestSession_GuessingIsSlowed: all ways to send a key share one count.
func TestSession_GuessingIsSlowed(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.spec = nil
	cookie := f.signIn(adminKey)
	guess := func(what string, r *http.Request, want int) {
		t.Helper()
		r.RemoteAddr = addr
		if r.Header.Get("Authorization") == "" {
			r.Header.Set("Origin", "http://example.com")
		}
		if w := f.do(r); w.Code != want {
			t.Errorf("%s: %d %s, want %d", what, w.Code, w.Body, want)
		}
	}
	signIn := func(key string) *http.Request {
		return request("POST", "/admin/session", fmt.Sprintf(`{"key":%q}`, key))
	}
	sudo := func(key string) *http.Request {
		r := request("POST", "/admin/session/sudo", fmt.Sprintf(`{"key":%q}`, key))
		r.AddCookie(cookie)
		return r
	}
	guess("sign-in", signIn("wrong"), 401)
	guess("sign-in with a user key", signIn("gb-xx-yy"), 401)
	guess("sudo", sudo("wrong"), 401)
	f.wants("header", 401, addr, "wrong")
	guess("sign-in", signIn("wrong"), 401)
	guess("sixth, right key", signIn(adminKey), 429)
	guess("sudo, right key", sudo(adminKey), 429)
	f.wants("header, right key", 429, addr, adminKey)
	r := request("GET", "/admin/session", "")
	r.AddCookie(cookie)
	guess("the session goes on", r, 200)
	f.clock.advance(failureWindow)
	guess("a minute later", signIn(adminKey), 201)
}

func TestSession_AnswersToWrongKeysAreEqual(t *testing.T) {
	bodies := map[string]bool{}
	for _, key := range []string{"wrong", "gb-abcdefgh-ijklmnop", adminKey[:20], viewerKey + "x", strings.Repeat("x", 5000)} {
		f := newFixture(t, settings.Patch{})
		w := f.do(request("POST", "/admin/session", fmt.Sprintf(`{"key":%q}`, key)))
		text := decoded(t, w)
		delete(text, "request_id")
		bodies[fmt.Sprint(w.Code, text)] = true
	}
	if len(bodies) != 1 {
		t.Errorf("answers differ: %v", bodies)
	}
}

func TestSessions_AreBounded(t *testing.T) {
	now := time.Now()
	ss := sessions{now: func() time.Time { return now }}
	first, _ := ss.start([32]byte{1}, roleAdmin, false)
	second, _ := ss.start([32]byte{1}, roleAdmin, false)
	now = now.Add(time.Minute)
	ss.input(ss.find(first, func(role, [32]byte) bool { return true }))
	for range maxSessions - 1 {
		ss.start([32]byte{1}, roleAdmin, false)
	}
	for range 2 { // to count them ends none
		if n := ss.count(); n != maxSessions {
			t.Errorf("%d sessions", n)
		}
	}
	all := func(role, [32]byte) bool { return true }
	if ss.find(second, all) != nil || ss.find(first, all) == nil {
		t.Error("not the idlest session went")
	}
}

// rebound are names that a page of an attacker can have point to this server, and
// odd spellings of the right ones. Source: specs/gateways.md W1.
var rebound = []string{
	"evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.nip.io", "127.0.0.1.evil.example", "example.com.evil.example",
	"evil.localhost", "localhost.", "localhost..", "LOCALHOST.evil.example", "xn--lcalhost-54a", "0", "2130706433", "0x7f000001", "017700000001", "127.1", "127.0.1",
	"evilexample.com", "x.example.com", "example.co", "example.com:80:80", "example.com:evil", "example.com@evil.example", "evil.example#example.com",
	"[::1].evil.example", "[::1", "::1]", "[evil.example]", "nas", "nas.local", "a.b.sub.example.org", ".sub.example.org", "sub.example.org", "",
}

func TestHosts_ReboundNamesAreRefused(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.spec = nil
	f.config.Hosts = []string{"example.com", "*.sub.example.org"}
	f.Handler = New(f.config)
	cookie := f.signIn(adminKey)
	for _, host := range rebound {
		if host == "localhost." { // the same name, in full
			continue
		}
		for name, r := range map[string]*http.Request{
			"session": request("GET", "/admin/keys/gemini", ""), "change": request("POST", "/admin/config", `{}`),
			"page": request("GET", "/admin/ui/", ""), "asset": request("GET", "/admin/ui/x/js/main.js", ""),
			"sign-in": request("POST", "/admin/session", fmt.Sprintf(`{"key":%q}`, adminKey)), "setup": request("GET", "/admin/setup", ""),
		} {
			r.Host = host
			r.Header.Set("Origin", "http://"+host) // as a browser would
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			if name == "session" || name == "change" {
				r.AddCookie(cookie)
			}
			if w := f.do(r); w.Code != http.StatusForbidden || problemCode(w) != "host_not_allowed" && problemCode(w) != "cross_origin" {
				t.Errorf("%s by %q: %d %s", name, host, w.Code, w.Body)
			}
		}
	}
}

func TestHosts_OurNamesAreTaken(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.spec = nil
	f.config.Hosts = []string{"Nas.Local", "*.sub.example.org", "example.com"}
	f.config.RoutedHost = func(r *http.Request) bool { return r.Host == "routed.example" }
	f.Handler = New(f.config)
	cookie := f.signIn(adminKey)
	for _, host := range []string{
		"localhost", "localhost:8080", "LocalHost", "localhost.", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080", "192.168.1.5:8080", "[fe80::1]",
		"nas.local", "NAS.local:8080", "a.sub.example.org", "A.SUB.example.org:443", "routed.example",
	} {
		r := request("GET", "/admin/session", "")
		r.Host = host
		r.AddCookie(cookie)
		if w := f.do(r); w.Code != http.StatusOK {
			t.Errorf("%q: %d %s", host, w.Code, w.Body)
		}
	}
	r := request("GET", "/admin/session", "")
	r.Host = "evil.example"
	r.Header.Set("Authorization", adminKey)
	if w := f.do(r); w.Code != http.StatusOK {
		t.Errorf("a script by any name: %d", w.Code)
	}
}
