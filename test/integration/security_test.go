// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const viewerKey = "canary-viewer-key-0123456789abcdef"

// guardedSite is a site whose admin API has both keys.
func (s *server) guardedSite() string {
	s.env = append(s.env, "GB_VIEWER_KEY="+viewerKey)
	return fmt.Sprintf("http://%s {\n\tgemini_balance\n\tgemini_balance_admin {\n\t\tadmin_key {env.GB_ADMIN_KEY}\n\t\tviewer_key {env.GB_VIEWER_KEY}\n\t}\n}\n", s.site)
}

// as makes a call with a key and returns all of the answer.
func (s *server) as(key, method, path, body string) (status int, answer string) {
	s.t.Helper()
	req, err := http.NewRequest(method, "http://"+s.site+path, strings.NewReader(body))
	must(s.t, err)
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(req)
	must(s.t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	must(s.t, err)
	return res.StatusCode, fmt.Sprint(res.Header, "\n", string(data))
}

// TestSecrets_OfAThousandKeys: none of a thousand imported keys, nor a user key, comes
// back by any way of reading, as admin or as viewer, nor is it in the store, in what
// is unpacked of a backup, in the log or in metrics. Source: specs/gateways.md K1, K4, K7.
func TestSecrets_OfAThousandKeys(t *testing.T) {
	s := newServer(t, 1)
	s.start(s.config(s.store("a")+"key {env.GB_KEY_0}\n", s.guardedSite()))
	s.addUser()
	const mark = "CanaryOfAThousand"
	canary := func(i int) string { return fmt.Sprintf("AIzaSy%s%016d", mark, i) }
	var text strings.Builder
	for i := range 1000 {
		text.WriteString(canary(i) + "\n")
	}
	form, err := json.Marshal(map[string]any{"text": text.String(), "tags": []string{"canary"}, "validate": true})
	must(t, err)
	if status, answer := s.as(adminKey, "POST", "/admin/keys/gemini/import", string(form)); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, answer)
	}
	job := s.endedJobs()
	if status, _ := s.as(s.user, "POST", "/v1/chat/completions", `{"model":"`+model+`","messages":[{"role":"user","content":"hi"}]}`); status/100 != 2 {
		t.Errorf("a request: %d", status)
	}
	check := func(what, text string) {
		t.Helper()
		s.checkNoSecret(what, text, mark, viewerKey)
	}
	for _, key := range []string{adminKey, viewerKey} {
		for _, path := range s.readable(job) {
			status, answer := s.as(key, "GET", path, "")
			check(path, answer)
			if path == "/admin/diagnostics" && key == viewerKey && status != http.StatusForbidden {
				t.Errorf("a viewer reads %s: %d", path, status)
			}
		}
	}
	for _, form := range []string{`{"format":"txt","secrets":false}`, `{"format":"csv","secrets":false}`, `{"format":"json","secrets":false}`} {
		status, answer := s.as(adminKey, "POST", "/admin/keys/gemini/export", form)
		if status != http.StatusOK || strings.Count(answer, "\n") < 1000 {
			t.Errorf("export %s: %d", form, status)
		}
		check("export", answer)
	}
	check("metrics", fmt.Sprint(s.metrics()))
	check("the backup", s.unpackedBackup())
	check("the log", s.log.String())
	must(t, s.signal(os.Interrupt))
	files := 0
	must(t, filepath.WalkDir(s.storeDir("a"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err == nil {
			files++
			check(filepath.Base(path), string(content))
		}
		return err
	}))
	if files < 3 {
		t.Errorf("only %d files in the store", files)
	}
}

// endedJobs waits until no job runs and returns the newest.
func (s *server) endedJobs() (id string) {
	s.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		var jobs struct {
			Items []struct{ ID, State string }
		}
		s.call(http.MethodGet, "/admin/jobs", "", &jobs)
		if len(jobs.Items) > 0 && jobs.Items[0].State != "running" && jobs.Items[0].State != "queued" {
			return jobs.Items[0].ID
		}
	}
	s.t.Fatal("the job does not end")
	return ""
}

// readable are all paths that can be read, with ids of what there is.
func (s *server) readable(job string) []string {
	s.t.Helper()
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	s.call(http.MethodGet, "/admin/openapi.json", "", &doc)
	first := func(path string) string {
		var list struct{ Items []struct{ ID string } }
		s.call(http.MethodGet, path, "", &list)
		if len(list.Items) == 0 {
			s.t.Fatalf("%s is empty", path)
		}
		return list.Items[0].ID
	}
	gemini, user := first("/admin/keys/gemini?limit=1&tag=canary"), first("/admin/keys/user?limit=1")
	paths := []string{"/admin/keys/gemini?limit=500&offset=500", "/admin/jobs/" + job + "/results?format=csv", "/admin/jobs/" + job + "/results?format=ndjson", "/admin/requests/export?format=csv", "/health", "/status"}
	for path, methods := range doc.Paths {
		if _, ok := methods["get"]; !ok || path == "/admin/events" {
			continue
		}
		for prefix, id := range map[string]string{"/admin/keys/gemini/": gemini, "/admin/keys/user/": user, "/admin/jobs/": job} {
			if strings.HasPrefix(path, prefix) {
				path = strings.ReplaceAll(path, "{id}", id)
			}
		}
		paths = append(paths, path)
	}
	if len(paths) < 30 {
		s.t.Errorf("only %d paths to read", len(paths))
	}
	return paths
}

// unpackedBackup is what a backup holds, after its first bytes.
func (s *server) unpackedBackup() string {
	s.t.Helper()
	status, whole := s.as(adminKey, "POST", "/admin/backup", "")
	at := strings.Index(whole, "\x1f\x8b\x08")
	if status != http.StatusOK || at < 0 {
		s.t.Fatalf("backup: %d", status)
	}
	unpacked, err := gzip.NewReader(strings.NewReader(whole[at:]))
	must(s.t, err)
	var content bytes.Buffer
	_, _ = content.ReadFrom(unpacked) // what stands behind it may be no gzip
	if strings.Count(content.String(), "balancer/key/") < 1000 {
		s.t.Errorf("the backup has %d keys: the test proves nothing", strings.Count(content.String(), "balancer/key/"))
	}
	return content.String()
}

// TestListener_ServesNothingOfCaddy: what Caddy shows of itself is on its admin
// address alone, and pages of other sites may read nothing of ours.
// Source: specs/gateways.md P3, W5.
func TestListener_ServesNothingOfCaddy(t *testing.T) {
	s := newServer(t, 1)
	s.start(s.config(s.store("a"), s.guardedSite()))
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/config/", "/load", "/stop", "/pki/ca/local", "/admin/metrics", "/admin/debug/pprof"} {
		status, answer := s.as(adminKey, "GET", path, "")
		// A site that routes a path to nothing answers with an empty 200.
		if _, body, _ := strings.Cut(answer, "\n"); status == http.StatusOK && body != "" {
			t.Errorf("%s: %d %.200s", path, status, body)
		}
	}
	for _, method := range []string{"GET", "OPTIONS", "POST"} {
		for _, path := range []string{"/admin/ui/", "/admin/config", "/admin/session", "/admin/setup", "/admin/nothing"} {
			req, err := http.NewRequest(method, "http://"+s.site+path, nil)
			must(t, err)
			req.Header.Set("Origin", "https://evil.test")
			req.Header.Set("Access-Control-Request-Method", "POST")
			req.Header.Set("Access-Control-Request-Headers", "authorization")
			res, err := s.client.Do(req)
			must(t, err)
			res.Body.Close()
			for name := range res.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s %s answers with %s", method, path, name)
				}
			}
		}
	}
}

// TestThrottle_ForwardedAddresses: who guesses is who connects, whatever the request
// says of where it comes from; of a thousand guesses five are looked at.
// Source: specs/gateways.md A4.
func TestThrottle_ForwardedAddresses(t *testing.T) {
	s := newServer(t, 1)
	s.start(s.config(s.store("a"), s.guardedSite()))
	evaluated, blocked := 0, 0
	for i := range 1000 {
		req, err := http.NewRequest("GET", "http://"+s.site+"/admin/status", nil)
		must(t, err)
		for _, name := range []string{"X-Forwarded-For", "X-Real-Ip", "Cf-Connecting-Ip", "True-Client-Ip"} {
			req.Header.Set(name, fmt.Sprintf("203.0.%d.%d", i/250, i%250))
		}
		req.Header.Set("Forwarded", fmt.Sprintf("for=203.0.%d.%d", i/250, i%250))
		req.Header.Set("Authorization", fmt.Sprintf("Bearer guess-%d-0123456789", i))
		res, err := s.client.Do(req)
		must(t, err)
		res.Body.Close()
		switch res.StatusCode {
		case http.StatusUnauthorized:
			evaluated++
		case http.StatusTooManyRequests:
			blocked++
		}
	}
	// A slow machine may need more than one minute, each of which has five.
	if evaluated > 10 || evaluated+blocked != 1000 {
		t.Errorf("%d guesses were looked at, %d were not", evaluated, blocked)
	}
}
