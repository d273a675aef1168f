// SPDX-License-Identifier: Apache-2.0

package balancer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// records is how many pairs of a store have a prefix.
func records(t *testing.T, s store.Store, prefix string) (n int) {
	t.Helper()
	if err := s.Scan(prefix, "", func(string, []byte) bool { n++; return true }); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestBookLog_Rounds: whatever the log and the shelves have at any flush, a start knows
// what was counted, and the log does not grow without end.
func TestBookLog_Rounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		p := open(t, s, 300)
		round := shelfCount / shelvesPerFlush
		for flush := range 5 * round {
			for range flush % 7 {
				lease(t, p, Want{Tokens: 10}).Done(ok)
			}
			if err := p.Flush(); err != nil {
				t.Fatal(err)
			}
			if n := records(t, s, logPrefix); n > 3*round {
				t.Fatalf("flush %d: the log has %d records", flush, n)
			}
			if flush%23 == 0 || flush%round < 2 {
				compare(t, fmt.Sprint("flush ", flush), knownTo(p, nil), knownTo(open(t, s, 0), nil))
			}
			if flush == 2*round+9 { // shelves and log go on where another process left them
				p = open(t, s, 0)
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

// TestBookLog_EveryWriteFails: whichever write of a round fails, what a flush has written
// before is there, and the next flush has the rest.
func TestBookLog_EveryWriteFails(t *testing.T) {
	for _, n := range []int{1, 2, 3, 10, 64, 65, 66, 90, 127, 128, 129, 130, 131, 132, 200} {
		f := &brokenStore{Store: memory.New()}
		p := open(t, f, 200)
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
		f.n = n
		failed := 0
		for range 2*shelfCount/shelvesPerFlush + 9 {
			lease(t, p, Want{Tokens: 10}).Done(ok)
			if err := p.Flush(); err != nil {
				failed++
				if err := p.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			if f.n == 0 || f.n == -1 || f.n%40 == 0 {
				compare(t, fmt.Sprint("write ", n), knownTo(p, nil), knownTo(open(t, f.Store, 0), nil))
			}
		}
		if failed != 1 {
			t.Errorf("write %d: %d flushes failed", n, failed)
		}
		compare(t, fmt.Sprint("write ", n), knownTo(p, nil), knownTo(open(t, f.Store, 0), nil))
	}
}

// TestBookLog_Earlier: the books that an earlier version wrote are moved, and counted
// once where a start before was interrupted by then.
func TestBookLog_Earlier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		open(t, s, 2)
		id := KeyID(secretOf(0))
		now := time.Now()
		earlier := []store.Op{{Key: quotaPrefix + id + "/" + flash, Value: encode(quotaRecord{
			Project: id, Model: flash, DayEnds: pacificMidnight(now).Unix(), Today: 5, Proven: 3,
			Spends: [][3]int64{{now.UnixMilli(), 2, 7}}, RPM: &limitRecord{Value: 6, Learned: now},
		})}}
		for range 2 {
			if err := s.Write(store.Batch{Ops: earlier}); err != nil {
				t.Fatal(err)
			}
			p := open(t, s, 0)
			if q := quotaFor(t, p, secretOf(0), flash); q.today != 5 || q.minute.requests != 2 || q.minute.tokens != 7 || q.proven != 3 || q.rpm.value != 6 {
				t.Errorf("today %d, minute %+v, proven %d, rpm %+v", q.today, q.minute, q.proven, q.rpm)
			}
			if n := records(t, s, quotaPrefix); n != 0 || booksIn(t, s) != 1 {
				t.Errorf("%d books where they were, %d moved", n, booksIn(t, s))
			}
		}
	})
}

// TestBookLog_Format: books are read as they were written, also what a later version
// added to them; those cut short are damaged and break nothing.
func TestBookLog_Format(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := open(t, nil, 1)
		lease(t, p, Want{Tokens: 10}).Done(ok)
		lease(t, p, Want{Tokens: 10}).Done(refusal429(perMinuteID, 4, 50*time.Second))
		q := quotaFor(t, p, secretOf(0), flash)
		text := q.append(nil, time.Now(), false)
		name := bookName{q.project.id, flash}
		all := func(int) bool { return true }
		read := func(b []byte) *quotaRecord {
			books := storedBooks{quotas: map[bookName]*quotaRecord{}}
			books.take(&bookReader{rest: b}, all)
			return books.quotas[name]
		}
		want := read(text)
		if want == nil || want.RPM == nil || want.RPM.Value != 4 || len(want.Spends) != 1 || want.Today != 1 {
			t.Fatalf("%+v", want)
		}
		head := len(appendText(appendText(nil, name.project), name.model))
		later := append(slices.Clone(text), "more"...)
		later[head] += 4
		if got := read(later); fmt.Sprintf("%+v", got.Spends) != fmt.Sprintf("%+v", want.Spends) || *got.RPM != *want.RPM {
			t.Errorf("%+v", got)
		}
		for n := range text {
			if got := read(text[:n]); got != nil {
				t.Errorf("%d bytes: %+v", n, got)
			}
		}
		if got := read(q.append(nil, time.Now(), true)); got.RPM != nil || got.Today != 1 {
			t.Errorf("renewed: %+v", got)
		}
		if !strings.HasPrefix(string(text[1:]), name.project) {
			t.Errorf("%q", text)
		}
	})
}
