// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

const (
	minutesKept = 24 * 60 // as plain counts
	namesKept   = 60      // of these, with names
	hoursKept   = 25      // with names: the running hour and a whole day

	bufferSize = 4096 // records between two foldings; 1 MB
	flushEvery = 100 * time.Millisecond
)

// Options of a Ledger. The zero value is right for production.
type Options struct {
	Now func() time.Time // nil means time.Now
	// StoreFailed is called by Run: with the store's error when sums can no longer
	// be kept, and with nil when they can again. nil for nobody to tell.
	StoreFailed func(err error)
}

// Ledger adds up usage. Safe for concurrent use.
type Ledger struct {
	store   store.Store
	now     func() time.Time
	failed  func(error) // never nil
	dropped atomic.Int64

	bufMu  sync.Mutex // held for the copy of a record, never longer
	buffer []Record
	spare  []Record // the other buffer, while nobody folds it

	mu      sync.Mutex           // guards the sums below; never held during I/O
	minute  int64                // the minute that runs, Unix minutes
	current sums                 // of it
	dirty   bool                 // current is not as in the store
	closed  []closedMinute       // over, but not yet so in the store
	minutes [minutesKept]counted // by minute modulo; plain counts
	named   map[int64]*sums      // closed minutes of the last hour
	hours   map[int64]*sums      // of the last day, without current
	all     sums                 // without current
	through int64                // last minute in all

	flushMu sync.Mutex // one flush at a time
}

type counted struct {
	minute int64
	Counts
}

type closedMinute struct {
	minute int64
	sums   sums
}

// Add takes one record. It waits for no I/O: the record is copied into a buffer
// and added up later. Without [Ledger.Run], or when it falls behind by a whole
// buffer, Add does the adding up; if that is going on already, the record is
// dropped and counted in [Totals.Dropped].
func (l *Ledger) Add(r Record) {
	if r.At.IsZero() {
		r.At = l.now()
	}
	l.bufMu.Lock()
	if len(l.buffer) < bufferSize {
		l.buffer = append(l.buffer, r)
		l.bufMu.Unlock()
		return
	}
	l.bufMu.Unlock()
	if !l.mu.TryLock() {
		l.dropped.Add(1)
		return
	}
	defer l.mu.Unlock()
	l.fold()
	l.record(&r)
}

// fold adds up what is in the buffer. The caller holds mu.
func (l *Ledger) fold() {
	l.bufMu.Lock()
	full := l.buffer
	l.buffer = l.spare[:0]
	l.spare = nil
	l.bufMu.Unlock()
	for i := range full {
		l.record(&full[i])
	}
	clear(full) // let go of the strings
	l.bufMu.Lock()
	l.spare = full[:0]
	l.bufMu.Unlock()
}

// record adds one request to the running minute. A minute that is over is never
// opened again: a record that comes late counts as of now.
func (l *Ledger) record(r *Record) {
	l.turn(r.At.Unix() / 60)
	c := r.counts()
	l.current.record(r, c, minuteBounds)
	slot := &l.minutes[l.minute%minutesKept]
	if slot.minute != l.minute {
		*slot = counted{minute: l.minute}
	}
	slot.add(c)
	l.dirty = true
}

// turn closes the running minute if a later one has begun.
func (l *Ledger) turn(minute int64) {
	if minute <= l.minute {
		return
	}
	if l.current.Requests > 0 {
		l.closed = append(l.closed, closedMinute{l.minute, l.current})
		l.close(l.minute, l.current)
	}
	l.minute, l.current, l.dirty = minute, sums{}, false
	l.forget()
}

// forget drops what is older than what is kept.
func (l *Ledger) forget() {
	for m := range l.named {
		if m <= l.minute-namesKept {
			delete(l.named, m)
		}
	}
	for h := range l.hours {
		if h <= l.minute/60-hoursKept {
			delete(l.hours, h)
		}
	}
}

// close adds a minute that is over to the sums over longer spans.
func (l *Ledger) close(minute int64, s sums) {
	l.keep(minute, s)
	l.all.merge(&s, allBounds)
	l.through = minute
}

// keep adds a minute to the sums that are forgotten after a day.
func (l *Ledger) keep(minute int64, s sums) {
	l.named[minute] = &s
	hour := l.hours[minute/60]
	if hour == nil {
		hour = &sums{}
		l.hours[minute/60] = hour
	}
	hour.merge(&s, hourBounds)
}

// Totals returns the sums since a moment, what was added a moment ago included.
// The zero time means since the beginning. Within the last hour they begin with
// the minute of since, within the last day with its hour, and a longer time than
// that is cut to a day; Totals.Since tells.
func (l *Ledger) Totals(since time.Time) Totals {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fold()
	l.turn(now.Unix() / 60)
	total := sums{}
	t := Totals{Dropped: l.dropped.Load()}
	first := since.Unix() / 60
	switch {
	case since.IsZero():
		total.merge(&l.all, allBounds)
	case first > l.minute-namesKept:
		t.Since = time.Unix(first*60, 0).UTC()
		for m, s := range l.named {
			if m >= first {
				total.merge(s, allBounds)
			}
		}
	default:
		hour := max(first/60, l.minute/60-hoursKept+1)
		t.Since = time.Unix(hour*3600, 0).UTC()
		for h, s := range l.hours {
			if h >= hour {
				total.merge(s, allBounds)
			}
		}
	}
	if since.IsZero() || first <= l.minute {
		total.merge(&l.current, allBounds)
	}
	t.Counts, t.ByOutcome, t.ByModel, t.ByKey, t.ByUser = total.Counts, total.Outcomes, total.Models, total.Keys, total.Users
	return t
}

// Minutes returns the sums of each minute since a moment, up to a day back and
// the running one included, oldest first; minutes without a request are left out.
func (l *Ledger) Minutes(since time.Time) (minutes []Minute) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fold()
	l.turn(now.Unix() / 60)
	first := l.minute - minutesKept + 1
	if !since.IsZero() {
		first = max(first, since.Unix()/60)
	}
	for m := first; m <= l.minute; m++ {
		if c := l.minutes[m%minutesKept]; c.minute == m && c.Requests > 0 {
			minutes = append(minutes, Minute{time.Unix(m*60, 0).UTC(), c.Counts})
		}
	}
	return minutes
}
