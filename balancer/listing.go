// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

const (
	// listingSlack is how much older than a model's first listing a key's list may
	// be and still say that the key lacks it. Google's list grows: a key must not
	// lose a new model because it was asked before that came.
	listingSlack = time.Hour
	maxListed    = 2000 // models that a list may have; Google's has about 60
)

// listing is the sorted ids of the models that keys may use. Keys with the same
// models share one. Guarded by Pool.mu.
type listing struct {
	id    string // what it is stored under
	names []string
	keys  int
	since time.Time // of the first key that had it
	saved bool
}

func (s *listing) has(name string) bool {
	_, found := slices.BinarySearch(s.names, name)
	return found
}

// learnModels books which models a key may use. Under p.mu.
func (p *Pool) learnModels(e *entry, names []string, now time.Time) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if len(names) == 0 || len(names) > maxListed {
		return
	}
	joined := strings.Join(names, "\n")
	if len(joined) > batchBytes/2 {
		return // it would not fit into a write
	}
	sum := sha256.Sum256([]byte(joined))
	id := hex.EncodeToString(sum[:8])
	s := p.listings[id]
	if s == nil {
		s = &listing{id: id, names: names, since: now}
		p.listings[id] = s
	}
	p.lists(e, s, now)
	p.markKey(e)
}

// lists makes s, nil for unknown, the list of e. Under p.mu.
func (p *Pool) lists(e *entry, s *listing, at time.Time) {
	old := e.listing
	e.listing, e.listedAt = s, at
	if s != nil {
		s.keys++
	}
	changed := s != nil && s.keys == 1
	if old != nil {
		if old.keys--; old.keys == 0 {
			delete(p.listings, old.id)
			changed = true
		}
	}
	for _, m := range *p.models.Load() {
		if changed && p.relist(m) {
			for _, other := range p.byID {
				p.block(m, other)
			}
		}
		p.block(m, e)
	}
	p.version++
}

// relist computes since when a model is in some key's list, and reports whether
// that changed. Under p.mu.
func (p *Pool) relist(m *model) bool {
	before := m.listed
	m.listed = time.Time{}
	for _, s := range p.listings {
		if s.keys > 0 && s.has(m.name) && (m.listed.IsZero() || s.since.Before(m.listed)) {
			m.listed = s.since
		}
	}
	return !m.listed.Equal(before)
}

// listed reports whether some key's list has a model. Under p.mu.
func (p *Pool) listed(name string) bool {
	for _, s := range p.listings {
		if s.keys > 0 && s.has(name) {
			return true
		}
	}
	return false
}

// lacks reports whether e may not use a model that others may: the operator lets it
// serve other models only, or Google's list for it says so. Where no key's list has
// the model, lists say nothing: it may be one that Google does not list.
// Under p.mu.
func (p *Pool) lacks(e *entry, m *model) bool {
	if s := e.spec.Load(); s != nil && !s.serves(m.name) {
		return true
	}
	return e.listing != nil && !m.listed.IsZero() && !e.listing.has(m.name) && e.listedAt.After(m.listed.Add(-listingSlack))
}

// block computes whether a key is out for a model. Under p.mu.
func (p *Pool) block(m *model, e *entry) {
	project := e.live.Load().project
	q := m.quota(e.slot)
	full := q != nil && q.fill.holds()
	m.prefer(e.slot, full && q.soft && !e.gone)
	m.block(e.slot, !e.gone && (m.rests[project].holds() || p.lacks(e, m) || full && !q.soft || q != nil && q.gated))
}

// takeListing returns the writes of lists that are not in the store. Under p.mu.
func (p *Pool) takeListing(e *entry) []store.Op {
	s := e.listing
	if s == nil || s.saved {
		return nil
	}
	s.saved = true
	return []store.Op{{Key: listingPrefix + s.id, Value: encode(listingRecord{s.names, s.since})}}
}

// listingRecord is a list of models.
type listingRecord struct {
	Models []string  `json:"models"`
	Since  time.Time `json:"since"`
}
