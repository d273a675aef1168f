// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestSoak is an hour, or as long as SOAK_MINUTES says, of mixed traffic at a low
// rate, in which one request in twenty meets a fault of Google's and some clients
// leave: memory and goroutines stay what they are after a while, answers stay as quick,
// and the books have all that Google answered. It writes a line a minute to
// build/soak.log.
func TestSoak(t *testing.T) {
	length := time.Hour
	if n, err := strconv.Atoi(os.Getenv("SOAK_MINUTES")); err == nil { //nolint:forbidigo // a knob of the test
		length = time.Duration(n) * time.Minute
	}
	s := newServer(t, 20)
	s.start(s.usual("request_log {\n max_size 8MiB\n}\n")) // so small that it reaches its end
	s.addUser()
	s.google.trouble.Store(5)
	ctx := t.Context()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 200}}
	defer client.CloseIdleConnections()
	var sent, left, failed atomic.Int64
	var mu sync.Mutex
	var recent outcomes
	var load sync.WaitGroup
	load.Go(func() {
		openLoop(ctx, client, 40, length, func(ctx context.Context, i int) *http.Request {
			sent.Add(1)
			return s.mixed(ctx, i, &left)
		})
	})
	load.Go(func() { // what is compared between minutes
		for begun := time.Now(); time.Since(begun) < length; {
			x := ask(client, s.small(ctx, 0))
			if sent.Add(1); x.status != http.StatusOK {
				failed.Add(1)
			}
			mu.Lock()
			recent = append(recent, x)
			mu.Unlock()
			pause(100 * time.Millisecond)
		}
	})
	var rows []soakRow
	started := time.Now()
	_ = os.MkdirAll("../../build", 0o755)
	log, err := os.Create("../../build/soak.log")
	must(t, err)
	defer log.Close()
	for time.Since(started) < length {
		pause(min(time.Minute, length-time.Since(started)))
		mu.Lock()
		minute := recent.of(http.StatusOK)
		recent = nil
		mu.Unlock()
		row := soakRow{
			at: time.Since(started), rss: float64(s.memory("RssAnon")) / 1e6, heap: float64(s.profile("heap")) / 1e6,
			goroutines: s.profile("goroutine"), files: s.files(), p99: minute.took(.99),
		}
		rows = append(rows, row)
		fmt.Fprintf(log, "%5.1f min: RSS without files %.1f MB, heap %.1f MB, %d goroutines, %d files, p99 %s\n", row.at.Minutes(), row.rss, row.heap, row.goroutines, row.files, row.p99)
	}
	load.Wait() // what is under way comes to its end
	var stats struct{ Requests, Dropped int64 }
	eventually(t, "all is booked", func() bool {
		s.call(http.MethodGet, "/admin/stats", "", &stats)
		return stats.Requests >= sent.Load()-left.Load()
	})
	warm := rows[len(rows)/3:] // the first third is for caches to fill
	heap := slope(warm, func(r soakRow) float64 { return r.heap })
	goroutines := slope(warm, func(r soakRow) float64 { return float64(r.goroutines) })
	// The store's caches, 24 MB at most, take hours to fill.
	most := 4.0
	if length > 3*time.Hour {
		most = 1
	}
	if length >= 30*time.Minute && (heap > most || goroutines > 20) {
		t.Errorf("the heap grows by %.2f MB/h, goroutines by %.0f/h", heap, goroutines)
	}
	// The memtable's memory is touched from its beginning to its end, and then anew: a
	// quarter of an hour at this rate, which is no slope. Both thirds have its top.
	third := len(rows) / 3
	middle, last := top(rows[third:2*third]), top(rows[2*third:])
	if length >= time.Hour && last > middle+4 {
		t.Errorf("the memory was %.1f MB at most in the second third, %.1f in the last", middle, last)
	}
	booked := s.outputBooked()
	if booked != s.google.output.Load() {
		t.Errorf("Google told of %d tokens of output, the books have %d", s.google.output.Load(), booked)
	}
	if stats.Dropped != 0 {
		t.Errorf("%d rows were dropped", stats.Dropped)
	}
	tell(t, "R12", "%s, %d requests, 5 %% faults: heap %+.2f MB/h (%.1f to %.1f MB), RSS without files at most %.1f MB in the second third and %.1f in the last, goroutines %+.0f/h, files %d to %d, p99 %s to %s; %d output tokens that Google told of, %d booked, %d rows dropped, %d of the plain requests failed",
		length, sent.Load(), heap, warm[0].heap, rows[len(rows)-1].heap, middle, last, goroutines,
		warm[0].files, rows[len(rows)-1].files, warm[0].p99, rows[len(rows)-1].p99, s.google.output.Load(), booked, stats.Dropped, failed.Load())
}

// outputBooked is how many tokens of output were booked for the model whose answers nobody
// leaves.
func (s *server) outputBooked() (n int64) {
	s.t.Helper()
	res, err := s.client.Get("http://" + s.admin + "/metrics")
	must(s.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(s.t, err)
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "caddy_gemini_balance_tokens_total{") && strings.Contains(line, `kind="output"`) && strings.Contains(line, `model="`+model+`"`) {
			f, err := strconv.ParseFloat(strings.Fields(line)[1], 64)
			must(s.t, err)
			return int64(f)
		}
	}
	s.t.Fatal("no tokens are booked")
	return 0
}

type soakRow struct {
	at         time.Duration
	rss, heap  float64 // rss without what files are mapped: the store's log grows to 32 MB and begins anew
	goroutines int64
	files      int
	p99        time.Duration
}

// mixed is one of what clients send.
func (s *server) mixed(ctx context.Context, i int, left *atomic.Int64) *http.Request {
	post := func(path, format string, args ...any) *http.Request {
		return s.post(ctx, path, fmt.Appendf(nil, format, args...))
	}
	const messages = `{"model":"` + model + `","max_tokens":1000,"stream":%t,"messages":[{"role":"user","content":"<events 10> <size 200>"}]}`
	switch i % 20 {
	case 0: // long conversations
		return s.request(ctx, strings.Repeat("tell me more ", 2000)+strconv.Itoa(i), true)
	case 1, 2:
		return s.request(ctx, "<events 50> <pace 20ms>", true)
	case 3, 4, 5:
		return s.request(ctx, "<events 10> <size 500>", true)
	case 6, 7: // who leaves in the middle
		left.Add(1)
		gone, cancel := context.WithTimeout(ctx, time.Duration(i%7)*30*time.Millisecond)
		context.AfterFunc(gone, cancel)
		return s.requestOf(gone, modelLeft, "<delay 50ms> <events 100> <pace 20ms>", true)
	case 8: // an image of a mebibyte
		return post("/v1/chat/completions", `{"model":%q,"messages":[{"role":"user","content":[{"type":"text","text":"<events 5>"},{"type":"image_url","image_url":{"url":"data:image/png;base64,%s"}}]}]}`,
			model, pngOfMebibyte)
	case 9:
		return post("/v1/messages", messages, true)
	case 10:
		return post("/v1/messages", messages, false)
	case 11:
		return post("/v1/responses", `{"model":%q,"stream":true,"store":false,"input":"<events 10>"}`, model)
	case 12:
		return post("/v1beta/models/"+model+":streamGenerateContent?alt=sse", `{"contents":[{"role":"user","parts":[{"text":"<events 20>"}]}]}`)
	case 13:
		return post("/v1beta/models/"+model+":generateContent", `{"contents":[{"role":"user","parts":[{"text":"<size 100000>"}]}]}`)
	case 14:
		return post("/v1/embeddings", `{"model":"gemini-embedding-001","input":["a","b","c"]}`)
	default:
		return s.small(ctx, i)
	}
}

var pngOfMebibyte = "iVBORw0KGgo" + strings.Repeat("A", 1<<20)

// top is what nine of ten minutes do not exceed: a table on its way to the disk takes
// some 50 MB for three seconds.
func top(rows []soakRow) float64 {
	all := make([]float64, len(rows))
	for i, r := range rows {
		all[i] = r.rss
	}
	slices.Sort(all)
	if len(all) == 0 {
		return 0
	}
	return all[len(all)*9/10]
}

// slope is the rise of a figure per hour, by least squares.
func slope(rows []soakRow, of func(soakRow) float64) float64 {
	var n, sx, sy, sxx, sxy float64
	for _, r := range rows {
		x, y := r.at.Hours(), of(r)
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	if d := n*sxx - sx*sx; d != 0 {
		return (n*sxy - sx*sy) / d
	}
	return 0
}
