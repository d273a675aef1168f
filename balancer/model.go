// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"maps"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// maxModels bounds how many models have a turn of their own. Names come from
	// clients, so that more than Google has must not fill the memory; beyond it,
	// models that nothing is known of share one turn.
	maxModels = 1024
	// maxLanes bounds the lanes of a model.
	maxLanes = 1024
	// maxModelName is the longest model name that a rest is kept for.
	maxModelName = 256
)

// model is what the pool knows of a model.
type model struct {
	name    string
	blocked bitmap                  // keys that are out for the model
	soft    bitmap                  // keys that are the second choice for it
	softs   atomic.Int32            // how many
	quotas  slots[quota]            // by key; nil where nothing was asked yet
	hints   atomic.Pointer[[]int64] // requests per minute that some project is limited to, ascending
	pace    mean                    // ns per token
	until   atomic.Int64            // end of the model-wide rest in Unix ns, 0 for none

	shortest atomic.Int64  // least of the lanes' short.tokens; 0 for none
	roomy    atomic.Uint64 // times that a key came to have room for as many

	used   atomic.Bool // since the last sweep
	served atomic.Bool // some key has answered for it
	real   atomic.Bool // Google took a request for it, or named a limit of it
	plain  lane        // for requests that take any key
	lanes  atomic.Pointer[[]*lane]

	rests    map[*project]*rest // guarded by Pool.mu
	refusals []refusal          // for seekKin; guarded by Pool.mu
	listed   time.Time          // since when a key's list has it; guarded by Pool.mu
	rest     *rest              // model-wide; guarded by Pool.mu
	health   health             // for the breaker; guarded by Pool.mu

	// Refusals that own requests may explain, and those that none does. Guarded by
	// Pool.mu.
	explained, strange int
	free               bool // of use from outside, as far as they tell
}

// lane is one kind of request: a model with a filter. Each has a turn of its
// own, for two that share a cursor would starve the keys that one of them
// skips. Quota belongs to (project, model), so fairness per model is what counts.
type lane struct {
	model *model
	tags  []string  // sorted; the key must have one of them; nil for any key
	marks []*bitmap // keys by tag, one for each of tags
	paid  *bitmap   // nil unless only paid keys will do

	passing bool // of one request only

	// Words of slots without a candidate, valid while skipOf equals Pool.gains.
	skip   bitmap
	skipOf atomic.Uint64

	_       [64]byte // the cursor changes with every pick; keep it off the others' cache line
	cursor  atomic.Int64
	level   atomic.Int64 // of leastUsed
	waiting atomic.Int32 // requests in the queue
	_       [40]byte
	short   short

	levelEnds atomic.Int64  // Unix seconds until when level counts
	levelOf   atomic.Uint64 // Pool.gains that it is of

	troubled atomic.Bool // Google was in trouble when somebody last waited

	ramp   ramp   // guarded by Pool.mu
	influx influx // guarded by Pool.mu
	census census // guarded by Pool.mu

	// What [Pool.widest] found, and until when that counts, in Unix ns.
	widest      atomic.Int64
	widestUntil atomic.Int64
}

// filter returns which of the 64 slots of word i the lane may use.
func (l *lane) filter(i int) uint64 {
	mask := ^uint64(0)
	if l.paid != nil {
		mask = word(l.paid.view(), i)
	}
	if len(l.marks) == 0 {
		return mask
	}
	var any uint64
	for _, b := range l.marks {
		any |= word(b.view(), i)
	}
	return mask & any
}

// lane returns the lane for a request.
func (p *Pool) lane(name string, tags []string, paid bool) *lane {
	m := (*p.models.Load())[name]
	if m == nil {
		p.lock()
		m = p.modelOf(name, false)
		p.unlock()
	}
	if !m.used.Load() {
		m.used.Store(true)
	}
	if len(tags) == 0 && !paid {
		return &m.plain
	}
	if !slices.IsSorted(tags) {
		tags = slices.Sorted(slices.Values(tags))
	}
	if l := m.find(tags, paid); l != nil {
		return l
	}
	p.lock()
	defer p.unlock()
	return p.newLane(m, slices.Clone(tags), paid)
}

// quota returns that of a slot's key, nil for none.
func (m *model) quota(slot int) *quota { return m.quotas.get(slot) }

// today returns how many requests of the day a slot's key has.
func (m *model) today(slot int) int64 {
	q := m.quota(slot)
	if q == nil {
		return 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.today
}

// prefer notes whether a key is the second choice. Under Pool.mu.
func (m *model) prefer(slot int, soft bool) {
	if m.soft.set(slot, soft) {
		if soft {
			m.softs.Add(1)
		} else {
			m.softs.Add(-1)
			m.lower(m.today(slot))
		}
	}
}

func (m *model) find(tags []string, paid bool) *lane {
	all := m.lanes.Load()
	if all == nil {
		return nil
	}
	for _, l := range *all {
		if (l.paid != nil) == paid && slices.Equal(l.tags, tags) {
			return l
		}
	}
	return nil
}

// block notes whether a key rests for the model. Under Pool.mu.
func (m *model) block(slot int, v bool) {
	if !m.blocked.set(slot, v) || v {
		return
	}
	m.lower(m.today(slot))
	m.eased(unlimited)
	m.plain.skip.set(slot/64, false)
	if all := m.lanes.Load(); all != nil {
		for _, l := range *all {
			l.skip.set(slot/64, false)
		}
	}
}

// newLane adds a lane to m. Under p.mu.
func (p *Pool) newLane(m *model, tags []string, paid bool) *lane {
	if l := m.find(tags, paid); l != nil {
		return l
	}
	l := &lane{model: m, tags: tags}
	if paid {
		l.paid = &p.paid
	}
	for _, t := range tags {
		l.marks = append(l.marks, p.tag(t))
	}
	var all []*lane
	if old := m.lanes.Load(); old != nil && len(*old) < maxLanes {
		all = slices.Clone(*old)
	}
	all = append(all, l)
	m.lanes.Store(&all)
	return l
}

// tag returns the set of keys that carry a tag. Under p.mu.
func (p *Pool) tag(name string) *bitmap {
	b := p.tags[name]
	if b == nil {
		b = new(bitmap)
		p.tags[name] = b
	}
	return b
}

// modelOf returns the model with this name and makes it where it is new; with
// too many, only where a rest must be kept for it, or Google lists it: invented
// names must not cost it its books. Under p.mu.
func (p *Pool) modelOf(name string, must bool) *model {
	known := *p.models.Load()
	if m := known[name]; m != nil {
		return m
	}
	if len(known) >= maxModels {
		known = p.sweepModels(known)
	}
	if limit := maxModels; len(known) >= limit && !must && !p.listed(name) || len(known) >= 4*limit {
		name = ""
		if m := known[name]; m != nil {
			return m
		}
	}
	next := maps.Clone(known)
	m := &model{name: name, rests: map[*project]*rest{}}
	m.plain.model = m
	next[name] = m
	p.models.Store(&next)
	listed := p.relist(m)
	if listed {
		for _, e := range p.byID {
			p.block(m, e)
		}
	} else {
		for e := range p.restricted {
			p.block(m, e)
		}
	}
	return m
}

// sweepModels drops the models that nothing is known of and that nobody asked
// for since the last sweep, at most once a minute. Under p.mu.
func (p *Pool) sweepModels(known map[string]*model) map[string]*model {
	now := p.now()
	if now.Sub(p.swept) < time.Minute {
		return known
	}
	p.swept = now
	busy := map[*model]bool{}
	for _, t := range p.projects {
		for _, q := range t.quotas {
			q.mu.Lock()
			busy[q.model] = busy[q.model] || q.inFlight > 0
			q.mu.Unlock()
		}
	}
	next := maps.Clone(known)
	maps.DeleteFunc(next, func(name string, m *model) bool {
		idle := name != "" && len(m.rests) == 0 && m.rest == nil && !m.real.Load() && !m.used.Load() && !m.waits() && !busy[m]
		m.used.Store(false)
		return idle
	})
	p.models.Store(&next)
	for _, t := range p.projects {
		t.quotas = slices.DeleteFunc(t.quotas, func(q *quota) bool {
			if next[q.model.name] == q.model {
				return false
			}
			if q.fill != nil {
				p.forget(q.fill)
			}
			return true
		})
	}
	return next
}

// waits reports whether a request for the model is in the queue.
func (m *model) waits() bool {
	if m.plain.waiting.Load() > 0 {
		return true
	}
	all := m.lanes.Load()
	return all != nil && slices.ContainsFunc(*all, func(l *lane) bool { return l.waiting.Load() > 0 })
}
