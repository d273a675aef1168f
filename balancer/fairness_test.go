// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// turns leases n times and counts per key.
func turns(tb testing.TB, p *Pool, n int, w Want) map[string]int {
	tb.Helper()
	count := map[string]int{}
	for range n {
		l := lease(tb, p, w)
		count[l.KeyID()]++
		l.Done(ok)
	}
	return count
}

func fair(t *testing.T, count map[string]int, keys, k, slack int) {
	t.Helper()
	if len(count) != keys {
		t.Errorf("%d keys had a turn, want %d", len(count), keys)
	}
	for id, n := range count {
		if n < k-slack || n > k+slack {
			t.Errorf("%s had %d turns, want %d ± %d", id, n, k, slack)
		}
	}
}

func TestRoundRobinFair(t *testing.T) {
	for _, n := range []int{1, 2, 3, 63, 64, 65, 128, 1000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			p := open(t, nil, n)
			fair(t, turns(t, p, 7*n, Want{}), n, 7, 0)
		})
	}
}

func TestRoundRobinFairPerModel(t *testing.T) {
	p := open(t, nil, 10)
	flash, pro := map[string]int{}, map[string]int{}
	for range 50 { // in turn: with one cursor for both, each key would see one model only
		l := lease(t, p, Want{Model: "flash"})
		flash[l.KeyID()]++
		l.Done(ok)
		l = lease(t, p, Want{Model: "pro"})
		pro[l.KeyID()]++
		l.Done(ok)
	}
	fair(t, flash, 10, 5, 0)
	fair(t, pro, 10, 5, 0)
}

func TestRoundRobinFairPerTag(t *testing.T) {
	p := open(t, nil, 5)
	for i := range 5 {
		add(t, p, NewKey{Secret: fmt.Sprintf("tagged-%d", i), Tags: []string{"team"}, Paid: i == 0})
	}
	all, team := map[string]int{}, map[string]int{}
	for range 50 {
		l := lease(t, p, Want{})
		all[l.KeyID()]++
		l.Done(ok)
		l = lease(t, p, Want{Tags: []string{"team"}})
		team[l.KeyID()]++
		l.Done(ok)
	}
	fair(t, all, 10, 5, 0)
	fair(t, team, 5, 10, 0)
	fair(t, turns(t, p, 20, Want{Tags: []string{"team", "none"}}), 5, 4, 0)
	fair(t, turns(t, p, 20, Want{Tags: []string{"team"}, PaidOnly: true}), 1, 20, 0)
}

func TestRoundRobinFairWithCallers(t *testing.T) {
	const keys, callers, each = 37, 64, 37 * 5
	p := open(t, nil, keys)
	turns(t, p, keys, Want{}) // untested keys are tried one at a time, which is no round
	var mu sync.Mutex
	count := map[string]int{}
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				l := lease(t, p, Want{})
				mu.Lock()
				count[l.KeyID()]++
				mu.Unlock()
				l.Done(ok)
			}
		})
	}
	wg.Wait()
	fair(t, count, keys, callers*each/keys, 0)
}

// Keys that rest lose their turns and nobody else's count suffers for it.
func TestRoundRobinFairWhileSomeRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys = 10
		p := open(t, nil, keys)
		resting := map[string]bool{}
		for range 3 {
			l := lease(t, p, Want{})
			resting[l.KeyID()] = true
			l.Done(minuteFull)
		}
		count := turns(t, p, 7*20, Want{})
		fair(t, count, keys-3, 20, 0)
		for id := range count {
			if resting[id] {
				t.Errorf("%s was leased while it rested", id)
			}
		}
		time.Sleep(minuteFull.Rest)
		fair(t, turns(t, p, keys*20, Want{}), keys, 20, 1)
	})
}

// With many keys and few ready ones, the notes of where nothing is must neither
// lose a key that comes back nor hand out one that rests.
func TestRoundRobinSparse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys = 5000
		p := open(t, nil, keys)
		last := add(t, p, NewKey{Secret: "last", Tags: []string{"t"}})[0]
		for i := range keys {
			o := minuteFull
			o.Rest += time.Duration(i) * time.Second
			lease(t, p, Want{}).Done(o)
		}
		for range 50 { // notes are taken here
			for _, w := range []Want{{}, {Tags: []string{"t"}}} {
				l := lease(t, p, w)
				if l.KeyID() != last {
					t.Fatalf("%s was leased while it rested", l.KeyID())
				}
				l.Done(ok)
			}
		}
		time.Sleep(minuteFull.Rest + 9*time.Second) // ten are back
		fair(t, turns(t, p, 110, Want{}), 11, 10, 1)
		added := add(t, p, NewKey{Secret: "new", Tags: []string{"t"}})[0]
		if n := turns(t, p, 20, Want{Tags: []string{"t"}}); n[added] != 10 || n[last] != 10 {
			t.Errorf("turns after adding a key: %v", n)
		}
		if err := p.SetState(context.Background(), last, StateDisabled, ""); err != nil {
			t.Fatal(err)
		}
		if n := turns(t, p, 20, Want{Tags: []string{"t"}}); n[added] != 20 {
			t.Errorf("turns after disabling the other: %v", n)
		}
		if err := p.SetState(context.Background(), last, StateActive, ""); err != nil {
			t.Fatal(err)
		}
		if n := turns(t, p, 20, Want{Tags: []string{"t"}}); n[added] != 10 || n[last] != 10 {
			t.Errorf("turns after enabling it again: %v", n)
		}
	})
}

func TestRetryPrefersAnotherProject(t *testing.T) {
	p := open(t, nil, 0)
	ids := add(
		t, p,
		NewKey{Secret: "a1", Project: "a"}, NewKey{Secret: "a2", Project: "a"}, NewKey{Secret: "a3", Project: "a"}, NewKey{Secret: "b1", Project: "b"},
	)
	w := Want{Tried: new(Tried)}
	var projects, keys []string
	for range ids {
		l := lease(t, p, w)
		projects, keys = append(projects, l.Project()), append(keys, l.KeyID())
		l.Done(Outcome{Verdict: ServerError, Status: 500, Retry: RetryOnce})
	}
	if projects[0] == projects[1] {
		t.Errorf("the second attempt went to the same project: %v", projects)
	}
	seen := map[string]bool{}
	for _, k := range keys {
		seen[k] = true
	}
	if len(seen) != len(ids) {
		t.Errorf("a key was tried twice: %v", keys)
	}
	u := refused(t, p, w)
	if u.Reason != AllTried || u.LastOutcome == nil || u.LastOutcome.Status != 500 {
		t.Errorf("after all were tried: %+v, want AllTried with the last outcome", u)
	}
}

// Notes of where nothing is end with each change that may bring a key.
func TestNotesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 0)
		keys := newKeys(5000)
		keys[10].Tags, keys[4000].Tags = []string{"t"}, []string{"t"}
		ids := add(t, p, keys...)
		both := []string{ids[10], ids[4000]}
		w := Want{Tags: []string{"t"}}
		for _, c := range []struct {
			name       string
			away, back func()
		}{
			{"state", func() { _ = p.SetState(t.Context(), both[0], StateDisabled, "") }, func() { _ = p.SetState(t.Context(), both[0], StateActive, "") }},
			{"key rest", func() {
				for range both {
					l := lease(t, p, w)
					o := ok
					if l.KeyID() == both[0] {
						o = Outcome{Verdict: Unclassified, Blame: ScopeKey, Rest: time.Minute}
					}
					l.Done(o)
				}
			}, func() { time.Sleep(time.Minute) }},
			{"deletion", func() { _ = p.Delete(t.Context(), both[0]) }, func() { add(t, p, keys[10]) }},
		} {
			c.away()
			if n := turns(t, p, 20, w); n[both[1]] != 20 {
				t.Errorf("%s, away: %v", c.name, n)
			}
			c.back()
			if n := turns(t, p, 20, w); n[both[0]] != 10 || n[both[1]] != 10 {
				t.Errorf("%s, back: %v", c.name, n)
			}
		}
	})
}

// TestUntestedOneAtATime: while a key is tried for the first time, others go
// first; a burst on a new pool does not send several requests to each dead key.
func TestUntestedOneAtATime(t *testing.T) {
	p := open(t, nil, 4)
	first := make([]*Lease, 4)
	for i := range first {
		first[i] = lease(t, p, Want{})
	}
	first[2].Done(Outcome{})
	for range 8 {
		if l := lease(t, p, Want{}); l.KeyID() != first[2].KeyID() {
			t.Fatalf("%s was leased a second time before its first answer", l.KeyID())
		}
	}
	first[0].Done(Outcome{Verdict: RateLimited, Blame: ScopeProjectModel, Rest: time.Minute})
	if k, _ := p.Get(first[0].KeyID()); k.State != StateActive {
		t.Errorf("a key that Google counts is %s", k.State)
	}
	first[2].Done(Outcome{})
	p2 := open(t, nil, 2)
	lease(t, p2, Want{})
	lease(t, p2, Want{})
	lease(t, p2, Want{}) // nothing else is there: shared rather than refused
}
