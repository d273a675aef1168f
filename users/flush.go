// SPDX-License-Identifier: Apache-2.0

package users

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// The days' counts are written behind: a crash loses those of the last flush
// interval at most.
const (
	flushEvery  = 100 * time.Millisecond
	tidyEvery   = time.Minute
	dayLifetime = 48 * time.Hour
)

// saveList has the accounts whose day's count is not in the store.
type saveList struct {
	mu       sync.Mutex
	accounts []*Account
}

func (l *saveList) add(accounts ...*Account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accounts = append(l.accounts, accounts...)
}

func (l *saveList) takeAll() (accounts []*Account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	accounts, l.accounts = l.accounts, nil
	return accounts
}

// Run keeps the days' counts in the store until ctx ends, and then flushes once
// more. It returns the error of that last flush; an earlier one is tried again,
// and [Options.StoreFailed] is told.
func (r *Registry) Run(ctx context.Context) error {
	failing := false
	flush := time.NewTicker(flushEvery)
	defer flush.Stop()
	tidy := time.NewTicker(tidyEvery)
	defer tidy.Stop()
	for {
		select {
		case <-ctx.Done():
			return r.Flush()
		case <-flush.C:
			if err := r.Flush(); (err != nil) != failing { // what failed is still unsaved
				failing = err != nil
				r.failed(err)
			}
		case <-tidy.C:
			for i := range r.shards {
				r.shards[i].tidy(r.now().UnixNano())
			}
		}
	}
}

// Flush writes the days' counts that changed since the last one.
func (r *Registry) Flush() error {
	accounts := r.unsaved.takeAll()
	var failed error
	for part := range slices.Chunk(accounts, store.MaxBatchOps/10) {
		if err := r.save(part); err != nil {
			failed = err
		}
	}
	return failed
}

// save writes the counts of some accounts. While it does, they count as not
// saved, so none is evicted and read back with its old count.
func (r *Registry) save(accounts []*Account) error {
	var b store.Batch
	for _, a := range accounts {
		a.mu.Lock()
		a.saved = saving
		if p := a.policy.Load(); !p.deleted {
			b.Ops = append(b.Ops, store.Op{Key: dayPrefix + p.key.ID, Value: formatDay(a.day), TTL: dayLifetime})
		}
		a.mu.Unlock()
	}
	err := r.store.Write(b)
	var again []*Account
	for _, a := range accounts {
		a.mu.Lock()
		if a.saved == saving && err == nil {
			a.saved = saved
		} else {
			a.saved = unsaved
			again = append(again, a)
		}
		a.mu.Unlock()
	}
	r.unsaved.add(again...)
	if err != nil {
		return fmt.Errorf("saving the days' counts of %d user keys: %w", len(accounts), err)
	}
	return nil
}
