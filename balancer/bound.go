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

// fewLane is the lane of a request that only one project, or one key, can serve,
// with those keys that the request may use: tags and paid keys hold here, too.
func (p *Pool) fewLane(w *Want) *lane {
	p.lock()
	defer p.unlock()
	l := &lane{model: p.modelOf(w.Model, false), passing: true}
	only := new(bitmap)
	l.marks = []*bitmap{only}
	for _, e := range p.few(w) {
		if w.allows(e.spec.Load()) && (w.Only == "" || w.Only == e.id) {
			only.set(e.slot, true)
		}
	}
	return l
}

// few are the keys of the project that the request is bound to, or the one that it
// asks for. The key that made a resource tells which project that is now, because
// answers may have revealed since that the key belongs to a larger one; where that
// key is gone, the name of its project does.
func (p *Pool) few(w *Want) []*entry {
	if w.Bound == nil {
		if e := p.byID[w.Only]; e != nil {
			return []*entry{e}
		}
		return nil
	}
	project := p.projects[w.Bound.Project]
	if e := p.byID[w.Bound.KeyID]; e != nil {
		project = e.live.Load().project
	}
	if project == nil {
		return nil
	}
	return project.keys
}

// allows reports whether the request may use a key with this spec.
func (w *Want) allows(s *spec) bool {
	if w.PaidOnly && !s.paid {
		return false
	}
	return len(w.Tags) == 0 || slices.ContainsFunc(w.Tags, func(t string) bool { return slices.Contains(s.tags, t) })
}
