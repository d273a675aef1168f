// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"fmt"
	"hash/fnv"
	"slices"
	"sync/atomic"
	"time"
)

// Where several keys fail to reach Google over one route within a short time and
// none gets through, it is the route, as long as another one gets through.
const (
	routeWindow = 10 * time.Second
	routeKeys   = 3 // keys that must fail; on a route with fewer, failures in a row
	routeRest   = 15 * time.Second
	// routeNotice is how often a route is seen to get through while another fails.
	routeNotice = 100 * time.Millisecond
)

// route is a way to Google: a proxy, or the default one.
type route struct {
	proxy   string       // URL, "" for the direct way
	failing atomic.Bool  // something failed since the last success
	arrived atomic.Int64 // when an answer was last seen to come while some route failed, in Unix ns

	// Guarded by Pool.mu.
	keys   []*entry          // leasable keys that take it, resting or not
	out    bool              // it rests for network trouble
	failed [routeKeys]*entry // keys that failed since the last success
	fails  int               // how many of them are known
	row    int               // attempts that failed, each begun after the one before had
	since  time.Time         // of the first failure
	last   time.Time         // of the last one
}

// arrival is an answer that came over a route.
type arrival struct {
	route *route
	at    time.Time
}

// SetRoutes makes proxies the egress routes of the keys that have none of their
// own; none means the direct way. Each key keeps its route as long as that is
// among them: Google sees it from the same address. The error names no password.
func (p *Pool) SetRoutes(proxies []string) error {
	for i, proxy := range proxies {
		if err := CheckProxy(proxy); err != nil {
			return fmt.Errorf("proxy %d: %w", i+1, err)
		}
	}
	p.lock()
	defer p.unlock()
	if slices.Equal(p.proxies, proxies) {
		return nil
	}
	p.proxies = slices.Clone(proxies)
	for _, e := range p.byID {
		p.direct(e)
		p.refresh(e)
	}
	now := p.now()
	for proxy := range p.ways {
		p.restoreRoute(proxy, now)
	}
	p.serve(now)
	return nil
}

// direct gives a key its route: of its own, else the one with the highest hash of
// both, so that a route that comes or goes moves only its own share of the keys.
// Under p.mu.
func (p *Pool) direct(e *entry) {
	proxy := e.spec.Load().proxy
	if proxy == "" {
		var most uint64
		for _, candidate := range p.proxies {
			h := fnv.New64a()
			_, _ = h.Write([]byte(e.id + "\n" + candidate))
			if v := mix(h.Sum64()); proxy == "" || v > most {
				proxy, most = candidate, v
			}
		}
	}
	if old := e.route.Load(); old != nil && old.proxy == proxy {
		return
	}
	r := p.ways[proxy]
	if r == nil {
		r = &route{proxy: proxy}
		p.ways[proxy] = r
	}
	e.route.Store(r)
}

// proxy returns the URL of the key's route, "" for the direct way.
func (e *entry) proxy() string {
	if r := e.route.Load(); r != nil {
		return r.proxy
	}
	return ""
}

// tally books over which route e can be leased, and how many can. Under p.mu.
func (p *Pool) tally(e *entry, leasable bool) {
	var next *route
	if leasable {
		next = e.route.Load()
	}
	old := e.way
	if old == next {
		return
	}
	if e.way = next; old != nil {
		moved := old.keys[len(old.keys)-1]
		old.keys[e.wayAt], moved.wayAt = moved, e.wayAt
		old.keys[len(old.keys)-1] = nil
		old.keys = old.keys[:len(old.keys)-1]
		p.count(old, -1)
		if len(old.keys) == 0 {
			p.arrive(old)
		}
	}
	if next != nil {
		e.wayAt = len(next.keys)
		next.keys = append(next.keys, e)
		p.count(next, 1)
	}
}

// count books that so many keys more can be leased over a route. Under p.mu.
func (p *Pool) count(r *route, n int) {
	p.leasable += n
	if r.out {
		p.cutOff += n
	}
}

// cut books whether a route rests for network trouble. Under p.mu.
func (p *Pool) cut(r *route, out bool) {
	if r.out == out {
		return
	}
	if r.out = out; out {
		p.cutOff += len(r.keys)
	} else {
		p.cutOff -= len(r.keys)
	}
}

// travelled judges the route of an attempt that ended. While no route fails, it
// costs two looks.
func (p *Pool) travelled(l *Lease, o *Outcome) {
	r := l.entry.route.Load()
	if r == nil || o.Verdict != Network && (o.Status == 0 || !r.failing.Load() && p.troubled.Load() == 0) {
		return
	}
	now := p.now()
	if o.Verdict == Network {
		p.lock()
		defer p.unlock()
		p.stumble(r, l, o, now)
		return
	}
	if !r.failing.Load() && now.UnixNano()-r.arrived.Load() < int64(routeNotice) {
		return
	}
	r.arrived.Store(now.UnixNano())
	p.lock()
	defer p.unlock()
	p.arrive(r)
	rest := p.routes[r.proxy]
	if rest != nil && rest.step > 0 && l.began.After(rest.since) {
		p.setStep(rest, 0)
	}
	if rest.holds() {
		return
	}
	if p.arrivals[0].route != r {
		p.arrivals[1] = p.arrivals[0]
	}
	p.arrivals[0] = arrival{r, now}
}

// arrive forgets the failures of a route. Under p.mu.
func (p *Pool) arrive(r *route) {
	r.failed, r.fails, r.row = [routeKeys]*entry{}, 0, 0
	if r.failing.Load() {
		r.failing.Store(false)
		p.troubled.Add(-1)
	}
}

// stumble books that a key did not reach Google. Under p.mu.
func (p *Pool) stumble(r *route, l *Lease, o *Outcome, now time.Time) {
	if len(r.keys) == p.leasable {
		return // a lone route never rests: what comes back should be used at once
	}
	if !r.failing.Load() || now.Sub(r.last) > routeWindow {
		p.arrive(r)
		r.failing.Store(true)
		p.troubled.Add(1)
		r.since = now
	}
	// What was on its way when one failed may have failed with it: connections are
	// shared.
	if r.row == 0 || !l.began.Before(r.last) {
		r.row++
	}
	r.last = now
	if r.fails < routeKeys && !slices.Contains(r.failed[:r.fails], l.entry) {
		r.failed[r.fails] = l.entry
		r.fails++
	}
	switch {
	case r.fails < routeKeys && (len(r.keys) >= routeKeys || r.row < routeKeys):
		return
	case p.routes[r.proxy].holds() || !p.getThrough(r, now) || !p.spares(r):
		return
	}
	p.arrive(r)
	p.rest(&rest{scope: ScopeRoute, proxy: r.proxy}, l, &Outcome{
		Verdict: Network, Blame: ScopeRoute, Rest: routeRest, Escalate: true, Reason: o.Reason,
	}, now)
	p.serve(now)
}

// getThrough reports whether others reach Google while r does not: else the
// trouble is Google's, or that of all routes, and each must be tried on. Under p.mu.
func (p *Pool) getThrough(r *route, now time.Time) bool {
	for _, a := range p.arrivals {
		if a.route == nil || a.route == r || a.route.failing.Load() || p.routes[a.route.proxy].holds() {
			continue
		}
		if !a.at.Before(r.since) && now.Sub(a.at) <= routeWindow {
			return true
		}
	}
	return false
}

// spares reports whether the pool can do without a route's keys: half of all is
// what may be out for network trouble. The first one out may have two thirds,
// because hashes do not share the keys of two routes out evenly. Under p.mu.
func (p *Pool) spares(r *route) bool {
	return 2*(p.cutOff+len(r.keys)) <= p.leasable || p.cutOff == 0 && 3*len(r.keys) <= 2*p.leasable
}
