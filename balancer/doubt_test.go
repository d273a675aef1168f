// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"testing"
	"testing/synctest"
	"time"
)

// A refusal for the day that the books contradict is believed the second time.
func TestDoubtedDay(t *testing.T) {
	full := Outcome{
		Verdict: Exhausted, Blame: ScopeProjectModel, Retry: RetryOther, UntilMidnight: true, RetryAfter: 30 * time.Second,
		Limits: []Limit{{ID: "GenerateRequestsPerDayPerProjectPerModel-FreeTier", Value: 20}},
	}
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 1)
		rests := func(want time.Duration, why string) {
			t.Helper()
			u := refused(t, p, Want{})
			if u.RetryAfter != want {
				t.Errorf("%s: it rests %s; want %s", why, u.RetryAfter, want)
			}
		}
		midnight := func() time.Duration { return time.Until(pacificMidnight(time.Now())) }
		lease(t, p, Want{}).Done(ok)
		lease(t, p, Want{}).Done(full)
		rests(doubtedRest, "one request of twenty")
		time.Sleep(doubtedRest)
		lease(t, p, Want{}).Done(full)
		rests(midnight(), "the second refusal")

		time.Sleep(midnight())
		for range 18 {
			lease(t, p, Want{}).Done(ok)
			time.Sleep(time.Second)
		}
		lease(t, p, Want{}).Done(full)
		rests(midnight(), "eighteen requests of twenty")
	})
}
