// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package chaos

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestOverload_Processor offers five times as many requests as one processor can
// serve. What that is, is found out first, by clients that wait for their answers.
// What is asked for is dear to the gateway alone, so that clients and Google, who have
// the other processor, are no part of what is measured. A Go process that is never idle
// looks every 10 ms whether somebody asks for something: half of the refusals wait for
// that.
func TestOverload_Processor(t *testing.T) {
	const length, limit = 20 * time.Second, 512 << 20
	s := newServer(t, 8)
	s.pinned = true
	s.env = append(s.env, "GOMEMLIMIT="+strconv.Itoa(limit))
	s.start(s.usual(""))
	s.addUser()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}
	defer client.CloseIdleConnections()
	body, err := json.Marshal(map[string]any{
		"model": "gemini-embedding-001", "dimensions": 768, "input": slices.Repeat([]string{"<delay 20ms>"}, 100),
	})
	must(t, err)
	embed := func(ctx context.Context, _ int) *http.Request { return s.post(ctx, "/v1/embeddings", body) }

	var best float64
	for _, clients := range []int{20, 40, 60} {
		var served atomic.Int64
		var wg sync.WaitGroup
		start := time.Now()
		for range clients {
			wg.Go(func() {
				for time.Since(start) < 6*time.Second {
					if x := ask(client, embed(t.Context(), 0)); x.status == http.StatusOK && x.whole && time.Since(start) < 6*time.Second {
						served.Add(1)
					} else if x.status == http.StatusServiceUnavailable {
						pause(100 * time.Millisecond)
					}
				}
			})
		}
		wg.Wait()
		rate := float64(served.Load()) / 6
		t.Logf("%d clients: %.0f requests a second", clients, rate)
		best = max(best, rate)
	}
	all := openLoop(t.Context(), client, 5*best, length, embed)
	checkOverload(t, s, "one processor, 100 embeddings a request", all, best, length, 5*time.Second, 10*time.Millisecond)
	if rss := s.memory("VmHWM"); rss > limit {
		t.Errorf("the peak is %d MB with a memory limit of %d", rss>>20, limit>>20)
	}
}
