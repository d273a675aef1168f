// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// resealAtATime is how many keys are sealed anew before other changes get their turn. A
// deleted one with all of its history has some 20 kB.
const resealAtATime = store.MaxBatchBytes / (20 << 10)

// Reseal seals anew what the store has of keys and was sealed with a master key from
// before: those in service, those deleted, and what operators said of declared ones.
// It is on disk when Reseal returns. done hears how many of how many were looked at.
func (p *Pool) Reseal(ctx context.Context, done func(n, total int)) (resealed int, err error) {
	var keys []string
	for _, prefix := range []string{keyPrefix, overlayPrefix, trashPrefix} {
		err := p.store.Scan(prefix, "", func(key string, _ []byte) bool {
			keys = append(keys, key)
			return true
		})
		if err != nil {
			return 0, fmt.Errorf("looking for sealed Gemini keys: %w", err)
		}
	}
	looked := 0
	for part := range slices.Chunk(keys, resealAtATime) {
		if err := ctx.Err(); err != nil {
			return resealed, err
		}
		n, err := p.resealSome(part)
		if resealed += n; err != nil {
			return resealed, fmt.Errorf("sealing Gemini keys anew: %w", err)
		}
		looked += len(part)
		done(looked, len(keys))
	}
	return resealed, nil
}

// resealSome holds writeMu, so that nobody else changes what it reads.
func (p *Pool) resealSome(keys []string) (n int, err error) {
	p.writeMu.Lock()
	defer p.writeMu.Unlock()
	batch := store.Batch{Sync: true}
	trash := map[string]keyRecord{}
	for _, key := range keys {
		value, err := p.store.Get(key)
		if err != nil {
			continue // deleted meanwhile
		}
		op := store.Op{Key: key}
		if id, gone := strings.CutPrefix(key, trashPrefix); gone {
			var r trashRecord
			err = json.Unmarshal(value, &r)
			op.TTL = r.Deleted.Add(trashFor).Sub(p.now())
			if err == nil && op.TTL > 0 && p.reseal(id, &r.Key) {
				op.Value, trash[id] = encode(r), r.Key
			}
		} else {
			var r keyRecord
			err = json.Unmarshal(value, &r)
			if err == nil && p.reseal(key[strings.LastIndexByte(key, '/')+1:], &r) {
				op.Value = encode(r)
			}
		}
		if err != nil {
			return 0, fmt.Errorf("%s: %w", key, err)
		}
		if op.Value != nil {
			batch.Ops = append(batch.Ops, op)
		}
	}
	if len(batch.Ops) == 0 {
		return 0, nil
	}
	if err := p.store.Write(batch); err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, r := range trash {
		if t := p.trash[id]; t != nil {
			next := *t
			next.Key = r
			p.trash[id] = &next
		}
	}
	return len(batch.Ops), nil
}

// reseal seals what of a record is sealed, where an old key did, and tells whether. What
// no key opens is left: nothing else can be done for it.
func (p *Pool) reseal(id string, r *keyRecord) (changed bool) {
	for _, sealed := range []*[]byte{&r.Secret, &r.Proxy} {
		if current, err := p.sealer.Current(id, *sealed); err != nil || current {
			continue
		}
		if plain, err := p.sealer.Open(id, *sealed); err == nil {
			*sealed, changed = p.sealer.Seal(id, plain), true
		}
	}
	return changed
}
