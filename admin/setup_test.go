// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// TestSetup_LeadsGuestsToTheTokenOnly: without it they must sign in, whatever is
// missing; then they are told.
func TestSetup_LeadsGuestsToTheTokenOnly(t *testing.T) {
	f, _ := firstRun(t)
	ask := func(who string, want string) {
		t.Helper()
		r := request("GET", "/admin/setup", "")
		if who != "" {
			r.Header.Set("Authorization", who)
		}
		if v := decoded(t, f.do(r)); fmt.Sprint(v["needed"], v["token"], v["gemini_keys"], v["user_keys"]) != want {
			t.Errorf("%q: %v, want %s", who, v, want)
		}
	}
	ask("", "false false <nil> <nil>")
	f.state.OfferSetup()
	ask("", "true true <nil> <nil>")
	ask(viewerKey, "true true false false")
	ask(adminKey, "true false false false")
	ask("", "false false <nil> <nil>")
	f.addGeminiKey(1)
	ask(adminKey, "true false true false")
	f.createUserKey("alice")
	ask(adminKey, "false false true true")
}

// firstRun is a fixture whose admin key was just made; kept has what is on its disk.
func firstRun(t *testing.T) (f *fixture, kept *string) {
	t.Helper()
	f = newFixture(t, settings.Patch{})
	kept = new(adminKey)
	f.config.AdminKeyHash = [32]byte{}
	f.config.ReplaceAdminKey = func(secret string) error { *kept = secret; return nil }
	f.state.SetAdminKey(sha256.Sum256([]byte(adminKey)))
	f.Handler = New(f.config)
	return f, kept
}

func (f *fixture) setUp(body string) (status int, code string, answer map[string]any, cookies []*http.Cookie) {
	f.t.Helper()
	r := request("POST", "/admin/setup", body)
	r.Header.Set("Origin", "http://example.com")
	w := f.do(r)
	return w.Code, problemCode(w), decoded(f.t, w), w.Result().Cookies()
}

func TestSetup_Token(t *testing.T) {
	for name, given := range map[string]string{"made": "", "chosen": "my-own-key-of-16-or-more"} {
		t.Run(name, func(t *testing.T) {
			f, kept := firstRun(t)
			token := f.state.OfferSetup()
			if v := decoded(t, f.do(request("GET", "/admin/setup", ""))); v["needed"] != true || v["token"] != true || v["gemini_keys"] != nil {
				t.Errorf("before: %v", v)
			}
			body := fmt.Sprintf(`{"token":" %s "}`, token)
			if given != "" {
				body = fmt.Sprintf(`{"token":%q,"admin_key":%q}`, token, given)
			}
			status, code, answer, cookies := f.setUp(body)
			key, _ := answer["admin_key"].(string)
			if status != http.StatusCreated || key != *kept || len(key) < MinAdminKey || given != "" && key != given || len(cookies) != 1 {
				t.Fatalf("%d %s %v, kept %q", status, code, answer, *kept)
			}
			if w := f.browser(cookies[0], "GET", "/admin/setup", ""); decoded(t, w)["gemini_keys"] != false {
				t.Errorf("by the session: %d %s", w.Code, w.Body)
			}
			f.wants("old key", 401, addr, adminKey)
			f.wants("new key", 200, addr, key)
			if status, code, _, _ := f.setUp(body); status != http.StatusForbidden || code != "setup_closed" {
				t.Errorf("again: %d %s", status, code)
			}
		})
	}
}

func TestSetup_Refuses(t *testing.T) {
	f, kept := firstRun(t)
	token := f.state.OfferSetup()
	for name, key := range map[string]string{"short": "fifteen-letters", "spaces": "a key of many words", "umlaut": "schlüssel-schlüssel", "long": strings.Repeat("x", 1025)} {
		if status, code, _, _ := f.setUp(fmt.Sprintf(`{"token":%q,"admin_key":%q}`, token, key)); status != http.StatusBadRequest || code != "invalid_body" {
			t.Errorf("%s: %d %s", name, status, code)
		}
	}
	for i := range setupTries {
		if status, code, _, _ := f.setUp(`{"token":"wrong"}`); status != http.StatusUnauthorized || code != "wrong_setup_token" {
			t.Errorf("try %d: %d %s", i, status, code)
		}
	}
	if status, code, _, _ := f.setUp(fmt.Sprintf(`{"token":%q}`, token)); code != "setup_closed" {
		t.Errorf("right token after %d wrong ones: %d %s", setupTries, status, code)
	}
	if *kept != adminKey {
		t.Error("the key was changed")
	}
}

func TestSetup_Closes(t *testing.T) {
	for name, then := range map[string]func(f *fixture){
		"with time":                       func(f *fixture) { f.clock.advance(setupTime) },
		"with the first use of the key":   func(f *fixture) { f.admin("GET", "/admin/session", "") },
		"with the first sign-in":          func(f *fixture) { f.signIn(adminKey) },
		"unless it was offered":           func(f *fixture) { f.state.setup.close() },
		"but not by a wrong key, nothing": nil,
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := firstRun(t)
			token := f.state.OfferSetup()
			want := http.StatusForbidden
			if then != nil {
				then(f)
			} else {
				f.wants("wrong key", 401, addr, "wrong")
				want = http.StatusCreated
			}
			if status, code, _, _ := f.setUp(fmt.Sprintf(`{"token":%q}`, token)); status != want {
				t.Errorf("%d %s, want %d", status, code, want)
			}
		})
	}
}

func TestSetup_FailingDiskKeepsTheOldKey(t *testing.T) {
	f, _ := firstRun(t)
	f.config.ReplaceAdminKey = func(string) error { return errors.New("disk is full") }
	f.Handler = New(f.config)
	if w := f.admin("POST", "/admin/admin-key/rotate", ""); w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "disk is full") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	f.wants("old key", 200, addr, adminKey)
}

func TestRotateAdminKey(t *testing.T) {
	f, kept := firstRun(t)
	cookie := f.signIn(adminKey)
	f.clock.advance(time.Minute)
	w := f.admin("POST", "/admin/admin-key/rotate", `{}`)
	key, _ := decoded(t, w)["admin_key"].(string)
	if w.Code != http.StatusOK || key != *kept || key == adminKey {
		t.Fatalf("%d %s, kept %q", w.Code, w.Body, *kept)
	}
	f.wants("old key", 401, addr, adminKey)
	f.wants("new key", 200, addr, key)
	if w := f.browser(cookie, "GET", "/admin/session", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("a session of the old key: %d", w.Code)
	}
}
