// SPDX-License-Identifier: Apache-2.0

package balancer

import "strings"

// Offering is how many Gemini keys have a model.
type Offering struct {
	Keys   int // whose list of models has it, and which the operator lets serve it
	Usable int // of those: in service, and the model does not rest there
}

// Offering tells for each model of the keys' lists who has it. It holds the pool up
// for a look at each key, so it is for people, not for requests.
func (p *Pool) Offering() map[string]Offering {
	type kind struct { // of keys that have the same models
		list  *listing
		globs string
	}
	type group struct {
		spec    *spec // of one of them
		keys    int
		serving []int // slots
	}
	p.lock()
	defer p.unlock()
	groups := map[kind]*group{}
	for _, e := range p.byID {
		if e.listing == nil || e.gone {
			continue
		}
		s := e.spec.Load()
		k := kind{e.listing, strings.Join(s.models, " ")} // no glob has a space, see checkModels
		g := groups[k]
		if g == nil {
			g = &group{spec: s}
			groups[k] = g
		}
		g.keys++
		if s := e.live.Load().state; s == StateActive || s == StateUntested {
			g.serving = append(g.serving, e.slot)
		}
	}
	asked := *p.models.Load()
	all := map[string]Offering{}
	for k, g := range groups {
		for _, name := range k.list.names {
			if !g.spec.serves(name) {
				continue
			}
			o := all[name]
			o.Keys += g.keys
			o.Usable += len(g.serving)
			if m := asked[name]; m != nil {
				for _, slot := range g.serving {
					if m.blocked.has(slot) {
						o.Usable--
					}
				}
			}
			all[name] = o
		}
	}
	return all
}
