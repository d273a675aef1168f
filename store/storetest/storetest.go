// SPDX-License-Identifier: Apache-2.0

// Package storetest is the suite that every store must pass: what the comments
// of [store.Store] promise, as tests.
package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// Clock is a clock that tests move, so that TTLs run out without waiting.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now is the time to give to the store under test.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Target opens the store under test.
type Target struct {
	// Open makes a new, empty store that reads the time from now.
	Open func(t *testing.T, now func() time.Time) store.Store
	// Reopen closes s and opens its data again; nil for a store that keeps none.
	Reopen func(t *testing.T, s store.Store, now func() time.Time) store.Store
}

// Run runs the suite. Each test gets a store of its own.
func Run(t *testing.T, target Target) {
	for _, c := range []struct {
		name string
		test func(*testing.T, store.Store, *Clock)
	}{
		{"get and set", testGetSet},
		{"values belong to the caller", testAliasing},
		{"scan", testScan},
		{"scan sees one state", testScanSnapshot},
		{"ttl", testTTL},
		{"expect", testExpect},
		{"batch is atomic", testAtomic},
		{"64 writers", testWriters},
		{"large batches", testLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			clock := &Clock{now: time.Now()}
			s := target.Open(t, clock.Now)
			c.test(t, s, clock)
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	t.Run("after close", func(t *testing.T) { testClosed(t, target.Open(t, time.Now)) })
	t.Run("close while in use", func(t *testing.T) { testCloseInUse(t, target.Open(t, time.Now)) })
	if target.Reopen != nil {
		t.Run("reopen", func(t *testing.T) { testReopen(t, target) })
	}
}

func set(key, value string) store.Op { return store.Op{Key: key, Value: []byte(value)} }

func write(t *testing.T, s store.Store, ops ...store.Op) {
	t.Helper()
	if err := s.Write(store.Batch{Ops: ops}); err != nil {
		t.Fatalf("Write: %v", err)
	}
}

// wantValue demands a value, or ErrNotFound for "-".
func wantValue(t *testing.T, s store.Store, key, want string) {
	t.Helper()
	got, err := s.Get(key)
	switch {
	case want == "-" && !errors.Is(err, store.ErrNotFound):
		t.Errorf("Get(%q) = %q, %v; want ErrNotFound", key, got, err)
	case want != "-" && (err != nil || got == nil || string(got) != want):
		t.Errorf("Get(%q) = %q, %v; want %q", key, got, err, want)
	}
}

// scan returns the pairs as "key=value".
func scan(t *testing.T, s store.Store, prefix, after string, limit int) (pairs []string) {
	t.Helper()
	err := s.Scan(prefix, after, func(key string, value []byte) bool {
		pairs = append(pairs, key+"="+string(value))
		return len(pairs) < limit
	})
	if err != nil {
		t.Fatalf("Scan: %v", err)
	}
	return pairs
}

func testGetSet(t *testing.T, s store.Store, _ *Clock) {
	wantValue(t, s, "a", "-")
	write(t, s, set("a", "1"), set("empty", ""), store.Op{Key: "binary\x00\xff", Value: []byte{0, 255}}, set("", "no name"))
	wantValue(t, s, "a", "1")
	wantValue(t, s, "empty", "")
	wantValue(t, s, "binary\x00\xff", "\x00\xff")
	wantValue(t, s, "", "no name")
	wantValue(t, s, "A", "-")
	write(t, s, set("a", "2"))
	wantValue(t, s, "a", "2")
	write(t, s, store.Op{Key: "a"}, store.Op{Key: "never there"})
	wantValue(t, s, "a", "-")
	write(t, s, set("b", "first"), set("b", "last"), set("c", "x"), store.Op{Key: "c"})
	wantValue(t, s, "b", "last")
	wantValue(t, s, "c", "-")
	if err := s.Write(store.Batch{}); err != nil {
		t.Errorf("empty batch: %v", err)
	}
	if err := s.Write(store.Batch{Ops: []store.Op{set("d", "durable")}, Sync: true}); err != nil {
		t.Errorf("sync batch: %v", err)
	}
	wantValue(t, s, "d", "durable")
}

func testAliasing(t *testing.T, s store.Store, _ *Clock) {
	given := []byte("value")
	write(t, s, store.Op{Key: "k", Value: given}, store.Op{Key: "ttl", Value: given, TTL: time.Hour})
	given[0] = 'X'
	for _, key := range []string{"k", "ttl"} {
		got, _ := s.Get(key)
		if string(got) != "value" {
			t.Errorf("%s: changing the slice given to Write changed the store: %q", key, got)
		}
		got[0] = 'Y'
		wantValue(t, s, key, "value")
	}
	var kept [][]byte
	_ = s.Scan("", "", func(_ string, value []byte) bool {
		kept = append(kept, value)
		return true
	})
	write(t, s, set("k", "other"), set("ttl", "other"))
	for _, value := range kept {
		if string(value) != "value" {
			t.Errorf("a value that Scan handed out became %q", value)
		}
		value[0] = 'Z'
	}
	wantValue(t, s, "k", "other")
}

func testScan(t *testing.T, s store.Store, _ *Clock) {
	write(t, s, set("a", "0"), set("b/1", "1"), set("b/2", "2"), set("b/3", "3"), set("b0", "4"), set("c\xff", "5"), set("c\xff\xff", "6"))
	for _, c := range []struct {
		name, prefix, after string
		limit               int
		want                []string
	}{
		{"all", "", "", 99, []string{"a=0", "b/1=1", "b/2=2", "b/3=3", "b0=4", "c\xff=5", "c\xff\xff=6"}},
		{"prefix", "b/", "", 99, []string{"b/1=1", "b/2=2", "b/3=3"}},
		{"prefix that is a key", "b/2", "", 99, []string{"b/2=2"}},
		{"prefix of ff bytes", "c\xff", "", 99, []string{"c\xff=5", "c\xff\xff=6"}},
		{"unknown prefix", "x", "", 99, nil},
		{"after a key", "b/", "b/1", 99, []string{"b/2=2", "b/3=3"}},
		{"after a key that is not there", "b/", "b/1x", 99, []string{"b/2=2", "b/3=3"}},
		{"after the last", "b/", "b/3", 99, nil},
		{"after what is before the prefix", "b/", "a", 99, []string{"b/1=1", "b/2=2", "b/3=3"}},
		{"after what is behind the prefix", "b/", "c", 99, nil},
		{"after the prefix itself", "b/", "b/", 99, []string{"b/1=1", "b/2=2", "b/3=3"}},
		{"stops when told", "b/", "", 2, []string{"b/1=1", "b/2=2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := scan(t, s, c.prefix, c.after, c.limit); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func testScanSnapshot(t *testing.T, s store.Store, _ *Clock) {
	for i := range 100 {
		write(t, s, set(fmt.Sprintf("k%03d", i), "old"))
	}
	n := 0
	err := s.Scan("k", "", func(key string, value []byte) bool {
		if n == 0 { // by someone else, while this scan runs
			done := make(chan error)
			go func() {
				var b store.Batch
				for i := range 200 {
					b.Ops = append(b.Ops, set(fmt.Sprintf("k%03d", i), "new"))
				}
				b.Ops = append(b.Ops, store.Op{Key: "k099"})
				done <- s.Write(b)
			}()
			if err := <-done; err != nil {
				t.Errorf("Write while a scan runs: %v", err)
			}
		}
		n++
		if string(value) != "old" {
			t.Errorf("%s = %q: written after the scan began", key, value)
		}
		if got, err := s.Get("k150"); err != nil || string(got) != "new" {
			t.Errorf("Get within a scan = %q, %v", got, err)
		}
		return true
	})
	if err != nil || n != 100 {
		t.Errorf("scan saw %d pairs, %v; want the 100 of its beginning", n, err)
	}
}

func testTTL(t *testing.T, s store.Store, clock *Clock) {
	write(t, s,
		store.Op{Key: "short", Value: []byte("v"), TTL: 1500 * time.Millisecond},
		store.Op{Key: "long", Value: []byte("v"), TTL: time.Hour},
		store.Op{Key: "renewed", Value: []byte("v"), TTL: time.Second},
		store.Op{Key: "kept", Value: []byte("v"), TTL: time.Second},
		set("for ever", "v"))
	write(t, s, store.Op{Key: "renewed", Value: []byte("v2"), TTL: time.Hour}, set("kept", "v2"))
	clock.Advance(1499 * time.Millisecond)
	wantValue(t, s, "short", "v")
	clock.Advance(time.Millisecond)
	wantValue(t, s, "short", "-")
	wantValue(t, s, "renewed", "v2")
	wantValue(t, s, "kept", "v2")
	if got, want := scan(t, s, "", "", 99), []string{"for ever=v", "kept=v2", "long=v", "renewed=v2"}; !slices.Equal(got, want) {
		t.Errorf("scan = %q, want %q", got, want)
	}
	err := s.Write(store.Batch{Expect: []store.Expect{{Key: "short"}}, Ops: []store.Op{set("short", "again")}})
	if err != nil {
		t.Errorf("an expired pair is not absent to Expect: %v", err)
	}
	wantValue(t, s, "short", "again")
	clock.Advance(time.Hour)
	wantValue(t, s, "long", "-")
	wantValue(t, s, "for ever", "v")
}

func testExpect(t *testing.T, s store.Store, _ *Clock) {
	write(t, s, set("a", "1"), set("empty", ""))
	for _, c := range []struct {
		name   string
		expect []store.Expect
		holds  bool
	}{
		{"same value", []store.Expect{{Key: "a", Value: []byte("1")}}, true},
		{"other value", []store.Expect{{Key: "a", Value: []byte("2")}}, false},
		{"absent", []store.Expect{{Key: "nothing"}}, true},
		{"absent but there", []store.Expect{{Key: "a"}}, false},
		{"there but absent", []store.Expect{{Key: "nothing", Value: []byte("1")}}, false},
		{"empty is there", []store.Expect{{Key: "empty", Value: []byte{}}}, true},
		{"empty is not absent", []store.Expect{{Key: "empty"}}, false},
		{"absent is not empty", []store.Expect{{Key: "nothing", Value: []byte{}}}, false},
		{"second fails", []store.Expect{{Key: "a", Value: []byte("1")}, {Key: "a"}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			write(t, s, store.Op{Key: "mark"})
			err := s.Write(store.Batch{Expect: c.expect, Ops: []store.Op{set("mark", "x")}})
			want := "x"
			if !c.holds {
				want = "-"
				if !errors.Is(err, store.ErrConflict) {
					t.Errorf("err = %v, want ErrConflict", err)
				}
			} else if err != nil {
				t.Error(err)
			}
			wantValue(t, s, "mark", want)
		})
	}
}
