// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

func TestFileID(t *testing.T) {
	at := time.Unix(1764100000, 5)
	id := FileID(at, "files/abc-123")
	if id != "file-t6as9s-abc-123" {
		t.Error(id)
	}
	created, name, ok := ParseFileID(id)
	if !ok || created.Unix() != at.Unix() || name != "files/abc-123" {
		t.Errorf("%v %q %v", created, name, ok)
	}
	for _, id := range []string{"", "file-", "file-abc", "file-1-", "file--1-a", "file-01-a", "file-1-../x", "file-1-A", "file-A-a", "file-1-" + strings.Repeat("a", 65), "files/abc", "FILE-1-a", "file-zzzzzzzzzzzzzzzzz-a"} {
		if created, name, ok := ParseFileID(id); ok {
			t.Errorf("%q: %v %q", id, created, name)
		}
	}
}

// FuzzFileID: what is read is what was written, and may stand in a path.
func FuzzFileID(f *testing.F) {
	f.Add("file-t6as9s-abc-123")
	f.Add("file-0-a")
	f.Fuzz(func(t *testing.T, id string) {
		created, name, ok := ParseFileID(id)
		if !ok {
			return
		}
		if FileID(created, name) != id || !gemini.ValidFileName(name) || strings.ContainsAny(name[len("files/"):], "/.%?# ") {
			t.Fatalf("%q: %v %q", id, created, name)
		}
	})
}

// FuzzFileQuery: any query is a page or an error that names a field.
func FuzzFileQuery(f *testing.F) {
	f.Add("limit=2&order=asc&after=file-1-a&purpose=vision")
	f.Fuzz(func(t *testing.T, raw string) {
		values, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		q, failure := ParseFileQuery(values)
		if failure != nil {
			if failure.Param == "" || failure.Kind != translate.InvalidRequest {
				t.Fatalf("%+v", failure)
			}
			return
		}
		var files []FileObject
		for i := range 5 {
			files = append(files, FileObject{ID: FileID(time.Unix(int64(i/2), 0), fmt.Sprint("files/a", i)), CreatedAt: int64(i / 2), Purpose: "vision"})
		}
		if page, more := q.Page(files); len(page) > q.Limit || more && len(page) == 0 {
			t.Fatalf("%d files, more %v", len(page), more)
		}
	})
}

func TestFileObject(t *testing.T) {
	o := FileObject{ID: "file-1-a", Bytes: 12, CreatedAt: 5, ExpiresAt: 9, Filename: `a "b".txt`, Purpose: "vision", Status: FileStatus(gemini.FileActive)}
	sameJSON(t, decodeAny(t, o.Append(nil)), `{"id":"file-1-a","object":"file","bytes":12,"created_at":5,"expires_at":9,"filename":"a \"b\".txt","purpose":"vision","status":"processed"}`)
	o.Status, o.Details, o.ExpiresAt = FileStatus(gemini.FileFailed), "too long", 0
	sameJSON(t, decodeAny(t, o.Append(nil)), `{"id":"file-1-a","object":"file","bytes":12,"created_at":5,"filename":"a \"b\".txt","purpose":"vision","status":"error","status_details":"too long"}`)
	sameJSON(t, decodeAny(t, AppendFiles(nil, nil, false)), `{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}`)
	sameJSON(t, decodeAny(t, AppendFiles(nil, []FileObject{{ID: "file-1-a"}, {ID: "file-1-b"}}, true)),
		`{"object":"list","data":[{"id":"file-1-a","object":"file","bytes":0,"created_at":0,"filename":"","purpose":"","status":""},{"id":"file-1-b","object":"file","bytes":0,"created_at":0,"filename":"","purpose":"","status":""}],"first_id":"file-1-a","last_id":"file-1-b","has_more":true}`)
	sameJSON(t, decodeAny(t, FileDeleted("file-1-a")), `{"id":"file-1-a","object":"file","deleted":true}`)
	for state, want := range map[gemini.FileState]string{gemini.FileProcessing: "uploaded", "STATE_UNSPECIFIED": "uploaded", "": "uploaded"} {
		if got := FileStatus(state); got != want {
			t.Errorf("%q: %s", state, got)
		}
	}
}

func decodeAny(t *testing.T, doc []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(doc, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// Ids of the same second are told apart by name, in both directions.
func TestFileQuery_SameSecond(t *testing.T) {
	all := func() (files []FileObject) {
		for _, n := range []string{"c", "a", "b"} {
			files = append(files, FileObject{ID: FileID(time.Unix(7, 0), "files/"+n), CreatedAt: 7})
		}
		return files
	}
	for _, ascending := range []bool{false, true} {
		seen, q := map[string]bool{}, FileQuery{Limit: 1, Ascending: ascending}
		for more := true; more; {
			var page []FileObject
			page, more = q.Page(all())
			seen[page[0].ID], q.After = true, page[0].ID
		}
		if len(seen) != 3 {
			t.Errorf("ascending %v: %v", ascending, seen)
		}
	}
}

func TestFileType(t *testing.T) {
	for _, tc := range [][4]string{
		{"text/markdown; charset=utf-8", "a.bin", "", "text/markdown"},
		{"Image/JPG", "", "", "image/jpeg"},
		{"application/octet-stream", "a.pdf", "", "application/pdf"},
		{"", "", "\x89PNG\r\n\x1a\n", "image/png"},
		{"image/*", "", "\xff\xd8\xff", "image/jpeg"},
		{"nonsense", "a.mp4", "", "video/mp4"},
		{"application/x-yaml", "", "", "text/plain"},
		{"application/vnd.x", "a", "", "application/vnd.x"},
		{"", "", "", "application/octet-stream"},
	} {
		if got := FileType(tc[0], tc[1], []byte(tc[2])); got != tc[3] {
			t.Errorf("%q: %s", tc, got)
		}
	}
}

// A file's name of Google's is checked like an id where files are known.
func TestDecodeChat_FileName(t *testing.T) {
	o := Options{File: func(id string) (string, string, *translate.Failure) {
		if id != "files/abc" {
			return "", "", NoSuchFile("", id)
		}
		return filesAPI + "abc", "video/mp4", nil
	}}
	doc := func(u string) string {
		return `{"model":"` + m3 + `","messages":[{"role":"user","content":[{"type":"video_url","video_url":{"url":"` + u + `"}}]}]}`
	}
	for _, u := range []string{"files/abc", filesAPI + "abc"} {
		sameJSON(t, upstream(t, decodeWith(t, requestEnv(), o, doc(u)))["contents"],
			`[{"role":"user","parts":[{"fileData":{"mimeType":"video/mp4","fileUri":"`+filesAPI+`abc"}}]}]`)
	}
	for _, u := range []string{"files/xyz", filesAPI + "xyz"} {
		_, f := DecodeChat(requestEnv(), o, []byte(doc(u)))
		if f == nil || f.Kind != translate.NotFound || f.Param != "messages[0].content[0].video_url.url" {
			t.Errorf("%s: %v", u, f)
		}
	}
}
