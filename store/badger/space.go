// SPDX-License-Identifier: Apache-2.0

package badger

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	db "github.com/dgraph-io/badger/v4"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// Badger writes its logs and tables through memory maps of files with holes. Where
// the disk has no page left to fill a hole with, that is no error but a signal that
// ends the process, Caddy and all its sites with it. So the store never lets it come
// to that: it looks before each batch, and takes none that could leave too little
// for what Badger does by itself after it.
const (
	// memTables is what the tables take that are in memory: three that are being
	// written, and the one in use.
	memTables = 4 * mostTable
	// mostMerged is what a merge of tables takes at most until the old ones are
	// removed: fifteen tables of the first level, and those of the next below them.
	mostMerged = 12 * mostTable
	// mostTable is a memtable as it was once: tables of that size may be there still.
	mostTable = 16 << 20
	// openSpace is what new, nearly empty logs take.
	openSpace = 4 << 20
)

// space knows what is left on the disk of a directory. The zero of its parts is
// nobody's: see newSpace.
type space struct {
	dir    string
	free   func(dir string) (bytes int64, known bool)
	tables func() int64 // size of all that are on the disk

	mu      sync.Mutex
	size    int64 // of tables, a moment ago
	checked time.Time
}

func newSpace(dir string, d *db.DB) *space {
	return &space{dir: dir, free: freeSpace, tables: func() (sum int64) {
		for _, l := range d.Levels() {
			sum += l.Size
		}
		return sum
	}}
}

// reserve is what must stay free.
func (s *space) reserve() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.checked) > time.Second {
		s.size, s.checked = s.tables(), now
	}
	return memTables + min(s.size, mostMerged)
}

// admits reports with an error that is [store.ErrFull] that a batch must not be
// written. What only removes may use half of the reserve: it makes room.
func (s *space) admits(b store.Batch) error {
	free, known := s.free(s.dir)
	if !known {
		return nil
	}
	need := s.reserve()
	if removes(b) {
		need /= 2
	}
	if free >= need {
		return nil
	}
	return fmt.Errorf("%d MiB are free on the disk of %s, and %d must stay free: %w", free>>20, s.dir, need>>20, store.ErrFull)
}

func removes(b store.Batch) bool {
	for _, op := range b.Ops {
		if op.Value != nil {
			return false
		}
	}
	return true
}

// roomToFlush reports with an error that what the logs of a directory hold cannot
// become tables, which opening and closing do.
func roomToFlush(dir string, free func(dir string) (int64, bool)) error {
	left, known := free(dir)
	if !known {
		return nil
	}
	need := int64(openSpace)
	logs, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	if err != nil {
		return err
	}
	for _, name := range logs {
		need += allocated(name)
	}
	if left < need {
		return fmt.Errorf("%d MiB are free on its disk, and %d are needed: %w", left>>20, need>>20, errMakeRoom)
	}
	return nil
}

var errMakeRoom = errors.New("make room there; nothing is lost")
