// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

func backupOf(t testing.TB, s *memory.Store) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := store.WriteBackup(context.Background(), &file, s, store.BackupInfo{Made: time.Unix(1, 0), Version: "v1"}, nil); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func filled(t testing.TB) *memory.Store {
	t.Helper()
	s := memory.New()
	if _, err := store.LoadMasterKey(s, bytes.Repeat([]byte{0xff}, 32), ""); err != nil {
		t.Fatal(err)
	}
	err := s.Write(store.Batch{Ops: []store.Op{{Key: "a/b/c", Value: []byte("1")}, {Key: "b", Value: []byte("2"), TTL: time.Hour}}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestReadBackup_EveryDamage: no file with a byte changed or its end cut is taken.
func TestReadBackup_EveryDamage(t *testing.T) {
	whole := backupOf(t, filled(t))
	read := func(file []byte) error {
		_, _, err := store.CheckBackup(bytes.NewReader(file), nil, nil)
		return err
	}
	if err := read(whole); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if err := read(whole[:n]); !errors.Is(err, store.ErrBackup) {
			t.Errorf("cut after %d of %d bytes: %v", n, len(whole), err)
		}
		if n >= 12 && n < 18 {
			continue // time, flags and system of gzip's own header, which say nothing
		}
		damaged := bytes.Clone(whole)
		damaged[n] ^= 0x5a
		if err := read(damaged); !errors.Is(err, store.ErrBackup) {
			t.Errorf("byte %d changed: %v", n, err)
		}
	}
	for name, file := range map[string][]byte{
		"nothing": nil, "text": []byte("hello, this is no backup at all"), "more": append(bytes.Clone(whole), 'x'),
		"another version": append([]byte("GBSTORE\x02"), whole[8:]...), "twice": append(bytes.Clone(whole), whole...),
	} {
		if err := read(file); !errors.Is(err, store.ErrBackup) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReadBackup_Hostile: what says that it is long takes no memory for it.
func TestReadBackup_Hostile(t *testing.T) {
	for name, inner := range map[string]string{
		"header of 2^60 bytes": "\xff\xff\xff\xff\xff\xff\xff\xff\x0f",
		"key of 1 GiB":         "\x02{}\x01\x80\x80\x80\x80\x04",
		"unknown mark":         "\x02{}\x07",
		"empty key":            "\x02{}\x01\x00\x00\x00",
		"endless varint":       strings.Repeat("\xff", 100),
	} {
		var file bytes.Buffer
		file.WriteString("GBSTORE\x01")
		zip := gzip.NewWriter(&file)
		_, _ = io.WriteString(zip, inner)
		_ = zip.Close()
		if _, err := store.ReadBackup(&file, func(store.Pair) error { return nil }); !errors.Is(err, store.ErrBackup) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckBackup_MasterKey(t *testing.T) {
	file := backupOf(t, filled(t))
	for fill, want := range map[byte]error{0xff: nil, 0xfe: store.ErrOtherMasterKey} {
		sealer, err := store.NewSealer(bytes.Repeat([]byte{fill}, 32))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := store.CheckBackup(bytes.NewReader(file), sealer, nil); !errors.Is(err, want) {
			t.Errorf("key %x: %v, want %v", fill, err, want)
		}
	}
}

func TestWriteBackup_Ends(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := store.WriteBackup(ctx, io.Discard, filled(t), store.BackupInfo{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a client that left: %v", err)
	}
	if err := store.WriteBackup(context.Background(), broken{}, filled(t), store.BackupInfo{}, nil); err == nil {
		t.Error("a broken connection was not noticed")
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// FuzzReadBackup: no file makes the reader panic, or is taken unless it reads the
// same again.
func FuzzReadBackup(f *testing.F) {
	whole := backupOf(f, filled(f))
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte("GBSTORE\x01"))
	inner := func(s string) []byte {
		var file bytes.Buffer
		file.WriteString("GBSTORE\x01")
		zip := gzip.NewWriter(&file)
		_, _ = io.WriteString(zip, s)
		_ = zip.Close()
		return file.Bytes()
	}
	f.Add(inner("\x02{}\x00\x00"))
	f.Add(inner("\x02{}\x01\x01a\x01b\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if len(file) > 0 && file[0] != 'G' {
			file = inner(string(file)) // so that the inside is reached, too
		}
		var got []store.Pair
		_, err := store.ReadBackup(bytes.NewReader(file), func(p store.Pair) error { got = append(got, p); return nil })
		if err != nil {
			return
		}
		s := memory.New()
		if err := store.Restore(s, bytes.NewReader(file), time.Unix(0, 0), nil); err != nil {
			t.Fatalf("a whole backup was not restored: %v", err)
		}
		for _, p := range got {
			if value, err := s.Get(p.Key); err != nil || !bytes.Equal(value, p.Value) {
				t.Fatalf("%q is %q, %v", p.Key, value, err)
			}
		}
	})
}
