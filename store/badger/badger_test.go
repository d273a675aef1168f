// SPDX-License-Identifier: Apache-2.0

package badger

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	db "github.com/dgraph-io/badger/v4"
	"go.uber.org/goleak"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		runChild(dir)
		return
	}
	if dir := os.Getenv(damageDir); dir != "" {
		runDamage(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func open(t testing.TB, dir string, now func() time.Time) *Store {
	t.Helper()
	s, err := Open(dir, Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Target{
		Open: func(t *testing.T, now func() time.Time) store.Store { return open(t, t.TempDir(), now) },
		Reopen: func(t *testing.T, s store.Store, now func() time.Time) store.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, s.(*Store).dir, now)
		},
	})
}

func TestOpenMakesPrivateDir(t *testing.T) {
	for _, c := range []struct {
		name string
		make os.FileMode // 0 leaves it to Open
	}{{"made", 0}, {"narrowed", 0o755}} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "deep", "store")
			if c.make != 0 {
				if err := os.MkdirAll(dir, c.make); err != nil {
					t.Fatal(err)
				}
			}
			s := open(t, dir, nil)
			defer s.Close()
			if info, _ := os.Stat(dir); info.Mode().Perm() != 0o700 {
				t.Errorf("mode %v, want 0700", info.Mode())
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	used := open(t, t.TempDir(), nil)
	defer used.Close()
	for _, c := range []struct{ name, dir, mentions string }{
		{"no dir", "", "is empty"},
		{"a file", file, "not a directory"},
		{"in use", used.dir, "is in use by another process"},
		{"another program's", otherProgram(t), "another program"},
		{"newer schema", withSchema(t, "2"), "newer version of this program (schema 2, this one knows 1)"},
		{"damaged schema", withSchema(t, "x"), "is damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Open(c.dir, Options{})
			if err == nil {
				s.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), c.mentions) {
				t.Errorf("err = %v, want one with %q", err, c.mentions)
			}
		})
	}
}

// otherProgram returns a directory with a Badger database that has no schema.
func otherProgram(t *testing.T) string {
	return rawDB(t, func(txn *db.Txn) error { return txn.Set([]byte("acme"), []byte("x")) })
}

func withSchema(t *testing.T, version string) string {
	return rawDB(t, func(txn *db.Txn) error { return txn.Set([]byte(schemaKey), []byte(version)) })
}

func rawDB(t *testing.T, fill func(*db.Txn) error) string {
	t.Helper()
	dir := t.TempDir()
	d, err := openDB(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Update(fill); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMigrate(t *testing.T) {
	d, err := openDB(withSchema(t, "1"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var ran []int
	step := func(n int) migration {
		return func(*db.DB) error { ran = append(ran, n); return nil }
	}
	if err := migrate(d, 4, map[int]migration{1: step(1), 2: step(2)}); err == nil || !strings.Contains(err.Error(), "schema 3 is too old") {
		t.Errorf("a missing step: %v", err)
	}
	if err := migrate(d, 4, map[int]migration{1: step(1), 2: step(2), 3: step(3)}); err != nil {
		t.Error(err)
	}
	if err := migrate(d, 4, nil); err != nil {
		t.Errorf("a store that is up to date: %v", err)
	}
	if len(ran) != 3 || ran[0] != 1 || ran[1] != 2 || ran[2] != 3 {
		t.Errorf("steps ran: %v, want each once, in order", ran)
	}
}

// TestOpenAfterDamagedTail copies the files of a running store, as a crash
// leaves them, damages the end of the log and opens the copy.
func TestOpenAfterDamagedTail(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	defer s.Close()
	for _, key := range []string{"a", "b", "c"} {
		if err := s.Write(store.Batch{Ops: []store.Op{{Key: key, Value: []byte("value of " + key)}}, Sync: true}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name   string
		damage func(log []byte) []byte
		lost   bool // the last record may be
	}{
		{"as it is", func(log []byte) []byte { return log }, false},
		{"cut after the records", func(log []byte) []byte { return log[:records(log)] }, false},
		{"cut in the last record", func(log []byte) []byte { return log[:records(log)-3] }, true},
		{"noise in the last record", func(log []byte) []byte { log[records(log)-6] ^= 0x55; return log }, true},
		{"noise after the records", func(log []byte) []byte { copy(log[records(log):], "\x07\x07\x07\x07\x07"); return log }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if out, err := exec.Command("cp", "-a", s.dir+"/.", dir).CombinedOutput(); err != nil {
				t.Fatalf("cp: %s", out)
			}
			logs, _ := filepath.Glob(filepath.Join(dir, "*.mem"))
			log, err := os.ReadFile(logs[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(logs[0], c.damage(log), 0o600); err != nil {
				t.Fatal(err)
			}
			copied := open(t, dir, nil)
			defer copied.Close()
			for _, key := range []string{"a", "b", "c"} {
				value, err := copied.Get(key)
				if string(value) != "value of "+key && !(c.lost && key == "c") {
					t.Errorf("%s = %q, %v", key, value, err)
				}
			}
		})
	}
}

// TestOpenWithEmptyLogs is about a crash between the making of a log file and
// the first byte in it.
func TestOpenWithEmptyLogs(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	if err := s.Write(store.Batch{Ops: []store.Op{{Key: "a", Value: []byte("1")}}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"00098.mem", "00099.mem", "000099.vlog"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, s.dir, nil)
	defer s.Close()
	if value, err := s.Get("a"); err != nil || string(value) != "1" {
		t.Errorf("Get = %q, %v", value, err)
	}
}

// records is the length of a log without the zeros that fill the file.
func records(log []byte) int {
	n := len(log)
	for n > 0 && log[n-1] == 0 {
		n--
	}
	return n
}

func TestClose_DiskTakesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := open(t, dir, nil)
	if err := s.Write(store.Batch{Ops: []store.Op{{Key: "k", Value: []byte("v")}}, Sync: true}); err != nil {
		t.Fatal(err)
	}
	gone := dir + "-gone"
	if err := os.Rename(dir, gone); err != nil {
		t.Fatal(err)
	}
	s.closeWait = 10 * time.Millisecond
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("closing without a disk: %v, want an error that names %s", err, dir)
	}
	if err := os.Rename(gone, dir); err != nil {
		t.Fatal(err)
	}
	_ = s.db.Close() // waits until Badger, which has its disk again, is done
	again := open(t, dir, nil)
	if v, err := again.Get("k"); err != nil || string(v) != "v" {
		t.Errorf("after the disk came back k is %q, %v", v, err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// TestOpen_LargerLog: an older version had larger memtables, and was killed. Badger would
// end the process over what it left in their log.
func TestOpen_LargerLog(t *testing.T) {
	dir := t.TempDir()
	old, err := db.Open(options(dir, mostTable))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := migrate(old, schemaVersion, migrations); err != nil {
		t.Fatal(err)
	}
	const pairs = 130
	for i := range pairs {
		err := old.Update(func(txn *db.Txn) error {
			return txn.Set(dataKey(fmt.Sprintf("%03d", i)), bytes.Repeat([]byte{byte(i)}, 100<<10))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	left := filepath.Join(t.TempDir(), "left")
	if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s, err := Open(left, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n := 0
	err = s.Scan("", "", func(key string, value []byte) bool {
		if key != fmt.Sprintf("%03d", n) || len(value) != 100<<10 || value[7] != byte(n) {
			t.Errorf("%q has %d bytes", key, len(value))
		}
		n++
		return true
	})
	if err != nil || n != pairs {
		t.Errorf("%d of %d pairs, %v", n, pairs, err)
	}
}
