// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

func TestHandler_Validate(t *testing.T) {
	for _, tc := range []struct {
		name    string
		handler Handler
		want    string
	}{
		{"nothing", Handler{}, ""},
		{"everything", Handler{
			Models: []*ModelConfig{{Name: "a", Targets: []string{"gemini-2.5-flash"}}}, MaxRequestSize: 1,
			CORS: []string{"*", "https://a.example:8443"}, Heartbeat: -1, Reasoning: "off", Safety: "off", Strict: true, Anonymous: true,
		}, ""},
		{"no name", Handler{Models: []*ModelConfig{{Targets: []string{"x"}}}}, "models[0]: name and targets"},
		{"no target", Handler{Models: []*ModelConfig{{Name: "x"}}}, "models[0]: name and targets"},
		{"placeholder as a name", Handler{Models: []*ModelConfig{{Name: "{env.X}", Targets: []string{"a"}}}}, "placeholders are not replaced here"},
		{"second target with a slash", Handler{Models: []*ModelConfig{{Name: "x", Targets: []string{"a", "b/c"}}}}, "no id of a Gemini model"},
		{"target with a slash", Handler{Models: []*ModelConfig{{Name: "x", Targets: []string{"models/../a"}}}}, "no id of a Gemini model"},
		{"name twice", Handler{Models: []*ModelConfig{{Name: "x", Targets: []string{"a"}}, {Name: "x", Targets: []string{"b"}}}}, "models[1]: the name"},
		{"size", Handler{MaxRequestSize: -1}, "max_request_size"},
		{"heartbeat", Handler{Heartbeat: 5}, "heartbeat"},
		{"reasoning", Handler{Reasoning: "loud"}, "reasoning"},
		{"safety", Handler{Safety: "none"}, "safety"},
		{"origin with a path", Handler{CORS: []string{"https://a.example/"}}, "cors"},
		{"origin without a scheme", Handler{CORS: []string{"a.example"}}, "cors"},
	} {
		t.Run(tc.name, func(t *testing.T) { checkError(t, tc.handler.Validate(), tc.want) })
	}
}

func TestReadCapabilities(t *testing.T) {
	write := func(doc string) string {
		file := filepath.Join(t.TempDir(), "models.json")
		if err := os.WriteFile(file, []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good, bad := write(`{"models":[{"match":"gemini-4-*","sampling":true}]}`), write(`{"models":[{"match":"gemini-4-*","sampling":1}]}`)
	for _, tc := range []struct{ name, path, want string }{
		{"good", good, ""},
		{"fault", bad, "capabilities " + bad + ": models[0].sampling is a number, want a boolean"},
		{"no file", good + ".none", "capabilities: open " + good + ".none"},
		{"placeholder of nothing", "{env.UNSET}/models.json", "capabilities: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			table, err := readCapabilities(tc.path)
			if checkError(t, err, tc.want); (table != nil) != (tc.want == "") {
				t.Errorf("table %v", table)
			}
		})
	}
	if table, err := readCapabilities(""); table != nil || err != nil {
		t.Errorf("without the option: %v, %v", table, err)
	}
}

func TestLoopbackOnly(t *testing.T) {
	for _, tc := range []struct {
		listen string
		want   bool
	}{
		{"127.0.0.1:80", true},
		{"[::1]:80", true},
		{"localhost:80", true},
		{"unix//run/gb.sock", true},
		{"127.0.0.1:80,127.0.0.2:80", true},
		{":80", false},
		{"0.0.0.0:80", false},
		{"192.168.1.2:80", false},
		{"example.com:80", false},
		{"127.0.0.1:80,:81", false},
		{"", false},
	} {
		var addresses []string
		if tc.listen != "" {
			addresses = strings.Split(tc.listen, ",")
		}
		ctx := caddy.Context{Context: context.WithValue(t.Context(), caddyhttp.ServerCtxKey, &caddyhttp.Server{Listen: addresses})}
		if got := loopbackOnly(ctx); got != tc.want {
			t.Errorf("listening on %q: %v, want %v", tc.listen, got, tc.want)
		}
	}
	if loopbackOnly(caddy.Context{Context: t.Context()}) {
		t.Error("a handler without a server counts as loopback")
	}
}

func TestAdminHandler_RefusesWeakKeys(t *testing.T) {
	t.Setenv("GB_TEST_SHORT", "hunter2")
	for key, want := range map[string]string{
		"{env.GB_TEST_SHORT}": "fewer than 16 characters",
		"literal-admin-key-0": "admin_key holds a literal secret",
		"{env.GB_TEST_UNSET}": "is empty",
	} {
		app := mustProvision(t, `{"store": {"backend": "memory"}}`)
		checkError(t, (&AdminHandler{AdminKey: key}).Provision(app.ctx), want)
	}
}

// timedWriter counts what reaches a connection.
type timedWriter struct {
	*httptest.ResponseRecorder
	moves, flushes int
}

func (w *timedWriter) SetWriteDeadline(time.Time) error { w.moves++; return nil }
func (w *timedWriter) FlushError() error                { w.flushes++; return nil }

// The deadline moves before three quarters of the time are left of it, whatever came.
func TestDirect_Deadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		under := &timedWriter{ResponseRecorder: httptest.NewRecorder()}
		idle := &caddyhttp.IdleTimeoutWriter{
			ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: under},
			Ctrl:                  http.NewResponseController(under),
			Deadline:              caddyhttp.IdleDeadline{Timeout: time.Minute},
			Logger:                zap.NewNop(),
		}
		w := direct(idle)
		rc := http.NewResponseController(w)
		want := func(what string, moves int, p []byte) {
			t.Helper()
			before := under.moves
			if _, err := w.Write(p); err != nil || under.moves-before != moves {
				t.Errorf("%s: %d moves, want %d (%v)", what, under.moves-before, moves, err)
			}
		}
		event := []byte("x")
		want("first", 1, event)
		want("at once", 0, event)
		time.Sleep(15*time.Second - 1)
		want("soon", 0, event)
		time.Sleep(time.Nanosecond)
		want("after a quarter", 1, event)
		must(t, rc.SetWriteDeadline(time.Now().Add(time.Hour)))
		want("after somebody else", 1, event)
		want("large", 1, make([]byte, small+1))
		idle.Deadline.MinRate = 1
		want("by rate", 1, event)
		if n := under.Body.Len(); n != 6+small+1 {
			t.Errorf("%d bytes arrived", n)
		}
	})
}

func TestDirect(t *testing.T) {
	under := &timedWriter{ResponseRecorder: httptest.NewRecorder()}
	idle := &caddyhttp.IdleTimeoutWriter{
		ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: &caddyhttp.ResponseWriterWrapper{ResponseWriter: under}},
		Ctrl:                  http.NewResponseController(under),
		Deadline:              caddyhttp.IdleDeadline{Timeout: time.Minute},
		Logger:                zap.NewNop(),
	}
	w := direct(idle)
	if _, err := w.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := http.NewResponseController(w).Flush(); err != nil {
		t.Fatal(err)
	}
	if under.moves != 1 || under.flushes != 1 || under.Body.String() != "x" {
		t.Errorf("%d moves of the deadline and %d flushes of %q for an event, want one each of x", under.moves, under.flushes, under.Body)
	}
	idle.ClearBetweenWrites = true // as over HTTP/2
	if direct(idle) != http.ResponseWriter(idle) || direct(under) != http.ResponseWriter(under) {
		t.Error("a writer is replaced that has to see every Flush, or has no timeout")
	}
}
