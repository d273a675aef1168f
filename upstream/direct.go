// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/upstream/http1"
)

// newGoogle makes the connections of the direct route, or none where net/http is
// wanted or has to do.
func newGoogle(c Config, base *url.URL) *http1.Transport {
	if c.HTTP2 || !http1.Supported || !plainHost(base.Host) {
		return nil
	}
	config := http1.Config{
		Host: base.Host, Dial: c.Dial, Handshake: c.Connect,
		MaxIdle: c.MaxIdle, IdleTimeout: idleTimeout,
	}
	port := "80"
	if base.Scheme == "https" {
		port = "443"
		config.MaxOpen = c.MaxOpen // without TLS there is no HTTP/2 to go to
		config.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		if c.TLS != nil {
			config.TLS = c.TLS.Clone()
		}
		if config.TLS.ServerName == "" {
			config.TLS.ServerName = base.Hostname()
		}
	}
	config.Addr = net.JoinHostPort(base.Hostname(), cmp.Or(base.Port(), port))
	return http1.New(config)
}

// idleTimeout is how long a connection is kept. Google closes them after some minutes.
const idleTimeout = 90 * time.Second

// plain reports whether a request is one that package http1 takes, which are nearly
// all: no upload whose body comes as it is sent, no Live session, no egress proxy,
// nothing that would have to be escaped first.
func plain(r *Request) bool {
	if r.Stream != nil || r.Proxy != "" || !plainPath(r.Path) {
		return false
	}
	for name := range r.Header {
		switch name {
		case "Host", "User-Agent", "Accept", "Content-Type", "X-Goog-Api-Key", // set below
			"Content-Length", "Transfer-Encoding", "Trailer", "Te", "Connection", "Keep-Alive", "Upgrade", "Expect":
			return false
		}
	}
	return true
}

// plainPath reports whether a path is absolute and escaped, and looks the same when
// it is escaped once more.
func plainPath(s string) bool {
	if s == "" || s[0] != '/' {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '%':
			if i+2 >= len(s) || !hex(s[i+1]) || !hex(s[i+2]) {
				return false
			}
			i += 2
		default:
			switch c {
			case '/', ':', '-', '_', '.', '~', '!', '$', '&', '\'', '(', ')', '*', '+', ',', ';', '=', '@':
			default:
				return false
			}
		}
	}
	return true
}

func hex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' }

// plainHost reports whether a host is in a header as it is in a URL.
func plainHost(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == '%' {
			return false
		}
	}
	return true
}

// asking is a request on its way to package http1, which reads nothing of it any more
// when it has answered. It is used again.
type asking struct {
	request http1.Request
	fields  [10]http1.Field
	body    [1][]byte
}

var askings = sync.Pool{New: func() any { return new(asking) }}

func (a *asking) giveBack() {
	*a = asking{}
	askings.Put(a)
}

// ask sends a request by package http1.
func (c *Client) ask(ctx context.Context, google *http1.Transport, r *Request) (*http.Response, error) {
	a := askings.Get().(*asking)
	defer a.giveBack()
	fields := a.fields[:0]
	if c.agent != "" {
		fields = append(fields, http1.Field{Name: "User-Agent", Value: c.agent})
	}
	if r.Secret != "" {
		fields = append(fields, http1.Field{Name: "X-Goog-Api-Key", Value: r.Secret})
	}
	if r.Accept != "" {
		fields = append(fields, http1.Field{Name: "Accept", Value: r.Accept})
	}
	for name, values := range r.Header {
		for _, v := range values {
			fields = append(fields, http1.Field{Name: name, Value: v})
		}
	}
	request := &a.request
	request.Method, request.Target = r.Method, r.Path
	if r.Query != "" {
		request.Target += "?" + r.Query
	}
	if r.Body != nil {
		fields = append(fields, http1.Field{Name: "Content-Type", Value: cmp.Or(r.Type, "application/json")})
		request.Length = gemini.Length(r.Body, r.Pieces)
		request.Body, request.Rest = parts(a.body[:0], r.Body, r.Pieces)
	}
	request.Fields = fields
	res, err := google.Do(ctx, request)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("%w (%w)", cause, err)
		}
		return nil, err
	}
	return res, nil
}

// parts is a body with its pieces as http1 sends it: each from where it is, or what
// is encoded on its way as a reader. room is for the list of a small one.
func parts(room [][]byte, body []byte, pieces []gemini.Piece) ([][]byte, io.Reader) {
	list := slices.Grow(room, 1+2*len(pieces))
	at := 0
	for i := range pieces {
		p := &pieces[i]
		if p.Raw {
			return nil, gemini.NewReader(body, pieces, 0)
		}
		list = append(list, body[at:p.At], p.Data)
		at = p.At
	}
	return append(list, body[at:]), nil
}
