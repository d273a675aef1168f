// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestHoldings: who needs more room than there is waits for it in the order in which
// they came, but the eldest, for whom nobody would make room.
func TestHoldings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const unit = holdFrom
		g := newGate(math.MaxInt64, 0)
		g.mostHeld = 10 * unit
		a, b, c, d := &holding{gate: g}, &holding{gate: g}, &holding{gate: g}, &holding{gate: g}
		granted := func(wait <-chan struct{}) bool {
			select {
			case <-wait:
				return true
			default:
				return wait == nil
			}
		}
		if !granted(a.grow(6*unit)) || !granted(b.grow(4*unit)) {
			t.Fatal("what fits has to wait")
		}
		forC, forB, forD := c.grow(2*unit), b.grow(8*unit), d.grow(unit)
		if granted(forC) || granted(forB) || granted(forD) {
			t.Fatal("more is given than there is")
		}
		if !granted(a.grow(20 * unit)) {
			t.Fatal("the eldest waits for those who wait for it")
		}
		if g.answers.tooLong(time.Now()) {
			t.Error("they wait for too long at once")
		}
		time.Sleep(burst + time.Millisecond)
		if !g.answers.tooLong(time.Now()) {
			t.Error("nobody knows that they wait")
		}
		if g.spared = 1; !g.enter() || g.enter() {
			t.Error("more than is spared is asked for while answers wait")
		}
		g.leave()
		a.leave() // b is the eldest now, and takes 8 of 10
		if !granted(forB) || !granted(forC) || granted(forD) {
			t.Errorf("given: b %t, c %t, d %t", granted(forB), granted(forC), granted(forD))
		}
		d.leave() // it waits no longer
		b.leave()
		if granted(forD) || d.bytes != 0 {
			t.Error("who has left is given something")
		}
		if g.answers.tooLong(time.Now()) {
			t.Error("nobody waits any more")
		}
		if forE := (&holding{gate: g}).grow(9 * unit); granted(forE) {
			t.Error("more is given than there is")
		} else if g.release(-unit); granted(forE) { // a body takes some more
			t.Error("more is given than there is")
		} else if g.release(2 * unit); !granted(forE) {
			t.Error("what a body gives back goes to nobody")
		}
		c.leave()
		if n := g.held.Load(); n != 8*unit { // of e, and of the bodies −1
			t.Errorf("%d bytes are held", n)
		}
	})
}

// TestTurns: as many as there are processors have their turn, the others wait for it,
// and leave when they are not wanted any more.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(math.MaxInt64, 0)
		g.spared, g.most = 1, 100
		g.room.Store(g.most)
		slots := cap(g.turns.taken)
		over := make(chan struct{})
		turn := func(ctx context.Context, bytes int, f func()) error {
			if err := g.await(ctx, bytes); err != nil {
				return err
			}
			defer g.over(bytes)
			f()
			return nil
		}
		var wg sync.WaitGroup
		for range slots {
			wg.Go(func() { _ = turn(t.Context(), holdFrom, func() { <-over }) })
		}
		synctest.Wait()
		small := false
		if err := turn(t.Context(), holdFrom-1, func() { small = true }); err != nil || !small {
			t.Error("what is small waits for a turn")
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		left := errors.New("left")
		wg.Go(func() {
			if err := turn(ctx, holdFrom, func() { t.Error("it had its turn") }); !errors.Is(err, left) {
				t.Errorf("%v, want %v", err, left)
			}
		})
		synctest.Wait()
		cancel(left)
		had := false
		wg.Go(func() { _ = turn(t.Context(), holdFrom, func() { had = true }) })
		time.Sleep(burst + time.Millisecond)
		if had {
			t.Error("there are more turns than processors")
		}
		close(over)
		wg.Wait()
		if !had {
			t.Error("its turn never came")
		}
		if !g.enter() || g.enter() {
			t.Error("more than is spared is taken while turns come late")
		}
		time.Sleep(time.Second)
		if !g.enter() {
			t.Error("turns come late for ever")
		}
		if n := len(g.turns.taken); n != 0 {
			t.Errorf("%d turns are not over", n)
		}
	})
}

// TestGate_Streams: an event of a stream that is large waits for room as a whole answer
// does. Small ones need none.
func TestGate_Streams(t *testing.T) {
	gate := newGate(math.MaxInt64, 0)
	gate.mostHeld = 8 << 20
	image := ""
	w := newWorld(t, keys(1), scripted(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 2000 {
			_, _ = io.WriteString(w, `data: {"candidates":[{"content":{"parts":[{"text":"How it looks, in many words."}],"role":"model"}}]}`+"\r\n\r\n")
		}
		_, _ = io.WriteString(w, `data: {"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"`+image+
			`"}}],"role":"model"},"finishReason":"STOP"}]}`+"\r\n\r\n")
	}), func(c *Config) { c.Gate = gate })
	other := &holding{gate: gate}
	if other.grow(gate.mostHeld) != nil {
		t.Fatal("there is no room at all")
	}
	ask := func() (done chan answer) {
		done = make(chan answer, 1)
		go func() { done <- w.ask(surfaces[1], "hi") }()
		return done
	}
	whole := func(got answer) {
		t.Helper()
		if got.status != http.StatusOK || !strings.HasSuffix(got.body, "data: [DONE]\n\n") || !strings.Contains(got.body, image) {
			t.Errorf("%d with %d bytes: …%s", got.status, len(got.body), got.body[max(0, len(got.body)-300):])
		}
	}
	image = strings.Repeat("QUJD", 4<<10)
	whole(<-ask())
	image = strings.Repeat("QUJD", 256<<10)
	done := ask()
	for gate.answers.waits.Load() == 0 {
		select {
		case got := <-done:
			t.Fatalf("%d with %d bytes came where there is no room", got.status, len(got.body))
		case <-time.After(time.Millisecond):
		}
	}
	other.leave()
	whole(<-done)
	// The client may have read the answer before the handler is over.
	soon(t, "nothing is held of answers that were given", func() bool { return gate.held.Load() == 0 })
}

// TestGate_Answers: large answers that together need more room than there is are all
// given, one after the other.
func TestGate_Answers(t *testing.T) {
	gate := newGate(math.MaxInt64, 0)
	gate.mostHeld = 300 << 10
	w := newWorld(t, keys(4), func(c *Config) { c.Gate = gate })
	body := fmt.Sprintf(`{"model":"gemini-embedding-001","input":[%s]}`, strings.TrimPrefix(strings.Repeat(`,"hi"`, 20), ","))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got := w.post("/v1/embeddings", body); got.status != http.StatusOK || strings.Count(got.body, `"embedding":`) != 20 || len(got.body) < holdFrom {
				t.Errorf("%d with %d bytes: %.200s", got.status, len(got.body), got.body)
			}
		})
	}
	wg.Wait()
	// The client may have read the answer before the handler is over.
	soon(t, "nothing is held of answers that were given", func() bool { return gate.held.Load() == 0 })
}
