// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"hash/maphash"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// TestLog_Big adds many rows, opens the log again and reads all of them, as an
// export does: they are those that were added, and reading takes memory for a block.
func TestLog_Big(t *testing.T) {
	total, bound := 200_000, uint64(16<<20)
	if testing.Short() {
		total = 20_000
	}
	seed := maphash.MakeSeed()
	mark := func(r *Record) uint64 { // of a row; that all fields come back is TestRows_ComeBack's
		return maphash.Comparable(seed, [...]any{r.At.UnixMilli(), r.RequestID, r.KeyID, r.UserID, r.Model, r.Code, r.Status, r.Cost, r.Input, r.Attempts, len(r.Tries), r.Duration})
	}
	w := newWorld(21)
	now := func() time.Time { return w.at }
	s := memory.NewAt(now)
	l := openTestLog(t, s, now, LogOptions{})
	marks := make([]uint64, 0, total)
	for len(marks) < total {
		some := w.records(2000)
		for i := range some {
			marks = append(marks, mark(&some[i]))
		}
		l.append(some)
		flushLog(t, l)
	}
	l.append(w.records(300)) // and some in chunks, as a start finds them
	flushLog(t, l)
	l = openTestLog(t, s, now, LogOptions{})
	if k := l.Kept(); k.Rows != int64(total)+300 {
		t.Fatalf("%d rows after reopening, want %d", k.Rows, total+300)
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, n := heap(), 0
	err := l.Each(t.Context(), Filter{}, 1<<30, func(r *Record) bool {
		if n++; n <= 300 {
			return true
		}
		if i := total - (n - 300); mark(r) != marks[i] {
			t.Fatalf("row %d is %+v", i, r)
		}
		if n%50_000 == 0 {
			if used := heap(); used > before+bound {
				t.Errorf("after %d rows %d MB more, want up to %d", n, (used-before)>>20, bound>>20)
			}
		}
		return true
	})
	if err != nil || n != total+300 {
		t.Errorf("%d rows, want %d: %v", n, total+300, err)
	}
	n = 0
	if err := l.Each(t.Context(), Filter{}, total/2, func(*Record) bool { n++; return true }); err != nil || n != total/2 {
		t.Errorf("an export of %d rows has %d: %v", total/2, n, err)
	}
	checkRare(t, l, w)
	runtime.KeepAlive(slices.Clip(marks))
}

// checkRare asks a big log for what few rows have: it reads hardly a block in vain.
func checkRare(t *testing.T, l *Log, w *world) {
	t.Helper()
	wanted, vain := 0, 0
	for range 40 {
		q := Filter{User: "nobody" + w.id()}.query()
		for _, s := range l.view.Load().blocks {
			b, err := l.bloom(s)
			if err != nil {
				t.Fatal(err)
			}
			if wanted++; q.mayBeIn(b) {
				vain++
			}
		}
	}
	if vain > 3+wanted/500 {
		t.Errorf("%d of %d blocks are read in vain", vain, wanted)
	}
}
