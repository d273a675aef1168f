// SPDX-License-Identifier: Apache-2.0

// Package integration runs a real Caddy with the plugin, as a process of its own,
// in front of a simulated Google: what only shows there is tested here. The tests
// are serial.
package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/caddylog"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

const (
	model    = "gemini-2.5-flash"
	adminKey = "admin-key-of-the-integration-tests"
	patience = time.Minute // with a machine that has other work, too; nothing waits for it to pass
)

// caddyBinary is cmd/caddy, built by TestMain.
var caddyBinary string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "integration-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	caddyBinary = filepath.Join(dir, "caddy")
	build := exec.Command("go", "build", "-tags=nobadger,nomysql,nopgx", "-o", caddyBinary, "./cmd/caddy")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("building Caddy: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// server is a Caddy process.
type server struct {
	t      *testing.T
	dir    string // its home; stores are below
	google *fakegemini.Server
	site   string // host:port of the first site
	admin  string // host:port of Caddy's own admin endpoint
	env    []string
	client *http.Client
	user   string // a user key, after addUser

	cmd  *exec.Cmd
	log  logBuffer
	done chan error
}

// newServer prepares a Caddy that is not started yet, with n Gemini keys in its
// environment as GB_KEY_0, GB_KEY_1 ….
func newServer(t *testing.T, n int) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir(), site: freeAddress(t), admin: freeAddress(t), client: &http.Client{Transport: &http.Transport{}}}
	var config fakegemini.Config
	for i := range n {
		key := fakegemini.Key{Secret: fakegemini.DemoKey(i + 1), Project: fmt.Sprint("p", i)}
		config.Keys = append(config.Keys, key)
		s.env = append(s.env, fmt.Sprintf("GB_KEY_%d=%s", i, key.Secret))
	}
	s.env = append(s.env, "GB_ADMIN_KEY="+adminKey)
	s.google = fakegemini.New(config)
	must(t, s.google.Start())
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		if s.cmd != nil {
			_ = s.cmd.Process.Kill()
			<-s.done
		}
		s.google.Close()
		if t.Failed() {
			fmt.Fprintf(t.Output(), "Caddy's log ends with\n%s", caddylog.End(s.log.String()))
		}
	})
	return s
}

// config is a Caddyfile with the app's options, and sites behind it; with none,
// the usual one.
func (s *server) config(options, sites string) string {
	if sites == "" {
		sites = s.usualSite("")
	}
	return fmt.Sprintf(`{
	admin %s
	persist_config off
	auto_https off
	metrics
	log {
		level DEBUG
	}
	gemini_balance {
		upstream %s
		%s
	}
}
%s`, s.admin, s.google.URL, options, sites)
}

// usualSite has both handlers; more goes before them.
func (s *server) usualSite(more string) string {
	return fmt.Sprintf(`http://%s {
	%s
	gemini_balance
	gemini_balance_admin {
		admin_key {env.GB_ADMIN_KEY}
	}
}
`, s.site, more)
}

// store is the option for a store in a directory of that name.
func (s *server) store(name string) string {
	return fmt.Sprintf("store badger %q\n", filepath.ToSlash(s.storeDir(name)))
}

func (s *server) storeDir(name string) string { return filepath.Join(s.dir, name) }

// command prepares a run of the binary in the server's environment.
func (s *server) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, caddyBinary, args...)
	cmd.Dir = s.dir
	cmd.Env = append(append(os.Environ(), "XDG_DATA_HOME="+s.dir, "XDG_CONFIG_HOME="+s.dir), s.env...)
	return cmd
}

// start runs Caddy with a Caddyfile and waits until it serves.
func (s *server) start(config string) {
	s.t.Helper()
	file := filepath.Join(s.dir, "Caddyfile")
	must(s.t, os.WriteFile(file, []byte(config), 0o600))
	s.cmd = s.command(context.Background(), "run", "--config", file, "--adapter", "caddyfile")
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	must(s.t, s.cmd.Start())
	s.done = make(chan error, 1)
	go func() { s.done <- s.cmd.Wait() }()
	for deadline := time.Now().Add(patience); ; {
		select {
		case err := <-s.done:
			s.done <- err
			s.t.Fatalf("Caddy ended: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		if res, err := s.client.Get("http://" + s.site + "/health"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			s.t.Fatal("Caddy does not serve")
		}
	}
}

// load gives the running Caddy another Caddyfile, as caddy reload does.
func (s *server) load(config string) error {
	s.t.Helper()
	res, err := s.client.Post("http://"+s.admin+"/load", "text/caddyfile", strings.NewReader(config))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(string(body))
	}
	// Caddy closes idle connections of the configuration before; a POST that meets
	// such a one is not repeated by net/http.
	s.client.CloseIdleConnections()
	// The server before, woken from its last accept, may take one more connection
	// and close it: let that be one of nobody. The kernel deals them out to both, so
	// that it takes some to find it.
	for range 16 {
		first, dialErr := net.Dial("tcp", s.site)
		if dialErr != nil {
			break
		}
		_, _ = first.Write([]byte("GET /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"))
		n, _ := io.Copy(io.Discard, first)
		first.Close()
		if n == 0 {
			break
		}
	}
	return err
}

// signal sends a signal and waits for the end.
func (s *server) signal(sig os.Signal) error {
	s.t.Helper()
	must(s.t, s.cmd.Process.Signal(sig))
	return s.wait(patience)
}

func (s *server) wait(limit time.Duration) error {
	select {
	case err := <-s.done:
		s.cmd = nil
		return err
	case <-time.After(limit):
		return errors.New("Caddy still runs")
	}
}

// call asks the admin API; into may be nil.
func (s *server) call(method, path, body string, into any) (status int) {
	s.t.Helper()
	req, err := http.NewRequest(method, "http://"+s.site+path, strings.NewReader(body))
	must(s.t, err)
	req.Header.Set("Authorization", "Bearer "+adminKey)
	req.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(req)
	must(s.t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	must(s.t, err)
	if into != nil {
		if err := json.Unmarshal(data, into); err != nil {
			s.t.Fatalf("%s %s: %s: %s", method, path, res.Status, data)
		}
	}
	return res.StatusCode
}

// addUser makes a user key without limits.
func (s *server) addUser() {
	s.t.Helper()
	var made struct{ Key string }
	if status := s.call(http.MethodPost, "/admin/keys/user", `{"name": "test", "unlimited": true}`, &made); status != http.StatusCreated {
		s.t.Fatalf("making a user key: %d", status)
	}
	s.user = made.Key
}

// keyState is the state of a Gemini key, "" for none with this id.
func (s *server) keyState(id string) string {
	s.t.Helper()
	var key struct{ State string }
	if s.call(http.MethodGet, "/admin/keys/gemini/"+id, "", &key) != http.StatusOK {
		return ""
	}
	return key.State
}

// chat asks for a whole answer and returns its status.
func (s *server) chat(prompt string) int {
	s.t.Helper()
	res := s.post(s.client, prompt, false)
	defer res.Body.Close()
	_, err := io.Copy(io.Discard, res.Body)
	must(s.t, err)
	return res.StatusCode
}

func (s *server) post(client *http.Client, prompt string, streamed bool, header ...string) *http.Response {
	s.t.Helper()
	body, err := json.Marshal(map[string]any{
		"model": model, "stream": streamed, "messages": []any{map[string]any{"role": "user", "content": prompt}},
	})
	must(s.t, err)
	req, err := http.NewRequest(http.MethodPost, "http://"+s.site+"/v1/chat/completions", bytes.NewReader(body))
	must(s.t, err)
	req.Header.Set("Authorization", "Bearer "+s.user)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := client.Do(req)
	must(s.t, err)
	return res
}

// stream is an answer that is still coming.
type stream struct {
	first chan struct{} // closed with the first event
	end   chan struct{}
	at    []time.Time // of each event
	last  string
	err   error
}

// stream begins a streamed answer and waits for its first event.
func (s *server) stream(prompt string) *stream {
	s.t.Helper()
	res := s.post(s.client, prompt, true)
	if res.StatusCode != http.StatusOK {
		res.Body.Close()
		s.t.Fatalf("stream: %s", res.Status)
	}
	st := follow(res.Body)
	s.t.Cleanup(func() { res.Body.Close() })
	select {
	case <-st.first:
	case <-time.After(patience):
		s.t.Fatal("the stream does not begin")
	}
	return st
}

// follow reads events until the end.
func follow(body io.Reader) *stream {
	st := &stream{first: make(chan struct{}), end: make(chan struct{})}
	go func() {
		defer close(st.end)
		lines := bufio.NewScanner(body)
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				st.last = data
				if st.at = append(st.at, time.Now()); len(st.at) == 1 {
					close(st.first)
				}
			}
		}
		st.err = lines.Err()
	}()
	return st
}

// finish waits for the end, which must be that of a whole answer.
func (st *stream) finish(t *testing.T) {
	t.Helper()
	select {
	case <-st.end:
	case <-time.After(patience):
		t.Fatal("the stream does not end")
	}
	if st.err != nil || st.last != "[DONE]" {
		t.Errorf("the stream ended with %q after %d events, %v", st.last, len(st.at), st.err)
	}
}

// pieces is a prompt for a streamed answer of that many pieces, 50 ms apart.
func pieces(n int) string { return fmt.Sprintf("Tell me a story. [[events %d]] [[pace 50ms]]", n) }

// held is a prompt for a streamed answer that stops after its first piece until
// Release of the simulated Google.
const held = "Tell me a story. [[events 4]] [[hold 1]]"

// release lets held streams end, once Google holds so many.
func (s *server) release(n int) {
	s.t.Helper()
	eventually(s.t, "Google holds the streams", func() bool { return s.google.Held() == n })
	s.google.Release()
}

// logBuffer is what a process wrote. Safe for concurrent use.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// freeAddress is a loopback address that was free a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually tries until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after %v", what, patience)
		}
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // waiting for another process
	}
}
