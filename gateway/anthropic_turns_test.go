// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/fetch"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// claudeTool is a turn whose answer is a call of Bash.
const claudeTool = `{"model":"gemini-3.8-flash","max_tokens":5000,"stream":%v%s,"tools":[{"name":"Bash","input_schema":{"type":"object","properties":{"command":{"type":"string"}}}}],"messages":[%s]}`

const wantsLS = `{"role":"user","content":"list [[call Bash {\"command\":\"ls\"}]]"}`

// claudeBlocks puts a message together from its events, as clients do.
func claudeBlocks(t testing.TB, got answer, stream bool) string {
	t.Helper()
	if got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if !stream {
		return at(t, got.body, "content")
	}
	var blocks []map[string]any
	for _, e := range claudeEvents(t, got.body) {
		switch e.Type {
		case "content_block_start":
			var block map[string]any
			decode(t, string(e.ContentBlock), &block)
			blocks = append(blocks, block)
		case "content_block_delta":
			var d struct {
				Type, Text, Thinking, Signature string
				PartialJSON                     string `json:"partial_json"`
			}
			decode(t, string(e.Delta), &d)
			block := blocks[len(blocks)-1]
			switch d.Type {
			case "text_delta":
				block["text"] = block["text"].(string) + d.Text
			case "thinking_delta":
				block["thinking"] = block["thinking"].(string) + d.Thinking
			case "signature_delta":
				block["signature"] = d.Signature
			case "input_json_delta":
				block["input"] = json.RawMessage(d.PartialJSON)
			}
		}
	}
	out, err := json.Marshal(blocks)
	must(t, err)
	return string(out)
}

// TestAnthropic_Signatures: a call's thought signature comes back to Google in the
// next turn. In the thinking block it gets to any gateway of the same master key;
// without thinking to that which remembers it; else Google is told to do without.
// Source: specs/native-anthropic.md C.5.
func TestAnthropic_Signatures(t *testing.T) {
	const sentinel = `"skip_thought_signature_validator"`
	genuine, _ := json.Marshal(base64.StdEncoding.EncodeToString([]byte("simulated signature gemini-3.8-flash Bash")))
	for _, tc := range []struct {
		name     string
		thinking string
		stream   bool
		elsewhere,
		forged bool
		want string
	}{
		{"envelope", `,"thinking":{"type":"adaptive"}`, false, true, false, string(genuine)},
		{"envelope, stream", `,"thinking":{"type":"enabled","budget_tokens":2048}`, true, true, false, string(genuine)},
		{"envelope, nothing shown", `,"thinking":{"type":"adaptive","display":"omitted"}`, true, true, false, string(genuine)},
		{"forged envelope", `,"thinking":{"type":"adaptive"}`, true, true, true, sentinel},
		{"memory", "", false, false, false, string(genuine)},
		{"memory, stream", "", true, false, false, string(genuine)},
		{"nothing", "", true, true, false, sentinel},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, keys(1))
			content := claudeBlocks(t, w.message(fmt.Sprintf(claudeTool, tc.stream, tc.thinking, wantsLS)), tc.stream)
			if strings.Contains(content, `"type":"thinking"`) != (tc.thinking != "") {
				t.Errorf("thinking where nobody asked for it, or none: %s", content)
			}
			if strings.Contains(content, "c2ltdWxhdGVk") {
				t.Errorf("a bare signature: %s", content)
			}
			if tc.elsewhere {
				w = newWorld(t, keys(1))
			}
			if tc.forged {
				content = strings.Replace(content, `"signature":"gw1.`, `"signature":"gw1.A`, 1)
			}
			var blocks []struct{ ID string }
			decode(t, content, &blocks)
			got := w.message(fmt.Sprintf(claudeTool, tc.stream, tc.thinking, wantsLS+`,{"role":"assistant","content":`+content+`},{"role":"user","content":[{"type":"tool_result","tool_use_id":"`+
				blocks[len(blocks)-1].ID+`","content":"a.txt"}]}`))
			if text := claudeBlocks(t, got, tc.stream); !strings.Contains(text, "a.txt") {
				t.Errorf("the second answer: %s", text)
			}
			asked := w.asked()
			i := strings.Count(at(t, asked, "contents.1.parts"), `{"functionCall"`) - 1
			if got := at(t, asked, fmt.Sprintf("contents.1.parts.%d.thoughtSignature", i)); got != tc.want {
				t.Errorf("signature %s, want %s in %s", got, tc.want, at(t, asked, "contents"))
			}
			if n := w.google.Count(fakegemini.ByStatus(400)); n != 0 {
				t.Errorf("Google refused %d requests", n)
			}
		})
	}
}

// TestAnthropic_CorruptedSignature: what Google refuses of its own signatures is sent
// once more without. Source: specs/native-anthropic.md F 26.
func TestAnthropic_CorruptedSignature(t *testing.T) {
	w := newWorld(t, keys(2))
	first := claudeBlocks(t, w.message(fmt.Sprintf(claudeTool, false, `,"thinking":{"type":"adaptive"}`, wantsLS)), false)
	var blocks []struct{ ID string }
	decode(t, first, &blocks)
	second := fmt.Sprintf(claudeTool, true, `,"thinking":{"type":"adaptive"}`, wantsLS+`,{"role":"assistant","content":`+first+`},{"role":"user","content":[{"type":"tool_result","tool_use_id":"`+blocks[len(blocks)-1].ID+`","content":"a.txt"}]}`)
	corrupted := fakegemini.Steer{Status: 400, Body: `{"error":{"code":400,"message":"Corrupted thought signature.","status":"INVALID_ARGUMENT"}}`}
	before := w.google.Count()
	w.google.Script(fakegemini.Rule{Times: 1, Steer: corrupted})
	if got := w.message(second); got.status != http.StatusOK || !strings.Contains(got.body, "message_stop") {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if n := w.google.Count() - before; n != 2 || !strings.Contains(w.asked(), "skip_thought_signature_validator") {
		t.Errorf("%d attempts, the last one %s", n, w.asked())
	}
	w.google.Script(fakegemini.Rule{Steer: corrupted})
	before = w.google.Count()
	claudeError(t, w.message(second), 400, "invalid_request_error", "thought signature")
	if n := w.google.Count() - before; n != 2 {
		t.Errorf("%d attempts, want 2", n)
	}
}

// webOf is a site with one image, and how to fetch from it.
func webOf(t testing.TB) (address string, o fetch.Options) {
	t.Helper()
	png, err := base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
	must(t, err)
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(png) }))
	t.Cleanup(web.Close)
	o.RootCAs = x509.NewCertPool()
	o.RootCAs.AddCert(web.Certificate())
	own := netip.MustParseAddrPort(strings.TrimPrefix(web.URL, "https://"))
	o.Allow = func(a netip.AddrPort) bool { return a == own }
	return web.URL, o
}

// TestAnthropic_Link: images and documents named by URL are fetched and sent along;
// what may not be fetched is refused with its field.
func TestAnthropic_Link(t *testing.T) {
	web, options := webOf(t)
	w := newWorld(t, keys(1), func(c *Config) { c.Fetch = fetch.New(options) })
	ask := func(url string) answer {
		return w.message(fmt.Sprintf(`{"model":%q,"max_tokens":100,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":%q}},{"type":"text","text":"What is it?"}]}]}`, model, url))
	}
	if got := ask(web + "/a.png?token=s3cret"); got.status != http.StatusOK || at(t, w.asked(), "contents.0.parts.0.inlineData.mimeType") != `"image/png"` || strings.Contains(w.asked(), "s3cret") {
		t.Errorf("%d %s, asked %s", got.status, got.body, w.asked())
	}
	before := w.google.Count()
	got := ask("https://127.0.0.1:1/a.png?token=s3cret")
	claudeError(t, got, 400, "invalid_request_error", "messages.0.content.0.source.url")
	if strings.Contains(got.body, "s3cret") || w.google.Count() != before {
		t.Errorf("a private address: %s", got.body)
	}
	w.gw.Fetch = nil
	claudeError(t, ask(web+"/a.png"), 400, "invalid_request_error", "messages.0.content.0.source.url")
}

// TestAnthropic_Fallback: of an alias the next model answers where the first cannot,
// and the client's word comes back.
func TestAnthropic_Fallback(t *testing.T) {
	seen := &watch{}
	w := newWorld(t, keys(2), seen.on, func(c *Config) {
		c.Aliases = []settings.Alias{{Name: "claude-opus-5-5", Targets: []string{"gemini-pro-latest", "gemini-2.5-flash"}}}
	})
	patchWait(t, w, 0)
	w.google.Script(fakegemini.Rule{Model: "gemini-pro-latest", Steer: fakegemini.Steer{Status: 503}})
	got := w.message(`{"model":"claude-opus-5-5","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}`)
	if got.status != http.StatusOK || at(t, got.body, "model") != `"claude-opus-5-5"` || got.header.Get("X-Gemini-Balance-Model") != "gemini-2.5-flash" {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
	r := seen.records[0]
	if r.Dialect != "anthropic" || r.Model != "gemini-2.5-flash" || r.Outcome != "ok" || r.Input == 0 || r.Output == 0 || r.RequestID != got.header.Get("Request-Id") {
		t.Errorf("booked as %+v", r)
	}
	if sum := w.usage.Totals(time.Time{}); sum.ByModel["gemini-2.5-flash"].Requests != 1 {
		t.Errorf("totals %+v", sum)
	}
}

// TestAnthropic_Models: Gemini's models, each under a name that Claude Code shows,
// and aliases; by pages; and one of them. Source: specs/native-anthropic.md C.10.
func TestAnthropic_Models(t *testing.T) {
	w := newWorld(t, keys(1), func(c *Config) {
		c.Aliases = []settings.Alias{{Name: "claude-opus-5-5", Targets: []string{"gemini-pro-latest"}}}
	})
	type list struct {
		Data []struct {
			Type, ID string
			Name     string `json:"display_name"`
		}
		HasMore bool   `json:"has_more"`
		LastID  string `json:"last_id"`
	}
	get := func(query string) (l list) {
		t.Helper()
		got := w.get("/v1/models"+query, "Anthropic-Version", "2023-06-01")
		if got.status != http.StatusOK || got.header.Get("Request-Id") == "" {
			t.Fatalf("%d %v %s", got.status, got.header, got.body)
		}
		decode(t, got.body, &l)
		return l
	}
	all := get("?limit=1000")
	var ids []string
	for _, m := range all.Data {
		if ids = append(ids, m.ID); m.Type != "model" || m.Name == "" {
			t.Errorf("model %+v", m)
		}
	}
	for _, id := range []string{"claude-opus-5-5", "gemini-3.8-flash", "claude-gw-gemini-3.8-flash"} {
		if !slices.Contains(ids, id) {
			t.Errorf("%s is not listed: %v", id, ids)
		}
	}
	var paged []string
	for query := "?limit=3"; query != ""; {
		page := get(query)
		for _, m := range page.Data {
			paged = append(paged, m.ID)
		}
		if query = ""; page.HasMore {
			query = "?limit=3&after_id=" + page.LastID
		}
	}
	if !slices.Equal(paged, ids) {
		t.Errorf("by pages %v, want %v", paged, ids)
	}
	for _, id := range []string{"claude-opus-5-5", "claude-gw-gemini-3.8-flash", "claude-haiku-4-5-20251001", "gemini-3.8-flash"} {
		got := w.get("/anthropic/v1/models/" + id)
		if got.status != http.StatusOK || at(t, got.body, "id") != `"`+id+`"` {
			t.Errorf("%s: %d %s", id, got.status, got.body)
		}
	}
	if n := w.google.Count(fakegemini.ByMethod("models.list")); n != 1 {
		t.Errorf("Google was asked %d times for its list", n)
	}
	for _, request := range []string{"HEAD /api/hello", "GET /api/hello", "HEAD /anthropic/api/hello", "HEAD /v1/models"} {
		method, path, _ := strings.Cut(request, " ")
		if got := w.do(t.Context(), method, path, "", "Authorization", ""); got.status != http.StatusOK || got.body != "" {
			t.Errorf("%s: %d %s", request, got.status, got.body)
		}
	}
}
