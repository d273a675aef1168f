// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"slices"
	"strings"
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
		l := lease(t, p, Want{Bound: &file})
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

func TestWant_Only(t *testing.T) {
	p := open(t, nil, 0)
	add(t, p, NewKey{Secret: "a1", Project: "a"}, NewKey{Secret: "a2", Project: "a", Tags: []string{"x"}}, NewKey{Secret: "b1", Project: "b"})
	for _, bound := range []*Binding{nil, {KeyID: KeyID("a1"), Project: "a"}} {
		for range 10 {
			l := lease(t, p, Want{Only: KeyID("a2"), Bound: bound})
			if l.KeyID() != KeyID("a2") {
				t.Fatalf("leased %s, bound to %v", l.KeyID(), bound)
			}
			l.Done(ok)
		}
	}
	for _, w := range []Want{{Only: "gone"}, {Only: KeyID("a1"), Tags: []string{"x"}}, {Only: KeyID("b1"), Bound: &Binding{KeyID: KeyID("a1"), Project: "a"}}} {
		if u := refused(t, p, w); u.Reason != NoKeys || !strings.Contains(u.Message, w.Only) {
			t.Errorf("%+v: %+v", w, u)
		}
	}
	lease(t, p, Want{Only: KeyID("a2")}).Done(minuteFull)
	if u := refused(t, p, Want{Only: KeyID("a2")}); u.Reason != AllResting {
		t.Errorf("while it rests: %+v", u)
	}
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

// A binding narrows what a request may use and widens nothing.
func TestBound_TagsAndPaid(t *testing.T) {
	p := open(t, nil, 0)
	add(t, p, NewKey{Secret: "x1", Project: "x", Tags: []string{"a", "b"}, Paid: true}, NewKey{Secret: "x2", Project: "x", Tags: []string{"c"}},
		NewKey{Secret: "y1", Project: "y", Tags: []string{"a"}})
	x, y := &Binding{KeyID: KeyID("x1"), Project: "x"}, &Binding{KeyID: KeyID("y1"), Project: "y"}
	for _, c := range []struct {
		name string
		want Want
		ids  []string // that may come
	}{
		{"neither", Want{Bound: x}, []string{"x1", "x2"}},
		{"tag", Want{Bound: x, Tags: []string{"b"}}, []string{"x1"}},
		{"one of two tags", Want{Bound: x, Tags: []string{"c", "nobody"}}, []string{"x2"}},
		{"paid", Want{Bound: x, PaidOnly: true}, []string{"x1"}},
		{"tag of an unpaid key", Want{Bound: x, Tags: []string{"c"}, PaidOnly: true}, nil},
		{"tag that nobody has", Want{Bound: x, Tags: []string{"nobody"}}, nil},
		{"paid, of an unpaid project", Want{Bound: y, PaidOnly: true}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.ids == nil {
				if u := refused(t, p, c.want); u.Reason != NoKeys || !strings.Contains(u.Message, "may use") {
					t.Errorf("%+v", u)
				}
				return
			}
			for range 10 {
				l := lease(t, p, c.want)
				l.Done(ok)
				if !slices.ContainsFunc(c.ids, func(secret string) bool { return l.KeyID() == KeyID(secret) }) {
					t.Errorf("leased %s; want one of %q", l.KeyID(), c.ids)
				}
			}
		})
	}
}
