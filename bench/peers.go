// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

var peers = flag.String("peers", "", "measure other gateways too: those with a peer.json in a folder of this one")

// peer is another gateway as its makers publish it. How it is started and asked is in the
// peer.json of its folder, next to the lock file of what is installed there. ${PORT} and
// ${UPSTREAM} stand for where it listens and for the address of the fake Google, ${ROOT}
// for the file of certificates to trust, empty without -tls.
type peer struct {
	Name    string            `json:"name"`
	Run     []string          `json:"run"` // in its folder
	Env     map[string]string `json:"env"`
	Headers map[string]string `json:"headers"` // of each request
	folder  string
}

func loadPeers(folder string) ([]*peer, error) {
	if folder == "" {
		return nil, nil
	}
	files, err := filepath.Glob(filepath.Join(folder, "*", "peer.json"))
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s: no folder with a peer.json", folder)
	}
	all := make([]*peer, len(files))
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		all[i] = &peer{folder: filepath.Dir(file)}
		if err := json.Unmarshal(text, all[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return all, err
}

// command starts the peer with a home of its own and nothing of this environment but
// the path: no proxy, key or setting of the user changes what is measured.
func (p *peer) command(port int, upstream, home string) (cmd *exec.Cmd, headers map[string]string) {
	fill := func(text string) string {
		return os.Expand(text, func(name string) string {
			return map[string]string{"PORT": strconv.Itoa(port), "UPSTREAM": upstream, "ROOT": os.Getenv("SSL_CERT_FILE")}[name]
		})
	}
	args := pinned()
	for _, arg := range p.Run {
		args = append(args, fill(arg))
	}
	cmd = exec.Command(args[0], args[1:]...)
	cmd.Dir = p.folder
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home}
	for name, value := range p.Env {
		cmd.Env = append(cmd.Env, name+"="+fill(value))
	}
	headers = make(map[string]string, len(p.Headers))
	for name, value := range p.Headers {
		headers[name] = fill(value)
	}
	return cmd, headers
}

// processes are one and all that descend from it.
func processes(pid int) []int {
	all := []int{pid}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range files {
		children, _ := os.ReadFile(file)
		for child := range strings.FieldsSeq(string(children)) {
			if n, err := strconv.Atoi(child); err == nil {
				all = append(all, processes(n)...)
			}
		}
	}
	return all
}
