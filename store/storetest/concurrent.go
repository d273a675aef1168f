// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// testAtomic writes pairs of keys that must always be equal.
func testAtomic(t *testing.T, s store.Store, _ *Clock) {
	write(t, s, set("left", "0"), set("right", "0"))
	var stop atomic.Bool
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 1; !stop.Load(); i++ {
			v := strconv.Itoa(i)
			if err := s.Write(store.Batch{Ops: []store.Op{set("left", v), set("right", v)}}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 100 {
		var values []string
		_ = s.Scan("", "", func(_ string, value []byte) bool {
			values = append(values, string(value))
			return true
		})
		if len(values) != 2 || values[0] != values[1] {
			t.Errorf("half a batch is visible: %q", values)
			break
		}
	}
	stop.Store(true)
	writer.Wait()
}

// testWriters counts up one number from 64 sides: each success must be one step.
func testWriters(t *testing.T, s store.Store, _ *Clock) {
	const writers, each = 64, 20
	write(t, s, set("n", "0"))
	var conflicts atomic.Int64
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for done := 0; done < each; {
				old, err := s.Get("n")
				if err != nil {
					t.Error(err)
					return
				}
				n, _ := strconv.Atoi(string(old))
				err = s.Write(store.Batch{
					Expect: []store.Expect{{Key: "n", Value: old}},
					Ops:    []store.Op{set("n", strconv.Itoa(n+1)), set(fmt.Sprintf("by/%d/%d", w, done), "x")},
				})
				switch {
				case err == nil:
					done++
				case errors.Is(err, store.ErrConflict):
					conflicts.Add(1)
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	wantValue(t, s, "n", strconv.Itoa(writers*each))
	if got := len(scan(t, s, "by/", "", 1<<30)); got != writers*each {
		t.Errorf("%d marks, want %d", got, writers*each)
	}
	t.Logf("%d conflicts", conflicts.Load())

	// Only one of many makes what is absent.
	var made atomic.Int64
	for range writers {
		all.Go(func() {
			err := s.Write(store.Batch{Expect: []store.Expect{{Key: "once"}}, Ops: []store.Op{set("once", "x")}})
			if err == nil {
				made.Add(1)
			} else if !errors.Is(err, store.ErrConflict) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 {
		t.Errorf("%d writers made the same key, want 1", made.Load())
	}
}

func testLarge(t *testing.T, s store.Store, _ *Clock) {
	batch := func(ops, size int, ttl time.Duration) (b store.Batch) {
		for i := range ops {
			b.Ops = append(b.Ops, store.Op{Key: fmt.Sprintf("%07d", i), Value: make([]byte, size), TTL: ttl})
		}
		return b
	}
	for _, c := range []struct {
		name      string
		ops, size int
		ttl       time.Duration
		fits      bool
	}{
		{"most ops", store.MaxBatchOps, 80, 0, true},
		{"most bytes", 1, store.MaxBatchBytes - 7, 0, true},
		{"most of both, for a time", store.MaxBatchOps, store.MaxBatchBytes/store.MaxBatchOps - 7, time.Hour, true},
		{"an op too many", store.MaxBatchOps + 1, 1, 0, false},
		{"a byte too many", 1, store.MaxBatchBytes - 6, 0, false},
		{"a few bytes too many, in many ops", 1000, store.MaxBatchBytes/1000 - 6, 0, false},
		{"many more ops", 60_000, 10, 0, false},
		{"many more bytes", 8, 1 << 20, 0, false},
		{"one huge value", 1, 8 << 20, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var wipe store.Batch
			for _, pair := range scan(t, s, "", "", 1<<30) {
				wipe.Ops = append(wipe.Ops, store.Op{Key: pair[:7]})
			}
			for part := range slices.Chunk(wipe.Ops, store.MaxBatchOps) {
				write(t, s, part...)
			}
			err := s.Write(batch(c.ops, c.size, c.ttl))
			want := c.ops
			switch {
			case c.fits && err != nil:
				t.Errorf("err = %v", err)
			case !c.fits && !errors.Is(err, store.ErrTooLarge):
				t.Errorf("err = %v, want ErrTooLarge", err)
			}
			if !c.fits {
				want = 0
			}
			if got := len(scan(t, s, "", "", 1<<30)); got != want {
				t.Errorf("%d pairs after %v, want %d", got, err, want)
			}
		})
	}
}

func testClosed(t *testing.T, s store.Store) {
	write(t, s, set("a", "1"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, getErr := s.Get("a")
	for name, err := range map[string]error{
		"Get":   getErr,
		"Scan":  s.Scan("", "", func(string, []byte) bool { t.Error("Scan found something"); return true }),
		"Write": s.Write(store.Batch{Ops: []store.Op{set("a", "2")}}),
		"Sync":  s.Write(store.Batch{Sync: true}),
		"Close": s.Close(),
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s after Close: %v, want ErrClosed", name, err)
		}
	}
}

// testCloseInUse closes under load: every call ends well or with ErrClosed.
func testCloseInUse(t *testing.T, s store.Store) {
	var all sync.WaitGroup
	var busy sync.WaitGroup
	busy.Add(16)
	for w := range 16 {
		all.Go(func() {
			for i := 0; ; i++ {
				err := s.Write(store.Batch{Ops: []store.Op{set(fmt.Sprint(w), "x")}, Sync: i%4 == 0})
				if err == nil {
					err = s.Scan("", "", func(key string, _ []byte) bool {
						_, err := s.Get(key)
						return err == nil || errors.Is(err, store.ErrNotFound)
					})
				}
				if i == 0 {
					busy.Done()
				}
				if err != nil {
					if !errors.Is(err, store.ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	busy.Wait()
	if err := s.Close(); err != nil {
		t.Errorf("Close under load: %v", err)
	}
	all.Wait()
}

func testReopen(t *testing.T, target Target) {
	clock := &Clock{now: time.Now()}
	s := target.Open(t, clock.Now)
	write(t, s, set("a", "1"), set("gone", "x"), store.Op{Key: "ttl", Value: []byte("v"), TTL: time.Hour})
	write(t, s, store.Op{Key: "gone"})
	for round := range 3 {
		s = target.Reopen(t, s, clock.Now)
		wantValue(t, s, "a", "1")
		wantValue(t, s, "ttl", "v")
		wantValue(t, s, "gone", "-")
		write(t, s, set(fmt.Sprint("round", round), "x"))
	}
	if got, want := scan(t, s, "round", "", 9), []string{"round0=x", "round1=x", "round2=x"}; !slices.Equal(got, want) {
		t.Errorf("after reopening: %q, want %q", got, want)
	}
	clock.Advance(time.Hour)
	s = target.Reopen(t, s, clock.Now)
	wantValue(t, s, "ttl", "-")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
