// SPDX-License-Identifier: Apache-2.0

package memory_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/store/storetest"
)

// TestExpiredPairsAreSwept is about the sweep: the conformance suite cannot
// see whether an expired pair is hidden or gone.
func TestExpiredPairsAreSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		for i := range 100 {
			write(t, s, store.Op{Key: fmt.Sprint("k", i), Value: []byte("v"), TTL: time.Second})
		}
		write(t, s, store.Op{Key: "k7", Value: []byte("for ever")})
		time.Sleep(time.Second)
		write(t, s, store.Op{Key: "other", Value: []byte("v")})
		if got := memory.Size(s); got != 2 {
			t.Errorf("%d pairs are held, want 2", got)
		}
	})
}

func write(t *testing.T, s store.Store, ops ...store.Op) {
	t.Helper()
	if err := s.Write(store.Batch{Ops: ops}); err != nil {
		t.Fatal(err)
	}
}

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Target{
		Open: func(_ *testing.T, now func() time.Time) store.Store { return memory.NewAt(now) },
	})
}
