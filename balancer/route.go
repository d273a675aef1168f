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
// none gets through, it is the route.
const (
	routeWindow = 10 * time.Second
	routeKeys   = 3 // keys that must fail, or all that take the route
	routeRest   = 15 * time.Second
)

// route is a way to Google: a proxy, or the default one.
type route struct {
	proxy   string      // URL, "" for the direct way
	failing atomic.Bool // something failed since the last success

	// Guarded by Pool.mu.
	failed []*entry // keys that failed since then
	since  time.Time
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

// travelled judges the route of an attempt that ended. A lone route never rests:
// there is nothing to spare it for, and what comes back should be used at once.
func (p *Pool) travelled(l *Lease, o *Outcome) {
	r := l.entry.route.Load()
	if r == nil || o.Verdict != Network && !r.failing.Load() {
		return
	}
	now := p.now()
	p.lock()
	defer p.unlock()
	switch {
	case o.Verdict == Network:
		p.stumble(r, l, o, now)
	case o.Status != 0: // Google answered
		r.failing.Store(false)
		r.failed = nil
		if rest := p.routes[r.proxy]; rest != nil && rest.step > 0 && l.began.After(rest.since) {
			p.setStep(rest, 0)
		}
	}
}

// stumble books that a key did not reach Google. Under p.mu.
func (p *Pool) stumble(r *route, l *Lease, o *Outcome, now time.Time) {
	if now.Sub(r.since) > routeWindow {
		r.failed, r.since = nil, now
	}
	r.failing.Store(true)
	if slices.Contains(r.failed, l.entry) {
		return
	}
	r.failed = append(r.failed, l.entry)
	others, users := false, 0
	for _, e := range p.byID {
		switch {
		case !e.live.Load().state.leasable():
		case e.route.Load() == r:
			users++
		default:
			others = true
		}
		if others && users >= routeKeys {
			break
		}
	}
	if !others || len(r.failed) < min(routeKeys, users) || p.routes[r.proxy].holds() {
		return
	}
	r.failed = nil
	p.rest(&rest{scope: ScopeRoute, proxy: r.proxy}, l, &Outcome{
		Verdict: Network, Blame: ScopeRoute, Rest: routeRest, Escalate: true, Reason: o.Reason,
	}, now)
	p.serve(now)
}
