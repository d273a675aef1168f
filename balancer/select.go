// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Selection names keys: those with Ids, or those that Filter finds, but for Except.
type Selection struct {
	IDs    []string
	Filter *Filter // nil for IDs
	Except []string
	// Expected is how many keys whoever selects them believes them to be; nil where
	// they do not say.
	Expected *int
}

// CountChangedError is the refusal of a selection that has another size than was
// expected: others changed the pool since it was looked at.
type CountChangedError struct{ Expected, Found int }

// Error implements error.
func (e *CountChangedError) Error() string {
	return fmt.Sprintf("the selection has %d keys, not %d", e.Found, e.Expected)
}

// Select returns the ids of the keys that are selected, once each, those of a filter
// in the order of adding. Ids need not be of a key. The error is a
// [*CountChangedError].
func (p *Pool) Select(s Selection) ([]string, error) {
	ids := s.IDs
	if s.Filter != nil {
		entries := p.find(*s.Filter).entries
		ids = make([]string, len(entries))
		for i, e := range entries {
			ids[i] = e.id
		}
	}
	return s.narrow(ids)
}

// SelectDeleted is [Pool.Select] among the deleted keys; of the filter, only the
// batch counts.
func (p *Pool) SelectDeleted(s Selection) ([]string, error) {
	ids := s.IDs
	if s.Filter != nil {
		all, _ := p.Deleted(s.Filter.Batch, 1<<30, 0)
		ids = make([]string, len(all))
		for i, k := range all {
			ids[i] = k.ID
		}
	}
	return s.narrow(ids)
}

// narrow leaves out the exceptions and repetitions.
func (s *Selection) narrow(ids []string) ([]string, error) {
	seen := make(map[string]bool, len(ids)+len(s.Except))
	for _, id := range s.Except {
		seen[id] = true
	}
	out := make([]string, 0, len(ids))
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	if s.Expected != nil && *s.Expected != len(out) {
		return nil, &CountChangedError{*s.Expected, len(out)}
	}
	return out, nil
}

// BulkAction is what is done to many keys at once.
type BulkAction string

// The bulk actions.
const (
	BulkEnable  BulkAction = "enable"  // those that do not serve are untested again
	BulkDisable BulkAction = "disable" //
	BulkReset   BulkAction = "reset"   // see [Pool.Reset]
	BulkEdit    BulkAction = "edit"    // see [Pool.Edit]
	BulkDelete  BulkAction = "delete"  // see [Pool.Delete]
	BulkRestore BulkAction = "restore" // see [Pool.Restore]
)

// Bulk does the same to many keys. told hears of each what became of it, in the
// order of ids: nil for a change, else why the key was left as it is. It may be
// called without a lock, from the goroutine that called Bulk. What was done before
// an error, the store's or ctx's, stays so.
func (p *Pool) Bulk(ctx context.Context, action BulkAction, ids []string, patch Patch, told func(id string, err error)) error {
	var do changer
	switch action {
	case BulkEnable:
		do = p.enable
	case BulkDisable:
		decide := p.decide(StateDisabled, "disabled by an operator", false)
		do = func(e *entry, now time.Time) (step, error) {
			if e.live.Load().state == StateDisabled {
				return step{}, errUnchanged
			}
			return decide(e, now)
		}
	case BulkReset:
		do = p.decide(StateUntested, resetReason, true)
	case BulkEdit:
		do = p.edit(patch)
	case BulkDelete:
		do = p.discard
	case BulkRestore:
		return p.Restore(ctx, ids, told)
	default:
		return fmt.Errorf("unknown bulk action %q", action)
	}
	return p.changeAll(ctx, ids, do, told)
}

// Unchanged reports whether an error that Bulk told is no failure: the key was as
// it should be.
func Unchanged(err error) bool { return errors.Is(err, errUnchanged) }

// enable is the changer that has a key serve that does not.
func (p *Pool) enable(e *entry, now time.Time) (step, error) {
	if e.live.Load().state.leasable() {
		return step{}, errUnchanged
	}
	return p.decide(StateUntested, "enabled by an operator", false)(e, now)
}

// TagCount is a tag and how many keys carry it.
type TagCount struct {
	Tag   string `json:"tag"`
	Count int    `json:"count"`
}

// Tags returns the tags that keys carry, by name.
func (p *Pool) Tags() []TagCount {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := []TagCount{}
	for name, b := range p.tags {
		if n := b.count(); n > 0 {
			out = append(out, TagCount{name, n})
		}
	}
	slices.SortFunc(out, func(a, b TagCount) int { return strings.Compare(a.Tag, b.Tag) })
	return out
}
