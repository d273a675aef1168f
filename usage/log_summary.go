// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strconv"
	"sync/atomic"
)

// summary is what is kept in memory of a block: enough to leave it unread where it
// has nothing that a filter wants, and to draw the histogram of all requests.
type summary struct {
	first       uint64 // sequence number of its first row
	rows        int
	from, until int64 // of its rows, Unix milliseconds; rows are not in order where the clock was set back
	size        int64 // of what the store has of it, bodies included
	bodies      int64 // bytes of them
	attempts    int64 // the most of a row
	classes     [classCount]int64
	slowest     [classCount]int64 // milliseconds
	slowTried   int64             // of rows with two attempts or more
	minutes     []byte            // classes by minute

	bloom atomic.Pointer[bloom] // of what rows have, see features; nil until it is read, see [Log.bloom]
}

// bloom is a Bloom filter: sixteen bits and eleven probes for each entry say wrongly
// of one in 2,000 others that they are there, so of ten million rows five blocks are
// read in vain. A block has some 3,000 entries. Source: Kirsch and Mitzenmacher,
// "Less Hashing, Same Performance".
type bloom []byte

const (
	bloomBits   = 16
	bloomProbes = 11
)

func (b bloom) probe(hash uint64, i uint32) uint64 {
	h := uint32(hash) + i*uint32(hash>>32)
	return uint64(h) * uint64(len(b)*8) >> 32
}

func (b bloom) add(hash uint64) {
	for i := range uint32(bloomProbes) {
		bit := b.probe(hash, i)
		b[bit/8] |= 1 << (bit % 8)
	}
}

// has says false where the entry is surely not there.
func (b bloom) has(hash uint64) bool {
	for i := range uint32(bloomProbes) {
		if bit := b.probe(hash, i); int(bit/8) >= len(b) || b[bit/8]&(1<<(bit%8)) == 0 {
			return false
		}
	}
	return true
}

// feature is a kind of what rows have, for [bloom]. The numbers are in the store.
type feature byte

const (
	byID feature = 1 + iota
	byModel
	byUser
	byKey
	byDialect
	byStatus
	byCode
	byReason
	byClass // with another feature in it: of rows that are not ok
)

// hash is FNV-1a with a finish that spreads the bits. It is in the store, so it
// stays as it is.
func (f feature) hash(word string) uint64 {
	h := (uint64(14695981039346656037) ^ uint64(f)) * 1099511628211
	for i := range len(word) {
		h = (h ^ uint64(word[i])) * 1099511628211
	}
	return mix(h)
}

func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// of is the hash of a feature together with a class.
func (c Class) of(hash uint64) uint64 { return mix(hash + uint64(byClass)<<8 + uint64(c)) }

// errorCode is what Google answered a try that failed: an HTTP status, or network
// for no answer.
func (t *Try) errorCode() string {
	if t.Status == 0 {
		return "network"
	}
	return strconv.Itoa(t.Status)
}

// failed tells whether a try did. One that its client left, or that lost against a
// hedge, did not: nobody is to blame.
func (t *Try) failed() bool {
	if t.Verdict == "canceled" {
		return false
	}
	return t.Verdict != "" && t.Verdict != "ok" || t.Status >= 400
}

// features calls fn for everything by which a row can be found.
func (r *Record) features(fn func(f feature, word string)) {
	fn(byID, r.RequestID)
	fn(byModel, r.Model)
	fn(byUser, r.UserID)
	fn(byKey, r.KeyID)
	fn(byDialect, r.Dialect)
	fn(byStatus, strconv.Itoa(r.Status))
	fn(byReason, r.Outcome)
	if r.Code != "" {
		fn(byCode, r.Code)
	}
	for i := range r.Tries {
		t := &r.Tries[i]
		if t.KeyID != r.KeyID {
			fn(byKey, cut(t.KeyID, maxName))
		}
		if t.failed() {
			fn(byCode, t.errorCode())
			fn(byReason, cut(t.Verdict, maxName))
		}
	}
}

const outcomeOK = "ok"

// troubled is the class, for [bloom], of rows that are [OK] although something was
// wrong on their way.
const troubled = classCount

// trouble is the class of a row for [bloom]: OK only where nothing was wrong. Who
// asks for a code asks for no such row.
func (r *Record) trouble() Class {
	class := r.Class()
	if class != OK {
		return class
	}
	if r.Code != "" || r.Outcome != outcomeOK || slices.ContainsFunc(r.Tries, func(t Try) bool { return t.failed() }) {
		return troubled
	}
	return OK
}

// summarize makes the summary of the rows of a block.
func summarize(first uint64, rows []Record, size, bodies int64) *summary {
	s := &summary{first: first, rows: len(rows), from: 1<<63 - 1, until: -1 << 63, bodies: bodies}
	entries := map[uint64]struct{}{}
	minutes := map[int64]*[classCount]int64{}
	for i := range rows {
		r := &rows[i]
		class, trouble := s.count(r), r.trouble()
		minute := minutes[r.At.UnixMilli()/60_000]
		if minute == nil {
			minute = new([classCount]int64)
			minutes[r.At.UnixMilli()/60_000] = minute
		}
		minute[class]++
		r.features(func(f feature, word string) {
			hash := f.hash(word)
			entries[hash] = struct{}{}
			if trouble != OK && f != byID {
				entries[trouble.of(hash)] = struct{}{}
			}
		})
	}
	b := make(bloom, (len(entries)*bloomBits+63)/64*8)
	for hash := range entries {
		b.add(hash)
	}
	s.bloom.Store(&b)
	s.minutes = encodeMinutes(minutes)
	s.size = size + bodies + int64(len(b)+len(s.minutes))
	return s
}

// count adds a row.
func (s *summary) count(r *Record) Class {
	class, at, took := r.Class(), r.At.UnixMilli(), millis(r.Duration)
	s.from, s.until = min(s.from, at), max(s.until, at)
	s.attempts = max(s.attempts, int64(r.Attempts))
	s.classes[class]++
	s.slowest[class] = max(s.slowest[class], took)
	if r.Attempts > 1 {
		s.slowTried = max(s.slowTried, took)
	}
	return class
}

func encodeMinutes(minutes map[int64]*[classCount]int64) (out []byte) {
	at := make([]int64, 0, len(minutes))
	for m := range minutes {
		at = append(at, m)
	}
	slices.SortFunc(at, cmp.Compare[int64])
	before := int64(0)
	for _, m := range at {
		out = binary.AppendVarint(out, m-before)
		before = m
		for _, n := range minutes[m] {
			out = binary.AppendUvarint(out, uint64(n))
		}
	}
	return out
}

// eachMinute calls fn for the minutes that have rows, in order.
func (s *summary) eachMinute(fn func(minute int64, n [classCount]int64)) {
	in := reader{rest: s.minutes}
	minute := int64(0)
	for len(in.rest) > 0 {
		minute += in.varint()
		var n [classCount]int64
		for i := range n {
			n[i] = int64(in.uvarint())
		}
		if !in.damaged {
			fn(minute, n)
		}
	}
}

// summaryFormat is the first byte of a summary in the store.
const summaryFormat = 2

// encode writes what is kept of it but for the filter, which is a value of its own:
// a start reads summaries, and filters when they are asked for.
func (s *summary) encode() []byte {
	out := make([]byte, 0, 64+len(s.minutes))
	out = append(out, summaryFormat)
	for _, n := range [...]int64{int64(s.rows), s.from, s.until - s.from, s.size, s.bodies, s.attempts, s.slowTried} {
		out = binary.AppendVarint(out, n)
	}
	for i := range s.classes {
		out = binary.AppendVarint(binary.AppendVarint(out, s.classes[i]), s.slowest[i])
	}
	return append(out, s.minutes...)
}

// decodeSummary keeps data.
func decodeSummary(first uint64, data []byte) (*summary, error) {
	if len(data) == 0 || data[0] != summaryFormat {
		return nil, errDamaged
	}
	in := reader{rest: data[1:]}
	s := &summary{first: first, rows: int(in.varint()), from: in.varint()}
	s.until = s.from + in.varint()
	s.size, s.bodies, s.attempts, s.slowTried = in.varint(), in.varint(), in.varint(), in.varint()
	for i := range s.classes {
		s.classes[i], s.slowest[i] = in.varint(), in.varint()
	}
	s.minutes = in.rest
	if in.damaged || s.rows <= 0 {
		return nil, errDamaged
	}
	return s, nil
}
