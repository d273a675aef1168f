// SPDX-License-Identifier: Apache-2.0

package users

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// logPrefix is where the log is: <number, 16 hex digits> → lines.
const logPrefix = "users/sumlog/"

// roundFlushes is how many flushes a round takes at least: half a minute's.
const roundFlushes = 300

// sumLog is how far the counters in the store go. Where a thousand user keys are in
// use, most flushes find most of them changed, and a record of its own for each cost
// more than its request's limits. So what a flush writes is one record of a log, with
// a line for each key that changed:
//
//	<id> <what its own record would have>
//
// Own records follow in rounds: a round writes those of all keys that the log knew more
// of when it began, a few with each flush, and then drops what the log had before it.
// Whatever is written to an own record is in the same batch written to the log, so that
// the last line about a key is never older than its own record, and a start can go
// through the log without looking at them.
type sumLog struct {
	mu     sync.Mutex // one flush at a time
	next   uint64     // number of the next record
	oldest uint64     // of the first that the store may have

	behind  []*Account // whose own record is older than the log
	round   []*Account // of those, who are written in this round
	perTurn int        // how many of them with a flush
	flushes int        // of this round
	owed    int        // whose turn it was, and were not written yet
	began   uint64     // next, when it began
}

// record is the write of the next record.
func (l *sumLog) record(lines []byte) store.Op {
	l.next++
	return store.Op{Key: logKey(l.next - 1), Value: lines}
}

func logKey(n uint64) string { return fmt.Sprintf("%s%016x", logPrefix, n) }

// due says whose own record is written with this flush, and returns those of them who
// did not change and are in no list of what to write.
func (l *sumLog) due() (more []*Account) {
	l.flushes++
	n := min(l.perTurn, len(l.round))
	turn := l.round[:n]
	l.round = l.round[n:]
	return l.owe(turn)
}

// all is due for all whose own record is behind, and for those who changed.
func (l *sumLog) all(changed []*Account) (more []*Account) {
	turn := slices.Concat(l.round, l.behind)
	l.round, l.behind = nil, nil
	return append(l.owe(turn), l.owe(changed)...)
}

// owe has the own records of accounts written next, and returns who is in no list yet.
func (l *sumLog) owe(turn []*Account) (more []*Account) {
	for _, a := range turn {
		a.mu.Lock()
		if !a.due {
			a.due = true
			l.owed++
		}
		if a.saved == logged {
			a.saved = unsaved // nobody else puts it into another list
			more = append(more, a)
		}
		a.mu.Unlock()
	}
	return more
}

// wrote takes note that an account was written. The caller holds its mu.
func (l *sumLog) wrote(a *Account) {
	switch {
	case a.due:
		a.due, a.behind = false, false
		l.owed--
	case !a.behind:
		a.behind = true
		l.behind = append(l.behind, a)
	}
}

// shorten drops what the log needs no more once a round is over, and begins the next.
func (l *sumLog) shorten(s store.Store) error {
	if len(l.round) > 0 || l.owed > 0 {
		return nil
	}
	if len(l.behind) == 0 {
		l.began = l.next
	}
	if n := min(l.began-l.oldest, store.MaxBatchOps); n > 0 { // the rest with the next flush
		var b store.Batch
		for i := range n {
			b.Ops = append(b.Ops, store.Op{Key: logKey(l.oldest + i)})
		}
		if err := s.Write(b); err != nil {
			return fmt.Errorf("shortening the log of counters of user keys: %w", err)
		}
		l.oldest += n
	}
	if l.flushes >= roundFlushes && len(l.behind) > 0 {
		l.round, l.behind = l.behind, nil
		l.perTurn = (len(l.round) + roundFlushes - 1) / roundFlushes
		l.began, l.flushes = l.next, 0
	}
	return nil
}

// replayLog writes the own records of what a process left in the log that did not end
// well, and drops it. Before anybody uses r.
func (r *Registry) replayLog() error {
	sums := map[string]string{}
	var over []store.Op
	err := r.store.Scan(logPrefix, "", func(key string, value []byte) bool {
		over = append(over, store.Op{Key: key})
		for line := range strings.Lines(string(value)) {
			if id, text, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " "); ok {
				sums[id] = text
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	var own []store.Op
	for id, text := range sums {
		switch _, err := r.store.Get(keyPrefix + id); {
		case errors.Is(err, store.ErrNotFound): // forgotten for good meanwhile
		case err != nil:
			return err
		default:
			own = append(own, store.Op{Key: sumPrefix + id, Value: []byte(text)})
		}
	}
	for part := range slices.Chunk(append(own, over...), store.MaxBatchOps/10) {
		if err := r.store.Write(store.Batch{Ops: part}); err != nil {
			return err
		}
	}
	return nil
}
