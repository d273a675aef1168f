// SPDX-License-Identifier: Apache-2.0

package users

import (
	"errors"
	"fmt"
	"hash/maphash"
	"sync"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// shards keeps requests of different keys from waiting for each other.
const shards = 64

// shard is a part of the cache of accounts. An account that would change a
// decision if it were forgotten (requests in flight, a rate that has not recovered,
// counters not saved) is not evicted, so the bound holds for the others: what is
// above it is proportional to the traffic of a minute.
type shard struct {
	change sync.Mutex // held while a key of this shard is changed in the store

	mu       sync.RWMutex
	accounts map[string]*Account
	ring     []*Account // the same accounts, for the eviction hand
	hand     int
	changes  uint64 // counts changes of keys; see account
}

// handSteps bounds what an insertion spends on finding whom to evict.
const handSteps = 32

var shardSeed = maphash.MakeSeed()

func (r *Registry) shard(id string) *shard { return &r.shards[r.shardNumber(id)] }

func (r *Registry) shardNumber(id string) uint64 { return maphash.String(shardSeed, id) % shards }

// cached returns the account of id if it is in the cache.
func (s *shard) cached(id string) *Account {
	s.mu.RLock()
	a := s.accounts[id]
	s.mu.RUnlock()
	if a != nil && !a.recent.Load() {
		a.recent.Store(true)
	}
	return a
}

// account returns the account of id from the cache or the store, or
// [ErrUnknownKey]. It reads the store without a lock; if a key of the shard was
// changed meanwhile, what it read may be old, and it reads again.
func (r *Registry) account(id string) (*Account, error) {
	s := r.shard(id)
	for {
		if a := s.cached(id); a != nil {
			return a, nil
		}
		s.mu.RLock()
		before := s.changes
		s.mu.RUnlock()
		a, err := r.read(id)
		if err != nil {
			return nil, err
		}
		if a = s.insert(a, before, r.perShard, r.now().UnixNano()); a != nil {
			return a, nil
		}
	}
}

// read makes an account from the store.
func (r *Registry) read(id string) (*Account, error) {
	rec, _, err := r.record(id)
	if errors.Is(err, ErrNotFound) {
		return nil, ErrUnknownKey
	}
	if err != nil {
		return nil, err
	}
	p, err := newPolicy(rec)
	if err != nil {
		return nil, err
	}
	a := &Account{registry: r}
	a.policy.Store(p)
	text, err := r.store.Get(sumPrefix + id)
	switch {
	case err == nil:
		return a, a.readSums(string(text))
	case !errors.Is(err, store.ErrNotFound):
		return nil, fmt.Errorf("reading the counters of user key %s: %w", id, err)
	}
	if text, err = r.store.Get(dayPrefix + id); err == nil {
		a.readDay(string(text))
	}
	return a, nil
}

// insert puts an account into the cache and returns the one that is there then,
// or nil if keys were changed since before.
func (s *shard) insert(a *Account, before uint64, limit int, now int64) *Account {
	id := a.policy.Load().key.ID
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.accounts[id]; other != nil {
		return other
	}
	if s.changes != before {
		return nil
	}
	for range 2 { // one place for the new account, one to get back under the bound
		if len(s.ring) >= limit {
			s.evict(now)
		}
	}
	if s.accounts == nil {
		s.accounts = map[string]*Account{}
	}
	s.accounts[id] = a
	s.ring = append(s.ring, a)
	return a
}

// evict forgets one account that was not used since the hand last passed.
func (s *shard) evict(now int64) {
	for range min(handSteps, len(s.ring)) {
		s.hand = (s.hand + 1) % len(s.ring)
		a := s.ring[s.hand]
		if a.recent.Swap(false) {
			continue
		}
		a.mu.Lock()
		a.evicted = a.idle(now)
		gone := a.evicted
		a.mu.Unlock()
		if gone {
			s.drop(s.hand)
			return
		}
	}
}

// drop removes the account at a place of the ring.
func (s *shard) drop(i int) {
	last := len(s.ring) - 1
	delete(s.accounts, s.ring[i].policy.Load().key.ID)
	s.ring[i], s.ring[last] = s.ring[last], nil
	s.ring = s.ring[:last]
}

// changed tells the cache of a key's new policy. Counters stay.
func (s *shard) changed(p *policy, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	a := s.accounts[p.key.ID]
	if a == nil {
		return
	}
	a.adopt(p, now)
	if p.purged {
		for i, other := range s.ring {
			if other == a {
				s.drop(i)
				break
			}
		}
	}
}
