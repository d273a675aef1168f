// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"time"
	_ "time/tzdata" // so that Google's days are right on machines without zone files
)

// pacific is the zone of Google's quota days.
var pacific = func() *time.Location {
	l, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		panic(err) // the zone is embedded
	}
	return l
}()

// pacificMidnight returns the first Pacific midnight after t, when requests per
// day count anew: 07:00 or 08:00 UTC. Source: specs/openai.md §13.2.
func pacificMidnight(t time.Time) time.Time {
	y, m, d := t.In(pacific).Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, pacific)
}
