// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/store"
	badgerstore "github.com/gemini-balance/caddy-gemini-balance/store/badger"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// openAt opens what a start opens, and what the first configuration declares.
func openAt(t *testing.T, backend storeBackend) *resource {
	t.Helper()
	r, err := openResource("test", backend, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.settings, err = settings.Open(r.store, settings.Patch{}); err != nil {
		t.Fatal(err)
	}
	return r
}

func closeIt(t *testing.T, r *resource) {
	t.Helper()
	if err := r.Destruct(); err != nil {
		t.Fatal(err)
	}
}

func backupOf(t *testing.T, r *resource) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := r.backup(t.Context(), &file, "badger"); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// TestRestore: keys, users, settings and aliases are those of the backup after the
// next start, what was there before is kept in a file, and can be restored, too.
func TestRestore(t *testing.T) {
	backend := &BadgerStore{path: t.TempDir()}
	r := openAt(t, backend)
	secret := "AIzaSyCanary-of-the-backup-test-00000001"
	if _, err := r.pool.Add(t.Context(), []balancer.NewKey{{Secret: secret, Name: "first"}}); err != nil {
		t.Fatal(err)
	}
	_, user, err := r.users.Create(t.Context(), users.Spec{Name: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.settings.Update(settings.Patch{"strategy": "round_robin"}), r.aliases.Replace([]settings.Alias{{Name: "a", Targets: []string{"b"}}}, "")); err != nil {
		t.Fatal(err)
	}
	file := backupOf(t, r)
	if bytes.Contains(file, []byte("Canary")) || bytes.Contains(file, []byte(user)) {
		t.Error("the backup has a secret")
	}

	if err := r.pool.Delete(t.Context(), balancer.KeyID(secret)); err != nil {
		t.Fatal(err)
	}
	_, late, err := r.users.Create(t.Context(), users.Spec{Name: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.settings.Update(settings.Patch{"strategy": nil}); err != nil {
		t.Fatal(err)
	}
	if err := r.store.Write(store.Batch{Ops: []store.Op{{Key: "admin/audit/e/1", Value: []byte("kept")}}}); err != nil {
		t.Fatal(err)
	}
	dry, err := r.stageRestore(bytes.NewReader(file), backend.path, true)
	if err != nil || dry.Objects["gemini_keys"] != 1 || dry.Objects["user_keys"] != 1 || dry.Objects["settings"] != 2 || dry.Applied != "" {
		t.Errorf("dry run: %+v, %v", dry, err)
	}
	if _, err := os.Stat(filepath.Join(backend.path, restoreFile)); err == nil {
		t.Error("a dry run waits for the next start")
	}
	if view, err := r.stageRestore(bytes.NewReader(file), backend.path, false); err != nil || view.Applied != "next_start" {
		t.Fatalf("%+v, %v", view, err)
	}
	if _, err := r.users.Authenticate(late); err != nil {
		t.Errorf("before the next start: %v", err)
	}
	closeIt(t, r)

	r = openAt(t, backend)
	if key, ok := r.pool.Get(balancer.KeyID(secret)); !ok || key.Name != "first" || !key.Deleted.IsZero() {
		t.Errorf("the Gemini key is %+v, %v", key, ok)
	}
	if _, err := r.users.Authenticate(user); err != nil {
		t.Errorf("ann: %v", err)
	}
	if _, err := r.users.Authenticate(late); !errors.Is(err, users.ErrUnknownKey) {
		t.Errorf("bob, who came later: %v", err)
	}
	if got := r.settings.Current().Strategy; got != "round_robin" {
		t.Errorf("strategy is %s", got)
	}
	if got, _ := r.aliases.Current(); len(*got) != 1 {
		t.Errorf("aliases are %v", *got)
	}
	if got, err := r.store.Get("admin/audit/e/1"); err != nil || string(got) != "kept" {
		t.Errorf("the audit log is %q, %v", got, err)
	}
	before, err := filepath.Glob(filepath.Join(backend.path, "before-restore-*.gbbackup"))
	if err != nil || len(before) != 1 {
		t.Fatalf("what was before is in %v, %v", before, err)
	}
	back, err := os.Open(before[0])
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if _, err := r.stageRestore(back, backend.path, false); err != nil {
		t.Fatal(err)
	}
	closeIt(t, r)

	r = openAt(t, backend)
	defer closeIt(t, r)
	if _, err := r.users.Authenticate(late); err != nil {
		t.Errorf("bob, after the way back: %v", err)
	}
}

func TestRestore_Refuses(t *testing.T) {
	backend, other := &BadgerStore{path: t.TempDir()}, &BadgerStore{path: t.TempDir()}
	r, foreign := openAt(t, backend), openAt(t, other)
	defer closeIt(t, r)
	file := backupOf(t, foreign)
	closeIt(t, foreign)
	if _, err := r.stageRestore(bytes.NewReader(file), backend.path, false); !errors.Is(err, store.ErrOtherMasterKey) {
		t.Errorf("of another master key: %v", err)
	}
	whole := backupOf(t, r)
	if _, err := r.stageRestore(bytes.NewReader(whole[:len(whole)-1]), backend.path, false); !errors.Is(err, store.ErrBackup) {
		t.Errorf("cut: %v", err)
	}
	if _, err := r.stageRestore(bytes.NewReader(whole), "", false); err == nil {
		t.Error("a store without a directory took a restore")
	}
	left, err := filepath.Glob(filepath.Join(backend.path, restoreFile+"*"))
	if err != nil || len(left) > 0 {
		t.Errorf("refused files stay: %v", left)
	}
	if _, err := r.stageRestore(bytes.NewReader(whole), backend.path, false); err != nil {
		t.Fatal(err)
	}
	if was, err := cancelRestore(backend.path); !was || err != nil {
		t.Errorf("taking back: %v, %v", was, err)
	}
	if was, err := cancelRestore(backend.path); was || err != nil {
		t.Errorf("taking back what is not there: %v, %v", was, err)
	}
	memory := openAt(t, &MemoryStore{})
	defer closeIt(t, memory)
	if (&App{shared: memory}).backup() != nil {
		t.Error("a backup that nobody could open is offered")
	}
}

// dying is a store that ends the process in the middle, as a power cut does.
type dying struct {
	*badgerstore.Store
	left int
}

func (d *dying) Write(b store.Batch) error {
	if d.left--; d.left < 0 {
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			return err
		}
		_ = self.Kill()
		select {}
	}
	return d.Store.Write(b)
}

const dyingDir, dyingAfter = "GB_TEST_RESTORE_DIR", "GB_TEST_RESTORE_AFTER"

// TestRestore_Dies is the process that TestRestore_Killed kills.
func TestRestore_Dies(t *testing.T) {
	dir := os.Getenv(dyingDir)
	if dir == "" {
		t.Skip("for TestRestore_Killed")
	}
	after, err := strconv.Atoi(os.Getenv(dyingAfter))
	if err != nil {
		t.Fatal(err)
	}
	db, err := badgerstore.Open(dir, badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = applyRestore(&dying{db, after}, dir)
	t.Logf("went through: %v", err)
}

// TestRestore_Killed kills -9 a restore after each of its writes; the start after
// that has all of the backup and nothing else.
func TestRestore_Killed(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	db, err := badgerstore.Open(dir, badgerstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	fill := func(name string, n int) {
		var ops []store.Op
		for i := range n {
			ops = append(ops, store.Op{Key: fmt.Sprintf("%s/%05d", name, i), Value: []byte(name)})
		}
		if err := db.Write(store.Batch{Ops: ops, Sync: true}); err != nil {
			t.Fatal(err)
		}
	}
	fill("old", 5000)
	var file bytes.Buffer
	if err := store.WriteBackup(t.Context(), &file, db, store.BackupInfo{}, nil); err != nil {
		t.Fatal(err)
	}
	for i := range 5000 {
		if err := db.Write(store.Batch{Ops: []store.Op{{Key: fmt.Sprintf("old/%05d", i)}}}); err != nil {
			t.Fatal(err)
		}
	}
	for after := range 7 {
		fill("new", 5000)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, restoreFile), file.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRestore_Dies$") //nolint:gosec // this test
		cmd.Env = append(os.Environ(), dyingDir+"="+dir, dyingAfter+"="+strconv.Itoa(after))
		out, err := cmd.CombinedOutput()
		killed := err != nil && cmd.ProcessState.ExitCode() == -1
		if !killed && after < 6 {
			t.Fatalf("after %d writes it was not killed: %v\n%s", after, err, out)
		}
		if db, err = badgerstore.Open(dir, badgerstore.Options{}); err != nil {
			t.Fatal(err)
		}
		if _, err := applyRestore(db, dir); err != nil {
			t.Fatal(err)
		}
		n := 0
		err = db.Scan("", "", func(key string, value []byte) bool {
			n++
			if !strings.HasPrefix(key, "old/") || string(value) != "old" {
				t.Errorf("after %d writes: %q is %q", after, key, value)
			}
			return true
		})
		if err != nil || n != 5000 {
			t.Errorf("after %d writes: %d pairs, %v", after, n, err)
		}
		before, _ := filepath.Glob(filepath.Join(dir, "before-restore-*"))
		if len(before) == 0 {
			t.Errorf("after %d writes: what was before is lost", after)
		} else {
			found := map[string]bool{}
			f, err := os.Open(before[len(before)-1])
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = store.CheckBackup(f, nil, func(p store.Pair) { found[p.Key] = true })
			f.Close()
			if err != nil || !found["new/04999"] {
				t.Errorf("after %d writes: what was before is damaged: %v, %d pairs", after, err, len(found))
			}
		}
		if _, err := os.Stat(filepath.Join(dir, restoreFile)); err == nil {
			t.Errorf("after %d writes: the file is still there", after)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
