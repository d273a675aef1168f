// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

const (
	minutePrefix = "usage/minute/"
	allKey       = "usage/all"
)

// minuteLifetime lets a start find all minutes of the hours that are kept.
const minuteLifetime = (hoursKept + 1) * time.Hour

// stored is the form of the sum of all.
type stored struct {
	Through int64 `json:"through"` // Unix minute
	sums
}

func minuteKey(minute int64) string { return fmt.Sprintf("%s%010d", minutePrefix, minute) }

// Open makes a Ledger that goes on where the store ends. It reads the minutes
// of the last day. Call [Ledger.Run] for the sums to be kept.
func Open(s store.Store, o Options) (*Ledger, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.StoreFailed == nil {
		o.StoreFailed = func(error) {}
	}
	l := &Ledger{store: s, now: o.Now, failed: o.StoreFailed, named: map[int64]*sums{}, hours: map[int64]*sums{}}
	value, err := s.Get(allKey)
	if err == nil {
		var all stored
		if err = json.Unmarshal(value, &all); err == nil {
			l.all, l.through = all.sums, all.Through
		}
	} else if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the usage sums (%s): %w", allKey, err)
	}
	// Also where the clock was set back: a minute that is in the sum of all must
	// not be written again.
	l.minute = max(l.now().Unix()/60, l.through+1)
	if err := l.readMinutes(); err != nil {
		return nil, fmt.Errorf("reading the usage of the last day: %w", err)
	}
	return l, nil
}

// readMinutes restores the sums of the last day, and adds to the sum of all what
// a crash kept from it.
func (l *Ledger) readMinutes() error {
	var failed error
	err := l.store.Scan(minutePrefix, "", func(key string, value []byte) bool {
		minute, err := strconv.ParseInt(key[len(minutePrefix):], 10, 64)
		var s sums
		if err == nil {
			err = json.Unmarshal(value, &s)
		}
		if err != nil {
			failed = fmt.Errorf("%s: %w", key, err)
			return false
		}
		l.restore(minute, s)
		return true
	})
	if err != nil {
		return err
	}
	return failed
}

// restore takes one minute of the store; they come in order.
func (l *Ledger) restore(minute int64, s sums) {
	if minute >= l.minute { // the one that ran; a later one if the clock was set back
		l.turn(minute)
		l.current = s
	} else if minute > l.through {
		l.closed = append(l.closed, closedMinute{minute, s})
		l.close(minute, s)
	} else {
		l.keep(minute, s)
	}
	l.minutes[minute%minutesKept] = counted{minute, s.Counts}
	l.forget()
}

// Run keeps the sums in the store until ctx ends, and then flushes once more. It
// returns the error of that last flush; an earlier one is tried again, and
// [Options.StoreFailed] is told.
func (l *Ledger) Run(ctx context.Context) error {
	failing := false
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return l.Flush()
		case <-tick.C:
			if err := l.Flush(); (err != nil) != failing { // what failed is still dirty
				failing = err != nil
				l.failed(err)
			}
		}
	}
}

// Flush adds up what is in the buffer and writes what changed.
func (l *Ledger) Flush() error {
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	batches, closed, err := l.batches()
	for i := 0; err == nil && i < len(batches); i++ {
		err = l.store.Write(batches[i])
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil { // all of it again, with the next flush
		l.dirty = l.current.Requests > 0
		return fmt.Errorf("saving usage: %w", err)
	}
	l.closed = l.closed[closed:]
	return nil
}

// batches makes what is to be written, and tells how many closed minutes are in
// it. Each closed minute is a batch, the last one with the sum of all; more than
// one only if the store did not answer for a while. If they get there in part,
// the sum of all is the one from before, and a start adds what is above it.
func (l *Ledger) batches() (batches []store.Batch, closed int, err error) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fold()
	l.turn(now.Unix() / 60)
	op := func(key string, value any, ttl time.Duration) store.Op {
		data, encodeErr := json.Marshal(value)
		err = errors.Join(err, encodeErr)
		return store.Op{Key: key, Value: data, TTL: ttl}
	}
	for i, c := range l.closed {
		ops := []store.Op{op(minuteKey(c.minute), c.sums, minuteLifetime)}
		if i == len(l.closed)-1 {
			ops = append(ops, op(allKey, stored{l.through, l.all}, 0))
		}
		batches = append(batches, store.Batch{Ops: ops})
	}
	if l.dirty {
		// No time to live before it is part of the sum of all.
		batches = append(batches, store.Batch{Ops: []store.Op{op(minuteKey(l.minute), l.current, 0)}})
		l.dirty = false
	}
	return batches, len(l.closed), err
}
