// SPDX-License-Identifier: Apache-2.0

package users_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/badger"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// BenchmarkRequest is what a request costs here: Authenticate, Admit and Settle, with few
// keys in the store and with GB_LIST_KEYS (20,000 if that is not set), of which few, as
// many as are kept in memory, or all are in use. bench/README.md has the figures at a
// million.
func BenchmarkRequest(b *testing.B) {
	n, _ := strconv.Atoi(os.Getenv("GB_LIST_KEYS"))
	if n == 0 {
		n = 20_000
	}
	for _, c := range []struct{ keys, used int }{{10, 10}, {n, 10}, {10_000, 10_000}, {n, 10_000}, {n, n}} {
		b.Run(fmt.Sprintf("keys=%d/used=%d", c.keys, c.used), func(b *testing.B) {
			db, err := badger.Open(b.TempDir(), badger.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			r := open(b, db, users.Options{})
			var secrets []string
			for len(secrets) < c.keys {
				made, err := r.CreateMany(b.Context(), users.Spec{Name: "a key of ordinary name", Limits: users.Limits{RPM: 1e12, TPM: 1e12, RPD: 1e12}}, min(users.MaxCreate, c.keys-len(secrets)))
				if err != nil {
					b.Fatal(err)
				}
				for i := range made {
					secrets = append(secrets, made[i].Secret)
				}
			}
			rand.Shuffle(len(secrets), func(i, j int) { secrets[i], secrets[j] = secrets[j], secrets[i] })
			secrets = secrets[:c.used]
			request := func(secret string) {
				a, err := r.Authenticate(secret)
				if err != nil {
					b.Fatal(err)
				}
				ad, refusal := a.Admit(time.Now(), users.Ask{Model: "gemini-3-flash", Dialect: "openai", IP: netip.AddrFrom4([4]byte{10, 1, 2, 3}), Tokens: 100, Cost: 1000, Priced: true})
				if refusal != nil {
					b.Fatal(refusal)
				}
				ad.Settle(used(80))
			}
			for _, secret := range secrets[:min(len(secrets), 10_000)] {
				request(secret)
			}
			if err := r.Flush(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				request(secrets[i%len(secrets)])
				if i++; i%2000 == 0 { // as Run does ten times a second at 20,000 requests
					if err := r.Flush(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
