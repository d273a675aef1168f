// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const png = "\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"

// names is a resolver. Each lookup of a name takes the next of its answers; the
// last one stays.
type names map[string][]string

func (n names) lookup(_ context.Context, host string) ([]netip.Addr, error) {
	host, dot := strings.CutSuffix(strings.ToLower(host), ".")
	answers := n[host]
	if !dot || len(answers) == 0 {
		return nil, errors.New("no such host")
	}
	if len(answers) > 1 {
		n[host] = answers[1:]
	}
	var addrs []netip.Addr
	for a := range strings.FieldsSeq(answers[0]) {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	return addrs, nil
}

// origin is a server at https://example.com with a Fetcher that may connect to it.
type origin struct {
	*httptest.Server
	base  string // its URL, without a path
	names names
	seen  atomic.Int64 // requests
}

func serve(t *testing.T, o Options, h http.HandlerFunc) (*origin, *Fetcher) {
	t.Helper()
	s := &origin{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.seen.Add(1)
		h(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	at := netip.MustParseAddrPort(s.Listener.Addr().String())
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	s.base = "https://example.com:" + port
	s.names = names{"example.com": {"127.0.0.1"}}
	o.Lookup = s.names.lookup
	o.RootCAs = x509.NewCertPool()
	o.RootCAs.AddCert(s.Certificate())
	o.Allow = func(to netip.AddrPort) bool { return to == at }
	return s, New(o)
}

func body(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
}

func TestGet(t *testing.T) {
	s, f := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		for _, k := range []string{"Accept-Encoding", "Cookie", "Referer", "Authorization"} {
			if v := r.Header.Get(k); v != "" {
				t.Errorf("sent %s: %s", k, v)
			}
		}
		if r.Method != http.MethodGet || r.Proto != "HTTP/1.1" || !r.Close {
			t.Errorf("sent %s %s, close %v", r.Method, r.Proto, r.Close)
		}
		if r.URL.RequestURI() != "/a%20b?x=%2F" {
			t.Errorf("sent %s", r.URL.RequestURI())
		}
		w.Header().Set("Content-Type", "text/html") // not believed
		w.Header().Set("Set-Cookie", "a=b")
		_, _ = io.WriteString(w, png)
	})
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	m, err := f.Get(t.Context(), s.base+"/a%20b?x=%2F#part")
	if err != nil || m.Type != "image/png" || string(m.Data) != png {
		t.Errorf("got %q, %v", m, err)
	}
}

func TestGet_FollowsRedirects(t *testing.T) {
	s, f := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Referer") != "" || r.Header.Get("Cookie") != "" {
			t.Errorf("sent %v", r.Header)
		}
		w.Header().Set("Set-Cookie", "a=b")
		switch r.URL.Path {
		case "/1":
			http.Redirect(w, r, "/2?secret", http.StatusFound)
		case "/2":
			http.Redirect(w, r, "3", http.StatusPermanentRedirect)
		case "/3":
			http.Redirect(w, r, "//"+r.Host+"/4", http.StatusTemporaryRedirect)
		default:
			_, _ = io.WriteString(w, png)
		}
	})
	if m, err := f.Get(t.Context(), s.base+"/1"); err != nil || string(m.Data) != png || s.seen.Load() != 4 {
		t.Errorf("got %q, %v after %d requests", m, err, s.seen.Load())
	}
}

// What is refused of an answer, and in which words.
func TestGet_Answers(t *testing.T) {
	header := func(k, v string, then http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(k, v)
			then(w, r)
		}
	}
	status := func(n int) http.HandlerFunc { return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(n) } }
	chunks := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, s[:len(s)/2])
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, s[len(s)/2:])
		}
	}
	endless := func(w http.ResponseWriter, r *http.Request) {
		for block := []byte(png + strings.Repeat("x", 4096)); r.Context().Err() == nil; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}
	full := png + strings.Repeat("x", 2000-len(png))
	for _, c := range []struct {
		name, want string
		handler    http.HandlerFunc
	}{
		{"at the limit", "", body(full)},
		{"at the limit in chunks", "", chunks(full)},
		{"over the limit by length", "larger than 2000 bytes", body(full + "x")},
		{"over the limit in chunks", "larger than 2000 bytes", chunks(full + "x")},
		{"without end", "larger than 2000 bytes", endless},
		{"empty", "it is empty", body("")},
		{"404", "status 404", status(404)},
		{"204", "status 204", status(204)},
		{"206", "status 206", status(206)},
		{"304", "status 304", status(304)},
		{"401", "status 401", status(401)},
		{"compressed", "compressed", header("Content-Encoding", "gzip", body(png))},
		{"identity", "", header("Content-Encoding", "identity", body(png))},
		{"a page", "it is text/html, not", header("Content-Type", "image/png", body("<!DOCTYPE html><p>log in"))},
		{"GIF", "it is image/gif, not", body("GIF89a.......")},
		{"SVG", "not of a type", body("<svg xmlns='http://www.w3.org/2000/svg'/>")},
		{"JSON", "it is text/plain, not", body(`{"secret":"x"}`)},
		{"shorter than said", "connection to the host failed", header("Content-Length", "1000", body(png))},
		{"a redirect without a place", "connection to the host failed", nil},
		{"too many headers", "connection to the host failed", header("X-Long", strings.Repeat("x", 70<<10), body(png))},
	} {
		if c.handler == nil { // to itself, so that it is a loop
			c.handler, c.want = status(302), "redirects too often"
		}
		t.Run(c.name, func(t *testing.T) {
			s, f := serve(t, Options{MaxBytes: 2000}, c.handler)
			m, err := f.Get(t.Context(), s.base+"/x?token=secret")
			if c.want == "" {
				if err != nil || !strings.HasPrefix(string(m.Data), png) {
					t.Errorf("got %d bytes, %v", len(m.Data), err)
				}
				return
			}
			refused(t, err, c.want)
		})
	}
}

// refused checks an error and that it tells nothing of the URL but the host.
func refused(t *testing.T, err error, want string) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || !strings.Contains(e.Reason, want) {
		t.Fatalf("got %v, want %q", err, want)
	}
	if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "/x") || strings.Contains(err.Error(), "?") {
		t.Errorf("%q tells too much", err)
	}
}

func TestGet_RedirectLoops(t *testing.T) {
	for _, c := range []struct {
		name string
		max  int
		want int64
	}{{"three by default", 0, 4}, {"one", 1, 2}, {"none", -1, 1}} {
		t.Run(c.name, func(t *testing.T) {
			s, f := serve(t, Options{MaxRedirects: c.max}, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "/x?secret", http.StatusFound)
			})
			_, err := f.Get(t.Context(), s.base+"/x")
			if refused(t, err, "redirects too often"); s.seen.Load() != c.want {
				t.Errorf("%d requests, want %d", s.seen.Load(), c.want)
			}
		})
	}
}

func TestGet_Time(t *testing.T) {
	hang := func(head string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if head != "" {
				_, _ = io.WriteString(w, head)
				_ = http.NewResponseController(w).Flush()
			}
			<-r.Context().Done()
		}
	}
	for name, head := range map[string]string{"before the answer": "", "within the answer": png} {
		t.Run(name, func(t *testing.T) {
			s, f := serve(t, Options{Timeout: 50 * time.Millisecond}, hang(head))
			_, err := f.Get(t.Context(), s.base+"/x?secret")
			refused(t, err, "did not arrive in time")
		})
	}
	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s, f := serve(t, Options{}, func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		})
		_, err := f.Get(ctx, s.base+"/x?secret")
		refused(t, err, "canceled")
	})
	t.Run("no slot", func(t *testing.T) {
		s, f := serve(t, Options{Parallel: 1}, body(png))
		f.slots <- struct{}{}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := f.Get(ctx, s.base+"/x?secret")
		if refused(t, err, "canceled"); s.seen.Load() != 0 {
			t.Error("asked without a slot")
		}
	})
}

func TestGet_TLS(t *testing.T) {
	s, f := serve(t, Options{}, body(png))
	f.transport.TLSClientConfig.RootCAs = x509.NewCertPool()
	_, err := f.Get(t.Context(), s.base+"/x")
	refused(t, err, "certificate is not valid")

	plain := httptest.NewServer(body(png))
	defer plain.Close()
	at := netip.MustParseAddrPort(plain.Listener.Addr().String())
	f = New(Options{Allow: func(to netip.AddrPort) bool { return to == at }})
	_, err = f.Get(t.Context(), "https://"+at.String()+"/x?secret")
	refused(t, err, "does not speak https")
	_, err = f.Get(t.Context(), "http://"+at.String()+"/x?secret")
	refused(t, err, "does not begin with https://")
	f = New(Options{AllowHTTP: true, Allow: f.o.Allow})
	if m, err := f.Get(t.Context(), "http://"+at.String()+"/x"); err != nil || m.Type != "image/png" {
		t.Errorf("got %v, %v", m, err)
	}
}

func TestAll(t *testing.T) {
	s, f := serve(t, Options{MaxTotal: 3000}, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/none":
			w.WriteHeader(http.StatusNotFound)
		default:
			_, _ = io.WriteString(w, png+strings.Repeat("x", 1000)+r.URL.Path)
		}
	})
	a, b, none := s.base+"/a", s.base+"/b", s.base+"/none"
	got := f.All(t.Context(), []string{a, none, b, a})
	if len(got) != 3 || s.seen.Load() != 3 {
		t.Errorf("%d results of %d requests", len(got), s.seen.Load())
	}
	for _, u := range []string{a, b} {
		if m := got[u]; m.Err != nil || !strings.HasSuffix(string(m.Data), u[len(s.base):]) {
			t.Errorf("%s: %v", u, m.Err)
		}
	}
	refused(t, got[none].Err, "status 404")

	got = f.All(t.Context(), []string{a, b, s.base + "/c", s.base + "/d"})
	over := 0
	for _, m := range got {
		if m.Err != nil {
			refused(t, m.Err, "together are larger than 3000 bytes")
			over++
		}
	}
	if over == 0 {
		t.Error("all came, though together they are too large")
	}
}
