// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// resting makes a share of the keys rest for the model at random, but never the
// last.
func resting(b *testing.B, p *Pool, share float64) {
	b.Helper()
	p.lock()
	defer p.unlock()
	m := p.modelOf(flash, true)
	now := time.Now()
	for i, s := 0, *p.slots.Load(); i < p.used; i++ {
		if rand.Float64() < share && i < p.used-1 {
			r := &rest{scope: ScopeProjectModel, project: s[i].Load().live.Load().project, model: m, kind: Cooling}
			p.extend(r, now.Add(time.Hour), now)
		}
	}
}

func BenchmarkLease(b *testing.B) {
	for _, n := range []int{10, 1_000, 100_000} {
		for _, share := range []float64{0, .9, 1} {
			name := fmt.Sprintf("keys=%d/resting=%.0f%%", n, share*100)
			if share == 1 {
				name = fmt.Sprintf("keys=%d/resting=all-but-1", n)
			}
			b.Run(name, func(b *testing.B) {
				p := open(b, nil, n)
				add(b, p, NewKey{Secret: "always-ready"})
				resting(b, p, share)
				b.Run("serial", func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						lease(b, p, Want{}).Done(ok)
					}
				})
				b.Run("parallel16", func(b *testing.B) {
					b.ReportAllocs()
					b.SetParallelism(max(1, 16/runtime.GOMAXPROCS(0)))
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							lease(b, p, Want{}).Done(ok)
						}
					})
				})
			})
		}
	}
}

// BenchmarkPickP99 measures single picks, where BenchmarkLease tells the mean.
// "floor" is what the clock and the scheduler cost on the machine by themselves.
func BenchmarkPickP99(b *testing.B) {
	p := open(b, nil, 100_000)
	resting(b, p, .9)
	small := open(b, nil, 10)
	for _, c := range []struct {
		name string
		p    *Pool
	}{{"floor", nil}, {"keys=10/ready", small}, {"keys=100000/resting=90%", p}} {
		b.Run(c.name, func(b *testing.B) {
			var mu sync.Mutex
			var all []time.Duration
			b.SetParallelism(max(1, 16/runtime.GOMAXPROCS(0)))
			b.RunParallel(func(pb *testing.PB) {
				mine := make([]time.Duration, 0, 1<<20)
				for pb.Next() {
					start := time.Now()
					if c.p == nil {
						mine = append(mine, time.Since(start))
						continue
					}
					l, err := c.p.Lease(context.Background(), Want{Model: flash})
					mine = append(mine, time.Since(start))
					if err != nil {
						b.Error(err)
						return
					}
					l.Done(ok)
				}
				mu.Lock()
				defer mu.Unlock()
				all = append(all, mine...)
			})
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)*99/100]), "p99-ns")
			b.ReportMetric(float64(all[len(all)/2]), "p50-ns")
		})
	}
}

func BenchmarkRefused(b *testing.B) {
	for _, n := range []int{10, 1_000, 100_000} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			p := open(b, nil, n)
			resting(b, p, 1)
			lease(b, p, Want{}).Done(minuteFull)
			b.ReportAllocs()
			for b.Loop() {
				refused(b, p, Want{})
			}
		})
	}
}

func BenchmarkBlame(b *testing.B) {
	p := open(b, nil, 100_000)
	for b.Loop() {
		l, err := p.Lease(context.Background(), Want{Model: flash})
		if err != nil {
			b.StopTimer()
			p = open(b, nil, 100_000)
			b.StartTimer()
			continue
		}
		l.Done(minuteFull)
	}
}

func BenchmarkIdleKey(b *testing.B) {
	const n = 100_000
	before := heapInUse()
	p := open(b, nil, n)
	p.store = nil // only the pool counts
	after := heapInUse()
	for b.Loop() {
		p.Stats()
	}
	b.ReportMetric(float64(after-before)/n, "B/key")
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkList(b *testing.B) {
	p := open(b, nil, 100_000)
	for _, c := range []struct {
		name string
		q    Query
	}{
		{"first page", Query{}},
		{"last page", Query{Offset: 99_900}},
		{"search", Query{Search: "gk_abc"}},
		{"sorted by name", Query{Sort: "name"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				p.List(c.q)
			}
		})
	}
	resting(b, p, .9)
	b.Run("rests", func(b *testing.B) {
		for b.Loop() {
			p.Rests(100)
		}
	})
	b.Run("stats", func(b *testing.B) {
		for b.Loop() {
			p.Stats()
		}
	})
}
