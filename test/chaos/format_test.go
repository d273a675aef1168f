// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What was kept in the stores of testdata/format-*.tar.gz, and how. There is one for
// each format that a release wrote: TestFormat_Write of the chaos tag made it.
const (
	formatKeys     = 3
	formatRequests = 20
	formatUser     = "user-key" // a file beside the store
)

// TestFormats starts on stores that earlier versions wrote: whatever they hold is
// there, and works.
func TestFormats(t *testing.T) {
	stores, err := filepath.Glob("testdata/format-*.tar.gz")
	must(t, err)
	if len(stores) == 0 {
		t.Fatal("there is no store of an earlier version")
	}
	for _, file := range stores {
		t.Run(filepath.Base(file), func(t *testing.T) {
			s := newServer(t, 0)
			if out, err := exec.Command("tar", "-xzf", file, "-C", s.dir).CombinedOutput(); err != nil {
				t.Fatalf("tar: %s", out)
			}
			s.start(s.usual(""))
			user, err := os.ReadFile(filepath.Join(s.dir, formatUser))
			must(t, err)
			s.user = strings.TrimSpace(string(user))
			checkFormat(t, s, formatRequests)
			if status := s.chat("hello"); status != http.StatusOK {
				t.Errorf("the user key answers %d", status)
			}
			s.stop()
			s.start(s.usual("")) // migrated once, and for good
			checkFormat(t, s, formatRequests+1)
		})
	}
}

func checkFormat(t *testing.T, s *server, requests int64) {
	t.Helper()
	var keys struct{ Items []struct{ State string } }
	if s.call(http.MethodGet, "/admin/keys/gemini", "", &keys); len(keys.Items) != formatKeys {
		t.Errorf("%d Gemini keys, want %d", len(keys.Items), formatKeys)
	}
	var stats struct{ Requests, Input int64 }
	if s.call(http.MethodGet, "/admin/stats", "", &stats); stats.Requests != requests || stats.Input != 7*requests {
		t.Errorf("%d requests with %d tokens, want %d and %d", stats.Requests, stats.Input, requests, 7*requests)
	}
	var log struct{ Items []struct{ ID string } }
	if s.call(http.MethodGet, "/admin/requests?limit=100", "", &log); int64(len(log.Items)) != requests {
		t.Errorf("%d rows of the request log, want %d", len(log.Items), requests)
	}
	var config struct {
		Fields map[string]struct{ Value any }
	}
	if s.call(http.MethodGet, "/admin/config", "", &config); config.Fields["retry.attempts"].Value != 7.0 {
		t.Errorf("retry.attempts is %v, want 7", config.Fields["retry.attempts"].Value)
	}
}
