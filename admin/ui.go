// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// What index.html has in place of the parts that are known only here.
const (
	uiBase    = "@rel/"                  // where the files are
	uiPreload = "<!-- modulepreload -->" // links to all modules
)

// uiPolicy is what the pages may do: run our own scripts, speak to this server. Text
// cannot become script, whatever a key's name or a model's answer holds.
// Source: specs/ui.md §2.1, §5.
const uiPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// webUI is the web UI as it is sent: all files are under one name that changes with
// any of them, so that browsers may keep them for ever, but for the index, which
// leads to them. It never changes.
type webUI struct {
	hash  string
	index uiFile
	files map[string]uiFile // by path, such as "js/main.js"
}

// uiFile is a file in both forms.
type uiFile struct {
	mediaType string
	plain     []byte
	gzipped   []byte // nil if that is not smaller
	etag      string
}

// loadUI reads the embedded files, once. It is nil where they were left out.
var loadUI = sync.OnceValue(func() *webUI {
	if uiFiles == nil {
		return nil
	}
	ui, err := newWebUI(uiFiles)
	if err != nil {
		panic(err) // embedded, and loaded by every test
	}
	return ui
})

// newWebUI compresses the files and fills the index in.
func newWebUI(files fs.FS) (*webUI, error) {
	ui := &webUI{files: make(map[string]uiFile)}
	all := sha256.New()
	zip, err := gzip.NewWriterLevel(io.Discard, gzip.BestCompression) // one for all: it takes 0.8 MB
	if err != nil {
		return nil, err
	}
	var index []byte
	err = fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(all, "%s %d\n", name, len(content))
		all.Write(content)
		if name == "index.html" {
			index = content
			return nil
		}
		ui.files[name], err = newUIFile(zip, name, content)
		return err
	})
	if err != nil {
		return nil, err
	}
	ui.hash = hex.EncodeToString(all.Sum(nil))[:16]
	page := strings.Replace(string(index), uiPreload, ui.preloads(string(index)), 1)
	ui.index, err = newUIFile(zip, "index.html", []byte(strings.ReplaceAll(page, uiBase, ui.hash+"/")))
	return ui, err
}

var mediaTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon",
	".json": "application/json", ".webmanifest": "application/manifest+json",
}

func newUIFile(zip *gzip.Writer, name string, content []byte) (uiFile, error) {
	sum := sha256.Sum256(content)
	file := uiFile{mediaType: mediaTypes[path.Ext(name)], plain: content, etag: `"` + hex.EncodeToString(sum[:8]) + `"`}
	if file.mediaType == "" {
		file.mediaType = "text/plain; charset=utf-8"
	}
	var packed bytes.Buffer
	zip.Reset(&packed)
	if _, err := zip.Write(content); err != nil {
		return file, err
	}
	if err := zip.Close(); err != nil {
		return file, err
	}
	if packed.Len() < len(content) {
		file.gzipped = bytes.Clone(packed.Bytes()) // without what was left for more
	}
	return file, nil
}

var (
	moduleScript = regexp.MustCompile(`<script type="module" src="@rel/([^"]+)">`)
	// staticImport finds what a module imports or passes on; import() is not meant,
	// since that is for what is not always needed.
	staticImport = regexp.MustCompile(`(?:^|[\n;}])\s*(?:import|export)\s*(?:[\w\s{},*$]*?\bfrom\s*)?["'](\.[^"']+)["']`)
)

// preloads are links to all modules that the first page needs, however deep they are
// imported, so that a browser asks for all of them at once.
func (ui *webUI) preloads(index string) string {
	var queue []string
	for _, found := range moduleScript.FindAllStringSubmatch(index, -1) {
		queue = append(queue, found[1])
	}
	entries := len(queue) // the page names these itself
	for i := 0; i < len(queue); i++ {
		for _, found := range staticImport.FindAllStringSubmatch(string(ui.files[queue[i]].plain), -1) {
			name := path.Join(path.Dir(queue[i]), found[1])
			if _, there := ui.files[name]; there && !slices.Contains(queue, name) {
				queue = append(queue, name)
			}
		}
	}
	var links strings.Builder
	for _, name := range queue[entries:] {
		fmt.Fprintf(&links, "<link rel=\"modulepreload\" href=\"%s%s\">\n", uiBase, name)
	}
	return strings.TrimSuffix(links.String(), "\n")
}

// uiHash names the version of the web UI, "" if there is none.
func (a *api) uiHash() string {
	if a.ui == nil {
		return ""
	}
	return a.ui.hash
}

// page answers requests for the web UI, which needs no key: it holds nothing. ok
// tells that the path is one of those.
func (a *api) page(w http.ResponseWriter, r *http.Request, path []string) (body stream, ok bool, err error) {
	if len(path) == 0 || path[0] != "admin" {
		return nil, false, nil
	}
	root := len(path) == 1 && strings.Contains(r.Header.Get("Accept"), "text/html")
	if !root && (len(path) < 2 || path[1] != "ui") {
		return nil, false, nil
	}
	if a.ui == nil {
		return noPages, true, nil
	}
	if !reads(r.Method) || r.Method == http.MethodOptions {
		w.Header().Set("Allow", "GET, HEAD")
		return nil, true, problem(http.StatusMethodNotAllowed, "method_not_allowed", "This page takes GET, HEAD.")
	}
	if !a.hostAllowed(r) {
		return nil, true, hostProblem(r.Host)
	}
	slash := strings.HasSuffix(r.URL.Path, "/")
	switch {
	case root && slash:
		return redirect("ui/"), true, nil
	case root:
		return redirect("admin/ui/"), true, nil
	case len(path) == 2 && !slash:
		return redirect("ui/"), true, nil
	case len(path) == 2:
		return a.ui.index.page(r), true, nil
	}
	file, there := a.ui.files[strings.Join(path[3:], "/")]
	if path[2] != a.ui.hash || !there || slash {
		return nil, true, problem(http.StatusNotFound, "no_such_page", "There is no such file of the web UI, or it is of another version. Reload the page.")
	}
	return file.asset(r), true, nil
}

// noPages tells whoever looks for the web UI where there is none, in words that a
// browser shows.
func noPages(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusNotFound)
	_, err := io.WriteString(w, "There is no web UI here: it is switched off (ui off in the Caddyfile), or this Caddy was built without it.\n"+
		"The admin API works. With the admin key, /admin/openapi.json describes it.\n")
	return err
}

// redirect is relative to the request, so that any prefix in front works.
func redirect(to string) stream {
	return func(w http.ResponseWriter) error {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return nil
	}
}

// page is the index: always asked for, sent when it has changed.
func (f uiFile) page(r *http.Request) stream {
	return func(w http.ResponseWriter) error {
		h := w.Header()
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Security-Policy", uiPolicy)
		return f.send(w, r)
	}
}

// asset is any other file, which has a new name when it changes.
func (f uiFile) asset(r *http.Request) stream {
	return func(w http.ResponseWriter) error {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		return f.send(w, r)
	}
}

func (f uiFile) send(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("Content-Type", f.mediaType)
	h.Set("ETag", f.etag)
	h.Set("Vary", "Accept-Encoding")
	if slices.Contains(splitList(r.Header.Get("If-None-Match")), f.etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	content := f.plain
	if f.gzipped != nil && takesGzip(r.Header.Get("Accept-Encoding")) {
		content = f.gzipped
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", fmt.Sprint(len(content)))
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(content)
	return err
}

// takesGzip reads Accept-Encoding; gzip;q=0 says no.
func takesGzip(header string) bool {
	for _, coding := range splitList(header) {
		name, weight, _ := strings.Cut(strings.ReplaceAll(coding, " ", ""), ";")
		if strings.EqualFold(name, "gzip") {
			return weight == "" || strings.Trim(strings.TrimPrefix(weight, "q="), "0.") != ""
		}
	}
	return false
}

// splitList cuts a header with commas.
func splitList(header string) []string {
	parts := strings.Split(header, ",")
	for i, part := range parts {
		parts[i] = strings.TrimPrefix(strings.TrimSpace(part), "W/")
	}
	return parts
}
