// SPDX-License-Identifier: Apache-2.0

// Package memory is a store without a disk: for tests and for demonstrations.
// What is written is gone when the process ends.
package memory

import (
	"bytes"
	"container/heap"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// Store is a [store.Store] in memory. Reads take a snapshot and hold no lock
// while they run. Use [New] to make one.
type Store struct {
	now func() time.Time

	mu       sync.Mutex
	root     *node
	closed   bool
	expiries expiryHeap // every pair with a TTL, also those overwritten since
}

var _ store.Store = (*Store)(nil)

// New makes an empty store that reads the time from time.Now.
func New() *Store { return NewAt(time.Now) }

// NewAt makes an empty store with its own clock, by which TTLs run out.
func NewAt(now func() time.Time) *Store { return &Store{now: now} }

// snapshot returns the state of now. What it holds never changes.
func (s *Store) snapshot() (*node, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	return s.root, nil
}

// Get implements [store.Store].
func (s *Store) Get(key string) ([]byte, error) {
	root, err := s.snapshot()
	if err != nil {
		return nil, err
	}
	n := live(root.find(key), s.now())
	if n == nil {
		return nil, store.ErrNotFound
	}
	return clone(n.value), nil
}

// Scan implements [store.Store].
func (s *Store) Scan(prefix, after string, fn func(key string, value []byte) bool) error {
	root, err := s.snapshot()
	if err != nil {
		return err
	}
	now := s.now()
	root.ascend(max(prefix, after), func(n *node) bool {
		if !strings.HasPrefix(n.key, prefix) {
			return false // behind the prefix
		}
		if n.key == after && after != "" || live(n, now) == nil {
			return true
		}
		return fn(n.key, clone(n.value))
	})
	return nil
}

// Write implements [store.Store]. Sync means nothing here.
func (s *Store) Write(b store.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	if err := b.Check(); err != nil {
		return err
	}
	now := s.now()
	for _, e := range b.Expect {
		n := live(s.root.find(e.Key), now)
		if holds := n != nil && e.Value != nil && bytes.Equal(n.value, e.Value); !holds && (n != nil || e.Value != nil) {
			return fmt.Errorf("key %q: %w", e.Key, store.ErrConflict)
		}
	}
	for _, op := range b.Ops {
		if op.Value == nil {
			s.root = s.root.without(op.Key)
			continue
		}
		var expires time.Time
		if op.TTL > 0 {
			expires = now.Add(op.TTL)
			heap.Push(&s.expiries, expiry{expires, op.Key})
		}
		s.root = s.root.with(op.Key, clone(op.Value), expires)
	}
	s.sweep(now)
	return nil
}

// sweep removes the pairs whose time is over, so that they take no memory.
func (s *Store) sweep(now time.Time) {
	for len(s.expiries) > 0 && !now.Before(s.expiries[0].at) {
		e := heap.Pop(&s.expiries).(expiry)
		if n := s.root.find(e.key); n != nil && n.expires.Equal(e.at) {
			s.root = s.root.without(e.key)
		}
	}
}

// Close implements [store.Store].
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	s.closed, s.root, s.expiries = true, nil, nil
	return nil
}

// live returns n unless its time is over.
func live(n *node, now time.Time) *node {
	if n == nil || (!n.expires.IsZero() && !now.Before(n.expires)) {
		return nil
	}
	return n
}

// clone copies a value and keeps an empty one from becoming nil, which would
// mean absent.
func clone(b []byte) []byte { return append([]byte{}, b...) }

type expiry struct {
	at  time.Time
	key string
}

// expiryHeap has the earliest expiry first.
type expiryHeap []expiry

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h expiryHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *expiryHeap) Push(x any)        { *h = append(*h, x.(expiry)) }
func (h *expiryHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = expiry{}
	*h = old[:len(old)-1]
	return last
}
