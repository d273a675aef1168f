// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

const (
	// blockRows is how many rows are kept, read and dropped together.
	blockRows = 1000
	// chunkRows bounds a chunk, and so does chunkBytes: what has the rows of one always
	// fits into a batch as a block, whatever its summary and filter are.
	chunkRows  = 250
	chunkBytes = store.MaxBatchBytes / 2
	// pendingRows bounds what waits in memory for a store that fails.
	pendingRows = 100_000
	// blockSpan is how long a block may be filled, or an eighth of the retention:
	// only whole ones are dropped.
	blockSpan = 6 * time.Hour
)

// The log in the store, under sequence numbers of 16 hexadecimal digits:
//
//	log/c/<first row>  a chunk: the rows of one flush, until a block has them
//	log/b/<first row>  a block
//	log/s/<first row>  its summary
//	log/f/<first row>  its filter: the number of probes, 1 byte, and the [bloom]
//	log/y/<row>        sealed bodies
//	log/meta           the first row that is kept, 8 bytes
//
// A block, its summary, its filter and the end of its chunks are one batch, so each row is
// there once at any moment.
const (
	chunkPrefix   = "log/c/"
	blockPrefix   = "log/b/"
	summaryPrefix = "log/s/"
	filterPrefix  = "log/f/"
	bodyPrefix    = "log/y/"
	logMeta       = "log/meta"
)

func rowKey(prefix string, seq uint64) string { return fmt.Sprintf("%s%016x", prefix, seq) }

func rowSeq(prefix, key string) (uint64, error) {
	seq, err := strconv.ParseUint(key[len(prefix):], 16, 64)
	if err != nil {
		return 0, errDamaged
	}
	return seq, nil
}

// LogOptions say what a [Log] keeps. The zero value is a week, a GiB and no bodies.
type LogOptions struct {
	Retention time.Duration // 0 means a week
	MaxSize   int64         // bytes, as [Kept] counts them; 0 means 1 GiB
	Bodies    BodyMode      // off by default
}

func (o LogOptions) complete() LogOptions {
	if o.Retention <= 0 {
		o.Retention = 7 * 24 * time.Hour
	}
	if o.MaxSize <= 0 {
		o.MaxSize = 1 << 30
	}
	return o
}

// Log keeps the requests of the last days: each once, in the order in which they
// ended, findable by what [Filter] names. Who reads it waits for no writer. It is
// safe for concurrent use; [Ledger] makes and fills it.
type Log struct {
	store   store.Store
	sealer  *store.Sealer // nil: no bodies are kept
	now     func() time.Time
	options atomic.Pointer[LogOptions]
	view    atomic.Pointer[logView]
	lost    atomic.Int64  // rows that found no room while the store failed
	scan    time.Duration // how long one answer may look at rows

	mu     sync.Mutex // guards the following; not held during I/O
	tail   []Record   // rows that are in no block; elements never change
	first  uint64     // sequence number of tail[0]
	saved  int        // of tail, in chunks
	chunks []uint64   // of those
	bodies map[uint64]*Bodies
	sizes  map[uint64]int64 // of bodies of the tail that are in the store
	young  map[uint64]int64 // sizes of the chunks

	flushMu sync.Mutex // one flush at a time
}

// logView is the log at a moment. It does not change.
type logView struct {
	blocks []*summary // oldest first
	tail   []Record
	first  uint64 // sequence number of tail[0]
	size   int64  // of the blocks
	rows   int64  // in them
}

// append takes rows that are final, and makes them what is kept of them. It copies
// them, and tells how many it took: all but in case of need.
func (l *Log) append(rows []Record) (taken int) {
	if len(rows) == 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if room := max(0, pendingRows-len(l.tail)); len(rows) > room {
		l.lost.Add(int64(len(rows) - room))
		rows = rows[:room]
	}
	for i := range rows {
		r := &rows[i]
		if r.Bodies != nil && l.sealer != nil {
			r.bodied = true
			l.bodies[l.first+uint64(len(l.tail)+i)] = r.Bodies
		}
		r.Bodies = nil
		r.trim()
	}
	l.tail = append(l.tail, rows...)
	l.publish()
	return len(rows)
}

// publish shows readers what is there. The caller holds mu.
func (l *Log) publish() {
	v := *l.view.Load()
	v.tail, v.first = slices.Clip(l.tail), l.first
	l.view.Store(&v)
}

// flush brings what is new into the store, and drops what is too old or too much;
// rows from keep on stay.
func (l *Log) flush(keep uint64) error {
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	if err := l.saveBodies(); err != nil {
		return fmt.Errorf("saving bodies of requests: %w", err)
	}
	for {
		more, err := l.save()
		if err != nil {
			return fmt.Errorf("saving the request log: %w", err)
		}
		if !more {
			break
		}
	}
	if err := l.drop(keep); err != nil {
		return fmt.Errorf("dropping old requests from the log: %w", err)
	}
	return nil
}

// overdue tells whether a block that begins with a time has to be closed although
// it is not full.
func (l *Log) overdue(at time.Time) bool {
	return l.now().Sub(at) > min(blockSpan, l.options.Load().Retention/8)
}

// openLog reads what is kept: the summaries, and the rows that are in no block.
func openLog(s store.Store, sealer *store.Sealer, now func() time.Time, o LogOptions) (*Log, error) {
	l := &Log{store: s, sealer: sealer, now: now, bodies: map[uint64]*Bodies{}, sizes: map[uint64]int64{}, young: map[uint64]int64{}, scan: scanTime}
	l.SetOptions(o)
	v := &logView{}
	after := "" // what was dropped leaves traces in a store, which take time to pass
	switch meta, err := s.Get(logMeta); {
	case err == nil && len(meta) == 8:
		first := bigEndian(meta)
		after, l.first = rowKey(summaryPrefix, first-1), first
		if first == 0 {
			after = ""
		}
	case err == nil:
		return nil, fmt.Errorf("%s %w", logMeta, errDamaged)
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	err := scan(s, summaryPrefix, after, func(key string, value []byte) error {
		first, err := rowSeq(summaryPrefix, key)
		if err != nil {
			return err
		}
		sum, err := decodeSummary(first, value)
		if err != nil {
			return err
		}
		v.blocks = append(v.blocks, sum)
		v.size += sum.size
		v.rows += int64(sum.rows)
		l.first = first + uint64(sum.rows)
		return nil
	})
	if err == nil {
		err = l.readChunks()
	}
	if err == nil {
		err = l.readBodySizes()
	}
	if err != nil {
		return nil, fmt.Errorf("reading the request log: %w", err)
	}
	l.view.Store(v)
	l.publish()
	return l, nil
}

// readChunks reads the tail.
func (l *Log) readChunks() error {
	after := ""
	if l.first > 0 {
		after = rowKey(chunkPrefix, l.first-1)
	}
	return scan(l.store, chunkPrefix, after, func(key string, value []byte) error {
		seq, err := rowSeq(chunkPrefix, key)
		if err != nil {
			return err
		}
		if seq != l.first+uint64(len(l.tail)) {
			return fmt.Errorf("follows %d rows after %d: %w", len(l.tail), l.first, errDamaged)
		}
		b, err := decodeRows(value)
		if err != nil {
			return err
		}
		rows, err := b.all()
		if err != nil {
			return err
		}
		l.tail = append(l.tail, rows...)
		l.saved, l.chunks = len(l.tail), append(l.chunks, seq)
		l.young[seq] = int64(len(value))
		return nil
	})
}

// scan calls fn for what has a prefix until fn returns an error, which tells then
// of which key it speaks.
func scan(s store.Store, prefix, after string, fn func(key string, value []byte) error) error {
	var failed error
	err := s.Scan(prefix, after, func(key string, value []byte) bool {
		if failed = fn(key, value); failed != nil {
			failed = fmt.Errorf("%s %w", key, failed)
		}
		return failed == nil
	})
	return errors.Join(err, failed)
}
