// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/translate/openai"
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

// TestFiles_Owner: for everybody but its owner a file does not exist.
func TestFiles_Owner(t *testing.T) {
	w := newWorld(t, keys(3))
	f := w.put("a.txt", "mine")
	_, name, _ := openai.ParseFileID(f.ID)
	other := w.other()
	asked := w.google.Count()
	responses := fmt.Sprintf(`{"model":%q,"input":[{"role":"user","content":[{"type":"input_file","file_id":%%q}]}]}`, model)
	image := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":%%q}}]}]}`, model)
	for _, id := range []string{f.ID, "file-" + strings.Repeat("a", 12), "file-0-abc", strings.Replace(f.ID, "file-", "file-0", 1)} {
		for what, a := range map[string]answer{
			"get":       w.do(t.Context(), http.MethodGet, "/v1/files/"+id, "", "Authorization", other),
			"delete":    w.do(t.Context(), http.MethodDelete, "/v1/files/"+id, "", "Authorization", other),
			"content":   w.do(t.Context(), http.MethodGet, "/v1/files/"+id+"/content", "", "Authorization", other),
			"chat":      w.post("/v1/chat/completions", fmt.Sprintf(image, name), "Authorization", other),
			"by URI":    w.post("/v1/chat/completions", fmt.Sprintf(image, "https://generativelanguage.googleapis.com/v1beta/"+name), "Authorization", other),
			"responses": w.post("/v1/responses", fmt.Sprintf(responses, id), "Authorization", other),
			"counting":  w.post("/v1/responses/input_tokens", fmt.Sprintf(responses, id), "Authorization", other),
		} {
			if a.status != 404 || !strings.Contains(a.body, "No such File object: file") || !strings.Contains(a.body, `"code":null`) {
				t.Errorf("%s of %s: %d %s", what, id, a.status, a.body)
			}
		}
	}
	if a := w.do(t.Context(), http.MethodGet, "/v1/files", "", "Authorization", other); a.status != 200 || !strings.Contains(a.body, `"data":[]`) {
		t.Errorf("list: %d %s", a.status, a.body)
	}
	if w.google.Count() != asked {
		t.Error("Google was asked about a file of another user")
	}
	for _, ref := range []string{name, "https://generativelanguage.googleapis.com/v1beta/" + name} {
		if a := w.post("/v1/chat/completions", fmt.Sprintf(image, ref)); a.status != 200 {
			t.Errorf("the owner, by %s: %d %s", ref, a.status, a.body)
		}
	}
	if a := w.post("/v1/responses/input_tokens", fmt.Sprintf(responses, f.ID)); a.status != 200 {
		t.Errorf("the owner, counting: %d %s", a.status, a.body)
	}
	if v := w.google.Violations(); len(v) > 0 {
		t.Error(v)
	}
}

// TestFiles_Bound: a request with a file waits for the file's project, or is told
// when it is back; no other project is asked, by no model of a chain and by no
// retry.
func TestFiles_Bound(t *testing.T) {
	for name, tc := range map[string]struct {
		rule   fakegemini.Rule
		status int
		asked  int // attempts
	}{
		"minute used up": {fakegemini.Rule{Steer: fakegemini.Steer{Status: 429, RetryInfo: 40 * time.Second}}, 429, 2},
		"overloaded":     {fakegemini.Rule{Steer: fakegemini.Steer{Status: 503}}, 503, 6},
		"hiccup":         {fakegemini.Rule{Times: 1, Steer: fakegemini.Steer{Status: 500}}, 200, 2},
		"first model":    {fakegemini.Rule{Model: "gemini-3.5-flash", Steer: fakegemini.Steer{Status: 503}}, 200, 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBubble(t, keys(4), func(c *Config) {
					c.Aliases = []settings.Alias{{Name: "smart", Targets: []string{"gemini-3.5-flash", "gemini-2.5-flash"}}}
				})
				patchWait(t, w, 0)
				f := w.put("a.txt", "text")
				project := w.owner(4)
				w.google.Script(tc.rule)
				for range 2 { // the second meets the project resting, where it does
					a := w.post("/v1/chat/completions", fmt.Sprintf(`{"model":"smart","messages":[{"role":"user","content":[{"type":"file","file":{"file_id":%q}}]}]}`, f.ID))
					if a.status != tc.status && tc.rule.Times == 0 {
						t.Errorf("%d %s, want %d", a.status, a.body, tc.status)
					}
					if tc.status == 429 && a.header.Get("Retry-After") == "" {
						t.Error("no Retry-After")
					}
					if n := w.google.Count(fakegemini.Attempts); n < tc.asked {
						t.Errorf("%d attempts, want %d", n, tc.asked)
					}
				}
				for _, e := range w.google.Entries(fakegemini.Attempts) {
					if e.Project != project {
						t.Errorf("%s was asked for a file of %s", e.Project, project)
					}
				}
				if v := w.google.Violations(); len(v) > 0 {
					t.Error(v)
				}
			})
		})
	}
}

// TestFiles_Batch: all calls of a request that takes several are bound.
func TestFiles_Batch(t *testing.T) {
	w := newWorld(t, keys(5))
	f := w.put("a.txt", "text")
	for _, stream := range []bool{false, true} {
		for n := range 4 {
			if stream && n > 0 {
				continue
			}
			a := w.post("/v1/chat/completions", fmt.Sprintf(`{"model":%q,"n":%d,"stream":%v,"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":%q}}]}]}`, model, n+1, stream, f.ID))
			if a.status != 200 {
				t.Errorf("n %d, stream %v: %d %s", n+1, stream, a.status, a.body)
			}
		}
	}
	if v := w.google.Violations(); len(v) > 0 {
		t.Error(v)
	}
}

// TestFiles_Wait: within retry.wait the request waits for the project of its file.
func TestFiles_Wait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, keys(3))
		patchWait(t, w, 30*time.Second)
		f := w.put("a.txt", "text")
		w.google.Script(fakegemini.Rule{Times: 1, Steer: fakegemini.Steer{Status: 429, RetryInfo: 12 * time.Second}})
		began := time.Now()
		if a := w.about(f.ID); a.status != 200 || time.Since(began) < 12*time.Second || time.Since(began) > 20*time.Second {
			t.Errorf("%d after %v: %s", a.status, time.Since(began), a.body)
		}
		if v := w.google.Violations(); len(v) > 0 {
			t.Error(v)
		}
	})
}

// TestFiles_OtherKey: another key of the file's project takes over, and deleting
// works with it, too.
func TestFiles_OtherKey(t *testing.T) {
	google := keys(4)
	google.Keys[1].Project, google.Keys[3].Project = "p1", "p3" // two projects of two keys
	w := newWorld(t, google)
	for _, k := range google.Keys {
		must(t, w.pool.Delete(t.Context(), balancer.KeyID(k.Secret)))
		_, err := w.pool.Add(t.Context(), []balancer.NewKey{{Secret: k.Secret, Project: k.Project}})
		must(t, err)
	}
	f := w.put("a.txt", "text")
	maker := w.google.Entries(fakegemini.ByMethod("files.start"))[0]
	w.google.SetKeyState(maker.Key, fakegemini.KeyInvalid)
	if a := w.about(f.ID); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	must(t, w.pool.Delete(t.Context(), balancer.KeyID(maker.Key)))
	if a := w.about(f.ID); a.status != 200 {
		t.Errorf("its key is gone: %d %s", a.status, a.body)
	}
	for _, k := range google.Keys {
		if k.Project == maker.Project && k.Secret != maker.Key {
			must(t, w.pool.Delete(t.Context(), balancer.KeyID(k.Secret)))
		}
	}
	if a := w.about(f.ID); a.status != 404 || !strings.Contains(a.body, "project") {
		t.Errorf("its project is gone: %d %s", a.status, a.body)
	}
	if a := w.do(t.Context(), http.MethodDelete, "/v1/files/"+f.ID, ""); a.status != 200 {
		t.Errorf("delete: %d %s", a.status, a.body)
	}
	if v := w.google.Violations(fakegemini.Foreign); len(v) > 0 {
		t.Error(v)
	}
}

// TestFiles_TwoProjects: a user's files go to one project; where that could not
// be, a request that names files of two is refused, naming the field.
func TestFiles_TwoProjects(t *testing.T) {
	w := newWorld(t, keys(6))
	a, b := w.put("a.txt", "a"), w.put("b.txt", "b")
	if got := w.about(a.ID, b.ID); got.status != 200 {
		t.Fatalf("two files of a user: %d %s", got.status, got.body)
	}
	remove := w.google.Script(fakegemini.Rule{Method: "files.start", Project: w.owner(6), Steer: fakegemini.Steer{Status: 403, Body: `{"error":{"code":403,"message":"Your project has been denied access. Please contact support.","status":"PERMISSION_DENIED"}}`}})
	c := w.put("c.txt", "c")
	remove()
	got := w.about(a.ID, b.ID, c.ID)
	if got.status != 400 || !strings.Contains(got.body, `"param":"messages[0].content[3].file.file_id"`) || !strings.Contains(got.body, "project") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := w.about(c.ID); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestFiles_Gone: a file that was deleted at Google is forgotten.
func TestFiles_Gone(t *testing.T) {
	w := newWorld(t, keys(3))
	f, g := w.put("a.txt", "text"), w.put("b.txt", "text")
	_, name, _ := openai.ParseFileID(f.ID)
	w.google.RemoveFile(w.owner(3), name)
	for range 2 {
		if a := w.about(g.ID, f.ID); a.status != 404 || !strings.Contains(a.body, "No such File object: "+f.ID) {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if a := w.do(t.Context(), http.MethodGet, "/v1/files", ""); strings.Contains(a.body, f.ID) || !strings.Contains(a.body, g.ID) {
		t.Error(a.body)
	}
	if n := w.google.Count(fakegemini.Attempts); n != 1 {
		t.Errorf("%d attempts", n)
	}
	if s := w.pool.Stats(); s.Resting > 0 || s.Usable != 3 {
		t.Errorf("keys suffered: %+v", s)
	}
}

// TestFiles_Processing: a request waits until its video can be used; one that
// takes too long, or fails, is told so.
func TestFiles_Processing(t *testing.T) {
	for name, tc := range map[string]struct {
		file, status string
		takes        time.Duration
		want         int
		text         string
		least, most  time.Duration
	}{
		"soon":     {"a.mp4", "processed", 4 * time.Second, 200, `"object":"chat.completion"`, 4 * time.Second, 9 * time.Second},
		"too long": {"a.mp4", "uploaded", time.Hour, 400, "not in an ACTIVE state", 50 * time.Second, time.Minute},
		"failed":   {"broken.mp4", "error", 2 * time.Second, 400, "could not process", 2 * time.Second, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				google := keys(3)
				google.FileProcessing = tc.takes
				w := newBubble(t, google)
				f := w.put(tc.file, "pictures")
				if f.Status != "uploaded" {
					t.Errorf("uploaded: %+v", f)
				}
				began := time.Now()
				if a := w.about(f.ID); a.status != tc.want || !strings.Contains(a.body, tc.text) {
					t.Errorf("%d %s", a.status, a.body)
				}
				if took := time.Since(began); took < tc.least || took > tc.most {
					t.Errorf("it took %v", took)
				}
				for _, path := range []string{"/v1/files/" + f.ID, "/v1/files"} {
					if a := w.do(t.Context(), http.MethodGet, path, ""); !strings.Contains(a.body, `"status":"`+tc.status+`"`) {
						t.Errorf("%d %s", a.status, a.body)
					}
				}
				asked := w.google.Count(fakegemini.ByMethod("files.get"))
				if tc.want == 200 {
					if a := w.about(f.ID); a.status != 200 || w.google.Count(fakegemini.ByMethod("files.get")) != asked {
						t.Errorf("asked again about a file that is ready: %d %s", a.status, a.body)
					}
				}
			})
		})
	}
}

// TestFiles_Restart: what is known of files outlives the process, and ends with
// them.
func TestFiles_Restart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var config Config
		w := newBubble(t, keys(4), func(c *Config) { config = *c })
		f := w.put("a.txt", "text")
		config.Resources = NewResources(config.Resources.store, config.Resources.sealer, 0)
		again, err := New(config)
		must(t, err)
		w.gw = again
		if a := w.about(f.ID); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
		time.Sleep(48*time.Hour - time.Minute)
		if a := w.about(f.ID); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
		time.Sleep(time.Minute)
		if a := w.about(f.ID); a.status != 404 {
			t.Errorf("after 48 h: %d %s", a.status, a.body)
		}
		if v := w.google.Violations(); len(v) > 0 {
			t.Error(v)
		}
	})
}

// TestFiles_List: pages in both orders, by purpose, also when files are deleted
// on the way.
func TestFiles_List(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, keys(2))
		var ids []string
		for i := range 7 {
			kind, body := form(t, "file", fmt.Sprint(i, ".txt"), []byte("x"), "purpose", []string{"vision", "assistants"}[i%2])
			a := w.post("/v1/files", body, "Content-Type", kind)
			var f uploaded
			must(t, json.Unmarshal([]byte(a.body), &f))
			ids = append(ids, f.ID)
			time.Sleep(time.Second)
		}
		page := func(query string) (names []string, last string, more bool) {
			t.Helper()
			var list struct {
				Data        []uploaded
				First, Last *string
				More        bool `json:"has_more"`
			}
			a := w.do(t.Context(), http.MethodGet, "/v1/files?"+query, "")
			if err := json.Unmarshal([]byte(a.body), &list); err != nil || a.status != 200 {
				t.Fatalf("%s: %d %s", query, a.status, a.body)
			}
			for _, f := range list.Data {
				names, last = append(names, f.Filename[:1]), f.ID
			}
			return names, last, list.More
		}
		for query, want := range map[string]string{
			"":                                  "[6 5 4 3 2 1 0] false",
			"order=asc":                         "[0 1 2 3 4 5 6] false",
			"limit=3":                           "[6 5 4] true",
			"limit=2&order=asc&after=" + ids[2]: "[3 4] true",
			"limit=9&after=" + ids[2]:           "[1 0] false",
			"purpose=vision":                    "[6 4 2 0] false",
			"purpose=vision&limit=2":            "[6 4] true",
			"purpose=batch":                     "[] false",
			"after=" + ids[0]:                   "[] false",
		} {
			if names, _, more := page(query); fmt.Sprint(names, " ", more) != want {
				t.Errorf("%s: %v %v, want %s", query, names, more, want)
			}
		}
		seen, query := 0, "limit=2"
		for more := true; more; {
			var names []string
			var last string
			names, last, more = page(query)
			seen += len(names)
			if a := w.do(t.Context(), http.MethodDelete, "/v1/files/"+last, ""); a.status != 200 {
				t.Fatal(a.body)
			}
			query = "limit=2&after=" + last
		}
		if seen != 7 {
			t.Errorf("%d files seen while some were deleted", seen)
		}
		for _, query := range []string{"limit=0", "limit=x", "limit=10001", "order=up", "after=x"} {
			if a := w.do(t.Context(), http.MethodGet, "/v1/files?"+query, ""); a.status != 400 || !strings.Contains(a.body, `"param":"`+query[:5]) {
				t.Errorf("%s: %d %s", query, a.status, a.body)
			}
		}
	})
}
