// SPDX-License-Identifier: Apache-2.0

package users

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// DeletedFor is for how long a deleted key can be restored.
const DeletedFor = 24 * time.Hour

// goneKey sorts what was deleted first first.
func goneKey(id string, when time.Time) string {
	return fmt.Sprintf("%s%012d-%s", gonePrefix, when.Unix(), id)
}

// Purge forgets for good what was deleted longer than [DeletedFor] ago. Run does it
// every minute.
func (r *Registry) Purge(ctx context.Context) error {
	limit := r.now().Add(-DeletedFor).Unix()
	var ids []string
	err := r.store.Scan(gonePrefix, "", func(key string, _ []byte) bool {
		when, id, _ := strings.Cut(key[len(gonePrefix):], "-")
		at, err := strconv.ParseInt(when, 10, 64)
		if err == nil && at > limit {
			return false
		}
		ids = append(ids, id)
		return true
	})
	if err == nil {
		err = r.dropOldIndex()
	}
	for i := 0; err == nil && i < len(ids); i++ {
		if err = ctx.Err(); err == nil {
			err = r.purge(ids[i], limit)
		}
	}
	if err != nil {
		return fmt.Errorf("forgetting deleted user keys: %w", err)
	}
	return nil
}

// dropOldIndex removes the index that older versions kept, some of it at a time.
func (r *Registry) dropOldIndex() error {
	var b store.Batch
	err := r.store.Scan(newPrefix, "", func(key string, _ []byte) bool {
		b.Ops = append(b.Ops, store.Op{Key: key})
		return len(b.Ops) < store.MaxBatchOps/2
	})
	if err != nil || len(b.Ops) == 0 {
		return err
	}
	return r.store.Write(b)
}

func (r *Registry) purge(id string, limit int64) error {
	s := r.shard(id)
	s.change.Lock()
	defer s.change.Unlock()
	rec, value, err := r.record(id)
	if err != nil || rec.Deleted.IsZero() || rec.Deleted.Unix() > limit {
		return nil //nolint:nilerr // not there any more, restored, or unreadable: nothing that can be forgotten
	}
	err = r.store.Write(store.Batch{
		Expect: []store.Expect{{Key: keyPrefix + id, Value: value}},
		Ops:    []store.Op{{Key: keyPrefix + id}, {Key: goneKey(id, rec.Deleted)}, {Key: sumPrefix + id}, {Key: dayPrefix + id}},
		Sync:   true,
	})
	if err != nil {
		return err
	}
	s.changed(&policy{key: rec.Key, purged: true}, r.now().UnixNano())
	r.index.remove(id)
	return nil
}
