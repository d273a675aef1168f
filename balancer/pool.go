// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"errors"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// Options is what a pool works with.
type Options struct {
	Store    store.Store
	Sealer   *store.Sealer    // seals the secrets in Store
	Now      func() time.Time // nil means time.Now
	Observer Observer         // nil for none
	Strategy string           // "" means round_robin
	MaxQueue int              // requests that may wait at once; 0 means 1,000
}

// Pool is the pool of Gemini keys. All methods are safe for concurrent use.
type Pool struct{}

var errSoon = errors.New("balancer: not there yet")

// Open loads the keys and what is known of them.
func Open(o Options) (*Pool, error) { return &Pool{}, nil }

// Add adds keys.
func (p *Pool) Add(ctx context.Context, keys []NewKey) ([]AddResult, error) { return nil, errSoon }

// Delete removes a key.
func (p *Pool) Delete(ctx context.Context, id string) error { return errSoon }

// Declare replaces the keys of the running configuration.
func (p *Pool) Declare(keys []NewKey) {}

// Get returns a key.
func (p *Pool) Get(id string) (Key, bool) { return Key{}, false }

// List returns a page of keys.
func (p *Pool) List(q Query) (page []Key, total int, counts map[State]int) { return nil, 0, nil }

// SetState changes a key's state.
func (p *Pool) SetState(ctx context.Context, id string, s State, reason string) error { return errSoon }

// Rests returns rests in force.
func (p *Pool) Rests(limit int) []Rest { return nil }

// SetStrategy changes the strategy.
func (p *Pool) SetStrategy(name string) error { return nil }

// Stats returns a summary.
func (p *Pool) Stats() PoolStats { return PoolStats{} }

// Lease returns the right to one attempt.
func (p *Pool) Lease(ctx context.Context, w Want) (*Lease, error) { return nil, errSoon }

// Flush writes what changed.
func (p *Pool) Flush() error { return nil }

// Run flushes until ctx ends.
func (p *Pool) Run(ctx context.Context) {}
