// SPDX-License-Identifier: Apache-2.0

// Package badger is the default store: an embedded LSM tree on local disk. It
// is the only package that knows the database.
//
//	data    "d" + key   the pairs of the store interface
//	schema  "m/schema"  decimal version of the layout, see schema.go
//
// A value with a TTL is preceded by its expiry, 8 bytes of Unix nanoseconds,
// and marked in Badger's user meta byte: Badger's own expiry has whole seconds
// and is used, rounded up, only to reclaim the space.
package badger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	db "github.com/dgraph-io/badger/v4"
	badgeroptions "github.com/dgraph-io/badger/v4/options"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// Sizes that keep an idle store small. What they bound: Badger takes a batch of
// 15 % of a memtable, and reads of what is not in a memtable go through the
// block cache.
const (
	memTableSize   = 8 << 20
	valueLogSize   = 64 << 20
	blockCacheSize = 16 << 20
	indexCacheSize = 8 << 20
)

// gcEvery is the pause between two collections of the value log, gcDiscard the
// share of a file that must be stale before it is rewritten.
const (
	gcEvery   = 5 * time.Minute
	gcDiscard = 0.5
)

// Options are what a caller may choose. The zero value is right for production.
type Options struct {
	// Now is the clock by which TTLs run out; nil means time.Now.
	Now func() time.Time
}

// Store is a [store.Store] on Badger. Use [Open] to make one.
type Store struct {
	dir string
	now func() time.Time
	db  *db.DB
	wal *walSync

	space *space

	mu     sync.RWMutex
	closed bool
	calls  sync.WaitGroup // those that use db now; added to only under mu
	stopGC chan struct{}
	gcDone chan struct{}

	closeWait time.Duration
}

var _ store.Store = (*Store)(nil)

// Open opens the store in dir, which is made (0700) if it is missing. A store
// that a crash left behind opens as it is. Open fails when another process has
// the directory, and when a newer version of this program wrote it.
func Open(dir string, o Options) (*Store, error) {
	if dir == "" {
		return nil, errors.New("store directory is empty")
	}
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("store directory: %w", err)
	}
	if err := roomToFlush(dir, freeSpace); err != nil {
		return nil, fmt.Errorf("opening store directory %s: %w", dir, err)
	}
	d, err := openDB(dir)
	if err != nil {
		return nil, err
	}
	if err := migrate(d, schemaVersion, migrations); err != nil {
		d.Close()
		return nil, fmt.Errorf("store directory %s: %w", dir, err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{
		closeWait: closeWait,
		dir:       dir, now: o.Now, db: d, wal: newWALSync(d, dir), space: newSpace(dir, d),
		stopGC: make(chan struct{}), gcDone: make(chan struct{}),
	}
	go s.collect()
	return s, nil
}

// makeDir makes the directory for the owner only. Badger's files are readable
// by all within it, so an existing one is narrowed too; where the file system
// knows no modes, that fails and is no reason not to start.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		_ = os.Chmod(dir, 0o700)
	}
	return nil
}

// openDB opens Badger. It turns the lock error into a sentence, and a panic on
// a damaged file into an error.
func openDB(dir string) (d *db.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			d, err = nil, fmt.Errorf("store directory %s is damaged: %v", dir, p)
		}
	}()
	if err := removeEmptyLogs(dir); err != nil {
		return nil, fmt.Errorf("opening store directory %s: %w", dir, err)
	}
	// Badger ends the process where a log is larger than its memtable, and those of an
	// older version were: what one left behind becomes a table first.
	if largeLog(dir) {
		d, err := db.Open(options(dir, mostTable))
		if err == nil {
			err = d.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("opening store directory %s: %w", dir, err)
		}
	}
	d, err = db.Open(options(dir, memTableSize))
	if err == nil {
		return d, nil
	}
	if errors.Is(err, syscall.EAGAIN) || strings.Contains(err.Error(), "directory lock") {
		return nil, fmt.Errorf("store directory %s is in use by another process: "+
			"stop that one, or give this one a directory of its own", dir)
	}
	return nil, fmt.Errorf("opening store directory %s: %w", dir, err)
}

// largeLog reports whether there is a log of what was in a larger memtable. Badger makes
// them twice as large as that.
func largeLog(dir string) bool {
	logs, _ := filepath.Glob(filepath.Join(dir, "*.mem")) // a pattern without a fault
	return slices.ContainsFunc(logs, func(name string) bool {
		info, err := os.Stat(name)
		return err == nil && info.Size() > 2*memTableSize
	})
}

func options(dir string, memTable int64) db.Options {
	return db.DefaultOptions(dir).
		WithLogger(nil).
		WithMetricsEnabled(false).
		// Off by default; a block is checked once per stay in the cache.
		WithChecksumVerificationMode(badgeroptions.OnBlockRead).
		WithVerifyValueChecksum(true).
		WithMemTableSize(memTable).
		WithNumMemtables(3).
		WithValueLogFileSize(valueLogSize).
		WithBlockCacheSize(blockCacheSize).
		WithIndexCacheSize(indexCacheSize).
		WithNumCompactors(2).
		WithNumGoroutines(2)
}

// enter registers a call, so that Close waits for it. It holds no lock while
// the call runs, so calls may nest (a Get within a Scan).
func (s *Store) enter() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return store.ErrClosed
	}
	s.calls.Add(1)
	return nil
}

// closeWait bounds what Close waits for the disk. Badger writes its table of what is
// new when it closes, and tries that for ever where it cannot: a full disk must not
// keep Caddy from ending. Nothing is lost by leaving: the log has what was written.
const closeWait = 30 * time.Second

// Close implements [store.Store]. It waits for the calls that still run, so it
// must not be called within one. Where the disk takes nothing any more, it gives up
// after closeWait; the directory stays locked then until the process ends.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return store.ErrClosed
	}
	s.closed = true
	s.mu.Unlock()
	close(s.stopGC)
	<-s.gcDone
	s.calls.Wait()
	if err := roomToFlush(s.dir, s.space.free); err != nil {
		return s.noRoom()
	}
	closed := make(chan error, 1)
	go func() { closed <- s.db.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			return fmt.Errorf("closing store directory %s: %w", s.dir, err)
		}
		return nil
	case <-time.After(s.closeWait):
		return s.noRoom()
	}
}

func (s *Store) noRoom() error {
	return fmt.Errorf("closing store directory %s: its disk takes nothing any more: make room there; "+
		"the next start reads from the log what was written", s.dir)
}

// collect rewrites value log files that are mostly stale, until Close.
func (s *Store) collect() {
	defer close(s.gcDone)
	tick := time.NewTicker(gcEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stopGC:
			return
		case <-tick.C:
		}
		for s.db.RunValueLogGC(gcDiscard) == nil {
			select {
			case <-s.stopGC:
				return
			default:
			}
		}
	}
}
