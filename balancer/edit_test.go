// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

func TestEdit(t *testing.T) {
	for _, c := range []struct {
		name   string
		patch  Patch
		want   string // of said
		fields string // that the history names; "" for no change
		err    string
	}{
		{"nothing", Patch{}, "n|note||[b c]|[]|1|false", "", ""},
		{"name", Patch{Name: new(" two ")}, "two|note||[b c]|[]|1|false", "name", ""},
		{"as it was", Patch{Name: new("n"), Weight: new(1)}, "n|note||[b c]|[]|1|false", "", ""},
		{"all", Patch{
			Name: new("x"), Note: new("y"), Project: new("p"), Tags: &[]string{"z", "a", "z"}, Models: &[]string{"gemini-*"}, Weight: new(7), Paid: new(true),
		}, "x|y|p|[a z]|[gemini-*]|7|true", "name, note, project, tags, models, weight, paid", ""},
		{"cleared", Patch{Name: new(""), Note: new(""), Tags: &[]string{}}, "|||[]|[]|1|false", "name, note, tags", ""},
		{"tags more and less", Patch{AddTags: []string{"d", "b"}, RemoveTags: []string{"c", "none"}}, "n|note||[b d]|[]|1|false", "tags", ""},
		{"weight 0", Patch{Weight: new(0)}, "", "", "want 1 to 100"},
		{"weight 101", Patch{Weight: new(101)}, "", "", "want 1 to 100"},
		{"glob of sets", Patch{Models: &[]string{"gemini-[ab]"}}, "", "", "only * and ?"},
		{"empty glob", Patch{Models: &[]string{""}}, "", "", "empty name"},
		{"proxy", Patch{Proxy: new("ftp://x:hunter2@y")}, "", "", "scheme"},
		{"eleven tags", Patch{AddTags: strings.Split("1 2 3 4 5 6 7 8 9", " ")}, "", "", "10 tags"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := memory.New()
			p := open(t, s, 0)
			id := add(t, p, NewKey{Secret: "one", Name: "n", Note: "note", Tags: []string{"b", "c"}})[0]
			err := p.Edit(t.Context(), id, c.patch)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "hunter2") {
					t.Fatalf("%v; want an error with %q", err, c.err)
				}
				c.want = "n|note||[b c]|[]|1|false"
			} else if err != nil {
				t.Fatal(err)
			}
			for _, pool := range []*Pool{p, open(t, s, 0)} {
				d, _ := pool.Detail(id)
				if got := said(d.Key); got != c.want {
					t.Errorf("%s; want %s", got, c.want)
				}
				edited := ""
				for _, h := range d.History {
					if h.What == eventEdited {
						edited = h.Detail
					}
				}
				if edited != c.fields {
					t.Errorf("the history has %q; want %q: %+v", edited, c.fields, d.History)
				}
			}
		})
	}
	if err := open(t, nil, 0).Edit(t.Context(), "gk_none", Patch{}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func said(k Key) string {
	return fmt.Sprintf("%s|%s|%s|%v|%v|%d|%t", k.Name, k.Note, k.Project, k.Tags, k.Models, k.Weight, k.Paid)
}

// What the configuration says of a key stays; what it leaves open is the operator's,
// by the key's id and not by the configuration's.
func TestEdit_Declared(t *testing.T) {
	s := memory.New()
	p := open(t, s, 0)
	id := KeyID("one")
	declared := []NewKey{{Secret: "one", Name: "mine", Weight: 3}}
	p.Declare(declared)
	err := p.Edit(t.Context(), id, Patch{Name: new("other"), Weight: new(5), Note: new("n")})
	if locked, ok := errors.AsType[*LockedError](err); !ok || !slices.Equal(locked.Fields, []string{"name", "weight"}) || !errors.Is(err, ErrReadOnly) {
		t.Fatal(err)
	}
	if err := p.Edit(t.Context(), id, Patch{Name: new("mine"), Note: new("n"), Tags: &[]string{"t"}}); err != nil {
		t.Fatal(err)
	}
	want := "mine|n||[t]|[]|3|false"
	check := func(p *Pool, when string) {
		t.Helper()
		if v, _ := p.View(id); said(v.Key) != want || v.Source != SourceConfig {
			t.Errorf("%s: %s; want %s", when, said(v.Key), want)
		}
	}
	check(p, "edited")
	p.Declare(declared)
	check(p, "declared again")
	p.Declare(nil)
	p.Declare(declared)
	check(p, "gone and back")
	p = open(t, s, 0)
	p.Declare(declared)
	check(p, "after a restart")
	if v, _ := p.View(id); !slices.Equal(v.Locked, []string{"name", "weight"}) {
		t.Errorf("locked: %v", v.Locked)
	}
	p.Declare([]NewKey{{Secret: "one", Tags: []string{"of the configuration"}}})
	want = "|n||[of the configuration]|[]|1|false"
	check(p, "the configuration says something now")
	lease(t, p, Want{Tags: []string{"of the configuration"}}).Done(ok)
	refused(t, p, Want{Tags: []string{"t"}})
}

// A key serves the models that its operator allows, those of tomorrow too, and no
// others.
func TestEdit_Models(t *testing.T) {
	p := open(t, nil, 2)
	ids := []string{KeyID(secretOf(0)), KeyID(secretOf(1))}
	only := ids[0]
	lease(t, p, Want{Model: "gemini-old"}).Done(ok)
	if err := p.Edit(t.Context(), only, Patch{Models: &[]string{"gemini-a*", "gemini-b"}}); err != nil {
		t.Fatal(err)
	}
	serves := func(model string) (n int) {
		for range 20 {
			l := lease(t, p, Want{Model: model})
			if l.KeyID() == only {
				n++
			}
			l.Done(ok)
		}
		return n
	}
	for model, want := range map[string]bool{
		"gemini-a": true, "gemini-a-new": true, "gemini-b": true, "gemini-old": false, "gemini-b-new": false, "gemini-of-tomorrow": false,
	} {
		if n := serves(model); (n > 0) != want {
			t.Errorf("%s: %d of 20 requests had the key", model, n)
		}
	}
	if err := p.Edit(t.Context(), ids[1], Patch{Models: &[]string{"gemini-old"}}); err != nil {
		t.Fatal(err)
	}
	if u := refused(t, p, Want{Model: "gemini-c"}); u.Reason != ModelUnavailable {
		t.Errorf("no key may serve it: %+v", u)
	}
	if err := p.Edit(t.Context(), only, Patch{Models: &[]string{}}); err != nil {
		t.Fatal(err)
	}
	if n := serves("gemini-c"); n != 20 {
		t.Errorf("free again, it had %d of 20", n)
	}
	x := p.Explain(ExplainQuery{Model: "gemini-c"})
	if x.Counts[StandsLacksModel] != 1 || x.Candidates[1].Why != notAllowed {
		t.Errorf("%+v", x)
	}
}

func TestHistory_IsBounded(t *testing.T) {
	s := memory.New()
	p := open(t, s, 0)
	id := add(t, p, NewKey{Secret: "one", Batch: "b1"})[0]
	for i := range 15 {
		for _, to := range []State{StateDisabled, StateUntested} {
			if err := p.SetState(t.Context(), id, to, fmt.Sprint("turn ", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, pool := range []*Pool{p, open(t, s, 0)} {
		d, _ := pool.Detail(id)
		if len(d.History) != maxHistory+1 {
			t.Fatalf("%d events", len(d.History))
		}
		first, last := d.History[0], d.History[maxHistory]
		if first.What != "untested" || first.Detail != "turn 14" || last.What != eventAdded || last.Detail != "import b1" || d.History[19].Detail != "turn 5" {
			t.Errorf("%+v", d.History)
		}
	}
}

func TestDisabledFromTheStart(t *testing.T) {
	s := memory.New()
	p := open(t, s, 0)
	add(t, p, NewKey{Secret: "one", Disabled: true})
	for _, pool := range []*Pool{p, open(t, s, 0)} {
		if u := refused(t, pool, Want{}); u.Reason != AllDead {
			t.Errorf("%+v", u)
		}
	}
}
