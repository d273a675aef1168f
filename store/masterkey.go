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

// The pair by which a store recognises its master key: a fixed text, sealed.
const (
	masterCheckKey  = "meta/master"
	masterCheckText = "gemini_balance master key"
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
// one. The first key a store sees becomes the only one that opens it.
func LoadMasterKey(s Store, given []byte, file string) (*Sealer, error) {
	source := "master_key"
	key, err := decodeMasterKey(given)
	if given == nil {
		source = "master key file " + file
		key, err = readOrMakeMasterKey(s, file)
	}
	if err != nil {
		return nil, err
	}
	sealer, err := NewSealer(key)
	if err != nil {
		return nil, err
	}
	if err := checkMasterKey(s, sealer, source); err != nil {
		return nil, err
	}
	return sealer, nil
}

// decodeMasterKey reads the key an operator gave. Raw bytes are told from a
// pass phrase of that length by their not being text.
func decodeMasterKey(given []byte) ([]byte, error) {
	if len(given) == MasterKeySize && !isText(given) {
		return given, nil
	}
	key, err := parseMasterKey(given)
	if err != nil {
		return nil, fmt.Errorf("master_key is no %w: %w", ErrMasterKey, err)
	}
	return key, nil
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

// readOrMakeMasterKey returns the key in file, or puts a new one there.
func readOrMakeMasterKey(s Store, file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrMasterKey, err)
	}
	missing := err != nil
	if !missing && len(text) > 0 {
		key, err := parseMasterKey(text)
		if err != nil {
			return nil, fmt.Errorf("file %s is no %w: %w", file, ErrMasterKey, err)
		}
		return key, nil
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
	return key, nil
}

// writeMasterKey makes the file, for the owner only, and sees it to the disk: a
// key that a power cut takes back would lose all that it sealed.
func writeMasterKey(file string, key []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err != nil {
		return errors.Join(err, os.Remove(file))
	}
	if dir, err := os.Open(filepath.Dir(file)); err == nil {
		_ = dir.Sync() // not every system can sync a directory
		dir.Close()
	}
	return nil
}

// checkMasterKey compares the key with the one that the store knows; a store
// that knows none learns this one.
func checkMasterKey(s Store, sealer *Sealer, source string) error {
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
		return fmt.Errorf("checking the %w: %w", ErrMasterKey, err)
	}
	if plain, err := sealer.Open(masterCheckKey, sealed); err != nil || string(plain) != masterCheckText {
		return fmt.Errorf("%s is not the %w of this store: the data in it was sealed with another one; "+
			"give the key that the store was made with", source, ErrMasterKey)
	}
	return nil
}
