// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"math"
	"net/http"
	"slices"
	"sort"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

// charges are what one (project, model) has been charged, in order.
type charges struct {
	limits fakegemini.Limits
	at     []time.Time
	tokens []int64
}

// truth compares each Retry-After with the time that was true when it was said:
// when the first project would have had room for the request if nobody else
// asked.
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
	entries := slices.Clone(b.Entries)
	slices.SortStableFunc(entries, func(x, y fakegemini.Entry) int { return x.Decided.Compare(y.Decided) })
	for i := range entries {
		e := &entries[i]
		if c := byProject[projectModel{e.Project, e.Model}]; e.Charged && c != nil {
			c.at, c.tokens = append(c.at, e.Decided), append(c.tokens, e.Tokens)
		}
	}
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
		first := time.Duration(math.MaxInt64)
		for _, c := range byModel[v.Model] {
			first = min(first, c.room(now, v.Tokens, s.Aligned).Sub(now))
		}
		off = append(off, math.Abs((v.RetryAfter - first).Seconds()))
	}
	f.After50, f.After95 = quantile(off, .5), quantile(off, .95)
}

// room is the first time from now on at which a request fits.
func (c *charges) room(now time.Time, tokens int64, aligned bool) time.Time {
	end := sort.Search(len(c.at), func(i int) bool { return c.at[i].After(now) })
	if day := fakegemini.NextMidnight(now); c.limits.RPD > 0 && c.since(end, day) >= c.limits.RPD {
		return day
	}
	start := end
	var requests, used int64
	inWindow := func(t time.Time) bool {
		if aligned {
			return !t.Before(now.Truncate(minute))
		}
		return t.After(now.Add(-minute))
	}
	for start > 0 && inWindow(c.at[start-1]) {
		start--
		requests++
		used += c.tokens[start]
	}
	free := now
	for i := start; i < end; i++ {
		if (c.limits.RPM == 0 || requests < c.limits.RPM) && (c.limits.TPM == 0 || used+tokens <= c.limits.TPM) {
			break
		}
		requests--
		used -= c.tokens[i]
		free = c.at[i].Add(minute)
		if aligned {
			return now.Truncate(minute).Add(minute)
		}
	}
	return free
}

// since counts the charges before index end on the day that ends at day.
func (c *charges) since(end int, day time.Time) (n int64) {
	for end > 0 && fakegemini.NextMidnight(c.at[end-1]).Equal(day) {
		end--
		n++
	}
	return n
}
