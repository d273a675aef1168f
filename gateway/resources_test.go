// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

func newResources(t testing.TB, capacity int) (*Resources, *memory.Store) {
	t.Helper()
	db := memory.New()
	sealer, err := store.NewSealer(bytes.Repeat([]byte{7}, 32))
	must(t, err)
	return NewResources(db, sealer, capacity), db
}

func TestResources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, db := newResources(t, 2)
		bound := balancer.Binding{KeyID: "gk_1", Project: "p"}
		for _, user := range []string{"", "u1", "u2"} {
			for i := range 4 {
				must(t, r.put(user, resource{Name: fmt.Sprint("files/", i), Bound: bound, Created: time.Now(), Expires: time.Now().Add(time.Hour), File: &fileRecord{Filename: user}}, true))
			}
			must(t, r.put(user, resource{Name: "cachedContents/1", Bound: bound}, true))
		}
		if len(r.entries) != 2 || r.order.Len() != 2 {
			t.Errorf("%d records in memory, want 2", len(r.entries))
		}
		for _, name := range []string{"files/0", "files/3", "files/0"} { // from the store, from memory, again
			if got, err := r.get("u1", name); err != nil || got.Bound != bound || got.File.Filename != "u1" {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		for _, at := range [][2]string{{"u3", "files/0"}, {"u1", "files/9"}, {"u", "1/files/0"}, {"", "u1/files/0"}, {"u1", strings.Repeat("x", 1000)}} {
			if got, err := r.get(at[0], at[1]); !errors.Is(err, errNoResource) {
				t.Errorf("%v: %+v, %v", at, got, err)
			}
		}
		if all, err := r.list("u1", "files/"); err != nil || len(all) != 4 || all[0].Name != "files/0" {
			t.Errorf("%v, %v", all, err)
		}
		must(t, r.remove("u1", "files/0"))
		if _, err := r.get("u1", "files/0"); !errors.Is(err, errNoResource) {
			t.Error("removed, and still there")
		}
		if _, err := r.get("u2", "files/0"); err != nil {
			t.Error("another user's went with it")
		}
		if err := r.put("u1", resource{Name: "files/" + strings.Repeat("x", 300)}, true); err == nil {
			t.Error("a name of any length")
		}
		if err := r.put("u1", resource{Name: "files/x", File: &fileRecord{Filename: strings.Repeat("x", 5000)}}, true); err == nil {
			t.Error("a record of any size")
		}
		_ = db.Scan("", "", func(key string, value []byte) bool {
			if bytes.Contains(value, []byte("gk_1")) {
				t.Errorf("%s is not sealed", key)
			}
			return true
		})
		time.Sleep(time.Hour)
		for _, name := range []string{"files/1", "files/3"} {
			if _, err := r.get("u1", name); !errors.Is(err, errNoResource) {
				t.Errorf("%s outlived its hour", name)
			}
		}
		if _, err := r.get("u1", "cachedContents/1"); err != nil {
			t.Error("what has no end has ended")
		}
	})
}

// TestResources_Moved: a record that was copied to another owner's place does not
// open there.
func TestResources_Moved(t *testing.T) {
	r, db := newResources(t, 0)
	must(t, r.put("u1", resource{Name: "files/a"}, true))
	value, err := db.Get(resourceAt("u1", "files/a"))
	must(t, err)
	must(t, db.Write(store.Batch{Ops: []store.Op{{Key: resourceAt("u2", "files/a"), Value: value}}}))
	if _, err := r.get("u2", "files/a"); !errors.Is(err, errNoResource) {
		t.Error("a stolen record opened")
	}
}

// TestResources_Parallel: no read brings back what was removed.
func TestResources_Parallel(t *testing.T) {
	r, _ := newResources(t, 8)
	var wg sync.WaitGroup
	for i := range 8 {
		name := fmt.Sprint("files/", i%4)
		wg.Go(func() {
			for range 500 {
				_ = r.put("u", resource{Name: name}, false)
				_, _ = r.get("u", name)
				_ = r.remove("u", name)
			}
		})
		wg.Go(func() {
			for range 500 {
				_, _ = r.get("u", name)
			}
		})
	}
	wg.Wait()
	for i := range 4 {
		name := fmt.Sprint("files/", i)
		if err := r.remove("u", name); err != nil {
			t.Fatal(err)
		}
		if _, err := r.get("u", name); !errors.Is(err, errNoResource) {
			t.Errorf("%s is back", name)
		}
	}
}

func BenchmarkResources(b *testing.B) {
	for _, name := range []string{"memory", "store"} {
		b.Run(name, func(b *testing.B) {
			r, _ := newResources(b, 1)
			for i := range 2 {
				must(b, r.put("u", resource{Name: fmt.Sprint("files/", i), File: &fileRecord{Filename: "a.pdf", URI: "https://example.com/a"}, Expires: time.Now().Add(time.Hour)}, false))
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				at := "files/1"
				if name == "store" && i%2 == 0 {
					at = "files/0"
				}
				if _, err := r.get("u", at); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestResources_Home: of several who settle at the same time one succeeds, and a
// home can be moved by who knows the last one.
func TestResources_Home(t *testing.T) {
	r, _ := newResources(t, 0)
	if home, raw := r.home("u"); home != nil || raw != nil {
		t.Errorf("%+v", home)
	}
	var settled atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			switch _, err := r.move("u", balancer.Binding{Project: fmt.Sprint("p", i)}, nil); {
			case err == nil:
				settled.Add(1)
			case !errors.Is(err, store.ErrConflict):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	home, raw := r.home("u")
	if settled.Load() != 1 || home == nil {
		t.Fatalf("%d settled: %+v", settled.Load(), home)
	}
	if _, err := r.move("u", balancer.Binding{Project: "q"}, raw); err != nil {
		t.Error(err)
	}
	if _, err := r.move("u", balancer.Binding{Project: "r"}, raw); !errors.Is(err, store.ErrConflict) {
		t.Errorf("moved by who did not know: %v", err)
	}
	if home, _ := r.home("u"); home == nil || home.Bound.Project != "q" {
		t.Errorf("%+v", home)
	}
	if home, _ := r.home("v"); home != nil {
		t.Errorf("another user's: %+v", home)
	}
}
