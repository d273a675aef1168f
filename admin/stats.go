// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// windows are the spans of GET /admin/stats; "all" is since the first request ever.
var windows = map[string]time.Duration{
	"1h": time.Hour, "6h": 6 * time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour, "all": 0,
}

// maxStatsNames bounds each map of GET /admin/stats; the rest is in [usage.Other].
const maxStatsNames = 5000

// counts are [usage.Counts] for clients. Retried, ClientErrors and Failed are classes,
// which no request is in two of.
type counts struct {
	Requests int64 `json:"requests"`
	Failed   int64 `json:"failed"`
	Attempts int64 `json:"attempts"`
	Input    int64 `json:"input"`
	Cached   int64 `json:"cached"`
	Output   int64 `json:"output"`
	Thoughts int64 `json:"thoughts"`
	ToolUse  int64 `json:"tool_use"`
	Cost     int64 `json:"cost_nano"`
	Unpriced int64 `json:"unpriced"`
	Errors   int64 `json:"errors"`

	Retried      int64 `json:"retried"`
	ClientErrors int64 `json:"client_errors"`
}

func viewCounts(c *usage.Counts) counts {
	return counts{
		Requests: c.Requests, Failed: c.Broken, Attempts: c.Attempts, Input: c.Input, Cached: c.Cached, Output: c.Output,
		Thoughts: c.Thoughts, ToolUse: c.ToolUse, Cost: c.Cost, Unpriced: c.Unpriced, Errors: c.Errors,
		Retried: c.Retried, ClientErrors: c.ClientErrors,
	}
}

// statsView is [usage.Totals] for clients. Since is what the sums really begin
// with: the minute of a window of 1h, the hour of longer ones, the UTC day of 7d,
// absent for "all".
type statsView struct {
	Window string    `json:"window"`
	Since  time.Time `json:"since,omitzero"`
	counts
	ByOutcome map[string]counts `json:"by_outcome"`
	ByModel   map[string]counts `json:"by_model"`
	ByKey     map[string]counts `json:"by_key"`
	ByUser    map[string]counts `json:"by_user"`
	Dropped   int64             `json:"dropped"`
	// Forecast has what is left now, by model: of today and of this minute.
	Forecast []balancer.Forecast `json:"forecast"`
}

func (a *api) stats(c *call) (status int, body any, err error) {
	q := queryReader{call: c}
	window := q.word("window", slices.Sorted(maps.Keys(windows)))
	if err := q.err(); err != nil {
		return 0, nil, err
	}
	window = cmp.Or(window, "all")
	var since time.Time
	if span := windows[window]; span > 0 {
		since = a.Now().Add(-span)
	}
	t, err := a.Usage.Sums(since)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, statsView{
		Window: window, Since: t.Since, counts: viewCounts(&t.Counts), Dropped: t.Dropped,
		ByOutcome: countsOf(t.ByOutcome), ByModel: countsOf(t.ByModel),
		ByKey: countsOf(t.ByKey), ByUser: countsOf(t.ByUser),
		Forecast: a.Pool.Forecasts(),
	}, nil
}

// countsOf are the sums with the most requests, and all others together.
func countsOf(sums map[string]usage.Counts) map[string]counts {
	view := make(map[string]counts, min(len(sums), maxStatsNames+1))
	var others usage.Counts
	for _, name := range rank(sums, func(c *usage.Counts) int64 { return c.Requests }, maxStatsNames) {
		if name != usage.Other {
			c := sums[name]
			view[name] = viewCounts(&c)
		}
	}
	for name, c := range sums {
		if _, shown := view[name]; !shown {
			others.Add(c)
		}
	}
	if others.Requests > 0 || others.Attempts > 0 {
		view[usage.Other] = viewCounts(&others)
	}
	return view
}

// rank returns the names with the most, in order.
func rank(sums map[string]usage.Counts, by func(*usage.Counts) int64, limit int) []string {
	type ranked struct {
		name  string
		value int64
	}
	order := func(a, b ranked) int {
		return cmp.Or(cmp.Compare(b.value, a.value), cmp.Compare(a.name, b.name))
	}
	var best []ranked
	var least int64 // of those that are sure to be among the best, once there are enough
	full := false
	for name, c := range sums {
		value := by(&c)
		if full && value < least {
			continue
		}
		if best = append(best, ranked{name, value}); len(best) >= 4*limit {
			slices.SortFunc(best, order)
			best, full = best[:limit], true
			least = best[limit-1].value
		}
	}
	slices.SortFunc(best, order)
	names := make([]string, min(limit, len(best)))
	for i := range names {
		names[i] = best[i].name
	}
	return names
}
