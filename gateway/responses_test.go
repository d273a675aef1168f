// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/users"
)

func (w *world) get(path string, header ...string) answer {
	w.t.Helper()
	return w.do(w.t.Context(), http.MethodGet, path, "", header...)
}

// TestKeptResponse asks for what is kept of a response, as its owner and as others.
func TestKeptResponse(t *testing.T) {
	w := newWorld(t, keys(2))
	created := w.post("/v1/responses", fmt.Sprintf(`{"model":%q,"input":"[[events 4]][[say Hello there you all]]","stream":true}`, model))
	if created.status != 200 {
		t.Fatalf("%d %s", created.status, created.body)
	}
	_, rest, _ := strings.Cut(created.body, `"id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	path := "/v1/responses/" + id
	blocks := strings.SplitAfter(created.body, "\n\n")

	a := w.get(path + "?stream=true")
	if a.status != 200 || a.body != created.body || a.header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
		t.Errorf("events: %d %v %s\nwant %s", a.status, a.header, a.body, created.body)
	}
	if a := w.get(path + "?stream=true&starting_after=3"); a.body != strings.Join(blocks[4:], "") {
		t.Errorf("events after the fourth: %s", a.body)
	}
	if a := w.get(path + "?include[]=reasoning.encrypted_content&stream=false"); a.status != 200 || !json.Valid([]byte(a.body)) || !strings.Contains(a.body, `"status":"completed"`) {
		t.Errorf("response: %d %s", a.status, a.body)
	}
	if a := w.get(path + "/input_items"); a.status != 200 || !strings.Contains(a.body, `"object":"list"`) || !strings.Contains(a.body, `"text":"[[events 4]]`) || !strings.Contains(a.body, `"has_more":false`) {
		t.Errorf("input items: %d %s", a.status, a.body)
	}
	if a := w.post(path+"/cancel", ""); a.status != 400 || !strings.Contains(a.body, "Cannot cancel a synchronous response") {
		t.Errorf("cancel: %d %s", a.status, a.body)
	}
	for _, c := range []struct{ query, param string }{
		{"?stream=maybe", "stream"}, {"?stream=true&starting_after=x", "starting_after"}, {"?starting_after=-1", "starting_after"},
		{"/input_items?limit=0", "limit"}, {"/input_items?limit=101", "limit"}, {"/input_items?order=up", "order"},
	} {
		if a := w.get(path + c.query); a.status != 400 || !strings.Contains(a.body, `"param":"`+c.param+`"`) {
			t.Errorf("%s: %d %s", c.query, a.status, a.body)
		}
	}
	if a := w.get(path + "/input_items?after=msg_x"); a.status != 404 {
		t.Errorf("after an unknown item: %d %s", a.status, a.body)
	}

	_, other, err := w.users.Create(t.Context(), users.Spec{Name: "other", Unlimited: true})
	must(t, err)
	for _, c := range []struct{ method, path string }{
		{"GET", path}, {"GET", path + "?stream=true"}, {"GET", path + "/input_items"}, {"POST", path + "/cancel"}, {"DELETE", path},
	} {
		if a := w.do(t.Context(), c.method, c.path, "", "Authorization", "Bearer "+other); a.status != 404 || strings.Contains(a.body, "Hello") {
			t.Errorf("%s %s by another user: %d %s", c.method, c.path, a.status, a.body)
		}
		if a := w.do(t.Context(), c.method, strings.Replace(c.path, id, "resp_none", 1), ""); a.status != 404 {
			t.Errorf("%s of none: %d %s", c.method, a.status, a.body)
		}
	}
	for _, c := range []struct{ method, path string }{{"POST", path}, {"DELETE", path + "/input_items"}, {"GET", path + "/cancel"}} {
		if a := w.do(t.Context(), c.method, c.path, ""); a.status != 405 {
			t.Errorf("%s %s: %d", c.method, c.path, a.status)
		}
	}
	if a := w.do(t.Context(), "DELETE", path, ""); a.status != 200 {
		t.Fatalf("deleting: %d %s", a.status, a.body)
	}
	for _, tail := range []string{"", "?stream=true", "/input_items"} {
		if a := w.get(path + tail); a.status != 404 {
			t.Errorf("deleted, %s: %d %s", tail, a.status, a.body)
		}
	}
}

// TestKeptResponse_Policy: what a user key may not do, it may not read either.
func TestKeptResponse_Policy(t *testing.T) {
	w := newWorld(t, keys(1))
	for _, spec := range []users.Spec{
		{Name: "dialect", Unlimited: true, Dialects: []string{"gemini"}},
		{Name: "address", Unlimited: true, CIDRs: []string{"192.0.2.0/24"}},
	} {
		_, secret, err := w.users.Create(t.Context(), spec)
		must(t, err)
		if a := w.get("/v1/responses/resp_x", "Authorization", "Bearer "+secret); a.status != 403 {
			t.Errorf("%s: %d %s", spec.Name, a.status, a.body)
		}
	}
	key, secret, err := w.users.Create(t.Context(), users.Spec{Name: "one a minute", Limits: users.Limits{RPM: 1}})
	must(t, err)
	for range 3 {
		if a := w.get("/v1/responses/resp_x", "Authorization", "Bearer "+secret); a.status != 404 {
			t.Errorf("%s: reading was counted: %d %s", key.ID, a.status, a.body)
		}
	}
}

// TestBackground: nothing goes on behind the client's back, and it is told so.
func TestBackground(t *testing.T) {
	w := newWorld(t, keys(1))
	a := w.post("/v1/responses", fmt.Sprintf(`{"model":%q,"input":"hi","background":true}`, model))
	if a.status != 400 || !strings.Contains(a.body, `"param":"background"`) || !strings.Contains(a.body, `"code":"unsupported_parameter"`) {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestCodex: what Codex CLI sends is served, and nothing of its headers goes on.
// Source: specs/native-anthropic.md §E.
func TestCodex(t *testing.T) {
	w := newWorld(t, keys(1))
	body, err := os.ReadFile("../translate/openai/testdata/responses/codex/client.json")
	must(t, err)
	a := w.post("/v1/responses", string(body), "Accept", "text/event-stream", "Session-Id", "0199-session", "Thread-Id", "0199-thread",
		"X-Codex-Turn-Metadata", `{"workspaces":"`+strings.Repeat("w", 48<<10)+`"}`, "Originator", "codex_cli_rs", "Openai-Beta", "responses=experimental")
	if a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/event-stream") || !strings.Contains(a.body, "event: response.completed\n") {
		t.Fatalf("%d %s", a.status, a.body)
	}
	entries := w.google.Entries()
	sent := entries[len(entries)-1]
	for name, values := range sent.Header {
		if strings.Contains(fmt.Sprint(name, values), "0199-") || strings.Contains(strings.ToLower(name), "codex") || name == "Originator" || name == "Openai-Beta" {
			t.Errorf("%s went to Google: %.80s", name, values)
		}
	}
	if strings.Contains(string(sent.Body), "x-codex-installation-id") {
		t.Errorf("client_metadata went to Google: %s", sent.Body)
	}
}
