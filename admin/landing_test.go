// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

func TestLanding_SpeaksTwoLanguages(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	for name, test := range map[string]struct{ path, accept, want string }{
		"default":              {"/admin/", "", "en"},
		"ui":                   {"/admin/ui/", "", "en"},
		"Chinese browser":      {"/admin/", "zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"},
		"Taiwanese browser":    {"/admin/", "zh-TW,en", "zh-CN"},
		"German, then Chinese": {"/admin/", "de,zh;q=0.5", "zh-CN"},
		"German browser":       {"/admin/", "de", "en"},
		"English, then zh":     {"/admin/", "en-GB,zh", "en"},
		"chosen":               {"/admin/ui/?lang=zh-CN", "en", "zh-CN"},
		"chosen English":       {"/admin/ui/?lang=en", "zh", "en"},
		"chosen nonsense":      {"/admin/ui/?lang=xx", "zh", "zh-CN"},
	} {
		t.Run(name, func(t *testing.T) {
			r := request("GET", test.path, "")
			r.Header.Set("Accept-Language", test.accept)
			w := f.do(r)
			if w.Code != 200 || w.Header().Get("Content-Type") != "text/html; charset=utf-8" || w.Header().Get("Content-Language") != test.want {
				t.Fatalf("%d %v", w.Code, w.Header())
			}
			if !strings.Contains(w.Body.String(), `<html lang="`+test.want+`">`) {
				t.Error("the page says another language")
			}
		})
	}
}

func TestLanding_ShowsAllRoutesAndNoScript(t *testing.T) {
	for language, p := range pages() {
		text := html.UnescapeString(p.html)
		for _, rt := range routes {
			if !strings.Contains(text, "<code>"+rt.method+"</code><code>"+rt.path+"</code>") {
				t.Errorf("%s: %s %s is not shown", language, rt.method, rt.path)
			}
		}
		for _, part := range []string{"<script", " style=", " on", "http://www", "//cdn", "ZgotmplZ"} {
			if part == " on" {
				if regexp.MustCompile(`<[^>]* on[a-z]+=`).MatchString(p.html) {
					t.Errorf("%s: has an inline handler", language)
				}
				continue
			}
			if strings.Contains(p.html, part) {
				t.Errorf("%s: has %q", language, part)
			}
		}
	}
	if han := regexp.MustCompile(`\p{Han}`); han.MatchString(strings.Replace(pages()["en"].html, "中文</a>", "", 1)) {
		t.Error("the English page has Chinese text")
	}
}

// TestLanding_StyleIsTheOneAllowed recomputes the hash as a browser does.
func TestLanding_StyleIsTheOneAllowed(t *testing.T) {
	for language, p := range pages() {
		styles := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindAllStringSubmatch(p.html, -1)
		if len(styles) != 1 || len(styles[0][1]) < 500 {
			t.Fatalf("%s: %d styles", language, len(styles))
		}
		hash := sha256.Sum256([]byte(styles[0][1]))
		if want := "style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'"; !strings.Contains(p.policy, want) {
			t.Errorf("%s: policy %q lacks %s", language, p.policy, want)
		}
		for _, part := range []string{"light-dark(", "color-scheme: light dark", "overflow-x: auto", "overflow-wrap: anywhere"} {
			if !strings.Contains(styles[0][1], part) {
				t.Errorf("%s: style lacks %q", language, part)
			}
		}
	}
}

// TestLanding_TagsAreClosed reads the pages as XML, in which a forgotten tag is
// an error.
func TestLanding_TagsAreClosed(t *testing.T) {
	for language, p := range pages() {
		d := xml.NewDecoder(strings.NewReader(strings.Replace(p.html, "<!DOCTYPE html>", "", 1)))
		d.Entity = xml.HTMLEntity
		for {
			if _, err := d.Token(); err != nil {
				if err.Error() != "EOF" {
					t.Errorf("%s: %v", language, err)
				}
				break
			}
		}
	}
}

func TestLanding_Paths(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	for name, test := range map[string]struct {
		method, path     string
		status           int
		location, length string
	}{
		"root without slash": {"GET", "/admin", 308, "admin/", ""},
		"ui without slash":   {"GET", "/admin/ui", 308, "ui/", ""},
		"head":               {"HEAD", "/admin/ui/", 200, "", ""},
		"post":               {"POST", "/admin/ui/", 405, "", ""},
		"below":              {"GET", "/admin/ui/app.js", 401, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := f.do(request(test.method, test.path, ""))
			if w.Code != test.status || w.Header().Get("Location") != test.location {
				t.Errorf("%d %q, want %d %q", w.Code, w.Header().Get("Location"), test.status, test.location)
			}
		})
	}
}
