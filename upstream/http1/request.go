// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptrace"
	"strconv"
)

// errRequest is told of a request that would not be read as it was meant. What it
// holds is not repeated: it may be secret.
var errRequest = errors.New("the request cannot be written as HTTP/1.1")

// head writes a request's header to b.
func (t *Transport) head(b *buffer, r *Request) error {
	if !isToken(r.Method) || !isTarget(r.Target) {
		return errRequest
	}
	out := append(b.b[:0], r.Method...)
	out = append(out, ' ')
	out = append(out, r.Target...)
	out = append(out, t.line...)
	for _, f := range r.Fields {
		if !isToken(f.Name) || !isValue(f.Value) {
			return errRequest
		}
		out = append(out, f.Name...)
		out = append(out, ": "...)
		out = append(out, f.Value...)
		out = append(out, "\r\n"...)
	}
	if r.Length > 0 || r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch {
		out = append(out, "Content-Length: "...)
		out = strconv.AppendInt(out, r.Length, 10)
		out = append(out, "\r\n"...)
	}
	b.b = append(out, "\r\n"...)
	return nil
}

// What a byte may be part of. Source: RFC 9110 §5.6.2 and §5.5.
const (
	inToken = 1 << iota
	inValue
	inTarget
)

var bytesOf = func() (table [256]uint8) {
	for c := range table {
		alnum := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if alnum {
			table[c] |= inToken
		}
		if c >= ' ' && c != 0x7f || c == '\t' {
			table[c] |= inValue
		}
		if c > ' ' && c != 0x7f && c != '#' {
			table[c] |= inTarget
		}
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		table[c] |= inToken
	}
	return table
}()

func only(s string, what uint8) bool {
	for i := range len(s) {
		if bytesOf[s[i]]&what == 0 {
			return false
		}
	}
	return true
}

func isToken(s string) bool  { return s != "" && only(s, inToken) }
func isValue(s string) bool  { return only(s, inValue) }
func isTarget(s string) bool { return s != "" && s[0] == '/' && only(s, inTarget) }

// handshake makes a TLS connection, and tells those who trace it.
func handshake(ctx context.Context, c *tls.Conn) error {
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	err := c.HandshakeContext(ctx)
	if trace != nil && trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(c.ConnectionState(), err)
	}
	return err
}
