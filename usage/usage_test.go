// SPDX-License-Identifier: Apache-2.0

package usage_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, s store.Store) *usage.Ledger {
	t.Helper()
	l, err := usage.Open(s, usage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func flush(t testing.TB, l *usage.Ledger) {
	t.Helper()
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
}

func ok(model, key, user string) usage.Record {
	return usage.Record{Model: model, KeyID: key, UserID: user, Status: 200, Outcome: "ok", Attempts: 1, Input: 10, Cached: 4, Output: 3, Thoughts: 2}
}

func TestTotals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, memory.New())
		l.Add(ok("pro", "gk_1", "alice"))
		l.Add(ok("flash", "gk_1", "alice"))
		l.Add(usage.Record{Model: "flash", UserID: "bob", Status: 429, Outcome: "rate_limited"})
		got := l.Totals(time.Time{})
		if want := (usage.Counts{Requests: 3, Failed: 1, Attempts: 2, Input: 20, Cached: 8, Output: 6, Thoughts: 4, Unpriced: 2, Broken: 1}); got.Counts != want {
			t.Errorf("all = %+v, want %+v", got.Counts, want)
		}
		for _, c := range []struct {
			name string
			got  map[string]usage.Counts
			want map[string]int64 // requests
		}{
			{"outcome", got.ByOutcome, map[string]int64{"ok": 2, "rate_limited": 1}},
			{"model", got.ByModel, map[string]int64{"pro": 1, "flash": 2}},
			{"key", got.ByKey, map[string]int64{"gk_1": 2}},
			{"user", got.ByUser, map[string]int64{"alice": 2, "bob": 1}},
		} {
			if r := requests(c.got); !maps.Equal(r, c.want) {
				t.Errorf("by %s = %v, want %v", c.name, r, c.want)
			}
		}
		got.ByModel["pro"] = usage.Counts{}
		if l.Totals(time.Time{}).ByModel["pro"].Requests != 1 {
			t.Error("changing the answer changed the ledger")
		}
	})
}

func requests(m map[string]usage.Counts) map[string]int64 {
	r := map[string]int64{}
	for name, c := range m {
		r[name] = c.Requests
	}
	return r
}

// TestSince adds one request in each of several minutes and asks for spans.
func TestSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, memory.New())
		start := time.Now() // midnight
		for range 30 {      // 30 hours, 2 requests in each
			l.Add(ok("pro", "gk_1", "alice"))
			time.Sleep(30 * time.Minute)
			l.Add(ok("pro", "gk_1", "alice"))
			time.Sleep(30 * time.Minute)
		}
		l.Add(ok("flash", "gk_2", "alice")) // at 30:00
		now := time.Now()
		for _, c := range []struct {
			name     string
			since    time.Time
			requests int64
			begins   time.Time
		}{
			{"beginning", time.Time{}, 61, time.Time{}},
			{"this minute", now, 1, now},
			{"within the hour", now.Add(-30 * time.Minute), 2, now.Add(-30 * time.Minute)},
			{"hours are whole", now.Add(-90 * time.Minute), 5, now.Add(-2 * time.Hour)},
			{"a day", now.Add(-24 * time.Hour), 49, now.Add(-24 * time.Hour)},
			{"more than a day is whole UTC days", start.Add(5 * time.Hour), 61, start},
			{"the future", now.Add(time.Hour), 0, now.Add(time.Hour)},
		} {
			got := l.Totals(c.since)
			if got.Requests != c.requests || !got.Since.Equal(c.begins) || got.ByUser["alice"].Requests != c.requests {
				t.Errorf("%s: %d requests since %v, want %d since %v", c.name, got.Requests, got.Since, c.requests, c.begins)
			}
		}
		points, err := l.Series(usage.Query{}, now.Add(-24*time.Hour+time.Minute), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		busy := 0
		for _, p := range points.Points {
			busy += min(int(p.Requests), 1)
		}
		if busy != 48 { // 30 minutes apart; the one exactly a day ago is out
			t.Errorf("%d minutes, want 48", busy)
		}
		if last := points.Points[len(points.Points)-1]; len(points.Points) != 1440 || last.Requests != 1 {
			t.Errorf("%d points, last %+v", len(points.Points), last)
		}
	})
}

func TestReopen(t *testing.T) {
	for _, pause := range []time.Duration{0, time.Minute, 3 * time.Hour, 40 * time.Hour, 400 * time.Hour, -time.Hour} {
		t.Run(pause.String(), func(t *testing.T) {
			var offset time.Duration
			start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			now := func() time.Time { return start.Add(offset) }
			s := memory.NewAt(now)
			var want int64
			for life := range 4 {
				l, err := usage.Open(s, usage.Options{Now: now})
				if err != nil {
					t.Fatal(err)
				}
				if got := l.Totals(time.Time{}); got.Requests != want || got.ByKey["gk_1"].Input != 10*want {
					t.Fatalf("life %d begins with %d requests, %d tokens of the key; want %d", life, got.Requests, got.ByKey["gk_1"].Input, want)
				}
				for range 5 {
					l.Add(ok("pro", "gk_1", "alice"))
					l.Add(ok("pro", "gk_1", "alice"))
					want += 2
					flush(t, l)
					offset += 25 * time.Second
				}
				// And without any further flush: the process is gone.
				offset += pause
			}
		})
	}
}

func TestReopenKeepsTheDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		l := open(t, s)
		for range 100 {
			l.Add(ok("pro", "gk_1", "alice"))
			time.Sleep(20 * time.Minute)
			flush(t, l)
		}
		before, after := l, open(t, s)
		for _, back := range []time.Duration{time.Minute, 50 * time.Minute, 5 * time.Hour, 24 * time.Hour, 99 * time.Hour} {
			since := time.Now().Add(-back)
			if a, b := before.Totals(since), after.Totals(since); a.Counts != b.Counts || !maps.Equal(a.ByModel, b.ByModel) {
				t.Errorf("since %v: %d requests before, %d after reopening", back, a.Requests, b.Requests)
			}
		}
	})
}

func TestRunFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		l := open(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		l.Add(ok("pro", "gk_1", "alice"))
		time.Sleep(101 * time.Millisecond)
		synctest.Wait()
		if got := open(t, s).Totals(time.Time{}).Requests; got != 1 {
			t.Errorf("%d requests in the store after 101 ms, want 1", got)
		}
		l.Add(ok("pro", "gk_1", "alice"))
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got := open(t, s).Totals(time.Time{}).Requests; got != 2 {
			t.Errorf("%d requests in the store after the end, want 2", got)
		}
	})
}

// failing is a store whose writes fail while down.
type failing struct {
	store.Store
	down atomic.Bool
}

func (f *failing) Write(b store.Batch) error {
	if f.down.Load() {
		return errors.New("disk full")
	}
	return f.Store.Write(b)
}

func TestStoreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &failing{Store: memory.New()}
		l := open(t, s)
		s.down.Store(true)
		for range 10 {
			l.Add(ok("pro", "gk_1", "alice"))
			if err := l.Flush(); err == nil {
				t.Fatal("no error from a store that is down")
			}
			time.Sleep(time.Minute)
		}
		s.down.Store(false)
		flush(t, l)
		if got := open(t, s).Totals(time.Time{}).Requests; got != 10 {
			t.Errorf("%d requests after the store came back, want 10", got)
		}
	})
}

func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, memory.New())
		const n = 20_000
		for i := range n {
			l.Add(ok(fmt.Sprint("model", i), fmt.Sprint("gk_", i), fmt.Sprint("user", i)))
			if i%1000 == 0 {
				time.Sleep(time.Hour)
			}
		}
		got := l.Totals(time.Time{})
		for name, m := range map[string]map[string]usage.Counts{"model": got.ByModel, "key": got.ByKey, "user": got.ByUser} {
			var sum int64
			for _, c := range m {
				sum += c.Requests
			}
			if len(m) > 6001 || sum != n || m[usage.Other].Requests == 0 {
				t.Errorf("by %s: %d names with %d requests, %d of them other; want %d in all",
					name, len(m), sum, m[usage.Other].Requests, n)
			}
		}
		flush(t, l)
	})
}

// TestAddRace demands that every record is counted.
func TestAddRace(t *testing.T) {
	s := &failing{Store: memory.New()}
	l := open(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	const writers, each = 64, 1000
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range each {
				l.Add(ok("pro", "gk_1", "alice"))
			}
		})
	}
	all.Go(func() {
		for range 100 {
			l.Totals(time.Time{})
			l.Live()
			if _, err := l.Log().List(t.Context(), usage.Filter{User: "alice"}, "", 50); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	got := l.Totals(time.Time{})
	if got.Requests != writers*each || l.Log().Kept().Rows != writers*each {
		t.Errorf("%d counted, %d in the log, want %d", got.Requests, l.Log().Kept().Rows, writers*each)
	}
}

func TestOpenRefusesDamage(t *testing.T) {
	for _, key := range []string{"usage/mark", "usage/sum", "log/meta", "log/c/0000000000000000", "log/s/x", "usage/m/x"} {
		s := memory.New()
		if err := s.Write(store.Batch{Ops: []store.Op{{Key: key, Value: []byte("{")}}}); err != nil {
			t.Fatal(err)
		}
		if _, err := usage.Open(s, usage.Options{}); err == nil {
			t.Errorf("%s: damage was not noticed", key)
		}
	}
}

// BenchmarkAdd is one record all in all: the copy, which is what a request waits
// for, and its share of the sums, the log and their encoding, for a store that
// costs nothing.
func BenchmarkAdd(b *testing.B) {
	for _, c := range []struct {
		name string
		all  bool
	}{{"copy", false}, {"all", true}} {
		b.Run(c.name, func(b *testing.B) {
			l := open(b, memory.New())
			r := ok("gemini-3-flash", "gk_0123456789ab", "abcdefghijkl")
			r.At, r.RequestID = time.Now(), "req_0123456789abcdefghij"
			r.Tries = []usage.Try{{KeyID: r.KeyID, Status: 200, Verdict: "ok", Duration: time.Second}}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%200 == 0 { // as often as with 2,000 requests/s
					if !c.all {
						b.StopTimer()
					}
					flush(b, l)
					if !c.all {
						b.StartTimer()
					}
				}
				l.Add(r)
			}
		})
	}
}

// A store that fails is told of once, and once when it works again.
func TestStoreFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &failing{Store: memory.New()}
		var heard []bool
		l, err := usage.Open(s, usage.Options{StoreFailed: func(err error) { heard = append(heard, err != nil) }})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		for _, down := range []bool{false, true, true, false, true} {
			s.down.Store(down)
			l.Add(ok("pro", "gk_1", "alice"))
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if want := []bool{true, false, true}; !slices.Equal(heard, want) {
			t.Errorf("told %v, want %v", heard, want)
		}
		cancel()
		if err := <-done; err == nil {
			t.Error("the last flush did not fail")
		}
	})
}
