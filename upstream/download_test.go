// SPDX-License-Identifier: Apache-2.0

package upstream_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

// hosts is a server that has a certificate for every host it is asked as, and a
// client that finds all hosts there.
func hosts(t *testing.T, names []string, serve http.HandlerFunc) *upstream.Client {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	server := httptest.NewUnstartedServer(serve)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	c, err := upstream.New(upstream.Config{
		TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestDownload_Hops: redirects are followed to Google's hosts alone, each with what
// it may have of the request.
func TestDownload_Hops(t *testing.T) {
	const first = "generativelanguage.googleapis.com"
	for _, tc := range []struct {
		name  string
		hops  []string // Locations, one after the other
		asked string   // hosts, those with the key in capitals
		ok    bool
	}{
		{"none", nil, "GENERATIVELANGUAGE.GOOGLEAPIS.COM", true},
		{"relative", []string{"/other"}, strings.ToUpper(first + " " + first), true},
		{"googleapis", []string{"https://storage.googleapis.com/x"}, strings.ToUpper(first) + " STORAGE.GOOGLEAPIS.COM", true},
		{"googleusercontent", []string{"https://a.googleusercontent.com/x"}, strings.ToUpper(first) + " a.googleusercontent.com", true},
		{"there and back", []string{"https://a.googleusercontent.com/x", "https://storage.googleapis.com:443/y"}, strings.ToUpper(first) + " a.googleusercontent.com STORAGE.GOOGLEAPIS.COM", true},
		{"five", []string{"/1", "/2", "/3", "/4", "/5"}, strings.ToUpper(strings.TrimSpace(strings.Repeat(first+" ", 6))), true},
		{"six", []string{"/1", "/2", "/3", "/4", "/5", "/6"}, strings.ToUpper(strings.TrimSpace(strings.Repeat(first+" ", 6))), false},
		{"a foreign host", []string{"https://example.com/x"}, strings.ToUpper(first), false},
		{"looks alike", []string{"https://evilgoogleapis.com/x"}, strings.ToUpper(first), false},
		{"bare domain", []string{"https://googleusercontent.com/x"}, strings.ToUpper(first), false},
		{"plain http", []string{"http://storage.googleapis.com/x"}, strings.ToUpper(first), false},
		{"loopback", []string{"http://127.0.0.1/x"}, strings.ToUpper(first), false},
		{"no URL", []string{"https://%zz"}, strings.ToUpper(first), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var mu sync.Mutex
			var asked []string
			c := hosts(t, []string{first, "storage.googleapis.com", "a.googleusercontent.com"}, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				host, _, _ := strings.Cut(r.Host, ":")
				if r.Header.Get("X-Goog-Api-Key") == "secret" {
					host = strings.ToUpper(host)
				}
				if asked = append(asked, host); r.Header.Get("Range") != "bytes=1-" {
					t.Errorf("%s lacks the range", host)
				}
				if n := len(asked); n <= len(tc.hops) {
					w.Header().Set("Location", tc.hops[n-1])
					w.WriteHeader(http.StatusTemporaryRedirect)
					return
				}
				_, _ = io.WriteString(w, "bytes")
			})
			res, err := c.Download(t.Context(), &upstream.Request{
				Method: http.MethodGet, Path: "/v1beta/files/a:download", Header: http.Header{"Range": {"bytes=1-"}}, Secret: "secret",
			})
			if got := strings.Join(asked, " "); got != tc.asked {
				t.Errorf("asked %s", got)
			}
			if !tc.ok {
				if !errors.Is(err, upstream.ErrRedirect) || strings.Contains(fmt.Sprint(err), "/x") {
					t.Error(err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err = errors.Join(err, res.Body.Close()); err != nil || string(body) != "bytes" {
				t.Errorf("%s %v", body, err)
			}
		})
	}
}

// TestDo_Stream: a body is sent as it comes, with its length where that is known.
func TestDo_Stream(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, r.ContentLength, r.Header.Get("Content-Type"), string(body))
	}))
	defer server.Close()
	c, err := upstream.New(upstream.Config{BaseURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for length, want := range map[int64]string{4: "4application/octet-streamdata", -1: "-1application/octet-streamdata"} {
		res, err := c.Do(t.Context(), &upstream.Request{Method: http.MethodPost, Path: "/", Stream: io.NopCloser(strings.NewReader("data")), Length: length})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil || string(body) != want {
			t.Errorf("%s %v", body, err)
		}
	}
}
