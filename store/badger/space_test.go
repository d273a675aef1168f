// SPDX-License-Identifier: Apache-2.0

package badger

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// TestFull: a disk that fills up costs writes, with an error that says so, and
// nothing else; what makes room goes on longer; and it recovers by itself.
func TestFull(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	free := int64(1 << 40)
	s.space.free = func(string) (int64, bool) { return free, true }
	put := store.Batch{Ops: []store.Op{{Key: "a", Value: []byte("1")}}, Sync: true}
	remove := store.Batch{Ops: []store.Op{{Key: "b"}}}
	if err := s.Write(put); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		free          int64
		puts, removes bool
	}{
		{s.space.reserve(), true, true},
		{s.space.reserve() - 1, false, true},
		{s.space.reserve() / 2, false, true},
		{s.space.reserve()/2 - 1, false, false},
		{0, false, false},
		{1 << 40, true, true},
	} {
		free = c.free
		if err := s.Write(put); (err == nil) != c.puts || err != nil && !errors.Is(err, store.ErrFull) {
			t.Errorf("with %d bytes free, setting a key: %v", c.free, err)
		}
		if err := s.Write(remove); (err == nil) != c.removes || err != nil && !errors.Is(err, store.ErrFull) {
			t.Errorf("with %d bytes free, removing a key: %v", c.free, err)
		}
		if v, err := s.Get("a"); string(v) != "1" || err != nil {
			t.Errorf("with %d bytes free, reading: %q, %v", c.free, v, err)
		}
	}
	free = 0
	err := s.Write(put)
	if text := err.Error(); !strings.Contains(text, s.dir) || !strings.Contains(text, "MiB") {
		t.Errorf("the error does not help: %v", err)
	}
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "make room") {
		t.Errorf("closing on a full disk: %v", err)
	}
	if err := s.db.Close(); err != nil { // what Close did not dare
		t.Fatal(err)
	}
}

// TestFull_Reserve: what must stay free grows with the tables, to a bound.
func TestFull_Reserve(t *testing.T) {
	for _, c := range []struct{ tables, want int64 }{
		{0, memTables}, {10 << 20, memTables + 10<<20}, {1 << 40, memTables + mostMerged},
	} {
		s := &space{tables: func() int64 { return c.tables }}
		if got := s.reserve(); got != c.want {
			t.Errorf("%d bytes of tables: %d must stay free, want %d", c.tables, got, c.want)
		}
	}
}

// TestFull_Open: what cannot be opened without the disk's end is not tried.
func TestFull_Open(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "00001.mem"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for free, fits := range map[int64]bool{openSpace + 2<<20: true, openSpace + 1<<19: false, 0: false} {
		err := roomToFlush(dir, func(string) (int64, bool) { return free, true })
		if (err == nil) != fits || err != nil && !strings.Contains(err.Error(), "make room") {
			t.Errorf("with %d bytes free: %v", free, err)
		}
	}
	if err := roomToFlush(dir, func(string) (int64, bool) { return 0, false }); err != nil {
		t.Errorf("where nobody knows: %v", err)
	}
}
