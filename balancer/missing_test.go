// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"testing"
	"testing/synctest"
	"time"
)

// A model that nobody has is not asked of key after key.
func TestMissingModel(t *testing.T) {
	const odd = "gemini-of-my-dreams"
	ask := func(p *Pool, model string) (asked int) {
		for range 30 {
			tried := new(Tried)
			for range 2 {
				l, err := p.Lease(t.Context(), Want{Model: model, Tried: tried})
				if err != nil {
					break
				}
				asked++
				l.Done(noModel)
			}
		}
		return asked
	}
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 50)
		if n := ask(p, odd); n != missingUnknown {
			t.Errorf("asked %d times; want %d", n, missingUnknown)
		}
		if u := refused(t, p, Want{Model: odd}); u.Reason != ModelUnavailable {
			t.Errorf("%+v", u)
		}
		time.Sleep(missingRest)
		lease(t, p, Want{Model: odd}).Done(ok)
		if n := ask(p, odd); n <= missingUnknown {
			t.Errorf("a model that a key has served was given up after %d", n)
		}
	})
	t.Run("lists are known", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := openProbed(t, nil, 50)
			serveProbes(p, func(string) (Outcome, []string) { return ok, []string{flash} })
			if n := ask(p, odd); n != missingUnlisted {
				t.Errorf("asked %d times; want %d", n, missingUnlisted)
			}
			if n := ask(p, flash); n <= missingUnknown {
				t.Errorf("a model of Google's list was given up after %d", n)
			}
		})
	})
}

// What is only guessed to be kin does not suffer for a key.
func TestKin_NotSuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 2)
		p.lock()
		a, b := p.byID[KeyID(secretOf(0))], p.byID[KeyID(secretOf(1))]
		p.join(a.live.Load().project, b.live.Load().project, time.Now())
		p.unlock()
		l := lease(t, p, Want{})
		l.Done(Outcome{Verdict: SuspendedKey, Blame: ScopeProject, Retry: RetryOther, State: StateSuspended, Reason: "403 CONSUMER_SUSPENDED"})
		if s := p.Stats().States; s[StateSuspended] != 1 {
			t.Errorf("states: %v; want one suspended", s)
		}
		if next := lease(t, p, Want{}); next.KeyID() == l.KeyID() {
			t.Error("the suspended key was leased again")
		}
	})
}
