// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

func TestLent_Sizes(t *testing.T) {
	seen := map[int]int64{}
	for bytes := int64(lentFrom + 1); bytes <= lentMost; bytes += 997 {
		size, place := sized(bytes)
		if size < bytes || size-bytes > bytes/4+1 || place < 0 || place >= len(lenders) {
			t.Fatalf("%d bytes get %d at %d", bytes, size, place)
		}
		if seen[place] != 0 && seen[place] != size {
			t.Fatalf("%d bytes get %d at %d, where others have %d", bytes, size, place, seen[place])
		}
		seen[place] = size
		if again, same := sized(size); again != size || same != place {
			t.Fatalf("memory of %d is given back as %d at %d, not %d", size, again, same, place)
		}
	}
	if len(seen) != len(lenders) {
		t.Errorf("%d of %d lenders are of use", len(seen), len(lenders))
	}
	for _, bytes := range []int64{-1, 0, lentFrom, lentMost + 1, 1 << 40} {
		if lend(bytes) != nil {
			t.Errorf("%d bytes are lent", bytes)
		}
	}
}

// TestLent_Apart has many clients send large bodies in all dialects at once, some of whom
// leave, to a Google that fails at times. Memory that is given back is spoiled in tests:
// whatever reached Google is what one client sent, whole.
func TestLent_Apart(t *testing.T) {
	w := newWorld(t, keys(6))
	const clientCount = 12
	each := 12
	if testing.Short() {
		each = 3
	}
	image := func(rng *rand.Rand) string {
		mark := fmt.Sprintf("%04d", rng.IntN(10_000))
		return strings.Repeat(mark, 20_000+rng.IntN(100_000))
	}
	bodies := []struct{ path, before, after string }{
		{"/v1/chat/completions", `{"model":"gemini-2.5-flash","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,`, `"}},{"type":"text","text":"Hello"}]}]}`},
		{"/v1/chat/completions", `{"model":"gemini-2.5-flash","stream":true,"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,`, `"}},{"type":"text","text":"Hello"}]}]}`},
		{"/v1/messages", `{"model":"gemini-2.5-flash","max_tokens":100,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"`, `"}},{"type":"text","text":"Hello"}]}]}`},
		{"/v1/responses", `{"model":"gemini-2.5-flash","metadata":{"a":"b"},"input":[{"role":"user","content":[{"type":"input_text","text":"Hello"},{"type":"input_image","detail":"auto","image_url":"data:image/png;base64,`, `"}]}]}`},
		{"/v1beta/models/gemini-2.5-flash:generateContent", `{"contents":[{"role":"user","parts":[{"text":"Hello"},{"inlineData":{"mimeType":"image/png","data":"`, `"}}]}]}`},
	}
	w.google.Script(fakegemini.Rule{Chance: .2, Steer: fakegemini.Steer{Status: 503}})
	var whole atomic.Int64
	var clients sync.WaitGroup
	for n := range uint64(clientCount) {
		clients.Go(func() {
			rng := rand.New(rand.NewPCG(n, 3))
			for range each {
				b := bodies[rng.IntN(len(bodies))]
				ctx, cancel := context.WithCancel(t.Context())
				if rng.IntN(4) == 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Duration(rng.IntN(8000))*time.Microsecond)
				}
				if got := w.do(ctx, http.MethodPost, b.path, b.before+image(rng)+b.after); got.err == nil && got.status == http.StatusOK {
					whole.Add(1)
				}
				cancel()
			}
		})
	}
	clients.Wait()
	if n := whole.Load(); n < int64(clientCount*each*2/5) {
		t.Errorf("%d requests were answered, want most", n)
	}
	data := regexp.MustCompile(`"data": ?"([^"]*)"`)
	for _, e := range w.google.Entries(fakegemini.Attempts) {
		found := data.FindSubmatch(e.Body)
		if found == nil {
			continue // a client that left
		}
		if sent := string(found[1]); len(sent) < 80_000 || sent != strings.Repeat(sent[:4], len(sent)/4) {
			t.Fatalf("attempt %d has an image that nobody sent, of %d bytes: %.40s … %s", e.N, len(sent), sent, sent[max(0, len(sent)-40):])
		}
	}
}

// looking is a client who looks at the gate while the answer is written.
type looking struct {
	*httptest.ResponseRecorder
	gate *Gate
	held int64
}

func (l *looking) Write(p []byte) (int, error) {
	l.held = l.gate.held.Load()
	return l.ResponseRecorder.Write(p)
}

// TestLent_Held: memory that is not given back before the client has read counts for as
// long; a stream, which may take minutes, lets go of it.
func TestLent_Held(t *testing.T) {
	for _, stream := range []bool{false, true} {
		gate := newGate(math.MaxInt64, 0)
		w := newWorld(t, keys(1), func(c *Config) { c.Gate = gate })
		body := fmt.Sprintf(`{"model":"gemini-2.5-flash","stream":%v,"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,%s"}}]}]}`,
			stream, strings.Repeat("iVBO", 1<<18))
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/chat/completions", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+w.key)
		client := &looking{ResponseRecorder: httptest.NewRecorder(), gate: gate}
		w.gw.ServeHTTP(client, r)
		if client.Code != http.StatusOK {
			t.Fatalf("%d %s", client.Code, client.Body)
		}
		if stream && client.held != 0 || !stream && client.held < int64(len(body)) {
			t.Errorf("stream %v: %d bytes count while the answer is written, of a body of %d", stream, client.held, len(body))
		}
		if n := gate.held.Load(); n != 0 {
			t.Errorf("stream %v: %d bytes count after the end", stream, n)
		}
	}
}
