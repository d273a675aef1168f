// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

// Where Google blocks an address, or nothing answers, probes leave the route
// alone, longer each time, while others go on.
func TestRun_ClosedRoute(t *testing.T) {
	for name, test := range map[string]struct {
		google http.HandlerFunc
		first  int // requests before the route is closed: those under way
		rests  int
	}{
		"blocked": {robots, atOnce, 1},
		"hangs":   {hang, atOnce + enough - 1, 0},
		"resets":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, atOnce + enough - 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var closed atomic.Bool
				closed.Store(true)
				w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					if closed.Load() && strings.HasSuffix(r.Header.Get("X-Goog-Api-Key"), "bad") {
						test.google(rw, r)
						return
					}
					good(rw, r)
				}))
				var keys []balancer.NewKey
				for _, k := range newKeys(100, "http://bad:3128") {
					k.Secret += "bad"
					keys = append(keys, k)
				}
				w.add(keys...)
				w.add(newKeys(50, "http://good:3128")...)
				time.Sleep(30 * time.Second)
				if n := len(w.seen("bad")); n > test.first {
					t.Errorf("%d requests over a closed route", n)
				}
				if n := len(w.seen("good")); n != 50 {
					t.Errorf("%d of 50 keys were asked over the good route", n)
				}
				if rests := len(w.pool.Rests(0)); rests != test.rests {
					t.Errorf("%d rests; want %d", rests, test.rests)
				}
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				if n := len(w.seen("bad")) - test.first; n < 20 || n > 35 {
					t.Errorf("%d requests over the closed route in a day", n)
				}
				closed.Store(false)
				time.Sleep(3 * time.Hour)
				synctest.Wait()
				if s := w.pool.Stats().States; s[balancer.StateActive] != 150 {
					t.Errorf("after the route came back: %v", s)
				}
			})
		})
	}
}

// Failures that were under way when a route was closed count once.
func TestRoutes(t *testing.T) {
	now := time.Now()
	r := routes{}
	fail := ended{proxy: "p", began: now, outcome: balancer.Outcome{Verdict: balancer.Network}}
	for i := range enough {
		if r.closed("p", now) {
			t.Fatalf("closed after %d failures", i)
		}
		r.note(fail, now.Add(time.Second))
	}
	now = now.Add(time.Second)
	for range 10 {
		r.note(fail, now)
		r.note(ended{proxy: "p", began: fail.began}, now) // a success that is older than the trouble
	}
	for wait := shortest; wait <= longest; wait *= 2 {
		if !r.closed("p", now.Add(wait-1)) {
			t.Fatalf("open after less than %s", wait)
		}
		now = now.Add(wait)
		if r.closed("p", now) {
			t.Fatalf("closed after %s", wait)
		}
		if !r.closed("p", now) {
			t.Fatal("a second probe goes over a route that is being tried")
		}
		fail.began = now
		now = now.Add(time.Second)
		r.note(fail, now)
	}
	r.note(ended{proxy: "p", began: now, outcome: balancer.Outcome{Verdict: balancer.InvalidKey, Status: 400}}, now)
	if r.closed("p", now) {
		t.Error("closed although Google answered")
	}
	if r.closed("q", now) {
		t.Error("another route is closed, too")
	}
	r.note(ended{proxy: "q", began: now, outcome: balancer.Outcome{Verdict: balancer.RouteBlocked, Status: 429}}, now)
	if !r.closed("q", now) {
		t.Error("open although Google blocks it")
	}
}
