// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const answer = `{"candidates":[{"content":{"parts":[{"text":"The quick brown fox."}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":180,"candidatesTokenCount":80,"totalTokenCount":260},"modelVersion":"gemini-3-flash"}`

// startGoogle is an upstream whose answers cost next to nothing.
func startGoogle() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, `{"models":[{"name":"models/gemini-3-flash","supportedGenerationMethods":["generateContent"]}]}`)
			return
		}
		_, _ = io.WriteString(w, answer)
	}))
}

// gateway is a Caddy with the filled store, a child process.
type gateway struct {
	caddy, dir, upstream string
	secrets              []string

	url    string
	admin  string // the admin key
	client http.Client
	cmd    *exec.Cmd
}

const caddyfile = `{
	admin off
	auto_https off
	log {
		level ERROR
	}
	gemini_balance {
		store badger %s
		upstream %s
		request_log {
			retention 30d
			max_size 4GiB
		}
	}
}
http://127.0.0.1:%d {
	gemini_balance
	gemini_balance_admin
}
`

// start returns how long it took until a chat request was answered.
func (g *gateway) start() (time.Duration, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	g.url = fmt.Sprintf("http://127.0.0.1:%d", port)
	g.client.Transport = &http.Transport{MaxIdleConnsPerHost: 64}
	file, storeDir := filepath.Join(g.dir, "Caddyfile"), filepath.Join(g.dir, "store")
	if err := os.WriteFile(file, fmt.Appendf(nil, caddyfile, storeDir, g.upstream, port), 0o600); err != nil {
		return 0, err
	}
	g.cmd = exec.Command(g.caddy, "run", "--config", file, "--adapter", "caddyfile")
	g.cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+g.dir, "XDG_CONFIG_HOME="+g.dir)
	g.cmd.Stderr = os.Stderr
	began := time.Now()
	if err := g.cmd.Start(); err != nil {
		return 0, err
	}
	for {
		err := g.chat(g.secrets[0])
		took := time.Since(began)
		if err == nil {
			key, err := os.ReadFile(filepath.Join(storeDir, "admin.key"))
			g.admin = strings.TrimSpace(string(key))
			return took, err
		}
		if took > time.Minute {
			return 0, fmt.Errorf("no chat request is answered within a minute: %w", err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (g *gateway) stop() error {
	if g.cmd == nil || g.cmd.Process == nil {
		return nil
	}
	err := g.cmd.Process.Signal(os.Interrupt)
	g.client.CloseIdleConnections()
	return errors.Join(err, g.cmd.Wait())
}

// chat sends one request of a client.
func (g *gateway) chat(secret string) error {
	body := `{"model":"gemini-3-flash","messages":[{"role":"user","content":"Tell me something about foxes and dogs."}]}`
	req, err := http.NewRequest(http.MethodPost, g.url+"/v1/chat/completions", bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	_, err = g.do(req, secret)
	return err
}

// get asks the admin API.
func (g *gateway) get(path string) ([]byte, error) {
	req, err := http.NewRequest(http.MethodGet, g.url+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	return g.do(req, g.admin)
}

func (g *gateway) do(req *http.Request, key string) ([]byte, error) {
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := g.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.300s", req.URL.Path, res.Status, text)
	}
	return text, err
}

// memory tells what the process holds, in MB: of its own, and pages of files, which
// the system takes back when it needs them.
func (g *gateway) memory() (text string, mb int) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	of := map[string]int{}
	for l := range strings.Lines(string(status)) {
		if name, v, ok := strings.Cut(l, ":"); ok && strings.HasSuffix(strings.TrimSpace(v), " kB") {
			kb, _ := strconv.Atoi(strings.Fields(v)[0])
			of[name] = kb / 1024
		}
	}
	return fmt.Sprintf("%d MB, and %d MB of the store's files", of["RssAnon"], of["RssFile"]), of["VmRSS"]
}

// cpu is the user and system time that the process has used.
func (g *gateway) cpu() time.Duration {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	sys, _ := strconv.Atoi(fields[12])
	return time.Duration(user+sys) * 10 * time.Millisecond // clock ticks of 1/100 s
}
