// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// toolModel is what the command-line tools that are told a model ask for.
const toolModel = "gemini-3.8-flash"

// commandLine is a vendor's tool as people run it.
type commandLine struct {
	name    string
	command func() []string // nil where npm installed none for this platform
	home    map[string]string
	env     []string
	args    []string
	call    string // what reads note.txt, for the simulated model
	asks    []string
}

// Settings switch off what tools do beside the task: updates, statistics,
// catalogues of plug-ins. "{base}", "{key}" and "{dir}" are filled in.
var commandLines = []commandLine{
	{
		name: "gemini-cli",
		command: func() []string {
			return found(nodeBinary(), "node_modules/@google/gemini-cli/bundle/gemini.js")
		},
		home: map[string]string{".gemini/settings.json": `{
			"security": {"auth": {"selectedType": "gemini-api-key"}},
			"privacy": {"usageStatisticsEnabled": false}, "telemetry": {"enabled": false},
			"general": {"enableAutoUpdate": false, "enableAutoUpdateNotification": false}}`},
		env:  []string{"GEMINI_API_KEY={key}", "GOOGLE_GEMINI_BASE_URL={base}"},
		args: []string{"--skip-trust", "-p"},
		call: `read_file {"file_path": "note.txt"}`,
		// The router asks which model the task needs, then that one is asked.
		asks: []string{"POST /v1beta/models/gemini-3.5-flash-lite:generateContent", "POST /v1beta/models/" + toolModel + ":streamGenerateContent?alt=sse"},
	},
	{
		name:    "Codex",
		command: func() []string { return found("node_modules/@openai/codex-*/vendor/*/bin/codex") },
		home: map[string]string{".codex/config.toml": `
			model = "` + toolModel + `"
			model_provider = "gateway"
			approval_policy = "never"
			sandbox_mode = "danger-full-access"
			check_for_update_on_startup = false
			analytics.enabled = false
			features = {plugins = false, apps = false, remote_plugin = false}
			[model_providers.gateway]
			name = "gateway"
			base_url = "{base}/v1"
			env_key = "GATEWAY_KEY"
			wire_api = "responses"`},
		env:  []string{"GATEWAY_KEY={key}"},
		args: []string{"exec", "--skip-git-repo-check"},
		call: `exec_command {"cmd": "cat note.txt"}`,
		asks: []string{"POST /v1/responses"},
	},
	{
		name:    "Claude Code",
		command: func() []string { return found("node_modules/@anthropic-ai/claude-code-*/claude") },
		env: []string{
			"ANTHROPIC_BASE_URL={base}", "ANTHROPIC_AUTH_TOKEN={key}", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
			"DISABLE_TELEMETRY=1", "DISABLE_ERROR_REPORTING=1", "DISABLE_AUTOUPDATER=1",
		},
		args: []string{"-p"},
		call: `Read {"file_path": "{dir}/work/note.txt"}`,
		asks: []string{"POST /v1/messages?beta=true"},
	},
}

// found gives a command: its words with patterns of files resolved, or nil where
// one is not there.
func found(words ...string) []string {
	for i, w := range words {
		if !strings.HasPrefix(w, "node_modules") {
			continue
		}
		files, err := filepath.Glob(filepath.FromSlash(w))
		if err != nil || len(files) == 0 {
			return nil
		}
		if words[i], err = filepath.Abs(files[0]); err != nil {
			return nil
		}
	}
	return words
}

// TestCommandLine has each tool do a task that needs one of its tools: tell what
// is written in a file. The simulated model calls what reads it and says what
// the tool answered. Nothing but the gateway may be asked.
func TestCommandLine(t *testing.T) {
	for _, c := range commandLines {
		t.Run(c.name, func(t *testing.T) {
			command := c.command()
			if command == nil {
				t.Skipf("node_modules has no %s for %s/%s: run make clients; if it stays so, the vendor has no package for this platform", c.name, runtime.GOOS, runtime.GOARCH)
			}
			dir := t.TempDir()
			word := fmt.Sprintf("heliotrope-%d", time.Now().UnixNano()%1_000_000)
			seen := &recorder{t: t, dir: dir, base: healthy.base}
			front := httptest.NewServer(seen)
			defer front.Close()
			outside := &refusals{}
			proxy := httptest.NewServer(outside)
			defer proxy.Close()
			fill := strings.NewReplacer("{base}", front.URL, "{key}", healthy.key, "{dir}", filepath.ToSlash(dir))
			out, err := c.run(t, command, dir, word, proxy.URL, fill)
			if err != nil || !strings.Contains(out, word) {
				t.Fatalf("%v; no %q in what it says:\n%s\nit asked %v", err, word, out, seen.lines())
			}
			for _, want := range c.asks {
				if !strings.Contains(strings.Join(seen.lines(), "\n")+"\n", want+"\n") {
					t.Errorf("it did not ask %s, but %v", want, seen.lines())
				}
			}
			if bad := seen.refused(); len(bad) > 0 {
				t.Errorf("refused: %v", bad)
			}
			if hosts := outside.all(); len(hosts) > 0 {
				t.Errorf("it wanted more than the gateway: %v", hosts)
			}
			seen.save(c.name, word)
		})
	}
}

// run gives the task and returns all that the tool prints.
func (c *commandLine) run(t *testing.T, command []string, dir, word, proxy string, fill *strings.Replacer) (string, error) {
	t.Helper()
	work := filepath.Join(dir, "work")
	for name, text := range c.home {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(fill.Replace(text)), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.MkdirAll(work, 0o700), os.WriteFile(filepath.Join(work, "note.txt"), []byte("The word is "+word+".\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()
	args := append(append(command[1:], c.args...), fill.Replace("What does note.txt say? [[call "+c.call+"]]"))
	cmd := exec.CommandContext(ctx, command[0], args...)
	cmd.Dir, cmd.WaitDelay = work, 5*time.Second
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "USERPROFILE=" + dir, "TMPDIR=" + dir, "TERM=dumb",
		"NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1",
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		cmd.Env = append(cmd.Env, name+"="+proxy, strings.ToLower(name)+"="+proxy)
	}
	for _, e := range c.env {
		cmd.Env = append(cmd.Env, fill.Replace(e))
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// refusals is a proxy that lets nothing through and remembers what was wanted.
type refusals struct {
	mu    sync.Mutex
	hosts []string
}

func (p *refusals) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hosts = append(p.hosts, r.Method+" "+r.Host)
	http.Error(w, "only the gateway can be reached", http.StatusForbidden)
}

func (p *refusals) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hosts
}
