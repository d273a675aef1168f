// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// BenchmarkOpen opens a pool of 100,000 keys with the books of all of them.
func BenchmarkOpen(b *testing.B) {
	s := memory.New()
	p := open(b, s, 100_000)
	for range 100_000 {
		lease(b, p, Want{Tokens: 10}).Done(refusal429(perMinuteID, 10, 30*time.Second))
	}
	began := time.Now()
	if err := p.Flush(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(time.Since(began).Milliseconds()), "flush-ms")
	for b.Loop() {
		open(b, s, 0)
	}
}

// BenchmarkUsedKey is what a key takes that was used for one model: books and all.
func BenchmarkUsedKey(b *testing.B) {
	const n = 100_000
	p := open(b, nil, n)
	before := heapInUse()
	for range n {
		lease(b, p, Want{Tokens: 10}).Done(ok)
	}
	p.touched = nil
	after := heapInUse()
	for b.Loop() {
		p.Stats()
	}
	b.ReportMetric(float64(after-before)/n, "B/key")
}

// BenchmarkQueue is one attempt that is refused while so many requests wait, in a
// pool where all is full.
func BenchmarkQueue(b *testing.B) {
	for _, keys := range []int{10, 1000, 100_000} {
		for _, waiting := range []int{0, 100, 1000} {
			b.Run(fmt.Sprintf("keys=%d/waiting=%d", keys, waiting), func(b *testing.B) {
				p := open(b, nil, keys)
				spare := add(b, p, NewKey{Secret: "spare", Project: "spare", Tags: []string{"spare"}})[0]
				if err := p.SetLimits([]LimitRule{{Model: "*", Project: "spare", RPM: 1e9}, {Model: "*", RPM: 1}}); err != nil {
					b.Fatal(err)
				}
				bound := &Binding{KeyID: spare, Project: "spare"}
				for range keys {
					if l, err := p.Lease(b.Context(), Want{Model: flash}); err == nil {
						l.Done(ok)
					}
				}
				if err := p.SetState(b.Context(), spare, StateDisabled, ""); err != nil {
					b.Fatal(err)
				}
				ctx, cancel := context.WithCancel(b.Context())
				var wg sync.WaitGroup
				for range waiting {
					wg.Go(func() { _, _ = p.Lease(ctx, Want{Model: flash, Tried: new(Tried), Wait: time.Hour}) })
				}
				for p.Stats().Waiting < waiting {
					time.Sleep(time.Millisecond)
				}
				if err := p.SetState(b.Context(), spare, StateActive, ""); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					l, err := p.Lease(ctx, Want{Model: "other", Bound: bound})
					if err != nil {
						b.Fatal(err)
					}
					l.Done(Outcome{Verdict: BadSignature, Consumer: "x", Status: 400})
				}
				b.StopTimer()
				cancel()
				wg.Wait()
			})
		}
	}
}

// BenchmarkServe looks through the queue once, where every key has room and none
// has enough of it for those who wait.
func BenchmarkServe(b *testing.B) {
	for _, keys := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			p := open(b, nil, keys)
			if err := p.SetLimits([]LimitRule{{Model: "*", TPM: 1000}}); err != nil {
				b.Fatal(err)
			}
			for range keys {
				lease(b, p, Want{Tokens: 600}).Done(ok)
			}
			ctx, cancel := context.WithCancel(b.Context())
			var wg sync.WaitGroup
			for range 1000 {
				wg.Go(func() { _, _ = p.Lease(ctx, Want{Model: flash, Tokens: 600, Tried: new(Tried), Wait: time.Hour}) })
			}
			for p.Stats().Waiting < 1000 {
				time.Sleep(time.Millisecond)
			}
			b.ReportAllocs()
			for b.Loop() {
				p.lock()
				p.serve(time.Now())
				p.unlock()
			}
			cancel()
			wg.Wait()
		})
	}
}
