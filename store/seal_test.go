// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

func newSealer(t *testing.T, fill byte) *store.Sealer {
	t.Helper()
	s, err := store.NewSealer(bytes.Repeat([]byte{fill}, store.MasterKeySize))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealOpens(t *testing.T) {
	s := newSealer(t, 1)
	for _, plain := range []string{"", "a", "AIza-canary-long-enough"} {
		sealed := s.Seal("gk_1", []byte(plain))
		if len(plain) > 8 && bytes.Contains(sealed, []byte(plain)) { // a short text turns up by chance
			t.Errorf("sealed value of %q holds the plain text", plain)
		}
		got, err := s.Open("gk_1", sealed)
		if err != nil || string(got) != plain {
			t.Errorf("Open = %q, %v; want %q", got, err, plain)
		}
	}
	if bytes.Equal(s.Seal("gk_1", []byte("x")), s.Seal("gk_1", []byte("x"))) {
		t.Error("two seals of one value are equal: the nonce is not random")
	}
}

func TestSealRefuses(t *testing.T) {
	s := newSealer(t, 1)
	one, two := s.Seal("gk_1", []byte("one")), s.Seal("gk_2", []byte("two"))
	changed := bytes.Clone(one)
	changed[len(changed)-1] ^= 1
	format := bytes.Clone(one)
	format[0] = 9
	for _, c := range []struct {
		name   string
		sealer *store.Sealer
		id     string
		sealed []byte
	}{
		{"swapped 1", s, "gk_1", two},
		{"swapped 2", s, "gk_2", one},
		{"other master key", newSealer(t, 2), "gk_1", one},
		{"changed", s, "gk_1", changed},
		{"unknown format", s, "gk_1", format},
		{"cut", s, "gk_1", one[:8]},
		{"empty", s, "gk_1", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := c.sealer.Open(c.id, c.sealed); !errors.Is(err, store.ErrSealed) {
				t.Errorf("Open = %q, %v; want ErrSealed", got, err)
			}
		})
	}
}

func TestNewSealerRefusesLength(t *testing.T) {
	for _, n := range []int{0, 16, 31, 33} {
		if _, err := store.NewSealer(make([]byte, n)); err == nil {
			t.Errorf("%d bytes were accepted", n)
		}
	}
}

// TestDerive: keys are a matter of the master key and the purpose, and of no store.
func TestDerive(t *testing.T) {
	a, again, b := newSealer(t, 1), newSealer(t, 1), newSealer(t, 2)
	key := a.Derive("signatures")
	if len(key) != 32 || bytes.Equal(key, bytes.Repeat([]byte{1}, 32)) {
		t.Fatalf("the key is %x", key)
	}
	if !bytes.Equal(key, again.Derive("signatures")) {
		t.Error("the same master key derives another key: what clients keep is lost with every restart")
	}
	if bytes.Equal(key, a.Derive("other")) {
		t.Error("two purposes share a key")
	}
	if bytes.Equal(key, b.Derive("signatures")) {
		t.Error("two master keys derive the same key")
	}
}
