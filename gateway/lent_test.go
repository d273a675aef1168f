// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
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
	for n := range uint64(12) {
		clients.Go(func() {
			rng := rand.New(rand.NewPCG(n, 3))
			for range 12 {
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
	if n := whole.Load(); n < 60 {
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
