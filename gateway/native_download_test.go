// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

// owned records a file of the test's user that a key of the pool made, and returns
// the key's secret.
func (w *world) owned(t *testing.T, name string) (secret string) {
	t.Helper()
	lease, err := w.pool.Lease(t.Context(), balancer.Want{})
	must(t, err)
	defer lease.Done(balancer.Outcome{Verdict: balancer.OK})
	must(t, w.gw.Resources.put(mustUser(t, w), resource{Name: name, Bound: lease.Binding(), Created: time.Now(), Expires: time.Now().Add(time.Hour)}, true))
	return lease.Secret()
}

// TestNativeDownload: bytes come from the project that has them, by every path that
// SDKs use, over a redirect that the client never sees; others find nothing.
func TestNativeDownload(t *testing.T) {
	const video = "0123456789"
	var mu sync.Mutex
	var asked []*http.Request
	bytesAt := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r)
		mu.Unlock()
		rw.Header().Set("Content-Type", "video/mp4")
		rw.Header().Set("ETag", `"v1"`)
		rw.Header().Set("Server", "storage")
		rw.Header().Set("Set-Cookie", "a=b")
		http.ServeContent(rw, r, "", time.Time{}, strings.NewReader(video))
	}))
	defer bytesAt.Close()
	w := newWorld(t, keys(4), stub(t, func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r)
		mu.Unlock()
		http.Redirect(rw, r, bytesAt.URL+"/bytes?sig=1", http.StatusFound)
	}))
	secret := w.owned(t, "files/v1")
	get := func(method, path string, header ...string) answer {
		mu.Lock()
		asked = nil
		mu.Unlock()
		return w.do(t.Context(), method, path, "", header...)
	}
	for path, upstream := range map[string]string{
		"/v1beta/files/v1:download?alt=media":              "/v1beta/files/v1:download?alt=media",
		"/v1/files/v1%3Adownload?alt=media":                "/v1/files/v1:download?alt=media",
		"/download/v1beta/files/v1:download?alt=media":     "/download/v1beta/files/v1:download?alt=media",
		"/v1beta/files/v1:download?alt=media&key=" + w.key: "/v1beta/files/v1:download?alt=media",
	} {
		a := get(http.MethodGet, path)
		if a.status != 200 || a.body != video || a.header.Get("Content-Type") != "video/mp4" || a.header.Get("Content-Length") != "10" || a.header.Get("Etag") != `"v1"` {
			t.Fatalf("%s: %d %s %v", path, a.status, a.body, a.header)
		}
		if a.header.Get("Server") != "" || a.header.Get("Set-Cookie") != "" || a.header.Get("Location") != "" {
			t.Errorf("%v", a.header)
		}
		if len(asked) != 2 || asked[0].RequestURI != upstream || asked[0].Header.Get("X-Goog-Api-Key") != secret {
			t.Fatalf("%s: %v", path, asked[0].RequestURI)
		}
		if asked[1].Header.Get("X-Goog-Api-Key") != "" || asked[1].Header.Get("Authorization") != "" {
			t.Errorf("another host got a key: %v", asked[1].Header)
		}
	}
	const path = "/v1beta/files/v1:download?alt=media"
	if a := get(http.MethodGet, path, "Range", "bytes=2-4", "If-Range", `"v1"`); a.status != 206 || a.body != "234" || a.header.Get("Content-Range") != "bytes 2-4/10" {
		t.Errorf("%d %s %v", a.status, a.body, a.header)
	}
	if a := get(http.MethodGet, path, "If-None-Match", `"v1"`); a.status != 304 || a.body != "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := get(http.MethodGet, path, "Range", "bytes=20-"); a.status != 416 || a.header.Get("Content-Range") != "bytes */10" || !strings.HasPrefix(a.body, `{"error":{"code":416`) {
		t.Errorf("%d %s %v", a.status, a.body, a.header)
	}
	if a := get(http.MethodHead, path); a.status != 200 || a.body != "" || a.header.Get("Content-Length") != "10" {
		t.Errorf("%d %v", a.status, a.header)
	}
	for name, a := range map[string]answer{
		"another user":  get(http.MethodGet, path, "Authorization", w.other()),
		"no such file":  get(http.MethodGet, "/v1beta/files/v2:download?alt=media"),
		"another kind":  get(http.MethodGet, "/v1beta/generatedFiles/v1:download?alt=media"),
		"a video of no": get(http.MethodGet, "/download/v1/files/x:download"),
	} {
		if a.status != 404 || !strings.HasPrefix(a.body, `{"error":{"code":404`) || len(asked) != 0 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if s := w.pool.Stats(); s.InFlight != 0 || s.Resting != 0 || s.Usable != 4 {
		t.Errorf("%+v", s)
	}
}

// TestNativeDownload_Refused: whatever goes wrong is an error by its status, with
// nothing of an answer in it, and what other hosts say is no fault of a key.
func TestNativeDownload_Refused(t *testing.T) {
	to := func(url string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Location", strings.ReplaceAll(url, "HERE", "http://"+r.Host))
			rw.WriteHeader(http.StatusFound)
		}
	}
	answers := func(status int, body string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(status)
			_, _ = io.WriteString(rw, body)
		}
	}
	const gone = `{"error":{"code":403,"message":"You do not have permission to access the File v1 or it may not exist.","status":"PERMISSION_DENIED"}}`
	for _, tc := range []struct {
		name      string
		google    http.HandlerFunc
		elsewhere http.HandlerFunc
		status    int
		kept      bool
	}{
		{"for ever", to("HERE/again"), nil, 503, true},
		{"to a foreign host", to("https://example.com/x"), nil, 503, true},
		{"to one that looks alike", to("https://googleapis.com.example.com/x"), nil, 503, true},
		{"to a suffix", to("https://evilgoogleapis.com/x"), nil, 503, true},
		{"to plain http", to("http://storage.googleapis.com/x"), nil, 503, true},
		{"to another port", to("https://storage.googleapis.com:8443/x"), nil, 503, true},
		{"with a password", to("https://a:b@storage.googleapis.com/x"), nil, 503, true},
		{"to a file", to("file:///etc/passwd"), nil, 503, true},
		{"gone", answers(403, gone), nil, 404, false},
		{"fails", answers(500, "no"), nil, 500, true},
		{"forbidden elsewhere", nil, answers(403, "<Error>AccessDenied</Error>"), 500, true},
		{"gone elsewhere", nil, answers(404, "no"), 404, true},
		{"busy elsewhere", nil, answers(503, "no"), 503, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			google := tc.google
			if tc.elsewhere != nil {
				elsewhere := httptest.NewServer(tc.elsewhere)
				defer elsewhere.Close()
				google = func(rw http.ResponseWriter, r *http.Request) {
					http.Redirect(rw, r, elsewhere.URL+"/x", http.StatusFound)
				}
			}
			w := newWorld(t, keys(2), stub(t, google))
			patchWait(t, w, 0)
			w.owned(t, "files/v1")
			a := w.do(t.Context(), http.MethodGet, "/v1beta/files/v1:download?alt=media", "")
			if a.status != tc.status || !strings.HasPrefix(a.body, `{"error":{"code":`+fmt.Sprint(tc.status)) || strings.Contains(a.body, "AccessDenied") {
				t.Errorf("%d %s", a.status, a.body)
			}
			_, err := w.gw.Resources.get(mustUser(t, w), "files/v1")
			if (err == nil) != tc.kept {
				t.Errorf("its record: %v", err)
			}
			if s := w.pool.Stats(); s.InFlight != 0 || s.Resting != 0 || s.Usable != 2 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestNativeDownload_Cut: a download that breaks off does not look like a whole one,
// with and without a declared length.
func TestNativeDownload_Cut(t *testing.T) {
	for _, length := range []string{"100000", ""} {
		w := newWorld(t, keys(1), stub(t, func(rw http.ResponseWriter, _ *http.Request) {
			if length != "" {
				rw.Header().Set("Content-Length", length)
			}
			_, _ = rw.Write(make([]byte, 50_000))
			_ = http.NewResponseController(rw).Flush()
			panic(http.ErrAbortHandler)
		}))
		w.owned(t, "files/v1")
		a := w.do(t.Context(), http.MethodGet, "/v1beta/files/v1:download?alt=media", "")
		if a.err == nil {
			t.Errorf("length %q: %d with %d bytes and no error", length, a.status, len(a.body))
		}
		if s := w.pool.Stats(); s.InFlight != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// TestNativeDownload_Streams: bytes arrive before the last are there, a client that
// leaves ends the download, and memory is a buffer.
func TestNativeDownload_Streams(t *testing.T) {
	var ended atomic.Int64
	more := make(chan struct{})
	w := newWorld(t, keys(1), stub(t, func(rw http.ResponseWriter, r *http.Request) {
		defer ended.Add(1)
		chunk := make([]byte, 1<<20)
		if _, err := rw.Write(chunk); err != nil {
			return
		}
		_ = http.NewResponseController(rw).Flush()
		select {
		case <-more:
		case <-r.Context().Done():
			return
		}
		for range 99 {
			if _, err := rw.Write(chunk); err != nil {
				return
			}
		}
	}))
	w.owned(t, "files/v1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	open := func(ctx context.Context) *http.Response {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.server.URL+"/v1beta/files/v1:download?alt=media", nil)
		must(t, err)
		req.Header.Set("X-Goog-Api-Key", w.key)
		res, err := w.server.Client().Do(req)
		must(t, err)
		_, err = io.ReadFull(res.Body, make([]byte, 900_000))
		must(t, err)
		return res
	}
	left := open(ctx)
	cancel()
	must(t, left.Body.Close())
	res := open(t.Context())
	heap := newHeap()
	close(more)
	n, err := io.Copy(io.Discard, readSampled{res.Body, heap})
	must(t, errors.Join(err, res.Body.Close()))
	if n != 100<<20-900_000 || heap.grown() > 8<<20 {
		t.Errorf("%d bytes; the heap grew by %d KiB", n, heap.grown()>>10)
	}
	w.server.Close()
	if s := w.pool.Stats(); s.InFlight != 0 || ended.Load() != 2 {
		t.Errorf("%+v, %d ended", s, ended.Load())
	}
}

// readSampled looks at the heap at each read.
type readSampled struct {
	io.Reader
	heap *heap
}

func (r readSampled) Read(p []byte) (int, error) {
	r.heap.sample()
	return r.Reader.Read(p)
}
