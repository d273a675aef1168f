// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// google is a Google that costs next to nothing, so that the gateway can be brought
// to its end on the same machine. Prompts steer it:
//
//	<delay 50ms> before the answer, or its first event
//	<events 40>  of a stream
//	<pace 50ms>  between events
//	<size 60000> of each event's text
//
// Embeddings are all the same.
type google struct {
	url     string
	asked   atomic.Int64 // requests
	whole   atomic.Int64 // answers that were written to their end
	output  atomic.Int64 // tokens of those, and of streams that were cut; not of modelLeft
	trouble atomic.Int64 // share of requests that fail in some way, in percent
}

func newGoogle(t *testing.T) *google {
	t.Helper()
	g := new(google)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := &http.Server{Handler: g}
	go server.Serve(l) //nolint:errcheck // it ends with the test
	t.Cleanup(func() { server.Close() })
	g.url = "http://" + l.Addr().String()
	return g
}

var steering = regexp.MustCompile(`<(delay|events|pace|size) ([0-9a-z]+)>`)

// ServeHTTP implements http.Handler.
func (g *google) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	g.asked.Add(1)
	var delay, pace time.Duration
	events, size := 3, 20
	for _, m := range steering.FindAllStringSubmatch(strings.ReplaceAll(strings.ReplaceAll(string(body), `\u003c`, "<"), `\u003e`, ">"), -1) {
		switch m[1] {
		case "delay":
			delay, _ = time.ParseDuration(m[2])
		case "pace":
			pace, _ = time.ParseDuration(m[2])
		case "events":
			events, _ = strconv.Atoi(m[2])
		case "size":
			size, _ = strconv.Atoi(m[2])
		}
	}
	if !wait(r, delay) || rand.Int64N(100) < g.trouble.Load() && g.fail(w, r) {
		return
	}
	if strings.HasSuffix(r.URL.Path, ":batchEmbedContents") {
		w.Header().Set("Content-Type", "application/json")
		vectors := strings.Repeat(","+vector, strings.Count(string(body), `"text"`))
		if _, err := io.WriteString(w, `{"embeddings":[`+strings.TrimPrefix(vectors, ",")+`]}`); err == nil {
			g.done(r, 0)
		}
		return
	}
	text := strings.Repeat("x", size)
	if !strings.Contains(r.URL.Path, ":stream") {
		w.Header().Set("Content-Type", "application/json")
		if _, err := io.WriteString(w, document(text, events, events)); err == nil {
			g.done(r, events)
		}
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	rc := http.NewResponseController(w)
	for i := range events {
		if i > 0 && !wait(r, pace) {
			return
		}
		if _, err := io.WriteString(w, "data: "+document(text, i+1, events)+"\r\n\r\n"); err != nil || rc.Flush() != nil {
			return
		}
	}
	g.done(r, events)
}

// vector is one of 768 numbers that is not of length one.
var vector = `{"values":[` + strings.TrimPrefix(strings.Repeat(",0.0123456789,-0.045678912", 384), ",") + `]}`

func (g *google) done(r *http.Request, events int) {
	g.whole.Add(1)
	g.told(r, events)
}

// modelLeft is what those clients ask for who leave in the middle: nobody knows how much of
// an answer had come through by then.
const modelLeft = "gemini-2.5-pro"

func (g *google) told(r *http.Request, events int) {
	if !strings.Contains(r.URL.Path, modelLeft) {
		g.output.Add(int64(events))
	}
}

// wait reports false if the gateway left meanwhile.
func wait(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	select {
	case <-time.After(d):
		return true
	case <-r.Context().Done():
		return false
	}
}

// document is an answer, or one event of it.
func document(text string, event, events int) string {
	finish := ""
	if event == events {
		finish = `"finishReason":"STOP",`
	}
	return fmt.Sprintf(`{"candidates":[{"content":{"parts":[{"text":"%s"}],"role":"model"},%s"index":0}],`+
		`"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":%d,"totalTokenCount":%d},"modelVersion":"gemini-2.5-flash","responseId":"b36LaY3KGr2jnsEP"}`,
		text, finish, event, event+7)
}

// fail fails in one of the ways that Google does. The transport may send the next
// request on the same connection.
func (g *google) fail(w http.ResponseWriter, r *http.Request) bool {
	switch rand.N(4) {
	case 0:
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}`)
	case 1:
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, `{"error":{"code":500,"message":"An internal error has occurred.","status":"INTERNAL"}}`)
	case 2:
		panic(http.ErrAbortHandler)
	default:
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: "+document("cut", 1, 2)+"\r\n\r\n")
		_ = http.NewResponseController(w).Flush()
		if strings.Contains(r.URL.Path, ":stream") { // what came was useful, so there is no other attempt
			g.told(r, 1)
		}
		panic(http.ErrAbortHandler)
	}
	return true
}
