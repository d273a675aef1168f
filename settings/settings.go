// SPDX-License-Identifier: Apache-2.0

// Package settings holds what an operator may change while the gateway runs.
// Each field has one of three sources, the first that says something wins:
//
//	caddyfile  the running configuration: locked, an update is refused
//	store      set at run time, kept in the store
//	default    what [Defaults] says
//
// [Fields] is the one table of them. Readers take an immutable snapshot with one
// atomic load; the package never logs and starts no goroutine.
package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// storeKey holds the [Patch] set at run time, as JSON.
const storeKey = "settings/values"

// Source is where a value comes from.
type Source string

// The sources, weakest first.
const (
	SourceDefault   Source = "default"
	SourceStore     Source = "store"
	SourceCaddyfile Source = "caddyfile"
)

// Store keeps the settings. It is safe for concurrent use. Use [Open] to make one.
type Store struct {
	store   store.Store
	current atomic.Pointer[Snapshot]

	mu       sync.Mutex // held by writers, and while watchers are told
	declared Patch
	watchers []*watcher
}

type watcher struct{ tell func(*Values) }

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
	stored, err := s.read()
	if err != nil {
		return err
	}
	next, err := merge(stored.patch, declared)
	if err != nil {
		return err
	}
	s.declared = maps.Clone(declared)
	s.publish(next)
	return nil
}

// Current returns the settings in force: one atomic load, nothing allocated. The
// same pointer means that nothing changed.
func (s *Store) Current() *Values { return &s.current.Load().Values }

// Snapshot returns the settings in force with all that is known of them, of one
// moment. It must not be changed.
func (s *Store) Snapshot() *Snapshot { return s.current.Load() }

// Watch has tell called with the settings in force, now and after every change,
// one call at a time, before the change is acknowledged. tell must not call a
// method of the Store that writes. The returned function ends it.
func (s *Store) Watch(tell func(*Values)) (end func()) {
	w := &watcher{tell}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers = append(s.watchers, w)
	tell(s.Current())
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.watchers = slices.DeleteFunc(s.watchers, func(other *watcher) bool { return other == w })
	}
}

// publish puts a snapshot in force. The caller holds mu.
func (s *Store) publish(next *Snapshot) {
	s.current.Store(next)
	for _, w := range s.watchers {
		w.tell(&next.Values)
	}
}

// Update changes the fields that p names, on disk before it returns; nil values
// go back to the default. It is all or nothing. See [Store.UpdateIf] for errors.
func (s *Store) Update(p Patch) error { return s.UpdateIf(p, "") }

// UpdateIf is Update for who has seen a certain state.
//
// ifMatch is the ETag of the state that p was made for; "" takes any. Of several
// updates for one state exactly one is taken, if it changes anything.
//
// It returns [ErrChanged] if that state is over, a [*LockedError] if the running
// configuration sets one of the fields and an [*InvalidError] for values out of
// range.
func (s *Store) UpdateIf(p Patch, ifMatch string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := p.check(); err != nil {
		return err
	}
	for {
		if ifMatch != "" && ifMatch != s.Snapshot().ETag {
			return ErrChanged
		}
		if locked := p.locked(s.declared); len(locked) > 0 {
			return &LockedError{Fields: locked}
		}
		stored, err := s.read()
		if err != nil {
			return err
		}
		now, err := merge(stored.patch, s.declared)
		if err != nil {
			return err
		}
		if now.ETag != s.Snapshot().ETag { // another node wrote
			s.publish(now)
			continue
		}
		next, err := merge(stored.with(p), s.declared)
		if err != nil {
			return err
		}
		if err := s.write(stored); errors.Is(err, store.ErrConflict) {
			continue // another node wrote between the two calls; its change is kept
		} else if err != nil {
			return err
		}
		s.publish(next)
		return nil
	}
}

// Refresh reads what was stored by others, such as a restore.
func (s *Store) Refresh() error {
	s.mu.Lock()
	declared := s.declared
	s.mu.Unlock()
	return s.Declare(declared)
}

// kept is what was set at run time.
type kept struct {
	patch   Patch
	unknown map[string]json.RawMessage // members that this version does not know, of a newer one
	raw     []byte                     // as it stands in the store; nil for nothing
}

// with changes the fields that p names.
func (k *kept) with(p Patch) Patch {
	for name, value := range p {
		if value == nil {
			delete(k.patch, name)
		} else {
			k.patch[name] = value
		}
	}
	return k.patch
}

// read returns what was set at run time.
func (s *Store) read() (*kept, error) {
	k := &kept{patch: Patch{}, unknown: map[string]json.RawMessage{}}
	raw, err := s.store.Get(storeKey)
	if errors.Is(err, store.ErrNotFound) {
		return k, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading settings: %w", err)
	}
	k.raw = raw
	if err := k.parse("", raw); err != nil {
		return nil, fmt.Errorf("reading settings: the value under %q in the store is damaged: %w", storeKey, err)
	}
	return k, nil
}

// parse reads an object of fields below a prefix. Values out of range are kept
// here and found by merge, where the Caddyfile may overrule them.
func (k *kept) parse(prefix string, raw json.RawMessage) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return err
	}
	for name, value := range members {
		name = prefix + name
		f := byName[name]
		switch {
		case f != nil:
			parsed, fault := f.parse(value)
			if fault != nil {
				return &InvalidError{[]Fault{*fault}}
			}
			k.patch[name] = parsed
		case isGroup(name) && len(value) > 0 && value[0] == '{':
			if err := k.parse(name+".", value); err != nil {
				return err
			}
		default:
			k.unknown[name] = value
		}
	}
	return nil
}

func (s *Store) write(k *kept) error {
	tree := k.patch.tree()
	for name, value := range k.unknown {
		plant(tree, name, value)
	}
	value, err := json.Marshal(tree)
	if err != nil {
		return fmt.Errorf("encoding settings: %w", err)
	}
	err = s.store.Write(store.Batch{
		Expect: []store.Expect{{Key: storeKey, Value: k.raw}},
		Ops:    []store.Op{{Key: storeKey, Value: value}},
		Sync:   true,
	})
	if err != nil {
		return fmt.Errorf("writing settings: %w", err)
	}
	return nil
}

// merge computes the settings in force and checks them.
func merge(stored, declared Patch) (*Snapshot, error) {
	next := &Snapshot{Values: Defaults(), sources: make(map[string]Source, len(stored)+len(declared))}
	effective := Patch{}
	for _, layer := range []struct {
		patch Patch
		from  Source
	}{{stored, SourceStore}, {declared, SourceCaddyfile}} {
		for name, value := range layer.patch {
			if value != nil {
				effective[name], next.sources[name] = value, layer.from
			}
		}
	}
	if err := effective.check(); err != nil {
		return nil, err
	}
	for name, value := range effective {
		byName[name].set(&next.Values, value)
	}
	if s := next.Values.Session; s.Idle > s.Absolute {
		return nil, &InvalidError{[]Fault{{"session.idle", "invalid_value", "must not be longer than session.absolute, " + s.Absolute.String()}}}
	}
	next.ETag = next.tag()
	return next, nil
}
