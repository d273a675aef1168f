// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// TestBooks_Restart: what was used, learned and settled is there after a restart,
// also of keys that are declared later, and in another order; nothing is asked that
// is known to be full.
func TestBooks_Restart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		declared := []NewKey{{Secret: "d0"}, {Secret: "d1"}, {Secret: "d2", Project: "shared"}, {Secret: "d3", Project: "shared"}}
		p, err := Open(Options{Store: s, Sealer: sealer(t)})
		if err != nil {
			t.Fatal(err)
		}
		add(t, p, newKeys(2)...)
		p.Declare(declared)
		homes := map[uint64]string{}
		for i := range 30 { // five of six: ten each, then Google names the limit
			hash := uint64(i+1) * 0x9e3779b97f4a7c15
			l := lease(t, p, Want{Affinity: hash, Tokens: 10})
			homes[hash] = l.KeyID()
			time.Sleep(10 * time.Millisecond)
			l.Done(Outcome{Input: 10, Tokens: 20})
		}
		lease(t, p, Want{Bound: &Binding{KeyID: KeyID("d0")}}).Done(refusal429(perMinuteID, 4, 50*time.Second))
		lease(t, p, Want{Bound: &Binding{KeyID: KeyID("d2")}}).Done(refusal429(perDayID, 1, time.Hour))
		p.clock.Store(5)
		before, _ := p.Quotas(QuotaQuery{Limit: 1000})
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		again, err := Open(Options{Store: s, Sealer: sealer(t)})
		if err != nil {
			t.Fatal(err)
		}
		if !again.aligned() {
			t.Error("the evidence of the clock is gone")
		}
		slices.Reverse(declared)
		again.Declare(declared)
		check(t, again, time.Now())
		after, _ := again.Quotas(QuotaQuery{Limit: 1000})
		if len(before) != len(after) || len(before) != 5 {
			t.Fatalf("%d books before, %d after", len(before), len(after))
		}
		for i := range before {
			b, a := before[i], after[i]
			for _, w := range []*Window{&b.RPM, &b.TPM, &b.RPD, &a.RPM, &a.TPM, &a.RPD} {
				w.Since = w.Since.Round(0)
			}
			if fmt.Sprintf("%s %s %+v", b.Project, b.Model, b.RPM.Used) != fmt.Sprintf("%s %s %+v", a.Project, a.Model, a.RPM.Used) ||
				b.TPM.Used != a.TPM.Used || b.RPD.Used != a.RPD.Used || (b.RPM.Limit == nil) != (a.RPM.Limit == nil) || b.RPM.Limit != nil && *b.RPM.Limit != *a.RPM.Limit {
				t.Errorf("before %+v\nafter  %+v", b, a)
			}
		}
		stayed := 0
		for hash, id := range homes {
			l, err := again.Lease(t.Context(), Want{Model: flash, Affinity: hash})
			if err != nil {
				break
			}
			if l.Project() == "shared" || l.KeyID() == KeyID("d0") {
				t.Errorf("%s was asked although it is known to be full", l.KeyID())
			}
			if l.KeyID() == id {
				stayed++
			}
			l.Done(Outcome{Verdict: Overloaded, Status: 503})
		}
		if stayed < 10 {
			t.Errorf("%d conversations found their home", stayed)
		}
	})
}

// TestBooks_Damaged: a record that makes no sense keeps nobody from starting, is
// gone afterwards, and rests nothing for years.
func TestBooks_Damaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		p := open(t, s, 1)
		lease(t, p, Want{Tokens: 10}).Done(ok)
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
		future := time.Now().Add(1000 * time.Hour)
		id := KeyID(secretOf(0))
		bad := []store.Op{
			{Key: quotaPrefix + "a/b", Value: []byte("{")},
			{Key: quotaPrefix + "a/c", Value: []byte(`{"today": "x"}`)},
			{Key: quotaPrefix + "a/d", Value: []byte(`{}`)},
			{Key: shelfKey(3), Value: []byte{booksFormat, 0, 200}},
			{Key: shelfKey(4), Value: []byte{99}},
			{Key: shelfPrefix + "zz", Value: []byte{booksFormat, 0}},
			{Key: logKey(100), Value: []byte{booksFormat, 1, 'a'}},
			{Key: logPrefix + "zz", Value: []byte{booksFormat}},
			{Key: homePrefix + "zz", Value: encode(id)},
			{Key: homePrefix + "1", Value: []byte("1")},
			{Key: clockKey, Value: []byte(`"noon"`)},
			{Key: restPrefix + "project/a/", Value: []byte("{")},
			{Key: listingPrefix + "a", Value: []byte("[")},
		}
		odd := []store.Op{{Key: quotaPrefix + id + "/odd", Value: encode(quotaRecord{
			Project: id, Model: "odd", DayEnds: future.Unix(), Today: 99, Proven: -1,
			Spends: [][3]int64{{future.UnixMilli(), 5, 5}, {math.MaxInt64, -3, 7}, {0, math.MaxInt64, 1}, {1, 1, -1}},
			RPM:    &limitRecord{Value: 6, Learned: future}, TPM: &limitRecord{Value: -5, Learned: future}, RPD: &limitRecord{Value: 50, Learned: future},
		})}}
		if err := s.Write(store.Batch{Ops: append(bad, odd...)}); err != nil {
			t.Fatal(err)
		}
		p = open(t, s, 0)
		for _, op := range bad {
			if v, err := s.Get(op.Key); err == nil {
				t.Errorf("%s is still %s", op.Key, v)
			}
		}
		if quotaFor(t, p, secretOf(0), flash).today != 1 {
			t.Error("the sound record is gone, too")
		}
		settled(t, p)
		lease(t, p, Want{Model: "odd"}).Done(ok)
		refused(t, p, Want{Model: "odd"})
		time.Sleep(2 * time.Minute)
		lease(t, p, Want{Model: "odd"}).Done(ok)
		time.Sleep(25 * time.Hour)
		for range 100 { // a limit of the future does not hold longer than one of now
			lease(t, p, Want{Model: "odd"}).Done(ok)
		}
	})
}

// TestBooks_ClockSetBack: a day that began by a wrong clock ends with the true one;
// what was asked in it was asked today.
func TestBooks_ClockSetBack(t *testing.T) {
	now := noon.Add(300 * 24 * time.Hour)
	p, err := Open(Options{Store: memory.New(), Sealer: sealer(t), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	add(t, p, newKeys(1)...)
	if err := p.SetLimits([]LimitRule{{Model: "*", RPD: 3}}); err != nil {
		t.Fatal(err)
	}
	q := func() *quota { return quotaFor(t, p, secretOf(0), flash) }
	lease(t, p, Want{}).Done(ok)
	lease(t, p, Want{}).Done(ok)
	now = noon
	lease(t, p, Want{}).Done(ok)
	if q := q(); q.today != 3 || q.dayEnds != pacificMidnight(noon).Unix() {
		t.Errorf("today %d, until %v", q.today, time.Unix(q.dayEnds, 0))
	}
	now = noon.Add(24 * time.Hour)
	lease(t, p, Want{}).Done(ok)
	if q().today != 1 {
		t.Errorf("tomorrow %d", q().today)
	}
}

// TestBooks_Merged: the record of a project that turned out to be part of another
// is gone, so that a restart counts nothing twice.
func TestBooks_Merged(t *testing.T) {
	s := memory.New()
	p := open(t, s, 2)
	for range 4 {
		lease(t, p, Want{}).Done(ok)
	}
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		lease(t, p, Want{}).Done(Outcome{Verdict: BadRequest, Consumer: "1", Status: 400})
	}
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	p = open(t, s, 0)
	q, n := p.Quotas(QuotaQuery{})
	if n != 1 || q[0].RPD.Used != 4 {
		t.Errorf("%+v", q)
	}
	if records := booksIn(t, s); records != 1 {
		t.Errorf("%d records", records)
	}
	if len(p.projects) != 1 {
		t.Errorf("%d projects", len(p.projects))
	}
}

// TestBooks_SomeoneWaits: nobody who waits is forgotten, whatever comes between.
func TestBooks_SomeoneWaits(t *testing.T) {
	for _, c := range []struct {
		name string
		rule LimitRule
		want Want
		most time.Duration
	}{
		{"minute", LimitRule{Model: "*", RPM: 1}, Want{}, minute + skew},
		{"tokens", LimitRule{Model: "*", TPM: 100}, Want{Tokens: 60}, minute + skew + rampStep},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := open(t, nil, 1)
			if err := p.SetLimits([]LimitRule{c.rule}); err != nil {
				t.Fatal(err)
			}
			lease(t, p, c.want).Done(ok)
			w := c.want
			w.Wait, w.Tried = 2*time.Minute, new(Tried)
			got := <-start(context.Background(), p, w)
			if got.err != nil || got.after > c.most {
				t.Errorf("%s: %+v", c.name, got)
			}
		})
	}
}

// booksIn is how many quotas the store has books of.
func booksIn(t *testing.T, s store.Store) int {
	t.Helper()
	books, _, err := (&Pool{store: s}).readBooks()
	if err != nil {
		t.Fatal(err)
	}
	return len(books.quotas)
}
