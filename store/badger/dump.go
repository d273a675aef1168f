// SPDX-License-Identifier: Apache-2.0

package badger

import (
	"encoding/binary"
	"fmt"
	"time"

	db "github.com/dgraph-io/badger/v4"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

var _ store.Dumper = (*Store)(nil)

// Dump implements [store.Dumper]. While it runs, what is overwritten is kept.
func (s *Store) Dump(fn func(key string, value []byte, ends time.Time) bool) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	o := db.DefaultIteratorOptions
	o.Prefix = dataKey("")
	it := txn.NewIterator(o)
	defer it.Close()
	now := s.now()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		key := string(item.Key()[len(dataPrefix):])
		value, ok, err := decode(item, now)
		if err != nil {
			return fmt.Errorf("reading %q: %w", key, err)
		}
		if !ok {
			continue
		}
		ends, err := expiryOf(item)
		if err != nil {
			return fmt.Errorf("reading %q: %w", key, err)
		}
		if !fn(key, value, ends) {
			return nil
		}
	}
	return nil
}

// expiryOf is when an item's time is over; zero for never.
func expiryOf(item *db.Item) (ends time.Time, err error) {
	if item.UserMeta() != hasExpiry {
		return ends, nil
	}
	err = item.Value(func(value []byte) error {
		ends = time.Unix(0, int64(binary.BigEndian.Uint64(value))) //nolint:gosec // as it was written
		return nil
	})
	return ends, err
}
