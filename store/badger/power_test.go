// SPDX-License-Identifier: Apache-2.0

//go:build chaos && linux

package badger

import (
	"bufio"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestPowerLoss takes the power away, as far as a disk is concerned: the store is on
// a file system in a file, and what that file has at some moment is what a disk would
// have, without all that was only in memory. No acknowledged write may be missing
// there, and no batch be there by half.
func TestPowerLoss(t *testing.T) {
	const rounds = 25
	dir := t.TempDir()
	disk, after, mnt := filepath.Join(dir, "disk"), filepath.Join(dir, "after"), filepath.Join(dir, "mnt")
	run(t, "truncate", "-s", "512M", disk)
	run(t, "mkfs.ext4", "-q", disk)
	if err := os.Mkdir(mnt, 0o700); err != nil {
		t.Fatal(err)
	}
	acked := map[string]bool{}
	for round := range rounds {
		run(t, "mount", "-o", "loop", disk, mnt)
		for _, id := range untilPowerLoss(t, mnt, func() { run(t, "cp", "--sparse=always", disk, after) }) {
			acked[id] = true
		}
		run(t, "umount", mnt)
		if err := os.Rename(after, disk); err != nil {
			t.Fatal(err)
		}
		run(t, "mount", "-o", "loop", disk, mnt)
		s := open(t, filepath.Join(mnt, "store"), nil)
		check(t, s, acked)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		run(t, "umount", mnt)
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	t.Logf("R3: %d losses of power, %d acknowledged sync writes, 0 lost", rounds, len(acked))
}

// untilPowerLoss runs the child that writes, stops it in the middle, takes the disk
// as it is, and returns what had been acknowledged.
func untilPowerLoss(t *testing.T, mnt string, loss func()) (acked []string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childDir+"="+filepath.Join(mnt, "store"))
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
			time.AfterFunc(time.Duration(50+rand.IntN(1500))*time.Millisecond, func() {
				_ = cmd.Process.Signal(syscall.SIGSTOP)
				loss()
				_ = cmd.Process.Kill()
			})
		} else if id, ok := strings.CutPrefix(line, "ack "); ok {
			acked = append(acked, id)
		} else {
			t.Errorf("child: %s", line)
		}
	}
	_ = cmd.Wait()
	return acked
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}
