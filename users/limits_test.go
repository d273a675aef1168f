// SPDX-License-Identifier: Apache-2.0

package users_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// TestExactUnderRace sends many more requests than a limit allows, from 64
// sides at once: exactly the limit gets in, and time brings exactly it back.
func TestExactUnderRace(t *testing.T) {
	for _, c := range []struct {
		limit  string
		limits users.Limits
		tokens int64
		want   int64
		reset  time.Duration
	}{
		{"rpm", users.Limits{RPM: 1000}, 1, 1000, time.Minute},
		{"rpm", users.Limits{RPM: 7}, 1, 7, time.Minute},
		{"tpm", users.Limits{TPM: 5000}, 10, 500, time.Minute},
		{"rpd", users.Limits{RPD: 333}, 1, 333, 24 * time.Hour},
		{"tpd", users.Limits{TPD: 5000}, 10, 500, 24 * time.Hour},
		{"monthly_tokens", users.Limits{MonthlyTokens: 5001}, 10, 500, 31 * 24 * time.Hour},
		{"budget.day", users.Limits{Budget: &users.Budget{Day: 5_000_000_009}}, 10, 500, 24 * time.Hour},
		{"budget.month", users.Limits{Budget: &users.Budget{Month: 5_000_000_000, Total: 20_000_000_000}}, 10, 500, 31 * 24 * time.Hour},
		{"budget.total", users.Limits{Budget: &users.Budget{Total: 5_000_000_000, Day: 9_000_000_000}}, 10, 500, 0},
		{"concurrency", users.Limits{Concurrency: 50}, 1, 50, 0},
		{"concurrency", users.Limits{RPM: 200, RPD: 200, TPM: 2000, Concurrency: 50}, 10, 50, 0},
	} {
		t.Run(fmt.Sprintf("%s %d", c.limit, c.want), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := open(t, memory.New(), users.Options{})
				_, secret := create(t, r, users.Spec{Unlimited: true, Limits: c.limits})
				kind, rounds := users.RateLimited, 3
				if strings.HasPrefix(c.limit, "budget") {
					kind = users.OverBudget
				}
				if c.limit == "budget.total" {
					rounds = 1
				}
				names := func(refusal *users.Refusal, kind users.RefusalKind, passes bool) {
					if refusal == nil || refusal.Kind != kind || refusal.Limit != c.limit || (refusal.RetryAfter > 0) != passes || !strings.Contains(refusal.Message, c.limit) {
						t.Errorf("refusal %+v, want one of kind %d that names %s", refusal, kind, c.limit)
					}
				}
				for round := range rounds {
					admissions, refusal := storm(t, r, secret, c.tokens)
					if int64(len(admissions)) != c.want {
						t.Errorf("round %d: %d admitted, want %d exactly", round, len(admissions), c.want)
					}
					names(refusal, users.RateLimited, true) // those that run may need less
					for _, ad := range admissions {
						ad.Settle(users.Used{Tokens: c.tokens, Cost: c.tokens * 1_000_000})
						ad.Settle(users.Used{Tokens: 1 << 40, Cost: 1 << 40}) // only the first counts
						ad.Cancel()
					}
					if c.limit != "concurrency" {
						_, refusal = admit(account(t, r, secret), c.tokens)
						names(refusal, kind, c.limit != "budget.total")
					}
					time.Sleep(c.reset)
				}
			})
		})
	}
}

func storm(t *testing.T, r *users.Registry, secret string, tokens int64) (admissions []*users.Admission, last *users.Refusal) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for range 50 {
				a, err := r.Authenticate(secret)
				if err != nil {
					t.Error(err)
					return
				}
				ad, refusal := admit(a, tokens)
				mu.Lock()
				if ad != nil {
					admissions = append(admissions, ad)
				} else {
					last = refusal
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return admissions, last
}

// TestRPMBound sends at random moments and demands that no span has more than the
// package promises, that a rested key may spend the limit at once, and that whoever
// waits as told gets in.
func TestRPMBound(t *testing.T) {
	for _, limit := range []int64{1, 3, 7, 20, 100} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := open(t, memory.New(), users.Options{})
				_, secret := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{RPM: limit}})
				a := account(t, r, secret)
				rng := rand.New(rand.NewPCG(1, uint64(limit)))
				var admitted []time.Time
				send := func() *users.Refusal {
					ad, refusal := admit(a, 1)
					if ad != nil {
						admitted = append(admitted, time.Now())
						ad.Settle(users.Used{Tokens: 1})
					}
					return refusal
				}
				for range 3000 {
					if refusal := send(); refusal != nil && refusal.RetryAfter > time.Millisecond && rng.IntN(4) == 0 {
						time.Sleep(refusal.RetryAfter - 1)
						if send() == nil {
							t.Fatal("admitted before the time that was told")
						}
						time.Sleep(time.Nanosecond)
						if again := send(); again != nil {
							t.Fatalf("refused after waiting as told: %v, again %v", refusal, again.RetryAfter)
						}
					}
					time.Sleep(time.Duration(rng.Int64N(int64(90 * time.Second / time.Duration(limit)))))
				}
				for first := range admitted {
					for last := first; last < len(admitted) && last < first+4*int(limit); last++ {
						span := admitted[last].Sub(admitted[first])
						bound := float64(limit) + span.Seconds()*float64(limit)/60 + 1e-3
						if n := last - first + 1; float64(n) > bound {
							t.Fatalf("%d requests within %v, want %.1f at most", n, span, bound)
						}
					}
				}
				time.Sleep(time.Minute)
				for i := range limit {
					if refusal := send(); refusal != nil {
						t.Fatalf("request %d of a burst of %d: %v", i+1, limit, refusal)
					}
				}
				if send() == nil {
					t.Errorf("a burst of more than %d", limit)
				}
			})
		})
	}
}

func TestTPM(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memory.New(), users.Options{})
		_, secret := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{TPM: 600}}) // 10 a second
		a := account(t, r, secret)
		left := func(step string, want int64) {
			t.Helper()
			if got := a.Remaining()[0]; got.Limit != "tpm" || got.Remaining != want {
				t.Errorf("%s: %+v, want %d left", step, got, want)
			}
		}
		take := func(step string, tokens int64, wait time.Duration) *users.Admission {
			t.Helper()
			ad, refusal := admit(a, tokens)
			if wait == 0 && refusal != nil || wait != 0 && (refusal == nil || refusal.RetryAfter != wait) {
				t.Errorf("%s: refusal %+v, want one of %v", step, refusal, wait)
			}
			return ad
		}
		ad := take("first", 400, 0)
		left("reserved", 200)
		take("does not fit", 300, 10*time.Second)
		ad.Settle(used(100))
		left("settled below the estimate", 500)
		take("fits now", 500, 0).Settle(used(-1))
		left("unknown keeps the estimate", 0)
		take("empty", 0, 100*time.Millisecond)
		time.Sleep(time.Minute)
		left("after a minute", 600)
		ad = take("larger than the limit", 5000, 0)
		left("takes all", 0)
		ad.Settle(used(5000)) // would be 7 minutes; the debt is capped at one more
		take("in debt", 1, time.Minute+100*time.Millisecond)
		time.Sleep(time.Minute)
		left("debt is paid", 0)
		time.Sleep(30 * time.Second)
		left("and refills", 300)
		take("cancelled", 300, 0).Cancel()
		left("given back", 300)
	})
}

func TestRefusalTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memory.New(), users.Options{})
		_, secret := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{RPM: 10, TPM: 100, RPD: 10, Concurrency: 10}})
		a := account(t, r, secret)
		ad, _ := admit(a, 100)
		before := fmt.Sprint(a.Remaining())
		for range 50 {
			if _, refusal := admit(a, 100); refusal == nil || refusal.Limit != "tpm" {
				t.Fatalf("refusal %+v, want tpm", refusal)
			}
		}
		if after := fmt.Sprint(a.Remaining()); after != before {
			t.Errorf("refusals changed\n%s to\n%s", before, after)
		}
		ad.Cancel()
		for _, s := range ad.Remaining() {
			if s.Remaining != s.Max {
				t.Errorf("after Cancel: %+v", s)
			}
		}
	})
}

func TestRPDSurvivesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		spec := users.Spec{Unlimited: true, Limits: users.Limits{RPD: 10}}
		r := open(t, s, users.Options{})
		_, secret := create(t, r, spec)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		use := func(r *users.Registry, n int) (admitted int) {
			for range n {
				if ad, _ := admit(account(t, r, secret), 1); ad != nil {
					ad.Settle(used(1))
					admitted++
				}
			}
			return admitted
		}
		if got := use(r, 4); got != 4 {
			t.Fatalf("%d admitted", got)
		}
		time.Sleep(101 * time.Millisecond) // and then the process is gone
		synctest.Wait()
		if got := use(open(t, s, users.Options{}), 3); got != 3 {
			t.Errorf("%d admitted", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		second := open(t, s, users.Options{})
		if got := use(second, 100); got != 6 {
			t.Errorf("%d admitted after a restart, want the 6 that are left", got)
		}
		_, refusal := admit(account(t, second, secret), 1)
		if until := time.Until(time.Now().Truncate(24 * time.Hour).Add(24 * time.Hour)); refusal == nil || refusal.Limit != "rpd" || refusal.RetryAfter != until {
			t.Errorf("refusal %+v, want rpd and %v, UTC midnight", refusal, until)
		}
		if err := second.Flush(); err != nil {
			t.Error(err)
		}
		time.Sleep(24 * time.Hour)
		if got := use(open(t, s, users.Options{}), 100); got != 10 {
			t.Errorf("%d admitted the next day, want 10", got)
		}
	})
}

func TestFlushTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &failing{Store: memory.New()}
		r := open(t, s, users.Options{})
		_, secret := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{RPD: 10}})
		ad, _ := admit(account(t, r, secret), 1)
		ad.Settle(used(1))
		s.down.Store(true)
		if err := r.Flush(); err == nil {
			t.Error("no error from a store that is down")
		}
		s.down.Store(false)
		if err := r.Flush(); err != nil {
			t.Error(err)
		}
		if left := account(t, open(t, s, users.Options{}), secret).Remaining()[0].Remaining; left != 9 {
			t.Errorf("%d left after a restart, want 9", left)
		}
	})
}

// A store that fails is told of once, and once when it works again.
func TestStoreFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &failing{Store: memory.New()}
		var heard []bool
		r := open(t, s, users.Options{StoreFailed: func(err error) { heard = append(heard, err != nil) }})
		_, secret := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{RPD: 100}})
		alice := account(t, r, secret)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		for _, down := range []bool{false, true, true, false, true} {
			s.down.Store(down)
			ad, _ := admit(alice, 1)
			ad.Settle(used(1))
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if want := []bool{true, false, true}; !slices.Equal(heard, want) {
			t.Errorf("told %v, want %v", heard, want)
		}
		cancel()
		if err := <-done; err == nil {
			t.Error("the last flush did not fail")
		}
	})
}

// failing is a store whose calls fail while down.
type failing struct {
	store.Store
	down atomic.Bool
}

func (f *failing) Write(b store.Batch) error {
	if f.down.Load() {
		return errors.New("disk full")
	}
	return f.Store.Write(b)
}

func (f *failing) Get(key string) ([]byte, error) {
	if f.down.Load() {
		return nil, errors.New("disk gone")
	}
	return f.Store.Get(key)
}

// TestStoreErrorIsNotUnknownKey: trouble of ours must not look like a fault of
// the user's key.
func TestStoreErrorIsNotUnknownKey(t *testing.T) {
	s := &failing{Store: memory.New()}
	r := open(t, s, users.Options{})
	_, secret := create(t, r, users.Spec{})
	s.down.Store(true)
	if _, err := r.Authenticate(secret); err == nil || errors.Is(err, users.ErrUnknownKey) {
		t.Errorf("err = %v", err)
	}
}

// TestCacheBound uses many more keys than the cache holds. Idle ones are
// evicted; counters that matter are not lost by it.
func TestCacheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memory.New(), users.Options{CacheSize: 640})
		var secrets []string
		for range 5000 {
			_, secret := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{RPM: 1, RPD: 5}})
			secrets = append(secrets, secret)
		}
		for _, secret := range secrets {
			account(t, r, secret)
		}
		if n := r.Cached(); n > 640 {
			t.Errorf("%d idle accounts are cached, want at most 640", n)
		}
		var held []*users.Account
		for _, secret := range secrets {
			held = append(held, account(t, r, secret)) // most are evicted before the next loop
		}
		for i, a := range held {
			if _, refusal := admit(a, 1); refusal != nil {
				t.Fatalf("account %d: %v", i, refusal)
			}
		}
		for i, secret := range secrets {
			if _, refusal := admit(account(t, r, secret), 1); refusal == nil {
				t.Fatalf("account %d was forgotten with a full window", i)
			}
		}
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		for _, secret := range secrets[:2500] {
			ad, refusal := admit(account(t, r, secret), 1)
			if refusal != nil {
				t.Fatal(refusal)
			}
			ad.Settle(used(1))
			if left := ad.Remaining()[1]; left.Limit != "rpd" || left.Remaining != 3 {
				t.Fatalf("%+v, want 3 left of the day", left)
			}
		}
	})
}

// TestChangesRace changes a key while it is evicted and read: the last change
// must hold at the end.
func TestChangesRace(t *testing.T) {
	r := open(t, memory.New(), users.Options{CacheSize: 1})
	var keys []users.Key
	var secrets []string
	for range 200 {
		key, secret := create(t, r, users.Spec{Unlimited: true})
		keys, secrets = append(keys, key), append(secrets, secret)
	}
	var changes, reads sync.WaitGroup
	var stop atomic.Bool
	for range 4 {
		reads.Go(func() {
			for !stop.Load() {
				_, err := r.Authenticate(secrets[rand.IntN(len(secrets))])
				if err != nil && !errors.Is(err, users.ErrDisabled) && !errors.Is(err, users.ErrUnknownKey) {
					t.Error(err)
				}
			}
		})
	}
	for i := range keys {
		changes.Go(func() {
			for n := range 20 {
				if _, err := r.SetEnabled(context.Background(), keys[i].ID, n%2 == 0); err != nil {
					t.Error(err)
				}
			}
			if i%2 == 0 {
				if err := r.Delete(context.Background(), keys[i].ID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	changes.Wait()
	stop.Store(true)
	reads.Wait()
	for i, secret := range secrets {
		want := []error{users.ErrUnknownKey, users.ErrDisabled}[i%2]
		if _, err := r.Authenticate(secret); !errors.Is(err, want) {
			t.Errorf("key %d: %v, want %v", i, err, want)
		}
	}
}

func TestMemoryPerKey(t *testing.T) {
	const n = 20_000
	r := open(t, memory.New(), users.Options{CacheSize: n})
	secrets := make([]string, n)
	for i := range secrets {
		_, secrets[i] = create(t, r, users.Spec{Name: "a key of ordinary name"})
	}
	before := heap()
	for _, secret := range secrets {
		account(t, r, secret)
	}
	per := (heap() - before) / n
	t.Logf("%d bytes per cached key", per)
	if per > 1000 {
		t.Errorf("%d bytes per cached key, want a few hundred", per)
	}
	runtime.KeepAlive(r)
	slices.Sort(secrets)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkAuthenticate(b *testing.B) {
	r := open(b, memory.New(), users.Options{})
	secrets := make([]string, 1000)
	for i := range secrets {
		_, secrets[i] = create(b, r, users.Spec{})
		account(b, r, secrets[i])
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := rand.IntN(1000); pb.Next(); i++ {
			if _, err := r.Authenticate(secrets[i%1000]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAuthenticateJunk(b *testing.B) {
	r := open(b, memory.New(), users.Options{})
	_, secret := create(b, r, users.Spec{})
	junk := secret[:len(secret)-1] + "-"
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Authenticate(junk); err == nil {
			b.Fatal("accepted")
		}
	}
}

func BenchmarkAdmitSettle(b *testing.B) {
	for _, c := range []struct {
		name string
		spec users.Spec
	}{
		{"unlimited", users.Spec{Unlimited: true}},
		{"all limits", users.Spec{Limits: users.Limits{RPM: 1e12, TPM: 1e12, RPD: 1e12, Concurrency: 1e6}, Models: []string{"gemini-*"}, CIDRs: []string{"10.0.0.0/8"}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := open(b, memory.New(), users.Options{})
			_, secret := create(b, r, c.spec)
			a := account(b, r, secret)
			ip := netip.MustParseAddr("10.1.2.3")
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					ad, refusal := a.Admit(time.Now(), users.Ask{Model: "gemini-3-flash", Dialect: "openai", IP: ip, Tokens: 100, Cost: 1000, Priced: true})
					if refusal != nil {
						b.Fatal(refusal)
					}
					ad.Settle(used(80))
				}
			})
		})
	}
}
