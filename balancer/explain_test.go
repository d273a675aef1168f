// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// explain returns the explanation and its candidates by id.
func explain(p *Pool, q ExplainQuery) (Explanation, map[string]Candidate) {
	if q.Model == "" {
		q.Model = flash
	}
	x := p.Explain(q)
	by := map[string]Candidate{}
	for _, c := range x.Candidates {
		by[c.KeyID] = c
	}
	return x, by
}

// TestExplain_SaysWhyAKeyIsOut puts one key into each standing.
func TestExplain_SaysWhyAKeyIsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 0)
		key := func(secret string, edit ...func(*NewKey)) string {
			k := NewKey{Secret: secret, Tags: []string{"team"}, Paid: true}
			for _, f := range edit {
				f(&k)
			}
			return add(t, p, k)[0]
		}
		ready := key("ready")
		only := func(id string, o Outcome) { // leases until the key comes, and ends that so
			t.Helper()
			var leases []*Lease
			for {
				l := lease(t, p, Want{})
				if l.KeyID() == id {
					l.Done(o)
					break
				}
				leases = append(leases, l)
			}
			for _, l := range leases {
				l.Done(Outcome{Verdict: Canceled})
			}
		}
		want := map[string]Standing{ready: StandsReady}
		for _, c := range []struct {
			secret   string
			o        Outcome
			standing Standing
		}{
			{"cooling", minuteFull, StandsCooling},
			{"day", dayFull, StandsExhausted},
			{"model", noModel, StandsUnavailable},
			{"money", noMoney, StandsCooling},
			{"dead", invalid, Standing(StateInvalid)},
			{"leaked", Outcome{Verdict: LeakedKey, Blame: ScopeKey, State: StateLeaked}, Standing(StateLeaked)},
			{"day by count", Outcome{Limits: []Limit{{ID: "RequestsPerDay", Value: 1}}}, StandsFull},
		} {
			id := key(strings.ReplaceAll(c.secret, " ", "-"))
			only(id, c.o)
			want[id] = c.standing
		}
		id := key("route", func(k *NewKey) { k.Proxy = "http://user:word@proxy.example:3128" })
		only(id, routeOut)
		want[id] = StandsRoute
		want[key("tag", func(k *NewKey) { k.Tags = nil })] = StandsWrongTag
		want[key("unpaid", func(k *NewKey) { k.Paid = false })] = StandsUnpaid
		id = key("disabled")
		if err := p.SetState(context.Background(), id, StateDisabled, "by hand"); err != nil {
			t.Fatal(err)
		}
		want[id] = Standing(StateDisabled)

		x, by := explain(p, ExplainQuery{Tags: []string{"team"}, PaidOnly: true})
		if x.Total != len(want) || x.Strategy != "round_robin" {
			t.Errorf("total %d, strategy %s", x.Total, x.Strategy)
		}
		for id, standing := range want {
			c := by[id]
			if c.Standing != standing {
				t.Errorf("%s is %q, want %q (%+v)", id, c.Standing, standing, c)
			}
			if x.Counts[standing] == 0 {
				t.Errorf("counts lack %s", standing)
			}
			dead := !c.State.leasable()
			if out := standing != StandsReady; out && c.Why == "" && !dead || (c.Rank == 0) != out || dead && c.Hint == "" {
				t.Errorf("%s: rank %d, why %q, hint %q", standing, c.Rank, c.Why, c.Hint)
			}
			if rests := c.Rest != nil; rests && (c.Until.IsZero() || c.Why != c.Rest.Why) {
				t.Errorf("%s rests until %s, why %q", standing, c.Until, c.Why)
			}
		}
		if x.Candidates[0].KeyID != ready || x.Candidates[0].Rank != 1 {
			t.Errorf("the first is %+v", x.Candidates[0])
		}
		if text, _ := json.Marshal(x); strings.Contains(string(text), "word@") {
			t.Error("the password of a proxy is told")
		}
		only1, _ := explain(p, ExplainQuery{Tags: []string{"team"}, PaidOnly: true, Standing: StandsUnpaid})
		if only1.Total != 1 || len(only1.Candidates) != 1 {
			t.Errorf("with a standing: %d", only1.Total)
		}
		// Nobody has looked at the rests since they ended.
		time.Sleep(2 * time.Hour)
		if _, by = explain(p, ExplainQuery{}); by[ready].Standing != StandsReady || by[KeyID("cooling")].Standing != StandsReady {
			t.Errorf("two hours later: %s, %s", by[ready].Standing, by[KeyID("cooling")].Standing)
		}
	})
}

// TestExplain_SecondChoices: keys whose limit is not known, beyond what others may
// have.
func TestExplain_SecondChoices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 0)
		ids := add(t, p, newKeys(2)...)
		if err := p.SetStrategy("least_used"); err != nil {
			t.Fatal(err)
		}
		refusing := lease(t, p, Want{})
		a := refusing.KeyID()
		b := ids[1-slices.Index(ids, a)]
		refusing.Done(Outcome{Verdict: RateLimited, Blame: ScopeProjectModel, Rest: time.Second, Limits: []Limit{{ID: "RequestsPerMinute", Value: 2}}})
		time.Sleep(2 * time.Second)
		for range 4 { // two each
			lease(t, p, Want{}).Done(ok)
		}
		_, by := explain(p, ExplainQuery{})
		if by[a].Standing != StandsFull || by[b].Standing != StandsSecond || by[b].Rank != 1 {
			t.Errorf("a is %s, b is %s", by[a].Standing, by[b].Standing)
		}
		explorer := lease(t, p, Want{})
		if _, by = explain(p, ExplainQuery{}); by[b].Standing != StandsExploring || by[b].Rank != 0 {
			t.Errorf("b is %s", by[b].Standing)
		}
		explorer.Done(ok)
		w := by[a].RPM
		if w.Limit == nil || *w.Limit != 2 || w.Used != 2 || w.Source != SourceLearned || w.Since.IsZero() {
			t.Errorf("rpm of a: %+v", w)
		}
	})
}

// TestExplain_ProbesAndTokens: keys that are not proven, and requests too large.
func TestExplain_ProbesAndTokens(t *testing.T) {
	p := open(t, nil, 2)
	p.SetProbed(true)
	x, _ := explain(p, ExplainQuery{})
	if x.Counts[StandsProbePending] != 2 || x.Candidates[0].Rank != 1 {
		t.Errorf("counts %v", x.Counts)
	}
	p.SetProbed(false)
	l := lease(t, p, Want{Tokens: 10})
	if x, _ = explain(p, ExplainQuery{}); x.Counts[StandsTried] != 1 {
		t.Errorf("counts %v", x.Counts)
	}
	l.Done(Outcome{Input: 10, Limits: []Limit{{ID: "InputTokensPerMinute", Value: 100}}})
	if x, _ = explain(p, ExplainQuery{Tokens: 91}); x.Counts[StandsNoRoom] != 1 {
		t.Errorf("counts %v", x.Counts)
	}
	if x, _ = explain(p, ExplainQuery{Tokens: 90}); x.Counts[StandsReady] != 2 {
		t.Errorf("counts %v", x.Counts)
	}
}

// TestExplain_ChangesNothing compares what a pool does with and without questions
// in between.
func TestExplain_ChangesNothing(t *testing.T) {
	for _, strategy := range []string{"round_robin", "least_used"} {
		synctest.Test(t, func(t *testing.T) {
			run := func(ask bool) (order []string) {
				p := open(t, nil, 7)
				if err := p.SetStrategy(strategy); err != nil {
					t.Fatal(err)
				}
				for i := range 60 {
					if ask {
						explain(p, ExplainQuery{Tokens: 5})
						p.Explain(ExplainQuery{Model: fmt.Sprint("never-asked-", i), Tags: []string{"no such tag"}})
						p.Forecasts()
						p.Quotas(QuotaQuery{})
					}
					l, err := p.Lease(context.Background(), Want{Model: flash})
					if err != nil {
						order = append(order, "none")
						time.Sleep(time.Second)
						continue
					}
					order = append(order, l.KeyID())
					l.Done(Outcome{Verdict: []Verdict{OK, OK, ServerError, OK}[i%4], Limits: []Limit{{ID: "RequestsPerMinute", Value: 4}}})
					time.Sleep(700 * time.Millisecond)
				}
				if n := len(*p.models.Load()); ask && n != 1 {
					t.Errorf("%d models after asking", n)
				}
				return order
			}
			if with, without := run(true), run(false); !slices.Equal(with, without) {
				t.Errorf("%s: asked %v\nnot asked %v", strategy, with, without)
			}
		})
	}
}

// TestExplain_RanksAsTheStrategyPicks: the key on top is the next one.
func TestExplain_RanksAsTheStrategyPicks(t *testing.T) {
	for _, strategy := range []string{"round_robin", "least_used", "adaptive"} {
		t.Run(strategy, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // where all answer equally fast
				p := open(t, nil, 5)
				if err := p.SetStrategy(strategy); err != nil {
					t.Fatal(err)
				}
				for i := range 40 {
					x, _ := explain(p, ExplainQuery{})
					l := lease(t, p, Want{})
					place := slices.IndexFunc(x.Candidates, func(c Candidate) bool { return c.KeyID == l.KeyID() })
					if got, least := x.Candidates[place], x.Candidates[0]; got.Score.Measure > least.Score.Measure*1.001 {
						t.Fatalf("pick %d took rank %d of measure %g, not %g", i, got.Rank, got.Score.Measure, least.Score.Measure)
					}
					time.Sleep(time.Second)
					l.Done(Outcome{Input: 1, Tokens: 2})
				}
			})
		})
	}
}

// TestForecast sums what is known and counts what is not.
func TestForecast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 0)
		ids := add(t, p, NewKey{Secret: "a", Project: "one"}, NewKey{Secret: "b", Project: "one"}, NewKey{Secret: "c", Project: "two"}, NewKey{Secret: "d", Project: "three"})
		f := p.Explain(ExplainQuery{Model: flash}).Forecast
		if f.Projects != 3 || f.Day.Left != nil || f.Day.Unknown != 3 || f.Minute.Left != nil {
			t.Errorf("nothing known: %+v", f)
		}
		if err := p.SetLimits([]LimitRule{{Model: flash, Project: "t*", RPM: 5, RPD: 20}, {Model: "*", Project: "two", RPD: 7}}); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			lease(t, p, Want{}).Done(ok)
		}
		all := p.Forecasts()
		if len(all) != 1 || all[0].Model != flash {
			t.Fatalf("forecasts %+v", all)
		}
		// Of four turns each key had one.
		if f = all[0]; f.Day.Left == nil || *f.Day.Left != 19+19 || f.Day.Unknown != 1 || *f.Minute.Left != 8 || f.Minute.Unknown != 1 {
			t.Errorf("day %v %d, minute %v %d", f.Day.Left, f.Day.Unknown, f.Minute.Left, f.Minute.Unknown)
		}
		if err := p.SetState(context.Background(), ids[2], StateDisabled, ""); err != nil {
			t.Fatal(err)
		}
		if f = p.Forecasts()[0]; f.Projects != 2 || *f.Day.Left != 19 {
			t.Errorf("without two: %+v", f)
		}
		time.Sleep(25 * time.Hour)
		if f = p.Forecasts()[0]; *f.Day.Left != 20 || *f.Minute.Left != 5 {
			t.Errorf("the day after: %d %d", *f.Day.Left, *f.Minute.Left)
		}
	})
}

// TestForecast_Spend: a project that has spent its limit by our own count has nothing
// left for now, as one that Google refuses for it.
func TestForecast_Spend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 2)
		if err := p.SetLimits([]LimitRule{{Model: "*", RPM: 5, RPD: 10, Spend: 100}}); err != nil {
			t.Fatal(err)
		}
		lease(t, p, Want{Cost: 100}).Done(Outcome{Cost: 100})
		if f := p.Explain(ExplainQuery{Model: flash}).Forecast; *f.Minute.Left != 5 || *f.Day.Left != 19 || f.Projects != 2 {
			t.Errorf("one has spent: %d in the minute, %d in the day", *f.Minute.Left, *f.Day.Left)
		}
		lease(t, p, Want{Cost: 100}).Done(Outcome{Cost: 100})
		refused(t, p, Want{Cost: 1})
		if f := p.Explain(ExplainQuery{Model: flash}).Forecast; *f.Minute.Left != 0 || *f.Day.Left != 18 {
			t.Errorf("both have: %d in the minute, %d in the day", *f.Minute.Left, *f.Day.Left)
		}
		time.Sleep(11 * time.Minute)
		if f := p.Explain(ExplainQuery{Model: flash}).Forecast; *f.Minute.Left != 10 {
			t.Errorf("after it: %d in the minute", *f.Minute.Left)
		}
	})
}

func TestHints(t *testing.T) {
	for _, s := range States {
		if h := hint("AQ.x", s, ""); (h == "") != s.leasable() {
			t.Errorf("%s: %q", s, h)
		}
		if h := hint(OldTypePrefix+"x", s, ""); h == "" {
			t.Errorf("%s of the old type has no hint", s)
		}
	}
	if h := hint("AQ.x", StateMisconfigured, "403 SERVICE_DISABLED: …"); !strings.Contains(h, "switch it on") {
		t.Errorf("service disabled: %q", h)
	}
	for words := range restHints {
		if _, known := verdicts[words]; !known {
			t.Errorf("%q is no reason of a rest", words)
		}
	}
}

func BenchmarkExplain(b *testing.B) {
	for _, used := range []bool{false, true} {
		p := open(b, nil, 100_000)
		resting(b, p, .5)
		if used {
			for range 20_000 {
				lease(b, p, Want{}).Done(ok)
			}
		}
		for _, c := range []struct {
			name string
			q    ExplainQuery
		}{{"first page", ExplainQuery{Model: flash}}, {"cooling", ExplainQuery{Model: flash, Standing: StandsCooling, Offset: 20_000}}} {
			b.Run(fmt.Sprintf("%s/used=%t", c.name, used), func(b *testing.B) {
				for b.Loop() {
					p.Explain(c.q)
				}
			})
		}
		b.Run(fmt.Sprintf("forecasts/used=%t", used), func(b *testing.B) {
			for b.Loop() {
				p.forecastGood = time.Time{}
				p.Forecasts()
			}
		})
	}
}
