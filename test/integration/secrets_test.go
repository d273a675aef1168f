// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

// exampleSnippet is the part of Caddyfile.example that redacts keys.
func exampleSnippet(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "Caddyfile.example"))
	must(t, err)
	_, rest, found := strings.Cut(string(text), "(redact_keys) {")
	body, _, closed := strings.Cut(rest, "\n}\n")
	if !found || !closed {
		t.Fatal("Caddyfile.example has no snippet redact_keys")
	}
	return "(redact_keys) {" + body + "\n}\n"
}

// TestSecrets_StayOutOfLogs sends every kind of secret in every way, with success
// and with failure, at level debug with access logs and Caddy's own error log.
func TestSecrets_StayOutOfLogs(t *testing.T) {
	s := newServer(t, 3)
	s.google.SetKeyState(fakegemini.DemoKey(1), fakegemini.KeySuspended) // Google's answer repeats the whole key
	s.env = append(s.env, "GB_MASTER_KEY=bWFzdGVyLWtleS1vZi10aGUtaW50ZWdyYXRpb24tdHM=")
	site := s.usualSite("log\nhandle /broken/* {\n reverse_proxy 127.0.0.1:1\n}\nhandle /error/* {\n error 500\n}\n")
	config := s.config(s.store("a")+"master_key {env.GB_MASTER_KEY}\nkey {env.GB_KEY_0}\nkey {env.GB_KEY_1}\n", site)
	config = exampleSnippet(t) + strings.Replace(config, "level DEBUG", "level DEBUG\nimport redact_keys", 1)
	s.start(config)
	s.addUser()
	const added, wrong = "AIzaSyAddedThroughTheAdminAPI-5ecret", "gb-aaaaaaaaaaaa-wrong5ecretwrong5ecret"
	if status := s.call(http.MethodPost, "/admin/keys/gemini", fmt.Sprintf(`{"key": %q}`, added), nil); status != http.StatusCreated {
		t.Fatalf("adding a key: %d", status)
	}
	s.call(http.MethodPost, "/admin/keys/gemini", fmt.Sprintf(`{"key": %q, "oops": 1}`, added), nil)

	for _, key := range []string{s.user, wrong} {
		for _, way := range []struct{ path, header, value string }{
			{"/v1/chat/completions", "Authorization", "Bearer " + key},
			{"/v1/chat/completions", "X-Api-Key", key},
			{"/v1beta/models/" + model + ":generateContent", "X-Goog-Api-Key", key},
			{"/v1beta/models/" + model + ":generateContent?key=" + key, "", ""},
			{"/broken/x?key=" + key, "X-Goog-Api-Key", key},
			{"/error/x?key=" + key, "X-Api-Key", key},
			{"/admin/status?key=" + key, "Authorization", "Bearer " + key},
		} {
			for range 3 {
				body := `{"model": "` + model + `", "messages": [{"role": "user", "content": "Hello"}]}`
				if strings.HasPrefix(way.path, "/v1beta/") {
					body = `{"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}`
				}
				req, err := http.NewRequest(http.MethodPost, "http://"+s.site+way.path, strings.NewReader(body))
				must(t, err)
				if way.header != "" {
					req.Header.Set(way.header, way.value)
				}
				res, err := s.client.Do(req)
				must(t, err)
				answer, err := io.ReadAll(res.Body)
				must(t, err)
				res.Body.Close()
				s.checkNoSecret("the answer of "+strings.ReplaceAll(way.path, key, "…"), string(answer), added, wrong)
			}
		}
	}
	upload := s.startUpload()
	must(t, s.load(config+"# again\n"))
	if err := s.load(strings.Replace(config, "key {env.GB_KEY_1}", "key {env.GB_NOT_SET}", 1)); err == nil {
		t.Error("a key from nowhere is no error")
	}
	must(t, s.signal(os.Interrupt))

	log := s.log.String()
	s.checkNoSecret("the log", log, added, wrong, upload)
	for _, wanted := range []string{
		`"logger":"http.log.access"`, `"logger":"http.log.error"`, `"msg":"attempt"`, `"to":"suspended"`, `"gemini_balance":{"request_id":"req_`, `"level":"debug"`,
		`"X-Goog-Upload-Url":["http`, "upload_id=REDACTED",
	} {
		if !strings.Contains(log, wanted) {
			t.Errorf("the log has no %s: the test proves nothing", wanted)
		}
	}
}

// startUpload starts an upload, goes on with it, and returns its
// id: whoever has an id can write the user's file.
func (s *server) startUpload() (id string) {
	s.t.Helper()
	send := func(method, url, key string, header ...string) http.Header {
		req, err := http.NewRequest(method, url, strings.NewReader("{}"))
		must(s.t, err)
		req.Header.Set("X-Goog-Api-Key", key)
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := s.client.Do(req)
		must(s.t, err)
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			s.t.Errorf("an upload's %s: %d", req.Header.Get("X-Goog-Upload-Command"), res.StatusCode)
		}
		return res.Header
	}
	h := send(http.MethodPost, "http://"+s.site+"/upload/v1beta/files", s.user, "X-Goog-Upload-Protocol", "resumable", "X-Goog-Upload-Command", "start")
	at := h.Get("X-Goog-Upload-Url")
	send(http.MethodPost, at, "", "X-Goog-Upload-Command", "query")
	_, id, _ = strings.Cut(at, "upload_id=")
	id, _, _ = strings.Cut(id, "&")
	if len(id) < 40 {
		s.t.Fatalf("the upload is at %q", at)
	}
	return id
}

// checkNoSecret looks for everything that must not be in a text.
func (s *server) checkNoSecret(what, text string, more ...string) {
	s.t.Helper()
	secrets := append([]string{adminKey, s.user}, more...)
	for _, variable := range s.env {
		_, value, _ := strings.Cut(variable, "=")
		secrets = append(secrets, value)
	}
	for _, secret := range secrets {
		if at := strings.Index(text, secret); secret != "" && at >= 0 {
			s.t.Errorf("%s has a secret: …%s…", what, text[max(0, at-200):at])
		}
	}
}

// TestSecrets_StayOutOfConfig looks where Caddy shows and keeps configurations.
func TestSecrets_StayOutOfConfig(t *testing.T) {
	s := newServer(t, 2)
	keysFile := filepath.Join(s.dir, "keys")
	must(t, os.WriteFile(keysFile, []byte(fakegemini.DemoKey(9)+"\n"), 0o600))
	config := s.config(s.store("a")+"key {env.GB_KEY_0}\nkeys_file "+keysFile+"\n", "")
	s.start(strings.Replace(config, "\tpersist_config off\n", "", 1))
	s.addUser()
	for _, path := range []string{"/config/", "/config/apps/gemini_balance"} {
		res, err := s.client.Get("http://" + s.admin + path)
		must(t, err)
		dump, err := io.ReadAll(res.Body)
		must(t, err)
		res.Body.Close()
		s.checkNoSecret(path, string(dump), fakegemini.DemoKey(9))
		if !strings.Contains(string(dump), "{env.GB_KEY_0}") {
			t.Errorf("%s has no placeholder: %s", path, dump)
		}
	}
	saved, err := os.ReadFile(filepath.Join(s.dir, "caddy", "autosave.json"))
	must(t, err)
	s.checkNoSecret("autosave.json", string(saved), fakegemini.DemoKey(9))
	out, err := s.command(t.Context(), "adapt", "--config", filepath.Join(s.dir, "Caddyfile"), "--adapter", "caddyfile").CombinedOutput()
	must(t, err)
	s.checkNoSecret("caddy adapt", string(out), fakegemini.DemoKey(9))
}

// TestAdminKey_MadeOnce is a start without admin_key.
func TestAdminKey_MadeOnce(t *testing.T) {
	s := newServer(t, 1)
	config := s.config(s.store("a")+"key {env.GB_KEY_0}\n", "http://"+s.site+" {\n gemini_balance\n gemini_balance_admin\n}\n")
	s.start(config)
	file := filepath.Join(s.storeDir("a"), "admin.key")
	text, err := os.ReadFile(file)
	must(t, err)
	secret := strings.TrimSpace(string(text))
	status := func(key string) int {
		req, err := http.NewRequest(http.MethodGet, "http://"+s.site+"/admin/status", nil)
		must(t, err)
		req.Header.Set("Authorization", key)
		res, err := s.client.Do(req)
		must(t, err)
		res.Body.Close()
		return res.StatusCode
	}
	if right, wrong := status(secret), status(adminKey); right != http.StatusOK || wrong != http.StatusUnauthorized {
		t.Errorf("the key of the file gets %d, another one %d", right, wrong)
	}
	must(t, s.signal(os.Interrupt))
	s.start(config)
	if right := status(secret); right != http.StatusOK {
		t.Errorf("after a restart the same key gets %d", right)
	}
	log := s.log.String()
	if strings.Contains(log, secret) || !strings.Contains(log, file) {
		t.Error("the log must have the file's path and not the key")
	}
}
