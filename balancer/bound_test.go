// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestBound(t *testing.T) {
	p := open(t, nil, 20)
	add(t, p, NewKey{Secret: "a1", Project: "a"}, NewKey{Secret: "a2", Project: "a"}, NewKey{Secret: "b1", Project: "b"})
	made := func(id string) Binding {
		for {
			l := lease(t, p, Want{})
			l.Done(ok)
			if l.KeyID() == id {
				return l.Binding()
			}
		}
	}
	file := made(KeyID("a1"))
	for range 50 {
		l := lease(t, p, Want{Bound: &file, Tags: []string{"nobody"}})
		if l.Project() != "a" {
			t.Fatalf("leased a key of project %s", l.Project())
		}
		l.Done(ok)
	}

	t.Run("other keys of the project stand in", func(t *testing.T) {
		if err := p.SetState(context.Background(), KeyID("a1"), StateDisabled, "test"); err != nil {
			t.Fatal(err)
		}
		if l := lease(t, p, Want{Bound: &file}); l.KeyID() != KeyID("a2") {
			t.Fatalf("leased %s", l.KeyID())
		}
	})
	t.Run("the project rests", func(t *testing.T) {
		lease(t, p, Want{Bound: &file}).Done(minuteFull)
		u := refused(t, p, Want{Bound: &file})
		if u.Reason != AllResting || u.RetryAfter <= 29*time.Second {
			t.Fatalf("%+v", u)
		}
	})
	t.Run("the key is deleted", func(t *testing.T) {
		if err := p.Delete(context.Background(), KeyID("a1")); err != nil {
			t.Fatal(err)
		}
		if l := lease(t, p, Want{Model: "another", Bound: &file}); l.KeyID() != KeyID("a2") {
			t.Fatalf("leased %s", l.KeyID())
		}
	})
	t.Run("the project is gone", func(t *testing.T) {
		if err := p.Delete(context.Background(), KeyID("a2")); err != nil {
			t.Fatal(err)
		}
		if u := refused(t, p, Want{Bound: &file}); u.Reason != NoKeys {
			t.Fatalf("%+v", u)
		}
	})
}

// A bound request waits for its project, and for no other.
func TestBound_Wait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 0)
		add(t, p, NewKey{Secret: "a1", Project: "a"}, NewKey{Secret: "b1", Project: "b"})
		bound := &Binding{KeyID: KeyID("a1"), Project: "a"}
		l := lease(t, p, Want{Bound: bound})
		l.Done(Outcome{Verdict: RateLimited, Blame: ScopeProjectModel, Retry: RetryOther, Rest: 5 * time.Second})
		began := time.Now()
		if l := lease(t, p, Want{Bound: bound, Wait: 10 * time.Second}); l.Project() != "a" {
			t.Fatalf("leased a key of %s", l.Project())
		}
		if waited := time.Since(began); waited != 5*time.Second {
			t.Errorf("waited %s; want 5s", waited)
		}
	})
}
