// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"net/http"
	"slices"
	"sort"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

// charges are what one (project, model) has been charged, in the order of sending.
type charges struct {
	limits fakegemini.Limits
	sent   []time.Time // what is on its way has taken its place
	at     []time.Time
	tokens []int64
}

// truth compares each Retry-After with what was true when it was said. Two times
// are: when the first project has room for the request if nobody else asks, and
// when one has after all who wait in the gateway had their turn. Whatever lies
// between them is true, too.
func (s *Scenario) truth(b *Books, f *Figures) {
	byModel := map[string][]*charges{}
	byProject := map[projectModel]*charges{}
	for i := range s.Projects {
		for _, model := range []string{modelA, modelB} {
			if l, ok := s.Projects[i].limits(model); ok {
				c := &charges{limits: l}
				byProject[projectModel{projectName(i), model}] = c
				byModel[model] = append(byModel[model], c)
			}
		}
	}
	for i := range b.Entries {
		e := &b.Entries[i]
		if c := byProject[projectModel{e.Project, e.Model}]; e.Charged && c != nil {
			c.sent, c.at, c.tokens = append(c.sent, e.At), append(c.at, e.Decided), append(c.tokens, e.Tokens)
		}
	}
	waits := b.waiting()
	var off []float64
	for i := range b.Samples {
		v := &b.Samples[i]
		if v.Status != http.StatusTooManyRequests {
			continue
		}
		if v.RetryAfter < 0 {
			f.Unannounce++
			continue
		}
		now := b.Start.Add(v.Ended)
		first, turn := rooms(byModel[v.Model], now, v.Tokens, waits(v), s.Aligned)
		said := now.Add(v.RetryAfter)
		off = append(off, max(first.Sub(said), said.Sub(turn), 0).Seconds())
	}
	f.After50, f.After95 = quantile(off, .5), quantile(off, .95)
}

// waiting returns how many requests to the same model waited in the gateway when
// a request ended.
func (b *Books) waiting() func(v *Sample) int {
	sent := b.sent()
	type span struct{ from, until time.Duration }
	byModel := map[string][]span{}
	for i := range b.Samples {
		v := &b.Samples[i]
		until := v.Ended
		if at, ok := sent[id(v.N)]; ok {
			until = at.Sub(b.Start)
		}
		if until > v.At {
			byModel[v.Model] = append(byModel[v.Model], span{v.At, until})
		}
	}
	return func(v *Sample) (n int) {
		for _, w := range byModel[v.Model] {
			if w.from <= v.Ended && w.until > v.Ended {
				n++
			}
		}
		return n
	}
}

// rooms returns when the first project has room for a request, and when it has
// after so many others that wait had theirs.
func rooms(list []*charges, now time.Time, tokens int64, others int, aligned bool) (first, turn time.Time) {
	var all []time.Time
	for _, c := range list {
		all = append(all, c.rooms(now, tokens, others+1, aligned)...)
	}
	if len(all) == 0 {
		return now, now
	}
	slices.SortFunc(all, time.Time.Compare)
	return all[0], all[min(others, len(all)-1)]
}

// rooms are the first n times from now on at which a request fits, one after
// another. For what never fits there are none.
func (c *charges) rooms(now time.Time, tokens int64, n int, aligned bool) (out []time.Time) {
	end := sort.Search(len(c.sent), func(i int) bool { return c.sent[i].After(now) })
	midnight := fakegemini.NextMidnight(now)
	today := c.since(end, midnight)
	leaves := func(at time.Time) time.Time {
		if aligned {
			return at.Truncate(minute).Add(minute)
		}
		return at.Add(minute)
	}
	var window []spend // what has not left it yet
	var used int64
	for end > 0 && !c.sent[end-1].Before(now.Add(-2*minute)) {
		end--
		if at := leaves(c.at[end]); at.After(now) {
			window = append(window, spend{at, c.tokens[end]})
			used += c.tokens[end]
		}
	}
	slices.SortFunc(window, func(a, b spend) int { return a.leaves.Compare(b.leaves) })
	for l := c.limits; len(out) < n; {
		switch {
		case l.RPD > 0 && today >= l.RPD:
			return append(out, midnight)
		case (l.RPM == 0 || int64(len(window)) < l.RPM) && (l.TPM == 0 || used+tokens <= l.TPM):
			out = append(out, now)
			window = append(window, spend{leaves(now), tokens})
			used += tokens
			today++
		case len(window) == 0:
			return out
		default:
			now = window[0].leaves
			used -= window[0].tokens
			window = window[1:]
		}
	}
	return out
}

// spend is a charge in a window.
type spend struct {
	leaves time.Time
	tokens int64
}

// since counts the charges before index end on the day that ends at day.
func (c *charges) since(end int, day time.Time) (n int64) {
	for end > 0 && fakegemini.NextMidnight(c.at[end-1]).Equal(day) {
		end--
		n++
	}
	return n
}
