// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"errors"
	"maps"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// unreadable is a store whose scans fail while down.
type unreadable struct {
	store.Store
	down atomic.Bool
}

func (u *unreadable) Scan(prefix, after string, fn func(string, []byte) bool) error {
	if u.down.Load() {
		return errors.New("disk gone")
	}
	return u.Store.Scan(prefix, after, fn)
}

// TestPast_ComesLater compares a ledger that went on with one that was opened anew
// and has read its past at a later moment, or not at all.
func TestPast_ComesLater(t *testing.T) {
	for name, c := range map[string]struct {
		hours int  // until somebody asks
		down  bool // the store cannot be read at first
	}{
		"at once":                 {},
		"an hour later":           {hours: 1},
		"beyond midnight":         {hours: 9},
		"a day later":             {hours: 30},
		"store fails at first":    {hours: 2, down: true},
		"store fails, asked soon": {down: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(10 * time.Hour)
				went, w := memory.New(), newWorld(11)
				a, err := Open(went, Options{})
				if err != nil {
					t.Fatal(err)
				}
				hour := func(ledgers ...*Ledger) {
					for range 12 {
						r := w.record()
						r.At = time.Now()
						for _, l := range ledgers {
							l.Add(r)
							if err := l.Flush(); err != nil {
								t.Fatal(err)
							}
						}
						time.Sleep(time.Hour / 12)
					}
				}
				for range 32 {
					hour(a)
				}
				s := &unreadable{Store: copyOf(t, went, time.Now)}
				b, err := Open(s, Options{})
				if err != nil {
					t.Fatal(err)
				}
				s.down.Store(c.down)
				for range c.hours {
					hour(a, b)
				}
				if c.down {
					if _, err := b.Names(ByUser, time.Now().Add(-20*time.Hour)); err == nil {
						t.Error("sums without their past, and no error")
					}
					s.down.Store(false)
				}
				if b.past.joined.Load() != (c.hours > 6) {
					t.Errorf("past read: %v", b.past.joined.Load())
				}
				samePast(t, a, b)
			})
		})
	}
}

func samePast(t *testing.T, a, b *Ledger) {
	t.Helper()
	for _, back := range []time.Duration{30 * time.Minute, 5 * time.Hour, 24 * time.Hour, 60 * time.Hour} {
		for d := range dimensions {
			since := time.Now().Add(-back)
			want, err := a.Names(d, since)
			got, err2 := b.Names(d, since)
			if err != nil || err2 != nil || len(want) == 0 || !maps.Equal(got, want) {
				t.Fatalf("names of %d since %v ago: %d, want %d: %v, %v", d, back, len(got), len(want), err, err2)
			}
			for name := range want {
				if d.remembered() && b.Day(d, name) != a.Day(d, name) {
					t.Fatalf("day of %s: %+v, want %+v", name, b.Day(d, name).Counts, a.Day(d, name).Counts)
				}
			}
		}
	}
	if got, want := b.Totals(time.Time{}), a.Totals(time.Time{}); got.Counts != want.Counts || !maps.Equal(got.ByUser, want.ByUser) {
		t.Errorf("%+v, want %+v", got.Counts, want.Counts)
	}
}

// Run reads the past although nobody asks, again when that fails, and not beyond
// its end.
func TestPast_ReadByRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &unreadable{Store: memory.New()}
		var l *Ledger
		for range 2 { // an empty store has no past
			var err error
			if l, err = Open(s, Options{}); err != nil {
				t.Fatal(err)
			}
			r := newWorld(1).record()
			r.At = time.Now()
			l.Add(r)
			time.Sleep(time.Minute)
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		s.down.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		time.Sleep(readAgain + time.Second)
		if l.past.joined.Load() {
			t.Error("read from a store that fails")
		}
		s.down.Store(false)
		time.Sleep(readAgain)
		if !l.past.joined.Load() {
			t.Error("not read")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
