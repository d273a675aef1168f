// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var unreachable = Outcome{Verdict: Network, Retry: RetryBackoff, Reason: "dial tcp: connection refused"}

func TestRoutes_Stable(t *testing.T) {
	p := open(t, nil, 1000)
	add(t, p, NewKey{Secret: "own", Proxy: "http://own:1"})
	taken := func() map[string]string {
		routes := map[string]string{}
		for range 1001 {
			l := lease(t, p, Want{})
			routes[l.KeyID()] = l.Proxy()
			l.Done(ok)
		}
		return routes
	}
	count := func(routes map[string]string) map[string]int {
		n := map[string]int{}
		for _, proxy := range routes {
			n[proxy]++
		}
		return n
	}
	if n := count(taken()); n[""] != 1000 || n["http://own:1"] != 1 {
		t.Fatalf("without routes: %v", n)
	}
	three := []string{"http://a:1", "socks5://b:1", "https://user:pass@c:1"}
	if err := p.SetRoutes(three); err != nil {
		t.Fatal(err)
	}
	before := taken()
	for proxy, n := range count(before) {
		if proxy != "http://own:1" && (n < 270 || n > 400) {
			t.Errorf("%d keys take %s", n, proxy)
		}
	}
	if err := p.SetRoutes(three[:2]); err != nil {
		t.Fatal(err)
	}
	for id, proxy := range taken() {
		if was := before[id]; was != three[2] && was != proxy {
			t.Errorf("%s moved from %s to %s though that is still there", id, was, proxy)
		}
	}
	err := p.SetRoutes([]string{"http://a:1", "ftp://user:hunter2@c:1"})
	if err == nil || !strings.Contains(err.Error(), "proxy 2") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("SetRoutes with a wrong scheme: %v", err)
	}
}

// Keys that fail to reach Google over one route make the route rest; none of them
// is to blame.
func TestRoutes_Health(t *testing.T) {
	over := func(p *Pool, key string) *Lease {
		return lease(t, p, Want{Bound: &Binding{KeyID: KeyID(key)}})
	}
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 0)
		for i := range 4 {
			add(t, p, NewKey{Secret: fmt.Sprint("a", i), Proxy: "http://a:1"}, NewKey{Secret: fmt.Sprint("b", i), Proxy: "http://b:1"})
		}
		for range 20 {
			over(p, "a0").Done(unreachable)
		}
		over(p, "a1").Done(unreachable)
		if n := len(p.Rests(0)); n != 0 {
			t.Fatalf("%d rests after two keys failed", n)
		}
		over(p, "a3").Done(Outcome{Verdict: OK, Status: 200})
		over(p, "a0").Done(unreachable)
		over(p, "a1").Done(unreachable)
		over(p, "b0").Done(Outcome{Verdict: OK, Status: 200})
		if n := len(p.Rests(0)); n != 0 {
			t.Fatalf("%d rests although one got through", n)
		}
		over(p, "a2").Done(unreachable)
		rests := p.Rests(0)
		if len(rests) != 1 || rests[0].Scope != "route" || rests[0].Route != "a:1" {
			t.Fatalf("rests: %+v", rests)
		}
		for range 8 {
			if l := lease(t, p, Want{}); l.Proxy() != "http://b:1" {
				t.Fatalf("leased a key of the route %s", l.Proxy())
			}
		}
		for _, k := range []string{"a0", "a1", "a2", "a3"} {
			if key, _ := p.Get(KeyID(k)); key.State == StateInvalid || key.State == StateMisconfigured {
				t.Errorf("%s is %s", k, key.State)
			}
		}
		time.Sleep(routeRest)
		over(p, "a0").Done(Outcome{Verdict: OK, Status: 200})
	})

	t.Run("the only route never rests", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := open(t, nil, 8)
			for range 80 {
				lease(t, p, Want{}).Done(unreachable)
			}
			for _, r := range p.Rests(0) {
				if r.Scope == "route" {
					t.Errorf("%+v", r)
				}
			}
		})
	})
}

// Where Google is out of reach of every route, none rests: that would make the
// whole pool wait after Google is back.
func TestRoutes_NoneRestsWhereAllFail(t *testing.T) {
	answered := Outcome{Verdict: OK, Status: 200}
	for _, c := range []struct {
		name string
		keys []NewKey
		two  bool // keys share two routes
	}{
		{name: "two routes", keys: newKeys(100), two: true},
		{name: "a route per key", keys: ownRoutes(4)},
		{name: "a route per key, many", keys: ownRoutes(50)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := open(t, nil, 0)
				add(t, p, c.keys...)
				if c.two {
					if err := p.SetRoutes([]string{"http://a:1", "http://b:1"}); err != nil {
						t.Fatal(err)
					}
				}
				for range 2 * len(c.keys) {
					lease(t, p, Want{}).Done(answered)
				}
				// What was on its way is answered yet.
				late := []*Lease{lease(t, p, Want{}), lease(t, p, Want{})}
				for i := range 40 * len(c.keys) {
					lease(t, p, Want{}).Done(unreachable)
					if i == 1 {
						late[0].Done(answered)
						late[1].Done(answered)
					}
					time.Sleep(20 * time.Millisecond)
				}
				if rests := p.Rests(0); len(rests) != 0 {
					t.Errorf("%d rests: %+v", len(rests), rests[0])
				}
			})
		})
	}
}

// ownRoutes are n keys with a route each.
func ownRoutes(n int) []NewKey {
	keys := newKeys(n)
	for i := range keys {
		keys[i].Proxy = fmt.Sprintf("http://proxy%d:1", i)
	}
	return keys
}

// However many routes break, half of the keys stay in use.
func TestRoutes_HalfStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 0)
		add(t, p, ownRoutes(20)...)
		id := func(i int) string { return KeyID(secretOf(i)) }
		for range 2000 {
			l := lease(t, p, Want{})
			if l.KeyID() == id(0) {
				l.Done(Outcome{Verdict: OK, Status: 200})
			} else {
				l.Done(unreachable)
			}
			time.Sleep(time.Millisecond)
		}
		if n := len(p.Rests(0)); n != 10 {
			t.Fatalf("%d of 20 routes rest where one works; want 10", n)
		}
		if p.leasable != 20 || p.cutOff != 10 {
			t.Errorf("counted %d keys, %d of them cut off", p.leasable, p.cutOff)
		}
		time.Sleep(routeRest)
		p.Stats()
		if n := len(p.Rests(0)); n != 0 || p.cutOff != 0 {
			t.Errorf("%d rests, %d keys cut off after the rests", n, p.cutOff)
		}
	})
}

// A route with one key rests after three failures in a row, and what was on its
// way together is one.
func TestRoutes_FewKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 0)
		add(t, p, ownRoutes(3)...)
		over := func(i int) *Lease { return lease(t, p, Want{Bound: &Binding{KeyID: KeyID(secretOf(i))}}) }
		for i := range 3 {
			over(i).Done(ok)
		}
		together := []*Lease{over(0), over(0), over(0), over(0)}
		time.Sleep(time.Second)
		together[0].Done(unreachable)
		over(1).Done(Outcome{Verdict: OK, Status: 200})
		time.Sleep(time.Millisecond)
		for _, l := range together[1:] {
			l.Done(unreachable)
		}
		time.Sleep(time.Millisecond)
		over(0).Done(unreachable)
		if rests := p.Rests(0); len(rests) != 0 {
			t.Fatalf("after two failures: %+v", rests)
		}
		time.Sleep(time.Millisecond)
		over(0).Done(unreachable)
		if rests := p.Rests(0); len(rests) != 1 || rests[0].Route != "proxy0:1" {
			t.Fatalf("after three in a row: %+v", rests)
		}
	})
}

// The counts of keys by route are kept whatever becomes of keys.
func TestRoutes_Tally(t *testing.T) {
	p := open(t, nil, 30)
	check := func(what string) {
		t.Helper()
		sum, n := 0, map[*route]int{}
		for _, e := range p.byID {
			if e.live.Load().state.leasable() {
				n[e.route.Load()]++
				sum++
			}
		}
		for _, r := range p.ways {
			if len(r.keys) != n[r] {
				t.Errorf("%s: %d keys take %q, counted %d", what, n[r], r.proxy, len(r.keys))
			}
			for i, e := range r.keys {
				if e.way != r || e.wayAt != i {
					t.Errorf("%s: %s is at %d, not at %d", what, e.id, i, e.wayAt)
				}
			}
		}
		if p.leasable != sum {
			t.Errorf("%s: %d keys are leasable, counted %d", what, sum, p.leasable)
		}
	}
	check("added")
	if err := p.SetRoutes([]string{"http://a:1", "http://b:1"}); err != nil {
		t.Fatal(err)
	}
	check("with routes")
	for range 5 {
		lease(t, p, Want{}).Done(invalid)
	}
	check("some invalid")
	if err := p.SetState(t.Context(), KeyID(secretOf(20)), StateDisabled, ""); err != nil {
		t.Fatal(err)
	}
	if err := p.Delete(t.Context(), KeyID(secretOf(21))); err != nil {
		t.Fatal(err)
	}
	check("disabled and deleted")
	if err := p.SetRoutes(nil); err != nil {
		t.Fatal(err)
	}
	if err := p.Reset(t.Context(), KeyID(secretOf(20))); err != nil {
		t.Fatal(err)
	}
	check("without routes")
}

// BenchmarkStumble is a network error in a pool of 100,000 keys.
func BenchmarkStumble(b *testing.B) {
	for _, routes := range [][]string{nil, {"http://a:1", "http://b:1", "http://c:1"}} {
		b.Run(fmt.Sprint(len(routes), " proxies"), func(b *testing.B) {
			p := open(b, nil, 100_000)
			if err := p.SetRoutes(routes); err != nil {
				b.Fatal(err)
			}
			leases := make([]*Lease, 1000)
			for i := range leases {
				leases[i] = lease(b, p, Want{})
			}
			i := 0
			for b.Loop() {
				p.travelled(leases[i%len(leases)], &unreachable)
				i++
			}
		})
	}
}
