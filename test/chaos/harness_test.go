// SPDX-License-Identifier: Apache-2.0

// Package chaos hurts a real Caddy with the plugin, a process of its own, and looks
// whether it goes on: reloads and stops under load, disks that are full, clients that
// do not read, more load than it can bear, hours of all of it. Each test is a row of
// docs/reliability.md. In CI they are short; with CHAOS set (`make chaos`) they are
// what the row says; what is for `make chaos` alone has the build tag chaos.
package chaos

import (
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
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/caddylog"
)

const (
	model    = "gemini-2.5-flash"
	adminKey = "admin-key-of-the-chaos-tests"
	tags     = "-tags=nobadger,nomysql,nopgx"
	patience = time.Minute // with a machine that has other work, too; nothing waits for it to pass
)

// caddyBinary is cmd/caddy, built by TestMain, or what CHAOS_CADDY names.
var caddyBinary string

// long says that the tests are what the matrix asks for, not what CI has time for.
var long = os.Getenv("CHAOS") != "" //nolint:forbidigo // a knob of the tests

// by is what a test works with: little in CI, all of it in `make chaos`.
func by[T any](short, full T) T {
	if long {
		return full
	}
	return short
}

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "chaos-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if caddyBinary = os.Getenv("CHAOS_CADDY"); caddyBinary == "" { //nolint:forbidigo // a knob of the tests
		caddyBinary = filepath.Join(dir, "caddy")
		args := []string{"build", tags, "-o", caddyBinary}
		if os.Getenv("CHAOS_RACE") != "" { //nolint:forbidigo // a knob of the tests
			args = append(args, "-race")
		}
		build := exec.Command("go", append(args, "./cmd/caddy")...)
		build.Dir = filepath.Join("..", "..")
		if out, err := build.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("building Caddy: %w\n%s", err, out)
		}
	}
	return m.Run(), nil
}

// server is a Caddy process in front of a google.
type server struct {
	t      *testing.T
	dir    string
	google *google
	site   string // host:port
	admin  string // … of Caddy's own admin endpoint
	keys   int    // Gemini keys
	env    []string
	client *http.Client
	user   string // a user key without limits
	pinned bool   // to the first processor

	cmd  *exec.Cmd
	log  *os.File
	done chan error
}

// newServer prepares a Caddy that is not started yet.
func newServer(t *testing.T, keys int) *server {
	t.Helper()
	s := &server{
		t: t, dir: t.TempDir(), google: newGoogle(t), site: freeAddress(t), admin: freeAddress(t), keys: keys,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}},
	}
	for i := range keys {
		s.env = append(s.env, fmt.Sprintf("GB_KEY_%d=AIzaSyChaosChaosChaosChaosChaosCha%05d", i, i))
	}
	s.env = append(s.env, "GB_ADMIN_KEY="+adminKey)
	var err error
	s.log, err = os.Create(filepath.Join(s.dir, "log"))
	must(t, err)
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		if s.cmd != nil {
			_ = s.cmd.Process.Kill()
			<-s.done
		}
		s.log.Close()
		text, _ := os.ReadFile(s.log.Name())
		for _, word := range []string{"DATA RACE", "panic:", "fatal error:"} {
			if at := bytes.Index(text, []byte(word)); at >= 0 {
				t.Errorf("Caddy wrote %s", text[max(0, at-100):min(len(text), at+4000)])
			}
		}
		if t.Failed() {
			fmt.Fprintf(t.Output(), "Caddy's log ends with\n%s", caddylog.End(string(text)))
		}
	})
	return s
}

// config is a Caddyfile; global and options go into their blocks.
func (s *server) config(global, options string) string {
	var keys strings.Builder
	for i := range s.keys {
		fmt.Fprintf(&keys, "\t\tkey {env.GB_KEY_%d}\n", i)
	}
	return fmt.Sprintf(`{
	admin %s
	persist_config off
	auto_https off
	log {
		level ERROR
	}
	%s
	gemini_balance {
		upstream %s
		probe off
		%s
%s	}
}
http://%s {
	gemini_balance
	gemini_balance_admin {
		admin_key {env.GB_ADMIN_KEY}
	}
}
`, s.admin, global, s.google.url, options, keys.String(), s.site)
}

// usual is a Caddyfile with a store on the disk.
func (s *server) usual(options string) string {
	return s.config("", fmt.Sprintf("store badger %q\n%s", filepath.Join(s.dir, "store"), options))
}

// start runs Caddy and waits until it serves.
func (s *server) start(config string) {
	s.t.Helper()
	must(s.t, s.run(config))
}

func (s *server) run(config string) error {
	file := filepath.Join(s.dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	args := []string{caddyBinary, "run", "--config", file, "--adapter", "caddyfile"}
	if s.pinned {
		args = append([]string{"taskset", "-c", "0"}, args...)
	}
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.Dir = s.dir
	s.cmd.Env = append(append(os.Environ(), "XDG_DATA_HOME="+s.dir, "XDG_CONFIG_HOME="+s.dir), s.env...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.done = make(chan error, 1)
	go func() { s.done <- s.cmd.Wait() }()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); {
		select {
		case err := <-s.done:
			s.cmd = nil
			return fmt.Errorf("Caddy ended: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
		if res, err := s.client.Get("http://" + s.site + "/health"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
	return errors.New("Caddy does not serve")
}

// load gives the running Caddy another Caddyfile.
func (s *server) load(config string) error {
	res, err := http.Post("http://"+s.admin+"/load", "text/caddyfile", strings.NewReader(config))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(string(body))
	}
	return err
}

// wait waits for the end of the process.
func (s *server) wait(limit time.Duration) error {
	select {
	case err := <-s.done:
		s.cmd = nil
		return err
	case <-time.After(limit):
		return errors.New("Caddy still runs")
	}
}

// stop ends Caddy in order.
func (s *server) stop() {
	s.t.Helper()
	must(s.t, s.cmd.Process.Signal(os.Interrupt))
	must(s.t, s.wait(30*time.Second))
}

// call asks the admin API; into may be nil.
func (s *server) call(method, path, body string, into any) (status int) {
	s.t.Helper()
	status, err := s.tryCall(method, path, body, into)
	must(s.t, err)
	return status
}

func (s *server) tryCall(method, path, body string, into any) (status int, err error) {
	req, err := http.NewRequest(method, "http://"+s.site+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+adminKey)
	req.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err == nil && into != nil {
		err = json.Unmarshal(data, into)
	}
	return res.StatusCode, err
}

// addUser makes a user key without limits.
func (s *server) addUser() {
	s.t.Helper()
	var made struct{ Key string }
	if status := s.call(http.MethodPost, "/admin/keys/user", `{"name": "chaos", "unlimited": true}`, &made); status != http.StatusCreated {
		s.t.Fatalf("making a user key: %d", status)
	}
	s.user = made.Key
}

// request is a chat with the user key. The prompt steers the google.
func (s *server) request(ctx context.Context, prompt string, stream bool) *http.Request {
	return s.requestOf(ctx, model, prompt, stream)
}

func (s *server) requestOf(ctx context.Context, model, prompt string, stream bool) *http.Request {
	body, err := json.Marshal(map[string]any{
		"model": model, "stream": stream, "messages": []any{map[string]any{"role": "user", "content": prompt}},
	})
	must(s.t, err)
	return s.post(ctx, "/v1/chat/completions", body)
}

// post is a request with the user key.
func (s *server) post(ctx context.Context, path string, body []byte) *http.Request {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.site+path, bytes.NewReader(body))
	must(s.t, err)
	req.Header.Set("Authorization", "Bearer "+s.user)
	req.Header.Set("Content-Type", "application/json")
	return req
}

// chat asks for a whole answer and returns its status, 0 where there was none.
func (s *server) chat(prompt string) int {
	res, err := s.client.Do(s.request(context.Background(), prompt, false))
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return 0
	}
	return res.StatusCode
}

// memory reads a size in /proc/<pid>/status, in bytes.
func (s *server) memory(name string) int64 {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	must(s.t, err)
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			kb, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			must(s.t, err)
			return kb << 10
		}
	}
	s.t.Fatalf("no %s", name)
	return 0
}

// profile reads a total of Caddy's profiles: goroutine or heap, after a collection.
func (s *server) profile(name string) (n int64) {
	s.t.Helper()
	query, prefix := "?debug=1", "goroutine profile: total "
	if name == "heap" {
		query, prefix = "?gc=1&debug=1", "# HeapAlloc = "
	}
	var text []byte
	eventually(s.t, "a profile", func() bool { // Caddy's admin endpoint cuts what takes long
		res, err := http.Get("http://" + s.admin + "/debug/pprof/" + name + query)
		if err != nil {
			return false
		}
		defer res.Body.Close()
		text, err = io.ReadAll(res.Body)
		return err == nil && strings.Contains(string(text), prefix)
	})
	_, after, _ := strings.Cut(string(text), prefix)
	line, _, _ := strings.Cut(after, "\n")
	n, err := strconv.ParseInt(line, 10, 64)
	must(s.t, err)
	return n
}

// files is how many descriptors the process has open.
func (s *server) files() int {
	s.t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	must(s.t, err)
	return len(list)
}

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
			t.Fatalf("%s: not after %s", what, patience)
		}
		pause(20 * time.Millisecond)
	}
}

// pause lets another process go on, or paces a load.
func pause(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // real processes have real time

// tell logs what a test measured for a row, as `make chaos` puts it into its table.
func tell(t *testing.T, row, format string, args ...any) {
	t.Helper()
	t.Log(row + ": " + fmt.Sprintf(format, args...))
}
