// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestReloadStorm changes the configuration again and again while streams are open
// and requests keep coming: no stream breaks, no request fails, and what the
// configurations before held is let go of.
func TestReloadStorm(t *testing.T) {
	reloads, length, streams, rate := by(20, 100), by(5*time.Second, time.Minute), by(40, 200), by(100.0, 500.0)
	s := newServer(t, 4)
	s.start(s.usual(""))
	s.addUser()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 500}}
	defer client.CloseIdleConnections()
	warm := func() outcomes {
		return openLoop(t.Context(), client, rate, by(time.Second, 5*time.Second), s.small)
	}
	warm()
	goroutines, heap := s.profile("goroutine"), s.profile("heap")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var load sync.WaitGroup
	var small, long outcomes
	load.Go(func() { small = openLoop(ctx, client, rate, length, s.small) })
	load.Go(func() { // each takes two seconds in CI, so that it sees several reloads
		events := int(by(2*time.Second, 8*time.Second) / (100 * time.Millisecond))
		perSecond := float64(streams) / by(2.0, 8.0)
		long = openLoop(ctx, client, perSecond, length, func(ctx context.Context, _ int) *http.Request {
			return s.request(ctx, fmt.Sprintf("<events %d> <pace 100ms>", events), true)
		})
	})
	failed := 0
	for i := range reloads {
		began := time.Now()
		// The pool and the settings change, not only a comment.
		if err := s.load(s.usual(fmt.Sprintf("retry {\n attempts %d\n}\n", 2+i%5))); err != nil {
			t.Errorf("reload %d: %v", i, err)
			failed++
		}
		pause(length/time.Duration(reloads) - time.Since(began))
	}
	load.Wait()
	for name, all := range map[string]outcomes{"requests": small, "streams": long} {
		if bad := all.worst(); len(bad) > 0 || all.broken() > 0 {
			t.Errorf("of %d %s, these failed: %v, and %d broke: %q", len(all), name, bad, all.broken(), all.errors())
		}
	}
	client.CloseIdleConnections()
	warm()
	eventually(t, "goroutines are as before", func() bool {
		client.CloseIdleConnections()
		return s.profile("goroutine") <= goroutines+100
	})
	grown := s.profile("heap") - heap
	if grown > max(heap/20, 4<<20) {
		t.Errorf("the heap grew by %d bytes from %d", grown, heap)
	}
	tell(t, "R8", "%d reloads in %s under %.0f requests/s and %d open streams: %d requests and %d streams, 0 dropped, 0 5xx (p99 %s), %d connections closed by a server before its end and asked again; heap %+.1f MB",
		reloads-failed, length, rate, streams, len(small), len(long), small.took(.99), small.again()+long.again(), float64(grown)/1e6)
}

// small is a request that is not steered.
func (s *server) small(ctx context.Context, _ int) *http.Request {
	return s.request(ctx, "hello", false)
}

// TestStop is SIGTERM with a hundred streams: those that are short enough end whole,
// the others when the grace period is over, and all of it is in the books.
func TestStop(t *testing.T) {
	const each = 50
	s := newServer(t, 4)
	config := s.config("grace_period 3s", fmt.Sprintf("store badger %q\n", s.dir+"/store"))
	s.start(config)
	s.addUser()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 500}}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var short, endless outcomes
	for i := range 2 * each {
		wg.Go(func() {
			events := 20 // one and a half seconds more
			if i%2 == 1 {
				events = 10_000
			}
			x := ask(client, s.request(t.Context(), fmt.Sprintf("<events %d> <pace 100ms>", events), true))
			mu.Lock()
			defer mu.Unlock()
			if i%2 == 1 {
				endless = append(endless, x)
			} else {
				short = append(short, x)
			}
		})
	}
	eventually(t, "all streams are open", func() bool { return s.google.asked.Load() == 2*each })
	pause(500 * time.Millisecond)
	began := time.Now()
	must(t, s.cmd.Process.Signal(terminate))
	if err := s.wait(patience); err != nil {
		t.Errorf("Caddy ended with %v", err)
	}
	took := time.Since(began)
	wg.Wait()
	if bad := short.worst(); len(bad) > 0 || short.broken() > 0 {
		t.Errorf("of %d short streams, these failed: %v, and %d broke: %q", each, bad, short.broken(), short.errors())
	}
	for _, x := range endless {
		if x.status != http.StatusOK || x.whole || !strings.Contains(x.last, `"error":{`) {
			t.Errorf("an endless stream ended with %d %q", x.status, x.last)
		}
	}
	s.start(config)
	var stats struct {
		Requests, Input, Output int64
	}
	s.call(http.MethodGet, "/admin/stats", "", &stats)
	if stats.Requests != 2*each {
		t.Errorf("%d of %d requests are in the books", stats.Requests, 2*each)
	}
	if least := s.google.output.Load(); stats.Output < least {
		t.Errorf("%d tokens of output are in the books, Google finished %d alone", stats.Output, least)
	}
	tell(t, "R10", "SIGTERM with %d streams, grace period 3 s: %d short ones whole, the others end with an error in the stream, all within %.1f s; %d of %d requests in the books",
		2*each, each-short.broken(), took.Seconds(), stats.Requests, 2*each)
}
