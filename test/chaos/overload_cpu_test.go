// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package chaos

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestOverload_Processor offers five times as many streams as one processor can
// serve. What that is, is found out first, by clients that wait for their answers.
func TestOverload_Processor(t *testing.T) {
	const prompt, length = "<delay 20ms> <events 50> <pace 10ms>", 20 * time.Second
	s := newServer(t, 8)
	s.pinned = true
	s.start(s.usual(""))
	s.addUser()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 9000}}
	defer client.CloseIdleConnections()
	stream := func(ctx context.Context, _ int) *http.Request { return s.request(ctx, prompt, true) }

	var best float64
	for _, clients := range []int{300, 600, 1000} { // more than the gate spares are needed to fill a processor
		var served atomic.Int64
		var wg sync.WaitGroup
		start := time.Now()
		for range clients {
			wg.Go(func() {
				for time.Since(start) < 6*time.Second {
					if x := ask(client, stream(t.Context(), 0)); x.status == http.StatusOK && x.whole && time.Since(start) < 6*time.Second {
						served.Add(1)
					} else if x.status == http.StatusServiceUnavailable {
						pause(100 * time.Millisecond)
					}
				}
			})
		}
		wg.Wait()
		rate := float64(served.Load()) / 6
		t.Logf("%d clients: %.0f streams a second", clients, rate)
		best = max(best, rate)
	}
	all := openLoop(t.Context(), client, 5*best, length, stream)
	checkOverload(t, s, "one processor, streams of 50 events", all, best, length, 5*time.Second)
}
