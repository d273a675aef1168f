// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// conn is a connection. It has one owner at a time: the pool, or a request until its
// answer was read.
type conn struct {
	t      *Transport
	net    net.Conn // what is spoken on: raw, or TLS over gate over raw
	raw    net.Conn // what is closed under whoever waits for it
	gate   *gate    // nil without TLS
	socket socket
	abort  func()    // close
	used   bool      // it had an answer before
	since  time.Time // when it became idle
	once   sync.Once // closed
}

// lostError is the error of a connection that was lost before a byte of an answer.
type lostError struct {
	err    error
	unsent bool // no byte of the request was sent
}

func (e *lostError) Error() string { return "the connection broke before an answer: " + e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// errHandshake is what takes too long after the dial.
var errHandshake = errors.New("TLS handshake timeout")

// dial makes a connection, unless there are too many.
func (t *Transport) dial(ctx context.Context) (*conn, error) {
	if !t.reserve() {
		return nil, ErrBusy
	}
	c := &conn{t: t}
	c.abort = c.close
	if err := c.connect(ctx); err != nil {
		t.release()
		return nil, because(ctx, &ConnectError{err})
	}
	return c, nil
}

func (c *conn) connect(ctx context.Context) (err error) {
	if c.raw, err = c.t.config.Dial(ctx, "tcp", c.t.config.Addr); err != nil {
		return err
	}
	c.net = c.raw
	c.socket.use(c.raw)
	if c.t.config.TLS == nil {
		return nil
	}
	c.gate = &gate{Conn: c.raw, socket: &c.socket}
	secure := tls.Client(c.gate, c.t.config.TLS)
	c.net = secure
	limited, cancel := context.WithTimeoutCause(ctx, c.t.config.Handshake, errHandshake)
	defer cancel()
	if err = handshake(limited, secure); err != nil {
		_ = c.raw.Close()
		if context.Cause(limited) == errHandshake { //nolint:errorlint // the very value
			return errHandshake
		}
	}
	return err
}

// close ends the connection. It may be called at any time and more than once.
func (c *conn) close() {
	c.once.Do(func() {
		_ = c.raw.Close() // without a word of TLS: that could have to wait for the other side
		c.t.release()
	})
}

// alive reports whether an idle connection is open and silent. What the other side
// says without being asked could be taken for the next answer.
func (c *conn) alive() bool {
	if c.gate != nil && c.talkative() {
		return false
	}
	if c.socket.raw != nil {
		return c.socket.silent()
	}
	if c.raw.SetReadDeadline(past) != nil {
		return false
	}
	var one [1]byte
	n, err := c.raw.Read(one[:])
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.raw.SetReadDeadline(time.Time{}) == nil
}

var past = time.Unix(1, 0)

// roundTrip sends a request and reads the header of its answer. After an error the
// connection is closed.
func (c *conn) roundTrip(ctx context.Context, r *Request, head []byte) (*http.Response, error) {
	a := &answer{}
	a.body = body{c: c, ctx: ctx, stop: after(ctx, c.abort)}
	err := c.exchange(r, head, a)
	if err != nil {
		a.body.end(err)
		return nil, err
	}
	return &a.Response, nil
}

// after is [context.AfterFunc], which makes less of a context that can do it itself.
func after(ctx context.Context, f func()) (stop func() bool) {
	if c, ok := ctx.(interface{ AfterFunc(f func()) func() bool }); ok {
		return c.AfterFunc(f)
	}
	return context.AfterFunc(ctx, f)
}

// inline is the largest request that is sent before its answer is waited for. What
// is larger could be refused by an answer that comes before its end.
const inline = 64 << 10

func (c *conn) exchange(r *Request, head []byte, a *answer) error {
	if r.Rest != nil || int64(len(head))+r.Length > inline {
		return c.exchangeLarge(r, head, a)
	}
	n, err := c.writeSmall(r, head)
	if err != nil {
		return c.late(a, r.Method, &lostError{err, n == 0})
	}
	return a.read(r.Method)
}

// lateAnswer is how long an answer may take that was perhaps sent before the
// connection broke for what was to be written.
const lateAnswer = 100 * time.Millisecond

// late looks for the answer of a request that could not be sent whole.
func (c *conn) late(a *answer, method string, err error) error {
	a.body.last = true
	_ = c.raw.SetReadDeadline(time.Now().Add(lateAnswer))
	if a.read(method) != nil {
		return err
	}
	_ = c.raw.SetReadDeadline(time.Time{})
	return nil
}

// writeSmall sends a request in one write.
func (c *conn) writeSmall(r *Request, head []byte) (int, error) {
	if r.Length == 0 {
		return c.net.Write(head)
	}
	whole := buffers.Get().(*buffer)
	defer whole.put()
	whole.b = append(whole.b[:0], head...)
	for _, part := range r.Body {
		whole.b = append(whole.b, part...)
	}
	return c.net.Write(whole.b)
}

// exchangeLarge sends a request while it waits for the answer. Nothing of the request
// is read any more when it returns.
func (c *conn) exchangeLarge(r *Request, head []byte, a *answer) error {
	type end struct {
		n   int64
		err error
	}
	sent := make(chan end, 1)
	go func() {
		n, err := c.writeLarge(r, head)
		if err != nil {
			_ = c.raw.SetReadDeadline(time.Now().Add(lateAnswer))
		}
		sent <- end{n, err}
	}()
	err := a.read(r.Method)
	// An answer that came before the request's end is all there will be.
	_ = c.raw.SetWriteDeadline(past)
	w := <-sent
	switch {
	case err != nil && w.err != nil && !errors.Is(w.err, os.ErrDeadlineExceeded):
		return &lostError{w.err, w.n == 0}
	case err != nil:
		return err
	case w.err != nil:
		a.body.last = true
		_ = c.raw.SetReadDeadline(time.Time{})
	default:
		_ = c.raw.SetWriteDeadline(time.Time{})
	}
	return nil
}

// writeLarge sends a request part by part; without TLS all in one call.
func (c *conn) writeLarge(r *Request, head []byte) (n int64, err error) {
	parts := append(net.Buffers{head}, r.Body...)
	left := r.Length
	for _, part := range r.Body {
		left -= int64(len(part))
	}
	if n, err = parts.WriteTo(c.net); err != nil || r.Rest == nil {
		return n, err
	}
	scratch := buffers.Get().(*buffer)
	defer scratch.put()
	scratch.b = append(scratch.b[:0], make([]byte, inline)...)
	m, err := io.CopyBuffer(onlyWriter{c.net}, io.LimitReader(r.Rest, left), scratch.b)
	if err == nil && m < left {
		err = fmt.Errorf("the request's body ended %d bytes too early: %w", left-m, io.ErrUnexpectedEOF)
	}
	return n + m, err
}

// onlyWriter hides what else a connection can do, which would pass the buffer by.
type onlyWriter struct{ io.Writer }

// buffer is memory for a header and what came with it, or for a small request.
type buffer struct{ b []byte }

// firstBuffer holds what Google's answers begin with, and most requests.
const firstBuffer = 4 << 10

var buffers = sync.Pool{New: func() any { return &buffer{make([]byte, 0, firstBuffer)} }}

func (b *buffer) put() {
	if cap(b.b) <= 2*inline {
		buffers.Put(b)
	}
}
