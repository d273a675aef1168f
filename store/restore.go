// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrOtherMasterKey means that a backup was made with another master key than the
// one in use: nothing that is sealed in it could be opened.
var ErrOtherMasterKey = fmt.Errorf("%w: the backup was made with another one; start with that one as master_key on an empty store directory, and restore there", ErrMasterKey)

// CheckBackup reads a backup through and returns what is in it: its entries by the
// room that they belong to, which is the part of their keys before the second
// slash. With a sealer it also looks whether that opens what is sealed in it. fn,
// if not nil, hears of each pair.
func CheckBackup(r io.Reader, sealer *Sealer, fn func(Pair)) (info BackupInfo, rooms map[string]int, err error) {
	rooms = map[string]int{}
	var check []byte
	info, err = ReadBackup(r, func(p Pair) error {
		if p.Key == masterCheckKey {
			check = p.Value
		}
		rooms[roomOf(p.Key)]++
		if fn != nil {
			fn(p)
		}
		return nil
	})
	if err != nil {
		return info, rooms, err
	}
	if sealer != nil && check != nil {
		if _, err := sealer.Open(masterCheckKey, check); err != nil {
			return info, rooms, ErrOtherMasterKey
		}
	}
	return info, rooms, nil
}

// roomOf is the part of a key before its second slash.
func roomOf(key string) string {
	slashes := 0
	for i := range len(key) {
		if key[i] == '/' {
			if slashes++; slashes == 2 {
				return key[:i]
			}
		}
	}
	return key
}

const (
	restoreOps   = 2000
	restoreBytes = MaxBatchBytes / 2
)

// Restore makes a store what a backup says: pairs that it lacks are deleted, but
// those that keep names stay as they are, and what the backup has of them is left
// out. It must be the store's only user, and the backup must have been checked: what
// is not whole is found too late here. It may be repeated after a crash, until it
// has returned nil; then all is on disk.
func Restore(s Store, r io.Reader, now time.Time, keep func(key string) bool) error {
	if err := deleteAll(s, keep); err != nil {
		return err
	}
	var b Batch
	size := 0
	write := func(sync bool) error {
		b.Sync = sync
		err := s.Write(b)
		b, size = Batch{}, 0
		return err
	}
	_, err := ReadBackup(r, func(p Pair) error {
		op := Op{Key: p.Key, Value: p.Value}
		if keep != nil && keep(p.Key) {
			return nil
		}
		if !p.Ends.IsZero() {
			if op.TTL = p.Ends.Sub(now); op.TTL <= 0 {
				return nil
			}
		}
		if len(b.Ops) >= restoreOps || size+op.Size() > restoreBytes {
			if err := write(false); err != nil {
				return err
			}
		}
		b.Ops = append(b.Ops, op)
		size += op.Size()
		return nil
	})
	return errors.Join(err, write(true))
}

// deleteAll deletes all pairs but those to be kept.
func deleteAll(s Store, keep func(key string) bool) error {
	for after := ""; ; {
		var b Batch
		last := ""
		err := s.Scan("", after, func(key string, _ []byte) bool {
			last = key
			if keep == nil || !keep(key) {
				b.Ops = append(b.Ops, Op{Key: key})
			}
			return len(b.Ops) < restoreOps
		})
		if err != nil {
			return err
		}
		if last == "" {
			return nil
		}
		after = last
		if len(b.Ops) == 0 {
			continue
		}
		if err := s.Write(b); err != nil {
			return err
		}
	}
}
