// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// document is a value that is stored and replaced as a whole. Safe for concurrent
// use.
type document[T any] struct {
	store store.Store
	key   string
	now   atomic.Pointer[version[T]]
	mu    sync.Mutex // held by writers
}

// version is one state of a document; it never changes.
type version[T any] struct {
	value T
	raw   []byte // as it stands in the store; nil for nothing
	etag  string
}

// load reads what is stored.
func (d *document[T]) load() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reload()
}

// reload is load for who holds mu.
func (d *document[T]) reload() error {
	raw, err := d.store.Get(d.key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("reading %s: %w", d.key, err)
	}
	v := &version[T]{raw: raw, etag: etagOf(raw)}
	if raw != nil {
		if err := json.Unmarshal(raw, &v.value); err != nil {
			return fmt.Errorf("reading %s: the value in the store is damaged: %w", d.key, err)
		}
	}
	d.now.Store(v)
	return nil
}

// replace stores what change makes of the present value, on disk before it
// returns. ifMatch is the ETag of the state that the change was made for; "" takes
// any.
func (d *document[T]) replace(ifMatch string, change func(T) (T, error)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		before := d.now.Load()
		if ifMatch != "" && ifMatch != before.etag {
			return ErrChanged
		}
		value, err := change(before.value)
		if err != nil {
			return err
		}
		raw, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("encoding %s: %w", d.key, err)
		}
		err = d.store.Write(store.Batch{
			Expect: []store.Expect{{Key: d.key, Value: before.raw}},
			Ops:    []store.Op{{Key: d.key, Value: raw}},
			Sync:   true,
		})
		if errors.Is(err, store.ErrConflict) { // another node wrote
			if err := d.reload(); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("writing %s: %w", d.key, err)
		}
		d.now.Store(&version[T]{value: value, raw: raw, etag: etagOf(raw)})
		return nil
	}
}

func etagOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:12])
}
