// SPDX-License-Identifier: Apache-2.0

package admin

import "github.com/gemini-balance/caddy-gemini-balance/balancer"

// keyDay is what the last 24 hours brought of a key.
type keyDay struct {
	Requests int64     `json:"requests_24h"`
	Errors   int64     `json:"errors_24h"`
	Tokens   int64     `json:"tokens_24h"`
	Cost     int64     `json:"cost_24h_nano"` // of what has a price
	Hours    [24]int64 `json:"hours"`         // requests, the oldest first; the last hour is not over
}

// keyDays is what the last 24 hours brought of keys, by id.
func (a *api) keyDays([]balancer.View) map[string]keyDay { return nil }

// keyMeasure is what sorting by the last 24 hours compares; nil for another order.
func (a *api) keyMeasure(sort string) func(id string) int64 {
	switch sort {
	case "requests_24h", "errors_24h", "tokens_24h", "cost_24h":
		return func(string) int64 { return 0 }
	}
	return nil
}
