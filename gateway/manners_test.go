// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// scripted replaces the Google of a world by a handler.
func scripted(t *testing.T, h http.HandlerFunc) func(*Config) {
	google := httptest.NewServer(h)
	t.Cleanup(google.Close)
	return func(c *Config) {
		up, err := upstream.New(upstream.Config{BaseURL: google.URL})
		must(t, err)
		t.Cleanup(up.Close)
		c.Upstream = up
	}
}

const wholeAnswer = `{"candidates":[{"content":{"parts":[{"text":"hello"}],"role":"model"},"finishReason":"STOP","index":0}]}`

// TestStalledClient: who stops reading holds its place no longer than the whole
// request may take.
func TestStalledClient(t *testing.T) {
	event := `data: {"candidates":[{"content":{"parts":[{"text":"` + strings.Repeat("x", 60_000) + `"}],"role":"model"},"index":0}]}` + "\r\n\r\n"
	w := newWorld(t, keys(1), scripted(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 2000 {
			if _, err := io.WriteString(w, event); err != nil {
				return
			}
		}
	}), func(c *Config) { c.Timeouts.Total = 500 * time.Millisecond })
	_, key, err := w.users.Create(t.Context(), users.Spec{Name: "one at a time", Limits: users.Limits{Concurrency: 1}})
	must(t, err)
	conn, err := net.Dial("tcp", w.server.Listener.Addr().String())
	must(t, err)
	defer conn.Close()
	body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hi"}],"stream":true}`, model)
	_, err = fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", key, len(body), body)
	must(t, err)
	for deadline := time.Now().Add(time.Minute); ; {
		got := w.do(t.Context(), http.MethodGet, "/v1/models", "", "Authorization", "Bearer "+key)
		if got.status != http.StatusTooManyRequests && w.pool.Stats().InFlight == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a client that does not read holds its place and a key")
		}
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // waiting for a real clock
	}
}

// TestSlowAnswer: a whole answer that keeps arriving is not cut by the time for
// the first output.
func TestSlowAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &pipes{make(chan net.Conn), make(chan struct{})}
		google := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { //nolint:gosec // no network
			for _, c := range []byte(wholeAnswer) {
				_, _ = w.Write([]byte{c})
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Second) //nolint:forbidigo // a slow line
			}
		})}
		go func() { _ = google.Serve(l) }() // ends with the server
		t.Cleanup(func() { _ = google.Close() })
		w := newBubble(t, keys(1), func(c *Config) {
			c.Timeouts = Timeouts{FirstOutput: 30 * time.Second, Idle: 30 * time.Second}
			up, err := upstream.New(upstream.Config{BaseURL: "http://127.0.0.1", Dial: l.dial})
			must(t, err)
			t.Cleanup(up.Close)
			c.Upstream = up
		})
		if got := w.askCtx(t.Context(), surfaces[0], "hi"); got.status != http.StatusOK {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

// TestBrokenBody: a body that breaks off gets an error that can be read.
func TestBrokenBody(t *testing.T) {
	w := newWorld(t, keys(1))
	for name, request := range map[string]string{
		"bad chunk": "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
		"too short": "Content-Length: 100\r\n\r\n{}",
	} {
		conn, err := net.Dial("tcp", w.server.Listener.Addr().String())
		must(t, err)
		_, err = fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer %s\r\n%s", w.key, request)
		must(t, err)
		must(t, conn.(*net.TCPConn).CloseWrite())
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "invalid_request_error") {
			t.Errorf("%s: %s %s", name, res.Status, text)
		}
		conn.Close()
	}
}

// TestNotAQuota: what makes all keys rest decides what a later client is told.
func TestNotAQuota(t *testing.T) {
	for state, want := range map[fakegemini.KeyState]int{
		fakegemini.KeyLocation: http.StatusServiceUnavailable,
		fakegemini.KeyRobot:    http.StatusServiceUnavailable,
		fakegemini.KeyDepleted: http.StatusTooManyRequests,
	} {
		google := keys(2)
		for i := range google.Keys {
			google.Keys[i].State = state
		}
		w := newWorld(t, google)
		patchWait(t, w, 0)
		for range 2 {
			if got := w.ask(surfaces[0], "hi"); got.status != want {
				t.Errorf("%s: %d %s", state, got.status, got.body)
			}
		}
	}
}

// TestCanceledByGoogle: only a client that left gets 499.
func TestCanceledByGoogle(t *testing.T) {
	w := newWorld(t, keys(1), scripted(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(499)
		_, _ = io.WriteString(w, `{"error":{"code":499,"message":"The operation was cancelled.","status":"CANCELLED"}}`)
	}))
	for _, s := range surfaces {
		got := w.ask(s, "hi")
		if got.status < 500 {
			t.Errorf("%s: %d %s", s.name, got.status, got.body)
		}
		checkError(t, s, got)
	}
}

func TestDayUsedUp(t *testing.T) {
	google := keys(1)
	google.Limits = fakegemini.Limits{RPD: 1}
	w := newWorld(t, google)
	w.ask(surfaces[0], "hi")
	got := w.ask(surfaces[0], "hi")
	if got.status != 429 || got.header.Get("X-Should-Retry") != "false" || !strings.Contains(got.body, "insufficient_quota") {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
}

// TestEarlyErrorsOfArrays: whoever asked for an array gets one, also when the
// request never got as far as Google.
func TestEarlyErrorsOfArrays(t *testing.T) {
	w := newWorld(t, keys(1))
	got := w.do(t.Context(), "POST", "/v1beta/models/"+model+":streamGenerateContent", "{}", "Authorization", "")
	if got.status != 403 {
		t.Errorf("status %d", got.status)
	}
	checkError(t, surfaces[4], got)
}

// TestModels_Kept: asking again does not ask Google again, and an old list is
// better than none.
func TestModels_Kept(t *testing.T) {
	w := newWorld(t, keys(1))
	for range 3 {
		if got := w.do(t.Context(), "GET", "/v1/models", ""); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	if n := w.google.Count(); n != 1 {
		t.Errorf("%d upstream calls for three lists", n)
	}
	if got := w.do(t.Context(), "GET", "/status", ""); !strings.Contains(got.body, `"gemini-3.5-flash"`) {
		t.Errorf("status knows no models: %s", got.body)
	}
	for k, e := range w.gw.lists.entries {
		e.at = e.at.Add(-time.Hour)
		w.gw.lists.entries[k] = e
	}
	w.google.SetKeyState(fakegemini.DemoKey(1), fakegemini.KeyInvalid)
	if got := w.do(t.Context(), "GET", "/v1/models", ""); got.status != 200 {
		t.Errorf("with an old list and no key: %d %s", got.status, got.body)
	}
}

// TestPanicGivesBack: a bug in a converter costs its request, not a key and a
// place for ever.
func TestPanicGivesBack(t *testing.T) {
	w := newWorld(t, keys(1))
	account, err := w.users.Authenticate(w.key)
	must(t, err)
	r := httptest.NewRequest("POST", "/v1/chat/completions", nil)
	for name, run := range map[string]func(x *exchange){
		"one call": func(x *exchange) { x.conv = faulty{}; x.attempts() },
		"a batch":  func(x *exchange) { x.batch(faulty{}) },
	} {
		x := w.gw.newExchange(httptest.NewRecorder(), r, route{dialect: OpenAI})
		x.account, x.call = account, faulty{}.Call()
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: the panic was swallowed", name)
				}
			}()
			run(x)
		}()
		x.settle()
		if n := w.pool.Stats().InFlight; n != 0 {
			t.Errorf("%s: %d leases are still out", name, n)
		}
	}
}

// faulty is a converter with a bug.
type faulty struct{ translate.Batch }

func (faulty) Call() *translate.Call {
	return &translate.Call{Method: "GET", Path: "/v1beta/models"}
}
func (f faulty) Calls() []*translate.Call           { return []*translate.Call{f.Call(), f.Call()} }
func (faulty) Begin()                               {}
func (faulty) Response(_, _ []byte) ([]byte, error) { panic("a bug") }
func (faulty) Usage() gemini.Usage                  { return gemini.Usage{} }
func (faulty) Check(int, []byte) error              { panic("a bug") }

// A request does not ask each of many keys that all refuse.
func TestMoves(t *testing.T) {
	w := newWorld(t, fakegemini.Config{Keys: keys(3 * maxMoves).Keys, Limits: fakegemini.Limits{RPD: fakegemini.SpentDay}})
	if a := w.post("/v1/chat/completions", `{"model":"`+model+`","messages":[{"role":"user","content":"hi"}]}`); a.status != 429 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if n := len(w.google.Entries()); n != maxMoves {
		t.Errorf("%d attempts; want %d", n, maxMoves)
	}
}
