// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"testing"
	"time"
)

func TestPacificMidnight(t *testing.T) {
	for _, c := range []struct{ name, now, want string }{
		{"winter", "2026-01-15T12:00:00Z", "2026-01-16T08:00:00Z"},
		{"summer", "2026-07-15T12:00:00Z", "2026-07-16T07:00:00Z"},
		{"just before", "2026-07-15T06:59:59Z", "2026-07-15T07:00:00Z"},
		{"at midnight", "2026-07-15T07:00:00Z", "2026-07-16T07:00:00Z"},
		{"day of spring forward, before", "2026-03-08T09:00:00Z", "2026-03-09T07:00:00Z"}, // 01:00 PST, a day of 23 h
		{"day of spring forward, after", "2026-03-08T11:00:00Z", "2026-03-09T07:00:00Z"},
		{"eve of spring forward", "2026-03-08T07:59:00Z", "2026-03-08T08:00:00Z"},
		{"day of fall back, before", "2026-11-01T08:30:00Z", "2026-11-02T08:00:00Z"}, // 01:30 PDT, a day of 25 h
		{"day of fall back, after", "2026-11-01T09:30:00Z", "2026-11-02T08:00:00Z"},  // 01:30 PST
		{"eve of fall back", "2026-11-01T06:00:00Z", "2026-11-01T07:00:00Z"},
		{"new year", "2027-01-01T07:59:59Z", "2027-01-01T08:00:00Z"},
		{"leap day", "2028-02-29T20:00:00Z", "2028-03-01T08:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			now, err := time.Parse(time.RFC3339, c.now)
			if err != nil {
				t.Fatal(err)
			}
			if got := pacificMidnight(now).UTC().Format(time.RFC3339); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
