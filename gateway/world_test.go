// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

func TestMain(m *testing.M) {
	spoil = true
	goleak.VerifyTestMain(m)
}

// world is a gateway between a client and a simulated Google.
type world struct {
	t      testing.TB
	google *fakegemini.Server
	pool   *balancer.Pool
	users  *users.Registry
	usage  *usage.Ledger
	gw     *Gateway
	server *httptest.Server
	key    string                                                               // a user key
	dial   func(ctx context.Context, network, address string) (net.Conn, error) // set for a world without a network, which has no server
}

// newWorld starts one whose pool has the Google's keys.
func newWorld(t testing.TB, google fakegemini.Config, edit ...func(*Config)) *world {
	t.Helper()
	w := &world{t: t, google: fakegemini.New(google)}
	must(t, w.google.Start())
	t.Cleanup(w.google.Close)
	w.assemble(google, edit...)
	return w
}

func (w *world) assemble(google fakegemini.Config, edit ...func(*Config)) {
	t := w.t
	t.Helper()
	db := memory.New()
	sealer, err := store.NewSealer(bytes.Repeat([]byte{7}, 32))
	must(t, err)
	w.pool, err = balancer.Open(balancer.Options{Store: db, Sealer: sealer})
	must(t, err)
	w.users, err = users.Open(db, users.Options{})
	must(t, err)
	w.usage, err = usage.Open(db, usage.Options{})
	must(t, err)
	set, err := settings.Open(db, settings.Patch{"affinity": settings.AffinityOff})
	must(t, err)
	var keys []balancer.NewKey
	for _, k := range google.Keys {
		keys = append(keys, balancer.NewKey{Secret: k.Secret})
	}
	if len(keys) > 0 {
		_, err = w.pool.Add(t.Context(), keys)
		must(t, err)
	}
	_, w.key, err = w.users.Create(t.Context(), users.Spec{Name: "test", Unlimited: true})
	must(t, err)
	up, err := upstream.New(upstream.Config{BaseURL: w.google.URL, UserAgent: "test", Dial: w.dial})
	must(t, err)
	t.Cleanup(up.Close)
	c := Config{Conversations: NewConversations(db, sealer), Resources: NewResources(db, sealer, 0), Pool: w.pool, Users: w.users, Usage: w.usage, Settings: set, Upstream: up, Version: "test"}
	for _, f := range edit {
		f(&c)
	}
	w.gw, err = New(c)
	must(t, err)
	if w.dial != nil {
		return
	}
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !w.gw.ServeHTTP(rw, r) { //nolint:contextcheck // the request brings it
			rw.WriteHeader(http.StatusTeapot)
		}
	}))
	t.Cleanup(w.server.Close)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pipes is a network of two in memory, for the time of testing/synctest.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error { close(p.done); return nil }

// Addr implements net.Listener: a loopback address, as the client demands.
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

// newBubble starts a world without a network.
func newBubble(t testing.TB, google fakegemini.Config, edit ...func(*Config)) *world {
	t.Helper()
	net := &pipes{make(chan net.Conn), make(chan struct{})}
	w := &world{t: t, google: fakegemini.New(google), dial: net.dial}
	must(t, w.google.Serve(net, nil))
	t.Cleanup(w.google.Close)
	w.assemble(google, edit...)
	return w
}

// front serves in a world without a network. It returns a client for http://gw.
func (w *world) front(t testing.TB) *http.Client {
	front := &pipes{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.gw.ServeHTTP(rw, r) })} //nolint:gosec // no network
	go func() { _ = server.Serve(front) }()                                                                                    // ends with the server
	t.Cleanup(func() { _ = server.Close() })
	transport := &http.Transport{DialContext: front.dial}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// keys are n good keys, each of a project of its own.
func keys(n int) fakegemini.Config {
	var c fakegemini.Config
	for i := range n {
		c.Keys = append(c.Keys, fakegemini.Key{Secret: fakegemini.DemoKey(i + 1), Project: fmt.Sprint("p", i+1)})
	}
	return c
}

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

func (w *world) do(ctx context.Context, method, path, body string, header ...string) answer {
	w.t.Helper()
	base := "http://gw"
	if w.server != nil {
		base = w.server.URL
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, strings.NewReader(body))
	must(w.t, err)
	req.Header.Set("Authorization", "Bearer "+w.key)
	for i := 0; i < len(header); i += 2 {
		if req.Header.Del(header[i]); header[i+1] != "" {
			req.Header.Set(header[i], header[i+1])
		}
	}
	if w.server == nil {
		rec := httptest.NewRecorder()
		req.RequestURI = path
		w.gw.ServeHTTP(rec, req)
		return answer{rec.Code, rec.Header(), rec.Body.String(), nil}
	}
	res, err := w.server.Client().Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(data), err}
}

const model = "gemini-3-flash-preview"

// surface is a way to ask.
type surface struct {
	name   string
	stream bool
	openai bool
	array  bool
}

var surfaces = []surface{
	{name: "openai", openai: true},
	{name: "openai stream", openai: true, stream: true},
	{name: "native"},
	{name: "native sse", stream: true},
	{name: "native array", stream: true, array: true},
}

// ask sends a prompt and gives up after a time that no test should need.
func (w *world) ask(s surface, prompt string) answer {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	return w.askCtx(ctx, s, prompt)
}

func (w *world) askCtx(ctx context.Context, s surface, prompt string) answer {
	w.t.Helper()
	if s.openai {
		return w.do(ctx, http.MethodPost, "/v1/chat/completions",
			fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}],"stream":%v}`, model, prompt, s.stream))
	}
	verb := "generateContent"
	if s.stream {
		verb = "streamGenerateContent"
		if !s.array {
			verb += "?alt=sse"
		}
	}
	return w.do(ctx, http.MethodPost, "/v1beta/models/"+model+":"+verb,
		fmt.Sprintf(`{"contents":[{"role":"user","parts":[{"text":%q}]}]}`, prompt))
}

func decode(t testing.TB, body string, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), to); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
}
