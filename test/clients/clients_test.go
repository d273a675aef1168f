// SPDX-License-Identifier: Apache-2.0

// Package clients drives a real Caddy with the plugin by the official SDKs,
// unmodified, against a simulated Google. It is a module of its own, so that
// the SDKs stay out of the plugin's dependencies.
//
// TestMain builds cmd/caddy once and starts two gateways: one whose keys are
// healthy, and one whose keys have no request left today. The Go SDKs run in
// this process; TestNode runs the JavaScript ones.
package clients

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
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/caddylog"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

// Models of the simulated Google.
const (
	plainModel   = "gemini-2.5-flash"
	signingModel = "gemini-3-flash-preview" // insists on thought signatures
	embedModel   = "gemini-embedding-001"
)

// pixel is a PNG, base64.
const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

// slowPrompt makes the simulated Google talk for ten seconds.
const slowPrompt = "Tell me a very long story. [[events 500]] [[pace 20ms]]"

// callBoth makes it call every function that is declared, in one turn.
const callBoth = "Weather and time in Oslo? Ask in parallel."

var citySchema = map[string]any{
	"type":                 "object",
	"properties":           map[string]any{"name": map[string]any{"type": "string"}, "population": map[string]any{"type": "number"}},
	"required":             []string{"name", "population"},
	"additionalProperties": false,
}

// caddyBinary is cmd/caddy, built by TestMain.
var caddyBinary string

// The gateways that all tests share.
var healthy, exhausted *gateway

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "clients-")
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
	healthy, err = start(filepath.Join(dir, "healthy"), fakegemini.Config{Keys: keys("healthy", 3), FileProcessing: 2 * time.Second})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, healthy.stop()) }()
	exhausted, err = start(filepath.Join(dir, "exhausted"), fakegemini.Config{
		Keys: keys("exhausted", 2), Limits: fakegemini.Limits{RPM: 10, RPD: spentDay},
	})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, exhausted.stop()) }()
	return m.Run(), nil
}

// spentDay as a limit per day is a quota that others have used up.
const spentDay = -20

// keys makes up n keys, each of a project of its own.
func keys(name string, n int) []fakegemini.Key {
	ks := make([]fakegemini.Key, n)
	for i := range ks {
		ks[i].Secret = fmt.Sprintf("AIzaSy%s", (name + "-" + strings.Repeat("k", 33))[:30]+fmt.Sprintf("%03d", i))
	}
	return ks
}

// gateway is a Caddy process with the plugin in front of a simulated Google.
type gateway struct {
	base   string // URL without path
	key    string // a user key
	admin  string // the admin key
	google *fakegemini.Server
	cmd    *exec.Cmd
	log    bytes.Buffer
}

var caddyfile = template.Must(template.New("").Parse(`{
	admin off
	persist_config off
	auto_https off
	grace_period 2s
	gemini_balance {
		store badger "{{.Dir}}/store"
		upstream {{.Google}}
{{- range $i, $key := .Keys}}
		key {env.GB_KEY_{{$i}}}
{{- end}}
		limits {
			rpm 1000000
			rpd 1000000
			tpm 1000000000
			concurrency 1000
		}
	}
}
http://{{.Address}} {
	gemini_balance {
		model smart gemini-2.0-flash gemini-2.5-flash
	}
	gemini_balance_admin {
		admin_key {env.GB_ADMIN_KEY}
	}
}
`))

// start runs a gateway whose files are below dir until stop is called.
func start(dir string, config fakegemini.Config) (g *gateway, err error) {
	g = &gateway{google: fakegemini.New(config), admin: "admin-key-of-the-client-tests-0123456789"}
	if err := g.google.Start(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.stop())
		}
	}()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	g.base = "http://" + address
	var text bytes.Buffer
	err = caddyfile.Execute(&text, map[string]any{
		"Dir": filepath.ToSlash(dir), "Google": g.google.URL, "Keys": config.Keys, "Address": address,
	})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		return nil, err
	}
	g.cmd = exec.Command(caddyBinary, "run", "--config", file, "--adapter", "caddyfile")
	g.cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir, "GB_ADMIN_KEY="+g.admin)
	for i, key := range config.Keys {
		g.cmd.Env = append(g.cmd.Env, fmt.Sprintf("GB_KEY_%d=%s", i, key.Secret))
	}
	g.cmd.Stdout, g.cmd.Stderr = &g.log, &g.log
	if err := g.cmd.Start(); err != nil {
		return nil, err
	}
	if err := g.ready(); err != nil {
		return nil, err
	}
	g.key, err = g.userKey()
	return g, err
}

// ready waits until the gateway answers.
func (g *gateway) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.base+"/health", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.New("the gateway does not answer")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// userKey makes a user key through the admin API.
func (g *gateway) userKey() (string, error) {
	var made struct{ Key string }
	err := g.call(http.MethodPost, "/admin/keys/user", `{"name": "clients"}`, http.StatusCreated, &made)
	if err == nil && made.Key == "" {
		err = errors.New("no key in the answer")
	}
	return made.Key, err
}

// call speaks with the admin API.
func (g *gateway) call(method, path, body string, status int, into any) error {
	req, err := http.NewRequest(method, g.base+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+g.admin)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != status {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, data)
	}
	return json.Unmarshal(data, into)
}

// stop ends Caddy as an operator does and reports an unclean end with its log.
func (g *gateway) stop() error {
	defer g.google.Close()
	if g.cmd == nil || g.cmd.Process == nil {
		return nil
	}
	_ = g.cmd.Process.Signal(os.Interrupt)
	kill := time.AfterFunc(15*time.Second, func() { _ = g.cmd.Process.Kill() })
	defer kill.Stop()
	if err := g.cmd.Wait(); err != nil {
		return fmt.Errorf("Caddy ended with %w; its log ends with\n%s", err, caddylog.End(g.log.String()))
	}
	return nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
