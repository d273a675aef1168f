// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// TestForecasts_Meanwhile: where making forecasts takes long, who asks gets the last ones
// and has others made; but not those of long ago.
func TestForecasts_Meanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := time.Now()
		var asked, later atomic.Int64 // each look at the clock takes as long as a look at many keys
		now := func() time.Time { return base.Add(time.Duration(asked.Add(1)*30+later.Load()) * time.Millisecond) }
		p, err := Open(Options{Store: memory.New(), Sealer: sealer(t), Now: now})
		if err != nil {
			t.Fatal(err)
		}
		add(t, p, newKeys(1)...)
		models := func(want int, what string) {
			t.Helper()
			if got := len(p.Forecasts()); got != want {
				t.Errorf("%s: %d models, want %d", what, got, want)
			}
			synctest.Wait()
		}
		lease(t, p, Want{Model: "a"}).Done(ok)
		models(1, "at first")
		lease(t, p, Want{Model: "b"}).Done(ok)
		models(1, "at once")
		later.Add(9_000)
		models(1, "soon after")
		models(2, "after that")
		lease(t, p, Want{Model: "c"}).Done(ok)
		later.Add(60_000)
		models(3, "a minute later")
	})
}
