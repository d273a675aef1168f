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
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
	"github.com/gemini-balance/caddy-gemini-balance/translate/sse"
)

const stateless = `"store":false,"include":["reasoning.encrypted_content"],"reasoning":{"summary":"auto"}`

func TestResponses_Recordings(t *testing.T) {
	cases, bodies := load(t)
	for _, tc := range cases {
		t.Run(tc.Recording, func(t *testing.T) {
			body := bodies[tc.Recording]
			x := responses(t, Options{}, stateless+`,"stream":true`)
			if !tc.Stream {
				r, err := wholeResponse(t, responses(t, Options{}, stateless), body)
				tc.checkResponse(t, r, err, body)
				out, err2 := playResponses(x, bytes.NewReader(sse.Append(nil, "", body)))
				if (err == nil) != (err2 == nil) {
					t.Fatalf("whole %v, streamed %v", err, err2)
				}
				if err == nil {
					if a, b := anonymous(r), anonymous(collectResponses(t, out)); a != b {
						t.Errorf("whole  %s\nstream %s", a, b)
					}
				}
				return
			}
			lf := bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n"))
			whole, err := playResponses(x, bytes.NewReader(body))
			if err == nil {
				tc.checkResponse(t, collectResponses(t, whole), nil, body)
			} else {
				tc.checkResponse(t, nil, err, body)
			}
			for name, r := range map[string]io.Reader{
				"single bytes": iotest.OneByteReader(bytes.NewReader(body)),
				"LF":           bytes.NewReader(lf),
				"CRLF":         iotest.HalfReader(bytes.NewReader(bytes.ReplaceAll(lf, []byte("\n"), []byte("\r\n")))),
				"CR":           iotest.OneByteReader(bytes.NewReader(bytes.ReplaceAll(lf, []byte("\n"), []byte("\r")))),
			} {
				if out, err2 := playResponses(x, r); !bytes.Equal(out, whole) || (err == nil) != (err2 == nil) {
					t.Errorf("%s: other bytes, %v", name, err2)
				}
			}
			if cut := bytes.LastIndex(bytes.TrimSpace(lf), []byte("\n\n")); err == nil && cut > 0 && !bytes.Contains(lf[:cut], []byte("finishReason")) {
				if out, err := playResponses(x, bytes.NewReader(lf[:cut])); err == nil {
					t.Errorf("a cut answer ends like a whole one: %s", out)
				}
			}
		})
	}
}

func (r *recorded) checkResponse(t *testing.T, got *wireResponse, err error, body []byte) {
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
		t.Fatalf("a broken answer passed: %s", show(got))
	}
	content, thoughts, refusals, images, code := "", "", 0, 0, 0
	var calls []wireItem
	for _, item := range got.Output {
		switch item.Type {
		case "message":
			for _, p := range item.Content {
				content += text(p.Text)
				if p.Refusal != nil {
					refusals++
				}
			}
		case "reasoning":
			for _, s := range item.Summary {
				thoughts += s.Text
			}
		case "image_generation_call":
			images++
		case "code_interpreter_call":
			code++
		case "function_call":
			calls = append(calls, item)
		}
	}
	if e.Text != nil && e.Code == 0 && content != *e.Text {
		t.Errorf("text %q, want %q", content, *e.Text)
	}
	rest := content
	for _, part := range e.TextParts {
		_, after, ok := strings.Cut(rest, part)
		if !ok {
			t.Errorf("%q lacks %q", rest, part)
		}
		rest = after
	}
	if thoughts != e.Thoughts {
		t.Errorf("summary %q, want %q", thoughts, e.Thoughts)
	}
	if images != e.Images || code < min(e.Code, 1) || e.Kind == "blocked" && content == "" && refusals == 0 {
		t.Errorf("%d images, %d runs of code, %d refusals: %s", images, code, refusals, show(got))
	}
	status := map[string]string{"stop": "completed", "tool_calls": "completed", "length": "incomplete max_output_tokens", "content_filter": "incomplete content_filter"}
	have := got.Status
	if got.IncompleteDetails != nil {
		have += " " + got.IncompleteDetails.Reason
	}
	if !slices.ContainsFunc(e.FinishChat, func(finish string) bool { return status[finish] == have }) {
		t.Errorf("status %s, want that of %s", have, e.FinishChat)
	}
	r.checkResponseCalls(t, calls)
	if want := e.Usage; want != nil && e.Kind == "normal" {
		u := got.Usage
		if !slices.Contains(want.Prompt, u.InputTokens) || !slices.Contains(want.Completion, u.OutputTokens) ||
			!slices.Contains(want.Total, u.TotalTokens) || u.InputDetails.Cached != want.Cached || u.OutputDetails.Reasoning != want.Reasoning {
			t.Errorf("usage %s, want %+v", show(u), *want)
		}
	}
	checkEnvelopes(t, got, body)
}

func (r *recorded) checkResponseCalls(t *testing.T, calls []wireItem) {
	t.Helper()
	if len(calls) != len(r.Expect.Tools) {
		t.Fatalf("%d calls, want %d", len(calls), len(r.Expect.Tools))
	}
	ids := map[string]bool{}
	for i, want := range r.Expect.Tools {
		var a, b any
		if err := errors.Join(json.Unmarshal([]byte(*calls[i].Arguments), &a), json.Unmarshal(want.Args, &b)); err != nil {
			t.Fatal(err)
		}
		if calls[i].Name != want.Name || !reflect.DeepEqual(a, b) || ids[calls[i].CallID] {
			t.Errorf("call %d: %s, want %s %s", i, show(calls[i]), want.Name, want.Args)
		}
		ids[calls[i].CallID] = true
	}
}

// checkEnvelopes wants every signature of the answer in an encrypted_content.
func checkEnvelopes(t *testing.T, got *wireResponse, body []byte) {
	t.Helper()
	var told []string
	for _, item := range got.Output {
		if item.Encrypted != "" {
			_, _, s, ok := openEnvelope([]byte(show(item.Encrypted)))
			if !ok {
				t.Errorf("%s does not open", item.Encrypted)
			}
			if s.Kind() == rawjson.Object {
				s = s.Get("thoughtSignature")
			}
			told = append(told, s.Text())
		}
	}
	for _, s := range signaturesOf(t, body) {
		if !slices.Contains(told, s) {
			t.Errorf("signature %.20s… is lost", s)
		}
	}
}

// signaturesOf are the signatures of what a client can send back: not of
// thoughts without text and sound.
func signaturesOf(t *testing.T, body []byte) (all []string) {
	t.Helper()
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
						FunctionCall     any
						ExecutableCode   any
						ToolCall         any
						ToolResponse     any
						InlineData       *struct{ MIMEType string }
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
				image := p.InlineData != nil && strings.HasPrefix(p.InlineData.MIMEType, "image/")
				native := p.ExecutableCode != nil || p.ToolCall != nil || p.ToolResponse != nil
				if p.ThoughtSignature != "" && (p.Text != nil || p.FunctionCall != nil || image || native) {
					all = append(all, p.ThoughtSignature)
				}
			}
		}
	}
	return all
}

// TestResponses_RecordedErrors: error bodies inside a 200 are errors of the answer.
func TestResponses_RecordedErrors(t *testing.T) {
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
		if _, err := wholeResponse(t, responses(t, Options{}, ""), body); !errors.As(err, &e) {
			t.Errorf("%s: %v", file, err)
		}
		x := responses(t, Options{}, `"stream":true`)
		out, err := playResponses(x, io.MultiReader(strings.NewReader("data: "+sayHi+"\r\n\r\n"), bytes.NewReader(body)))
		if !errors.As(err, &e) {
			t.Errorf("%s in a stream: %v", file, err)
		}
		if r := collectResponses(t, x.Abort(out, &translate.Failure{Kind: translate.Overloaded, Message: "m"})); r.Status != "failed" {
			t.Errorf("%s in a stream: %s", file, show(r))
		}
	}
}
