// SPDX-License-Identifier: Apache-2.0

package openai

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

// divided divides a recorded answer: a stream into its events, an array into
// its elements, and one document into one per part, as a stream could bring it.
// whole is false for what is not JSON where it should be.
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

// TestRecordings_Meaning: each recorded answer of generateContent, in the form it
// came in and in others that mean the same, says to a client what it says here.
func TestRecordings_Meaning(t *testing.T) {
	for _, e := range allRecorded(t) {
		if !e.answer() {
			continue
		}
		t.Run(e.Name, func(t *testing.T) {
			docs, whole := divided(e.body)
			var m meant
			for _, d := range docs {
				if whole {
					m.read(t, d)
				}
			}
			ask := func(r *ChatRequest) { r.Logprobs, r.TopLogprobs = len(m.logprobs) > 0, 5 }
			if !e.Stream && len(docs) > 1 { // an array of events
				if c, err := respond(t, chat(ask), string(e.body)); err != nil {
					t.Error(err)
				} else {
					m.check(t, c, false)
				}
				m.checkPlayed(t, e, nil, ask, [][]byte{e.body})
			}
			if len(docs) == 1 && !e.Stream {
				c, err := respond(t, chat(ask), string(docs[0]))
				if err == nil {
					m.check(t, c, false)
					m.checkLogprobs(t, c)
				}
				docs = append(docs, byParts(t, docs[0])...)
				m.checkPlayed(t, e, err, ask, docs[1:])
				docs = docs[:1]
			}
			m.checkPlayed(t, e, errUnknown, ask, docs)
		})
	}
}

// TestRecordings_Others: what is no answer of generateContent never looks like
// one, and there is no recording that no test reads.
func TestRecordings_Others(t *testing.T) {
	for _, e := range allRecorded(t) {
		if e.answer() {
			continue
		}
		t.Run(e.Name, func(t *testing.T) {
			var failure *translate.Failure
			var inside *translate.UpstreamError
			c, err := respond(t, chat(), string(e.body))
			x := chat(streamed)
			out, errStream := play(x, bytes.NewReader(sse.Append(nil, "", e.body)))
			switch {
			case e.Group == "errors":
				if !errors.As(err, &inside) || !errors.As(errStream, &inside) {
					t.Errorf("unary %v, streamed %v", err, errStream)
				}
				if a := Error(&translate.Failure{Kind: translate.Upstream, Message: string(inside.Body)}); !json.Valid(a.Body) {
					t.Errorf("%s", a.Body)
				}
			case e.Group == "embeddings" || e.Group == "predict": // read by TestEmbeddings_Recordings, too
				fallthrough
			case slices.Contains([]string{"caches", "files", "models", "tokens", "google-openai-compat"}, e.Group):
				if !errors.As(err, &failure) || !errors.As(errStream, &failure) {
					t.Errorf("%s, unary %v, %s, streamed %v", show(c), err, out, errStream)
				}
			case e.Name == partialArguments:
				out, err := play(x, bytes.NewReader(e.body))
				if err == nil {
					collect(t, x, out)
				}
			default:
				t.Error("no test reads this")
			}
		})
	}
}

// errUnknown is for where no error and no success is known yet.
var errUnknown = errors.New("unknown")

// checkPlayed plays documents as a stream, framed and cut in every way.
func (m *meant) checkPlayed(t *testing.T, e entry, unary error, ask func(*ChatRequest), docs [][]byte) {
	t.Helper()
	var first []byte
	var firstErr error
	for i, newline := range []string{"\n", "\r\n", "\r"} {
		var body []byte
		for _, d := range docs {
			body = append(body, sse.Append(nil, "", d)...)
		}
		body = bytes.ReplaceAll(body, []byte("\n"), []byte(newline))
		for j, pieces := range []bool{false, true} {
			x := chat(streamed, withUsage, ask)
			var out []byte
			var err error
			if pieces {
				out, err = play(x, iotest.OneByteReader(bytes.NewReader(body)))
			} else {
				out, err = play(x, bytes.NewReader(body))
			}
			if i+j == 0 {
				first, firstErr = out, err
				if err == nil {
					m.check(t, collect(t, x, out), true)
				}
			}
			if !bytes.Equal(out, first) || (err == nil) != (firstErr == nil) {
				t.Errorf("%q, single bytes %v: other bytes, %v", newline, pieces, err)
			}
		}
	}
	if unary != errUnknown && (unary == nil) != (firstErr == nil) {
		t.Errorf("streamed %v, unary %v", firstErr, unary)
	}
	if (firstErr != nil) != slices.Contains(unusable, e.Name) {
		t.Errorf("failure %v", firstErr)
	}
}

func (m *meant) checkLogprobs(t *testing.T, c *wireCompletion) {
	t.Helper()
	var tokens []string
	if l := c.Choices[0].Logprobs; l != nil {
		for _, token := range l.Content {
			tokens = append(tokens, token.Token)
		}
	}
	if !slices.Equal(tokens, m.logprobs) {
		t.Errorf("logprobs of %q, want %q", tokens, m.logprobs)
	}
}

// unusable are the recorded answers that are none, see §10.3 and §10.5.
var unusable = []string{
	"empty-failure-only-prompt-feedback", "empty-streaming-failure-empty-content", "empty-failure-malformed-content",
	"finish-failure-with-message-no-content", "stream-text-streaming-failure-invalid-json", "text-failure-invalid-response",
	"finish-malformed-function-call-s0",
}

// entry is one of the recordings.
type entry struct {
	Name, Group, File, Endpoint string
	Stream                      bool
	Status                      int
	body                        []byte
}

// answer reports whether it is one of generateContent.
func (e *entry) answer() bool {
	return e.Status == 200 && strings.HasSuffix(e.Endpoint, "enerateContent") && e.Name != partialArguments
}

// partialArguments has arguments in pieces, which only Vertex AI sends.
const partialArguments = "tools-stream-tool-call-arguments"

// allRecorded returns all recordings.
func allRecorded(t *testing.T) (list []entry) {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join(recordings, "index.json"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("no recordings beside the project")
	}
	if err == nil {
		err = json.Unmarshal(doc, &list)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if list[i].body, err = os.ReadFile(filepath.Join(recordings, list[i].File)); err != nil {
			t.Fatal(err)
		}
	}
	return list
}
