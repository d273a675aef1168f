// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

// TestTLSFaults breaks encrypted connections to Google, of HTTP/1.1 and of HTTP/2:
// the stream alone, the connection, and the way that a server takes its leave, with
// GOAWAY or a closed connection.
// Source: specs/gateways.md U1.
func TestTLSFaults(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		for name, tc := range map[string]struct {
			act func(google *httptest.Server) // after the first event
			end wireEnd
		}{
			"no fault":                {func(*httptest.Server) {}, succeeds},
			"the stream is reset":     {func(*httptest.Server) { panic(http.ErrAbortHandler) }, breaks},
			"the connection is reset": {func(s *httptest.Server) { s.CloseClientConnections() }, breaks},
			"the server says goodbye": {func(s *httptest.Server) { go s.Config.Shutdown(context.Background()) }, succeeds}, //nolint:errcheck // it is closed anyway
		} {
			for _, s := range wireSurfaces {
				if !s.stream {
					continue
				}
				t.Run(fmt.Sprintf("h2 %v %s %s", h2, name, s.name), func(t *testing.T) {
					google := newTLSGoogle(t, h2, "", tc.act)
					got := askBroken(t, newWorld, s, upstreamOf(google, h2))
					checkEnd(t, s, got, tc.end, map[wireEnd]string{succeeds: "all of it", breaks: "all"}[tc.end])
				})
			}
		}
	}
}

// TestTLSFaults_Goodbye: a server that has said goodbye is replaced by another at the
// same address. Kept connections lead nowhere then, and nobody notices.
func TestTLSFaults_Goodbye(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprint("h2 ", h2), func(t *testing.T) {
			first := newTLSGoogle(t, h2, "", func(*httptest.Server) {})
			address := first.Listener.Addr().String()
			w := newWorld(t, keys(3), func(c *Config) {
				up, err := upstream.New(upstreamOf(first, h2))
				must(t, err)
				t.Cleanup(up.Close)
				c.Upstream = up
			})
			for i := range 3 {
				for _, s := range wireSurfaces {
					if got := w.askAny(t.Context(), s, "hi"); got.status != http.StatusOK || strings.Contains(got.body, `"error"`) {
						t.Errorf("server %d, %s: %d %s", i, s.name, got.status, got.body)
					}
				}
				must(t, first.Config.Shutdown(t.Context()))
				first.Close()
				first = newTLSGoogle(t, h2, address, func(*httptest.Server) {})
			}
		})
	}
}

func upstreamOf(google *httptest.Server, h2 bool) upstream.Config {
	roots := google.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return upstream.Config{BaseURL: google.URL, TLS: &tls.Config{RootCAs: roots}, HTTP2: h2}
}

// newTLSGoogle answers over TLS, and acts after the first event of a stream.
func newTLSGoogle(t *testing.T, h2 bool, address string, act func(*httptest.Server)) *httptest.Server {
	t.Helper()
	var google *httptest.Server
	google = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if want := map[bool]int{false: 1, true: 2}[h2]; r.ProtoMajor != want {
			t.Errorf("asked over %s", r.Proto)
		}
		stream := streamOf(r)
		if stream == "" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, part("", "all of it", 0, true))
			return
		}
		w.Header().Set("Content-Type", map[string]string{"sse": "text/event-stream", "array": "application/json"}[stream])
		_, _ = io.WriteString(w, part(stream, "all ", 0, false))
		_ = http.NewResponseController(w).Flush()
		flushed(nil)
		act(google)
		flushed(nil)
		_, _ = io.WriteString(w, part(stream, "of it", 1, true))
	}))
	google.EnableHTTP2 = h2
	if address != "" {
		google.Listener.Close()
		var err error
		google.Listener, err = net.Listen("tcp", address)
		must(t, err)
	}
	google.StartTLS()
	t.Cleanup(google.Close)
	return google
}
