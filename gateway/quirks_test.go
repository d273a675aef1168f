// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// quirk is one request as a client sends it, and the answer it can live with.
type quirk struct {
	client string
	send   string // file of testdata/quirks; or request line, headers and body
	status int
	header map[string]string // in the answer
	want   []string          // in the body
	google []string          // in the body that Google got
	silent bool              // Google must not be asked
}

const (
	webPage      = "https://chat.example.com"
	withQuery    = "GET /v1beta/models?key={key}"
	listOfModels = `"name":"models/gemini-2.5-flash"`
	askNative    = "\nContent-Type: application/json\n\n" + `{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}`
)

var anyOrigin = map[string]string{"Access-Control-Allow-Origin": "*"}

// quirks has a row or more for each client whose ways are known. Files named after
// a tool with a number are what that tool sent, with its texts replaced; the
// others follow the description.
// Source: specs/native-anthropic.md E.
var quirks = []quirk{
	{client: "Open WebUI: list with a doubled slash, from a browser", send: "GET /v1//models\nAuthorization: Bearer {key}\nOrigin: " + webPage,
		status: 200, header: anyOrigin, want: []string{`"object":"list"`, `"id":"gemini-2.5-flash"`}},
	{client: "Open WebUI: chat with its headers", send: "open-webui-chat.http", status: 200, header: anyOrigin, want: []string{"data: [DONE]"}},
	{client: "Open WebUI: title", send: "open-webui-title.http", status: 200, want: []string{`{\"title\":\"Hello\"}`}},
	{client: "LobeChat: list by key in the query", send: withQuery + "\nOrigin: " + webPage,
		status: 200, header: anyOrigin, want: []string{listOfModels, `"inputTokenLimit":1048576`, `"outputTokenLimit":65536`, `"supportedGenerationMethods":[`}},
	{client: "LobeChat: safety, thinking and search", send: "lobechat-generate.http", status: 200, header: anyOrigin,
		want: []string{`"thought":true`, `"finishReason":"STOP"`}, google: []string{`"threshold": "BLOCK_NONE"`, `"thinkingBudget": 1024`, `{"googleSearch": {}}`}},
	{client: "LobeChat: tools without signatures and ids", send: "lobechat-tools.http", status: 200, want: []string{"The tool"}, google: []string{`"weather____get____builtin", "response": {"result": "rain"}`}},
	{client: "Cherry Studio: Gemini from its renderer", send: "cherry-studio-generate.http", status: 200, header: anyOrigin, want: []string{`"finishReason":"STOP"`}},
	{client: "Cherry Studio: preflight", send: "OPTIONS /v1/chat/completions\nOrigin: file://\nAccess-Control-Request-Method: POST\nAccess-Control-Request-Headers: authorization, content-type, x-title",
		status: 204, header: map[string]string{"Access-Control-Allow-Headers": "authorization, content-type, x-title"}, silent: true},
	{client: "NextChat: Gemini", send: "POST /v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse\nX-Goog-Api-Key: {key}" + askNative, status: 200, want: []string{`"finishReason":"STOP"`}},
	{client: "NextChat: usage", send: "GET /dashboard/billing/usage?start_date=2026-11-01&end_date=2026-11-26\nAuthorization: Bearer {key}",
		status: 404, header: map[string]string{"Content-Type": "application/json"}, want: []string{`"error":`}, silent: true},
	{client: "NextChat: subscription", send: "GET /dashboard/billing/subscription\nAuthorization: Bearer {key}",
		status: 404, header: map[string]string{"Content-Type": "application/json"}, want: []string{`"error":`}, silent: true},
	{client: "SillyTavern: key in the query", send: "POST /v1beta/models/gemini-2.5-flash:generateContent?key={key}" + askNative, status: 200, want: []string{`"STOP"`}},
	{client: "SillyTavern: as Vertex AI", send: "POST /v1/publishers/google/models/gemini-2.5-flash:streamGenerateContent?alt=sse\nAuthorization: Bearer {key}" + askNative, status: 200, want: []string{`"finishReason":"STOP"`}},
	{client: "Cline: Gemini", send: "POST /v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse\nX-Goog-Api-Key: {key}\nUser-Agent: Cline/3.40.0 ai-sdk/google/3.0.141" + askNative, status: 200, want: []string{`"finishReason":"STOP"`}},
	{client: "Cline: Gemini by the bare host, where the version is Google's newest", send: "POST /v1/models/gemini-2.5-flash:streamGenerateContent?alt=sse\nX-Goog-Api-Key: {key}" + askNative, status: 200, want: []string{`"finishReason":"STOP"`}},
	{client: "Roo Code: list", send: "GET /v1/models\nAuthorization: Bearer {key}", status: 200, want: []string{`"object":"list"`}},
	{client: "Roo Code: chat without signatures, with usage", send: "roo-code-chat.http", status: 200, want: []string{"what it says", `"choices":[],`, `"total_tokens":`, "data: [DONE]"}},
	{client: "Roo Code: Gemini without signatures, told so by Google as without a gateway", send: "roo-code-history.http", status: 400, want: []string{"missing a thought_signature"}},
	{client: "Continue: an array", send: "POST /v1beta/models/gemini-2.5-flash:streamGenerateContent?key={key}" + askNative,
		status: 200, header: map[string]string{"Content-Type": "application/json"}, want: []string{"[{", "\n,", "}\n]"}},
	{client: "Continue: the version lost", send: "POST /models/gemini-2.5-flash:streamGenerateContent?key={key}" + askNative, status: 200, want: []string{"[{", "}\n]"}},
	{client: "Aider: a model with a slash", send: "aider-chat.http", status: 200, want: []string{"data: [DONE]"}},
	{client: "litellm: snake case", send: "litellm-generate.http", status: 200, want: []string{`"STOP"`}, google: []string{`"system_instruction": {`}},
	{client: "Cursor: a name that is nobody's", send: "cursor-chat.http", status: 200, want: []string{`"model":"smart"`, "data: [DONE]"}},
	{client: "Cursor: items of the Responses API", send: "cursor-items.http", status: 200, want: []string{`"object":"chat.completion.chunk"`, `"choices":[],`, `"model":"smart"`, "data: [DONE]"},
		google: []string{"The word is heliotrope.", `"text":"You are a coding agent."`, `"name":"apply_patch"`}},
	{client: "Cursor: items, not streamed", send: "POST /v1/chat/completions\nAuthorization: Bearer {key}\n\n" + `{"model":"smart","input":[{"role":"user","content":"Hello"}]}`,
		status: 200, want: []string{`"object":"chat.completion"`, `"role":"assistant"`}},
	{client: "Cursor: items, one of them wrong", send: "POST /v1/chat/completions\nAuthorization: Bearer {key}\n\n" + `{"model":"smart","input":[{"role":"user"},{"type":"nonsense"}]}`,
		status: 400, silent: true, want: []string{`"param":"input[1].type"`}},
	{client: "Codex: the task", send: "codex-1.http", status: 200, want: []string{"event: response.completed", `"name":"exec_command"`}, google: []string{`"name":"multi_agent_v1__spawn_agent"`}},
	{client: "Codex: what its tool answered", send: "codex-2.http", status: 200, want: []string{"event: response.completed", "The tool exec_command answered"}, google: []string{"The word is heliotrope."}},
	{client: "gemini-cli: its router", send: "gemini-cli-1.http", status: 200, want: []string{`complexity_score`}, google: []string{`"type": "OBJECT"`}},
	{client: "gemini-cli: the task", send: "gemini-cli-2.http", status: 200, want: []string{`"functionCall":`, `"finishReason":"STOP"`}},
	{client: "gemini-cli: what its tool answered", send: "gemini-cli-3.http", status: 200, want: []string{" read_file answe", `"finishReason":"STOP"`}, google: []string{"The word is heliotrope."}},
	{client: "n8n: check of the credential", send: withQuery, status: 200, want: []string{listOfModels}},
	{client: "n8n: search next to functions", send: "n8n-agent.http", status: 200, want: []string{`"functionCall":`}, google: []string{`{"urlContext": {}}, {"googleSearch": {}}`}},
	{client: "LangChain.js: Google's older SDK", send: "langchain-generate.http", status: 200, want: []string{`"STOP"`}},
	{client: "Vercel AI SDK: Gemini", send: "vercel-generate.http", status: 200, want: []string{"image/png"}},
	{client: "Vercel AI SDK: somebody else's tuned model", send: "POST /v1beta/tunedModels/mine:generateContent\nX-Goog-Api-Key: {key}" + askNative, status: 404, want: []string{`"status":"NOT_FOUND"`}},
	{client: "Vercel AI SDK: interaction", send: "vercel-interaction.http", status: 200, want: []string{`"status":"completed"`}},
	{client: "browser: preflight without a key", send: "OPTIONS /v1beta/models/gemini-2.5-flash:generateContent\nOrigin: " + webPage + "\nAccess-Control-Request-Method: POST\nAccess-Control-Request-Headers: x-goog-api-key, x-goog-api-client, content-type, anthropic-version, anthropic-dangerous-direct-browser-access, x-stainless-lang, authorization",
		status: 204, silent: true, header: map[string]string{"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "POST", "Access-Control-Allow-Headers": "anthropic-dangerous-direct-browser-access", "Access-Control-Max-Age": "86400"}},
	{client: "browser: may read what went wrong", send: "POST /v1/chat/completions\nAuthorization: Bearer wrong\nOrigin: " + webPage + "\n\n{}",
		status: 401, silent: true, header: map[string]string{"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "x-goog-upload-url"}},
	{client: "anybody: GET of the root, which is the next handler's", send: "GET /", status: http.StatusTeapot, silent: true},
	{client: "anybody: HEAD of the root", send: "HEAD /", status: 200, silent: true},
	{client: "anybody: HEAD of the models", send: "HEAD /v1/models", status: 200, silent: true},
	{client: "Claude Code: HEAD of hello", send: "HEAD /api/hello", status: 200, silent: true},
	{client: "Claude Code: GET of hello below a prefix", send: "GET /anthropic/api/hello", status: 200, silent: true},
	{client: "anybody: a slash at the end", send: "GET /v1/models/\nAuthorization: Bearer {key}", status: 200, want: []string{`"object":"list"`}},
	{client: "anybody: the version twice", send: "GET /v1beta/v1beta/models\nX-Goog-Api-Key: {key}", status: 200, want: []string{listOfModels}},
	{client: "anybody: a key with blanks around it", send: "GET /v1beta/models?key=%20{key}%0A", status: 200, want: []string{listOfModels}},
	{client: "anybody: an empty key next to a good one", send: "GET /v1beta/models\nX-Goog-Api-Key: \nAuthorization: Bearer {key}", status: 200, want: []string{listOfModels}},
	{client: "anybody: a stream, accepting anything", send: "POST /v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse\nAccept: */*\nX-Goog-Api-Key: {key}" + askNative, status: 200, header: map[string]string{"Content-Type": "text/event-stream"}},
}

// anthropicQuirks are those of clients of Anthropic's API.
var anthropicQuirks = []quirk{
	{client: "Claude Code: the task", send: "claude-code-1.http", status: 200, want: []string{"event: message_stop", `"type":"tool_use"`, `"model":"claude-opus-5-5"`},
		google: []string{`"maxOutputTokens":65536`, `"name":"Read"`, `"systemInstruction":{"parts":[{"text":"(text of 62 bytes)"}`}},
	{client: "Claude Code: what its tool answered", send: "claude-code-2.http", status: 200, want: []string{"event: message_stop", `"stop_reason":"end_turn"`}, google: []string{"The word is heliotrope."}},
	{client: "Claude Code: title", send: "claude-code-title.http", status: 200, want: []string{"event: message_stop", `title`}, google: []string{`"responseJsonSchema":`, `"text":"Find a title."`}},
	{client: "Claude Code: search", send: "claude-code-search.http", status: 200, want: []string{"event: message_stop"}, google: []string{`"googleSearch":{}`}},
	{client: "Claude Code: models for its menu", send: "GET /v1/models?limit=1000\nAuthorization: Bearer {key}\nUser-Agent: claude-cli/2.1.332 (external, cli)\nAnthropic-Version: 2023-06-01",
		status: 200, want: []string{`"type":"model"`, `"id":"claude-`, `"has_more":false`}},
	{client: "Claude Code: events that nobody here wants", send: "POST /api/event_logging/batch\nContent-Type: application/json\n\n{}", status: 404, silent: true},
	{client: "NextChat: Messages from a page", send: "nextchat-messages.http", status: 200, header: anyOrigin, want: []string{"event: message_stop"}},
	{client: "Cherry Studio: Messages, the key twice", send: "cherry-studio-messages.http", status: 200, header: anyOrigin, want: []string{"event: message_stop", `"type":"thinking"`}},
	{client: "Continue: Messages with a blank stop sequence", send: "continue-messages.http", status: 200, want: []string{"event: message_stop"}, google: []string{`"stopSequences":["</end>"]`}},
	{client: "Cline: Messages of the newer version, a large window", send: "cline-messages.http", status: 200, want: []string{"event: message_stop", `"model":"claude-sonnet-5-5[1m]"`}},
	{client: "Vercel AI SDK: Messages", send: "vercel-messages.http", status: 200, want: []string{`"stop_reason":"end_turn"`}},
}

func TestQuirks_Anthropic(t *testing.T) {
	w := newWorld(t, keys(2), withQuirks)
	for _, q := range anthropicQuirks {
		t.Run(q.client, func(t *testing.T) { q.check(t, w) })
	}
}

// TestQuirks_ClaudeCodeContext: /context counts everything apart, all at once.
func TestQuirks_ClaudeCodeContext(t *testing.T) {
	w := newWorld(t, keys(2))
	var wg sync.WaitGroup
	for range 26 {
		wg.Go(func() {
			if got := w.send(t, "claude-code-count.http"); got.status != 200 || !strings.HasPrefix(got.body, `{"input_tokens":`) {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
	wg.Wait()
	if n := w.google.Count(fakegemini.ByMethod("countTokens")); n > 1 {
		t.Errorf("Google counted the same %d times", n)
	}
}

func withQuirks(c *Config) {
	c.CORS = []string{"*"}
	c.Aliases = append(c.Aliases, settings.Alias{Name: "smart", Targets: []string{"gemini-3-flash-preview"}})
}

func TestQuirks(t *testing.T) {
	w := newWorld(t, keys(2), withQuirks)
	for _, q := range quirks {
		t.Run(q.client, func(t *testing.T) { q.check(t, w) })
	}
}

func (q *quirk) check(t *testing.T, w *world) {
	w.google.Forget()
	got := w.send(t, q.send)
	if got.err != nil || got.status != q.status {
		t.Fatalf("status %d, want %d; %v %s", got.status, q.status, got.err, got.body)
	}
	for name, part := range q.header {
		if !strings.Contains(got.header.Get(name), part) {
			t.Errorf("%s: %q has no %q", name, got.header.Get(name), part)
		}
	}
	body := got.body
	if !strings.HasPrefix(body, "[") {
		body = compact(body)
	}
	for _, part := range q.want {
		if !strings.Contains(body, part) {
			t.Errorf("no %q in %.2000s", part, body)
		}
	}
	asked := w.google.Entries(fakegemini.Attempts)
	if q.silent && len(asked) > 0 {
		t.Errorf("Google was asked for %s", asked[0].Path)
	}
	for _, part := range q.google {
		if len(asked) == 0 || !strings.Contains(string(asked[len(asked)-1].Body), part) {
			t.Errorf("Google got no %q: %.2000s", part, bodies(asked))
		}
	}
}

func bodies(entries []fakegemini.Entry) (all []string) {
	for _, e := range entries {
		all = append(all, e.Path+" "+string(e.Body))
	}
	return all
}

// send makes a request of text, or of what a file has; see [quirk].
func (w *world) send(t *testing.T, text string) answer {
	t.Helper()
	if strings.HasSuffix(text, ".http") {
		data, err := os.ReadFile(filepath.Join("testdata", "quirks", text))
		must(t, err)
		text = string(data)
	}
	head, body, _ := strings.Cut(strings.ReplaceAll(text, "{key}", w.key), "\n\n")
	lines := strings.Split(strings.TrimSuffix(head, "\n"), "\n")
	method, path, _ := strings.Cut(lines[0], " ")
	header := []string{"Authorization", ""}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		header = append(header, name, strings.TrimPrefix(value, " "))
	}
	return w.do(t.Context(), method, path, body, header...)
}

// compact takes the blanks after colons out of JSON, which only Google's own
// answers have.
func compact(body string) string { return strings.ReplaceAll(body, `": `, `":`) }

// TestQuirks_LlamaIndex: indexing sends large batches, many at a time.
func TestQuirks_LlamaIndex(t *testing.T) {
	w := newWorld(t, keys(2))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got := w.send(t, "llamaindex-embed.http"); got.status != 200 || strings.Count(got.body, `"values"`) != 100 {
				t.Errorf("%d, %d embeddings; %.200s", got.status, strings.Count(got.body, `"values"`), got.body)
			}
		})
	}
	wg.Wait()
}

// TestQuirks_LostPrefix: SillyTavern of 2024 takes the origin of the address that it
// was given. A gateway below a prefix that is at the origin, too, serves it.
func TestQuirks_LostPrefix(t *testing.T) {
	w := newWorld(t, keys(1))
	serve := w.server.Config.Handler
	w.server.Close()
	mux := http.NewServeMux()
	mux.Handle("/gem/", http.StripPrefix("/gem", serve))
	mux.Handle("/v1beta/", serve)
	w.server = httptest.NewServer(mux)
	defer w.server.Close()
	for _, prefix := range []string{"/gem", ""} {
		got := w.send(t, "POST "+prefix+"/v1beta/models/gemini-2.5-flash:generateContent?key={key}"+askNative)
		if got.status != 200 || !strings.Contains(compact(got.body), `"STOP"`) {
			t.Errorf("below %q: %d %s", prefix, got.status, got.body)
		}
	}
}

// TestQuirks_Uploads: Dify uploads media before it names them; so does the Vercel
// AI SDK, whose pieces bring no key.
func TestQuirks_Uploads(t *testing.T) {
	for _, tc := range []struct{ name, start, chunk string }{
		{"Dify", "POST /upload/v1beta/files\nUser-Agent: google-genai-sdk/2.19.0 gl-python/3.13.0\nX-Goog-Api-Client: google-genai-sdk/2.19.0 gl-python/3.13.0",
			"\nX-Goog-Api-Key: {key}\nContent-Type: application/json"},
		{"Vercel AI SDK", "POST /upload/v1beta/files", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, keys(2))
			const data = "\x89PNG\r\n\x1a\n"
			started := w.send(t, tc.start+"\nX-Goog-Api-Key: {key}\nContent-Type: application/json\nX-Goog-Upload-Protocol: resumable\nX-Goog-Upload-Command: start"+
				fmt.Sprintf("\nX-Goog-Upload-Header-Content-Length: %d\nX-Goog-Upload-Header-Content-Type: image/png\n\n", len(data))+`{"file":{"mimeType":"image/png","sizeBytes":"8"}}`)
			to, ok := strings.CutPrefix(started.header.Get("X-Goog-Upload-Url"), w.server.URL)
			if started.status != 200 || !ok {
				t.Fatalf("%d %v %s", started.status, started.header, started.body)
			}
			done := w.send(t, "POST "+to+tc.chunk+"\nX-Goog-Upload-Offset: 0\nX-Goog-Upload-Command: upload, finalize\n\n"+data)
			if done.status != 200 || done.header.Get("X-Goog-Upload-Status") != "final" {
				t.Fatalf("%d %v %s", done.status, done.header, done.body)
			}
			var made struct{ File struct{ Name, URI string } }
			decode(t, done.body, &made)
			asked := w.send(t, "POST /v1beta/models/gemini-2.5-flash:generateContent\nX-Goog-Api-Key: {key}\n\n"+
				fmt.Sprintf(`{"contents":[{"role":"user","parts":[{"text":"What is it?"},{"file_data":{"file_uri":%q,"mime_type":"image/png"}}]}]}`, made.File.URI))
			if asked.status != 200 || !strings.Contains(asked.body, made.File.Name) {
				t.Errorf("%d %s", asked.status, asked.body)
			}
			if v := w.google.Violations(fakegemini.Foreign); len(v) > 0 {
				t.Error(v)
			}
		})
	}
}
