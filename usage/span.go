// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"time"
)

// Other stands for all names beyond the bound of a map.
const Other = "other"

// Bounds of the names of a span. They keep memory in hand when a client invents
// model names.
const (
	maxOutcomes = 64 // our own words
	maxModels   = 200
	maxFailures = 64
)

// spanFormat is the first byte of a span in the store.
const spanFormat = 1

// cell are the sums of a span of time, of all requests or of some.
type cell struct {
	Counts
	took, first histogram
	// What streams put out, and how long that took from the first output on.
	spoken, speaking int64 // tokens, milliseconds
}

func (c *cell) record(r *Record, n *Counts) {
	c.add(n)
	if r.Attempts == 0 { // refused here: says nothing of how fast answers are
		return
	}
	c.took.add(r.Duration)
	if r.FirstOutput > 0 {
		c.first.add(r.FirstOutput)
		if r.Stream && !r.Estimated {
			c.spoken += r.Output + r.Thoughts
			c.speaking += millis(r.Duration - r.FirstOutput)
		}
	}
}

func (c *cell) merge(o *cell) {
	c.add(&o.Counts)
	c.took.merge(&o.took)
	c.first.merge(&o.first)
	c.spoken += o.spoken
	c.speaking += o.speaking
}

// failure is what Google answered an attempt that failed.
type failure struct{ code, reason string }

// failures are the sums of one of them.
type failures struct {
	count, retried, client, failed int64 // attempts, by what became of their requests
	keys                           distinct
}

func (f *failures) merge(o *failures) {
	f.count += o.count
	f.retried += o.retried
	f.client += o.client
	f.failed += o.failed
	f.keys.merge(&o.keys)
}

// span are the sums over a time, but for those by name of [names].
type span struct {
	all      cell
	outcomes map[string]*Counts
	models   map[string]*cell
	failures map[failure]*failures
}

func newSpan() *span {
	return &span{outcomes: map[string]*Counts{}, models: map[string]*cell{}, failures: map[failure]*failures{}}
}

// entry finds what a map has for a name, or for other if it has too many.
func entry[K comparable, V any](m map[K]*V, name, other K, bound int) *V {
	v := m[name]
	if v == nil {
		if len(m) >= bound {
			name = other
		}
		if v = m[name]; v == nil {
			v = new(V)
			m[name] = v
		}
	}
	return v
}

func (s *span) outcome(name string) *Counts { return entry(s.outcomes, name, Other, maxOutcomes) }
func (s *span) model(name string) *cell     { return entry(s.models, name, Other, maxModels) }
func (s *span) failure(f failure) *failures {
	return entry(s.failures, f, failure{Other, Other}, maxFailures)
}

// record adds one request.
func (s *span) record(r *Record, n *Counts) {
	s.all.record(r, n)
	if r.Outcome != "" {
		s.outcome(r.Outcome).add(n)
	}
	if r.Model != "" {
		s.model(r.Model).record(r, n)
	}
	for i := range r.Tries {
		if t := &r.Tries[i]; t.failed() {
			s.fail(r, failure{t.errorCode(), t.Verdict}, t.KeyID)
		}
	}
}

// fail adds one attempt that failed.
func (s *span) fail(r *Record, what failure, keyID string) {
	f := s.failure(what)
	f.count++
	switch r.Class() {
	case OK, Retried:
		f.retried++
	case ClientError:
		f.client++
	default:
		f.failed++
	}
	if keyID != "" {
		f.keys.add(byKey.hash(keyID))
	}
}

func (s *span) merge(o *span) {
	s.all.merge(&o.all)
	for name, n := range o.outcomes {
		s.outcome(name).add(n)
	}
	for name, c := range o.models {
		s.model(name).merge(c)
	}
	for what, f := range o.failures {
		s.failure(what).merge(f)
	}
}

func (c *cell) append(out []byte) []byte {
	out = c.Counts.append(out)
	out = c.took.append(out)
	out = c.first.append(out)
	return binary.AppendVarint(binary.AppendVarint(out, c.spoken), c.speaking)
}

func (c *cell) mergeFrom(in *reader) {
	n := readCounts(in)
	c.add(&n)
	c.took.mergeFrom(in)
	c.first.mergeFrom(in)
	c.spoken += in.varint()
	c.speaking += in.varint()
}

func appendText(out []byte, s string) []byte {
	return append(binary.AppendUvarint(out, uint64(len(s))), s...)
}

// encode writes the span; the same span gives the same bytes.
func (s *span) encode() []byte {
	out := s.all.append([]byte{spanFormat})
	out = binary.AppendUvarint(out, uint64(len(s.outcomes)))
	for _, name := range slices.Sorted(maps.Keys(s.outcomes)) {
		out = s.outcomes[name].append(appendText(out, name))
	}
	out = binary.AppendUvarint(out, uint64(len(s.models)))
	for _, name := range slices.Sorted(maps.Keys(s.models)) {
		out = s.models[name].append(appendText(out, name))
	}
	out = binary.AppendUvarint(out, uint64(len(s.failures)))
	for _, what := range slices.SortedFunc(maps.Keys(s.failures), func(a, b failure) int {
		return cmp.Or(cmp.Compare(a.code, b.code), cmp.Compare(a.reason, b.reason))
	}) {
		f := s.failures[what]
		out = appendText(appendText(out, what.code), what.reason)
		for _, n := range [...]int64{f.count, f.retried, f.client, f.failed} {
			out = binary.AppendVarint(out, n)
		}
		out = f.keys.append(out)
	}
	return out
}

// mergeFrom adds what encode wrote.
func (s *span) mergeFrom(data []byte) error {
	if len(data) == 0 || data[0] != spanFormat {
		return errDamaged
	}
	in := &reader{rest: data[1:]}
	s.all.mergeFrom(in)
	for range in.count() {
		name, n := in.text(), readCounts(in)
		s.outcome(name).add(&n)
	}
	for range in.count() {
		s.model(in.text()).mergeFrom(in)
	}
	for range in.count() {
		f := s.failure(failure{in.text(), in.text()})
		f.count += in.varint()
		f.retried += in.varint()
		f.client += in.varint()
		f.failed += in.varint()
		f.keys.mergeFrom(in)
	}
	if in.damaged {
		return errDamaged
	}
	return nil
}

// only adds what is needed of an encoded span: the sums of all, or of a model.
func (c *cell) only(data []byte, model string) error {
	if len(data) == 0 || data[0] != spanFormat {
		return errDamaged
	}
	in := &reader{rest: data[1:]}
	if model == "" {
		c.mergeFrom(in)
	} else {
		s := newSpan()
		if err := s.mergeFrom(data); err != nil {
			return err
		}
		if m := s.models[model]; m != nil {
			c.merge(m)
		}
	}
	if in.damaged {
		return errDamaged
	}
	return nil
}

// tier is a length of spans and how long they are kept.
type tier struct {
	prefix string
	unit   int64 // seconds
	kept   int64 // spans
}

// The tiers. Source: DESIGN §5.
const (
	minutes = iota
	hours
	days
	tierTotal
)

var tiers = [tierTotal]tier{
	minutes: {"usage/m/", 60, 24 * 60},
	hours:   {"usage/h/", 3600, 30 * 24},
	days:    {"usage/d/", 86400, 400},
}

// lifetime is how long a span is in the store: long enough that a start, even after
// a month, finds the closed spans of the hour or day that ran.
func (t tier) lifetime() time.Duration { return 2 * time.Duration(t.unit*t.kept) * time.Second }
