// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// clientWriter is the client's side of an exchange. It knows two points of no
// return: started (the header is out, by a heartbeat at the earliest) and
// committed (output is out, no other key may take over). Its mutex lets the
// heartbeat's timer write between the exchange's writes.
type clientWriter struct {
	onHeader func(http.Header) // last chance to set headers
	onServed func(http.Header) // the same, but not for the header that a heartbeat sends
	deadline time.Time         // of the whole request; zero = none

	mu          sync.Mutex
	w           http.ResponseWriter
	rc          *http.ResponseController
	status      int    // 0 until started
	model       string // that is asked; "" for none
	useful      bool
	early       bool  // a heartbeat sent the header
	err         error // first write error; all further writes fail with it
	comment     []byte
	contentType string
	every       time.Duration
	lastWrite   time.Time
	armed       time.Time     // when the write deadline was set last
	timer       *time.Timer   // nil when no heartbeat runs
	kept        *usage.Bodies // for the request log; nil = nobody wants it
}

func newClientWriter(w http.ResponseWriter) *clientWriter {
	return &clientWriter{w: w, rc: http.NewResponseController(w)}
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
	if c.write(c.comment, c.contentType) == nil {
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
	if !c.armed.IsZero() {
		c.armed = time.Time{}
		_ = c.rc.SetWriteDeadline(time.Time{}) // the connection serves further requests
	}
}

// output writes and flushes a piece of a stream and commits it.
func (c *clientWriter) output(p []byte, contentType string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.useful = true
	return c.write(p, contentType)
}

// stall is how long a write may wait for a client that does not read.
const stall = time.Minute

// arm sets the deadline of the writes that follow: a stalled client must not hold
// a key, a place and a connection for ever, nor longer than the request may take.
// It is moved only now and then, so that it costs nothing per event. c.mu is held.
func (c *clientWriter) arm() {
	now := time.Now()
	if now.Before(c.armed.Add(stall / 4)) {
		return
	}
	c.armed = now
	deadline := now.Add(stall + stall/4)
	if !c.deadline.IsZero() && c.deadline.Before(deadline) {
		deadline = c.deadline
	}
	_ = c.rc.SetWriteDeadline(deadline) // not every writer has deadlines
}

// write sends the header of a stream if that is still due, then p. c.mu is held.
func (c *clientWriter) write(p []byte, contentType string) error {
	if c.err != nil {
		return c.err
	}
	if c.status == 0 {
		h := c.w.Header()
		h["Content-Type"] = []string{contentType}
		h["Cache-Control"] = []string{"no-cache"}
		h["X-Accel-Buffering"] = []string{"no"}
		h["X-Content-Type-Options"] = []string{"nosniff"}
		c.header(http.StatusOK)
	}
	if c.timer != nil {
		c.lastWrite = time.Now()
	}
	c.arm()
	c.keep(p)
	if _, c.err = c.w.Write(p); c.err == nil { //nolint:gosec // JSON and event streams, never HTML; nosniff is set
		c.err = c.rc.Flush()
	}
	return c.err
}

// answer writes a whole answer.
func (c *clientWriter) answer(a translate.Answer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.w.Header()
	if a.ContentType != "" {
		h["Content-Type"] = []string{a.ContentType}
	}
	h["Content-Length"] = []string{strconv.Itoa(len(a.Body))}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	c.useful = a.Status == http.StatusOK
	c.header(a.Status)
	c.arm()
	c.keep(a.Body)
	_, c.err = c.w.Write(a.Body)
	return c.err
}

func (c *clientWriter) header(status int) {
	c.status = status
	if c.model != "" {
		c.w.Header()["X-Gemini-Balance-Model"] = []string{c.model}
	}
	if c.onHeader != nil {
		c.onHeader(c.w.Header())
	}
	if c.onServed != nil && !c.early {
		c.onServed(c.w.Header())
	}
	c.w.WriteHeader(status)
}

// watchdog ends an attempt that makes no progress: first after the time for the
// first output, then after the time between two outputs.
type watchdog struct {
	timer *time.Timer
	mu    sync.Mutex
	last  time.Time
	idle  time.Duration // 0 until fed
}

func newWatchdog(first time.Duration, cancel context.CancelCauseFunc) *watchdog {
	d := &watchdog{}
	d.timer = time.AfterFunc(first, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.idle == 0 {
			cancel(errFirstOutput)
			return
		}
		if silent := time.Since(d.last); silent < d.idle {
			d.timer.Reset(d.idle - silent)
			return
		}
		cancel(errIdle)
	})
	return d
}

// feed notes progress. The timer is moved only when it fires or for the first
// time, so that feeding per event costs a clock reading.
func (d *watchdog) feed(idle time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = time.Now()
	if d.idle == 0 {
		d.idle = idle
		d.timer.Reset(idle)
	}
}

func (d *watchdog) stop() { d.timer.Stop() }
