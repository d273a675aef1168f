// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// claudeError demands a whole error in Anthropic's shape.
func claudeError(t testing.TB, got answer, status int, kind, message string) {
	t.Helper()
	var e struct {
		Type      string
		Error     struct{ Type, Message string }
		RequestID string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(got.body), &e); err != nil || got.header.Get("Content-Type") != "application/json" {
		t.Fatalf("not an error of Anthropic's (%v): %d %v %s", err, got.status, got.header, got.body)
	}
	if got.status != status || e.Type != "error" || e.Error.Type != kind || !strings.Contains(e.Error.Message, message) || e.Error.Message == "" {
		t.Errorf("%d %s, want %d %s with %q", got.status, got.body, status, kind, message)
	}
	if id := got.header.Get("Request-Id"); e.RequestID != id || !regexp.MustCompile(`^req_[0-9A-Za-z]{20}$`).MatchString(id) {
		t.Errorf("request_id is %q, the header %q", e.RequestID, id)
	}
}

const claudeHi = `{"model":"claude-sonnet-5-5","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}`

// TestAnthropic_Errors: whatever goes wrong before Google is asked is told in
// Anthropic's shape. Source: specs/native-anthropic.md C.0, C.8.
func TestAnthropic_Errors(t *testing.T) {
	w := newWorld(t, keys(1), func(c *Config) { c.MaxRequestSize = 4096 })
	user := func(s users.Spec) string {
		s.Name = "other"
		_, secret, err := w.users.Create(t.Context(), s)
		must(t, err)
		return secret
	}
	version := []string{"Anthropic-Version", "2023-06-01"}
	as := func(secret string) []string {
		return append([]string{"Authorization", "", "X-Api-Key", secret}, version...)
	}
	for _, tc := range []struct {
		name, request, body string
		header              []string
		status              int
		kind, message       string
	}{
		{"no key", "POST /v1/messages", claudeHi, as(""), 401, "authentication_error", "No API key"},
		{"unknown key", "POST /v1/messages", claudeHi, as("sk-ant-x"), 401, "authentication_error", "invalid x-api-key"},
		{"no JSON", "POST /v1/messages", `{"model":`, version, 400, "invalid_request_error", ""},
		{"no messages", "POST /v1/messages", `{"model":"claude-x","max_tokens":1}`, version, 400, "invalid_request_error", "messages: Field required"},
		{"no max_tokens", "POST /anthropic/v1/messages", `{"model":"claude-x","messages":[{"role":"user","content":"x"}]}`, version, 400, "invalid_request_error", "max_tokens: Field required"},
		{"too large", "POST /v1/messages", strings.Replace(claudeHi, "hi", strings.Repeat("x", 5000), 1), version, 413, "request_too_large", "4096"},
		{"compressed", "POST /v1/messages", claudeHi, append([]string{"Content-Encoding", "br"}, version...), 415, "invalid_request_error", "gzip"},
		{"batches", "POST /v1/messages/batches", `{}`, version, 404, "not_found_error", ""},
		{"legacy completions", "POST /v1/complete", `{}`, nil, 404, "not_found_error", ""},
		{"files", "GET /v1/files", "", version, 404, "not_found_error", ""},
		{"telemetry", "POST /api/event_logging/batch", `{}`, nil, 404, "not_found_error", ""},
		{"method", "GET /v1/messages", "", version, 405, "invalid_request_error", "POST"},
		{"unknown model", "POST /v1/messages", strings.Replace(claudeHi, "claude-sonnet-5-5", "gpt 4", 1), version, 404, "not_found_error", "model: gpt 4"},
		{"model that no key has", "POST /v1/messages", strings.Replace(claudeHi, "claude-sonnet-5-5", "gemini-none", 1), version, 404, "not_found_error", "model: gemini-none"},
		{"another API's key", "POST /v1/messages", claudeHi, as(user(users.Spec{Dialects: []string{"openai"}})), 403, "permission_error", "anthropic API"},
		{"another model's key", "POST /v1/messages", claudeHi, as(user(users.Spec{Models: []string{"gemini-pro-latest"}})), 404, "not_found_error", `may not use model "claude-sonnet-5-5", only gemini-pro-latest`},
		{"another API's key counts", "POST /v1/messages/count_tokens", claudeHi, as(user(users.Spec{Dialects: []string{"openai"}})), 403, "permission_error", "anthropic API"},
		{"another model's key counts", "POST /v1/messages/count_tokens", claudeHi, as(user(users.Spec{Models: []string{"gemini-pro-latest"}})), 404, "not_found_error", `may not use model "claude-sonnet-5-5", only gemini-pro-latest`},
		{"page", "GET /v1/models?limit=0", "", version, 400, "invalid_request_error", "limit"},
		{"unknown model of the list", "GET /v1/models/gemini-none", "", version, 404, "not_found_error", "model: gemini-none"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			method, path, _ := strings.Cut(tc.request, " ")
			claudeError(t, w.do(t.Context(), method, path, tc.body, tc.header...), tc.status, tc.kind, tc.message)
		})
	}
	if n := w.google.Count(fakegemini.Attempts, fakegemini.ByStatus(200)); n != 0 {
		t.Errorf("%d of them were answered by Google", n)
	}
}

// TestAnthropic_Keys: both headers are known with any version, and x-api-key decides.
// Source: specs/native-anthropic.md F 29.
func TestAnthropic_Keys(t *testing.T) {
	w := newWorld(t, keys(1))
	for name, header := range map[string][]string{
		"x-api-key":           {"Authorization", "", "X-Api-Key", w.key},
		"bearer, new version": {"Anthropic-Version", "2026-10-21"},
		"both":                {"Authorization", "Bearer sk-ant-oat01-other", "X-Api-Key", w.key},
	} {
		body := strings.Replace(claudeHi, `"max_tokens"`, `"temperature":1,"max_tokens"`, 1)
		if got := w.post("/v1/messages", body, header...); got.status != http.StatusOK {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	claudeError(t, w.post("/v1/messages", claudeHi, "X-Api-Key", "sk-ant-x"), 401, "authentication_error", "")
}

// TestAnthropic_Faults runs every fault: other keys take over, and what the client
// hears in the end is an error of Anthropic's, or an event that ends the stream.
func TestAnthropic_Faults(t *testing.T) {
	for _, f := range faults {
		for _, stream := range []bool{false, true} {
			for _, once := range []bool{false, true} {
				if once && (f.prompt == "[[status 400]]" || f.prompt == "[[html 429]]" || f.prompt == "[[status 404]]" || f.inBand && stream) {
					continue
				}
				t.Run(fmt.Sprintf("%s stream %v once %v", f.prompt, stream, once), func(t *testing.T) {
					t.Parallel()
					f.in(t, func(t *testing.T, w *world) {
						patchWait(t, w, 0)
						prompt := f.prompt
						if once {
							w.google.Script(onceAs(prompt))
							prompt = "[[say well]][[events 1]]"
						}
						got := w.message(fmt.Sprintf(`{"model":%q,"max_tokens":2000,"stream":%v,"messages":[{"role":"user","content":%q}]}`, model, stream, prompt))
						checkClaude(t, &f, got, stream, once)
						if rests := w.pool.Rests(10); !f.rests && len(rests) > 0 {
							t.Errorf("keys rest for what was not their fault: %+v", rests)
						}
						if states := w.pool.Stats().States; !f.rests && states[balancer.StateActive]+states[balancer.StateUntested] != 3 {
							t.Errorf("keys changed state for what was not their fault: %v", states)
						}
					})
				})
			}
		}
	}
}

// checkClaude checks the answer to a request that met a fault, the first time or
// every time.
func checkClaude(t *testing.T, f *fault, got answer, stream, once bool) {
	t.Helper()
	switch {
	case got.err != nil:
		t.Fatalf("the client's connection broke: %v", got.err)
	case once:
		if got.status != http.StatusOK || !strings.Contains(got.body, "well") || strings.Contains(got.body, `"error"`) {
			t.Fatalf("the client noticed: %d %s", got.status, got.body)
		}
	case got.status == http.StatusUnauthorized || got.status == http.StatusForbidden:
		t.Fatalf("the client's key is blamed: %d %s", got.status, got.body)
	case got.status != http.StatusOK:
		for _, kind := range []string{"invalid_request_error", "not_found_error", "rate_limit_error", "api_error", "overloaded_error", "timeout_error"} {
			if strings.Contains(got.body, `"type":"`+kind+`"`) {
				claudeError(t, got, got.status, kind, "")
				return
			}
		}
		t.Errorf("no error of Anthropic's: %d %s", got.status, got.body)
	case stream && f.inBand:
		events := claudeEvents(t, got.body)
		last := events[len(events)-1]
		if last.Type != "error" || last.Error.Type == "" || last.Error.Message == "" {
			t.Errorf("the stream does not end in an error: %s", got.body)
		}
		if o := outline(events); strings.Contains(o, "message_delta") || strings.Contains(o, "message_stop") || !strings.Contains(o, "text_delta") {
			t.Errorf("a broken stream looks complete, or has lost its text: %s", o)
		}
	case !strings.Contains(f.prompt, "MALFORMED") && f.stream[1] != http.StatusOK && f.unary[1] != http.StatusOK:
		t.Errorf("a fault became an answer: %s", got.body)
	}
}

// TestAnthropic_Ping: a stream that waits gets pings before it has begun, still
// changes keys, and breaks in-band.
func TestAnthropic_Ping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, keys(3), func(c *Config) { c.Heartbeat = 30 * time.Millisecond })
		w.google.Script(fakegemini.Rule{Times: 1, Steer: fakegemini.Steer{Delay: 200 * time.Millisecond, Status: 503}})
		body := strings.Replace(claudeHi, `"max_tokens"`, `"stream":true,"max_tokens"`, 1)
		got := w.message(body)
		events := claudeEvents(t, got.body)
		if got.status != 200 || !strings.HasPrefix(got.body, "event: ping\ndata: {\"type\":\"ping\"}\n\n") || events[len(events)-1].Type != "message_stop" {
			t.Errorf("%d %s", got.status, got.body)
		}
		if got.header.Get("Request-Id") == "" {
			t.Error("no request-id")
		}
		w.google.Script(fakegemini.Rule{Steer: fakegemini.Steer{Delay: 100 * time.Millisecond, Status: 400}})
		got = w.message(body)
		events = claudeEvents(t, got.body)
		if last := events[len(events)-1]; got.status != 200 || last.Error.Type != "invalid_request_error" || outline(events) != "error" {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

// TestAnthropic_Limits: where a user key stands, and that it has to wait.
func TestAnthropic_Limits(t *testing.T) {
	w := newWorld(t, keys(1))
	_, secret, err := w.users.Create(t.Context(), users.Spec{Name: "few", Limits: users.Limits{RPM: 1}})
	must(t, err)
	got := w.message(claudeHi, "X-Api-Key", secret)
	if got.status != http.StatusOK || got.header.Get("Anthropic-Ratelimit-Requests-Limit") != "1" || got.header.Get("Anthropic-Ratelimit-Requests-Remaining") != "0" {
		t.Errorf("%d %v", got.status, got.header)
	}
	reset, err := time.Parse(time.RFC3339, got.header.Get("Anthropic-Ratelimit-Requests-Reset"))
	if err != nil || time.Until(reset) > time.Minute+time.Second || time.Until(reset) < 50*time.Second {
		t.Errorf("reset at %v (%v)", reset, err)
	}
	if got.header.Get("Anthropic-Ratelimit-Tokens-Limit") == "" || got.header.Get("X-Ratelimit-Limit-Requests") != "" {
		t.Errorf("headers %v", got.header)
	}
	got = w.message(claudeHi, "X-Api-Key", secret)
	claudeError(t, got, 429, "rate_limit_error", "rpm")
	if after := got.header.Get("Retry-After"); got.header.Get("X-Should-Retry") != "true" || after != "60" && after != "59" {
		t.Errorf("headers %v", got.header)
	}
	// Counting is not limited.
	if got := w.post("/v1/messages/count_tokens", claudeHi, "Authorization", "Bearer "+secret); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestAnthropic_PoolRests: clients are told to come back when a key does, but within
// the minute that they are ready to wait; and not before the day is over.
func TestAnthropic_PoolRests(t *testing.T) {
	for name, tc := range map[string]struct{ prompt, kind, after, again string }{
		"seconds": {"[[retry 30s]]", "rate_limit_error", "30", "true"},
		"minutes": {"[[retry 300s]]", "rate_limit_error", "60", "true"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, keys(2))
			patchWait(t, w, 0)
			got := w.message(strings.Replace(claudeHi, "hi", tc.prompt, 1))
			claudeError(t, got, 429, tc.kind, "")
			if got.header.Get("Retry-After") != tc.after || got.header.Get("X-Should-Retry") != tc.again {
				t.Errorf("headers %v", got.header)
			}
		})
	}
	spent := keys(1)
	spent.Limits.RPD = 1
	w := newWorld(t, spent)
	patchWait(t, w, 0)
	w.message(claudeHi)
	got := w.message(claudeHi)
	claudeError(t, got, 429, "rate_limit_error", "")
	if got.header.Get("X-Should-Retry") != "false" {
		t.Errorf("a used-up day: %v", got.header)
	}
}

// TestAnthropic_Large: an image of 1 MiB is sent whole from the client's body, to
// every key.
func TestAnthropic_Large(t *testing.T) {
	image := strings.Repeat("AAAA", 1<<18)
	w := newWorld(t, keys(3))
	w.google.Script(fakegemini.Rule{Times: 2, Steer: fakegemini.Steer{Status: 503}})
	got := w.message(`{"model":"claude-haiku-5","max_tokens":100,"stream":true,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + image + `"}},{"type":"text","text":"Hello"}]}]}`)
	if got.status != http.StatusOK || !strings.Contains(got.body, "message_stop") {
		t.Fatalf("%d %s", got.status, got.body)
	}
	entries := w.google.Entries(fakegemini.Attempts)
	if len(entries) != 3 {
		t.Errorf("%d attempts", len(entries))
	}
	for _, e := range entries {
		if !bytes.Contains(e.Body, []byte(`"data":"`+image+`"`)) {
			t.Errorf("attempt %d lacks the image", e.N)
		}
	}
}

// TestAnthropic_Estimate: message_start tells about how large the prompt is, also
// where Google's first event does not.
func TestAnthropic_Estimate(t *testing.T) {
	w := newWorld(t, keys(1), stub(t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(rw, "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}\r\n\r\n"+
			"data: {\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":7}}\r\n\r\n")
	}))
	got := w.message(`{"model":"claude-haiku-5","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"` + strings.Repeat("Hello there. ", 100) + `"}]}`)
	start, end, ok := strings.Cut(got.body, "event: ping")
	if !ok || !regexp.MustCompile(`"usage":\{"input_tokens":[1-9]\d\d,`).MatchString(start) || !strings.Contains(end, `"usage":{"input_tokens":7,`) {
		t.Errorf("%d %s", got.status, got.body)
	}
}
