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
	t.Run("HTTP/1.1", func(t *testing.T) {
		// Some connections end before any handler hears of them, see askAgain.
		storm(t, "", &http.Transport{MaxIdleConnsPerHost: 500}, 100)
	})
	t.Run("HTTP/2", func(t *testing.T) {
		h2 := new(http.Protocols)
		h2.SetUnencryptedHTTP2(true)
		storm(t, "servers {\n protocols h1 h2c\n}", &http.Transport{Protocols: h2}, 0)
	})
}

// storm is that by one protocol; per is of how many requests one may be sent again, 0
// for none.
func storm(t *testing.T, global string, transport *http.Transport, per int) {
	reloads, length, streams, rate := by(20, 100), by(5*time.Second, time.Minute), by(40, 200), by(100.0, 500.0)
	s := newServer(t, 4)
	config := func(options string) string {
		return s.config(global, fmt.Sprintf("store badger %q\n%s", s.dir+"/store", options))
	}
	s.start(config(""))
	s.addUser()
	client := &http.Client{Transport: transport}
	defer client.CloseIdleConnections()
	warm := func() outcomes {
		return openLoop(t.Context(), client, rate, by(time.Second, 5*time.Second), s.small)
	}
	warm()
	goroutines, heap, memory := s.profile("goroutine"), s.profile("heap"), s.memory("RssAnon")

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
		if err := s.load(config(fmt.Sprintf("retry {\n attempts %d\n}\n", 2+i%5))); err != nil {
			t.Errorf("reload %d: %v", i, err)
			failed++
		}
		pause(length/time.Duration(reloads) - time.Since(began))
	}
	load.Wait()
	told := 0 // to come back
	for name, all := range map[string]outcomes{"requests": small, "streams": long} {
		bad := all.worst()
		if per == 0 {
			told += bad[http.StatusServiceUnavailable]
			delete(bad, http.StatusServiceUnavailable)
		}
		if len(bad) > 0 || all.broken() > 0 {
			t.Errorf("of %d %s, these failed: %v, and %d broke: %q", len(all), name, bad, all.broken(), all.errors())
		}
	}
	// A stream that a client opens before it has read that its connection is to end may meet
	// a configuration that has gone: that is not as it should be.
	if told > 0 && told*5000 > len(small)+len(long)+5000 {
		t.Errorf("%d were told to come back", told)
	}
	again, most := small.again()+long.again(), 0
	if per > 0 {
		most = max(1, (len(small)+len(long))/per)
	}
	if again > most {
		t.Errorf("%d requests were sent again, at most %d may be", again, most)
	}
	client.CloseIdleConnections()
	warm()
	var left int64
	eventually(t, "goroutines are as before", func() bool {
		client.CloseIdleConnections()
		left = s.profile("goroutine")
		return left <= goroutines+10
	})
	grown := s.profile("heap") - heap
	if grown > max(heap/20, 4<<20) {
		t.Errorf("the heap grew by %d bytes from %d", grown, heap)
	}
	tell(t, "R8", "%s: %d reloads in %s under %.0f requests/s and %d open streams: %d requests and %d streams, %d dropped, %d refused (p99 %s), %d connections closed by a server before its end and asked again; goroutines %d to %d, heap %+.1f MB, memory without mapped files %+.1f MB",
		t.Name(), reloads-failed, length, rate, streams, len(small), len(long), len(small.of(0))+len(long.of(0))+small.broken()+long.broken(), refused(small)+refused(long),
		small.took(.99), again, goroutines, left, float64(grown)/1e6, float64(s.memory("RssAnon")-memory)/1e6)
}

// refused are the answers of another status than 200.
func refused(o outcomes) int { return len(o) - len(o.of(http.StatusOK)) - len(o.of(0)) }

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
	if long && took > 6*time.Second {
		t.Errorf("it took %s", took)
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
	var log struct {
		Items []struct {
			Outcome string
			Tokens  struct{ Output int64 }
		}
	}
	s.call(http.MethodGet, "/admin/requests?limit=200", "", &log)
	for _, x := range log.Items {
		if x.Tokens.Output == 0 {
			t.Errorf("one with the outcome %s is booked without tokens", x.Outcome)
		}
	}
	if len(log.Items) != 2*each {
		t.Errorf("%d of %d requests are in the log", len(log.Items), 2*each)
	}
	tell(t, "R10", "SIGTERM with %d streams, grace period 3 s: %d short ones whole, the others end with an error in the stream, all within %.1f s; %d of %d requests in the books",
		2*each, each-short.broken(), took.Seconds(), stats.Requests, 2*each)
}
