// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// BenchmarkPick measures single picks with their ends, 16 callers at a time, each
// with four leases open. "floor" is what the clock and the scheduler cost on the
// machine by themselves. In "saturated" the limits are so low that most picks find
// everything full, and books fill and empty all the time.
func BenchmarkPick(b *testing.B) {
	b.Run("floor", func(b *testing.B) { picks(b, func() (*Lease, error) { return nil, nil }) })
	for _, n := range []int{10, 1_000, 100_000} {
		for _, strategy := range []string{"adaptive", "least_used", "round_robin"} {
			for _, limits := range []string{"unknown", "known", "saturated"} {
				b.Run(fmt.Sprintf("keys=%d/%s/%s", n, strategy, limits), func(b *testing.B) {
					p, err := Open(Options{Store: memory.New(), Sealer: sealer(b), Strategy: strategy})
					if err != nil {
						b.Fatal(err)
					}
					add(b, p, newKeys(n)...)
					rule := LimitRule{Model: "*", RPM: 1e9, TPM: 1e12, RPD: 1e9}
					if limits == "saturated" {
						rule.RPM = int64(1_000_000/n + 1)
					}
					if limits != "unknown" {
						if err := p.SetLimits([]LimitRule{rule}); err != nil {
							b.Fatal(err)
						}
					}
					for range 2 * n { // no longer untested
						if l, err := p.Lease(b.Context(), Want{Model: flash, Tokens: 100}); err == nil {
							l.Done(Outcome{Input: 90, Tokens: 200})
						}
					}
					w := Want{Model: flash, Tokens: 100}
					picks(b, func() (*Lease, error) { return p.Lease(context.Background(), w) })
				})
			}
		}
	}
}

func picks(b *testing.B, lease func() (*Lease, error)) {
	var mu sync.Mutex
	var all, ends []time.Duration
	refusals := 0
	b.ReportAllocs()
	b.SetParallelism(max(1, 16/runtime.GOMAXPROCS(0)))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		mine, ended := make([]time.Duration, 0, 1<<16), make([]time.Duration, 0, 1<<16)
		var open [4]*Lease
		none := 0
		for i := 0; pb.Next(); i++ {
			start := time.Now()
			l, err := lease()
			mine = append(mine, time.Since(start))
			if err != nil {
				none++
			}
			old := open[i%len(open)]
			open[i%len(open)] = l
			if old != nil {
				start = time.Now()
				old.Done(Outcome{Input: 90, Tokens: 200})
				ended = append(ended, time.Since(start))
			}
		}
		for _, l := range open {
			if l != nil {
				l.Done(Outcome{})
			}
		}
		mu.Lock()
		defer mu.Unlock()
		all, ends, refusals = append(all, mine...), append(ends, ended...), refusals+none
	})
	b.StopTimer()
	slices.Sort(all)
	slices.Sort(ends)
	b.ReportMetric(float64(all[len(all)/2]), "p50-ns")
	b.ReportMetric(float64(all[len(all)*99/100]), "p99-ns")
	if len(ends) > 0 {
		b.ReportMetric(float64(ends[len(ends)*99/100]), "done-p99-ns")
	}
	b.ReportMetric(float64(refusals)/float64(len(all)), "refused")
}
