// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

func TestChecks(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	for _, s := range []scenario{
		{name: "no key", method: "GET", path: "/admin/checks", status: 200, contains: []string{`{"id":"pool","status":"bad"`, `"there is no Gemini key"`, `{"id":"fine","status":"ok"`, `{"id":"log","status":"ok"`, `"goroutines":5`, `"version":"v0.0.0-test"`}},
	} {
		s.run(t, f)
	}
	f.addGeminiKey(1)
	scenario{name: "a key", method: "GET", path: "/admin/checks", status: 200, contains: []string{`{"id":"pool","status":"ok"`}}.run(t, f)
}

// TestChecks_AreIndependent: one that hangs and one that panics cost the others
// nothing, and nobody waits for longer than the bound.
func TestChecks_AreIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), checkPatience)
		defer cancel()
		hung := runCheck(ctx, Check{"hangs", func(context.Context) CheckResult { <-release; return CheckResult{} }}, time.Now)
		if hung.Status != CheckBad || time.Since(begun) != checkPatience || hung.Duration != checkPatience.Milliseconds() {
			t.Errorf("one that hangs: %+v after %v", hung, time.Since(begun))
		}
		panicked := runCheck(t.Context(), Check{"panics", func(context.Context) CheckResult { panic("x") }}, time.Now)
		if panicked.Status != CheckBad || !strings.Contains(panicked.Message, "failed") {
			t.Errorf("one that panics: %+v", panicked)
		}
		close(release)
		synctest.Wait()
	})
}

// TestDiagnostics_NoSecrets plants canaries wherever an operator or Google can put
// text, and looks for them.
func TestDiagnostics_NoSecrets(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.must("POST", "/admin/keys/gemini", `{"key":"AIzaSyCanary-secret-1","name":"canary-name","tags":["canary-tag"]}`)
	f.must("POST", "/admin/keys/user", `{"name":"canary-user"}`)
	w := f.admin("GET", "/admin/diagnostics", "")
	if w.Code != 200 || w.Header().Get("Content-Disposition") == "" {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	for _, canary := range []string{"canary", "Canary", adminKey, viewerKey, "gb-"} {
		if strings.Contains(w.Body.String(), canary) {
			t.Errorf("the file has %q: %s", canary, w.Body)
		}
	}
	for _, part := range []string{`"settings"`, `"pool"`, `"checks"`, `"usage_24h"`, `"retry.wait"`} {
		if !strings.Contains(w.Body.String(), part) {
			t.Errorf("the file lacks %s", part)
		}
	}
	r := request("GET", "/admin/diagnostics", "")
	r.Header.Set("Authorization", "Bearer "+viewerKey)
	if w := f.do(r); w.Code != http.StatusForbidden {
		t.Errorf("a viewer gets %d", w.Code)
	}
}

func TestPlayground(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	id, _ := f.createUserKey("player")
	gemini := f.addGeminiKey(1)
	for _, s := range []scenario{
		{name: "nobody's", body: ``, status: 201, contains: []string{`"key":"gbp-"`, `"expires_at":"2026-11-25T12:10:00Z"`}},
		{name: "a user's", body: `{"user_key":"` + id + `"}`, status: 201, contains: []string{`"key":"gbp-` + id}},
		{name: "by one Gemini key", body: `{"gemini_key":"` + gemini + `"}`, status: 201, contains: []string{`"key":"gbp-` + gemini}},
		{name: "unknown Gemini key", body: `{"gemini_key":"nobody"}`, status: 400, contains: []string{`"field":"gemini_key"`}},
		{name: "unknown user key", body: `{"user_key":"nobody"}`, status: 400, contains: []string{`"field":"user_key"`}},
	} {
		s.method, s.path = "POST", "/admin/playground/token"
		s.run(t, f)
	}
	f.must("POST", "/admin/keys/user/"+id+"/disable", "")
	scenario{name: "disabled", method: "POST", path: "/admin/playground/token", body: `{"user_key":"` + id + `"}`, status: 400, contains: []string{"disabled"}}.run(t, f)
}

func TestBackup_API(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.addGeminiKey(1)
	w := f.admin("POST", "/admin/backup", "")
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Disposition"), `attachment; filename="gemini-balance-20261125T120000Z`) {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	file := w.Body.Bytes()
	if bytes.Contains(file, []byte("Canary")) {
		t.Error("the file has a Gemini key")
	}
	restore := func(body []byte, query string) (int, string) {
		t.Helper()
		r := request("POST", "/admin/restore"+query, string(body))
		r.Header.Set("Authorization", "Bearer "+adminKey)
		r.Header.Set("Content-Type", backupType)
		w := f.do(r)
		return w.Code, w.Body.String()
	}
	for _, test := range []struct {
		name   string
		body   []byte
		query  string
		status int
		want   string
	}{
		{"dry run", file, "?dry_run=true", 200, `"dry_run":true`},
		{"whole", file, "", 202, `"applied":"next_start"`},
		{"cut", file[:len(file)-3], "", 400, `"code":"invalid_backup"`},
		{"text", []byte("hello"), "?dry_run=true", 400, `"code":"invalid_backup"`},
		{"empty", nil, "", 400, `"code":"invalid_backup"`},
		{"word", file, "?dry_run=perhaps", 400, `"field":"dry_run"`},
	} {
		if status, body := restore(test.body, test.query); status != test.status || !strings.Contains(body, test.want) {
			t.Errorf("%s: %d %s", test.name, status, body)
		}
	}
}
