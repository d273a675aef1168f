// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/media"
)

// FileObject is a file as OpenAI's endpoints show it. Source: specs/openai.md §19.1.
type FileObject struct {
	ID        string `json:"id"` // see [FileID]
	Object    string `json:"object"`
	Bytes     int64  `json:"bytes"`
	CreatedAt int64  `json:"created_at"` // seconds since 1970
	ExpiresAt int64  `json:"expires_at,omitempty"`
	Filename  string `json:"filename"`
	Purpose   string `json:"purpose"`
	Status    string `json:"status"`
	Details   string `json:"status_details,omitempty"` // why Status is error
}

// FileStatus is OpenAI's word for a state of Google's.
func FileStatus(s gemini.FileState) string {
	switch s {
	case gemini.FileActive:
		return "processed"
	case gemini.FileFailed:
		return "error"
	default:
		return "uploaded"
	}
}

// Append appends the object.
func (o FileObject) Append(dst []byte) []byte {
	o.Object = "file"
	b, _ := json.Marshal(o) // strings and numbers have no errors
	return append(dst, b...)
}

// FileDeleted is the answer to a deletion.
func FileDeleted(id string) []byte {
	b, _ := json.Marshal(struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Deleted bool   `json:"deleted"`
	}{id, "file", true})
	return b
}

// FileID is the id of a file that Google calls name and made at created. It
// carries both, so that a page of a list can be continued after its last file was
// deleted, and a name that was used again is another file.
func FileID(created time.Time, name string) string {
	return "file-" + strconv.FormatInt(max(created.Unix(), 0), 36) + "-" + strings.TrimPrefix(name, "files/")
}

// ParseFileID reads a [FileID].
func ParseFileID(id string) (created time.Time, name string, ok bool) {
	rest, ok := strings.CutPrefix(id, "file-")
	stamp, name, cut := strings.Cut(rest, "-")
	seconds, err := strconv.ParseInt(stamp, 36, 64)
	name = "files/" + name
	if !ok || !cut || err != nil || seconds < 0 || !gemini.ValidFileName(name) || id != FileID(time.Unix(seconds, 0), name) {
		return time.Time{}, "", false
	}
	return time.Unix(seconds, 0), name, true
}

// NoSuchFile is the failure for an id that is unknown, or another user's.
func NoSuchFile(param, id string) *translate.Failure {
	return notFound(param, "No such File object: "+clip(id))
}

// purposes are those that OpenAI takes for uploads.
var purposes = []string{"assistants", "batch", "evals", "fine-tune", "user_data", "vision"}

// FilePurpose checks the purpose of an upload; "" is none.
func FilePurpose(purpose string) *translate.Failure {
	switch {
	case purpose == "":
		return translate.Invalid("purpose", "Missing required parameter: 'purpose'.")
	case !slices.Contains(purposes, purpose):
		return translate.Invalid("purpose", "'purpose' must be one of %s, not %q.", strings.Join(purposes, ", "), clip(purpose))
	}
	return nil
}

// FileType is the media type of an uploaded file: as declared, or by its name, or
// by its first bytes. What Gemini has no name for stays as it was declared.
func FileType(declared, name string, head []byte) string {
	declared, _, _ = strings.Cut(declared, ";")
	mime := media.CanonicalMIME(strings.ToLower(strings.TrimSpace(declared)))
	if mime != "" && mime != "application/octet-stream" && strings.Contains(mime, "/") && !strings.HasSuffix(mime, "/*") {
		return mime
	}
	for _, found := range []string{media.MIMEByName(name), media.SniffBytes(head)} {
		if found != "" {
			return found
		}
	}
	return "application/octet-stream"
}

// FileQuery is what a list of files is asked for.
type FileQuery struct {
	Purpose   string // "" for all
	Limit     int
	Ascending bool
	After     string // the id of the file before the page; "" for the first page
}

const maxFilePage = 10_000

// ParseFileQuery reads the query of GET /v1/files. Other parameters are ignored.
func ParseFileQuery(query url.Values) (q FileQuery, f *translate.Failure) {
	q = FileQuery{Purpose: query.Get("purpose"), Limit: maxFilePage, After: query.Get("after")}
	if s := query.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxFilePage {
			return q, translate.Invalid("limit", "'limit' must be a number from 1 to %d.", maxFilePage)
		}
		q.Limit = n
	}
	switch query.Get("order") {
	case "", "desc":
	case "asc":
		q.Ascending = true
	default:
		return q, translate.Invalid("order", "'order' must be asc or desc.")
	}
	if q.After != "" {
		if _, _, ok := ParseFileID(q.After); !ok {
			return q, translate.Invalid("after", "'after' must be the id of a file.")
		}
	}
	return q, nil
}

// Page is the part of the files that the query asks for, as OpenAI's list. It
// changes the order of files.
func (q FileQuery) Page(files []FileObject) (page []FileObject, more bool) {
	compare := func(a, b FileObject) int {
		n := compareFiles(a.CreatedAt, a.ID, b.CreatedAt, b.ID)
		if q.Ascending {
			return n
		}
		return -n
	}
	if q.Purpose != "" {
		files = slices.DeleteFunc(files, func(o FileObject) bool { return o.Purpose != q.Purpose })
	}
	slices.SortFunc(files, compare)
	if created, _, ok := ParseFileID(q.After); ok {
		last := FileObject{ID: q.After, CreatedAt: created.Unix()}
		i, found := slices.BinarySearchFunc(files, last, compare)
		if found {
			i++
		}
		files = files[i:]
	}
	n := min(len(files), q.Limit)
	return files[:n], n < len(files)
}

func compareFiles(at int64, id string, bt int64, bid string) int {
	if at != bt {
		if at < bt {
			return -1
		}
		return 1
	}
	return strings.Compare(id, bid)
}

// AppendFiles appends a page as OpenAI's list.
func AppendFiles(dst []byte, page []FileObject, more bool) []byte {
	list := struct {
		Object string       `json:"object"`
		Data   []FileObject `json:"data"`
		First  *string      `json:"first_id"`
		Last   *string      `json:"last_id"`
		More   bool         `json:"has_more"`
	}{Object: "list", Data: make([]FileObject, len(page)), More: more}
	for i, o := range page {
		o.Object = "file"
		list.Data[i] = o
	}
	if n := len(page); n > 0 {
		list.First, list.Last = &list.Data[0].ID, &list.Data[n-1].ID
	}
	b, _ := json.Marshal(list) // strings and numbers have no errors
	return append(dst, b...)
}
