// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// browserCall is a request of a page that was loaded from the host.
func (s *server) browserCall(host, method, path, body string, cookies []*http.Cookie) *http.Response {
	s.t.Helper()
	req, err := http.NewRequest(method, "http://"+s.site+path, strings.NewReader(body))
	must(s.t, err)
	req.Host = host
	req.Header.Set("Origin", "http://"+host)
	req.Header.Set("Accept", "text/html")
	req.Header.Set("Content-Type", "application/json")
	for _, c := range cookies {
		req.AddCookie(c)
	}
	res, err := s.client.Transport.RoundTrip(req) // follows no redirect
	must(s.t, err)
	return res
}

// answer reads a whole answer.
func answer(t *testing.T, res *http.Response) (status int, body string) {
	t.Helper()
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	must(t, err)
	return res.StatusCode, string(data)
}

// openSite has both handlers for any name.
func (s *server) openSite(admin string) string {
	_, port, err := net.SplitHostPort(s.site)
	must(s.t, err)
	return "http://:" + port + " {\n\tgemini_balance\n\thandle_path /prefix/* {\n\t\tgemini_balance_admin\n\t}\n\tgemini_balance_admin " + admin + "\n}\n"
}

// TestFirstRun goes the way of somebody who has only the log: setup token, admin key,
// session, and then another key.
func TestFirstRun(t *testing.T) {
	s := newServer(t, 1)
	config := s.config(s.store("a"), s.openSite(""))
	s.start(config)
	found := regexp.MustCompile(`"setup_token":\s*"([A-Z2-7]+)"`).FindAllStringSubmatch(s.log.String(), -1)
	if len(found) != 1 {
		t.Fatalf("the log has %d setup tokens", len(found))
	}
	res := s.browserCall(s.site, "POST", "/admin/setup", `{"token":"`+found[0][1]+`"}`, nil)
	cookies := res.Cookies()
	status, body := answer(t, res)
	var made struct {
		AdminKey string `json:"admin_key"`
	}
	must(t, json.Unmarshal([]byte(body), &made))
	file := filepath.Join(s.storeDir("a"), "admin.key")
	kept := func() string {
		text, err := os.ReadFile(file)
		must(t, err)
		return strings.TrimSpace(string(text))
	}
	if status != http.StatusCreated || made.AdminKey != kept() || len(cookies) != 1 {
		t.Fatalf("%d %s; the file has %d bytes", status, body, len(kept()))
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if status, body := answer(t, s.browserCall(s.site, "POST", "/admin/setup", `{"token":"`+found[0][1]+`"}`, nil)); status != http.StatusForbidden {
		t.Errorf("the token again: %d %s", status, body)
	}
	// Another key: the session goes, the file changes, a restart knows it.
	_, _ = answer(t, s.browserCall(s.site, "POST", "/admin/session/sudo", `{"key":"`+made.AdminKey+`"}`, cookies))
	status, body = answer(t, s.browserCall(s.site, "POST", "/admin/admin-key/rotate", "", cookies))
	if status != http.StatusOK || !strings.Contains(body, kept()) || kept() == made.AdminKey {
		t.Errorf("rotate: %d %s", status, body)
	}
	if status, _ := answer(t, s.browserCall(s.site, "GET", "/admin/session", "", cookies)); status != http.StatusUnauthorized {
		t.Errorf("the session after that: %d", status)
	}
	must(t, s.signal(os.Interrupt))
	s.start(config)
	if status, body := answer(t, s.browserCall(s.site, "POST", "/admin/session", `{"key":"`+kept()+`"}`, nil)); status != http.StatusCreated {
		t.Errorf("after a restart: %d %s", status, body)
	}
	log := s.log.String()
	if strings.Contains(log, made.AdminKey) || strings.Contains(log, kept()) || strings.Count(log, "setup_token") != 1 {
		t.Error("the log has an admin key, or another setup token")
	}
}

// TestHostNames: by which names browsers may come. Source: specs/gateways.md W1.
func TestHostNames(t *testing.T) {
	s := newServer(t, 1)
	_, port, err := net.SplitHostPort(s.site)
	must(t, err)
	named := "http://gate.test:" + port + " {\n\tgemini_balance_admin\n}\n"
	s.start(s.config("store memory\n", s.openSite("{\n\t\thosts nas.test *.lan.test\n\t}")+named))
	for host, want := range map[string]int{
		s.site: 200, "localhost:" + port: 200, "[::1]:" + port: 200, "nas.test:" + port: 200, "a.lan.test:" + port: 200, "gate.test:" + port: 200, "GATE.test": 200,
		"evil.test": 403, "evil.test:" + port: 403, "localhost.evil.test": 403, "127.0.0.1.nip.io": 403, "a.b.lan.test": 403, "lan.test": 403, "gate.test.evil.test": 403,
	} {
		if status, body := answer(t, s.browserCall(host, "GET", "/admin/ui/", "", nil)); status != want {
			t.Errorf("%s: %d, want %d: %.200s", host, status, want, body)
		}
	}
	// A prefix that is stripped in front changes nothing.
	for path, want := range map[string]string{"/prefix/admin": "admin/ui/", "/prefix/admin/": "ui/", "/prefix/admin/ui": "ui/", "/prefix/admin/ui/": ""} {
		res := s.browserCall(s.site, "GET", path, "", nil)
		location := res.Header.Get("Location")
		if status, body := answer(t, res); location != want || want == "" && status != http.StatusOK {
			t.Errorf("%s: %d %q %.100s", path, status, location, body)
		}
	}
}

// events opens an event stream and returns its lines, until it ends.
func (s *server) events(ctx context.Context, cookies []*http.Cookie) (lines chan string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.site+"/admin/events", nil)
	must(s.t, err)
	for _, c := range cookies {
		req.AddCookie(c)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	must(s.t, err)
	lines = make(chan string, 1000)
	go func() {
		defer close(lines)
		defer res.Body.Close()
		for scanner := bufio.NewScanner(res.Body); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	return lines
}

// last waits for the end of an event stream and returns its last line with data.
func lastEvent(t *testing.T, lines chan string) (last string) {
	t.Helper()
	for timeout := time.After(patience); ; {
		select {
		case line, more := <-lines:
			if !more {
				return last
			}
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				last = data
			}
		case <-timeout:
			t.Fatalf("the stream does not end within %v", patience)
		}
	}
}

// TestEvents_EndWithTheirConfiguration: a reload ends event streams but no session;
// the end of the process does not wait for them, although it waits for requests for
// ever.
func TestEvents_EndWithTheirConfiguration(t *testing.T) {
	s := newServer(t, 1)
	config := s.config(s.store("a"), "")
	s.start(config)
	res := s.browserCall(s.site, "POST", "/admin/session", `{"key":"`+adminKey+`"}`, nil)
	cookies := res.Cookies()
	if status, body := answer(t, res); status != http.StatusCreated {
		t.Fatalf("%d %s", status, body)
	}
	before := s.events(t.Context(), cookies)
	must(t, s.load(s.config(s.store("a")+"affinity off\n", "")))
	if last := lastEvent(t, before); last != `{"reason":"reload"}` {
		t.Errorf("after a reload the stream ends with %q", last)
	}
	after := s.events(t.Context(), cookies) // the session lives
	if first := <-after; !strings.HasPrefix(first, ":") {
		t.Errorf("the new stream begins with %q", first)
	}
	if err := s.signal(syscall.SIGTERM); err != nil {
		t.Errorf("Caddy ended with %v", err)
	}
	if last := lastEvent(t, after); !strings.Contains(last, `"reason"`) {
		t.Errorf("at the end the stream says %q", last)
	}
}
