// SPDX-License-Identifier: Apache-2.0

package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

// MasterKeySize is the length of a master key in bytes: AES-256.
const MasterKeySize = 32

// sealFormat is the first byte of what Seal makes. Other values are for later
// formats, so that old data stays readable when a better one comes.
const sealFormat = 1

// ErrSealed is returned by [Sealer.Open] when a value does not open: it was
// sealed with another master key or under another id, or it was changed.
var ErrSealed = errors.New("sealed value does not open: other master key, other id, or damaged")

// Sealer encrypts small secrets at rest: AES-256-GCM with a random nonce and
// the id of the object as additional data, so that a ciphertext that was moved
// to another object does not open. Safe for concurrent use. Random 96-bit
// nonces are sound up to 2^32 seals with one master key (NIST SP 800-38D).
//
// While a master key is being replaced, the new one seals and both open; see
// [Sealer.Rotating].
type Sealer struct {
	ring atomic.Pointer[[]cipher.AEAD] // the first seals, all open
	root []byte                        // for Derive; says nothing of the master key
}

// NewSealer makes a Sealer from a master key of [MasterKeySize] bytes.
func NewSealer(masterKey []byte) (*Sealer, error) {
	ring, err := newRing(masterKey)
	if err != nil {
		return nil, err
	}
	root, err := rootOf(masterKey)
	if err != nil {
		return nil, err
	}
	s := &Sealer{root: root}
	s.ring.Store(&ring)
	return s, nil
}

// newRing makes ready to use what was keys.
func newRing(keys ...[]byte) (ring []cipher.AEAD, err error) {
	for _, key := range keys {
		if len(key) != MasterKeySize {
			return nil, fmt.Errorf("master key has %d bytes, need %d", len(key), MasterKeySize)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("master key: %w", err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("master key: %w", err)
		}
		ring = append(ring, aead)
	}
	return ring, nil
}

// rootOf is what Derive's keys are made from, of the first master key of a store.
func rootOf(masterKey []byte) ([]byte, error) {
	root, err := hkdf.Extract(sha256.New, masterKey, []byte("caddy-gemini-balance"))
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	return root, nil
}

// Derive returns a key of 32 bytes of its own for a purpose: the same for the same
// store, whatever its master key is by now, and telling nothing of that or of the keys
// for other purposes. It is for what is made too often for Seal's nonces, such as tags
// of what clients keep. Source: RFC 5869.
func (s *Sealer) Derive(purpose string) []byte {
	key, err := hkdf.Expand(sha256.New, s.root, purpose, sha256.Size)
	if err != nil {
		panic(err) // only FIPS mode's strictness about shorter keys and longer results
	}
	return key
}

// Seal encrypts plain for the object with this id. The result is a format
// byte, the nonce (12 bytes), the ciphertext and the tag (16 bytes).
func (s *Sealer) Seal(id string, plain []byte) []byte {
	aead := (*s.ring.Load())[0]
	out := make([]byte, 1, 1+len(plain)+aead.Overhead())
	out[0] = sealFormat
	return aead.Seal(out, nil, plain, []byte(id))
}

// Open decrypts what Seal made for the same id, or returns [ErrSealed].
func (s *Sealer) Open(id string, sealed []byte) ([]byte, error) {
	plain, _, err := s.open(id, sealed)
	return plain, err
}

// open also tells whether the key that seals opened it.
func (s *Sealer) open(id string, sealed []byte) (plain []byte, current bool, err error) {
	if len(sealed) == 0 || sealed[0] != sealFormat {
		return nil, false, ErrSealed
	}
	for i, aead := range *s.ring.Load() {
		if plain, err := aead.Open(nil, nil, sealed[1:], []byte(id)); err == nil {
			return plain, i == 0, nil
		}
	}
	return nil, false, ErrSealed
}

// Current tells whether a value that was sealed for this id is sealed with the key that
// seals now. It returns [ErrSealed] for what no key opens.
func (s *Sealer) Current(id string, sealed []byte) (bool, error) {
	_, current, err := s.open(id, sealed)
	return current, err
}

// Rotating tells whether values may still be sealed with a key from before.
func (s *Sealer) Rotating() bool { return len(*s.ring.Load()) > 1 }

// lead has a key seal from now on, and those from before open.
func (s *Sealer) lead(aead cipher.AEAD) {
	ring := slices.Insert(slices.Clone(*s.ring.Load()), 0, aead)
	s.ring.Store(&ring)
}

// Adopt has s seal and open with the keys of another Sealer of the same store, whose
// first key is new.
func (s *Sealer) Adopt(next *Sealer) { s.ring.Store(next.ring.Load()) }

// forget keeps the key that seals alone.
func (s *Sealer) forget() {
	ring := (*s.ring.Load())[:1:1]
	s.ring.Store(&ring)
}
