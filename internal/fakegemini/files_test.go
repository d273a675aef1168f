// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// ring asks the handler without a network.
func ring(s *Server, method, target, key, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if key != "" {
		r.Header.Set("X-Goog-Api-Key", key)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// openUpload starts an upload and returns its URL's path and query.
func openUpload(t *testing.T, s *Server, key, body, mime string) string {
	t.Helper()
	w := ring(s, "POST", "/upload/v1beta/files", key, body, "X-Goog-Upload-Protocol", "resumable", "X-Goog-Upload-Command", "start", "X-Goog-Upload-Header-Content-Type", mime)
	at := w.Header().Get("X-Goog-Upload-Url")
	if w.Code != 200 || w.Body.Len() > 0 || w.Header().Get("X-Goog-Upload-Status") != "active" || w.Header().Get("X-Goog-Upload-Chunk-Granularity") != "262144" ||
		!strings.HasPrefix(at, "http://example.com/upload/v1beta/files?upload_id=") {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	return strings.TrimPrefix(at, "http://example.com")
}

func TestFiles(t *testing.T) {
	c := &clock{t: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	s := New(Config{Now: c.now, FileProcessing: time.Minute, Keys: []Key{{Secret: "a", Project: "p"}, {Secret: "b", Project: "p"}, {Secret: "c"}}})
	at := openUpload(t, s, "a", `{"file":{"display_name":"clip"}}`, "video/mp4")
	step := func(key, command, offset, body string) *httptest.ResponseRecorder {
		return ring(s, "POST", at, key, body, "X-Goog-Upload-Command", command, "X-Goog-Upload-Offset", offset)
	}
	chunk := strings.Repeat("x", granularity)
	for _, v := range []struct {
		name, key, command, offset, body string
		status                           int
		state, received                  string
	}{
		{"wrong offset", "a", "upload", "5", chunk, 400, "active", "0"},
		{"odd size", "a", "upload", "0", "xyz", 400, "active", "0"},
		{"first chunk", "a", "upload", "0", chunk, 200, "active", "262144"},
		{"query, without a key", "", "query", "", "", 200, "active", "262144"},
		{"unknown command", "a", "dance", "", "", 400, "active", "262144"},
		{"last chunk", "", "upload, finalize", "262144", "end", 200, "final", "262147"},
		{"query of the end", "a", "query", "", "", 200, "final", "262147"},
		{"more", "a", "upload", "262147", chunk, 400, "final", "262147"},
	} {
		w := step(v.key, v.command, v.offset, v.body)
		if w.Code != v.status || w.Header().Get("X-Goog-Upload-Status") != v.state || w.Header().Get("X-Goog-Upload-Size-Received") != v.received {
			t.Errorf("%s: %d %v %s", v.name, w.Code, w.Header(), w.Body)
		}
	}
	var end struct {
		File struct{ Name, URI, State, SizeBytes, DisplayName, MimeType, ExpirationTime string }
	}
	if err := json.Unmarshal(step("a", "query", "", "").Body.Bytes(), &end); err != nil {
		t.Fatal(err)
	}
	f := end.File
	if f.State != "PROCESSING" || f.SizeBytes != "262147" || f.DisplayName != "clip" || f.MimeType != "video/mp4" ||
		f.URI != "https://generativelanguage.googleapis.com/v1beta/"+f.Name || f.ExpirationTime != "2026-11-27T12:00:00.000000Z" {
		t.Errorf("%+v", f)
	}
	ask := func(key string) *httptest.ResponseRecorder {
		return post(s, key, fmt.Sprintf(`{"contents":[{"role":"user","parts":[{"text":"hi"},{"fileData":{"fileUri":%q,"mimeType":"video/mp4"}}]}]}`, f.URI))
	}
	denied := "You do not have permission to access the File " + strings.TrimPrefix(f.Name, "files/") + " or it may not exist."
	check := func(what string, w *httptest.ResponseRecorder, status int, text string) {
		t.Helper()
		if w.Code != status || !strings.Contains(w.Body.String(), text) {
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
		}
	}
	check("processing", ask("a"), 400, "is not in an ACTIVE state")
	c.add(time.Minute)
	check("active", ask("b"), 200, "candidates")
	check("another project", ask("c"), 403, denied)
	check("get", ring(s, "GET", "/v1beta/"+f.Name, "b", ""), 200, `"state": "ACTIVE"`)
	check("get by another", ring(s, "GET", "/v1beta/"+f.Name, "c", ""), 403, denied)
	check("delete by another", ring(s, "DELETE", "/v1beta/"+f.Name, "c", ""), 403, denied)
	if v := s.Violations(Foreign); len(v) != 3 {
		t.Errorf("violations: %v", v)
	}
	check("list", ring(s, "GET", "/v1beta/files", "b", ""), 200, f.Name)
	if w := ring(s, "GET", "/v1beta/files", "c", ""); w.Code != 200 || strings.TrimSpace(w.Body.String()) != "{}" {
		t.Errorf("list of another: %s", w.Body)
	}
	if got := s.Files("p"); len(got) != 1 || got[0] != f.Name {
		t.Error(got)
	}
	c.add(48 * time.Hour)
	check("expired", ring(s, "GET", "/v1beta/"+f.Name, "b", ""), 403, denied)
	if len(s.Files("p")) != 0 {
		t.Error("expired, and listed")
	}
}

func TestFiles_Pages(t *testing.T) {
	s := New(Config{Keys: []Key{{Secret: "a"}}})
	for i := range 5 {
		at := openUpload(t, s, "a", fmt.Sprintf(`{"file":{"name":"files/f%d"}}`, i), "text/plain")
		if w := ring(s, "POST", at, "a", "x", "X-Goog-Upload-Command", "upload, finalize", "X-Goog-Upload-Offset", "0"); w.Code != 200 {
			t.Fatal(w.Body)
		}
	}
	seen, token := map[string]bool{}, ""
	for range 3 {
		var page struct {
			Files         []struct{ Name string }
			NextPageToken string
		}
		if err := json.Unmarshal(ring(s, "GET", "/v1beta/files?pageSize=2&pageToken="+token, "a", "").Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		for _, f := range page.Files {
			seen[f.Name] = true
		}
		token = page.NextPageToken
	}
	if len(seen) != 5 || token != "" {
		t.Errorf("%v, token %q", seen, token)
	}
	w := ring(s, "POST", "/upload/v1beta/files", "a", `{"file":{"name":"files/f1"}}`, "X-Goog-Upload-Protocol", "resumable", "X-Goog-Upload-Command", "start")
	if w.Code != http.StatusConflict {
		t.Errorf("the same name again: %d %s", w.Code, w.Body)
	}
	if w := ring(s, "DELETE", "/v1beta/files/f1", "a", ""); w.Code != 200 || !bytes.Equal(bytes.TrimSpace(w.Body.Bytes()), []byte("{}")) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ring(s, "POST", "/upload/v1beta/files?upload_id=none", "", "x", "X-Goog-Upload-Command", "upload, finalize"); w.Code != 404 {
		t.Errorf("an unknown upload: %d %s", w.Code, w.Body)
	}
	at := openUpload(t, s, "a", "", "text/plain")
	ring(s, "POST", at, "a", "", "X-Goog-Upload-Command", "cancel")
	if w := ring(s, "POST", at, "a", "x", "X-Goog-Upload-Command", "upload, finalize", "X-Goog-Upload-Offset", "0"); w.Code != 400 {
		t.Errorf("a cancelled upload goes on: %d", w.Code)
	}
}
