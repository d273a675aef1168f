// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
)

// world makes records as a gateway with users, keys and models would.
type world struct {
	*rand.Rand
	at           time.Time
	users, keys  int
	n            int
	millis       int // between two requests, at most
	oddIDs, wild bool
}

func pick[T any](w *world, of ...T) T { return of[w.IntN(len(of))] }

func (w *world) id() string {
	out := []byte(idPrefix)
	for range idChars {
		out = append(out, idAlphabet[w.IntN(len(idAlphabet))])
	}
	return string(out)
}

func (w *world) record() Record {
	w.n++
	w.at = w.at.Add(time.Duration(w.IntN(w.millis)) * time.Millisecond)
	model := pick(w, "gemini-3-flash", "gemini-3-flash", "gemini-3-pro", "gemini-embedding-001")
	r := Record{
		At: w.at, RequestID: w.id(), Dialect: pick(w, "openai", "openai", "anthropic", "gemini"), Endpoint: "chat.completions",
		Asked: model, Model: model, Version: model + "-001", KeyID: fmt.Sprintf("gk_%08d", w.IntN(w.keys)),
		UserID: fmt.Sprintf("user%06d", w.IntN(w.users)), IP: netip.AddrFrom4([4]byte{10, 0, byte(w.IntN(4)), byte(w.IntN(256))}),
		Agent: pick(w, "OpenAI/Python 1.2.3", "claude-cli/2.0"), Status: 200, Outcome: "ok", Attempts: 1, Stream: w.IntN(2) == 0,
		Input: w.Int64N(20_000), Output: w.Int64N(3_000), Thoughts: w.Int64N(500), Priced: w.IntN(10) > 0, Price: "google, 2026-10-07",
		Waited: time.Duration(w.IntN(3)) * time.Millisecond, FirstOutput: time.Duration(100+w.IntN(2000)) * time.Millisecond,
	}
	r.Project = "p" + r.KeyID
	r.Duration = r.FirstOutput + time.Duration(w.IntN(20_000))*time.Millisecond
	if r.Priced {
		r.Cost = r.Input*300 + r.Output*2500
	}
	try := Try{KeyID: r.KeyID, Project: r.Project, Status: 200, Verdict: "ok", Started: r.Waited, Duration: r.Duration - r.Waited}
	switch w.IntN(20) {
	case 0:
		failed := Try{KeyID: fmt.Sprintf("gk_%08d", w.IntN(w.keys)), Project: "px", Status: 429, Verdict: "rate_limited", Reason: "per minute", Duration: 80 * time.Millisecond}
		r.Attempts, r.Tries = 2, []Try{failed, try}
	case 1:
		r.Status, r.Outcome, r.Code, r.Error = 400, "invalid_request", "INVALID_ARGUMENT", "contents is empty"
		r.Cost, r.Input, r.Output, r.Thoughts, r.FirstOutput = 0, 0, 0, 0, 0
		try.Status, try.Verdict, try.Reason = 400, "invalid_request", "contents is empty"
		r.Tries = []Try{try}
	case 2:
		r.Status, r.Outcome = 429, "rate_limited"
		r.KeyID, r.Project, r.Attempts = "", "", 0
	case 3:
		try.Status, try.Verdict = 0, "unreachable"
		r.Status, r.Outcome, r.Partial = 200, "truncated", true
		r.Tries = []Try{try}
	case 4: // simply answered, for the client
		lost := Try{KeyID: fmt.Sprintf("gk_%08d", w.IntN(w.keys)), Project: "px", Status: 503, Verdict: "overloaded"}
		r.Tries = []Try{lost, try}
	default:
		r.Tries = []Try{try}
	}
	if w.oddIDs && w.IntN(50) == 0 {
		r.RequestID = fmt.Sprint("client-", w.n)
	}
	if w.wild {
		r.Agent, r.Error = strings.Repeat("ü", w.IntN(300)), strings.Repeat("x", w.IntN(900))
	}
	return r
}

func newWorld(seed uint64) *world {
	return &world{Rand: rand.New(rand.NewPCG(seed, 1)), at: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), users: 50, keys: 40, millis: 200}
}

func (w *world) records(n int) []Record {
	out := make([]Record, n)
	for i := range out {
		out[i] = w.record()
	}
	return out
}

func openTestLog(t testing.TB, s store.Store, now func() time.Time, o LogOptions) *Log {
	t.Helper()
	l, err := openLog(s, nil, now, o)
	if err != nil {
		t.Fatal(err)
	}
	l.scan = time.Hour
	return l
}

func flushLog(t testing.TB, l *Log) {
	t.Helper()
	if err := l.flush(1<<64 - 1); err != nil {
		t.Fatal(err)
	}
}

// kept is a record as the log gives it back.
func kept(r Record) Record {
	b, err := decodeRows(encodeRows([]Record{r}))
	if err != nil {
		panic(err)
	}
	return b.record(0)
}

func TestRows_ComeBack(t *testing.T) {
	for _, n := range []int{0, 1, 2, 255, 256, 257, 1000} {
		w := newWorld(uint64(n))
		w.oddIDs, w.keys = n > 100, 100_000
		want := w.records(n)
		b, err := decodeRows(encodeRows(want))
		if err != nil {
			t.Fatal(n, err)
		}
		got, err := b.all()
		if err != nil {
			t.Fatal(n, err)
		}
		for i := range want {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Fatalf("%d rows, row %d:\n got %+v\nwant %+v", n, i, got[i], want[i])
			}
			if b.findID(want[i].RequestID) != i {
				t.Fatalf("%d rows: row %d is not found by its id", n, i)
			}
		}
	}
}

func TestRows_RoundUpAndCut(t *testing.T) {
	r := Record{At: time.UnixMilli(5).UTC(), FirstOutput: time.Microsecond, Duration: 1500 * time.Microsecond, Error: strings.Repeat("é", 400), IP: netip.MustParseAddr("2001:db8::1")}
	for i := range maxTries + 12 {
		r.Tries = append(r.Tries, Try{Status: 500 + i, Verdict: "server_error"})
	}
	r.trim()
	got := kept(r)
	if got.FirstOutput != time.Millisecond || got.Duration != 2*time.Millisecond || got.IP != r.IP {
		t.Errorf("%v, %v, %v", got.FirstOutput, got.Duration, got.IP)
	}
	if len(got.Error) != 500 || len(got.Tries) != maxTries || got.Tries[maxTries-1].Status != 511+maxTries {
		t.Errorf("error of %d bytes, %d tries", len(got.Error), len(got.Tries))
	}
}

// Damage gives an error or other rows, never a panic.
func FuzzDecodeRows(f *testing.F) {
	f.Add(summarize(1, newWorld(1).records(3), 1, 0).encode())
	f.Add(encodeRows(newWorld(1).records(3)))
	f.Add([]byte{blockFormat, 0xff, 0xff, 3})
	f.Fuzz(func(_ *testing.T, data []byte) {
		if b, err := decodeRows(data); err == nil {
			_, _ = b.all()
			b.findID("x")
			Filter{Model: "gemini-3-pro", Key: "k"}.query().find(b)
		}
		if s, err := decodeSummary(1, data); err == nil {
			s.eachMinute(func(int64, [classCount]int64) {})
			Filter{Model: "gemini-3-pro", Key: "k", MinAttempts: 2}.query().mayHave(s)
		}
	})
}

// filters are all kinds of questions about the rows of a world.
func (w *world) filter(rows []Record) (f Filter) {
	r := rows[w.IntN(len(rows))]
	for range 1 + w.IntN(3) {
		switch w.IntN(13) {
		case 0:
			f.From = r.At
		case 1:
			f.To = r.At
		case 2:
			f.Class = r.Class().String()
		case 3:
			f.Status = r.Status
		case 4:
			f.Code = pick(w, "429", "503", "network", "INVALID_ARGUMENT", "400")
		case 5:
			f.Reason = pick(w, r.Outcome, "rate_limited", "unreachable", "overloaded")
		case 6:
			f.Model = r.Model
		case 7:
			f.User = pick(w, r.UserID, "nobody")
		case 8:
			f.Key = pick(w, r.KeyID, "gk_00000001")
		case 9:
			f.Dialect = r.Dialect
		case 10:
			f.RequestID = pick(w, r.RequestID, "req_no")
		case 11:
			f.MinDuration = time.Duration(w.IntN(25_000)) * time.Millisecond
		case 12:
			f.MinAttempts = w.IntN(4)
		}
	}
	return f
}

func ids(rows []Record) (out []string) {
	for i := range rows {
		out = append(out, rows[i].RequestID)
	}
	return out
}

// TestLog_AsNaive compares pages and histograms with what a loop over all records
// says, while the log grows, is reopened and its clock is set back.
func TestLog_AsNaive(t *testing.T) {
	ctx := context.Background()
	seeds := uint64(3)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		w := newWorld(seed)
		w.oddIDs = true
		now := func() time.Time { return w.at }
		s := memory.NewAt(now)
		l := openTestLog(t, s, now, LogOptions{})
		var all []Record
		for round := range 12 {
			some := w.records(1 + w.IntN(700))
			all = append(all, some...)
			l.append(slices.Clone(some))
			if w.IntN(4) > 0 {
				flushLog(t, l)
				if w.IntN(4) == 0 {
					l = openTestLog(t, s, now, LogOptions{})
				}
			}
			if round == 6 {
				w.at = w.at.Add(-3 * time.Minute)
			}
		}
		l.scan = time.Hour // whatever else the machine does
		for range 60 {
			f := w.filter(all)
			q := f.query()
			var want []Record
			for i := range all {
				if q.wants(&all[i]) {
					want = append(want, all[i])
				}
			}
			slices.Reverse(want)
			var got []Record
			limit := 20 + w.IntN(200)
			for cursor := ""; ; {
				p, err := l.List(ctx, f, cursor, limit)
				if err != nil {
					t.Fatal(err)
				}
				if got = append(got, p.Rows...); p.Next == "" {
					break
				}
				if p.Complete && len(p.Rows) != limit {
					t.Fatalf("%+v: a complete page of %d of %d", f, len(p.Rows), limit)
				}
				if len(got) == len(want) {
					t.Fatalf("%+v: next %s after the last of %d rows", f, p.Next, len(want))
				}
				cursor = p.Next
			}
			if !slices.Equal(ids(got), ids(want)) {
				t.Fatalf("seed %d, %+v: %d rows, want %d", seed, f, len(got), len(want))
			}
			if len(want) > 0 && !reflect.DeepEqual(got[0], kept(want[0])) {
				t.Fatalf("%+v\nwant %+v", got[0], kept(want[0]))
			}
			checkBars(t, l, f, want, all)
		}
	}
}

func checkBars(t *testing.T, l *Log, f Filter, want, all []Record) {
	t.Helper()
	if f.From.IsZero() {
		f.From = all[0].At.Add(-10 * time.Minute)
	}
	if f.To.IsZero() {
		f.To = all[0].At.Add(time.Hour)
	}
	// Whole minutes, so that both ways of counting mean the same.
	f.From, f.To = f.From.Truncate(time.Minute), f.To.Truncate(time.Minute)
	q := f.query()
	var counts [classCount]int64
	for i := range all {
		if q.wants(&all[i]) {
			counts[all[i].Class()]++
		}
	}
	b, err := l.Histogram(context.Background(), f, 2*time.Minute)
	if err != nil || !b.Complete {
		t.Fatal(err, b.Complete)
	}
	var got [classCount]int64
	for _, n := range b.Counts {
		for c := range n {
			got[c] += n[c]
		}
	}
	if got != counts {
		t.Fatalf("%+v: histogram has %v, want %v", f, got, counts)
	}
}

func TestLog_DropsTheOldest(t *testing.T) {
	w := newWorld(1)
	w.millis = 20_000
	now := func() time.Time { return w.at }
	s := memory.NewAt(now)
	l := openTestLog(t, s, now, LogOptions{Retention: 12 * time.Hour, MaxSize: 1 << 30})
	add := func(n int) {
		for range n {
			l.append(w.records(100))
			flushLog(t, l)
		}
	}
	add(200) // 55 hours
	k := l.Kept()
	if age := w.at.Sub(k.From); age > 14*time.Hour || k.Rows < 4000 {
		t.Errorf("oldest is %v old, %d rows", age, k.Rows)
	}
	p, err := l.List(t.Context(), Filter{To: w.at.Add(-12 * time.Hour)}, "", 10)
	if err != nil || len(p.Rows) > 0 {
		t.Errorf("%d rows beyond the retention: %v", len(p.Rows), err)
	}
	l.SetOptions(LogOptions{Retention: 12 * time.Hour, MaxSize: 100_000})
	flushLog(t, l)
	if k = l.Kept(); k.Bytes > 100_000 || k.Bytes == 0 {
		t.Errorf("%d bytes are kept", k.Bytes)
	}
	again := openTestLog(t, s, now, LogOptions{}).Kept()
	if again.Rows != k.Rows || again.Bytes != k.Bytes || !again.From.Equal(k.From) {
		t.Errorf("%+v after reopening, before %+v", again, k)
	}
	// An idle log forgets too.
	w.at = w.at.Add(30 * time.Hour)
	flushLog(t, l)
	if k = l.Kept(); k.Rows != 0 {
		t.Errorf("%d rows a day later", k.Rows)
	}
	n := 0
	for _, prefix := range []string{chunkPrefix, blockPrefix, summaryPrefix, filterPrefix} {
		_ = s.Scan(prefix, "", func(string, []byte) bool { n++; return true })
	}
	if n > 0 {
		t.Errorf("%d keys of dropped rows", n)
	}
	l.append(w.records(5))
	flushLog(t, l)
	if k = openTestLog(t, s, now, LogOptions{}).Kept(); k.Rows != 5 {
		t.Errorf("%d rows, want 5", k.Rows)
	}
}

// TestLog_KeptOfTheYoung: what is in no block yet counts as well, from its first flush
// on and after a start.
func TestLog_KeptOfTheYoung(t *testing.T) {
	w := newWorld(5)
	now := func() time.Time { return w.at }
	s := memory.NewAt(now)
	l := openTestLog(t, s, now, LogOptions{})
	if k := l.Kept(); k.Bytes != 0 {
		t.Errorf("%d bytes of nothing", k.Bytes)
	}
	before := int64(0)
	for range 3 {
		l.append(w.records(20))
		flushLog(t, l)
		k := l.Kept()
		if k.Bytes <= before || k.Bytes > before+20*400 {
			t.Errorf("%d bytes, %d before 20 more rows", k.Bytes, before)
		}
		before = k.Bytes
		if again := openTestLog(t, s, now, LogOptions{}).Kept(); again.Bytes != k.Bytes {
			t.Errorf("%d bytes after a start, %d before", again.Bytes, k.Bytes)
		}
	}
	l.append(w.records(blockRows))
	flushLog(t, l)
	if k := l.Kept(); k.Bytes <= before || k.Bytes > int64(blockRows+60)*400 {
		t.Errorf("%d bytes with a block", k.Bytes)
	}
}

func TestLog_Bodies(t *testing.T) {
	w := newWorld(3)
	now := func() time.Time { return w.at }
	s := memory.NewAt(now)
	sealer, err := store.NewSealer(make([]byte, store.MasterKeySize))
	if err != nil {
		t.Fatal(err)
	}
	open := func() *Log {
		l, err := openLog(s, sealer, now, LogOptions{Bodies: BodiesErrors})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := open()
	r := w.record()
	r.Bodies = &Bodies{Request: []byte("what is the canary"), Response: make([]byte, MaxBody+1)}
	l.append([]Record{w.record(), r, w.record()})
	check := func(when string) {
		t.Helper()
		got, found, err := l.Find(t.Context(), r.RequestID)
		if err != nil || !found || got.Bodies == nil || string(got.Bodies.Request) != "what is the canary" {
			t.Fatalf("%s: %v %v %v", when, found, got.Bodies, err)
		}
	}
	check("before it is written")
	flushLog(t, l)
	check("from a chunk")
	l = open()
	l.append(w.records(blockRows))
	flushLog(t, l)
	check("from a block")
	if l = open(); l.view.Load().blocks[0].bodies == 0 {
		t.Error("the bodies do not count")
	}
	check("reopened")
	got, _, _ := l.Find(t.Context(), r.RequestID)
	if len(got.Bodies.Response) != MaxBody || !got.Bodies.Cut {
		t.Errorf("%d bytes, cut %v", len(got.Bodies.Response), got.Bodies.Cut)
	}
	_ = s.Scan("", "", func(key string, value []byte) bool {
		if strings.Contains(string(value), "canary") {
			t.Errorf("%s has a body in clear", key)
		}
		return true
	})
	w.at = w.at.Add(20 * 24 * time.Hour)
	flushLog(t, l)
	_ = s.Scan(bodyPrefix, "", func(key string, _ []byte) bool { t.Error(key, "is still there"); return true })
}
