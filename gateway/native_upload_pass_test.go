// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

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
	w := newWorld(t, keys(2), func(c *Config) { c.Timeouts.Idle = time.Second }) // Google is faster
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
	if s := w.pool.Stats(); s.InFlight != 0 || s.Resting != 0 || s.Usable != 2 {
		t.Errorf("%+v", s)
	}
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, keys(2), func(c *Config) { c.Timeouts.Idle = 200 * time.Millisecond })
		at, _ := w.begin("/upload/v1beta/files", `{}`)
		w.google.Script(fakegemini.Rule{Method: "files.upload", Times: 1, Steer: fakegemini.Steer{Delay: time.Second}})
		if a := w.chunk(at, "upload, finalize", 0, "x"); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
		if s := w.pool.Stats(); s.InFlight != 0 || s.Resting != 0 || s.Usable != 2 {
			t.Errorf("%+v", s)
		}
	})
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
