// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	badgerstore "github.com/gemini-balance/caddy-gemini-balance/store/badger"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// storeBackend is a guest module in gemini_balance.stores.
type storeBackend interface {
	// kind is the word for it in the admin API.
	kind() string
	// identity tells whether two configurations mean the same store.
	identity() (string, error)
	// open opens the store; it is called once per identity.
	open() (store.Store, error)
	// masterKeyFile is where the master key is kept, "" for stores whose data
	// ends with the process.
	masterKeyFile() string
	// dir is where the admin key is kept.
	dir() string
}

// defaultDir is where everything is kept by default.
func defaultDir() string { return filepath.Join(caddy.AppDataDir(), "gemini_balance") }

// BadgerStore keeps everything in an embedded database on a local disk. One
// process at a time can use its directory.
type BadgerStore struct {
	// The directory, which is made if it is missing. Placeholders are replaced
	// when the configuration is loaded. Default: `gemini_balance` below Caddy's
	// data directory.
	Dir string `json:"dir,omitempty"`

	path string
}

// CaddyModule returns the Caddy module information.
func (*BadgerStore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gemini_balance.stores.badger", New: func() caddy.Module { return new(BadgerStore) }}
}

// Provision resolves the directory.
func (b *BadgerStore) Provision(caddy.Context) error {
	dir := defaultDir()
	if b.Dir != "" {
		var err error
		if dir, err = caddy.NewReplacer().ReplaceOrErr(b.Dir, true, true); err != nil {
			return fmt.Errorf("store directory: %w", err)
		}
	}
	path, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("store directory: %w", err)
	}
	b.path = path
	return nil
}

func (b *BadgerStore) kind() string { return "badger" }

func (b *BadgerStore) identity() (string, error) {
	path, err := withoutLinks(b.path)
	if err != nil {
		return "", fmt.Errorf("store directory: %w", err)
	}
	return "badger:" + path, nil
}

func (b *BadgerStore) open() (store.Store, error) {
	return badgerstore.Open(b.path, badgerstore.Options{})
}

func (b *BadgerStore) masterKeyFile() string { return filepath.Join(b.path, "master.key") }

func (b *BadgerStore) dir() string { return b.path }

// withoutLinks resolves symbolic links in a path of which the end may not exist
// yet, so that it has one name before and after it is made.
func withoutLinks(path string) (string, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if !os.IsNotExist(err) {
		return resolved, err
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path, nil
	}
	if parent, err = withoutLinks(parent); err != nil {
		return "", err
	}
	return filepath.Join(parent, filepath.Base(path)), nil
}

// MemoryStore keeps nothing: Gemini keys that were added, user keys and usage end
// with the process. A reload keeps them. For trying things out, and for gateways
// whose keys are all in the configuration. The generated admin key is a file all
// the same.
type MemoryStore struct{}

// CaddyModule returns the Caddy module information.
func (*MemoryStore) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gemini_balance.stores.memory", New: func() caddy.Module { return new(MemoryStore) }}
}

func (*MemoryStore) kind() string { return "memory" }

func (*MemoryStore) identity() (string, error) { return "memory", nil }

func (*MemoryStore) open() (store.Store, error) { return memory.New(), nil }

func (*MemoryStore) masterKeyFile() string { return "" }

func (*MemoryStore) dir() string { return defaultDir() }
