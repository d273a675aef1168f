// SPDX-License-Identifier: Apache-2.0

package badger

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/store"
)

// childDir names the environment variable that turns the test binary into the
// process to be killed: its value is the store directory.
const childDir = "GB_KILL_CHILD_DIR"

// runChild writes until it is killed: six writers with Sync, which tell each
// acknowledged write on standard output, and two without ("w" ids), which keep
// the logs moving. Each batch is two keys, so that half a batch shows.
func runChild(dir string) {
	s, err := Open(dir, Options{})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	run := strconv.FormatInt(time.Now().UnixNano(), 36)
	fmt.Println("open")
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := 0; ; i++ {
				durable := w < 6
				id := fmt.Sprintf("%s-%d-%d", run, w, i)
				if !durable {
					id = "w" + id
				}
				err := s.Write(store.Batch{Sync: durable, Ops: []store.Op{
					{Key: "a/" + id, Value: []byte(id)},
					{Key: "b/" + id, Value: []byte(id + strings.Repeat(".", i%1000))},
				}})
				if err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				if durable {
					fmt.Println("ack", id) // one write system call, so whole lines
				}
			}
		})
	}
	all.Wait()
}

// TestKill kills a writing process at random moments: no acknowledged write may
// be lost, no batch may be there by half, and the store opens at once.
func TestKill(t *testing.T) {
	rounds := 8
	if n, err := strconv.Atoi(os.Getenv("GB_KILL_ROUNDS")); err == nil {
		rounds = n
	}
	dir := t.TempDir()
	acked := map[string]bool{}
	var slowest time.Duration
	for round := range rounds {
		for _, id := range killOnce(t, dir, time.Duration(50+rand.IntN(450))*time.Millisecond) {
			acked[id] = true
		}
		start := time.Now()
		s := open(t, dir, nil)
		slowest = max(slowest, time.Since(start))
		check(t, s, acked)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	if slowest > 2*time.Second {
		t.Errorf("the slowest opening took %v, want < 2s", slowest)
	}
	t.Logf("%d rounds, %d acknowledged sync writes, 0 lost, slowest opening %v", rounds, len(acked), slowest)
}

// killOnce runs the child, kills it after the delay, and returns what it told.
func killOnce(t *testing.T, dir string, delay time.Duration) (acked []string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := lines.Text()
		if line == "open" {
			time.AfterFunc(delay, func() { _ = cmd.Process.Kill() })
		} else if id, ok := strings.CutPrefix(line, "ack "); ok {
			acked = append(acked, id)
		} else {
			t.Errorf("child: %s", line)
		}
	}
	_ = cmd.Wait()
	return acked
}

// check compares the store with what was acknowledged, and removes what was
// written without Sync, so that rounds stay alike.
func check(t *testing.T, s *Store, acked map[string]bool) {
	t.Helper()
	halves := map[string]int{}
	var wipe []store.Op
	err := s.Scan("", "", func(key string, value []byte) bool {
		id := key[2:]
		if strings.TrimRight(string(value), ".") != id {
			t.Errorf("%s holds %q", key, value)
		}
		halves[id]++
		if id[0] == 'w' {
			wipe = append(wipe, store.Op{Key: key})
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	for id, n := range halves {
		if n != 2 {
			t.Errorf("batch %s is there by half", id)
		}
	}
	for id := range acked {
		if halves[id] != 2 {
			t.Errorf("acknowledged write %s is lost", id)
		}
	}
	for part := range slices.Chunk(wipe, store.MaxBatchOps) {
		if err := s.Write(store.Batch{Ops: part}); err != nil {
			t.Fatal(err)
		}
	}
}
