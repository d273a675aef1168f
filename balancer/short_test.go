// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// TestShort: that no key has room is remembered for a moment, and no longer than it
// is so.
func TestShort(t *testing.T) {
	for _, c := range []struct {
		name  string
		eases func(t *testing.T, p *Pool, open *Lease, now *time.Time)
		still bool
	}{
		{"nothing happens", func(*testing.T, *Pool, *Lease, *time.Time) {}, true},
		{"tokens come back", func(_ *testing.T, _ *Pool, open *Lease, _ *time.Time) { open.Done(Outcome{Input: 10, Tokens: 20}) }, false},
		{"too few come back", func(_ *testing.T, _ *Pool, open *Lease, _ *time.Time) { open.Done(Outcome{Input: 590, Tokens: 600}) }, true},
		{"a key comes", func(t *testing.T, p *Pool, _ *Lease, _ *time.Time) { add(t, p, NewKey{Secret: "new"}) }, false},
		{"time goes by", func(_ *testing.T, _ *Pool, _ *Lease, now *time.Time) { *now = now.Add(time.Second) }, false},
		{"a limit is raised", func(t *testing.T, p *Pool, _ *Lease, _ *time.Time) {
			if err := p.SetLimits([]LimitRule{{Model: "*", TPM: 5000}}); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"a rest ends", func(t *testing.T, p *Pool, _ *Lease, now *time.Time) {
			p.lock()
			p.endRests(now.Add(2*time.Minute), 1000)
			p.unlock()
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := noon
			p, err := Open(Options{Store: memory.New(), Sealer: sealer(t), Now: func() time.Time {
				now = now.Add(time.Millisecond) // a pick of many keys takes a while
				return now
			}})
			if err != nil {
				t.Fatal(err)
			}
			add(t, p, newKeys(manyKeys)...)
			if err := p.SetLimits([]LimitRule{{Model: "*", TPM: 1000}}); err != nil {
				t.Fatal(err)
			}
			var open *Lease
			for i := range manyKeys {
				l := lease(t, p, Want{Tokens: 600})
				if i == 0 && c.name == "a rest ends" {
					l.Done(Outcome{Verdict: RateLimited, Blame: ScopeProjectModel, Rest: time.Minute})
				}
				open = l
			}
			l := p.lane(flash, nil, false)
			refused(t, p, Want{Tokens: 500})
			if !p.shortOf(l, &Want{Tokens: 500}, now) || p.shortOf(l, &Want{Tokens: 300}, now) {
				t.Fatalf("short of 500 tokens: %v, of 300: %v", p.shortOf(l, &Want{Tokens: 500}, now), p.shortOf(l, &Want{Tokens: 300}, now))
			}
			lease(t, p, Want{Tokens: 300}).Done(Outcome{Input: 300, Tokens: 310}) // for which there is room
			refused(t, p, Want{Tokens: 500})
			c.eases(t, p, open, &now)
			if got := p.shortOf(l, &Want{Tokens: 500}, now); got != c.still {
				t.Errorf("remembered: %v, want %v", got, c.still)
			}
			if c.still {
				refused(t, p, Want{Tokens: 500})
				lease(t, p, Want{Tokens: 500, Unmetered: true}).Done(ok)
			}
		})
	}
}

// BenchmarkShort measures a refusal where all keys rest, or have no room.
func BenchmarkShort(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		p := open(b, nil, n)
		if err := p.SetLimits([]LimitRule{{Model: "*", TPM: 1000}}); err != nil {
			b.Fatal(err)
		}
		for range n {
			lease(b, p, Want{Tokens: 600})
		}
		b.Run(map[int]string{1_000: "keys=1000", 100_000: "keys=100000"}[n], func(b *testing.B) {
			for b.Loop() {
				refused(b, p, Want{Tokens: 500})
			}
		})
	}
}
