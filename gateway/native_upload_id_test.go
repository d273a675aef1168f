// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// TestNativeUpload_ID: only an id that was made here, not long ago, for somebody
// who may still use the gateway, lets anything through.
func TestNativeUpload_ID(t *testing.T) {
	w := newWorld(t, keys(3))
	at, a := w.begin("/upload/v1beta/files", `{}`)
	if a.status != 200 {
		t.Fatal(a)
	}
	query := func(u string) url.Values {
		parsed, err := url.Parse(u)
		must(t, err)
		return parsed.Query()
	}
	id := query(at).Get("upload_id")
	session, ok := w.gw.Resources.openUpload(id, time.Now())
	if !ok || session.URL == "" || strings.Contains(id, session.User) {
		t.Fatalf("%+v %v", session, ok)
	}
	with := func(edit func(*uploadSession)) string {
		s := session
		edit(&s)
		return w.gw.Resources.sealUpload(s)
	}
	key, gone, err := w.users.Create(t.Context(), users.Spec{Name: "gone", Unlimited: true})
	must(t, err)
	must(t, w.users.Delete(t.Context(), key.ID))
	disabled, _, err := w.users.Create(t.Context(), users.Spec{Name: "disabled", Unlimited: true})
	must(t, err)
	_, err = w.users.SetEnabled(t.Context(), disabled.ID, false)
	must(t, err)
	other, _, err := w.users.Create(t.Context(), users.Spec{Name: "openai only", Unlimited: true, Dialects: []string{"openai"}})
	must(t, err)
	changed := []byte(id)
	changed[len(changed)/2] ^= 1
	for _, tc := range []struct {
		name   string
		id     string
		header []string
		status int
	}{
		{"none", "", nil, 403},
		{"Google's own", query(session.URL).Get("upload_id"), nil, 403},
		{"changed", string(changed), nil, 403},
		{"cut", id[:len(id)-4], nil, 403},
		{"long", strings.Repeat("A", maxUploadID+1), nil, 403},
		{"expired", with(func(s *uploadSession) { s.Expires = time.Now().Unix() }), nil, 403},
		{"of a deleted user", with(func(s *uploadSession) { s.User = key.ID }), nil, 403},
		{"of a disabled user", with(func(s *uploadSession) { s.User = disabled.ID }), nil, 403},
		{"of one who may not use the dialect", with(func(s *uploadSession) { s.User = other.ID }), nil, 403},
		{"of nobody", with(func(s *uploadSession) { s.User = "" }), nil, 403},
		{"at another host", with(func(s *uploadSession) { s.URL = strings.Replace(s.URL, "127.0.0.1", "127.0.0.2", 1) }), nil, 404},
		{"without a query", with(func(s *uploadSession) { s.URL, _, _ = strings.Cut(s.URL, "?") }), nil, 404},
		{"lost at Google", with(func(s *uploadSession) { s.URL = strings.Replace(s.URL, "upload_id=", "upload_id=x", 1) }), nil, 404},
		{"with another user's key", id, []string{"X-Goog-Api-Key", strings.TrimPrefix(w.other(), "Bearer ")}, 403},
		{"with a key that is none", id, []string{"X-Goog-Api-Key", "AIza-mine"}, 200},
		{"with the key of one who is gone", id, []string{"X-Goog-Api-Key", gone}, 200},
		{"with its own key", id, []string{"X-Goog-Api-Key", w.key}, 200},
		{"good", id, nil, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.google.Forget()
			a := w.chunk("/upload/v1beta/files?upload_id="+tc.id, "query", 0, "", tc.header...)
			if a.status != tc.status {
				t.Fatalf("%d %s", a.status, a.body)
			}
			asked := w.google.Count()
			if allowed := tc.status == 200 || tc.name == "lost at Google"; allowed != (asked > 0) {
				t.Errorf("Google was asked %d times", asked)
			}
			if tc.status != 200 && (!strings.HasPrefix(a.body, `{"error":{"code":`+fmt.Sprint(tc.status)) || strings.Contains(a.body, "upload_id=")) {
				t.Error(a.body)
			}
		})
	}
	// A start, on the other hand, wants a key.
	if _, a := w.begin("/upload/v1beta/files", `{}`, "Authorization", ""); a.status != 403 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestNativeUpload_Prefix: the URL has the prefix that clients use; SDKs that lose it
// find the upload without it.
func TestNativeUpload_Prefix(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprint("https ", secure), func(t *testing.T) {
			w := newWorld(t, keys(3))
			serve := func(rw http.ResponseWriter, r *http.Request) { w.gw.ServeHTTP(rw, r) }
			mux := http.NewServeMux()
			mux.Handle("/gem/", http.StripPrefix("/gem", http.HandlerFunc(serve)))
			mux.HandleFunc("/upload/", serve)
			server := httptest.NewUnstartedServer(mux)
			if server.Start(); secure {
				server.Close()
				server = httptest.NewTLSServer(mux)
			}
			defer server.Close()
			w.server.Close()
			w.server = server
			at, a := w.begin("/gem/upload/v1/files", `{}`)
			if !strings.HasPrefix(at, "/gem/upload/v1/files?upload_id=") {
				t.Fatalf("%s %d %s", at, a.status, a.body)
			}
			if a := w.chunk(strings.TrimPrefix(at, "/gem"), "upload", 0, string(pattern(granularity))); a.status != 200 {
				t.Fatalf("without the prefix: %d %s", a.status, a.body)
			}
			a = w.chunk(at, "upload, finalize", granularity, "x")
			var p published
			if decode(t, a.body, &p); a.status != 200 {
				t.Fatalf("with it: %d %s", a.status, a.body)
			}
			want := googleURL + "/v1beta/" + p.File.Name
			if secure {
				want = server.URL + "/gem/v1beta/" + p.File.Name
			}
			if p.File.URI != want {
				t.Errorf("%s, want %s", p.File.URI, want)
			}
		})
	}
}

// TestNativeUpload_Browser: web pages may start uploads and read where to.
func TestNativeUpload_Browser(t *testing.T) {
	w := newWorld(t, keys(1), func(c *Config) { c.CORS = []string{"https://app.example"} })
	a := w.do(t.Context(), http.MethodOptions, "/upload/v1beta/files", "", "Authorization", "", "Origin", "https://app.example",
		"Access-Control-Request-Headers", "x-goog-api-key, x-goog-upload-command")
	if a.status != 204 || a.header.Get("Access-Control-Allow-Methods") != "POST, PUT, OPTIONS" || a.header.Get("Access-Control-Allow-Headers") != "x-goog-api-key, x-goog-upload-command" {
		t.Errorf("%d %v", a.status, a.header)
	}
	at, a := w.begin("/upload/v1beta/files", `{}`, "Origin", "https://app.example")
	for _, a := range []answer{a, w.chunk(at, "query", 0, "", "Origin", "https://app.example")} {
		for _, name := range []string{"x-goog-upload-url", "x-goog-upload-status", "x-goog-upload-size-received", "x-goog-upload-chunk-granularity", "request-id", "retry-after"} {
			if !strings.Contains(a.header.Get("Access-Control-Expose-Headers"), name) {
				t.Errorf("%s is not exposed", name)
			}
		}
		if a.status != 200 || a.header.Get("Access-Control-Allow-Origin") != "https://app.example" {
			t.Errorf("%d %v", a.status, a.header)
		}
	}
}
