// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// refusal429 is a per-minute refusal as upstream.Classify makes it.
func refusal429(id string, value int64, after time.Duration) Outcome {
	return Outcome{
		Verdict: RateLimited, Blame: ScopeProjectModel, Retry: RetryOther, Rest: max(after, time.Second), RetryAfter: after, Status: 429,
		Limits: []Limit{{ID: id, Value: value}},
	}
}

const (
	perMinuteID = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
	tokensID    = "GenerateContentInputTokensPerModelPerMinute-FreeTier"
	perDayID    = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
)

func quotaFor(tb testing.TB, p *Pool, secret, model string) *quota {
	tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.byID[KeyID(secret)].live.Load().project.quota((*p.models.Load())[model])
	if q == nil {
		tb.Fatalf("no books of %s for %s", secret, model)
	}
	return q
}

// until leases until the pool refuses, and returns how many it gave.
func until(tb testing.TB, p *Pool, w Want, o Outcome) int {
	tb.Helper()
	if w.Model == "" {
		w.Model = flash
	}
	for n := 0; ; n++ {
		l, err := p.Lease(tb.Context(), w)
		if err != nil {
			return n
		}
		l.Done(o)
		if n > 10_000 {
			tb.Fatal("no end")
		}
	}
}

// TestQuota_PacificDays: a day of 23, one of 25 hours and a plain one end at
// Google's midnight.
func TestQuota_PacificDays(t *testing.T) {
	for _, c := range []struct {
		name  string
		start time.Time // UTC
		want  time.Duration
	}{
		{"plain, winter", time.Date(2026, 1, 15, 9, 0, 0, 0, time.UTC), 23 * time.Hour},
		{"plain, summer", time.Date(2026, 7, 15, 9, 0, 0, 0, time.UTC), 22 * time.Hour},
		{"23 hours", time.Date(2026, 3, 8, 9, 0, 0, 0, time.UTC), 22 * time.Hour},
		{"25 hours", time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC), 24 * time.Hour},
		{"a moment before", time.Date(2026, 11, 2, 7, 59, 59, 0, time.UTC), time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(c.start))
			p := open(t, nil, 1)
			if err := p.SetLimits([]LimitRule{{Model: "*", RPD: 3}}); err != nil {
				t.Fatal(err)
			}
			if n := until(t, p, Want{}, ok); n != 3 {
				t.Fatalf("%s: %d", c.name, n)
			}
			if u := refused(t, p, Want{}); u.RetryAfter != c.want || u.Reason != AllExhausted {
				t.Errorf("%s: %+v; want %s", c.name, u, c.want)
			}
			time.Sleep(c.want - time.Nanosecond)
			refused(t, p, Want{})
			time.Sleep(time.Nanosecond)
			if n := until(t, p, Want{}, ok); n != 3 {
				t.Errorf("%s: %d the next day", c.name, n)
			}
		})
	}
}

// TestQuota_UndoRace: what attempts give back is there at once, also where others
// have just found the books full.
func TestQuota_UndoRace(t *testing.T) {
	for round := range 200 {
		const day = 16
		p := open(t, nil, 1)
		if err := p.SetLimits([]LimitRule{{Model: "*", RPD: day}}); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var served atomic.Int64
		for g := range 4 {
			wg.Go(func() {
				for i := range 12 {
					l, err := p.Lease(t.Context(), Want{Model: flash})
					if err != nil {
						continue
					}
					if (i+g+round)%3 == 0 {
						l.Done(Outcome{Verdict: Overloaded, Status: 503})
						continue
					}
					served.Add(1)
					l.Done(ok)
				}
			})
		}
		wg.Wait()
		if n := int(served.Load()) + until(t, p, Want{}, ok); n != day {
			t.Fatalf("%d served of %d", n, day)
		}
	}
}

// TestQuota_Hint: beyond the limit of another project one request explores, then
// twice as many after each that Google took; a refusal begins anew.
func TestQuota_Hint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 2)
		lease(t, p, Want{Bound: &Binding{KeyID: KeyID(secretOf(0))}}).Done(refusal429(perMinuteID, 5, time.Hour))
		for range 5 {
			lease(t, p, Want{}).Done(ok)
		}
		q := quotaFor(t, p, secretOf(1), flash)
		for _, most := range []int{1, 2, 4, 8} {
			var flying []*Lease
			for {
				l, err := p.Lease(t.Context(), Want{Model: flash})
				if err != nil {
					break
				}
				flying = append(flying, l)
			}
			if len(flying) != most || q.exploring != int32(most) {
				t.Fatalf("%d explore at once; want %d", len(flying), most)
			}
			flying[0].Accepted()
			flying[0].Accepted() // without effect
			for _, l := range flying[1:] {
				l.Done(Outcome{Verdict: Canceled})
			}
			flying[0].Done(ok)
			if q.exploring != 0 || q.inFlight != 0 {
				t.Fatalf("%d explore, %d in flight", q.exploring, q.inFlight)
			}
		}
		l := lease(t, p, Want{})
		l.Done(Outcome{Verdict: RateLimited, Blame: ScopeProjectModel, Rest: time.Second})
		time.Sleep(time.Second)
		lease(t, p, Want{})
		if _, err := p.Lease(t.Context(), Want{Model: flash}); err == nil {
			t.Error("after a refusal two explore at once")
		}
	})
}

// TestQuota_Announced: from the time that Google announced, one request at a time
// finds out, whatever the books say; but the operator's limit stands.
func TestQuota_Announced(t *testing.T) {
	for _, set := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := open(t, nil, 1)
			lease(t, p, Want{}).Done(ok)
			time.Sleep(10 * time.Second)
			for range 9 {
				lease(t, p, Want{}).Done(ok)
			}
			l := lease(t, p, Want{})
			if set {
				if err := p.SetLimits([]LimitRule{{Model: "*", RPM: 10}}); err != nil {
					t.Fatal(err)
				}
			}
			// By the books there is room in 50 seconds; Google says 20.
			l.Done(refusal429(perMinuteID, 10, 20*time.Second))
			if u := refused(t, p, Want{}); u.RetryAfter < 20*time.Second {
				t.Errorf("%+v", u)
			}
			time.Sleep(20 * time.Second)
			if set {
				if u := refused(t, p, Want{}); u.RetryAfter < 30*time.Second {
					t.Errorf("%+v", u)
				}
				return
			}
			l = lease(t, p, Want{})
			if _, err := p.Lease(t.Context(), Want{Model: flash}); err == nil {
				t.Error("two explore at once")
			}
			l.Done(ok)
			q := quotaFor(t, p, secretOf(0), flash)
			if q.minute.requests > 10 {
				t.Errorf("%d requests are counted of 10", q.minute.requests)
			}
		})
	}
}

// TestQuota_TokensOfTheSecondChoice: exploring requests is no leave to break a
// limit of tokens.
func TestQuota_TokensOfTheSecondChoice(t *testing.T) {
	p := open(t, nil, 1)
	lease(t, p, Want{Tokens: 80}).Done(refusal429(tokensID, 100, 0))
	time.Sleep(0)
	q := quotaFor(t, p, secretOf(0), flash)
	p.mu.Lock()
	q.model.teach(1)
	p.mu.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if _, ok, _ := q.reserve(now, 80, 1, false); !ok {
		t.Fatal("the first does not fit")
	}
	if _, ok, next := q.reserve(now, 80, 1, false); ok || !next.soft {
		t.Errorf("the second was let through: %t, %+v", ok, next)
	}
}

// TestQuota_Merge: what was under way when two projects turned out to be one is
// counted once and given back to the one.
func TestQuota_Merge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 3)
		var flying []*Lease
		for range 9 {
			l := lease(t, p, Want{Tokens: 100})
			flying = append(flying, l)
			l.entry.live.Load()
		}
		for i := range 3 {
			flying[i].Done(Outcome{Verdict: BadRequest, Consumer: "projects/1", Status: 400})
		}
		q := quotaFor(t, p, secretOf(0), flash)
		if q.inFlight != 6 || q.minute.requests != 6 || q.minute.tokens != 600 || q.today != 6 {
			t.Fatalf("in flight %d, %d requests, %d tokens, today %d", q.inFlight, q.minute.requests, q.minute.tokens, q.today)
		}
		if err := p.SetLimits([]LimitRule{{Model: "*", RPM: 8}}); err != nil {
			t.Fatal(err)
		}
		if n := until(t, p, Want{}, ok); n != 2 {
			t.Errorf("%d more; want 2", n)
		}
		for _, l := range flying[3:] {
			l.Done(Outcome{Verdict: Overloaded, Status: 503})
		}
		if q.inFlight != 0 || q.minute.requests != 2 || q.minute.tokens != 0 || q.today != 2 {
			t.Errorf("in flight %d, %d requests, %d tokens, today %d", q.inFlight, q.minute.requests, q.minute.tokens, q.today)
		}
	})
}

// TestQuota_MergeRace: leases come and go while their projects become one.
func TestQuota_MergeRace(t *testing.T) {
	for round := range 50 {
		p := open(t, nil, 8)
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(round), uint64(g)))
				for range 40 {
					l := lease(t, p, Want{Tokens: int64(r.IntN(100))})
					o := ok
					if r.IntN(8) == 0 {
						o = Outcome{Verdict: BadRequest, Consumer: "1", Status: 400}
					}
					l.Done(o)
				}
			})
		}
		wg.Wait()
		settled(t, p)
	}
}

// settled checks that nothing is reserved or in flight.
func settled(tb testing.TB, p *Pool) {
	tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.projects {
		for _, q := range t.quotas {
			m := q.model
			q.mu.Lock()
			var requests, tokens int64
			for _, s := range q.minute.spends {
				requests, tokens = requests+int64(s.requests), tokens+s.tokens
				if s.requests <= 0 || s.tokens < 0 {
					tb.Errorf("%s, %s: %+v", t.id, m.name, s)
				}
			}
			if q.inFlight != 0 || q.exploring != 0 || requests != q.minute.requests || tokens != q.minute.tokens || q.today < 0 {
				tb.Errorf("%s, %s: in flight %d, exploring %d, %d requests with %d tokens in %d with %d, today %d", t.id, m.name,
					q.inFlight, q.exploring, requests, tokens, q.minute.requests, q.minute.tokens, q.today)
			}
			q.mu.Unlock()
			if q.gated {
				tb.Errorf("%s, %s: gated and nobody explores", t.id, m.name)
			}
		}
	}
}

// TestQuota_LongAttempts: an attempt that outlives the minute takes nothing away
// from those that are in it.
func TestQuota_LongAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 1)
		if err := p.SetLimits([]LimitRule{{Model: "*", RPM: 5, TPM: 1000}}); err != nil {
			t.Fatal(err)
		}
		long := lease(t, p, Want{Tokens: 10})
		time.Sleep(2 * time.Minute)
		for range 5 {
			lease(t, p, Want{Tokens: 10}).Done(ok)
		}
		long.Done(Outcome{Verdict: Overloaded, Status: 503})
		if n := until(t, p, Want{}, ok); n != 0 {
			t.Errorf("%d more than the limit", n)
		}
	})
}

// TestQuota_SteadyFlow: a project may have its whole limit, also where that is
// large.
func TestQuota_SteadyFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 1)
		if err := p.SetLimits([]LimitRule{{Model: "*", RPM: 1000}}); err != nil {
			t.Fatal(err)
		}
		served := 0
		for range 5 * 60 * 20 { // 1,200 a minute, for five
			if l, err := p.Lease(t.Context(), Want{Model: flash}); err == nil {
				served++
				l.Done(ok)
			}
			time.Sleep(50 * time.Millisecond)
		}
		if served < 4900 {
			t.Errorf("%d of 5,000", served)
		}
	})
}

// TestQuota_TokensGivenBack: where a request had fewer tokens than it was taken
// for, the room is there when its answer is.
func TestQuota_TokensGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 1)
		if err := p.SetLimits([]LimitRule{{Model: "*", TPM: 1000}}); err != nil {
			t.Fatal(err)
		}
		l := lease(t, p, Want{Tokens: 1000})
		refused(t, p, Want{Tokens: 10})
		l.Done(Outcome{Input: 100, Tokens: 200})
		lease(t, p, Want{Tokens: 900}).Done(Outcome{Input: 900, Tokens: 1000})
		refused(t, p, Want{Tokens: 1})
	})
}

// TestQuota_InventedModels: names that clients make up fill neither the memory nor
// the store, and cost no model its books.
func TestQuota_InventedModels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		p := open(t, s, 10)
		until(t, p, Want{Tokens: 1}, refusal429(perDayID, 1, time.Hour)) // all ten have a limit now
		for i := range 20 * maxModels {
			l, err := p.Lease(t.Context(), Want{Model: fmt.Sprint("invented-", i)})
			if err != nil {
				t.Fatal(err)
			}
			l.Done(Outcome{Verdict: ModelMissing, Blame: ScopeProjectModel, Rest: time.Minute, Status: 404})
			time.Sleep(200 * time.Millisecond)
			if i%1000 == 0 {
				if err := p.Flush(); err != nil {
					t.Fatal(err)
				}
			}
		}
		time.Sleep(10 * time.Minute)
		p.Stats()
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, project := range p.projects {
			n += len(project.quotas)
		}
		if n > 2*maxModels {
			t.Errorf("%d books", n)
		}
		if known := booksIn(t, s); known > 20 {
			t.Errorf("%d books in the store", known)
		}
		if quotaFor(t, p, secretOf(0), flash).rpd.value != 1 {
			t.Error("the limit was forgotten")
		}
	})
}

// TestQuota_TooManyNames: a model that comes after more invented names than are kept
// is metered as any other: from the first request if Google lists it, else from the
// second.
func TestQuota_TooManyNames(t *testing.T) {
	p := open(t, nil, 3)
	if err := p.SetLimits([]LimitRule{{Model: "*", RPM: 2}}); err != nil {
		t.Fatal(err)
	}
	p.lock()
	p.learnModels(p.byID[KeyID(secretOf(0))], []string{"listed"}, time.Now())
	p.unlock()
	for i := range maxModels + 100 {
		lease(t, p, Want{Model: fmt.Sprint("invented-", i)}).Done(Outcome{Verdict: ModelMissing, Blame: ScopeProjectModel, Rest: time.Hour, Status: 404})
	}
	for model, want := range map[string]int{"listed": 6, "not listed": 7} {
		n := 0
		for ; n < 50; n++ {
			l, err := p.Lease(t.Context(), Want{Model: model})
			if err != nil {
				break
			}
			l.Done(ok)
		}
		if n != want {
			t.Errorf("%s: %d leases, want %d", model, n, want)
		}
	}
}

// TestQuota_KeyComesBack: a key that was taken out and comes back finds its books.
func TestQuota_KeyComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 1)
		p.Declare([]NewKey{{Secret: "declared"}})
		if err := p.SetLimits([]LimitRule{{Model: "*", RPD: 5}}); err != nil {
			t.Fatal(err)
		}
		if n := until(t, p, Want{}, ok); n != 10 {
			t.Fatal(n)
		}
		p.Declare(nil)
		if err := p.Delete(t.Context(), KeyID(secretOf(0))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		p.Declare([]NewKey{{Secret: "declared"}})
		add(t, p, newKeys(1)...)
		if n := until(t, p, Want{}, ok); n != 0 {
			t.Errorf("%d more on the same day", n)
		}
		p.Declare(nil)
		if err := p.Delete(t.Context(), KeyID(secretOf(0))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Hour)
		p.Stats()
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
		if n := len(p.projects); n != 0 {
			t.Errorf("%d projects are left", n)
		}
	})
}
