// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

const (
	// enough is how many probes in a row must fail to reach Google over a route
	// before it is closed; one is enough where Google says that it blocks it.
	enough = 3
	// A route stays closed for shortest, twice as long after each further failure,
	// and never for more than longest. Source: specs/gateways.md §4.3 for the first.
	shortest = time.Minute
	longest  = time.Hour

	maxRoutes = 1024 // that are remembered
)

// putOff is the end of a probe whose route is closed: nothing is known of the key.
var putOff = balancer.Outcome{Verdict: balancer.Network, Reason: "the egress route is in trouble"}

// routes are the egress routes in trouble, by proxy. Unlike the rests of the
// pool, which keep requests off a route, they only keep probes off, and longer:
// nobody waits for a probe.
type routes map[string]*trouble

// trouble is a route over which probes fail.
type trouble struct {
	fails int       // in a row
	since time.Time // of the last that closed it
	until time.Time // when it may be tried again
}

// closed reports whether no probe may go over a route. When its time is over, one
// probe may, and the others wait for what it finds.
func (r routes) closed(proxy string, now time.Time) bool {
	t := r[proxy]
	if t == nil || t.fails < enough {
		return false
	}
	if now.Before(t.until) {
		return true
	}
	t.until = now.Add(patience)
	return false
}

// note learns of a route from the end of a probe.
func (r routes) note(e ended, now time.Time) {
	t := r[e.proxy]
	blocked := e.outcome.Verdict == balancer.RouteBlocked
	switch {
	case e.outcome.Verdict == balancer.Canceled:
	case t != nil && e.began.Before(t.since):
		// It was under way when the route was closed, and says nothing new.
	case !blocked && (e.outcome.Verdict == balancer.OK || e.outcome.Status != 0):
		delete(r, e.proxy)
	default:
		if t == nil {
			if len(r) >= maxRoutes {
				clear(r)
			}
			t = new(trouble)
			r[e.proxy] = t
		}
		t.fails++
		if blocked {
			t.fails = max(t.fails, enough)
		}
		if t.fails >= enough {
			t.since = now
			t.until = now.Add(min(shortest<<min(t.fails-enough, 10), longest))
		}
	}
}
