// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/internal/nodetest"
)

// TestNode runs the JavaScript SDKs. They need `npm ci` in this directory,
// which `make clients` does.
func TestNode(t *testing.T) {
	node := nodeBinary()
	if _, err := os.Stat("node_modules"); err != nil {
		t.Fatal("no node_modules here: run make clients, or npm ci in test/clients")
	}
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, healthy.google.Count(fakegemini.CanceledByClient))
	}))
	defer control.Close()
	for _, file := range []string{"openai.test.mjs", "openai-endpoints.test.mjs", "openai-files.test.mjs", "vercel.test.mjs", "langchain.test.mjs", "genai.test.mjs", "genai-resources.test.mjs", "genai-live.test.mjs", "anthropic.test.mjs"} {
		t.Run(file, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), node, "--test", "--test-reporter=tap", "--test-timeout=30000", file)
			cmd.Env = append(os.Environ(),
				"GB_BASE="+healthy.base, "GB_KEY="+healthy.key,
				"GB_EMPTY_BASE="+exhausted.base, "GB_EMPTY_KEY="+exhausted.key,
				"GB_CONTROL="+control.URL,
				"GEMINI_API_KEY=", "GOOGLE_API_KEY=", "OPENAI_API_KEY=")
			out, err := cmd.CombinedOutput()
			nodetest.Report(t, string(out), err)
		})
	}
}

// nodeBinary is the one from the lock file where it has one for this platform.
func nodeBinary() string {
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	local := filepath.Join("node_modules", "node-"+runtime.GOOS+"-"+arch, "bin", "node")
	if abs, err := filepath.Abs(local); err == nil {
		if _, err := os.Stat(abs); err == nil {
			return abs
		}
	}
	return "node"
}
