// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// TestGate: what is too much is refused at once, in the caller's dialect, with a time
// to come back; what was taken is served; and then there is room again.
func TestGate(t *testing.T) {
	const most = 5
	gate := newGate(math.MaxInt64, 0)
	gate.most, gate.spared = most, 1
	gate.room.Store(most)
	w := newWorld(t, keys(2), func(c *Config) { c.Gate = gate })
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range most {
		wg.Go(func() { w.askCtx(ctx, surfaces[0], "[[hang]]") })
	}
	if !w.google.Wait(time.Minute, most) {
		t.Fatal("not all came upstream")
	}
	for _, s := range wireSurfaces {
		got := w.askAny(t.Context(), s, "hi")
		if s.anthropic() {
			claudeError(t, got, 529, "overloaded_error", "more requests than it can serve")
		} else if checkError(t, s, got); got.status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d", s.name, got.status)
		}
		if n, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || n < 1 || n > 2 {
			t.Errorf("%s: Retry-After %q", s.name, got.header.Get("Retry-After"))
		}
		if !strings.HasPrefix(got.header.Get("X-Request-Id"), "req_") {
			t.Errorf("%s: no request id", s.name)
		}
	}
	if n := w.google.Count(); n != most {
		t.Errorf("%d attempts", n)
	}
	if got, want := gate.Refused(), int64(len(wireSurfaces)); got != want {
		t.Errorf("%d are refused, want %d", got, want)
	}
	cancel()
	wg.Wait()
	soon(t, "nothing is in flight", func() bool { return gate.InFlight() == 0 })
	if got := w.ask(surfaces[0], "hi"); got.status != http.StatusOK {
		t.Errorf("afterwards: %d", got.status)
	}
	if got := w.do(t.Context(), http.MethodGet, "/health", ""); got.status != http.StatusOK {
		t.Errorf("health: %d", got.status)
	}
}

// TestGate_Bodies: bodies are bounded together, one alone is not, and an answer that
// has begun lets go of its own.
func TestGate_Bodies(t *testing.T) {
	gate := newGate(math.MaxInt64, 0)
	gate.mostHeld = 1 << 20
	told := make(refusals, 1)
	w := newWorld(t, keys(2), func(c *Config) { c.Gate, c.Observer = gate, told })
	body := func(prompt string, size int) string {
		return fmt.Sprintf(`{"model":%q,"stream":true,"messages":[{"role":"user","content":"%s %s"}]}`, model, prompt, strings.Repeat("x", size))
	}
	held := func() int64 { return gate.held.Load() }
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { w.do(ctx, "POST", "/v1/chat/completions", body("[[hang]]", 700<<10)) })
	if !w.google.Wait(time.Minute, 1) {
		t.Fatal("nothing came upstream")
	}
	if n := held(); n < 700<<10 {
		t.Errorf("%d bytes are held", n)
	}
	if got := w.post("/v1/chat/completions", body("hi", 700<<10)); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("a second body: %d %s", got.status, got.body)
	}
	select {
	case r := <-told:
		if r.Reason != "memory" || r.Pool {
			t.Errorf("it is told as %+v", r)
		}
	case <-time.After(5 * time.Second):
		t.Error("nobody is told why")
	}
	if got := w.post("/v1/chat/completions", body("hi", 100)); got.status != http.StatusOK {
		t.Errorf("a small body: %d", got.status)
	}
	cancel()
	wg.Wait()
	soon(t, "nothing is held of a request that is over", func() bool { return held() == 0 })
	if got := w.post("/v1/chat/completions", body("hi", 3<<20)); got.status != http.StatusOK {
		t.Errorf("one that is larger than all may be: %d", got.status)
	}
	ctx, cancel = context.WithCancel(t.Context())
	wg.Go(func() { w.do(ctx, "POST", "/v1/chat/completions", body("[[events 9]][[silence 4]]", 700<<10)) })
	if !w.google.Wait(time.Minute, 4) {
		t.Fatal("nothing came upstream")
	}
	soon(t, "nothing is held of an answer that has begun", func() bool { return held() == 0 })
	cancel()
	wg.Wait()
}

// refusals is an observer that passes on what it hears of refusals.
type refusals chan Refusal

func (o refusals) Attempted(context.Context, Attempt)    {}
func (o refusals) Waited(context.Context, Wait)          {}
func (o refusals) Refused(_ context.Context, r Refusal)  { o <- r }
func (o refusals) Served(context.Context, *usage.Record) {}

// soon waits for what a real connection brings about.
func soon(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatal(what + ": not after 5 s")
		}
		time.Sleep(time.Millisecond) //nolint:forbidigo // a real connection
	}
}

// TestGate_Limits: what is taken follows what there is.
func TestGate_Limits(t *testing.T) {
	for _, c := range []struct{ memory, files, most, held int64 }{
		{640 << 20, 1 << 20, 2048, (512 << 20) / 5},
		{640 << 20, 2200, 1000, (512 << 20) / 5},
		{math.MaxInt64, 2200, 1000, math.MaxInt64},
		{math.MaxInt64, 0, math.MaxInt64, math.MaxInt64},
	} {
		g := newGate(c.memory, c.files)
		if most, held := g.Limits(); most != c.most || held != c.held {
			t.Errorf("%d bytes, %d files: %d requests and %d bytes at a time, want %d and %d", c.memory, c.files, most, held, c.most, c.held)
		}
	}
	if g := newGate(1<<20, 10); g.most < g.spared {
		t.Errorf("a small machine takes %d requests", g.most)
	}
}

// TestGate_Room: fewer requests are taken while they wait for processors, those that
// run being left alone, and more again when they do not.
func TestGate_Room(t *testing.T) {
	for _, c := range []struct {
		room, running int64
		delay         time.Duration
		want          int64
	}{
		{1 << 40, 1000, 2 * maxDelay, 950}, // not known before
		{950, 1000, 2 * maxDelay, 950},     // until it shows, nothing more
		{950, 990, 2 * maxDelay, 902},      // about as many run as may: still too many
		{600, 1000, 2 * maxDelay, 600},
		{600, 300, 2 * maxDelay, 285},
		{600, 590, maxDelay, 600},
		{600, 590, 0, 630},
		{600, 300, 0, 600}, // nobody is kept out
	} {
		if got := nextRoom(c.room, c.running, c.delay); got != c.want {
			t.Errorf("room for %d, %d run and wait %s: room for %d, want %d", c.room, c.running, c.delay, got, c.want)
		}
	}
	g := newGate(math.MaxInt64, 0)
	g.spared = 2
	g.room.Store(1)
	g.sampled.Store(time.Now().UnixNano())
	for i, want := range []bool{true, true, false} { // few are not what processors are busy with
		if got := g.enter(); got != want {
			t.Errorf("request %d is taken: %v", i, got)
		}
	}
}

// TestGate_Neighbours: where others have the processors, it would help nobody to
// refuse requests.
func TestGate_Neighbours(t *testing.T) {
	for _, c := range []struct {
		spent time.Duration
		want  bool
	}{{0, false}, {24 * time.Millisecond, false}, {25 * time.Millisecond, true}, {100 * time.Millisecond, true}} {
		if got := busy(c.spent, 50*time.Millisecond, 2); got != c.want {
			t.Errorf("%s of two processors' 50 ms each: busy %v", c.spent, got)
		}
	}
	before, known := processorTime()
	if !known {
		t.Skip("what this process uses is not known here")
	}
	for after := before; after < before+10*time.Millisecond; after, _ = processorTime() {
		_ = randomID(100) // work
	}
}

// TestGate_Delays reads what the runtime says of goroutines that had to wait.
func TestGate_Delays(t *testing.T) {
	var d delays
	d.mean()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 400 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Microsecond):
				}
			}
		})
	}
	defer wg.Wait()
	defer close(stop)
	for deadline := time.Now().Add(20 * time.Second); ; {
		time.Sleep(50 * time.Millisecond) //nolint:forbidigo // the runtime measures real time
		if delay, known := d.mean(); known && delay > 100*time.Microsecond {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("400 busy goroutines wait for no processor")
		}
	}
}

// TestGate_FewDelays: delays of a process in which hardly anybody's turn comes are known
// when they have become enough.
func TestGate_FewDelays(t *testing.T) {
	var d delays
	d.mean()
	for range 10_000 {
		if _, known := d.mean(); known {
			return
		}
		done := make(chan struct{})
		go close(done)
		<-done
	}
	t.Fatal("thousands of turns are not enough to know how long they wait")
}

// TestStop_Requests: what runs when the process is told to end hears of it in its
// dialect, is nobody's fault, and is booked.
func TestStop_Requests(t *testing.T) {
	for _, prompt := range []string{"[[hang]]", "[[events 9]][[silence 4]]"} {
		for _, s := range wireSurfaces {
			t.Run(prompt+" "+s.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { stopOne(t, s, prompt) })
			})
		}
	}
}

func stopOne(t *testing.T, s surface, prompt string) {
	var o watch
	w := newBubble(t, keys(2), o.on)
	answered := make(chan answer)
	go func() { answered <- w.askAny(t.Context(), s, prompt) }()
	time.Sleep(time.Second) // all that comes has come
	w.gw.Stop()
	got := <-answered
	if s.stream && strings.Contains(prompt, "silence") {
		checkEnd(t, s, got, breaks, "")
	} else if got.status != http.StatusServiceUnavailable && got.status != 529 || !s.anthropic() && got.header.Get("Retry-After") == "" {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
	if rests := w.pool.Rests(10); len(rests) > 0 || w.pool.Stats().InFlight != 0 {
		t.Errorf("rests %+v, %d leases out", rests, w.pool.Stats().InFlight)
	}
	if len(o.records) != 1 || o.records[0].Outcome != "overloaded" || len(o.attempts) != 1 {
		t.Errorf("booked %+v after %d attempts", o.records, len(o.attempts))
	}
	if late := w.askAny(t.Context(), s, "hi"); late.status == http.StatusOK {
		t.Error("a request that comes late is served")
	}
}
