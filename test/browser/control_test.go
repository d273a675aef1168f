// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/caddylog"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

// control is an HTTP server for the tests in JavaScript:
//
//	POST /gateways              {"keys": 3, "dead": 1, "app": "…", "site": "…", …} → gatewayInfo
//	POST /gateways/{id}/stop    ends Caddy as an operator does
//	POST /gateways/{id}/kill    ends it as a power cut does
//	POST /gateways/{id}/start   starts it again, on the same port and store
//	POST /gateways/{id}/reload  {"app": "…", "site": "…"} runs another configuration in its place
//	GET  /gateways/{id}/log     what Caddy printed
//	GET  /gateways/{id}/google  {"requests": n, "entries": [{"method", "path", "status", "body"}, …]}
//	POST /gateways/{id}/google  {"secret": "…", "state": "…"} changes what Google thinks of a key
//
// All gateways end with the test.
type control struct {
	t *testing.T
	http.ServeMux

	dir string // of all stores

	mu       sync.Mutex
	gateways []*gateway
}

// options of a gateway. The zero value has no Gemini key and a configured admin key.
type options struct {
	Keys       int    `json:"keys"`         // declared in the Caddyfile, healthy
	Dead       int    `json:"dead"`         // further ones that Google refuses
	Known      int    `json:"known"`        // further ones that Google knows and the gateway does not: to import
	NoAdminKey bool   `json:"no_admin_key"` // the first start makes one
	Limits     bool   `json:"limits"`       // small limits of Google's instead of none
	Uplink     string `json:"uplink"`       // how long until Google takes a request up, about; "" = no time
	Bodies     bool   `json:"bodies"`       // what is asked of Google is kept whole
	TLS        bool   `json:"tls"`          // https with Caddy's own authority
	Host       string `json:"host"`         // in URLs, default 127.0.0.1
	AnyHost    bool   `json:"any_host"`     // the site answers to every name
	App        string `json:"app"`          // further lines of the app
	Site       string `json:"site"`         // further lines of the site
	Handler    string `json:"handler"`      // further lines of gemini_balance
	Admin      string `json:"admin"`        // further lines of gemini_balance_admin
}

// gatewayInfo is what a test needs to know.
type gatewayInfo struct {
	ID     int      `json:"id"`
	Base   string   `json:"base"`   // URL without path
	Admin  string   `json:"admin"`  // the admin key, "" with no_admin_key
	Viewer string   `json:"viewer"` // what env.GB_VIEWER_KEY has
	Dir    string   `json:"dir"`    // of the store
	Google string   `json:"google"`
	Keys   []string `json:"keys"`  // declared
	Known  []string `json:"known"` // to import
}

const (
	adminKey  = "admin-key-of-the-browser-tests-0123456789"
	viewerKey = "viewer-key-of-the-browser-tests-0123456789" // env.GB_VIEWER_KEY, for a viewer_key
)

// gateway is a Caddy process with the plugin in front of a simulated Google.
type gateway struct {
	info    gatewayInfo
	options options
	google  *fakegemini.Server
	address string

	mu  sync.Mutex // one change at a time
	cmd *exec.Cmd
	log lockedBuffer
}

// lockedBuffer takes a process's output while others read it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newControl(t *testing.T) *control {
	c := &control{t: t, dir: t.TempDir()} // which goes after the gateways have
	c.HandleFunc("POST /gateways", c.create)
	for name, act := range map[string]func(*gateway, *http.Request) (any, error){
		"POST /gateways/{id}/stop":   func(g *gateway, _ *http.Request) (any, error) { return nil, g.end(os.Interrupt) },
		"POST /gateways/{id}/kill":   func(g *gateway, _ *http.Request) (any, error) { return nil, g.end(os.Kill) },
		"POST /gateways/{id}/start":  func(g *gateway, _ *http.Request) (any, error) { return nil, g.start() },
		"POST /gateways/{id}/reload": (*gateway).reload,
		"GET /gateways/{id}/log":     func(g *gateway, _ *http.Request) (any, error) { return g.log.String(), nil },
		"GET /gateways/{id}/google":  (*gateway).asked,
		"POST /gateways/{id}/google": (*gateway).setKey,
	} {
		c.HandleFunc(name, func(w http.ResponseWriter, r *http.Request) {
			g := c.find(r.PathValue("id"))
			if g == nil {
				http.Error(w, "no such gateway", http.StatusNotFound)
				return
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			answer(w, func() (any, error) { return act(g, r) })
		})
	}
	t.Cleanup(c.stop)
	return c
}

func answer(w http.ResponseWriter, act func() (any, error)) {
	body, err := act()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(body)
}

func (c *control) find(id string) *gateway {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.gateways {
		if fmt.Sprint(g.info.ID) == id {
			return g
		}
	}
	return nil
}

func (c *control) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.gateways {
		if err := g.end(os.Interrupt); err != nil {
			c.t.Error(err)
		}
		g.google.Close()
		if c.t.Failed() {
			fmt.Fprintf(c.t.Output(), "Caddy's log ends with\n%s", caddylog.End(g.log.String()))
		}
	}
}

func (c *control) create(w http.ResponseWriter, r *http.Request) {
	answer(w, func() (any, error) {
		var o options
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
			return nil, err
		}
		c.mu.Lock()
		g := &gateway{options: o, info: gatewayInfo{ID: len(c.gateways), Viewer: viewerKey}}
		g.info.Dir = filepath.ToSlash(filepath.Join(c.dir, strconv.Itoa(g.info.ID)))
		config := g.simulate()
		g.google = fakegemini.New(config)
		c.gateways = append(c.gateways, g)
		c.mu.Unlock()
		if err := g.google.Start(); err != nil {
			return nil, err
		}
		g.info.Google = g.google.URL
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		port := listener.Addr().(*net.TCPAddr).Port
		_ = listener.Close()
		host := o.Host
		if host == "" {
			host = "127.0.0.1"
		}
		scheme := "http"
		if o.TLS {
			scheme = "https"
		}
		g.address = fmt.Sprintf("%s://%s:%d", scheme, host, port)
		g.info.Base = g.address
		if o.AnyHost {
			g.address = fmt.Sprintf("%s://:%d", scheme, port)
		}
		if !o.NoAdminKey {
			g.info.Admin = adminKey
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.info, g.start()
	})
}

// simulate makes up the keys and what Google knows of them.
func (g *gateway) simulate() fakegemini.Config {
	config := fakegemini.Config{Entries: 10_000, Brief: !g.options.Bodies, TokenPrice: 300}
	if g.options.Limits {
		config.Limits = fakegemini.Limits{RPM: 5, RPD: 20}
	}
	if g.options.Uplink != "" {
		config.Latency.Uplink, _ = time.ParseDuration(g.options.Uplink) // what is none takes no time
	}
	made := func(kind string, i int) string {
		return "AIzaSy" + (kind + strings.Repeat("k", 33))[:27] + fmt.Sprintf("%06d", i)
	}
	for i := range g.options.Keys {
		config.Keys = append(config.Keys, fakegemini.Key{Secret: made("good", i)})
		g.info.Keys = append(g.info.Keys, made("good", i))
	}
	for i := range g.options.Dead {
		config.Keys = append(config.Keys, fakegemini.Key{Secret: made("dead", i), State: fakegemini.KeyInvalid})
		g.info.Keys = append(g.info.Keys, made("dead", i))
	}
	for i := range g.options.Known {
		config.Keys = append(config.Keys, fakegemini.Key{Secret: made("free", i)})
		g.info.Known = append(g.info.Known, made("free", i))
	}
	return config
}

var caddyfile = template.Must(template.New("").Parse(`{
	admin off
	persist_config off
	auto_https {{if .TLS}}disable_redirects{{else}}off{{end}}
	skip_install_trust
	grace_period 2s
	gemini_balance {
		store badger "{{.Dir}}/store"
		upstream {{.Google}}
		{{- if or .Keys .Dead}}
		keys_file "{{.Dir}}/keys"
		{{- end}}
		{{.App}}
	}
}
{{.Address}} {
	{{- if .TLS}}
	tls internal
	{{- end}}
	gemini_balance {
		{{.Handler}}
	}
	gemini_balance_admin {
		{{- if not .NoAdminKey}}
		admin_key {env.GB_ADMIN_KEY}
		{{- end}}
		{{.Admin}}
	}
	{{.Site}}
}
`))

// start runs Caddy until end is called.
func (g *gateway) start() error {
	if g.cmd != nil {
		return errors.New("runs already")
	}
	var text bytes.Buffer
	err := caddyfile.Execute(&text, struct {
		options
		Dir, Google, Address string
	}{g.options, g.info.Dir, g.google.URL, g.address})
	if err != nil {
		return err
	}
	file := filepath.Join(g.info.Dir, "Caddyfile")
	keys := filepath.Join(g.info.Dir, "keys")
	if err := errors.Join(os.MkdirAll(g.info.Dir, 0o700), os.WriteFile(file, text.Bytes(), 0o600), os.WriteFile(keys, []byte(strings.Join(g.info.Keys, "\n")+"\n"), 0o600)); err != nil {
		return err
	}
	cmd := exec.Command(caddyBinary, "run", "--config", file, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+g.info.Dir, "XDG_CONFIG_HOME="+g.info.Dir, "GB_ADMIN_KEY="+adminKey, "GB_VIEWER_KEY="+viewerKey)
	cmd.Stdout, cmd.Stderr = &g.log, &g.log
	if err := cmd.Start(); err != nil {
		return err
	}
	g.cmd = cmd
	return g.ready()
}

// ready waits until the gateway listens.
func (g *gateway) ready() error {
	_, address, _ := strings.Cut(g.info.Base, "://")
	for range 1500 {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return conn.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("the gateway does not answer; its log ends with\n%s", caddylog.End(g.log.String()))
}

// end stops Caddy, if it runs.
func (g *gateway) end(signal os.Signal) error {
	if g.cmd == nil {
		return nil
	}
	cmd := g.cmd
	g.cmd = nil
	_ = cmd.Process.Signal(signal)
	kill := time.AfterFunc(15*time.Second, func() { _ = cmd.Process.Signal(syscall.SIGABRT) }) // says where it hangs
	defer kill.Stop()
	if err := cmd.Wait(); err != nil && signal != os.Kill {
		return fmt.Errorf("Caddy: %w", err)
	}
	return nil
}

// reload runs another configuration in the place of the present one.
func (g *gateway) reload(r *http.Request) (any, error) {
	if err := json.NewDecoder(r.Body).Decode(&g.options); err != nil {
		return nil, err
	}
	if err := g.end(syscall.SIGTERM); err != nil {
		return nil, err
	}
	return nil, g.start()
}

// asked tells what reached Google.
func (g *gateway) asked(*http.Request) (any, error) {
	type entry struct {
		Method string `json:"method"`
		Path   string `json:"path"`
		Status int    `json:"status"`
		Body   string `json:"body,omitempty"`
	}
	entries := []entry{}
	for _, e := range g.google.Entries() {
		entries = append(entries, entry{e.Method, e.Path, e.Status, string(e.Body)})
	}
	return map[string]any{"requests": g.google.Requests(), "entries": entries}, nil
}

// setKey changes what Google thinks of a key.
func (g *gateway) setKey(r *http.Request) (any, error) {
	var change struct {
		Secret string
		State  fakegemini.KeyState
	}
	if err := json.NewDecoder(r.Body).Decode(&change); err != nil {
		return nil, err
	}
	g.google.SetKeyState(change.Secret, change.State)
	return nil, nil
}
