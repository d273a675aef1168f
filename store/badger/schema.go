// SPDX-License-Identifier: Apache-2.0

package badger

import (
	"errors"
	"fmt"
	"strconv"

	db "github.com/dgraph-io/badger/v4"
)

// schemaVersion is the layout that this program reads and writes.
const schemaVersion = 1

// schemaKey is where a store says which layout it has.
const schemaKey = "m/schema"

// migration brings a store from one version to the next. It must be safe to run
// again: after a crash in the middle, the next start repeats it.
type migration func(*db.DB) error

// migrations has, for each old version, the step to the version after it.
var migrations = map[int]migration{}

// migrate brings the store to the wanted version, step by step, and refuses
// what is newer or not ours.
func migrate(d *db.DB, want int, steps map[int]migration) error {
	have, err := readSchema(d)
	if err != nil {
		return err
	}
	if have == 0 {
		return writeSchema(d, want) // new and empty
	}
	if have > want {
		return fmt.Errorf("written by a newer version of this program (schema %d, this one knows %d): "+
			"update the program, or restore a backup that this version wrote", have, want)
	}
	for ; have < want; have++ {
		step := steps[have]
		if step == nil {
			return fmt.Errorf("schema %d is too old: no way to schema %d", have, have+1)
		}
		if err := step(d); err != nil {
			return fmt.Errorf("migrating from schema %d: %w", have, err)
		}
		if err := writeSchema(d, have+1); err != nil {
			return err
		}
	}
	return nil
}

// readSchema returns the version of the store, 0 for one without any data.
func readSchema(d *db.DB) (version int, err error) {
	err = d.View(func(txn *db.Txn) error {
		item, err := txn.Get([]byte(schemaKey))
		if errors.Is(err, db.ErrKeyNotFound) {
			return refuseForeign(txn)
		}
		if err != nil {
			return err
		}
		return item.Value(func(value []byte) error {
			version, err = strconv.Atoi(string(value))
			if err != nil || version < 1 {
				return fmt.Errorf("schema version %q is damaged", value)
			}
			return nil
		})
	})
	return version, err
}

func refuseForeign(txn *db.Txn) error {
	it := txn.NewIterator(db.IteratorOptions{PrefetchValues: false})
	defer it.Close()
	if it.Rewind(); it.Valid() {
		return errors.New("holds a database of another program")
	}
	return nil
}

func writeSchema(d *db.DB, version int) error {
	err := d.Update(func(txn *db.Txn) error {
		return txn.Set([]byte(schemaKey), []byte(strconv.Itoa(version)))
	})
	if err == nil {
		err = d.Sync()
	}
	if err != nil {
		return fmt.Errorf("writing schema version %d: %w", version, err)
	}
	return nil
}
