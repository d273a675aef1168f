// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestStream_ArrivesPieceByPiece streams through what stands between us and the
// client in Caddy.
func TestStream_ArrivesPieceByPiece(t *testing.T) {
	s := newServer(t, 1)
	config := s.config(s.store("a")+"key {env.GB_KEY_0}\n", s.usualSite("encode\nlog\n"))
	s.start(strings.Replace(config, "{\n", "{\n\tservers {\n\t\tprotocols h1 h2c\n\t}\n", 1))
	s.addUser()
	h2c := new(http.Protocols)
	h2c.SetUnencryptedHTTP2(true)
	for _, tc := range []struct {
		name      string
		transport *http.Transport
		encoding  string
		proto     int
	}{
		{"plain", &http.Transport{DisableCompression: true}, "", 1},
		{"gzip", &http.Transport{DisableCompression: true}, "gzip", 1},
		{"h2c", &http.Transport{Protocols: h2c, DisableCompression: true}, "", 2},
		{"h2c and gzip", &http.Transport{Protocols: h2c, DisableCompression: true}, "gzip", 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			defer tc.transport.CloseIdleConnections()
			var header []string
			if tc.encoding != "" {
				header = []string{"Accept-Encoding", tc.encoding}
			}
			res := s.post(&http.Client{Transport: tc.transport}, pieces(20), true, header...)
			defer res.Body.Close()
			if res.ProtoMajor != tc.proto || res.Header.Get("Content-Encoding") != tc.encoding || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
				t.Fatalf("%s %v", res.Proto, res.Header)
			}
			body := io.Reader(res.Body)
			if tc.encoding == "gzip" {
				unzipped, err := gzip.NewReader(res.Body)
				must(t, err)
				body = unzipped
			}
			st := follow(body)
			st.finish(t)
			// 20 pieces, 50 ms apart: in one lump they would span nothing.
			if took := st.at[len(st.at)-1].Sub(st.at[0]); len(st.at) < 20 || took < 500*time.Millisecond {
				t.Errorf("%d events within %v", len(st.at), took)
			}
		})
	}
}

// TestClientLeaves ends a stream from the client's side.
func TestClientLeaves(t *testing.T) {
	s := newServer(t, 1)
	s.start(s.config(s.store("a")+"key {env.GB_KEY_0}\n", s.usualSite("log\n")))
	s.addUser()
	res := s.post(s.client, pieces(1000), true)
	st := follow(res.Body)
	<-st.first
	res.Body.Close()
	eventually(t, "the log tells that the client left", func() bool { return strings.Contains(s.log.String(), `"outcome":"canceled"`) })
	eventually(t, "nothing is in flight", func() bool { return s.metrics()["caddy_gemini_balance_in_flight_requests"] == "0" })
	if got := s.keyState(keyID(0)); got != "active" && got != "untested" {
		t.Errorf("the key is %q: a client that leaves is not its fault", got)
	}
}

// metrics are Caddy's, by name with labels.
func (s *server) metrics() map[string]string {
	s.t.Helper()
	res, err := s.client.Get("http://" + s.admin + "/metrics")
	must(s.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	must(s.t, err)
	if res.StatusCode != http.StatusOK {
		s.t.Fatalf("metrics: %s: %s", res.Status, body)
	}
	found := map[string]string{}
	for line := range strings.Lines(string(body)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.HasPrefix(name, "caddy_gemini_balance_") {
			found[name] = value
		}
	}
	return found
}

// TestMetrics_TwoSites counts over two sites and a reload.
func TestMetrics_TwoSites(t *testing.T) {
	s := newServer(t, 2)
	second := freeAddress(t)
	sites := s.usualSite("") + fmt.Sprintf("http://%s {\n gemini_balance {\n  model gpt-4o %s\n  anonymous\n }\n}\n", second, model)
	config := s.config(s.store("a")+"key {env.GB_KEY_0}\nkey {env.GB_KEY_1}\n", sites)
	s.start(config)
	s.addUser()
	ask := func(want string) {
		t.Helper()
		if status := s.chat("Hello"); status != http.StatusOK {
			t.Fatalf("first site: %d", status)
		}
		res, err := s.client.Post("http://"+second+"/v1/chat/completions", "application/json",
			strings.NewReader(`{"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}`))
		must(t, err)
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatalf("second site: %s", res.Status)
		}
		res, err = s.client.Post("http://"+second+"/v1/chat/completions", "application/json",
			strings.NewReader(`{"model": "made-up-by-a-client", "messages": [{"role": "user", "content": "Hello"}]}`))
		must(t, err)
		res.Body.Close()
		got := s.metrics()
		for name, value := range map[string]string{
			`caddy_gemini_balance_requests_total{dialect="openai",model="` + model + `",outcome="ok"}`: want,
			`caddy_gemini_balance_attempts_total{model="` + model + `",outcome="ok"}`:                  want,
			`caddy_gemini_balance_keys{state="active"}`:                                                "2",
			`caddy_gemini_balance_in_flight_requests`:                                                  "0",
		} {
			if got[name] != value {
				t.Errorf("%s is %q, want %s", name, got[name], value)
			}
		}
		for name := range got {
			if strings.Contains(name, "made-up") {
				t.Errorf("a client made a label: %s", name)
			}
		}
	}
	ask("2")
	must(t, s.load(config+"# changed\n"))
	ask("4")
	if !strings.Contains(s.log.String(), "ANONYMOUS ACCESS") {
		t.Error("no warning of anonymous access")
	}
}

// TestRouting_LeavesOthersAlone composes our handlers with others.
func TestRouting_LeavesOthersAlone(t *testing.T) {
	s := newServer(t, 1)
	second, third := freeAddress(t), freeAddress(t)
	sites := s.usualSite("") +
		fmt.Sprintf("http://%s {\n gemini_balance\n gemini_balance_admin\n file_server /* {\n  root %q\n }\n}\n", second, filepath.ToSlash(s.dir)) +
		fmt.Sprintf("http://%s {\n handle_path /gb/* {\n  gemini_balance\n  gemini_balance_admin\n }\n respond \"ours\" 418\n}\n", third)
	s.start(s.config(s.store("a")+"key {env.GB_KEY_0}\n", sites))
	must(t, os.WriteFile(filepath.Join(s.dir, "index.html"), []byte("the operator's page"), 0o600))
	client := &http.Client{Transport: s.client.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, tc := range []struct {
		address, path string
		status        int
		location      string
	}{
		{s.site, "/", http.StatusTemporaryRedirect, "admin/"},
		{s.site, "/admin", http.StatusTemporaryRedirect, "admin/ui/"},
		{s.site, "/admin/", http.StatusTemporaryRedirect, "ui/"},
		{s.site, "/admin/ui/", http.StatusOK, ""},
		{s.site, "/admin/status", http.StatusUnauthorized, ""},
		{s.site, "/v1/models", http.StatusUnauthorized, ""},
		{s.site, "/other", http.StatusOK, ""},
		{second, "/", http.StatusOK, ""},
		{second, "/health", http.StatusOK, ""},
		{third, "/", http.StatusTeapot, ""},
		{third, "/gb/health", http.StatusOK, ""},
		{third, "/gb/admin/", http.StatusTemporaryRedirect, "ui/"},
		{third, "/gb/admin/ui/", http.StatusOK, ""},
		{third, "/health", http.StatusTeapot, ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+tc.address+tc.path, nil)
		must(t, err)
		req.Header.Set("Accept", "text/html") // as browsers do
		res, err := client.Do(req)
		must(t, err)
		res.Body.Close()
		if res.StatusCode != tc.status || res.Header.Get("Location") != tc.location {
			t.Errorf("%s: %d to %q, want %d to %q", tc.path, res.StatusCode, res.Header.Get("Location"), tc.status, tc.location)
		}
	}
}

// TestAccessLog has what log_append and the field gemini_balance tell.
func TestAccessLog(t *testing.T) {
	s := newServer(t, 1)
	s.start(s.config(s.store("a")+"key {env.GB_KEY_0}\n", s.usualSite("log\nlog_append the_model {http.gemini_balance.model}\n")))
	s.addUser()
	if status := s.chat("Hello [[cut 0]]"); status == http.StatusOK {
		t.Error("a cut answer was a success")
	}
	res := s.post(s.client, "Hello [[events 5]] [[cut 2]]", true)
	_, _ = io.Copy(io.Discard, res.Body) // it breaks off
	res.Body.Close()
	if status := s.chat("Hello"); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	must(t, s.signal(os.Interrupt))
	log := s.log.String()
	for _, wanted := range []string{
		`"the_model":"` + model + `"`,
		`"user_id":"` + strings.Split(s.user, "-")[1] + `"`,
		`"key_id":"` + keyID(0) + `"`,
	} {
		if !regexp.MustCompile(`"logger":"http.log.access.*` + regexp.QuoteMeta(wanted)).MatchString(log) {
			t.Errorf("no access log line has %s", wanted)
		}
	}
	if !regexp.MustCompile(`"level":"error".*"logger":"http.log.access.*"status":200`).MatchString(log) {
		t.Error("a stream that broke off after its 200 is not logged as an error")
	}
}

// TestExample holds Caddyfile.example to what it promises.
func TestExample(t *testing.T) {
	s := newServer(t, 0)
	example, err := filepath.Abs(filepath.Join("..", "..", "Caddyfile.example"))
	must(t, err)
	s.env = []string{"GEMINI_API_KEY=AIzaSyExample"}
	if out, err := s.command(t.Context(), "fmt", "--diff", example).CombinedOutput(); err != nil {
		t.Errorf("caddy fmt --diff: %v\n%s", err, out)
	}
	out, err := s.command(t.Context(), "validate", "--config", example, "--adapter", "caddyfile").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Valid configuration") {
		t.Errorf("caddy validate: %v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "caddy", "gemini_balance")); !os.IsNotExist(err) {
		t.Errorf("validating made the store: %v", err)
	}
	s.env = []string{"GEMINI_API_KEY="}
	if out, err := s.command(t.Context(), "validate", "--config", example, "--adapter", "caddyfile").CombinedOutput(); err == nil || !strings.Contains(string(out), "{env.GEMINI_API_KEY} is empty") {
		t.Errorf("caddy validate without the key: %v\n%s", err, out)
	}
}

// TestModules are those that the documentation names.
func TestModules(t *testing.T) {
	out, err := exec.Command(caddyBinary, "list-modules").CombinedOutput()
	must(t, err)
	for _, module := range []string{
		"gemini_balance", "gemini_balance.stores.badger", "gemini_balance.stores.memory",
		"http.handlers.gemini_balance", "http.handlers.gemini_balance_admin",
	} {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(module) + `$`).Match(out) {
			t.Errorf("%s is not in the build", module)
		}
	}
}
