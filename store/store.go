// SPDX-License-Identifier: Apache-2.0

// Package store is persistence behind one small interface: an ordered map from
// string keys to values with atomic batches. What the keys mean belongs to the
// rooms that use it (balancer, users, usage), each under a prefix of its own.
//
// Implementations: store/badger (the default), store/memory (tests, anonymous
// demos). storetest has the suite that each must pass.
package store

import (
	"errors"
	"fmt"
	"time"
)

// ErrNotFound is returned by Get for a key that is absent or expired.
var ErrNotFound = errors.New("not found")

// ErrClosed is returned by every method after Close.
var ErrClosed = errors.New("store is closed")

// ErrConflict is returned by Write when an Expect does not hold; nothing was
// written.
var ErrConflict = errors.New("changed by someone else")

// ErrTooLarge is returned by Write for a batch of more than [MaxBatchOps] ops or
// [MaxBatchBytes] bytes of keys and values; nothing was written, and the caller
// splits it. Every store draws the line there, so that what one takes all take.
var ErrTooLarge = errors.New("batch is too large")

// ErrFull is returned by Write while the store's disk is too full to take anything;
// nothing was written. What is written may be tried again once there is room.
var ErrFull = errors.New("the disk is full")

// What every store takes in one batch. Badger sets the measure: it takes 15 % of a
// memtable, and a large memtable takes eight times its size for a moment whenever it
// becomes a table.
const (
	MaxBatchOps   = 5_000
	MaxBatchBytes = 1<<20 + 1<<16
)

// Store is an ordered map. All methods are safe for concurrent use. Values
// handed in and out belong to the caller.
type Store interface {
	// Get returns the value under key, or ErrNotFound.
	Get(key string) ([]byte, error)
	// Scan calls fn for each pair whose key has the prefix and is > after, in
	// byte order, until fn returns false. It sees one consistent state. fn must
	// not call the Store's Write.
	Scan(prefix, after string, fn func(key string, value []byte) bool) error
	// Write applies a batch as a whole or not at all.
	Write(b Batch) error
	// Close releases everything. Further calls return ErrClosed.
	Close() error
}

// Batch is a set of changes that are applied together.
type Batch struct {
	Expect []Expect // conditions checked in the same transaction
	Ops    []Op
	Sync   bool // on disk before Write returns: for admin objects
}

// Check returns an error that is [ErrTooLarge] for a batch that no store takes.
// Stores call it; nobody else need.
func (b Batch) Check() error {
	size := 0
	for _, op := range b.Ops {
		size += op.Size()
	}
	if len(b.Ops) > MaxBatchOps || size > MaxBatchBytes {
		return fmt.Errorf("%d changes of %d bytes in one batch: %w", len(b.Ops), size, ErrTooLarge)
	}
	return nil
}

// Size is what the op counts for in [MaxBatchBytes].
func (op Op) Size() int { return len(op.Key) + len(op.Value) }

// Op sets a key, or deletes it when Value is nil. TTL 0 means for ever.
type Op struct {
	Key   string
	Value []byte
	TTL   time.Duration
}

// Expect demands that Key holds Value, or that it is absent when Value is nil.
type Expect struct {
	Key   string
	Value []byte
}
