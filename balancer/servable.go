// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"slices"
	"strings"
	"time"
)

// Servable is which models the keys in service may serve, as it was at one moment: by
// Google's lists for them, and by what the operator lets each serve. It never changes.
type Servable struct {
	version uint64    // Pool.version that it is of
	good    time.Time // the last moment at which it may be used although something changed

	groups []servants
	listed map[string]time.Time // since when a model is in some key's list
	models []string             // of the lists, those that somebody may serve; sorted
}

// servants are keys of one list with the same globs.
type servants struct {
	list  *listing // nil for those whose models are not known; only names are read
	spec  *spec    // of one of them
	asked time.Time
}

// Servable returns what may be served now; of many keys it may be a second old.
func (p *Pool) Servable() *Servable {
	p.lock()
	defer p.unlock()
	now := p.now()
	s := p.servable
	if s == nil || s.version != p.version && !now.Before(s.good) {
		s = p.findServable(now)
		p.servable = s
	}
	return s
}

// Models returns the ids of all models that some key in service is known to have and
// may serve, sorted; nil while nothing is known.
func (p *Pool) Models() []string { return slices.Clone(p.Servable().models) }

// findServable looks at every key. Under p.mu.
func (p *Pool) findServable(now time.Time) *Servable {
	s := &Servable{version: p.version, listed: map[string]time.Time{}}
	type kind struct {
		list  *listing
		globs string
	}
	places := map[kind]int{}
	for _, e := range p.byID {
		if e.gone || !e.live.Load().state.leasable() {
			continue
		}
		spec := e.spec.Load()
		k := kind{e.listing, strings.Join(spec.models, " ")} // no glob has a space, see checkModels
		at, there := places[k]
		if !there {
			at = len(s.groups)
			places[k] = at
			s.groups = append(s.groups, servants{e.listing, spec, e.listedAt})
		}
		if g := &s.groups[at]; e.listedAt.Before(g.asked) {
			g.asked = e.listedAt
		}
	}
	for _, l := range p.listings {
		for _, name := range l.names {
			if since, known := s.listed[name]; l.keys > 0 && (!known || l.since.Before(since)) {
				s.listed[name] = l.since
			}
		}
	}
	for name := range s.listed {
		if slices.ContainsFunc(s.groups, func(g servants) bool { return g.list != nil && g.list.has(name) && g.spec.serves(name) }) {
			s.models = append(s.models, name)
		}
	}
	slices.Sort(s.models)
	if len(p.byID) > fewEntries {
		s.good = now.Add(min(staleness*p.now().Sub(now), time.Second))
	}
	return s
}

// Has reports whether some key may serve a model, as [Pool.Lease] judges it: one that
// no list has may be one that Google does not list. Without a key in service nothing is
// said against any.
func (s *Servable) Has(model string) bool {
	model = strings.TrimPrefix(model, "models/")
	since, listed := s.listed[model]
	may := func(g servants) bool {
		return g.spec.serves(model) && (g.list == nil || !listed || g.list.has(model) || !g.asked.After(since.Add(-listingSlack)))
	}
	return len(s.groups) == 0 || slices.ContainsFunc(s.groups, may)
}
