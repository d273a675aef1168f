// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

func TestDrain_ReleasesOnce(t *testing.T) {
	steps := map[string]func(*drain){
		"close":       func(d *drain) { d.close() },
		"close twice": func(d *drain) { d.close(); d.close() },
		"force":       func(d *drain) { d.force() },
		"used before": func(d *drain) { d.enter(); d.leave(); d.close() },
		"last request leaves": func(d *drain) {
			d.enter()
			d.enter()
			d.close()
			d.leave()
			d.leave()
		},
		"forced while used": func(d *drain) { d.enter(); d.close(); d.force(); d.leave() },
	}
	for name, run := range steps {
		t.Run(name, func(t *testing.T) {
			released := 0
			d := newDrain(func() { released++ })
			run(d)
			if released != 1 {
				t.Errorf("released %d times", released)
			}
			if d.enter() {
				t.Error("a request may enter after that")
			}
			select {
			case <-d.empty:
			default:
				t.Error("empty is open")
			}
		})
	}
}

func TestDrain_StaysOpenWhileUsed(t *testing.T) {
	d := newDrain(func() { t.Error("released too early") })
	if !d.enter() {
		t.Fatal("cannot enter")
	}
	d.close()
	if !d.enter() {
		t.Error("a late request may not enter although the store is open")
	}
	d.leave()
}

// TestDrain_Races lets requests come and go while it closes. The race detector
// watches; a request inside must never see the release.
func TestDrain_Races(t *testing.T) {
	for range 50 {
		var released atomic.Bool
		d := newDrain(func() { released.Store(true) })
		var requests sync.WaitGroup
		for range 8 {
			requests.Go(func() {
				for range 100 {
					if !d.enter() {
						return
					}
					if released.Load() {
						t.Error("released while a request is inside")
					}
					d.leave()
				}
			})
		}
		requests.Go(d.close)
		requests.Wait()
		<-d.empty
	}
}

func TestWithoutLinks(t *testing.T) {
	dir := t.TempDir()
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	must(t, os.Mkdir(real, 0o700))
	must(t, os.Symlink(real, link))
	for _, tc := range []struct{ name, path, want string }{
		{"plain", real, real},
		{"link", link, real},
		{"below a link, missing", filepath.Join(link, "a", "b"), filepath.Join(real, "a", "b")},
		{"missing", filepath.Join(dir, "none"), filepath.Join(dir, "none")},
	} {
		if got, err := withoutLinks(tc.path); err != nil || got != tc.want {
			t.Errorf("%s: got %q, %v; want %q", tc.name, got, err, tc.want)
		}
	}
}
