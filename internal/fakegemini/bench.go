// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// benchKind is a precomputed answer, for benchmarks.
type benchKind struct {
	events int           // of the stream
	pace   time.Duration // between them; 0 = as fast as they go
}

// The models with precomputed answers. All of them answer generateContent with
// one small chat answer.
var benchKinds = map[string]benchKind{
	"bench-small": {events: 1},
	"bench-burst": {events: 50},
	"bench-paced": {events: 50, pace: 10 * time.Millisecond},
}

var (
	benchUnary = benchDocument("The capital of France is Paris. It lies on the Seine and has about two million inhabitants within its limits, and many more around it.", "STOP", 34)
	benchEvent = []byte("data: " + string(compact(benchDocument(" and then another few words of the answer", "", 8))) + "\r\n\r\n")
	benchLast  = []byte("data: " + string(compact(benchDocument(" and the end.", "STOP", 8))) + "\r\n\r\n")

	headerJSON = []string{jsonType}
	headerSSE  = []string{"text/event-stream"}
	headerSize = []string{strconv.Itoa(len(benchUnary))}
)

func benchDocument(text, finish string, tokens int) []byte {
	end := ""
	if finish != "" {
		end = `,"finishReason":"` + finish + `"`
	}
	return fmt.Appendf(nil, `{"candidates":[{"content":{"parts":[{"text":%q}],"role":"model"}%s,"index":0}],"usageMetadata":{"promptTokenCount":25,"candidatesTokenCount":%d,"totalTokenCount":%d,"promptTokensDetails":[{"modality":"TEXT","tokenCount":25}],"serviceTier":"standard"},"modelVersion":"gemini-3.8-flash","responseId":"b36LacjwM668nsEP2tbsgQQ"}`,
		text, end, tokens, 25+tokens)
}

// lean serves precomputed answers and keeps no books: a check of the key, one
// lookup of the model, and bytes.
func (s *Server) lean(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	h := w.Header()
	// keys do not change in Lean mode, so no lock
	if keys := r.Header["X-Goog-Api-Key"]; len(keys) != 1 || s.keys[keys[0]] == nil {
		a := keyAnswer(keyUnknown, "", "")
		h["Content-Type"] = headerJSON
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body) // a client that left is no concern
		return
	}
	_, model, _ := strings.Cut(r.URL.Path, "/models/")
	model, method, _ := strings.Cut(model, ":")
	kind := benchKinds[model]
	if method != "streamGenerateContent" {
		h["Content-Type"], h["Content-Length"] = headerJSON, headerSize
		_, _ = w.Write(benchUnary) // a client that left is no concern
		return
	}
	h["Content-Type"] = headerSSE
	w.WriteHeader(http.StatusOK)
	benchStream(w, r, max(kind.events, 1), kind.pace)
}

func benchStream(w http.ResponseWriter, r *http.Request, events int, pace time.Duration) (n int64) {
	flush, _ := w.(http.Flusher) // every writer of net/http is one
	var tick <-chan time.Time
	if pace > 0 {
		t := time.NewTicker(pace)
		defer t.Stop()
		tick = t.C
	}
	for i := range events {
		if i > 0 && tick != nil {
			select {
			case <-tick:
			case <-r.Context().Done():
				return n
			}
		}
		event := benchEvent
		if i == events-1 {
			event = benchLast
		}
		m, err := w.Write(event)
		n += int64(m)
		if err != nil {
			return n
		}
		if flush != nil {
			flush.Flush()
		}
	}
	return n
}

// bench is the same with books, keys and quotas.
func (x *exchange) bench(kind benchKind) {
	if !x.stream {
		x.json(benchUnary)
		return
	}
	x.header(200, "text/event-stream")
	n := benchStream(x.w, x.r, kind.events, kind.pace)
	x.s.books.update(func() { x.e.Bytes = n })
}
