// SPDX-License-Identifier: Apache-2.0

// Package upstream speaks HTTP to Google: one attempt per call, and what its end
// means. It sends the key in x-goog-api-key and nowhere else, and talks to no host
// but the configured one, and those that [Client.Download] is redirected to.
package upstream

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/upstream/http1"
)

// DefaultBaseURL is Google's public endpoint of the Gemini API.
const DefaultBaseURL = "https://generativelanguage.googleapis.com"

// Config says where and how to connect. The zero value is Google with the
// default timeouts.
type Config struct {
	BaseURL   string        // https, or http to a loopback address; "" = DefaultBaseURL
	Connect   time.Duration // dial and TLS handshake each; 0 = 5 s
	MaxIdle   int           // idle connections kept; 0 = 256
	MaxOpen   int           // connections of HTTP/1.1 over TLS at once, above which requests go over HTTP/2; 0 = 64
	TLS       *tls.Config   // nil = the system's roots; for tests
	UserAgent string
	HTTP2     bool // use HTTP/2 where the other side has it, in place of HTTP/1.1

	// Dial makes the connections; nil = the network's. For networks in memory.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client makes attempts. It is safe for concurrent use.
type Client struct {
	base   *url.URL
	agent  string
	config Config
	ways   atomic.Pointer[ways]
}

// New checks the base URL and returns a Client that has not connected yet.
func New(c Config) (*Client, error) {
	if c.BaseURL == "" {
		c.BaseURL = DefaultBaseURL
	}
	if c.Connect <= 0 {
		c.Connect = 5 * time.Second
	}
	if c.MaxIdle <= 0 {
		c.MaxIdle = 256
	}
	if c.MaxOpen <= 0 {
		c.MaxOpen = 64 // measured, bench/protocols: many slow streams cost less where they share connections
	}
	base, err := ParseBaseURL(c.BaseURL)
	if err != nil {
		return nil, err
	}
	client := &Client{base: base, agent: c.UserAgent, config: c}
	client.ways.Store(newWays(c, base))
	return client, nil
}

// ways are the connections of all egress routes, made with the same timeouts.
type ways struct {
	google  *http1.Transport // the direct route; nil where direct has to do
	direct  *http.Transport
	proxied sync.Map // proxy URL → *http.Transport, made on first use
	connect time.Duration
}

func newWays(c Config, base *url.URL) *ways {
	if c.Dial == nil {
		c.Dial = (&net.Dialer{Timeout: c.Connect, KeepAlive: 30 * time.Second}).DialContext
	}
	return &ways{
		connect: c.Connect,
		google:  newGoogle(c, base),
		direct: &http.Transport{
			Proxy:                 nil, // egress is configured, never taken from the environment
			DialContext:           c.Dial,
			TLSHandshakeTimeout:   c.Connect,
			TLSClientConfig:       c.TLS,
			ForceAttemptHTTP2:     true,
			MaxIdleConns:          c.MaxIdle,
			MaxIdleConnsPerHost:   c.MaxIdle,
			IdleConnTimeout:       idleTimeout,
			ExpectContinueTimeout: time.Second,
			// Compressed event streams arrive in lumps, and small answers cost more
			// CPU to inflate than they save on the wire.
			DisableCompression: true,
			WriteBufferSize:    16 << 10,
			ReadBufferSize:     16 << 10,
		},
	}
}

// SetConnect changes how long dial and TLS handshake may take, each, of connections
// that are made from now on; 0 = 5 s. Attempts under way end as they began.
func (c *Client) SetConnect(d time.Duration) {
	if d <= 0 {
		d = 5 * time.Second
	}
	before := c.ways.Load()
	if before.connect == d {
		return
	}
	config := c.config
	config.Connect = d
	if c.ways.CompareAndSwap(before, newWays(config, c.base)) {
		before.close()
	}
}

// ParseBaseURL accepts an https URL without path, query and credentials, and an
// http one only where the host is a loopback address.
func ParseBaseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("upstream %q is not a URL: %w", s, err)
	}
	switch {
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return nil, fmt.Errorf("upstream %q must be scheme and host only, for example %s", s, DefaultBaseURL)
	case u.Scheme == "https":
	case u.Scheme == "http" && loopback(u.Hostname()):
	default:
		return nil, fmt.Errorf("upstream %q must use https (plain http is allowed to loopback addresses only): Gemini keys travel in a header", s)
	}
	u.Path = ""
	return u, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// Request is one attempt's request.
type Request struct {
	Method string
	Path   string // escaped, absolute
	Query  string // encoded; must hold no credentials
	Type   string // Content-Type of Body; "" = application/json
	Accept string
	Header http.Header    // further headers that may go upstream; nil for none
	Body   []byte         // nil for none
	Pieces []gemini.Piece // the large values of Body, which it lacks
	Stream io.ReadCloser  // the body in place of Body, sent as it comes and once only; nil for none
	Length int64          // bytes of Stream; -1 = unknown
	Secret string         // the Gemini key; "" where Header has the credential
	Proxy  string         // URL of the egress route: http, https, socks5, socks5h; "" = direct

	// Retained is set by Do where the body may be read after Do has returned. Else
	// nobody reads it any more.
	Retained bool
}

// Do sends a request and returns as soon as the answer's header is there. The
// caller closes the body. ctx ends the attempt at any time, the reading of the
// body included. Errors never contain the key.
func (c *Client) Do(ctx context.Context, r *Request) (*http.Response, error) {
	if google := c.ways.Load().google; google != nil && plain(r) {
		if res, err := c.ask(ctx, google, r); !errors.Is(err, http1.ErrBusy) {
			return res, err
		}
	}
	r.Retained = true
	return c.do(ctx, r)
}

// do is [Client.Do] by net/http.
func (c *Client) do(ctx context.Context, r *Request) (*http.Response, error) {
	path, err := url.PathUnescape(r.Path)
	if err != nil {
		return nil, fmt.Errorf("upstream path %q is not escaped well: %w", r.Path, err)
	}
	u := *c.base
	u.Path, u.RawPath, u.RawQuery = path, r.Path, r.Query
	return c.send(ctx, &u, r, true)
}

// send sends a request to u, with the key where that may have it.
func (c *Client) send(ctx context.Context, u *url.URL, r *Request, withKey bool) (*http.Response, error) {
	header := make(http.Header, 6+len(r.Header))
	maps.Copy(header, r.Header)
	if withKey && r.Secret != "" {
		header["X-Goog-Api-Key"] = []string{r.Secret}
	}
	header["User-Agent"] = []string{c.agent}
	if r.Accept != "" {
		header["Accept"] = []string{r.Accept}
	}
	req := &http.Request{
		Method: r.Method, URL: u, Host: u.Host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	switch {
	case r.Stream != nil:
		header["Content-Type"] = []string{cmp.Or(r.Type, "application/octet-stream")}
		req.Body, req.ContentLength = r.Stream, r.Length
	case r.Body != nil:
		if header["Content-Type"] = jsonType; r.Type != "" {
			header["Content-Type"] = []string{r.Type}
		}
		req.ContentLength = gemini.Length(r.Body, r.Pieces)
		// The answer holds on to its request as long as it is read.
		body := payload{r.Body, r.Pieces}
		defer func() { body = payload{} }()
		req.Body = body.reader()
		// With GetBody the transport may send the body again by itself when a kept
		// connection turns out closed before any byte of an answer.
		req.GetBody = func() (io.ReadCloser, error) { return body.reader(), nil }
	}
	transport, err := c.route(r.Proxy)
	if err != nil {
		return nil, err
	}
	// RoundTrip, not http.Client: redirects are answers here, never followed.
	res, err := transport.RoundTrip(req.WithContext(ctx))
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("%w (%w)", cause, err)
		}
		return nil, err
	}
	return res, nil
}

// payload is the body of a request.
type payload struct {
	body   []byte
	pieces []gemini.Piece
}

// reader reads the payload from its beginning. Small ones take a type of which
// net/http knows that it is no wait to read it, so that they leave in one write
// with the header.
func (p payload) reader() io.ReadCloser {
	const small = 16 << 10
	if len(p.pieces) == 0 && len(p.body) < small {
		return io.NopCloser(bytes.NewReader(p.body))
	}
	return io.NopCloser(gemini.NewReader(p.body, p.pieces, 0))
}

// route returns the connections of an egress route. Each has its own, so that
// trouble on one stays there.
func (c *Client) route(proxy string) (*http.Transport, error) {
	w := c.ways.Load()
	if proxy == "" {
		return w.direct, nil
	}
	if t, ok := w.proxied.Load(proxy); ok {
		return t.(*http.Transport), nil
	}
	u, err := url.Parse(proxy)
	if err != nil || u.Host == "" {
		return nil, errors.New("the key's proxy is no URL") // which may hold a password
	}
	t := w.direct.Clone()
	t.Proxy = http.ProxyURL(u)
	kept, _ := w.proxied.LoadOrStore(proxy, t)
	return kept.(*http.Transport), nil
}

var jsonType = []string{"application/json"}

// Host is the host the client talks to, for messages.
func (c *Client) Host() string { return c.base.Host }

// Close drops idle connections.
func (c *Client) Close() { c.ways.Load().close() }

func (w *ways) close() {
	if w.google != nil {
		w.google.CloseIdle()
	}
	w.direct.CloseIdleConnections()
	w.proxied.Range(func(_, t any) bool {
		t.(*http.Transport).CloseIdleConnections()
		return true
	})
}
