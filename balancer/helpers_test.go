// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const flash = "gemini-x"

func sealer(tb testing.TB) *store.Sealer {
	tb.Helper()
	s, err := store.NewSealer(bytes.Repeat([]byte{1}, store.MasterKeySize))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// open opens a pool over s, a new memory store if nil, with n keys added.
func open(tb testing.TB, s store.Store, n int) *Pool {
	tb.Helper()
	if s == nil {
		s = memory.New()
	}
	p, err := Open(Options{Store: s, Sealer: sealer(tb), Strategy: "round_robin"})
	if err != nil {
		tb.Fatal(err)
	}
	if n > 0 {
		add(tb, p, newKeys(n)...)
	}
	return p
}

func secretOf(i int) string { return fmt.Sprintf("AIzaCanary%029d", i) }

func newKeys(n int) []NewKey {
	keys := make([]NewKey, n)
	for i := range keys {
		keys[i].Secret = secretOf(i)
	}
	return keys
}

func add(tb testing.TB, p *Pool, keys ...NewKey) []string {
	tb.Helper()
	results, err := p.Add(context.Background(), keys)
	if err != nil {
		tb.Fatal(err)
	}
	ids := make([]string, len(results))
	for i, r := range results {
		if r.Err != nil {
			tb.Fatal(r.Err)
		}
		ids[i] = r.Key.ID
	}
	return ids
}

func lease(tb testing.TB, p *Pool, w Want) *Lease {
	tb.Helper()
	if w.Model == "" {
		w.Model = flash
	}
	l, err := p.Lease(context.Background(), w)
	if err != nil {
		tb.Fatalf("Lease: %v", err)
	}
	return l
}

func refused(tb testing.TB, p *Pool, w Want) *Unavailable {
	tb.Helper()
	if w.Model == "" {
		w.Model = flash
	}
	l, err := p.Lease(context.Background(), w)
	u, ok := errors.AsType[*Unavailable](err)
	if !ok {
		tb.Fatalf("Lease = %v, %v; want *Unavailable", l, err)
	}
	return u
}

// The outcomes that tests use, as upstream.Classify makes them.
var (
	ok         = Outcome{}
	minuteFull = Outcome{Verdict: RateLimited, Blame: ScopeProjectModel, Retry: RetryOther, Rest: 30 * time.Second}
	dayFull    = Outcome{Verdict: Exhausted, Blame: ScopeProjectModel, Retry: RetryOther, UntilMidnight: true}
	throttled  = Outcome{Verdict: Throttled, Blame: ScopeProjectModel, Retry: RetryOther, Rest: 5 * time.Second, Escalate: true}
	noModel    = Outcome{Verdict: ModelMissing, Blame: ScopeProjectModel, Retry: RetryOnce, Rest: time.Hour}
	noMoney    = Outcome{Verdict: UnfundedProject, Blame: ScopeProject, Retry: RetryOther, Rest: time.Hour}
	overspent  = Outcome{Verdict: SpendLimited, Blame: ScopeProject, Retry: RetryOther, Rest: time.Minute, Escalate: true}
	invalid    = Outcome{Verdict: InvalidKey, Blame: ScopeKey, Retry: RetryOther, State: StateInvalid, Reason: "400 API_KEY_INVALID"}
	noCapacity = Outcome{Verdict: CapacityExhausted, Blame: ScopeModel, Retry: RetryBackoff, Rest: 10 * time.Second}
	routeOut   = Outcome{Verdict: RouteBlocked, Blame: ScopeRoute, Retry: RetryOther, Rest: time.Minute}
)
