// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/admin"
	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// addKey adds a Gemini key at run time.
func addKey(t *testing.T, a *App, secret string) {
	t.Helper()
	results, err := a.shared.pool.Add(context.Background(), []balancer.NewKey{{Secret: secret}})
	if err == nil {
		err = results[0].Err
	}
	must(t, err)
}

// TestMasterKey_ReplacedByReload: two keys in the configuration have everything sealed
// with the first in the background; then it does alone.
func TestMasterKey_ReplacedByReload(t *testing.T) {
	t.Setenv("GB_TEST_M1", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	t.Setenv("GB_TEST_M2", "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	dir := t.TempDir()
	config := func(keys string) string {
		return `{"store": {"backend": "badger", "dir": ` + quoted(dir) + `}, ` + keys + `}`
	}
	a := mustProvision(t, config(`"master_key": "{env.GB_TEST_M1}"`))
	must(t, a.Start())
	addKey(t, a, "a-key-that-was-sealed-with-the-old-one")
	if a.rotation() != nil {
		t.Error("a key of the configuration can be replaced by the admin API")
	}
	b := mustProvision(t, config(`"master_key": "{env.GB_TEST_M2}", "old_master_keys": ["{env.GB_TEST_M1}"]`))
	must(t, b.Start())
	must(t, a.Cleanup())
	addKey(t, b, "a-key-that-came-while-it-is-replaced")
	early := mustProvision(t, config(`"master_key": "{env.GB_TEST_M2}"`))
	if err := early.Start(); err == nil && b.shared.sealer.Rotating() {
		t.Error("the old key was left out too early")
	}
	must(t, early.Cleanup())
	for b.shared.sealer.Rotating() {
		time.Sleep(10 * time.Millisecond)
	}
	must(t, b.Cleanup())
	old := mustProvision(t, config(`"master_key": "{env.GB_TEST_M1}"`))
	checkError(t, old.Start(), "master key")
	must(t, old.Cleanup())
	c := mustProvision(t, config(`"master_key": "{env.GB_TEST_M2}"`))
	must(t, c.Start())
	if n := c.shared.pool.Stats().Keys; n != 2 {
		t.Errorf("%d keys, want 2", n)
	}
	must(t, c.Cleanup())
	_, alone := provision(t, config(`"old_master_keys": ["{env.GB_TEST_M1}"]`))
	checkError(t, alone, "without a master_key")
}

// TestMasterKey_RestoreWaits: what waits for the next start must open then.
func TestMasterKey_RestoreWaits(t *testing.T) {
	dir := t.TempDir()
	a := mustProvision(t, `{"store": {"backend": "badger", "dir": `+quoted(dir)+`}}`)
	must(t, a.Start())
	defer func() { must(t, a.Cleanup()) }()
	addKey(t, a, "a-key-of-the-file")
	rotate := a.rotation()
	pending := filepath.Join(dir, restoreFile)
	must(t, os.WriteFile(pending, nil, 0o600))
	if _, err := rotate(t.Context(), func(int, int) {}); !errors.Is(err, admin.ErrRestorePending) {
		t.Errorf("%v", err)
	}
	must(t, os.Remove(pending))

	// Ended before its time, it goes on when it is asked for once more.
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := rotate(ended, func(int, int) {}); !errors.Is(err, context.Canceled) || !a.shared.sealer.Rotating() {
		t.Errorf("%v", err)
	}
	if _, err := a.shared.stageRestore(strings.NewReader(""), dir, false); !errors.Is(err, store.ErrRotating) {
		t.Errorf("a restore meanwhile: %v", err)
	}
	if n, err := rotate(t.Context(), func(int, int) {}); err != nil || n != 1 || a.shared.sealer.Rotating() {
		t.Errorf("%d, %v", n, err)
	}
}
