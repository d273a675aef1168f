// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// TestClockSetBack: what was counted and what rests ends when it would have ended,
// and days end at midnight, though the clock was ahead when they began.
func TestClockSetBack(t *testing.T) {
	pacific := time.FixedZone("", -8*60*60)
	for _, c := range []struct {
		name  string
		start time.Time
		rule  LimitRule
		end   Outcome // of the first lease
		back  time.Duration
		after time.Duration // until there is a key again
	}{
		{"a full minute", time.Date(2026, 11, 20, 12, 0, 0, 0, pacific), LimitRule{Model: "*", RPM: 1}, ok, time.Hour, minute + skew},
		{"a little", time.Date(2026, 11, 20, 12, 0, 0, 0, pacific), LimitRule{Model: "*", RPM: 1}, ok, 3 * time.Second, minute + skew},
		{"a rest", time.Date(2026, 11, 20, 12, 0, 0, 0, pacific), LimitRule{}, minuteFull, time.Hour, 30 * time.Second},
		{"a rest of the model", time.Date(2026, 11, 20, 12, 0, 0, 0, pacific), LimitRule{}, noCapacity, time.Hour, 10 * time.Second},
		{"a full day", time.Date(2026, 11, 20, 1, 0, 0, 0, pacific), LimitRule{Model: "*", RPD: 1}, ok, 2 * time.Hour, time.Hour},
		{"a day that Google calls used up", time.Date(2026, 11, 20, 1, 0, 0, 0, pacific), LimitRule{}, dayFull, 2 * time.Hour, time.Hour},
		{"money", time.Date(2026, 11, 20, 12, 0, 0, 0, pacific), LimitRule{Model: "*", Spend: 1}, Outcome{Cost: 5}, time.Hour, spendWindow + spendGrid},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := c.start
			p, err := Open(Options{Store: memory.New(), Sealer: sealer(t), Now: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			add(t, p, newKeys(1)...)
			if c.rule.Model != "" {
				if err := p.SetLimits([]LimitRule{c.rule}); err != nil {
					t.Fatal(err)
				}
			}
			lease(t, p, Want{}).Done(c.end)
			refused(t, p, Want{})
			now = now.Add(-c.back)
			refused(t, p, Want{})
			now = now.Add(c.after - time.Second - spendGrid*time.Duration(min(1, c.rule.Spend)))
			refused(t, p, Want{})
			now = now.Add(2*time.Second + spendGrid*time.Duration(min(1, c.rule.Spend)))
			lease(t, p, Want{}).Done(ok)
		})
	}
}

// TestClockSetBack_Late: who was held up after he looked at the clock has not set it
// back.
func TestClockSetBack_Late(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	p, err := Open(Options{Store: memory.New(), Sealer: sealer(t), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	add(t, p, newKeys(1)...)
	lease(t, p, Want{}).Done(minuteFull)
	late := now
	now = now.Add(20 * time.Second)
	refused(t, p, Want{})
	if at := p.notice(late); at != now {
		t.Errorf("it is %v, want %v", at, now)
	}
	if r := p.Rests(0); len(r) != 1 || r[0].Until.Sub(late) != 30*time.Second {
		t.Errorf("rests: %+v", r)
	}
}
