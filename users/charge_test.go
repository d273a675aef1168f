// SPDX-License-Identifier: Apache-2.0

package users_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// TestCharge_Prepaid: what something has cost in the end counts in place of what its
// request was charged: the rest is taken or given back, but to no day that is over, and
// of no rate.
func TestCharge_Prepaid(t *testing.T) {
	for name, tc := range map[string]struct {
		later                time.Duration
		used                 users.Used
		day, total, tpd, tpm int64
	}{
		"less":               {time.Minute, users.Used{Tokens: 40, Cost: 100}, 100, 100, 40, 0},
		"more":               {time.Minute, users.Used{Tokens: 350, Cost: 900}, 900, 900, 350, 250},
		"nothing":            {time.Minute, users.Used{}, 0, 0, 0, 0},
		"unknown":            {time.Minute, users.Used{Tokens: -1, Cost: -1}, 400, 400, 100, 0},
		"less, the next day": {25 * time.Hour, users.Used{Tokens: 40, Cost: 100}, 0, 100, 0, 0},
		"more, the next day": {25 * time.Hour, users.Used{Tokens: 350, Cost: 900}, 500, 900, 250, 250},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := open(t, memory.New(), users.Options{})
				_, secret := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{TPM: 600, TPD: 10_000, Budget: &users.Budget{Day: 10_000, Total: 10_000}}})
				a := account(t, r, secret)
				made := users.Prepaid{At: time.Now()}
				ad, refusal := a.Admit(made.At, users.Ask{Dialect: "gemini", Tokens: 100, Cost: 400, Priced: true})
				if refusal != nil {
					t.Fatal(refusal)
				}
				made.Used = ad.Charged()
				ad.Settle(users.Used{Tokens: -1, Cost: -1})
				time.Sleep(tc.later)
				a.Charge(tc.used, made)
				got := a.Standing()
				windows := map[string]users.LimitState{}
				for _, w := range got.Windows {
					windows[w.Limit] = w
				}
				if got.Spent.Day != tc.day || got.Spent.Total != tc.total || windows["tpd"].Used != tc.tpd || windows["tpm"].Used != tc.tpm {
					t.Errorf("%+v, want %+v", got, tc)
				}
			})
		})
	}
}
