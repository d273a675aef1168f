// SPDX-License-Identifier: Apache-2.0

// Package browser drives the admin pages in a real Chromium against a real Caddy
// with the plugin and a simulated Google.
//
// The tests themselves are the *.test.mjs files here, run by node; each becomes a
// Go test, and so does each test in it. They start and stop gateways through the
// control server of this package, see control_test.go. Screenshots go to
// build/screenshots.
package browser

import (
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/internal/nodetest"
)

// caddyBinary is cmd/caddy, built by TestMain.
var caddyBinary string

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if caddyBinary = os.Getenv("GB_CADDY"); caddyBinary != "" { // a ready one, while working on the tests
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "browser-")
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

// TestBrowser needs `npm ci` in this directory and a Chromium, which `make browser`
// sees to.
func TestBrowser(t *testing.T) {
	if _, err := os.Stat("node_modules"); err != nil {
		t.Fatal("no node_modules here: run make browser, or npm ci in test/browser")
	}
	chromium := findChromium(t)
	shots, err := filepath.Abs(filepath.Join("..", "..", "build", "screenshots"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.test.mjs")
	if err != nil || len(files) == 0 {
		t.Fatal("no tests here: ", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(file, ".test.mjs"), func(t *testing.T) {
			t.Parallel() // much of a test is waiting: for timers, for Google, for quotas to come back
			control := newControl(t)
			server := httptest.NewServer(control)
			t.Cleanup(server.Close)
			cmd := exec.CommandContext(t.Context(), "node", "--test", "--test-reporter=tap", "--test-timeout=400000", file)
			cmd.Env = append(os.Environ(), "GB_CONTROL="+server.URL, "GB_CHROMIUM="+chromium, "GB_SHOTS="+shots)
			out, err := cmd.CombinedOutput()
			nodetest.Report(t, string(out), err)
		})
	}
}

// findChromium looks where Debian and others install it; GB_CHROMIUM overrules.
func findChromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("GB_CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil && name != "" {
			return path
		}
	}
	t.Fatal("no Chromium here: install the package chromium, or name one in GB_CHROMIUM")
	return ""
}
