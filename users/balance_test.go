// SPDX-License-Identifier: Apache-2.0

package users_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// balance is what is known of a user key's money from what its requests did.
type balance struct {
	id, secret string
	flying     []*users.Admission
	settled    int64 // by requests that ended
	lost       int64 // reserved by requests that a crash cut off
	// As the store has it:
	keptSettled, keptLost int64
	keptHeld              int64 // by requests in flight then
}

func (b *balance) held() (sum int64) {
	for _, ad := range b.flying {
		sum += ad.Charged().Cost
	}
	return sum
}

// TestBalance has random schedules of requests that are admitted, used, settled and
// cancelled by the requests of several keys, with crashes in between. At every moment
// what a key has spent is what its requests have settled, hold, or held when a crash cut
// them off; it is never below 0; and once nothing is in flight nothing is reserved.
// Source: specs/gateways.md §4.2, M2.
func TestBalance(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 3))
				var s store.Store = memory.New()
				r := open(t, s, users.Options{})
				keys := make([]*balance, 3)
				for i := range keys {
					key, secret := create(t, r, users.Spec{Unlimited: true, Limits: users.Limits{
						Concurrency: 20, RPM: 1000, TPD: 1 << 40, Budget: &users.Budget{Day: 1 << 40, Month: 1 << 45, Total: 1 << 50},
					}})
					keys[i] = &balance{id: key.ID, secret: secret}
				}
				flush := func() {
					if err := r.Flush(); err != nil {
						t.Fatal(err)
					}
					for _, b := range keys {
						b.keptSettled, b.keptLost, b.keptHeld = b.settled, b.lost, b.held()
					}
				}
				for range 500 {
					switch n := rng.IntN(100); {
					case n < 93:
						keys[rng.IntN(len(keys))].step(t, rng, r)
					case n < 97:
						flush()
					case n < 98: // a crash: what is in the store is all there is
						s = copyOf(t, s)
						r = open(t, s, users.Options{})
						for _, b := range keys {
							gone := b.flying
							b.flying = nil
							b.settled, b.lost = b.keptSettled, b.keptLost+b.keptHeld
							b.keptSettled, b.keptLost, b.keptHeld = b.settled, b.lost, 0
							for _, ad := range gone { // of the process that is no more
								ad.Settle(users.Used{Cost: 1 << 30})
							}
						}
					default:
						time.Sleep(time.Duration(rng.Int64N(int64(9 * time.Hour))))
					}
					for _, b := range keys {
						b.check(t, r)
					}
				}
				for _, b := range keys {
					for len(b.flying) > 0 {
						b.end(rng)
					}
					b.check(t, r)
				}
				flush()
				r = open(t, copyOf(t, s), users.Options{})
				for _, b := range keys {
					b.check(t, r)
				}
			})
		})
	}
}

func (b *balance) step(t *testing.T, rng *rand.Rand, r *users.Registry) {
	switch n := rng.IntN(10); {
	case n < 4:
		ask := users.Ask{Model: "m", Dialect: "openai", Tokens: rng.Int64N(800), Cost: rng.Int64N(4000), Priced: true, Free: rng.IntN(5) == 0}
		if ad, refusal := account(t, r, b.secret).Admit(time.Now(), ask); refusal == nil {
			b.flying = append(b.flying, ad)
		} else if refusal.Limit != "concurrency" && refusal.Limit != "rpm" {
			t.Fatal(refusal)
		}
	case n < 6 && len(b.flying) > 0:
		b.flying[rng.IntN(len(b.flying))].Use(users.Used{Tokens: rng.Int64N(900), Cost: rng.Int64N(6000)})
	case n < 7:
		late := rng.Int64N(300)
		account(t, r, b.secret).Charge(users.Used{Tokens: 1, Cost: late}, users.Prepaid{})
		b.settled += late
	case len(b.flying) > 0:
		b.end(rng)
	}
}

// end ends a random request in one of the ways that there are, and more than once.
func (b *balance) end(rng *rand.Rand) {
	i := rng.IntN(len(b.flying))
	ad := b.flying[i]
	b.flying = append(b.flying[:i:i], b.flying[i+1:]...)
	switch cost := rng.Int64N(5000); rng.IntN(4) {
	case 0:
		ad.Cancel()
	case 1: // nobody knows what it was: what is held stays
		b.settled += ad.Charged().Cost
		ad.Settle(users.Used{Tokens: -1, Cost: -1})
	default:
		ad.Settle(users.Used{Tokens: cost / 4, Cost: cost})
		b.settled += cost
	}
	ad.Cancel()
	ad.Settle(users.Used{Cost: 1 << 30})
	ad.Use(users.Used{Cost: 1 << 30})
}

func (b *balance) check(t *testing.T, r *users.Registry) {
	t.Helper()
	v, err := r.View(b.id)
	if err != nil {
		t.Fatal(err)
	}
	if want := b.settled + b.lost + b.held(); v.Spent.Total != want {
		t.Fatalf("%s: %d spent in all, want %d settled, %d lost and %d in flight", b.id, v.Spent.Total, b.settled, b.lost, b.held())
	}
	if v.Spent.Day < 0 || v.Spent.Month < 0 || v.Spent.Day > v.Spent.Month || v.Spent.Month > v.Spent.Total {
		t.Fatalf("%s: %+v", b.id, v.Spent)
	}
	for _, l := range v.Windows {
		if l.Used < 0 || l.Remaining < 0 || l.Limit == "concurrency" && l.Used != int64(len(b.flying)) {
			t.Fatalf("%s: %+v with %d in flight", b.id, l, len(b.flying))
		}
	}
}
