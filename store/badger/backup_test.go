// SPDX-License-Identifier: Apache-2.0

package badger_test

import (
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/badger"
	"github.com/gemini-balance/caddy-gemini-balance/store/storetest"
)

func TestBackup(t *testing.T) {
	storetest.Backup(t, func(t *testing.T) store.Store {
		s, err := badger.Open(t.TempDir(), badger.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	})
}
