// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// fileLife is how long files are kept. Source: specs/openai.md §4.3.
const fileLife = 48 * time.Hour

// publicURL begins the URIs of files, wherever the server listens.
const publicURL = "https://generativelanguage.googleapis.com"

// file is one of a project. Files of other projects do not exist for it.
type file struct {
	name, display, mime string
	project             string
	size                int64
	sha256              string
	created, ready      time.Time
	broken              bool   // its processing fails
	generated           bool   // by Google; only such files can be downloaded
	content             []byte // of generated files, and of small ones that users sent
}

func (f *file) state(now time.Time) string {
	switch {
	case now.Before(f.ready):
		return "PROCESSING"
	case f.broken:
		return "FAILED"
	default:
		return "ACTIVE"
	}
}

// shown is the file as Google's JSON.
func (f *file) shown(now time.Time) object {
	const format = "2006-01-02T15:04:05.000000Z"
	o := object{
		"name": f.name, "mimeType": f.mime, "sizeBytes": strconv.FormatInt(f.size, 10), "sha256Hash": f.sha256,
		"createTime": f.created.UTC().Format(format), "updateTime": f.created.UTC().Format(format),
		"expirationTime": f.created.Add(fileLife).UTC().Format(format),
		"uri":            publicURL + "/v1beta/" + f.name, "state": f.state(now), "source": "UPLOADED",
	}
	if f.generated {
		o["source"], o["downloadUri"] = "GENERATED", publicURL+"/v1beta/"+f.name+":download?alt=media"
	}
	if f.display != "" {
		o["displayName"] = f.display
	}
	if f.state(now) == "FAILED" {
		o["error"] = object{"code": 3, "message": "The file could not be processed."}
	}
	return o
}

// noFile is Google's answer for a file of another project and for none alike.
// Source: specs/openai.md §13.2.
func noFile(name string) answer {
	return failure(403, "You do not have permission to access the File "+strings.TrimPrefix(name, "files/")+" or it may not exist.")
}

// file finds one of the request's project, and books it when another has it.
func (x *exchange) file(name string) (*file, answer) {
	s, e := x.s, x.e
	s.mu.Lock()
	f, foreign := s.files[ownedKey{e.Project, name}], ""
	if f != nil && !s.cfg.Now().Before(f.created.Add(fileLife)) {
		f = nil
	}
	for k := range s.files {
		if f == nil && k.name == name && k.project != e.Project {
			foreign = k.project
		}
	}
	s.mu.Unlock()
	if f != nil {
		return f, answer{}
	}
	if foreign != "" {
		s.books.violate(e.N, Foreign, 0, "%s is asked for %s, which is %s's", e.Project, name, foreign)
	}
	x.note("no such file")
	return nil, noFile(name)
}

// Files are the names of a project's files, in order.
func (s *Server) Files(project string) (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, f := range s.files {
		if k.project == project && s.cfg.Now().Before(f.created.Add(fileLife)) {
			names = append(names, k.name)
		}
	}
	slices.Sort(names)
	return names
}

// RemoveFile deletes a file behind its user's back.
func (s *Server) RemoveFile(project, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, ownedKey{project, name})
}

func (x *exchange) getFile() {
	if f, a := x.file(x.rest); f == nil {
		x.error(a)
	} else {
		x.json(pretty(f.shown(x.s.cfg.Now())))
	}
}

// createFile makes a file of metadata alone.
func (x *exchange) createFile() {
	u, bad := x.newUpload(x.e.Body)
	if bad.status != 0 {
		x.error(bad)
		return
	}
	x.s.mu.Lock()
	x.s.finishUpload(u)
	x.s.mu.Unlock()
	x.json(pretty(u.made))
}

func (x *exchange) deleteFile() {
	f, a := x.file(x.rest)
	if f == nil {
		x.error(a)
		return
	}
	x.s.RemoveFile(x.e.Project, f.name)
	x.json([]byte("{}\n"))
}

func (x *exchange) listFiles() { x.pageFiles("files", false) }

// listGeneratedFiles lists what Google made; the other list has what users sent.
func (x *exchange) listGeneratedFiles() { x.pageFiles("generatedFiles", true) }

func (x *exchange) pageFiles(field string, generated bool) {
	s, now := x.s, x.s.cfg.Now()
	s.mu.Lock()
	var all []*file
	for k, f := range s.files {
		if k.project == x.e.Project && f.generated == generated && now.Before(f.created.Add(fileLife)) {
			all = append(all, f)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b *file) int { return cmp.Or(b.created.Compare(a.created), strings.Compare(a.name, b.name)) })
	var shown []object
	for _, f := range all {
		shown = append(shown, f.shown(now))
	}
	page(x, field, shown, 10, 100)
}

var (
	fileID  = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$`)
	fileURI = regexp.MustCompile(`^(?i:https?://(?:[a-z0-9-]+\.)*generativelanguage\.googleapis\.com\.?(?::[0-9]+)?)/v1(?:beta|alpha)?/(files/[a-z0-9-]+)(?::download.*)?$`)
)

// filesUsable checks the files that a request names.
func (x *exchange) filesUsable(q *request) answer {
	for _, uri := range q.files {
		m := fileURI.FindStringSubmatch(uri)
		if m == nil {
			continue // fetched, or a video's address at YouTube
		}
		f, a := x.file(m[1])
		if f == nil {
			return a
		}
		if f.state(x.s.cfg.Now()) != "ACTIVE" {
			x.note("file not ready")
			return notActive(f)
		}
	}
	return answer{}
}

func notActive(f *file) answer {
	return failureAs(400, "FAILED_PRECONDITION", "The File "+strings.TrimPrefix(f.name, "files/")+" is not in an ACTIVE state and usage is not allowed.")
}

// addFile keeps what was uploaded. The caller holds s.mu.
func (s *Server) addFile(u *upload) *file {
	now := s.cfg.Now()
	f := &file{
		name: u.name, display: u.display, mime: u.mime, project: u.project, size: u.received, created: now, ready: now, content: u.content,
		sha256: base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(u.hash.Sum(nil)))),
	}
	if strings.HasPrefix(f.mime, "video/") {
		f.ready = now.Add(s.cfg.FileProcessing)
		f.broken = strings.Contains(f.display, "broken")
	}
	s.files[ownedKey{f.project, f.name}] = f
	return f
}

// sum is the hash of a file as Google writes it: the hexadecimal digits in base64.
func sum(content []byte) string {
	digest := sha256.Sum256(content)
	return base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(digest[:])))
}

// startFields reads the metadata of an upload. What goes to a store has them
// without "file" around.
func startFields(body []byte) (name, display, mime string, ok bool) {
	if len(body) == 0 {
		return "", "", "", true
	}
	v, err := rawjson.Parse(body)
	if err != nil {
		return "", "", "", false
	}
	if f := v.Get("file"); f != nil {
		v = f
	}
	return v.Get("name").Text(), get(v, "displayName").Text(), get(v, "mimeType").Text(), true
}
