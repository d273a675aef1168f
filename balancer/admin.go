// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// Add adds keys to the store and the pool. What it reports as added is on disk;
// it takes part only then. results has one item per key, in order; a duplicate
// or a malformed key is told there and stops no other. The error is the store's,
// or ctx's: then the items without a Key were not added.
func (p *Pool) Add(ctx context.Context, keys []NewKey) ([]AddResult, error) {
	p.writeMu.Lock()
	defer p.writeMu.Unlock()
	results := make([]AddResult, len(keys))
	now := p.now()
	for start := 0; start < len(keys); {
		if err := ctx.Err(); err != nil {
			unadded(results[start:], err)
			return results, err
		}
		end, err := p.addSome(keys, results, start, now)
		if err != nil {
			err = fmt.Errorf("keeping Gemini keys: %w", err)
			unadded(results[start:], err)
			return results, err
		}
		start = end
	}
	return results, nil
}

// unadded gives err to the items that nothing else was told of.
func unadded(results []AddResult, err error) {
	for i := range results {
		if r := &results[i]; r.Err == nil && r.Key.ID == "" {
			r.Err, r.Duplicate = err, false
		}
	}
}

// addSome adds keys from start on, as many as one write takes, and returns the
// index behind them.
func (p *Pool) addSome(keys []NewKey, results []AddResult, start int, now time.Time) (int, error) {
	var ops []store.Op
	var added []int
	first := map[string]int{}
	size, i := 0, start
	for ; i < len(keys) && len(ops) < batchOps-2 && size < batchBytes; i++ {
		k, r := clean(keys[i]), &results[i]
		if r.Err = k.validate(); r.Err != nil {
			continue
		}
		id := KeyID(k.Secret)
		if _, twice := first[id]; twice {
			r.Duplicate = true
			continue
		}
		p.mu.Lock()
		have, deleted := p.byID[id], p.trash[id] != nil
		p.mu.Unlock()
		if have != nil {
			if !sameSecret(*have.secret, k.Secret) {
				r.Err = fmt.Errorf("%s: another key in the pool has the same id", id)
				continue
			}
			r.Key, r.Duplicate = have.key(), true
			continue
		}
		op := p.keyOp(id, k.Secret, newSpec(k, SourceStore, now))
		size += op.Size()
		first[id] = i
		ops, added = append(ops, op), append(added, i)
		if deleted {
			ops = append(ops, store.Op{Key: trashPrefix + id})
		}
		if k.Disabled {
			ops = append(ops, store.Op{Key: statePrefix + id, Value: encode(outOfService(now))})
		}
	}
	if len(ops) == 0 {
		return i, nil
	}
	if err := p.store.Write(store.Batch{Ops: ops, Sync: true}); err != nil {
		for _, at := range added {
			results[at] = AddResult{}
		}
		return i, err
	}
	for part := range slices.Chunk(added, atATime) {
		p.lock()
		for _, at := range part {
			results[at].Key = p.admit(clean(keys[at]), now).key()
		}
		p.serve(now)
		p.unlock()
	}
	p.lock()
	defer p.unlock()
	for j := start; j < i; j++ {
		if r := &results[j]; r.Duplicate && r.Key.ID == "" {
			r.Key = p.byID[KeyID(clean(keys[j]).Secret)].key()
		}
	}
	return i, nil
}

// atATime is how many keys are changed before others get the lock, which picks may
// need.
const atATime = 64

// admit takes a key that is in the store into the pool. Under p.mu.
func (p *Pool) admit(k NewKey, now time.Time) *entry {
	id := KeyID(k.Secret)
	delete(p.trash, id)
	if k.Disabled {
		p.orphans[id] = outOfService(now)
	}
	e := p.enlist(id, k.Secret, now)
	e.stored = newSpec(k, SourceStore, now)
	p.publish(e, now)
	return e
}

// outOfService is the state of a key that is added disabled.
func outOfService(now time.Time) *record {
	return &record{State: StateDisabled, Reason: "added out of service", Since: now}
}

// clean removes what pasting brings along.
func clean(k NewKey) NewKey {
	k.Secret, k.Name, k.Project = strings.TrimSpace(k.Secret), strings.TrimSpace(k.Name), strings.TrimSpace(k.Project)
	return k
}

func newSpec(k NewKey, source string, created time.Time) *spec {
	return &spec{
		name: k.Name, project: k.Project, proxy: k.Proxy, note: k.Note, batch: k.Batch, tags: tidy(k.Tags), models: tidy(k.Models),
		paid: k.Paid, weight: max(k.Weight, 1), weighs: k.Weight > 0, declared: source == SourceConfig, created: nanos(created),
	}
}

// tidy returns the words once each, sorted; nil for none.
func tidy(words []string) []string {
	if len(words) == 0 {
		return nil
	}
	return slices.Clip(slices.Compact(slices.Sorted(slices.Values(words))))
}

// Declare makes keys the set that the running configuration declares, in place
// of the set declared before. Nothing of it is stored but what is learnt of the
// keys' state, by id: a key that stays keeps it, one that returns gets it back.
// Malformed keys are left out; [NewKey.Check] tells them beforehand.
func (p *Pool) Declare(keys []NewKey) {
	p.writeMu.Lock()
	defer p.writeMu.Unlock()
	now := p.now()
	p.lock()
	defer p.unlock()
	declared := map[string]bool{}
	for _, k := range keys {
		k = clean(k)
		id := KeyID(k.Secret)
		if k.validate() != nil || declared[id] {
			continue
		}
		e := p.byID[id]
		if e == nil {
			e = p.enlist(id, k.Secret, now)
		}
		if !sameSecret(*e.secret, k.Secret) {
			continue
		}
		created := now
		if s := e.spec.Load(); s != nil {
			created = fromNanos(s.created)
		}
		declared[id] = true
		e.declared = newSpec(k, SourceConfig, created)
		p.publish(e, now)
	}
	for id, e := range p.byID {
		if e.declared == nil || declared[id] {
			continue
		}
		if e.declared = nil; e.stored != nil {
			p.publish(e, now)
			continue
		}
		p.orphans[id] = e.record(e.live.Load())
		if e.rest.holds() {
			p.orphanRests[id] = e.rest.record()
		}
		p.dismiss(e)
	}
	p.serve(now)
}

// Check reports what is wrong with a key, or nil. The error does not tell the
// secret.
func (k NewKey) Check() error { return clean(k).validate() }

// enlist makes an entry, untested since a time unless more is known, and gives
// it a slot. It takes part once it is published. Under p.mu.
func (p *Pool) enlist(id, secret string, since time.Time) *entry {
	e := p.blocks.entries.next(p.blocks.size)
	e.id, e.secret = p.blocks.text(id), p.blocks.secrets.next(p.blocks.size)
	*e.secret = p.blocks.text(secret)
	l := &live{state: StateUntested, since: since}
	o := p.orphans[id]
	if o != nil {
		l = o.live()
		l.state, l.reason = State(p.blocks.word(string(l.state))), p.blocks.word(l.reason)
		delete(p.orphans, id)
	}
	e.live.Store(l)
	p.counts[l.state]++
	p.byID[e.id] = e
	e.slot = p.takeSlot()
	if o != nil && p.listings[o.Listing] != nil {
		p.lists(e, p.listings[o.Listing], o.Listed)
		e.probedAt.Store(o.Listed.UnixNano())
	}
	if o != nil {
		p.recall(e, o)
	}
	e.probing.known = l.state != StateUntested
	p.reprobe(e, l.state, since)
	return e
}

// takeSlot returns a slot that nobody has. Under p.mu.
func (p *Pool) takeSlot() int {
	if n := len(p.free); n > 0 {
		slot := p.free[n-1]
		p.free = p.free[:n-1]
		return slot
	}
	slot := p.used
	p.used++
	p.top.Store(int64(p.used))
	slots := *p.slots.Load()
	if slot >= len(slots) {
		// Whole words of 64, so that no bit of a word is behind the slots.
		grown := make([]atomic.Pointer[entry], max(64, len(slots)*2))
		for i := range slots {
			grown[i].Store(slots[i].Load())
		}
		p.slots.Store(&grown)
	}
	return slot
}

// publish makes what is said of e valid. Under p.mu.
func (p *Pool) publish(e *entry, now time.Time) {
	s := e.declared
	if s == nil {
		s = e.stored
	} else if over := p.overlays[e.id]; over != nil {
		s = s.under(over)
	}
	old := e.spec.Load()
	if old != nil {
		for _, t := range old.tags {
			p.tag(t).set(e.slot, false)
		}
	}
	e.spec.Store(s)
	p.direct(e)
	for _, t := range s.tags {
		p.tag(t).set(e.slot, true)
	}
	p.paid.set(e.slot, s.paid)
	p.weighted.set(e.slot, s.weight > 1)
	p.gains.Add(1)
	(*p.slots.Load())[e.slot].Store(e)
	p.version++
	p.news.add(e.id)
	p.regroup(e, now)
	p.tier(e, now)
	p.restrict(e, old)
	p.refresh(e)
	if r := p.orphanRests[e.id]; r != nil {
		delete(p.orphanRests, e.id)
		p.restore(r, now)
	}
	p.restoreRoute(e.proxy(), now)
	for _, hash := range p.orphanHomes[e.id] {
		p.affinity.keep(hash, e.slot)
	}
	delete(p.orphanHomes, e.id)
	p.awaitProbe(e, now)
}

// dismiss takes e out of the pool. Under p.mu.
func (p *Pool) dismiss(e *entry) {
	e.gone = true
	p.refresh(e)
	if r := e.rest; r != nil {
		p.forget(r)
	}
	l := e.live.Load()
	p.lists(e, nil, time.Time{})
	for _, t := range e.spec.Load().tags {
		p.tag(t).set(e.slot, false)
	}
	p.paid.set(e.slot, false)
	p.weighted.set(e.slot, false)
	l.project.keys = slices.DeleteFunc(l.project.keys, func(k *entry) bool { return k == e })
	p.tier(e, p.now())
	p.dropIfUnused(l.project)
	(*p.slots.Load())[e.slot].Store(nil)
	p.free = append(p.free, e.slot)
	delete(p.byID, e.id)
	delete(p.restricted, e)
	p.counts[l.state]--
	p.version++
	p.news.add(e.id)
}

// restrict applies which models e may serve, where that changed. Under p.mu.
func (p *Pool) restrict(e *entry, old *spec) {
	models := e.spec.Load().models
	if len(models) > 0 {
		p.restricted[e] = struct{}{}
	} else {
		delete(p.restricted, e)
	}
	if old == nil || slices.Equal(old.models, models) {
		return // a new key was blocked where it had to be when it got its project
	}
	for _, m := range *p.models.Load() {
		p.block(m, e)
	}
}
