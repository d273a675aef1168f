// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// What the pool keeps in the store.
const (
	keyPrefix     = "balancer/key/"    // <id> → keyRecord
	statePrefix   = "balancer/state/"  // <id> → record
	listingPrefix = "balancer/models/" // <id> → listingRecord
)

const flushEvery = 400 * time.Millisecond // with the write, 500 ms at most

// keyRecord is a key of SourceStore.
type keyRecord struct {
	Secret  []byte    `json:"secret"` // sealed with the id
	Name    string    `json:"name,omitempty"`
	Project string    `json:"project,omitempty"`
	Proxy   []byte    `json:"proxy,omitempty"` // sealed with the id: it may hold a password
	Tags    []string  `json:"tags,omitempty"`
	Paid    bool      `json:"paid,omitempty"`
	Weight  int       `json:"weight,omitempty"` // 0 for 1
	Note    string    `json:"note,omitempty"`
	Models  []string  `json:"allowed,omitempty"` // globs; none for all
	Batch   string    `json:"batch,omitempty"`
	Created time.Time `json:"created"`
}

// record is what was learnt of a key, of either source.
type record struct {
	State    State     `json:"state"`
	Reason   string    `json:"reason,omitempty"`
	Since    time.Time `json:"since"`
	Consumer string    `json:"consumer,omitempty"`
	Kin      string    `json:"kin,omitempty"`
	KinAt    time.Time `json:"kin_at,omitzero"`
	Listing  string    `json:"models,omitempty"` // id of a listingRecord
	Listed   time.Time `json:"models_at,omitzero"`
	Probed   time.Time `json:"probed_at,omitzero"`
	Used     int64     `json:"used,omitempty"` // Unix s, of the last lease
	History  []change  `json:"history,omitempty"`
}

func (p *Pool) keyOp(id, secret string, s *spec) store.Op {
	return store.Op{Key: keyPrefix + id, Value: encode(p.keyRecord(id, secret, s))}
}

// keyRecord is what the store keeps of a key.
func (p *Pool) keyRecord(id, secret string, s *spec) keyRecord {
	r := keyRecord{
		Secret: p.sealer.Seal(id, []byte(secret)), Name: s.name, Project: s.project, Tags: s.tags, Paid: s.paid,
		Weight: s.weight, Note: s.note, Models: s.models, Batch: s.batch, Created: fromNanos(s.created),
	}
	if s.proxy != "" {
		r.Proxy = p.sealer.Seal(id, []byte(s.proxy))
	}
	return r
}

// open is the way back from keyRecord.
func (r *keyRecord) open(p *Pool, id string) (secret string, s *spec, err error) {
	plain, err := p.sealer.Open(id, r.Secret)
	var proxy []byte
	if err == nil && len(r.Proxy) > 0 {
		proxy, err = p.sealer.Open(id, r.Proxy)
	}
	if err != nil {
		return "", nil, err
	}
	return string(plain), &spec{
		name: r.Name, project: r.Project, proxy: string(proxy), note: r.Note, batch: r.Batch, tags: tidy(r.Tags), models: tidy(r.Models),
		paid: r.Paid, weight: max(r.Weight, 1), weighs: r.Weight > 0, created: nanos(r.Created),
	}, nil
}

func (e *entry) stateOp(l *live) store.Op {
	return store.Op{Key: statePrefix + e.id, Value: encode(e.record(l))}
}

// stateOpWith is stateOp of a moment later. Under Pool.mu.
func (e *entry) stateOpWith(l *live, next event) store.Op {
	r := e.record(l)
	r.History = append(r.History, next.change())
	return store.Op{Key: statePrefix + e.id, Value: encode(r)}
}

// record is what the store keeps of e in the state l. Under Pool.mu.
func (e *entry) record(l *live) *record {
	r := &record{
		State: l.state, Reason: l.reason, Since: l.since, Consumer: l.consumer, Kin: l.kin, KinAt: l.kinAt,
		Probed: fromNanos(e.probedAt.Load()), Used: int64(e.lastUsed.Load()), History: e.history.changes(),
	}
	if e.listing != nil {
		r.Listing, r.Listed = e.listing.id, e.listedAt
	}
	return r
}

func (r *record) live() *live {
	l := &live{state: r.State, reason: r.Reason, since: r.Since, consumer: r.Consumer, kin: r.Kin, kinAt: r.KinAt}
	if !l.state.valid() { // of a later release
		l.state = StateUntested
	}
	return l
}

// encode cannot fail: records hold only what JSON knows.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// markKey puts e among what Flush writes. Under p.mu.
func (p *Pool) markKey(e *entry) {
	if !e.dirty && !e.gone {
		e.dirty = true
		p.dirtyKeys = append(p.dirtyKeys, e)
	}
}

// hurry makes Run write at once and to the disk. It never blocks.
func (p *Pool) hurry() {
	p.durable.Store(true)
	select {
	case p.urgent <- struct{}{}:
	default:
	}
}

// Flush writes what was learnt since the last one. What could not be written
// stays for the next.
func (p *Pool) Flush() error {
	return errors.Join(p.flushState(), p.flushBooks(), p.flushSpending())
}

// flushState writes what was learnt of keys, and rests.
func (p *Pool) flushState() error {
	p.writeMu.Lock()
	defer p.writeMu.Unlock()
	sync := p.durable.Swap(false)
	for {
		ops, keys, rests := p.takeDirty()
		if len(keys)+len(rests) == 0 {
			return nil
		}
		if err := p.store.Write(store.Batch{Ops: ops, Sync: sync}); err != nil {
			p.putBack(keys, rests)
			if sync {
				p.durable.Store(true)
			}
			return fmt.Errorf("keeping what was learnt of the Gemini keys: %w", err)
		}
	}
}

// takeDirty takes as much as one write holds.
func (p *Pool) takeDirty() (ops []store.Op, keys []*entry, rests []*rest) {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	var b batch
	n := 0
	for ; n < len(p.dirtyKeys) && !b.full(); n++ {
		e := p.dirtyKeys[n]
		e.dirty = false
		// A key that left the configuration keeps its state, a deleted one does not.
		if !e.gone || p.orphans[e.id] != nil {
			b.add(p.takeListing(e)...)
			b.add(e.stateOp(e.live.Load()))
		}
	}
	keys, p.dirtyKeys = slices.Clone(p.dirtyKeys[:n]), slices.Delete(p.dirtyKeys, 0, n)
	for n = 0; n < len(p.dirtyRests) && !b.full(); n++ {
		r := p.dirtyRests[n]
		r.dirty = false
		b.add(p.restOp(r, now))
	}
	rests, p.dirtyRests = slices.Clone(p.dirtyRests[:n]), slices.Delete(p.dirtyRests, 0, n)
	return b.ops, keys, rests
}

// putBack marks what was not written.
func (p *Pool) putBack(keys []*entry, rests []*rest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range keys {
		if e.listing != nil {
			e.listing.saved = false
		}
		if !e.dirty { // also one that is gone: see takeDirty
			e.dirty = true
			p.dirtyKeys = append(p.dirtyKeys, e)
		}
	}
	later := p.dirtyRests
	p.dirtyRests = nil
	for _, r := range rests {
		if !r.dirty {
			p.markRest(r)
		}
	}
	// In the order of marking: a forgotten rest goes before its successor.
	p.dirtyRests = append(slices.DeleteFunc(p.dirtyRests, func(r *rest) bool { return slices.Contains(later, r) }), later...)
}

// load reads the store. A damaged record of what Google tells again is dropped; one
// of a key or its state is an error, because it may be an operator's word.
func (p *Pool) load() error {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blocks.size = blockSize
	defer func() { p.blocks = blocks{} }()
	var failed error
	var damaged []store.Op
	err := p.store.Scan(listingPrefix, "", func(key string, value []byte) bool {
		var r listingRecord
		if json.Unmarshal(value, &r) != nil {
			damaged = append(damaged, store.Op{Key: key})
			return true
		}
		id := strings.TrimPrefix(key, listingPrefix)
		p.listings[id] = &listing{id: id, names: r.Models, since: r.Since, saved: true}
		return true
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	err = store.ScanDecoded(p.store, statePrefix, 0, func(_ string, value []byte) (*record, error) {
		r := new(record)
		return r, json.Unmarshal(value, r)
	}, func(s store.Decoded[*record]) bool {
		if s.Err != nil {
			failed = fmt.Errorf("%s%s: %w", statePrefix, s.Key, s.Err)
			return false
		}
		p.orphans[s.Key] = s.Value
		return true
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	if err := errors.Join(p.loadOverlays(), p.loadTrash(now)); err != nil {
		return err
	}
	if err := p.loadKeys(now); err != nil {
		return err
	}
	err = p.store.Scan(restPrefix, "", func(key string, value []byte) bool {
		var r restRecord
		if json.Unmarshal(value, &r) != nil {
			damaged = append(damaged, store.Op{Key: key})
			return true
		}
		p.restore(&r, now)
		return true
	})
	for proxy := range p.ways {
		p.restoreRoute(proxy, now)
	}
	p.dirtyRests = slices.DeleteFunc(p.dirtyRests, func(r *rest) bool {
		r.dirty = r.since.Equal(now) // see setBack; the others are in the store as they are
		return !r.dirty
	})
	return errors.Join(err, failed, p.loadBooks(now), p.dropDamaged(damaged))
}

// loadKeys reads the keys of SourceStore, in the order of adding.
func (p *Pool) loadKeys(now time.Time) error {
	type loaded struct {
		id     string
		secret string
		spec   *spec
	}
	var all []loaded
	var failed error
	err := store.ScanDecoded(p.store, keyPrefix, 0, func(id string, value []byte) (k loaded, err error) {
		var r keyRecord
		if err = json.Unmarshal(value, &r); err == nil {
			k.id = id
			k.secret, k.spec, err = r.open(p, id)
		}
		return k, err
	}, func(k store.Decoded[loaded]) bool {
		if k.Err != nil {
			failed = fmt.Errorf("%s: %w; restore the master key that the store was made with, or the store from a backup", k.Key, k.Err)
			return false
		}
		all = append(all, k.Value)
		return true
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b loaded) int { return cmp.Compare(a.spec.created, b.spec.created) })
	for _, k := range all {
		e := p.enlist(k.id, k.secret, fromNanos(k.spec.created))
		e.stored = p.blocks.specs.next(p.blocks.size)
		*e.stored = *k.spec
		p.publish(e, now)
	}
	if len(p.orphans) == 0 {
		p.orphans = map[string]*record{} // an emptied map keeps its size
	}
	return nil
}
