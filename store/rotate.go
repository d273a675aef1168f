// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// A master key is replaced while values are sealed and opened:
//
//  1. the file gets the new key before the old one (an operator who gives the key in
//     the configuration does the same there);
//  2. the store learns the new key, in one write with what was derived from the old;
//     from here on the new one seals, and both open;
//  3. each value that the old one sealed is sealed anew;
//  4. the old key is taken out of the file.
//
// A crash between any two steps leaves keys that open everything, and the next start
// goes on with the step that is due.

// ErrRotating is returned by [BeginRotation] while a replacement is under way.
var ErrRotating = errors.New("the master key is being replaced already")

// BeginRotation does the first two steps with a key that it makes. Afterwards the
// sealer is [Sealer.Rotating].
func BeginRotation(s Store, sealer *Sealer, file string) error {
	if sealer.Rotating() {
		return ErrRotating
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMasterKey, err)
	}
	keys, err := parseMasterKeys(text)
	if err != nil {
		return fmt.Errorf("file %s is no %w: %w", file, ErrMasterKey, err)
	}
	known, err := s.Get(masterCheckKey)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(keys, func(key []byte) bool {
		one, err := NewSealer(key)
		if err != nil {
			return false
		}
		_, err = one.Open(masterCheckKey, known)
		return err == nil
	}) {
		return fmt.Errorf("%w: file %s does not hold the key in use; put that back first", ErrMasterKey, file)
	}
	key := make([]byte, MasterKeySize)
	rand.Read(key) //nolint:errcheck // never fails since Go 1.24
	ring, err := newRing(key)
	if err != nil {
		return err
	}
	if err := replaceMasterKey(file, slices.Insert(keys, 0, key)); err != nil {
		return fmt.Errorf("keeping the new %w: %w", ErrMasterKey, err)
	}
	sealer.lead(ring[0])
	return beginRotation(s, sealer, known)
}

// beginRotation is the second step; known is what the store has for its key.
func beginRotation(s Store, sealer *Sealer, known []byte) error {
	return s.Write(Batch{
		Expect: []Expect{{Key: masterCheckKey, Value: known}},
		Ops: []Op{
			{Key: masterCheckKey, Value: sealer.Seal(masterCheckKey, []byte(masterCheckText))},
			{Key: masterRootKey, Value: sealer.Seal(masterRootKey, sealer.root)},
			{Key: rotatingKey, Value: []byte("1")},
		},
		Sync: true,
	})
}

// EndRotation is the last step, when nothing is sealed with an old key any more. An
// empty file is for keys of the configuration.
func EndRotation(s Store, sealer *Sealer, file string) error {
	if err := s.Write(Batch{Ops: []Op{{Key: rotatingKey}}, Sync: true}); err != nil {
		return err
	}
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrMasterKey, err)
		}
		keys, err := parseMasterKeys(text)
		if err != nil {
			return fmt.Errorf("file %s is no %w: %w", file, ErrMasterKey, err)
		}
		if err := replaceMasterKey(file, keys[:1]); err != nil {
			return fmt.Errorf("taking out the old %w: %w", ErrMasterKey, err)
		}
	}
	sealer.forget()
	return nil
}

// replaceMasterKey puts keys into a file that is there: who reads it finds the old ones
// or the new ones, after a crash as well.
func replaceMasterKey(file string, keys [][]byte) error {
	next := file + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := writeMasterKey(next, keys...); err != nil {
		return err
	}
	if err := os.Rename(next, file); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	syncDir(filepath.Dir(file))
	return nil
}

// Bounds of a batch of Reseal, for which others wait.
const (
	resealOps   = 500
	resealBytes = MaxBatchBytes / 4 // or a single value
)

// Reseal is the third step, for all values that are sealed as a whole, each for its own
// key: it finds them by themselves, in whatever room. It seals with the key that seals
// now what one from before did, on disk when it returns, and tells how many there were.
// What others write meanwhile is sealed so already, and stays. What is sealed within a
// record is for the room that knows its form.
func Reseal(ctx context.Context, s Store, sealer *Sealer) (n int, err error) {
	dumper, ok := s.(Dumper)
	if !ok {
		return 0, errors.New("this store does not tell when its values end")
	}
	type due struct {
		key  string
		ends time.Time
	}
	var todo []due
	err = dumper.Dump(func(key string, value []byte, ends time.Time) bool {
		if current, err := sealer.Current(key, value); err == nil && !current {
			todo = append(todo, due{key, ends})
		}
		return ctx.Err() == nil
	})
	batch, size := Batch{Sync: true}, 0
	write := func() error {
		done, err := writeUnchanged(s, batch)
		n += done
		batch, size = Batch{Sync: true}, 0
		return err
	}
	for _, d := range todo {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return n, err
		}
		value, gone := s.Get(d.key)
		if gone != nil {
			continue // deleted meanwhile, or its time is over
		}
		plain, err := sealer.Open(d.key, value)
		op := Op{Key: d.key}
		if !d.ends.IsZero() {
			op.TTL = time.Until(d.ends)
		}
		if err != nil || op.TTL < 0 {
			continue
		}
		op.Value = sealer.Seal(d.key, plain)
		if len(batch.Ops) == resealOps || len(batch.Ops) > 0 && size+op.Size() > resealBytes {
			if err := write(); err != nil {
				return n, err
			}
		}
		batch.Expect, batch.Ops = append(batch.Expect, Expect{Key: d.key, Value: value}), append(batch.Ops, op)
		size += op.Size()
	}
	if err == nil && len(batch.Ops) > 0 {
		err = write()
	}
	return n, errors.Join(err, ctx.Err())
}

// writeUnchanged writes what nobody changed meanwhile, and tells how many.
func writeUnchanged(s Store, b Batch) (n int, err error) {
	err = s.Write(b)
	if err == nil {
		return len(b.Ops), nil
	}
	if !errors.Is(err, ErrConflict) {
		return 0, err
	}
	for i := range b.Ops {
		one := Batch{Expect: b.Expect[i : i+1], Ops: b.Ops[i : i+1], Sync: b.Sync}
		switch err := s.Write(one); {
		case err == nil:
			n++
		case !errors.Is(err, ErrConflict):
			return n, err
		}
	}
	return n, nil
}
