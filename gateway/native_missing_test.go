// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

// TestNative_Missing: what Google says is gone is forgotten, and nothing else that
// the request was about.
func TestNative_Missing(t *testing.T) {
	w := newWorld(t, keys(1))
	store := nameOf(t, "fileSearchStores", w.post("/v1beta/fileSearchStores", `{"displayName":"s"}`).body)
	file := w.upload("mine", `{}`).File.Name
	w.google.RemoveFile("p1", file) // its two days are over
	if a := w.post("/v1beta/"+store+":importFile", `{"fileName":"`+file+`"}`); a.status != 404 || !strings.Contains(a.body, "File "+strings.TrimPrefix(file, "files/")) {
		t.Errorf("an import of a file that is gone: %d %s", a.status, a.body)
	}
	if a := w.get("/v1beta/" + store); a.status != 200 {
		t.Errorf("the store is lost: %d %s", a.status, a.body)
	}
	if a := w.get("/v1beta/fileSearchStores"); !strings.Contains(a.body, store) {
		t.Errorf("the store is listed no more: %s", a.body)
	}
	w.google.Forget()
	if a := w.get("/v1beta/" + file); a.status != 404 || w.google.Count() > 0 {
		t.Errorf("the file is not forgotten: %d %s, asked %d times", a.status, a.body, w.google.Count())
	}
}

// TestNative_MissingItself: what a request is itself about is forgotten if Google
// says of it, or of nothing else, that it is gone.
func TestNative_MissingItself(t *testing.T) {
	const store = "fileSearchStores/s-1"
	for _, tc := range []struct {
		name, method, path, message string
		lost                        bool
	}{
		{"read", "GET", store, "Requested entity was not found.", true},
		{"deleted", "DELETE", store, "Requested entity was not found.", true},
		{"named", "POST", store + ":importFile", "You do not have permission to access the file search store s-1 or it may not exist.", true},
		{"named in full", "POST", store + ":importFile", "You do not have permission to access file search store fileSearchStores/s-1.", true},
		{"another named", "POST", store + ":importFile", "You do not have permission to access the file search store s-12 or it may not exist.", false},
		{"another thing of that id", "POST", store + ":importFile", "You do not have permission to access the File s-1 or it may not exist.", false},
		{"a document of that id", "GET", store + "/documents/s-1", "You do not have permission to access the Document s-1 or it may not exist.", false},
		{"nothing named", "POST", store + ":importFile", "Requested entity was not found.", false},
		{"something below", "GET", store + "/documents/d", "Requested entity was not found.", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, keys(1), stub(t, func(rw http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				rw.Header().Set("Content-Type", "application/json")
				rw.WriteHeader(http.StatusNotFound)
				_, _ = io.WriteString(rw, `{"error":{"code":404,"message":"`+tc.message+`","status":"NOT_FOUND"}}`)
			}))
			key := balancer.KeyID(fakegemini.DemoKey(1))
			must(t, w.gw.Resources.put(w.user(), resource{Name: store, Bound: balancer.Binding{KeyID: key, Project: key}}, false))
			if a := w.do(t.Context(), tc.method, "/v1beta/"+tc.path, map[bool]string{true: "{}"}[tc.method == "POST"]); a.status != 404 {
				t.Fatalf("%d %s", a.status, a.body)
			}
			if _, err := w.gw.Resources.get(w.user(), store); (err != nil) != tc.lost {
				t.Errorf("its record: %v, want it lost: %v", err, tc.lost)
			}
		})
	}
}
