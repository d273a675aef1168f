// SPDX-License-Identifier: Apache-2.0

package badger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	db "github.com/dgraph-io/badger/v4"
)

// walSync brings committed writes to the disk on demand, so that batches
// without Sync stay cheap. Callers that wait at the same time share one round.
type walSync struct {
	db  *db.DB
	dir string

	running sync.Mutex // held by the round that syncs now

	mu   sync.Mutex
	next *round // the round that has not started yet, nil when nobody waits
}

type round struct {
	done chan struct{}
	err  error
}

func newWALSync(d *db.DB, dir string) *walSync { return &walSync{db: d, dir: dir} }

// wait returns when all that was committed before the call is on disk.
func (w *walSync) wait() error {
	w.mu.Lock()
	r := w.next
	if r != nil { // has not started, so it will cover this caller's commit too
		w.mu.Unlock()
		<-r.done
		return r.err
	}
	r = &round{done: make(chan struct{})}
	w.next = r
	w.mu.Unlock()

	w.running.Lock()
	w.mu.Lock()
	w.next = nil // who comes from now on needs the next round
	w.mu.Unlock()
	r.err = w.sync()
	w.running.Unlock()
	close(r.done)
	return r.err
}

// sync flushes the write-ahead logs. Badger's own Sync flushes the log of the
// active memtable only; a commit may sit in one that was full in between and is
// not yet written as a table, so the other logs are flushed by name. One that is
// gone meanwhile has become a table, which Badger syncs before it removes the log.
func (w *walSync) sync() error {
	if err := w.db.Sync(); err != nil {
		return fmt.Errorf("syncing the store: %w", err)
	}
	logs, err := filepath.Glob(filepath.Join(w.dir, "*.mem"))
	if err != nil || len(logs) < 2 {
		return err
	}
	for _, name := range logs {
		if err := syncFile(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("syncing the store: %w", err)
		}
	}
	return nil
}

func syncFile(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
