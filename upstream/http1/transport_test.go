// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestDo_Bytes(t *testing.T) {
	for _, tc := range []struct {
		r    Request
		want string
	}{
		{*get, "GET / HTTP/1.1\r\nHost: google\r\n\r\n"},
		{Request{Method: "DELETE", Target: "/a?b=%20"}, "DELETE /a?b=%20 HTTP/1.1\r\nHost: google\r\n\r\n"},
		{Request{Method: "POST", Target: "/"}, "POST / HTTP/1.1\r\nHost: google\r\nContent-Length: 0\r\n\r\n"},
		{
			Request{
				Method: "POST", Target: "/v1beta/models/m:generateContent", Body: [][]byte{[]byte("a"), nil, []byte("bc")}, Length: 3,
				Fields: []Field{{"X-Goog-Api-Key", "k"}, {"Empty", ""}},
			},
			"POST /v1beta/models/m:generateContent HTTP/1.1\r\nHost: google\r\nX-Goog-Api-Key: k\r\nEmpty: \r\nContent-Length: 3\r\n\r\nabc",
		},
	} {
		w := &wire{in: []byte("HTTP/1.1 204 No Content\r\n\r\n"), size: 100}
		transport := over(w)
		_, err := whole(t.Context(), transport, &tc.r)
		must(t, err)
		if got := w.out.String(); got != tc.want {
			t.Errorf("sent %q, want %q", got, tc.want)
		}
		transport.CloseIdle()
	}
}

// TestDo_Refuses: what would not stay in its place is not sent, and not repeated.
func TestDo_Refuses(t *testing.T) {
	field := func(name, value string) Request {
		return Request{Method: "GET", Target: "/", Fields: []Field{{name, value}}}
	}
	for _, r := range []Request{
		{Method: "", Target: "/"},
		{Method: "GET /x", Target: "/"},
		{Method: "GET", Target: ""},
		{Method: "GET", Target: "evil"},
		{Method: "GET", Target: "/a b"},
		{Method: "GET", Target: "/a#b"},
		{Method: "GET", Target: "/a\r\nX: y"},
		{Method: "GET", Target: "/a\tb"},
		field("", "v"),
		field("a b", "v"),
		field("a:", "v"),
		field("a\r\nb", "v"),
		field("a", "v\r\nb: c"),
		field("a", "v\n"),
		field("a", "v\x00"),
		field("a", "v\x7f"),
	} {
		w := &wire{}
		_, err := over(w).Do(t.Context(), &r)
		if !errors.Is(err, errRequest) || w.out.Len() > 0 {
			t.Errorf("%+v: %v, %q was sent", r, err, w.out.String())
		}
	}
}

// TestDo_Keeps: a connection serves one request after another, also when its answers
// were closed instead of read as far as they were there.
func TestDo_Keeps(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		s := serve(t, secure, echo)
		transport := s.client(t)
		for i := range 5 {
			ok(t, transport, post(fmt.Sprint("body", i)), fmt.Sprint("POST / body", i))
			res, err := transport.Do(t.Context(), get)
			must(t, err)
			must(t, res.Body.Close())
			must(t, res.Body.Close())
		}
		if n := s.made.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// TestDo_Stale: a connection that was closed while it was idle is not used again.
func TestDo_Stale(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		closed := make(chan struct{})
		s := serve(t, secure, func(c net.Conn) {
			requests(c, func(*http.Request, string) bool {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
				return false
			})
			_ = c.Close()
			closed <- struct{}{}
		})
		transport := s.client(t)
		for range 3 {
			ok(t, transport, post("x"), "hi")
			<-closed
		}
		if n := s.made.Load(); n != 3 || opened(transport) != 1 {
			t.Errorf("%d connections, %d open", n, opened(transport))
		}
	})
}

// TestDo_Unasked: what comes without being asked is never taken for an answer: not
// what comes with the answer before, nor what comes later.
func TestDo_Unasked(t *testing.T) {
	const stray = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"
	both(t, func(t *testing.T, secure bool) {
		for name, late := range map[string]bool{"with it": false, "later": true} {
			body := strings.Repeat("hi", 4000) // more than is read with the header
			for kind, framing := range map[string]string{
				"sized": "Content-Length: 8000\r\n\r\n" + body, "chunked": "Transfer-Encoding: chunked\r\n\r\n1f40\r\n" + body + "\r\n0\r\n\r\n",
				"short": "Content-Length: 2\r\n\r\nhi",
			} {
				t.Run(name+" "+kind, func(t *testing.T) {
					said, read := make(chan struct{}, 1), make(chan struct{})
					s := serve(t, secure, func(c net.Conn) {
						requests(c, func(*http.Request, string) bool {
							answer := "HTTP/1.1 200 OK\r\n" + framing
							if !late {
								answer += stray
							}
							_, _ = io.WriteString(c, answer)
							if late {
								<-read
								_, _ = io.WriteString(c, stray)
							}
							said <- struct{}{}
							return true
						})
					})
					transport := s.client(t)
					for range 3 {
						res, err := transport.Do(t.Context(), post("x"))
						must(t, err)
						got := make([]byte, 8000)
						if kind == "short" {
							got = got[:2]
						}
						_, err = io.ReadFull(res.Body, got) // no room for more
						must(t, err)
						if n, err := res.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF || !strings.HasPrefix(body, string(got)) {
							t.Errorf("%d bytes, and %d, %v", len(got), n, err)
						}
						if late {
							read <- struct{}{}
						}
						<-said
					}
					if n := s.made.Load(); n != 3 {
						t.Errorf("%d connections for 3 requests", n)
					}
				})
			}
		}
	})
}

// TestDo_Lost: of what was sent, only what may be repeated is, once, on a new
// connection, and if no byte of an answer came on a used one.
func TestDo_Lost(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		for _, tc := range []struct {
			name     string
			request  *Request
			begin    string // of the answer that breaks
			fresh    bool   // it breaks on the first connection
			requests int    // that get there
			ok       bool
		}{
			{"POST", post("x"), "", false, 2, false},
			{"GET", get, "", false, 3, true},
			{"GET with a byte", get, "H", false, 2, false},
			{"GET with an interim answer", get, "HTTP/1.1 100 Continue\r\n\r\n", false, 2, false},
			{"GET on a new connection", get, "", true, 1, false},
		} {
			t.Run(tc.name, func(t *testing.T) {
				var mu sync.Mutex
				n := 0
				s := serve(t, secure, func(c net.Conn) {
					requests(c, func(*http.Request, string) bool {
						mu.Lock()
						defer mu.Unlock()
						n++
						if n == 2 || tc.fresh {
							_, _ = io.WriteString(c, tc.begin)
							return false
						}
						_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
						return true
					})
				})
				transport := s.client(t)
				if !tc.fresh {
					ok(t, transport, get, "hi")
				}
				_, err := whole(t.Context(), transport, tc.request)
				mu.Lock()
				defer mu.Unlock()
				if (err == nil) != tc.ok || n != tc.requests || unconnected(err) {
					t.Errorf("%d requests, %v", n, err)
				}
			})
		}
	})
}

// mute is a connection that takes nothing any more.
type mute struct {
	net.Conn
	on bool
}

func (m *mute) Write(p []byte) (int, error) {
	if m.on {
		return 0, errors.New("no write")
	}
	return m.Conn.Write(p)
}

// TestDo_Unsent: a request of which nothing left is sent on a new connection, once.
func TestDo_Unsent(t *testing.T) {
	s := serve(t, false, echo)
	var made []*mute
	transport := s.client(t, func(c *Config) {
		dial := c.Dial
		c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			made = append(made, &mute{Conn: conn})
			return made[len(made)-1], err
		}
	})
	ok(t, transport, post("a"), "a")
	for _, large := range []bool{false, true} {
		made[len(made)-1].on = true
		body := "b"
		if large {
			body = strings.Repeat("b", 2*inline)
		}
		ok(t, transport, post(body), body)
	}
	if len(made) != 3 || s.made.Load() != 3 {
		t.Errorf("%d connections", len(made))
	}
}

// TestDo_Large: a body that is sent beside the wait for its answer arrives whole, from
// parts and a reader, and its connection is kept.
func TestDo_Large(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		s := serve(t, secure, echo)
		transport := s.client(t)
		part, rest := strings.Repeat("0123456789", 30_000), strings.Repeat("abcdefg", 50_001)
		for range 3 {
			r := post("head")
			r.Body = append(r.Body, []byte(part), []byte("tail"))
			r.Rest = strings.NewReader(rest)
			r.Length += int64(len(part) + 4 + len(rest))
			got, err := whole(t.Context(), transport, r)
			if want := "POST / head" + part + "tail" + rest; err != nil || got != want {
				t.Fatalf("%d bytes came, want %d; %v", len(got), len(want), err)
			}
		}
		if n := s.made.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
		short := post("")
		short.Rest, short.Length = strings.NewReader("short"), 6
		if _, err := whole(t.Context(), transport, short); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("a short reader: %v", err)
		}
	})
}

// TestDo_Early: an answer that comes before the request's end is the answer, whether
// the other side then closes, or leaves the rest unread. The connection is not kept.
func TestDo_Early(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		for name, closes := range map[string]bool{"closes": true, "stays": false} {
			t.Run(name, func(t *testing.T) {
				done := make(chan struct{})
				s := serve(t, secure, func(c net.Conn) {
					_, _ = c.Read(make([]byte, 1))
					_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\n\r\ntoo large")
					if !closes {
						<-done
					}
				})
				defer close(done)
				transport := s.client(t)
				for range 2 {
					res, err := transport.Do(t.Context(), post(strings.Repeat("x", 32<<20)))
					if closes && err != nil { // a reset may overtake the answer, with net/http too
						continue
					}
					must(t, err)
					body, err := io.ReadAll(res.Body)
					if res.StatusCode != 413 || !closes && (string(body) != "too large" || err != nil) {
						t.Errorf("%s %q %v", res.Status, body, err)
					}
					must(t, res.Body.Close())
				}
				if n := s.made.Load(); n != 2 || opened(transport) != 0 {
					t.Errorf("%d connections, %d open", n, opened(transport))
				}
			})
		}
	})
}

// TestDo_Cancel: the end of a context ends a request wherever it is, with its cause,
// and takes the connection with it.
func TestDo_Cancel(t *testing.T) {
	left := errors.New("the client left")
	both(t, func(t *testing.T, secure bool) {
		for name, tc := range map[string]struct {
			request *Request
			answer  string // before the silence
		}{
			"before the answer": {post("x"), ""},
			"in its header":     {post("x"), "HTTP/1.1 200 OK\r\nContent-"},
			"in its body":       {post("x"), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"},
			"in a chunk":        {post("x"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"},
			"in the request":    {post(strings.Repeat("x", 32<<20)), ""},
		} {
			t.Run(name, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				done := make(chan struct{})
				s := serve(t, secure, func(c net.Conn) {
					_, _ = c.Read(make([]byte, 1))
					_, _ = io.WriteString(c, tc.answer)
					time.AfterFunc(10*time.Millisecond, func() { cancel(left) })
					<-done
				})
				defer close(done)
				transport := s.client(t)
				if _, err := whole(ctx, transport, tc.request); !errors.Is(err, left) {
					t.Errorf("ended with %v", err)
				}
				if opened(transport) != 0 {
					t.Errorf("%d connections are open", opened(transport))
				}
				if _, err := transport.Do(ctx, get); !errors.Is(err, left) || s.made.Load() != 1 {
					t.Errorf("another with the same context: %v", err)
				}
			})
		}
	})
}

// TestDo_CancelConnecting is the same before there is a connection.
func TestDo_CancelConnecting(t *testing.T) {
	left := errors.New("the client left")
	synctest.Test(t, func(t *testing.T) {
		for _, hangs := range []bool{true, false} { // in the dial, or in the handshake
			ctx, cancel := context.WithCancelCause(t.Context())
			here, there := net.Pipe()
			transport := New(Config{TLS: &tls.Config{ServerName: "google", MinVersion: tls.VersionTLS12}, Handshake: time.Hour, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				if hangs {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return here, nil
			}})
			time.AfterFunc(time.Minute, func() { cancel(left) })
			if _, err := transport.Do(ctx, get); !errors.Is(err, left) || opened(transport) != 0 {
				t.Errorf("%v, %d open", err, opened(transport))
			}
			_, _ = here.Close(), there.Close()
		}
	})
}

// TestDo_Handshake: TLS may not take longer than it is allowed to, and such a request
// was never sent.
func TestDo_Handshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		go func() { _, _ = io.Copy(io.Discard, there) }()
		began := time.Now()
		transport := New(Config{
			TLS: &tls.Config{ServerName: "google", MinVersion: tls.VersionTLS12}, Handshake: 5 * time.Second,
			Dial: func(context.Context, string, string) (net.Conn, error) { return here, nil },
		})
		_, err := transport.Do(t.Context(), get)
		if !errors.Is(err, errHandshake) || !unconnected(err) || time.Since(began) != 5*time.Second || opened(transport) != 0 {
			t.Errorf("%v after %s, %d open", err, time.Since(began), opened(transport))
		}
	})
}

// TestIdle: connections are closed after IdleTimeout, though nobody asks for them.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ends []net.Conn
		var wg sync.WaitGroup
		transport := New(Config{MaxIdle: 10, IdleTimeout: time.Minute, Dial: func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			ends = append(ends, there)
			wg.Go(func() { echo(there) })
			return here, nil
		}})
		ok(t, transport, get, "GET")
		time.Sleep(59 * time.Second)
		ok(t, transport, get, "GET")
		if len(ends) != 1 {
			t.Errorf("%d connections", len(ends))
		}
		time.Sleep(90 * time.Second)
		if synctest.Wait(); opened(transport) != 0 {
			t.Errorf("%d open", opened(transport))
		}
		ok(t, transport, get, "GET")
		_ = ends[1].Close()
		time.Sleep(30 * time.Second) // the other side closed it, which is seen before its time
		if synctest.Wait(); opened(transport) != 0 {
			t.Errorf("%d open", opened(transport))
		}
		transport.CloseIdle()
		wg.Wait()
	})
}

// TestBounds: no more connections than MaxOpen, no more idle ones than MaxIdle, none
// that stays after CloseIdle.
func TestBounds(t *testing.T) {
	s := serve(t, false, echo)
	transport := s.client(t, func(c *Config) { c.MaxOpen, c.MaxIdle = 3, 2 })
	ask := func() *http.Response {
		res, err := transport.Do(t.Context(), post(strings.Repeat("x", 5000))) // more than comes with the header
		must(t, err)
		return res
	}
	finish := func(list ...*http.Response) {
		for _, res := range list {
			_, err := io.Copy(io.Discard, res.Body)
			must(t, err)
		}
	}
	three := []*http.Response{ask(), ask(), ask()}
	if _, err := transport.Do(t.Context(), get); !errors.Is(err, ErrBusy) {
		t.Errorf("the fourth: %v", err)
	}
	finish(three...)
	if len(transport.idle) != 2 || opened(transport) != 2 {
		t.Errorf("%d idle, %d open", len(transport.idle), opened(transport))
	}
	last := ask()
	transport.CloseIdle()
	if opened(transport) != 1 {
		t.Errorf("%d open", opened(transport))
	}
	finish(last)
	if opened(transport) != 0 {
		t.Errorf("%d open", opened(transport))
	}
}

// TestTLS: only who is vouched for under the right name is spoken to, in HTTP/1.1
// though HTTP/2 is offered, and the second connection costs less.
func TestTLS(t *testing.T) {
	states := make(chan tls.ConnectionState, 10)
	s := serve(t, true, func(c net.Conn) {
		requests(c, func(*http.Request, string) bool {
			states <- c.(*tls.Conn).ConnectionState()
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi")
			return false
		})
	})
	_, err := whole(t.Context(), s.client(t, func(c *Config) { c.TLS.RootCAs = x509.NewCertPool() }), get)
	if unknown := (x509.UnknownAuthorityError{}); !errors.As(err, &unknown) || !unconnected(err) {
		t.Errorf("an unknown authority: %v", err)
	}
	_, err = whole(t.Context(), s.client(t, func(c *Config) { c.TLS.ServerName = "generativelanguage.googleapis.com" }), get)
	if name := (x509.HostnameError{}); !errors.As(err, &name) || !unconnected(err) {
		t.Errorf("another name: %v", err)
	}
	transport := s.client(t)
	for i := range 2 {
		ok(t, transport, get, "hi")
		if state := <-states; state.NegotiatedProtocol != "http/1.1" || state.DidResume != (i == 1) {
			t.Errorf("connection %d: %q, resumed %v", i, state.NegotiatedProtocol, state.DidResume)
		}
	}
}

// corked is a connection that holds back what is written.
type corked struct {
	net.Conn
	on   bool
	held []byte
}

func (c *corked) Write(p []byte) (int, error) {
	if c.on {
		c.held = append(c.held, p...)
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// TestBody_Together: events that arrived together are read together, in TLS also, where
// each is a record.
func TestBody_Together(t *testing.T) {
	var all strings.Builder
	cert, roots := certificate()
	begin, said := make(chan struct{}), make(chan struct{})
	s := serve(t, false, func(there net.Conn) {
		raw := &corked{Conn: there}
		c := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
		requests(c, func(*http.Request, string) bool {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			<-begin
			raw.on = true
			for i := range 40 {
				event := fmt.Sprint("data: ", i, strings.Repeat(" event", 50), "\n\n")
				all.WriteString(event)
				_, _ = fmt.Fprintf(c, "%x\r\n%s\r\n", len(event), event)
			}
			raw.on = false
			_, _ = there.Write(raw.held)
			said <- struct{}{}
			return true
		})
	})
	transport := s.client(t, func(c *Config) {
		c.TLS = &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
	})
	res, err := transport.Do(t.Context(), post("x"))
	must(t, err)
	begin <- struct{}{}
	<-said
	p := make([]byte, 64<<10)
	n, err := res.Body.Read(p)
	if err != nil || string(p[:n]) != all.String() {
		t.Errorf("read %d bytes of %d, %v", n, all.Len(), err)
	}
	must(t, res.Body.Close())
}

// TestDo_Together: many at once, some of whom leave, all get their own answers.
func TestDo_Together(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		s := serve(t, secure, echo)
		transport := s.client(t, func(c *Config) { c.MaxIdle = 8 })
		var wg sync.WaitGroup
		for g := range 32 {
			wg.Go(func() {
				for i := range 30 {
					ctx, cancel := context.WithCancel(t.Context())
					if rand.IntN(4) == 0 {
						time.AfterFunc(time.Duration(rand.IntN(300))*time.Microsecond, cancel)
					}
					body := fmt.Sprintf("%d-%d-", g, i)
					if i%10 == 0 {
						body = strings.Repeat(body, 20_000)
					}
					got, err := whole(ctx, transport, post(body))
					if err == nil && got != "POST / "+body || err != nil && !errors.Is(err, context.Canceled) {
						t.Errorf("%.40q: %.40q, %v", body, got, err)
					}
					cancel()
				}
			})
		}
		wg.Wait()
		transport.mu.Lock()
		defer transport.mu.Unlock()
		if transport.open != len(transport.idle) {
			t.Errorf("%d open, %d idle", transport.open, len(transport.idle))
		}
	})
}
