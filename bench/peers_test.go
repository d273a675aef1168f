// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestLoadPeers_CommittedOnesAreLocked(t *testing.T) {
	all, err := loadPeers("peers")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.Name == "" || len(p.Run) == 0 {
			t.Errorf("%s: a peer has a name and a command: %+v", p.folder, p)
		}
		if _, err := os.Stat(filepath.Join(p.folder, "package-lock.json")); err != nil {
			t.Error(err)
		}
	}
}

func TestLoadPeers_FolderWithoutAny(t *testing.T) {
	if _, err := loadPeers(t.TempDir()); err == nil {
		t.Error("no peer is an error: a comparison with nothing was asked for")
	}
}

func TestPeer_CommandHasNothingOfTheEnvironment(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://192.0.2.1")
	p := &peer{Run: []string{"serve", "--port=${PORT}"}, Env: map[string]string{"TO": "${UPSTREAM}/v1"}, Headers: map[string]string{"X-Host": "${UPSTREAM}"}, folder: "here"}
	cmd, headers := p.command(1234, "http://127.0.0.1:5678", "/home/of/it")
	if got := cmd.Args[len(cmd.Args)-2:]; !slices.Equal(got, []string{"serve", "--port=1234"}) || cmd.Dir != "here" {
		t.Errorf("command %q in %q", got, cmd.Dir)
	}
	if want := []string{"PATH=" + os.Getenv("PATH"), "HOME=/home/of/it", "TO=http://127.0.0.1:5678/v1"}; !slices.Equal(cmd.Env, want) {
		t.Errorf("environment %q, want %q", cmd.Env, want)
	}
	if headers["X-Host"] != "http://127.0.0.1:5678" {
		t.Errorf("headers %q", headers)
	}
}

func TestProcesses_WithDescendants(t *testing.T) {
	if _, err := os.Stat("/proc/thread-self/children"); err != nil {
		t.Skip("this system does not list the children of a process:", err)
	}
	cmd := exec.Command("sh", "-c", "sh -c 'echo up; read x' | cat; :") // two shells and a cat
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil { // all three run
		t.Errorf("%q, %v", line, err)
	}
	if got := processes(cmd.Process.Pid); len(got) != 3 {
		t.Errorf("processes %v, want 3", got)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestWhole(t *testing.T) {
	upstream, err := startUpstream()
	if err != nil {
		t.Fatal(err)
	}
	defer upstream.Close()
	lossy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strings.Repeat(fox, foxes-1)))
		_, _ = w.Write([]byte(strings.Repeat(lorem, lorems*events-1)))
		_, _ = w.Write([]byte(strings.Repeat(number+",", numbers-1)))
	}))
	defer lossy.Close()
	for _, sc := range scenarios {
		if err := whole(&system{name: "direct", native: true, url: upstream.URL}, sc); err != nil {
			t.Error(err)
		}
		if err := whole(&system{name: "lossy", url: lossy.URL}, sc); err == nil {
			t.Errorf("%s: an answer that lacks a piece passes", sc.name)
		}
	}
}
