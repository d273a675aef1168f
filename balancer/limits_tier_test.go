// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

func TestLimitRules_Tier(t *testing.T) {
	for tier, fits := range map[string]bool{"": true, "free": true, "paid": true, "Paid": false, "batch": false, "*": false} {
		if err := (LimitRule{Model: "*", Tier: tier, RPM: 1}).Check(); (err == nil) != fits {
			t.Errorf("tier %q: %v", tier, err)
		}
	}
	l := limitRules{rules: []LimitRule{
		{Model: "a", Tier: TierPaid, RPM: 1000},
		{Model: "a", Project: "big", Tier: TierFree, RPM: 20, RPD: 30},
		{Model: "*", Tier: TierFree, RPM: 10},
		{Model: "*", RPM: 7, TPM: 250_000},
		{Model: "*", Tier: TierPaid, Spend: 9},
		{Model: "*", Spend: 8},
	}}
	for _, c := range []struct {
		project, model string
		paid           int32
		want           [4]int64
	}{
		{"p", "a", 0, [4]int64{10, 250_000, 0, 8}},
		{"p", "a", 1, [4]int64{1000, 250_000, 0, 9}},
		{"p", "b", 2, [4]int64{7, 250_000, 0, 9}},
		{"big", "a", 0, [4]int64{20, 250_000, 30, 8}},
		{"big", "a", 1, [4]int64{1000, 250_000, 0, 9}},
	} {
		p := &project{id: c.project}
		p.paid.Store(c.paid)
		var got [4]int64
		got[0], got[1], got[2] = l.of(p, c.model)
		if got[3] = l.spend(p); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestSetLimits_Tier: a project has the limits of its tier from the moment on that it
// changes, and requests that wait are served with them.
func TestSetLimits_Tier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 0)
		if err := p.SetLimits([]LimitRule{{Model: "*", Tier: TierFree, RPM: 2}, {Model: "*", Tier: TierPaid, RPM: 5}}); err != nil {
			t.Fatal(err)
		}
		ids := add(t, p, NewKey{Secret: "a", Project: "p"}, NewKey{Secret: "b", Project: "p"})
		told := func(want int64) {
			t.Helper()
			c := p.Explain(ExplainQuery{Model: flash})
			q, _ := p.Quotas(QuotaQuery{})
			for _, w := range []Window{c.Candidates[0].RPM, q[0].RPM} {
				if w.Limit == nil || *w.Limit != want || w.Source != SourceSet {
					t.Errorf("told %+v, want %d", w, want)
				}
			}
		}
		serves := func(n int) {
			t.Helper()
			for range n {
				lease(t, p, Want{}).Done(ok)
			}
			refused(t, p, Want{})
		}
		serves(2)
		told(2)
		waiting := make(chan error)
		go func() {
			l, err := p.Lease(t.Context(), Want{Model: flash, Wait: 2 * time.Minute})
			if err == nil {
				l.Done(ok)
			}
			waiting <- err
		}()
		synctest.Wait()
		began, yes, no := time.Now(), true, false
		if err := p.Edit(t.Context(), ids[1], Patch{Paid: &yes}); err != nil {
			t.Fatal(err)
		}
		if err := <-waiting; err != nil || time.Since(began) > 0 {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		serves(2)
		told(5)
		if err := p.Delete(t.Context(), ids[1]); err != nil {
			t.Fatal(err)
		}
		told(2)
		refused(t, p, Want{})
		if err := p.Restore(t.Context(), ids[1:], func(string, error) {}); err != nil {
			t.Fatal(err)
		}
		told(5)
		if err := p.Edit(t.Context(), ids[1], Patch{Paid: &no}); err != nil {
			t.Fatal(err)
		}
		told(2)
		p.Declare([]NewKey{{Secret: "c", Project: "p", Paid: true}})
		told(5)
		p.Declare(nil)
		told(2)
	})
}

// TestSetLimits_TierOracle: whatever keys, rules and requests did, the limits in force
// are those that the rules and the keys of the moment say.
func TestSetLimits_TierOracle(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 150
	}
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			w := &tierWorld{rng: rand.New(rand.NewPCG(seed, 3)), store: memory.New()}
			w.open(t)
			for i := range rounds {
				what := w.step(t)
				w.check(t, fmt.Sprintf("seed %d, step %d: %s", seed, i, what))
			}
			if w.changed < 3 {
				t.Errorf("projects changed their tier only %d times", w.changed)
			}
		})
	}
}

// tierWorld is a pool to which everything happens that a project's tier depends on.
type tierWorld struct {
	rng     *rand.Rand
	store   store.Store
	pool    *Pool
	rules   []LimitRule
	paid    map[string]bool // projects that were paid at the last check
	changed int
}

func (w *tierWorld) open(t *testing.T) {
	p, err := Open(Options{Store: w.store, Sealer: sealer(t), Limits: w.rules})
	if err != nil {
		t.Fatal(err)
	}
	w.pool = p
}

func (w *tierWorld) project() string { return []string{"", "", "p", "q", "paid-1"}[w.rng.IntN(5)] }

func (w *tierWorld) key() NewKey {
	return NewKey{Secret: secretOf(w.rng.IntN(10)), Project: w.project(), Paid: w.rng.IntN(3) == 0}
}

func (w *tierWorld) id() string { return KeyID(secretOf(w.rng.IntN(10))) }

func (w *tierWorld) rule() LimitRule {
	window := func() int64 { return max(0, w.rng.Int64N(6)-2) * 10 }
	r := LimitRule{
		Model: []string{"*", flash, "gemini-?", "other"}[w.rng.IntN(4)], Project: []string{"", "", "p", "paid-*", "gk_*", "projects/*"}[w.rng.IntN(6)],
		Tier: []string{"", TierFree, TierPaid}[w.rng.IntN(3)], RPM: window() + 10, TPM: window() * 1000, RPD: window(),
	}
	if w.rng.IntN(3) == 0 {
		r.Model, r.Spend = "*", window()
	}
	return r
}

// step does something, and returns what.
func (w *tierWorld) step(t *testing.T) (what string) {
	t.Helper()
	p, ctx := w.pool, t.Context()
	switch w.rng.IntN(20) {
	case 0, 1:
		k := w.key()
		add(t, p, k)
		return "add " + KeyID(k.Secret)
	case 2:
		id := w.id()
		_ = p.Delete(ctx, id)
		return "delete " + id
	case 3:
		id := w.id()
		_ = p.Restore(ctx, []string{id}, func(string, error) {})
		return "restore " + id
	case 4, 5:
		id, paid := w.id(), w.rng.IntN(2) == 0
		_ = p.Edit(ctx, id, Patch{Paid: &paid})
		return fmt.Sprintf("paid %s %v", id, paid)
	case 6:
		id, project := w.id(), w.project()
		_ = p.Edit(ctx, id, Patch{Project: &project})
		return fmt.Sprintf("project %s %q", id, project)
	case 7:
		p.Declare([]NewKey{w.key(), w.key()}[:w.rng.IntN(3)])
		return "declare"
	case 8:
		w.rules = nil
		for range w.rng.IntN(5) {
			w.rules = append(w.rules, w.rule())
		}
		if err := p.SetLimits(w.rules); err != nil {
			t.Fatal(err)
		}
		return "rules"
	case 9:
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
		w.open(t)
		return "restart"
	case 10:
		time.Sleep(time.Duration(w.rng.IntN(100)) * time.Second)
		return "time"
	default:
		return w.ask()
	}
}

// ask sends a request, which may reveal its key's project, be refused until the same
// moment as others, or cost something.
func (w *tierWorld) ask() string {
	l, err := w.pool.Lease(context.Background(), Want{Model: []string{flash, "other"}[w.rng.IntN(2)], Tokens: 10, Cost: 1})
	if err != nil {
		return "refused"
	}
	switch w.rng.IntN(4) {
	case 0:
		o := invalid
		o.State, o.Consumer = "", fmt.Sprint(w.rng.IntN(2))
		l.Done(o)
		return "revealed"
	case 1:
		o := minuteFull
		o.RetryAfter, o.Limits = 30*time.Second, []Limit{{ID: "RequestsPerMinute", Value: 2}}
		l.Done(o)
		return "limited"
	default:
		l.Done(Outcome{Input: 10, Cost: 5})
		return "served"
	}
}

// check works out the limits in force from nothing but the rules and the keys.
func (w *tierWorld) check(t *testing.T, after string) {
	t.Helper()
	p := w.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	paid := map[string]bool{}
	for _, e := range p.byID {
		if e.key().Paid {
			paid[e.live.Load().project.id] = true
		}
	}
	fits := func(glob, name string) bool {
		fits, err := path.Match(glob, name)
		return err == nil && fits
	}
	said := func(project, model string, of func(LimitRule) int64) int64 {
		i := slices.IndexFunc(w.rules, func(r LimitRule) bool {
			tier := r.Tier == "" || r.Tier == "paid" && paid[project] || r.Tier == "free" && !paid[project]
			return tier && of(r) > 0 && (model == "" || fits(r.Model, model)) && (r.Project == "" || fits(r.Project, project))
		})
		if i < 0 {
			return 0
		}
		return of(w.rules[i])
	}
	for id, project := range p.projects {
		for _, q := range project.quotas {
			m := q.model
			got := [3]int64{q.rpm.set, q.tpm.set, q.rpd.set}
			want := [3]int64{
				said(id, m.name, func(r LimitRule) int64 { return r.RPM }), said(id, m.name, func(r LimitRule) int64 { return r.TPM }),
				said(id, m.name, func(r LimitRule) int64 { return r.RPD }),
			}
			if got != want {
				t.Fatalf("%s: %s of %s has %v, want %v", after, m.name, id, got, want)
			}
		}
		got, want := int64(0), said(id, "", func(r LimitRule) int64 { return r.Spend })
		if s := project.spending.Load(); s != nil {
			got = s.limit.set
		}
		if got != want {
			t.Fatalf("%s: %s may spend %d, want %d", after, id, got, want)
		}
		if paid[id] != w.paid[id] {
			w.changed++
		}
	}
	w.paid = paid
}
