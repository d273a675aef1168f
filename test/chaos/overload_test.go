// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"
)

// TestOverload_Memory offers five times as many requests as fit into the memory
// limit: as many as fit are served, the others are told at once to come back, and the
// limit holds.
func TestOverload_Memory(t *testing.T) {
	limit, length := by[int64](160<<20, 256<<20), by(4*time.Second, 20*time.Second)
	s := newServer(t, 8)
	s.pinned = long
	s.env = append(s.env, "GOMEMLIMIT="+strconv.FormatInt(limit, 10))
	s.start(s.usual(""))
	s.addUser()
	capacity := float64((limit - 128<<20) / 2 / (128 << 10)) // see gateway.Gate; Google takes a second
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8000}}
	defer client.CloseIdleConnections()
	all := openLoop(t.Context(), client, 5*capacity, length, func(ctx context.Context, _ int) *http.Request {
		return s.request(ctx, "<delay 1s>", false)
	})
	checkOverload(t, s, "memory", all, capacity, length, by(2*time.Second, 5*time.Second), by(100*time.Millisecond, 5*time.Millisecond))
	if p99 := all.of(http.StatusServiceUnavailable).took(.99); long && p99 > 5*time.Millisecond {
		t.Errorf("one in a hundred is refused after more than %s", p99)
	}
	if rss := s.memory("VmHWM"); long && rss > limit {
		t.Errorf("the peak is %d MB with a memory limit of %d", rss>>20, limit>>20)
	}
}

// checkOverload demands goodput and refusals within a time of a load of five times the
// capacity, when it has lasted for a while.
func checkOverload(t *testing.T, s *server, name string, all outcomes, capacity float64, length, settled, refused time.Duration) {
	t.Helper()
	late := all.between(settled, length)
	served, shed := late.of(http.StatusOK), late.of(http.StatusServiceUnavailable)
	goodput := float64(len(served)) / (length - settled).Seconds()
	for _, x := range all {
		if x.status != http.StatusOK && (x.status != http.StatusServiceUnavailable || x.after == "") || x.status == http.StatusOK && !x.whole {
			t.Fatalf("an answer of %d, Retry-After %q: %s", x.status, x.after, x.last)
		}
	}
	if goodput < 0.9*capacity {
		t.Errorf("%.0f are served a second, of a capacity of %.0f", goodput, capacity)
	}
	if p50 := shed.took(.5); len(shed) == 0 || p50 > refused {
		t.Errorf("%d are refused, half of them within %s", len(shed), p50)
	}
	tell(t, "U14", "%s: 5 × the capacity of %.0f/s: goodput %.0f %%, refused within %s (p50), %s (p99); peak %d MB",
		name, capacity, 100*goodput/capacity, shed.took(.5), shed.took(.99), s.memory("VmHWM")>>20)
}

// TestOverload_Events has answers whose events are megabytes, as those with images are,
// come all at once: they wait for one another, and none is refused.
func TestOverload_Events(t *testing.T) {
	const limit = 256 << 20
	count, size := by(24, 64), 4<<20
	s := newServer(t, 8)
	s.env = append(s.env, "GOMEMLIMIT="+strconv.Itoa(limit))
	s.start(s.usual(""))
	s.addUser()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	defer client.CloseIdleConnections()
	all := openLoop(t.Context(), client, 1000, time.Duration(count)*time.Millisecond, func(ctx context.Context, _ int) *http.Request {
		return s.request(ctx, fmt.Sprintf("<size %d><events 1><delay 100ms>", size), true)
	})
	if bad := all.worst(); len(bad) > 0 || len(all) < count/2 {
		t.Errorf("of %d at once, these failed: %v: %q", len(all), bad, all.errors())
	}
	// The limit is that of Go's memory; the pages of program and store come on top.
	peak := s.memory("VmHWM")
	if peak > limit+limit/4 {
		t.Errorf("the peak is %d MB with a memory limit of %d", peak>>20, limit>>20)
	}
	tell(t, "U14", "%d streams at once with an event of %d MiB each, GOMEMLIMIT=256MiB: all whole, p99 %s, peak %d MB", len(all), size>>20, all.took(.99), peak>>20)
}

// TestBurst sends half a thousand requests at once: that is no overload, and none is
// refused.
func TestBurst(t *testing.T) {
	s := newServer(t, 8)
	s.start(s.usual(""))
	s.addUser()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}
	defer client.CloseIdleConnections()
	all := openLoop(t.Context(), client, 5000, 100*time.Millisecond, func(ctx context.Context, _ int) *http.Request {
		return s.request(ctx, "<delay 200ms>", false)
	})
	if bad := all.worst(); len(bad) > 0 {
		t.Errorf("of %d at once, these failed: %v: %q", len(all), bad, all.errors())
	}
	tell(t, "U14", "%d requests at once: all served, p99 %s", len(all), all.took(.99))
}
