// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// sealed returns a store that knows its master key and holds one sealed value,
// with the path of the key's file.
func sealed(t *testing.T) (s store.Store, file string) {
	t.Helper()
	s, file = memory.New(), filepath.Join(t.TempDir(), "made", "master.key")
	sealer, err := store.LoadMasterKey(s, nil, file)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(store.Batch{Ops: []store.Op{{Key: "key/gk_1", Value: sealer.Seal("gk_1", []byte("AIza"))}}}); err != nil {
		t.Fatal(err)
	}
	return s, file
}

func TestMasterKeyMadeOnce(t *testing.T) {
	s, file := sealed(t)
	first, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(first))); err != nil || len(key) != 32 {
		t.Errorf("file holds %d bytes, %v; want base64 of 32", len(key), err)
	}
	if info, _ := os.Stat(file); info.Mode().Perm() != 0o600 {
		t.Errorf("file mode is %v, want 0600", info.Mode())
	}
	sealer, err := store.LoadMasterKey(s, nil, file)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(file); !bytes.Equal(first, again) {
		t.Error("the second start changed the file")
	}
	value, _ := s.Get("key/gk_1")
	if plain, err := sealer.Open("gk_1", value); err != nil || string(plain) != "AIza" {
		t.Errorf("after a restart the value opens to %q, %v", plain, err)
	}
}

func TestMasterKeyGiven(t *testing.T) {
	s, file := sealed(t)
	text, _ := os.ReadFile(file)
	raw, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	for _, c := range []struct {
		name  string
		given []byte
	}{
		{"as in the file", text},
		{"no padding", []byte(strings.TrimRight(strings.TrimSpace(string(text)), "="))},
		{"URL alphabet", []byte(base64.URLEncoding.EncodeToString(raw))},
		{"decoded", raw},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := store.LoadMasterKey(s, c.given, "/nonexistent/master.key"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMasterKeyRefuses(t *testing.T) {
	other := []byte(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)))
	short := []byte(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 16)))
	phrase := []byte("correct horse battery staple 123")
	for _, c := range []struct {
		name     string
		given    []byte
		content  []byte // of the file instead of its own; nil removes it
		mentions string
	}{
		{"missing file over data", nil, nil, "put the file back"},
		{"empty file over data", nil, []byte{}, "put the file back"},
		{"wrong key in the file", nil, other, "master.key is not the master key of this store"},
		{"wrong key given", other, nil, "master_key is not the master key of this store"},
		{"short key in the file", nil, short, "holds 16 bytes"},
		{"short key given", short, nil, "holds 16 bytes"},
		{"no base64 in the file", nil, []byte("***\n"), "not base64"},
		{"pass phrase of 32 bytes", phrase, nil, "not base64"},
		{"empty placeholder", []byte{}, nil, "it is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, file := sealed(t)
			os.Remove(file)
			if c.content != nil {
				if err := os.WriteFile(file, c.content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			sealer, err := store.LoadMasterKey(s, c.given, file)
			if sealer != nil || !errors.Is(err, store.ErrMasterKey) || !strings.Contains(err.Error(), c.mentions) {
				t.Fatalf("got %v; want an error with %q", err, c.mentions)
			}
			for _, secret := range [][]byte{c.given, c.content} {
				if len(secret) > 3 && strings.Contains(err.Error(), strings.TrimSpace(string(secret))) {
					t.Errorf("the error tells the key: %v", err)
				}
			}
			if now, err := os.ReadFile(file); err == nil && !bytes.Equal(now, c.content) || err != nil && c.content != nil {
				t.Errorf("the file was changed to %q, %v", now, err)
			}
		})
	}
}

func TestMasterKeyAfterCrash(t *testing.T) {
	t.Run("file made, store still empty", func(t *testing.T) {
		_, file := sealed(t)
		if _, err := store.LoadMasterKey(memory.New(), nil, file); err != nil {
			t.Error(err)
		}
	})
	t.Run("file made but not filled", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "master.key")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := store.LoadMasterKey(memory.New(), nil, file); err != nil {
			t.Error(err)
		}
	})
}
