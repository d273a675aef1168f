// SPDX-License-Identifier: Apache-2.0

package users_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// copyOf is what a disk has at a moment, as a process that starts after a crash finds
// it.
func copyOf(t *testing.T, s store.Store) store.Store {
	t.Helper()
	after := memory.New()
	var ops []store.Op
	if err := s.Scan("", "", func(k string, v []byte) bool { ops = append(ops, store.Op{Key: k, Value: v}); return true }); err != nil {
		t.Fatal(err)
	}
	if err := after.Write(store.Batch{Ops: ops}); err != nil {
		t.Fatal(err)
	}
	return after
}

// moody is a store some of whose writes fail, half of these after they were made.
type moody struct {
	store.Store
	mu  sync.Mutex
	rng *rand.Rand
}

func (m *moody) Write(b store.Batch) error {
	m.mu.Lock()
	mood := m.rng.IntN(4)
	m.mu.Unlock()
	if b.Sync || mood > 1 {
		return m.Store.Write(b)
	}
	if mood == 1 {
		_ = m.Store.Write(b) // and nobody hears of it
	}
	return errors.New("input/output error")
}

// TestCrash takes the store as it is at arbitrary moments under 64 writers, with
// writes that fail or seem to. What a start finds is what was used before, at most one
// flush behind, never less than what was settled before that and never more than what
// was reserved until now: nothing is counted twice, and a request in flight counts as
// used.
func TestCrash(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			s := memory.New()
			r := open(t, s, users.Options{})
			key, secret := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{RPD: 1 << 30}})
			bad := &moody{Store: s, rng: rand.New(rand.NewPCG(seed, 1))}
			r = open(t, bad, users.Options{})
			ctx, stop := context.WithCancel(t.Context())
			var running, writers sync.WaitGroup
			running.Go(func() { _ = r.Run(ctx) })
			var mu sync.Mutex
			var least, most [1000]int64 // by ten milliseconds: settled until then, reserved until then
			begin := time.Now()
			for i := range 64 {
				writers.Go(func() {
					rng := rand.New(rand.NewPCG(seed, uint64(i)+2))
					for range 40 {
						ad, refusal := account(t, r, secret).Admit(time.Now(), users.Ask{Dialect: "openai", Cost: 500, Priced: true})
						if refusal != nil {
							t.Error(refusal)
							return
						}
						mu.Lock()
						most[int(time.Since(begin).Milliseconds()/10)] += 500
						mu.Unlock()
						time.Sleep(time.Duration(rng.Int64N(int64(100 * time.Millisecond))))
						cost := rng.Int64N(500)
						ad.Settle(users.Used{Tokens: 1, Cost: cost})
						mu.Lock()
						least[int(time.Since(begin).Milliseconds()/10)] += cost
						mu.Unlock()
					}
				})
			}
			rng := rand.New(rand.NewPCG(seed, 99))
			for range 20 {
				time.Sleep(time.Duration(rng.Int64N(int64(150 * time.Millisecond))))
				at := int(time.Since(begin).Milliseconds() / 10)
				after, err := open(t, copyOf(t, s), users.Options{}).View(key.ID)
				if err != nil {
					t.Fatal(err)
				}
				mu.Lock()
				// Several flushes may fail one after the other: the last good one is
				// somewhere in the last second.
				low, high := total(least[:max(0, at-100)]), total(most[:at+1])
				mu.Unlock()
				if got := after.Spent.Total; got < low || got > high {
					t.Fatalf("seed %d, after %d ms: a start finds %d spent, want %d to %d", seed, at*10, got, low, high)
				}
			}
			writers.Wait()
			stop()
			running.Wait()
			for r.Flush() != nil { //nolint:revive // until a write works
			}
			after, err := open(t, copyOf(t, s), users.Options{}).View(key.ID)
			if err != nil || after.Spent.Total != total(least[:]) {
				t.Errorf("seed %d: in the end %d spent, want %d exactly; %v", seed, after.Spent.Total, total(least[:]), err)
			}
			if rpd := after.Windows[0]; rpd.Limit != "rpd" || rpd.Used != 64*40 {
				t.Errorf("seed %d: %+v, want %d requests", seed, rpd, 64*40)
			}
		})
	}
}

func total(parts []int64) (sum int64) {
	for _, n := range parts {
		sum += n
	}
	return sum
}

// TestCrash_InFlight: what was reserved counts as used after a crash, and totals go on
// from there.
func TestCrash_InFlight(t *testing.T) {
	s := memory.New()
	r := open(t, s, users.Options{})
	key, secret := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{Budget: &users.Budget{Total: 1000}}})
	ask := users.Ask{Dialect: "openai", Cost: 400, Priced: true}
	admitCost := func(r *users.Registry) *users.Admission {
		t.Helper()
		ad, refusal := account(t, r, secret).Admit(time.Now(), ask)
		if refusal != nil {
			t.Fatal(refusal)
		}
		return ad
	}
	admitCost(r).Settle(users.Used{Cost: 100})
	admitCost(r) // and the process is gone
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	r = open(t, copyOf(t, s), users.Options{})
	if v, _ := r.View(key.ID); v.Spent.Total != 500 {
		t.Errorf("%d spent, want what was settled and what was in flight", v.Spent.Total)
	}
	admitCost(r).Cancel()
	if v, _ := r.View(key.ID); v.Spent.Total != 500 {
		t.Errorf("%d spent after a cancelled request", v.Spent.Total)
	}
	admitCost(r).Settle(users.Used{Cost: 450})
	if _, refusal := account(t, r, secret).Admit(time.Now(), ask); refusal == nil || refusal.Limit != "budget.total" || refusal.Used != 950 {
		t.Errorf("%+v", refusal)
	}
}

// TestOlderVersion: the day's requests that an older version counted still count.
func TestOlderVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		r := open(t, s, users.Options{})
		key, _ := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{RPD: 10}})
		today := time.Now().Unix() / 86400
		if err := s.Write(store.Batch{Ops: []store.Op{{Key: "users/day/" + key.ID, Value: []byte(strconv.FormatInt(today, 10) + " 4")}}}); err != nil {
			t.Fatal(err)
		}
		if v, err := r.View(key.ID); err != nil || v.Windows[0].Remaining != 6 {
			t.Errorf("%+v, %v", v.Windows, err)
		}
	})
}
