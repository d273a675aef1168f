// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// TestGauges counts rests by scope and kind, from their beginning to their end, and
// routes without the passwords of their proxies.
func TestGauges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 0)
		add(t, p, NewKey{Secret: "one"}, NewKey{Secret: "two"}, NewKey{Secret: "three"}, NewKey{Secret: "four"}, NewKey{Secret: "five", Proxy: "http://user:secret@proxy:8080"})
		for _, o := range []Outcome{minuteFull, dayFull, noModel, noMoney} {
			lease(t, p, Want{}).Done(o)
		}
		lease(t, p, Want{}).Done(routeOut)
		want := []RestCount{{"project_model", Cooling, 1}, {"project_model", ExhaustedForDay, 1}, {"project_model", NotAvailable, 1}, {"project", Cooling, 1}, {"route", Cooling, 1}}
		g := p.Gauges()
		if !slices.Equal(g.Rests, want) || g.Resting != 5 {
			t.Errorf("rests %+v, want %+v", g.Rests, want)
		}
		if routes := []RouteGauge{{"", 4, false}, {"proxy:8080", 1, true}}; !slices.Equal(g.Routes, routes) {
			t.Errorf("routes %+v, want %+v", g.Routes, routes)
		}
		time.Sleep(2 * time.Minute)
		if g = p.Gauges(); !slices.Equal(g.Rests, want[1:4]) || g.Routes[1].Out {
			t.Errorf("later %+v", g)
		}
		time.Sleep(49 * time.Hour)
		if g = p.Gauges(); g.Rests != nil || g.Resting != 0 {
			t.Errorf("in the end %+v", g.Rests)
		}
	})
}

// TestGauges_Breaker: a project that the breaker holds is counted as broken.
func TestGauges_Breaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 4)
		for range breakerLeast {
			l, err := p.LeaseKey(KeyID(secretOf(0)), flash)
			if err != nil {
				t.Fatal(err)
			}
			l.Done(Outcome{Verdict: ServerError, Retry: RetryOnce})
		}
		if g := p.Gauges(); !slices.Equal(g.Rests, []RestCount{{"project_model", Broken, 1}}) {
			t.Errorf("%+v", g.Rests)
		}
	})
}

// TestObserver_Rested: operators hear of days that are used up, of projects without
// money and of routes, once for each rest, and not again at the next start.
func TestObserver_Rested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, o := memory.New(), &told{}
		start := func() *Pool {
			p, err := Open(Options{Store: db, Sealer: sealer(t), Observer: o, Strategy: "round_robin"})
			if err != nil {
				t.Fatal(err)
			}
			o.p = p
			return p
		}
		p := start()
		add(t, p, newKeys(5)...)
		add(t, p, NewKey{Secret: "far", Proxy: "http://proxy:8080"})
		for _, outcome := range []Outcome{minuteFull, dayFull, noModel, noMoney, overspent, routeOut} {
			l := lease(t, p, Want{})
			l.Done(outcome)
		}
		want := []string{"project_model exhausted daily quota", "project cooling billing or credits", "route cooling egress route blocked"}
		if !slices.Equal(o.rested, want) {
			t.Errorf("heard %q, want %q", o.rested, want)
		}
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
		p = start()
		if !slices.Equal(o.rested, want) || p.Gauges().Resting < 3 {
			t.Errorf("after a start heard %q, %d rest", o.rested, p.Gauges().Resting)
		}
	})
}

// BenchmarkGauges must not depend on how many keys there are, or rest.
func BenchmarkGauges(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			p := open(b, nil, n)
			resting(b, p, .9)
			for b.Loop() {
				p.Gauges()
			}
		})
	}
}

// BenchmarkForecasts is what is left of ten models, made anew.
func BenchmarkForecasts(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			p := open(b, nil, n)
			for i := range 10_000 {
				lease(b, p, Want{Model: fmt.Sprint("m", i%10)}).Done(ok)
			}
			for b.Loop() {
				p.forecastMu.Lock()
				p.forecastGood = time.Time{}
				p.forecastMu.Unlock()
				p.Forecasts()
			}
		})
	}
}
