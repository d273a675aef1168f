// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// maxOverhead is how much memory the gateway may take at its peak, by the bytes
// of the requests it has in flight. A collector that runs when the heap has
// doubled makes two of one copy, so this leaves no room for a second one.
const maxOverhead = 2.5

// TestMemory_LargeBodies: what an image costs is about itself. The peak is that of
// the gateway's process alone, above what it holds without requests; clients and
// Google are in the test's. Google answers none before it has read all, so that
// all bodies of a round are in flight at the same time.
func TestMemory_LargeBodies(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the peak of a process is read from /proc")
	}
	for _, size := range []struct {
		name            string
		bytes, parallel int
	}{
		{"1 MiB", 1 << 20, 64},
		{"20 MiB", 20 << 20, 6},
	} {
		for _, way := range largeBodies {
			t.Run(way.name+" "+size.name, func(t *testing.T) {
				body := fmt.Appendf(nil, way.body, model, imageOf(size.bytes))
				ratio := 0.0
				for range 3 { // a collector that gets no time on a busy machine lags
					s, google := newBarrierServer(t)
					s.largeRound(google, way.path, fmt.Appendf(nil, way.body, model, pngHead), size.parallel) // connections
					idle := s.memory("VmRSS")
					s.resetPeak()
					for range rounds {
						s.largeRound(google, way.path, body, size.parallel)
					}
					peak, inFlight := s.memory("VmHWM")-idle, int64(len(body)*size.parallel)
					must(t, s.signal(os.Interrupt))
					ratio = float64(peak) / float64(inFlight)
					t.Logf("%d requests of %.1f MiB: %.1f MiB above %.1f MiB, %.2f of what is in flight",
						size.parallel, mib(int64(len(body))), mib(peak), mib(idle), ratio)
					if ratio <= maxOverhead || t.Failed() {
						return
					}
				}
				t.Errorf("the peak is %.2f times what is in flight, want at most %.1f", ratio, maxOverhead)
			})
		}
	}
}

// imageOf is base64 of a PNG of that size.
func imageOf(size int) string {
	return pngHead + strings.Repeat("A", base64.StdEncoding.EncodedLen(size)-len(pngHead))
}

// TestMemory_OpenStreams: once an answer has begun, its request is let go of.
func TestMemory_OpenStreams(t *testing.T) {
	const parallel = 6
	for _, way := range largeBodies {
		t.Run(way.name, func(t *testing.T) {
			s, google := newBarrierServer(t)
			body := fmt.Appendf(nil, way.body, model, imageOf(8<<20))
			path := strings.Replace(way.path, ":generateContent", ":streamGenerateContent?alt=sse", 1)
			if path == way.path {
				body = append([]byte(`{"stream":true,`), body[1:]...)
			}
			idle := s.heap()
			google.expect(parallel)
			var streams []*stream
			var all sync.WaitGroup
			var mu sync.Mutex
			for range parallel {
				all.Go(func() {
					res, err := s.send(path, body)
					if err != nil {
						t.Error(err)
						return
					}
					st := follow(res.Body)
					mu.Lock()
					defer mu.Unlock()
					streams = append(streams, st)
				})
			}
			all.Wait()
			for _, st := range streams {
				<-st.first
			}
			held, inFlight := s.heap()-idle, int64(len(body)*parallel)
			t.Logf("%.1f MiB are held of %.1f MiB", mib(held), mib(inFlight))
			if held > inFlight/8 {
				t.Errorf("%.1f MiB are held while streams are open, of requests of %.1f MiB", mib(held), mib(inFlight))
			}
			close(google.end)
			for _, st := range streams {
				if <-st.end; st.err != nil || strings.Contains(st.last, `"error":{`) {
					t.Errorf("the stream ended with %q, %v", st.last, st.err)
				}
			}
		})
	}
}

// send posts a body with the user's key.
func (s *server) send(path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequest(http.MethodPost, "http://"+s.site+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.user)
	req.Header.Set("Content-Type", "application/json")
	return s.client.Do(req)
}

// heap is what the process has in use after a collection, in bytes.
func (s *server) heap() (n int64) {
	s.t.Helper()
	for range 2 { // the first one frees what finalizers held
		res, err := s.client.Get("http://" + s.admin + "/debug/pprof/heap?gc=1&debug=1")
		must(s.t, err)
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		must(s.t, err)
		_, after, _ := strings.Cut(string(text), "# HeapAlloc = ")
		line, _, _ := strings.Cut(after, "\n")
		n, err = strconv.ParseInt(line, 10, 64)
		must(s.t, err)
	}
	return n
}

// rounds is how often all requests of a case are sent: what one leaves behind
// counts in the next.
const rounds = 6

// newBarrierServer starts a Caddy before a barrier.
func newBarrierServer(t *testing.T) (*server, *barrier) {
	t.Helper()
	s := newServer(t, 4)
	google := newBarrier(t, s.google.URL)
	config := s.config("store memory\nkey {env.GB_KEY_0}\nkey {env.GB_KEY_1}\nkey {env.GB_KEY_2}\nkey {env.GB_KEY_3}\n", "")
	s.start(strings.Replace(config, s.google.URL, google.server.URL, 1))
	s.addUser()
	return s, google
}

// pngHead is base64 of a PNG's first 12 bytes.
const pngHead = "iVBORw0KGgoAAAAN"

// largeBodies are requests with an image; the formats take a model and base64.
var largeBodies = []struct{ name, path, body string }{
	{"chat", "/v1/chat/completions", `{"model":%q,"messages":[{"role":"user","content":[{"type":"text","text":"What is this?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,%s"}}]}]}`},
	{"responses", "/v1/responses", `{"model":%q,"store":false,"input":[{"role":"user","content":[{"type":"input_text","text":"What is this?"},{"type":"input_image","detail":"auto","image_url":"data:image/png;base64,%s"}]}]}`},
	{"responses that are kept", "/v1/responses", `{"model":%q,"input":[{"role":"user","content":[{"type":"input_text","text":"What is this?"},{"type":"input_image","image_url":"data:image/png;base64,%s"}]}]}`},
	{"native", "/v1beta/models/" + model + ":generateContent", `{"cachedContent":"","labels":{"x":%q},"contents":[{"role":"user","parts":[{"text":"What is this?"},{"inlineData":{"mimeType":"image/png","data":"%s"}}]}]}`},
}

// largeRound sends the same request many times at once.
func (s *server) largeRound(google *barrier, path string, body []byte, parallel int) {
	s.t.Helper()
	google.expect(parallel)
	var all sync.WaitGroup
	for range parallel {
		all.Go(func() {
			res, err := s.send(path, body)
			if err != nil {
				s.t.Error(err)
				return
			}
			defer res.Body.Close()
			if answer, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
				s.t.Errorf("%s: %.300s, %v", res.Status, answer, err)
			}
		})
	}
	all.Wait()
	if got, image := google.received(), int64(bytes.Count(body, []byte("A"))*parallel); got < image {
		s.t.Errorf("Google got %d bytes of images of %d", got, image)
	}
}

// barrier is a Google that answers the requests of a round when it has them all.
type barrier struct {
	server *httptest.Server

	mu      sync.Mutex
	waiting int
	bytes   int64
	all     chan struct{}

	end chan struct{} // closed when streams may end
}

// newBarrier passes what is no POST to a simulated Google.
func newBarrier(t *testing.T, google string) *barrier {
	t.Helper()
	target, err := url.Parse(google)
	must(t, err)
	b := &barrier{end: make(chan struct{})}
	proxy := httputil.NewSingleHostReverseProxy(target)
	b.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			proxy.ServeHTTP(w, r)
			return
		}
		n, _ := io.Copy(io.Discard, r.Body)
		select {
		case <-b.arrived(n):
			if strings.Contains(r.URL.Path, ":stream") {
				b.stream(w)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"candidates":[{"content":{"parts":[{"text":"A picture."}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":1200,"candidatesTokenCount":3,"totalTokenCount":1203},"modelVersion":"gemini-2.5-flash","responseId":"b36LaY3KGr2jnsEP"}`)
		case <-time.After(30 * time.Second):
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(b.server.Close)
	return b
}

// stream begins an answer and ends it when it may.
func (b *barrier) stream(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, `data: {"candidates":[{"content":{"parts":[{"text":"A "}],"role":"model"},"index":0}],"responseId":"b36LaY3KGr2jnsEP"}`+"\r\n\r\n")
	w.(http.Flusher).Flush()
	select {
	case <-b.end:
	case <-time.After(30 * time.Second):
	}
	_, _ = io.WriteString(w, `data: {"candidates":[{"content":{"parts":[{"text":"picture."}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":1200,"candidatesTokenCount":3,"totalTokenCount":1203},"modelVersion":"gemini-2.5-flash","responseId":"b36LaY3KGr2jnsEP"}`+"\r\n\r\n")
}

// expect begins a round.
func (b *barrier) expect(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting, b.bytes, b.all = n, 0, make(chan struct{})
}

// arrived counts a request; the channel is closed with the last one.
func (b *barrier) arrived(n int64) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes += n
	if b.waiting--; b.waiting == 0 {
		close(b.all)
	}
	return b.all
}

func (b *barrier) received() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes
}

// memory reads a size in /proc/<pid>/status, in bytes.
func (s *server) memory(name string) int64 {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	must(s.t, err)
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			kb, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			must(s.t, err)
			return kb << 10
		}
	}
	s.t.Fatalf("no %s", name)
	return 0
}

// resetPeak makes VmHWM begin anew. Source: proc(5), clear_refs.
func (s *server) resetPeak() {
	s.t.Helper()
	must(s.t, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.cmd.Process.Pid), []byte("5"), 0o200))
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }
