// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

var errPoint = errors.New("the process ended here")

// failpoint is a store whose process ends at a write: before it, or just after.
type failpoint struct {
	store.Store
	left  int // writes that succeed
	after bool
}

func (f *failpoint) Write(b store.Batch) error {
	if f.left--; f.left >= 0 {
		return f.Store.Write(b)
	}
	if f.after && f.left == -1 {
		if err := f.Store.Write(b); err != nil {
			return err
		}
	}
	return errPoint
}

// TestRestore_CrashAnywhere ends the process at each write of a restore, before it or
// after: the next start repeats the restore, and then the store is what the backup
// says, whatever was there.
func TestRestore_CrashAnywhere(t *testing.T) {
	from := memory.New()
	for i := range 2 {
		var ops []store.Op
		for j := range 2500 {
			ops = append(ops, store.Op{Key: fmt.Sprintf("new/%d/%04d", i, j), Value: []byte("v")})
		}
		if err := from.Write(store.Batch{Ops: ops}); err != nil {
			t.Fatal(err)
		}
	}
	file := backupOf(t, from)
	want := all(t, from)
	points := 0
	for _, after := range []bool{false, true} {
		for left := 0; ; left++ {
			into := memory.New()
			var old []store.Op
			for j := range 2500 {
				old = append(old, store.Op{Key: fmt.Sprintf("old/%04d", j), Value: []byte("v")})
			}
			if err := into.Write(store.Batch{Ops: old}); err != nil {
				t.Fatal(err)
			}
			err := store.Restore(&failpoint{into, left, after}, bytes.NewReader(file), time.Now(), nil)
			if err == nil {
				break
			}
			if !errors.Is(err, errPoint) {
				t.Fatal(err)
			}
			points++
			if err := store.Restore(into, bytes.NewReader(file), time.Now(), nil); err != nil {
				t.Fatal(err)
			}
			if got := all(t, into); got != want {
				t.Errorf("after a crash at write %d, after it %v, and a repetition: %d bytes of pairs, want %d", left, after, len(got), len(want))
			}
		}
	}
	if points < 8 {
		t.Errorf("only %d points were tried", points)
	}
}

func all(t *testing.T, s store.Store) (pairs string) {
	t.Helper()
	var b bytes.Buffer
	if err := s.Scan("", "", func(key string, value []byte) bool {
		fmt.Fprintf(&b, "%q=%q\n", key, value)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
