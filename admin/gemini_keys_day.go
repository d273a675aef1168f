// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// keyDay is what the last 24 hours brought of a key.
type keyDay struct {
	Requests int64     `json:"requests_24h"` // attempts with the key
	Errors   int64     `json:"errors_24h"`   // those that failed
	Tokens   int64     `json:"tokens_24h"`
	Cost     int64     `json:"cost_24h_nano"` // of what has a price
	Hours    [24]int64 `json:"hours"`         // requests, the oldest first; the last hour is not over
}

// keyDays is what the last 24 hours brought of keys, by id.
func (a *api) keyDays(keys []balancer.View) map[string]keyDay {
	days := make(map[string]keyDay, len(keys))
	for _, k := range keys {
		sums := a.Usage.Day(usage.ByKey, k.ID)
		day := keyDay{Requests: sums.Attempts, Errors: sums.Errors, Tokens: sums.Tokens(), Cost: sums.Cost}
		for i := range sums.Hours {
			day.Hours[i] = sums.Hours[i].Attempts
		}
		days[k.ID] = day
	}
	return days
}

// keySums are what the last 24 hours are sorted by.
var keySums = map[string]func(*usage.Counts) int64{
	"requests_24h": func(c *usage.Counts) int64 { return c.Attempts },
	"errors_24h":   func(c *usage.Counts) int64 { return c.Errors },
	"tokens_24h":   (*usage.Counts).Tokens,
	"cost_24h":     func(c *usage.Counts) int64 { return c.Cost },
}

// keyMeasure is what sorting by the last 24 hours compares; nil for another order.
func (a *api) keyMeasure(sort string) (measure func(id string) int64, err error) {
	sum := keySums[sort]
	if sum == nil {
		return nil, nil
	}
	all, _, err := a.sums.of(a.Usage, usage.ByKey, 24*time.Hour, a.Now())
	return func(id string) int64 {
		c := all[id]
		return sum(&c)
	}, err
}
