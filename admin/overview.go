// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"net/http"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// nowStats are the figures of this moment: of the last 60 seconds, and of the pool.
// It is the event stats, too.
type nowStats struct {
	At             time.Time `json:"at"`
	RequestsPerMin int64     `json:"requests_per_min"`
	Success        *float64  `json:"success"`
	First50        *int64    `json:"ttft_p50_ms"`
	P95            *int64    `json:"p95_ms"`
	TokensPerMin   int64     `json:"tokens_per_min"`
	InFlight       int       `json:"in_flight"`
	Waiting        int       `json:"waiting"`
	Usable         int       `json:"usable"` // as in pool: in service and not resting
	Total          int       `json:"total"`
}

func (a *api) nowStats() nowStats {
	live, pool := a.Usage.Live(), a.Pool.Stats()
	statuses, _, _ := a.Pool.Counts()
	l := viewLatency(live.Latency)
	return nowStats{
		At: a.Now().UTC(), RequestsPerMin: live.Requests, Success: successOf(&live.Counts), First50: l.First50, P95: l.P95,
		TokensPerMin: live.Tokens(), InFlight: pool.InFlight, Waiting: pool.Waiting, Usable: usableOf(statuses), Total: pool.Keys,
	}
}

// figures are what happened in a window.
type figures struct {
	Requests       int64    `json:"requests"`
	RequestsPerMin float64  `json:"requests_per_min"`
	Success        *float64 `json:"success"`
	First50        *int64   `json:"ttft_p50_ms"`
	P95            *int64   `json:"p95_ms"`
	TokensPerMin   float64  `json:"tokens_per_min"`
	Cost           *int64   `json:"cost_nano"`
	Unpriced       int64    `json:"unpriced"`
	InFlight       *int     `json:"in_flight"` // now; null in before
}

func viewFigures(r *usage.Report, span time.Duration) figures {
	l := viewLatency(r.Latency)
	return figures{
		Requests: r.Requests, RequestsPerMin: float64(r.Requests) / span.Minutes(), Success: successOf(&r.Counts),
		First50: l.First50, P95: l.P95, TokensPerMin: float64(r.Tokens()) / span.Minutes(), Cost: costOf(&r.Counts), Unpriced: r.Unpriced,
	}
}

// poolFigures are what the pool is worth now. QuotaLimit is what its keys may do
// today as far as that is known; null where it is not at all.
type poolFigures struct {
	Total       int            `json:"total"`
	Usable      int            `json:"usable"` // now
	Attention   int            `json:"attention"`
	Status      map[string]int `json:"status"`
	QuotaUsed   int64          `json:"quota_used"`
	QuotaLimit  *int64         `json:"quota_limit"`
	QuotaResets *time.Time     `json:"quota_resets_at"`
}

// overviewModel is a line of the models' table.
type overviewModel struct {
	Model    string   `json:"model"`
	Requests int64    `json:"requests"`
	Success  *float64 `json:"success"`
	latencyView
	Tokens          int64    `json:"tokens"`
	Cost            *int64   `json:"cost_nano"`
	OutputPerSecond *float64 `json:"tokens_out_per_s"`
	LeftToday       *int64   `json:"left_today"`
	KeysUsable      *int     `json:"keys_usable"` // keys that can serve it now; null where no key's list has it
}

// overviewUser is a line of the busiest user keys.
type overviewUser struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Requests  int64    `json:"requests"`
	Tokens    int64    `json:"tokens"`
	Cost      *int64   `json:"cost_nano"`
	LimitUsed *float64 `json:"limit_used"` // of the fullest limit; null for no limits
}

type overviewView struct {
	Now    nowStats `json:"now"`
	Window struct {
		Name string    `json:"name"`
		From time.Time `json:"from"`
		To   time.Time `json:"to"`
	} `json:"window"`
	Figures figures         `json:"figures"`
	Before  figures         `json:"before"` // the same span before
	Pool    poolFigures     `json:"pool"`
	Errors  []topError      `json:"errors"`
	Models  []overviewModel `json:"models"`
	Users   []overviewUser  `json:"users"`
}

// Lines of the overview's tables. Source: specs/ui.md §3.3; the last two are ours.
const (
	overviewErrors = 6
	overviewModels = 20
	overviewUsers  = 10
)

func (a *api) overview(c *call) (status int, body any, err error) {
	q := queryReader{call: c}
	name := q.window(overviewWindows...)
	if err := q.err(); err != nil {
		return 0, nil, err
	}
	span, now := windows[name], a.Now()
	r, err := a.Usage.Report(now.Add(-span), time.Time{})
	if err != nil {
		return 0, nil, err
	}
	before, err := a.Usage.Report(now.Add(-2*span), r.From)
	if err != nil {
		return 0, nil, err
	}
	v := overviewView{Now: a.nowStats(), Figures: viewFigures(&r, now.Sub(r.From)), Before: viewFigures(&before, max(before.Until.Sub(before.From), time.Minute))}
	v.Figures.InFlight = &v.Now.InFlight
	v.Window.Name, v.Window.From, v.Window.To = name, r.From, now.UTC()
	forecasts := a.Pool.Forecasts()
	v.Pool = a.poolFigures(forecasts)
	v.Errors = viewFailures(r.Failures, overviewErrors)
	v.Models = overviewOfModels(r.Models, forecasts, a.Pool.Offering())
	if v.Users, err = a.overviewUsers(span); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, v, nil
}

func (a *api) poolFigures(forecasts []balancer.Forecast) poolFigures {
	page := a.Pool.Page(balancer.Query{Limit: 1})
	v := poolFigures{Total: page.All, Attention: page.Attention(), Status: map[string]int{}}
	for s, n := range page.Statuses {
		v.Status[string(s)] = n
	}
	v.Usable = usableOf(page.Statuses)
	known := true // a limit of some projects alone says nothing of the pool
	for i := range forecasts {
		f := &forecasts[i]
		v.QuotaResets = &f.Resets
		known = known && f.Day.Unknown == 0
		if f.Day.Left != nil {
			if v.QuotaLimit == nil {
				v.QuotaLimit = new(int64)
			}
			*v.QuotaLimit += *f.Day.Left // what is used comes on top
		}
	}
	v.QuotaUsed = a.usedToday(v.QuotaResets)
	if !known {
		v.QuotaLimit = nil
	} else if v.QuotaLimit != nil {
		*v.QuotaLimit += v.QuotaUsed
	}
	return v
}

// usableOf counts the keys that can serve now.
func usableOf(statuses map[balancer.Status]int) int {
	return statuses[balancer.StatusActive] + statuses[balancer.StatusUntested]
}

// usedToday counts the attempts of the Pacific day that ends then.
func (a *api) usedToday(resets *time.Time) int64 {
	if resets == nil {
		return 0
	}
	r, err := a.Usage.Report(resets.Add(-24*time.Hour), time.Time{})
	if err != nil {
		return 0
	}
	return r.Attempts
}

func overviewOfModels(models []usage.ModelReport, forecasts []balancer.Forecast, offering map[string]balancer.Offering) []overviewModel {
	left := map[string]*int64{}
	for i := range forecasts {
		left[forecasts[i].Model] = forecasts[i].Day.Left
	}
	out := []overviewModel{}
	for i := range models[:min(len(models), overviewModels)] {
		m := &models[i]
		v := overviewModel{
			Model: m.Model, Requests: m.Requests, Success: successOf(&m.Counts), latencyView: viewLatency(m.Latency),
			Tokens: m.Tokens(), Cost: costOf(&m.Counts), LeftToday: left[m.Model],
		}
		if m.OutputPerSecond > 0 {
			v.OutputPerSecond = &m.OutputPerSecond
		}
		if o, ok := offering[m.Model]; ok {
			v.KeysUsable = &o.Usable
		}
		out = append(out, v)
	}
	return out
}

func (a *api) overviewUsers(span time.Duration) ([]overviewUser, error) {
	items, _, _, err := a.topNames("user", span, overviewUsers)
	out := []overviewUser{}
	for _, t := range items {
		u := overviewUser{ID: t.ID, Name: t.Name, Requests: t.Requests, Tokens: t.Tokens, Cost: t.Cost}
		if v, err := a.Users.View(t.ID); err == nil {
			for _, l := range v.Windows {
				if used := float64(l.Max-l.Remaining) / float64(max(l.Max, 1)); u.LimitUsed == nil || used > *u.LimitUsed {
					u.LimitUsed = &used
				}
			}
		}
		out = append(out, u)
	}
	return out, err
}
