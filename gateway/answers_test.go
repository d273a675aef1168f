// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestAnswers_Framing: what Google's stream says does not depend on how proxies on
// the way frame, cut and pack it. Source: specs/openai.md §12.1, §21.10.
func TestAnswers_Framing(t *testing.T) {
	const (
		first = `{"candidates":[{"content":{"parts":[{"text":"né "}],"role":"model"}}],"responseId":"R"}`
		call  = `{"candidates":[{"content":{"parts":[{"functionCall":{"name":"now"},"thoughtSignature":"S"}],"role":"model"}}],"usageMetadata":{"promptTokenCount":3}}`
		last  = `{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"thoughtsTokenCount":4,"totalTokenCount":9}}`
	)
	events := func(before, after string) string {
		return before + first + after + before + call + after + before + last + after
	}
	pretty := strings.ReplaceAll(first, `,"role"`, ",\ndata: \"role\"") + "\n\ndata: " + call + "\n\ndata: " + last
	want := ""
	for _, tc := range []struct {
		name, body string
		write      func(w http.ResponseWriter, body string)
	}{
		{"CRLF", events("data: ", "\r\n\r\n"), nil},
		{"LF", events("data: ", "\n\n"), nil},
		{"CR", events("data: ", "\r\r"), nil},
		{"no space", events("data:", "\r\n\r\n"), nil},
		{"mark of byte order", "\ufeff" + events("data: ", "\r\n\r\n"), nil},
		{"comments and other fields", ": hi\n\n" + events("event: message\nid: 7\nretry: 1\n: x\ndata: ", "\n\n: ping\n\n"), nil},
		{"several lines of data", "data: " + pretty + "\n\n", nil},
		{"no blank line at the end", strings.TrimRight(events("data: ", "\r\n\r\n"), "\r\n"), nil},
		{"done of others", events("data: ", "\n\n") + "data: [DONE]\n\n", nil},
		{"empty events", events("data: ", "\n\ndata:\n\n\n\n"), nil},
		{"single bytes", events("data: ", "\r\n\r\n"), func(w http.ResponseWriter, body string) {
			for i := range len(body) {
				_, _ = io.WriteString(w, body[i:i+1])
				_ = http.NewResponseController(w).Flush()
			}
		}},
		{"an array", "[" + first + "\n,\r\n" + call + ",\n" + last + "]", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, keys(1), scripted(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				if tc.write == nil {
					_, _ = io.WriteString(w, tc.body)
					return
				}
				tc.write(w, tc.body)
			}))
			got := w.post("/v1/chat/completions", fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"include_usage":true},
				"tools":[{"type":"function","function":{"name":"now"}}]}`, model))
			if got.status != 200 || !strings.HasSuffix(got.body, "data: [DONE]\n\n") {
				t.Fatalf("%d %s", got.status, got.body)
			}
			body := got.body
			for _, name := range []string{`"created":`, `"id":"call_`} { // differs
				parts := strings.Split(body, name)
				for i := range parts[1:] {
					parts[i+1] = strings.TrimLeft(parts[i+1], "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
				}
				body = strings.Join(parts, name)
			}
			for _, part := range []string{`"id":"chatcmpl-R"`, `"content":"né "`, `"name":"now","arguments":"{}"`, `"thought_signature":"S"`, `"finish_reason":"tool_calls"`, `"completion_tokens":6,"total_tokens":9`} {
				if !strings.Contains(body, part) {
					t.Errorf("lacks %s: %s", part, body)
				}
			}
			if want == "" {
				want = body
			} else if body != want {
				t.Errorf("other bytes:\n%s\nwant\n%s", body, want)
			}
		})
	}
}

// TestAnswers_Whole: a JSON answer of any packing, and an answer of the other kind
// than was asked for.
func TestAnswers_Whole(t *testing.T) {
	for name, tc := range map[string]struct{ body, want string }{
		"plain":         {wholeAnswer, `"content":"hello"`},
		"white space":   {"\r\n \t" + wholeAnswer + "\n\n", `"content":"hello"`},
		"an array":      {"[" + wholeAnswer + "]", `"content":"hello"`},
		"unknown words": {strings.Replace(wholeAnswer, `{"candidates"`, `{"new":{"a":[1]},"candidates"`, 1), `"content":"hello"`},
	} {
		w := newWorld(t, keys(1), scripted(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tc.body) }))
		if got := w.ask(surfaces[0], "hi"); got.status != 200 || !strings.Contains(got.body, tc.want) {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
}

// TestAnswers_LongLine is §21.11: an image of 5 MB in one line of a stream;
// one that SDKs cannot read is told as an error.
func TestAnswers_LongLine(t *testing.T) {
	for _, tc := range []struct {
		size int
		fits bool
	}{{5 << 20, true}, {33 << 20, false}} {
		image := strings.Repeat("QUJD", tc.size/4)
		w := newWorld(t, keys(1), scripted(t, func(w http.ResponseWriter, r *http.Request) {
			doc := `{"candidates":[{"content":{"parts":[{"text":"Look"},{"inlineData":{"mimeType":"image/png","data":"` + image + `"}}],"role":"model"},"finishReason":"STOP"}]}`
			if r.URL.Query().Get("alt") == "sse" {
				doc = "data: " + doc + "\r\n\r\n"
			}
			_, _ = io.WriteString(w, doc)
		}))
		for _, s := range surfaces[:2] {
			got := w.ask(s, "hi")
			whole := got.status == 200 && strings.Contains(got.body, `"url":"data:image/png;base64,`+image+`"`)
			if want := tc.fits || !s.stream; whole != want {
				t.Errorf("%s, %d bytes: %d %.300s", s.name, tc.size, got.status, got.body)
			}
			if s.stream && strings.HasSuffix(got.body, "data: [DONE]\n\n") != tc.fits || !tc.fits && s.stream && !strings.Contains(got.body, "image_too_large") {
				t.Errorf("%s, %d bytes: ends with %.200s", s.name, tc.size, got.body[max(0, len(got.body)-200):])
			}
		}
	}
}

// TestLimits: D1 of specs/gateways.md, at the limit and above it.
func TestLimits(t *testing.T) {
	w := newWorld(t, keys(1))
	list := func(n int, element string) string { return strings.Repeat(element+",", n-1) + element }
	chat := func(messages, more string) string {
		return fmt.Sprintf(`{"model":%q,"messages":[%s]%s}`, model, messages, more)
	}
	user := `{"role":"user","content":"x"}`
	nested := func(n int) string { return strings.Repeat(`[`, n) + strings.Repeat(`]`, n) }
	tools := func(n int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf(`{"type":"function","function":{"name":"f%d"}}`, i)
		}
		return `,"tools":[` + strings.Join(all, ",") + `]`
	}
	for _, tc := range []struct{ name, at, above, param string }{
		{"messages", chat(list(10_000, user), ""), chat(list(10_001, user), ""), "messages"},
		{"parts", chat(`{"role":"user","content":[`+list(10_000, `{"type":"text","text":"x"}`)+`]}`, ""), chat(`{"role":"user","content":[`+list(10_001, `{"type":"text","text":"x"}`)+`]}`, ""), "messages[0].content"},
		{"functions", chat(user, tools(512)), chat(user, tools(513)), "tools"}, // Google's limit
		{"depth", chat(user, `,"metadata":{"a":`+nested(126)+`}`), chat(user, `,"metadata":{"a":`+nested(127)+`}`), ""},
	} {
		if got := w.post("/v1/chat/completions", tc.at); got.status != 200 {
			t.Errorf("%s at the limit: %d %.300s", tc.name, got.status, got.body)
		}
		got := w.post("/v1/chat/completions", tc.above)
		openaiError(t, got, 400, "")
		if !strings.Contains(got.body, `"param":"`+tc.param+`"`) && tc.param != "" {
			t.Errorf("%s: %.300s", tc.name, got.body)
		}
	}
}
