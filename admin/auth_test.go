// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// try sends a key from an address and returns the status.
func (f *fixture) try(address, key string) (status int, retryAfter string) {
	f.t.Helper()
	r := request("GET", "/admin/status", "")
	r.RemoteAddr = address
	if key != "" {
		r.Header.Set("Authorization", key)
	}
	w := f.do(r)
	return w.Code, w.Header().Get("Retry-After")
}

func (f *fixture) wants(what string, want int, address, key string) {
	f.t.Helper()
	if got, _ := f.try(address, key); got != want {
		f.t.Errorf("%s: %d, want %d", what, got, want)
	}
}

const addr = "192.0.2.1:1000"

func TestGuard_BlocksAnAddressThatGuesses(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	for range 5 {
		f.wants("wrong key", 401, addr, "wrong")
		f.clock.advance(time.Second)
	}
	f.wants("sixth wrong key", 429, addr, "wrong")
	f.wants("right key from the blocked address", 429, addr, adminKey)
	f.wants("no key from the blocked address", 429, addr, "")
	f.wants("right key from elsewhere", 200, "192.0.2.2:1000", adminKey)

	_, retryAfter := f.try(addr, adminKey)
	if retryAfter != "55" {
		t.Errorf("Retry-After = %q, want 55: five seconds of the window are over", retryAfter)
	}
	seconds, _ := strconv.Atoi(retryAfter)
	f.clock.advance(time.Duration(seconds)*time.Second - 1)
	f.wants("just before Retry-After", 429, addr, adminKey)
	f.clock.advance(1)
	f.wants("after Retry-After", 200, addr, adminKey)
}

func TestGuard_RequestsWithoutKeyAreNoGuesses(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	for range 100 {
		f.wants("no key", 401, addr, "")
	}
	f.wants("right key", 200, addr, adminKey)
}

func TestGuard_RightKeysAreNotCounted(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	for range 4 {
		f.wants("wrong key", 401, addr, "wrong")
	}
	for range 100 {
		f.wants("right key", 200, addr, adminKey)
	}
	f.wants("fifth wrong key", 401, addr, "wrong")
	f.wants("sixth wrong key", 429, addr, "wrong")
}

func TestGuard_NetworksCountTogether(t *testing.T) {
	for name, test := range map[string]struct {
		guesser, other string
		blocked        bool
	}{
		"v4 other port":      {"192.0.2.1:1", "192.0.2.1:2", true},
		"v4 neighbour":       {"192.0.2.1:1", "192.0.2.2:1", false},
		"v4 in v6":           {"192.0.2.1:1", "[::ffff:192.0.2.1]:1", true},
		"v6 same /64":        {"[2001:db8::1]:1", "[2001:db8::ffff:2]:1", true},
		"v6 other /64":       {"[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false},
		"v6 zone":            {"[fe80::1%eth0]:1", "[fe80::2%eth1]:1", true},
		"no address at all":  {"@", "@", true},
		"no address, others": {"@", "192.0.2.1:1", false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, settings.Patch{})
			for range 5 {
				f.wants("wrong key", 401, test.guesser, "wrong")
			}
			want := 200
			if test.blocked {
				want = 429
			}
			f.wants("the other", want, test.other, adminKey)
		})
	}
}

// TestGuard_WorldWideGuessing is about 60 failures from everywhere: then each
// address has one wrong try, and the operator still gets in.
func TestGuard_WorldWideGuessing(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	for i := range 60 {
		f.wants("wrong key", 401, fmt.Sprintf("198.51.100.%d:1", i), "wrong")
	}
	f.wants("operator", 200, addr, adminKey)
	f.wants("first wrong key of a new address", 401, "203.0.113.1:1", "wrong")
	f.wants("second wrong key", 429, "203.0.113.1:1", "wrong")
	f.wants("second wrong key of an old address", 429, "198.51.100.1:1", "wrong")
	f.clock.advance(time.Minute)
	f.wants("a minute later", 401, "203.0.113.1:1", "wrong")
}

func TestGuard_MemoryIsBounded(t *testing.T) {
	now := time.Now()
	g := guard{now: func() time.Time { return now }}
	for i := range 3 * maxRememberNets {
		g.try("wrong", true, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), nobody)
	}
	if len(g.nets) > maxRememberNets {
		t.Errorf("%d networks are remembered, more than %d", len(g.nets), maxRememberNets)
	}
	now = now.Add(failureWindow)
	g.try("wrong", true, netip.MustParseAddr("192.0.2.1"), nobody)
	if len(g.nets) != 1 {
		t.Errorf("%d networks are remembered after the window, want 1", len(g.nets))
	}
}

// TestGuard_ParallelGuessesGetNoExtraTries holds the limit exactly.
func TestGuard_ParallelGuessesGetNoExtraTries(t *testing.T) {
	g := guard{now: time.Now}
	var evaluated atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if _, p := g.try("wrong", true, netip.MustParseAddr("192.0.2.1"), nobody); p.Status == http.StatusUnauthorized {
				evaluated.Add(1)
			}
		})
	}
	wg.Wait()
	if evaluated.Load() != failuresPerNet {
		t.Errorf("%d guesses were evaluated, want %d", evaluated.Load(), failuresPerNet)
	}
}

// nobody is the answer of a gateway that has no key at all.
func nobody([32]byte) role { return "" }

func TestGuard_WithoutAdminKeyNobodyGetsIn(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	c := f.config
	c.AdminKeyHash = [32]byte{}
	f.Handler = New(c)
	for _, key := range []string{"", "Bearer ", "x", string(make([]byte, 32)), adminKey} {
		f.wants("key "+key, 401, addr, key)
	}
}

func TestCredential(t *testing.T) {
	for name, test := range map[string]struct {
		values []string
		key    string
		sent   bool
	}{
		"none":          {nil, "", false},
		"empty":         {[]string{""}, "", false},
		"plain":         {[]string{"secret"}, "secret", true},
		"bearer":        {[]string{"Bearer secret"}, "secret", true},
		"case, spaces":  {[]string{"  bEARER   secret "}, "secret", true},
		"bearer alone":  {[]string{"Bearer"}, "Bearer", false},
		"key of words":  {[]string{"my secret"}, "my secret", true},
		"two headers":   {[]string{"secret", "secret"}, "", true},
		"absurdly long": {[]string{fmt.Sprintf("%0*d", maxCredential+1, 0)}, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			key, sent := credential(http.Header{"Authorization": test.values})
			if key != test.key || sent != test.sent {
				t.Errorf("credential = %q, %t, want %q, %t", key, sent, test.key, test.sent)
			}
		})
	}
}
