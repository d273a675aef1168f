// SPDX-License-Identifier: Apache-2.0

//go:build chaos

package chaos

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestFormat_Write makes the store that TestFormats of all later versions starts on:
// with FORMAT=n it writes testdata/format-n.tar.gz.
func TestFormat_Write(t *testing.T) {
	s := newServer(t, 0)
	s.start(s.usual(""))
	s.addUser()
	if status := s.call(http.MethodPost, "/admin/keys/gemini", `{"keys": ["AIzaSyFormatFormatFormatFormatFormat001", "AIzaSyFormatFormatFormatFormatFormat002", "AIzaSyFormatFormatFormatFormatFormat003"]}`, nil); status != http.StatusCreated {
		t.Fatalf("adding keys: %d", status)
	}
	if status := s.call(http.MethodPost, "/admin/config", `{"retry": {"attempts": 7}}`, nil); status != http.StatusOK {
		t.Fatalf("changing a setting: %d", status)
	}
	for range formatRequests {
		if status := s.chat("hello"); status != http.StatusOK {
			t.Fatalf("a chat: %d", status)
		}
	}
	s.stop()
	must(t, os.WriteFile(filepath.Join(s.dir, formatUser), []byte(s.user), 0o600))
	n := os.Getenv("FORMAT") //nolint:forbidigo // a knob of the test
	file := filepath.Join(t.TempDir(), "format.tar.gz")
	if n != "" {
		must(t, os.MkdirAll("testdata", 0o755))
		var err error
		file, err = filepath.Abs("testdata/format-" + n + ".tar.gz")
		must(t, err)
	}
	if out, err := exec.Command("tar", "-czSf", file, "-C", s.dir, "--exclude=LOCK", "store", formatUser).CombinedOutput(); err != nil {
		t.Fatalf("tar: %s", out)
	}
}
