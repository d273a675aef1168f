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
