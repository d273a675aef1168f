// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// TestChat_Response_Example is specs/openai.md §10.9.
func TestChat_Response_Example(t *testing.T) {
	x := chat()
	x.req.Model = "gemini-3-flash-preview"
	out, err := x.Response(nil, []byte(`{"candidates":[{"content":{"role":"model","parts":[{"text":"Thinking about it","thought":true},{"text":"Let me check."},
   {"functionCall":{"name":"w","args":{"c":"Oslo"}},"thoughtSignature":"EqUC"},{"functionCall":{"name":"now"}}]},"finishReason":"STOP"}],
 "usageMetadata":{"promptTokenCount":29,"candidatesTokenCount":15,"thoughtsTokenCount":45,"totalTokenCount":89},"modelVersion":"gemini-3-flash-preview","responseId":"b36L"}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"chatcmpl-b36L","object":"chat.completion","created":1790000000,"model":"gemini-3-flash-preview","system_fingerprint":null,"choices":[{"index":0,"message":{"role":"assistant",` +
		`"content":"Let me check.","refusal":null,"tool_calls":[` +
		`{"id":"call_000000000000000000000001","type":"function","function":{"name":"w","arguments":"{\"c\":\"Oslo\"}"},"extra_content":{"google":{"thought_signature":"EqUC"}}},` +
		`{"id":"call_000000000000000000000002","type":"function","function":{"name":"now","arguments":"{}"}}],"reasoning_content":"Thinking about it"},"logprobs":null,"finish_reason":"tool_calls","native_finish_reason":"STOP"}],` +
		`"usage":{"prompt_tokens":29,"completion_tokens":60,"total_tokens":89,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},` +
		`"completion_tokens_details":{"reasoning_tokens":45,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}`
	if string(out) != want {
		t.Errorf("got  %s\nwant %s", out, want)
	}
}

func finished(parts, reason string) string {
	return `{"responseId":"R","candidates":[{"content":{"parts":[` + parts + `]},"finishReason":"` + reason + `"}]}`
}

// TestChat_Parts are the rows of §10.2, §10.4 and the answer rows of §21, each
// whole and streamed.
func TestChat_Parts(t *testing.T) {
	const image = `{"inlineData":{"mimeType":"image/png","data":"QUJD"}}`
	for _, tc := range []struct {
		name, parts string
		want        []string // in the message
		not         string
		finish      string
	}{
		{"text joined without separator", `{"text":"a "},{"text":"b"}`, []string{`"content":"a b"`}, "extra", "stop"},
		{"text stays encoded", `{"text":"<é> \"\\n\\u003c\ud83d\ude00"}`, []string{`"content":"<é> \"\\n\\u003c😀"`}, "", "stop"},
		{"thought", `{"text":"t","thought":true},{"text":"a"}`, []string{`"content":"a"`, `"reasoning_content":"t"`}, "", "stop"},
		{"§21.44 text and thoughts mixed", `{"text":"a"},{"text":"t","thought":true},{"text":"u","thought":true},{"text":"b"}`, []string{`"content":"ab"`, `"reasoning_content":"tu"`}, "", "stop"},
		{"empty text with signature", `{"text":"a"},{"text":"","thoughtSignature":"S"}`, []string{`"content":"a"`, `"extra_content":{"google":{"thought_signature":"S"`}, "", "stop"},
		{"text with signature", `{"text":"a","thoughtSignature":"S"}`, []string{`"content":"a"`, `"extra_content":{"google":{"thought_signature":"S"`}, "", "stop"},
		{"thought with signature keeps it", `{"text":"t","thought":true,"thoughtSignature":"S"},{"text":"a"}`, []string{`"content":"a"`}, "thought_signature", "stop"},
		{"§21.3 call without args", `{"functionCall":{"name":"now"}}`, []string{`"arguments":"{}"`, `"content":null`}, "", "tool_calls"},
		{"args null", `{"functionCall":{"name":"now","args":null}}`, []string{`"arguments":"{}"`}, "", "tool_calls"},
		{"args compact, order and digits kept", `{"functionCall":{"name":"f","args":{ "z" : 1.50, "a": [ "<b> \" \\ \u00e9\n" ] }}}`,
			[]string{`"arguments":"{\"z\":1.50,\"a\":[\"<b> \\\" \\\\ \\u00e9\\n\"]}"`}, "", "tool_calls"},
		{"§21.4 empty id", `{"functionCall":{"id":"","name":"x"}}`, []string{`"id":"call_0000`}, "", "tool_calls"},
		{"id taken over", `{"functionCall":{"id":"k8d2lq0z","name":"x"}}`, []string{`"id":"k8d2lq0z"`}, "", "tool_calls"},
		{"id too short", `{"functionCall":{"id":"k8d2lq0","name":"x"}}`, []string{`"id":"call_0000`}, "k8d2lq0", "tool_calls"},
		{"id too long", `{"functionCall":{"id":"` + strings.Repeat("a", 41) + `","name":"x"}}`, []string{`"id":"call_0000`}, "", "tool_calls"},
		{"id with other characters", `{"functionCall":{"id":"k8d2 lq0z","name":"x"}}`, []string{`"id":"call_0000`}, "", "tool_calls"},
		{"id twice", `{"functionCall":{"id":"k8d2lq0z","name":"x"}},{"functionCall":{"id":"k8d2lq0z","name":"y"}}`, []string{`"id":"k8d2lq0z"`, `"id":"call_0000`}, "", "tool_calls"},
		{"text after a call", `{"functionCall":{"name":"x"}},{"text":"a"}`, []string{`"content":"a"`, `"name":"x"`}, "", "tool_calls"},
		{"call without a name", `{"functionCall":{}},{"text":"a"}`, []string{`"tool_calls":null`}, "", "stop"},
		{"call marked as thought", `{"functionCall":{"name":"x"},"thought":true}`, []string{`"name":"x"`}, "", "tool_calls"},
		{"§21.48 image only", image, []string{`"content":null`, `"images":[{"type":"image_url","index":0,"image_url":{"URL":"data:image/png;base64,QUJD"}`}, "", "stop"},
		{"image with text and signature", `{"text":"Look"},` + image + `,{"inlineData":{"mimeType":"image/jpeg","data":"QQ=="},"thoughtSignature":"S"}`,
			[]string{`"content":"Look"`, `"index":1,"image_url":{"URL":"data:image/jpeg;base64,QQ=="},"extra_content":{"google":{"thought_signature":"S"`}, "", "stop"},
		{"draft image", `{"thought":true,"inlineData":{"mimeType":"image/png","data":"QUJD"}},{"text":"a"}`, []string{`"images":null`}, "", "stop"},
		{"audio", `{"inlineData":{"mimeType":"audio/L16;codec=pcm;rate=24000","data":"AAE="}}`, []string{`"content":null`}, "", "stop"},
		{"other media", `{"text":"a"},{"inlineData":{"mimeType":"application/pdf","data":"AAE="}}`, []string{`"content":"a"`}, "AAE=", "stop"},
		{"file", `{"text":"a "},{"fileData":{"mimeType":"x/y","fileUri":"https://x/\"y"}}`, []string{`"content":"a [https://x/\"y](https://x/\"y)"`}, "", "stop"},
		{"code", `{"executableCode":{"language":"PYTHON","code":"print(\"<1>\")"}},{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"1\n"}},{"text":"ok"}`,
			[]string{`"content":"\n` + "```" + `python\nprint(\"<1>\")\n` + "```" + `\n\n` + "```" + `\n1\n\n` + "```" + `\nok"`}, "", "stop"},
		{"§21.43 code result without output", `{"codeExecutionResult":{"outcome":"OUTCOME_OK"}}`, []string{`"content":"\n` + "```" + `\n\n` + "```" + `\n"`}, "", "stop"},
		{"server tools", `{"toolCall":{"toolType":"GOOGLE_SEARCH"},"thoughtSignature":"S"},{"toolResponse":{}},{"text":"a"}`, []string{`"content":"a"`, `"tool_calls":null`, `"extra_content":{"google":{"parts":[{"part":{"toolCall":{"toolType":"GOOGLE_SEARCH"},"thoughtSignature":"S"}},{"part":{"toolResponse":{}}}]}}`}, "", "stop"},
		{"function response and unknown", `{"functionResponse":{"name":"x"}},{"newThing":{"a":1}},{"text":"a"}`, []string{`"content":"a"`}, "newThing", "stop"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := both(t, finished(tc.parts, "STOP"))
			if err != nil {
				t.Fatal(err)
			}
			got := show(c.Choices[0].Message)
			for _, want := range tc.want {
				if !strings.Contains(got, want) {
					t.Errorf("%s\nlacks %s", got, want)
				}
			}
			if tc.not != "" && strings.Contains(strings.ReplaceAll(got, `"extra_content":null`, ""), tc.not) {
				t.Errorf("%s\nhas %s", got, tc.not)
			}
			if *c.Choices[0].FinishReason != tc.finish {
				t.Errorf("finish_reason %s", *c.Choices[0].FinishReason)
			}
		})
	}
}

// TestChat_FinishReasons is the table of §10.3: the reason with text, with a
// call, and with nothing ("!" is a failure).
func TestChat_FinishReasons(t *testing.T) {
	for _, tc := range []struct{ reason, text, call, nothing string }{
		{"STOP", "stop", "tool_calls", "stop"},
		{"MAX_TOKENS", "length", "length", "length"},
		{"SAFETY", "content_filter", "content_filter", "content_filter"},
		{"BLOCKLIST", "content_filter", "content_filter", "content_filter"},
		{"PROHIBITED_CONTENT", "content_filter", "content_filter", "content_filter"},
		{"SPII", "content_filter", "content_filter", "content_filter"},
		{"IMAGE_SAFETY", "content_filter", "content_filter", "content_filter"},
		{"IMAGE_PROHIBITED_CONTENT", "content_filter", "content_filter", "content_filter"},
		{"RECITATION", "content_filter", "content_filter", "content_filter"},
		{"IMAGE_RECITATION", "content_filter", "content_filter", "content_filter"},
		{"LANGUAGE", "content_filter", "content_filter", "content_filter"},
		{"MALFORMED_FUNCTION_CALL", "stop", "tool_calls", "!"},
		{"MALFORMED_RESPONSE", "stop", "tool_calls", "!"},
		{"UNEXPECTED_TOOL_CALL", "stop", "tool_calls", "stop"},
		{"TOO_MANY_TOOL_CALLS", "stop", "tool_calls", "stop"},
		{"MISSING_THOUGHT_SIGNATURE", "stop", "stop", "!"},
		{"NO_IMAGE", "stop", "tool_calls", "stop"},
		{"IMAGE_OTHER", "stop", "tool_calls", "stop"},
		{"OTHER", "stop", "tool_calls", "!"},
		{"FINISH_REASON_UNSPECIFIED", "stop", "tool_calls", "stop"},
		{"", "stop", "tool_calls", "stop"},
		{"SOMETHING_NEW", "stop", "tool_calls", "stop"},
	} {
		for parts, want := range map[string]string{
			`{"text":"a"}`:                  tc.text,
			`{"functionCall":{"name":"f"}}`: tc.call,
			``:                              tc.nothing,
		} {
			c, err := both(t, finished(parts, tc.reason))
			got := "!"
			if err == nil {
				got = *c.Choices[0].FinishReason
				if tc.reason != "" && *c.Choices[0].NativeFinishReason != tc.reason {
					t.Errorf("%s: native %s", tc.reason, *c.Choices[0].NativeFinishReason)
				}
			}
			if got != want {
				t.Errorf("%s with %q: %s, %v; want %s", tc.reason, parts, got, err, want)
			}
		}
	}
}

func TestChat_Response_EmptyContent(t *testing.T) {
	c, err := respond(t, chat(), finished("", "STOP"))
	if err != nil || c.Choices[0].Message.Content == nil || *c.Choices[0].Message.Content != "" {
		t.Errorf("nothing at all is the empty string: %s, %v", show(c), err)
	}
}

// TestChat_NoCandidates is §10.5.
func TestChat_NoCandidates(t *testing.T) {
	c, err := both(t, `{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT","blockReasonMessage":"No."},"usageMetadata":{"promptTokenCount":4}}`)
	if err != nil {
		t.Fatal(err)
	}
	if m := c.Choices[0].Message; m.Content != nil || *m.Refusal != "The request was blocked by Gemini (PROHIBITED_CONTENT). No." ||
		*c.Choices[0].FinishReason != "content_filter" || c.Usage.PromptTokens != 4 {
		t.Error(show(c))
	}
	for _, doc := range []string{`{}`, `{"candidates":[]}`, `{"promptFeedback":{"safetyRatings":[]}}`, `{"candidates":[{"content":{"x":true}}]}`, `{"this":[1]}`, `[]`, `null`} {
		var f *translate.Failure
		if _, err := both(t, doc); !errors.As(err, &f) || f.Kind != translate.EmptyAnswer || !f.Retry {
			t.Errorf("%s: %#v", doc, err)
		}
	}
	for doc, kind := range map[string]translate.Kind{`{"candidates":[{`: translate.Truncated, ``: translate.Truncated, `<html>`: translate.MalformedAnswer} {
		var f *translate.Failure
		if _, err := respond(t, chat(), doc); !errors.As(err, &f) || f.Kind != kind || !f.Retry {
			t.Errorf("%s: %#v", doc, err)
		}
	}
	var e *translate.UpstreamError
	if _, err := both(t, `[{"error":{"code":429,"message":"m"}}]`); !errors.As(err, &e) || e.Status != 429 || string(e.Body) != `{"error":{"code":429,"message":"m"}}` {
		t.Errorf("§21.13: %#v", err)
	}
}

func TestChat_Response_Candidates(t *testing.T) {
	c, err := both(t, `{"candidates":[{"index":1,"content":{"parts":[{"text":"b"}]},"finishReason":"STOP"},{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}`)
	if err != nil || *c.Choices[0].Message.Content != "a" || c.Choices[1].Index != 1 {
		t.Errorf("sorted by index: %s, %v", show(c), err)
	}
	c, err = both(t, `{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"},{"content":{"parts":[{"text":"b"}]},"finishReason":"STOP"}]}`)
	if err != nil || len(c.Choices) != 2 || *c.Choices[1].Message.Content != "b" {
		t.Errorf("all without index: %s, %v", show(c), err)
	}
}

// TestChat_Options are members that depend on the request.
func TestChat_Options(t *testing.T) {
	c, err := both(t, finished(`{"text":"t","thought":true},{"text":"a"}`, "STOP"), func(r *ChatRequest) { r.Reasoning = ReasoningTags })
	if err != nil || *c.Choices[0].Message.Content != "<thought>t</thought>a" || !c.Choices[0].Message.Extra.Google.Thought {
		t.Errorf("thought tags: %s, %v", show(c), err)
	}
	c, err = both(t, finished(`{"functionCall":{"name":"f"}},{"functionCall":{"name":"g"}}`, "STOP"), func(r *ChatRequest) { r.ParallelCalls = false })
	if err != nil || len(c.Choices[0].Message.ToolCalls) != 1 || c.Choices[0].Message.ToolCalls[0].Function.Name != "f" {
		t.Errorf("parallel_tool_calls false: %s, %v", show(c), err)
	}
	c, err = both(t, finished(`{"functionCall":{"name":"f"}},{"functionCall":{"name":"g"}}`, "STOP"), func(r *ChatRequest) { r.LegacyFunctions = true })
	if err != nil || c.Choices[0].Message.FunctionCall.Name != "f" || c.Choices[0].Message.ToolCalls != nil || *c.Choices[0].FinishReason != "function_call" {
		t.Errorf("functions: %s, %v", show(c), err)
	}
	c, err = both(t, finished(`{"functionCall":{"name":"f"},"thoughtSignature":"S"}`, "STOP"), func(r *ChatRequest) { r.LegacyFunctions = true })
	if err != nil || c.Choices[0].Message.Extra == nil || c.Choices[0].Message.Extra.Google.ThoughtSignature != "S" {
		t.Errorf("signature of a function_call: %s, %v", show(c), err)
	}
	for tier, want := range map[string]string{"": "default", "standard": "default", "flex": "flex", "priority": "priority"} {
		c, err = both(t, finished(`{"text":"a"}`, "STOP"), func(r *ChatRequest) { r.ServiceTier, r.Gemini.ServiceTier = true, tier })
		if err != nil || *c.ServiceTier != want {
			t.Errorf("tier %q: %s, %v", tier, show(c), err)
		}
	}
	fence := "```"
	for text, want := range map[string]string{
		fence + `json\n{\"a\":1}\n` + fence: `{"a":1}`,
		fence + `\n[1]\n` + fence + `\n`:    `[1]`,
		`{\"a\":1}`:                         `{"a":1}`,
		fence + `json\n1\n` + fence + `\nand\n` + fence + `\n2\n` + fence: fence + "json\n1\n" + fence + "\nand\n" + fence + "\n2\n" + fence,
	} {
		c, err := respond(t, chat(func(r *ChatRequest) { r.JSONMode = true }), finished(`{"text":"`+text+`"}`, "STOP"))
		if err != nil || *c.Choices[0].Message.Content != want {
			t.Errorf("fence: %s, %v", show(c), err)
		}
	}
}

// TestChat_Annotations_ThoughtTags: tags and thoughts before the text, and code
// right after a tag, move what annotations point to.
func TestChat_Annotations_ThoughtTags(t *testing.T) {
	doc := `{"candidates":[{"content":{"parts":[{"text":"é","thought":true},{"executableCode":{"language":"PYTHON","code":"1"}},{"text":"abc"}]},"finishReason":"STOP",
		"groundingMetadata":{"groundingChunks":[{"web":{"uri":"u"}}],"groundingSupports":[{"segment":{"startIndex":1,"endIndex":3},"groundingChunkIndices":[0]}]}}]}`
	c, err := both(t, doc, func(r *ChatRequest) { r.Reasoning = ReasoningTags })
	if err != nil {
		t.Fatal(err)
	}
	m := c.Choices[0].Message
	u := m.Annotations[0].URLCitation
	if got := string([]rune(*m.Content)[u.StartIndex:u.EndIndex]); got != "bc" {
		t.Errorf("%q of %q", got, *m.Content)
	}
}

func TestChat_Audio(t *testing.T) {
	part := `{"inlineData":{"mimeType":"audio/L16;codec=pcm;rate=16000","data":"AAECAw=="}}`
	c, err := respond(t, chat(), finished(part, "STOP"))
	if err != nil {
		t.Fatal(err)
	}
	a := c.Choices[0].Message.Audio
	want := "RIFF\x28\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\x3e\x00\x00\x00\x7d\x00\x00\x02\x00\x10\x00data\x04\x00\x00\x00\x00\x01\x02\x03"
	if string(a.Data) != want || a.ExpiresAt != 1790003600 || !strings.HasPrefix(a.ID, "audio_") {
		t.Errorf("wav: %+v", a)
	}
	two := part + `,{"text":"said"},` + part
	c, err = respond(t, chat(), finished(two, "STOP"))
	if err != nil || string(c.Choices[0].Message.Audio.Data) != want[:4]+"\x2c"+want[5:40]+"\x08"+want[41:]+want[44:] || *c.Choices[0].Message.Content != "said" {
		t.Errorf("two parts are one sound: %s, %v", show(c), err)
	}
	c, err = respond(t, chat(), finished(`{"inlineData":{"mimeType":"audio/mp3","data":"AAEC"}},{"inlineData":{"mimeType":"audio/mp3","data":"AwQF"}}`, "STOP"))
	if err != nil || string(c.Choices[0].Message.Audio.Data) != "\x00\x01\x02" {
		t.Errorf("of two files, one: %s, %v", show(c), err)
	}
	c, err = respond(t, chat(func(r *ChatRequest) { r.AudioFormat = "pcm16" }), finished(part, "STOP"))
	if err != nil || string(c.Choices[0].Message.Audio.Data) != "\x00\x01\x02\x03" {
		t.Errorf("pcm16: %s, %v", show(c), err)
	}
}

// TestChat_Usage is §11.
func TestChat_Usage(t *testing.T) {
	for _, tc := range []struct {
		name, usage                                  string
		prompt, completion, total, cached, reasoning int64
	}{
		{"identity", `{"promptTokenCount":29,"candidatesTokenCount":15,"thoughtsTokenCount":1801,"totalTokenCount":1845}`, 29, 1816, 1845, 0, 1801},
		{"tool results are input", `{"promptTokenCount":21,"toolUsePromptTokenCount":160,"candidatesTokenCount":96,"thoughtsTokenCount":86,"totalTokenCount":363}`, 181, 182, 363, 0, 86},
		{"candidates have the thoughts already", `{"promptTokenCount":10,"candidatesTokenCount":50,"thoughtsTokenCount":20,"totalTokenCount":60}`, 10, 50, 60, 0, 20},
		{"cached is a part of the prompt", `{"promptTokenCount":12013,"cachedContentTokenCount":11243,"candidatesTokenCount":15,"totalTokenCount":12028}`, 12013, 15, 12028, 11243, 0},
		{"§21.5 no candidates", `{"promptTokenCount":7,"thoughtsTokenCount":19,"totalTokenCount":26}`, 7, 19, 26, 0, 19},
		{"nothing", `{}`, 0, 0, 0, 0, 0},
	} {
		doc := strings.TrimSuffix(finished(`{"text":"a"}`, "STOP"), "}") + `,"usageMetadata":` + tc.usage + `}`
		c, err := both(t, doc)
		if err != nil {
			t.Fatal(err)
		}
		u := c.Usage
		if u.PromptTokens != tc.prompt || u.CompletionTokens != tc.completion || u.TotalTokens != tc.total || u.PromptDetails.Cached != tc.cached || u.CompletionDetails.Reasoning != tc.reasoning {
			t.Errorf("%s: %s", tc.name, show(u))
		}
	}
	if c, err := respond(t, chat(), finished(`{"text":"a"}`, "STOP")); err != nil || c.Usage == nil || c.Usage.TotalTokens != 0 {
		t.Errorf("no usageMetadata: %v, %v", show(c), err)
	}
}

// TestChat_Logprobs is §10.8.
func TestChat_Logprobs(t *testing.T) {
	doc := `{"candidates":[{"content":{"parts":[{"text":"é\"!"}]},"finishReason":"STOP","logprobsResult":{
		"chosenCandidates":[{"token":"é","tokenId":1,"logProbability":-1.5},{"token":"\"!"}],
		"topCandidates":[{"candidates":[{"token":"é","logProbability":-1.5},{"token":"x","logProbability":-2e-05},{"token":"y"}]}]}}]}`
	want := `{"content":[{"token":"é","logprob":-1.5,"bytes":[195,169],"top_logprobs":[{"token":"é","logprob":-1.5,"bytes":[195,169],"top_logprobs":null},` +
		`{"token":"x","logprob":-0.00002,"bytes":[120],"top_logprobs":null}]},{"token":"\"!","logprob":0,"bytes":[34,33],"top_logprobs":[]}],"refusal":null}`
	c, err := both(t, doc, func(r *ChatRequest) { r.Logprobs, r.TopLogprobs = true, 2 })
	if err != nil || show(c.Choices[0].Logprobs) != want {
		t.Errorf("%s, %v\nwant %s", show(c.Choices[0].Logprobs), err, want)
	}
	if c, err := both(t, doc); err != nil || c.Choices[0].Logprobs != nil {
		t.Errorf("not asked for: %s, %v", show(c), err)
	}
}

// TestChat_Annotations is §10.6 with §21.41 and §21.42.
func TestChat_Annotations(t *testing.T) {
	ground := func(supports, chunks string) string {
		return `,"groundingMetadata":{"groundingChunks":[` + chunks + `],"groundingSupports":[` + supports + `]}`
	}
	web := `{"web":{"uri":"https://a/?x=1&y=\"","title":"A"}},{"retrievedContext":{"uri":"https://b","title":"B"}},{"maps":{"uri":"https://c"}},{"web":{"uri":"https://d","domain":"d"}},{"other":{}}`
	for _, tc := range []struct {
		name, parts, meta string
		want              []string // start end url title
	}{
		{"§21.41 characters, not bytes", `{"text":"né à X and more"}`, ground(`{"segment":{"endIndex":8},"groundingChunkIndices":[0]}`, web), []string{`0 6 https://a/?x=1&y=" A`}},
		{"each chunk of a support", `{"text":"abcdef"}`, ground(`{"segment":{"startIndex":1,"endIndex":3},"groundingChunkIndices":[1,2,3,4,9]}`, web), []string{"1 3 https://b B", "1 3 https://c ", "1 3 https://d d"}},
		{"§21.42 once", `{"text":"abcdef"}`, ground(`{"segment":{"endIndex":3},"groundingChunkIndices":[1,1]},{"segment":{"endIndex":3},"groundingChunkIndices":[1]}`, web), []string{"0 3 https://b B"}},
		{"out of range", `{"text":"abc"}`, ground(`{"segment":{"endIndex":4},"groundingChunkIndices":[1]}`, web), nil},
		{"inside a character", `{"text":"né"}`, ground(`{"segment":{"endIndex":2},"groundingChunkIndices":[1]}`, web), nil},
		{"no offsets", `{"text":"né"}`, ground(`{"segment":{},"groundingChunkIndices":[1]},{"groundingChunkIndices":[1]}`, web), nil},
		{"after a thought", `{"text":"hmm","thought":true},{"text":"abc"}`, ground(`{"segment":{"startIndex":1,"endIndex":3},"groundingChunkIndices":[1]}`, web), []string{"1 3 https://b B"}},
		{"after code", `{"codeExecutionResult":{"output":"é"}},{"text":"abc"}`, ground(`{"segment":{"endIndex":3},"groundingChunkIndices":[1]}`, web), []string{"11 14 https://b B"}},
		{"around code", `{"text":"ab"},{"codeExecutionResult":{"output":"é"}},{"text":"cd"}`, ground(`{"segment":{"endIndex":2},"groundingChunkIndices":[1]},{"segment":{"startIndex":2,"endIndex":4},"groundingChunkIndices":[1]}`, web), []string{"0 2 https://b B", "13 15 https://b B"}},
		{"the text decides", `{"text":"abcdef"}`, ground(`{"segment":{"startIndex":1,"endIndex":3,"text":"de"},"groundingChunkIndices":[1]}`, web), []string{"3 5 https://b B"}},
		{"offsets of a part", `{"text":"hm","thought":true},{"text":"é ab"},{"codeExecutionResult":{"output":"1"}},{"text":"ab"}`,
			ground(`{"segment":{"partIndex":3,"endIndex":2},"groundingChunkIndices":[1]},{"segment":{"partIndex":1,"startIndex":3,"endIndex":5,"text":"ab"},"groundingChunkIndices":[2]},{"segment":{"partIndex":9,"endIndex":2},"groundingChunkIndices":[3]}`, web),
			[]string{"15 17 https://b B", "2 4 https://c ", "0 1 https://d d"}},
		{"escapes count once", `{"text":"\u00e9\n😀x"}`, ground(`{"segment":{"startIndex":3,"endIndex":7},"groundingChunkIndices":[1]}`, web), []string{"2 3 https://b B"}},
		{"citations", `{"text":"é cited"}`, `,"citationMetadata":{"citationSources":[{"startIndex":3,"endIndex":8,"uri":"https://u","license":"x"},{"endIndex":2,"license":"y"}],"citations":[{"endIndex":2,"uri":"https://v","title":"V"}]}`,
			[]string{"2 7 https://u ", "0 1 https://v V"}},
		{"citations of no place", `{"text":"abc"}`, `,"citationMetadata":{"citations":[{},{"uri":"https://u"},{"uri":"https://u"},{"startIndex":1,"uri":"https://w"}]}`, []string{"0 0 https://u "}},
		{"chunks without supports", `{"text":"abc"}`, ground("", web), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := both(t, `{"candidates":[{"content":{"parts":[`+tc.parts+`]},"finishReason":"STOP"`+tc.meta+`}]}`)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range c.Choices[0].Message.Annotations {
				u := a.URLCitation
				got = append(got, fmt.Sprint(u.StartIndex, u.EndIndex, " ", u.URL, " ", u.Title))
				if a.Type != "url_citation" {
					t.Errorf("type %s", a.Type)
				}
			}
			if strings.Join(got, "|") != strings.Join(tc.want, "|") {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if strings.Contains(tc.meta, "grounding") && c.Choices[0].ExtraContent == nil {
				t.Error("no grounding_metadata")
			}
		})
	}
}

// TestChat_Annotations_Parts: in a stream a part comes in several events, and
// Google counts it as one.
func TestChat_Annotations_Parts(t *testing.T) {
	x := chat(streamed)
	out, err := stream(t, x, `{"candidates":[{"content":{"parts":[{"text":"t","thought":true}]}}]}`, `{"candidates":[{"content":{"parts":[{"text":"u","thought":true},{"text":"é a"}]}}]}`,
		`{"candidates":[{"content":{"parts":[{"text":"b ab"}]}}]}`,
		`{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP","groundingMetadata":{"groundingChunks":[{"web":{"uri":"u"}}],"groundingSupports":[{"segment":{"partIndex":1,"startIndex":6,"endIndex":8,"text":"ab"},"groundingChunkIndices":[0]}]}}]}`)
	if err != nil {
		t.Fatal(err)
	}
	c := collect(t, x, []byte(out))
	if a := c.Choices[0].Message.Annotations; len(a) != 1 || a[0].URLCitation.StartIndex != 5 || a[0].URLCitation.EndIndex != 7 {
		t.Errorf("%s", show(a))
	}
}
