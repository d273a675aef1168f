// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// TestReseal: with another master key, keys in service, deleted ones and what was said
// of declared ones open with the new key alone.
func TestReseal(t *testing.T) {
	text := func(b byte) string {
		return base64.StdEncoding.EncodeToString(slices.Repeat([]byte{b, 0xff}, store.MasterKeySize/2))
	}
	s := memory.New()
	load := func(keys string) *store.Sealer {
		t.Helper()
		sealer, err := store.LoadMasterKey(s, []byte(keys), "")
		if err != nil {
			t.Fatal(err)
		}
		return sealer
	}
	begin := func(sealer *store.Sealer) *Pool {
		t.Helper()
		p, err := Open(Options{Store: s, Sealer: sealer})
		if err != nil {
			t.Fatal(err)
		}
		p.Declare([]NewKey{{Secret: "declared"}})
		return p
	}
	p := begin(load(text(1)))
	ids := add(t, p, NewKey{Secret: "in-service", Proxy: "http://u:p@127.0.0.1:1"}, NewKey{Secret: "deleted"}, NewKey{Secret: "deleted-with-proxy", Proxy: "http://u:p@127.0.0.1:2"})
	proxy := "http://u:p@127.0.0.1:3"
	if err := p.Edit(t.Context(), KeyID("declared"), Patch{Proxy: &proxy}); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids[1:] {
		if err := p.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}

	p = begin(load(text(2) + " " + text(1)))
	looked, total := 0, 0
	progress := func(n, of int) { looked, total = n, of }
	if n, err := p.Reseal(t.Context(), progress); err != nil || n != 4 || looked != 4 || total != 4 {
		t.Errorf("%d sealed anew, %d of %d looked at, %v", n, looked, total, err)
	}
	if n, err := p.Reseal(t.Context(), progress); err != nil || n != 0 {
		t.Errorf("a second time: %d, %v", n, err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := p.Reseal(ended, progress); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := store.EndRotation(s, p.sealer, ""); err != nil {
		t.Fatal(err)
	}
	// In this process and in the next one.
	for _, p := range []*Pool{p, begin(load(text(2)))} {
		if key, ok := p.Get(KeyID("declared")); !ok || key.Proxy != proxy {
			t.Errorf("the declared key: %+v", key)
		}
		for _, id := range ids[1:] {
			err := p.Restore(t.Context(), []string{id}, func(_ string, err error) {
				if err != nil {
					t.Errorf("restoring: %v", err)
				}
			})
			if err == nil {
				err = p.Delete(t.Context(), id)
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
}
