// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/gemini-balance/caddy-gemini-balance"

// room is a package with what it may import directly. A trailing /* stands for
// what is below.
type room struct {
	room   string
	may    []string // of this module
	others []string // beyond that and the standard library
}

// rooms are those of ARCHITECTURE.md.
var rooms = []room{
	{room: "store"},
	{room: "store/badger", may: []string{"store"}, others: []string{"github.com/dgraph-io/badger/v4", "github.com/dgraph-io/badger/v4/options"}},
	{room: "store/memory", may: []string{"store"}},
	{room: "store/storetest", may: []string{"store"}},
	{room: "balancer", may: []string{"store"}},
	{room: "users", may: []string{"store"}},
	{room: "usage", may: []string{"store"}},
	{room: "settings", may: []string{"store"}},
	{room: "translate", may: []string{"translate/*"}},
	{room: "translate/openai", may: []string{"translate", "translate/capability", "translate/gemini", "translate/media", "translate/rawjson", "translate/schema", "translate/sse"}},
	{room: "translate/anthropic", may: []string{"translate", "translate/capability", "translate/gemini", "translate/media", "translate/rawjson", "translate/schema", "translate/sse"}},
	{room: "translate/native", may: []string{"translate", "translate/gemini", "translate/rawjson", "translate/sse"}},
	{room: "translate/*", may: []string{"translate/capability", "translate/gemini", "translate/media", "translate/rawjson", "translate/schema", "translate/sse"}},
	{room: "upstream", may: []string{"balancer", "translate", "translate/*", "upstream/http1"}},
	{room: "upstream/http1"},
	{room: "probe", may: []string{"balancer", "upstream"}},
	{room: "fetch"},
	{room: "gateway", may: []string{"balancer", "fetch", "settings", "store", "translate", "translate/*", "upstream", "usage", "users"}, others: []string{"github.com/coder/websocket"}},
	{room: "admin", may: []string{"balancer", "settings", "store", "usage", "users"}},
	{room: "internal/caddylog"},
	{room: "internal/nodetest"},
	{room: "internal/fakegemini", may: []string{"translate/gemini", "translate/rawjson", "translate/sse"}, others: []string{"github.com/coder/websocket"}},
	{room: "bench", may: []string{"balancer", "store", "store/badger", "users"}},
	{room: "bench/allocs", may: []string{"balancer", "gateway", "settings", "store", "store/memory", "translate", "translate/openai", "upstream", "usage", "users"}},
	{room: "bench/floor", may: []string{"translate", "translate/openai", "translate/sse", "upstream/http1"}, others: []string{"github.com/caddyserver/caddy/v2", "github.com/caddyserver/caddy/v2/*"}},
	{room: "bench/rows", may: []string{"usage"}},
	{room: "bench/start", may: []string{"balancer", "bench/rows", "store", "store/badger", "usage", "users"}},
	{room: "bench/protocols", may: []string{"translate/sse", "upstream"}},
	{room: "bench/usage", may: []string{"bench/rows", "store", "store/badger", "usage"}},
	{room: "bench/quota", may: []string{"balancer", "gateway", "internal/fakegemini", "settings", "store", "store/memory", "upstream", "usage", "users"}},
	{room: "cmd/caddy", may: []string{"", "internal/fakegemini"}, others: []string{"github.com/caddyserver/caddy/v2/*"}},
	{
		room:   "",
		may:    []string{"admin", "balancer", "fetch", "gateway", "probe", "settings", "store", "store/*", "translate/anthropic", "translate/capability", "translate/openai", "upstream", "usage", "users"},
		others: []string{"github.com/caddyserver/caddy/v2/*", "go.uber.org/zap/*", "github.com/prometheus/client_golang/prometheus", "go.opentelemetry.io/otel/*", "github.com/dustin/go-humanize"},
	},
}

// pkg is a package as go list tells it.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Standard   bool
	Error      *struct{ Err string }
}

func list(t *testing.T, args ...string) (packages []pkg) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,Deps,Standard,Error", "-tags=nobadger,nomysql,nopgx"}, args...)...)
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	must(t, err)
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

func within(list []string, name string) bool {
	return slices.ContainsFunc(list, func(pattern string) bool {
		prefix, below := strings.CutSuffix(pattern, "/*")
		return name == prefix || below && strings.HasPrefix(name, prefix+"/")
	})
}

// TestArrows checks every import of every package against the table.
func TestArrows(t *testing.T) {
	standard := map[string]bool{}
	for _, p := range list(t, "std") {
		standard[p.ImportPath] = true
	}
	packages := list(t, "./...")
	if len(packages) < 15 {
		t.Fatalf("go list found %d packages", len(packages))
	}
	for _, p := range packages {
		name := roomName(p.ImportPath)
		if strings.HasPrefix(name, "test/") {
			continue
		}
		at := slices.IndexFunc(rooms, func(r room) bool { return r.room == name })
		if at < 0 {
			at = slices.IndexFunc(rooms, func(r room) bool { return strings.HasSuffix(r.room, "/*") && within([]string{r.room}, name) })
		}
		if at < 0 {
			t.Errorf("%s is in no room of the table", name)
			continue
		}
		r := rooms[at]
		for _, imported := range p.Imports {
			switch ours := imported == module || strings.HasPrefix(imported, module+"/"); {
			case ours && within(r.may, roomName(imported)), standard[imported], !ours && within(r.others, imported):
			default:
				t.Errorf("%s may not import %s", name, imported)
			}
		}
	}
}

func roomName(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
}

// TestPurity checks what packages reach at all, indirectly included.
func TestPurity(t *testing.T) {
	for pattern, forbidden := range map[string][]string{
		"./translate/...": {"net/http", "net", "os/exec", "log", "log/slog", "math/rand", "math/rand/v2", "crypto/rand"},
		"./balancer":      {"net/http", "log", "log/slog"},
		"./users":         {"net/http", "log", "log/slog"},
		"./usage":         {"net/http", "log", "log/slog"},
		"./settings":      {"net/http", "log", "log/slog"},
		"./gateway":       {"github.com/caddyserver/caddy/v2", "go.uber.org/zap", "github.com/prometheus/client_golang/prometheus"},
		"./admin":         {"github.com/caddyserver/caddy/v2", "go.uber.org/zap", "github.com/prometheus/client_golang/prometheus"},
		"./upstream":      {"github.com/caddyserver/caddy/v2", "go.uber.org/zap"},
		"./probe":         {"github.com/caddyserver/caddy/v2", "go.uber.org/zap"},
	} {
		for _, p := range list(t, pattern) {
			for _, dep := range forbidden {
				if slices.Contains(p.Deps, dep) {
					t.Errorf("%s reaches %s", roomName(p.ImportPath), dep)
				}
			}
		}
	}
	for _, only := range []string{"github.com/dgraph-io/badger/v4"} {
		for _, p := range list(t, "./...") {
			if slices.Contains(p.Imports, only) && roomName(p.ImportPath) != "store/badger" {
				t.Errorf("%s imports %s; only store/badger may", roomName(p.ImportPath), only)
			}
		}
	}
}
