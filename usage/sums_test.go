// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// books are what a naive bookkeeper knows.
type books struct {
	all                 Counts
	models, users, keys map[string]*Counts
	ids                 map[string]bool
}

func newBooks() *books {
	return &books{models: nameCounts{}, users: nameCounts{}, keys: nameCounts{}, ids: map[string]bool{}}
}

func (b *books) add(t testing.TB, r *Record) {
	c := r.counts()
	if b.ids[r.RequestID] {
		t.Fatalf("%s is there twice", r.RequestID)
	}
	b.ids[r.RequestID] = true
	b.all.add(&c)
	nameCounts(b.models).add(r.Model, &c, 1<<30)
	nameCounts(b.users).add(r.UserID, &c, 1<<30)
	c.Attempts, c.Errors = 0, 0 // by key they are of all keys that were tried
	if r.KeyID != "" {
		nameCounts(b.keys).add(r.KeyID, &c, 1<<30)
	}
}

func (b *books) check(t testing.TB, when string, got Totals) {
	t.Helper()
	if got.Counts != b.all {
		t.Fatalf("%s: sums\n%+v, want\n%+v", when, got.Counts, b.all)
	}
	for what, m := range map[string]struct {
		got  map[string]Counts
		want map[string]*Counts
	}{"model": {got.ByModel, b.models}, "user": {got.ByUser, b.users}, "key": {got.ByKey, b.keys}} {
		for name, c := range m.got {
			if what == "key" {
				c.Attempts, c.Errors = 0, 0
			}
			if want := m.want[name]; want != nil && c != *want || want == nil && c.some() {
				t.Fatalf("%s: %s %s\n%+v, want\n%+v", when, what, name, c, want)
			}
		}
		for name := range m.want {
			if _, there := m.got[name]; !there {
				t.Fatalf("%s: %s %s is missing", when, what, name)
			}
		}
	}
}

// copyOf is what a crash at this moment would leave behind.
func copyOf(t testing.TB, s store.Store, now func() time.Time) store.Store {
	t.Helper()
	c := memory.NewAt(now)
	err := s.Scan("", "", func(key string, value []byte) bool {
		if err := c.Write(store.Batch{Ops: []store.Op{{Key: key, Value: value}}}); err != nil {
			t.Error(err)
		}
		return true
	})
	if err != nil {
		t.Error(err)
	}
	return c
}

// TestLedger_Exact has 64 writers add requests while the clock jumps to and fro and
// copies of the store are opened as after a crash: what those have must be each
// request at most once, and the same in the sums and in the log.
func TestLedger_Exact(t *testing.T) {
	seeds := uint64(3)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 7))
		start := time.Date(2026, 11, 20, 23, 40, 0, 0, time.UTC)
		var clock atomic.Int64
		clock.Store(start.UnixMilli())
		now := func() time.Time { return time.UnixMilli(clock.Load()).UTC() }
		s := memory.NewAt(now)
		o := Options{Now: now, Log: LogOptions{Retention: 100 * 24 * time.Hour}}
		l, err := Open(s, o)
		if err != nil {
			t.Fatal(err)
		}
		want := newBooks()
		for round := range 12 {
			var all sync.WaitGroup
			var mu sync.Mutex
			for writer := range uint64(64) {
				all.Go(func() {
					w := newWorld(seed<<32 + uint64(round)<<8 + writer + 1)
					for range 10 {
						r := w.record()
						r.At = now()
						l.Add(r)
						mu.Lock()
						want.add(t, &r)
						mu.Unlock()
					}
				})
			}
			all.Go(func() {
				for range 3 {
					if err := l.Flush(); err != nil {
						t.Error(err)
					}
					checkCrash(t, copyOf(t, s, now), o)
				}
			})
			all.Wait()
			want.check(t, "running", l.Totals(time.Time{}))
			jump := []time.Duration{time.Second, 40 * time.Second, 3 * time.Minute, 50 * time.Minute, 7 * time.Hour, 30 * time.Hour, -2 * time.Minute, -3 * time.Hour}
			clock.Add(jump[rng.IntN(len(jump))].Milliseconds())
			if rng.IntN(3) == 0 {
				if err := l.Flush(); err != nil {
					t.Fatal(err)
				}
				if l, err = Open(s, o); err != nil {
					t.Fatal(err)
				}
				want.check(t, "reopened", l.Totals(time.Time{}))
			}
		}
		checkReports(t, l, want, start)
	}
}

// checkCrash opens what a crash left.
func checkCrash(t *testing.T, s store.Store, o Options) {
	l, err := Open(s, o)
	if err != nil {
		t.Error(err)
		return
	}
	inLog := newBooks()
	if err := l.log.Each(t.Context(), Filter{}, 1<<30, func(r *Record) bool { inLog.add(t, r); return true }); err != nil {
		t.Error(err)
	}
	inLog.check(t, "after a crash", l.Totals(time.Time{}))
}

// checkReports compares all that can be asked for with the books.
func checkReports(t *testing.T, l *Ledger, want *books, start time.Time) {
	t.Helper()
	from := start.Add(-6 * time.Hour)
	r, err := l.Report(from, time.Time{})
	if err != nil || r.Counts != want.all {
		t.Fatalf("report has %+v, want %+v: %v", r.Counts, want.all, err)
	}
	for _, m := range r.Models {
		if m.Counts != *want.models[m.Model] {
			t.Errorf("%s: %+v, want %+v", m.Model, m.Counts, want.models[m.Model])
		}
	}
	sums, err := l.Sums(from)
	if err != nil {
		t.Fatal(err)
	}
	want.check(t, "by day", sums)
	for name, step := range map[string]time.Duration{"hours": time.Hour, "six hours": 6 * time.Hour, "days": 24 * time.Hour} {
		check := func(q Query, want Counts) {
			t.Helper()
			s, err := l.Series(q, from, step)
			var got Counts
			for i := range s.Points {
				got.add(&s.Points[i].Counts)
			}
			if q.Key != "" {
				got.Attempts, got.Errors = 0, 0
			}
			if err != nil || got != want {
				t.Fatalf("%s of %+v: %+v, want %+v: %v", name, q, got, want, err)
			}
		}
		check(Query{}, want.all)
		for model, c := range want.models {
			check(Query{Model: model}, *c)
		}
		for user, c := range want.users {
			check(Query{User: user}, *c)
			perModel := Counts{}
			for model := range want.models {
				s, err := l.Series(Query{User: user, Model: model}, from, step)
				if err != nil {
					t.Fatal(err)
				}
				for i := range s.Points {
					perModel.add(&s.Points[i].Counts)
				}
			}
			if perModel != *c {
				t.Fatalf("%s of %s by model: %+v, want %+v", name, user, perModel, *c)
			}
		}
		for key, c := range want.keys {
			check(Query{Key: key}, *c)
		}
	}
}

// The day of a name moves on by the hour and agrees with its series by the minute.
func TestLedger_Day(t *testing.T) {
	w := newWorld(5)
	w.users, w.keys, w.millis = 3, 5, 60_000
	now := func() time.Time { return w.at }
	s := memory.NewAt(now)
	l, err := Open(s, Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	for range 6000 { // 50 hours
		l.Add(w.record())
		if w.n%50 == 0 {
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(l *Ledger) Day {
		t.Helper()
		day := l.Day(ByUser, "user000001")
		from := w.at.Truncate(time.Hour).Add(-23 * time.Hour)
		for step, span := range map[time.Duration]int{5 * time.Minute: 12, time.Hour: 1} {
			series, err := l.Series(Query{User: "user000001"}, from, step)
			if err != nil {
				t.Fatal(err)
			}
			for h := range day.Hours {
				var sum Counts
				for i := h * span; i < min(len(series.Points), (h+1)*span); i++ {
					sum.add(&series.Points[i].Counts)
				}
				if sum != day.Hours[h] {
					t.Fatalf("hour %d by %v: %+v, want %+v", h, step, sum, day.Hours[h])
				}
			}
		}
		models := Counts{}
		for _, c := range l.UserModels("user000001") {
			models.add(&c)
		}
		if models.Requests < day.Requests || day.Requests < 500 {
			t.Errorf("%d by model, %d in the day", models.Requests, day.Requests)
		}
		return day
	}
	before := check(l)
	key := l.Day(ByKey, "gk_00000001")
	if key.Attempts <= key.Requests || key.Errors == 0 {
		t.Errorf("key: %+v", key.Counts)
	}
	if l, err = Open(s, Options{Now: now}); err != nil {
		t.Fatal(err)
	}
	if after := check(l); after != before {
		t.Errorf("%+v after reopening, %+v before", after.Counts, before.Counts)
	}
	w.at = w.at.Add(26 * time.Hour)
	if day := l.Day(ByUser, "user000001"); day.some() {
		t.Errorf("%+v a day later", day.Counts)
	}
	if n := l.UserModels("user000001"); len(n) > 0 {
		t.Errorf("%v by model a day later", n)
	}
}

func (d *Day) some() bool { return d.Counts.some() }
