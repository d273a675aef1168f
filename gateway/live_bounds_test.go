// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// withoutWait has requests refused at once when all keys rest.
func withoutWait(t *testing.T) func(*Config) {
	set, err := settings.Open(memory.New(), settings.Patch{"retry.wait": time.Duration(0)})
	must(t, err)
	return func(c *Config) { c.Settings = set }
}

// TestLive_Resumption: a handle leads back to the project that it came from, for
// the user that it was given to.
func TestLive_Resumption(t *testing.T) {
	w := newWorld(t, keys(5), withoutWait(t))
	_, other, err := w.users.Create(t.Context(), users.Spec{Name: "other", Unlimited: true})
	must(t, err)
	c := w.live(t, resumable(""))
	c.ready()
	c.newHandle()
	c.say("My name is Ada")
	c.answer()
	handle := c.newHandle()
	c.leave()
	for turn := 2; turn <= 8; turn++ {
		c := w.live(t, resumable(handle))
		c.ready()
		c.newHandle()
		c.say("Who am I?")
		if got, want := c.answer(), fmt.Sprintf("(turn %d)", turn); !strings.HasSuffix(got, want) {
			t.Fatalf("resumed: %q, want %s", got, want)
		}
		handle = c.newHandle()
		c.leave()
	}
	before := w.google.Count()
	c = w.liveAs(t, other, resumable(handle))
	if e := c.closed(); e.Code != websocket.StatusPolicyViolation || !strings.Contains(e.Reason, "does not exist") {
		t.Errorf("another user's handle: %v", e)
	}
	if w.google.Count() != before {
		t.Error("Google was asked for another user's session")
	}
	c = w.live(t, resumable("a-handle-that-nobody-here-has-seen"))
	if e := c.closed(); e.Code != websocket.StatusPolicyViolation || e.Reason != "BidiGenerateContent session not found" {
		t.Errorf("an unknown handle: %v, want Google's word", e)
	}
	if v := w.google.Violations(); len(v) > 0 {
		t.Errorf("violations: %+v", v)
	}

	// Its project rests: no other one can go on with it.
	w.google.SetLimits(w.projectOfLast(), liveModel, fakegemini.Limits{RPD: fakegemini.SpentDay})
	before = w.google.Count()
	c = w.live(t, resumable(handle))
	if e := c.closed(); e.Code != websocket.StatusInternalError {
		t.Errorf("the project is out of quota: %v", e)
	}
	if n := w.google.Count() - before; n != 1 {
		t.Errorf("%d attempts at a session of a project that rests", n)
	}
}

// projectOfLast is the project that served a session last.
func (w *world) projectOfLast() (project string) {
	for _, e := range w.google.Entries() {
		if strings.Contains(string(e.Body), "handle") && e.Prompt != "" {
			project = e.Project
		}
	}
	return project
}

// TestLive_Limits: a session is a request, and holds a place as long as it lasts.
func TestLive_Limits(t *testing.T) {
	w := newWorld(t, keys(1))
	_, key, err := w.users.Create(t.Context(), users.Spec{Name: "one at a time", Limits: users.Limits{Concurrency: 1, RPM: 100, TPM: 1000}})
	must(t, err)
	c := w.liveAs(t, key, plainSetup)
	c.ready()
	second := w.liveAs(t, key, plainSetup)
	if e := second.closed(); e.Code != websocket.StatusInternalError || !strings.Contains(e.Reason, "limit of 1 requests at the same time") {
		t.Errorf("a second session: %v", e)
	}
	if n := w.pool.Stats().InFlight; n != 1 {
		t.Errorf("%d leases for one session", n)
	}
	c.say("Hello")
	c.answer()
	c.leave()
	w.settled(t, 2)
	third := w.liveAs(t, key, plainSetup)
	third.ready()
	third.leave()
	w.settled(t, 3)
	account, err := w.users.Authenticate(key)
	must(t, err)
	for _, l := range account.Remaining() {
		switch {
		case l.Limit == "concurrency" && l.Remaining != 1,
			l.Limit == "tpm" && (l.Remaining > 1000-1 || l.Remaining < 1000-25): // the 20 that were used flow back with time
			t.Errorf("%s: %d of %d remain", l.Limit, l.Remaining, l.Max)
		}
	}
}

// TestLive_Revoked: a session ends with its user key.
func TestLive_Revoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Live{})
		key, secret, err := s.users.Create(t.Context(), users.Spec{Name: "short", Unlimited: true})
		must(t, err)
		s.key = secret
		c, _ := s.open(t, livePath, plainSetup)
		c.ready()
		_, err = s.users.SetEnabled(t.Context(), key.ID, false)
		must(t, err)
		if e := c.closed(); e.Code != websocket.StatusPolicyViolation || !strings.Contains(e.Reason, "not valid any more") {
			t.Errorf("got %v", e)
		}
	})
}

// TestLive_Leaves: a side that vanishes takes the other one along.
func TestLive_Leaves(t *testing.T) {
	w := newWorld(t, keys(1))
	c := w.live(t, plainSetup)
	c.ready()
	must(t, c.conn.CloseNow())
	w.settled(t, 1)
	if got := w.usage.Totals(time.Time{}).ByOutcome; got["canceled"].Requests != 1 {
		t.Errorf("the books have %+v", got)
	}

	t.Run("before the setup", func(t *testing.T) {
		c, _, err := w.liveDial(t, livePath+"?key="+w.key)
		must(t, err)
		must(t, c.conn.CloseNow())
		w.settled(t, 2)
	})
	t.Run("Google closes", func(t *testing.T) {
		w := newWorld(t, keys(1))
		c := w.live(t, plainSetup)
		c.ready()
		w.google.Close()
		if e := c.closed(); e.Code != websocket.StatusInternalError {
			t.Errorf("got %v", e)
		}
	})
}

// TestLive_Backpressure: a client that does not read stops Google, and can leave.
func TestLive_Backpressure(t *testing.T) {
	w := newWorld(t, keys(1))
	c := w.live(t, plainSetup)
	c.ready()
	c.say("[[flood]]")
	sent := func() int64 { return w.google.Entries()[0].Bytes }
	var last int64
	for quiet := 0; quiet < 5; {
		time.Sleep(20 * time.Millisecond)
		if now := sent(); now == last && now > 1<<20 {
			quiet++
		} else {
			quiet, last = 0, now
		}
		if last > 200<<20 {
			t.Fatal("Google has sent 200 MB to a client that does not read")
		}
	}
	must(t, c.conn.CloseNow())
	w.settled(t, 1)
}

// TestLive_Tokens: ephemeral tokens stand for the user who made them.
func TestLive_Tokens(t *testing.T) {
	w := newWorld(t, keys(3), func(c *Config) {
		c.Live.Tokens = LiveTokensPassThrough
		c.Aliases = []settings.Alias{{Name: "live", Targets: []string{liveModel}}}
	})
	limited, secret, err := w.users.Create(t.Context(), users.Spec{Name: "limited", Models: []string{"gemini-3*"}, Unlimited: true})
	must(t, err)
	create := func(body string, header ...string) (answer, string) {
		a := w.do(t.Context(), http.MethodPost, "/v1alpha/auth_tokens", body, header...)
		var made struct{ Name string }
		if a.status == http.StatusOK {
			decode(t, a.body, &made)
		}
		return a, made.Name
	}
	a, token := create(`{"uses":1,"bidiGenerateContentSetup":{"setup":{"model":"models/live"}}}`)
	if !strings.HasPrefix(token, "auth_tokens/") {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	if e := w.google.Entries(); !strings.Contains(string(e[len(e)-1].Body), liveModel) {
		t.Errorf("the alias reached Google: %s", e[len(e)-1].Body)
	}
	path := strings.Replace(livePath, "v1beta", "v1alpha", 1) + "Constrained"
	for name, header := range map[string][]string{"query": {}, "header": {"Authorization", "Token " + token}} {
		at := path
		if name == "query" {
			at += "?access_token=" + token
		}
		c, _, err := w.liveDial(t, at, header...)
		must(t, err)
		c.send(websocket.MessageText, plainSetup)
		c.ready()
		c.say("Hello")
		c.answer()
		c.leave()
	}
	w.settled(t, 3)
	for _, e := range w.google.Entries(fakegemini.ByMethod("BidiGenerateContentConstrained")) {
		if e.Key != "" || e.Query != "" || len(e.Header["X-Goog-Api-Key"]) > 0 {
			t.Errorf("a key went along with the token: %+v", e)
		}
	}
	if got := w.usage.Totals(time.Time{}); len(got.ByUser) != 1 || got.Requests != 3 {
		t.Errorf("the books have %+v", got)
	}

	if a, _ := create(`{"bidiGenerateContentSetup":{"setup":{"model":"models/`+liveModel+`"}}}`, "Authorization", "Bearer "+secret); a.status != http.StatusForbidden {
		t.Errorf("a token for a model that is not allowed: %d %s", a.status, a.body)
	}
	_, token = create(`{}`, "Authorization", "Bearer "+secret)
	c, _, err := w.liveDial(t, path+"?access_token="+token)
	must(t, err)
	c.send(websocket.MessageText, plainSetup)
	if e := c.closed(); e.Code != websocket.StatusPolicyViolation {
		t.Errorf("a model that is not allowed, by token: %v", e)
	}
	must(t, w.users.Delete(t.Context(), limited.ID))
	for name, at := range map[string]string{"of a deleted user": path + "?access_token=" + token, "unknown": path + "?access_token=auth_tokens/none", "a user key": path + "?access_token=" + w.key} {
		if _, res, err := w.liveDial(t, at); err == nil || res == nil || res.StatusCode != http.StatusBadRequest {
			t.Errorf("a token %s was taken: %v", name, err)
		}
	}
	off := newWorld(t, keys(1))
	if a := off.do(t.Context(), http.MethodPost, "/v1alpha/auth_tokens", `{}`); a.status != http.StatusForbidden || !strings.Contains(a.body, "PERMISSION_DENIED") {
		t.Errorf("switched off: %d %s", a.status, a.body)
	}
}

// TestLive_Proxy: a session takes the route of its key.
func TestLive_Proxy(t *testing.T) {
	w := newWorld(t, keys(1))
	var passed atomic.Int64
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		passed.Add(1)
		r.Out.URL = r.In.URL
	}})
	t.Cleanup(proxy.Close)
	must(t, w.pool.SetRoutes([]string{proxy.URL}))
	c := w.live(t, plainSetup)
	c.ready()
	c.say("Hello")
	c.answer()
	c.leave()
	w.settled(t, 1)
	if passed.Load() != 1 {
		t.Errorf("%d requests went through the proxy", passed.Load())
	}
}

// TestLive_TokenHandle: a token goes on with a session of its maker only, in the
// project of that session.
func TestLive_TokenHandle(t *testing.T) {
	w := newWorld(t, keys(5), func(c *Config) { c.Live.Tokens = LiveTokensPassThrough })
	other := w.other()
	c := w.live(t, resumable(""))
	c.ready()
	handle := c.newHandle()
	c.leave()
	project := w.google.Entries()[0].Project
	setup := func(value string) string {
		return `{"uses":1,"bidiGenerateContentSetup":{"model":"models/` + liveModel + `",` + value + `}}`
	}
	escaped := fmt.Sprintf(`\u%04x`, handle[0]) + handle[1:]
	for _, tc := range []struct {
		name, body, key string
		status          int
	}{
		{"another user's", setup(`"sessionResumption":{"handle":"` + handle + `"}`), other, http.StatusNotFound},
		{"another user's, in a setup", `{"bidiGenerateContentSetup":{"setup":{"sessionResumption":{"handle":"` + handle + `"}}}}`, other, http.StatusNotFound},
		{"another user's, in snake case", `{"bidi_generate_content_setup":{"session_resumption":{"h\u0061ndle":"` + escaped + `"}}}`, other, http.StatusNotFound},
		{"another user's, second", setup(`"sessionResumption":{"handle":"mine","handle":"` + handle + `"}`), other, http.StatusNotFound},
		{"too long", setup(`"sessionResumption":{"handle":"` + strings.Repeat("x", maxCaptured) + `"}`), other, http.StatusBadRequest},
		{"too many", setup(`"a":[` + strings.Repeat(`{"handle":"x"},`, maxTokenHandles) + `{"handle":"x"}]`), other, http.StatusBadRequest},
		{"unknown", setup(`"sessionResumption":{"handle":"nobody-has-seen-it"}`), other, http.StatusOK},
		{"a parameter of a function", setup(`"tools":[{"functionDeclarations":[{"name":"f","parameters":{"type":"OBJECT","properties":{"handle":{"type":"STRING"}}}}]}]`), other, http.StatusOK},
		{"one's own", setup(`"sessionResumption":{"handle":"` + handle + `"}`), "Bearer " + w.key, http.StatusOK},
	} {
		w.google.Forget()
		a := w.post("/v1alpha/auth_tokens", tc.body, "Authorization", tc.key)
		if a.status != tc.status {
			t.Errorf("%s: %d %s", tc.name, a.status, a.body)
		}
		if asked := w.google.Count(); (asked > 0) != (tc.status == http.StatusOK) {
			t.Errorf("%s: Google was asked %d times", tc.name, asked)
		}
	}
	if got := w.google.Entries()[0].Project; got != project {
		t.Errorf("the token for a session of %s is of %s", project, got)
	}
}
