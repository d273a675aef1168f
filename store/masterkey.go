// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The pair by which a store recognises its master key: a fixed text, sealed. And what
// is derived from the first master key, which stays when that is replaced; a store that
// never replaced it has no such pair.
const (
	masterCheckKey  = "meta/master"
	masterCheckText = "gemini_balance master key"
	masterRootKey   = "meta/root"
	rotatingKey     = "meta/rotating" // there while values may be sealed with a key from before
)

// ErrMasterKey is in the chain of every error about a missing, wrong or
// malformed master key. All of them must stop the start.
var ErrMasterKey = errors.New("master key")

// LoadMasterKey returns the Sealer for the store's data.
//
// given is the operator's key (the master_key option): base64 as written in the
// configuration, or the 32 bytes decoded; nil means to use file. A missing file
// is made (0600, on disk before LoadMasterKey returns), but only over an empty
// store: data that was sealed with a lost key must not be hidden behind a new
// one. The first key a store sees becomes the only one that opens it, until another
// stands before it: with several, separated by white space, the first seals and all
// open, and the Sealer is [Sealer.Rotating] until [Reseal] and [EndRotation] are done.
func LoadMasterKey(s Store, given []byte, file string) (*Sealer, error) {
	source := "master_key"
	keys, err := decodeMasterKeys(given)
	if given == nil {
		source = "master key file " + file
		keys, err = readOrMakeMasterKeys(s, file)
	}
	if err != nil {
		return nil, err
	}
	return checkMasterKeys(s, keys, source)
}

// decodeMasterKeys reads what an operator gave. Raw bytes are told from a pass phrase
// of that length by their not being text.
func decodeMasterKeys(given []byte) ([][]byte, error) {
	if len(given) == MasterKeySize && !isText(given) {
		return [][]byte{given}, nil
	}
	keys, err := parseMasterKeys(given)
	if err != nil {
		return nil, fmt.Errorf("master_key is no %w: %w", ErrMasterKey, err)
	}
	return keys, nil
}

// maxMasterKeys is one that seals, and those of rotations that did not end.
const maxMasterKeys = 8

// parseMasterKeys reads one or several keys, each as parseMasterKey has it.
func parseMasterKeys(text []byte) (keys [][]byte, err error) {
	words := bytes.Fields(text)
	if len(words) == 0 {
		words = [][]byte{nil}
	}
	if len(words) > maxMasterKeys {
		return nil, fmt.Errorf("it is %d keys, want one, and those that it replaces", len(words))
	}
	for i, word := range words {
		key, err := parseMasterKey(word)
		if err != nil && i == 0 {
			_, err = parseMasterKey(text) // for its words: this is no list of keys
		}
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// parseMasterKey reads base64, standard or URL alphabet, padded or not. Its
// errors never hold the text.
func parseMasterKey(text []byte) ([]byte, error) {
	const wanted = "want base64 of 32 bytes, as `openssl rand -base64 32` prints"
	trimmed := string(bytes.TrimRight(bytes.TrimSpace(text), "="))
	if trimmed == "" {
		return nil, errors.New("it is empty; " + wanted)
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if key, err := encoding.DecodeString(trimmed); err == nil {
			if len(key) != MasterKeySize {
				return nil, fmt.Errorf("it holds %d bytes; %s", len(key), wanted)
			}
			return key, nil
		}
	}
	return nil, errors.New("it is not base64; " + wanted)
}

func isText(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// readOrMakeMasterKeys returns the keys in file, or puts a new one there.
func readOrMakeMasterKeys(s Store, file string) ([][]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrMasterKey, err)
	}
	missing := err != nil
	if !missing && len(text) > 0 {
		keys, err := parseMasterKeys(text)
		if err != nil {
			return nil, fmt.Errorf("file %s is no %w: %w", file, ErrMasterKey, err)
		}
		return keys, nil
	}
	empty := true
	if err := s.Scan("", "", func(string, []byte) bool { empty = false; return false }); err != nil {
		return nil, err
	}
	if !empty {
		return nil, fmt.Errorf("%w: file %s is missing or empty, but the store holds data sealed with it: "+
			"put the file back, or set master_key to its content; if it is lost for good, "+
			"start with a new store directory and add the Gemini keys again", ErrMasterKey, file)
	}
	if !missing { // left behind by a crash between making and filling it
		if err := os.Remove(file); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMasterKey, err)
		}
	}
	key := make([]byte, MasterKeySize)
	rand.Read(key) //nolint:errcheck // never fails since Go 1.24
	if err := writeMasterKey(file, key); err != nil {
		return nil, fmt.Errorf("making the %w: %w", ErrMasterKey, err)
	}
	return [][]byte{key}, nil
}

// writeMasterKey makes the file, for the owner only, and sees it to the disk: a
// key that a power cut takes back would lose all that it sealed.
func writeMasterKey(file string, keys ...[]byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	for _, key := range keys {
		_, failed := f.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
		err = errors.Join(err, failed)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err != nil {
		return errors.Join(err, os.Remove(file))
	}
	syncDir(filepath.Dir(file))
	return nil
}

// syncDir has a change of names survive a power cut, where the system can.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		d.Close()
	}
}

// checkMasterKeys compares the keys with the one that the store knows; a store that
// knows none learns the first. Where that is another than the first, this begins its
// replacement.
func checkMasterKeys(s Store, keys [][]byte, source string) (*Sealer, error) {
	ring, err := newRing(keys...)
	if err != nil {
		return nil, err
	}
	sealer := new(Sealer)
	sealer.ring.Store(&ring)
	sealed, err := s.Get(masterCheckKey)
	if errors.Is(err, ErrNotFound) {
		sealed = sealer.Seal(masterCheckKey, []byte(masterCheckText))
		err = s.Write(Batch{
			Expect: []Expect{{Key: masterCheckKey}},
			Ops:    []Op{{Key: masterCheckKey, Value: sealed}},
			Sync:   true,
		})
		if errors.Is(err, ErrConflict) { // another node on the same store was first
			sealed, err = s.Get(masterCheckKey)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("checking the %w: %w", ErrMasterKey, err)
	}
	for i := range ring {
		one := ring[i : i+1]
		known := new(Sealer)
		known.ring.Store(&one)
		if plain, err := known.Open(masterCheckKey, sealed); err != nil || string(plain) != masterCheckText {
			continue
		}
		if sealer.root, err = loadRoot(s, sealer, keys[i]); err == nil && i > 0 {
			err = beginRotation(s, sealer, sealed)
		}
		if err == nil && len(keys) == 1 {
			err = checkRotated(s, source)
		}
		if err != nil {
			return nil, fmt.Errorf("checking the %w: %w", ErrMasterKey, err)
		}
		return sealer, nil
	}
	return nil, fmt.Errorf("%s is not the %w of this store: the data in it was sealed with another one; "+
		"give the key that the store was made with", source, ErrMasterKey)
}

// checkRotated refuses a new key without the old one, while that is still needed.
func checkRotated(s Store, source string) error {
	_, err := s.Get(rotatingKey)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%s is the new key alone, but not everything is sealed with it yet: give the old key behind it until the log says that it is no longer needed", source)
}

// loadRoot returns what Derive starts from: what the store has, or what its only key
// says.
func loadRoot(s Store, sealer *Sealer, key []byte) ([]byte, error) {
	sealed, err := s.Get(masterRootKey)
	if errors.Is(err, ErrNotFound) {
		return rootOf(key)
	}
	if err != nil {
		return nil, err
	}
	return sealer.Open(masterRootKey, sealed)
}
