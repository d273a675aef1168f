// SPDX-License-Identifier: Apache-2.0

// Package usage_test measures the request log and the sums at a size that few have:
// make bench-usage ROWS=10000000. It ends with a table for README.md.
package usage_test

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/bench/rows"
	"github.com/gemini-balance/caddy-gemini-balance/store/badger"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// What the requests are of, and the week that they are spread over.
const (
	userKeys   = 10_000
	geminiKeys = 10_000
	week       = 7 * 24 * time.Hour
	measured   = 400_000 // of the rows, for the append rate
	answerGoal = 200 * time.Millisecond
	startGoal  = 3 * time.Second
)

func user(n int) string { return fmt.Sprintf("u%011d", n) }
func key(n int) string  { return fmt.Sprintf("gk_%012d", n) }

// world makes rows of those users and keys.
type world = rows.Maker

func newWorld(seed1, seed2 uint64, at time.Time, step time.Duration) *world {
	return &world{Rand: rand.New(rand.NewPCG(seed1, seed2)), At: at, Step: step, Users: userKeys, Keys: geminiKeys, User: user, Key: key}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestRows fills a store with as many rows as USAGE_ROWS says, opens it again and
// asks.
func TestRows(t *testing.T) {
	many, _ := strconv.Atoi(os.Getenv("USAGE_ROWS"))
	if many == 0 {
		t.Skip("set USAGE_ROWS, such as USAGE_ROWS=10000000")
	}
	dir := os.Getenv("USAGE_DIR")
	if dir == "" {
		dir = t.TempDir()
	}
	w := newWorld(1, 2, time.Now().Add(-week+time.Minute), week/time.Duration(many))
	now := func() time.Time { return w.At }
	options := usage.Options{Now: now, Log: usage.LogOptions{Retention: 8 * 24 * time.Hour, MaxSize: 4 << 30}}
	out := &table{t: t}
	fill(t, out, dir, w, options, many)
	w.Step = time.Millisecond
	runtime.GC()

	start, used := time.Now(), cpuTime()
	db, err := badger.Open(dir, badger.Options{Now: now})
	must(t, err)
	opened, openedCPU := time.Since(start), cpuTime()-used
	l, err := usage.Open(db, options)
	must(t, err)
	took := time.Since(start)
	out.add("start-up", "%v, of which the store %v; %v of CPU, of which the store %v", ms(took), ms(opened), ms(cpuTime()-used), ms(openedCPU))
	if took > startGoal {
		t.Errorf("start-up takes %v, want up to %v", took, startGoal)
	}
	out.add("heap after the start", "%d MB", heap())
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error)
	start, used = time.Now(), cpuTime()
	_, err = l.Log().List(ctx, usage.Filter{User: user(userKeys - 1)}, "", 100)
	must(t, err)
	out.add("first search by user after it", "%v", ms(time.Since(start)))
	go func() { ran <- l.Run(ctx) }()
	start = time.Now()
	l.Day(usage.ByKey, key(1))
	out.add("first day of a key after it", "%v; %v of CPU for both", ms(time.Since(start)), ms(cpuTime()-used))
	ask(t, out, w, l)
	out.add("heap after all questions", "%d MB", heap())
	start, used = time.Now(), cpuTime()
	n := 0
	must(t, l.Log().Each(ctx, usage.Filter{}, 100_000, func(*usage.Record) bool { n++; return true }))
	out.add("export", "%d rows in %v, %v of CPU", n, ms(time.Since(start)), ms(cpuTime()-used))
	cancel()
	must(t, <-ran)
	must(t, db.Close())
	out.print(many)
}

// table is what is pasted into README.md.
type table struct {
	t     *testing.T
	lines []string
}

func (o *table) add(what, format string, args ...any) {
	line := fmt.Sprintf("%-34s%s", what, fmt.Sprintf(format, args...))
	o.t.Log(line) // a run may be ended before it prints all
	o.lines = append(o.lines, line)
}

func (o *table) print(rows int) {
	load, _ := os.ReadFile("/proc/loadavg")
	o.t.Logf("%s, %d rows, %d cores, load %s\n\n%s\n", time.Now().Format(time.DateOnly), rows, runtime.NumCPU(), strings.TrimSpace(string(load)), strings.Join(o.lines, "\n"))
}

func ms(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// fill adds rows, a flush for every 100 ms of a gateway with 2,000 requests/s.
func fill(t *testing.T, out *table, dir string, w *world, o usage.Options, rows int) {
	db, err := badger.Open(dir, badger.Options{Now: o.Now})
	must(t, err)
	l, err := usage.Open(db, o)
	must(t, err)
	if n := l.Log().Kept().Rows; n > 0 { // of an earlier run, in USAGE_DIR
		p, err := l.Log().List(t.Context(), usage.Filter{}, "", 1)
		must(t, err)
		w.At = p.Rows[0].At.Add(2 * time.Minute) // its last minute has all that came in while it was asked
		l.Add(w.Record())
		must(t, l.Flush())
		k := l.Log().Kept()
		out.add("rows", "%d of an earlier run, %.1f bytes each", n, float64(k.Bytes)/float64(n))
		must(t, db.Close())
		return
	}
	var adding, flushing time.Duration
	begun, used := time.Now(), cpuTime()
	batch := make([]usage.Record, 200)
	for done := 0; done < rows; done += len(batch) {
		if done == measured { // the rest by blocks at once
			batch = make([]usage.Record, 4000)
		}
		for i := range batch {
			batch[i] = w.Record()
		}
		start := time.Now()
		for i := range batch {
			l.Add(batch[i])
		}
		added := time.Now()
		must(t, l.Flush())
		if done < measured {
			adding += added.Sub(start)
			flushing += time.Since(added)
		}
	}
	kept := l.Log().Kept()
	if int(kept.Rows) != rows || l.Totals(time.Time{}).Requests != int64(rows) {
		t.Errorf("%d rows in the log, %d in the sums, want %d", kept.Rows, l.Totals(time.Time{}).Requests, rows)
	}
	first := min(rows, measured)
	out.add("append, a flush per 200 rows", "%.0f rows/s; Add %v a row", float64(first)/(adding+flushing).Seconds(), adding/time.Duration(first))
	out.add("filling", "%v; %.0f rows per second of CPU, making them included", time.Since(begun).Round(time.Second), float64(rows)/(cpuTime()-used).Seconds())
	out.add("bytes a row", "%.1f as the log counts them, %.1f on disk with the sums of all names", float64(kept.Bytes)/float64(kept.Rows), float64(diskSize(t, dir))/float64(rows))
	must(t, db.Close())
}

func diskSize(t *testing.T, dir string) (size int64) {
	must(t, filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			info, err := d.Info()
			must(t, err)
			size += info.Size()
		}
		return err
	}))
	return size
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc >> 20
}

// ask times all kinds of questions while rows keep coming.
func ask(t *testing.T, out *table, w *world, l *usage.Ledger) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	log, end := l.Log(), w.At
	first, err := log.List(ctx, usage.Filter{}, "", 100)
	must(t, err)
	go func() { // a writer at some 1,000 rows/s
		defer close(done)
		writer := newWorld(9, 9, end, time.Millisecond)
		for ctx.Err() == nil {
			for range 100 {
				l.Add(writer.Record())
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
	runtime.LockOSThread() // for threadTime
	defer runtime.UnlockOSThread()
	most, _ := strconv.Atoi(os.Getenv("USAGE_TIMES")) // fewer questions, for a busy machine
	random := func() time.Time { return end.Add(-time.Duration(w.Int64N(int64(week)))) }
	old := func() string { // the id of a request from any time
		p, err := log.List(ctx, usage.Filter{To: random()}, "", 1)
		must(t, err)
		if len(p.Rows) == 0 {
			return first.Rows[0].RequestID
		}
		return p.Rows[0].RequestID
	}
	list := func(f func() usage.Filter) func() string {
		return func() string {
			p, err := log.List(ctx, f(), "", 100)
			must(t, err)
			return answered(p.Complete, "%d rows", len(p.Rows))
		}
	}
	for _, q := range []struct {
		name  string
		times int
		ask   func() string
	}{
		{"list: newest", 300, list(func() usage.Filter { return usage.Filter{} })},
		{"list: before a moment", 300, list(func() usage.Filter { return usage.Filter{To: random()} })},
		{"list: class failed", 200, list(func() usage.Filter { return usage.Filter{Class: "failed"} })},
		{"list: busy user", 200, list(func() usage.Filter { return usage.Filter{User: user(w.IntN(20))} })},
		{"list: quiet user", 200, list(func() usage.Filter { return usage.Filter{User: user(userKeys - 1 - w.IntN(500))} })},
		{"list: Gemini key", 200, list(func() usage.Filter { return usage.Filter{Key: key(w.IntN(geminiKeys))} })},
		{"list: Gemini key, failed", 200, list(func() usage.Filter { return usage.Filter{Key: key(w.IntN(geminiKeys)), Class: "failed"} })},
		{"list: no such user", 200, list(func() usage.Filter { return usage.Filter{User: w.ID("x", 9)} })},
		{"list: code and reason", 200, list(func() usage.Filter { return usage.Filter{Code: "503", Reason: "overloaded", Model: "gemini-3-pro"} })},
		{"list: busy user, a code", 200, list(func() usage.Filter { return usage.Filter{User: user(w.IntN(20)), Code: "INVALID_ARGUMENT"} })},
		{"list: slower than any", 200, list(func() usage.Filter { return usage.Filter{MinDuration: time.Hour} })},
		{"list: slow and two attempts", 200, list(func() usage.Filter { return usage.Filter{MinDuration: 22 * time.Second, MinAttempts: 2} })},
		{"find by request id", 300, func() string {
			_, found, err := log.Find(ctx, old())
			must(t, err)
			return fmt.Sprint(found)
		}},
		{"find no request", 200, func() string {
			_, found, err := log.Find(ctx, w.ID("req_", 20))
			must(t, err)
			return fmt.Sprint(found)
		}},
		{"histogram: 7 days", 200, func() string {
			b, err := log.Histogram(ctx, usage.Filter{From: end.Add(-week), To: end}, time.Hour)
			must(t, err)
			return answered(b.Complete, "%d bars", len(b.Counts))
		}},
		{"histogram: failed, 1 day", 200, func() string {
			b, err := log.Histogram(ctx, usage.Filter{Class: "failed", From: end.Add(-24 * time.Hour), To: end}, 5*time.Minute)
			must(t, err)
			return answered(b.Complete, "%d bars", len(b.Counts))
		}},
		{"histogram: busy user, 7 days", 100, func() string {
			b, err := log.Histogram(ctx, usage.Filter{User: user(3), From: end.Add(-week), To: end}, time.Hour)
			must(t, err)
			return answered(b.Complete, "%d bars", len(b.Counts))
		}},
		{"overview: 1 hour", 200, func() string { return overview(t, l, end, time.Hour, time.Minute) }},
		{"overview: 1 day", 200, func() string { return overview(t, l, end, 24*time.Hour, 5*time.Minute) }},
		{"overview: 7 days", 100, func() string { return overview(t, l, end, week, time.Hour) }},
		{"series: user, 1 day by 5 minutes", 100, func() string {
			s, err := l.Series(usage.Query{User: user(3)}, end.Add(-24*time.Hour), 5*time.Minute)
			must(t, err)
			return fmt.Sprintf("%d points", len(s.Points))
		}},
		{"day of a Gemini key", 300, func() string { return fmt.Sprint(l.Day(usage.ByKey, key(w.IntN(geminiKeys))).Attempts > 0) }},
	} {
		var took []time.Duration
		if most > 0 {
			q.times = min(q.times, most)
		}
		answer, whole, used := "", 0, threadTime()
		for range q.times {
			start := time.Now()
			answer = q.ask()
			took = append(took, time.Since(start))
			if !strings.HasPrefix(answer, unfinished) {
				whole++
			}
		}
		each := (threadTime() - used) / time.Duration(q.times)
		slices.Sort(took)
		p99 := took[len(took)*99/100]
		out.add(q.name, "p50 %7.2f ms  p99 %7.2f ms  CPU %7.2f ms  whole %3d %%  %s",
			took[len(took)/2].Seconds()*1e3, p99.Seconds()*1e3, each.Seconds()*1e3, whole*100/q.times, answer)
		if p99 > answerGoal {
			t.Errorf("%s: p99 is %v, want up to %v", q.name, p99, answerGoal)
		}
	}
	cancel()
	<-done
}

// unfinished begins answers that stopped at the time that one may take.
const unfinished = "in part: "

func answered(complete bool, format string, args ...any) string {
	if !complete {
		format = unfinished + format
	}
	return fmt.Sprintf(format, args...)
}

// overview asks what the first page of the UI shows.
func overview(t *testing.T, l *usage.Ledger, end time.Time, span, step time.Duration) string {
	now, err := l.Report(end.Add(-span), time.Time{})
	must(t, err)
	_, err = l.Report(end.Add(-2*span), end.Add(-span))
	must(t, err)
	s, err := l.Series(usage.Query{}, end.Add(-span), step)
	must(t, err)
	users, err := l.Names(usage.ByUser, end.Add(-span))
	must(t, err)
	l.Live()
	return fmt.Sprintf("%d requests, %d points, %d users", now.Requests, len(s.Points), len(users))
}
