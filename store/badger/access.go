// SPDX-License-Identifier: Apache-2.0

package badger

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	db "github.com/dgraph-io/badger/v4"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// dataPrefix precedes the keys of the store interface.
const dataPrefix = "d"

// hasExpiry is the user meta of a value that is preceded by its expiry.
const (
	hasExpiry  = 1
	expirySize = 8
)

// largeValue is less than the size from which on values have a log of their own.
const largeValue = 1 << 19

// maxKeySize is Badger's limit less the prefix.
const maxKeySize = 65000 - len(dataPrefix)

func dataKey(key string) []byte { return append([]byte(dataPrefix), key...) }

// damaged makes an error of a panic of Badger's, which believes some of what it reads
// before it looks at the checksum. It is deferred.
func damaged(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the store is damaged: %v", p)
	}
}

// Get implements [store.Store].
func (s *Store) Get(key string) (value []byte, err error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	defer damaged(&err)
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	value, err = read(txn, key, s.now())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("reading %q: %w", key, err)
	}
	return value, err
}

// read returns a copy of the value under key, or [store.ErrNotFound].
func read(txn *db.Txn, key string, now time.Time) ([]byte, error) {
	item, err := txn.Get(dataKey(key))
	if errors.Is(err, db.ErrKeyNotFound) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	value, ok, err := decode(item, now)
	if err == nil && !ok {
		return nil, store.ErrNotFound
	}
	return value, err
}

// decode returns a copy of an item's value, never nil, and whether its time is
// not yet over.
func decode(item *db.Item, now time.Time) (value []byte, ok bool, err error) {
	size := item.ValueSize()
	value, err = item.ValueCopy(make([]byte, 0, size))
	if err != nil {
		return nil, false, err
	}
	// Of values in a log of their own, Badger tells no error, but nothing at all. How
	// long those are it knows to a few bytes.
	if size > largeValue && int64(len(value)) < size/2 {
		return nil, false, errors.New("value is damaged")
	}
	if value == nil {
		value = []byte{}
	}
	if item.UserMeta() != hasExpiry {
		return value, true, nil
	}
	if len(value) < expirySize {
		return nil, false, errors.New("value is damaged: no expiry")
	}
	expires := int64(binary.BigEndian.Uint64(value))
	return value[expirySize:], now.UnixNano() < expires, nil
}

// Scan implements [store.Store].
func (s *Store) Scan(prefix, after string, fn func(key string, value []byte) bool) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	o := db.DefaultIteratorOptions
	o.Prefix = dataKey(prefix)
	it := txn.NewIterator(o)
	defer it.Close()
	now := s.now()
	for move := func() { it.Seek(dataKey(max(prefix, after))) }; ; move = it.Next {
		key, value, ok, err := next(it, move, now)
		switch {
		case err == io.EOF: //nolint:errorlint // its own
			return nil
		case err != nil:
			return fmt.Errorf("reading %q: %w", cmp.Or(key, prefix), err)
		case ok && (key != after || after == "") && !fn(key, value):
			return nil
		}
	}
}

// next is the item that an iterator moves to, and whether its time is not yet over. At
// the end the error is io.EOF.
func next(it *db.Iterator, move func(), now time.Time) (key string, value []byte, ok bool, err error) {
	defer damaged(&err)
	if move(); !it.Valid() {
		return "", nil, false, io.EOF
	}
	item := it.Item()
	key = string(item.Key()[len(dataPrefix):])
	value, ok, err = decode(item, now)
	return key, value, ok, err
}

// Write implements [store.Store]. A batch is one Badger transaction.
func (s *Store) Write(b store.Batch) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	if err := b.Check(); err != nil {
		return err
	}
	if err := s.space.admits(b); err != nil {
		return fmt.Errorf("writing to the store: %w", err)
	}
	if len(b.Ops) > 0 || len(b.Expect) > 0 {
		// Badger's conflict only says that an expected key was written at the same
		// time; whether the expectation still holds shows on the next look. Each
		// conflict is another batch's progress, so this ends.
		err := db.ErrConflict
		for errors.Is(err, db.ErrConflict) {
			err = s.commit(b)
		}
		if err != nil {
			return err
		}
	}
	if b.Sync {
		return s.wal.wait()
	}
	return nil
}

// commit tries the batch once.
func (s *Store) commit(b store.Batch) (err error) {
	defer damaged(&err)
	txn := s.db.NewTransaction(true)
	defer txn.Discard()
	now := s.now()
	for _, e := range b.Expect {
		value, err := read(txn, e.Key, now)
		switch {
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return fmt.Errorf("reading %q: %w", e.Key, err)
		case (err == nil) != (e.Value != nil) || !bytes.Equal(value, e.Value):
			return fmt.Errorf("key %q: %w", e.Key, store.ErrConflict)
		}
	}
	for _, op := range b.Ops {
		if err := apply(txn, op, now); err != nil {
			return explain(err, b)
		}
	}
	return explain(txn.Commit(), b)
}

func apply(txn *db.Txn, op store.Op, now time.Time) error {
	if len(op.Key) > maxKeySize {
		return fmt.Errorf("key of %d bytes is too long: %w", len(op.Key), store.ErrTooLarge)
	}
	if op.Value == nil {
		return txn.Delete(dataKey(op.Key))
	}
	if op.TTL <= 0 {
		return txn.SetEntry(db.NewEntry(dataKey(op.Key), op.Value)) // copied by the commit
	}
	value := make([]byte, expirySize, expirySize+len(op.Value))
	binary.BigEndian.PutUint64(value, uint64(now.Add(op.TTL).UnixNano()))
	e := db.NewEntry(dataKey(op.Key), append(value, op.Value...)).WithMeta(hasExpiry)
	e.ExpiresAt = uint64(time.Now().Add(op.TTL).Unix()) + 2 // never before the exact expiry
	return txn.SetEntry(e)
}

// explain turns Badger's errors into those of the interface.
func explain(err error, b store.Batch) error {
	switch {
	case err == nil, errors.Is(err, db.ErrConflict), errors.Is(err, store.ErrTooLarge):
		return err
	case errors.Is(err, db.ErrTxnTooBig):
		return fmt.Errorf("%d changes in one batch: %w", len(b.Ops), store.ErrTooLarge)
	}
	return fmt.Errorf("writing to the store: %w", err)
}
