// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"cmp"
	"crypto/sha256"
	"hash"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// upload is one of the resumable protocol. Its id is all the credential that its
// chunks need. Source: specs/native-anthropic.md A.6.
type upload struct {
	project, name, display, mime string
	declared                     int64 // bytes; -1 where the start did not say
	received                     int64
	hash                         hash.Hash
	content                      []byte // while it is small
	canceled                     bool
	store, environment           string // where it goes, unless it becomes a file of its own
	made                         object // the answer, once it is final
}

// granularity is what the length of each chunk but the last must be a multiple of.
const granularity = 256 << 10

// maxContent is how much of a user's file is kept, for batches to read.
const maxContent = 4 << 20

// upload answers what is sent to the paths of uploads.
func (x *exchange) upload() {
	h, query := x.r.Header, x.r.URL.Query()
	if query.Has("upload_id") {
		x.continueUpload()
		return
	}
	switch protocol := cmp.Or(h.Get("X-Goog-Upload-Protocol"), query.Get("uploadType"), query.Get("upload_protocol")); {
	case protocol == "resumable" && h.Get("X-Goog-Upload-Command") == "start":
		x.startUpload()
	case protocol == "multipart" || protocol == "raw" || protocol == "simple" || protocol == "media":
		x.uploadWhole(protocol)
	default:
		x.error(failure(400, "Invalid upload protocol or command."))
	}
}

// newUpload is an upload with this metadata, or what is wrong with it.
func (x *exchange) newUpload(metadata []byte) (*upload, answer) {
	name, display, mime, ok := startFields(metadata)
	u := &upload{project: x.e.Project, display: display, mime: mime, declared: -1, hash: sha256.New()}
	switch {
	case !ok:
		return nil, failure(400, "Invalid JSON payload received.")
	case name != "" && !fileID.MatchString(strings.TrimPrefix(name, "files/")):
		return nil, failure(400, "File name is invalid.")
	case len(display) > 512:
		return nil, failure(400, "* CreateFileRequest.file.display_name: display_name must be at most 512 characters")
	}
	switch x.e.Method {
	case "fileSearchStores.start":
		if u.store = "fileSearchStores/" + x.ids[0]; x.owned(u.store) == nil {
			return nil, noStore(u.store)
		}
		return u, answer{}
	case "environments.start":
		if u.environment = "environments/" + x.ids[0]; x.owned(u.environment) == nil {
			return nil, failure(404, messages[404])
		}
		u.name = x.ids[1]
		return u, answer{}
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	u.name = "files/" + cmp.Or(strings.TrimPrefix(name, "files/"), x.s.newID(12))
	if x.s.files[ownedKey{u.project, u.name}] != nil {
		return nil, failureAs(409, "ALREADY_EXISTS", "Requested entity already exists")
	}
	return u, answer{}
}

// startUpload answers the first request of an upload.
func (x *exchange) startUpload() {
	s, h := x.s, x.r.Header
	u, bad := x.newUpload(x.e.Body)
	if bad.status != 0 {
		x.error(bad)
		return
	}
	if n, err := strconv.ParseInt(h.Get("X-Goog-Upload-Header-Content-Length"), 10, 64); err == nil {
		u.declared = n
	}
	u.mime = cmp.Or(u.mime, h.Get("X-Goog-Upload-Header-Content-Type"))
	s.mu.Lock()
	id := s.newID(12)
	s.uploads[id] = u
	s.mu.Unlock()
	at := x.origin() + x.r.URL.EscapedPath() + "?" + url.Values{"upload_id": {id}, "upload_protocol": {"resumable"}}.Encode()
	out := x.w.Header()
	out.Set("X-Goog-Upload-Url", at)
	out.Set("X-Goog-Upload-Control-Url", at)
	out.Set("X-Goog-Upload-Chunk-Granularity", strconv.Itoa(granularity))
	out.Set("X-Goog-Upload-Status", "active")
	x.header(http.StatusOK, jsonType)
}

// continueUpload answers what is sent to an upload's own URL.
func (x *exchange) continueUpload() {
	s, e, h := x.s, x.e, x.r.Header
	body := e.Body
	s.books.update(func() { e.Body = nil }) // may be large
	s.mu.Lock()
	u := s.uploads[x.r.URL.Query().Get("upload_id")]
	s.mu.Unlock()
	if u == nil {
		x.error(htmlPage(404, "Not Found", "Upload not found."))
		return
	}
	if e.Project != "" && e.Project != u.project {
		s.books.violate(e.N, Foreign, 0, "%s is sent an upload of %s", e.Project, u.project)
	}
	s.books.update(func() { e.Project, e.Note = u.project, h.Get("X-Goog-Upload-Command") })
	s.mu.Lock()
	status, problem := s.step(u, h, body)
	received := u.received
	var made []byte
	if u.made != nil {
		made = pretty(u.made)
	}
	s.mu.Unlock()
	out := x.w.Header()
	out.Set("X-Goog-Upload-Status", status)
	out.Set("X-Goog-Upload-Size-Received", strconv.FormatInt(received, 10))
	switch {
	case x.steer.Break == ResetEvent:
		x.reset()
	case problem != "":
		x.error(failure(400, problem))
	case made != nil:
		x.json(made)
	default:
		x.header(http.StatusOK, jsonType)
	}
}

// step does one command of an upload and returns its status. The caller holds
// s.mu.
func (s *Server) step(u *upload, h http.Header, body []byte) (status, problem string) {
	command := strings.ReplaceAll(h.Get("X-Goog-Upload-Command"), " ", "")
	switch {
	case u.canceled:
		return "cancelled", "Upload is cancelled."
	case u.made != nil && (command == "query" || command == "upload,finalize"):
		return "final", ""
	case u.made != nil:
		return "final", "Upload has already been terminated."
	}
	switch command {
	case "query":
		return "active", ""
	case "cancel":
		u.canceled = true
		return "cancelled", ""
	case "upload", "upload,finalize", "finalize":
	default:
		return "active", "Invalid upload command."
	}
	if command != "finalize" {
		if h.Get("X-Goog-Upload-Offset") != strconv.FormatInt(u.received, 10) {
			return "active", "Upload offset does not match the number of bytes received."
		}
		if command == "upload" && len(body)%granularity != 0 {
			return "active", "The chunk's size is no multiple of the granularity."
		}
		u.take(body)
	}
	if command == "upload" {
		return "active", ""
	}
	if u.declared >= 0 && u.declared != u.received {
		u.canceled = true
		return "cancelled", "The upload has another size than declared."
	}
	s.finishUpload(u)
	return "final", ""
}

func (u *upload) take(body []byte) {
	u.received += int64(len(body))
	_, _ = u.hash.Write(body) // a hash takes everything
	if u.content = append(u.content, body...); u.received > maxContent {
		u.content = nil
	}
}

// finishUpload makes what the upload is for. The caller holds s.mu.
func (s *Server) finishUpload(u *upload) {
	switch {
	case u.store != "":
		u.made = s.indexUpload(u)
	case u.environment != "":
		u.made = s.keepInEnvironment(u)
	default:
		u.made = object{"file": s.addFile(u).shown(s.cfg.Now())}
	}
}
