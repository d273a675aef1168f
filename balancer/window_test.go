// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"math/rand/v2"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 2, 12, 0, 30, 0, time.UTC)

// TestWindow_Exact: up to 64 entries, a window counts as one that keeps them all.
func TestWindow_Exact(t *testing.T) {
	for _, aligned := range []bool{false, true} {
		r := rand.New(rand.NewPCG(1, 2))
		var w window
		var all []spend
		now := noon
		for range 5000 {
			now = now.Add(time.Duration(1000+r.IntN(3000)) * time.Millisecond)
			tokens := int64(r.IntN(1000))
			w.add(now, tokens, 1)
			all = append(all, spend{now.UnixNano(), 1, 1, tokens})
			w.forget(now, aligned)
			var requests, sum int64
			for _, s := range all {
				left := now.Sub(time.Unix(0, s.at)) < minute+skew
				if aligned {
					left = now.Add(-skew).Truncate(minute).Compare(time.Unix(0, s.at).Truncate(minute)) <= 0
				}
				if left {
					requests++
					sum += s.tokens
				}
			}
			if w.requests != requests || w.tokens != sum {
				t.Fatalf("aligned %t: %d requests with %d tokens; want %d with %d", aligned, w.requests, w.tokens, requests, sum)
			}
		}
	}
}

// TestWindow_Dense: beyond that it counts nothing away, and nothing for longer than
// a grain too long, however steady the flow.
func TestWindow_Dense(t *testing.T) {
	for _, gap := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond, 499 * time.Millisecond} {
		for _, aligned := range []bool{false, true} {
			var w window
			var at []time.Time
			now := noon
			for i := range 20_000 {
				if gap == 0 && i%100 == 0 {
					now = now.Add(time.Second)
				}
				now = now.Add(gap)
				if now.Sub(noon) > 10*minute {
					break
				}
				w.forget(now, aligned)
				w.add(now, 2, 1)
				at = append(at, now)
				ends := func(a time.Time, late time.Duration) bool {
					if aligned {
						return !now.Before(a.Truncate(minute).Add(minute + skew))
					}
					return !now.Before(a.Add(minute + skew + late))
				}
				for len(at) > 0 && ends(at[0], spendGrain) {
					at = at[1:]
				}
				if i%97 != 0 {
					continue
				}
				least := 0
				for _, a := range at {
					if !ends(a, 0) {
						least++
					}
				}
				if n := int(w.requests); n < least || n > len(at) || w.tokens != 2*w.requests {
					t.Fatalf("gap %s, aligned %t: %d requests with %d tokens; want %d to %d", gap, aligned, n, w.tokens, least, len(at))
				}
				if len(w.spends) > fewSpends+int((minute+skew)/spendGrain)+2 {
					t.Fatalf("gap %s: %d entries", gap, len(w.spends))
				}
			}
		}
	}
}

// TestWindow_Settle: what is taken back is what was counted, and nobody else's.
func TestWindow_Settle(t *testing.T) {
	for _, gap := range []time.Duration{0, time.Millisecond, 300 * time.Millisecond, 2 * time.Second} {
		r := rand.New(rand.NewPCG(3, 4))
		var w window
		type request struct {
			at     time.Time
			tokens int64
		}
		var open []request
		now := noon
		for range 3000 {
			now = now.Add(gap)
			w.forget(now, false)
			if r.IntN(2) == 0 || len(open) == 0 {
				tokens := int64(r.IntN(500))
				w.add(now, tokens, 1)
				open = append(open, request{now, tokens})
				continue
			}
			i := r.IntN(len(open))
			before := w
			w.settle(open[i].at.UnixNano(), -open[i].tokens, true)
			if gone := now.Sub(open[i].at) >= minute+skew+spendGrain; gone && (w.requests != before.requests || w.tokens != before.tokens) {
				t.Fatalf("a request that had left the window took away %d others", before.requests-w.requests)
			}
			if now.Sub(open[i].at) < minute && w.requests != before.requests-1 {
				t.Fatalf("gap %s: a request was not taken back", gap)
			}
			open[i] = open[len(open)-1]
			open = open[:len(open)-1]
			var requests, tokens int64
			for _, s := range w.spends {
				requests += int64(s.requests)
				tokens += s.tokens
				if s.requests <= 0 || s.tokens < 0 {
					t.Fatalf("%+v", s)
				}
			}
			if requests != w.requests || tokens != w.tokens {
				t.Fatalf("%d requests with %d tokens; want %d with %d", w.requests, w.tokens, requests, tokens)
			}
		}
		for _, o := range open {
			w.settle(o.at.UnixNano(), -o.tokens, true)
		}
		if w.requests != 0 || w.tokens != 0 || len(w.spends) != 0 {
			t.Errorf("gap %s: %+v is left", gap, w)
		}
	}
}

func TestWindow_Room(t *testing.T) {
	var w window
	for i := range 5 {
		w.add(noon.Add(time.Duration(i)*10*time.Second), 100, 1) // :30 to :10 of the next minute
	}
	for _, c := range []struct {
		name          string
		limit, tokens int64
		aligned       bool
		want          time.Duration // after noon; below zero for now
	}{
		{"there is room", 6, 500, false, -1},
		{"one must go", 5, unlimited, false, minute + skew},
		{"three must go", 3, unlimited, false, 20*time.Second + minute + skew},
		{"tokens: two must go", unlimited, 300, false, 10*time.Second + minute + skew},
		{"the later of both", 5, 100, false, 30*time.Second + minute + skew},
		{"none fits", 1, 0, false, 40*time.Second + minute + skew},
		{"clock: the first minute", 3, unlimited, true, 30*time.Second + skew},
		{"clock: the second minute", 2, unlimited, true, 90*time.Second + skew},
	} {
		got := w.room(c.limit, c.tokens, c.aligned)
		if c.want < 0 {
			if got.After(noon) {
				t.Errorf("%s: %s", c.name, got)
			}
			continue
		}
		if !got.Equal(noon.Add(c.want)) {
			t.Errorf("%s: %s; want %s", c.name, got.Sub(noon), c.want)
		}
	}
}

func TestWindow_Merge(t *testing.T) {
	var a, b window
	for i := range 30 {
		a.add(noon.Add(time.Duration(i)*time.Second), 1, 1)
		b.add(noon.Add(time.Duration(i)*time.Second+500*time.Millisecond), 2, 2)
	}
	a.merge(b.spends)
	if a.requests != 60 || a.tokens != 90 || len(a.spends) != 60 {
		t.Fatalf("%d requests, %d tokens", a.requests, a.tokens)
	}
	a.settle(noon.Add(500*time.Millisecond).UnixNano(), -2, true)
	if a.forget(noon.Add(minute+skew), false); a.requests != 58 || a.tokens != 87 {
		t.Errorf("%d requests, %d tokens", a.requests, a.tokens)
	}
	if b.requests != 30 || b.tokens != 60 {
		t.Error("the merged window changed")
	}
}
