// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/sse"
)

const recordings = "../../../shared/recordings"

// entry is one of the recordings, and what cases.json says of it.
type entry struct {
	Name, Group, File, Endpoint string
	Stream                      bool
	Status                      int
	body                        []byte
	kind                        string
	reasons                     []string
}

// answer reports whether it is an answer of generateContent.
func (e *entry) answer() bool {
	return e.Status == 200 && strings.HasSuffix(e.Endpoint, "enerateContent") && e.Name != partialArguments
}

// partialArguments has arguments in pieces, which only Vertex AI sends.
const partialArguments = "tools-stream-tool-call-arguments"

func allRecorded(t testing.TB) (list []entry) {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join(recordings, "index.json"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("no recordings beside the project")
	}
	var cases []struct {
		Recording string
		Expect    struct {
			Kind            string
			FinishAnthropic []string `json:"finish_anthropic"`
		}
	}
	said, errCases := os.ReadFile(filepath.Join(recordings, "cases.json"))
	if err := errors.Join(err, errCases, json.Unmarshal(doc, &list), json.Unmarshal(said, &cases)); err != nil {
		t.Fatal(err)
	}
	for i := range list {
		e := &list[i]
		if e.body, err = os.ReadFile(filepath.Join(recordings, e.File)); err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			if c.Recording == e.Name {
				e.kind, e.reasons = c.Expect.Kind, c.Expect.FinishAnthropic
			}
		}
	}
	return list
}

// unusable are the recorded answers that are none, see C.6.
var unusable = []string{
	"empty-failure-only-prompt-feedback", "empty-streaming-failure-empty-content", "empty-failure-malformed-content",
	"finish-failure-with-message-no-content", "stream-text-streaming-failure-invalid-json", "text-failure-invalid-response",
	"finish-malformed-function-call-s0",
}

// divided divides a recorded answer: a stream into its events, an array into its
// elements. whole is false for what is not JSON where it should be.
func divided(body []byte) (docs [][]byte, whole bool) {
	switch body = bytes.TrimSpace(body); {
	case bytes.HasPrefix(body, []byte("[")):
		var list []json.RawMessage
		if json.Unmarshal(body, &list) != nil {
			return nil, false
		}
		for _, d := range list {
			docs = append(docs, d)
		}
	case bytes.HasPrefix(body, []byte("{")):
		docs = [][]byte{body}
	default:
		body = bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n"))
		for event := range bytes.SplitSeq(body, []byte("\n\n")) {
			var lines [][]byte
			for line := range bytes.SplitSeq(event, []byte("\n")) {
				if data, ok := bytes.CutPrefix(line, []byte("data:")); ok {
					lines = append(lines, bytes.TrimPrefix(data, []byte(" ")))
				}
			}
			if len(lines) > 0 {
				docs = append(docs, bytes.Join(lines, []byte("\n")))
			}
		}
	}
	for _, d := range docs {
		if !json.Valid(d) {
			return docs, false
		}
	}
	return docs, true
}

// byParts makes an event of each part of one document, the rest of it last.
func byParts(t *testing.T, doc []byte) (docs [][]byte) {
	t.Helper()
	var answer map[string]any
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	if err := dec.Decode(&answer); err != nil {
		t.Fatal(err)
	}
	list, _ := answer["candidates"].([]any)
	if len(list) != 1 {
		return [][]byte{doc}
	}
	candidate := list[0].(map[string]any)
	content, _ := candidate["content"].(map[string]any)
	parts, _ := content["parts"].([]any)
	delete(content, "parts")
	add := func(v any) {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, b)
	}
	for _, p := range parts {
		add(map[string]any{"responseId": answer["responseId"], "candidates": []any{map[string]any{"content": map[string]any{"parts": []any{p}}}}})
	}
	add(answer)
	return docs
}

// asks are the requests that each recorded answer is an answer to.
var asks = map[string][]func(*plan){
	"plain":    nil,
	"thinking": {thinks},
	"tools":    {thinks, searches, codes, fetches},
	"omitted":  {omits, searches},
	"stops":    {stopsAt("never said", "\u2764")},
}

// TestRecordings: each recorded answer of generateContent, in the form it came in and
// in others that mean the same, says to a client what it says.
func TestRecordings(t *testing.T) {
	for _, e := range allRecorded(t) {
		if !e.answer() {
			continue
		}
		for ask, change := range asks {
			t.Run(e.Name+"/"+ask, func(t *testing.T) {
				docs, whole := divided(e.body)
				m := meant{kind: e.kind, reasons: e.reasons}
				for _, d := range docs {
					if whole {
						m.read(t, d)
					}
				}
				if !e.Stream {
					x := messages(change...)
					got, err := respond(t, x, string(e.body))
					m.result(t, &e, x, got, err)
				}
				m.checkPlayed(t, &e, change, docs)
				if len(docs) == 1 && whole {
					m.checkPlayed(t, &e, change, byParts(t, docs[0]))
				}
			})
		}
	}
}

// checkPlayed plays documents as a stream, framed and cut in every way.
func (m *meant) checkPlayed(t *testing.T, e *entry, change []func(*plan), docs [][]byte) {
	t.Helper()
	var first []byte
	for i, newline := range []string{"\n", "\r\n", "\r"} {
		var body []byte
		for _, d := range docs {
			body = append(body, sse.Append(nil, "", d)...)
		}
		body = bytes.ReplaceAll(body, []byte("\n"), []byte(newline))
		x := messages(append(slices.Clone(change), streamed)...)
		out, err := play(x, bytes.NewReader(body))
		if i == 0 {
			first = out
			if err != nil {
				m.result(t, e, x, nil, err)
			} else {
				got, _ := collect(t, out)
				m.result(t, e, x, got, nil)
			}
		}
		pieces, errPieces := play(x, iotest.OneByteReader(bytes.NewReader(body)))
		if !bytes.Equal(out, first) || !bytes.Equal(pieces, first) || (err == nil) != (errPieces == nil) {
			t.Errorf("%q: other bytes, %v, %v", newline, err, errPieces)
		}
	}
}

// result checks what became of a recording.
func (m *meant) result(t *testing.T, e *entry, x *Messages, got *wireMessage, err error) {
	t.Helper()
	if bad := slices.Contains(unusable, e.Name); bad != (err != nil) {
		t.Fatalf("failure %v", err)
	}
	if err != nil {
		var f *translate.Failure
		if !errors.As(err, &f) || !f.Retry {
			t.Errorf("%v", err)
		}
		return
	}
	m.check(t, x, got)
}

// TestRecordings_Others: what is no answer of generateContent never looks like one.
func TestRecordings_Others(t *testing.T) {
	for _, e := range allRecorded(t) {
		if e.answer() || e.Name == partialArguments {
			continue
		}
		t.Run(e.Name, func(t *testing.T) {
			got, err := respond(t, messages(), string(e.body))
			out, errStream := play(messages(streamed), bytes.NewReader(sse.Append(nil, "", e.body)))
			var failure *translate.Failure
			var inside *translate.UpstreamError
			switch {
			case e.Group == "errors":
				if !errors.As(err, &inside) || !errors.As(errStream, &inside) {
					t.Errorf("unary %v, streamed %v", err, errStream)
				}
			case !errors.As(err, &failure) || !errors.As(errStream, &failure):
				t.Errorf("%s, unary %v, %s, streamed %v", show(got), err, out, errStream)
			}
		})
	}
}
