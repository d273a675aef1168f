// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	badgerstore "github.com/gemini-balance/caddy-gemini-balance/store/badger"
)

func keyID(n int) string { return balancer.KeyID(fakegemini.DemoKey(n + 1)) }

// storeFree reports whether nobody has the store in dir open.
func storeFree(t *testing.T, dir string) bool {
	t.Helper()
	s, err := badgerstore.Open(dir, badgerstore.Options{})
	if err != nil {
		if !strings.Contains(err.Error(), "in use by another process") {
			t.Fatal(err)
		}
		return false
	}
	must(t, s.Close())
	return true
}

// TestReload_KeepsStreams goes from store A to B and back to A while answers of
// each are running.
func TestReload_KeepsStreams(t *testing.T) {
	s := newServer(t, 1)
	configA := s.config(s.store("a")+"key {env.GB_KEY_0}\n", "")
	configB := s.config(s.store("b")+"key {env.GB_KEY_0}\n", "")
	s.start(configA)
	s.addUser()
	userA := s.user
	first := s.stream(held)

	must(t, s.load(configB))
	s.addUser()
	second := s.stream(held)
	if storeFree(t, s.storeDir("a")) {
		t.Error("store A was closed while its stream runs")
	}

	must(t, s.load(configA))
	s.user = userA
	if status := s.chat("Hello"); status != http.StatusOK {
		t.Errorf("store A forgot its user key: %d", status)
	}
	third := s.stream(held)
	must(t, s.load(configA+"# changed\n"))
	s.release(3)
	for _, st := range []*stream{first, second, third} {
		st.finish(t)
	}
	eventually(t, "store B is closed after its last stream", func() bool { return storeFree(t, s.storeDir("b")) })
	if storeFree(t, s.storeDir("a")) {
		t.Error("store A is closed, and it is the one in use")
	}
	if status := s.chat("Hello"); status != http.StatusOK {
		t.Errorf("after all that: %d", status)
	}
}

// TestReload_KeepsPool reloads with other options: what is known of keys stays.
func TestReload_KeepsPool(t *testing.T) {
	s := newServer(t, 3)
	keys := "key {env.GB_KEY_0}\nkey {env.GB_KEY_1}\n"
	s.google.SetKeyState(fakegemini.DemoKey(1), fakegemini.KeyInvalid)
	s.start(s.config(s.store("a")+keys, ""))
	s.addUser()
	for range 4 {
		if status := s.chat("Hello"); status != http.StatusOK {
			t.Fatalf("with one good key: %d", status)
		}
	}
	eventually(t, "a probe finds the dead key", func() bool { return s.keyState(keyID(0)) == "invalid" })
	must(t, s.load(s.config(s.store("a")+keys+"key {env.GB_KEY_2} third\nretry {\n attempts 5\n}\n", "")))
	for n, want := range []string{"invalid", "active"} {
		if got := s.keyState(keyID(n)); got != want {
			t.Errorf("key %d is %q after the reload, want %q", n, got, want)
		}
	}
	eventually(t, "a probe finds the new key", func() bool { return s.keyState(keyID(2)) == "active" })
	for n, want := range []int{1, 5, 1} {
		if got := len(s.google.Entries(fakegemini.ByKey(fakegemini.DemoKey(n + 1)))); got != want {
			t.Errorf("key %d was used %d times; want %d", n, got, want)
		}
	}
	eventually(t, "the log tells of the dead key", func() bool {
		return strings.Contains(s.log.String(), `"key_id":"`+keyID(0)+`","from":"untested","to":"invalid"`)
	})
	for _, change := range [][2]string{{"disable", "key_disabled"}, {"enable", "key_recovered"}} {
		verb, event := change[0], change[1]
		s.call(http.MethodPost, "/admin/keys/gemini/"+keyID(2)+"/"+verb, "", nil)
		eventually(t, "the event "+event, func() bool {
			return strings.Contains(s.log.String(), `"logger":"events","msg":"event","name":"`+event+`"`)
		})
	}
	if status := s.call(http.MethodPost, "/admin/config", `{"retry": {"attempts": 4}}`, nil); status != http.StatusConflict {
		t.Errorf("changing what the Caddyfile sets: %d, want 409", status)
	}
}

// TestReload_Probes switches the probes off and on.
func TestReload_Probes(t *testing.T) {
	s := newServer(t, 3)
	keys := "key {env.GB_KEY_0}\n"
	s.start(s.config(s.store("a")+keys+"probe off\n", ""))
	s.addUser()
	keys += "key {env.GB_KEY_1}\n"
	must(t, s.load(s.config(s.store("a")+keys+"probe off\n", "")))
	if status := s.call(http.MethodPost, "/admin/keys/gemini/"+keyID(0)+"/probe", "", nil); status != http.StatusConflict {
		t.Errorf("a probe by hand where they are off: %d, want 409", status)
	}
	if status := s.chat("Hello"); status != http.StatusOK {
		t.Fatalf("without probes: %d", status)
	}
	if n := len(s.google.Entries()); n != 1 {
		t.Errorf("%d requests to Google for one chat without probes", n)
	}
	keys += "key {env.GB_KEY_2}\n"
	must(t, s.load(s.config(s.store("a")+keys, "")))
	eventually(t, "probes find the keys that no request has used", func() bool {
		return s.keyState(keyID(1)) == "active" && s.keyState(keyID(2)) == "active"
	})
	s.google.SetKeyState(fakegemini.DemoKey(1), fakegemini.KeySuspended)
	if status := s.call(http.MethodPost, "/admin/keys/gemini/"+keyID(0)+"/probe", "", nil); status != http.StatusAccepted {
		t.Errorf("a probe by hand: %d, want 202", status)
	}
	eventually(t, "a probe by hand finds the suspended key", func() bool { return s.keyState(keyID(0)) == "suspended" })
}

// TestReload_Failed loads configurations that fail at different moments.
func TestReload_Failed(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	s := newServer(t, 2)
	good := s.config(s.store("a")+"key {env.GB_KEY_0}\n", "")
	s.start(good)
	s.addUser()
	running := s.stream(held)
	if status := s.chat("Hello"); status != http.StatusOK {
		t.Fatalf("before any failure: %d", status)
	}

	other := s.store("a") + "key {env.GB_KEY_1}\n"
	for name, tc := range map[string]struct{ config, want string }{
		"adapt":       {s.config(other+"strategy best\n", ""), "is unknown, want"},
		"provision":   {s.config(other+"key {env.GB_UNSET}\n", ""), "{env.GB_UNSET} is empty"},
		"literal":     {s.config(s.store("a")+"key AIzaSyLiteral\n", ""), "literal secret"},
		"validate":    {s.config(other+"retry {\n attempts 99\n}\n", ""), "retry.attempts must be"},
		"start":       {s.config(other, "http://"+taken.Addr().String()+" {\n bind 127.0.0.1\n gemini_balance\n}\n"), "address already in use"},
		"other store": {s.config("store badger /proc/gemini_balance/no\n", ""), "store directory"},
	} {
		// Caddy starts apps in any order: several times, so that both come first.
		for range 3 {
			err := s.load(tc.config)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: got %v, want an error with %q", name, err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "AIzaSyLiteral") {
				t.Errorf("%s: the error tells the secret: %v", name, err)
			}
			if got := s.keyState(keyID(0)); got != "active" {
				t.Errorf("%s: the key of the running configuration is %q", name, got)
			}
			if got := s.keyState(keyID(1)); got != "" {
				t.Errorf("%s: the key of the failed configuration is %q", name, got)
			}
			if status := s.chat("Hello"); status != http.StatusOK {
				t.Errorf("%s: the running configuration answers %d", name, status)
			}
		}
	}
	s.release(1)
	running.finish(t)
	must(t, s.load(s.config(other, "")))
	if got := s.keyState(keyID(1)); got == "" {
		t.Error("after the failures, a good configuration has no effect")
	}
}

// TestValidate_BesideServer validates the configuration that is being served.
func TestValidate_BesideServer(t *testing.T) {
	s := newServer(t, 1)
	s.start(s.config(s.store("a")+"key {env.GB_KEY_0}\n", ""))
	out, err := s.command(t.Context(), "validate", "--config", filepath.Join(s.dir, "Caddyfile"), "--adapter", "caddyfile").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Valid configuration") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = s.command(t.Context(), "run", "--config", filepath.Join(s.dir, "Caddyfile"), "--adapter", "caddyfile").CombinedOutput()
	if err == nil {
		t.Errorf("a second server with the same store runs\n%s", out)
	}
}

// TestShutdown_LetsStreamsEnd is SIGTERM with a running answer.
func TestShutdown_LetsStreamsEnd(t *testing.T) {
	s := newServer(t, 1)
	s.start(s.config(s.store("a")+"key {env.GB_KEY_0}\n", ""))
	s.addUser()
	running := s.stream(held)
	must(t, s.cmd.Process.Signal(syscall.SIGTERM))
	eventually(t, "no new connections", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.site)
		if err != nil {
			return true
		}
		conn.Close()
		return false
	})
	s.release(1)
	running.finish(t)
	if err := s.wait(patience); err != nil {
		t.Errorf("Caddy ended with %v", err)
	}
	if !storeFree(t, s.storeDir("a")) {
		t.Error("the store is still open")
	}
}

// TestShutdown_GracePeriod ends answers that take longer, and closes the store
// nevertheless.
func TestShutdown_GracePeriod(t *testing.T) {
	s := newServer(t, 1)
	config := strings.Replace(s.config(s.store("a")+"key {env.GB_KEY_0}\n", ""), "{\n", "{\n\tgrace_period 100ms\n", 1)
	s.start(config)
	s.addUser()
	running := s.stream(held)
	if err := s.signal(os.Interrupt); err != nil {
		t.Errorf("Caddy ended with %v", err)
	}
	<-running.end
	if !storeFree(t, s.storeDir("a")) {
		t.Error("the store is still open")
	}
}
