// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a Prober between a pool and somebody who plays Google, over a network
// in memory, so that it lives in the time of testing/synctest.
type world struct {
	t      *testing.T
	pool   *balancer.Pool
	client *upstream.Client
	stop   func() // ends Run and waits for it

	mu    sync.Mutex
	calls []call
	most  int // calls at the same time
	now   int
}

// call is a request that Google got.
type call struct {
	at    time.Time
	route string // the proxy's host, "" for none
	key   string
	query string
}

// newWorld starts a Prober for a pool with keys. google answers on all routes.
func newWorld(t *testing.T, google http.Handler, keys ...balancer.NewKey) *world {
	t.Helper()
	sealer, err := store.NewSealer(bytes.Repeat([]byte{7}, 32))
	must(t, err)
	w := &world{t: t}
	w.pool, err = balancer.Open(balancer.Options{Store: memory.New(), Sealer: sealer, Probed: true})
	must(t, err)
	w.add(keys...)
	ctx, cancel := context.WithCancel(context.Background())
	client, err := upstream.New(upstream.Config{BaseURL: "http://localhost", Dial: func(_ context.Context, _, address string) (net.Conn, error) {
		return w.dial(ctx, google, address), nil
	}})
	must(t, err)
	w.client = client
	prober := New(w.pool)
	done := make(chan struct{})
	run, end := context.WithCancel(t.Context())
	go func() {
		defer close(done)
		prober.Run(run, client)
	}()
	w.stop = func() {
		end()
		<-done
	}
	t.Cleanup(func() {
		w.stop()
		client.Close()
		cancel()
	})
	return w
}

func (w *world) add(keys ...balancer.NewKey) {
	w.t.Helper()
	_, err := w.pool.Add(w.t.Context(), keys)
	must(w.t, err)
}

// dial connects to google; the server of the connection ends with ctx.
func (w *world) dial(ctx context.Context, google http.Handler, address string) net.Conn {
	route, _, _ := net.SplitHostPort(address)
	if route == "localhost" {
		route = ""
	}
	ours, theirs := net.Pipe()
	l := &listener{conn: make(chan net.Conn, 1), done: ctx.Done()}
	l.conn <- theirs
	server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.calls = append(w.calls, call{time.Now(), route, r.Header.Get("X-Goog-Api-Key"), r.URL.RawQuery})
		w.now++
		w.most = max(w.most, w.now)
		w.mu.Unlock()
		defer func() {
			w.mu.Lock()
			w.now--
			w.mu.Unlock()
		}()
		google.ServeHTTP(rw, r)
	})}
	go func() {
		_ = server.Serve(l) // always an error
		_ = server.Close()
	}()
	return ours
}

// listener accepts one connection.
type listener struct {
	conn chan net.Conn
	done <-chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error   { return nil }
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// seen returns what Google got, of one route.
func (w *world) seen(route string) (calls []call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.calls {
		if c.route == route {
			calls = append(calls, c)
		}
	}
	return calls
}

func (w *world) state(secret string) balancer.Key {
	w.t.Helper()
	k, ok := w.pool.Get(balancer.KeyID(secret))
	if !ok {
		w.t.Fatalf("no key %s", secret)
	}
	return k
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// secretOf is the n-th key.
func secretOf(n int) string { return fmt.Sprintf("AIzaSyProbe%028d", n) }

func newKeys(n int, proxy string) []balancer.NewKey {
	keys := make([]balancer.NewKey, n)
	for i := range keys {
		keys[i] = balancer.NewKey{Secret: secretOf(i), Proxy: proxy}
	}
	return keys
}

// models answers with a list.
func models(w http.ResponseWriter, names ...string) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, `{"models": [`)
	for i, n := range names {
		if i > 0 {
			fmt.Fprint(w, ",")
		}
		fmt.Fprintf(w, `{"name": "models/%s", "supportedGenerationMethods": ["generateContent"]}`, n)
	}
	fmt.Fprint(w, `]}`)
}

func good(w http.ResponseWriter, _ *http.Request) { models(w, "gemini-a", "gemini-b") }

func robots(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(http.StatusTooManyRequests)
	fmt.Fprint(w, "<html><title>Sorry...</title>your computer or network may be sending automated queries</html>")
}

// hang answers nothing until the client leaves.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
