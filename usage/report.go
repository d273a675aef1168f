// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"cmp"
	"slices"
	"time"
)

// part is a closed span, or a copy of one that runs.
type part struct {
	minute int64 // that it begins with
	data   []byte
	span   *span
}

// parts returns the spans that make up a time, from a minute until the running one
// or until another, which is excluded: those of a tier where they are whole and
// inside, else minutes. What is older than minutes are kept for comes as the hours
// that are. The caller holds mu; the spans that run may be read only while it does.
func (l *Ledger) parts(from, until int64, coarse int) (out []part) {
	per := tiers[coarse].unit / 60
	for m := from; m < until; {
		if coarse > minutes && m%per == 0 && m+per <= until && m+per <= l.minute {
			if data := l.closed[coarse][m/per]; data != nil {
				out = append(out, part{minute: m, data: data})
			}
			m += per
			continue
		}
		switch data := l.closed[minutes][m]; {
		case data != nil:
			out = append(out, part{minute: m, data: data})
		case m == l.minute:
			out = append(out, part{minute: m, span: l.current})
		}
		m++
	}
	return out
}

// Report are the sums of a time.
type Report struct {
	From, Until time.Time // what they are really of; whole minutes
	Counts
	Latency
	Outcomes map[string]Counts
	Models   []ModelReport // those with the most requests first
	Failures []Failure     // those with the most first
}

// ModelReport are the sums of a model.
type ModelReport struct {
	Model string
	Counts
	Latency
	// OutputPerSecond is how many tokens a stream puts out in a second once it has
	// begun; 0 for unknown.
	OutputPerSecond float64
}

// Failure is what Google answered attempts that failed.
type Failure struct {
	Code   string // HTTP status, network for no answer
	Reason string // balancer's verdict
	Count  int64  // attempts
	// What became of the requests that these were attempts of: answered after all,
	// the client's own fault, lost.
	Retried, Client, Failed int64
	Keys                    int // Gemini keys, within some percent
}

// Report returns the sums from a moment until another, or until now for the zero
// time. Within the last day they begin with the minute of from, before that with
// its hour.
func (l *Ledger) Report(from, until time.Time) (Report, error) {
	sum := newSpan()
	l.mu.Lock()
	l.refresh()
	first, end := l.bounds(from, until)
	parts := l.parts(first, end, hours)
	for i := range parts {
		if s := parts[i].span; s != nil {
			sum.merge(s)
		}
	}
	l.mu.Unlock()
	for _, p := range parts {
		if p.span != nil {
			continue
		}
		if err := sum.mergeFrom(p.data); err != nil {
			return Report{}, err
		}
	}
	r := sum.report()
	r.From, r.Until = time.Unix(first*60, 0).UTC(), time.Unix(end*60, 0).UTC()
	return r, nil
}

// bounds cuts a time to minutes, and to hours where minutes are no longer kept.
// The caller holds mu.
func (l *Ledger) bounds(from, until time.Time) (first, end int64) {
	end = l.minute + 1
	if !until.IsZero() {
		end = min(end, until.Unix()/60)
	}
	first = max(from.Unix()/60, l.minute-tiers[hours].kept*60)
	if first <= l.minute-tiers[minutes].kept {
		first -= first % 60
		if end <= l.minute-tiers[minutes].kept {
			end -= end % 60
		}
	}
	return min(first, end), end
}

func (s *span) report() Report {
	r := Report{Counts: s.all.Counts, Latency: latencyOf(&s.all.took, &s.all.first), Outcomes: map[string]Counts{}}
	for name, n := range s.outcomes {
		r.Outcomes[name] = *n
	}
	for name, c := range s.models {
		m := ModelReport{Model: name, Counts: c.Counts, Latency: latencyOf(&c.took, &c.first)}
		if c.speaking > 0 {
			m.OutputPerSecond = float64(c.spoken) / (float64(c.speaking) / 1000)
		}
		r.Models = append(r.Models, m)
	}
	slices.SortFunc(r.Models, func(a, b ModelReport) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Model, b.Model))
	})
	for what, f := range s.failures {
		r.Failures = append(r.Failures, Failure{what.code, what.reason, f.count, f.retried, f.client, f.failed, f.keys.count()})
	}
	slices.SortFunc(r.Failures, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Reason, b.Reason))
	})
	return r
}

// Totals are the sums since a moment. The maps belong to the caller; each adds up
// to Counts, less the records that had no such name. ByKey has attempts that failed
// on their way to another key as well.
type Totals struct {
	Since     time.Time         `json:"since,omitzero"` // what the sums really begin with; zero = the beginning
	Counts                      // of all
	ByOutcome map[string]Counts `json:"by_outcome"`
	ByModel   map[string]Counts `json:"by_model"`
	ByKey     map[string]Counts `json:"by_key"`
	ByUser    map[string]Counts `json:"by_user"`
	// Dropped is how many records this process lost: none.
	Dropped int64 `json:"dropped"`
}

// Totals returns [Ledger.Sums] of a time whose sums are all in memory: since the
// beginning, or within the last day.
func (l *Ledger) Totals(since time.Time) Totals {
	t, _ := l.Sums(since) // only what is in the store can be unreadable
	return t
}

// Sums returns the sums since a moment, what was added a moment ago included.
// The zero time means since the beginning. Within the last hour they begin with
// the minute of since, within the last day with its hour, and before that with its
// UTC day; Since tells. What goes back more than 30 days is cut to that.
func (l *Ledger) Sums(since time.Time) (Totals, error) {
	sum, t := newSpan(), Totals{}
	l.mu.Lock()
	l.refresh()
	var parts []part
	if since.IsZero() {
		for _, s := range [...]*span{l.sum, l.hour, l.current} {
			sum.merge(s)
		}
	} else {
		first, coarse := l.since(since)
		t.Since = time.Unix(first*60, 0).UTC()
		parts = l.parts(first, l.minute+1, coarse)
		if len(parts) > 0 && parts[len(parts)-1].span != nil {
			sum.merge(l.current)
			parts = parts[:len(parts)-1]
		}
	}
	l.mu.Unlock()
	for _, p := range parts {
		if err := sum.mergeFrom(p.data); err != nil {
			return t, err
		}
	}
	t.Counts, t.ByOutcome, t.ByModel = sum.all.Counts, map[string]Counts{}, map[string]Counts{}
	for name, n := range sum.outcomes {
		t.ByOutcome[name] = *n
	}
	for name, c := range sum.models {
		t.ByModel[name] = c.Counts
	}
	var err error
	if t.ByKey, err = l.Names(ByKey, since); err == nil {
		t.ByUser, err = l.Names(ByUser, since)
	}
	return t, err
}

// since cuts a moment to the minute, the hour or the day that sums by name begin
// with. coarse is the tier to read. The caller holds mu.
func (l *Ledger) since(at time.Time) (first int64, coarse int) {
	first = max(at.Unix()/60, l.minute-tiers[hours].kept*60)
	switch {
	case first > l.minute-recentKept:
		return first, minutes
	case first/60 > l.minute/60-dayHours:
		return first - first%60, hours
	}
	return first - first%1440, days
}
