// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// scanTime bounds how long one answer may look at rows.
const scanTime = 80 * time.Millisecond

// manyRows is from how many rows of a block on whole columns are decoded for them.
const manyRows = 16

// ErrCursor is returned for a cursor that no page gave.
var ErrCursor = errors.New("cursor is not one that a page gave")

// Page is a part of what a [Filter] wants, the newest first.
type Page struct {
	Rows []Record
	Next string // cursor of what comes after; "" for the end
	// ScannedTo is when the last row ended that was looked at; zero if none was.
	ScannedTo time.Time
	// Complete is false where the page has fewer rows than it could have, because
	// finding them takes longer than one answer should: Next goes on.
	Complete bool
}

// List returns a page of up to limit requests, those before a cursor, "" for the
// newest. It looks for a bounded time, also for one more request: where there is none,
// no page follows.
func (l *Log) List(ctx context.Context, f Filter, cursor string, limit int) (p Page, err error) {
	before := uint64(1<<64 - 1)
	if cursor != "" {
		if before, err = readCursor(cursor); err != nil {
			return p, err
		}
	}
	until := time.Now().Add(l.scan)
	stopped, more, last := false, false, before
	err = l.walk(ctx, f, before, func(seq uint64, r *Record) bool {
		if len(p.Rows) == limit {
			more = true
			return false
		}
		p.Rows = append(p.Rows, *r)
		last, p.ScannedTo = seq, r.At
		return true
	}, func(seq uint64, at int64) bool {
		last, p.ScannedTo = seq, time.UnixMilli(at).UTC()
		stopped = time.Now().After(until)
		return !stopped
	})
	p.Complete = !stopped || len(p.Rows) == limit
	if stopped || more {
		p.Next = cursorAt(last)
	}
	return p, err
}

// cursorLen is the length of a cursor, so that what somebody made up is none.
const cursorLen = 16

// cursorAt goes on before a row.
func cursorAt(seq uint64) string { return fmt.Sprintf("%0*x", cursorLen, seq) }

func readCursor(cursor string) (before uint64, err error) {
	before, err = strconv.ParseUint(cursor, 16, 64)
	if err != nil || cursor != cursorAt(before) {
		return 0, ErrCursor
	}
	return before, nil
}

// Each calls fn for up to limit requests, the newest first, until fn returns false.
func (l *Log) Each(ctx context.Context, f Filter, limit int, fn func(r *Record) bool) error {
	if limit <= 0 {
		return nil
	}
	return l.walk(ctx, f, 1<<64-1, func(_ uint64, r *Record) bool {
		limit--
		return fn(r) && limit > 0
	}, func(uint64, int64) bool { return true })
}

// walk goes through what is wanted from the row before a sequence number backwards.
// row gets the rows; passed hears after each block that was read where it began.
// Either ends the walk with false.
func (l *Log) walk(ctx context.Context, f Filter, before uint64, row func(seq uint64, r *Record) bool, passed func(seq uint64, at int64) bool) error {
	q, v := l.within(f), l.view.Load()
	for i := len(v.tail) - 1; i >= 0; i-- {
		if seq := v.first + uint64(i); seq < before && q.wants(&v.tail[i]) {
			r := v.tail[i]
			if !row(seq, &r) {
				return nil
			}
		}
	}
	b := newRows()
	for _, s := range slices.Backward(v.blocks) {
		if s.first >= before || !q.mayHave(s) {
			continue
		}
		if q.named() {
			switch f, err := l.bloom(s); {
			case err != nil:
				return err
			case f == nil || !q.mayBeIn(f):
				continue
			}
		}
		there, err := l.block(s, b)
		if err != nil {
			return err
		}
		if !there {
			continue // dropped a moment ago
		}
		found := q.inside(s).find(b)
		b.many = len(found) >= manyRows
		for _, i := range slices.Backward(found) {
			seq := s.first + uint64(i)
			if seq >= before {
				continue
			}
			if r := b.record(i); b.damaged {
				return fmt.Errorf("block %d of the request log %w", s.first, errDamaged)
			} else if !row(seq, &r) {
				return nil
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !passed(s.first, s.from) {
			return nil
		}
	}
	return nil
}

// within makes a filter ready, and leaves out what is too old and only there
// because whole blocks are dropped.
func (l *Log) within(f Filter) *query {
	if oldest := l.now().Add(-l.options.Load().Retention); f.From.Before(oldest) {
		f.From = oldest
	}
	return f.query()
}

// bloom returns the filter of a block, nil for one that was dropped in the meantime.
// It reads those that nobody asked for since the start.
func (l *Log) bloom(s *summary) (bloom, error) {
	if b := s.bloom.Load(); b != nil {
		return *b, nil
	}
	data, err := get(l.store, rowKey(filterPrefix, s.first))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the request log: %w", err)
	case len(data) == 0:
		return nil, nil
	case data[0] != bloomProbes || len(data) == 1:
		return nil, fmt.Errorf("filter of block %d of the request log %w", s.first, errDamaged)
	}
	b := bloom(data[1:])
	s.bloom.Store(&b)
	return b, nil
}

// warm reads the filters of all blocks, the newest first, until ctx ends: so that
// the first who asks does not wait for them.
func (l *Log) warm(ctx context.Context) {
	for _, s := range slices.Backward(l.view.Load().blocks) {
		if ctx.Err() != nil {
			return
		}
		_, _ = l.bloom(s) // whoever needs it hears the error
	}
}

// block reads a block into b. there is false if it was dropped in the meantime.
func (l *Log) block(s *summary, b *rows) (there bool, err error) {
	data, err := l.store.Get(rowKey(blockPrefix, s.first))
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the request log: %w", err)
	}
	if err := b.open(data); err != nil || b.n != s.rows {
		return false, fmt.Errorf("block %d of the request log %w", s.first, errDamaged)
	}
	return true, nil
}

// Find returns a request by its id, and its bodies where they are kept. found is
// false for an id that is not in the log, or no longer.
func (l *Log) Find(ctx context.Context, id string) (r Record, found bool, err error) {
	if id == "" {
		return r, false, nil
	}
	var at uint64
	err = l.walk(ctx, Filter{RequestID: id}, 1<<64-1, func(seq uint64, row *Record) bool {
		r, at, found = *row, seq, true
		return false
	}, func(uint64, int64) bool { return true })
	if err == nil && found && r.bodied {
		r.Bodies, err = l.bodiesOf(at)
	}
	return r, found, err
}

// Bars are counts of requests by class in spans of equal length.
type Bars struct {
	Start     time.Time
	Step      time.Duration
	Counts    [][classCount]int64 // by span, then by [Class]
	Complete  bool                // false: what ended before ScannedTo is missing
	ScannedTo time.Time
}

// Histogram counts what a filter wants, which must have From and To, in spans of
// step, which is cut to whole minutes. Times are cut to whole minutes as well where
// only they and a class are asked for. It looks for a bounded time.
func (l *Log) Histogram(ctx context.Context, f Filter, step time.Duration) (Bars, error) {
	step = max(step.Truncate(time.Minute), time.Minute)
	b := Bars{Start: f.From.Truncate(step), Step: step, Complete: true}
	b.Counts = make([][classCount]int64, max(0, (f.To.Sub(b.Start)+step-1)/step))
	add := func(at int64, n [classCount]int64) {
		if i := (at - b.Start.UnixMilli()) / step.Milliseconds(); at >= b.Start.UnixMilli() && i < int64(len(b.Counts)) {
			for c := range n {
				b.Counts[i][c] += n[c]
			}
		}
	}
	one := func(_ uint64, r *Record) bool {
		var n [classCount]int64
		n[r.Class()] = 1
		add(r.At.UnixMilli(), n)
		return true
	}
	if f.query().simple() {
		l.bars(f, add)
		return b, nil
	}
	until := time.Now().Add(l.scan)
	err := l.walk(ctx, f, 1<<64-1, one, func(_ uint64, at int64) bool {
		b.ScannedTo = time.UnixMilli(at).UTC()
		b.Complete = time.Now().Before(until)
		return b.Complete
	})
	return b, err
}

// bars counts all requests, or those of a class, by what is in memory.
func (l *Log) bars(f Filter, add func(at int64, n [classCount]int64)) {
	f.From = f.From.Truncate(time.Minute)
	if m := f.To.Truncate(time.Minute); m.Before(f.To) {
		f.To = m.Add(time.Minute)
	}
	q, v := l.within(f), l.view.Load()
	only := func(n [classCount]int64) [classCount]int64 {
		for c := range n {
			if q.classed && Class(c) != q.class {
				n[c] = 0
			}
		}
		return n
	}
	for _, s := range v.blocks {
		if !q.mayHave(s) {
			continue
		}
		s.eachMinute(func(minute int64, n [classCount]int64) {
			if at := minute * 60_000; at+59_999 >= q.from && at < q.to {
				add(at, only(n))
			}
		})
	}
	for i := range v.tail {
		if q.wants(&v.tail[i]) {
			var n [classCount]int64
			n[v.tail[i].Class()] = 1
			add(v.tail[i].At.UnixMilli(), n)
		}
	}
}
