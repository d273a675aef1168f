// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// Dimension is what sums by name are about.
type Dimension uint8

// The dimensions. The sums of a Gemini key have the requests that it answered or
// was the last to try, and the attempts that were made with it.
const (
	ByKey Dimension = iota
	ByUser
	ByUserModel // names are user key, pairSeparator, model
	dimensions
)

const pairSeparator = "\x00"

// remembered tells whether closed hours of the names are in memory. Pairs are many
// and seldom asked for: theirs are read from the store.
func (d Dimension) remembered() bool { return d != ByUserModel }

// Bounds of the names of a dimension; further ones are counted as [Other]. A name
// that was used in every hour of a day takes up to 1.1 KB.
const (
	maxNames       = 200_000 // of a day
	maxMinuteNames = 20_000
	maxSumNames    = 5_000 // since the beginning
)

// dayHours is how many hours are kept of a name in memory: a whole day and the hour
// that runs.
const dayHours = 25

// A span's sums by name are kept in shards, so that those of one name can be read
// without all the others.
const nameShards = 16

type nameBlobs [dimensions][nameShards][]byte

// maxShard is how large a shard becomes by names, so that a store takes it whatever
// clients call their models. Further names of it are counted as [Other] there.
const maxShard = store.MaxBatchBytes * 5 / 8

// shardOf keeps the pairs of a user key together.
func shardOf(name string) int {
	user, _ := SplitPair(name)
	return int(byUser.hash(user) % nameShards)
}

func nameKey(tier int, at int64, d Dimension, shard int) string {
	return fmt.Sprintf("%s%d%02x", namePrefix(tier, at), d, shard)
}

// namePrefix is of the names of a span.
func namePrefix(tier int, at int64) string {
	return fmt.Sprintf("usage/n/%c/%010d/", "mhd"[tier], at)
}

// nameKeyParts reads a key that begins with the names of a tier.
func nameKeyParts(key string) (at int64, d Dimension, shard int, err error) {
	if _, err := fmt.Sscanf(key[len("usage/n/m/"):], "%d/%1d%02x", &at, &d, &shard); err != nil || d >= dimensions || shard >= nameShards {
		return 0, 0, 0, errDamaged
	}
	return at, d, shard, nil
}

// nameCell are the sums of a name, without the running minute.
type nameCell struct {
	hour Counts // that runs
	day  Counts // hours that are over, of the day that runs
	sum  Counts // of past
	past []byte // hours that are over, of the last dayHours: hour and Counts of each
}

type nameCounts map[string]*Counts

// names are sums by name.
type names struct {
	current [dimensions]nameCounts // of the running minute
	cells   nameCells
	sums    [dimensions]nameCounts // since the beginning, hours that are over
	scratch []byte
}

func (n *names) init() {
	for d := range n.cells {
		n.current[d], n.sums[d] = nameCounts{}, nameCounts{}
		n.cells[d] = map[string]*nameCell{}
	}
}

func (m nameCounts) add(name string, c *Counts, bound int) {
	entry(m, name, Other, bound).add(c)
}

// record adds one request to the running minute.
func (n *names) record(r *Record, c *Counts) {
	if r.UserID != "" {
		n.current[ByUser].add(r.UserID, c, maxMinuteNames)
		if r.Model != "" {
			n.scratch = append(append(append(n.scratch[:0], r.UserID...), pairSeparator...), r.Model...)
			sum := n.current[ByUserModel][string(n.scratch)] // allocates nothing
			if sum == nil {
				n.current[ByUserModel].add(string(n.scratch), c, maxMinuteNames)
			} else {
				sum.add(c)
			}
		}
	}
	n.recordKeys(r, c)
}

// recordKeys adds a request to those of the Gemini keys that tried it. Each key is looked
// up once where one try was enough: in a large pool that means waiting for memory.
func (n *names) recordKeys(r *Record, c *Counts) {
	last := *c
	if len(r.Tries) > 0 {
		last.Attempts, last.Errors = 0, 0
	}
	for i := range r.Tries {
		t := &r.Tries[i]
		try := t.Charge.counts()
		last.subtract(&try)
		try.Attempts = 1
		if t.failed() {
			try.Errors = 1
		}
		switch t.KeyID {
		case "":
		case r.KeyID:
			last.add(&try)
		default:
			n.current[ByKey].add(t.KeyID, &try, maxMinuteNames)
		}
	}
	if r.KeyID != "" {
		n.current[ByKey].add(r.KeyID, &last, maxMinuteNames)
	}
}

// closeMinute moves the running minute into the running hour.
func (n *names) closeMinute() *nameBlobs {
	var out nameWriter
	for d, m := range n.current {
		for name, c := range m {
			n.cell(Dimension(d), name).hour.add(c)
			out.add(Dimension(d), name, c)
		}
		clear(m)
	}
	return out.close()
}

func (n *names) cell(d Dimension, name string) *nameCell {
	return entry(n.cells[d], name, Other, maxNames)
}

// closeHour closes an hour and forgets what is a day before the next one.
func (n *names) closeHour(hour, next int64) *nameBlobs {
	var out nameWriter
	for d, cells := range n.cells {
		for name, c := range cells {
			if c.hour.some() {
				out.add(Dimension(d), name, &c.hour)
				if Dimension(d).remembered() {
					n.sums[d].add(name, &c.hour, maxSumNames)
					c.keep(hour, &c.hour)
				}
				c.day.add(&c.hour)
				c.hour = Counts{}
			}
			c.forget(next - dayHours)
			if len(c.past) == 0 && !c.day.some() {
				delete(cells, name)
			}
		}
	}
	return out.close()
}

// closeDay ends the day that runs.
func (n *names) closeDay() *nameBlobs {
	var out nameWriter
	for d, cells := range n.cells {
		for name, c := range cells {
			if c.day.some() {
				out.add(Dimension(d), name, &c.day)
				c.day = Counts{}
			}
		}
	}
	return out.close()
}

func (c *Counts) some() bool { return *c != Counts{} }

// keep adds an hour that is over.
func (c *nameCell) keep(hour int64, n *Counts) {
	c.past = n.append(binary.AppendVarint(c.past, hour))
	c.sum.add(n)
}

// forget drops the hours up to one.
func (c *nameCell) forget(until int64) {
	in := reader{rest: c.past}
	for len(in.rest) > 0 {
		if hour := in.varint(); hour > until {
			break
		}
		n := readCounts(&in)
		c.sum.subtract(&n)
		c.past = in.rest
	}
	if len(c.past) == 0 {
		c.past = nil
	}
}

// eachHour calls fn for the hours that are over.
func (c *nameCell) eachHour(fn func(hour int64, n *Counts)) {
	in := reader{rest: c.past}
	for len(in.rest) > 0 {
		hour := in.varint()
		n := readCounts(&in)
		fn(hour, &n)
	}
}

// nameWriter makes the blobs of a span.
type nameWriter struct {
	blobs nameBlobs
	rest  [dimensions][nameShards]Counts // of names that have no room
}

func (w *nameWriter) add(d Dimension, name string, c *Counts) {
	shard := shardOf(name)
	b := &w.blobs[d][shard]
	if len(*b)+len(name) > maxShard {
		w.rest[d][shard].add(c)
		return
	}
	*b = c.append(appendText(*b, name))
}

func (w *nameWriter) close() *nameBlobs {
	for d := range w.rest {
		for shard := range w.rest[d] {
			if c := &w.rest[d][shard]; c.some() {
				w.blobs[d][shard] = c.append(appendText(w.blobs[d][shard], Other))
			}
		}
	}
	return &w.blobs
}

// eachName calls fn for the names in a shard.
func eachName(data []byte, fn func(name string, n *Counts)) error {
	in := &reader{rest: data}
	for len(in.rest) > 0 {
		name := in.text()
		n := readCounts(in)
		if in.damaged {
			return errDamaged
		}
		fn(name, &n)
	}
	return nil
}

// addAll adds the names in a shard. It makes a text of those only that are new.
func (m nameCounts) addAll(data []byte) error {
	in := &reader{rest: data}
	for len(in.rest) > 0 {
		name := in.take(in.uvarint())
		n := readCounts(in)
		if in.damaged {
			return errDamaged
		}
		c := m[string(name)]
		if c == nil {
			c = new(Counts)
			m[string(name)] = c
		}
		c.add(&n)
	}
	return nil
}

// findName returns what a shard has for a name.
func findName(data []byte, name string) (found Counts, err error) {
	err = eachName(data, func(n string, c *Counts) {
		if n == name {
			found.add(c)
		}
	})
	return found, err
}

// SplitPair cuts a name of [ByUserModel].
func SplitPair(name string) (user, model string) {
	user, model, _ = strings.Cut(name, pairSeparator)
	return user, model
}
