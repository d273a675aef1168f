// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

// zip compresses.
func zip(t testing.TB, data string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, data)
	must(t, err)
	must(t, w.Close())
	return b.String()
}

type gzipSurface struct{ path, body, kind string }

// zipped sends a body that has an encoding.
func (w *world) zipped(s gzipSurface, encoding, body string) answer {
	w.t.Helper()
	header := []string{"Content-Type", s.kind, "Content-Encoding", encoding}
	if strings.HasPrefix(s.path, "/upload") {
		header = append(header, "X-Goog-Upload-Protocol", "resumable", "X-Goog-Upload-Command", "start")
	}
	return w.post(s.path, body, header...)
}

// gzipSurfaces are endpoints of each way that bodies are read.
func gzipSurfaces(t testing.TB) map[string]gzipSurface {
	t.Helper()
	kind, file := form(t, "file", "a.png", []byte("\x89PNG\r\n\x1a\n"), "purpose", "user_data")
	spoken, audio := form(t, "file", "a.mp3", []byte("ID3"), "model", model)
	const json = "application/json"
	return map[string]gzipSurface{
		"chat":          {"/v1/chat/completions", `{"model":"` + model + `","messages":[{"role":"user","content":"hi"}]}`, json},
		"responses":     {"/v1/responses", `{"model":"` + model + `","input":"hi"}`, json},
		"transcription": {"/v1/audio/transcriptions", audio, spoken},
		"file":          {"/v1/files", file, kind},
		"messages":      {"/v1/messages", claudeHi, json},
		"native":        {"/v1beta/models/" + model + ":generateContent", `{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}`, json},
		"upload":        {"/upload/v1beta/files", `{"file":{}}`, json},
	}
}

// TestGzip: every dialect takes gzipped bodies, and says in its words what is wrong
// with them.
func TestGzip(t *testing.T) {
	w := newWorld(t, keys(2), func(c *Config) { c.MaxRequestSize = 2000 })
	for name, s := range gzipSurfaces(t) {
		t.Run(name, func(t *testing.T) {
			whole := zip(t, s.body)
			corrupt := []byte(whole)
			corrupt[len(corrupt)-6] ^= 1 // in the checksum
			for _, tc := range []struct {
				name, encoding, body string
				status               int
				message              string
			}{
				{"whole", "gzip", whole, 200, ""},
				{"its old name", "X-Gzip", whole, 200, ""},
				{"in two members", "gzip", zip(t, s.body[:5]) + zip(t, s.body[5:]), 200, ""},
				{"identity", "identity", s.body, 200, ""},
				{"not gzip", "gzip", s.body, 400, "Content-Encoding gzip"},
				{"half", "gzip", whole[:len(whole)/2], 400, ""}, // of a form it may be the form that breaks off
				{"checksum", "gzip", string(corrupt), 400, "Content-Encoding gzip"},
				{"tail", "gzip", whole + "tail", 400, "Content-Encoding gzip"},
				{"too large", "gzip", zip(t, s.body+strings.Repeat(" ", 2001)), 413, "2000 bytes"},
				{"twice", "gzip, gzip", zip(t, whole), 415, "gzip"},
				{"br", "br", s.body, 415, "gzip"},
				{"zstd", "zstd", s.body, 415, "gzip"},
			} {
				t.Run(tc.name, func(t *testing.T) {
					got := w.zipped(s, tc.encoding, tc.body)
					if got.status != tc.status || !strings.Contains(got.body, tc.message) {
						t.Fatalf("%d %s", got.status, got.body)
					}
					if tc.status != 200 && !strings.Contains(got.body, `"error":`) {
						t.Errorf("not an error of a dialect: %s", got.body)
					}
				})
			}
		})
	}
	for _, e := range w.google.Entries(fakegemini.Attempts) {
		if v := e.Header.Get("Content-Encoding"); v != "" {
			t.Errorf("%s went to Google as %s", e.Path, v)
		}
	}
}

// TestGzip_Limit: what a body unpacks to may be as large as the limit, not larger.
func TestGzip_Limit(t *testing.T) {
	w := newWorld(t, keys(1), func(c *Config) { c.MaxRequestSize = 70_000 })
	s := gzipSurfaces(t)["chat"]
	for size, status := range map[int]int{70_000: 200, 70_001: 413} {
		body := s.body + strings.Repeat(" ", size-len(s.body))
		if got := w.zipped(s, "gzip", zip(t, body)); got.status != status {
			t.Errorf("%d bytes: %d %s", size, got.status, got.body)
		}
	}
	if got := w.zipped(s, "gzip", ""); got.status != 400 || !strings.Contains(got.body, "JSON") {
		t.Errorf("no body: %d %s", got.status, got.body)
	}
}

// bomb is a gigabyte of blanks, a megabyte long.
func bomb(t testing.TB) string {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	must(t, err)
	blanks := bytes.Repeat([]byte{' '}, 1<<20)
	for range 1 << 10 {
		_, err = w.Write(blanks)
		must(t, err)
	}
	must(t, w.Close())
	return b.String()
}

// TestGzip_Bomb: what unpacks to a gigabyte is refused at the limit: before it is
// unpacked, and without memory for more than the limit.
func TestGzip_Bomb(t *testing.T) {
	const limit = 4 << 20
	w := newWorld(t, keys(1), func(c *Config) { c.MaxRequestSize = limit })
	packed := bomb(t)
	if len(packed) > limit {
		t.Fatalf("the bomb has %d bytes", len(packed))
	}
	for name, s := range gzipSurfaces(t) {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got := w.zipped(s, "gzip", packed)
			runtime.ReadMemStats(&after)
			made := after.TotalAlloc - before.TotalAlloc
			status := 413
			if name == "file" {
				status = 400 // blanks are no form, which turns out earlier
			}
			if got.status != status {
				t.Fatalf("%d %s", got.status, got.body)
			}
			if made > 4*limit {
				t.Errorf("%d bytes were allocated", made)
			}
		})
	}
}

// TestExpect: a client that asks first whether it may send its body is told to, and
// one that may not is told so before it sent any.
func TestExpect(t *testing.T) {
	w := newWorld(t, keys(2))
	transport := &http.Transport{ExpectContinueTimeout: time.Minute} // longer than the test has
	defer transport.CloseIdleConnections()
	send := func(path, body string, header ...string) (got answer, told, sent bool) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got100Continue: func() { told = true }})
		source := &sentBody{Reader: strings.NewReader(body)}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.server.URL+path, source)
		must(t, err)
		req.ContentLength = int64(len(body))
		req.Header.Set("Authorization", "Bearer "+w.key)
		req.Header.Set("Expect", "100-continue")
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := transport.RoundTrip(req)
		must(t, err)
		defer res.Body.Close()
		data, err := io.ReadAll(res.Body)
		must(t, err)
		return answer{res.StatusCode, res.Header, string(data), nil}, told, source.read
	}
	kind, file := form(t, "file", "a.png", bytes.Repeat([]byte("\x89PNG\r\n\x1a\n"), 1<<15), "purpose", "user_data")
	at, _ := w.begin("/upload/v1beta/files", `{"file":{}}`)
	for _, tc := range []struct {
		name, path, body string
		header           []string
	}{
		{"OpenAI's files", "/v1/files", file, []string{"Content-Type", kind}},
		{"a chunk", at, string(pattern(granularity)), []string{"X-Goog-Upload-Command", "upload", "X-Goog-Upload-Offset", "0"}},
		{"the last chunk", at, "x", []string{"X-Goog-Upload-Command", "upload, finalize", "X-Goog-Upload-Offset", fmt.Sprint(granularity)}},
		{"a raw upload", "/upload/v1beta/files", "PNG", []string{"X-Goog-Upload-Protocol", "raw", "Content-Type", "image/png"}},
		{"chat", "/v1/chat/completions", gzipSurfaces(t)["chat"].body, nil},
	} {
		if got, told, _ := send(tc.path, tc.body, tc.header...); got.status != 200 || !told {
			t.Errorf("%s: %d %s, told to go on: %v", tc.name, got.status, got.body, told)
		}
	}
	for _, path := range []string{"/v1/files", "/upload/v1beta/files", "/v1/messages"} {
		if got, told, sent := send(path, file, "Content-Type", kind, "Authorization", "Bearer wrong"); got.status/100 != 4 || told || sent {
			t.Errorf("a stranger at %s: %d, told to go on: %v, sent it: %v", path, got.status, told, sent)
		}
	}
}

// sentBody knows whether it was read.
type sentBody struct {
	io.Reader
	read bool
}

func (r *sentBody) Read(p []byte) (int, error) {
	r.read = true
	return r.Reader.Read(p)
}
