// SPDX-License-Identifier: Apache-2.0

package upstream_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseBaseURL(t *testing.T) {
	for url, ok := range map[string]bool{
		"https://generativelanguage.googleapis.com": true, "https://proxy.example.com:8443/": true,
		"http://127.0.0.1:9000": true, "http://[::1]:9000": true, "http://localhost": true,
		"http://example.com": false, "http://127.0.0.1.example.com": false, "ftp://127.0.0.1": false,
		"https://user:pass@example.com": false, "https://example.com/v1beta": false, "https://example.com?x=1": false,
		"example.com": false, "": false, "https://": false, "://": false,
	} {
		if _, err := upstream.ParseBaseURL(url); (err == nil) != ok {
			t.Errorf("ParseBaseURL(%q) = %v", url, err)
		}
	}
}

// TestClient_Protocols: both HTTP versions work, keep their connection, and
// carry the key in one place.
func TestClient_Protocols(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			google := fakegemini.New(fakegemini.Config{Keys: []fakegemini.Key{{Secret: "key-one"}}})
			start := google.Start
			if proto == "HTTP/2.0" {
				start = google.StartTLS
			}
			if err := start(); err != nil {
				t.Fatal(err)
			}
			defer google.Close()
			c, err := upstream.New(upstream.Config{
				BaseURL: google.URL, TLS: &tls.Config{RootCAs: google.Roots, MinVersion: tls.VersionTLS12}, UserAgent: "ua", HTTP2: proto == "HTTP/2.0",
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for range 3 {
				res, err := c.Do(t.Context(), &upstream.Request{
					Method: http.MethodPost, Path: "/v1beta/models/gemini-3.5-flash:generateContent", Secret: "key-one",
					Body: []byte(`{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}`),
				})
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if res.StatusCode != http.StatusOK || !strings.Contains(string(body), "candidates") {
					t.Fatalf("%s: %s", res.Status, body)
				}
			}
			first := google.Entries()[0]
			for _, e := range google.Entries() {
				if e.Proto != proto || e.Remote != first.Remote {
					t.Errorf("request over %s from %s, want %s from %s", e.Proto, e.Remote, proto, first.Remote)
				}
				if e.Header.Get("User-Agent") != "ua" || e.Header.Get("Accept-Encoding") != "" {
					t.Errorf("headers %v", e.Header)
				}
			}
			if v := google.Violations(); len(v) > 0 {
				t.Errorf("violations %+v", v)
			}
		})
	}
}

// TestClient_FollowsNoRedirect: another host gets neither request nor key.
func TestClient_FollowsNoRedirect(t *testing.T) {
	touched := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { touched = true }))
	defer other.Close()
	here := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	}))
	defer here.Close()
	c, err := upstream.New(upstream.Config{BaseURL: here.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	res, err := c.Do(t.Context(), &upstream.Request{Method: http.MethodGet, Path: "/v1beta/models", Secret: "k"})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusTemporaryRedirect || touched {
		t.Errorf("status %d, other host touched: %v", res.StatusCode, touched)
	}
}

// TestClient_IgnoresProxyEnvironment: egress is configured, never inherited.
func TestClient_IgnoresProxyEnvironment(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	google := fakegemini.New(fakegemini.Config{Keys: []fakegemini.Key{{Secret: "k"}}})
	if err := google.Start(); err != nil {
		t.Fatal(err)
	}
	defer google.Close()
	c, err := upstream.New(upstream.Config{BaseURL: google.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	res, err := c.Do(t.Context(), &upstream.Request{Method: http.MethodGet, Path: "/v1beta/models", Secret: "k"})
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

// TestClient_Routes: a request takes its key's proxy, and a broken proxy harms
// no other route; a password in the proxy's URL is in no error.
func TestClient_Routes(t *testing.T) {
	google := fakegemini.New(fakegemini.Config{Keys: []fakegemini.Key{{Secret: "k"}}})
	if err := google.StartTLS(); err != nil {
		t.Fatal(err)
	}
	defer google.Close()
	var tunnels atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pass, _ := proxyAuth(r); r.Method != http.MethodConnect || pass != "pr0xypass" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		tunnels.Add(1)
		target, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer target.Close()
		w.WriteHeader(http.StatusOK)
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		go func() { _, _ = io.Copy(target, buf) }()
		_, _ = io.Copy(conn, target)
	}))
	defer proxy.Close()
	c, err := upstream.New(upstream.Config{BaseURL: google.URL, TLS: &tls.Config{RootCAs: google.Roots, MinVersion: tls.VersionTLS12}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	get := func(proxy string) error {
		res, err := c.Do(t.Context(), &upstream.Request{Method: http.MethodGet, Path: "/v1beta/models", Secret: "k", Proxy: proxy})
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %w", res.Status, err)
		}
		return nil
	}
	good := strings.Replace(proxy.URL, "http://", "http://user:pr0xypass@", 1)
	for range 3 {
		if err := get(good); err != nil {
			t.Fatal(err)
		}
	}
	if n := tunnels.Load(); n != 1 {
		t.Errorf("%d tunnels for three requests, want one that is kept", n)
	}
	if err := get("http://user:pr0xypass@127.0.0.1:1"); err == nil || strings.Contains(err.Error(), "pr0xypass") {
		t.Errorf("a dead proxy: %v", err)
	}
	if err := get(""); err != nil || tunnels.Load() != 1 {
		t.Errorf("the direct route: %v, %d tunnels", err, tunnels.Load())
	}
}

func proxyAuth(r *http.Request) (user, pass string, ok bool) {
	clone := http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	return clone.BasicAuth()
}

func TestClient_CauseOfCancelling(t *testing.T) {
	google := fakegemini.New(fakegemini.Config{Keys: []fakegemini.Key{{Secret: "very-secret"}}})
	google.Script(fakegemini.Rule{Steer: fakegemini.ParseSteer("[[hang]]")})
	if err := google.Start(); err != nil {
		t.Fatal(err)
	}
	defer google.Close()
	c, err := upstream.New(upstream.Config{BaseURL: google.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	patience := errors.New("out of patience")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, patience)
	defer cancel()
	_, err = c.Do(ctx, &upstream.Request{Method: http.MethodPost, Path: "/v1beta/models/gemini-3.5-flash:generateContent", Secret: "very-secret", Body: []byte(`{}`)})
	if !errors.Is(err, patience) || strings.Contains(err.Error(), "very-secret") {
		t.Errorf("Do = %v", err)
	}
}
