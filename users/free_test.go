// SPDX-License-Identifier: Apache-2.0

package users_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// TestFree: what is free takes a place among those in flight and nothing else, whatever
// is used up; what it turns out to use is charged all the same.
func TestFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memory.New(), users.Options{})
		_, secret := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{
			RPM: 1, RPD: 1, TPM: 100, TPD: 100, Concurrency: 2, Budget: &users.Budget{Day: 1000},
		}})
		a := account(t, r, secret)
		free := users.Ask{Dialect: "openai", Tokens: 50, Cost: 500, Free: true}
		used := func(step string, want map[string]int64) {
			t.Helper()
			for _, l := range a.Standing().Windows {
				if l.Used != want[l.Limit] {
					t.Errorf("%s: %s has %d used, want %d", step, l.Limit, l.Used, want[l.Limit])
				}
			}
		}
		first, refusal := a.Admit(time.Now(), free)
		if refusal != nil {
			t.Fatal(refusal)
		}
		used("free", map[string]int64{"concurrency": 1})
		first.Settle(users.Used{})
		paid, refusal := a.Admit(time.Now(), users.Ask{Dialect: "openai", Tokens: 100, Cost: 1000, Priced: true})
		if refusal != nil {
			t.Fatalf("the one that counts: %v", refusal)
		}
		full := map[string]int64{"rpm": 1, "rpd": 1, "tpm": 100, "tpd": 100, "budget.day": 1000, "concurrency": 1}
		used("all of it", full)
		if first, refusal = a.Admit(time.Now(), free); refusal != nil {
			t.Fatalf("with everything used up: %v", refusal)
		}
		if _, refusal := a.Admit(time.Now(), free); refusal == nil || refusal.Limit != "concurrency" {
			t.Errorf("the third at the same time: %v", refusal)
		}
		first.Cancel()
		used("given back", full)
		if first, refusal = a.Admit(time.Now(), free); refusal != nil {
			t.Fatal(refusal)
		}
		paid.Settle(users.Used{Tokens: 100, Cost: 1000})
		first.Settle(users.Used{Tokens: 7, Cost: 70}) // the results of a batch
		full["tpm"], full["tpd"], full["budget.day"], full["concurrency"] = 107, 107, 1070, 0
		used("charged", full)
		if got := a.Standing().Spent.Day; got != 1070 {
			t.Errorf("%d spent", got)
		}
		_, secret = create(t, r, users.Spec{Unlimited: true, CIDRs: []string{"10.0.0.0/8"}})
		if _, refusal := account(t, r, secret).Admit(time.Now(), free); refusal == nil || refusal.Limit != "cidrs" {
			t.Errorf("from elsewhere: %v", refusal)
		}
	})
}
