// SPDX-License-Identifier: Apache-2.0

package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
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
type Sealer struct {
	aead cipher.AEAD
	root []byte // for Derive; says nothing of the master key
}

// NewSealer makes a Sealer from a master key of [MasterKeySize] bytes.
func NewSealer(masterKey []byte) (*Sealer, error) {
	if len(masterKey) != MasterKeySize {
		return nil, fmt.Errorf("master key has %d bytes, need %d", len(masterKey), MasterKeySize)
	}
	block, err := aes.NewCipher(masterKey)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	root, err := hkdf.Extract(sha256.New, masterKey, []byte("caddy-gemini-balance"))
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	return &Sealer{aead, root}, nil
}

// Derive returns a key of 32 bytes of its own for a purpose: the same for the same
// master key, and telling nothing of that or of the keys for other purposes. It is
// for what is made too often for Seal's nonces, such as tags of what clients keep.
// Source: RFC 5869.
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
	out := make([]byte, 1, 1+len(plain)+s.aead.Overhead())
	out[0] = sealFormat
	return s.aead.Seal(out, nil, plain, []byte(id))
}

// Open decrypts what Seal made for the same id, or returns [ErrSealed].
func (s *Sealer) Open(id string, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != sealFormat {
		return nil, ErrSealed
	}
	plain, err := s.aead.Open(nil, nil, sealed[1:], []byte(id))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}
