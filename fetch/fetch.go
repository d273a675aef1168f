// SPDX-License-Identifier: Apache-2.0

// Package fetch downloads media that a client named by URL, and nothing else.
//
// Whoever holds a user key chooses the URL, so that a fetch must never reach
// what only this machine can reach: each connection is checked at the address
// it is really made to, redirects begin anew, and what comes back is media of a
// known type or an error. No proxy, cookie, credential or earlier URL is sent.
//
// Source: specs/gateways.md N2, specs/openai.md §4.2.
package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options tune a [Fetcher]. The zero value is the safe default.
type Options struct {
	MaxBytes     int64         // of one file; 0 means 20 MiB
	MaxTotal     int64         // of all files of one [Fetcher.All]; 0 means 64 MiB
	Timeout      time.Duration // for one file with its redirects; 0 means 10 s
	MaxRedirects int           // 0 means 3, less means none
	Parallel     int           // fetches at once, others wait; 0 means 64
	AllowHTTP    bool          // take http:// and port 80 as well
	Types        []string      // the MIME types taken; nil means [Types]
	UserAgent    string        // "" means caddy-gemini-balance

	// Lookup resolves a fully qualified host name, which ends in a dot. nil means
	// the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// RootCAs are trusted instead of the system's; nil means those.
	RootCAs *x509.CertPool
	// Allow makes exceptions: an address and port it reports true for may be
	// connected to though the rules refuse it. For tests; nil means none.
	Allow func(netip.AddrPort) bool
}

// Media is a downloaded file. Type is told from its first bytes, whatever the
// server says.
type Media struct {
	Type string
	Data []byte
}

// Result is what came of one URL: Media, or an *[Error].
type Result struct {
	Media
	Err error
}

// Error says why a file was not fetched, in a sentence for the client who named
// it. It holds no part of the URL but the host.
type Error struct {
	Host   string // "" where the URL has none that can be named
	Reason string // completes "the file cannot be fetched: …"
}

func (e *Error) Error() string {
	if e.Host == "" {
		return "the file cannot be fetched: " + e.Reason
	}
	return "the file at " + e.Host + " cannot be fetched: " + e.Reason
}

// Fetcher downloads media. It is safe for concurrent use and keeps no
// connection open.
type Fetcher struct {
	o         Options
	transport *http.Transport
	slots     chan struct{}
}

// New returns a Fetcher.
func New(o Options) *Fetcher {
	o.MaxBytes = orDefault(o.MaxBytes, 20<<20)
	o.MaxTotal = orDefault(o.MaxTotal, 64<<20)
	o.Timeout = orDefault(o.Timeout, 10*time.Second)
	o.MaxRedirects = orDefault(o.MaxRedirects, 3)
	o.Parallel = orDefault(o.Parallel, 64)
	o.UserAgent = orDefault(o.UserAgent, "caddy-gemini-balance")
	if o.Types == nil {
		o.Types = Types()
	}
	if o.Lookup == nil {
		o.Lookup = lookup
	}
	f := &Fetcher{o: o, slots: make(chan struct{}, o.Parallel)}
	f.transport = &http.Transport{
		Proxy:                  nil, // not even the environment's: it would connect in our place
		DialContext:            f.dial,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
		TLSHandshakeTimeout:    o.Timeout,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // a small answer must not become a large one
		DisableKeepAlives:      true, // each fetch is checked at a connection of its own
	}
	return f
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Get downloads the file at rawURL. Errors are *[Error].
func (f *Fetcher) Get(ctx context.Context, rawURL string) (Media, error) {
	return f.get(ctx, rawURL, nil)
}

// All downloads files side by side, one for each different URL, and returns when
// all have come or failed. How many there may be is for the caller to say.
func (f *Fetcher) All(ctx context.Context, urls []string) map[string]Result {
	var left atomic.Int64
	left.Store(f.o.MaxTotal)
	results := make([]Result, len(urls))
	var wg sync.WaitGroup
	for i, u := range urls {
		if slices.Index(urls, u) == i {
			wg.Go(func() { results[i].Media, results[i].Err = f.get(ctx, u, &left) })
		}
	}
	wg.Wait()
	found := make(map[string]Result, len(urls))
	for i, u := range urls {
		if _, ok := found[u]; !ok {
			found[u] = results[i]
		}
	}
	return found
}

// get follows redirects up to the file. Of left, if given, it takes the bytes it
// reads.
func (f *Fetcher) get(ctx context.Context, rawURL string, left *atomic.Int64) (Media, error) {
	u, err := f.locate(nil, rawURL)
	if err != nil {
		return Media{}, err
	}
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return Media{}, fault(ctx, u, nil)
	}
	ctx, cancel := context.WithTimeout(ctx, f.o.Timeout)
	defer cancel()
	for hops := 0; ; hops++ {
		res, err := f.ask(ctx, u)
		if err != nil {
			return Media{}, fault(ctx, u, err)
		}
		if !redirects(res) {
			m, err := f.read(u, res, left)
			_ = res.Body.Close()                // whatever is left of it is not wanted
			if err != nil || ctx.Err() != nil { // a server may end a file neatly when it is cut off
				return Media{}, fault(ctx, u, err)
			}
			return m, nil
		}
		_ = res.Body.Close()
		if hops >= f.o.MaxRedirects {
			return Media{}, &Error{u.Hostname(), "it redirects too often."}
		}
		if u, err = f.locate(u, res.Header.Get("Location")); err != nil {
			return Media{}, err
		}
	}
}

// ask makes one request, of which nothing is carried on to the next: neither
// cookies nor a Referer, which would tell the query.
func (f *Fetcher) ask(ctx context.Context, u *url.URL) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, &Error{u.Hostname(), "its URL is not valid."}
	}
	r.Header.Set("User-Agent", f.o.UserAgent)
	r.Header.Set("Accept", "image/*, application/pdf, audio/*, video/*, */*;q=0.1")
	return f.transport.RoundTrip(r)
}

func redirects(res *http.Response) bool {
	switch res.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// fault words an error of the network, whose own text may repeat bytes that the
// server sent. A name without an address and one with a private address read the
// same, so that nobody learns the names of our network.
func fault(ctx context.Context, u *url.URL, err error) error {
	e := &Error{Host: u.Hostname()}
	certificate, record := (*tls.CertificateVerificationError)(nil), tls.RecordHeaderError{}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		e.Reason = "it did not arrive in time."
	case ctx.Err() != nil:
		e.Reason = "the request was canceled."
	case errors.As(err, &e): // after the context, whose end may come over as a short file
	case errors.Is(err, errAddress):
		e.Reason = "the host has no public address."
	case errors.Is(err, errPort):
		e.Reason = "only the standard ports of https and, where allowed, http are connected to."
	case errors.As(err, &certificate):
		e.Reason = "the host's certificate is not valid."
	case errors.As(err, &record):
		e.Reason = "the host does not speak https."
	default:
		e.Reason = "the connection to the host failed."
	}
	return e
}
