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

// Counters are written behind: a crash loses those of the last flush interval at
// most. What is written are whole sums, so a write that failed, or whose success
// nobody heard of, is simply made again.
const (
	flushEvery = 100 * time.Millisecond
	purgeEvery = time.Minute
	indexAfter = 2 * time.Second // so that a start has its processors for the first requests
)

// waited waits, and reports whether ctx let it.
func waited(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// saveList has the accounts whose counters are not in the store.
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

// Run keeps counters in the store until ctx ends, and then flushes once more. It
// returns the error of that last flush; an earlier one is tried again, and
// [Options.StoreFailed] is told. It also reads the keys' index, for lists, and
// forgets for good what was deleted a day ago.
func (r *Registry) Run(ctx context.Context) error {
	var loading sync.WaitGroup
	defer loading.Wait()
	loading.Go(func() {
		if waited(ctx, indexAfter) {
			_ = r.index.load(ctx, r.store) // who needs it tries again
		}
	})
	failing := false
	flush := time.NewTicker(flushEvery)
	defer flush.Stop()
	purge := time.NewTicker(purgeEvery)
	defer purge.Stop()
	for {
		select {
		case <-ctx.Done():
			return r.Flush()
		case <-flush.C:
			if err := r.Flush(); (err != nil) != failing { // what failed is still unsaved
				failing = err != nil
				r.failed(err)
			}
		case <-purge.C:
			_ = r.Purge(ctx) // of what stays now, the next one takes care
		}
	}
}

// Flush writes the counters that changed since the last one.
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

// save writes the counters of some accounts. While it does, they count as not
// saved, so none is evicted and read back with its old counters.
func (r *Registry) save(accounts []*Account) error {
	now := r.now().UnixNano()
	var b store.Batch
	seen := make([]sighting, 0, len(accounts))
	for _, a := range accounts {
		a.mu.Lock()
		a.saved = saving
		if p := a.policy.Load(); !p.purged {
			at := a.clock(now)
			b.Ops = append(b.Ops, store.Op{Key: sumPrefix + p.key.ID, Value: a.appendSums(make([]byte, 0, 160), at)})
			seen = append(seen, sighting{p.key.ID, a.used, a.limitedUntil(p, at, r.calendar.at(at))})
		}
		a.mu.Unlock()
	}
	r.index.saw(seen)
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
		return fmt.Errorf("saving the counters of %d user keys: %w", len(accounts), err)
	}
	return nil
}
