// SPDX-License-Identifier: Apache-2.0

package users

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// SetEnabled switches a key on or off; the change holds for requests that come
// after it.
func (r *Registry) SetEnabled(ctx context.Context, id string, enabled bool) (Key, error) {
	return r.edit(ctx, id, func(rec *record) error { rec.Enabled = enabled; return nil })
}

// Update replaces what the operator said about a key. Limits that are not set
// become the defaults, as with Create. Counters go on.
func (r *Registry) Update(ctx context.Context, id string, spec Spec) (Key, error) {
	return r.Edit(ctx, id, func(s *Spec) error { *s = spec; return nil })
}

// Edit changes what the operator said about a key. fn may be called several times.
// Limits that are not set afterwards become the defaults, as with Create. Counters go
// on. It returns [ErrNotFound], [ErrInvalid] or the error of fn.
func (r *Registry) Edit(ctx context.Context, id string, fn func(*Spec) error) (Key, error) {
	return r.edit(ctx, id, r.respec(fn))
}

// EditMany is Edit for many keys. Those that do not exist are left out, and so are
// those that fn returns [ErrUnchanged] for; any other error of fn ends it. It returns how
// many were changed, all of which are on disk.
func (r *Registry) EditMany(ctx context.Context, ids []string, fn func(*Spec) error) (changed int, err error) {
	return r.editMany(ctx, ids, r.respec(fn))
}

// SetEnabledMany is SetEnabled for many keys; see EditMany.
func (r *Registry) SetEnabledMany(ctx context.Context, ids []string, enabled bool) (changed int, err error) {
	return r.editMany(ctx, ids, func(rec *record) error {
		if rec.Enabled == enabled {
			return ErrUnchanged
		}
		rec.Enabled = enabled
		return nil
	})
}

// ErrUnchanged is what the function of [Registry.EditMany] returns for a key that is to
// stay as it is.
var ErrUnchanged = errors.New("unchanged")

// respec makes an edit of a record of an edit of a Spec.
func (r *Registry) respec(fn func(*Spec) error) func(*record) error {
	return func(rec *record) error {
		before := rec.ExpiresAt
		rec.Key = rec.clone()
		if err := fn(&rec.Spec); err != nil {
			return err
		}
		now := r.now()
		if rec.ExpiresAt.Equal(before) {
			now = time.Time{} // what has expired may still be renamed
		}
		if err := rec.validate(now); err != nil {
			return err
		}
		if !rec.Unlimited {
			rec.Limits = rec.Limits.withDefaults(*r.defaults.Load())
		}
		return nil
	}
}

// Rotate gives a key another secret. The one from before works for grace, if that is
// above 0, and both count on one account; one from before that ends now. It returns
// [ErrNotFound].
func (r *Registry) Rotate(ctx context.Context, id string, grace time.Duration) (Created, error) {
	credential := credentialFor(id)
	key, err := r.edit(ctx, id, func(rec *record) error {
		rec.OldHash, rec.OldUntil = nil, time.Time{}
		if grace > 0 {
			rec.OldHash, rec.OldUntil = rec.Hash, r.now().Add(grace).UTC().Round(0)
		}
		rec.renew(credential)
		return nil
	})
	return Created{key, credential}, err
}

// Delete has a key unknown from now on, or returns [ErrNotFound]. For [DeletedFor] it
// can be had back with Restore. Requests in flight end normally.
func (r *Registry) Delete(ctx context.Context, id string) error {
	_, err := r.edit(ctx, id, r.deleted)
	return err
}

// DeleteMany is Delete for many keys; see EditMany.
func (r *Registry) DeleteMany(ctx context.Context, ids []string) (changed int, err error) {
	return r.editMany(ctx, ids, r.deleted)
}

func (r *Registry) deleted(rec *record) error {
	rec.Deleted = r.now().UTC().Round(0)
	return nil
}

// Restore makes a deleted key what it was, its counters included, or returns
// [ErrNotFound].
func (r *Registry) Restore(ctx context.Context, id string) (Key, error) {
	var key Key
	n, err := r.restoreMany(ctx, []string{id}, &key)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return key, err
}

// RestoreMany is Restore for many keys; see EditMany.
func (r *Registry) RestoreMany(ctx context.Context, ids []string) (changed int, err error) {
	return r.restoreMany(ctx, ids, nil)
}

func (r *Registry) restoreMany(ctx context.Context, ids []string, last *Key) (int, error) {
	return r.changeMany(ctx, ids, true, func(rec *record) error {
		rec.Deleted = time.Time{}
		if last != nil {
			*last = rec.Key
		}
		return nil
	})
}

// edit changes one key that was not deleted.
func (r *Registry) edit(ctx context.Context, id string, fn func(*record) error) (key Key, err error) {
	n, err := r.editMany(ctx, []string{id}, func(rec *record) error {
		err := fn(rec)
		key = rec.Key
		return err
	})
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Key{}, err
	}
	return key, nil
}

// editMany changes keys that were not deleted.
func (r *Registry) editMany(ctx context.Context, ids []string, fn func(*record) error) (changed int, err error) {
	return r.changeMany(ctx, ids, false, fn)
}

// editAtOnce is how many keys are changed in one batch.
const editAtOnce = 256

// changeMany changes those of the keys that were deleted, or those that were not.
func (r *Registry) changeMany(ctx context.Context, ids []string, gone bool, fn func(*record) error) (changed int, err error) {
	for part := range slices.Chunk(ids, editAtOnce) {
		n, err := r.changeSome(ctx, part, gone, fn)
		if half := len(part) / 2; errors.Is(err, store.ErrTooLarge) && half > 0 {
			if n, err = r.changeMany(ctx, part[:half], gone, fn); err == nil {
				changed += n
				n, err = r.changeMany(ctx, part[half:], gone, fn)
			}
		}
		changed += n
		if err != nil {
			return changed, err
		}
	}
	return changed, nil
}

// changeSome edits keys in the store and then in the cache and the index. Changes of
// one shard run one after the other, so that both get them in the store's order.
func (r *Registry) changeSome(ctx context.Context, ids []string, gone bool, fn func(*record) error) (int, error) {
	unlock := r.lockShards(ids)
	defer unlock()
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		changed, batch, err := r.changes(ids, gone, fn)
		if err != nil || len(changed) == 0 {
			return 0, err
		}
		err = r.store.Write(batch)
		switch {
		case errors.Is(err, store.ErrConflict):
			continue // another node changed one: edit what it is now
		case err != nil:
			return 0, fmt.Errorf("saving user key %s: %w", changed[0].key.ID, err)
		}
		now := r.now().UnixNano()
		for _, p := range changed {
			r.shard(p.key.ID).changed(p, now)
			r.reindex(p)
		}
		return len(changed), nil
	}
}

// changes reads and edits keys, and makes the batch that saves them.
func (r *Registry) changes(ids []string, gone bool, fn func(*record) error) (changed []*policy, b store.Batch, err error) {
	b.Sync = true
	for _, id := range ids {
		rec, old, err := r.record(id)
		if errors.Is(err, ErrNotFound) || err == nil && gone == rec.Deleted.IsZero() {
			continue
		}
		if err != nil {
			return nil, b, err
		}
		before := rec.Deleted
		if err := fn(&rec); errors.Is(err, ErrUnchanged) {
			continue
		} else if err != nil {
			return nil, b, err
		}
		p, err := newPolicy(rec)
		if err != nil {
			return nil, b, err
		}
		value, err := json.Marshal(rec)
		if err != nil {
			return nil, b, err
		}
		changed = append(changed, p)
		b.Expect = append(b.Expect, store.Expect{Key: keyPrefix + id, Value: old})
		b.Ops = append(b.Ops, store.Op{Key: keyPrefix + id, Value: value})
		if !before.IsZero() {
			b.Ops = append(b.Ops, store.Op{Key: goneKey(id, before)})
		}
		if !rec.Deleted.IsZero() {
			b.Ops = append(b.Ops, store.Op{Key: goneKey(id, rec.Deleted), Value: []byte{}})
		}
	}
	return changed, b, nil
}

// lockShards locks the shards of some keys against other changes.
func (r *Registry) lockShards(ids []string) (unlock func()) {
	var of [shards]bool
	for _, id := range ids {
		of[r.shardNumber(id)] = true
	}
	for i := range of {
		if of[i] {
			r.shards[i].change.Lock()
		}
	}
	return func() {
		for i := range of {
			if of[i] {
				r.shards[i].change.Unlock()
			}
		}
	}
}

// reindex tells the index of a changed key.
func (r *Registry) reindex(p *policy) {
	until, refused := int64(0), false
	look := func(a *Account) {
		a.mu.Lock()
		defer a.mu.Unlock()
		now := a.clock(r.now().UnixNano())
		if until = a.limitedUntil(p, now, r.calendar.at(now)); a.refused > now {
			refused = true
		}
	}
	if a, err := r.peek(p.key.ID); err == nil {
		look(a)
	}
	if refused { // as it stands in the store: the cache has forgotten it with the old policy
		if a, err := r.account(p.key.ID); err == nil {
			a.mu.Lock()
			a.forgive()
			a.mu.Unlock()
			look(a)
		}
	}
	r.index.put(&p.key, until)
}
