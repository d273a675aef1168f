// SPDX-License-Identifier: Apache-2.0

package users

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// Where the rooms of the store are; see the package comment.
const (
	keyPrefix  = "users/key/"
	gonePrefix = "users/gone/"
	sumPrefix  = "users/sum/"
	dayPrefix  = "users/day/"
	newPrefix  = "users/new/" // an index of older versions
)

// record is what the store has of a key.
type record struct {
	Key
	Hash    []byte `json:"hash"`               // SHA-256 of the credential
	OldHash []byte `json:"old_hash,omitempty"` // of the one before, until OldUntil
}

// renew gives the record a new credential.
func (r *record) renew(credential string) {
	hash := sha256.Sum256([]byte(credential))
	r.Hash = hash[:]
	r.Tail = credential[len(credential)-tailSize:]
}

// Created is a key that was made, and its secret.
type Created struct {
	Key    Key
	Secret string // the whole credential for the user; it is nowhere else and cannot be had again
}

// MaxCreate is how many keys can be made at once.
const MaxCreate = 1000

// Create makes a key that is on disk when Create returns.
// Errors about the Spec are [ErrInvalid].
func (r *Registry) Create(ctx context.Context, spec Spec) (key Key, secret string, err error) {
	made, err := r.CreateMany(ctx, spec, 1)
	if err != nil {
		return Key{}, "", err
	}
	return made[0].Key, made[0].Secret, nil
}

// CreateMany makes count keys of one Spec, numbered in their names if they are more
// than one: name 1, name 2, … with as many digits as the last. All are on disk when
// it returns; after an error none is, or, where the store failed in the middle,
// nobody has their secrets.
func (r *Registry) CreateMany(ctx context.Context, spec Spec, count int) ([]Created, error) {
	now := r.now()
	if count < 1 || count > MaxCreate {
		return nil, wrong("count", "is %d, want 1 to %d", count, MaxCreate)
	}
	if err := spec.validate(now); err != nil {
		return nil, err
	}
	if !spec.Unlimited {
		spec.Limits = spec.Limits.withDefaults(*r.defaults.Load())
	}
	made := make([]Created, 0, count)
	for len(made) < count {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part, err := r.createSome(spec, len(made), count, now)
		if errors.Is(err, store.ErrConflict) {
			continue // an id is taken: draw others
		}
		if err != nil {
			return nil, fmt.Errorf("saving the user key: %w", err)
		}
		made = append(made, part...)
	}
	for i := range made {
		r.index.put(&made[i].Key, 0)
	}
	return made, nil
}

// createSome makes as many keys as fit into a batch, numbered from from + 1.
func (r *Registry) createSome(spec Spec, from, count int, now time.Time) (made []Created, err error) {
	batch := store.Batch{Sync: true}
	digits, size := len(strconv.Itoa(count)), 0
	for n := from; n < count && size < store.MaxBatchBytes/2; n++ {
		credential, id := newCredential()
		rec := record{Key: Key{ID: id, Spec: spec, Created: now.UTC().Round(0), Enabled: true}}
		rec.Key = rec.clone()
		rec.renew(credential)
		if count > 1 {
			rec.Name = fmt.Sprintf("%s %0*d", spec.Name, digits, n+1)
		}
		value, err := json.Marshal(rec)
		if err != nil {
			return nil, err
		}
		batch.Expect = append(batch.Expect, store.Expect{Key: keyPrefix + id})
		batch.Ops = append(batch.Ops, store.Op{Key: keyPrefix + id, Value: value})
		size += len(value)
		made = append(made, Created{rec.Key, credential})
	}
	return made, r.store.Write(batch)
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

// Get returns a key, or [ErrNotFound], also for one that was deleted.
func (r *Registry) Get(id string) (Key, error) {
	rec, _, err := r.record(id)
	if err == nil && !rec.Deleted.IsZero() {
		err = ErrNotFound
	}
	if err != nil {
		return Key{}, err
	}
	return rec.Key, nil
}

// View is a key and how it stands.
type View struct {
	Key
	Standing
	Status Status
}

// View returns a key and how it stands, or [ErrNotFound], also for one that was
// deleted. It reads the store where the key was not used lately.
func (r *Registry) View(id string) (View, error) {
	v, err := r.view(id)
	if err == nil && !v.Deleted.IsZero() {
		return View{}, ErrNotFound
	}
	return v, err
}

// view is View for what was deleted, too.
func (r *Registry) view(id string) (View, error) {
	a, err := r.peek(id)
	if err != nil {
		return View{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock(r.now().UnixNano())
	v := View{Key: a.policy.Load().key, Standing: a.standing(now)}
	v.Status = statusOf(&v.Key, v.LimitedTo, time.Unix(0, now))
	return v, nil
}

// peek returns the account of a key without keeping it in the cache.
func (r *Registry) peek(id string) (*Account, error) {
	s := r.shard(id)
	s.mu.RLock()
	a := s.accounts[id]
	s.mu.RUnlock()
	if a != nil {
		return a, nil
	}
	a, err := r.read(id)
	if errors.Is(err, ErrUnknownKey) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}
