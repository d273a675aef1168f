// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

// TestClient_SameRequests: what package http1 sends is what net/http sends, and what
// comes back is the same.
func TestClient_SameRequests(t *testing.T) {
	type seen struct {
		Method, URI, Host string
		Header            http.Header
		Length            int64
		Body              string
	}
	got := make(chan seen, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- seen{r.Method, r.RequestURI, r.Host, r.Header, r.ContentLength, string(body)}
		w.Header().Set("X-Answer", "yes")
		w.Header()["Date"] = nil
		w.WriteHeader(http.StatusTeapot)
		if strings.HasSuffix(r.URL.Path, "stream") {
			w.(http.Flusher).Flush()
		}
		_, _ = io.WriteString(w, "an answer")
	}))
	defer server.Close()
	large := bytes.Repeat([]byte("AAAA"), 1<<18)
	for _, r := range []Request{
		{Method: "GET", Path: "/v1beta/models"},
		{Method: "GET", Path: "/v1beta/models", Query: "pageSize=1&pageToken=a%2Fb+c"},
		{Method: "HEAD", Path: "/v1beta/models"},
		{Method: "DELETE", Path: "/v1beta/files/a%2Fb:c@d~e"},
		{Method: "PATCH", Path: "/v1beta/caches/x", Query: "updateMask=ttl", Body: []byte(`{}`)},
		{Method: "POST", Path: "/v1beta/batches/x:cancel"},
		{Method: "POST", Path: "/a [b]/ü", Body: []byte(`{}`)},
		{Method: "POST", Path: "/a%5B|b", Body: []byte(`{}`)},
		{Method: "POST", Path: "//a//stream", Body: []byte(`{}`), Type: "text/plain", Accept: "text/event-stream"},
		{Method: "POST", Path: "/x", Body: []byte(`{}`), Header: http.Header{"X-Goog-Api-Client": {"a", "b"}, "X-Server-Timeout": {"5"}}},
		{Method: "POST", Path: "/x", Body: []byte(`{}`), Header: http.Header{"Content-Type": {"a/b"}, "X-Goog-Upload-Command": {"start"}}},
		{Method: "POST", Path: "/stream", Body: []byte(`{"a":"","b":""}`), Pieces: []gemini.Piece{{At: 6, Data: large}, {At: 13, Data: []byte("text")}}},
		{Method: "POST", Path: "/x", Body: []byte(`{"a":"","b":""}`), Pieces: []gemini.Piece{{At: 6, Data: large}, {At: 13, Data: large[:99_999], Raw: true}}},
		{Method: "POST", Path: "/x", Stream: io.NopCloser(strings.NewReader("sent as it comes")), Length: -1},
	} {
		r.Secret = "secret"
		var answers, requests [2]any
		for i, standard := range []bool{false, true} {
			c, err := New(Config{BaseURL: server.URL, UserAgent: "ua", HTTP2: standard})
			if err != nil {
				t.Fatal(err)
			}
			if r.Stream != nil {
				r.Stream = io.NopCloser(strings.NewReader("sent as it comes"))
			}
			res, err := c.Do(t.Context(), &r)
			if err != nil {
				t.Fatalf("%s %s: %v", r.Method, r.Path, err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatalf("%s %s: %v", r.Method, r.Path, err)
			}
			res.Body.Close()
			c.Close()
			answers[i] = fmt.Sprint(res.Status, res.StatusCode, res.Header, res.ContentLength, string(body))
			requests[i] = <-got
		}
		if answers[0] != answers[1] {
			t.Errorf("%s %s is answered\n%s, by net/http\n%s", r.Method, r.Path, answers[0], answers[1])
		}
		if !reflect.DeepEqual(requests[0], requests[1]) {
			t.Errorf("%s %s sends\n%.500s, net/http\n%.500s", r.Method, r.Path, fmt.Sprintf("%+v", requests[0]), fmt.Sprintf("%+v", requests[1]))
		}
	}
}

// TestClient_TooMany: what no connection may be opened for shares those of HTTP/2.
func TestClient_TooMany(t *testing.T) {
	const bound, all = 3, 10
	var old, shared atomic.Int32
	arrived := make(chan struct{}, all)
	answer := make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 {
			shared.Add(1)
		} else {
			old.Add(1)
		}
		arrived <- struct{}{}
		<-answer
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	c, err := New(Config{BaseURL: server.URL, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, MaxOpen: bound})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ended := make(chan error, all)
	for range all {
		go func() {
			res, err := c.Do(t.Context(), &Request{Method: "POST", Path: "/x", Body: []byte(`{}`)})
			if err == nil {
				_ = res.Body.Close()
			}
			ended <- err
		}()
	}
	for range all {
		<-arrived
	}
	close(answer)
	for range all {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if old.Load() != bound || shared.Load() != all-bound {
		t.Errorf("%d over HTTP/1.1, %d over HTTP/2", old.Load(), shared.Load())
	}
}
