// SPDX-License-Identifier: Apache-2.0

package users_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// TestRotate: both secrets work until the grace is over, on one account; a process that
// starts in between knows both.
func TestRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		r := open(t, s, users.Options{})
		key, first := create(t, r, users.Spec{Name: "alice", Unlimited: true, Limits: users.Limits{RPM: 2}})
		works := func(step string, want map[string]bool) {
			t.Helper()
			for _, r := range []*users.Registry{r, open(t, s, users.Options{})} {
				for secret, ok := range want {
					if _, err := r.Authenticate(secret); (err == nil) != ok {
						t.Errorf("%s: …%s: %v, want %v", step, secret[len(secret)-4:], err, ok)
					}
				}
			}
		}
		if key.Hint() != "gb-"+key.ID[:4]+"…"+first[len(first)-4:] {
			t.Errorf("hint %s of %s", key.Hint(), first)
		}
		second, err := r.Rotate(t.Context(), key.ID, time.Hour)
		if err != nil || !second.Key.OldUntil.Equal(time.Now().Add(time.Hour)) || second.Key.Tail != second.Secret[len(second.Secret)-4:] {
			t.Fatalf("%+v, %v", second, err)
		}
		works("in the grace", map[string]bool{first: true, second.Secret: true})
		for i, secret := range []string{first, second.Secret, first} {
			if _, refusal := admit(account(t, r, secret), 1); (refusal != nil) != (i == 2) {
				t.Errorf("request %d: %v, want one account for both", i, refusal)
			}
		}
		time.Sleep(time.Hour - 1)
		works("at its end", map[string]bool{first: true, second.Secret: true})
		time.Sleep(time.Nanosecond)
		works("after it", map[string]bool{first: false, second.Secret: true})
		third, err := r.Rotate(t.Context(), key.ID, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		fourth, err := r.Rotate(t.Context(), key.ID, 0)
		if err != nil || !fourth.Key.OldUntil.IsZero() {
			t.Fatal(err)
		}
		works("at once", map[string]bool{first: false, second.Secret: false, third.Secret: false, fourth.Secret: true})
		if _, err := r.Rotate(t.Context(), "nobody", 0); !errors.Is(err, users.ErrNotFound) {
			t.Error(err)
		}
		_ = s.Scan("", "", func(k string, v []byte) bool {
			for _, secret := range []string{first, second.Secret, third.Secret, fourth.Secret} {
				if strings.Contains(k+string(v), secret[16:26]) || strings.Contains(k+string(v), secret[len(secret)-10:]) {
					t.Errorf("%s holds a secret", k)
				}
			}
			return true
		})
	})
}

// TestDeleteRestorePurge: what was deleted is unknown, can be had back for a day with
// its counters, and then leaves nothing behind.
func TestDeleteRestorePurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		r := open(t, s, users.Options{})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		key, secret := create(t, r, users.Spec{Name: "alice", Unlimited: true, Limits: users.Limits{RPD: 2}})
		flying, _ := admit(account(t, r, secret), 1)
		gone := func(step string) {
			t.Helper()
			_, viewErr := r.View(key.ID)
			_, getErr := r.Get(key.ID)
			_, authErr := r.Authenticate(secret)
			if !errors.Is(viewErr, users.ErrNotFound) || !errors.Is(getErr, users.ErrNotFound) || !errors.Is(authErr, users.ErrUnknownKey) {
				t.Errorf("%s: %v, %v, %v", step, viewErr, getErr, authErr)
			}
		}
		listed := func(status users.Status) int {
			t.Helper()
			page, err := r.List(t.Context(), users.Query{Limit: 10, Status: status})
			if err != nil || page.Total != len(page.Keys) {
				t.Error(err, page)
			}
			return page.Total
		}
		if err := r.Delete(t.Context(), key.ID); err != nil {
			t.Fatal(err)
		}
		gone("deleted")
		if listed("") != 0 || listed(users.Deleted) != 1 {
			t.Error("the list does not know that the key was deleted")
		}
		flying.Settle(users.Used{Tokens: 10})
		time.Sleep(users.DeletedFor - time.Minute)
		if _, err := r.Restore(t.Context(), key.ID); err != nil {
			t.Fatal(err)
		}
		if listed("") != 1 || listed(users.Deleted) != 0 {
			t.Error("the list does not know that the key is back")
		}
		if _, err := r.Restore(t.Context(), key.ID); !errors.Is(err, users.ErrNotFound) {
			t.Errorf("restored twice: %v", err)
		}
		account(t, r, secret)
		time.Sleep(time.Hour) // its old place in the index of the deleted must not matter
		account(t, r, secret)
		if err := r.Delete(t.Context(), key.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(users.DeletedFor + 2*time.Minute)
		gone("purged")
		if _, err := r.Restore(t.Context(), key.ID); !errors.Is(err, users.ErrNotFound) {
			t.Errorf("restored after a day: %v", err)
		}
		if listed("")+listed(users.Deleted) != 0 {
			t.Error("the list still has the key")
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = s.Scan("users/", "", func(k string, _ []byte) bool { t.Errorf("%s is left", k); return true })
	})
}

// TestRestoreKeepsCounters: a day's limit cannot be got around by deleting.
func TestRestoreKeepsCounters(t *testing.T) {
	r := open(t, memory.New(), users.Options{})
	key, secret := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{RPD: 1}})
	if _, refusal := admit(account(t, r, secret), 1); refusal != nil {
		t.Fatal(refusal)
	}
	if err := r.Delete(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Restore(t.Context(), key.ID); err != nil {
		t.Fatal(err)
	}
	if _, refusal := admit(account(t, r, secret), 1); refusal == nil || refusal.Limit != "rpd" {
		t.Errorf("%+v", refusal)
	}
}

func TestCreateMany(t *testing.T) {
	s := memory.New()
	r := open(t, s, users.Options{})
	models := make([]string, 500)
	for i := range models {
		models[i] = strings.Repeat("m", 20) + fmt.Sprint(i)
	}
	made, err := r.CreateMany(t.Context(), users.Spec{Name: "team", Models: models}, 1000) // more than a batch
	if err != nil || len(made) != 1000 {
		t.Fatalf("%d, %v", len(made), err)
	}
	seen := map[string]bool{}
	for i, m := range made {
		if want := fmt.Sprintf("team %04d", i+1); m.Key.Name != want || seen[m.Secret] {
			t.Fatalf("%q, want %q", m.Key.Name, want)
		}
		seen[m.Secret] = true
		account(t, r, m.Secret)
	}
	if n, err := r.Count(); n != 1000 || err != nil {
		t.Errorf("%d keys, %v", n, err)
	}
	for _, count := range []int{-1, 0, 1001} {
		if _, err := r.CreateMany(t.Context(), users.Spec{}, count); !errors.Is(err, users.ErrInvalid) {
			t.Errorf("count %d: %v", count, err)
		}
	}
}

// TestEditMany changes more keys than a batch has, some of which are gone.
func TestEditMany(t *testing.T) {
	r := open(t, memory.New(), users.Options{})
	made, err := r.CreateMany(t.Context(), users.Spec{Name: "x", Note: strings.Repeat("n", 4000), Models: manyModels(1000)}, 300)
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{"nobody"}
	for _, m := range made {
		ids = append(ids, m.Key.ID)
	}
	if n, err := r.DeleteMany(t.Context(), ids[:11]); n != 10 || err != nil {
		t.Fatal(n, err)
	}
	n, err := r.EditMany(t.Context(), ids, func(s *users.Spec) error {
		if s.Name == "x 300" {
			return users.ErrUnchanged
		}
		s.Labels = append(s.Labels, "blue")
		return nil
	})
	if n != 289 || err != nil {
		t.Errorf("%d changed, want 289; %v", n, err)
	}
	if page, _ := r.List(t.Context(), users.Query{Label: "Blue"}); page.Total != 289 {
		t.Errorf("%d found by the label", page.Total)
	}
	if n, err := r.SetEnabledMany(t.Context(), ids, true); n != 0 || err != nil {
		t.Errorf("%d enabled that were, %v", n, err)
	}
	if n, err := r.SetEnabledMany(t.Context(), ids, false); n != 290 || err != nil {
		t.Errorf("%d disabled, %v", n, err)
	}
	if n, err := r.RestoreMany(t.Context(), ids); n != 10 || err != nil {
		t.Errorf("%d restored, %v", n, err)
	}
	if _, err := r.EditMany(t.Context(), ids, func(s *users.Spec) error { s.Limits.RPM = -1; return nil }); !errors.Is(err, users.ErrInvalid) {
		t.Error(err)
	}
}

func manyModels(n int) (models []string) {
	for i := range n {
		models = append(models, fmt.Sprintf("gemini-of-a-long-name-%d", i))
	}
	return models
}

// TestEdit_KeepsWhatIsUsed: another limit does not give back what was used of the one
// before.
func TestEdit_KeepsWhatIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memory.New(), users.Options{})
		key, secret := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{RPM: 7}})
		a := account(t, r, secret)
		for range 5 {
			admit(a, 1)
		}
		for _, c := range []struct{ limit, used, left int64 }{{60, 5, 55}, {3, 5, 0}, {1000, 5, 995}} {
			if _, err := r.Edit(t.Context(), key.ID, func(s *users.Spec) error { s.Limits.RPM = c.limit; return nil }); err != nil {
				t.Fatal(err)
			}
			if got := a.Remaining()[0]; got.Used != c.used || got.Remaining != c.left {
				t.Errorf("%d a minute: %+v, want %d used", c.limit, got, c.used)
			}
		}
	})
}

// TestEdit_DoesNotShare: an edit that fails or is made once more changes nothing of
// what others hold.
func TestEdit_DoesNotShare(t *testing.T) {
	r := open(t, &conflicting{Store: memory.New()}, users.Options{})
	key, secret := create(t, r, users.Spec{Models: []string{"a"}, Limits: users.Limits{Budget: &users.Budget{Day: 1}}})
	held := account(t, r, secret).Key()
	after, err := r.Edit(t.Context(), key.ID, func(s *users.Spec) error { s.Models[0], s.Limits.Budget.Day = "b", 2; return nil })
	if err != nil || held.Models[0] != "a" || held.Limits.Budget.Day != 1 || after.Models[0] != "b" {
		t.Errorf("%v, %v, %v", held, after, err)
	}
}

// conflicting is a store where another node is always faster, once.
type conflicting struct {
	store.Store
	times int
}

func (c *conflicting) Write(b store.Batch) error {
	if c.times++; c.times == 2 {
		return store.ErrConflict
	}
	return c.Store.Write(b)
}

// TestRefusals: each limit's refusal names it, its value, what is used, and until when,
// both ways.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name    string
		limits  users.Limits
		first   users.Ask // that uses it up
		kind    users.RefusalKind
		max     int64
		retry   time.Duration
		message string // after the id
	}{
		{"rpm", users.Limits{RPM: 1}, users.Ask{}, users.RateLimited, 1, time.Minute, " has reached its limit of 1 requests per minute (rpm): 1 used. Please try again in 1m0s, at 2000-01-01T00:01:00Z."},
		{"tpm", users.Limits{TPM: 600}, users.Ask{Tokens: 600}, users.RateLimited, 600, 10 * time.Second, " has reached its limit of 600 tokens per minute (tpm): 600 used. Please try again in 10s, at 2000-01-01T00:00:10Z."},
		{"rpd", users.Limits{RPD: 1}, users.Ask{}, users.RateLimited, 1, 24 * time.Hour, " has reached its limit of 1 requests per day (rpd): 1 used. Please try again in 24h0m0s, at 2000-01-02T00:00:00Z."},
		{"tpd", users.Limits{TPD: 100}, users.Ask{Tokens: 60}, users.RateLimited, 100, 24 * time.Hour, " has reached its limit of 100 tokens per day (tpd): 60 used, 100 requested. Please try again in 24h0m0s, at 2000-01-02T00:00:00Z."},
		{"monthly_tokens", users.Limits{MonthlyTokens: 100}, users.Ask{Tokens: 100}, users.RateLimited, 100, 31 * 24 * time.Hour, " has reached its limit of 100 tokens per month (monthly_tokens): 100 used. Please try again in 744h0m0s, at 2000-02-01T00:00:00Z."},
		{"concurrency", users.Limits{Concurrency: 1}, users.Ask{}, users.RateLimited, 1, time.Second, " has reached its limit of 1 requests at the same time (concurrency): 1 used. Wait for one of them to end, or send fewer at once."},
		{"budget.day", users.Limits{Budget: &users.Budget{Day: 2_500_000_000}}, users.Ask{Cost: 2_500_000_000}, users.OverBudget, 2_500_000_000, 24 * time.Hour, " has reached its limit of 2.5 USD per day (budget.day): 2.5 used. Please try again in 24h0m0s, at 2000-01-02T00:00:00Z."},
		{"budget.month", users.Limits{Budget: &users.Budget{Month: 1000}}, users.Ask{Cost: 800}, users.OverBudget, 1000, 31 * 24 * time.Hour, " has reached its limit of 0.000001 USD per month (budget.month): 0.0000008 used, 0.000001 requested. Please try again in 744h0m0s, at 2000-02-01T00:00:00Z."},
		{"budget.total", users.Limits{Budget: &users.Budget{Total: 1}}, users.Ask{Cost: 1}, users.OverBudget, 1, 0, " has reached its limit of 0.000000001 USD in all (budget.total): 0.000000001 used. It does not pass by itself: ask the operator for more."},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := open(t, memory.New(), users.Options{})
				key, secret := create(t, r, users.Spec{Unlimited: true, Limits: c.limits})
				a := account(t, r, secret)
				c.first.Dialect, c.first.Priced = "openai", true
				first, refusal := a.Admit(time.Now(), c.first)
				if refusal != nil {
					t.Fatal(refusal)
				}
				next := users.Ask{Dialect: "openai", Tokens: 100, Cost: 1000, Priced: true}
				if c.first.Cost > 0 || c.name == "tpd" || c.name == "monthly_tokens" { // of which the first may give back
					_, refusal = a.Admit(time.Now(), next)
					if refusal == nil || refusal.Limit != c.name || refusal.Kind != users.RateLimited || refusal.RetryAfter != time.Second ||
						!refusal.Until.IsZero() || !strings.Contains(refusal.Message, " used or reserved for requests that run") {
						t.Errorf("while the first runs: %+v", refusal)
					}
					first.Settle(users.Used{Tokens: -1, Cost: -1})
				}
				_, refusal = a.Admit(time.Now(), next)
				if refusal == nil {
					t.Fatal("admitted")
				}
				if refusal.Limit != c.name || refusal.Kind != c.kind || refusal.Max != c.max || refusal.RetryAfter != c.retry || refusal.Message != "user key "+key.ID+c.message {
					t.Errorf("%+v\nwant     user key …%s", *refusal, c.message)
				}
				if v, err := r.View(key.ID); err != nil || v.Status != users.Limited && c.name != "tpd" && c.name != "budget.month" && c.name != "concurrency" {
					t.Errorf("status %s, %v", v.Status, err)
				}
			})
		})
	}
}

// TestUnpriced: a budget cannot be kept where nobody knows the price.
func TestUnpriced(t *testing.T) {
	r := open(t, memory.New(), users.Options{})
	budget := users.Limits{Budget: &users.Budget{Total: 100}}
	for _, c := range []struct {
		name    string
		spec    users.Spec
		ask     users.Ask
		refused bool
	}{
		{"priced", users.Spec{Limits: budget}, users.Ask{Model: "m", Priced: true}, false},
		{"not priced", users.Spec{Limits: budget}, users.Ask{Model: "m"}, true},
		{"no model", users.Spec{Limits: budget}, users.Ask{}, false},
		{"allowed to", users.Spec{Limits: budget, Unpriced: true}, users.Ask{Model: "m"}, false},
		{"no budget", users.Spec{}, users.Ask{Model: "m"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, secret := create(t, r, c.spec)
			_, refusal := account(t, r, secret).Admit(time.Now(), c.ask)
			if (refusal != nil) != c.refused || refusal != nil && (refusal.Limit != "price" || refusal.Kind != users.Forbidden || !strings.Contains(refusal.Message, `"m"`)) {
				t.Errorf("%+v", refusal)
			}
		})
	}
}

// TestBudget_Free: what is known to cost nothing passes a budget that is spent; what
// costs nobody knows what does not.
func TestBudget_Free(t *testing.T) {
	r := open(t, memory.New(), users.Options{})
	_, secret := create(t, r, users.Spec{Unpriced: true, Limits: users.Limits{Budget: &users.Budget{Total: 100}}})
	a := account(t, r, secret)
	if _, refusal := a.Admit(time.Now(), users.Ask{Model: "m", Cost: 1 << 50, Priced: true}); refusal != nil {
		t.Fatalf("more than a whole budget, which is there: %v", refusal)
	}
	if _, refusal := a.Admit(time.Now(), users.Ask{Model: "free", Priced: true}); refusal != nil {
		t.Errorf("free: %v", refusal)
	}
	if _, refusal := a.Admit(time.Now(), users.Ask{Model: "unknown"}); refusal == nil || refusal.Limit != "budget.total" {
		t.Errorf("unknown: %+v", refusal)
	}
}

// TestClockSetBack: a clock that is corrected by a day stops nobody for a day.
func TestClockSetBack(t *testing.T) {
	now := time.Date(2026, 5, 2, 12, 0, 0, 0, time.UTC)
	r := open(t, memory.New(), users.Options{Now: func() time.Time { return now }})
	_, secret := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{RPM: 2}})
	a := account(t, r, secret)
	send := func() *users.Refusal {
		_, refusal := a.Admit(now, users.Ask{Dialect: "openai"})
		return refusal
	}
	send()
	send()
	now = now.Add(-24 * time.Hour)
	if refusal := send(); refusal == nil || refusal.RetryAfter != 30*time.Second {
		t.Errorf("%+v", refusal)
	}
	now = now.Add(30 * time.Second)
	if refusal := send(); refusal != nil {
		t.Error(refusal)
	}
}

// TestClockSetBack_Calendars: a clock that was ten years ahead for a moment has no day
// last for ten years, be it in memory or in the store that the moment is remembered.
func TestClockSetBack_Calendars(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart %t", restart), func(t *testing.T) {
			s, now := memory.New(), time.Date(2026, 5, 2, 12, 0, 0, 0, time.UTC)
			clock := users.Options{Now: func() time.Time { return now }}
			r := open(t, s, clock)
			key, secret := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{RPD: 2}})
			a := account(t, r, secret)
			send := func() *users.Refusal {
				_, refusal := a.Admit(now, users.Ask{Dialect: "openai"})
				return refusal
			}
			now = now.AddDate(10, 0, 0)
			for i := range 3 {
				if refusal := send(); (refusal != nil) != (i == 2) {
					t.Fatalf("request %d of the day: %v", i+1, refusal)
				}
			}
			now = now.AddDate(-10, 0, 0)
			if restart {
				if err := r.Flush(); err != nil {
					t.Fatal(err)
				}
				r = open(t, s, clock)
				a = account(t, r, secret)
			}
			if refusal := send(); refusal == nil || refusal.RetryAfter != 12*time.Hour {
				t.Errorf("what was used is forgotten: %+v", refusal)
			}
			now = now.Add(12 * time.Hour)
			if refusal := send(); refusal != nil {
				t.Errorf("on the next day: %v", refusal)
			}
			if v, err := r.View(key.ID); err != nil || v.Status != users.Active && !restart {
				t.Errorf("%s, %v", v.Status, err)
			}
		})
	}
}

// TestWindows: headers tell of the limit that is soonest over.
func TestWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memory.New(), users.Options{})
		_, secret := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{RPM: 4, RPD: 6, TPM: 100, TPD: 150, MonthlyTokens: 1000}})
		a := account(t, r, secret)
		for i, want := range []string{"rpm 3 tpm 70", "rpm 2 tpm 40", "rpm 1 tpm 10", "rpd 2 tpd 30", "rpd 1 tpd 0"} {
			if i == 3 {
				time.Sleep(time.Minute)
			}
			if _, refusal := a.Admit(time.Now(), users.Ask{Tokens: 30}); refusal != nil {
				t.Fatal(refusal)
			}
			requests, tokens := a.Windows()
			if got := fmt.Sprint(requests.Limit, " ", requests.Remaining, " ", tokens.Limit, " ", tokens.Remaining); got != want {
				t.Errorf("after %d: %s, want %s", i+1, got, want)
			}
		}
	})
}

// TestLastUsed is written behind, and known after a start.
func TestLastUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		r := open(t, s, users.Options{})
		key, secret := create(t, r, users.Spec{})
		if v, _ := r.View(key.ID); !v.LastUsed.IsZero() || v.LastIP.IsValid() {
			t.Errorf("never used: %+v", v.Standing)
		}
		admit(account(t, r, secret), 1)
		want := time.Now()
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		for _, r := range []*users.Registry{r, open(t, s, users.Options{})} {
			if v, err := r.View(key.ID); err != nil || !v.LastUsed.Equal(want) || v.LastIP.String() != "192.0.2.1" {
				t.Errorf("%v %v, %v", v.LastUsed, v.LastIP, err)
			}
		}
	})
}
