// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// A project without money is asked again after 1, 2, 4 … hours, up to a day;
// the memory outlives restarts and quiet hours, and a success wipes it.
func TestUnfundedProject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		p := open(t, s, 0)
		add(t, p, NewKey{Secret: "one", Project: "p"}, NewKey{Secret: "two", Project: "p"})
		depleted := noMoney
		depleted.Escalate = true
		for i, hours := range []int{1, 2, 4, 8, 16, 24, 24} {
			want := time.Duration(hours) * time.Hour
			model := []string{flash, "other"}[i%2] // it is about the project, whatever the model
			late := lease(t, p, Want{Model: model})
			lease(t, p, Want{Model: model}).Done(depleted)
			late.Done(depleted) // under way when the rest began: no repetition
			if got := refused(t, p, Want{}).RetryAfter; got != want {
				t.Errorf("refusal %d rests %v, want %v", i, got, want)
			}
			if err := p.Flush(); err != nil {
				t.Fatal(err)
			}
			p = open(t, s, 0)
			time.Sleep(want + 5*time.Hour)
			check(t, p, time.Now())
		}
		lease(t, p, Want{}).Done(ok)
		check(t, p, time.Now())
		time.Sleep(time.Second)
		lease(t, p, Want{}).Done(depleted)
		if got := refused(t, p, Want{}).RetryAfter; got != time.Hour {
			t.Errorf("after a success it rests %v, want 1h", got)
		}
		time.Sleep(time.Hour + ScopeProject.memory())
		lease(t, p, Want{}).Done(depleted)
		if got := refused(t, p, Want{}).RetryAfter; got != time.Hour {
			t.Errorf("after two days it rests %v, want 1h", got)
		}
	})
}

// A project that spends too fast is asked again after 1, 2, 4 … minutes, whatever
// the model, but never later than its window of ten minutes; at the time that Google
// announces, where it does.
func TestSpendLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		p := open(t, s, 0)
		add(t, p, NewKey{Secret: "one", Project: "p"}, NewKey{Secret: "two", Project: "p"})
		for i, minutes := range []int{1, 2, 4, 8, 10, 10} {
			want := time.Duration(minutes) * time.Minute
			lease(t, p, Want{Model: []string{flash, "other"}[i%2]}).Done(overspent)
			if u := refused(t, p, Want{}); u.RetryAfter != want || u.Reason != AllResting || u.Verdict != SpendLimited {
				t.Errorf("refusal %d: %+v, want a rest of %v", i, u, want)
			}
			if err := p.Flush(); err != nil {
				t.Fatal(err)
			}
			p = open(t, s, 0)
			time.Sleep(want)
			check(t, p, time.Now())
		}
		announced := overspent
		announced.Rest, announced.RetryAfter, announced.Escalate = 31*time.Second, 31*time.Second, false
		lease(t, p, Want{}).Done(announced)
		if got := refused(t, p, Want{}).RetryAfter; got != 31*time.Second {
			t.Errorf("rests %v, want what was announced", got)
		}
		time.Sleep(31 * time.Second)
		lease(t, p, Want{}).Done(ok)
		time.Sleep(time.Second)
		lease(t, p, Want{}).Done(overspent)
		if got := refused(t, p, Want{}).RetryAfter; got != time.Minute {
			t.Errorf("after a success it rests %v, want 1m", got)
		}
	})
}

// What a key's own project knew goes along when Google reveals the real one.
func TestEscalationGoesAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 1)
		depleted := noMoney
		depleted.Escalate = true
		lease(t, p, Want{}).Done(depleted)
		time.Sleep(time.Hour)
		late := lease(t, p, Want{})
		time.Sleep(time.Second)
		lease(t, p, Want{}).Done(depleted)
		late.Done(Outcome{Verdict: BadRequest, Consumer: "projects/1"})
		check(t, p, time.Now())
		time.Sleep(2 * time.Hour)
		l := lease(t, p, Want{})
		l.Done(depleted)
		if got := refused(t, p, Want{}).RetryAfter; l.Project() != "projects/1" || got != 4*time.Hour {
			t.Errorf("project %q rests %v, want 4h", l.Project(), got)
		}
	})
}

func TestForbiddenModels(t *testing.T) {
	forbidden := Outcome{Verdict: ModelForbidden, Blame: ScopeProjectModel, Rest: time.Hour, Reason: "403 PERMISSION_DENIED"}
	type attempt struct {
		model string
		o     Outcome
	}
	for _, c := range []struct {
		name     string
		attempts []attempt
		pause    time.Duration // between the attempts
		want     State
	}{
		{"two models", []attempt{{"a", forbidden}, {"b", forbidden}}, time.Second, StateUntested},
		{"three models", []attempt{{"a", forbidden}, {"b", forbidden}, {"c", forbidden}}, time.Second, StateMisconfigured},
		{"one model, three times", []attempt{{"a", forbidden}, {"a", forbidden}, {"a", forbidden}}, time.Hour, StateUntested},
		{"three models, long apart", []attempt{{"a", forbidden}, {"b", forbidden}, {"c", forbidden}}, 31 * time.Minute, StateUntested},
		{"three missing models", []attempt{{"a", noModel}, {"b", noModel}, {"c", noModel}}, time.Second, StateUntested},
		{"two and a missing one", []attempt{{"a", forbidden}, {"b", forbidden}, {"c", noModel}}, time.Second, StateUntested},
		{"after a success", []attempt{{"d", ok}, {"a", forbidden}, {"b", forbidden}, {"c", forbidden}}, time.Second, StateActive},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := memory.New()
				p := open(t, s, 1)
				id := KeyID(secretOf(0))
				for _, a := range c.attempts {
					lease(t, p, Want{Model: a.model}).Done(a.o)
					if err := p.Flush(); err != nil {
						t.Fatal(err)
					}
					p = open(t, s, 0) // nothing is counted in memory only
					time.Sleep(c.pause)
				}
				k, _ := p.Get(id)
				if k.State != c.want {
					t.Errorf("%+v, want %s", k, c.want)
				}
				if c.want != StateMisconfigured {
					return
				}
				if !strings.HasPrefix(k.StateReason, "3 models forbidden") || !strings.Contains(k.StateReason, forbidden.Reason) {
					t.Errorf("reason %q", k.StateReason)
				}
				if err := p.Reset(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				lease(t, p, Want{Model: "a"}).Done(forbidden)
				if k, _ := p.Get(id); k.State != StateUntested {
					t.Errorf("after a reset the first refusal makes it %+v", k)
				}
			})
		})
	}
}
