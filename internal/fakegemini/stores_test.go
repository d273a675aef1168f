// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"strings"
	"testing"
)

func TestStores(t *testing.T) {
	s := twoProjects(Config{OperationPolls: 1})
	store := field(t, ring(s, "POST", "/v1beta/fileSearchStores", "a", `{"displayName":"My Books!"}`), "name")
	if !strings.HasPrefix(store, "fileSearchStores/my-books-") {
		t.Error(store)
	}
	file := sendFile(t, s, "a", "text/plain", "words")
	const noStore = "You do not have permission to access the file search store my-books-"
	at, imports := "/v1beta/"+store, `{"fileName":"`+file+`","customMetadata":[{"key":"k","stringValue":"v"}]}`
	walk(t, s, []step{
		{"get", "b", "GET", at, "", 200, `"displayName": "My Books!"`},
		{"get of another project", "c", "GET", at, "", 403, noStore},
		{"list", "b", "GET", "/v1beta/fileSearchStores", "", 200, store},
		{"list of another", "c", "GET", "/v1beta/fileSearchStores", "", 200, "{}"},
		{"import into another's", "c", "POST", at + ":importFile", imports, 403, noStore},
		{"import of no file", "a", "POST", at + ":importFile", `{"fileName":"files/none"}`, 403, "access the File none"},
	})
	op := field(t, ring(s, "POST", at+":importFile", "b", imports), "name")
	walk(t, s, []step{
		{"not done", "b", "GET", "/v1beta/" + op, "", 200, op},
		{"no document yet", "b", "GET", at + "/documents", "", 200, "{}"},
		{"of another project", "c", "GET", "/v1beta/" + op, "", 404, "NOT_FOUND"},
	})
	document := field(t, ring(s, "GET", "/v1beta/"+op, "b", ""), "response", "documentName")
	ask := `{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"tools":[{"file_search":{"file_search_store_names":["` + store + `"]}}]}`
	const model = "/v1beta/models/gemini-3.8-flash:generateContent"
	walk(t, s, []step{
		{"document", "a", "GET", "/v1beta/" + document, "", 200, `"stringValue": "v"`},
		{"documents", "a", "GET", at + "/documents", "", 200, document},
		{"document of another project", "c", "GET", "/v1beta/" + document, "", 403, "access the Document"},
		{"documents of another project", "c", "GET", at + "/documents", "", 403, noStore},
		{"searched", "b", "POST", model, ask, 200, "candidates"},
		{"searched by another project", "c", "POST", model, ask, 403, noStore},
		{"by an interaction of another", "c", "POST", "/v1/interactions", `{"model":"gemini-3.8-flash","input":"x","tools":[{"type":"file_search","file_search_store_names":["` + store + `"]}]}`, 403, noStore},
		{"delete while full", "a", "DELETE", at, "", 400, "Cannot delete non-empty FileSearchStore."},
		{"delete by another", "c", "DELETE", at + "?force=true", "", 403, noStore},
		{"delete a document", "a", "DELETE", "/v1beta/" + document, "", 400, "non-empty Document"},
		{"with its chunks", "a", "DELETE", "/v1beta/" + document + "?force=true", "", 200, "{}"},
		{"delete while empty", "a", "DELETE", at, "", 200, "{}"},
		{"deleted", "a", "GET", at, "", 403, noStore},
	})
	if got := s.Resources("p", "fileSearchStores/"); len(got) != 0 {
		t.Error(got)
	}
}

func TestStores_Upload(t *testing.T) {
	s := twoProjects(Config{})
	store := field(t, ring(s, "POST", "/v1beta/fileSearchStores", "a", `{}`), "name")
	target := "/upload/v1beta/" + store + ":uploadToFileSearchStore"
	start := func(key string) (int, string) {
		w := ring(s, "POST", target, key, `{"displayName":"notes"}`, "X-Goog-Upload-Protocol", "resumable", "X-Goog-Upload-Command", "start", "X-Goog-Upload-Header-Content-Type", "text/plain")
		return w.Code, strings.TrimPrefix(w.Header().Get("X-Goog-Upload-Url"), "http://example.com")
	}
	if status, _ := start("c"); status != 403 {
		t.Errorf("another project's store: %d", status)
	}
	status, at := start("a")
	if status != 200 || !strings.HasPrefix(at, target) {
		t.Fatal(status, at)
	}
	op := field(t, ring(s, "POST", at, "", "words", "X-Goog-Upload-Command", "upload, finalize", "X-Goog-Upload-Offset", "0"), "name")
	if !strings.HasPrefix(op, store+"/upload/operations/") {
		t.Error(op)
	}
	document := field(t, ring(s, "GET", "/v1beta/"+op, "b", ""), "response", "documentName")
	walk(t, s, []step{{"document", "b", "GET", "/v1beta/" + document, "", 200, `"displayName": "notes"`}})
	w := ring(s, "POST", target, "a", "more", "X-Goog-Upload-Protocol", "raw", "Content-Type", "text/plain")
	if w.Code != 200 || !strings.Contains(w.Body.String(), "/upload/operations/") {
		t.Errorf("in one request: %d %s", w.Code, w.Body)
	}
}

func TestUploads_Whole(t *testing.T) {
	s := twoProjects(Config{})
	body := "--b\r\nContent-Type: application/json\r\n\r\n{\"file\":{\"displayName\":\"d\"}}\r\n--b\r\nContent-Type: image/png\r\n\r\nPNG\r\n--b--\r\n"
	for name, w := range map[string]string{
		"multipart":           ring(s, "POST", "/upload/v1beta/files?uploadType=multipart", "a", body, "Content-Type", "multipart/related; boundary=b").Body.String(),
		"multipart by header": ring(s, "POST", "/upload/v1beta/files", "a", body, "Content-Type", `multipart/related; boundary="b"`, "X-Goog-Upload-Protocol", "multipart").Body.String(),
		"raw":                 ring(s, "POST", "/upload/v1/files", "a", "PNG", "Content-Type", "image/png", "X-Goog-Upload-Protocol", "raw").Body.String(),
	} {
		if !strings.Contains(w, `"sizeBytes": "3"`) || !strings.Contains(w, `"mimeType": "image/png"`) || strings.Contains(w, `"displayName": "d"`) == (name == "raw") {
			t.Errorf("%s: %s", name, w)
		}
	}
	walk(t, s, []step{
		{"no protocol", "a", "POST", "/upload/v1beta/files", "x", 400, "Invalid upload protocol"},
		{"no multipart", "a", "POST", "/upload/v1beta/files?uploadType=multipart", "x", 400, "Invalid multipart request"},
		{"metadata alone", "a", "POST", "/v1beta/files", `{"file":{"name":"files/mine"}}`, 200, `"files/mine"`},
	})
}

func TestEnvironmentFiles(t *testing.T) {
	s := twoProjects(Config{})
	environment := field(t, ring(s, "POST", "/v1/environments", "a", `{}`), "id")
	path := "/v1/environments/" + environment + "/files"
	start := func(key string) string {
		w := ring(s, "PUT", "/upload"+path+"/src/main.go?overwrite=true", key, "", "X-Goog-Upload-Protocol", "resumable", "X-Goog-Upload-Command", "start", "X-Goog-Upload-Header-Content-Type", "text/x-go")
		return strings.TrimPrefix(w.Header().Get("X-Goog-Upload-Url"), "http://example.com")
	}
	if at := start("c"); at != "" {
		t.Errorf("another project's environment: %s", at)
	}
	if w := ring(s, "POST", start("a"), "a", "package main", "X-Goog-Upload-Command", "upload, finalize", "X-Goog-Upload-Offset", "0"); w.Code != 200 || !strings.Contains(w.Body.String(), `"path": "src/main.go"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	walk(t, s, []step{
		{"list", "b", "GET", path, "", 200, `"src/main.go"`},
		{"directory", "b", "GET", path + "/src", "", 200, `"src/main.go"`},
		{"file", "b", "GET", path + "/src/main.go", "", 200, `"size_bytes":"12"`},
		{"bytes", "b", "GET", path + "/src/main.go?alt=media", "", 200, "package main"},
		{"nothing", "b", "GET", path + "/other", "", 404, "not_found"},
		{"of another project", "c", "GET", path + "/src/main.go", "", 404, "not_found"},
	})
}

func TestTuned(t *testing.T) {
	s := twoProjects(Config{})
	made := ring(s, "POST", "/v1beta/tunedModels?tunedModelId=mine", "a", `{"displayName":"d","baseModel":"models/gemini-2.5-flash","tuningTask":{}}`)
	op := field(t, made, "name")
	if field(t, made, "metadata", "tunedModel") != "tunedModels/mine" || !strings.HasPrefix(op, "tunedModels/mine/operations/") {
		t.Error(made.Body)
	}
	const at, foreign = "/v1beta/tunedModels/mine", "You do not have permission to access tuned model tunedModels/mine."
	walk(t, s, []step{
		{"the name again", "a", "POST", "/v1beta/tunedModels?tunedModelId=mine", `{"baseModel":"models/gemini-2.5-flash"}`, 409, "ALREADY_EXISTS"},
		{"creating", "b", "GET", at, "", 200, `"state": "CREATING"`},
		{"done", "b", "GET", "/v1beta/" + op, "", 200, `"done": true`},
		{"active", "b", "GET", at, "", 200, `"state": "ACTIVE"`},
		{"list", "b", "GET", "/v1beta/tunedModels", "", 200, `"tunedModels/mine"`},
		{"generate", "b", "POST", at + ":generateContent", say("hi"), 200, `"modelVersion": "gemini-2.5-flash"`},
		{"another project", "c", "GET", at, "", 403, foreign},
		{"generate by another", "c", "POST", at + ":generateContent", say("hi"), 403, foreign},
		{"list of another", "c", "GET", "/v1beta/tunedModels", "", 200, "{}"},
		{"none", "a", "GET", "/v1beta/tunedModels/none", "", 404, "does not exist"},
		{"no base", "a", "POST", "/v1beta/tunedModels", `{}`, 404, "does not support tuning"},
		{"patch", "b", "PATCH", at + "?updateMask=displayName", `{"displayName":"e"}`, 200, `"displayName": "e"`},
		{"permission", "b", "POST", at + "/permissions", `{"role":"READER"}`, 200, "tunedModels/mine/permissions/"},
		{"permissions", "b", "GET", at + "/permissions", "", 200, `"READER"`},
		{"permissions of another", "c", "GET", at + "/permissions", "", 403, foreign},
		{"transfer", "b", "POST", at + ":transferOwnership", `{"emailAddress":"a@example.com"}`, 200, "{}"},
		{"delete by another", "c", "DELETE", at, "", 403, foreign},
		{"delete", "b", "DELETE", at, "", 200, "{}"},
	})
	corpus := "/v1beta/" + field(t, ring(s, "POST", "/v1beta/corpora", "a", `{"displayName":"d"}`), "name")
	walk(t, s, []step{
		{"corpus", "b", "GET", corpus, "", 200, "corpora/"},
		{"corpora", "b", "GET", "/v1beta/corpora", "", 200, "corpora/"},
		{"corpus of another", "c", "GET", corpus, "", 403, "access the Corpus"},
		{"delete corpus", "b", "DELETE", corpus, "", 200, "{}"},
	})
}

func TestPredict(t *testing.T) {
	s := twoProjects(Config{})
	const at = "/v1beta/models/imagen-4.0-generate-001:predict"
	walk(t, s, []step{
		{"picture", "a", "POST", at, `{"instances":[{"prompt":"a cat"}]}`, 200, onePixel},
		{"nothing", "a", "POST", at, `{}`, 400, "instances is not specified"},
		{"steered", "a", "POST", at, `{"instances":[{"prompt":"[[status 503]]"}]}`, 503, "UNAVAILABLE"},
	})
}
