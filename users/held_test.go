// SPDX-License-Identifier: Apache-2.0

package users_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// TestHeld: money that requests in flight have only reserved is no reason to send others
// away until midnight, or for ever; money that is used is.
func TestHeld(t *testing.T) {
	for name, budget := range map[string]users.Budget{"budget.day": {Day: 1000}, "budget.total": {Total: 1000}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := open(t, memory.New(), users.Options{})
				key, secret := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{Budget: &budget}})
				a := account(t, r, secret)
				ask := users.Ask{Dialect: "openai", Cost: 400, Priced: true}
				status := func(step string, want users.Status) {
					t.Helper()
					if v, err := r.View(key.ID); err != nil || v.Status != want {
						t.Errorf("%s: %s, %v, want %s", step, v.Status, err, want)
					}
				}
				refused := func(step string, kind users.RefusalKind) {
					t.Helper()
					if _, refusal := a.Admit(time.Now(), ask); refusal == nil || refusal.Kind != kind || refusal.Limit != name || kind == users.RateLimited && refusal.RetryAfter != time.Second {
						t.Errorf("%s: %+v", step, refusal)
					}
				}
				admitted := func(step string) *users.Admission {
					t.Helper()
					ad, refusal := a.Admit(time.Now(), ask)
					if refusal != nil {
						t.Fatalf("%s: %v", step, refusal)
					}
					return ad
				}
				first, second := admitted("first"), admitted("second")
				refused("two have reserved 800", users.RateLimited)
				status("two have reserved 800", users.Active)
				first.Settle(users.Used{Cost: 10})
				third := admitted("one has used 10") // 410, 810
				second.Use(users.Used{Cost: 250})
				refused("260 are used", users.RateLimited)
				second.Use(users.Used{Cost: 700}) // beyond its reservation
				refused("710 are used", users.OverBudget)
				status("710 are used", users.Limited)
				third.Cancel()
				second.Settle(users.Used{Cost: 700})
				ask.Cost = 100
				admitted("a smaller one").Settle(users.Used{Cost: 100}) // 810
				status("a smaller one passed", users.Active)
				ask.Cost = 400
				refused("810 are used", users.OverBudget)
				status("810 are used", users.Limited)
			})
		})
	}
}

// TestRefused_Kept: that a key is spent is known after a restart, and forgotten when it
// gets more, from whichever process.
func TestRefused_Kept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		r := open(t, s, users.Options{})
		key, secret := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{Budget: &users.Budget{Total: 1000}}})
		ask := users.Ask{Dialect: "openai", Cost: 900, Priced: true}
		ad, _ := account(t, r, secret).Admit(time.Now(), ask)
		ad.Settle(users.Used{Cost: 900})
		if _, refusal := account(t, r, secret).Admit(time.Now(), ask); refusal == nil {
			t.Fatal("admitted")
		}
		check := func(step string, want users.Status) {
			t.Helper()
			if err := r.Flush(); err != nil {
				t.Fatal(err)
			}
			for range 2 { // and after another restart
				page, err := r.List(t.Context(), users.Query{Status: want, Limit: 10})
				v, err2 := r.View(key.ID)
				if err != nil || err2 != nil || page.Total != 1 || v.Status != want {
					t.Errorf("%s: %d listed as %s, itself %s; %v, %v", step, page.Total, want, v.Status, err, err2)
				}
				r = open(t, s, users.Options{})
			}
		}
		check("refused", users.Limited)
		if _, err := r.Edit(t.Context(), key.ID, func(spec *users.Spec) error { spec.Limits.Budget.Total = 5000; return nil }); err != nil {
			t.Fatal(err)
		}
		check("after more money", users.Active)
	})
}
