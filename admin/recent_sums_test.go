// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"fmt"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// TestRecentSums: few sums are made anew each time; many are kept for a moment, of one
// span at a time.
func TestRecentSums(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	l, err := usage.Open(memory.New(), usage.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	var r recentSums
	request := func(user string) {
		l.Add(usage.Record{At: now, RequestID: "req_1", UserID: user, Status: 200, Outcome: "ok", Attempts: 1})
	}
	check := func(what string, span time.Duration, want int64) {
		t.Helper()
		sums, _, err := r.of(l, usage.ByUser, span, now)
		if got := sums["u"].Requests; err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", what, got, err, want)
		}
	}
	request("u")
	check("few", time.Hour, 1)
	request("u")
	check("few, at once", time.Hour, 2)
	for i := range keptSumsFrom {
		request(fmt.Sprint("user ", i))
	}
	check("many", time.Hour, 2)
	request("u")
	check("many, at once", time.Hour, 2)
	check("another span", 6*time.Hour, 3)
	request("u")
	check("the span from before", time.Hour, 4)
	request("u")
	now = now.Add(keptSumsFor)
	check("later", time.Hour, 5)
}
