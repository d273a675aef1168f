// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// The rules of specs/openai.md §1 that hold for every endpoint of OpenAI's API.

// openaiError demands an error object with its four members and no other, of
// these types.
func openaiError(t *testing.T, got answer, status int, code string) {
	t.Helper()
	var e map[string]map[string]any
	if err := json.Unmarshal([]byte(got.body), &e); err != nil || len(e) != 1 || len(e["error"]) != 4 {
		t.Fatalf("not an OpenAI error (%v): %d %s", err, got.status, got.body)
	}
	for _, name := range []string{"message", "type", "param", "code"} {
		v, ok := e["error"][name]
		_, text := v.(string)
		if !ok || !text && (v != nil || name == "message" || name == "type") {
			t.Errorf("%s is %v in %s", name, v, got.body)
		}
	}
	if got.status != status || code != "" && e["error"]["code"] != code {
		t.Errorf("%d %s, want %d %s", got.status, got.body, status, code)
	}
	if kind := got.header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("error of type %s", kind)
	}
	openaiHeaders(t, got)
}

func openaiHeaders(t *testing.T, got answer) {
	t.Helper()
	for _, name := range []string{"X-Request-Id", "Openai-Processing-Ms", "Openai-Version"} {
		if got.header.Get(name) == "" {
			t.Errorf("no %s in %v", name, got.header)
		}
	}
}

// TestTransport_Methods: each endpoint below each prefix, with slashes too many,
// refuses other methods in OpenAI's words and says which it takes.
func TestTransport_Methods(t *testing.T) {
	w := newWorld(t, keys(1))
	for _, e := range openaiEndpoints {
		path := strings.NewReplacer("{model}", "gemini-3.5-flash", "{id}", "resp_1").Replace(e.path)
		for _, prefix := range []string{"/v1/", "/openai/v1/", "/v1beta/openai/", "//v1//", "/v1/v1/"} {
			for _, end := range []string{"", "/"} {
				url := prefix + path + end
				for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
					if slices.Contains(strings.Split(e.methods, ", "), method) {
						continue
					}
					got := w.do(t.Context(), method, url, "")
					if allow := got.header.Get("Allow"); got.status != 405 || allow != e.methods+", OPTIONS" {
						t.Errorf("%s %s: %d, Allow %q", method, url, got.status, allow)
					}
					if method != "HEAD" {
						openaiError(t, got, 405, "method_not_allowed")
					}
				}
				got := w.do(t.Context(), "OPTIONS", url, "", "Authorization", "")
				if got.status != 204 || got.header.Get("Allow") != e.methods+", OPTIONS" || got.body != "" {
					t.Errorf("OPTIONS %s: %d %v", url, got.status, got.header)
				}
			}
		}
	}
}

// TestTransport_Unserved: what OpenAI has and this gateway has not.
func TestTransport_Unserved(t *testing.T) {
	w := newWorld(t, keys(1))
	for _, path := range []string{
		"moderations", "batches", "batches/batch_1", "fine_tuning/jobs", "assistants", "threads", "threads/t/runs", "realtime", "realtime/sessions",
		"images/variations", "vector_stores", "uploads", "evals", "organization/users", "chat", "chat/completions/x", "models/a/b", "engines", "responses/compact", "",
	} {
		for _, method := range []string{"GET", "POST", "DELETE", "OPTIONS"} {
			for _, prefix := range []string{"/v1/", "/openai/v1/"} {
				if path == "" && prefix != "/v1/" {
					continue
				}
				openaiError(t, w.do(t.Context(), method, prefix+path, "{}"), 404, "unknown_url")
			}
		}
	}
}

func TestTransport_Head(t *testing.T) {
	w := newWorld(t, keys(1))
	for _, path := range []string{"/v1/models", "/v1/models/", "/v1/models/gemini-3.5-flash", "/openai/v1/models"} {
		head, get := w.do(t.Context(), "HEAD", path, ""), w.do(t.Context(), "GET", path, "")
		if head.status != 200 || head.body != "" || head.header.Get("Content-Length") != fmt.Sprint(len(get.body)) || head.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %v", path, head.status, head.header)
		}
		openaiHeaders(t, head)
	}
	if got := w.do(t.Context(), "HEAD", "/v1/models/nope", ""); got.status != 404 || got.body != "" {
		t.Errorf("unknown: %d %s", got.status, got.body)
	}
}

// TestTransport_Errors: every endpoint words what is wrong before it looks at its
// own fields.
func TestTransport_Errors(t *testing.T) {
	w := newWorld(t, keys(1), func(c *Config) { c.MaxRequestSize = 5000 })
	for _, e := range openaiEndpoints {
		if e.methods != "POST" || strings.Contains(e.path, "{id}") { // the latter take no body
			continue
		}
		url := "/v1/" + e.path
		openaiError(t, w.post(url, "{}", "Authorization", ""), 401, "invalid_api_key")
		openaiError(t, w.post(url, "{}", "Authorization", "Bearer gb-wrong"), 401, "invalid_api_key")
		openaiError(t, w.post(url, "{}", "X-Api-Key", "another"), 400, "")
		openaiError(t, w.post(url, strings.Repeat(" ", 5001)), 413, "request_too_large")
		openaiError(t, w.post(url, "{}", "Content-Encoding", "br"), 415, "unsupported_media_type")
		openaiError(t, w.post(url, "{}", "Content-Encoding", "gzip"), 400, "")
		for _, body := range []string{"", "{", "null", "[]", `"x"`, "{}{}", `{"model":1}`, `{"model":null}`, `{}`, "\xff", `{"model":"../x"}`} {
			got := w.post(url, body)
			if got.status == 415 && strings.Contains(got.body, "multipart/form-data") {
				continue // wants a form
			}
			openaiError(t, got, 400, "")
		}
		deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
		if got := w.post(url, `{"model":"m","x":`+deep+`}`); got.status != 415 {
			openaiError(t, got, 400, "")
		}
	}
	if n := w.google.Count(); n != 0 {
		t.Errorf("%d requests went upstream", n)
	}
}

// TestTransport_Stream is the header of a stream, and what of the client's
// request Google gets to see.
func TestTransport_Stream(t *testing.T) {
	w := newWorld(t, keys(1))
	body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hi"}],"stream":true}`, model)
	got := w.post("/v1/chat/completions", body, "Cookie", "a=b", "OpenAI-Organization", "org", "OpenAI-Beta", "x", "X-Stainless-Os", "linux",
		"X-Goog-Api-Client", "x", "Accept-Encoding", "br", "X-Forwarded-For", "10.0.0.1", "User-Agent", "secret-client/1", "Content-Type", "text/plain")
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache", "X-Accel-Buffering": "no",
		"Openai-Version": "2020-10-01", "X-Gemini-Balance-Model": model, "Content-Encoding": "",
	} {
		if v := got.header.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	openaiHeaders(t, got)
	if got.status != 200 || !strings.HasSuffix(got.body, "data: [DONE]\n\n") {
		t.Errorf("%d %s", got.status, got.body)
	}
	for _, e := range w.google.Entries() {
		for _, name := range []string{"Authorization", "Cookie", "OpenAI-Organization", "OpenAI-Beta", "X-Stainless-Os", "X-Goog-Api-Client", "X-Forwarded-For", "X-Api-Key"} {
			if v := e.Header.Get(name); v != "" {
				t.Errorf("%s: %s went upstream", name, v)
			}
		}
		if strings.Contains(e.Header.Get("User-Agent"), "secret-client") || e.Query != "alt=sse" {
			t.Errorf("upstream %v ?%s", e.Header, e.Query)
		}
	}
}

// TestModels_Pages: a list that comes in pages is one list, and each page is asked
// for once.
func TestModels_Pages(t *testing.T) {
	asked := []string{}
	broken := false
	w := newWorld(t, keys(2), scripted(t, func(w http.ResponseWriter, r *http.Request) {
		token := r.URL.Query().Get("pageToken")
		asked = append(asked, token)
		switch {
		case broken:
			w.WriteHeader(http.StatusBadRequest)
		case token == "":
			_, _ = io.WriteString(w, `{"models":[{"name":"models/gemini-a"},{"name":"models/gemini-b"}],"nextPageToken":"p/2&x"}`)
		case token == "p/2&x":
			_, _ = io.WriteString(w, `{"models":[{"name":"models/gemini-b"},{"name":"models/gemini-c"}]}`)
		default:
			w.WriteHeader(http.StatusBadRequest)
		}
	}), func(c *Config) {
		c.Aliases = []settings.Alias{{Name: "gpt-4o", Targets: []string{"models/gemini-c(high)"}}}
	})
	for range 2 {
		got := w.do(t.Context(), "GET", "/v1/models", "")
		var list struct{ Data []struct{ ID string } }
		if err := json.Unmarshal([]byte(got.body), &list); err != nil || got.status != 200 {
			t.Fatalf("%d %v %s", got.status, err, got.body)
		}
		if ids := fmt.Sprint(list.Data); ids != "[{gpt-4o} {gemini-a} {gemini-b} {gemini-c}]" {
			t.Errorf("models %s", ids)
		}
	}
	if len(asked) != 2 {
		t.Errorf("asked for pages %q", asked)
	}
	clear(w.gw.lists.entries)
	broken = true
	openaiError(t, w.do(t.Context(), "GET", "/v1/models", ""), 400, "")
}
