// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/sse"
)

// The wire types of legacy completions, as strictly as OpenAI's typed SDKs read
// them, with what chat completions have besides.
type wireLegacy struct {
	ID                string             `json:"id"`
	Object            string             `json:"object"`
	Created           int64              `json:"created"`
	Model             string             `json:"model"`
	SystemFingerprint *string            `json:"system_fingerprint"`
	Choices           []wireLegacyChoice `json:"choices"`
	Usage             *wireUsage         `json:"usage"`
}

type wireLegacyChoice struct {
	Text         *string `json:"text"`
	Index        int     `json:"index"`
	Logprobs     any     `json:"logprobs"`
	FinishReason *string `json:"finish_reason"`
}

func completion(t testing.TB, model, members string) *Completion {
	t.Helper()
	x, f := NewCompletion(answerEnv(), Options{Reasoning: ReasoningTags}, []byte(`{"model":"`+model+`",`+members+`}`))
	if f != nil {
		t.Fatal(f)
	}
	return x
}

func completed(t testing.TB, x *Completion, answers ...string) *wireLegacy {
	t.Helper()
	bodies := make([][]byte, len(answers))
	for i, a := range answers {
		bodies[i] = []byte(a)
		if err := x.Check(i, bodies[i]); err != nil {
			t.Fatal(err)
		}
	}
	out, err := x.Join(nil, bodies)
	if err != nil {
		t.Fatal(err)
	}
	var w wireLegacy
	strict(t, out, &w)
	if w.Object != "text_completion" || !strings.HasPrefix(w.ID, "cmpl-") || w.Created == 0 || w.Usage == nil {
		t.Fatalf("%s", out)
	}
	for i, c := range w.Choices {
		if c.Index != i || c.Text == nil || c.FinishReason == nil {
			t.Fatalf("choice %d: %s", i, show(c))
		}
	}
	return &w
}

// TestCompletion_Requests are the request rows of §19.2.
func TestCompletion_Requests(t *testing.T) {
	for _, tc := range []struct {
		name, model, members string
		want                 []string // contents and what follows, per call
	}{
		{"string", m3, `"prompt":"Say \"hi\""`, []string{`"Say \"hi\""}]}]`}},
		{"list", m3, `"prompt":["a","b"]`, []string{`"a"}]}]`, `"b"}]}]`}},
		{"parameters", m25, `"prompt":"a","max_tokens":50,"temperature":0.5,"top_p":0.9,"stop":["x"],"seed":1,"logit_bias":{},"user":"u","presence_penalty":0,"frequency_penalty":0`,
			[]string{`"a"}]}],"generationConfig":{"temperature":0.5,"topP":0.9,"maxOutputTokens":50,"stopSequences":["x"],"seed":1}`}},
		{"asks for nothing", m3, `"prompt":"a","echo":false,"best_of":1,"suffix":"","logprobs":null`, []string{`"a"}]}]`}},
		{"candidates of 2.5", m25, `"prompt":["a","b"],"n":2`, []string{`"a"}]}],"generationConfig":{"candidateCount":2}`, `"b"}]}],"generationConfig":{"candidateCount":2}`}},
		{"calls of 3", m3, `"prompt":["a","b"],"n":2`, []string{`"a"}]}]`, `"a"}]}]`, `"b"}]}]`, `"b"}]}]`}},
		{"effort in the model", "gemini-3-flash-preview(low)", `"prompt":"a"`, []string{`"a"}]}],"generationConfig":{"thinkingConfig":{"thinkingLevel":"LOW"}}`}},
		{"search in the model", "gemini-3-flash-preview:search", `"prompt":"a"`, []string{`"a"}]}],"tools":[{"googleSearch":{}}]`}},
		{"pass-through", m3, `"prompt":"a","google":{"top_k":4}`, []string{`"a"}]}],"generationConfig":{"topK":4}`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := completion(t, tc.model, tc.members)
			calls := x.Calls()
			if len(calls) != len(tc.want) || x.Call() != calls[0] || x.Partial() {
				t.Fatalf("%d calls", len(calls))
			}
			for i, c := range calls {
				if want := `{"contents":[{"role":"user","parts":[{"text":` + tc.want[i] + `}`; string(c.Body) != want {
					t.Errorf("call %d\n got %s\nwant %s", i, c.Body, want)
				}
				if !strings.HasSuffix(c.Path, ":generateContent") || c.Stream != translate.Unary || !c.Generate {
					t.Errorf("%+v", c)
				}
			}
		})
	}
}

func TestCompletion_Rejects(t *testing.T) {
	for _, tc := range []struct{ name, members, param, message string }{
		{"no prompt", `"n":1`, "prompt", "Missing"},
		{"empty prompt", `"prompt":""`, "prompt", "empty"},
		{"one empty prompt", `"prompt":["a",""]`, "prompt[1]", "empty"},
		{"no prompts", `"prompt":[]`, "prompt", "empty"},
		{"tokens", `"prompt":[1,2]`, "prompt", "Token arrays"},
		{"lists of tokens", `"prompt":[[1],[2]]`, "prompt", "Token arrays"},
		{"another type", `"prompt":{}`, "prompt", "a string or an array"},
		{"another element", `"prompt":["a",true]`, "prompt[1]", "expected a string"},
		{"too many", `"prompt":["a"` + strings.Repeat(`,"a"`, maxCalls) + `]`, "prompt", "32 prompts"},
		{"too many calls", `"prompt":["a","a","a","a","a"],"n":8`, "prompt", "32 calls"},
		{"echo", `"prompt":"a","echo":true`, "echo", "no equivalent"},
		{"echo of another type", `"prompt":"a","echo":1`, "echo", "a boolean"},
		{"best_of", `"prompt":"a","best_of":2`, "best_of", "no equivalent"},
		{"suffix", `"prompt":"a","suffix":"b"`, "suffix", "no equivalent"},
		{"logprobs", `"prompt":"a","logprobs":0`, "logprobs", "no equivalent"},
		{"stream of prompts", `"prompt":["a","b"],"stream":true`, "prompt", "one prompt"},
		{"stream of choices", `"prompt":"a","n":2,"stream":true`, "n", "in a stream"},
		{"temperature", `"prompt":"a","temperature":3`, "temperature", "between"},
		{"strict", `"prompt":"a","messages":[]`, "messages", "Unrecognized"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, f := NewCompletion(answerEnv(), Options{Strict: true}, []byte(`{"model":"`+m3+`",`+tc.members+`}`))
			if f == nil || f.Kind != translate.InvalidRequest || f.Param != tc.param || !strings.Contains(f.Message, tc.message) {
				t.Errorf("%+v", f)
			}
		})
	}
}

func TestCompletion_Answers(t *testing.T) {
	usage := `,"usageMetadata":{"promptTokenCount":2,"candidatesTokenCount":3,"totalTokenCount":5}}`
	one := strings.TrimSuffix(finished(`{"text":"think","thought":true},{"text":"Hi "},{"text":"\"you\""}`, "STOP"), "}") + usage
	w := completed(t, completion(t, m3, `"prompt":["a","b","c"]`), one, strings.TrimSuffix(finished(`{"text":"b"}`, "MAX_TOKENS"), "}")+usage, `{"promptFeedback":{"blockReason":"OTHER"}}`)
	if w.ID != "cmpl-R" || w.Model != m3 || len(w.Choices) != 3 || *w.Choices[0].Text != `Hi "you"` || w.Usage.TotalTokens != 10 {
		t.Errorf("%s", show(w))
	}
	for i, want := range []string{"stop", "length", "content_filter"} {
		if *w.Choices[i].FinishReason != want {
			t.Errorf("choice %d: %s", i, show(w.Choices[i]))
		}
	}
	two := `{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"},{"index":1,"content":{"parts":[{"text":"y"}]},"finishReason":"STOP"}]}`
	w = completed(t, completion(t, m25, `"prompt":["a","b"],"n":2`), two, two)
	if len(w.Choices) != 4 || *w.Choices[3].Text != "y" {
		t.Errorf("%s", show(w))
	}
	// A call of no tool is nothing that a completion could end with.
	w = completed(t, completion(t, m3, `"prompt":"a"`), finished(`{"text":"x"},{"functionCall":{"name":"f"}}`, "STOP"))
	if *w.Choices[0].FinishReason != "stop" {
		t.Errorf("%s", show(w))
	}
	x := completion(t, m3, `"prompt":"a"`)
	var f *translate.Failure
	if out, err := x.Response([]byte("#"), []byte(`{}`)); !errors.As(err, &f) || f.Kind != translate.EmptyAnswer || string(out) != "#" {
		t.Errorf("%s, %v", out, err)
	}
	if x.ContentType() != contentType {
		t.Error(x.ContentType())
	}
}

// legacy plays a stream of documents and returns what a client puts together.
func legacy(t testing.TB, x *Completion, docs ...string) (*wireLegacy, error) {
	t.Helper()
	x.Begin()
	var out []byte
	var err error
	for _, doc := range docs {
		data := []byte(doc)
		if out, err = x.Event(out, translate.Frame{Raw: data, Data: data}); err != nil {
			return nil, err
		}
		clear(data) // the bytes of a frame are void when the next one comes
	}
	if out, err = x.End(out); err != nil {
		return nil, err
	}
	all := &wireLegacy{}
	frames := sse.NewReader(bytes.NewReader(out))
	for done := false; ; {
		_, data, err := frames.Next()
		if err == io.EOF {
			if !done {
				t.Fatalf("no [DONE] in %s", out)
			}
			return all, nil
		}
		if string(data) == "[DONE]" {
			done = true
			continue
		}
		var members map[string]json.RawMessage
		if json.Unmarshal(data, &members); (members["usage"] != nil) != x.req.IncludeUsage {
			t.Fatalf("usage in %s", data)
		}
		var w wireLegacy
		strict(t, data, &w)
		if done || w.Object != "text_completion" || !strings.HasPrefix(w.ID, "cmpl-") || all.ID != "" && all.ID != w.ID {
			t.Fatalf("%s", data)
		}
		all.ID = w.ID
		if w.Usage != nil {
			if all.Usage = w.Usage; len(w.Choices) > 0 {
				t.Fatalf("choices beside usage: %s", data)
			}
			continue
		}
		c := w.Choices[0]
		for len(all.Choices) <= c.Index {
			all.Choices = append(all.Choices, wireLegacyChoice{Index: len(all.Choices), Text: new(string)})
		}
		to := &all.Choices[c.Index]
		if to.FinishReason != nil || len(w.Choices) != 1 || c.FinishReason == nil && *c.Text == "" {
			t.Fatalf("%s", data)
		}
		*to.Text += *c.Text
		to.FinishReason = c.FinishReason
	}
}

func TestCompletion_Stream(t *testing.T) {
	x := completion(t, m25, `"prompt":"a","stream":true,"n":2,"stream_options":{"include_usage":true}`)
	if c := x.Call(); c.Stream != translate.SSE || c.Query != "alt=sse" || !strings.HasSuffix(c.Path, ":streamGenerateContent") || x.ContentType() != eventStream || x.Heartbeat() == "" {
		t.Errorf("%+v", c)
	}
	w, err := legacy(t, x,
		`{"responseId":"R","candidates":[{"index":1,"content":{"parts":[{"text":"one"}]}}]}`,
		`{"candidates":[{"content":{"parts":[{"text":"think","thought":true},{"text":"ze"}]}}],"usageMetadata":{"promptTokenCount":1}}`,
		`{"candidates":[{"content":{"parts":[{"text":"ro \"\n"}]},"finishReason":"STOP"},{"index":1,"content":{"parts":[{"text":""}]},"finishReason":"MAX_TOKENS"}],"usageMetadata":{"candidatesTokenCount":4}}`,
	)
	if err != nil {
		t.Fatal(err)
	}
	if *w.Choices[0].Text != "zero \"\n" || *w.Choices[1].Text != "one" || *w.Choices[0].FinishReason != "stop" || *w.Choices[1].FinishReason != "length" || w.Usage.TotalTokens != 5 || w.ID != "cmpl-R" {
		t.Errorf("%s", show(w))
	}
	x = completion(t, m3, `"prompt":"a","stream":true`)
	if w, err := legacy(t, x, `{"promptFeedback":{"blockReason":"OTHER"}}`); err != nil || *w.Choices[0].FinishReason != "content_filter" {
		t.Errorf("blocked: %s, %v", show(w), err)
	}
	if w, err := legacy(t, x, finished(`{"text":"x"},{"functionCall":{"name":"f"}}`, "STOP")); err != nil || *w.Choices[0].FinishReason != "stop" {
		t.Errorf("call: %s, %v", show(w), err)
	}
	for _, tc := range []struct {
		name string
		docs []string
		want translate.Kind
	}{
		{"nothing", nil, translate.EmptyAnswer},
		{"no end", []string{sayHi}, translate.Truncated},
		{"no JSON", []string{`Hi`}, translate.MalformedAnswer},
	} {
		var f *translate.Failure
		if w, err := legacy(t, x, tc.docs...); !errors.As(err, &f) || f.Kind != tc.want {
			t.Errorf("%s: %s, %v", tc.name, show(w), err)
		}
	}
}

// TestCompletion_Array: an array in place of a stream is read whole.
func TestCompletion_Array(t *testing.T) {
	w, err := legacy(t, completion(t, m3, `"prompt":"a","stream":true`), `[`+sayHi+`,`+stop+`]`)
	if err != nil || *w.Choices[0].Text != "Hi" || *w.Choices[0].FinishReason != "stop" {
		t.Errorf("%s, %v", show(w), err)
	}
}

// TestCompletion_Recordings: what chat completions make of a recorded answer's
// text is what completions make of it.
func TestCompletion_Recordings(t *testing.T) {
	cases, bodies := load(t)
	n := 0
	for _, tc := range cases {
		if tc.Expect.Kind != "normal" || tc.Expect.Text == nil || len(tc.Expect.Tools) > 0 {
			continue
		}
		n++
		body := bodies[tc.Recording]
		if !tc.Stream {
			w := completed(t, completion(t, m3, `"prompt":"a"`), string(body))
			if *w.Choices[0].Text != *tc.Expect.Text {
				t.Errorf("%s: %q, want %q", tc.Recording, *w.Choices[0].Text, *tc.Expect.Text)
			}
			continue
		}
		var docs []string
		frames := sse.NewReader(bytes.NewReader(body))
		for {
			_, data, err := frames.Next()
			if err != nil {
				break
			}
			docs = append(docs, string(data))
		}
		w, err := legacy(t, completion(t, m3, `"prompt":"a","stream":true`), docs...)
		if err != nil || *w.Choices[0].Text != *tc.Expect.Text {
			t.Errorf("%s: %s, %v", tc.Recording, show(w), err)
		}
	}
	if n == 0 {
		t.Error("no recording fits")
	}
}
