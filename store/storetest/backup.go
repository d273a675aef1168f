// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// Backup is the part of the suite about [store.WriteBackup] and [store.Restore].
func Backup(t *testing.T, open func(t *testing.T) store.Store) {
	t.Run("round trip", func(t *testing.T) { roundTrip(t, open) })
	t.Run("one state", func(t *testing.T) { oneState(t, open) })
	t.Run("large", func(t *testing.T) { large(t, open) })
}

func pairs(t *testing.T, s store.Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := s.(store.Dumper).Dump(func(key string, value []byte, ends time.Time) bool {
		all[key] = string(value)
		if !ends.IsZero() {
			all[key] += " until " + ends.UTC().Format(time.DateOnly)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func backup(t *testing.T, s store.Store) []byte {
	t.Helper()
	var file bytes.Buffer
	info := store.BackupInfo{Made: time.Unix(1_800_000_000, 0).UTC(), Version: "v1", Store: "test"}
	if err := store.WriteBackup(context.Background(), &file, s.(store.Dumper), info, func(key string) bool { return strings.HasPrefix(key, "skip/") }); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func roundTrip(t *testing.T, open func(t *testing.T) store.Store) {
	from := open(t)
	write(t, from, set("a", "1"), set("b", ""), set("c/\x00\xff", "binary\x00"), set("skip/x", "no"),
		store.Op{Key: "ttl", Value: []byte("v"), TTL: 48 * time.Hour})
	want := pairs(t, from)
	delete(want, "skip/x")
	file := backup(t, from)

	into := open(t)
	write(t, into, set("b", "old"), set("z", "goes"), set("keep/1", "stays"), set("keep/2", "stays"))
	keep := func(key string) bool { return strings.HasPrefix(key, "keep/") }
	for range 2 { // a repetition changes nothing
		if err := store.Restore(into, bytes.NewReader(file), time.Now(), keep); err != nil {
			t.Fatal(err)
		}
	}
	want["keep/1"], want["keep/2"] = "stays", "stays"
	if got := pairs(t, into); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	late := open(t)
	if err := store.Restore(late, bytes.NewReader(file), time.Now().Add(72*time.Hour), nil); err != nil {
		t.Fatal(err)
	}
	if _, there := pairs(t, late)["ttl"]; there {
		t.Error("what has ended since was brought back")
	}
}

// oneState: pairs that are always written together are together in every backup.
func oneState(t *testing.T, open func(t *testing.T) store.Store) {
	s := open(t)
	write(t, s, set("x", "0"), set("y", "0"))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
				v := fmt.Sprint(i)
				if err := s.Write(store.Batch{Ops: []store.Op{set("x", v), set("y", v)}}); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for range 20 {
		got := map[string]string{}
		_, _, err := store.CheckBackup(bytes.NewReader(backup(t, s)), nil, func(p store.Pair) { got[p.Key] = string(p.Value) })
		if err != nil || got["x"] != got["y"] || got["x"] == "" {
			t.Errorf("x is %q, y is %q, %v", got["x"], got["y"], err)
		}
	}
	close(stop)
	wg.Wait()
}

func large(t *testing.T, open func(t *testing.T) store.Store) {
	from, into := open(t), open(t)
	value := bytes.Repeat([]byte("v"), 900<<10)
	for i := range 5 {
		write(t, from, store.Op{Key: fmt.Sprintf("large/%d", i), Value: value})
	}
	for i := range 3 {
		var ops []store.Op
		for j := range 3000 {
			ops = append(ops, set(fmt.Sprintf("small/%d/%04d", i, j), "v"))
		}
		write(t, from, ops...)
	}
	write(t, into, set("large/0", "old"))
	if err := store.Restore(into, bytes.NewReader(backup(t, from)), time.Now(), nil); err != nil {
		t.Fatal(err)
	}
	got, want := pairs(t, into), pairs(t, from)
	if len(got) != len(want) || got["large/4"] != want["large/4"] {
		t.Errorf("%d pairs, want %d", len(got), len(want))
	}
	_, rooms, err := store.CheckBackup(bytes.NewReader(backup(t, from)), nil, nil)
	if err != nil || rooms["small/1"] != 3000 || rooms["large/0"] != 1 {
		t.Errorf("rooms %v, %v", rooms, err)
	}
	if err := store.Restore(into, bytes.NewReader(nil), time.Now(), nil); !errors.Is(err, store.ErrBackup) {
		t.Errorf("an empty file: %v", err)
	}
}
