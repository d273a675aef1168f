// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// How books are kept. In a large pool each request changes those of another key, so
// that a record of their own for each would cost more than the pick. What changed since
// the last flush goes into one record of a log instead. Besides, projects share shelves,
// of which each flush writes a few where something changed; once all had their turn, what
// the log had before is dropped. A shelf has the number of the first record of the log
// that may know more than it.
const (
	shelfPrefix = "balancer/books/"   // <shelf, 3 hex digits> → number, then books; with a TTL
	logPrefix   = "balancer/booklog/" // <number, 16 hex digits> → books; with a TTL

	shelfCount      = 1024
	shelvesPerFlush = 16
	logRecord       = store.MaxBatchBytes / 16 // a record of the log is full with one that brings it to so many bytes
	booksFormat     = 1                        // the first byte of each
	booksKept       = learnedFor + time.Hour
)

// bookLog is how far the books in the store go. Guarded by Pool.writeMu.
type bookLog struct {
	next   uint64           // number of the next record of the log
	oldest uint64           // of the first that the store may have
	began  uint64           // next, when the round over the shelves began
	turn   int              // shelf whose turn is next
	dirty  [shelfCount]bool // shelves that the log knows more than
}

// shelf is one: its projects, guarded by Pool.mu.
type shelf []*project

func shelfOf(projectID string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(projectID))
	return int(h.Sum32() % shelfCount)
}

func shelfKey(n int) string  { return fmt.Sprintf("%s%03x", shelfPrefix, n) }
func logKey(n uint64) string { return fmt.Sprintf("%s%016x", logPrefix, n) }

// record is the write of the next record of the log.
func (l *bookLog) record(books []byte) store.Op {
	l.next++
	return store.Op{Key: logKey(l.next - 1), Value: append([]byte{booksFormat}, books...), TTL: booksKept}
}

// logBooks writes quotas to the log, and returns those that could not be written. Under
// p.writeMu.
func (p *Pool) logBooks(touched []*quota, now time.Time) (left []*quota, err error) {
	if len(touched) == 0 {
		return nil, nil
	}
	for left = touched; len(left) > 0; {
		books, n := make([]byte, 0, min(128*len(left), logRecord+4096)), 0
		for ; n < len(left) && len(books) < logRecord; n++ {
			books = left[n].append(books, now, false)
			p.bookLog.dirty[left[n].project.shelf] = true
		}
		ops := []store.Op{{Key: clockKey, Value: encode(p.clock.Load())}, p.bookLog.record(books)}
		if err := p.store.Write(store.Batch{Ops: ops}); err != nil {
			return left, err
		}
		left = left[n:]
	}
	return nil, p.tidyShelves(shelvesPerFlush, now)
}

// tidyShelves writes the next shelves, and drops what of the log all of them have. Under
// p.writeMu.
func (p *Pool) tidyShelves(count int, now time.Time) error {
	l := &p.bookLog
	if l.turn == 0 {
		l.began = l.next
	}
	var dirty []int
	to := min(l.turn+count, shelfCount)
	for n := l.turn; n < to; n++ {
		if l.dirty[n] {
			dirty = append(dirty, n)
		}
	}
	_, err := writeEach(p, dirty, func(n int) store.Op { return p.shelfOp(n, now) })
	if err != nil {
		return err
	}
	for _, n := range dirty {
		l.dirty[n] = false
	}
	if l.turn = to % shelfCount; l.turn > 0 {
		return nil
	}
	var over []uint64
	for n := l.oldest; n < l.began; n++ {
		over = append(over, n)
	}
	left, err := writeEach(p, over, func(n uint64) store.Op { return store.Op{Key: logKey(n)} })
	l.oldest = l.began - uint64(len(left))
	return err
}

// shelfOp is the write of a shelf. Under p.writeMu.
func (p *Pool) shelfOp(n int, now time.Time) store.Op {
	p.mu.Lock()
	defer p.mu.Unlock()
	head := binary.AppendUvarint([]byte{booksFormat}, p.bookLog.next)
	value := slices.Grow(head, 128*len(p.shelves[n]))
	for _, t := range p.shelves[n] {
		for _, q := range t.quotas {
			if q.kept(now) {
				value = q.append(value, now, false)
			}
		}
	}
	if len(value) == len(head) {
		return store.Op{Key: shelfKey(n)}
	}
	return store.Op{Key: shelfKey(n), Value: value, TTL: booksKept}
}

// bookName is what books are about.
type bookName struct{ project, model string }

// storedBooks are those that the store has.
type storedBooks struct {
	quotas map[bookName]*quotaRecord
	since  [shelfCount]uint64 // number of each shelf
}

// readBooks reads shelves and log. What cannot be read is returned, to be deleted. Under
// p.mu, before anybody else has p.
func (p *Pool) readBooks() (books *storedBooks, damaged []store.Op, err error) {
	l := &p.bookLog
	books = &storedBooks{quotas: map[bookName]*quotaRecord{}}
	err = p.store.Scan(shelfPrefix, "", func(key string, value []byte) bool {
		n, err := strconv.ParseUint(strings.TrimPrefix(key, shelfPrefix), 16, 64)
		in := openBooks(value)
		since := in.uvarint()
		if err != nil || n >= shelfCount || !books.take(in, func(int) bool { return true }) {
			damaged = append(damaged, store.Op{Key: key})
		}
		if n < shelfCount {
			books.since[n] = since
			l.next = max(l.next, since)
		}
		return true
	})
	if err != nil {
		return nil, nil, err
	}
	l.oldest = l.next
	err = p.store.Scan(logPrefix, "", func(key string, value []byte) bool {
		n, err := strconv.ParseUint(strings.TrimPrefix(key, logPrefix), 16, 64)
		if err != nil || !books.take(openBooks(value), func(shelf int) bool { l.dirty[shelf] = true; return n >= books.since[shelf] }) {
			damaged = append(damaged, store.Op{Key: key})
			return true
		}
		l.oldest, l.next = min(l.oldest, n), max(l.next, n+1)
		return true
	})
	return books, damaged, err
}

// take reads books of the shelves that are wanted, and reports whether all were sound.
func (b *storedBooks) take(in *bookReader, wanted func(shelf int) bool) bool {
	for len(in.rest) > 0 && !in.damaged {
		name := bookName{in.text(), in.text()}
		body := bookReader{rest: in.bytes()}
		if in.damaged || !wanted(shelfOf(name.project)) {
			continue
		}
		if len(body.rest) == 0 {
			delete(b.quotas, name)
			continue
		}
		if r := body.quota(); !body.damaged {
			r.Project, r.Model = name.project, name.model
			b.quotas[name] = r
		}
	}
	return !in.damaged
}

// append writes the books of q, or that there are none: clients invent names of models,
// and those that were merged are elsewhere. renewed is as after [quota.renew]. What a
// later version adds at the end, this one leaves unread.
func (q *quota) append(b []byte, now time.Time, renewed bool) []byte {
	b = appendText(appendText(b, q.project.id), q.model.name)
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.keeps(now) {
		return append(b, 0)
	}
	var room [512]byte
	body := binary.AppendUvarint(room[:0], uint64(len(q.minute.spends)))
	for _, s := range q.minute.spends {
		for _, v := range [...]int64{s.at / int64(time.Millisecond), int64(s.requests), s.tokens} {
			body = binary.AppendVarint(body, v)
		}
	}
	for _, v := range [...]int64{q.dayEnds, q.today, q.unsure, q.doubted, q.proven} {
		body = binary.AppendVarint(body, v)
	}
	for _, l := range [...]*limit{&q.rpm, &q.tpm, &q.rpd} {
		if l.value == 0 || renewed {
			body = append(body, 0)
			continue
		}
		for _, v := range [...]int64{l.value, l.learned, l.under} {
			body = binary.AppendVarint(body, v)
		}
	}
	return append(binary.AppendUvarint(b, uint64(len(body))), body...)
}

// quota reads what append wrote.
func (in *bookReader) quota() *quotaRecord {
	r := new(quotaRecord)
	for range in.uvarint() {
		if in.damaged {
			return r
		}
		r.Spends = append(r.Spends, [3]int64{in.varint(), in.varint(), in.varint()})
	}
	for _, v := range [...]*int64{&r.DayEnds, &r.Today, &r.Unsure, &r.Doubted, &r.Proven} {
		*v = in.varint()
	}
	for _, l := range [...]**limitRecord{&r.RPM, &r.TPM, &r.RPD} {
		if value := in.varint(); value != 0 {
			*l = &limitRecord{Value: value, Learned: time.Unix(0, in.varint()).UTC(), Under: in.varint()}
		}
	}
	return r
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// bookReader reads what was appended. What is missing is 0, and damaged tells.
type bookReader struct {
	rest    []byte
	damaged bool
}

func openBooks(value []byte) *bookReader {
	if len(value) == 0 || value[0] != booksFormat {
		return &bookReader{damaged: true}
	}
	return &bookReader{rest: value[1:]}
}

func (in *bookReader) uvarint() uint64 {
	v, n := binary.Uvarint(in.rest)
	return advance(in, v, n)
}

func (in *bookReader) varint() int64 {
	v, n := binary.Varint(in.rest)
	return advance(in, v, n)
}

// advance goes on behind a number of n bytes.
func advance[T any](in *bookReader, v T, n int) T {
	if n <= 0 {
		in.rest, in.damaged = nil, true
		return *new(T)
	}
	in.rest = in.rest[n:]
	return v
}

func (in *bookReader) bytes() []byte {
	n := in.uvarint()
	if n > uint64(len(in.rest)) {
		in.rest, in.damaged = nil, true
		return nil
	}
	out := in.rest[:n]
	in.rest = in.rest[n:]
	return out
}

func (in *bookReader) text() string { return string(in.bytes()) }

var errNameless = errors.New("it names no project or no model")
