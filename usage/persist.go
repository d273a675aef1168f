// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

const (
	markKey     = "usage/mark"
	sumKey      = "usage/sum"
	sumNamesKey = "usage/sum/names/" // and dimension
)

// mark says how far what is in the store goes: the last closed minute, hour and
// day, and the first row of the log that is in none of them. What a start finds
// beyond it was written in part, and comes again from the log.
type mark struct {
	minute, hour, day int64
	seq               uint64
}

func (m mark) encode() []byte {
	out := []byte{spanFormat}
	for _, n := range [...]int64{m.minute, m.hour, m.day, int64(m.seq)} {
		out = binary.AppendVarint(out, n)
	}
	return out
}

func decodeMark(data []byte) (m mark, err error) {
	if len(data) == 0 || data[0] != spanFormat {
		return m, errDamaged
	}
	in := reader{rest: data[1:]}
	m = mark{in.varint(), in.varint(), in.varint(), uint64(in.varint())}
	if in.damaged {
		return m, errDamaged
	}
	return m, nil
}

// closing is what is to be written of spans that are over.
type closing struct {
	ops  []store.Op
	mark mark
}

// span writes one. ttl 0 is for ever.
func (c *closing) span(t int, at int64, data []byte, blobs *nameBlobs, ttl time.Duration) {
	c.ops = append(c.ops, store.Op{Key: spanKey(t, at), Value: data, TTL: ttl})
	for d := range blobs {
		for shard, data := range blobs[d] {
			if len(data) > 0 {
				c.ops = append(c.ops, store.Op{Key: nameKey(t, at, Dimension(d), shard), Value: data, TTL: ttl})
			}
		}
	}
}

// sum writes the sums since the beginning.
func (c *closing) sum(s *span, n *names) {
	c.ops = append(c.ops, store.Op{Key: sumKey, Value: s.encode()})
	for d, m := range n.sums {
		data := []byte{}
		for name, sum := range m {
			data = sum.append(appendText(data, name))
		}
		c.ops = append(c.ops, store.Op{Key: sumNamesKey + strconv.Itoa(d), Value: data})
	}
}

// batches are the ops in batches that a store takes; the last one has the mark.
func (c *closing) batches() (batches []store.Batch) {
	size, from := 0, 0
	ops := append(c.ops, store.Op{Key: markKey, Value: c.mark.encode()})
	for i, op := range ops {
		if size += op.Size(); size > store.MaxBatchBytes*3/4 || i-from >= store.MaxBatchOps {
			batches = append(batches, store.Batch{Ops: ops[from:i]})
			size, from = op.Size(), i
		}
	}
	return append(batches, store.Batch{Ops: ops[from:]})
}

func spanKey(t int, at int64) string { return fmt.Sprintf("%s%010d", tiers[t].prefix, at) }

// Open makes a Ledger that goes on where the store ends: it reads the sums that are
// kept, the summaries of the log, and adds up the rows of the log that came after
// the last closed minute. Call [Ledger.Run] for all of it to be kept, and for what
// is large and not needed yet to be read behind.
func Open(s store.Store, o Options) (*Ledger, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.StoreFailed == nil {
		o.StoreFailed = func(error) {}
	}
	log, err := openLog(s, o.Sealer, o.Now, o.Log)
	if err != nil {
		return nil, err
	}
	l := &Ledger{
		store: s, now: o.Now, failed: o.StoreFailed, log: log, current: newSpan(), hour: newSpan(), day: newSpan(), sum: newSpan(),
		recent: map[int64]*nameBlobs{}, feeds: map[*Feed]struct{}{},
	}
	for t := range l.closed {
		l.closed[t] = map[int64][]byte{}
	}
	l.names.init()
	if err := l.restore(); err != nil {
		return nil, fmt.Errorf("reading the usage sums: %w", err)
	}
	l.refresh()
	return l, nil
}

// Run keeps sums and log in the store until ctx ends, and then flushes once more.
// It returns the error of that last flush; an earlier one is tried again, and
// [Options.StoreFailed] is told.
func (l *Ledger) Run(ctx context.Context) error {
	failing := false
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	var behind sync.WaitGroup
	behind.Go(func() { l.readBehind(ctx) })
	defer behind.Wait()
	for {
		select {
		case <-ctx.Done():
			return l.Flush()
		case <-tick.C:
			if err := l.Flush(); (err != nil) != failing {
				failing = err != nil
				l.failed(err)
			}
		}
	}
}

// readBehind reads what a start left unread, until ctx ends.
func (l *Ledger) readBehind(ctx context.Context) {
	for ctx.Err() == nil {
		err := l.lockWithPast()
		if err == nil {
			l.mu.Unlock()
			break
		}
		select { // who asks hears the error
		case <-ctx.Done():
		case <-time.After(readAgain):
		}
	}
	l.log.warm(ctx)
}

// Flush adds up what is in the buffer, writes the rows of the log that are new, and
// the sums of what is over since the last time. The running minute is in the log:
// a start adds it up again.
func (l *Ledger) Flush() error {
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	l.mu.Lock()
	l.refresh()
	over, keep := l.closing, l.saved.seq
	l.mu.Unlock()
	// The log first: a mark must not be beyond it.
	if err := l.log.flush(keep); err != nil {
		return err
	}
	for _, c := range over {
		for _, b := range c.batches() {
			if err := l.store.Write(b); err != nil {
				return fmt.Errorf("saving usage: %w", err)
			}
		}
		l.mu.Lock()
		l.closing, l.saved = l.closing[1:], c.mark
		l.mu.Unlock()
	}
	return nil
}

// get reads a value; nil for none.
func get(s store.Store, key string) ([]byte, error) {
	data, err := s.Get(key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return data, nil
}
