// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

const generate = "/v1beta/models/" + model + ":generateContent"

// makeIn makes a cache in the project of the nth key, for the world's user.
func (w *world) cacheIn(t *testing.T, n int) (name string) {
	t.Helper()
	w.moveHome(n)
	a := w.post("/v1beta/cachedContents", nativeKinds[0].make[2])
	if a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	name = nameOf(t, "cachedContents", a.body)
	if !slices.Contains(w.google.Resources(fmt.Sprint("p", n), name), name) {
		t.Fatalf("%s is not in p%d", name, n)
	}
	return name
}

// moveHome makes the project of the nth key the home of the world's user.
func (w *world) moveHome(n int) {
	w.t.Helper()
	id := balancer.KeyID(fakegemini.DemoKey(n))
	_, raw := w.gw.Resources.home(w.user())
	_, err := w.gw.Resources.move(w.user(), balancer.Binding{KeyID: id, Project: id}, raw)
	must(w.t, err)
}

// user is the id of the world's user key.
func (w *world) user() string {
	w.t.Helper()
	a, err := w.users.Authenticate(w.key)
	must(w.t, err)
	return a.Key().ID
}

// TestNative_Bound: what names a resource goes to its project, and nowhere else.
// Source: specs/native-anthropic.md F 6 to 8.
func TestNative_Bound(t *testing.T) {
	w := newWorld(t, keys(2))
	one, two := w.cacheIn(t, 1), w.cacheIn(t, 2)
	for range 4 {
		for i, name := range []string{one, two} {
			w.google.Forget()
			if a := w.post(generate, `{"cachedContent":"`+name+`",`+prompt+`}`); a.status != 200 {
				t.Fatalf("%d %s", a.status, a.body)
			}
			if got, want := w.google.Entries()[0].Project, fmt.Sprint("p", i+1); got != want {
				t.Errorf("%s is asked for what %s has", got, want)
			}
		}
	}
	w.google.Forget()
	both := w.post(generate, `{"cachedContent":"`+one+`","deep":{"er":[{"cached_content":"`+two+`"}]},`+prompt+`}`)
	if both.status != 400 || !strings.Contains(both.body, "INVALID_ARGUMENT") || !strings.Contains(both.body, "different upstream projects") || w.google.Count() > 0 {
		t.Errorf("of two projects: %d %s; Google was asked %d times", both.status, both.body, w.google.Count())
	}
	w.google.SetLimits("p1", model, fakegemini.Limits{RPM: 1})
	w.google.Forget()
	deadline := time.Now().Add(10 * time.Second)
	for {
		a := w.post(generate, `{"cachedContent":"`+one+`",`+prompt+`}`)
		if a.status == 200 && time.Now().Before(deadline) {
			continue
		}
		if a.status != 429 || !strings.Contains(a.body, "RESOURCE_EXHAUSTED") || !strings.Contains(a.body, "retryDelay") || a.header.Get("Retry-After") == "" {
			t.Errorf("while its project rests: %d %s", a.status, a.body)
		}
		break
	}
	for _, e := range w.google.Entries() {
		if e.Project != "p1" {
			t.Errorf("%s was asked for what p1 has", e.Project)
		}
	}
}

// TestNative_Lists: a list goes over all projects in which the user has something,
// without what is others'. Source: specs/native-anthropic.md F 10.
func TestNative_Lists(t *testing.T) {
	w := newWorld(t, keys(3))
	var want []string
	for n := 1; n <= 3; n++ {
		want = append(want, w.cacheIn(t, n), w.cacheIn(t, n))
		if a := w.do(t.Context(), "POST", "/v1beta/cachedContents", nativeKinds[0].make[2], "Authorization", w.other()); a.status != 200 {
			t.Fatal(a.body)
		}
	}
	slices.Sort(want)
	for _, size := range []int{1, 2, 3, 5, 6, 50} {
		var got []string
		token, pages := "", 0
		for {
			a := w.get(fmt.Sprintf("/v1beta/cachedContents?pageSize=%d&pageToken=%s", size, token))
			var page struct {
				CachedContents []struct{ Name string }
				NextPageToken  string
			}
			decode(t, a.body, &page)
			if a.status != 200 || len(page.CachedContents) > size {
				t.Fatalf("a page of %d: %d %s", size, a.status, a.body)
			}
			for _, c := range page.CachedContents {
				got = append(got, c.Name)
			}
			if token = page.NextPageToken; token == "" {
				break
			}
			if pages++; pages > 10 {
				t.Fatal("the list does not end")
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: %v, want %v", size, got, want)
		}
	}
	w.google.SetKeyState(fakegemini.DemoKey(2), fakegemini.KeyInvalid)
	if a := w.get("/v1beta/cachedContents"); a.status != 200 || strings.Count(a.body, "cachedContents/") != 4 {
		t.Errorf("with one project dead: %d %s", a.status, a.body)
	}
	if a := w.get("/v1beta/cachedContents?pageToken=bad!"); a.status != 400 || !strings.Contains(a.body, "pageToken") {
		t.Errorf("a bad token: %d %s", a.status, a.body)
	}
	if bad := w.google.Violations(fakegemini.Foreign); len(bad) > 0 {
		t.Error(bad)
	}
}

// TestNative_Gone: what Google does not have any more is forgotten.
func TestNative_Gone(t *testing.T) {
	w := newWorld(t, keys(1))
	name := w.cacheIn(t, 1)
	w.google.RemoveResource("p1", name)
	if a := w.get("/v1beta/" + name); a.status != 404 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	w.google.Forget()
	if a := w.get("/v1beta/" + name); a.status != 404 || w.google.Count() > 0 {
		t.Errorf("%d %s; Google was asked %d times", a.status, a.body, w.google.Count())
	}
}

// TestNative_Continuation: the rest of an answer comes from the project that began
// it. Source: specs/native-anthropic.md A.13 and F 14.
func TestNative_Continuation(t *testing.T) {
	w := newWorld(t, keys(4))
	for _, verb := range []string{":generateContent", ":streamGenerateContent?alt=sse", ":streamGenerateContent"} {
		t.Run(verb, func(t *testing.T) {
			ask := func(token string, header ...string) answer {
				return w.post("/v1beta/models/"+model+verb, `{"contents":[{"parts":[{"text":"[[continue]] tell"}]}],"continuationToken":"`+token+`"}`, header...)
			}
			first := ask("")
			_, rest, ok := strings.Cut(first.body, `"continuationToken": "`)
			if !ok {
				_, rest, ok = strings.Cut(first.body, `"continuationToken":"`)
			}
			token, _, _ := strings.Cut(rest, `"`)
			if !ok || token == "" {
				t.Fatalf("no token: %s", first.body)
			}
			project := w.google.Entries()[w.google.Count()-1].Project
			for range 4 {
				if a := ask(token); a.status != 200 {
					t.Fatalf("%d %s", a.status, a.body)
				}
				if now := w.google.Entries()[w.google.Count()-1].Project; now != project {
					t.Errorf("%s goes on with what %s began", now, project)
				}
			}
			w.google.Forget()
			if a := ask(token, "Authorization", w.other()); a.status != 400 || w.google.Count() > 0 {
				t.Errorf("another user: %d %s", a.status, a.body)
			}
			if a := ask("nonsense"); a.status != 400 || w.google.Count() > 0 {
				t.Errorf("an unknown token: %d %s", a.status, a.body)
			}
		})
	}
}

// TestNative_Interactions: errors have words for codes, streams are recorded by their
// first event, and what Google may have begun is not begun again.
// Source: specs/native-anthropic.md A.11 and F 16.
func TestNative_Interactions(t *testing.T) {
	w := newWorld(t, keys(3))
	a := w.post("/v1/interactions", `{"model":"`+model+`","input":"hi","previous_interaction_id":"i1"}`)
	var e struct {
		Error struct{ Code, Message string }
	}
	if decode(t, a.body, &e); a.status != 404 || e.Error.Code != "not_found" || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		t.Errorf("an unknown interaction: %d %s", a.status, a.body)
	}
	a = w.post("/v1/interactions", `{"model":"`+model+`","input":"hi","stream":true}`)
	if a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/event-stream") || !strings.HasSuffix(a.body, "data: [DONE]\n\n") {
		t.Fatalf("a stream: %d %q", a.status, a.body)
	}
	_, rest, _ := strings.Cut(a.body, `"id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	if a := w.get("/v1/interactions/" + id); a.status != 200 {
		t.Errorf("%s after its stream: %d %s", id, a.status, a.body)
	}
	for status, want := range map[int]struct{ status, asked int }{
		500: {424, 1}, 504: {424, 1}, 400: {400, 1},
	} {
		w.google.Forget()
		a := w.post("/v1/interactions", fmt.Sprintf(`{"model":%q,"input":"[[status %d]]"}`, model, status))
		if decode(t, a.body, &e); a.status != want.status || w.google.Count() != want.asked || e.Error.Code == "" {
			t.Errorf("after %d: %d %s, and %d attempts; want %+v", status, a.status, a.body, w.google.Count(), want)
		}
	}
}

// TestNative_Version: some SDKs ask for v1 and mean all there is.
// Source: specs/native-anthropic.md A.9.
func TestNative_Version(t *testing.T) {
	google := keys(2)
	google.OnlyBeta = []string{"cachedContents"}
	w := newWorld(t, google)
	made := w.post("/v1/cachedContents", nativeKinds[0].make[2], "X-Goog-Api-Client", "x")
	if made.status != 200 {
		t.Fatalf("%d %s", made.status, made.body)
	}
	name := nameOf(t, "cachedContents", made.body)
	for _, path := range []string{"/v1/" + name, "/v1/cachedContents"} {
		if a := w.get(path); a.status != 200 || !strings.Contains(a.body, name) {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := w.post("/v1/models/"+model+":generateContent", `{"cachedContent":"`+name+`",`+prompt+`}`); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestNative_Results: what an operation has brought is the user's.
func TestNative_Results(t *testing.T) {
	w := newWorld(t, keys(2))
	a := w.post("/v1beta/models/veo-3.1-generate-preview:predictLongRunning", `{"instances":[{"prompt":"a cat"}]}`)
	name := nameOf(t, "", a.body)
	w.google.FinishOperation("p1", name)
	w.google.FinishOperation("p2", name)
	a = w.get("/v1beta/" + name)
	_, rest, ok := strings.Cut(a.body, "/v1beta/files/")
	id, _, _ := strings.Cut(rest, ":")
	if !ok || a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	stranger := w.other()
	if a := w.get("/v1beta/files/"+id+":download?alt=media", "Authorization", stranger); a.status != 404 {
		t.Errorf("a stranger gets the video: %d", a.status)
	}
	if a := w.get("/v1beta/files/" + id + ":download?alt=media"); a.status != 200 || a.header.Get("Content-Type") != "video/mp4" {
		t.Errorf("the video: %d %s", a.status, a.header)
	}
}

// TestNative_Files: files are found by their addresses, at any depth and in both
// spellings, and by no text that only looks like one.
func TestNative_Files(t *testing.T) {
	w := newWorld(t, keys(3))
	made := w.post("/v1beta/files", `{"file":{"displayName":"a"}}`)
	name := nameOf(t, "files", made.body)
	const google = "https://generativelanguage.googleapis.com/v1beta/"
	for _, tc := range []struct {
		name, part string
		bound      bool
		stranger   int
	}{
		{"camel case", `{"fileData":{"fileUri":"` + google + name + `"}}`, true, 404},
		{"snake case", `{"file_data":{"file_uri":"` + google + name + `"}}`, true, 404},
		{"a name", `{"fileData":{"fileUri":"` + name + `"}}`, true, 404},
		{"a download", `{"fileData":{"fileUri":"` + google + name + `:download?alt=media"}}`, true, 404},
		{"an escaped member", `{"fileData":{"file\u0055ri":"` + google + name + `"}}`, true, 404},
		{"an escaped value", `{"fileData":{"fileUri":"https:\/\/generativelanguage.googleapis.com\/v1beta\/` + strings.Replace(name, "/", `\u002f`, 1) + `"}}`, true, 404},
		{"in a result", `{"functionResponse":{"name":"f","response":{},"parts":[{"fileData":{"fileUri":"` + google + name + `"}}]}}`, true, 404},
		{"another host in capitals", `{"fileData":{"fileUri":"HTTPS://GenerativeLanguage.GoogleApis.com/v1beta/` + name + `"}}`, true, 404},
		{"in a result's own words", `{"functionResponse":{"name":"f","response":{"uri":"` + google + name + `"}}}`, false, 200},
		{"in a text", `{"text":"{\"fileUri\":\"` + google + name + `\"}"}`, false, 200},
		{"anybody's", `{"fileData":{"fileUri":"https://www.youtube.com/watch?v=files/x"}}`, false, 200},
		{"a bucket", `{"fileData":{"fileUri":"gs://bucket/files/x"}}`, false, 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for range 3 {
				w.google.Forget()
				body := `{"contents":[{"role":"user","parts":[{"text":"hi"},` + tc.part + `]}]}`
				_ = w.post("/v1beta/models/"+model+":countTokens", body)
				for _, e := range w.google.Entries() {
					if got := slices.Contains(w.google.Files(e.Project), name); tc.bound && !got {
						t.Errorf("%s is asked, which does not have %s", e.Project, name)
					}
				}
				n := w.google.Count()
				a := w.post("/v1beta/models/"+model+":countTokens", body, "Authorization", w.other())
				if asked := w.google.Count() > n; a.status != tc.stranger && tc.stranger != 200 || asked != (tc.stranger == 200) {
					t.Errorf("a stranger: %d %s, and Google asked: %v; want %d", a.status, a.body, asked, tc.stranger)
				}
			}
		})
	}
}

// TestNative_Bytes: what reaches Google is what the client wrote, but for names that
// mean something here.
func TestNative_Bytes(t *testing.T) {
	w := newWorld(t, keys(1), func(c *Config) { c.Aliases = []settings.Alias{{Name: "mine", Targets: []string{model}}} })
	body := " {\n\t\"contents\" : [ {\"parts\":[{\"text\":\"\\u00e9 \xc3\xa9 1e2\"}]} ] ,\"generationConfig\":{\"temperature\": 1.0} }\r\n"
	w.post(generate, body)
	if got := string(w.google.Entries()[0].Body); got != body {
		t.Errorf("Google got %q, want %q", got, body)
	}
	w.google.Forget()
	a := w.post("/v1beta/cachedContents", strings.Replace(nativeKinds[0].make[2], model, "mine", 1))
	if got := string(w.google.Entries()[0].Body); a.status != 200 || !strings.Contains(got, `"model":"models/`+model+`"`) {
		t.Errorf("%d %s; Google got %.100s", a.status, a.body, got)
	}
	w.google.Forget()
	for _, bad := range []string{`{`, `{'contents':[]}`, `{"a":1,}`} {
		if a := w.post(generate, bad); a.status != 400 || !strings.Contains(a.body, "INVALID_ARGUMENT") || w.google.Count() > 0 {
			t.Errorf("%s: %d %s", bad, a.status, a.body)
		}
	}
	if a := w.post("/v1beta/files:register", `{}`); a.status != http.StatusNotImplemented || !strings.Contains(a.body, `"UNIMPLEMENTED"`) {
		t.Errorf("files:register: %d %s", a.status, a.body)
	}
	var e any
	for _, dead := range []string{"generateText", "embedText", "countMessageTokens", "generateAnswer"} {
		a := w.post("/v1beta/models/"+model+":"+dead, `{}`)
		if a.status != 404 || json.Unmarshal([]byte(a.body), &e) != nil {
			t.Errorf("%s: %d %s", dead, a.status, a.body)
		}
	}
}

// TestNative_Models: the list is Google's, whole, with the aliases, and without what
// the user key may not use. Source: specs/native-anthropic.md A.14.
func TestNative_Models(t *testing.T) {
	w := newWorld(t, keys(2), func(c *Config) {
		c.Aliases = []settings.Alias{{Name: "mine", Targets: []string{"nowhere", model}}, {Name: "lost", Targets: []string{"nowhere"}}}
	})
	type entry struct {
		Name, DisplayName          string
		InputTokenLimit            int64
		SupportedGenerationMethods []string
	}
	list := func(query string, header ...string) (all []entry, next string) {
		t.Helper()
		a := w.get("/v1beta/models"+query, header...)
		var page struct {
			Models        []entry
			NextPageToken string
		}
		if decode(t, a.body, &page); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		return page.Models, page.NextPageToken
	}
	all, next := list("?pageSize=1000")
	if len(all) != len(fakegemini.DefaultModels())+1 || next != "" || all[0].Name != "models/mine" || all[0].InputTokenLimit != 1048576 || len(all[0].SupportedGenerationMethods) == 0 {
		t.Errorf("%d models, next %q, first %+v", len(all), next, all[0])
	}
	var paged []entry
	for token := "0"; token != ""; {
		var page []entry
		page, token = list("?pageSize=3&pageToken=" + token)
		paged = append(paged, page...)
	}
	if len(paged) != len(all) {
		t.Errorf("in pages: %d models, want %d", len(paged), len(all))
	}
	if n := w.google.Count(); n != 1 {
		t.Errorf("Google was asked %d times for one list", n)
	}
	_, secret, err := w.users.Create(t.Context(), users.Spec{Name: "narrow", Unlimited: true, Models: []string{"mine", "gemini-2.5-pro"}})
	must(t, err)
	if some, _ := list("", "Authorization", "Bearer "+secret); len(some) != 2 {
		t.Errorf("a narrow key sees %+v", some)
	}
	for path, want := range map[string]struct {
		status int
		name   string
	}{
		"/v1beta/models/" + model: {200, "models/" + model}, "/v1/models/mine:": {404, ""}, "/v1beta/models/mine": {200, "models/mine"},
		"/v1beta/models/nowhere": {404, ""}, "/v1beta/models/lost": {404, ""},
	} {
		a := w.get(path)
		var e entry
		if decode(t, a.body, &e); a.status != want.status || e.Name != want.name {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := w.get("/v1beta/models/"+model, "Authorization", "Bearer "+secret); a.status != 404 {
		t.Errorf("a narrow key sees %s: %d", model, a.status)
	}
}

// TestNative_CacheOfOpenAI: a cache is its user's in OpenAI's dialect, too.
func TestNative_CacheOfOpenAI(t *testing.T) {
	w := newWorld(t, keys(3))
	name := w.cacheIn(t, 2)
	for _, extra := range []string{
		`"cached_content":"` + name + `"`, `"extra_body":{"google":{"cached_content":"` + name + `"}}`, `"google":{"cachedContent":"` + name + `"}`,
	} {
		body := `{"model":"` + model + `","messages":[{"role":"user","content":"hi"}],` + extra + `}`
		w.google.Forget()
		if a := w.post("/v1/chat/completions", body, "Authorization", w.other()); a.status != 404 || w.google.Count() > 0 {
			t.Errorf("a stranger's %s: %d %s", extra, a.status, a.body)
		}
		for range 3 {
			if a := w.post("/v1/chat/completions", body); a.status != 200 {
				t.Errorf("%s: %d %s", extra, a.status, a.body)
			}
		}
		for _, e := range w.google.Entries() {
			if e.Project != "p2" {
				t.Errorf("%s was asked for what p2 has", e.Project)
			}
		}
	}
}
