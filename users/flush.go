// SPDX-License-Identifier: Apache-2.0

package users

import (
	"context"
	"errors"
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
			_ = r.loadIndex(ctx) // who needs it tries again
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
			return r.flush(true)
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
func (r *Registry) Flush() error { return r.flush(false) }

// flush is Flush. The last one leaves records alone, and no log: see [sumLog].
func (r *Registry) flush(last bool) error {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	changed := r.unsaved.takeAll()
	if last {
		changed = append(changed, r.log.all(changed)...)
	} else {
		changed = append(changed, r.log.due()...)
	}
	var failed error
	for part := range slices.Chunk(changed, store.MaxBatchOps/10) {
		if err := r.save(part); err != nil {
			failed = err
		}
	}
	if failed != nil {
		return failed
	}
	return r.log.shorten(r.store)
}

// save writes the counters of some accounts. While it does, they count as not
// saved, so none is evicted and read back with its old counters. Under r.log.mu.
func (r *Registry) save(accounts []*Account) error {
	now := r.now().UnixNano()
	var b store.Batch
	seen := make([]sighting, 0, len(accounts))
	lines := make([]byte, 0, 192*len(accounts))
	for _, a := range accounts {
		a.mu.Lock()
		a.saved = saving
		if p := a.policy.Load(); !p.purged {
			at := a.clock(now)
			lines = append(append(lines, p.key.ID...), ' ')
			from := len(lines)
			lines = append(a.appendSums(lines, at), '\n')
			if a.due {
				sums := slices.Clone(lines[from : len(lines)-1])
				b.Ops = append(b.Ops, store.Op{Key: sumPrefix + p.key.ID, Value: sums})
			}
			seen = append(seen, r.sighting(a, p, at))
		}
		a.mu.Unlock()
	}
	r.index.saw(seen)
	var err error
	if len(lines) > 0 {
		b.Ops = append(b.Ops, r.log.record(lines))
		if err = r.store.Write(b); errors.Is(err, store.ErrFull) { // nothing was written
			r.log.next--
		}
	}
	var again []*Account
	for _, a := range accounts {
		a.mu.Lock()
		switch {
		case err != nil || a.saved != saving:
			a.saved = unsaved
			again = append(again, a)
		case a.due:
			a.saved = saved
		default:
			a.saved = logged
		}
		if err == nil {
			r.log.wrote(a)
		}
		a.mu.Unlock()
	}
	r.unsaved.add(again...)
	if err != nil {
		return fmt.Errorf("saving the counters of %d user keys: %w", len(accounts), err)
	}
	return nil
}

// sighting is what the index is told of an account. The caller holds its mu.
func (r *Registry) sighting(a *Account, p *policy, now int64) sighting {
	return sighting{p.key.ID, a.used, a.limitedUntil(p, now, r.calendar.at(now))}
}

// loadIndex reads the keys' index if that was not done.
func (r *Registry) loadIndex(ctx context.Context) error {
	return r.index.load(ctx, r.store, func() (seen []sighting) {
		r.log.mu.Lock()
		defer r.log.mu.Unlock()
		now := r.now().UnixNano()
		for _, list := range [][]*Account{r.log.behind, r.log.round} {
			for _, a := range list {
				a.mu.Lock()
				seen = append(seen, r.sighting(a, a.policy.Load(), a.clock(now)))
				a.mu.Unlock()
			}
		}
		return seen
	})
}
