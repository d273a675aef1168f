// SPDX-License-Identifier: Apache-2.0

package users

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// Where the rooms of the store are; see the package comment.
const (
	keyPrefix = "users/key/"
	newPrefix = "users/new/"
	dayPrefix = "users/day/"
)

// record is what the store has of a key.
type record struct {
	Key
	Hash []byte `json:"hash"` // SHA-256 of the credential
}

// indexKey sorts the newest key first.
func indexKey(k Key) string {
	return fmt.Sprintf("%s%016x-%s", newPrefix, math.MaxInt64-k.Created.UnixNano(), k.ID)
}

// Create makes a key that is on disk when Create returns. secret is the whole
// credential for the user; it is nowhere else and cannot be had again.
// Errors about the Spec are [ErrInvalid].
func (r *Registry) Create(ctx context.Context, spec Spec) (key Key, secret string, err error) {
	now := r.now()
	if err := spec.validate(now); err != nil {
		return Key{}, "", err
	}
	if !spec.Unlimited {
		spec.Limits = spec.Limits.withDefaults(*r.defaults.Load())
	}
	r.counting.RLock()
	defer r.counting.RUnlock()
	for {
		if err := ctx.Err(); err != nil {
			return Key{}, "", err
		}
		credential, id := newCredential()
		key = Key{ID: id, Spec: spec, Created: now.UTC().Round(0), Enabled: true}
		hash := sha256.Sum256([]byte(credential))
		value, err := json.Marshal(record{key, hash[:]})
		if err != nil {
			return Key{}, "", err
		}
		err = r.store.Write(store.Batch{
			Expect: []store.Expect{{Key: keyPrefix + id}},
			Ops:    []store.Op{{Key: keyPrefix + id, Value: value}, {Key: indexKey(key), Value: []byte{}}},
			Sync:   true,
		})
		if errors.Is(err, store.ErrConflict) {
			continue // this id is taken: draw another
		}
		if err != nil {
			return Key{}, "", fmt.Errorf("saving the user key: %w", err)
		}
		r.counted(1)
		return key, credential, nil
	}
}

// record reads a key from the store. value is what it read, for Expect.
func (r *Registry) record(id string) (rec record, value []byte, err error) {
	value, err = r.store.Get(keyPrefix + id)
	if errors.Is(err, store.ErrNotFound) {
		return record{}, nil, ErrNotFound
	}
	if err != nil {
		return record{}, nil, fmt.Errorf("reading user key %s: %w", id, err)
	}
	if err := json.Unmarshal(value, &rec); err != nil {
		return record{}, nil, fmt.Errorf("record of user key %s is damaged: %w", id, err)
	}
	return rec, value, nil
}

// Get returns a key, or [ErrNotFound].
func (r *Registry) Get(id string) (Key, error) {
	rec, _, err := r.record(id)
	return rec.Key, err
}

// SetEnabled switches a key on or off; the change holds for requests that come
// after it.
func (r *Registry) SetEnabled(ctx context.Context, id string, enabled bool) (Key, error) {
	return r.change(ctx, id, func(k *Key) error { k.Enabled = enabled; return nil })
}

// Update replaces what the operator said about a key. Limits that are not set
// become the defaults, as with Create. Counters go on.
func (r *Registry) Update(ctx context.Context, id string, spec Spec) (Key, error) {
	return r.change(ctx, id, func(k *Key) error {
		now := r.now()
		if spec.ExpiresAt.Equal(k.ExpiresAt) {
			now = time.Time{} // what has expired may still be renamed
		}
		if err := spec.validate(now); err != nil {
			return err
		}
		if !spec.Unlimited {
			spec.Limits = spec.Limits.withDefaults(*r.defaults.Load())
		}
		k.Spec = spec
		return nil
	})
}

// change edits a key in the store and then in the cache. Changes of one shard
// run one after the other, so that the cache gets them in the store's order.
func (r *Registry) change(ctx context.Context, id string, edit func(*Key) error) (Key, error) {
	s := r.shard(id)
	s.change.Lock()
	defer s.change.Unlock()
	for {
		if err := ctx.Err(); err != nil {
			return Key{}, err
		}
		rec, old, err := r.record(id)
		if err != nil {
			return Key{}, err
		}
		if err := edit(&rec.Key); err != nil {
			return Key{}, err
		}
		p, err := newPolicy(rec)
		if err != nil {
			return Key{}, err
		}
		value, err := json.Marshal(rec)
		if err != nil {
			return Key{}, err
		}
		err = r.store.Write(store.Batch{
			Expect: []store.Expect{{Key: keyPrefix + id, Value: old}},
			Ops:    []store.Op{{Key: keyPrefix + id, Value: value}},
			Sync:   true,
		})
		if errors.Is(err, store.ErrConflict) {
			continue // another node changed it: edit what it is now
		}
		if err != nil {
			return Key{}, fmt.Errorf("saving user key %s: %w", id, err)
		}
		s.changed(p)
		return rec.Key, nil
	}
}

// Delete removes a key for good, or returns [ErrNotFound]. Requests in flight
// end normally.
func (r *Registry) Delete(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s := r.shard(id)
	s.change.Lock()
	defer s.change.Unlock()
	rec, _, err := r.record(id)
	if err != nil {
		return err
	}
	r.counting.RLock()
	defer r.counting.RUnlock()
	err = r.store.Write(store.Batch{
		Ops:  []store.Op{{Key: keyPrefix + id}, {Key: indexKey(rec.Key)}, {Key: dayPrefix + id}},
		Sync: true,
	})
	if err != nil {
		return fmt.Errorf("deleting user key %s: %w", id, err)
	}
	s.changed(&policy{key: rec.Key, deleted: true})
	r.counted(-1)
	return nil
}

// counted corrects the number of keys, once it is known.
func (r *Registry) counted(d int64) {
	r.countMu.Lock()
	defer r.countMu.Unlock()
	if r.count >= 0 {
		r.count += d
	}
}

// Count returns the number of keys. The first call reads through all of them.
func (r *Registry) Count() (int, error) {
	r.countMu.Lock()
	known := r.count
	r.countMu.Unlock()
	if known >= 0 {
		return int(known), nil
	}
	r.counting.Lock()
	defer r.counting.Unlock()
	n := int64(0)
	if err := r.store.Scan(newPrefix, "", func(string, []byte) bool { n++; return true }); err != nil {
		return 0, fmt.Errorf("counting user keys: %w", err)
	}
	r.countMu.Lock()
	r.count = n
	r.countMu.Unlock()
	return int(n), nil
}

// List returns a page of the keys, newest first, and how many there are in all.
// search is text in the name, the id or a tag, without regard to case; it reads
// all keys, while a list without it reads only up to the page.
func (r *Registry) List(limit, offset int, search string) (page []Key, total int, err error) {
	limit, offset = max(limit, 0), max(offset, 0)
	if search != "" {
		return r.find(limit, offset, strings.ToLower(search))
	}
	if total, err = r.Count(); err != nil {
		return nil, 0, err
	}
	var ids []string
	at := 0
	err = r.store.Scan(newPrefix, "", func(key string, _ []byte) bool {
		if at >= offset && len(ids) < limit {
			ids = append(ids, key[len(newPrefix)+17:])
		}
		at++
		return len(ids) < limit
	})
	if err != nil {
		return nil, 0, fmt.Errorf("listing user keys: %w", err)
	}
	for _, id := range ids {
		key, err := r.Get(id)
		if errors.Is(err, ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, 0, err
		}
		page = append(page, key)
	}
	return page, total, nil
}

func (r *Registry) find(limit, offset int, search string) ([]Key, int, error) {
	var found []Key
	var damaged error
	err := r.store.Scan(keyPrefix, "", func(key string, value []byte) bool {
		var rec record
		if damaged = json.Unmarshal(value, &rec); damaged != nil {
			damaged = fmt.Errorf("record of user key %s is damaged: %w", key[len(keyPrefix):], damaged)
			return false
		}
		has := func(text string) bool { return strings.Contains(strings.ToLower(text), search) }
		if has(rec.Name) || has(rec.ID) || slices.ContainsFunc(rec.Tags, has) {
			found = append(found, rec.Key)
		}
		return true
	})
	if err = cmp.Or(err, damaged); err != nil {
		return nil, 0, fmt.Errorf("searching user keys: %w", err)
	}
	slices.SortFunc(found, func(a, b Key) int { return b.Created.Compare(a.Created) })
	from := min(offset, len(found))
	return found[from:min(from+limit, len(found))], len(found), nil
}
