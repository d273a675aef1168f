// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// twoProjects has the keys a and b of project p, and c of project q.
func twoProjects(c Config) *Server {
	c.Keys = []Key{{Secret: "a", Project: "p"}, {Secret: "b", Project: "p"}, {Secret: "c", Project: "q"}}
	return New(c)
}

// step is one request and what must come of it.
type step struct {
	name, key, method, target, body string
	status                          int
	want                            string // in the answer
}

func walk(t *testing.T, s *Server, steps []step) {
	t.Helper()
	for _, v := range steps {
		if w := ring(s, v.method, v.target, v.key, v.body); w.Code != v.status || !strings.Contains(w.Body.String(), v.want) {
			t.Errorf("%s: %d %s; want %d with %s", v.name, w.Code, w.Body, v.status, v.want)
		}
	}
}

// field is a string at a path of an answer that must succeed.
func field(t *testing.T, w *httptest.ResponseRecorder, path ...string) string {
	t.Helper()
	v, err := rawjson.Parse(w.Body.Bytes())
	if w.Code != 200 || err != nil {
		t.Fatalf("%d %s %v", w.Code, w.Body, err)
	}
	for _, name := range path {
		if v = v.Get(name); v == nil {
			t.Fatalf("no %v in %s", path, w.Body)
		}
	}
	return v.Text()
}

const noCacheText = `"message": "CachedContent not found (or permission denied)"`

func TestCaches(t *testing.T) {
	clock := &clock{t: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	s := twoProjects(Config{Now: clock.now})
	long := strings.Repeat("word ", 1000)
	create := func(key, extra string) *httptest.ResponseRecorder {
		return ring(s, "POST", "/v1beta/cachedContents", key, `{"model":"models/gemini-3.8-flash","contents":[{"role":"user","parts":[{"text":"`+long+`"}]}]`+extra+`}`)
	}
	made := create("a", `,"systemInstruction":{"parts":[{"text":"Be brief."}]},"ttl":"600s"`)
	name := field(t, made, "name")
	if field(t, made, "expireTime") != "2026-11-25T12:10:00.000000Z" || len(name) != len("cachedContents/")+40 {
		t.Error(made.Body)
	}
	ask := func(extra string) string {
		return `{"cachedContent":"` + name + `","contents":[{"role":"user","parts":[{"text":"hi"}]}]` + extra + `}`
	}
	const model, other = "/v1beta/models/gemini-3.8-flash:generateContent", "/v1beta/models/gemini-3.7-flash:generateContent"
	walk(t, s, []step{
		{"too small", "a", "POST", "/v1beta/cachedContents", `{"model":"models/gemini-3.8-flash","contents":[{"role":"user","parts":[{"text":"hi"}]}]}`, 400, "Cached content is too small. total_token_count=1, min_total_token_count=1024"},
		{"no such model", "a", "POST", "/v1beta/cachedContents", `{"model":"models/none"}`, 404, "createCachedContent"},
		{"unknown field", "a", "POST", "/v1beta/cachedContents", `{"model":"models/gemini-3.8-flash","generationConfig":{}}`, 400, "Unknown name"},
		{"used by the other key of its project", "b", "POST", model, ask(""), 200, `"cachedContentTokenCount": 1253`},
		{"the prompt counts with it", "b", "POST", model, ask(""), 200, `"promptTokenCount": 1254`},
		{"counted", "b", "POST", "/v1beta/models/gemini-3.8-flash:countTokens", `{"generateContentRequest":` + ask(`,"model":"models/gemini-3.8-flash"`) + `}`, 200, `"cachedContentTokenCount": 1253`},
		{"snake_case", "b", "POST", model, strings.Replace(ask(""), "cachedContent", "cached_content", 1), 200, `"cachedContentTokenCount": 1253`},
		{"with a system instruction", "a", "POST", model, ask(`,"systemInstruction":{"parts":[{"text":"x"}]}`), 400, "CachedContent can not be used with GenerateContent request setting system_instruction"},
		{"with tools", "a", "POST", model, ask(`,"tools":[{"googleSearch":{}}]`), 400, "CachedContent can not be used"},
		{"of another model", "a", "POST", other, ask(""), 400, "has to be the same"},
		{"of another project", "c", "POST", model, ask(""), 403, noCacheText},
		{"no name at all", "a", "POST", model, `{"cachedContent":"nonsense","contents":[{"parts":[{"text":"hi"}]}]}`, 400, "Invalid CachedContent name: nonsense."},
		{"get", "b", "GET", "/v1beta/" + name, "", 200, `"totalTokenCount": 1253`},
		{"get of another project", "c", "GET", "/v1beta/" + name, "", 403, noCacheText},
		{"list", "b", "GET", "/v1beta/cachedContents", "", 200, name},
		{"list of another project", "c", "GET", "/v1beta/cachedContents", "", 200, "{}"},
		{"patch ttl", "b", "PATCH", "/v1beta/" + name + "?updateMask=ttl", `{"ttl":"60s"}`, 200, "2026-11-25T12:01:00.000000Z"},
		{"patch expireTime", "b", "PATCH", "/v1beta/" + name + "?updateMask=expireTime", `{"expireTime":"2026-11-25T12:20:00Z"}`, 200, "2026-11-25T12:20:00.000000Z"},
		{"patch something else", "b", "PATCH", "/v1beta/" + name + "?updateMask=displayName", `{"displayName":"x"}`, 400, "Only the expiration"},
		{"patch with no new time", "b", "PATCH", "/v1beta/" + name, `{}`, 400, "ttl or expire_time is required"},
		{"patch of another project", "c", "PATCH", "/v1beta/" + name, `{"ttl":"60s"}`, 403, noCacheText},
		{"delete of another project", "c", "DELETE", "/v1beta/" + name, "", 403, noCacheText},
	})
	if v := s.Violations(Foreign); len(v) != 4 {
		t.Errorf("violations: %v", v)
	}
	clock.add(20 * time.Minute)
	walk(t, s, []step{{"expired", "a", "POST", model, ask(""), 403, noCacheText}})
	again := field(t, create("a", ""), "name")
	walk(t, s, []step{
		{"delete", "b", "DELETE", "/v1beta/" + again, "", 200, "{}"},
		{"deleted", "b", "GET", "/v1beta/" + again, "", 403, noCacheText},
	})
	if got := s.Resources("p", "cachedContents/"); len(got) != 0 {
		t.Error(got)
	}
}

func TestPages(t *testing.T) {
	s := twoProjects(Config{CacheMinimum: 1})
	for range 5 {
		field(t, ring(s, "POST", "/v1beta/cachedContents", "a", `{"model":"models/gemini-3.8-flash","contents":[{"parts":[{"text":"hi"}]}]}`), "name")
	}
	seen, token := map[string]bool{}, ""
	for range 3 {
		var page struct {
			CachedContents []struct{ Name string }
			NextPageToken  string
		}
		if err := json.Unmarshal(ring(s, "GET", "/v1beta/cachedContents?pageSize=2&pageToken="+token, "b", "").Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		for _, c := range page.CachedContents {
			seen[c.Name] = true
		}
		if token != "" {
			walk(t, s, []step{{"another project's token", "c", "GET", "/v1beta/cachedContents?pageToken=" + token, "", 400, "Invalid page token."}})
		}
		token = page.NextPageToken
	}
	if len(seen) != 5 || token != "" {
		t.Errorf("%v, token %q", seen, token)
	}
}

func TestOnlyBeta(t *testing.T) {
	s := twoProjects(Config{OnlyBeta: []string{"cachedContents"}, Models: []Model{{ID: "m", Methods: chatMethods}, {ID: "beta", Methods: chatMethods, OnlyBeta: true}}})
	walk(t, s, []step{
		{"v1", "a", "GET", "/v1/cachedContents", "", 404, "API version v1"},
		{"v1, one of them", "a", "GET", "/v1/cachedContents/x", "", 404, "API version v1"},
		{"v1beta", "a", "GET", "/v1beta/cachedContents", "", 200, "{}"},
		{"others in v1", "a", "GET", "/v1/batches", "", 200, "{}"},
		{"a model in v1", "a", "GET", "/v1/models/beta", "", 404, "for api version v1"},
		{"a model in v1beta", "a", "GET", "/v1beta/models/beta", "", 200, "models/beta"},
		{"its method in v1", "a", "POST", "/v1/models/beta:generateContent", say("hi"), 404, "API version v1"},
		{"its method in v1beta", "a", "POST", "/v1beta/models/beta:generateContent", say("hi"), 200, "candidates"},
	})
	if w := ring(s, "GET", "/v1/models", "a", ""); strings.Contains(w.Body.String(), "models/beta") {
		t.Error(w.Body)
	}
}

func TestModels_OfProject(t *testing.T) {
	s := twoProjects(Config{Projects: []Project{{Name: "q", Models: []string{"gemini-3.8-flash"}}}})
	walk(t, s, []step{
		{"all", "a", "GET", "/v1beta/models?pageSize=1000", "", 200, `"models/gemini-2.5-pro"`},
		{"one of them", "c", "GET", "/v1beta/models/gemini-3.8-flash", "", 200, `"models/gemini-3.8-flash"`},
		{"none of them", "c", "GET", "/v1beta/models/gemini-2.5-pro", "", 404, "not found"},
	})
	if w := ring(s, "GET", "/v1beta/models", "c", ""); strings.Count(w.Body.String(), `"name"`) != 1 {
		t.Error(w.Body)
	}
}

func TestBatches_Inlined(t *testing.T) {
	clock := &clock{t: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	s := twoProjects(Config{Now: clock.now, BatchTime: time.Hour})
	made := ring(s, "POST", "/v1beta/models/gemini-3.8-flash:batchGenerateContent", "a", `{"batch":{"display_name":"mine","input_config":{"requests":{"requests":[
		{"request":`+say("[[say one]]")+`,"metadata":{"key":"k1"}},
		{"request":`+say("[[status 503]]")+`,"metadata":{"key":"k2"}},
		{"request":{"contents":[]},"metadata":{"key":"k3"}}]}}}}`)
	name := field(t, made, "name")
	if field(t, made, "metadata", "state") != BatchPending || !strings.HasPrefix(name, "batches/") || field(t, made, "metadata", "batchStats", "pendingRequestCount") != "3" {
		t.Error(made.Body)
	}
	at := "/v1beta/" + name
	walk(t, s, []step{
		{"pending", "b", "GET", at, "", 200, BatchPending},
		{"of another project", "c", "GET", at, "", 404, "Requested entity was not found."},
		{"cancel by another", "c", "POST", at + ":cancel", "", 404, "NOT_FOUND"},
		{"delete by another", "c", "DELETE", at, "", 404, "NOT_FOUND"},
		{"list of another", "c", "GET", "/v1beta/batches", "", 200, "{}"},
		{"update", "b", "PATCH", at + ":updateGenerateContentBatch", `{"displayName":"yours"}`, 200, `"yours"`},
	})
	clock.add(30 * time.Minute)
	walk(t, s, []step{{"running", "b", "GET", at, "", 200, BatchRunning}})
	clock.add(30 * time.Minute)
	walk(t, s, []step{
		{"succeeded", "b", "GET", at, "", 200, `"done": true`},
		{"answers", "b", "GET", at, "", 200, `"text": "one"`},
		{"errors", "b", "GET", at, "", 200, `"code": 14`},
		{"metadata", "b", "GET", at, "", 200, `"key": "k3"`},
		{"usage", "b", "GET", at, "", 200, `"totalTokenCount"`},
		{"listed", "b", "GET", "/v1beta/batches", "", 200, `"operations"`},
		{"cancelled too late", "b", "POST", at + ":cancel", "", 200, "{}"},
		{"and still there", "b", "GET", at, "", 200, BatchSucceeded},
		{"delete", "b", "DELETE", at, "", 200, "{}"},
		{"deleted", "b", "GET", at, "", 404, "NOT_FOUND"},
	})
	if v := s.Violations(Foreign); len(v) != 3 {
		t.Errorf("violations: %v", v)
	}
}

// sendFile uploads a whole file and returns its name.
func sendFile(t *testing.T, s *Server, key, mime, content string) string {
	t.Helper()
	at := openUpload(t, s, key, `{"file":{}}`, mime)
	return field(t, ring(s, "POST", at, key, content, "X-Goog-Upload-Command", "upload, finalize", "X-Goog-Upload-Offset", "0"), "file", "name")
}

func TestBatches_OfFile(t *testing.T) {
	s := twoProjects(Config{})
	lines := `{"key":"k1","request":` + say("[[say one]]") + "}\n" + `{"key":"k2","request":{}}` + "\n\n"
	source := sendFile(t, s, "a", "jsonl", lines)
	body := `{"batch":{"displayName":"d","inputConfig":{"fileName":"` + source + `"}}}`
	const create = "/v1beta/models/gemini-3.8-flash:batchGenerateContent"
	walk(t, s, []step{
		{"another project's file", "c", "POST", create, body, 403, "You do not have permission to access the File"},
		{"an empty batch", "a", "POST", create, `{"batch":{}}`, 400, "at least one request"},
		{"no model of batches", "a", "POST", "/v1beta/models/gemma-3-27b-it:batchGenerateContent", body, 404, "batchGenerateContent"},
	})
	at := "/v1beta/" + field(t, ring(s, "POST", create, "a", body), "name")
	done := ring(s, "GET", at, "b", "")
	output := field(t, done, "response", "responsesFile")
	if field(t, done, "metadata", "output", "responsesFile") != output || !strings.HasPrefix(output, "files/batch-") {
		t.Error(done.Body)
	}
	for _, path := range []string{"/v1beta/", "/download/v1beta/"} {
		w := ring(s, "GET", path+output+":download?alt=media", "b", "")
		got := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
		if w.Code != 200 || len(got) != 2 || !strings.Contains(got[0], `"key":"k1"`) || !strings.Contains(got[0], `"totalTokenCount"`) || !strings.Contains(got[1], `"error":{"code":3`) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	walk(t, s, []step{
		{"results of another", "c", "GET", "/v1beta/" + output + ":download?alt=media", "", 403, "You do not have permission"},
		{"results without a key", "", "GET", "/v1beta/" + output + ":download?alt=media", "", 403, "unregistered"},
		{"what users sent", "a", "GET", "/v1beta/" + source + ":download?alt=media", "", 400, "Only generated files"},
		{"generated files", "a", "GET", "/v1beta/generatedFiles", "", 200, output},
	})
	if w := ring(s, "GET", "/v1beta/files", "a", ""); strings.Contains(w.Body.String(), output) {
		t.Error(w.Body)
	}
}

func TestBatches_States(t *testing.T) {
	s := twoProjects(Config{BatchTime: time.Hour})
	create := func() string {
		return field(t, ring(s, "POST", "/v1/models/gemini-embedding-2:asyncBatchEmbedContent", "a",
			`{"batch":{"displayName":"d","inputConfig":{"requests":{"requests":[{"request":{"content":{"parts":[{"text":"hi"}]}}}]}}}}`), "name")
	}
	for state, want := range map[string]string{BatchFailed: `"error"`, BatchExpired: `"error"`, BatchCancelled: `"error"`, BatchRunning: `"pendingRequestCount"`, BatchSucceeded: `"embedding"`} {
		name := create()
		s.SetBatchState("p", name, state)
		walk(t, s, []step{{state, "a", "GET", "/v1/" + name, "", 200, state}, {state, "a", "GET", "/v1/" + name, "", 200, want}})
	}
	name := create()
	walk(t, s, []step{{"cancel", "b", "POST", "/v1/" + name + ":cancel", "", 200, "{}"}, {"cancelled", "a", "GET", "/v1/" + name, "", 200, BatchCancelled}})
}

func TestVeo(t *testing.T) {
	s := twoProjects(Config{OperationPolls: 2, DownloadURL: "https://videos.googleapis.com"})
	const create = "/v1beta/models/veo-3.1-generate-preview:predictLongRunning"
	name := field(t, ring(s, "POST", create, "a", `{"instances":[{"prompt":"a cat"}]}`), "name")
	if !strings.HasPrefix(name, "models/veo-3.1-generate-preview/operations/") {
		t.Error(name)
	}
	walk(t, s, []step{
		{"another project", "c", "GET", "/v1beta/" + name, "", 404, "NOT_FOUND"},
		{"listed", "b", "GET", "/v1beta/models/veo-3.1-generate-preview/operations", "", 200, name},
		{"the list of another", "c", "GET", "/v1beta/models/veo-3.1-generate-preview/operations", "", 200, "{}"},
	})
	for poll := range 2 {
		if w := ring(s, "GET", "/v1beta/"+name, "b", ""); w.Code != 200 || strings.Contains(w.Body.String(), "done") {
			t.Errorf("poll %d: %s", poll, w.Body)
		}
	}
	done := ring(s, "GET", "/v1beta/"+name, "b", "")
	var video struct {
		Done     bool
		Response struct {
			GenerateVideoResponse struct {
				GeneratedSamples []struct{ Video struct{ URI string } }
			}
		}
	}
	if err := json.Unmarshal(done.Body.Bytes(), &video); err != nil || !video.Done {
		t.Fatal(done.Body)
	}
	uri := video.Response.GenerateVideoResponse.GeneratedSamples[0].Video.URI
	path, ok := strings.CutPrefix(uri, publicURL)
	if !ok || !strings.HasSuffix(path, ":download?alt=media") {
		t.Fatal(uri)
	}
	w := ring(s, "GET", path, "b", "")
	moved, ok := strings.CutPrefix(w.Header().Get("Location"), "https://videos.googleapis.com")
	if w.Code != 302 || !ok || moved != "/download"+path {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := ring(s, "GET", moved, "b", ""); w.Code != 200 || w.Body.String() != videoBytes || w.Header().Get("Content-Type") != "video/mp4" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := ring(s, "GET", moved, "b", "", "Range", "bytes=4-7"); w.Code != 206 || w.Body.String() != "ftyp" || w.Header().Get("Content-Range") != fmt.Sprintf("bytes 4-7/%d", len(videoBytes)) {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if e := s.Entries(ByStatus(206)); len(e) != 1 || e[0].Bytes != 4 {
		t.Errorf("%+v", e)
	}
	walk(t, s, []step{
		{"the redirect's end needs a key", "", "GET", moved, "", 403, "unregistered"},
		{"and one of the project", "c", "GET", moved, "", 403, "You do not have permission"},
		{"a video as input", "a", "POST", create, `{"instances":[{"prompt":"on","video":{"uri":"` + uri + `"}}]}`, 200, "operations/"},
		{"another project's as input", "c", "POST", create, `{"instances":[{"prompt":"on","video":{"uri":"` + uri + `"}}]}`, 403, "You do not have permission"},
		{"steered", "a", "POST", create, `{"instances":[{"prompt":"[[status 429]]"}]}`, 429, "RESOURCE_EXHAUSTED"},
	})
	failed := field(t, ring(s, "POST", create, "a", `{"instances":[{"prompt":"broken"}]}`), "name")
	s.FinishOperation("p", failed)
	walk(t, s, []step{{"failed", "a", "GET", "/v1beta/" + failed, "", 200, `"code": 13`}})
}
