// SPDX-License-Identifier: Apache-2.0

//go:build chaos && linux

package chaos

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDiskFull fills the disk of the store, really: a tmpfs of 512 MiB, to its last
// page, by somebody else, while requests and admin writes go on. Requests never
// notice, admin writes answer 507, a process that starts on the full disk either
// serves or says why not, and what was acknowledged is there in the end.
func TestDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("needs root, to mount a tmpfs")
	}
	disk := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=512m", "tmpfs", disk).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", disk).Run() })
	s := newServer(t, 2)
	config := s.config("", fmt.Sprintf("store badger %q\n", filepath.Join(disk, "store")))
	s.start(config)
	s.addUser()

	stop, failed, served := make(chan struct{}), 0, 0
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if served++; s.chat("hello") != http.StatusOK {
				failed++
			}
			pause(5 * time.Millisecond)
		}
	}()
	kept := []string{s.addKey(t)}
	ballast := filepath.Join(disk, "somebody-elses")
	fill(t, ballast)
	refused, since := 0, time.Now()
	for full := diskTime(); time.Since(since) < full; {
		if status := s.call(http.MethodPost, "/admin/keys/user", `{"name": "x", "unlimited": true}`, nil); status == http.StatusInsufficientStorage {
			refused++
		} else {
			t.Fatalf("an admin write on a full disk: %d", status)
		}
		for _, path := range []string{"/admin/status", "/admin/keys/gemini", "/admin/keys/user", "/admin/stats"} {
			if status := s.call(http.MethodGet, path, "", nil); status != http.StatusOK {
				t.Errorf("on a full disk %s answers %d", path, status)
			}
		}
		pause(500 * time.Millisecond)
	}
	must(t, os.Remove(ballast))
	eventually(t, "admin writes go on when there is room", func() bool {
		id, ok := s.tryAddKey(t)
		if ok {
			kept = append(kept, id)
		}
		return ok
	})
	close(stop)
	<-ended
	if failed > 0 {
		t.Errorf("%d of %d requests failed", failed, served)
	}
	var stats struct{ Requests, Dropped int64 }
	eventually(t, "the sums have what was served", func() bool {
		s.call(http.MethodGet, "/admin/stats", "", &stats)
		return stats.Requests >= int64(served)
	})

	// A stop and a start with a full disk.
	fill(t, ballast)
	must(t, s.cmd.Process.Signal(os.Interrupt))
	_ = s.wait(60 * time.Second)
	start := "served"
	if err := s.run(config); err != nil {
		text, _ := os.ReadFile(s.log.Name())
		if start = "refused, with the reason"; !strings.Contains(string(text), "make room") && !strings.Contains(string(text), "the disk is full") {
			t.Errorf("the start on a full disk says nothing of it: %v", err)
		}
	} else if status := s.chat("hello"); status != http.StatusOK {
		t.Errorf("after a start on a full disk: %d", status)
	}
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.wait(10 * time.Second)
	}
	must(t, os.Remove(ballast))
	s.start(config)
	for _, id := range kept {
		if status := s.call(http.MethodGet, "/admin/keys/user/"+id, "", nil); status != http.StatusOK {
			t.Errorf("user key %s was acknowledged and is lost: %d", id, status)
		}
	}
	if status := s.chat("hello"); status != http.StatusOK {
		t.Errorf("after all that: %d", status)
	}
	tell(t, "R4", "%s full: %d requests, %d failed; %d admin writes, all 507; %d log rows dropped; a start on the full disk: %s; 0 acknowledged writes lost",
		diskTime(), served, failed, refused, stats.Dropped, start)
}

// diskTime is how long the disk stays full.
func diskTime() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("CHAOS_DISK")); err == nil { //nolint:forbidigo // a knob of the test
		return d
	}
	return 10 * time.Minute
}

// fill takes what is left of a disk.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	must(t, err)
	defer f.Close()
	block := make([]byte, 1<<20)
	for len(block) > 0 {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2] // to the last byte
		}
	}
}

func (s *server) addKey(t *testing.T) string {
	t.Helper()
	id, ok := s.tryAddKey(t)
	if !ok {
		t.Fatal("no user key could be made")
	}
	return id
}

func (s *server) tryAddKey(t *testing.T) (id string, ok bool) {
	t.Helper()
	var made struct{ ID string }
	status := s.call(http.MethodPost, "/admin/keys/user", `{"name": "kept", "unlimited": true}`, &made)
	return made.ID, status == http.StatusCreated
}
