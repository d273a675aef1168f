// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// Names returns the sums by name since a moment, which is cut as [Ledger.Sums]
// cuts it.
func (l *Ledger) Names(d Dimension, since time.Time) (map[string]Counts, error) {
	sums, _, err := l.NamesSince(d, since)
	return sums, err
}

// NamesSince is [Ledger.Names] and the moment that the sums really begin with.
func (l *Ledger) NamesSince(d Dimension, since time.Time) (sums map[string]Counts, from time.Time, err error) {
	first, coarse, err := l.lockSince(since)
	if err != nil {
		return nil, from, err
	}
	sums = make(map[string]Counts, len(l.names.cells[d]))
	add := func(name string, c *Counts) {
		if c.some() {
			sum := sums[name]
			sum.add(c)
			sums[name] = sum
		}
	}
	set := func(name string, c *Counts) { // for a name that was not there
		if c.some() {
			sums[name] = *c
		}
	}
	var blobs [][nameShards][]byte
	var stored []int64
	tier := days
	from = time.Unix(first*60, 0).UTC()
	switch {
	case since.IsZero():
		from = since
		for name, c := range l.names.sums[d] {
			set(name, c)
		}
		l.names.running(d, add)
	case coarse == minutes:
		for m, b := range l.recent {
			if m >= first {
				blobs = append(blobs, b[d])
			}
		}
		for name, c := range l.names.current[d] {
			if first <= l.minute {
				add(name, c)
			}
		}
	case coarse == hours && !d.remembered():
		tier, stored = hours, l.closedFrom(hours, first/60)
		l.names.running(d, add)
	case coarse == hours:
		l.names.since(d, first/60, set)
		eachOf(l.names.current[d], add)
	default:
		stored = l.closedFrom(days, first/1440)
		l.names.today(d, set)
		eachOf(l.names.current[d], add)
	}
	overlay := l.unsaved()
	l.mu.Unlock()
	recent := nameCounts{}
	for i := range blobs {
		for _, data := range blobs[i] {
			if err := recent.addAll(data); err != nil {
				return nil, from, err
			}
		}
	}
	for name, c := range recent {
		add(name, c)
	}
	if tier == days {
		err = l.sumDays(overlay, stored, d, add)
	} else {
		err = l.storedNames(overlay, tier, stored, d, add)
	}
	return sums, from, err
}

// lockSince locks mu when there is what sums by name since a moment are of, and cuts
// the moment. It holds no lock for an error.
func (l *Ledger) lockSince(at time.Time) (first int64, coarse int, err error) {
	l.mu.Lock()
	l.refresh()
	if _, coarse = l.since(at); !at.IsZero() && coarse > minutes && !l.past.joined.Load() {
		l.mu.Unlock()
		if err := l.lockWithPast(); err != nil {
			return 0, 0, err
		}
		l.refresh()
	}
	first, coarse = l.since(at)
	return first, coarse, nil
}

func eachOf(all nameCounts, fn func(string, *Counts)) {
	for name, c := range all {
		fn(name, c)
	}
}

// running calls fn with what the names have of the running hour.
func (n *names) running(d Dimension, fn func(string, *Counts)) {
	eachOf(n.current[d], fn)
	for name, c := range n.cells[d] {
		fn(name, &c.hour)
	}
}

// today calls fn once with what each name has of the day, without the running minute.
func (n *names) today(d Dimension, fn func(string, *Counts)) {
	var sum Counts
	for name, c := range n.cells[d] {
		sum = c.day
		sum.add(&c.hour)
		fn(name, &sum)
	}
}

// since calls fn once with what each name has from an hour on, without the running
// minute.
func (n *names) since(d Dimension, hour int64, fn func(string, *Counts)) {
	var sum Counts
	for name, c := range n.cells[d] {
		sum = c.sum
		in := reader{rest: c.past}
		for len(in.rest) > 0 { // most often none is too old
			at := in.varint()
			if at >= hour {
				break
			}
			old := readCounts(&in)
			sum.subtract(&old)
		}
		sum.add(&c.hour)
		fn(name, &sum)
	}
}

// overlay are changes that are not yet in the store.
type overlay map[string][]byte

// unsaved returns them. The caller holds mu.
func (l *Ledger) unsaved() overlay {
	var o overlay
	for _, c := range l.closing {
		for _, op := range c.ops {
			if o == nil {
				o = overlay{}
			}
			o[op.Key] = op.Value
		}
	}
	return o
}

func (o overlay) get(s store.Store, key string) ([]byte, error) {
	if data := o[key]; data != nil {
		return data, nil
	}
	return get(s, key)
}

// closedFrom lists the closed spans of a tier from one on. The caller holds mu.
func (l *Ledger) closedFrom(tier int, first int64) (out []int64) {
	for at := range l.closed[tier] {
		if at >= first {
			out = append(out, at)
		}
	}
	return out
}

// storedNames calls fn with all names of spans that are over.
func (l *Ledger) storedNames(o overlay, tier int, spans []int64, d Dimension, fn func(string, *Counts)) error {
	for _, at := range spans {
		for shard := range nameShards {
			data, err := o.get(l.store, nameKey(tier, at, d, shard))
			if err == nil {
				err = eachName(data, fn)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Day are the sums of the last 24 hours of a name, the running one included.
type Day struct {
	Counts
	Hours [24]Counts // oldest first; the last one runs
}

// Day returns the last 24 hours of a name: of a Gemini key, for which Attempts and
// Errors are what was tried with it, or of a user key. Names that were not used
// have zeros, and so have hours that the store cannot give.
func (l *Ledger) Day(d Dimension, name string) (day Day) {
	if l.lockWithPast() != nil {
		l.mu.Lock()
	}
	defer l.mu.Unlock()
	l.refresh()
	hour := l.minute / 60
	if c := l.names.cells[d][name]; c != nil {
		day.Hours[23] = c.hour
		c.eachHour(func(at int64, n *Counts) {
			if i := 23 - (hour - at); i >= 0 && i < 23 {
				day.Hours[i] = *n
			}
		})
	}
	if c := l.names.current[d][name]; c != nil {
		day.Hours[23].add(c)
	}
	for i := range day.Hours {
		day.add(&day.Hours[i])
	}
	return day
}

// UserModels returns the sums of a user key by model, of the last day. It reads the
// store; hours that this cannot give are left out.
func (l *Ledger) UserModels(user string) map[string]Counts {
	out := map[string]Counts{}
	add := func(name string, c *Counts) {
		if u, model := SplitPair(name); u == user && c.some() {
			sum := out[model]
			sum.add(c)
			out[model] = sum
		}
	}
	l.mu.Lock()
	l.refresh()
	l.names.running(ByUserModel, add)
	spans, unsaved := l.closedFrom(hours, l.minute/60-dayHours+1), l.unsaved()
	l.mu.Unlock()
	for _, at := range spans {
		data, err := unsaved.get(l.store, nameKey(hours, at, ByUserModel, shardOf(user)))
		if err == nil {
			_ = eachName(data, add)
		}
	}
	return out
}

// Query says what a series is of; at most one of the three.
type Query struct {
	Model, User, Key string
}

// Point are the sums of a part of a [Series].
type Point struct {
	Counts
	Latency // none where the series is of a user or a Gemini key
}

// Series are sums over time.
type Series struct {
	Start  time.Time
	Step   time.Duration
	Points []Point // oldest first; the last one may not be over
	Open   bool    // it is not
}

// Series returns sums from a moment until now in steps: whole minutes for the last
// day, else whole hours for 30 days and whole days for 400. Start is cut to a step.
func (l *Ledger) Series(q Query, from time.Time, step time.Duration) (Series, error) {
	tier, unit := minutes, int64(1)
	switch {
	case step >= 24*time.Hour:
		tier, unit = days, 1440
	case step >= time.Hour:
		tier, unit = hours, 60
	}
	width := max(int64(step/time.Minute)/unit*unit, unit)
	l.mu.Lock()
	l.refresh()
	first := max(from.Unix()/60, l.minute-tiers[tier].kept*unit)
	first -= first % width
	cells := make([]cell, (l.minute-first)/width+1)
	at := func(minute int64) *cell { return &cells[(minute-first)/width] }
	parts := l.parts(first, l.minute+1, tier)
	spans, unsaved := l.runningNames(q, first, tier, at), l.unsaved()
	for _, p := range parts {
		if p.span != nil && q.User == "" && q.Key == "" {
			p.span.into(at(p.minute), q.Model)
		}
	}
	l.mu.Unlock()
	s := Series{Start: time.Unix(first*60, 0).UTC(), Step: time.Duration(width) * time.Minute, Points: make([]Point, len(cells))}
	s.Open = true
	for _, p := range parts {
		if p.span != nil || q.User != "" || q.Key != "" {
			continue
		}
		if err := at(p.minute).only(p.data, q.Model); err != nil {
			return s, err
		}
	}
	if err := l.readNames(q, unsaved, spans, at); err != nil {
		return s, err
	}
	for i := range cells {
		s.Points[i] = Point{cells[i].Counts, latencyOf(&cells[i].took, &cells[i].first)}
	}
	return s, nil
}

func (s *span) into(c *cell, model string) {
	if model == "" {
		c.merge(&s.all)
	} else if m := s.models[model]; m != nil {
		c.merge(m)
	}
}

func (q Query) name() (d Dimension, name string) {
	switch {
	case q.Key != "":
		return ByKey, q.Key
	case q.User != "" && q.Model != "":
		return ByUserModel, q.User + pairSeparator + q.Model
	default:
		return ByUser, q.User
	}
}

// stored is a span whose sums by name are to be read.
type stored struct {
	tier   int
	minute int64
	blob   []byte // shard, where it is in memory
}

// runningNames adds what the running minute has of a name, and tells where the rest
// is. The caller holds mu.
func (l *Ledger) runningNames(q Query, first int64, tier int, at func(int64) *cell) (out []stored) {
	d, name := q.name()
	if q.User == "" && q.Key == "" {
		return nil
	}
	if c := l.names.current[d][name]; c != nil {
		at(l.minute).add(c)
	}
	per := tiers[tier].unit / 60
	for m := first; m < l.minute; {
		if tier > minutes && m%per == 0 && m+per <= l.minute {
			if l.closed[tier][m/per] != nil {
				out = append(out, stored{tier: tier, minute: m})
			}
			m += per
			continue
		}
		switch b := l.recent[m]; {
		case b != nil:
			out = append(out, stored{minutes, m, b[d][shardOf(name)]})
		case l.closed[minutes][m] != nil:
			out = append(out, stored{tier: minutes, minute: m})
		}
		m++
	}
	return out
}

func (l *Ledger) readNames(q Query, o overlay, spans []stored, at func(int64) *cell) error {
	d, name := q.name()
	for _, s := range spans {
		data := s.blob
		if data == nil {
			var err error
			if data, err = o.get(l.store, nameKey(s.tier, s.minute*60/tiers[s.tier].unit, d, shardOf(name))); err != nil {
				return err
			}
		}
		found, err := findName(data, name)
		if err != nil {
			return err
		}
		at(s.minute).add(&found)
	}
	return nil
}
