// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// chartWindows are the spans of charts and the length of their buckets; whole ones,
// so that none has more than 400. Source: specs/ui.md §3.3.
var chartWindows = map[string]struct{ span, step time.Duration }{
	"1h":  {time.Hour, time.Minute},
	"6h":  {6 * time.Hour, 2 * time.Minute},
	"24h": {24 * time.Hour, 5 * time.Minute},
	"7d":  {7 * 24 * time.Hour, time.Hour},
	"30d": {30 * 24 * time.Hour, 3 * time.Hour},
	"1y":  {365 * 24 * time.Hour, 24 * time.Hour},
}

// window reads the parameter of that name; absent means an hour.
func (q *queryReader) window(names ...string) (name string) {
	if name = q.word("window", names); name == "" {
		name = "1h"
	}
	return name
}

var overviewWindows = []string{"1h", "6h", "24h", "7d"}

// series are columns of equal length, oldest first. Latencies are null where there
// is none, and in series of a user key or a Gemini key, which have none.
type series struct {
	Window      string      `json:"window"`
	T           []time.Time `json:"t"`
	Step        int64       `json:"step_ms"`
	Open        bool        `json:"open"` // the last bucket is not over
	OK          []int64     `json:"ok"`
	Retried     []int64     `json:"retried"`
	ClientError []int64     `json:"client_error"`
	Failed      []int64     `json:"failed"`
	P50         []*int64    `json:"p50_ms"`
	P95         []*int64    `json:"p95_ms"`
	First50     []*int64    `json:"ttft_p50_ms"`
	TokensIn    []int64     `json:"tokens_in"`
	TokensOut   []int64     `json:"tokens_out"`
	Cost        []int64     `json:"cost_nano"`
	Unpriced    []int64     `json:"unpriced"`
}

// metrics are what the parameter metric may ask for: the columns beside t.
var metrics = []string{"requests", "latency", "tokens", "cost"}

func (a *api) statsSeries(c *call) (status int, body any, err error) {
	q := queryReader{call: c}
	window := q.window(slices.Sorted(maps.Keys(chartWindows))...)
	q.word("metric", metrics) // all columns come anyway: they cost nothing
	query := usage.Query{Model: q.text("model"), User: q.text("user"), Key: q.text("key")}
	if query.Key != "" && (query.User != "" || query.Model != "") {
		q.fault("key", "goes with neither user nor model: there are no sums of both")
	}
	if err := q.err(); err != nil {
		return 0, nil, err
	}
	w := chartWindows[window]
	s, err := a.Usage.Series(query, a.Now().Add(-w.span+w.step), w.step)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, viewSeries(window, s), nil
}

func viewSeries(window string, s usage.Series) series {
	v := series{
		Window: window, Step: s.Step.Milliseconds(), Open: s.Open,
		T: []time.Time{}, OK: []int64{}, Retried: []int64{}, ClientError: []int64{}, Failed: []int64{}, P50: []*int64{}, P95: []*int64{},
		First50: []*int64{}, TokensIn: []int64{}, TokensOut: []int64{}, Cost: []int64{}, Unpriced: []int64{},
	}
	for i := range s.Points {
		p := &s.Points[i]
		v.T = append(v.T, s.Start.Add(time.Duration(i)*s.Step))
		v.OK, v.Retried = append(v.OK, p.OK()), append(v.Retried, p.Retried)
		v.ClientError, v.Failed = append(v.ClientError, p.ClientErrors), append(v.Failed, p.Broken)
		l := viewLatency(p.Latency)
		v.P50, v.P95, v.First50 = append(v.P50, l.P50), append(v.P95, l.P95), append(v.First50, l.First50)
		v.TokensIn, v.TokensOut = append(v.TokensIn, p.Input+p.ToolUse), append(v.TokensOut, p.Output+p.Thoughts)
		v.Cost, v.Unpriced = append(v.Cost, p.Cost), append(v.Unpriced, p.Unpriced)
	}
	return v
}

// latencyView is [usage.Latency] in milliseconds; null for none.
type latencyView struct {
	P50     *int64 `json:"p50_ms"`
	P95     *int64 `json:"p95_ms"`
	First50 *int64 `json:"ttft_p50_ms"`
}

func viewLatency(l usage.Latency) (v latencyView) {
	ms := func(d time.Duration) *int64 {
		n := d.Milliseconds()
		return &n
	}
	if l.Timed {
		v.P50, v.P95 = ms(l.P50), ms(l.P95)
	}
	if l.FirstTimed {
		v.First50 = ms(l.First50)
	}
	return v
}

// successOf is the share of the requests that were answered; null for none.
func successOf(c *usage.Counts) *float64 {
	if share, known := c.Success(); known {
		return &share
	}
	return nil
}

// costOf is what requests cost; null where nobody knows the price of any.
func costOf(c *usage.Counts) *int64 {
	if c.Cost == 0 && c.Unpriced > 0 {
		return nil
	}
	return &c.Cost
}
