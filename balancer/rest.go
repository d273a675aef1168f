// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"container/heap"
	"math"
	"net/url"
	"time"
)

// The kinds of rest. Without one, a target is ready.
const (
	Cooling         = "cooling"     // until a deadline
	ExhaustedForDay = "exhausted"   // until the next Pacific midnight
	NotAvailable    = "unavailable" // the model is not for this project; asked again at the deadline
)

const (
	never        = math.MaxInt64
	maxStep      = 16 // doublings beyond which nothing changes
	restsPerPick = 16 // rests that one pick ends at most, so that midnight hits none hard
)

// ceiling is how far a rest of this scope grows by repetition. Sources:
// specs/openai.md §13.3 row 12 for a project without money, specs/gateways.md
// §4.3 for the 429 without details.
func (s Scope) ceiling() time.Duration {
	if s == ScopeProject {
		return 24 * time.Hour
	}
	return 5 * time.Minute
}

// ceiling is that of the scope, but for the spend limit: no rest for it needs to
// outlast its window.
func (o *Outcome) ceiling(s Scope) time.Duration {
	if o.Verdict == SpendLimited {
		return spendWindow
	}
	return s.ceiling()
}

// memory is how long an ended rest of this scope counts as repeated by the next.
func (s Scope) memory() time.Duration { return 2 * s.ceiling() }

// Rest is a rest in force, for operators.
type Rest struct {
	Scope    string    `json:"scope"`             // project_model, project, key, model or route
	Project  string    `json:"project,omitempty"` // for a key's own project, the key's id
	Model    string    `json:"model,omitempty"`
	KeyID    string    `json:"key_id,omitempty"`
	Route    string    `json:"route,omitempty"` // host of the proxy, "" for the default route
	Kind     string    `json:"kind"`            // Cooling, ExhaustedForDay or NotAvailable
	Until    time.Time `json:"until"`
	Since    time.Time `json:"since"`
	Why      string    `json:"why"`      // in a few words: "per-minute quota"
	Reason   string    `json:"reason"`   // what Google said: one redacted line
	Advice   string    `json:"advice"`   // what the operator can do; "" for nothing
	Affected int       `json:"affected"` // keys that rest for it; 0 for the scopes model and route
}

// rest is a target that is left alone until a deadline. It stays known for a
// while after that if its next rest should be longer. Guarded by Pool.mu.
type rest struct {
	scope    Scope
	project  *project  // for ScopeProjectModel, ScopeProject
	model    *model    // for ScopeProjectModel, ScopeModel
	entry    *entry    // for ScopeKey
	proxy    string    // for ScopeRoute
	books    *quota    // whose books say so, not Google; nil for other rests
	spending *spending // that says so, not Google; nil for other rests

	kind, why, reason string
	since, until      time.Time
	step              int   // escalating rests in a row; 0 where nothing needs to be remembered
	inForce           bool  // until has not passed yet
	counted           uint8 // its place in Pool.restCounts
	at                int64 // what restHeap orders by: until, or when to forget, in Unix ns
	index             int   // in restHeap
	dirty, forgotten  bool
}

// scopeNames are the words for scopes in JSON and in the store.
var scopeNames = [...]string{
	ScopeNone: "none", ScopeProjectModel: "project_model", ScopeProject: "project", ScopeKey: "key", ScopeModel: "model", ScopeRoute: "route",
}

func (r *rest) public() Rest {
	out := Rest{
		Scope: scopeNames[r.scope], Kind: r.kind, Until: r.until, Since: r.since, Why: r.why, Reason: r.reason,
		Advice: restHints[r.why],
	}
	if r.project != nil {
		out.Project, out.Affected = r.project.id, len(r.project.keys)
	}
	if r.model != nil {
		out.Model = r.model.name
	}
	if r.entry != nil {
		out.KeyID, out.Affected = r.entry.id, 1
	}
	if u, err := url.Parse(r.proxy); err == nil {
		out.Route = u.Host // the rest of the URL may hold a password
	}
	return out
}

// restHeap has the nearest deadline on top.
type restHeap []*rest

func (h restHeap) Len() int           { return len(h) }
func (h restHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h restHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *restHeap) Push(x any) {
	r := x.(*rest)
	r.index = len(*h)
	*h = append(*h, r)
}

func (h *restHeap) Pop() any {
	last := len(*h) - 1
	r := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return r
}

// known returns the rest that the pool has for r's target, nil for none.
func (p *Pool) known(r *rest) *rest {
	switch r.scope {
	case ScopeProjectModel:
		return r.model.rests[r.project]
	case ScopeProject:
		return r.project.rest
	case ScopeKey:
		return r.entry.rest
	case ScopeModel:
		return r.model.rest
	default:
		return p.routes[r.proxy]
	}
}

// restsOf returns what is known of a project's rests, in force or not: its own,
// then those for single models. Under p.mu.
func (p *Pool) restsOf(t *project) []*rest {
	var out []*rest
	if t.rest != nil {
		out = append(out, t.rest)
	}
	if t.models == 0 {
		return out
	}
	for _, m := range *p.models.Load() {
		if r := m.rests[t]; r != nil {
			out = append(out, r)
		}
	}
	return out
}

// keep makes r the rest of its target; forgetting sets nil.
func (p *Pool) keep(target, r *rest) {
	switch target.scope {
	case ScopeProjectModel:
		if target.books != nil {
			target.books.fill = nil // there is no other change
			target.project.models--
			p.dropIfUnused(target.project)
			return
		}
		if r == nil {
			delete(target.model.rests, target.project)
			target.project.models--
			p.dropIfUnused(target.project)
		} else {
			target.model.rests[target.project] = r
			target.project.models++
		}
	case ScopeProject:
		if target.spending != nil {
			target.spending.fill = nil // there is no other change
			p.dropIfUnused(target.project)
			return
		}
		if target.project.rest = r; r == nil {
			p.dropIfUnused(target.project)
		}
	case ScopeKey:
		target.entry.rest = r
	case ScopeModel:
		target.model.rest = r
	default:
		if r == nil {
			delete(p.routes, target.proxy)
		} else {
			p.routes[target.proxy] = r
		}
	}
}

// extend makes target rest until a deadline at least. A deadline never moves
// back: a later answer that knows less must not shorten what is known.
// specs/gateways.md §4.2 U3.
func (p *Pool) extend(target *rest, until, now time.Time) *rest {
	r := p.known(target)
	if r == nil {
		r = target
		r.index = -1
		p.keep(r, r)
	} else if !until.After(r.until) && r.inForce {
		return r
	} else {
		r.kind, r.why, r.reason = target.kind, target.why, target.reason
	}
	if !r.inForce {
		r.since = now
		if until.After(now) {
			r.inForce = true
			p.resting++
		}
	}
	r.until = until
	p.schedule(r, until)
	p.recount(r)
	p.markRest(r)
	p.show(r)
	return r
}

// schedule puts r into the heap or moves it there.
func (p *Pool) schedule(r *rest, at time.Time) {
	r.at = at.UnixNano()
	if r.index < 0 {
		heap.Push(&p.restHeap, r)
	} else {
		heap.Fix(&p.restHeap, r.index)
	}
	p.nextRest.Store(p.restHeap[0].at)
}

// endRests ends up to limit rests whose time is over and reports whether it
// ended any.
func (p *Pool) endRests(now time.Time, limit int) bool {
	ended := false
	for nanos := now.UnixNano(); limit > 0 && len(p.restHeap) > 0 && p.restHeap[0].at <= nanos; limit-- {
		r := p.restHeap[0]
		if r.books != nil {
			ended = p.look(r.books, now) || ended
			continue
		}
		if r.spending != nil {
			ended = p.lookSpending(r.spending, now) || ended
			continue
		}
		if r.inForce {
			r.inForce, ended = false, true
			p.resting--
			p.recount(r)
			if r.step > 0 {
				p.schedule(r, r.until.Add(r.scope.memory()))
			} else {
				p.forget(r)
			}
			p.show(r)
			continue
		}
		p.forget(r)
	}
	return ended
}

// forget removes r from the pool. The store forgets it by itself, unless r is
// marked as changed.
func (p *Pool) forget(r *rest) {
	if r.inForce {
		r.inForce = false
		p.resting--
		p.recount(r)
	}
	heap.Remove(&p.restHeap, r.index)
	r.index = -1
	p.nextRest.Store(never)
	if len(p.restHeap) > 0 {
		p.nextRest.Store(p.restHeap[0].at)
	}
	if r.step > 0 {
		p.setStep(r, 0)
	}
	r.forgotten = true
	p.keep(r, nil)
}

// show carries what r says now into the bitmaps that picks read.
func (p *Pool) show(r *rest) {
	p.version++
	switch r.scope {
	case ScopeProjectModel:
		for _, e := range r.project.keys {
			p.block(r.model, e)
		}
	case ScopeProject:
		for _, e := range r.project.keys {
			p.refresh(e)
		}
	case ScopeKey:
		p.refresh(r.entry)
	case ScopeModel:
		r.model.until.Store(0)
		if r.inForce {
			r.model.until.Store(r.until.UnixNano())
		}
	default:
		way := p.ways[r.proxy]
		if way == nil {
			return // no key takes it
		}
		p.cut(way, r.inForce && r.why == why[Network])
		for _, e := range way.keys { // the others are out anyway
			p.refresh(e)
		}
	}
}

// refresh computes whether e may be used at all.
func (p *Pool) refresh(e *entry) {
	l := e.live.Load()
	leasable := !e.gone && l.state.leasable()
	p.tally(e, leasable)
	may := leasable && !e.rest.holds() && !l.project.rest.holds() && !l.project.overspent().holds()
	if may && len(p.routes) > 0 {
		may = !p.routes[e.proxy()].holds()
	}
	p.proven.set(e.slot, may && !p.awaited(e))
	p.untested.set(e.slot, may && l.state == StateUntested)
	if p.open.set(e.slot, may) {
		p.version++
		if may {
			p.gains.Add(1)
			p.usable.Add(1)
		} else {
			p.usable.Add(-1)
		}
	}
}

// overspent returns the rest of a project that has spent its limit by our own count;
// nil for none. Under Pool.mu.
func (t *project) overspent() *rest {
	if s := t.spending.Load(); s != nil {
		return s.fill
	}
	return nil
}

func (r *rest) holds() bool { return r != nil && r.inForce }

// Rests returns up to limit rests in force, those that end first; limit ≤ 0
// means 100. Rests of projects that have no key now are left out.
func (p *Pool) Rests(limit int) []Rest {
	if limit <= 0 {
		limit = 100
	}
	now := p.now().UnixNano()
	p.lock()
	defer p.unlock()
	var out []Rest
	// Best first over the heap: its children are the only candidates after a node.
	next := restOrder{heap: p.restHeap}
	if len(p.restHeap) > 0 {
		next.nodes = append(next.nodes, 0)
	}
	for len(next.nodes) > 0 && len(out) < limit {
		i := heap.Pop(&next).(int)
		for child := 2*i + 1; child <= 2*i+2 && child < len(p.restHeap); child++ {
			heap.Push(&next, child)
		}
		r := p.restHeap[i]
		if r.inForce && r.at > now && (r.project == nil || len(r.project.keys) > 0) {
			out = append(out, r.public())
		}
	}
	return out
}

// restOrder walks a restHeap in order without changing it.
type restOrder struct {
	heap  restHeap
	nodes []int
}

func (o restOrder) Len() int           { return len(o.nodes) }
func (o restOrder) Less(i, j int) bool { return o.heap.Less(o.nodes[i], o.nodes[j]) }
func (o restOrder) Swap(i, j int)      { o.nodes[i], o.nodes[j] = o.nodes[j], o.nodes[i] }
func (o *restOrder) Push(x any)        { o.nodes = append(o.nodes, x.(int)) }
func (o *restOrder) Pop() any {
	i := o.nodes[len(o.nodes)-1]
	o.nodes = o.nodes[:len(o.nodes)-1]
	return i
}
