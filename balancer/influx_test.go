// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Those who waited for the end of trouble at Google are served twice as fast as they
// came; after the end of a minute whose quota was used up, as fast as the ramp rises.
func TestInflux(t *testing.T) {
	throttled := Outcome{Verdict: Throttled, Blame: ScopeProjectModel, Rest: 9 * time.Second}
	full := minuteFull
	full.Rest = 9 * time.Second
	for name, tc := range map[string]struct {
		outcome     Outcome
		least, most int // served in the first second
	}{
		"trouble": {throttled, 36, 44},
		"quota":   {full, 180, 200},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const perSecond = 20
				p := open(t, nil, 3)
				for range 3 {
					lease(t, p, Want{}).Done(tc.outcome)
				}
				back := time.Now().Add(tc.outcome.Rest)
				served := make(chan time.Duration, 21*perSecond)
				var all sync.WaitGroup
				for time.Since(back) < 11*time.Second {
					all.Go(func() {
						l, err := p.Lease(t.Context(), Want{Model: flash, Wait: 10 * time.Second})
						if err != nil {
							t.Error(err)
							return
						}
						served <- time.Since(back)
						l.Done(ok)
					})
					time.Sleep(time.Second / perSecond) // the pace of the load
				}
				all.Wait()
				close(served)
				first := 0
				for at := range served {
					if at < time.Second {
						first++
					}
				}
				if first < tc.least || first > tc.most {
					t.Errorf("%d were served in the first second, want %d to %d", first, tc.least, tc.most)
				}
				if p.lane(flash, nil, false).troubled.Load() {
					t.Error("nobody waits and all is well, but Google still counts as troubled")
				}
			})
		})
	}
}
