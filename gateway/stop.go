// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// running are the requests that a Gateway serves. The zero value is ready.
type running struct {
	mu      sync.Mutex
	all     map[*exchange]struct{}
	stopped bool
}

func (r *running) add(x *exchange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		x.stop()
		return
	}
	if r.all == nil {
		r.all = map[*exchange]struct{}{}
	}
	r.all[x] = struct{}{}
}

func (r *running) remove(x *exchange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, x)
}

// Stop ends the requests that still run: the process exits, and they have had the
// time that its operator gave them. Streams end with an error in their dialect, and
// what all have used is booked, which a connection that breaks with the process would
// not let happen. Requests that come after it end as well.
func (g *Gateway) Stop() {
	g.running.mu.Lock()
	defer g.running.mu.Unlock()
	g.running.stopped = true
	for x := range g.running.all {
		x.stop()
	}
}

// stop ends a request from another goroutine.
func (x *exchange) stop() {
	x.stopped.Store(true)
	x.cancel()
}

// stopping is the end of an attempt that Stop has ended: nobody's fault.
func stopping() result {
	return result{
		balancer.Outcome{Verdict: balancer.Canceled, Reason: "the gateway stops"},
		&translate.Failure{Kind: translate.Overloaded, Message: "The gateway is being stopped. Try again in a moment.", RetryAfter: time.Second},
	}
}
