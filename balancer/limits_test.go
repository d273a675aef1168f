// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

func TestLimitRules(t *testing.T) {
	for name, r := range map[string]LimitRule{
		"no model":   {RPM: 1},
		"no window":  {Model: "*"},
		"below zero": {Model: "*", RPM: -1},
		"class":      {Model: "gemini-[23]*", RPM: 1},
		"escape":     {Model: "*", Project: `a\*`, RPM: 1},
	} {
		if r.Check() == nil {
			t.Errorf("%s is taken", name)
		}
	}
	l := limitRules{rules: []LimitRule{
		{Model: "gemini-2.5-*", Project: "paid-*", RPM: 1000},
		{Model: "gemini-2.5-*", RPM: 10, RPD: 250},
		{Model: "*", RPD: 50, TPM: 250_000},
	}}
	for _, c := range []struct {
		project, model string
		want           [3]int64
	}{
		{"paid-1", "gemini-2.5-flash", [3]int64{1000, 250_000, 250}},
		{"free", "gemini-2.5-flash", [3]int64{10, 250_000, 250}},
		{"projects/1", "gemini-3", [3]int64{0, 250_000, 50}},
	} {
		var got [3]int64
		if got[0], got[1], got[2] = l.of(&project{id: c.project}, c.model); got != c.want {
			t.Errorf("%s %s: %v, want %v", c.project, c.model, got, c.want)
		}
	}
}

// TestSetLimits_Cap: the pool keeps within what the operator says, replaced at any
// time, and over a restart.
func TestSetLimits_Cap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		rules := []LimitRule{{Model: "gemini-*", RPM: 3, RPD: 5}}
		p, err := Open(Options{Store: s, Sealer: sealer(t), Strategy: "round_robin", Limits: rules})
		if err != nil {
			t.Fatal(err)
		}
		add(t, p, NewKey{Secret: "a"})
		serves := func(n int) {
			t.Helper()
			for range n {
				lease(t, p, Want{}).Done(ok)
			}
			if u := refused(t, p, Want{}); u.RetryAfter <= 0 {
				t.Errorf("no time told: %+v", u)
			}
		}
		serves(3)
		if err := p.SetLimits([]LimitRule{{Model: flash, RPM: 4, RPD: 5}}); err != nil {
			t.Fatal(err)
		}
		serves(1)
		q, n := p.Quotas(QuotaQuery{Model: flash})
		if n != 1 || q[0].RPM.Source != SourceSet || *q[0].RPM.Limit != 4 || q[0].RPM.Used != 4 || q[0].RPM.Since.IsZero() || q[0].TPM.Limit != nil {
			t.Errorf("quotas %+v", q)
		}
		time.Sleep(2 * time.Minute)
		serves(1) // and the day is full
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
		if p, err = Open(Options{Store: s, Sealer: sealer(t), Limits: rules}); err != nil {
			t.Fatal(err)
		}
		serves(0)
		if err := p.SetLimits(nil); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			lease(t, p, Want{}).Done(ok)
		}
		if err := p.SetLimits([]LimitRule{{Model: "["}}); err == nil {
			t.Error("a senseless rule is taken")
		}
	})
}

// TestSetLimits_GoogleKnowsLess: a smaller limit that Google names holds for a
// day, a larger one never.
func TestSetLimits_GoogleKnowsLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 1)
		if err := p.SetLimits([]LimitRule{{Model: "*", RPM: 10}}); err != nil {
			t.Fatal(err)
		}
		minuteRoom := func() int {
			t.Helper()
			time.Sleep(2 * time.Minute)
			for n := 0; ; n++ {
				l, err := p.Lease(t.Context(), Want{Model: flash})
				if err != nil {
					return n
				}
				l.Done(ok)
			}
		}
		names := func(n int64) {
			lease(t, p, Want{}).Done(Outcome{Verdict: RateLimited, Blame: ScopeProjectModel, Rest: time.Second, Limits: []Limit{{ID: "RequestsPerMinute", Value: n}}})
		}
		if n := minuteRoom(); n != 10 {
			t.Errorf("set: %d", n)
		}
		time.Sleep(2 * time.Minute)
		names(4)
		if n := minuteRoom(); n != 4 {
			t.Errorf("learned a smaller one: %d", n)
		}
		if q, _ := p.Quotas(QuotaQuery{}); q[0].RPM.Source != SourceLearned {
			t.Errorf("source %s", q[0].RPM.Source)
		}
		time.Sleep(25 * time.Hour)
		if n := minuteRoom(); n != 10 {
			t.Errorf("a day later: %d", n)
		}
		time.Sleep(2 * time.Minute)
		names(100)
		if n := minuteRoom(); n != 10 {
			t.Errorf("learned a larger one: %d", n)
		}
	})
}

// TestWeight: adaptive gives a key of weight 2 about twice as much, until it is
// full; the others know no weight.
func TestWeight(t *testing.T) {
	for _, c := range []struct {
		name, strategy string
		keys           int
		limit          int64
		parallel       int
		least, most    float64
	}{
		{"adaptive, nothing known", "adaptive", 4, 0, 1, 1.7, 2.3},
		{"adaptive, limits known", "adaptive", 4, 1000, 1, 1.7, 2.3},
		{"adaptive, side by side", "adaptive", 4, 0, 12, 1.5, 2.5},
		{"adaptive, many keys", "adaptive", 200, 0, 1, 1.5, 2.5},
		{"round robin", "round_robin", 4, 0, 1, 0.9, 1.1},
		{"least used", "least_used", 4, 0, 1, 0.9, 1.1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := open(t, nil, c.keys-1)
				heavy := add(t, p, NewKey{Secret: "heavy", Weight: 2})[0]
				if err := p.SetStrategy(c.strategy); err != nil {
					t.Fatal(err)
				}
				if c.limit > 0 {
					if err := p.SetLimits([]LimitRule{{Model: "*", RPM: c.limit}}); err != nil {
						t.Fatal(err)
					}
				}
				took, n := 0, 300*c.keys/4
				var running []*Lease
				for range n {
					if len(running) >= c.parallel {
						running[0].Done(ok)
						running = running[1:]
					}
					l := lease(t, p, Want{})
					running = append(running, l)
					if l.KeyID() == heavy {
						took++
					}
					time.Sleep(time.Minute / time.Duration(n+1))
				}
				for _, l := range running {
					l.Done(ok)
				}
				if ratio := float64(took) / (float64(n-took) / float64(c.keys-1)); ratio < c.least || ratio > c.most {
					t.Errorf("%d of %d: %.2f times as much", took, n, ratio)
				}
			})
		})
	}
}

func TestWeight_IsKept(t *testing.T) {
	s := memory.New()
	p := open(t, s, 0)
	id := add(t, p, NewKey{Secret: "a", Weight: 7})[0]
	for _, p := range []*Pool{p, open(t, s, 0)} {
		if k, _ := p.Get(id); k.Weight != 7 {
			t.Errorf("weight %d", k.Weight)
		}
	}
	if err := (NewKey{Secret: "a", Weight: MaxWeight + 1}).Check(); err == nil {
		t.Error("too heavy")
	}
	if k, _ := p.Get(add(t, p, NewKey{Secret: "b"})[0]); k.Weight != 1 {
		t.Errorf("weight %d by itself", k.Weight)
	}
}
