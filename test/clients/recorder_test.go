// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// recorder passes requests on to a gateway and remembers them.
//
// With GB_CAPTURE=dir they are written there, one file each, as the shapes that
// gateway/testdata/quirks has: texts, which belong to the vendors, are replaced.
//
//	GB_CAPTURE=../../gateway/testdata/quirks go test -run TestCommandLine .
type recorder struct {
	t    *testing.T
	dir  string // of the tool, kept out of the shapes
	base string
	mu   sync.Mutex
	all  []recorded
}

type recorded struct {
	line   string
	header http.Header
	body   []byte
	status int
}

// ServeHTTP implements http.Handler.
func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	to, err := url.Parse(rec.base)
	if err != nil {
		panic(err)
	}
	got := recorded{line: r.Method + " " + r.URL.RequestURI(), header: r.Header.Clone(), body: body}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	proxy := httputil.ReverseProxy{
		Rewrite:       func(p *httputil.ProxyRequest) { p.SetURL(to) },
		FlushInterval: -1,
		ModifyResponse: func(res *http.Response) error {
			got.status = res.StatusCode
			rec.mu.Lock()
			defer rec.mu.Unlock()
			rec.all = append(rec.all, got)
			return nil
		},
	}
	proxy.ServeHTTP(w, r)
}

// lines are the request lines.
func (rec *recorder) lines() (lines []string) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for _, r := range rec.all {
		lines = append(lines, r.line)
	}
	return lines
}

// refused are the lines of the requests that got an error.
func (rec *recorder) refused() (lines []string) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for _, r := range rec.all {
		if r.status >= 400 {
			lines = append(lines, fmt.Sprint(r.line, " ", r.status))
		}
	}
	return lines
}

// save writes the shapes where GB_CAPTURE says.
func (rec *recorder) save(name, word string) {
	dir := os.Getenv("GB_CAPTURE")
	if dir == "" {
		return
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for i, r := range rec.all {
		shape := strings.NewReplacer(rec.dir, "/home/user", word, "heliotrope").Replace(r.shape())
		file := filepath.Join(dir, fmt.Sprintf("%s-%d.http", strings.ReplaceAll(strings.ToLower(name), " ", "-"), i+1))
		if err := os.WriteFile(file, []byte(shape), 0o644); err != nil {
			rec.t.Error(err)
		}
	}
}

// Headers of the connection, and those that hold what is known.
var (
	ownHeaders = []string{"Accept-Encoding", "Connection", "Content-Length"}
	keyHeaders = []string{"Authorization", "X-Api-Key", "X-Goog-Api-Key"}
)

// shape is the request as text: its line, its headers and its body, with {key}
// for the key.
func (r *recorded) shape() string {
	var b strings.Builder
	b.WriteString(r.line + "\n")
	names := make([]string, 0, len(r.header))
	for name := range r.header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value := r.header.Get(name)
		switch {
		case slices.Contains(ownHeaders, name):
			continue
		case slices.Contains(keyHeaders, name):
			value = "{key}"
			if name == "Authorization" {
				value = "Bearer {key}"
			}
		}
		b.WriteString(name + ": " + value + "\n")
	}
	b.WriteString("\n")
	decoder := json.NewDecoder(bytes.NewReader(r.body))
	decoder.UseNumber()
	var body any
	if decoder.Decode(&body) != nil {
		return b.String()
	}
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	_ = encoder.Encode(shorten("", body)) // what was decoded can be encoded
	return b.String()
}

// own are members whose values the gateway gave or reads.
var own = []string{"output", "signature", "encrypted_content", "thoughtSignature", "user_id", "type", "name", "id"}

// shorten replaces the vendor's texts by how long they were.
func shorten(name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = shorten(k, e)
		}
	case []any:
		for i, e := range v {
			v[i] = shorten(name, e)
		}
	case string:
		limit := 60
		if name == "description" {
			limit = 0
		}
		known := strings.Contains(v, "[[call ") || strings.HasPrefix(v, "x-anthropic-billing-header:")
		if len(v) > limit && !known && !slices.Contains(own, name) {
			return fmt.Sprintf("(text of %d bytes)", len(v))
		}
	}
	return v
}
