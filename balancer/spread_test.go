// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

func openWith(tb testing.TB, strategy string, keys ...NewKey) *Pool {
	tb.Helper()
	p, err := Open(Options{Store: memory.New(), Sealer: sealer(tb), Strategy: strategy})
	if err != nil {
		tb.Fatal(err)
	}
	add(tb, p, keys...)
	return p
}

// spread returns the fewest and the most requests of the day of the projects.
func spread(p *Pool) (least, most int64) {
	least = 1 << 62
	p.mu.Lock()
	defer p.mu.Unlock()
	m := (*p.models.Load())[flash]
	for _, t := range p.projects {
		today := int64(0)
		if q := t.quota(m); q != nil {
			q.mu.Lock()
			today = q.today
			q.mu.Unlock()
		}
		least, most = min(least, today), max(most, today)
	}
	return least, most
}

// TestLeastUsed_Even: within one of even at any time, with attempts of any length,
// keys that rest and come back, keys that are added, and over midnight.
func TestLeastUsed_Even(t *testing.T) {
	for _, c := range []struct {
		name           string
		projects, keys int
		open           int // leases at a time
		faults         bool
	}{
		{"few", 5, 1, 1, false},
		{"side by side", 10, 1, 7, false},
		{"siblings", 10, 3, 4, false},
		{"faults", 20, 1, 5, true},
		{"a thousand", 1000, 1, 64, false},
		{"a thousand with faults", 1000, 1, 64, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(5, uint64(c.projects)))
				var keys []NewKey
				for i := range c.projects {
					for k := range c.keys {
						keys = append(keys, NewKey{Secret: fmt.Sprintf("k-%d-%d", i, k), Project: fmt.Sprint("p", i)})
					}
				}
				p := openWith(t, "least_used", keys...)
				for range 2 * len(keys) { // untested keys are tried one at a time
					lease(t, p, Want{}).Done(ok)
				}
				for day := range 2 {
					var open []*Lease
					for range 8 * c.projects {
						l := lease(t, p, Want{Tokens: int64(r.IntN(100))})
						open = append(open, l)
						if len(open) < c.open {
							continue
						}
						i := r.IntN(len(open))
						o := Outcome{Input: 50, Tokens: 60}
						if c.faults && r.IntN(10) == 0 {
							o = Outcome{Verdict: Overloaded, Status: 503}
						}
						open[i].Done(o)
						open[i] = open[len(open)-1]
						open = open[:len(open)-1]
						time.Sleep(10 * time.Millisecond)
					}
					for _, l := range open {
						l.Done(ok)
					}
					if c.faults { // what was given back last may miss
						for range c.projects {
							lease(t, p, Want{}).Done(ok)
						}
					}
					if least, most := spread(p); most-least > 1 {
						t.Errorf("day %d: from %d to %d requests", day, least, most)
					}
					time.Sleep(time.Until(pacificMidnight(time.Now())))
				}
			})
		})
	}
}

// TestLeastUsed_CatchesUp: a key that rested, and one that is new, get what they
// lack before the others get more; two of them by turns.
func TestLeastUsed_CatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openWith(t, "least_used", newKeys(100)...)
		o := minuteFull
		o.Rest = time.Hour
		lease(t, p, Want{}).Done(o)
		turns(t, p, 99*10, Want{})
		fair(t, turns(t, p, 99, Want{}), 99, 1, 0)
		time.Sleep(time.Hour)
		add(t, p, NewKey{Secret: "new"})
		n := turns(t, p, 22, Want{})
		if len(n) != 2 {
			t.Errorf("%d keys got what two lack", len(n))
		}
		for id, k := range n {
			if k != 11 {
				t.Errorf("%s got %d of 22", id, k)
			}
		}
		fair(t, turns(t, p, 101, Want{}), 101, 1, 0)
	})
}

func TestLeastUsed_ManyCallers(t *testing.T) {
	const keys = 50
	p := openWith(t, "least_used", newKeys(keys)...)
	turns(t, p, keys, Want{})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 200 {
				lease(t, p, Want{}).Done(ok)
			}
		})
	}
	wg.Wait()
	if least, most := spread(p); most-least > 16 {
		t.Errorf("from %d to %d requests", least, most)
	}
	for range 20 * keys { // they make up for what was taken side by side
		lease(t, p, Want{}).Done(ok)
	}
	if least, most := spread(p); most-least > 1 {
		t.Errorf("from %d to %d requests", least, most)
	}
}

// TestAdaptive_SlowKey: within fifty requests, nine of ten leave a key that is ten
// times slower; it gets its share again when it has recovered.
func TestAdaptive_SlowKey(t *testing.T) {
	for _, keys := range []int{4, 10, 100} {
		t.Run(fmt.Sprint(keys), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := openWith(t, "adaptive", newKeys(keys)...)
				slow := KeyID(secretOf(0))
				factor := 1.0
				var mu sync.Mutex
				var wg sync.WaitGroup
				// An open loop, for each key one request a second.
				run := func(n int) (share float64) {
					got := 0
					for range n {
						time.Sleep(time.Second / time.Duration(keys))
						l := lease(t, p, Want{})
						took := time.Second
						if l.KeyID() == slow {
							mu.Lock()
							got++
							mu.Unlock()
							took = time.Duration(float64(took) * factor)
						}
						wg.Go(func() {
							time.Sleep(took)
							l.Done(Outcome{Tokens: 100, Status: 200})
						})
					}
					return float64(got) / float64(n) * float64(keys)
				}
				run(30 * keys)
				if s := run(100 * keys); s < 0.8 || s > 1.2 {
					t.Errorf("before: %.2f of its share", s)
				}
				factor = 10
				run(50 * max(1, keys/10))
				if s := run(60 * keys); s > 0.2 {
					t.Errorf("while it is slow: %.2f of its share", s)
				}
				factor = 1
				run(60 * keys)
				if s := run(100 * keys); s < 0.8 {
					t.Errorf("after: %.2f of its share", s)
				}
				wg.Wait()
			})
		})
	}
}

// TestAdaptive_NoHerd: many pickers at once do not crowd on one key, also while the
// collector runs.
func TestAdaptive_NoHerd(t *testing.T) {
	for _, keys := range []int{4, 16, 64, 1000} {
		for round := range 20 {
			synctest.Test(t, func(t *testing.T) {
				if n := mostOnOne(t, keys, 64); n > (64+keys-1)/keys+6 {
					t.Errorf("%d keys, round %d: %d of 64 pickers took the same", keys, round, n)
				}
			})
		}
	}
}

// mostOnOne returns how many of the pickers at once went to the same key.
func mostOnOne(t *testing.T, keys, pickers int) (most int) {
	p := openWith(t, "adaptive", newKeys(keys)...)
	for range 3 * keys { // equally fast, all of them
		l := lease(t, p, Want{})
		time.Sleep(time.Second)
		l.Done(ok)
	}
	time.Sleep(10 * time.Minute)
	count := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range pickers {
		wg.Go(func() {
			l := lease(t, p, Want{})
			mu.Lock()
			defer mu.Unlock()
			count[l.KeyID()]++
			most = max(most, count[l.KeyID()])
		})
	}
	wg.Wait()
	return most
}

// TestAdaptive_PaidLast: keys that cost money serve when the others are nearly
// full.
func TestAdaptive_PaidLast(t *testing.T) {
	for _, n := range []int{4, 100} {
		keys := newKeys(n)
		for i := range keys[:n/4] {
			keys[i].Paid = true
		}
		p := openWith(t, "adaptive", keys...)
		if err := p.SetLimits([]LimitRule{{Model: "*", RPM: 40}}); err != nil {
			t.Fatal(err)
		}
		paid := 0
		free := (n - n/4) * 40
		for i := range n * 40 {
			l := lease(t, p, Want{})
			if k, _ := p.Get(l.KeyID()); k.Paid {
				if paid++; i < free/2 && n == 4 {
					t.Fatalf("%d keys: a paid one serves request %d", n, i)
				}
			}
			if i == free/2 && paid > i/20 {
				t.Errorf("%d keys: %d of the first %d went to paid ones", n, paid, i)
			}
			l.Done(ok)
		}
		refused(t, p, Want{})
	}
}
