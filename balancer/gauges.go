// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"cmp"
	"net/url"
	"slices"
)

// Gauges are numbers of a pool at a moment, for those who draw them over time.
type Gauges struct {
	PoolStats
	Rests  []RestCount  // of what is there at all
	Routes []RouteGauge // the direct way, which has no name, first
}

// RestCount is how many rests of one kind are in force.
type RestCount struct {
	Scope string // as in [Rest]
	Kind  string // Cooling, ExhaustedForDay, NotAvailable or Broken
	Count int
}

// Broken is the kind of rests by the breaker, for counts: half of a project's attempts
// for a model failed. Elsewhere they are Cooling.
const Broken = "broken"

// RouteGauge is how an egress route does.
type RouteGauge struct {
	Route string // host of the proxy, "" for the direct way
	Keys  int    // that can be leased and take it
	Out   bool   // it rests
}

// restKinds are the kinds of rests in counts.
var restKinds = [...]string{Cooling, ExhaustedForDay, NotAvailable, Broken}

// classes are the places of counts of rests: one per scope and kind; 0 for rests that
// are not in force.
const classes = 1 + (int(ScopeRoute)+1)*len(restKinds)

// class is the place of r among the counts.
func (r *rest) class() uint8 {
	if !r.inForce {
		return 0
	}
	kind := slices.Index(restKinds[:], r.kind)
	if r.broke() {
		kind = len(restKinds) - 1
	}
	return uint8(1 + int(r.scope)*len(restKinds) + max(kind, 0)) //nolint:gosec // below classes
}

// recount books what r is now, and notes it for the observer where it begins to be what
// operators should hear of. It is called after every change of a rest. Under p.mu.
func (p *Pool) recount(r *rest) {
	class := r.class()
	if class == r.counted {
		return
	}
	p.restCounts[r.counted]--
	p.restCounts[class]++
	r.counted = class
	if class != 0 && p.observer != nil && (r.kind == ExhaustedForDay || r.scope == ScopeRoute || r.why == why[UnfundedProject]) {
		p.rested = append(p.rested, r.public())
	}
}

// Gauges returns the numbers. It costs the same for every number of keys.
func (p *Pool) Gauges() Gauges {
	g := Gauges{PoolStats: p.Stats()}
	p.mu.Lock()
	defer p.mu.Unlock()
	for class, n := range p.restCounts {
		if class > 0 && n > 0 {
			at := class - 1
			g.Rests = append(g.Rests, RestCount{Scope: scopeNames[at/len(restKinds)], Kind: restKinds[at%len(restKinds)], Count: n})
		}
	}
	for proxy, r := range p.ways {
		if len(r.keys) == 0 {
			continue // none that counts takes it
		}
		route := RouteGauge{Keys: len(r.keys), Out: p.routes[proxy].holds()}
		if u, err := url.Parse(proxy); err == nil {
			route.Route = u.Host // the rest of the URL may hold a password
		}
		g.Routes = append(g.Routes, route)
	}
	slices.SortFunc(g.Routes, func(a, b RouteGauge) int { return cmp.Compare(a.Route, b.Route) })
	return g
}
