// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A user who asks often does not keep another one waiting: both get a lease in
// each turn.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 1)
		lease(t, p, Want{}).Done(Outcome{Verdict: RateLimited, Blame: ScopeProjectModel, Rest: time.Second})
		var mu sync.Mutex
		var order []string
		var wg sync.WaitGroup
		ask := func(user string) {
			wg.Go(func() {
				l, err := p.Lease(context.Background(), Want{Model: flash, User: user, Wait: time.Hour})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, user)
				mu.Unlock()
				time.Sleep(200 * time.Millisecond) // the ramp's next step
				l.Done(ok)
			})
			synctest.Wait()
		}
		for range 30 {
			ask("greedy")
		}
		for range 3 {
			ask("modest")
		}
		wg.Wait()
		modest := 0
		for _, user := range order[:8] {
			if user == "modest" {
				modest++
			}
		}
		if modest != 3 {
			t.Errorf("the first served: %v; want the three of the modest user among them", order[:8])
		}
	})
}

// Where the queue is full, who has least of it takes a place from who has most.
func TestTurns_FullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 1)
		p.maxQueue = 10
		lease(t, p, Want{}).Done(Outcome{Verdict: RateLimited, Blame: ScopeProjectModel, Rest: time.Second})
		refusals := map[string]int{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for _, user := range []string{"a", "a", "a", "a", "a", "a", "a", "a", "a", "a", "a", "b", "b", "c"} {
			wg.Go(func() {
				l, err := p.Lease(context.Background(), Want{Model: flash, User: user, Wait: time.Hour})
				if u, refused := errors.AsType[*Unavailable](err); refused {
					mu.Lock()
					refusals[user]++
					mu.Unlock()
					if u.Message != queueFull || u.Reason != AllResting {
						t.Errorf("%+v", u)
					}
					return
				}
				l.Done(ok)
			})
			synctest.Wait()
		}
		if n := p.Stats().Waiting; n != 10 {
			t.Errorf("%d wait; want 10", n)
		}
		wg.Wait()
		if refusals["a"] != 4 || refusals["b"] != 0 || refusals["c"] != 0 {
			t.Errorf("refused: %v; want 4 of a", refusals)
		}
	})
}
