// SPDX-License-Identifier: Apache-2.0

package memory_test

import (
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/store/storetest"
)

func TestBackup(t *testing.T) {
	storetest.Backup(t, func(t *testing.T) store.Store {
		s := memory.New()
		t.Cleanup(func() { _ = s.Close() })
		return s
	})
}
