// SPDX-License-Identifier: Apache-2.0

// Package http1 is an HTTP/1.1 client for one host that is asked often. Beside
// net/http's it has no goroutine of its own: who makes a request writes it and reads
// its answer, and a context that ends closes the connection under both. That, and
// what is not made for each request, saves most of what net/http costs a gateway.
//
// It takes less than the standard allows, never more: an answer whose end could be
// understood in two ways is an error, and a connection is used again only when its
// answer was read to the end and nothing came after it. It sends and reads what the
// Gemini API needs: no upgrades, no Expect, no trailers.
package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Config says where and how to connect.
type Config struct {
	Addr        string        // host and port to dial
	Host        string        // the Host field
	TLS         *tls.Config   // with ServerName; nil = plain
	Handshake   time.Duration // how long TLS may take for that
	MaxIdle     int           // connections kept; the others are closed when their answer has ended
	MaxOpen     int           // connections at once; 0 = no bound
	IdleTimeout time.Duration // how long a connection is kept

	// Dial makes the connections, within the time that is allowed for that.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Request is a request. Its strings must not come from strangers without a look at
// them: [Transport.Do] refuses what would not stay in its place.
type Request struct {
	Method string
	Target string // path and query, escaped
	Fields []Field
	Body   [][]byte  // sent one after another from where they are; nil for none
	Rest   io.Reader // sent after Body; nil for nothing
	Length int64     // of Body and Rest together
}

// Field is a field of a request's header. Host, Content-Length and all that is about
// the connection are none of the caller's.
type Field struct{ Name, Value string }

// ErrBusy is returned while [Config.MaxOpen] connections are open.
var ErrBusy = errors.New("as many connections as may be are open already")

// ConnectError is the error of a request that was never sent: no connection could be
// made for it.
type ConnectError struct{ Err error }

// Error implements error.
func (e *ConnectError) Error() string { return e.Err.Error() }

// Unwrap tells why.
func (e *ConnectError) Unwrap() error { return e.Err }

// Transport keeps the connections to a host. It is safe for concurrent use.
type Transport struct {
	config Config
	line   string // what follows the target of every request

	mu     sync.Mutex
	idle   []*conn     // those used last are last
	open   int         // connections in all, those that are being made included
	sweep  *time.Timer // closes what was idle for too long; nil without idle ones
	closed bool        // nothing is kept any more
}

// New returns a Transport that has not connected yet.
func New(c Config) *Transport {
	if c.TLS != nil {
		c.TLS = c.TLS.Clone()
		c.TLS.NextProtos = []string{"http/1.1"}
		// Half a request is of no use to anybody: it leaves in as few records as it can.
		c.TLS.DynamicRecordSizingDisabled = true
		if c.TLS.ClientSessionCache == nil {
			c.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(0)
		}
	}
	return &Transport{config: c, line: " HTTP/1.1\r\nHost: " + c.Host + "\r\n"}
}

// Do sends a request and returns as soon as the answer's header is there. The caller
// reads the body to its end or closes it, both from one goroutine at a time; what
// interrupts either is the end of ctx. The answer has no Request and no TransferEncoding.
//
// A request that was not sent because a kept connection had been closed is sent on a
// new one; so is one that may be repeated and was sent, when no byte of an answer
// came. Nothing else is sent twice.
func (t *Transport) Do(ctx context.Context, r *Request) (*http.Response, error) {
	head := buffers.Get().(*buffer)
	defer head.put()
	if err := t.head(head, r); err != nil {
		return nil, err
	}
	c, err := t.take(ctx)
	if err != nil {
		return nil, err
	}
	reused := c.used
	res, err := c.roundTrip(ctx, r, head.b)
	if fate, ok := errors.AsType[*lostError](err); ok && reused && (fate.unsent || repeatable(r)) && ctx.Err() == nil {
		if c, err = t.dial(ctx); err == nil {
			res, err = c.roundTrip(ctx, r, head.b)
		}
	}
	if err != nil {
		return nil, because(ctx, err)
	}
	return res, nil
}

// repeatable reports whether a request may be sent twice.
func repeatable(r *Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.Rest == nil
}

// because is why a request failed: the end of its context before all that it led to.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// take returns a connection that is not in use, or makes one.
func (t *Transport) take(ctx context.Context) (*conn, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	for {
		c := t.pop()
		if c == nil {
			return t.dial(ctx)
		}
		if time.Since(c.since) < t.config.IdleTimeout && c.alive() {
			return c, nil
		}
		c.close()
	}
}

func (t *Transport) pop() *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := len(t.idle) - 1
	if last < 0 {
		return nil
	}
	c := t.idle[last]
	t.idle[last] = nil
	t.idle = t.idle[:last]
	return c
}

// put keeps a connection whose answer was read to the end.
func (t *Transport) put(c *conn) {
	c.used, c.since = true, time.Now()
	t.mu.Lock()
	keep := !t.closed && len(t.idle) < t.config.MaxIdle
	if keep {
		t.idle = append(t.idle, c)
		if t.sweep == nil {
			t.sweep = time.AfterFunc(t.pace(), t.clean)
		}
	}
	t.mu.Unlock()
	if !keep {
		c.close()
	}
}

// pace is how often idle connections are looked at.
func (t *Transport) pace() time.Duration { return t.config.IdleTimeout/3 + 1 }

// clean closes what was idle for too long, and what the other side has closed.
func (t *Transport) clean() {
	var gone []*conn
	t.mu.Lock()
	kept := t.idle[:0]
	for _, c := range t.idle {
		if time.Since(c.since) < t.config.IdleTimeout && c.alive() {
			kept = append(kept, c)
		} else {
			gone = append(gone, c)
		}
	}
	clear(t.idle[len(kept):])
	t.idle = kept
	if len(kept) > 0 {
		t.sweep.Reset(t.pace())
	} else {
		t.sweep = nil
	}
	t.mu.Unlock()
	for _, c := range gone {
		c.close()
	}
}

// CloseIdle closes the connections that are not in use, and lets the others go with
// the end of their answer.
func (t *Transport) CloseIdle() {
	t.mu.Lock()
	idle := t.idle
	t.idle, t.closed = nil, true
	if t.sweep != nil {
		t.sweep.Stop() // if it is just running, it finds nothing
	}
	t.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
}

// reserve counts a connection that is to be made.
func (t *Transport) reserve() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.config.MaxOpen > 0 && t.open >= t.config.MaxOpen {
		return false
	}
	t.open++
	return true
}

func (t *Transport) release() {
	t.mu.Lock()
	t.open--
	t.mu.Unlock()
}
