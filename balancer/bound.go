// SPDX-License-Identifier: Apache-2.0

package balancer

import "slices"

// Binding names the project that made something which only it may use: a file, a
// cache, a batch. Store it with the resource; the zero value binds to nothing.
type Binding struct {
	KeyID   string `json:"key_id"`  // the key that made it
	Project string `json:"project"` // its project at that time
}

// Binding returns what a resource that this attempt makes is bound to.
func (l *Lease) Binding() Binding { return Binding{KeyID: l.entry.id, Project: l.Project()} }

// boundLane is the lane of a request that only one project can serve, with those of
// its keys that the request may use: tags and paid keys hold here, too. The key
// that made the resource tells which one that is now, because answers may have
// revealed since that the key belongs to a larger project; where that key is
// gone, the name of its project does.
func (p *Pool) boundLane(w *Want) *lane {
	p.lock()
	defer p.unlock()
	l := &lane{model: p.modelOf(w.Model, false), passing: true}
	only := new(bitmap)
	l.marks = []*bitmap{only}
	project := p.projects[w.Bound.Project]
	if e := p.byID[w.Bound.KeyID]; e != nil {
		project = e.live.Load().project
	}
	if project != nil {
		for _, e := range project.keys {
			if w.allows(e.spec.Load()) {
				only.set(e.slot, true)
			}
		}
	}
	return l
}

// allows reports whether the request may use a key with this spec.
func (w *Want) allows(s *spec) bool {
	if w.PaidOnly && !s.paid {
		return false
	}
	return len(w.Tags) == 0 || slices.ContainsFunc(w.Tags, func(t string) bool { return slices.Contains(s.tags, t) })
}
