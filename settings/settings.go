// SPDX-License-Identifier: Apache-2.0

// Package settings holds what an operator may change while the gateway runs.
// Each field has one of three sources, the first that says something wins:
//
//	caddyfile  the running configuration: locked, an update is refused
//	store      set at run time, kept in the store
//	default    what [Defaults] says
//
// Readers take an immutable snapshot with one atomic load; the package never
// logs and starts no goroutine.
package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// storeKey holds the [Patch] set at run time, as JSON.
const storeKey = "settings/values"

// Values are the settings in force. A *Values from [Store.Current] is shared and
// must not be changed.
type Values struct {
	Strategy string // how the pool picks among keys that can serve
	Retry    Retry
}

// Retry says how hard a request is tried before its client sees an error.
type Retry struct {
	Attempts int           // upstream requests for one client request, the first included; 1 = no retry
	Budget   float64       // retries as a share of all requests, 0–1
	Wait     time.Duration // how long a request waits for a key when all rest; 0 = not at all
	Hedge    float64       // requests that may be asked of a second project when the first is slow, as a share of all, 0–1; 0 = none
}

// Defaults are the values where nobody said anything. Source: DESIGN §2.1.
func Defaults() Values {
	return Values{Strategy: "adaptive", Retry: Retry{Attempts: 3, Budget: 0.2, Wait: 10 * time.Second}}
}

// Source is where a value comes from.
type Source string

// The sources, weakest first.
const (
	SourceDefault   Source = "default"
	SourceStore     Source = "store"
	SourceCaddyfile Source = "caddyfile"
)

// Sources tells the source of each field of [Values].
type Sources struct {
	Strategy Source
	Retry    struct{ Attempts, Budget, Wait, Hedge Source }
}

// snapshot is one state of everything; it never changes.
type snapshot struct {
	values  Values
	sources Sources
}

// Store keeps the settings. It is safe for concurrent use. Use [Open] to make one.
type Store struct {
	store   store.Store
	current atomic.Pointer[snapshot]

	mu       sync.Mutex // held by writers
	declared Patch
}

// Open reads what was set at run time. declared is what the running
// configuration sets and so locks; the zero Patch locks nothing.
//
// It returns an [*InvalidError] for a declared or stored value that is out of
// range: a stored one can be overruled in the Caddyfile.
func Open(s store.Store, declared Patch) (*Store, error) {
	st := &Store{store: s}
	if err := st.Declare(declared); err != nil {
		return nil, err
	}
	return st, nil
}

// Declare replaces what the running configuration sets, for a store that
// outlives a reload, and reads the stored values again. On an error nothing
// changes.
func (s *Store) Declare(declared Patch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored, _, err := s.read()
	if err != nil {
		return err
	}
	next, err := merge(stored, declared)
	if err != nil {
		return err
	}
	s.declared = declared
	s.current.Store(next)
	return nil
}

// Current returns the settings in force: one atomic load, nothing allocated.
func (s *Store) Current() *Values { return &s.current.Load().values }

// Snapshot returns the settings in force with the source of each, both of the
// same moment.
func (s *Store) Snapshot() (*Values, *Sources) {
	now := s.current.Load()
	return &now.values, &now.sources
}

// Update changes the fields that p names, on disk before it returns; fields that
// are nil keep their value. It is all or nothing.
//
// It returns a [*LockedError] if the running configuration sets one of them and
// an [*InvalidError] for a value out of range.
func (s *Store) Update(p Patch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if locked := p.overlap(s.declared); len(locked) > 0 {
		return &LockedError{Fields: locked}
	}
	for {
		stored, raw, err := s.read()
		if err != nil {
			return err
		}
		stored = stored.with(p)
		next, err := merge(stored, s.declared)
		if err != nil {
			return err
		}
		value, err := json.Marshal(stored)
		if err != nil {
			return fmt.Errorf("encoding settings: %w", err)
		}
		err = s.store.Write(store.Batch{
			Expect: []store.Expect{{Key: storeKey, Value: raw}},
			Ops:    []store.Op{{Key: storeKey, Value: value}},
			Sync:   true,
		})
		if errors.Is(err, store.ErrConflict) {
			continue // another node wrote between the two calls; its change is kept
		}
		if err != nil {
			return fmt.Errorf("writing settings: %w", err)
		}
		s.current.Store(next)
		return nil
	}
}

// read returns what was set at run time and its stored form, nil for nothing.
func (s *Store) read() (p Patch, raw []byte, err error) {
	raw, err = s.store.Get(storeKey)
	if errors.Is(err, store.ErrNotFound) {
		return Patch{}, nil, nil
	}
	if err != nil {
		return Patch{}, nil, fmt.Errorf("reading settings: %w", err)
	}
	// Fields that this version does not know are those of a newer one: ignored.
	if err := json.Unmarshal(raw, &p); err != nil {
		return Patch{}, nil, fmt.Errorf("reading settings: the value under %q in the store is damaged: %w", storeKey, err)
	}
	return p, raw, nil
}

// merge computes the settings in force and checks them.
func merge(stored, declared Patch) (*snapshot, error) {
	next := &snapshot{values: Defaults()}
	next.sources.Strategy = SourceDefault
	r := &next.sources.Retry
	r.Attempts, r.Budget, r.Wait, r.Hedge = SourceDefault, SourceDefault, SourceDefault, SourceDefault
	next.apply(stored, SourceStore)
	next.apply(declared, SourceCaddyfile)
	return next, next.values.validate()
}

func (s *snapshot) apply(p Patch, from Source) {
	set(&s.values.Strategy, p.Strategy, &s.sources.Strategy, from)
	set(&s.values.Retry.Attempts, p.Retry.Attempts, &s.sources.Retry.Attempts, from)
	set(&s.values.Retry.Budget, p.Retry.Budget, &s.sources.Retry.Budget, from)
	set(&s.values.Retry.Wait, (*time.Duration)(p.Retry.Wait), &s.sources.Retry.Wait, from)
	set(&s.values.Retry.Hedge, p.Retry.Hedge, &s.sources.Retry.Hedge, from)
}

func set[T any](value, patch *T, source *Source, from Source) {
	if patch != nil {
		*value, *source = *patch, from
	}
}
