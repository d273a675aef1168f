// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
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
	last := func(e *fakegemini.Entry) bool { // the one that was cut off at first may come only now
		return e.Header.Get("X-Goog-Upload-Offset") == fmt.Sprint(granularity)
	}
	if n := w.google.Count(last); n != 1 {
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
	if a := w.chunk(at, "cancel", 0, ""); a.status != 400 {
		t.Errorf("cancelled after the end: %d", a.status)
	}
	at, _ = w.begin("/upload/v1beta/files", `{}`)
	if a := w.chunk(at, "cancel", 0, ""); a.status != 200 || a.header.Get("X-Goog-Upload-Status") != "cancelled" {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.server.Close() // waits for the upload that was cut off
	if s := w.pool.Stats(); s.InFlight != 0 || s.Resting != 0 || s.Usable != 3 {
		t.Errorf("%+v", s)
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
		w.google.Wait(time.Minute, 1, fakegemini.ByMethod("files.upload"))
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

// TestNativeUpload_Headers: Google gets the headers that SDKs upload with, and none
// that it would take for one of the file's own request.
func TestNativeUpload_Headers(t *testing.T) {
	w := newWorld(t, keys(1))
	smuggled := []string{
		"X-Goog-Upload-Header-Authorization", "Bearer ya29", "X-Goog-Upload-Header-X-Goog-Api-Key", "k", "X-Goog-Upload-Header-X-Goog-User-Project", "p",
		"X-Goog-Upload-Header-Cookie", "c", "X-Goog-Upload-New", "n", "X-Upload-Content-New", "n",
	}
	at, a := w.begin("/upload/v1beta/files", `{}`, append([]string{
		"X-Goog-Upload-Header-Content-Length", "4", "X-Goog-Upload-File-Name", "cat.png", "X-Upload-Content-Type", "image/png", "X-Upload-Content-Length", "4",
	}, smuggled...)...)
	done := w.chunk(at, "upload, finalize", 0, "data", append([]string{"Content-Range", "bytes 0-3/4"}, smuggled...)...)
	if a.status != 200 || done.status != 200 {
		t.Fatalf("%d %s, %d %s", a.status, a.body, done.status, done.body)
	}
	want := [][]string{
		{
			"X-Goog-Upload-Protocol", "X-Goog-Upload-Command", "X-Goog-Upload-File-Name", "X-Goog-Upload-Header-Content-Type",
			"X-Goog-Upload-Header-Content-Length", "X-Upload-Content-Type", "X-Upload-Content-Length",
		},
		{"X-Goog-Upload-Command", "X-Goog-Upload-Offset", "Content-Range"},
	}
	entries := w.google.Entries()
	if len(entries) != len(want) {
		t.Fatalf("%d requests", len(entries))
	}
	for i, e := range entries {
		for _, name := range want[i] {
			if e.Header.Get(name) == "" {
				t.Errorf("request %d lacks %s", i, name)
			}
		}
		for k := 0; k < len(smuggled); k += 2 {
			if v := e.Header.Get(smuggled[k]); v != "" {
				t.Errorf("request %d has %s: %s", i, smuggled[k], v)
			}
		}
	}
}
