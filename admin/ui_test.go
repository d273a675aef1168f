// SPDX-License-Identifier: Apache-2.0

//go:build !gb_no_ui

package admin

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// page asks for a page as a browser does.
func (f *fixture) page(path string, header map[string]string) (h http.Header, status int, body string) {
	f.t.Helper()
	r := request("GET", path, "")
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	for name, value := range header {
		r.Header.Set(name, value)
	}
	w := f.do(r)
	return w.Header(), w.Code, w.Body.String()
}

func TestUI_WaysIn(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	for _, test := range []struct {
		path, accept, location string
		status                 int
	}{
		{"/admin", "text/html", "admin/ui/", 307},
		{"/admin/", "text/html", "ui/", 307},
		{"/admin/ui", "text/html", "ui/", 307},
		{"/admin/ui", "*/*", "ui/", 307},
		{"/admin/ui/", "text/html", "", 200},
		{"/admin", "application/json", "", 401},
		{"/admin/", "", "", 401},
		{"/admin/nothing", "text/html", "", 401},
		{"/admin/ui/nothing", "text/html", "", 404},
		{"/admin/ui/0123456789abcdef/js/main.js", "*/*", "", 404},
		{"/admin/ui/" + loadUI().hash, "*/*", "", 404},
		{"/admin/ui/" + loadUI().hash + "/", "*/*", "", 404},
		{"/admin/ui/" + loadUI().hash + "/index.html", "*/*", "", 404},
		{"/admin/ui/" + loadUI().hash + "/js", "*/*", "", 404},
		{"/admin/ui/" + loadUI().hash + "/js/main.js", "*/*", "", 200},
		{"/admin/ui/" + loadUI().hash + "/js/main.js/", "*/*", "", 404},
	} {
		h, status, body := f.page(test.path, map[string]string{"Accept": test.accept})
		if status != test.status || h.Get("Location") != test.location {
			t.Errorf("%s (%s) = %d %q, want %d %q", test.path, test.accept, status, h.Get("Location"), test.status, test.location)
		}
		if status == 404 && h.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s %s", test.path, h.Get("Content-Type"), body)
		}
	}
	for _, method := range []string{"POST", "PUT", "OPTIONS"} {
		if w := f.do(request(method, "/admin/ui/", "")); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
}

// TestUI_EverythingTheIndexNamesIsThere, and all of it is relative and under the
// hash.
func TestUI_EverythingTheIndexNamesIsThere(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	h, status, index := f.page("/admin/ui/", nil)
	if status != 200 || h.Get("Cache-Control") != "no-cache" || h.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %v", status, h)
	}
	for _, left := range []string{uiBase, uiPreload} {
		if strings.Contains(index, left) {
			t.Errorf("the index still has %s", left)
		}
	}
	links := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(index, -1)
	for _, link := range links {
		if !strings.HasPrefix(link[1], loadUI().hash+"/") {
			t.Errorf("%s is not under the hash", link[1])
			continue
		}
		h, status, body := f.page("/admin/ui/"+link[1], nil)
		if status != 200 || body == "" || h.Get("Cache-Control") != "public, max-age=31536000, immutable" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", link[1], status, h)
		}
	}
	if n := strings.Count(index, "modulepreload"); n < 10 || len(links) < n+3 {
		t.Errorf("%d modules are preloaded of %d links", n, len(links))
	}
}

// TestUI_FirstPageIsSmall: what a browser loads before it shows anything. Source:
// issue 6.
func TestUI_FirstPageIsSmall(t *testing.T) {
	ui := loadUI()
	size := len(ui.index.gzipped)
	for _, link := range regexp.MustCompile(`(?:src|href)="[0-9a-f]{16}/([^"]*)"`).FindAllStringSubmatch(string(ui.index.plain), -1) {
		file := ui.files[link[1]]
		if size += len(file.plain); file.gzipped != nil {
			size += len(file.gzipped) - len(file.plain)
		}
	}
	if size < 20<<10 || size > 150<<10 {
		t.Errorf("the first page has %d bytes, compressed; 150 KiB are allowed", size)
	}
}

// TestUI_PolicyForbidsScriptOfOthers. Source: specs/gateways.md W4.
func TestUI_PolicyForbidsScriptOfOthers(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	h, _, index := f.page("/admin/ui/", nil)
	policy := h.Get("Content-Security-Policy")
	for _, part := range []string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'",
		"require-trusted-types-for 'script'", "trusted-types 'none'",
	} {
		if !strings.Contains(policy, part) {
			t.Errorf("the policy lacks %s: %s", part, policy)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") || strings.Contains(policy, "*") {
		t.Errorf("the policy is wide: %s", policy)
	}
	inline := regexp.MustCompile(`<script(?:[^>]*)>[^<]|<style|\son[a-z]+=|\sstyle=|javascript:`)
	if found := inline.FindString(index); found != "" {
		t.Errorf("the index has inline code, which its policy forbids: %s", found)
	}
}

func TestUI_IsCompressedOnce(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	for accept, want := range map[string]string{"gzip, br": "gzip", "br;q=1, GZIP;q=0.5": "gzip", "": "", "br": "", "gzip;q=0": "", "gzip; q=0.0": "", "identity": ""} {
		h, _, body := f.page("/admin/ui/", map[string]string{"Accept-Encoding": accept})
		if h.Get("Content-Encoding") != want || h.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%q: %q, Vary %q", accept, h.Get("Content-Encoding"), h.Get("Vary"))
		}
		if want == "gzip" {
			plain, err := gzip.NewReader(strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(plain); err != nil || !bytes.Equal(text, loadUI().index.plain) {
				t.Errorf("what is packed is another page: %v", err)
			}
		}
	}
}

func TestUI_IndexIsSentWhenItChanged(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	h, _, _ := f.page("/admin/ui/", nil)
	etag := h.Get("ETag")
	for given, want := range map[string]int{etag: 304, "W/" + etag: 304, `"x", ` + etag: 304, `"x"`: 200, "": 200} {
		_, status, body := f.page("/admin/ui/", map[string]string{"If-None-Match": given})
		if status != want || (status == 304) != (body == "") {
			t.Errorf("%s: %d with %d bytes", given, status, len(body))
		}
	}
}

func TestUI_Off(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.spec = nil
	if w := f.do(request("GET", "/admin/status", "")); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "sign in at /admin/ui/") {
		t.Errorf("a guest where there are pages: %d %s", w.Code, w.Body)
	}
	f.config.NoUI = true
	f.Handler = New(f.config)
	for _, path := range []string{"/admin", "/admin/", "/admin/ui", "/admin/ui/", "/admin/ui/" + loadUI().hash + "/js/main.js"} {
		if h, status, body := f.page(path, nil); status != http.StatusNotFound || !strings.Contains(body, "ui off") || h.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %d %s %v", path, status, body, h)
		}
		if w := f.admin("GET", path, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s with the key: %d", path, w.Code)
		}
	}
	// Nobody is sent to pages that are not there.
	if w := f.do(request("GET", "/admin/status", "")); w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "/admin/ui") {
		t.Errorf("a guest: %d %s", w.Code, w.Body)
	}
	if v := f.must("GET", "/admin/session", ""); v["ui_hash"] != "" {
		t.Errorf("ui_hash = %v", v["ui_hash"])
	}
}

func TestUI_PreloadsFollowStaticImports(t *testing.T) {
	files := fstest.MapFS{
		"index.html":     {Data: []byte(`<!-- modulepreload --><script type="module" src="@rel/js/main.js"></script>`)},
		"js/main.js":     {Data: []byte("import { a } from './a.js';\nimport './side.js';\nconst later = () => import('./later.js');\n// from './comment.js'\n")},
		"js/a.js":        {Data: []byte("export * from '../js/b.mjs'\nimport {\n  x,\n  y,\n} from \"./deep/c.js\";import d from './d.js'")},
		"js/b.mjs":       {Data: []byte("import './a.js'; import {html} from 'bare'")},
		"js/deep/c.js":   {Data: []byte("export const c = 'from ./none.js'")},
		"js/d.js":        {Data: []byte("export default 1")},
		"js/side.js":     {Data: []byte("import('./later.js')")},
		"js/later.js":    {Data: []byte("import './latest.js'")},
		"js/latest.js":   {Data: []byte("")},
		"js/comment.js":  {Data: []byte("")},
		"js/deep/x.json": {Data: []byte("{}")},
	}
	ui, err := newWebUI(files)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, link := range regexp.MustCompile(`href="[0-9a-f]{16}/([^"]*)"`).FindAllStringSubmatch(string(ui.index.plain), -1) {
		got = append(got, link[1])
	}
	if want := "js/a.js js/side.js js/b.mjs js/deep/c.js js/d.js"; strings.Join(got, " ") != want {
		t.Errorf("preloaded are %v, want %s", got, want)
	}
	files["js/latest.js"] = &fstest.MapFile{Data: []byte("changed")}
	other, err := newWebUI(files)
	if err != nil || other.hash == ui.hash {
		t.Errorf("the hash stays %s, %v", other.hash, err)
	}
}
