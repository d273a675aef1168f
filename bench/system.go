// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// system is one gateway under test, a child process of its own.
type system struct {
	name    string
	native  bool // speaks Gemini's bytes instead of OpenAI's
	config  func(port, admin int, upstream, dir string) string
	url     string
	admin   string
	keys    []string                                        // user keys
	peer    *peer                                           // another gateway, which is no Caddy with a config; nil = Caddy
	binary  string                                          // a Caddy of its own, which needs no keys; "" = that with the gateway
	headers map[string]string                               // that each request has besides
	fill    func(dir string) (userKeys []string, err error) // makes a store for it; nil = a few keys through its API
	dir     string
	cmd     *exec.Cmd
	idleRSS float64
}

func reverseProxyConfig(port, admin int, upstream, _ string) string {
	return fmt.Sprintf("{\n\tadmin 127.0.0.1:%d\n\tauto_https off\n\tlog {\n\t\tlevel ERROR\n\t}\n}\nhttp://127.0.0.1:%d {\n\treverse_proxy %s {\n\t\tflush_interval -1\n\t}\n}\n",
		admin, port, strings.TrimPrefix(upstream, "http://"))
}

func gatewayConfig(port, admin int, upstream, dir string) string {
	return fmt.Sprintf("{\n\tadmin 127.0.0.1:%d\n\tauto_https off\n\tlog {\n\t\tlevel ERROR\n\t}\n\tgemini_balance {\n\t\tstore badger %s\n\t\tupstream %s%s\n\t}\n}\nhttp://127.0.0.1:%d {\n\tgemini_balance\n\tgemini_balance_admin\n}\n",
		admin, dir, upstream, protocol(), port)
}

// floorConfig is that of the floor, which does one of two things; see floor/main.go.
func floorConfig(what string) func(port, admin int, upstream, dir string) string {
	return func(port, admin int, upstream, _ string) string {
		return fmt.Sprintf("{\n\tadmin 127.0.0.1:%d\n\tauto_https off\n\tlog {\n\t\tlevel ERROR\n\t}\n}\nhttp://127.0.0.1:%d {\n\tbench_floor %s %s\n}\n", admin, port, upstream, what)
	}
}

func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (s *system) start(caddy, upstream string) (err error) {
	if s.dir, err = os.MkdirTemp("", "gb-bench-"); err != nil {
		return err
	}
	port, admin := freePort(), freePort()
	s.url, s.admin = fmt.Sprintf("http://127.0.0.1:%d", port), fmt.Sprintf("http://127.0.0.1:%d", admin)
	if s.fill != nil {
		if s.keys, err = s.fill(filepath.Join(s.dir, "store")); err != nil {
			return err
		}
	}
	if s.peer != nil {
		s.cmd, s.headers = s.peer.command(port, upstream, s.dir)
	} else if s.cmd, err = s.caddy(cmp.Or(s.binary, caddy), port, admin, upstream); err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	for range 200 {
		if res, err := http.Get(s.url + "/health"); err == nil {
			res.Body.Close()
			if s.native || s.fill != nil || s.peer != nil || s.binary != "" {
				return nil
			}
			return s.setUp()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("%s did not start: %s", s.name, s.cmd)
}

func (s *system) caddy(binary string, port, admin int, upstream string) (*exec.Cmd, error) {
	file := filepath.Join(s.dir, "Caddyfile")
	if err := os.WriteFile(file, []byte(s.config(port, admin, upstream, filepath.Join(s.dir, "store"))), 0o600); err != nil {
		return nil, err
	}
	args := append(pinned(), binary, "run", "--config", file, "--adapter", "caddyfile")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+s.dir, "XDG_CONFIG_HOME="+s.dir)
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// pinned is how the command of a system begins, which has one core.
func pinned() []string {
	if canPin() {
		return []string{"taskset", "-c", "0"}
	}
	return nil
}

// header is that of the nth request.
func (s *system) header(n int) http.Header {
	h := http.Header{"Content-Type": {"application/json"}}
	if len(s.keys) > 0 {
		h.Set("Authorization", "Bearer "+s.keys[n%len(s.keys)])
	}
	for name, value := range s.headers {
		h.Set(name, value)
	}
	return h
}

// setUp gives the gateway eight Gemini keys and one user key.
func (s *system) setUp() error {
	admin, err := os.ReadFile(filepath.Join(s.dir, "store", "admin.key"))
	if err != nil {
		return err
	}
	var keys []string
	for i := range 8 {
		keys = append(keys, fmt.Sprintf("bench-gemini-key-%d", i))
	}
	post := func(path string, body any, answer any) error {
		data, _ := json.Marshal(body)
		req, _ := http.NewRequest(http.MethodPost, s.url+path, bytes.NewReader(data))
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(admin)))
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		if res.StatusCode != http.StatusCreated {
			return fmt.Errorf("%s: %s: %s", path, res.Status, text)
		}
		return json.Unmarshal(text, answer)
	}
	var ignored, user struct {
		Key string `json:"key"`
	}
	if err := post("/admin/keys/gemini", map[string]any{"keys": keys}, &ignored); err != nil {
		return err
	}
	// High limits, not none: the limits are part of what is measured.
	limits := map[string]int64{"rpm": 10_000_000, "tpm": 1_000_000_000_000, "rpd": 1_000_000_000, "concurrency": 100_000}
	if err := post("/admin/keys/user", map[string]any{"name": "bench", "limits": limits}, &user); err != nil {
		return err
	}
	s.keys = []string{user.Key}
	return nil
}

// settle waits until a process that has just started rests: indexes are read some
// seconds after the start, and a minute is the most that is waited for them.
func (s *system) settle() {
	for before, n, quiet := s.cpu(), 0, 0; n < 60 && quiet < 4; n++ {
		time.Sleep(time.Second)
		now := s.cpu()
		if quiet++; now-before >= 20_000 { // µs
			quiet = 0
		}
		before = now
	}
}

func (s *system) stop() {
	if s.cmd == nil || s.cmd.Process == nil {
		_ = os.RemoveAll(s.dir)
		return
	}
	_ = s.cmd.Process.Signal(os.Interrupt)
	_ = s.cmd.Wait()
	_ = os.RemoveAll(s.dir)
}

// cpu is the user and system time that its processes have used, in µs.
func (s *system) cpu() (µs float64) {
	if s.cmd == nil {
		return 0
	}
	for _, pid := range processes(s.cmd.Process.Pid) {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 15 {
			continue
		}
		for _, text := range fields[11:15] { // its own, user and system, and that of children which have ended
			ticks, _ := strconv.ParseFloat(text, 64)
			µs += ticks * 10_000 // of 1/100 s
		}
	}
	return µs
}

// rss is the resident memory in MB.
func (s *system) rss() (mb float64) { return s.memory("VmRSS:") }

// peak is what it was at most since forgetPeak.
func (s *system) peak() (mb float64) { return s.memory("VmHWM:") }

func (s *system) memory(line string) (mb float64) {
	if s.cmd == nil {
		return 0
	}
	for _, pid := range processes(s.cmd.Process.Pid) {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		for l := range strings.Lines(string(status)) {
			if v, ok := strings.CutPrefix(l, line); ok {
				kb, _ := strconv.ParseFloat(strings.Fields(v)[0], 64)
				mb += kb / 1024
			}
		}
	}
	return mb
}

// forgetPeak has the kernel begin anew. Source: proc_pid_clear_refs(5).
func (s *system) forgetPeak() {
	if s.cmd == nil {
		return
	}
	for _, pid := range processes(s.cmd.Process.Pid) {
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
	}
}

// mallocs is how many objects the process has allocated so far; only Caddy tells.
func (s *system) mallocs() float64 {
	if s.cmd == nil || s.peer != nil {
		return math.NaN()
	}
	res, err := http.Get(s.admin + "/debug/vars")
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	var vars struct {
		Memory struct{ Mallocs float64 } `json:"memstats"`
	}
	_ = json.NewDecoder(res.Body).Decode(&vars)
	return vars.Memory.Mallocs
}

// profile takes profiles of some seconds of load through Caddy's admin endpoint: of
// CPU, and next to it of allocations.
func (s *system) profile(sc scenario, length time.Duration, file string) error {
	for kind, name := range map[string]string{"profile": file, "allocs": file + ".allocs"} {
		if err := s.profileOf(kind, sc, length, name); err != nil {
			return err
		}
	}
	return nil
}

func (s *system) profileOf(kind string, sc scenario, length time.Duration, file string) error {
	done := make(chan error, 1)
	go func() {
		_, err := measure(s, sc, length+2*time.Second)
		done <- err
	}()
	time.Sleep(time.Second) // the load is on by then
	res, err := http.Get(fmt.Sprintf("%s/debug/pprof/%s?seconds=%d", s.admin, kind, max(1, int(length.Seconds()))))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, res.Body); err != nil {
		return err
	}
	return <-done
}
