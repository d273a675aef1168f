// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// owns has a user own a file of a project.
func (w *world) owns(t *testing.T, user, file string, key int) {
	t.Helper()
	id := balancer.KeyID(fakegemini.DemoKey(key))
	must(t, w.gw.Resources.put(user, resource{
		Name: file, Bound: balancer.Binding{KeyID: id, Project: id}, Created: time.Now(), Expires: time.Now().Add(time.Hour),
	}, true))
}

// toolSays is a message whose answer repeats it: a function's result, with a file
// behind so many bytes, and free JSON that looks like one.
func toolSays(pad int, uri string) string {
	return fmt.Sprintf(`{"toolResponse":{"functionResponses":[{"id":"1","response":{"pad":%q,"fileUri":"files/not-ours","x":{"file_uri":%q}},"parts":[{"fileData": {"fileUri" : %q , "mimeType":"a/b"}},{"text":"end"}]}]}}`,
		strings.Repeat("p", pad), uri, uri)
}

// TestLive_FileAddress: Google's own addresses reach Google, wherever in a message
// they stand, and nothing else is changed.
func TestLive_FileAddress(t *testing.T) {
	w := newWorld(t, keys(3))
	w.owns(t, mustUser(t, w), "files/abc", 2)
	own, google := w.server.URL+"/v1beta/files/abc", googleURL+"/v1beta/files/abc"
	c := w.live(t, fmt.Sprintf(`{"setup":{"systemInstruction":{"parts":[{"fileData":{"fileUri":%q}}]},"model":"models/%s"}}`, own, liveModel))
	c.ready()
	if e := w.google.Entries(); len(e) != 1 || e[0].Project != "p2" || !strings.Contains(string(e[0].Body), `"fileUri":"`+google+`"`) {
		t.Fatalf("Google saw %+v", e)
	}
	says := func(pad int, uri, want string) {
		t.Helper()
		c.send(websocket.MessageText, toolSays(pad, uri))
		got := c.answer()
		sent := strings.Replace(toolSays(pad, uri), fmt.Sprintf(`"fileUri" : %q`, uri), fmt.Sprintf(`"fileUri" : %q`, want), 1)
		sent = sent[strings.Index(sent, "[") : len(sent)-2]
		if !strings.HasPrefix(got, "The tool says "+sent+" (turn") {
			t.Fatalf("with %d bytes before: Google saw …%s, want …%s", pad, got[max(0, len(got)-300):], sent[max(0, len(sent)-280):])
		}
	}
	says(0, own, google)
	says(0, google, google)
	says(0, "https://example.com/v1beta/files/abc", "https://example.com/v1beta/files/abc")
	before := strings.Index(toolSays(0, own), `"fileUri" :`)
	for at := range len(own) + 20 { // each byte of it is the first of a chunk once
		says(chunkSize-before-at, own, google)
	}
	says(3*chunkSize, own, google)

	t.Run("longer than any", func(t *testing.T) {
		c.send(websocket.MessageText, toolSays(0, "https://example.com/"+strings.Repeat("x", 2*chunkSize)))
		if e := c.closed(); e.Code != websocket.StatusPolicyViolation || !strings.Contains(e.Reason, "cannot be read") {
			t.Errorf("got %v", e)
		}
	})
}

// TestLive_Bound: what a session names must be its user's, and in its project.
func TestLive_Bound(t *testing.T) {
	w := newWorld(t, keys(3), func(c *Config) { c.Live.Tokens = LiveTokensPassThrough })
	user := mustUser(t, w)
	w.owns(t, user, "files/one", 1)
	w.owns(t, user, "files/two", 2)
	w.owns(t, user, "fileSearchStores/two", 2)
	w.owns(t, "another", "files/theirs", 1)
	file := func(name string) string { return `{"fileData":{"fileUri":"` + googleURL + "/v1beta/" + name + `"}}` }
	setup := func(parts string) string {
		return `{"setup":{"model":"models/` + liveModel + `","systemInstruction":{"parts":[` + parts + `]}}}`
	}
	says := func(parts string) string {
		return `{"clientContent":{"turns":[{"parts":[` + parts + `]}],"turnComplete":true}}`
	}
	for name, tc := range map[string]struct {
		setup, says string
		project     string // "" for refused at the setup
		want        string // of the close frame; "" for an answer
	}{
		"one":                  {setup(file("files/one")), says(file("files/one")), "p1", ""},
		"two":                  {setup(file("files/two")), says(file("files/two")), "p2", ""},
		"of two projects":      {setup(file("files/one") + "," + file("files/two")), "", "", "different upstream projects"},
		"another's":            {setup(file("files/theirs")), "", "", "does not exist"},
		"a store":              {`{"setup":{"model":"models/` + liveModel + `","tools":[{"fileSearch":{"fileSearchStoreNames":["fileSearchStores/two"]}}]}}`, says(file("files/two")), "p2", ""},
		"another project's":    {setup(file("files/two")), says(file("files/one")), "p2", "different upstream projects"},
		"another's, later":     {setup(file("files/one")), says(file("files/theirs")), "p1", "does not exist"},
		"by its name":          {setup(file("files/one")), says(`{"fileData":{"file_uri":"files/theirs"}}`), "p1", "does not exist"},
		"Google Cloud Storage": {setup(file("files/one")), says(`{"fileData":{"fileUri":"gs://bucket/x"}}`), "p1", "gs://"},
	} {
		t.Run(name, func(t *testing.T) {
			w.google.Forget()
			c := w.live(t, tc.setup)
			if tc.project != "" {
				c.ready()
				if e := w.google.Entries(); len(e) != 1 || e[0].Project != tc.project {
					t.Errorf("Google saw %+v, want one request for %s", e, tc.project)
				}
				c.send(websocket.MessageText, tc.says)
			}
			if tc.want == "" {
				c.answer()
				c.leave()
				return
			}
			if e := c.closed(); !strings.Contains(e.Reason, tc.want) {
				t.Errorf("got %v, want %q", e, tc.want)
			}
			if n := w.google.Count(); tc.project == "" && n != 0 {
				t.Errorf("Google saw %d requests", n)
			}
		})
	}
	t.Run("a token", func(t *testing.T) {
		w.google.Forget()
		body := func(name string) string {
			return `{"bidiGenerateContentSetup":` + setup(file(name)) + `}`
		}
		if a := w.do(t.Context(), http.MethodPost, "/v1alpha/auth_tokens", body("files/theirs")); a.status != http.StatusNotFound {
			t.Errorf("with another's file: %d %s", a.status, a.body)
		}
		if a := w.do(t.Context(), http.MethodPost, "/v1alpha/auth_tokens", body("files/two")); a.status != http.StatusOK {
			t.Errorf("got %d %s", a.status, a.body)
		}
		if e := w.google.Entries(); len(e) != 1 || e[0].Project != "p2" {
			t.Errorf("Google saw %+v", e)
		}
	})
}

// TestLive_Charged: what a session has used is gone for other requests of its user
// while it runs, and is charged once.
func TestLive_Charged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Live{})
		_, secret, err := s.users.Create(t.Context(), users.Spec{Name: "limited", Unlimited: true, Limits: users.Limits{TPM: 60_000}})
		must(t, err)
		account, err := s.users.Authenticate(secret)
		must(t, err)
		used := func() int64 { return 60_000 - account.Remaining()[0].Remaining }
		s.key = secret
		c, _ := s.open(t, livePath, plainSetup)
		c.ready()
		c.say("Hello")
		c.answer()
		if got := used(); got != 4+15 {
			t.Errorf("after a turn %d are taken, want 19", got)
		}
		time.Sleep(20 * time.Second)
		c.say("Again")
		c.answer()
		if got := used(); got != 19+4+15 {
			t.Errorf("after another, 20 s later, %d are taken, want its 38", got)
		}
		c.leave()
		r := <-s.served
		if got := used(); got != 38 || r.Input+r.Output != 19+38 {
			t.Errorf("after the end %d are taken, want 38; %d are booked, want 57", got, r.Input+r.Output)
		}
	})
}

func TestLive_HTTP2(t *testing.T) {
	w := newWorld(t, keys(1))
	for _, method := range []string{http.MethodConnect, http.MethodGet} {
		r := httptest.NewRequest(method, "https://gw.example"+livePath+"?key="+w.key, http.NoBody)
		r.URL.Path = livePath
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
		r.Header.Set(":protocol", "websocket")
		rec := httptest.NewRecorder()
		w.gw.ServeHTTP(rec, r)
		if rec.Code != http.StatusNotImplemented || !strings.Contains(rec.Body.String(), `"UNIMPLEMENTED"`) || !strings.Contains(rec.Body.String(), "HTTP/1.1") {
			t.Errorf("%s: %d %s", method, rec.Code, rec.Body)
		}
	}
}
