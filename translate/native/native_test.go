// SPDX-License-Identifier: Apache-2.0

package native

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/sse"
)

const (
	hi    = `{"candidates":[{"content":{"parts":[{"text":"Hi"}]}}],"usageMetadata":{"promptTokenCount":3}}`
	done  = `{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2}}`
	two   = `{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"},{"index":1,"content":{"parts":[{"text":"Ho"}]}}]}`
	fault = `{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}`
)

func exchange(s translate.Stream) *Exchange {
	return New(&translate.Call{Method: "POST", Stream: s, Generate: true})
}

// play sends a body through the reader and the exchange, as the gateway does. It
// returns what was written before, and with, the first output, too.
func play(t *testing.T, x *Exchange, body io.Reader) (out []byte, first int, err error) {
	t.Helper()
	x.Begin()
	var frames sse.Frames = sse.NewReader(body)
	if x.call.Stream == translate.JSONArray {
		frames = sse.NewArrayReader(body)
	}
	defer frames.Release()
	for n := 1; ; n++ {
		raw, data, err := frames.Next()
		if err == io.EOF {
			out, err = x.End(out)
			return out, first, err
		}
		if err != nil {
			t.Fatal(err)
		}
		if out, err = x.Event(out, translate.Frame{Raw: raw, Data: data}); err != nil {
			return out, first, err
		}
		if first == 0 && len(out) > 0 {
			first = n
		}
	}
}

func TestExchange_StreamsPassUntouched(t *testing.T) {
	sseBody := ": comment\r\n\r\ndata: {\"candidates\":[{}]}\r\n\r\ndata:  " + hi + "\r\n\r\nevent: x\ndata: " + done + "\n\n\n"
	arrayBody := "[{\"candidates\":[{}]}\n,\r\n" + hi + "\n,\r\n" + done + "\n]\n"
	for _, tc := range []struct {
		name  string
		form  translate.Stream
		body  string
		first int // frame that commits
	}{
		{"sse", translate.SSE, sseBody, 3},
		{"array", translate.JSONArray, arrayBody, 2},
		{"blocked", translate.SSE, "data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}\n\n", 1},
		{"two candidates, one after the other", translate.SSE, "data: " + two + "\n\ndata: {\"candidates\":[{\"index\":1,\"finishReason\":\"STOP\"}]}\n\n", 1},
		{"text after the end", translate.SSE, "data: " + done + "\n\ndata: " + hi + "\n\n", 1},
		{"blocked on the way", translate.SSE, "data: " + two + "\n\ndata: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}\n\n", 1},
		{"only a finish reason", translate.SSE, "data: {\"candidates\":[{\"finishReason\":\"MAX_TOKENS\"}]}\n\n", 1},
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(tc.body), "bytes": iotest.OneByteReader(strings.NewReader(tc.body))} {
			x := exchange(tc.form)
			out, first, err := play(t, x, r)
			if err != nil || string(out) != tc.body || first != tc.first {
				t.Errorf("%s, %s: %q, first output with frame %d, %v", tc.name, name, out, first, err)
			}
			if strings.Contains(tc.body, hi) && (x.Usage().Prompt != 3 || x.Usage().Candidates != 2) {
				t.Errorf("%s: usage %+v", tc.name, x.Usage())
			}
		}
	}
}

// TestExchange_Faults: what must not look like a whole answer.
func TestExchange_Faults(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		kind       translate.Kind
		out        string
	}{
		{"empty stream", "", translate.EmptyAnswer, ""},
		{"nothing useful", "data: {}\n\ndata: {\"candidates\":[{\"content\":{}}]}\n\n", translate.EmptyAnswer, ""},
		{"no finishReason", "data: " + hi + "\n\n", translate.Truncated, "data: " + hi + "\n\n"},
		{"one of two without finishReason", "data: " + two + "\n\n", translate.Truncated, "data: " + two + "\n\n"},
		{"cut event", "data: " + hi + "\n\ndata: {\"candi", translate.Truncated, "data: " + hi + "\n\n"},
		{"HTML", "<html>", translate.MalformedAnswer, ""},
	} {
		out, _, err := play(t, exchange(translate.SSE), strings.NewReader(tc.body))
		var f *translate.Failure
		if !errors.As(err, &f) || f.Kind != tc.kind || string(out) != tc.out || !f.Retry {
			t.Errorf("%s: %q, %#v", tc.name, out, err)
		}
	}
	for name, body := range map[string]string{
		"first": "data: " + fault + "\n\n", "later": "data: " + hi + "\r\n\r\ndata: " + fault + "\r\n\r\n",
		"bare": "data: " + hi + "\r\n\r\n" + fault, "in an array": "[" + fault + "]",
	} {
		out, _, err := play(t, exchange(translate.SSE), strings.NewReader(body))
		var e *translate.UpstreamError
		if !errors.As(err, &e) || e.Status != 503 || string(e.Body) != fault || bytes.Contains(out, []byte("error")) {
			t.Errorf("error %s: %q, %#v", name, out, err)
		}
	}
	out, _, err := play(t, exchange(translate.JSONArray), strings.NewReader("["+hi+",\n"+done))
	if err != nil || !json.Valid(out) {
		t.Errorf("an array that lost its bracket: %q, %v", out, err)
	}
}

func TestExchange_Response(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		generate   bool
		kind       translate.Kind // Internal means that it passes
	}{
		{"answer", hi, true, translate.Internal},
		{"blocked", `{"promptFeedback":{"blockReason":"OTHER"}}`, true, translate.Internal},
		{"finish without content", `{"candidates":[{"content":{},"finishReason":"MALFORMED_FUNCTION_CALL"}]}`, true, translate.Internal},
		{"empty object", ` {} `, true, translate.EmptyAnswer},
		{"no candidates", `{"candidates":[],"promptFeedback":{"safetyRatings":[]}}`, true, translate.EmptyAnswer},
		{"cut", `{"candidates":[`, true, translate.Truncated},
		{"no JSON", `<html>`, true, translate.MalformedAnswer},
		{"countTokens", `{"totalTokens":5}`, false, translate.Internal},
		{"embedContent", ` {"embedding":{"values":[0.1]}}` + "\n", false, translate.Internal},
		{"download", "\x89PNG", false, translate.Internal},
		{"nothing", "", false, translate.Internal},
	} {
		x := New(&translate.Call{Generate: tc.generate})
		x.Begin()
		out, err := x.Response([]byte("x"), []byte(tc.body))
		var f *translate.Failure
		if tc.kind == translate.Internal {
			if err != nil || string(out) != "x"+tc.body {
				t.Errorf("%s: %q, %v", tc.name, out, err)
			}
		} else if !errors.As(err, &f) || f.Kind != tc.kind || !f.Retry || string(out) != "x" {
			t.Errorf("%s: %q, %#v", tc.name, out, err)
		}
	}
	var e *translate.UpstreamError
	if _, err := exchange(translate.Unary).Response(nil, []byte("["+fault+"]")); !errors.As(err, &e) {
		t.Errorf("error inside a 200: %v", err)
	}
	x := New(&translate.Call{Stream: translate.SSE})
	out, err := x.Event(nil, translate.Frame{Raw: []byte("event: interaction.created\ndata: {}\n\n")})
	if out2, err2 := x.End(out); err != nil || err2 != nil || len(out2) == 0 {
		t.Errorf("a stream of another method: %q, %v, %v", out, err, err2)
	}
}

// TestExchange_Begin: nothing of an attempt is left in the next one.
func TestExchange_Begin(t *testing.T) {
	x := exchange(translate.SSE)
	x.Event(nil, translate.Frame{Raw: []byte("data: {\"candidates\":[]}\n\n"), Data: []byte(`{"usageMetadata":{"promptTokenCount":9}}`)})
	body := "data: " + done + "\n\n"
	out, _, err := play(t, x, strings.NewReader(body))
	if err != nil || string(out) != body || x.Usage().Prompt != 3 {
		t.Errorf("%q, %v", out, err)
	}
}

func TestExchange_Abort(t *testing.T) {
	f := translate.CutOff()
	body := `{"error":{"code":503,"message":"Gemini's answer was cut off before its end.","status":"UNAVAILABLE"}}`
	if out := exchange(translate.SSE).Abort([]byte("x"), f); string(out) != "x"+body {
		t.Errorf("sse: %s", out)
	}
	out := exchange(translate.JSONArray).Abort([]byte("[{}"), f)
	if string(out) != "[{}\n,\r\n"+body+"\n]" || !json.Valid(out) {
		t.Errorf("array: %s", out)
	}
}

// TestError is specs/native-anthropic.md A.15.
func TestError(t *testing.T) {
	google := `{"code":400,"message":"Invalid value","status":"INVALID_ARGUMENT","details":[{"@type":"x","n":1}]}`
	daily := []byte(`{"error":{"code":429,"message":"limit: 0","status":"RESOURCE_EXHAUSTED"}}`)
	for _, tc := range []struct {
		name   string
		f      translate.Failure
		status int
		want   []string
		not    string
	}{
		{"user key wrong", translate.Failure{Kind: translate.Unauthenticated}, 400,
			[]string{`"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"`, `"reason":"API_KEY_INVALID","domain":"googleapis.com"`}, ""},
		{"user key missing", translate.Failure{Kind: translate.Unauthenticated, Code: translate.CodeMissingKey}, 403,
			[]string{`"code":403,"message":"Method doesn't allow unregistered callers`, `"status":"PERMISSION_DENIED"`}, "API_KEY_INVALID"},
		{"field", *translate.Invalid("contents[0].role", "is not known"), 400,
			[]string{`"message":"contents[0].role: is not known"`, `"fieldViolations":[{"field":"contents[0].role","description":"is not known"}]`}, ""},
		{"Google's own words", translate.Failure{Kind: translate.InvalidRequest, Message: "m", Details: []byte(google)}, 400, []string{`{"error":` + google + `}`}, ""},
		{"Google's own words, wrapped", translate.Failure{Kind: translate.Upstream, Details: []byte(`{"error":{"code":500,"message":"m","status":"INTERNAL"}}`)}, 500, []string{`{"error":{"code":500,"message":"m","status":"INTERNAL"}}`}, ""},
		{"never Google's 403", translate.Failure{Kind: translate.Upstream, Message: "m", Details: []byte(`{"error":{"code":403,"message":"key"}}`)}, 500, []string{`"message":"m"`}, "key"},
		{"details that are none", translate.Failure{Kind: translate.Upstream, Message: "m", Details: []byte(`<html>`)}, 500, []string{`"message":"m"`}, "details"},
		{"all resting", translate.Failure{Kind: translate.RateLimited, Message: "m", RetryAfter: 6100 * time.Millisecond, Details: daily}, 429,
			[]string{`"status":"RESOURCE_EXHAUSTED"`, `RetryInfo","retryDelay":"7s"`, `PerMinute`}, "limit: 0"},
		{"resting for longer", translate.Failure{Kind: translate.RateLimited, Message: "m", RetryAfter: 5 * time.Minute}, 429, []string{`"retryDelay":"300s"`}, "Per"},
		{"user's limit", translate.Failure{Kind: translate.UserRateLimited, Message: "m", RetryAfter: time.Second}, 429, []string{`"retryDelay":"1s"`}, "PerDay"},
		{"day used up", translate.Failure{Kind: translate.QuotaExhausted, Message: "m", RetryAfter: time.Hour}, 429, []string{`PerDay`, `"retryDelay":"3600s"`}, "PerMinute"},
		{"no keys", translate.Failure{Kind: translate.NoKeys, Message: "m"}, 503, []string{`"status":"UNAVAILABLE"`}, "details"},
		{"overloaded", translate.Failure{Kind: translate.Overloaded, Message: "m"}, 503, []string{`"status":"UNAVAILABLE"`}, ""},
		{"timeout", translate.Failure{Kind: translate.Timeout, Message: "m"}, 504, []string{`"status":"DEADLINE_EXCEEDED"`}, ""},
		{"forbidden", translate.Failure{Kind: translate.Forbidden, Message: "<m>"}, 403, []string{`"message":"<m>","status":"PERMISSION_DENIED"`}, ""},
		{"a kind nobody knows", translate.Failure{Kind: 255, Message: "m"}, 500, []string{`"status":"INTERNAL"`}, ""},
	} {
		a := exchange(translate.SSE).Error(&tc.f)
		var body struct {
			Error *struct {
				Code            int
				Message, Status string
				Details         []map[string]any
			}
		}
		if err := json.Unmarshal(a.Body, &body); err != nil || body.Error == nil || body.Error.Code != a.Status || body.Error.Message == "" || body.Error.Status == "" {
			t.Fatalf("%s: %v in %s", tc.name, err, a.Body)
		}
		for _, want := range tc.want {
			if !bytes.Contains(a.Body, []byte(want)) {
				t.Errorf("%s: %s\nlacks %s", tc.name, a.Body, want)
			}
		}
		if a.Status != tc.status || tc.not != "" && bytes.Contains(a.Body, []byte(tc.not)) {
			t.Errorf("%s: %d %s", tc.name, a.Status, a.Body)
		}
		wrapped := exchange(translate.JSONArray).Error(&tc.f)
		if string(wrapped.Body) != "["+string(a.Body)+"]" || wrapped.Status != a.Status {
			t.Errorf("%s: in an array %s", tc.name, wrapped.Body)
		}
	}
	for kind := translate.Internal; kind <= translate.Canceled; kind++ {
		s, ok := statuses[kind]
		if !ok || s.code < 400 || s.code > 599 || s.code == 401 || (s.code == 403) != (kind == translate.Forbidden) {
			t.Errorf("kind %d: %+v", kind, s)
		}
	}
}

// TestExchange_Recordings: every recorded answer passes byte for byte.
func TestExchange_Recordings(t *testing.T) {
	files, _ := filepath.Glob("../../../shared/recordings/*/*.*")
	if len(files) == 0 {
		t.Skip("no recordings beside the project")
	}
	broken := map[string]bool{
		"empty-failure-malformed-content.json": true, "empty-failure-only-prompt-feedback.json": true, "empty-streaming-failure-empty-content.sse": true,
		"stream-text-streaming-failure-invalid-json.sse": true, "text-failure-invalid-response.json": true,
	}
	other := map[string]bool{"embeddings": true, "models": true, "tokens": true, "predict": true, "files": true, "caches": true, "google-openai-compat": true}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		group := filepath.Base(filepath.Dir(file))
		var out []byte
		if filepath.Ext(file) == ".sse" {
			out, _, err = play(t, exchange(translate.SSE), iotest.OneByteReader(bytes.NewReader(body)))
		} else {
			x := New(&translate.Call{Generate: !other[group]})
			out, err = x.Response(nil, body)
		}
		var f *translate.Failure
		switch {
		case group == "errors":
			if _, ok := errors.AsType[*translate.UpstreamError](err); !ok {
				t.Errorf("%s: %v", file, err)
			}
		case broken[filepath.Base(file)]:
			if !errors.As(err, &f) || f.Kind != translate.EmptyAnswer {
				t.Errorf("%s: %v", file, err)
			}
		case err != nil || !bytes.Equal(out, body):
			t.Errorf("%s: %v", file, err)
		}
	}
}

func BenchmarkExchange_Event(b *testing.B) {
	doc := []byte(`{"candidates": [{"content": {"parts": [{"text": "` + strings.Repeat("Words as they come, ", 10) + `\n"}],"role": "model"},"index": 0}],"usageMetadata": {"promptTokenCount": 34,"candidatesTokenCount": 17,"totalTokenCount": 51}}`)
	raw := sse.Append(nil, "", doc)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	x := exchange(translate.SSE)
	var out []byte
	for b.Loop() {
		var err error
		if out, err = x.Event(out[:0], translate.Frame{Raw: raw, Data: doc}); err != nil {
			b.Fatal(err)
		}
	}
}
