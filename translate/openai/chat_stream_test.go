// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// golden compares with a file of testdata; GOLDEN=write writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("GOLDEN") == "write" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs:\n%s", file, got)
	}
}

// TestChat_Stream_Example is the worked example of specs/openai.md §12.3.
func TestChat_Stream_Example(t *testing.T) {
	x := chat(streamed, withUsage)
	out, err := stream(t, x,
		`{"candidates":[{"content":{"role":"model","parts":[{"text":"Hm","thought":true}]}}],"usageMetadata":{"promptTokenCount":5},"responseId":"R"}`,
		`{"candidates":[{"content":{"role":"model","parts":[{"text":"Hi"},{"functionCall":{"name":"f","args":{"a":1}},"thoughtSignature":"S"}]}}]}`,
		`{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":7,"thoughtsTokenCount":3,"totalTokenCount":15}}`)
	if err != nil {
		t.Fatal(err)
	}
	collect(t, x, []byte(out))
	golden(t, "stream_example.sse", out)
	if s, _ := x.env.Memo.Signature(memoKey(x.req.Target, "call_000000000000000000000001")); s != "S" {
		t.Errorf("remembered signature %q", s)
	}
}

func TestChat_Stream_NothingBeforeUsefulOutput(t *testing.T) {
	x := chat(streamed)
	x.Begin()
	for _, doc := range []string{
		``, `[DONE]`, `{"usageMetadata":{"promptTokenCount":3}}`, `{"candidates":[{"index":0}]}`,
		`{"candidates":[{"content":{}}]}`, `{"candidates":[{"content":{"parts":[{"text":""}]}}]}`, `{"candidates":[{"content":{"parts":[{}]}}]}`,
		`{"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"S"}]}}]}`,
	} {
		if out, err := x.Event(nil, translate.Frame{Data: []byte(doc)}); err != nil || len(out) > 0 {
			t.Errorf("%s: %q, %v", doc, out, err)
		}
	}
	out, err := x.Event(nil, translate.Frame{Data: []byte(`{"candidates":[{"content":{"parts":[{"text":"Hi"}]}}]}`)})
	if err != nil || strings.Count(string(out), "data: ") != 2 || !strings.Contains(string(out), `"role":"assistant"`) || !strings.Contains(string(out), `"content":"Hi"`) {
		t.Errorf("the first output: %q, %v", out, err)
	}
}

const (
	sayHi  = `{"candidates":[{"content":{"parts":[{"text":"Hi"}]}}]}`
	callF  = `{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}}}]}}]}`
	stop   = `{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}]}`
	inband = "{\n \"error\": {\n  \"code\": 503,\n  \"message\": \"The model is overloaded.\",\n  \"status\": \"UNAVAILABLE\"\n }\n}"
)

// TestChat_Stream are rows of specs/openai.md §12 and §21.
func TestChat_Stream(t *testing.T) {
	for _, tc := range []struct {
		name   string
		docs   []string
		change func(*ChatRequest)
		want   string // the message a client puts together
		finish string
	}{
		{"§21.1 call, then empty text and STOP", []string{callF, stop}, nil,
			`"tool_calls":[{"index":null,"id":"call_000000000000000000000002","type":"function","function":{"name":"f","arguments":"{}"}`, "tool_calls"},
		{"§21.2 calls in two chunks", []string{callF, callF, stop}, nil, `"call_000000000000000000000003"`, "tool_calls"},
		{"§21.6 thinking used it all up", []string{`{"candidates":[{"content":{},"finishReason":"MAX_TOKENS"}]}`}, nil, `"content":null`, "length"},
		{"§21.8 prompt blocked", []string{`{"promptFeedback":{"blockReason":"OTHER"}}`}, nil, `"refusal":"The request was blocked by Gemini (OTHER)."`, "content_filter"},
		{"§12.4 prompt blocked in the middle", []string{sayHi, `{"promptFeedback":{"blockReason":"SAFETY"}}`}, nil, `"refusal":"The request was blocked by Gemini (SAFETY)."`, "content_filter"},
		{"§21.24 signature at the end", []string{sayHi, `{"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"S"}]},"finishReason":"STOP"}]}`}, nil, `"thought_signature":"S"`, "stop"},
		{"finishReason in every event, the last counts", []string{
			`{"candidates":[{"content":{"parts":[{"text":"A"}]},"finishReason":"STOP"}]}`,
			`{"candidates":[{"content":{"parts":[{"text":"B"}]},"finishReason":"STOP"}]}`,
			`{"candidates":[{"finishReason":"RECITATION"}]}`}, nil, `"content":"AB"`, "content_filter"},
		{"§6 parallel_tool_calls false", []string{callF, callF, stop}, func(r *ChatRequest) { r.ParallelCalls = false }, `"call_000000000000000000000002"`, "tool_calls"},
		{"§10.3 functions", []string{callF, stop}, func(r *ChatRequest) { r.LegacyFunctions = true }, `"function_call":{"name":"f","arguments":"{}"}`, "function_call"},
		{"§8.3 thought tags", []string{`{"candidates":[{"content":{"parts":[{"text":"a","thought":true}]}}]}`,
			`{"candidates":[{"content":{"parts":[{"text":"b","thought":true}]}}]}`, sayHi, stop},
			func(r *ChatRequest) { r.Reasoning = ReasoningTags }, `"content":"<thought>ab</thought>Hi"`, "stop"},
		{"§8.3 thought tags without an answer", []string{`{"candidates":[{"content":{"parts":[{"text":"a","thought":true}]}}]}`, `{"candidates":[{"finishReason":"MAX_TOKENS"}]}`},
			func(r *ChatRequest) { r.Reasoning = ReasoningTags }, `"content":"<thought>a</thought>"`, "length"},
		{"§8.3 thought tags before a call", []string{`{"candidates":[{"content":{"parts":[{"text":"a","thought":true}]}}]}`, callF, stop},
			func(r *ChatRequest) { r.Reasoning = ReasoningTags }, `"content":"<thought>a</thought>"`, "tool_calls"},
		{"§8.3 thoughts off", []string{`{"candidates":[{"content":{"parts":[{"text":"a","thought":true}]}}]}`, sayHi, stop},
			func(r *ChatRequest) { r.Reasoning = ReasoningOff }, `"content":"Hi","refusal":null,"reasoning_content":null`, "stop"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			change := []func(*ChatRequest){streamed, withUsage}
			if tc.change != nil {
				change = append(change, tc.change)
			}
			x := chat(change...)
			out, err := stream(t, x, tc.docs...)
			if err != nil {
				t.Fatal(err)
			}
			c := collect(t, x, []byte(out))
			if got := show(c.Choices[0].Message); !strings.Contains(got, tc.want) || *c.Choices[0].FinishReason != tc.finish {
				t.Errorf("%s, %s\nin %s", got, *c.Choices[0].FinishReason, out)
			}
			if tc.change != nil && tc.finish == "tool_calls" && len(c.Choices[0].Message.ToolCalls) != 1 {
				t.Errorf("%d calls", len(c.Choices[0].Message.ToolCalls))
			}
		})
	}
}

// TestChat_Stream_Faults are the ends that must not look like one.
func TestChat_Stream_Faults(t *testing.T) {
	for _, tc := range []struct {
		name  string
		docs  []string
		kind  translate.Kind
		code  string // on the wire
		retry bool
	}{
		{"§21.9 empty stream", nil, translate.EmptyAnswer, "upstream_empty_response", true},
		{"§21.9 empty object", []string{`{}`}, translate.EmptyAnswer, "upstream_empty_response", true},
		{"candidate without anything", []string{`{"candidates":[{"content":{},"index":0}]}`}, translate.EmptyAnswer, "upstream_empty_response", true},
		{"§12.3 no finishReason at the end", []string{sayHi}, translate.Truncated, "upstream_stream_truncated", true},
		{"event cut", []string{sayHi, `{"candidates":[{"content":{"par`}, translate.Truncated, "upstream_stream_truncated", true},
		{"no JSON", []string{`<html>`}, translate.MalformedAnswer, "upstream_malformed_response", true},
		{"§21.7 malformed call", []string{`{"candidates":[{"content":{},"finishReason":"MALFORMED_FUNCTION_CALL"}]}`}, translate.MalformedAnswer, "malformed_function_call", true},
		{"§10.3 missing signature", []string{`{"candidates":[{"content":{},"finishReason":"MISSING_THOUGHT_SIGNATURE"}]}`}, translate.MalformedAnswer, "missing_thought_signature", true},
		{"§10.3 OTHER without content", []string{`{"candidates":[{"finishReason":"OTHER"}]}`}, translate.EmptyAnswer, "upstream_empty_response", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := chat(streamed)
			out, err := stream(t, x, tc.docs...)
			var f *translate.Failure
			if !errors.As(err, &f) || f.Kind != tc.kind || f.Retry != tc.retry {
				t.Fatalf("%#v, out %s", err, out)
			}
			var body struct {
				Error struct {
					Message, Type string
					Param, Code   *string
				}
			}
			abort, _ := strings.CutPrefix(string(x.Abort(nil, f)), "data: ")
			strict(t, []byte(strings.TrimSuffix(abort, "\n\n")), &body)
			if body.Error.Code == nil || *body.Error.Code != tc.code || body.Error.Type != "server_error" {
				t.Errorf("in-band error %s", abort)
			}
		})
	}
}

// TestChat_Stream_ErrorInside is §21.12 and §21.13.
func TestChat_Stream_ErrorInside(t *testing.T) {
	for name, doc := range map[string]string{"§21.12 bare object": inband, "§21.13 in an array": "[" + inband + "]", "as an event": `{"error":{"code":503,"message":"m"}}`} {
		x := chat(streamed)
		_, err := stream(t, x, sayHi, sayHi, doc)
		var e *translate.UpstreamError
		if !errors.As(err, &e) || e.Status != 503 || !strings.Contains(string(e.Body), `"error"`) {
			t.Errorf("%s: %#v", name, err)
		}
	}
}

// TestChat_Stream_Candidates: several candidates interleave.
func TestChat_Stream_Candidates(t *testing.T) {
	x := chat(streamed)
	out, err := stream(t, x,
		`{"candidates":[{"content":{"parts":[{"text":"a"}]}},{"index":1,"content":{"parts":[{"functionCall":{"name":"f"}}]}}]}`,
		`{"candidates":[{"index":1,"finishReason":"STOP"},{"content":{"parts":[{"text":"b"}]},"finishReason":"MAX_TOKENS"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	c := collect(t, x, []byte(out))
	if len(c.Choices) != 2 || *c.Choices[0].Message.Content != "ab" || *c.Choices[0].FinishReason != "length" || *c.Choices[1].FinishReason != "tool_calls" {
		t.Error(out)
	}
}

// TestChat_Begin: nothing of an attempt is left in the next one.
func TestChat_Begin(t *testing.T) {
	x := chat(streamed, withUsage)
	want, _ := stream(t, x, sayHi, callF, stop)
	x = chat(streamed, withUsage)
	stream(t, x, `{"responseId":"old","candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"S"}]},"groundingMetadata":{"x":1}}],"usageMetadata":{"promptTokenCount":9}}`)
	x.env = answerEnv()
	if got, _ := stream(t, x, sayHi, callF, stop); got != want {
		t.Errorf("after an attempt that failed:\n%s\nwant\n%s", got, want)
	}
}

// TestChat_Stream_IDFromAnEarlierEvent: the id may come with an event whose
// bytes are gone when the first chunk is written.
func TestChat_Stream_IDFromAnEarlierEvent(t *testing.T) {
	x := chat(streamed)
	out, err := stream(t, x, `{"responseId":"early","candidates":[{"content":{}}]}`, sayHi, stop)
	if err != nil {
		t.Fatal(err)
	}
	if c := collect(t, x, []byte(out)); c.ID != "chatcmpl-early" {
		t.Errorf("id %s", c.ID)
	}
}
