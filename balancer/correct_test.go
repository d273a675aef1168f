// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// TestSetLimits_AfterLearned: an operator who raises a limit that was learned is
// believed, over a restart, until Google names a smaller one again.
func TestSetLimits_AfterLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		p := open(t, s, 1)
		names := func(n int64) {
			time.Sleep(2 * time.Minute)
			lease(t, p, Want{}).Done(refusal429(perMinuteID, n, time.Second))
		}
		serves := func(want int, source, why string) {
			t.Helper()
			time.Sleep(2 * time.Minute)
			n := 0
			for ; n < 20; n++ {
				l, err := p.Lease(t.Context(), Want{Model: flash})
				if err != nil {
					break
				}
				l.Done(ok)
			}
			if w, _ := p.Quotas(QuotaQuery{}); n != want || w[0].RPM.Source != source {
				t.Errorf("%s: %d in a minute, %s; want %d, %s", why, n, w[0].RPM.Source, want, source)
			}
		}
		set := func(rpm int64) {
			t.Helper()
			var rules []LimitRule
			if rpm > 0 {
				rules = []LimitRule{{Model: "*", RPM: rpm}}
			}
			if err := p.SetLimits(rules); err != nil {
				t.Fatal(err)
			}
		}
		restart := func(rpm int64) {
			t.Helper()
			if err := p.Flush(); err != nil {
				t.Fatal(err)
			}
			p = open(t, s, 0)
			set(rpm)
		}
		names(2)
		serves(2, SourceLearned, "learned")
		set(7)
		serves(7, SourceSet, "set after that")
		restart(7)
		serves(7, SourceSet, "and restarted")
		names(4)
		serves(4, SourceLearned, "learned again")
		restart(7)
		serves(4, SourceLearned, "restarted with the same rule")
		set(8)
		serves(8, SourceSet, "set anew")
		set(0)
		serves(4, SourceLearned, "no rule any more")
	})
}

// TestReset_Learned: a reset forgets what was learned of the limits of the key's
// project, also on disk, and no count or rule of the operator.
func TestReset_Learned(t *testing.T) {
	for _, c := range []struct {
		name, id string
		value    int64
	}{{"minute", perMinuteID, 3}, {"tokens", tokensID, 30}, {"day", perDayID, 3}} {
		for _, set := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				s := memory.New()
				p := open(t, s, 1)
				rules := []LimitRule{{Model: "*", RPM: 5, TPM: 50, RPD: 5}}
				if set {
					if err := p.SetLimits(rules); err != nil {
						t.Fatal(err)
					}
				}
				for range 3 {
					lease(t, p, Want{Tokens: 10}).Done(ok)
				}
				o := refusal429(c.id, c.value, 50*time.Second)
				if c.id == perDayID {
					o.Verdict, o.UntilMidnight = Exhausted, true
				}
				lease(t, p, Want{Tokens: 10}).Done(o)
				refused(t, p, Want{Tokens: 10})
				if err := p.Flush(); err != nil {
					t.Fatal(err)
				}
				if err := p.Reset(t.Context(), KeyID(secretOf(0))); err != nil {
					t.Fatal(err)
				}
				again := open(t, s, 0)
				if set {
					if err := again.SetLimits(rules); err != nil {
						t.Fatal(err)
					}
				}
				for _, p := range []*Pool{p, again} {
					for n := range 4 {
						l, err := p.Lease(t.Context(), Want{Model: flash, Tokens: 10})
						if set && n == 2 {
							if err == nil {
								t.Errorf("%s: beyond the operator's limit", c.name)
							}
							break
						}
						if err != nil {
							t.Fatalf("%s, set %t: %v", c.name, set, err)
						}
						l.Done(Outcome{Input: 10})
					}
				}
			})
		}
	}
}

// TestDay_Overcounted: attempts that nobody answered may not have been counted. Where
// they make up the difference, one request in an hour finds out.
func TestDay_Overcounted(t *testing.T) {
	silence := Outcome{Verdict: UpstreamTimeout, Retry: RetryOnce, Reason: "no answer"}
	full := Outcome{
		Verdict: Exhausted, Blame: ScopeProjectModel, Retry: RetryOther, UntilMidnight: true, Status: 429,
		Limits: []Limit{{ID: perDayID, Value: 4}},
	}
	start := func(t *testing.T, set bool) (*Pool, *memory.Store) {
		t.Helper()
		s := memory.New()
		p := open(t, s, 1)
		for range 4 {
			lease(t, p, Want{}).Done(ok)
		}
		lease(t, p, Want{}).Done(full)
		time.Sleep(time.Until(pacificMidnight(time.Now())) + time.Minute)
		if set {
			if err := p.SetLimits([]LimitRule{{Model: "*", RPD: 4}}); err != nil {
				t.Fatal(err)
			}
		}
		for range 4 {
			lease(t, p, Want{}).Done(silence)
			time.Sleep(time.Minute) // the breaker is another matter
		}
		return p, s
	}
	synctest.Test(t, func(t *testing.T) {
		p, s := start(t, false)
		for _, p := range []*Pool{p, nil} {
			if p == nil {
				p = open(t, s, 0)
			}
			if u := refused(t, p, Want{}); u.RetryAfter <= 0 || u.RetryAfter > time.Hour || u.Reason != AllExhausted {
				t.Errorf("%+v", u)
			}
			if err := p.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		l := lease(t, p, Want{})
		refused(t, p, Want{}) // one at a time
		l.Done(silence)
		refused(t, p, Want{})
		time.Sleep(time.Hour)
		for range 4 { // and Google answers: it had counted none of them
			lease(t, p, Want{}).Done(ok)
		}
		if u := refused(t, p, Want{}); u.RetryAfter < 10*time.Hour || u.Reason != AllExhausted {
			t.Errorf("%+v", u)
		}
		settled(t, p)
	})
	synctest.Test(t, func(t *testing.T) {
		p, _ := start(t, false)
		time.Sleep(time.Hour)
		lease(t, p, Want{}).Done(full) // it had counted them
		time.Sleep(2 * time.Hour)
		if u := refused(t, p, Want{}); u.RetryAfter < 10*time.Hour {
			t.Errorf("%+v", u)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p, _ := start(t, true)
		time.Sleep(2 * time.Hour)
		if u := refused(t, p, Want{}); u.RetryAfter < 10*time.Hour {
			t.Errorf("beyond the operator's limit: %+v", u)
		}
	})
}

// TestUnavailable_Exploring: what is told where all keys are beyond what is known, and
// other requests find out.
func TestUnavailable_Exploring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 2)
		bound := func(i int) Want { return Want{Bound: &Binding{KeyID: KeyID(secretOf(i))}} }
		lease(t, p, bound(0)).Done(refusal429(perMinuteID, 2, 10*time.Hour))
		for range 2 {
			lease(t, p, Want{}).Done(ok)
		}
		if err := p.SetState(t.Context(), KeyID(secretOf(0)), StateDisabled, ""); err != nil {
			t.Fatal(err)
		}
		l := lease(t, p, Want{})
		u := refused(t, p, Want{})
		if u.Reason != AllResting || !strings.Contains(u.Message, "find out") || u.RetryAfter < 50*time.Second || u.RetryAfter > 61*time.Second {
			t.Errorf("%+v", u)
		}
		got := make(chan error)
		go func() {
			l, err := p.Lease(t.Context(), Want{Model: flash, Wait: 5 * time.Second})
			if err == nil {
				l.Done(ok)
			}
			got <- err
		}()
		synctest.Wait()
		l.Accepted() // and now there may be two
		if err := <-got; err != nil {
			t.Error(err)
		}
		l.Done(ok)
	})
}
