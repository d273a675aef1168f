// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/sse"
)

// The wire types of OpenAI's answers, as strictly as its typed SDKs read them.

type wireCompletion struct {
	ID                string       `json:"id"`
	Object            string       `json:"object"`
	Created           int64        `json:"created"`
	Model             string       `json:"model"`
	ServiceTier       *string      `json:"service_tier"`
	SystemFingerprint *string      `json:"system_fingerprint"`
	Choices           []wireChoice `json:"choices"`
	Usage             *wireUsage   `json:"usage"`
}

type wireChoice struct {
	Index              int           `json:"index"`
	Message            *wireMessage  `json:"message"`
	Delta              *wireMessage  `json:"delta"`
	Logprobs           *wireLogprobs `json:"logprobs"`
	FinishReason       *string       `json:"finish_reason"`
	NativeFinishReason *string       `json:"native_finish_reason"`
	ExtraContent       *struct {
		Google struct {
			GroundingMetadata json.RawMessage `json:"grounding_metadata"`
		} `json:"google"`
	} `json:"extra_content"`
}

type wireMessage struct {
	Role         *string      `json:"role"`
	Content      *string      `json:"content"`
	Refusal      *string      `json:"refusal"`
	Reasoning    *string      `json:"reasoning_content"`
	ToolCalls    []wireCall   `json:"tool_calls"`
	FunctionCall *wireFunc    `json:"function_call"`
	Images       []wireImage  `json:"images"`
	Audio        *wireAudio   `json:"audio"`
	Annotations  []wireSource `json:"annotations"`
	Extra        *wireExtra   `json:"extra_content"`
}

type wireCall struct {
	Index    *int        `json:"index"`
	ID       string      `json:"id"`
	Type     string      `json:"type"`
	Function *wireFunc   `json:"function"`
	Custom   *wireCustom `json:"custom"`
	Extra    *wireExtra  `json:"extra_content"`
}

type wireFunc struct {
	Name      string  `json:"name"`
	Arguments *string `json:"arguments"`
}

type wireCustom struct{ Name, Input string }

type wireImage struct {
	Type     string               `json:"type"`
	Index    int                  `json:"index"`
	ImageURL struct{ URL string } `json:"image_url"`
	Extra    *wireExtra           `json:"extra_content"`
}

type wireAudio struct {
	ID         string `json:"id"`
	Data       []byte `json:"data"`
	ExpiresAt  int64  `json:"expires_at"`
	Transcript string `json:"transcript"`
}

type wireSource struct {
	Type        string `json:"type"`
	URLCitation struct {
		StartIndex int    `json:"start_index"`
		EndIndex   int    `json:"end_index"`
		URL        string `json:"url"`
		Title      string `json:"title"`
	} `json:"url_citation"`
}

type wireExtra struct {
	Google struct {
		ThoughtSignature string      `json:"thought_signature,omitempty"`
		Thought          bool        `json:"thought,omitempty"`
		Parts            []wireAside `json:"parts,omitempty"`
	} `json:"google"`
}

type wireAside struct {
	Offset int             `json:"offset,omitempty"`
	Length int             `json:"length,omitempty"`
	Calls  int             `json:"calls,omitempty"`
	Part   json.RawMessage `json:"part"`
}

type wireLogprobs struct {
	Content []wireToken `json:"content"`
	Refusal []wireToken `json:"refusal"`
}

type wireToken struct {
	Token       string      `json:"token"`
	Logprob     float64     `json:"logprob"`
	Bytes       []int       `json:"bytes"`
	TopLogprobs []wireToken `json:"top_logprobs"`
}

type wireUsage struct {
	PromptTokens     int64 `json:"prompt_tokens"`
	CompletionTokens int64 `json:"completion_tokens"`
	TotalTokens      int64 `json:"total_tokens"`
	PromptDetails    struct {
		Cached int64 `json:"cached_tokens"`
		Audio  int64 `json:"audio_tokens"`
	} `json:"prompt_tokens_details"`
	CompletionDetails struct {
		Reasoning int64 `json:"reasoning_tokens"`
		Audio     int64 `json:"audio_tokens"`
		Accepted  int64 `json:"accepted_prediction_tokens"`
		Rejected  int64 `json:"rejected_prediction_tokens"`
	} `json:"completion_tokens_details"`
}

func strict(t testing.TB, doc []byte, v any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		t.Fatalf("%v in %s", err, doc)
	}
	if _, err := dec.Token(); err != io.EOF {
		t.Fatalf("more than one document in %s", doc)
	}
	if bytes.ContainsAny(doc, "\n\r") {
		t.Fatalf("line break in %s", doc)
	}
}

// collect reads a whole stream of chunks, checks the protocol and returns what a
// client puts together, in the shape of an unstreamed completion.
func collect(t testing.TB, x *Chat, stream []byte) *wireCompletion {
	t.Helper()
	var all wireCompletion
	finished := map[int]bool{}
	frames := sse.NewReader(bytes.NewReader(stream))
	done, withUsage := false, 0
	for {
		_, data, err := frames.Next()
		if err == io.EOF {
			break
		}
		if done {
			t.Fatalf("%q after [DONE]", data)
		}
		if string(data) == "[DONE]" {
			done = true
			continue
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(data, &members); err != nil {
			t.Fatalf("%v in %s", err, data)
		}
		if u, ok := members["usage"]; ok != x.req.IncludeUsage || ok && string(u) != "null" && len(finished) == 0 {
			t.Fatalf("usage in %s", data)
		}
		var c wireCompletion
		strict(t, data, &c)
		if all.ID == "" {
			all = c
			all.Choices = nil
		}
		if c.ID != all.ID || c.Object != "chat.completion.chunk" || c.Created != all.Created || c.Model != all.Model {
			t.Fatalf("another head: %s", data)
		}
		if c.Usage != nil {
			withUsage++
			all.Usage = c.Usage
			if len(c.Choices) != 0 {
				t.Fatalf("choices beside usage: %s", data)
			}
			continue
		}
		if len(c.Choices) != 1 || c.Choices[0].Delta == nil {
			t.Fatalf("not one choice: %s", data)
		}
		merge(t, &all, &c.Choices[0], finished, data)
	}
	if !done {
		t.Fatalf("no [DONE] in %s", stream)
	}
	if x.req.IncludeUsage != (withUsage == 1) {
		t.Fatalf("%d chunks with usage", withUsage)
	}
	for i := range all.Choices {
		if !finished[all.Choices[i].Index] {
			t.Fatalf("choice %d has no finish_reason", all.Choices[i].Index)
		}
	}
	slices.SortFunc(all.Choices, func(a, b wireChoice) int { return a.Index - b.Index })
	return &all
}

func merge(t testing.TB, all *wireCompletion, c *wireChoice, finished map[int]bool, data []byte) {
	t.Helper()
	var to *wireChoice
	for i := range all.Choices {
		if all.Choices[i].Index == c.Index {
			to = &all.Choices[i]
		}
	}
	d := c.Delta
	if (to == nil) != (d.Role != nil) {
		t.Fatalf("role not first, or twice: %s", data)
	}
	if to == nil {
		all.Choices = append(all.Choices, wireChoice{Index: c.Index, Message: &wireMessage{Role: d.Role}})
		to = &all.Choices[len(all.Choices)-1]
		d.Role = nil
	} else if d.Content != nil && *d.Content == "" {
		t.Fatalf("empty delta: %s", data)
	}
	if finished[c.Index] {
		t.Fatalf("after finish_reason: %s", data)
	}
	m := to.Message
	add := func(to **string, s *string) {
		if s == nil {
			return
		}
		if *to == nil {
			*to = new(string)
		}
		**to += *s
	}
	if d.Content != nil && *d.Content != "" {
		add(&m.Content, d.Content)
	}
	add(&m.Reasoning, d.Reasoning)
	add(&m.Refusal, d.Refusal)
	for _, call := range d.ToolCalls {
		if call.Index == nil || *call.Index != len(m.ToolCalls) {
			t.Fatalf("index of the call: %s", data)
		}
		call.Index = nil
		m.ToolCalls = append(m.ToolCalls, call)
	}
	if d.FunctionCall != nil {
		m.FunctionCall = d.FunctionCall
	}
	m.Images = append(m.Images, d.Images...)
	m.Annotations = append(m.Annotations, d.Annotations...)
	if d.Audio != nil {
		m.Audio = d.Audio
	}
	if d.Extra != nil {
		if m.Extra == nil {
			m.Extra = &wireExtra{}
		}
		m.Extra.Google.Thought = m.Extra.Google.Thought || d.Extra.Google.Thought
		m.Extra.Google.ThoughtSignature += d.Extra.Google.ThoughtSignature
		m.Extra.Google.Parts = append(m.Extra.Google.Parts, d.Extra.Google.Parts...)
	}
	if c.Logprobs != nil {
		to.Logprobs = c.Logprobs
	}
	if c.ExtraContent != nil {
		to.ExtraContent = c.ExtraContent
	}
	if c.FinishReason != nil {
		finished[c.Index] = true
		to.FinishReason, to.NativeFinishReason = c.FinishReason, c.NativeFinishReason
	}
}

// callMemo remembers signatures.
type callMemo map[string]string

func (m callMemo) Signature(id string) (string, bool) { s, ok := m[id]; return s, ok }
func (m callMemo) Remember(id, signature string)      { m[id] = signature }

func answerEnv() translate.Env {
	n := 0
	return translate.Env{
		Now:   time.Unix(1790000000, 0),
		Memo:  callMemo{},
		NewID: func(size int) string { n++; return fmt.Sprintf("%0*d", size, n) },
	}
}

// chat returns an exchange; each of change alters the request.
func chat(change ...func(*ChatRequest)) *Chat {
	req := &ChatRequest{Model: "gpt-x", Target: "gemini-3-flash-preview", ParallelCalls: true, N: 1}
	for _, c := range change {
		c(req)
	}
	return newChat(answerEnv(), req, 0)
}

func streamed(r *ChatRequest)  { r.Stream = true }
func withUsage(r *ChatRequest) { r.IncludeUsage = true }

// respond converts a whole answer.
func respond(t testing.TB, x *Chat, doc string) (*wireCompletion, error) {
	t.Helper()
	x.Begin()
	out, err := x.Response([]byte(nil), []byte(doc))
	if err != nil {
		if len(out) > 0 {
			t.Fatalf("%v, but %s", err, out)
		}
		return nil, err
	}
	var c wireCompletion
	strict(t, out, &c)
	return &c, nil
}

// stream converts a stream of documents and returns all that was sent.
func stream(t testing.TB, x *Chat, docs ...string) (string, error) {
	t.Helper()
	x.Begin()
	var out []byte
	var err error
	for _, doc := range docs {
		// The bytes of a frame are void when the next one comes.
		data := []byte(doc)
		if out, err = x.Event(out, translate.Frame{Raw: data, Data: data}); err != nil {
			return string(out), err
		}
		for i := range data {
			data[i] = '#'
		}
	}
	out, err = x.End(out)
	return string(out), err
}

// both converts an answer in one piece and as a stream of one event, and checks
// that a client sees the same.
func both(t *testing.T, doc string, change ...func(*ChatRequest)) (*wireCompletion, error) {
	t.Helper()
	c, err := respond(t, chat(change...), doc)
	x := chat(append(change, streamed, withUsage)...)
	out, errStream := stream(t, x, doc)
	if fmt.Sprint(err) != fmt.Sprint(errStream) {
		t.Fatalf("unary %v, streamed %v", err, errStream)
	}
	if err != nil {
		return nil, err
	}
	s := collect(t, x, []byte(out))
	for i := range c.Choices {
		a, b := *c.Choices[i].Message, *s.Choices[i].Message
		if a.Content != nil && *a.Content == "" {
			a.Content = nil // not told apart in a stream
		}
		if a.Audio != nil {
			a.Audio, b.Audio = nil, nil // formats differ
		}
		if x, y := show(a), show(b); x != y {
			t.Fatalf("choice %d differs:\nunary  %s\nstream %s", i, x, y)
		}
		if x, y := show(c.Choices[i].FinishReason), show(s.Choices[i].FinishReason); x != y {
			t.Fatalf("finish_reason: unary %s, stream %s", x, y)
		}
		if x, y := show(c.Choices[i].Logprobs), show(s.Choices[i].Logprobs); x != y {
			t.Fatalf("logprobs: unary %s, stream %s", x, y)
		}
	}
	if x, y := show(c.Usage), show(s.Usage); x != y {
		t.Fatalf("usage: unary %s, stream %s", x, y)
	}
	return c, nil
}

func show(v any) string {
	b := &strings.Builder{}
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	enc.Encode(v)
	return strings.TrimSpace(b.String())
}
