// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestUnavailable(t *testing.T) {
	each := func(outcomes ...Outcome) func(*testing.T, *Pool) {
		return func(t *testing.T, p *Pool) {
			leases := make([]*Lease, len(outcomes))
			for i := range outcomes {
				leases[i] = lease(t, p, Want{})
			}
			for i, l := range leases {
				l.Done(outcomes[i])
			}
		}
	}
	long := minuteFull
	long.Rest = 14*time.Second + time.Millisecond
	for _, c := range []struct {
		name    string
		keys    int
		prepare func(*testing.T, *Pool)
		want    Want
		reason  UnavailableReason
		after   time.Duration
		message string
	}{
		{"empty pool", 0, nil, Want{}, NoKeys, 0, "The pool has no Gemini keys."},
		{"no such tag", 2, nil, Want{Tags: []string{"a", "b"}}, NoKeys, 0, "The pool has no Gemini key with the tag a or b."},
		{"none paid", 2, nil, Want{PaidOnly: true}, NoKeys, 0, "The pool has no paid Gemini key."},
		{
			"all dead", 2, each(invalid, Outcome{Verdict: LeakedKey, Blame: ScopeKey, State: StateLeaked}),
			Want{},
			AllDead, 0,
			"None of the 2 Gemini keys can be used: 1 invalid, 1 leaked.",
		},
		{"the only one dead", 1, each(invalid), Want{}, AllDead, 0, "The only Gemini key cannot be used: 1 invalid."},
		{
			"all resting", 3, each(minuteFull, long, dayFull),
			Want{},
			AllResting, 14*time.Second + time.Millisecond,
			"All 3 Gemini keys that can use gemini-x rest; the first is back in 15s (per-minute quota).",
		},
		{
			"one resting, one dead, one without the model", 3, each(minuteFull, invalid, noModel),
			Want{},
			AllResting, 30 * time.Second,
			"The only Gemini key that can use gemini-x rests; the first is back in 30s (per-minute quota); 1 more cannot be used: 1 invalid.",
		},
		{
			"all exhausted", 2, each(dayFull, dayFull),
			Want{},
			AllExhausted, 8 * time.Hour,
			"All 2 Gemini keys that can use gemini-x have used up the day; the first is back in 8h0m0s (daily quota).",
		},
		{
			"a model re-check is no recovery", 2, each(minuteFull, Outcome{Verdict: ModelMissing, Blame: ScopeProjectModel, Rest: time.Second}),
			Want{},
			AllResting, 30 * time.Second,
			"The only Gemini key that can use gemini-x rests; the first is back in 30s (per-minute quota).",
		},
		{
			"model for nobody", 2, each(noModel, Outcome{Verdict: NoQuota, Blame: ScopeProjectModel, Rest: 24 * time.Hour}),
			Want{},
			ModelUnavailable, time.Hour,
			"None of the 2 Gemini keys can use gemini-x (model not found).",
		},
		{
			"no capacity", 2, each(noCapacity),
			Want{},
			AllResting, 10 * time.Second,
			"All 2 Gemini keys that can use gemini-x rest; the first is back in 10s (no capacity at Google).",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := open(t, nil, c.keys) // at midnight UTC, eight hours before Google's day ends
				if c.prepare != nil {
					c.prepare(t, p)
				}
				for range 2 { // the second answer comes from the census kept
					u := refused(t, p, c.want)
					if u.Reason != c.reason || u.RetryAfter != c.after || u.Message != c.message || u.LastOutcome != nil {
						t.Errorf("got  %s, %v, %q\nwant %s, %v, %q", u.Reason, u.RetryAfter, u.Message, c.reason, c.after, c.message)
					}
				}
			})
		})
	}
}

// RetryAfter counts down by itself and is never that of a key that cannot help.
func TestRetryAfterIsTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 2)
		a, b := lease(t, p, Want{}), lease(t, p, Want{})
		a.Done(minuteFull)
		b.Done(noMoney)
		time.Sleep(10 * time.Second)
		if u := refused(t, p, Want{}); u.RetryAfter != 20*time.Second {
			t.Errorf("RetryAfter = %v, want 20s", u.RetryAfter)
		}
		if err := p.SetState(t.Context(), a.KeyID(), StateDisabled, ""); err != nil {
			t.Fatal(err)
		}
		if u := refused(t, p, Want{}); u.RetryAfter != time.Hour-10*time.Second {
			t.Errorf("without the first key RetryAfter = %v", u.RetryAfter)
		}
	})
}

// TestUnavailable_Verdict: what makes the nearest key rest is told as a verdict,
// also after a restart, where only its words were kept.
func TestUnavailable_Verdict(t *testing.T) {
	for v, words := range why {
		if verdicts[words] != v {
			t.Errorf("%q stands for two verdicts", words)
		}
	}
}
