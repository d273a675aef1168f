// SPDX-License-Identifier: Apache-2.0

package users_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// TestUse: what a long request uses is gone for the others while it runs.
func TestUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memory.New(), users.Options{})
		_, secret := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{TPM: 600}}) // 10 a second
		a := account(t, r, secret)
		left := func(step string, want int64) {
			t.Helper()
			if got := a.Remaining()[0].Remaining; got != want {
				t.Errorf("%s: %d left, want %d", step, got, want)
			}
		}
		ad, refusal := admit(a, 100)
		if refusal != nil {
			t.Fatal(refusal)
		}
		ad.Use(used(60))
		left("within the reservation", 500)
		ad.Use(used(250))
		left("beyond it", 350)
		ad.Use(used(200))
		left("less than before", 350)
		time.Sleep(time.Hour)
		ad.Use(used(550))
		left("an hour later the 300 since count, which did not flow back before they were used", 300)
		if _, refusal := admit(a, 400); refusal == nil || refusal.Limit != "tpm" || refusal.RetryAfter != 10*time.Second {
			t.Errorf("another request: %+v, want to wait 10 s", refusal)
		}
		ad.Use(used(100_000))
		left("in debt", 0)
		time.Sleep(90 * time.Second) // of the 120 that the capped debt takes
		left("the debt is paid", 300)
		ad.Settle(used(100_000))
		left("settled", 300)
		ad.Use(used(200_000))
		left("after its end", 300)

		ad, _ = admit(a, 10)
		ad.Use(used(110))
		ad.Cancel()
		left("cancelled", 300)
		ad, _ = admit(a, 10)
		ad.Use(used(110))
		ad.Settle(used(-1))
		left("unknown keeps what was used", 190)
		ad, _ = admit(a, 10)
		ad.Use(used(110))
		ad.Settle(used(40))
		left("settled below", 150)
	})
}

// TestUseUnderRace: however calls of Use, Settle and of other requests meet, the
// sum is what was used.
func TestUseUnderRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memory.New(), users.Options{})
		_, secret := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{TPM: 1_000_000}})
		a := account(t, r, secret)
		const sessions, turns = 32, 100
		var all sync.WaitGroup
		for range sessions {
			ad, refusal := admit(a, 5)
			if refusal != nil {
				t.Fatal(refusal)
			}
			var told sync.WaitGroup
			for turn := range turns {
				told.Go(func() { ad.Use(used(int64(turn+1) * 50)) })
			}
			all.Go(func() { ad.Settle(used(turns * 60)) }) // among them
			all.Go(told.Wait)
		}
		all.Wait()
		if got, want := a.Remaining()[0].Remaining, int64(1_000_000-sessions*turns*60); got != want {
			t.Errorf("%d left, want %d", got, want)
		}
	})
}

// TestCharge: tokens of what ended after its request are gone for later ones, also
// if the key was forgotten meanwhile.
func TestCharge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memory.New(), users.Options{CacheSize: 1})
		_, secret := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{TPM: 600}}) // 10 a second
		a := account(t, r, secret)
		ad, _ := admit(a, 100)
		if got := ad.Charged().Tokens; got != 100 {
			t.Errorf("reserved %d, want 100", got)
		}
		ad.Settle(used(-1))
		time.Sleep(time.Hour)
		a.Charge(used(250), users.Prepaid{})
		if got := a.Remaining()[0].Remaining; got != 350 {
			t.Errorf("%d left, want 350", got)
		}
		a.Charge(used(100_000), users.Prepaid{})
		if _, refusal := admit(a, 1); refusal == nil || refusal.Limit != "tpm" {
			t.Errorf("in debt: %+v, want a refusal", refusal)
		}
		time.Sleep(time.Hour)
		for range 200 { // others, so that the key is forgotten
			_, other := create(t, r, users.Spec{Unlimited: true})
			account(t, r, other)
		}
		a.Charge(used(400), users.Prepaid{})
		if got := account(t, r, secret).Remaining()[0].Remaining; got != 200 {
			t.Errorf("forgotten: %d left, want 200", got)
		}
	})
}
