// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// landingHTML is the page that stands where the web UI will be. It has no
// script, so its policy allows none.
//
//go:embed landing.html
var landingHTML string

// page is a finished HTML answer.
type page struct {
	html, policy string
	language     string
	redirect     string // where to instead, relative to the request
}

var pages = sync.OnceValue(renderPages)

// renderPages makes the page in both languages, once.
func renderPages() map[string]page {
	t := template.Must(template.New("landing").Parse(landingHTML))
	type operation struct{ Method, Path string }
	var operations []operation
	for _, rt := range routes {
		operations = append(operations, operation{rt.method, rt.path})
	}
	rendered := make(map[string]page)
	for _, language := range []string{"en", "zh-CN"} {
		var html bytes.Buffer
		data := struct {
			Lang   string
			ZH     bool
			Routes []operation
		}{language, language == "zh-CN", operations}
		if err := t.Execute(&html, data); err != nil {
			panic(err) // embedded and rendered by every test
		}
		rendered[language] = page{html: html.String(), policy: pagePolicy(html.String()), language: language}
	}
	return rendered
}

// pagePolicy allows the one style of the page, by its hash, and nothing else.
// Source: specs/ui.md §5.
func pagePolicy(html string) string {
	_, rest, _ := strings.Cut(html, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	hash := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'; img-src data:; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
}

// landing answers the paths of the UI, which need no key: the page has no data.
// Locations are relative, so that any prefix in front of /admin works.
func landing(w http.ResponseWriter, r *http.Request, path []string) (p page, ok bool, err error) {
	isRoot := slices.Equal(path, []string{"admin"})
	if !isRoot && !slices.Equal(path, []string{"admin", "ui"}) {
		return page{}, false, nil
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return page{}, true, problem(http.StatusMethodNotAllowed, "method_not_allowed", "This page takes GET, HEAD.")
	}
	if !strings.HasSuffix(r.URL.Path, "/") {
		return page{redirect: path[len(path)-1] + "/"}, true, nil
	}
	return pages()[language(r)], true, nil
}

// language is that of ?lang, else the first of the browser's that we have.
func language(r *http.Request) string {
	wanted := append([]string{r.URL.Query().Get("lang")}, strings.Split(r.Header.Get("Accept-Language"), ",")...)
	for _, tag := range wanted {
		switch tag = strings.ToLower(strings.TrimSpace(tag)); {
		case strings.HasPrefix(tag, "zh"):
			return "zh-CN"
		case strings.HasPrefix(tag, "en"):
			return "en"
		}
	}
	return "en"
}

func (p page) write(w http.ResponseWriter) {
	h := w.Header()
	if p.redirect != "" {
		h.Set("Location", p.redirect)
		w.WriteHeader(http.StatusPermanentRedirect)
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", p.language)
	h.Set("Content-Security-Policy", p.policy)
	h.Set("Vary", "Accept-Language")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte(p.html)) // an error means that the client is gone
}
