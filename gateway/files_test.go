// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// uploaded is what the files endpoints answer.
type uploaded struct {
	ID, Object, Filename, Purpose, Status string
	Bytes                                 int64
	CreatedAt                             int64 `json:"created_at"`
	ExpiresAt                             int64 `json:"expires_at"`
}

// put uploads a file and fails the test if that does not work.
func (w *world) put(name, data string, header ...string) uploaded {
	w.t.Helper()
	kind, body := form(w.t, "file", name, []byte(data), "purpose", "user_data")
	a := w.post("/v1/files", body, append([]string{"Content-Type", kind}, header...)...)
	var f uploaded
	if err := json.Unmarshal([]byte(a.body), &f); err != nil || a.status != 200 {
		w.t.Fatalf("upload of %s: %d %s", name, a.status, a.body)
	}
	return f
}

// about asks for something with files.
func (w *world) about(files ...string) answer {
	w.t.Helper()
	parts := `{"type":"text","text":"What is it?"}`
	for _, id := range files {
		parts += fmt.Sprintf(`,{"type":"file","file":{"file_id":%q}}`, id)
	}
	return w.post("/v1/chat/completions", fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":[%s]}]}`, model, parts))
}

// other makes another user key.
func (w *world) other() string {
	w.t.Helper()
	_, secret, err := w.users.Create(w.t.Context(), users.Spec{Name: "other", Unlimited: true})
	must(w.t, err)
	return "Bearer " + secret
}

// owner is the project that has a file.
func (w *world) owner(n int) string {
	w.t.Helper()
	found := ""
	for i := range n {
		if p := fmt.Sprint("p", i+1); len(w.google.Files(p)) > 0 {
			if found != "" {
				w.t.Fatalf("files in %s and %s", found, p)
			}
			found = p
		}
	}
	return found
}

// TestFiles: a file lives from its upload to its deletion, under every prefix, and
// a request that names it goes to its project.
func TestFiles(t *testing.T) {
	w := newWorld(t, keys(5))
	f := w.put("notes.txt", "some notes")
	if !strings.HasPrefix(f.ID, "file-") || f.Object != "file" || f.Bytes != 10 || f.Filename != "notes.txt" || f.Purpose != "user_data" ||
		f.Status != "processed" || f.ExpiresAt-f.CreatedAt != 48*3600 {
		t.Errorf("uploaded: %+v", f)
	}
	get := func(path string) answer { return w.do(t.Context(), http.MethodGet, path, "") }
	for _, prefix := range []string{"/v1", "/openai/v1", "/v1beta/openai"} {
		var one uploaded
		var list struct {
			Object string
			Data   []uploaded
			More   bool `json:"has_more"`
		}
		a := get(prefix + "/files/" + f.ID)
		if err := json.Unmarshal([]byte(a.body), &one); err != nil || a.status != 200 || one != f {
			t.Errorf("%s: %d %s", prefix, a.status, a.body)
		}
		a = get(prefix + "/files")
		if err := json.Unmarshal([]byte(a.body), &list); err != nil || a.status != 200 || len(list.Data) != 1 || list.Data[0] != f || list.Object != "list" {
			t.Errorf("%s: %d %s", prefix, a.status, a.body)
		}
	}
	if a := get("/v1/files/" + f.ID + "/content"); a.status != 404 || !strings.Contains(a.body, "content_unavailable") {
		t.Errorf("content: %d %s", a.status, a.body)
	}
	project := w.owner(5)
	for range 10 {
		if a := w.about(f.ID); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	for _, e := range w.google.Entries(fakegemini.Attempts) {
		if e.Project != project || !strings.Contains(string(e.Body), `"fileData":{"mimeType":"text/plain","fileUri":"https://generativelanguage.googleapis.com/v1beta/files/`) {
			t.Errorf("%s, whose is the file, but asked was %s: %s", project, e.Project, e.Body)
		}
	}
	if a := w.do(t.Context(), http.MethodDelete, "/v1/files/"+f.ID, ""); a.status != 200 || a.body != fmt.Sprintf(`{"id":%q,"object":"file","deleted":true}`, f.ID) {
		t.Errorf("delete: %d %s", a.status, a.body)
	}
	if w.owner(5) != "" {
		t.Error("it is still at Google")
	}
	if a := get("/v1/files/" + f.ID); a.status != 404 || !strings.Contains(a.body, `"message":"No such File object: `+f.ID+`"`) {
		t.Errorf("after deletion: %d %s", a.status, a.body)
	}
	if v := w.google.Violations(); len(v) > 0 {
		t.Error(v)
	}
}
