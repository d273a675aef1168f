// SPDX-License-Identifier: Apache-2.0

package users_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// flight is a request that runs.
type flight struct {
	ad       *users.Admission
	reserved users.Used
	day      int
	spent    users.Used // told by Use
}

// schedule is a random schedule of one key's requests, with what really happened.
type schedule struct {
	t      *testing.T
	rng    *rand.Rand
	a      *users.Account
	limits users.Limits
	flying []flight

	day         int
	overs       users.Used // by which settlements went beyond what was reserved
	tokensToday int64
	costToday   int64
	costTotal   int64
	requests    int64 // today, those not cancelled
}

// TestSchedules_NeverExceedBounds runs random schedules and demands after every step
// what the package comment promises: requests of a day exactly, tokens and money by no
// more than what requests in flight used beyond their reservations, and at the end
// nothing is reserved any more: what is used is what was used.
func TestSchedules_NeverExceedBounds(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 7))
				limits := users.Limits{
					RPD: 20 + rng.Int64N(100), TPD: 1000 + rng.Int64N(20_000), Concurrency: 1 + rng.Int64N(10),
					RPM: 5 + rng.Int64N(50), TPM: 500 + rng.Int64N(5000),
					Budget: &users.Budget{Day: users.USD(1000 + rng.Int64N(100_000)), Total: users.USD(10_000 + rng.Int64N(300_000))},
				}
				r := open(t, memory.New(), users.Options{})
				_, secret := create(t, r, users.Spec{Unlimited: true, Limits: limits})
				s := &schedule{t: t, rng: rng, a: account(t, r, secret), limits: limits, day: time.Now().YearDay()}
				for range 600 {
					s.step()
					s.check()
				}
				for len(s.flying) > 0 {
					s.end()
				}
				s.check()
				standing := s.a.Standing()
				if standing.Spent.Total != s.costTotal || standing.Spent.Day != s.costToday {
					t.Errorf("spent %+v, want %d today and %d in all", standing.Spent, s.costToday, s.costTotal)
				}
				for _, l := range standing.Windows {
					if l.Limit == "tpd" && l.Used != s.tokensToday || l.Limit == "rpd" && l.Used != s.requests || l.Limit == "concurrency" && l.Used != 0 {
						t.Errorf("at the end %+v, want %d tokens and %d requests", l, s.tokensToday, s.requests)
					}
				}
			})
		})
	}
}

func (s *schedule) step() {
	switch n := s.rng.IntN(10); {
	case n < 5:
		ask := users.Ask{Model: "m", Dialect: "openai", Tokens: s.rng.Int64N(800), Cost: s.rng.Int64N(4000), Priced: true}
		if ad, refusal := s.a.Admit(time.Now(), ask); refusal == nil {
			s.flying = append(s.flying, flight{ad: ad, reserved: ad.Charged(), day: s.day})
			s.requests++
		}
	case n < 7 && len(s.flying) > 0:
		f := &s.flying[s.rng.IntN(len(s.flying))]
		f.spent.Tokens += s.rng.Int64N(300)
		f.spent.Cost += s.rng.Int64N(900)
		f.ad.Use(f.spent)
	case n < 9 && len(s.flying) > 0:
		s.end()
	default:
		s.sleep(time.Duration(s.rng.Int64N(int64(20 * time.Minute))))
	}
}

// sleep crosses no midnight with requests in flight, so that it is known which day
// what they use counts for.
func (s *schedule) sleep(d time.Duration) {
	if time.Now().Add(d).YearDay() != s.day {
		for len(s.flying) > 0 {
			s.end()
		}
	}
	time.Sleep(d)
	if day := time.Now().YearDay(); day != s.day {
		s.day, s.tokensToday, s.costToday, s.requests, s.overs.Tokens = day, 0, 0, 0, 0
	}
}

// end ends a random request, by whatever it used.
func (s *schedule) end() {
	i := s.rng.IntN(len(s.flying))
	f := s.flying[i]
	s.flying[i] = s.flying[len(s.flying)-1]
	s.flying = s.flying[:len(s.flying)-1]
	if s.rng.IntN(6) == 0 {
		f.ad.Cancel()
		s.requests--
		return
	}
	u := users.Used{Tokens: f.spent.Tokens + s.rng.Int64N(900), Cost: f.spent.Cost + s.rng.Int64N(3000)}
	if s.rng.IntN(6) == 0 {
		u = users.Used{Tokens: -1, Cost: -1}
	}
	charged := f.ad.Charged()
	f.ad.Settle(u)
	f.ad.Settle(users.Used{Tokens: 1e9, Cost: 1e9})
	if u.Tokens < 0 {
		u = charged
	}
	s.tokensToday += u.Tokens
	s.costToday += u.Cost
	s.costTotal += u.Cost
	s.overs.Tokens += max(0, u.Tokens-f.reserved.Tokens)
	s.overs.Cost += max(0, u.Cost-f.reserved.Cost)
}

// check demands the bounds of what ended and what is in flight.
func (s *schedule) check() {
	s.t.Helper()
	over := s.overs
	for _, f := range s.flying {
		over.Tokens += max(0, f.ad.Charged().Tokens-f.reserved.Tokens)
		over.Cost += max(0, f.ad.Charged().Cost-f.reserved.Cost)
	}
	standing := s.a.Standing()
	if s.requests > s.limits.RPD || int64(len(s.flying)) > s.limits.Concurrency {
		s.t.Fatalf("%d requests today, %d in flight, of %+v", s.requests, len(s.flying), s.limits)
	}
	if total := standing.Spent.Total; total > int64(s.limits.Budget.Total)+over.Cost {
		s.t.Fatalf("spent %d of %d, overshoot %d at most", total, s.limits.Budget.Total, over.Cost)
	}
	for _, l := range standing.Windows {
		if l.Limit == "tpd" && l.Used > l.Max+over.Tokens || l.Limit == "tpm" && l.Used > 2*l.Max || l.Remaining < 0 || l.Limit == "rpm" && l.Used > l.Max {
			s.t.Fatalf("%+v, overshoot %+v at most", l, over)
		}
	}
}

// TestMidnight: what a request reserved on one day is not given back to the next, and
// what it uses after midnight counts then; the total is exact.
func TestMidnight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zone := time.FixedZone("here", 2*3600)
		r := open(t, memory.New(), users.Options{Zone: zone})
		_, secret := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{TPD: 1000, RPD: 5, Budget: &users.Budget{Day: 1000, Total: 5000}}})
		a := account(t, r, secret)
		ask := users.Ask{Dialect: "openai", Tokens: 600, Cost: 600, Priced: true}
		time.Sleep(22*time.Hour - time.Second) // a second before midnight there
		back, _ := a.Admit(time.Now(), ask)
		_, refusal := a.Admit(time.Now(), ask)
		if refusal == nil || refusal.RetryAfter != time.Second || !refusal.Until.IsZero() { // the first may end in time
			t.Fatalf("%+v", refusal)
		}
		time.Sleep(time.Second)
		more, refusal := a.Admit(time.Now(), ask)
		if refusal != nil {
			t.Fatal(refusal)
		}
		back.Settle(users.Used{Tokens: 100, Cost: 100})
		if got := a.Standing(); got.Spent != (users.Spent{Day: 600, Month: 700, Total: 700}) || got.Windows[1].Used != 600 {
			t.Errorf("after the refund of yesterday: %+v", got)
		}
		more.Settle(users.Used{Tokens: 650, Cost: 650})
		if got := a.Standing(); got.Spent != (users.Spent{Day: 650, Month: 750, Total: 750}) || got.Windows[1].Used != 650 {
			t.Errorf("at the end: %+v", got)
		}
	})
}
