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

// BenchmarkPage measures pages of pools in which nine of ten keys rest, while 2
// callers lease keys. "pick-p99-ns" is what those see.
func BenchmarkPage(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		p := mixed(b, n)
		resting(b, p, .9)
		for _, c := range []struct {
			name string
			q    Query
		}{
			{"first", Query{}},
			{"middle", Query{Offset: n / 2}},
			{"status", Query{Status: StatusCooling, Sort: "last_used", Order: "desc"}},
			{"search", Query{Search: "key 77"}},
			{"search for nothing", Query{Search: "zzzz"}},
			{"by name", Query{Sort: "name"}},
			{"by weight, middle", Query{Sort: "weight", Order: "desc", Offset: n / 2}},
			{"by status", Query{Sort: "status"}},
		} {
			b.Run(fmt.Sprintf("keys=%d/%s", n, c.name), func(b *testing.B) { pages(b, p, c.q) })
		}
	}
}

func pages(b *testing.B, p *Pool, q Query) {
	done := make(chan struct{})
	var traffic sync.WaitGroup
	var mu sync.Mutex
	var all []time.Duration
	for range 2 {
		traffic.Go(func() {
			var mine []time.Duration
			for i := 0; ; i++ {
				select {
				case <-done:
					mu.Lock()
					all = append(all, mine...)
					mu.Unlock()
					return
				default:
				}
				start := time.Now()
				l, err := p.Lease(context.Background(), Want{Model: flash})
				mine = append(mine, time.Since(start))
				if err != nil {
					continue
				}
				if l.Done(ok); i%1000 == 0 {
					_ = p.SetState(context.Background(), l.KeyID(), StateActive, "") // so that the table is of no use any more
				}
				if i%10 == 0 {
					time.Sleep(100 * time.Microsecond) // the machine has more to do than this
				}
			}
		})
	}
	for b.Loop() {
		p.Page(q)
	}
	close(done)
	traffic.Wait()
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)*99/100]), "pick-p99-ns")
}
