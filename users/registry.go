// SPDX-License-Identifier: Apache-2.0

package users

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// defaultCacheSize is the bound of idle accounts in memory, about 900 bytes each.
const defaultCacheSize = 20_000

// Options of a Registry. The zero value is right for production.
type Options struct {
	Now       func() time.Time // nil means time.Now
	Defaults  Limits           // for limits that new keys do not set; see SetDefaults
	CacheSize int              // idle keys kept in memory; 0 means 20,000
	Zone      *time.Location   // whose midnight begins days and months; nil means UTC
	// StoreFailed is called by Run: with the store's error when counts can no longer
	// be kept, and with nil when they can again. nil for nobody to tell.
	StoreFailed func(err error)
}

// Registry holds the user keys. Opening one reads nothing of them, however many there
// are, but what a crash left in the log of counters. Safe for concurrent use.
type Registry struct {
	store    store.Store
	now      func() time.Time
	calendar calendar
	perShard int
	defaults atomic.Pointer[Limits]
	failed   func(error) // never nil
	shards   [shards]shard
	unsaved  saveList
	log      sumLog
	index    index
}

// Open makes a Registry of the keys in a store. Call Run for counters to be kept.
func Open(s store.Store, o Options) (*Registry, error) {
	r := &Registry{store: s, now: o.Now, failed: o.StoreFailed}
	r.calendar.zone = o.Zone
	if r.now == nil {
		r.now = time.Now
	}
	if r.calendar.zone == nil {
		r.calendar.zone = time.UTC
	}
	if r.failed == nil {
		r.failed = func(error) {}
	}
	if o.CacheSize <= 0 {
		o.CacheSize = defaultCacheSize
	}
	r.perShard = (o.CacheSize + shards - 1) / shards
	if err := r.SetDefaults(o.Defaults); err != nil {
		return nil, err
	}
	if err := r.replayLog(); err != nil {
		return nil, fmt.Errorf("reading the log of counters of user keys: %w", err)
	}
	return r, nil
}

// SetDefaults changes the limits that new keys get where they set none; what is
// not set here is as in [DefaultLimits]. Keys that exist keep theirs.
func (r *Registry) SetDefaults(l Limits) error {
	if err := l.validate(); err != nil {
		return fmt.Errorf("default limits: %w", err)
	}
	if l.Budget.none() {
		l.Budget = nil
	}
	l = l.withDefaults(DefaultLimits)
	r.defaults.Store(&l)
	return nil
}

// Authenticate returns the account of a credential as a client sent it, or
// [ErrUnknownKey], [ErrDisabled] or [ErrExpired]; any other error is the store's.
// What has no right checksum is refused at once; a key that was used lately needs
// neither the store nor an allocation.
func (r *Registry) Authenticate(credential string) (*Account, error) {
	if !wellFormed(credential) {
		return nil, ErrUnknownKey
	}
	id := credential[len(credentialPrefix):idEnd]
	a := r.shard(id).cached(id)
	if a == nil {
		var err error
		if a, err = r.account(id); err != nil {
			return nil, err
		}
	}
	p := a.policy.Load()
	var c [credentialSize]byte // on the stack, where a conversion would not be
	copy(c[:], credential)
	hash := sha256.Sum256(c[:])
	if subtle.ConstantTimeCompare(hash[:], p.hash[:]) != 1 &&
		(p.key.OldUntil.IsZero() || subtle.ConstantTimeCompare(hash[:], p.old[:]) != 1 || !r.now().Before(p.key.OldUntil)) {
		return nil, ErrUnknownKey
	}
	if err := p.usable(r.now); err != nil {
		return nil, err
	}
	return a, nil
}

// Account returns the account of a user key whose credential was checked before,
// by the key's public id. Its errors are those of [Registry.Authenticate].
func (r *Registry) Account(id string) (*Account, error) {
	a, err := r.account(id)
	if err != nil {
		return nil, err
	}
	if err := a.policy.Load().usable(r.now); err != nil {
		return nil, err
	}
	return a, nil
}
