// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

const dollar = 1_000_000_000 // nano-USD

// priced is a success that cost something.
func priced(cost int64) Outcome { return Outcome{Cost: cost} }

// spends leases a request that is taken to cost something.
func spends(t *testing.T, p *Pool, estimate int64) *Lease {
	t.Helper()
	return lease(t, p, Want{Cost: estimate})
}

func spender(t *testing.T, s *memory.Store, limit int64, keys ...NewKey) *Pool {
	t.Helper()
	o := Options{Store: s, Sealer: sealer(t), Strategy: "round_robin"}
	if limit > 0 {
		o.Limits = []LimitRule{{Model: "*", Spend: limit}}
	}
	p, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	add(t, p, keys...)
	return p
}

// A limit that the operator set is kept by our own count, over all models and keys of
// the project, with what is under way, and over a restart; raising it frees the
// project at once.
func TestSpending_Set(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(10 * time.Second) // not at the border of a slot
		s := memory.New()
		keys := []NewKey{{Secret: "one", Project: "p"}, {Secret: "two", Project: "p"}}
		p := spender(t, s, 10*dollar, keys...)
		began := time.Now()
		lease(t, p, Want{Model: "other", Cost: dollar}).Done(priced(4 * dollar))
		time.Sleep(3 * time.Minute)
		under := spends(t, p, 6*dollar)
		if u := refused(t, p, Want{}); u.Reason != AllResting || u.RetryAfter <= 0 {
			t.Errorf("4 spent and 6 under way of 10: %+v", u)
		}
		if v := p.Explain(ExplainQuery{Model: flash}).Candidates[0]; v.Standing != StandsFull || v.Why != spendByBooks || v.Spend.Used != 10*dollar || *v.Spend.Limit != 10*dollar || v.Spend.Source != SourceSet {
			t.Errorf("explained as %+v, %+v", v, v.Spend)
		}
		check(t, p, time.Now())
		under.Done(priced(3 * dollar)) // less than it was taken for
		spends(t, p, 0).Done(priced(8 * dollar))
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
		p = spender(t, s, 10*dollar)
		u := refused(t, p, Want{Model: "third"})
		// 15 are spent; the first 4 leave with their slot, which is not enough.
		if got, want := time.Now().Add(u.RetryAfter), began.Add(3*time.Minute+spendWindow); got.Before(want) || got.After(want.Add(spendGrid)) {
			t.Errorf("back at %v, want %v and up to %v more", got, want, spendGrid)
		}
		check(t, p, time.Now())
		if err := p.SetLimits([]LimitRule{{Model: "*", Spend: 20 * dollar}}); err != nil {
			t.Fatal(err)
		}
		spends(t, p, 0).Done(priced(5 * dollar))
		time.Sleep(refused(t, p, Want{}).RetryAfter)
		spends(t, p, 0).Done(ok)
		check(t, p, time.Now())
		if err := p.SetLimits(nil); err != nil {
			t.Fatal(err)
		}
		spends(t, p, 0).Done(priced(100 * dollar))
		spends(t, p, 0).Done(ok)
	})
}

// What had been spent when Google refused stands for the limit: up to it the project
// is used, then it rests until there is room, and now and then one request tries
// whether Google takes more.
func TestSpending_Observed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		p := spender(t, s, 0, NewKey{Secret: "one", Project: "p"})
		spends(t, p, dollar).Done(priced(dollar))
		if p.projects["p"].spending.Load() != nil {
			t.Fatal("what nobody asks for is counted")
		}
		spends(t, p, dollar).Done(overspent) // nothing was counted yet
		time.Sleep(spendWindow)
		for range 9 {
			spends(t, p, dollar).Done(priced(dollar))
		}
		if v := p.Explain(ExplainQuery{Model: flash}).Candidates[0].Spend; v == nil || v.Used != 9*dollar || v.Limit != nil {
			t.Errorf("before the second refusal: %+v", v)
		}
		spends(t, p, dollar).Done(overspent)
		v, _ := p.Quotas(QuotaQuery{})
		if w := v[0].Spend; w == nil || *w.Limit != 9*dollar || w.Source != SourceObserved || !w.Since.Equal(time.Now()) {
			t.Errorf("after the second refusal: %+v", w)
		}
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
		p = spender(t, s, 0)
		// Google's word is for a minute, the books say more. After the window one may try.
		if u := refused(t, p, Want{}); u.RetryAfter != spendWindow {
			t.Errorf("rests %v, want %v", u.RetryAfter, spendWindow)
		}
		time.Sleep(spendWindow + spendGrid)
		for range 9 {
			spends(t, p, dollar).Done(priced(dollar))
		}
		trial := spends(t, p, dollar)
		refused(t, p, Want{})
		check(t, p, time.Now())
		trial.Done(priced(dollar))
		if w := p.projects["p"].spends(time.Now(), time.Time{}); *w.Limit != 12_500_000_000 {
			t.Errorf("after 10 were taken the limit is thought to be %d", *w.Limit)
		}
		spends(t, p, dollar).Done(priced(dollar))
		check(t, p, time.Now())
		time.Sleep(learnedFor + time.Hour)
		if w := p.projects["p"].spends(time.Now(), time.Time{}); w.Limit != nil || w.Used != 0 {
			t.Errorf("after a day: %+v", w)
		}
	})
}

// An announced time goes before our own count, and a reset by the operator, too.
func TestSpending_Retry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := spender(t, memory.New(), 0, NewKey{Secret: "one", Project: "p"})
		spends(t, p, 0).Done(overspent)
		time.Sleep(spendWindow)
		spends(t, p, 0).Done(priced(dollar))
		announced := overspent
		announced.Rest, announced.RetryAfter, announced.Escalate = 31*time.Second, 31*time.Second, false
		spends(t, p, 0).Done(announced)
		if got := refused(t, p, Want{}).RetryAfter; got != 31*time.Second {
			t.Errorf("rests %v, want 31s", got)
		}
		time.Sleep(31 * time.Second)
		spends(t, p, 0).Done(overspent)
		refused(t, p, Want{})
		if err := p.Reset(t.Context(), KeyID("one")); err != nil {
			t.Fatal(err)
		}
		trial := spends(t, p, 0)
		trial.Done(Outcome{Verdict: ServerError}) // says nothing
		spends(t, p, 0).Done(ok)
		spends(t, p, 0).Done(ok)
		check(t, p, time.Now())
	})
}

// What a key's own project spent goes along when Google reveals the real one, with
// what is under way.
func TestSpending_GoesAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := spender(t, memory.New(), 10*dollar, NewKey{Secret: "one"}, NewKey{Secret: "two"})
		for range 2 {
			spends(t, p, 0).Done(priced(6 * dollar))
		}
		under := [2]*Lease{spends(t, p, dollar), spends(t, p, dollar)}
		for range 2 {
			spends(t, p, 0).Done(Outcome{Verdict: BadRequest, Consumer: "projects/7"})
		}
		refused(t, p, Want{})
		check(t, p, time.Now())
		for _, l := range under {
			l.Done(priced(2 * dollar))
		}
		s := p.projects["projects/7"].spending.Load()
		if s.sum != 16*dollar || s.reserved != 0 || s.running != 0 {
			t.Errorf("%+v", s)
		}
		if len(p.projects) != 1 {
			t.Errorf("%d projects are left", len(p.projects))
		}
		check(t, p, time.Now())
	})
}

// What a request costs that Google did not take is nothing, and an unknown price is
// what it was taken for.
func TestSpending_End(t *testing.T) {
	for name, c := range map[string]struct {
		o    Outcome
		want int64
	}{
		"known":          {priced(3 * dollar), 3 * dollar},
		"unknown":        {ok, dollar},
		"client's fault": {Outcome{Verdict: BadRequest}, 0},
		"refused":        {minuteFull, 0},
		"client left":    {Outcome{Verdict: Canceled, Cost: 2 * dollar}, 2 * dollar},
		"cut":            {Outcome{Verdict: Network}, dollar},
	} {
		t.Run(name, func(t *testing.T) {
			p := spender(t, memory.New(), 10*dollar, NewKey{Secret: "one", Project: "p"})
			spends(t, p, dollar).Done(c.o)
			if s := p.projects["p"].spending.Load(); s.sum != c.want || s.reserved != 0 {
				t.Errorf("%d counted, want %d; %d reserved", s.sum, c.want, s.reserved)
			}
		})
	}
}

// A request that finds its quota taken at the last moment gives back what it reserved,
// and the project is used again where that filled it.
func TestSpending_NoRoomInQuota(t *testing.T) {
	p := spender(t, memory.New(), 10*dollar, NewKey{Secret: "one", Project: "p"})
	now := p.now()
	held, ok := p.maySpend(p.byID[KeyID("one")], 10*dollar, now, false)
	if !ok {
		t.Fatal("there is room")
	}
	refused(t, p, Want{})
	p.unspend(held, now, false)
	if s := p.projects["p"].spending.Load(); s.reserved != 0 || s.running != 0 {
		t.Errorf("%d reserved for %d", s.reserved, s.running)
	}
	spends(t, p, 0).Done(Outcome{})
	check(t, p, now)
}

// Strangers that are guessed to be kin do not share a spend limit that was not named.
func TestSpending_Guess(t *testing.T) {
	p := open(t, nil, 2)
	now := p.now()
	p.mu.Lock()
	p.join(p.byID[KeyID(secretOf(0))].live.Load().project, p.byID[KeyID(secretOf(1))].live.Load().project, now)
	p.mu.Unlock()
	lease(t, p, Want{}).Done(overspent)
	lease(t, p, Want{}).Done(ok)
	for _, project := range p.projects {
		if project.spending.Load() != nil {
			t.Errorf("%s is counted", project.id)
		}
	}
}

// A clock that was set back makes nothing rest for longer than a window.
func TestSpending_ClockSetBack(t *testing.T) {
	var s spending
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	s.limit.set = dollar
	s.add(dollar, now)
	for _, back := range []time.Duration{time.Minute, time.Hour, 1000 * time.Hour} {
		at := now.Add(-back)
		if until, _ := s.stands(at); until.Sub(at) > 2*spendWindow {
			t.Errorf("set back by %v it rests %v", back, until.Sub(at))
		}
	}
}

// TestSpendLimit_Emptied: a project that is remembered without a key has its limit when
// one comes.
func TestSpendLimit_Emptied(t *testing.T) {
	p := open(t, nil, 0)
	if err := p.SetLimits([]LimitRule{{Model: "*", Project: "p", Spend: 10}}); err != nil {
		t.Fatal(err)
	}
	id := add(t, p, NewKey{Secret: "a", Project: "p"})[0]
	lease(t, p, Want{}).Done(noMoney) // the rest keeps the project
	other := "q"
	if err := p.Edit(t.Context(), id, Patch{Project: &other}); err != nil {
		t.Fatal(err)
	}
	add(t, p, NewKey{Secret: "b", Project: "p"})
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.projects["p"].spends(p.now(), p.now()); w == nil || w.Limit == nil || *w.Limit != 10 {
		t.Errorf("%+v", w)
	}
}
