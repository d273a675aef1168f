// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"slices"
	"sync/atomic"
	"time"
)

// entry is a key in the pool. What is not atomic and not fixed at birth is
// guarded by Pool.mu.
type entry struct {
	id     string
	secret *string // behind a pointer, so that no %+v of a struct around it prints it
	slot   int

	spec     atomic.Pointer[spec]
	live     atomic.Pointer[live]
	route    atomic.Pointer[route]
	inFlight atomic.Int32
	lastUsed atomic.Uint32 // when it was last leased, in Unix s; beside inFlight, which every lease writes
	probedAt atomic.Int64  // when Google last answered a probe, in Unix ns; 0 for never

	probing  probing
	listing  *listing  // models that the key may use; nil for unknown
	listedAt time.Time // when Google said so

	declared *spec     // from the configuration; goes before stored
	stored   *spec     // from the store
	rest     *rest     // key-wide
	alone    time.Time // until when no kin is sought for it
	gone     bool      // no longer in the pool; leases may still point here
	dirty    bool      // in Pool.dirtyKeys
	usedAt   uint32    // lastUsed as the store has it
	history  history
	pays     *project // which it makes a paid one; nil while it is not paid
	way      *route   // among whose keys it is; nil while it is not leasable
	wayAt    int      // where
}

// spec is what an operator says of a key. It never changes once published.
type spec struct {
	name, project, proxy, note, batch string
	tags, models                      []string // models: globs, nil for any
	weight                            int      // 1 or more
	weighs                            bool     // somebody said how much
	paid, declared                    bool
	created                           int64 // Unix ns, 0 for unknown
}

// source is where the spec comes from.
func (s *spec) source() string {
	if s.declared {
		return SourceConfig
	}
	return SourceStore
}

// serves reports whether the operator lets the key serve a model.
func (s *spec) serves(model string) bool {
	return len(s.models) == 0 || model == "" || slices.ContainsFunc(s.models, func(glob string) bool { return matches(glob, model) })
}

// nanos and fromNanos are a time as specs have it.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

// live is what the pool has learnt of a key. It never changes once published.
type live struct {
	state    State
	reason   string
	since    time.Time
	consumer string // project number that Google revealed, "" for unknown
	kinAt    time.Time
	kin      string // id of the project that the key seems to share, "" for none
	project  *project
}

// project is what shares quota. What is not atomic is guarded by Pool.mu.
type project struct {
	id    string // the operator's name, "projects/<number>", or the only key's id
	shelf int    // see bookLog
	keys  []*entry
	only  [1]*entry // what keys begins in: most projects have one
	main  [1]*quota // and quotas
	rest  *rest     // project-wide

	models    int                      // rests for single models
	quotas    []*quota                 // of few models, in the order of their first request
	met       []meeting                // the last ones; see seekKin
	bold      bool                     // a guess that holds if nobody outside the pool uses the project
	paid      atomic.Int32             // keys that are marked as paid; beside bold, where there is room
	spending  atomic.Pointer[spending] // nil where nobody asks for it
	escalated atomic.Int32             // rests, of all models or of one, whose next would be longer
}

// quota returns that of a model, nil for none. Under Pool.mu.
func (t *project) quota(m *model) *quota {
	for _, q := range t.quotas {
		if q.model == m {
			return q
		}
	}
	return nil
}

// leasable reports whether keys in this state are given out.
func (s State) leasable() bool { return s == StateUntested || s == StateActive }

// valid reports whether s is a state at all.
func (s State) valid() bool { return slices.Contains(States, s) }

// States are all states, those that are leased first.
var States = []State{
	StateActive, StateUntested, StateInvalid, StateLeaked, StateSuspended, StateMisconfigured, StateDisabled,
}

// projectID names the project of a key.
func projectID(id string, s *spec, l *live) string {
	switch {
	case s.project != "":
		return s.project
	case l.consumer != "":
		return "projects/" + l.consumer
	case l.kin != "":
		return l.kin
	}
	return id
}

// key is the entry as operators see it.
func (e *entry) key() Key {
	s, l := e.spec.Load(), e.live.Load()
	k := Key{
		ID: e.id, Name: s.name, Tags: slices.Clone(s.tags), Paid: s.paid, Proxy: s.proxy, Source: s.source(), Created: fromNanos(s.created),
		State: l.state, StateReason: l.reason, StateSince: l.since, InFlight: int(e.inFlight.Load()),
		Weight: s.weight, Note: s.note, Models: slices.Clone(s.models), Batch: s.batch,
		Mask: Mask(*e.secret), Advice: hint(*e.secret, l.state, l.reason), Probed: fromNanos(e.probedAt.Load()),
	}
	if at := e.lastUsed.Load(); at != 0 {
		k.Used = time.Unix(int64(at), 0).UTC()
	}
	if k.Project = s.project; k.Project == "" && (l.consumer != "" || l.kin != "") {
		k.Project = projectID(e.id, s, l)
	}
	return k
}

// unproven reports whether the key is being tried for the first time.
func (e *entry) unproven() bool {
	return e.inFlight.Load() > 0 && e.live.Load().state == StateUntested
}
