// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var serverError = Outcome{Verdict: ServerError, Retry: RetryOnce, Status: 500, Reason: "500 INTERNAL"}

func TestBreaker(t *testing.T) {
	fails := func(p *Pool, project string, n int, o Outcome) {
		for range n {
			l := lease(t, p, Want{Bound: &Binding{KeyID: KeyID(project)}})
			time.Sleep(time.Millisecond)
			l.Done(o)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 0)
		add(t, p, NewKey{Secret: "a"}, NewKey{Secret: "b"}, NewKey{Secret: "c"}, NewKey{Secret: "d"})
		a := &Binding{KeyID: KeyID("a")}

		fails(p, "a", 5, ok)
		fails(p, "a", 4, serverError)
		if rests := p.Rests(0); len(rests) != 0 {
			t.Fatalf("9 attempts make it rest: %+v", rests)
		}
		fails(p, "a", 1, serverError)
		u := refused(t, p, Want{Bound: a})
		if u.Reason != AllResting || u.RetryAfter != breakerRest {
			t.Fatalf("half of ten attempts failed: %+v", u)
		}
		if lease(t, p, Want{Model: "another", Bound: a}).KeyID() != KeyID("a") {
			t.Error("another model rests, too")
		}

		time.Sleep(breakerRest)
		fails(p, "a", breakerLeast, serverError)
		if u := refused(t, p, Want{Bound: a}); u.RetryAfter != 2*breakerRest {
			t.Errorf("the second rest lasts %s", u.RetryAfter)
		}
		fails(p, "b", breakerLeast, serverError)
		refused(t, p, Want{Bound: &Binding{KeyID: KeyID("b")}})
		// Half of the pool is out; it is not the keys.
		fails(p, "c", 5*breakerLeast, serverError)
		fails(p, "d", 5*breakerLeast, serverError)

		time.Sleep(2 * breakerRest)
		fails(p, "a", 1, ok)
		time.Sleep(breakerWindow + time.Second)
		fails(p, "a", breakerLeast, serverError)
		if u := refused(t, p, Want{Bound: a}); u.RetryAfter != breakerRest {
			t.Errorf("after a success it rests %s", u.RetryAfter)
		}
	})

	t.Run("overload is nobody's fault", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := open(t, nil, 0)
			add(t, p, NewKey{Secret: "a"}, NewKey{Secret: "b"})
			fails(p, "a", 100, Outcome{Verdict: Overloaded, Retry: RetryBackoff, Status: 503})
			fails(p, "a", 100, Outcome{Verdict: BadRequest, Status: 400})
			fails(p, "a", 100, Outcome{Verdict: Canceled})
			lease(t, p, Want{Bound: &Binding{KeyID: KeyID("a")}})
		})
	})
}

// The breaker leaves half of what is alive, not of all keys ever added.
func TestBreaker_LeavesHalfOfTheLiving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 24)
		for range 16 {
			lease(t, p, Want{}).Done(invalid)
		}
		for range 4 {
			lease(t, p, Want{}).Done(dayFull)
		}
		for range 400 {
			l, err := p.Lease(t.Context(), Want{Model: flash})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
			l.Done(serverError)
		}
		broken := 0
		for _, r := range p.Rests(0) {
			if r.Why == brokenDown {
				broken++
			}
		}
		if broken != 2 {
			t.Errorf("%d of the four keys that are left rest; want 2", broken)
		}
	})
}

// After its rest a broken key gets one request at a time until one succeeds.
func TestBreaker_HalfOpen(t *testing.T) {
	for _, accepted := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := open(t, nil, 2)
			bad, good := KeyID(secretOf(0)), &Binding{KeyID: KeyID(secretOf(1))}
			bound := Want{Bound: &Binding{KeyID: bad}}
			lease(t, p, Want{Bound: good}).Done(ok)
			lease(t, p, bound).Done(ok)
			old := lease(t, p, bound)
			for range breakerLeast - 1 {
				lease(t, p, bound).Done(serverError)
			}
			refused(t, p, bound)
			time.Sleep(breakerRest)

			var first *Lease
			for range 20 {
				if l := lease(t, p, Want{}); l.KeyID() == bad {
					if first != nil {
						t.Fatal("a second request while one finds out")
					}
					first = l
				}
			}
			if first == nil {
				t.Fatal("nobody finds out")
			}
			if _, by := explain(p, ExplainQuery{}); by[bad].Standing != StandsExploring || !strings.HasPrefix(by[bad].Why, brokenDown) {
				t.Errorf("%s: %q", by[bad].Standing, by[bad].Why)
			}
			refused(t, p, bound)
			old.Done(ok) // it began before the rest
			refused(t, p, bound)
			first.Done(serverError)
			second := lease(t, p, bound)
			refused(t, p, bound)
			if accepted {
				second.Accepted()
			} else {
				second.Done(ok)
			}
			for range 5 {
				lease(t, p, bound)
			}
		})
	}
}
