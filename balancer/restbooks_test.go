// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// TestRestart_Routes: what a route rests, and how often in a row, outlives a restart,
// whichever way the route gets known again; its URL is not in the store.
func TestRestart_Routes(t *testing.T) {
	const proxy = "http://user:hunter2@proxy.example:1"
	blocked := Outcome{Verdict: RouteBlocked, Blame: ScopeRoute, Retry: RetryOther, Rest: time.Minute, Escalate: true}
	for _, c := range []struct {
		name   string
		stored NewKey
		host   string
		begin  func(*testing.T, *Pool) // after each start
	}{
		{"of a stored key", NewKey{Secret: "k", Proxy: proxy}, "proxy.example:1", func(*testing.T, *Pool) {}},
		{"of a declared key", NewKey{}, "proxy.example:1", func(_ *testing.T, p *Pool) {
			p.Declare([]NewKey{{Secret: "k", Proxy: proxy}})
		}},
		{"egress", NewKey{Secret: "k"}, "proxy.example:1", func(t *testing.T, p *Pool) {
			if err := p.SetRoutes([]string{proxy}); err != nil {
				t.Fatal(err)
			}
		}},
		{"egress of a declared key", NewKey{}, "proxy.example:1", func(t *testing.T, p *Pool) {
			if err := p.SetRoutes([]string{proxy}); err != nil {
				t.Fatal(err)
			}
			p.Declare([]NewKey{{Secret: "k"}})
		}},
		{"direct", NewKey{Secret: "k"}, "", func(*testing.T, *Pool) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := memory.New()
				p := open(t, s, 0)
				add(t, p, NewKey{Secret: "other", Proxy: "http://other.example:1"})
				if c.stored.Secret != "" {
					add(t, p, c.stored)
				}
				c.begin(t, p)
				restart := func() {
					t.Helper()
					before := p.Rests(0)
					if err := p.Flush(); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Second)
					p = open(t, s, 0)
					c.begin(t, p)
					after := p.Rests(0)
					if len(before) != len(after) {
						t.Fatalf("%d rests before, %d after: %+v", len(before), len(after), after)
					}
					for i, r := range after {
						if r.Scope != "route" || r.Route != c.host || r.Kind != Cooling || r.Why != before[i].Why || !r.Until.Equal(before[i].Until) || !r.Since.Equal(before[i].Since) {
							t.Errorf("before %+v\nafter  %+v", before[i], r)
						}
					}
					check(t, p, time.Now())
				}
				block := func() {
					t.Helper()
					lease(t, p, Want{Bound: &Binding{KeyID: KeyID("k")}}).Done(blocked)
					if n := len(p.Rests(0)); n != 1 {
						t.Fatalf("%d rests", n)
					}
				}
				block()
				restart()
				for range 4 {
					if l := lease(t, p, Want{}); l.KeyID() == KeyID("k") {
						t.Error("a key of the route was leased")
					}
				}
				err := s.Scan("", "", func(key string, value []byte) bool {
					if all := key + string(value); strings.Contains(all, "hunter2") || strings.Contains(all, "proxy.example") {
						t.Errorf("%s is stored as %s", key, value)
					}
					return true
				})
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				p.Stats()
				restart() // with the memory of a rest that is over
				block()
				if r := p.Rests(0)[0]; r.Until.Sub(r.Since) != 2*time.Minute {
					t.Errorf("the second time it rests %v", r.Until.Sub(r.Since))
				}
				restart()
			})
		})
	}
}

// TestRestart_ClockAhead: a rest that began by a clock that was ahead is as long as it
// was meant to be, and no longer with each restart.
func TestRestart_ClockAhead(t *testing.T) {
	keyRest := Outcome{Verdict: Unclassified, Blame: ScopeKey, Rest: time.Minute}
	for _, c := range []struct {
		name string
		o    Outcome
		most time.Duration
	}{
		{"model in a project", minuteFull, 30 * time.Second},
		{"day", dayFull, pacificMidnight(noon).Sub(noon)},
		{"project", noMoney, time.Hour},
		{"key", keyRest, time.Minute},
		{"model", noCapacity, 10 * time.Second},
		{"route", routeOut, time.Minute},
		{"escalated", throttled, 5 * time.Second},
	} {
		for _, declared := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, ", declared=", declared), func(t *testing.T) {
				testClockAhead(t, c.o, c.most, declared)
			})
		}
	}
}

func testClockAhead(t *testing.T, o Outcome, most time.Duration, declared bool) {
	now := noon.Add(365*24*time.Hour + 3*time.Hour)
	s := memory.New()
	key := NewKey{Secret: "k", Proxy: "http://a:1"}
	begin := func() *Pool {
		p, err := Open(Options{Store: s, Sealer: sealer(t), Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		if declared {
			p.Declare([]NewKey{key})
		}
		return p
	}
	p := begin()
	if !declared {
		add(t, p, key)
	}
	lease(t, p, Want{}).Done(o)
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, later := range []time.Duration{0, most / 2, most - time.Millisecond} {
		now = noon.Add(later)
		p = begin()
		rests := p.Rests(0)
		if len(rests) != 1 {
			t.Fatalf("%v later: rests %+v", later, rests)
		}
		if got, want := rests[0].Until.Sub(now), most-later; got != want || rests[0].Since.After(now) {
			t.Errorf("%v later it rests %v since %v, want %v", later, got, rests[0].Since, want)
		}
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	now = noon.Add(most)
	lease(t, begin(), Want{}).Done(ok)
}
