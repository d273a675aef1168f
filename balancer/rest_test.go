// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// readyModels tells for which of some models a key can be leased now.
func readyFor(t *testing.T, p *Pool, models ...string) []bool {
	t.Helper()
	var out []bool
	for _, m := range models {
		l, err := p.Lease(t.Context(), Want{Model: m})
		if err == nil {
			l.Done(Outcome{Verdict: Canceled})
		}
		out = append(out, err == nil)
	}
	return out
}

// Each blame rests what it names, exactly as long as it says.
func TestRestScopes(t *testing.T) {
	for _, c := range []struct {
		name  string
		o     Outcome
		other []bool // while it rests: other model, then the sibling key alone for the same model
		rest  time.Duration
		kind  string
	}{
		{"project and model", minuteFull, []bool{true, false}, 30 * time.Second, Cooling},
		{"project", noMoney, []bool{false, false}, time.Hour, Cooling},
		{"key", Outcome{Verdict: Unclassified, Blame: ScopeKey, Rest: time.Minute}, []bool{true, true}, time.Minute, Cooling},
		{"model", noCapacity, []bool{true, false}, 10 * time.Second, Cooling},
		{"route", routeOut, []bool{false, false}, time.Minute, Cooling},
		{"unavailable model", noModel, []bool{true, false}, time.Hour, NotAvailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := open(t, nil, 0)
				add(t, p, NewKey{Secret: "one", Project: "p"}, NewKey{Secret: "two", Project: "p"})
				l := lease(t, p, Want{})
				l.Done(c.o)
				for range 2 { // whichever turn it is
					if got := readyFor(t, p, "other", flash); !slices.Equal(got, c.other) {
						t.Errorf("ready for other model, same model: %v, want %v", got, c.other)
					}
				}
				rests := p.Rests(0)
				if len(rests) != 1 || rests[0].Kind != c.kind || time.Until(rests[0].Until) != c.rest || rests[0].Why == "" {
					t.Errorf("rests: %+v", rests)
				}
				time.Sleep(c.rest - time.Nanosecond)
				if got := readyFor(t, p, "other", flash); !slices.Equal(got, c.other) {
					t.Errorf("a nanosecond before the deadline: %v, want %v", got, c.other)
				}
				time.Sleep(time.Nanosecond)
				if got := readyFor(t, p, "other", flash); !slices.Equal(got, []bool{true, true}) {
					t.Errorf("at the deadline: %v", got)
				}
				if s := p.Stats(); s.Resting != 0 || s.InFlight != 0 || len(p.Rests(0)) != 0 {
					t.Errorf("after the deadline: %+v, %v", s, p.Rests(0))
				}
			})
		})
	}
}

func TestExhaustedUntilMidnight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 1)
		lease(t, p, Want{}).Done(dayFull)
		want := time.Until(pacificMidnight(time.Now()))
		u := refused(t, p, Want{})
		if u.Reason != AllExhausted || u.RetryAfter != want {
			t.Errorf("%+v; want AllExhausted, %v", u, want)
		}
		time.Sleep(want)
		lease(t, p, Want{}).Done(ok)
	})
}

// Answers that overtake one another never shorten a rest.
func TestDeadlinesOnlyExtend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 1)
		a, b, c := lease(t, p, Want{}), lease(t, p, Want{}), lease(t, p, Want{})
		a.Done(minuteFull)
		short := minuteFull
		short.Rest = time.Second
		b.Done(short)
		if got := refused(t, p, Want{}).RetryAfter; got != minuteFull.Rest {
			t.Errorf("a shorter rest made it %v", got)
		}
		c.Done(dayFull)
		if got := p.Rests(1)[0]; got.Kind != ExhaustedForDay || !got.Until.Equal(pacificMidnight(time.Now())) {
			t.Errorf("a longer rest made it %+v", got)
		}
	})
}

func TestEscalation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 1)
		expect := func(want time.Duration) {
			t.Helper()
			if got := refused(t, p, Want{}).RetryAfter; got != want {
				t.Errorf("rest is %v, want %v", got, want)
			}
		}
		for _, seconds := range []int{5, 10, 20, 40, 80, 160, 300, 300} {
			want := time.Duration(seconds) * time.Second
			late := lease(t, p, Want{}) // under way when the rest begins: no repetition
			lease(t, p, Want{}).Done(throttled)
			late.Done(throttled)
			expect(want)
			time.Sleep(want)
		}
		lease(t, p, Want{}).Done(ok)
		time.Sleep(time.Second)
		lease(t, p, Want{}).Done(throttled)
		expect(5 * time.Second)
		time.Sleep(5*time.Second + ScopeProjectModel.memory()) // long enough ago to be forgotten
		lease(t, p, Want{}).Done(throttled)
		expect(5 * time.Second)
		time.Sleep(5*time.Second + ScopeProjectModel.memory() - 1)
		lease(t, p, Want{}).Done(throttled)
		expect(10 * time.Second)
		if len(p.restHeap) != 1 {
			t.Errorf("%d rests are kept", len(p.restHeap))
		}
	})
}

// A success that began before a rest does not speak of it.
func TestOldSuccessDoesNotCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 1)
		old := lease(t, p, Want{})
		time.Sleep(time.Second)
		lease(t, p, Want{}).Done(throttled)
		old.Done(ok)
		if u := refused(t, p, Want{}); u.RetryAfter != 5*time.Second {
			t.Errorf("the rest became %v", u.RetryAfter)
		}
		time.Sleep(5 * time.Second)
		lease(t, p, Want{}).Done(throttled)
		if u := refused(t, p, Want{}); u.RetryAfter != 10*time.Second {
			t.Errorf("the repetition rests %v, want 10s", u.RetryAfter)
		}
	})
}

func TestBaseModelRestsToo(t *testing.T) {
	p := open(t, nil, 1)
	o := minuteFull
	o.Limits = []Limit{{ID: "PerMinute", Model: "gemini-base", Value: 10}}
	lease(t, p, Want{Model: "gemini-latest"}).Done(o)
	if got := readyFor(t, p, "gemini-latest", "gemini-base", "gemini-other"); !slices.Equal(got, []bool{false, false, true}) {
		t.Errorf("ready: %v", got)
	}
}

// Keys whose errors name one project share its fate from then on, and keep
// what was learnt before.
func TestConsumerGroupsKeys(t *testing.T) {
	p := open(t, nil, 2)
	learn := func(model string) {
		for range 2 {
			l := lease(t, p, Want{Model: model})
			l.Done(Outcome{Verdict: BadRequest, Consumer: "projects/123"})
		}
	}
	lease(t, p, Want{Model: "early"}).Done(minuteFull) // one of the two, before it is known
	learn(flash)
	if got := readyFor(t, p, "early", flash); !slices.Equal(got, []bool{false, true}) {
		t.Errorf("after grouping, ready for early, flash: %v; want the early rest for both keys", got)
	}
	lease(t, p, Want{}).Done(minuteFull)
	if u := refused(t, p, Want{}); u.Reason != AllResting {
		t.Errorf("the sibling does not rest: %+v", u)
	}
	for _, k := range first(p.List(Query{})) {
		if k.Project != "projects/123" {
			t.Errorf("%s shows project %q", k.ID, k.Project)
		}
	}
}

func TestOperatorsProjectGoesFirst(t *testing.T) {
	p := open(t, nil, 0)
	add(t, p, NewKey{Secret: "one", Project: "mine"})
	l := lease(t, p, Want{})
	l.Done(Outcome{Verdict: BadRequest, Consumer: "123"})
	if l.Project() != "mine" {
		t.Errorf("project became %q", l.Project())
	}
}

func first(keys []Key, _ int, _ map[State]int) []Key { return keys }

// Client faults and overload touch nothing.
func TestNobodysFault(t *testing.T) {
	for _, v := range []Verdict{Canceled, BadRequest, BadSignature, Blocked, ForeignResource, Overloaded, ServerError, UpstreamTimeout, Network, Unusable, Unclassified} {
		t.Run(fmt.Sprint(v), func(t *testing.T) {
			p := open(t, nil, 1)
			l := lease(t, p, Want{})
			l.Done(Outcome{Verdict: v, Reason: "x"})
			if s := p.Stats(); s.Resting != 0 || s.States[StateUntested] != 1 || s.InFlight != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestDoneOnce(t *testing.T) {
	p := open(t, nil, 1)
	l := lease(t, p, Want{})
	if s := p.Stats(); s.InFlight != 1 {
		t.Errorf("in flight: %d", s.InFlight)
	}
	l.Done(ok)
	l.Done(invalid)
	l.Done(minuteFull)
	if s := p.Stats(); s.InFlight != 0 || s.States[StateActive] != 1 || s.Resting != 0 {
		t.Errorf("%+v", s)
	}
}

func TestRestsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 200)
		for i := range 200 {
			o := minuteFull
			o.Rest = time.Duration((i*37)%200+1) * time.Second
			lease(t, p, Want{}).Done(o)
		}
		rests := p.Rests(50)
		if len(rests) != 50 {
			t.Fatalf("%d rests", len(rests))
		}
		for i, r := range rests {
			if got := time.Until(r.Until); got != time.Duration(i+1)*time.Second {
				t.Fatalf("rest %d ends in %v", i, got)
			}
		}
		if s := p.Stats(); s.Resting != 200 {
			t.Errorf("resting: %d", s.Resting)
		}
	})
}
