// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

// What is needed of HTTP/2 here. Source: RFC 9113 §6, §7; RFC 7541 §6, appendix A.
const (
	frameData     = 0x0
	frameHeaders  = 0x1
	frameReset    = 0x3
	frameSettings = 0x4
	frameGoaway   = 0x7

	flagAck       = 0x1 // of frameSettings
	flagEndStream = 0x1
	flagEndHead   = 0x4

	noError       = 0x0
	internalError = 0x2
	refusedStream = 0x7
)

// TestGoaway ends HTTP/2 connections the hard way: GOAWAY that says how far the
// server came, with or without RST_STREAM, and then the end of the connection. What
// was not processed is asked again and nobody notices, as if no attempt had been
// made; what may have been costs an attempt; within an answer it is an error.
// Source: specs/gateways.md U1; RFC 9113 §6.8, §8.7.
func TestGoaway(t *testing.T) {
	for _, tc := range []struct {
		name          string
		attempts      int64 // that the gateway may make
		unary, stream wireEnd
		asked         int32
		goodbye       func(c *h2Conn, id uint32) // of the first connection
	}{
		{"refused before the head", 1, succeeds, succeeds, 2, func(c *h2Conn, id uint32) {
			c.frame(frameReset, 0, id, words(refusedStream))
			c.frame(frameGoaway, 0, 0, words(id-1, noError))
		}},
		{"not processed", 1, succeeds, succeeds, 2, func(c *h2Conn, id uint32) {
			c.frame(frameGoaway, 0, 0, words(id-1, noError))
		}},
		{"perhaps processed, once", 1, fails, fails, 1, func(c *h2Conn, id uint32) {
			c.frame(frameGoaway, 0, 0, words(id, internalError))
		}},
		{"perhaps processed, tried again", 3, succeeds, succeeds, 2, func(c *h2Conn, id uint32) {
			c.frame(frameGoaway, 0, 0, words(id, internalError))
		}},
		{"reset before the head, once", 1, fails, fails, 1, func(c *h2Conn, id uint32) {
			c.frame(frameReset, 0, id, words(internalError))
			c.frame(frameGoaway, 0, 0, words(id, internalError))
		}},
		{"reset before the head, tried again", 3, succeeds, succeeds, 2, func(c *h2Conn, id uint32) {
			c.frame(frameReset, 0, id, words(internalError))
			c.frame(frameGoaway, 0, 0, words(id, internalError))
		}},
		{"goaway within", 1, fails, breaks, 1, func(c *h2Conn, id uint32) {
			c.half(id)
			c.frame(frameGoaway, 0, 0, words(id, internalError))
		}},
		{"reset within", 1, fails, breaks, 1, func(c *h2Conn, id uint32) {
			c.half(id)
			c.frame(frameReset, 0, id, words(internalError))
			c.frame(frameGoaway, 0, 0, words(id, internalError))
		}},
		{"disowned within", 1, fails, breaks, 1, func(c *h2Conn, id uint32) { // which no server should
			c.half(id)
			c.frame(frameReset, 0, id, words(refusedStream))
			c.frame(frameGoaway, 0, 0, words(id-1, noError))
		}},
		{"after a whole answer", 1, succeeds, succeeds, 1, func(c *h2Conn, id uint32) {
			c.whole(id)
			c.frame(frameGoaway, 0, 0, words(id, noError))
		}},
	} {
		for _, s := range wireSurfaces {
			t.Run(tc.name+" "+s.name, func(t *testing.T) {
				t.Parallel()
				var asked atomic.Int32
				config := newH2Google(t, s, func(c *h2Conn, id uint32) {
					if asked.Add(1) == 1 {
						tc.goodbye(c, id)
						return
					}
					c.whole(id)
				})
				got := askAttempts(t, newWorld, s, config, tc.attempts)
				end := tc.unary
				if s.stream {
					end = tc.stream
				}
				checkEnd(t, s, got, end, map[wireEnd]string{succeeds: "all of it", breaks: "all"}[end])
				if n := asked.Load(); n != tc.asked {
					t.Errorf("Google was asked %d times, want %d", n, tc.asked)
				}
			})
		}
	}
}

// newH2Google answers each connection's first request over HTTP/2, frame by frame,
// and says nothing more on it.
func newH2Google(t *testing.T, s surface, answer func(c *h2Conn, id uint32)) upstream.Config {
	t.Helper()
	lender := httptest.NewTLSServer(nil) // of its certificate
	t.Cleanup(lender.Close)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: lender.TLS.Certificates, NextProtos: []string{"h2"}})
	must(t, err)
	t.Cleanup(func() { l.Close() })
	roots := x509.NewCertPool()
	roots.AddCert(lender.Certificate())
	stream := map[bool]string{true: "sse"}[s.stream]
	if s.array {
		stream = "array"
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				c := &h2Conn{conn: conn.(*tls.Conn), kind: stream}
				_ = conn.SetDeadline(time.Now().Add(brokenFor))
				if id := c.request(); id != 0 {
					answer(c, id)
					_ = c.conn.CloseWrite()
					_, _ = io.Copy(io.Discard, conn) // a reset would throw away what is under way
				}
			}()
		}
	}()
	return upstream.Config{BaseURL: "https://" + l.Addr().String(), TLS: &tls.Config{RootCAs: roots}, HTTP2: true}
}

// h2Conn is a server's end of an HTTP/2 connection. What does not get through shows
// at the client.
type h2Conn struct {
	conn *tls.Conn
	kind string // "", "sse" or "array"
}

// request reads a whole request and returns its stream, 0 if there is none.
func (c *h2Conn) request() (id uint32) {
	preface := make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	if _, err := io.ReadFull(c.conn, preface); err != nil {
		return 0
	}
	c.frame(frameSettings, 0, 0, nil)
	for {
		var head [9]byte
		if _, err := io.ReadFull(c.conn, head[:]); err != nil {
			return 0
		}
		length := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
		if _, err := io.CopyN(io.Discard, c.conn, length); err != nil {
			return 0
		}
		switch kind, flags := head[3], head[4]; {
		case kind == frameSettings && flags&flagAck == 0:
			c.frame(frameSettings, flagAck, 0, nil)
		case (kind == frameHeaders || kind == frameData) && flags&flagEndStream != 0:
			return binary.BigEndian.Uint32(head[5:])
		}
	}
}

func (c *h2Conn) frame(kind, flags byte, id uint32, payload []byte) {
	n := len(payload)
	f := binary.BigEndian.AppendUint32([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}, id)
	_, _ = c.conn.Write(append(f, payload...))
}

// words are the 32-bit numbers of a payload.
func words(list ...uint32) (b []byte) {
	for _, w := range list {
		b = binary.BigEndian.AppendUint32(b, w)
	}
	return b
}

// head sends status 200 and the content type.
func (c *h2Conn) head(id uint32) {
	kind := "application/json"
	if c.kind == "sse" {
		kind = "text/event-stream"
	}
	const status200, contentType = 0x88, 31 // of the static table; the latter takes four bits and the rest
	fields := append([]byte{status200, 0x0f, contentType - 15, byte(len(kind))}, kind...)
	c.frame(frameHeaders, flagEndHead, id, fields)
}

// half begins an answer.
func (c *h2Conn) half(id uint32) {
	c.head(id)
	text := part(c.kind, "all ", 0, false)
	if c.kind == "" {
		text = text[:len(text)/2]
	}
	c.frame(frameData, 0, id, []byte(text))
}

// whole is an answer.
func (c *h2Conn) whole(id uint32) {
	c.head(id)
	if c.kind == "" {
		c.frame(frameData, flagEndStream, id, []byte(part("", "all of it", 0, true)))
		return
	}
	c.frame(frameData, 0, id, []byte(part(c.kind, "all ", 0, false)))
	c.frame(frameData, flagEndStream, id, []byte(part(c.kind, "of it", 1, true)))
}
