// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"math"
	"math/rand/v2"
	"net/http"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/anthropic"
)

// Gate keeps a process from taking more requests than it can serve: what it refuses
// costs next to nothing, so that what it takes is served in time. One is shared by
// all gateways of a process. It refuses
//
//   - what would be more requests at a time than memory and file descriptors bear,
//   - bodies that together, and with large answers, would take more of the memory than is
//     left for them; the answers themselves wait, see [holdings],
//   - what comes while this process keeps processors so busy that goroutines wait for
//     them for longer than maxDelay; as many requests at a time as do not make them wait
//     are left alone.
//
// Taking a request is an atomic addition and one or two loads.
type Gate struct {
	most     int64 // requests at a time
	mostHeld int64 // bytes of bodies at a time
	spared   int64 // requests at a time that are not too many for the processors

	inFlight atomic.Int64
	held     atomic.Int64
	refused  atomic.Int64
	answers  holdings
	turns    turns

	room    atomic.Int64 // requests at a time that the processors bear, as far as is known
	sampled atomic.Int64 // when room was last worked out, in Unix nanoseconds
	mu      sync.Mutex   // of what follows; whoever samples has it
	delays  delays
	used    time.Duration // processor time until the last sample
	late    time.Time     // since when delays are too long; zero = they are not
}

const (
	// maxDelay is how long goroutines that are ready may wait, on average. Processors
	// that are busy for 95 % of the time make them wait for less than a tenth of it.
	maxDelay = 5 * time.Millisecond
	// burst is how long delays may be too long before anything is refused for them: a
	// some hundred requests that come at once are served within that, and should be.
	burst = 500 * time.Millisecond
	// busyShare is the part of the processors' time, one in so many, that this process
	// must have used for the delays to be its own doing.
	busyShare = 4
	// sampleEvery is how often room is worked out.
	sampleEvery = 50 * time.Millisecond
	// ownMemory is what the process takes without any request: the store, the pool, Caddy.
	ownMemory = 128 << 20
	// perRequest is what a request takes while it runs, without its body, its
	// connections included.
	perRequest = 128 << 10
	// gatePause is what those who are refused are told to wait, and up to as long again.
	gatePause = time.Second
)

// NewGate makes a Gate for the memory limit (GOMEMLIMIT, which Caddy sets to nine
// tenths of the container's or the machine's memory) and the number of files that
// the process may open.
func NewGate() *Gate {
	return newGate(debug.SetMemoryLimit(-1), openFiles())
}

func newGate(memory, files int64) *Gate {
	g := &Gate{most: math.MaxInt64, mostHeld: math.MaxInt64, spared: 64 * int64(runtime.GOMAXPROCS(0)), turns: newTurns()}
	if memory < math.MaxInt64 {
		// One half for requests; the other one for their bodies, of which there are two
		// and a half copies at the worst (TestMemory_LargeBodies).
		left := max(memory-ownMemory, memory/4)
		g.most, g.mostHeld = left/2/perRequest, left/5
	}
	if files > 0 { // one to the client, one to Google, and some for the store
		g.most = min(g.most, max(files-200, files/2)/2)
	}
	g.most = max(g.most, g.spared)
	g.room.Store(g.most)
	return g
}

// InFlight is how many requests run.
func (g *Gate) InFlight() int64 { return g.inFlight.Load() }

// Refused is how many requests were refused.
func (g *Gate) Refused() int64 { return g.refused.Load() }

// Limits are how many requests, and how many bytes of bodies, are taken at a time.
func (g *Gate) Limits() (requests, bytes int64) { return g.most, g.mostHeld }

// enter takes a request, which leave ends, or refuses it. A nil Gate takes all.
func (g *Gate) enter() bool {
	if g == nil {
		return true
	}
	n := g.inFlight.Add(1)
	if n <= g.spared {
		return true
	}
	now := time.Now()
	g.sample(now, n)
	if n > g.room.Load() || g.answers.tooLong(now) || g.turns.tooLong(now) {
		g.inFlight.Add(-1)
		g.refused.Add(1)
		return false
	}
	return true
}

func (g *Gate) leave() {
	if g != nil {
		g.inFlight.Add(-1)
	}
}

// hold takes room for bytes of a body, which release gives back.
func (g *Gate) hold(bytes int64) bool {
	if g == nil || bytes <= 0 {
		return true
	}
	if n := g.held.Add(bytes); n > g.mostHeld && n > bytes { // one alone is let in, however large
		g.held.Add(-bytes)
		g.refused.Add(1)
		return false
	}
	return true
}

func (g *Gate) release(bytes int64) {
	if g != nil {
		g.held.Add(-bytes)
		g.answers.mu.Lock()
		defer g.answers.mu.Unlock()
		g.serveHoldings()
	}
}

// sample works room out anew, if it is time; running is how many requests run.
func (g *Gate) sample(now time.Time, running int64) {
	last, at := g.sampled.Load(), now.UnixNano()
	if at-last < int64(sampleEvery) || !g.sampled.CompareAndSwap(last, at) || !g.mu.TryLock() {
		return
	}
	defer g.mu.Unlock()
	delay, known := g.delays.mean()
	used, measured := processorTime()
	span, spent := time.Duration(at-last), used-g.used
	g.used = used
	switch {
	case span > 20*sampleEvery:
		delay = 0 // what was, is over
	case measured && !busy(spent, span, runtime.GOMAXPROCS(0)):
		delay = 0 // others have the processors: to refuse would not help
	case !known:
		return // what runs takes so long that hardly anybody's turn came
	}
	switch {
	case delay <= maxDelay:
		g.late = time.Time{}
	case g.late.IsZero():
		g.late = now
	}
	room := g.room.Load()
	if room == g.most && now.Sub(g.late) < burst && !g.late.IsZero() {
		return
	}
	g.room.Store(min(g.most, max(g.spared, nextRoom(room, running, delay))))
}

// busy reports whether a process that used so much of so many processors within a time
// is what they are busy with.
func busy(spent, span time.Duration, processors int) bool {
	return spent >= span*time.Duration(processors)/busyShare
}

// nextRoom is the room for requests after one that was full or not. Where they wait
// for too long it becomes a little less than what runs, and less again only when what
// runs has become as few: streams that were taken go on for a while. Where they do not
// wait, it grows while it is what keeps others out.
func nextRoom(room, running int64, delay time.Duration) int64 {
	switch full := running >= room-room/10; {
	case delay > maxDelay && running <= room+room/20:
		return min(room, running) * 95 / 100
	case delay < maxDelay/2 && full:
		return room + max(room/20, 1)
	default:
		return room
	}
}

// delays are how long goroutines waited for a processor since that was known last.
type delays struct {
	sample [1]metrics.Sample
	before []uint64
}

// mean is not known while hardly anybody's turn came: those count the next time.
func (d *delays) mean() (delay time.Duration, known bool) {
	d.sample[0].Name = "/sched/latencies:seconds"
	metrics.Read(d.sample[:])
	if d.sample[0].Value.Kind() != metrics.KindFloat64Histogram {
		return 0, false
	}
	h := d.sample[0].Value.Float64Histogram()
	if len(d.before) != len(h.Counts) {
		d.before = slices.Clone(h.Counts)
		return 0, false
	}
	var all uint64
	var sum float64
	for i, n := range h.Counts {
		if n -= d.before[i]; n > 0 {
			all += n
			sum += float64(n) * max(0, h.Buckets[i]) // the first bucket begins before all time
		}
	}
	if all < 20 {
		return 0, false
	}
	copy(d.before, h.Counts)
	return time.Duration(sum / float64(all) * float64(time.Second)), true
}

// overloaded is what is told to whom the Gate refuses.
func overloaded() *translate.Failure {
	return &translate.Failure{
		Kind: translate.Overloaded, Message: "This gateway has more requests than it can serve at the moment. Try again.",
		RetryAfter: gatePause + rand.N(gatePause), //nolint:gosec // so that they do not come back together
	}
}

// shed refuses a request of which nothing was read, at as little cost as an answer
// can have: it is no row of the request log.
func (rt *route) shed(w http.ResponseWriter) {
	f, id := overloaded(), requestID()
	a, h := rt.failure(f), w.Header()
	h["X-Request-Id"] = []string{id}
	if rt.dialect == Anthropic {
		h["Request-Id"] = []string{id}
		a = anthropic.Identify(a, id)
		anthropicRetry(h, f)
	} else {
		setRetryAfter(h, f)
	}
	h["Content-Type"] = []string{a.ContentType}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body)
}

// holdFrom is the size of bodies that are counted: smaller ones are a part of what
// every request takes.
const holdFrom = 64 << 10

// hold takes room for a body of so many bytes in all.
func (x *exchange) hold(bytes int64) *translate.Failure {
	if bytes < holdFrom || bytes <= x.held {
		return nil
	}
	if !x.g.Gate.hold(bytes - x.held) {
		f := overloaded()
		f.Limit = "memory" // it was accepted, so it is in the books, and they say why
		return f
	}
	x.held = bytes
	return nil
}

// unhold gives back what hold took.
func (x *exchange) unhold() {
	if x.held > 0 {
		x.g.Gate.release(x.held)
		x.held = 0
	}
}
