// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/sse"
)

const recordings = "../../../shared/recordings"

// recorded is what cases.json says an answer means.
type recorded struct {
	Recording  string `json:"recording"`
	Stream     bool   `json:"stream"`
	NativeOnly bool   `json:"native_only"`
	Expect     struct {
		Kind      string   `json:"kind"` // "" where the answer is none of generateContent's
		TextParts []string `json:"text_parts"`
		Text      *string  `json:"text"`
		Thoughts  string   `json:"thoughts"`
		Tools     []struct {
			Name string          `json:"name"`
			Args json.RawMessage `json:"args"`
		} `json:"tools"`
		FinishChat []string `json:"finish_chat"`
		Usage      *struct {
			Prompt, Completion, Total []int64
			Cached, Reasoning         int64
		} `json:"usage"`
		Images     int `json:"images"`
		Audio      int `json:"audio"`
		Code       int `json:"code"`
		Signatures int `json:"signatures"`
	} `json:"expect"`
}

// load returns the recorded answers of generateContent and their bodies.
func load(t *testing.T) (cases []recorded, bodies map[string][]byte) {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join(recordings, "cases.json"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("no recordings beside the project")
	}
	var index []struct{ Name, File string }
	list, err := os.ReadFile(filepath.Join(recordings, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(json.Unmarshal(doc, &cases), json.Unmarshal(list, &index)); err != nil {
		t.Fatal(err)
	}
	bodies = map[string][]byte{}
	for _, e := range index {
		if bodies[e.Name], err = os.ReadFile(filepath.Join(recordings, e.File)); err != nil {
			t.Fatal(err)
		}
	}
	return slices.DeleteFunc(cases, func(c recorded) bool { return c.Expect.Kind == "" || c.NativeOnly }), bodies
}

// play sends a body through the reader and the exchange, as the gateway does.
func play(x *Chat, body io.Reader) ([]byte, error) {
	x.env = answerEnv()
	x.Begin()
	frames := sse.NewReader(body)
	defer frames.Release()
	var out []byte
	for {
		raw, data, err := frames.Next()
		if err == io.EOF {
			return x.End(out)
		}
		if err != nil {
			return out, err
		}
		if out, err = x.Event(out, translate.Frame{Raw: raw, Data: data}); err != nil {
			return out, err
		}
	}
}

func TestChat_Recordings(t *testing.T) {
	cases, bodies := load(t)
	for _, tc := range cases {
		t.Run(tc.Recording, func(t *testing.T) {
			body := bodies[tc.Recording]
			if !tc.Stream {
				c, err := respond(t, chat(), string(body))
				tc.check(t, c, err, body)
				// The same as a stream of one event, pretty-printed as it is.
				x := chat(streamed, withUsage)
				out, err := play(x, bytes.NewReader(sse.Append(nil, "", body)))
				tc.checkStream(t, x, out, err, body)
				return
			}
			lf := bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n"))
			x := chat(streamed, withUsage)
			whole, err := play(x, bytes.NewReader(body))
			tc.checkStream(t, x, whole, err, body)
			for name, r := range map[string]io.Reader{
				"single bytes": iotest.OneByteReader(bytes.NewReader(body)),
				"LF":           bytes.NewReader(lf),
				"CRLF":         iotest.HalfReader(bytes.NewReader(bytes.ReplaceAll(lf, []byte("\n"), []byte("\r\n")))),
				"CR":           iotest.OneByteReader(bytes.NewReader(bytes.ReplaceAll(lf, []byte("\n"), []byte("\r")))),
			} {
				if out, err2 := play(x, r); !bytes.Equal(out, whole) || (err == nil) != (err2 == nil) {
					t.Errorf("%s: other bytes, %v", name, err2)
				}
			}
			// Cut anywhere before its last event, it must not end like a whole one.
			if cut := bytes.LastIndex(bytes.TrimSpace(lf), []byte("\n\n")); err == nil && cut > 0 && !bytes.Contains(lf[:cut], []byte("finishReason")) {
				if out, err := play(x, bytes.NewReader(lf[:cut])); err == nil {
					t.Errorf("a cut answer ends like a whole one: %s", out)
				}
			}
		})
	}
}

func (r *recorded) checkStream(t *testing.T, x *Chat, out []byte, err error, body []byte) {
	t.Helper()
	if err != nil {
		r.check(t, nil, err, body)
		return
	}
	r.check(t, collect(t, x, out), nil, body)
}

func (r *recorded) check(t *testing.T, c *wireCompletion, err error, body []byte) {
	t.Helper()
	e := &r.Expect
	if err != nil {
		var f *translate.Failure
		if e.Kind != "broken" && e.Kind != "empty" || !errors.As(err, &f) {
			t.Errorf("%s: %v", e.Kind, err)
		}
		return
	}
	if e.Kind == "broken" {
		t.Fatalf("a broken answer passed: %s", show(c))
	}
	m := c.Choices[0].Message
	content := text(m.Content)
	if e.Text != nil && content != *e.Text {
		t.Errorf("content %q, want %q", content, *e.Text)
	}
	rest := content
	for _, part := range e.TextParts {
		_, after, ok := strings.Cut(rest, part)
		if !ok {
			t.Errorf("%q lacks %q", rest, part)
		}
		rest = after
	}
	if text(m.Reasoning) != e.Thoughts {
		t.Errorf("reasoning %q, want %q", text(m.Reasoning), e.Thoughts)
	}
	if !slices.Contains(e.FinishChat, *c.Choices[0].FinishReason) {
		t.Errorf("finish_reason %s, want one of %s", *c.Choices[0].FinishReason, e.FinishChat)
	}
	if e.Kind == "blocked" && m.Refusal == nil {
		t.Error("no refusal")
	}
	if len(m.Images) != e.Images || (m.Audio != nil) != (e.Audio > 0) || strings.Count(content, "```") < 2*e.Code {
		t.Errorf("%d images, audio %v, content %q", len(m.Images), m.Audio != nil, content)
	}
	r.checkTools(t, m)
	r.checkUsage(t, c.Usage)
	checkSignatures(t, m, body)
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (r *recorded) checkTools(t *testing.T, m *wireMessage) {
	t.Helper()
	if len(m.ToolCalls) != len(r.Expect.Tools) {
		t.Fatalf("%d tool calls, want %d", len(m.ToolCalls), len(r.Expect.Tools))
	}
	ids := map[string]bool{}
	for i, want := range r.Expect.Tools {
		got := m.ToolCalls[i]
		var a, b any
		if err := errors.Join(json.Unmarshal([]byte(*got.Function.Arguments), &a), json.Unmarshal(want.Args, &b)); err != nil {
			t.Fatal(err)
		}
		if got.Function.Name != want.Name || !reflect.DeepEqual(a, b) || ids[got.ID] {
			t.Errorf("call %d: %s, want %s %s", i, show(got), want.Name, want.Args)
		}
		ids[got.ID] = true
	}
}

func (r *recorded) checkUsage(t *testing.T, got *wireUsage) {
	t.Helper()
	want := r.Expect.Usage
	if want == nil || r.Expect.Kind != "normal" {
		return
	}
	if !slices.Contains(want.Prompt, got.PromptTokens) || !slices.Contains(want.Completion, got.CompletionTokens) ||
		!slices.Contains(want.Total, got.TotalTokens) || got.PromptDetails.Cached != want.Cached || got.CompletionDetails.Reasoning != want.Reasoning {
		t.Errorf("usage %s, want %+v", show(got), *want)
	}
}

// checkSignatures wants each signature of a call, and the last one of the text,
// where clients send them back from.
func checkSignatures(t *testing.T, m *wireMessage, body []byte) {
	t.Helper()
	sent := show(m)
	texts, calls := "", []string{}
	docs := [][]byte{body}
	if !json.Valid(body) {
		docs = nil
		for line := range bytes.SplitSeq(body, []byte("\n")) {
			if doc, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
				docs = append(docs, doc)
			}
		}
	}
	for _, doc := range docs {
		var answer struct {
			Candidates []struct {
				Content struct {
					Parts []struct {
						Text             *string
						Thought          bool
						FunctionCall     any
						ThoughtSignature string
					}
				}
			}
		}
		if err := json.Unmarshal(doc, &answer); err != nil {
			t.Fatal(err)
		}
		for _, c := range answer.Candidates {
			for _, p := range c.Content.Parts {
				switch {
				case p.ThoughtSignature == "" || p.Thought:
				case p.FunctionCall != nil:
					calls = append(calls, p.ThoughtSignature)
				case p.Text != nil:
					texts = p.ThoughtSignature
				}
			}
		}
	}
	for _, s := range append(calls, texts) {
		if !strings.Contains(sent, s) {
			t.Errorf("signature %.20s… is lost", s)
		}
	}
}

// TestChat_RecordedErrors: error bodies inside a 200 are errors of the answer.
func TestChat_RecordedErrors(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(recordings, "errors", "*.json"))
	if len(files) == 0 {
		t.Skip("no recordings beside the project")
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var e *translate.UpstreamError
		if _, err := respond(t, chat(), string(body)); !errors.As(err, &e) {
			t.Errorf("%s: %v", file, err)
		}
		x := chat(streamed)
		if _, err := play(x, io.MultiReader(strings.NewReader("data: "+sayHi+"\r\n\r\n"), bytes.NewReader(body))); !errors.As(err, &e) {
			t.Errorf("%s in a stream: %v", file, err)
		}
	}
}

// TestChat_OtherRecordings: what is no answer of generateContent never looks
// like one.
func TestChat_OtherRecordings(t *testing.T) {
	found := false
	for _, dir := range []string{"embeddings", "models", "tokens", "predict", "files", "caches"} {
		files, _ := filepath.Glob(filepath.Join(recordings, dir, "*.json"))
		for _, file := range files {
			found = true
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var f *translate.Failure
			if c, err := respond(t, chat(), string(body)); !errors.As(err, &f) {
				t.Errorf("%s: %s, %v", file, show(c), err)
			}
		}
	}
	if !found {
		t.Skip("no recordings beside the project")
	}
}
