// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// long makes a request of n attempts, the last of which answers. Each of the others
// fails at a key of its own, some after Google charged for it.
func (w *world) long(n int) Record {
	r := w.record()
	r.Status, r.Outcome, r.Code, r.Error, r.Partial = 200, "ok", "", "", false
	r.KeyID, r.Attempts, r.Priced = fmt.Sprintf("gk_%08d", w.IntN(w.keys)), n, true
	r.Tries = nil
	for i := range n - 1 {
		t := Try{
			KeyID: fmt.Sprintf("gk_%08d", 1000+i), Project: fmt.Sprint("projects/", 1000+i), Status: pick(w, 429, 503, 0), Verdict: "rate_limited",
			Reason: fmt.Sprint("quota metric ", w.IntN(5)), Started: time.Duration(i) * time.Second, Duration: 80 * time.Millisecond,
		}
		if w.IntN(4) == 0 {
			t.Status, t.Verdict, t.Charge = 200, "unusable", Charge{Input: 10, Output: 3, Cost: 700 + int64(i)}
			r.Input, r.Output, r.Cost = r.Input+10, r.Output+3, r.Cost+t.Charge.Cost
		}
		r.Tries = append(r.Tries, t)
	}
	r.Tries = append(r.Tries, Try{KeyID: r.KeyID, Project: r.Project, Status: 200, Verdict: "ok"})
	return r
}

// triesBooks are what is to be known of attempts, from records as they were added.
type triesBooks struct {
	all      Counts
	keys     map[string]Counts // attempts, errors and cost
	failures map[failure]int64
}

func (b *triesBooks) add(r *Record) {
	c := r.counts()
	b.all.add(&c)
	left := r.Cost
	book := func(key string, c Counts) {
		sum := b.keys[key]
		sum.add(&c)
		b.keys[key] = sum
	}
	for _, t := range r.Tries {
		c := Counts{Attempts: 1, Cost: t.Charge.Cost}
		if left -= t.Charge.Cost; t.Verdict != "ok" {
			c.Errors = 1
			b.failures[failure{t.errorCode(), t.Verdict}]++
		}
		book(t.KeyID, c)
	}
	book(r.KeyID, Counts{Cost: left})
}

func (b *triesBooks) check(t *testing.T, when string, l *Ledger) {
	t.Helper()
	got := l.Totals(time.Time{})
	if got.Counts != b.all {
		t.Errorf("%s: sums\n%+v, want\n%+v", when, got.Counts, b.all)
	}
	for key, want := range b.keys {
		if g := got.ByKey[key]; g.Attempts != want.Attempts || g.Errors != want.Errors || g.Cost != want.Cost {
			t.Fatalf("%s: key %s %+v, want %+v", when, key, g, want)
		}
	}
	r, err := l.Report(time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Failures {
		if want := b.failures[failure{f.Code, f.Reason}]; f.Count != want {
			t.Errorf("%s: %s %s %d times, want %d", when, f.Code, f.Reason, f.Count, want)
		}
	}
	if len(r.Failures) != len(b.failures) {
		t.Errorf("%s: %d kinds of failures, want %d", when, len(r.Failures), len(b.failures))
	}
}

// TestTries_Exact: however many attempts requests made, the sums of attempts, failures and
// money by key are exact, before and after a crash at any moment.
func TestTries_Exact(t *testing.T) {
	start := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	now := func() time.Time { return start }
	s := memory.NewAt(now)
	o := Options{Now: now}
	l, err := Open(s, o)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(5)
	want := triesBooks{keys: map[string]Counts{}, failures: map[failure]int64{}}
	for round := range 12 {
		for range 1 + w.IntN(700) {
			r := w.record()
			if w.IntN(3) == 0 {
				r = w.long(pick(w, 2, 8, 9, 32, 33, 200, 700))
			}
			if r.Code != "" || r.Outcome != "ok" || len(r.Tries) > 0 && r.Tries[len(r.Tries)-1].Verdict != "ok" {
				continue
			}
			r.Priced = true
			r.At = start
			want.add(&r)
			l.Add(r)
		}
		if round%4 == 3 {
			start = start.Add(7 * time.Minute) // a minute closes
		}
		want.check(t, "running", l)
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
		again, err := Open(copyOf(t, s, now), o)
		if err != nil {
			t.Fatal(err)
		}
		want.check(t, fmt.Sprint("after a crash in round ", round), again)
	}
	if blocks := len(l.log.view.Load().blocks); blocks < 2 {
		t.Errorf("%d blocks: the rows were no trouble", blocks)
	}
}

// faulty is a store that fails, once it is told to, before or after it has written.
type faulty struct {
	store.Store
	after, left int // writes until it fails; 0 for never
	written     bool
}

func (f *faulty) Write(b store.Batch) error {
	if f.left--; f.left != 0 {
		return f.Store.Write(b)
	}
	f.left = f.after
	if f.written {
		_ = f.Store.Write(b)
	}
	return errors.New("the disk is full")
}

// TestLog_HugeRows: rows of any size are kept whole, in blocks of as many as fit, also
// where chunks have a part of them and the store fails now and then.
func TestLog_HugeRows(t *testing.T) {
	for _, written := range []bool{false, true} {
		w := newWorld(9)
		w.at = time.Now()
		s := &faulty{Store: memory.New(), after: 3, left: 3, written: written}
		l := openTestLog(t, s, time.Now, LogOptions{})
		var want []Record
		rows := w.records(blockRows + 150)
		for i := range rows {
			rows[i].At = rows[i].At.Truncate(time.Millisecond)
			for j := range 12 {
				rows[i].Tries = append(rows[i].Tries, Try{KeyID: fmt.Sprint(i, j, strings.Repeat("k", 100)), Project: fmt.Sprint(i, j, strings.Repeat("p", 100)), Status: 500, Verdict: "server_error", Reason: fmt.Sprint(i, j, strings.Repeat("r", 200))})
			}
			rows[i].Error = fmt.Sprint(i, strings.Repeat("e", 600))
		}
		for len(rows) > 0 {
			n := min(len(rows), 1+w.IntN(900))
			want = append(want, rows[:n]...)
			l.append(append([]Record{}, rows[:n]...))
			rows = rows[n:]
			for tries := 0; l.flush(1<<63) != nil; tries++ {
				if tries > 50 {
					t.Fatal("the log is never written")
				}
				if w.IntN(3) == 0 { // a crash now
					checkRows(t, openTestLog(t, s.Store, time.Now, LogOptions{}), want, false)
				}
			}
			checkRows(t, openTestLog(t, s.Store, time.Now, LogOptions{}), want, true)
		}
		checkRows(t, l, want, true)
	}
}

// checkRows compares a log with the rows that were added: all, or the first ones.
func checkRows(t *testing.T, l *Log, want []Record, all bool) {
	t.Helper()
	var got []Record
	if err := l.Each(t.Context(), Filter{}, 1<<30, func(r *Record) bool { got = append(got, *r); return true }); err != nil {
		t.Fatal(err)
	}
	if all && len(got) != len(want) || len(got) > len(want) {
		t.Fatalf("%d rows of %d", len(got), len(want))
	}
	for i := range got { // the newest first
		g, r := &got[len(got)-1-i], &want[i]
		if g.RequestID != r.RequestID || len(g.Tries) != len(r.Tries) || g.Tries[len(r.Tries)-1].KeyID != r.Tries[len(r.Tries)-1].KeyID {
			t.Fatalf("row %d is %s with %d tries, want %s with %d", i, g.RequestID, len(g.Tries), r.RequestID, len(r.Tries))
		}
	}
}

// TestLog_BodiesOfBlocks: bodies belong to the block that has their row, and go with it,
// also where one flush fills more than a block.
func TestLog_BodiesOfBlocks(t *testing.T) {
	w := newWorld(3)
	now := func() time.Time { return w.at }
	s := memory.NewAt(now)
	sealer, err := store.NewSealer(make([]byte, store.MasterKeySize))
	if err != nil {
		t.Fatal(err)
	}
	l, err := openLog(s, sealer, now, LogOptions{Bodies: BodiesAll})
	if err != nil {
		t.Fatal(err)
	}
	rows := w.records(blockRows + 300)
	for i := range rows {
		rows[i].Bodies = &Bodies{Request: []byte("hello")}
	}
	l.append(rows)
	flushLog(t, l)
	l.append(w.records(blockRows)) // without
	flushLog(t, l)
	for i, s := range l.view.Load().blocks {
		if s.bodies == 0 {
			t.Errorf("block %d has no bodies", i)
		}
	}
	w.at = w.at.Add(20 * 24 * time.Hour)
	flushLog(t, l)
	n := 0
	_ = s.Scan(bodyPrefix, "", func(string, []byte) bool { n++; return true })
	if n > 0 {
		t.Errorf("%d bodies are left of rows that are gone", n)
	}
}
