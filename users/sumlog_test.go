// SPDX-License-Identifier: Apache-2.0

package users_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// records counts what a store has under a prefix.
func records(t *testing.T, s store.Store, prefix string) (n int) {
	t.Helper()
	if err := s.Scan(prefix, "", func(string, []byte) bool { n++; return true }); err != nil {
		t.Fatal(err)
	}
	return n
}

// spend makes a request that has cost so much.
func spend(t testing.TB, r *users.Registry, secret string, cost int64) {
	t.Helper()
	ad, refusal := account(t, r, secret).Admit(time.Now(), users.Ask{Dialect: "openai", Cost: cost, Priced: true})
	if refusal != nil {
		t.Fatal(refusal)
	}
	ad.Settle(users.Used{Tokens: 1, Cost: cost})
}

// TestSumLog makes requests of many keys at random, with a store that fails at times,
// through several rounds, and more keys than the cache is meant for. Whenever a flush was
// right, a process that starts from what is on the disk finds exactly what was spent.
func TestSumLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(2) {
			s := memory.New()
			rng := rand.New(rand.NewPCG(seed, 7))
			r := open(t, s, users.Options{})
			made, err := r.CreateMany(t.Context(), users.Spec{Name: "k", Unlimited: true}, 400)
			if err != nil {
				t.Fatal(err)
			}
			spent := make([]int64, len(made))
			check := func(when string, r *users.Registry) {
				t.Helper()
				for i := range made {
					if v, err := r.View(made[i].Key.ID); err != nil || v.Spent.Total != spent[i] {
						t.Fatalf("seed %d, %s: key %d has spent %d, %v; want %d", seed, when, i, v.Spent.Total, err, spent[i])
					}
				}
			}
			bad := &moody{Store: s, rng: rng}
			r = open(t, bad, users.Options{CacheSize: 64})
			most := 0
			for n := range 1500 {
				for range rng.IntN(3) {
					i := rng.IntN(1 + rng.IntN(len(made))) // some more often than others
					cost := rng.Int64N(1000)
					spend(t, r, made[i].Secret, cost)
					spent[i] += cost
				}
				time.Sleep(100 * time.Millisecond)
				if r.Flush() == nil && rng.IntN(20) == 0 {
					check(fmt.Sprintf("a crash after %d flushes", n), open(t, copyOf(t, s), users.Options{}))
				}
				if n%10 == 0 {
					most = max(most, records(t, s, "users/sumlog/"))
				}
			}
			check("in the end", r)
			for range 900 { // the last round, and one more
				_ = r.Flush()
			}
			for range 3 {
				for i := range made {
					account(t, r, made[i].Secret)
				}
			}
			if n := r.Cached(); n > 2*64 {
				t.Errorf("seed %d: %d accounts in a cache of 64", seed, n)
			}
			if most < 100 || most > 1000 {
				t.Errorf("seed %d: the log had %d records, want those of one to three rounds", seed, most)
			}
			ctx, stop := context.WithCancel(t.Context())
			stop()
			for r.Run(ctx) != nil { //nolint:revive // until all writes work
			}
			if n := records(t, s, "users/sumlog/"); n != 0 {
				t.Errorf("seed %d: the log has %d records after the end", seed, n)
			}
			check("after a stop", open(t, s, users.Options{}))
		}
	})
}

// TestSumLog_Writes: what a flush writes does not grow with the keys that were used, and
// a quiet registry writes nothing.
func TestSumLog_Writes(t *testing.T) {
	s := &counting{Store: memory.New()}
	r := open(t, s, users.Options{})
	made, err := r.CreateMany(t.Context(), users.Spec{Name: "k"}, 500)
	if err != nil {
		t.Fatal(err)
	}
	before := records(t, s, "")
	for range 5 {
		for i := range made {
			spend(t, r, made[i].Secret, 1)
		}
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if n := records(t, s, "") - before; n != 5 {
		t.Errorf("%d records for 5 flushes of 500 keys", n)
	}
	for range 700 { // a round, and what follows it
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if own, log := records(t, s, "users/sum/"), records(t, s, "users/sumlog/"); own != 500 || log != 0 {
		t.Errorf("after a round %d own records and %d of the log, want 500 and none", own, log)
	}
	s.writes = 0
	for range 400 {
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if s.writes != 0 {
		t.Errorf("%d writes of nothing", s.writes)
	}
}

// TestSumLog_List: the list of keys tells when one was used that only the log knows of.
func TestSumLog_List(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := open(t, memory.New(), users.Options{})
		key, secret := create(t, r, users.Spec{Name: "k"})
		spend(t, r, secret, 5)
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
		page, err := r.List(t.Context(), users.Query{Limit: 10})
		if err != nil || len(page.Keys) != 1 || page.Keys[0].ID != key.ID || page.Keys[0].LastUsed.IsZero() {
			t.Errorf("%+v, %v", page.Keys, err)
		}
	})
}
