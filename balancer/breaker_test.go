// SPDX-License-Identifier: Apache-2.0

package balancer

import (
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
