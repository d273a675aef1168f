// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

const (
	// trashPrefix is where the store has deleted keys: <id> → trashRecord, with a TTL.
	trashPrefix = "balancer/deleted/"
	// trashFor is how long a deleted key can be restored. Source: specs/ui.md §3.0.
	trashFor = 24 * time.Hour
)

// trashRecord is a deleted key.
type trashRecord struct {
	Key     keyRecord `json:"key"`
	State   *record   `json:"state"`
	Deleted time.Time `json:"deleted"`
}

// trashed is a deleted key. Its secret stays sealed.
type trashed struct {
	trashRecord
	mask string
}

// ErrInPool is the refusal to restore a key that is in the pool.
var ErrInPool = errors.New("the Gemini key is in the pool already")

// Delete takes a key out of the pool. For 24 hours [Pool.Restore] brings it back as
// it was, but for its rests; then nothing is left of it. It is on disk when Delete
// returns; leases that are under way end as they would. It returns [ErrNotFound],
// [ErrReadOnly] for a declared key, or an error of the store.
func (p *Pool) Delete(ctx context.Context, id string) error {
	return p.change(ctx, id, p.discard)
}

// discard is the changer of Delete.
func (p *Pool) discard(e *entry, now time.Time) (step, error) {
	p.mu.Lock()
	if e.declared != nil {
		p.mu.Unlock()
		return step{}, ErrReadOnly
	}
	state := e.record(e.live.Load())
	p.mu.Unlock()
	state.History = append(state.History, event{now.UnixNano(), eventDeleted, ""}.change())
	t := &trashed{trashRecord{p.keyRecord(e.id, *e.secret, e.stored), state, now}, Mask(*e.secret)}
	rested := (&rest{scope: ScopeKey, entry: e}).record().key()
	return step{
		ops: []store.Op{
			{Key: keyPrefix + e.id}, {Key: statePrefix + e.id}, {Key: rested},
			{Key: trashPrefix + e.id, Value: encode(t.trashRecord), TTL: trashFor},
		},
		apply: func() {
			p.trash[e.id] = t
			if e.stored = nil; e.declared == nil {
				p.dismiss(e)
			}
		},
	}, nil
}

// Restore brings deleted keys back. It is on disk when Restore returns. told hears
// of each what became of it: nil, [ErrNotFound], or [ErrInPool]. The error is the
// store's, or ctx's.
func (p *Pool) Restore(ctx context.Context, ids []string, told func(id string, err error)) error {
	p.writeMu.Lock()
	defer p.writeMu.Unlock()
	for part := range slices.Chunk(ids, resealAtATime) {
		if err := ctx.Err(); err != nil {
			return err
		}
		now := p.now()
		var ops []store.Op
		var steps []step
		var done []string
		for _, id := range part {
			s, err := p.undelete(id, now)
			if err != nil {
				told(id, fmt.Errorf("%s: %w", id, err))
				continue
			}
			ops, steps, done = append(ops, s.ops...), append(steps, s), append(done, id)
		}
		if len(ops) == 0 {
			continue
		}
		if err := p.store.Write(store.Batch{Ops: ops, Sync: true}); err != nil {
			return fmt.Errorf("restoring Gemini keys: %w", err)
		}
		p.apply(steps)
		for _, id := range done {
			told(id, nil)
		}
	}
	return nil
}

func (p *Pool) undelete(id string, now time.Time) (step, error) {
	p.mu.Lock()
	t, have := p.trash[id], p.byID[id]
	p.mu.Unlock()
	if t == nil || !now.Before(t.Deleted.Add(trashFor)) {
		return step{}, ErrNotFound
	}
	if have != nil {
		return step{}, ErrInPool
	}
	secret, s, err := t.Key.open(p, id)
	if err != nil {
		return step{}, err
	}
	state := *t.State
	state.History = append(slices.Clone(state.History), event{now.UnixNano(), eventRestored, ""}.change())
	return step{
		ops: []store.Op{
			{Key: keyPrefix + id, Value: encode(t.Key)}, {Key: statePrefix + id, Value: encode(&state)}, {Key: trashPrefix + id},
		},
		apply: func() {
			delete(p.trash, id)
			e := p.byID[id]
			if e == nil {
				p.orphans[id] = &state
				e = p.enlist(id, secret, fromNanos(s.created))
			}
			e.stored = s
			p.publish(e, now)
		},
	}, nil
}

// Purge forgets deleted keys at once, and with them their secrets. Ids of no such
// key are ignored. It is on disk when Purge returns.
func (p *Pool) Purge(ctx context.Context, ids []string) error {
	p.writeMu.Lock()
	defer p.writeMu.Unlock()
	for part := range slices.Chunk(ids, batchOps) {
		if err := ctx.Err(); err != nil {
			return err
		}
		ops := make([]store.Op, len(part))
		for i, id := range part {
			ops[i].Key = trashPrefix + id
		}
		if err := p.store.Write(store.Batch{Ops: ops, Sync: true}); err != nil {
			return fmt.Errorf("purging deleted Gemini keys: %w", err)
		}
		p.mu.Lock()
		for _, id := range part {
			delete(p.trash, id)
		}
		p.mu.Unlock()
	}
	return nil
}

// Deleted returns a page of the deleted keys, the last ones first, and how many
// there are. A batch other than "" selects those of one import.
func (p *Pool) Deleted(batch string, limit, offset int) (page []Key, total int) {
	if limit <= 0 {
		limit = pageSize
	}
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []string
	for id, t := range p.trash {
		if now.Before(t.Deleted.Add(trashFor)) && (batch == "" || t.Key.Batch == batch) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int {
		if c := p.trash[b].Deleted.Compare(p.trash[a].Deleted); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	for _, id := range ids[min(max(offset, 0), len(ids)):min(max(offset, 0)+limit, len(ids))] {
		page = append(page, p.trash[id].key(id))
	}
	return page, len(ids)
}

// key is the deleted key as operators see it.
func (t *trashed) key(id string) Key {
	r := t.Key
	return Key{
		ID: id, Name: r.Name, Project: r.Project, Tags: r.Tags, Paid: r.Paid, Source: SourceStore, Created: r.Created,
		State: t.State.State, StateReason: t.State.Reason, StateSince: t.State.Since, Mask: t.mask, Weight: max(r.Weight, 1),
		Note: r.Note, Models: r.Models, Batch: r.Batch, Probed: t.State.Probed, Deleted: t.Deleted,
	}
}

// loadTrash reads the deleted keys. Under p.mu.
func (p *Pool) loadTrash(now time.Time) error {
	var failed error
	err := p.store.Scan(trashPrefix, "", func(key string, value []byte) bool {
		id := strings.TrimPrefix(key, trashPrefix)
		var r trashRecord
		err := json.Unmarshal(value, &r)
		var secret string
		if err == nil {
			secret, _, err = r.Key.open(p, id)
		}
		if err != nil {
			failed = fmt.Errorf("%s: %w; restore the master key that the store was made with, or the store from a backup", key, err)
			return false
		}
		if r.State == nil {
			r.State = &record{State: StateUntested, Since: r.Key.Created}
		}
		if now.Before(r.Deleted.Add(trashFor)) {
			p.trash[id] = &trashed{r, Mask(secret)}
		}
		return true
	})
	return errors.Join(err, failed)
}

// dropTrash forgets the deleted keys whose time is over; the store does by itself.
// Under p.mu.
func (p *Pool) dropTrash(now time.Time) {
	for id, t := range p.trash {
		if !now.Before(t.Deleted.Add(trashFor)) {
			delete(p.trash, id)
		}
	}
}
