// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"
)

// TestCancelled leaves thousands of requests at some moment of their lives, all of
// them before their end: nothing of them stays, not a goroutine, not a connection.
func TestCancelled(t *testing.T) {
	requests, rate := by(1000, 10_000), by(500.0, 400.0)
	s := newServer(t, 4)
	s.start(s.usual(""))
	s.addUser()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	load := func(n int) {
		openLoop(t.Context(), client, rate, time.Duration(float64(n)/rate*float64(time.Second)), func(ctx context.Context, i int) *http.Request {
			ctx, cancel := context.WithTimeout(ctx, rand.N(150*time.Millisecond))
			context.AfterFunc(ctx, cancel)
			return s.request(ctx, "<delay 50ms> <events 100> <pace 10ms>", i%2 == 0)
		})
		client.CloseIdleConnections()
	}
	load(200) // what is made once
	pause(time.Second)
	s.client.CloseIdleConnections()
	goroutines, files := s.profile("goroutine"), s.files()
	load(requests)
	over := time.Now()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%d goroutines and %d files before, %d and %d after", goroutines, files, s.profile("goroutine"), s.files())
		}
	})
	eventually(t, "goroutines and files are as before", func() bool {
		s.client.CloseIdleConnections()
		return s.profile("goroutine") <= goroutines+5 && s.files() <= files+5
	})
	took := time.Since(over)
	if long && took > 5*time.Second {
		t.Errorf("goroutines and files were as before after %s", took)
	}
	tell(t, "R11", "%d requests that were left: %d goroutines and %d files before, %d and %d %.1f s after", requests, goroutines, files, s.profile("goroutine"), s.files(), took.Seconds())
}
