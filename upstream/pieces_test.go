// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

// TestClient_Pieces: a body in pieces is sent whole and with its length, as often
// as it is asked for; also when the transport itself has to send it again,
// because a kept connection turns out closed.
func TestClient_Pieces(t *testing.T) {
	var got [][]byte
	var mu sync.Mutex // guards connections
	var connections []net.Conn
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.ContentLength != int64(len(body)) {
			t.Errorf("%d bytes of %d, %v", len(body), r.ContentLength, err)
		}
		got = append(got, body)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	server.Config.ConnState = func(c net.Conn, s http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		if s == http.StateNew {
			connections = append(connections, c)
		}
	}
	server.Start()
	defer server.Close()
	c, err := New(Config{BaseURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	image, raw := bytes.Repeat([]byte("AAAA"), 1<<20), bytes.Repeat([]byte{0}, 3<<10)
	request := &Request{
		Method: http.MethodPost, Path: "/v1beta/models/m:generateContent", Secret: "k",
		Body:   []byte(`{"a":"","b":""}`),
		Pieces: []gemini.Piece{{At: 6, Data: image}, {At: 13, Data: raw, Raw: true}},
	}
	want := `{"a":"` + string(image) + `","b":"` + string(bytes.Repeat([]byte("AAAA"), 1<<10)) + `"}`
	for i := range 3 {
		if i == 2 {
			mu.Lock()
			_ = connections[0].Close() // the client may know of it already, or not yet
			mu.Unlock()
		}
		res, err := c.Do(t.Context(), request)
		if i == 2 && err != nil && ClassifyError(err).Verdict == balancer.Network {
			break // it learned of it amidst the body, which the transport does not send twice
		}
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if len(got) != i+1 || string(got[i]) != want {
			t.Errorf("request %d is not what was to be sent", i)
		}
	}
}
