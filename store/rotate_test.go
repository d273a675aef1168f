// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// crashing is a store that fails from a write on, as if the process had ended there.
type crashing struct {
	*memory.Store
	left int
}

var errCrash = errors.New("crash")

func (c *crashing) Write(b store.Batch) error {
	if c.left--; c.left < 0 {
		return errCrash
	}
	return c.Store.Write(b)
}

// keyed is a store with values that are sealed as wholes, and the file of its key.
func keyed(t *testing.T, values int) (s *memory.Store, file string) {
	t.Helper()
	s, file = memory.New(), filepath.Join(t.TempDir(), "master.key")
	sealer, err := store.LoadMasterKey(s, nil, file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range values {
		key := fmt.Sprintf("room/%04d", i)
		op := store.Op{Key: key, Value: sealer.Seal(key, []byte(key))}
		if i%3 == 0 {
			op.TTL = time.Hour
		}
		if err := s.Write(store.Batch{Ops: []store.Op{op}}); err != nil {
			t.Fatal(err)
		}
	}
	return s, file
}

// rotate does all steps, of what is due.
func rotate(t *testing.T, s store.Store, sealer *store.Sealer, file string) error {
	t.Helper()
	if !sealer.Rotating() {
		if err := store.BeginRotation(s, sealer, file); err != nil {
			return err
		}
	}
	if _, err := store.Reseal(t.Context(), s, sealer); err != nil {
		return err
	}
	return store.EndRotation(s, sealer, file)
}

// opensWith reports what of a store the keys of a text open.
func opensWith(t *testing.T, s *memory.Store, text string) (opened, all int) {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := store.NewSealer(key)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Scan("", "", func(key string, value []byte) bool {
		if key == "meta/rotating" {
			return true
		}
		all++
		if _, err := sealer.Open(key, value); err == nil {
			opened++
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return opened, all
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRotate: afterwards the new key opens everything, the old one nothing, what is
// derived is as before, and values end when they did.
func TestRotate(t *testing.T) {
	const values = 1300
	s, file := keyed(t, values)
	old := read(t, file)
	sealer, err := store.LoadMasterKey(s, nil, file)
	if err != nil {
		t.Fatal(err)
	}
	derived := sealer.Derive("purpose")
	for range 2 {
		if err := rotate(t, s, sealer, file); err != nil {
			t.Fatal(err)
		}
		now := read(t, file)
		if now == old || strings.Count(now, "\n") != 1 {
			t.Errorf("the file is %q", now)
		}
		if opened, all := opensWith(t, s, old); opened != 0 {
			t.Errorf("the old key opens %d of %d", opened, all)
		}
		if opened, all := opensWith(t, s, now); opened != all || all != values+2 {
			t.Errorf("the new key opens %d of %d", opened, all)
		}
		if sealer.Rotating() {
			t.Error("the sealer keeps the old key")
		}
		again, err := store.LoadMasterKey(s, nil, file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.Derive("purpose"), derived) || !bytes.Equal(sealer.Derive("purpose"), derived) {
			t.Error("what is derived has changed")
		}
		old = now
	}
	ending := 0
	err = s.Dump(func(_ string, _ []byte, ends time.Time) bool {
		if left := time.Until(ends); left > 50*time.Minute && left <= time.Hour {
			ending++
		}
		return true
	})
	if err != nil || ending != (values+2)/3 {
		t.Errorf("%d values end, %v; want %d", ending, err, (values+2)/3)
	}
}

// TestRotate_CrashAnywhere ends the process at each write of a rotation: what was
// sealed opens at the next start, which brings it to its end.
func TestRotate_CrashAnywhere(t *testing.T) {
	for left := range 6 {
		s, file := keyed(t, 1300)
		old := read(t, file)
		sealer, err := store.LoadMasterKey(s, nil, file)
		if err != nil {
			t.Fatal(err)
		}
		crash := &crashing{s, left}
		err = rotate(t, crash, sealer, file)
		if whole := left >= 5; whole != (err == nil) || !whole && !errors.Is(err, errCrash) {
			t.Fatalf("after %d writes: %v", left, err)
		}
		next, err := store.LoadMasterKey(s, nil, file)
		if err != nil {
			t.Fatalf("after %d writes, the next start: %v", left, err)
		}
		err = s.Scan("room/", "", func(key string, value []byte) bool {
			if plain, err := next.Open(key, value); err != nil || string(plain) != key {
				t.Errorf("after %d writes %s does not open: %v", left, key, err)
			}
			return !t.Failed()
		})
		if err != nil {
			t.Fatal(err)
		}
		if next.Rotating() {
			if err := rotate(t, s, next, file); err != nil {
				t.Fatal(err)
			}
		}
		if opened, _ := opensWith(t, s, old); opened != 0 {
			t.Errorf("after %d writes and a start the old key opens %d values", left, opened)
		}
	}
}

// TestRotate_ByConfiguration: two keys in place of a file. The new one alone is refused
// until everything is sealed with it.
func TestRotate_ByConfiguration(t *testing.T) {
	s := memory.New()
	old, next := randomKey(1), randomKey(2)
	first, err := store.LoadMasterKey(s, []byte(old), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(store.Batch{Ops: []store.Op{{Key: "room/a", Value: first.Seal("room/a", []byte("a"))}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.LoadMasterKey(s, []byte(next), ""); !errors.Is(err, store.ErrMasterKey) {
		t.Errorf("another key alone: %v", err)
	}
	both, err := store.LoadMasterKey(s, []byte(next+" "+old), "")
	if err != nil || !both.Rotating() {
		t.Fatalf("both: %v", err)
	}
	if _, err := store.LoadMasterKey(s, []byte(next), ""); err == nil || !strings.Contains(err.Error(), "give the old key behind it") {
		t.Errorf("the new key too early: %v", err)
	}
	if _, err := store.LoadMasterKey(s, []byte(old), ""); !errors.Is(err, store.ErrMasterKey) {
		t.Errorf("back to the old key: %v", err)
	}
	if err := rotate(t, s, both, ""); err != nil {
		t.Fatal(err)
	}
	last, err := store.LoadMasterKey(s, []byte(next), "")
	if err != nil || last.Rotating() {
		t.Fatal(err)
	}
	if plain, err := last.Open("room/a", get(t, s, "room/a")); err != nil || string(plain) != "a" {
		t.Errorf("%q, %v", plain, err)
	}
}

// TestRotate_LeavesWhatOthersWrite: what changes while it is sealed anew stays as
// changed.
func TestRotate_LeavesWhatOthersWrite(t *testing.T) {
	s, file := keyed(t, 10)
	sealer, err := store.LoadMasterKey(s, nil, file)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.BeginRotation(s, sealer, file); err != nil {
		t.Fatal(err)
	}
	if err := store.BeginRotation(s, sealer, file); !errors.Is(err, store.ErrRotating) {
		t.Errorf("a second rotation meanwhile: %v", err)
	}
	racing := &racing{Store: s, change: func() {
		_ = s.Write(store.Batch{Ops: []store.Op{{Key: "room/0003", Value: sealer.Seal("room/0003", []byte("changed"))}, {Key: "room/0004"}}})
	}}
	n, err := store.Reseal(t.Context(), racing, sealer)
	if err != nil || n != 8 {
		t.Errorf("%d, %v", n, err)
	}
	if plain, err := sealer.Open("room/0003", get(t, s, "room/0003")); err != nil || string(plain) != "changed" {
		t.Errorf("%q, %v", plain, err)
	}
	if _, err := s.Get("room/0004"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("what was deleted is back: %v", err)
	}
}

// racing has somebody else write just before the first batch.
type racing struct {
	*memory.Store
	change func()
}

func (r *racing) Write(b store.Batch) error {
	if r.change != nil {
		r.change()
		r.change = nil
	}
	return r.Store.Write(b)
}

func get(t *testing.T, s store.Store, key string) []byte {
	t.Helper()
	value, err := s.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func randomKey(seed byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{seed, 0xff}, store.MasterKeySize/2))
}

// TestBeginRotation_OtherFile: a file that does not hold the key in use is no place for
// a new one.
func TestBeginRotation_OtherFile(t *testing.T) {
	s, file := keyed(t, 1)
	sealer, err := store.LoadMasterKey(s, nil, file)
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{randomKey(7), "junk", ""} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := store.BeginRotation(s, sealer, file); !errors.Is(err, store.ErrMasterKey) || read(t, file) != content || sealer.Rotating() {
			t.Errorf("%q: %v", content, err)
		}
	}
	left, err := filepath.Glob(file + "*")
	if err != nil || !slices.Equal(left, []string{file}) {
		t.Errorf("files %q", left)
	}
}
