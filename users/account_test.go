// SPDX-License-Identifier: Apache-2.0

package users_test

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// TestAccount: what a request was admitted for before is looked at again, without
// its secret and without taking anything.
func TestAccount(t *testing.T) {
	r := open(t, memory.New(), users.Options{})
	key, secret := create(t, r, users.Spec{Limits: users.Limits{RPM: 1}, Dialects: []string{"gemini"}, CIDRs: []string{"192.0.2.0/24"}})
	a, err := r.Account(key.ID)
	if err != nil {
		t.Fatal(err)
	}
	inside, outside := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("198.51.100.7")
	if same, err := r.Authenticate(secret); err != nil || same != a {
		t.Errorf("another account: %v", err)
	}
	if _, refusal := a.Admit(time.Now(), users.Ask{Dialect: "gemini", IP: inside}); refusal != nil {
		t.Fatal(refusal)
	}
	for range 3 { // the minute's only request is taken
		if refusal := a.Permits(time.Now(), "gemini", inside); refusal != nil {
			t.Error(refusal)
		}
	}
	if a.Permits(time.Now(), "openai", inside) == nil || a.Permits(time.Now(), "gemini", outside) == nil {
		t.Error("the policy does not count")
	}
	if _, err := r.SetEnabled(t.Context(), key.ID, false); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Account(key.ID); !errors.Is(err, users.ErrDisabled) {
		t.Error(err)
	}
	if a.Permits(time.Now(), "gemini", inside) == nil {
		t.Error("a disabled key is permitted")
	}
	if _, err := r.Account("none"); !errors.Is(err, users.ErrUnknownKey) {
		t.Error(err)
	}
}
