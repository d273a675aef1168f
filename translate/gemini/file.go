// SPDX-License-Identifier: Apache-2.0

package gemini

import (
	"strconv"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// FileState is where an uploaded file stands.
type FileState string

// The states of files. Only an active one can be used.
const (
	FileProcessing FileState = "PROCESSING"
	FileActive     FileState = "ACTIVE"
	FileFailed     FileState = "FAILED"
)

// File is what the Files API tells of a file. Source: specs/openai.md §19.1.
type File struct {
	Name        string // "files/…", unique within a project
	DisplayName string
	MIMEType    string
	URI         string // what fileData names it by
	Size        int64  // bytes
	Created     time.Time
	Expires     time.Time // zero where Google names none
	SHA256      string    // base64 of the hexadecimal digest, as Google has it
	State       FileState
	Error       string // why it failed
}

// DecodeFile reads a file, bare or as the member "file" of an upload's answer.
// ok is false for a document that names none.
func DecodeFile(doc []byte) (f File, ok bool) {
	v, err := rawjson.Parse(doc)
	if err != nil {
		return f, false
	}
	if inner := v.Get("file"); inner.Kind() == rawjson.Object {
		v = inner
	}
	f = File{
		Name: v.Get("name").Text(), DisplayName: v.Get("displayName").Text(), MIMEType: v.Get("mimeType").Text(),
		URI: v.Get("uri").Text(), SHA256: v.Get("sha256Hash").Text(),
		State: FileState(v.Get("state").Text()), Error: v.Get("error").Get("message").Text(),
	}
	// int64 is a string in protobuf's JSON. A size or a time that cannot be read is
	// as good as none.
	f.Size, _ = strconv.ParseInt(v.Get("sizeBytes").Text(), 10, 64)
	f.Created, _ = time.Parse(time.RFC3339Nano, v.Get("createTime").Text())
	f.Expires, _ = time.Parse(time.RFC3339Nano, v.Get("expirationTime").Text())
	return f, ValidFileName(f.Name)
}

// ValidFileName reports whether name is one that Google gives to files, so that
// it may stand in a path. Source: specs/native-anthropic.md A.2.
func ValidFileName(name string) bool {
	id, ok := strings.CutPrefix(name, "files/")
	if !ok || id == "" || len(id) > 64 {
		return false
	}
	return !strings.ContainsFunc(id, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-'
	})
}
