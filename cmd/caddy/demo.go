// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "gemini-balance-demo",
		Usage: "[--port <number>]",
		Short: "Tries the gateway without Google: a simulated one, made-up keys, everything thrown away at the end",
		Long: `
Starts Caddy with the plugin in front of a simulated Google on this machine.
The pool has several keys, one of them dead and one out of quota. A user key is
made and printed. Nothing is kept: the store lives in a temporary folder.`,
		Flags: func() *flag.FlagSet {
			fs := flag.NewFlagSet("gemini-balance-demo", flag.ExitOnError)
			fs.Int("port", 8080, "The port to listen on")
			return fs
		}(),
		Func: cmdDemo,
	})
}

// demoCaddyfile is the shortest configuration, plus what makes a demo leave no
// trace and a terminal readable.
var demoCaddyfile = template.Must(template.New("").Parse(`{
	admin off
	persist_config off
	auto_https off
	log {
		level ERROR
	}
	gemini_balance {
		store badger "{{.Dir}}"
		upstream {{.Upstream}}
{{- range $i, $key := .Keys}}
		key {env.GB_DEMO_KEY_{{$i}}} {{$key.Project}}
{{- end}}
	}
}
http://:{{.Port}} {
	gemini_balance
	gemini_balance_admin
}
`))

// cmdDemo runs until it is interrupted.
func cmdDemo(fl caddycmd.Flags) (int, error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	dir, err := os.MkdirTemp("", "gemini-balance-demo-")
	if err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("making a folder for the demo: %w", err)
	}
	defer os.RemoveAll(dir)

	config := fakegemini.Demo()
	google := fakegemini.New(config)
	if err := google.Start(); err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("starting the simulated Google: %w", err)
	}
	defer google.Close()

	port := fl.Int("port")
	if err := startDemo(dir, google.URL, config.Keys, port); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	defer func() { _ = caddy.Stop() }()

	base := fmt.Sprintf("http://localhost:%d", port)
	adminKey := filepath.Join(dir, "admin.key")
	userKey, err := demoUserKey(ctx, base, adminKey)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	fmt.Printf(`
caddy-gemini-balance demo: everything here is simulated, nothing reaches Google.

  admin       %[1]s/admin/
  admin key   in %[2]s
  user key    %[3]s

Try it:

  curl %[1]s/v1/chat/completions -H "Authorization: Bearer %[3]s" -H "Content-Type: application/json" -d '{"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hello!"}]}'

Ctrl-C ends it and removes everything.
`, base, adminKey, userKey)

	<-ctx.Done()
	fmt.Println("\nstopping")
	return caddy.ExitCodeSuccess, nil
}

// startDemo loads the demo's configuration into Caddy.
func startDemo(dir, upstream string, keys []fakegemini.Key, port int) error {
	for i, key := range keys {
		// Configurations hold no secrets, so neither does this one.
		if err := os.Setenv(fmt.Sprintf("GB_DEMO_KEY_%d", i), key.Secret); err != nil {
			return err
		}
	}
	var text bytes.Buffer
	err := demoCaddyfile.Execute(&text, map[string]any{
		"Dir": filepath.ToSlash(dir), "Upstream": upstream, "Keys": keys, "Port": port,
	})
	if err != nil {
		return err
	}
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(text.Bytes(), map[string]any{"filename": "demo"})
	if err != nil {
		return fmt.Errorf("the demo's configuration: %w", err)
	}
	if err := caddy.Load(config, true); err != nil {
		return fmt.Errorf("starting Caddy on port %d (--port chooses another): %w", port, err)
	}
	return nil
}

// demoUserKey makes a user key the way an operator does it.
func demoUserKey(ctx context.Context, base, adminKeyFile string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	secret, err := os.ReadFile(adminKeyFile)
	if err != nil {
		return "", fmt.Errorf("reading the admin key: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/admin/keys/user", strings.NewReader(`{"name": "demo"}`))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(secret)))
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{}).Do(req)
	if err != nil {
		return "", fmt.Errorf("making a user key: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", fmt.Errorf("making a user key: %w", err)
	}
	var made struct{ Key string }
	if resp.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("making a user key: %s: %s", resp.Status, body)
	}
	if err := json.Unmarshal(body, &made); err != nil || made.Key == "" {
		return "", errors.Join(errors.New("making a user key: unexpected answer"), err)
	}
	return made.Key, nil
}
