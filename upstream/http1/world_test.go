// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// certificate is one for 127.0.0.1 and example.com, with who vouches for it.
var certificate = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s.TLS.Certificates[0], roots
})

// server is the other side of a Transport, connection by connection.
type server struct {
	net.Listener
	secure bool
	made   atomic.Int32 // connections
	wg     sync.WaitGroup
}

// serve runs handle for each connection, which is closed after it.
func serve(t testing.TB, secure bool, handle func(net.Conn)) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &server{Listener: l, secure: secure}
	if secure {
		cert, _ := certificate()
		s.Listener = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}, DynamicRecordSizingDisabled: true})
	}
	s.wg.Go(func() {
		for {
			c, err := s.Accept()
			if err != nil {
				return
			}
			s.made.Add(1)
			s.wg.Go(func() {
				defer c.Close()
				handle(c)
			})
		}
	})
	t.Cleanup(func() {
		s.Close()
		s.wg.Wait()
	})
	return s
}

// client is a Transport to the server.
func (s *server) client(t testing.TB, edit ...func(*Config)) *Transport {
	t.Helper()
	c := Config{
		Addr: s.Addr().String(), Host: "google", MaxIdle: 100, IdleTimeout: time.Minute, Handshake: 10 * time.Second,
		Dial: (&net.Dialer{}).DialContext,
	}
	if s.secure {
		_, roots := certificate()
		c.TLS = &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
	}
	for _, f := range edit {
		f(&c)
	}
	transport := New(c)
	t.Cleanup(transport.CloseIdle) // before the server, which waits for it
	return transport
}

// requests reads the requests of a connection and answers each. It returns when the
// client has gone or answer says so.
func requests(c net.Conn, answer func(r *http.Request, body string) (more bool)) {
	in := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || !answer(r, string(body)) {
			return
		}
	}
}

// echo answers with what it was asked.
func echo(c net.Conn) {
	requests(c, func(r *http.Request, body string) bool {
		text := r.Method + " " + r.RequestURI + " " + body
		_, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
		return err == nil
	})
}

func post(body string) *Request {
	return &Request{Method: http.MethodPost, Target: "/", Body: [][]byte{[]byte(body)}, Length: int64(len(body))}
}

var get = &Request{Method: http.MethodGet, Target: "/"}

// whole makes a request and reads all of its answer.
func whole(ctx context.Context, t *Transport, r *Request) (string, error) {
	res, err := t.Do(ctx, r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

// ok is whole for what must succeed with an answer that has some text.
func ok(t testing.TB, transport *Transport, r *Request, want string) {
	t.Helper()
	got, err := whole(t.Context(), transport, r)
	if err != nil || !strings.Contains(got, want) {
		t.Errorf("%.200q, %v; want %q", got, err, want)
	}
}

// both runs a test without and with TLS.
func both(t *testing.T, test func(t *testing.T, secure bool)) {
	t.Run("plain", func(t *testing.T) { test(t, false) })
	t.Run("TLS", func(t *testing.T) { test(t, true) })
}

// unconnected reports whether an error says that nothing was sent.
func unconnected(err error) bool {
	_, ok := errors.AsType[*ConnectError](err)
	return ok
}

// opened is how many connections there are.
func opened(transport *Transport) int {
	transport.mu.Lock()
	defer transport.mu.Unlock()
	return transport.open
}
