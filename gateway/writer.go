// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// clientWriter is the client's side of an exchange. It knows two points of no
// return: started (the header is out, by a heartbeat at the earliest) and
// committed (output is out, no other key may take over). Its mutex lets the
// heartbeat's timer write between the exchange's writes.
type clientWriter struct {
	owner    *exchange // completes the header when it goes out; nil for the parts of one
	deadline time.Time // of the whole request; zero = none

	mu          sync.Mutex
	w           http.ResponseWriter
	rc          http.ResponseController
	flusher     flusher    // w, where it is one; else rc looks for one inside of it
	values      [16]string // of the header, see set
	valued      int        // how many of them are in use
	status      int        // 0 until started
	model       string     // that is asked; "" for none
	useful      bool
	early       bool  // a heartbeat sent the header
	err         error // first write error; all further writes fail with it
	comment     []byte
	contentType string
	every       time.Duration
	lastWrite   time.Time
	armed       time.Time     // when the write deadline was set last; zero = there is none
	alone       bool          // the deadline ends a stream even if nobody writes: HTTP/2
	silence     *time.Timer   // takes the deadline away; nil before it is needed
	timer       *time.Timer   // nil when no heartbeat runs
	kept        *usage.Bodies // for the request log; nil = nobody wants it
}

// flusher is a http.ResponseWriter that can send what it has.
type flusher interface{ FlushError() error }

func newClientWriter(w http.ResponseWriter) *clientWriter { return new(clientWriter).to(w) }

// to has the zero clientWriter c write to w.
func (c *clientWriter) to(w http.ResponseWriter) *clientWriter {
	c.w, c.rc = w, *http.NewResponseController(w)
	c.flusher, _ = w.(flusher)
	return c
}

// set sets a header, by its canonical name. Its value has a place in c: a dozen of
// them would be as many allocations. c.mu is held, or no heartbeat runs.
func (c *clientWriter) set(name, value string) {
	if c.valued == len(c.values) {
		c.w.Header()[name] = []string{value}
		return
	}
	at := c.valued
	c.valued++
	c.values[at] = value
	c.w.Header()[name] = c.values[at:c.valued:c.valued]
}

func (c *clientWriter) started() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status != 0
}

func (c *clientWriter) committed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.useful
}

// about says which model is asked from now on.
func (c *clientWriter) about(model string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.model = model
}

// heartbeat writes comment whenever nothing was written for the given time. The
// first one sends the header of a successful stream.
func (c *clientWriter) heartbeat(every time.Duration, comment, contentType string) {
	if every <= 0 || comment == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.comment, c.contentType, c.every, c.lastWrite = []byte(comment), contentType, every, time.Now()
	c.timer = time.AfterFunc(every, c.beat)
}

func (c *clientWriter) beat() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer == nil {
		return
	}
	if silent := time.Since(c.lastWrite); silent < c.every {
		c.timer.Reset(c.every - silent)
		return
	}
	c.early = c.early || c.status == 0
	if c.write(c.comment, c.contentType, time.Now()) == nil {
		c.timer.Reset(c.every)
	}
}

// stop ends the heartbeat; after it the writer is the caller's alone.
func (c *clientWriter) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	if c.silence != nil {
		c.silence.Stop()
	}
	c.disarm() // the connection serves further requests
}

// disarm takes the deadline of writes away. c.mu is held.
func (c *clientWriter) disarm() {
	if !c.armed.IsZero() {
		c.armed = time.Time{}
		_ = c.rc.SetWriteDeadline(time.Time{})
	}
}

// output writes and flushes a piece of a stream and commits it. now is the time.
func (c *clientWriter) output(p []byte, contentType string, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.useful = true
	return c.write(p, contentType, now)
}

// stall is how long a write may wait for a client that does not read.
const stall = time.Minute

// arm sets the deadline of the writes that follow: a stalled client must not hold
// a key, a place and a connection for ever, nor longer than the request may take.
// It is moved only now and then, so that it costs nothing per event. c.mu is held.
func (c *clientWriter) arm(now time.Time) {
	if now.Before(c.armed.Add(stall / 4)) {
		return
	}
	c.armed = now
	deadline := now.Add(stall + stall/4)
	if !c.deadline.IsZero() && c.deadline.Before(deadline) {
		deadline = c.deadline
	}
	_ = c.rc.SetWriteDeadline(deadline) // not every writer has deadlines
	switch {
	case !c.alone:
	case c.silence != nil:
		c.silence.Reset(stall)
	default:
		c.silence = time.AfterFunc(stall, func() {
			c.mu.Lock() // not while a write waits
			defer c.mu.Unlock()
			if !time.Now().Before(c.armed.Add(stall)) { // else something was written meanwhile
				c.disarm()
			}
		})
	}
}

// write sends the header of a stream if that is still due, then p. c.mu is held.
func (c *clientWriter) write(p []byte, contentType string, now time.Time) error {
	if c.err != nil {
		return c.err
	}
	if c.status == 0 {
		c.set("Content-Type", contentType)
		c.set("Cache-Control", "no-cache")
		c.set("X-Accel-Buffering", "no")
		c.set("X-Content-Type-Options", "nosniff")
		c.header(http.StatusOK)
	}
	if c.timer != nil {
		c.lastWrite = now
	}
	c.arm(now)
	c.keep(p)
	if _, c.err = c.w.Write(p); c.err != nil { //nolint:gosec // JSON and event streams, never HTML; nosniff is set
		return c.err
	}
	if c.flusher != nil {
		c.err = c.flusher.FlushError()
	} else {
		c.err = c.rc.Flush()
	}
	return c.err
}

// unhurried is how many bytes of a whole answer net/http's server takes without
// writing to the network before the handler has returned.
const unhurried = 2 << 10

// answer writes a whole answer.
func (c *clientWriter) answer(a translate.Answer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.ContentType != "" {
		c.set("Content-Type", a.ContentType)
	}
	c.set("Content-Length", strconv.Itoa(len(a.Body)))
	c.set("X-Content-Type-Options", "nosniff")
	c.useful = a.Status == http.StatusOK
	c.header(a.Status)
	if len(a.Body) >= unhurried { // else nothing waits for the client here
		c.arm(time.Now())
	}
	c.keep(a.Body)
	_, c.err = c.w.Write(a.Body)
	return c.err
}

func (c *clientWriter) header(status int) {
	c.status = status
	if c.model != "" {
		c.set("X-Gemini-Balance-Model", c.model)
	}
	if c.owner != nil {
		c.owner.headers()
		if !c.early {
			c.owner.explain(c.w.Header())
		}
	}
	c.w.WriteHeader(status)
}

// watchdog is the lifetime of an attempt. It ends one that makes no progress: first
// after the time for the first output, then after the time between two outputs. With
// one timer it looks after the request's deadline, too.
type watchdog struct {
	lifetime
	whole *lifetime // of the request; zero where its context is another
	began time.Time
	due   time.Time    // when it looks for the first time
	last  atomic.Int64 // when it was fed last, in nanoseconds since began
	idle  atomic.Int64 // nanoseconds; 0 until fed
}

func newWatchdog(parent context.Context, first time.Duration, now time.Time) *watchdog {
	d := &watchdog{began: now}
	d.whole, _ = parent.(*lifetime)
	if d.whole == nil {
		d.whole = new(lifetime)
	}
	d.begin(parent)
	first = d.whole.left(first, now)
	d.due = now.Add(first)
	d.alarm(first, d.look)
	return d
}

// look ends the attempt, or comes back when its time would be up.
func (d *watchdog) look() {
	now, idle := time.Now(), time.Duration(d.idle.Load())
	if d.whole.left(1, now) <= 0 {
		d.whole.end(errTotal)
		return
	}
	if idle == 0 {
		d.end(errFirstOutput)
		return
	}
	if silent := now.Sub(d.began) - time.Duration(d.last.Load()); silent < idle {
		d.again(d.whole.left(min(idle-silent, idle), now))
		return
	}
	d.end(errIdle)
}

// rest keeps it quiet until it is fed: what is waited for meanwhile is not Google.
func (d *watchdog) rest(idle time.Duration, now time.Time) {
	d.feed(idle, now)
	d.last.Store(int64(now.Sub(d.began) + 24*time.Hour))
}

// feed notes progress. The timer is moved when it fires, or for the first time if that
// would be too late, so that feeding per event costs next to nothing. One goroutine feeds.
func (d *watchdog) feed(idle time.Duration, now time.Time) {
	d.last.Store(int64(now.Sub(d.began)))
	if d.idle.Load() == 0 {
		d.idle.Store(int64(idle))
		if now.Add(idle).Before(d.due) {
			d.again(idle)
		}
	}
}
