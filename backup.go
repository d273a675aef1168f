// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/admin"
	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// A restore is put beside the store and done by the next start, before anything of
// the store is read: pool, user keys and sums are in memory while a gateway serves,
// and no lock would make them those of another state between two requests.
//
// Until it is done the file stays, so a crash in the middle has the next start do it
// again from the beginning; nothing is served of a store that is half of each. What
// the store had before is kept in a file of its own first.
const (
	restoreFile = "restore.pending"
	beforeFile  = "restore.before"
)

// auditKeys stay as they are: who restores must not lose the trace of that.
func auditKeys(key string) bool { return strings.HasPrefix(key, "admin/audit/") }

// passing are pairs that no backup has.
func passing(key string) bool {
	return strings.HasPrefix(key, "admin/once/") || key == checkKey
}

// backup writes the store's state.
func (r *resource) backup(ctx context.Context, w io.Writer, kind string) error {
	dumper, ok := r.store.(store.Dumper)
	if !ok {
		return errors.New("this store cannot be backed up")
	}
	if err := errors.Join(r.pool.Flush(), r.users.Flush(), r.usage.Flush()); err != nil {
		return fmt.Errorf("writing what is in memory: %w", err)
	}
	info := store.BackupInfo{Made: time.Now().UTC(), Version: version(), Store: kind}
	return store.WriteBackup(ctx, w, dumper, info, passing)
}

// stageRestore checks a backup and puts it where the next start finds it.
func (r *resource) stageRestore(body io.Reader, dir string, dryRun bool) (admin.RestoreView, error) {
	view := admin.RestoreView{DryRun: dryRun}
	if dryRun {
		err := r.checkRestore(body, &view)
		view.Message = "The backup is whole and can be restored; nothing was changed."
		return view, err
	}
	if dir == "" {
		return view, errors.New("this store keeps nothing, so that there is no next start that could restore; use store badger")
	}
	if !r.rotating.TryLock() {
		return view, store.ErrRotating // what is staged must open with the key of the next start
	}
	defer r.rotating.Unlock()
	if r.sealer.Rotating() {
		return view, store.ErrRotating
	}
	temporary, err := os.CreateTemp(dir, restoreFile+".*")
	if err != nil {
		return view, fmt.Errorf("keeping the backup for the next start: %w", err)
	}
	defer os.Remove(temporary.Name()) // gone already where all went well
	err = r.checkRestore(io.TeeReader(body, temporary), &view)
	if err == nil {
		err = temporary.Sync()
	}
	if err = errors.Join(err, temporary.Close()); err != nil {
		return view, err
	}
	if err := os.Rename(temporary.Name(), filepath.Join(dir, restoreFile)); err != nil {
		return view, fmt.Errorf("keeping the backup for the next start: %w", err)
	}
	syncDir(dir)
	view.Applied = "next_start"
	view.Message = "The backup is whole and waits: the next start of the process puts it in place of everything but the audit log. A reload does not. DELETE /admin/restore takes it back."
	return view, nil
}

func (r *resource) checkRestore(body io.Reader, view *admin.RestoreView) error {
	info, rooms, err := store.CheckBackup(body, r.sealer, nil)
	if err != nil {
		return err
	}
	view.Made, view.Version, view.Objects = info.Made, info.Version, map[string]int{}
	for room, n := range rooms {
		view.Entries += n
		view.Objects[objectOf(room)] += n
	}
	return nil
}

// objects are the words for what rooms keep.
var objects = map[string]string{
	"balancer/key": "gemini_keys", "users/key": "user_keys", "settings/values": "settings", "settings/aliases": "settings",
	"settings/models": "settings", "admin/audit": "audit",
	"balancer": "pool_states", "users": "user_counts", "usage": "usage", "log": "requests",
	"responses": "conversations", "resources": "files",
}

func objectOf(room string) string {
	if word := objects[room]; word != "" {
		return word
	}
	first, _, _ := strings.Cut(room, "/")
	if word := objects[first]; word != "" {
		return word
	}
	return "other"
}

// cancelRestore takes back what waits for the next start.
func cancelRestore(dir string) (was bool, err error) {
	if dir == "" {
		return false, nil
	}
	err = os.Remove(filepath.Join(dir, restoreFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	syncDir(dir)
	return err == nil, err
}

// applyRestore does what stageRestore prepared. It is called before anything else
// reads the store, and may be called again after a crash at any point.
func applyRestore(db store.Store, dir string) (done bool, err error) {
	pending, before := filepath.Join(dir, restoreFile), filepath.Join(dir, beforeFile)
	file, err := os.Open(pending)
	if errors.Is(err, fs.ErrNotExist) {
		return false, keepBefore(dir, before) // a crash between the last two steps
	}
	if err != nil {
		return false, fmt.Errorf("restoring: %w", err)
	}
	defer file.Close()
	if _, _, err := store.CheckBackup(file, nil, nil); err != nil {
		return false, fmt.Errorf("restoring %s: %w; remove the file to start with the store as it is", pending, err)
	}
	if err := saveBefore(db, before); err != nil {
		return false, fmt.Errorf("keeping what the store had before a restore: %w; make room, or remove %s to start with the store as it is", err, pending)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	if err := store.Restore(db, file, time.Now(), auditKeys); err != nil {
		return false, fmt.Errorf("restoring %s: %w; the next start begins it anew", pending, err)
	}
	if err := os.Remove(pending); err != nil {
		return false, fmt.Errorf("restoring: %w", err)
	}
	syncDir(dir)
	return true, keepBefore(dir, before)
}

// saveBefore writes the store's state to a file, unless an earlier try has: by then
// the store may be half of each.
func saveBefore(db store.Store, path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	dumper, ok := db.(store.Dumper)
	if !ok {
		return errors.New("this store cannot be backed up")
	}
	temporary, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	info := store.BackupInfo{Made: time.Now().UTC(), Version: version()}
	err = store.WriteBackup(context.Background(), temporary, dumper, info, passing)
	if err == nil {
		err = temporary.Sync()
	}
	if err = errors.Join(err, temporary.Close()); err != nil {
		return errors.Join(err, os.Remove(path+".tmp"))
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	syncDir(filepath.Dir(path))
	return nil
}

// keepBefore gives the file of before a restore its lasting name.
func keepBefore(dir, path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	name := filepath.Join(dir, "before-restore-"+info.ModTime().UTC().Format("20060102T150405Z"))
	to := name + ".gbbackup"
	for n := 2; ; n++ {
		if _, err := os.Stat(to); errors.Is(err, fs.ErrNotExist) {
			return os.Rename(path, to)
		}
		to = fmt.Sprintf("%s-%d.gbbackup", name, n)
	}
}

// syncDir has a change of names survive a power cut, where the system can.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		d.Close()
	}
}
