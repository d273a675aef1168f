// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// published is the file that an upload's last answer names.
type published struct {
	File struct{ Name, URI, MIMEType, DisplayName, SizeBytes, State string }
}

// begin starts a resumable upload and returns its URL's path and query.
func (w *world) begin(path, body string, header ...string) (at string, a answer) {
	w.t.Helper()
	a = w.do(w.t.Context(), http.MethodPost, path, body, append([]string{
		"X-Goog-Upload-Protocol", "resumable", "X-Goog-Upload-Command", "start",
		"X-Goog-Upload-Header-Content-Type", "image/png", "Content-Type", "application/json",
	}, header...)...)
	u, err := url.Parse(a.header.Get("X-Goog-Upload-Url"))
	must(w.t, err)
	return u.RequestURI(), a
}

// chunk sends a request to an upload as Google's SDKs do: JSON by its type, and here
// without any key.
func (w *world) chunk(at, command string, offset int, data string, header ...string) answer {
	w.t.Helper()
	return w.do(w.t.Context(), http.MethodPost, at, data, append([]string{
		"Authorization", "", "Content-Type", "application/json",
		"X-Goog-Upload-Command", command, "X-Goog-Upload-Offset", fmt.Sprint(offset),
	}, header...)...)
}

// upload uploads natively in one chunk.
func (w *world) upload(data, metadata string) published {
	w.t.Helper()
	at, a := w.begin("/upload/v1beta/files", metadata)
	if a.status != 200 {
		w.t.Fatalf("start: %d %s", a.status, a.body)
	}
	a = w.chunk(at, "upload, finalize", 0, data)
	var p published
	if decode(w.t, a.body, &p); a.status != 200 || p.File.Name == "" {
		w.t.Fatalf("%d %s", a.status, a.body)
	}
	return p
}

// stub is a Google of which only the answers matter.
func stub(t testing.TB, serve http.HandlerFunc) func(*Config) {
	t.Helper()
	server := httptest.NewServer(serve)
	t.Cleanup(server.Close)
	up, err := upstream.New(upstream.Config{BaseURL: server.URL, UserAgent: "test"})
	must(t, err)
	t.Cleanup(up.Close)
	return func(c *Config) { c.Upstream = up }
}

// TestNativeUpload: every start that SDKs send gets a URL of the gateway's, whose id
// alone lets the chunks through, all to one project; both dialects see the file.
func TestNativeUpload(t *testing.T) {
	for _, path := range []string{"/upload/v1beta/files", "/upload/v1/files", "/v1alpha/upload/v1beta/files", "/v1beta/upload/v1beta/files", "//upload/v1beta/files/"} {
		t.Run(path, func(t *testing.T) {
			w := newWorld(t, keys(5))
			data := string(pattern(3*granularity + 5))
			at, a := w.begin(path, `{"file":{"displayName":"cat.png"}}`, "X-Goog-Upload-Header-Content-Length", fmt.Sprint(len(data)))
			if a.status != 200 || a.body != "" || a.header.Get("X-Goog-Upload-Status") != "active" || a.header.Get("X-Goog-Upload-Chunk-Granularity") != fmt.Sprint(granularity) {
				t.Fatalf("%d %s %v", a.status, a.body, a.header)
			}
			version := "v1beta"
			if strings.Contains(path, "/v1/") {
				version = "v1"
			}
			want := w.server.URL + "/upload/" + version + "/files?upload_id="
			for _, name := range []string{"X-Goog-Upload-Url", "X-Goog-Upload-Control-Url"} {
				if got := a.header.Get(name); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "&upload_protocol=resumable") {
					t.Errorf("%s: %s", name, got)
				}
			}
			if a = w.chunk(at, "upload", 0, data[:2*granularity]); a.status != 200 || a.header.Get("X-Goog-Upload-Size-Received") != fmt.Sprint(2*granularity) || a.header.Get("X-Goog-Upload-Status") != "active" {
				t.Fatalf("%d %s %v", a.status, a.body, a.header)
			}
			if a = w.chunk(at, "query", 0, ""); a.status != 200 || a.header.Get("X-Goog-Upload-Size-Received") != fmt.Sprint(2*granularity) {
				t.Fatalf("%d %s %v", a.status, a.body, a.header)
			}
			a = w.chunk(at, "upload, finalize", 2*granularity, data[2*granularity:])
			var p published
			if decode(t, a.body, &p); a.status != 200 || a.header.Get("X-Goog-Upload-Status") != "final" || p.File.DisplayName != "cat.png" {
				t.Fatalf("%d %s", a.status, a.body)
			}
			if p.File.URI != googleURL+"/v1beta/"+p.File.Name {
				t.Errorf("rewritten for plain http: %s", p.File.URI)
			}
			var list struct{ Data []uploaded }
			decode(t, w.do(t.Context(), http.MethodGet, "/v1/files", "").body, &list)
			if len(list.Data) != 1 || list.Data[0].Filename != "cat.png" || list.Data[0].Purpose != "user_data" {
				t.Fatalf("%+v", list)
			}
			if a := w.about(list.Data[0].ID); a.status != 200 {
				t.Errorf("%d %s", a.status, a.body)
			}
			if v := w.google.Violations(); len(v) > 0 {
				t.Error(v)
			}
			w.stored(list.Data[0], []byte(data))
			for _, e := range w.google.Entries(fakegemini.ByMethod("files.upload")) {
				if e.Header.Get("Content-Type") != "application/json" || e.Header.Get("Authorization") != "" || e.Header.Get("Content-Length") == "" && e.Note != "query" {
					t.Errorf("%s: %v", e.Note, e.Header)
				}
			}
		})
	}
}

const granularity = 256 << 10 // of Google's chunks

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

// TestNativeUpload_Resumed: what was cut off goes on from where Google has it, and a
// file whose last answer was lost is recorded when it is asked about.
func TestNativeUpload_Resumed(t *testing.T) {
	w := newWorld(t, keys(3))
	data := string(pattern(2 * granularity))
	at, _ := w.begin("/upload/v1beta/files", `{"file":{"display_name":"a"}}`)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	stalled, client := io.Pipe()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.server.URL+at, stalled)
	must(t, err)
	req.ContentLength = int64(len(data))
	req.Header.Set("X-Goog-Upload-Command", "upload, finalize")
	req.Header.Set("X-Goog-Upload-Offset", "0")
	go func() {
		_, _ = io.WriteString(client, data[:granularity])
		cancel()
		_ = client.CloseWithError(context.Canceled) // net/http's client waits for it
	}()
	if res, err := w.server.Client().Do(req); err == nil {
		t.Fatalf("%d", res.StatusCode)
	}
	if a := w.chunk(at, "query", 0, ""); a.status != 200 || a.header.Get("X-Goog-Upload-Size-Received") != "0" {
		t.Fatalf("%d %v", a.status, a.header)
	}
	if a := w.chunk(at, "upload", 0, data[:granularity]); a.status != 200 {
		t.Fatal(a)
	}
	if a := w.chunk(at, "upload", 0, data[:granularity]); a.status != 400 || a.header.Get("X-Goog-Upload-Status") != "active" || a.header.Get("X-Goog-Upload-Size-Received") != fmt.Sprint(granularity) {
		t.Errorf("a chunk twice: %d %s %v", a.status, a.body, a.header)
	}
	defer w.google.Script(fakegemini.Rule{Method: "files.upload", Times: 1, Steer: fakegemini.Steer{Break: fakegemini.ResetEvent}})()
	w.google.Forget()
	if a := w.chunk(at, "upload, finalize", granularity, data[granularity:]); a.status < 500 || a.header.Get("X-Goog-Upload-Status") != "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if n := w.google.Count(); n != 1 {
		t.Errorf("the gateway sent the chunk %d times", n)
	}
	var p published
	a := w.chunk(at, "query", 0, "")
	if decode(t, a.body, &p); a.status != 200 || a.header.Get("X-Goog-Upload-Status") != "final" || p.File.Name == "" {
		t.Fatalf("%d %s %v", a.status, a.body, a.header)
	}
	var list struct{ Data []uploaded }
	decode(t, w.do(t.Context(), http.MethodGet, "/v1/files", "").body, &list)
	if len(list.Data) != 1 {
		t.Fatalf("%+v", list)
	}
	w.stored(list.Data[0], []byte(data))
	if s := w.pool.Stats(); s.InFlight != 0 || s.Resting != 0 || s.Usable != 3 {
		t.Errorf("%+v", s)
	}
	if a := w.chunk(at, "cancel", 0, ""); a.status != 400 {
		t.Errorf("cancelled after the end: %d", a.status)
	}
	at, _ = w.begin("/upload/v1beta/files", `{}`)
	if a := w.chunk(at, "cancel", 0, ""); a.status != 200 || a.header.Get("X-Goog-Upload-Status") != "cancelled" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestNativeUpload_Left: a client that leaves with its last byte has made the file.
func TestNativeUpload_Left(t *testing.T) {
	w := newWorld(t, keys(2))
	at, _ := w.begin("/upload/v1beta/files", `{}`)
	w.google.Script(fakegemini.Rule{Method: "files.upload", Times: 1, Steer: fakegemini.Steer{Delay: 300 * time.Millisecond}})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.server.URL+at, strings.NewReader("data"))
	must(t, err)
	req.Header.Set("X-Goog-Upload-Command", "upload, finalize")
	req.Header.Set("X-Goog-Upload-Offset", "0")
	go func() {
		w.google.Wait(5*time.Second, 1, fakegemini.ByMethod("files.upload"))
		cancel()
	}()
	if res, err := w.server.Client().Do(req); err == nil {
		t.Fatalf("%d", res.StatusCode)
	}
	w.server.Close() // waits for the handler
	files, err := w.gw.Resources.list(mustUser(t, w), "files/")
	if err != nil || len(files) != 1 {
		t.Errorf("%+v %v", files, err)
	}
}

func mustUser(t *testing.T, w *world) string {
	t.Helper()
	account, err := w.users.Authenticate(w.key)
	must(t, err)
	return account.Key().ID
}

// TestNativeUpload_Start: an upload begins at another key where one refuses, with
// another version where the client's has no uploads, and nowhere if it is wrong.
func TestNativeUpload_Start(t *testing.T) {
	for _, tc := range []struct {
		name   string
		rule   fakegemini.Rule
		path   string
		body   string
		status int
	}{
		{"dead key", fakegemini.Rule{Method: "files.start", Times: 1, Steer: fakegemini.Steer{Status: 429}}, "/upload/v1beta/files", `{}`, 200},
		{"fails once", fakegemini.Rule{Method: "files.start", Times: 1, Steer: fakegemini.Steer{Status: 500}}, "/upload/v1beta/files", `{}`, 200},
		{"no uploads in v1", fakegemini.Rule{Method: "files.start", Times: 1, Steer: fakegemini.Steer{Status: 404}}, "/upload/v1/files", `{}`, 200},
		{"no URL", fakegemini.Rule{Method: "files.start", Steer: fakegemini.Steer{Empty: true}}, "/upload/v1beta/files", `{}`, 503},
		{"bad name", fakegemini.Rule{Method: "none"}, "/upload/v1beta/files", `{"file":{"name":"files/A B"}}`, 400},
		{"bad JSON", fakegemini.Rule{Method: "none"}, "/upload/v1beta/files", `{`, 400},
		{"no body", fakegemini.Rule{Method: "none"}, "/upload/v1beta/files", ``, 200},
		{"store of nobody", fakegemini.Rule{Method: "none"}, "/upload/v1beta/fileSearchStores/s-1:uploadToFileSearchStore", `{}`, 404},
		{"environment of nobody", fakegemini.Rule{Method: "none"}, "/upload/v1beta/environments/e-1/files/a/b.txt", `{}`, 404},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, keys(3))
			patchWait(t, w, 0)
			w.google.Script(tc.rule)
			if _, a := w.begin(tc.path, tc.body); a.status != tc.status {
				t.Errorf("%d %s", a.status, a.body)
			}
			if v := w.google.Violations(); len(v) > 0 {
				t.Error(v)
			}
		})
	}
}

// TestNativeUpload_URLs: a start is answered with a URL only if Google's is at the
// host that requests go to. The headers of both protocols are rewritten.
func TestNativeUpload_URLs(t *testing.T) {
	for _, tc := range []struct {
		name, header, url string
		status            int
	}{
		{"own host", "X-Goog-Upload-URL", "http://HOST/upload/v1beta/files?upload_id=g", 200},
		{"older protocol", "Location", "http://HOST/upload/v1beta/files?upload_id=g&uploadType=resumable", 200},
		{"foreign host", "X-Goog-Upload-URL", "http://127.0.0.9/upload/v1beta/files?upload_id=g", 503},
		{"no URL", "X-Goog-Upload-URL", "::", 503},
		{"no path", "X-Goog-Upload-URL", "http://HOST?upload_id=g", 503},
		{"none", "X-None", "x", 503},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, keys(1), stub(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Get("upload_id") == "g" {
					w.Header().Set("Range", "bytes=0-99")
					w.WriteHeader(http.StatusPermanentRedirect)
					return
				}
				w.Header().Set(tc.header, strings.ReplaceAll(tc.url, "HOST", r.Host))
			}))
			a := w.do(t.Context(), http.MethodPost, "/upload/v1beta/files?uploadType=resumable", "{}")
			if a.status != tc.status {
				t.Fatalf("%d %s", a.status, a.body)
			}
			got := a.header.Get(tc.header)
			if tc.status != 200 {
				if got != "" {
					t.Errorf("%s", got)
				}
				return
			}
			at, own := strings.CutPrefix(got, w.server.URL)
			if !own || strings.Contains(got, "upload_id=g") {
				t.Fatal(got)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, w.server.URL+at, strings.NewReader("x"))
			must(t, err)
			res, err := w.server.Client().Transport.RoundTrip(req)
			must(t, err)
			must(t, res.Body.Close())
			if res.StatusCode != 308 || res.Header.Get("Range") != "bytes=0-99" {
				t.Errorf("%d %v", res.StatusCode, res.Header)
			}
		})
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

// TestNativeUpload_Names: users choose names of files, and may choose the same.
func TestNativeUpload_Names(t *testing.T) {
	w := newWorld(t, keys(2))
	const named = `{"file":{"name":"files/report"}}`
	if p := w.upload("mine", named); p.File.Name != "files/report" {
		t.Fatalf("%+v", p)
	}
	if _, a := w.begin("/upload/v1beta/files", named); a.status != 409 {
		t.Errorf("one's own name again: %d %s", a.status, a.body)
	}
	mine := w.key
	// Wherever the other's home is, one of the projects has the name free.
	for range 4 {
		w.key = strings.TrimPrefix(w.other(), "Bearer ")
		at, a := w.begin("/upload/v1beta/files", named)
		if a.status == 409 { // both projects have one by now
			break
		}
		if a = w.chunk(at, "upload, finalize", 0, "other"); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if len(w.google.Files("p1")) != 1 || len(w.google.Files("p2")) != 1 {
		t.Errorf("p1 %v, p2 %v", w.google.Files("p1"), w.google.Files("p2"))
	}
	w.key = mine
	var list struct{ Data []uploaded }
	if decode(t, w.do(t.Context(), http.MethodGet, "/v1/files", "").body, &list); len(list.Data) != 1 || list.Data[0].Bytes != 4 {
		t.Errorf("%+v", list)
	}
}

// TestNativeUpload_Whole: an upload in one request is sent again to another key while
// it is small, and only once where that is not held.
func TestNativeUpload_Whole(t *testing.T) {
	const related = "--b\r\nContent-Type: application/json\r\n\r\n{\"file\":{}}\r\n--b\r\nContent-Type: image/png\r\n\r\nPNG\r\n--b--\r\n"
	for _, tc := range []struct {
		name, query, kind, body string
		header                  []string
		fail                    int32
		status, calls           int
	}{
		{"multipart", "?uploadType=multipart&key=KEY&fields=x", "multipart/related; boundary=b", related, nil, 0, 200, 1},
		{"multipart by header", "", "multipart/related; boundary=b", related, []string{"X-Goog-Upload-Protocol", "multipart"}, 0, 200, 1},
		{"raw", "", "image/png", "PNG", []string{"X-Goog-Upload-Protocol", "raw"}, 0, 200, 1},
		{"retried", "", "image/png", "PNG", []string{"X-Goog-Upload-Protocol", "raw"}, 1, 200, 2},
		{"large", "", "image/png", string(pattern(uploadChunk + 9)), []string{"X-Goog-Upload-Protocol", "raw"}, 0, 200, 1},
		{"large, fails", "", "image/png", string(pattern(uploadChunk + 9)), []string{"X-Goog-Upload-Protocol", "raw"}, 1, 503, 1},
		{"compressed", "", "image/png", "PNG", []string{"Content-Encoding", "gzip"}, 0, 415, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var mu sync.Mutex
			var calls int
			fail := tc.fail
			w := newWorld(t, keys(3), stub(t, func(rw http.ResponseWriter, r *http.Request) {
				got, err := io.ReadAll(r.Body)
				mu.Lock()
				defer mu.Unlock()
				calls++
				if err != nil || string(got) != tc.body || r.Header.Get("Content-Type") != tc.kind || r.ContentLength != int64(len(tc.body)) ||
					r.URL.Query().Has("key") || r.URL.Query().Has("fields") || r.Header.Get("Authorization") != "" {
					t.Errorf("%v %d bytes, %v %s", err, len(got), r.Header, r.URL)
				}
				if fail > 0 {
					fail--
					rw.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				fmt.Fprintf(rw, `{"file":{"name":"files/abc","uri":%q,"sizeBytes":"3"},"future":1}`, googleURL+"/v1beta/files/abc")
			}))
			a := w.do(t.Context(), http.MethodPost, "/upload/v1beta/files"+strings.ReplaceAll(tc.query, "KEY", w.key), tc.body,
				append([]string{"Content-Type", tc.kind}, tc.header...)...)
			if a.status != tc.status || calls != tc.calls {
				t.Fatalf("%d %s after %d calls", a.status, a.body, calls)
			}
			_, err := w.gw.Resources.get(mustUser(t, w), "files/abc")
			if (err == nil) != (tc.status == 200) {
				t.Errorf("recorded: %v", err)
			}
		})
	}
}

// TestNativeUpload_Store: an upload into a store goes to the store's project; the
// operation that it makes is found as the store is.
func TestNativeUpload_Store(t *testing.T) {
	const operation = "fileSearchStores/s-1/upload/operations/op-1"
	var mu sync.Mutex
	var secrets []string
	w := newWorld(t, keys(5), stub(t, func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		secrets = append(secrets, r.Header.Get("X-Goog-Api-Key"))
		if r.URL.Path != "/upload/v1beta/fileSearchStores/s-1:uploadToFileSearchStore" {
			t.Error(r.URL)
		}
		if r.URL.Query().Has("upload_id") {
			rw.Header().Set("X-Goog-Upload-Status", "final")
			_, _ = io.WriteString(rw, `{"name":"`+operation+`"}`)
			return
		}
		rw.Header().Set("X-Goog-Upload-URL", "http://"+r.Host+r.URL.Path+"?upload_id=g")
	}))
	lease, err := w.pool.Lease(t.Context(), balancer.Want{})
	must(t, err)
	secret, bound := lease.Secret(), lease.Binding()
	lease.Done(balancer.Outcome{Verdict: balancer.OK})
	user := mustUser(t, w)
	must(t, w.gw.Resources.put(user, resource{Name: "fileSearchStores/s-1", Bound: bound, Created: time.Now()}, true))
	const path = "/upload/v1beta/fileSearchStores/s-1:uploadToFileSearchStore"
	if _, a := w.begin(path, `{}`, "Authorization", w.other()); a.status != 404 || len(secrets) != 0 {
		t.Fatalf("another user: %d %s", a.status, a.body)
	}
	at, a := w.begin(path, `{"displayName":"a","chunkingConfig":{}}`)
	if a.status != 200 || !strings.HasPrefix(at, path+"?upload_id=") {
		t.Fatalf("%d %s %s", a.status, a.body, at)
	}
	if a = w.chunk(at, "upload, finalize", 0, "text"); a.status != 200 || a.body != `{"name":"`+operation+`"}` {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for _, s := range secrets {
		if s != secret {
			t.Error("a key of another project was used")
		}
	}
	if _, err := w.gw.Resources.get(user, operation); err == nil {
		t.Error("the operation has a record beside its store's")
	}
}

// TestNativeUpload_Unkept: a file that could not be recorded is not left behind, and
// an answer that names no file is none.
func TestNativeUpload_Unkept(t *testing.T) {
	db := &failing{}
	w := newWorld(t, keys(2), func(c *Config) {
		db.Store = c.Resources.store
		c.Resources = NewResources(db, c.Resources.sealer, 0)
	})
	at, _ := w.begin("/upload/v1beta/files", `{}`)
	db.writes.Store(true)
	if a := w.chunk(at, "upload, finalize", 0, "x"); a.status != 500 || strings.Contains(a.body, "disk") || w.owner(2) != "" {
		t.Errorf("%d %s %s", a.status, a.body, w.owner(2))
	}
	db.writes.Store(false)
	for _, body := range []string{`{"file":{"name":"../x"}}`, `{"file":`, `[]`} {
		at, _ := w.begin("/upload/v1beta/files", `{}`)
		remove := w.google.Script(fakegemini.Rule{Method: "files.upload", Times: 1, Steer: fakegemini.Steer{Status: 200, Body: body}})
		if a := w.chunk(at, "upload, finalize", 0, "x"); a.status != 503 {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
		remove()
	}
}

// TestNativeUpload_TooLarge: the limit of bodies is one of each request, not of the
// upload.
func TestNativeUpload_TooLarge(t *testing.T) {
	w := newWorld(t, keys(2), func(c *Config) { c.MaxRequestSize = 2 * granularity })
	at, _ := w.begin("/upload/v1beta/files", `{}`)
	large := string(pattern(3 * granularity))
	if a := w.chunk(at, "upload", 0, large); a.status != 413 {
		t.Errorf("%d %s", a.status, a.body)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL+at, io.MultiReader(strings.NewReader(large)))
	must(t, err)
	req.Header.Set("X-Goog-Upload-Command", "upload")
	req.Header.Set("X-Goog-Upload-Offset", "0")
	res, err := w.server.Client().Do(req)
	must(t, err)
	must(t, res.Body.Close())
	if res.StatusCode != 413 {
		t.Errorf("of no declared length: %d", res.StatusCode)
	}
	for i := range 3 {
		command := "upload"
		if i == 2 {
			command = "upload, finalize"
		}
		if a := w.chunk(at, command, i*granularity, large[i*granularity:(i+1)*granularity]); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if s := w.pool.Stats(); s.InFlight != 0 || s.Resting != 0 || s.Usable != 2 {
		t.Errorf("%+v", s)
	}
}

// TestNativeUpload_Stalled: a client that sends nothing gives up its lease and is not
// taken for a Google that is slow; a Google that is slow is.
func TestNativeUpload_Stalled(t *testing.T) {
	w := newWorld(t, keys(2), func(c *Config) { c.Timeouts.Idle = 200 * time.Millisecond })
	at, _ := w.begin("/upload/v1beta/files", `{}`)
	stalled, client := io.Pipe()
	defer client.Close()
	go func() { _, _ = client.Write(bytes.Repeat([]byte{1}, 1000)) }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL+at, stalled)
	must(t, err)
	req.ContentLength = granularity
	req.Header.Set("X-Goog-Upload-Command", "upload")
	req.Header.Set("X-Goog-Upload-Offset", "0")
	res, err := w.server.Client().Do(req)
	must(t, err)
	body, err := io.ReadAll(res.Body)
	must(t, err)
	must(t, res.Body.Close())
	if res.StatusCode != 400 || !strings.Contains(string(body), "timeouts.idle") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	w.google.Script(fakegemini.Rule{Method: "files.upload", Times: 1, Steer: fakegemini.Steer{Delay: time.Second}})
	if a := w.chunk(at, "upload, finalize", 0, "x"); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if s := w.pool.Stats(); s.InFlight != 0 || s.Resting != 0 || s.Usable != 2 {
		t.Errorf("%+v", s)
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

// heap is how much of memory lives.
type heap struct {
	idle int64
	peak atomic.Int64
}

func newHeap() *heap {
	h := new(heap)
	runtime.GC()
	h.sample()
	h.idle = h.peak.Load()
	return h
}

func (h *heap) sample() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	h.peak.Store(max(h.peak.Load(), int64(m.HeapAlloc)))
}

func (h *heap) grown() int64 { return h.peak.Load() - h.idle }

// TestNativeUpload_Memory: 100 MB pass through a pipe, and the gateway holds none of
// them. Google is one that reads and forgets.
func TestNativeUpload_Memory(t *testing.T) {
	for name, path := range map[string]string{"a chunk": "", "in one request": "/upload/v1beta/files"} {
		t.Run(name, func(t *testing.T) {
			const size = 100_000_000
			w := newWorld(t, keys(1), stub(t, func(rw http.ResponseWriter, r *http.Request) {
				n, err := io.Copy(io.Discard, r.Body)
				if r.Header.Get("X-Goog-Upload-Command") == "start" {
					rw.Header().Set("X-Goog-Upload-URL", "http://"+r.Host+r.URL.Path+"?upload_id=g")
					return
				}
				if err != nil || r.ContentLength != size {
					t.Errorf("%v, %d bytes", err, r.ContentLength)
				}
				fmt.Fprintf(rw, `{"file":{"name":"files/abc","sizeBytes":"%d"}}`, n)
			}))
			at := path
			if at == "" {
				at, _ = w.begin("/upload/v1beta/files", `{}`)
			}
			heap := newHeap()
			read, write := io.Pipe()
			go func() {
				_, err := io.Copy(write, &sampled{left: size, every: heap.sample})
				_ = write.CloseWithError(err)
			}()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL+at, read)
			must(t, err)
			req.ContentLength = size
			req.Header.Set("Authorization", "Bearer "+w.key)
			req.Header.Set("X-Goog-Upload-Protocol", "raw")
			req.Header.Set("X-Goog-Upload-Command", "upload, finalize")
			res, err := w.server.Client().Do(req)
			must(t, err)
			body, err := io.ReadAll(res.Body)
			must(t, err)
			must(t, res.Body.Close())
			if res.StatusCode != 200 || !strings.Contains(string(body), fmt.Sprint(size)) {
				t.Fatalf("%d %s", res.StatusCode, body)
			}
			t.Logf("%d KiB at most", heap.grown()>>10)
			if heap.grown() > 8<<20 {
				t.Errorf("the heap grew by %d KiB", heap.grown()>>10)
			}
		})
	}
}
