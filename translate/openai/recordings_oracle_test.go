// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// What a recorded answer means is read here a second time, with encoding/json and
// as plainly as the tables of specs/openai.md §10 and §11 say it; nothing of the
// converters is used, so that both cannot err alike.

// meant is what a recorded answer says.
type meant struct {
	content, thoughts string
	calls             []meantCall
	images            []string // data URLs
	audio             []byte   // samples
	segments          []meantSegment
	cited             []plainSource
	grounding         any // the last groundingMetadata
	signatures        []string
	native            string // the last finishReason
	blocked           bool
	usage             struct{ prompt, toolUse, cached, candidates, thoughts, total int64 }
	logprobs          []string // tokens
}

type meantCall struct {
	name string
	args any
}

// meantSegment is a stretch of the text with a source.
type meantSegment struct{ text, url string }

// plainPart is a part of an answer.
type plainPart struct {
	Text             *string
	Thought          bool
	ThoughtSignature string
	FunctionCall     *struct {
		Name string
		Args any
	}
	InlineData     *struct{ MimeType, Data string }
	ExecutableCode *struct{ Language, Code string }
	CodeResult     *struct{ Output string } `json:"codeExecutionResult"`
}

type plainSource struct {
	StartIndex, EndIndex int
	URI, Title           string
}

// plainAnswer is a GenerateContentResponse.
type plainAnswer struct {
	Candidates []struct {
		Content           struct{ Parts []plainPart }
		FinishReason      string
		GroundingMetadata json.RawMessage
		CitationMetadata  struct{ CitationSources, Citations []plainSource }
		LogprobsResult    struct{ ChosenCandidates []struct{ Token string } }
	}
	PromptFeedback struct{ BlockReason string }
	UsageMetadata  map[string]json.RawMessage
}

// read takes over one document.
func (m *meant) read(t *testing.T, doc []byte) {
	t.Helper()
	var a plainAnswer
	if err := json.Unmarshal(doc, &a); err != nil {
		t.Fatal(err)
	}
	m.blocked = m.blocked || a.PromptFeedback.BlockReason != ""
	for name, to := range map[string]*int64{
		"promptTokenCount": &m.usage.prompt, "toolUsePromptTokenCount": &m.usage.toolUse, "cachedContentTokenCount": &m.usage.cached,
		"candidatesTokenCount": &m.usage.candidates, "thoughtsTokenCount": &m.usage.thoughts, "totalTokenCount": &m.usage.total,
	} {
		if v, ok := a.UsageMetadata[name]; ok {
			if err := json.Unmarshal(v, to); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(a.Candidates) == 0 {
		return
	}
	c := &a.Candidates[0]
	for _, p := range c.Content.Parts {
		m.part(t, p)
	}
	if c.FinishReason != "" {
		m.native = c.FinishReason
	}
	if len(c.GroundingMetadata) > 0 {
		if err := json.Unmarshal(c.GroundingMetadata, &m.grounding); err != nil {
			t.Fatal(err)
		}
		m.ground(t, c.GroundingMetadata)
	}
	m.cited = append(m.cited, c.CitationMetadata.CitationSources...)
	m.cited = append(m.cited, c.CitationMetadata.Citations...)
	for _, l := range c.LogprobsResult.ChosenCandidates {
		m.logprobs = append(m.logprobs, l.Token)
	}
}

func (m *meant) part(t *testing.T, p plainPart) {
	t.Helper()
	if p.ThoughtSignature != "" && (p.FunctionCall != nil || p.Text != nil && !p.Thought) {
		m.signatures = append(m.signatures, p.ThoughtSignature)
	}
	switch {
	case p.FunctionCall != nil:
		args := p.FunctionCall.Args
		if args == nil {
			args = map[string]any{}
		}
		m.calls = append(m.calls, meantCall{p.FunctionCall.Name, args})
	case p.Thought:
		if p.Text != nil {
			m.thoughts += *p.Text
		}
	case p.InlineData != nil && strings.HasPrefix(p.InlineData.MimeType, "image/"):
		m.images = append(m.images, "data:"+p.InlineData.MimeType+";base64,"+p.InlineData.Data)
	case p.InlineData != nil && strings.HasPrefix(p.InlineData.MimeType, "audio/"):
		data, err := base64.StdEncoding.DecodeString(p.InlineData.Data)
		if err != nil {
			t.Fatal(err)
		}
		m.audio = append(m.audio, data...)
	case p.ExecutableCode != nil:
		m.content += "\n```" + strings.ToLower(p.ExecutableCode.Language) + "\n" + p.ExecutableCode.Code + "\n```\n"
	case p.CodeResult != nil:
		m.content += "\n```\n" + p.CodeResult.Output + "\n```\n"
	case p.Text != nil:
		m.content += *p.Text
	}
}

// ground notes each source of each supported segment.
func (m *meant) ground(t *testing.T, doc []byte) {
	t.Helper()
	type page struct{ URI string }
	var g struct {
		GroundingChunks   []map[string]page
		GroundingSupports []struct {
			Segment               struct{ Text string }
			GroundingChunkIndices []int
		}
	}
	if err := json.Unmarshal(doc, &g); err != nil {
		t.Fatal(err)
	}
	for _, s := range g.GroundingSupports {
		for _, i := range s.GroundingChunkIndices {
			for _, p := range g.GroundingChunks[i] {
				if p.URI != "" {
					m.segments = append(m.segments, meantSegment{s.Segment.Text, p.URI})
				}
			}
		}
	}
}

// finishes is the table of §10.3 for the reasons that were recorded.
var finishes = map[string]string{
	"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter", "RECITATION": "content_filter",
	"PROHIBITED_CONTENT": "content_filter", "SPII": "content_filter", "BLOCKLIST": "content_filter",
}

// check compares with what a client got.
func (m *meant) check(t *testing.T, c *wireCompletion, streamed bool) {
	t.Helper()
	if len(c.Choices) != 1 {
		t.Fatalf("%d choices", len(c.Choices))
	}
	choice := &c.Choices[0]
	got := choice.Message
	if text(got.Content) != m.content {
		t.Errorf("content %q, want %q", text(got.Content), m.content)
	}
	if text(got.Reasoning) != m.thoughts {
		t.Errorf("reasoning %q, want %q", text(got.Reasoning), m.thoughts)
	}
	m.checkCalls(t, got)
	var images []string
	for i, image := range got.Images {
		images = append(images, image.ImageURL.URL)
		if image.Index != i {
			t.Errorf("image %d has index %d", i, image.Index)
		}
	}
	if !slices.Equal(images, m.images) {
		t.Errorf("%d images, want %d", len(images), len(m.images))
	}
	if len(m.audio) > 0 {
		data := got.Audio.Data
		if !streamed { // a WAV file, of which the header is checked elsewhere
			data = data[waveHeader:]
		}
		if !bytes.Equal(data, m.audio) {
			t.Errorf("%d bytes of audio, want %d", len(data), len(m.audio))
		}
	} else if got.Audio != nil {
		t.Error("audio from nowhere")
	}
	for _, s := range m.signatures {
		if last := s == m.signatures[len(m.signatures)-1]; !strings.Contains(show(got), s) && (last || len(m.calls) > 0) {
			t.Errorf("signature %.20s… is lost", s)
		}
	}
	m.checkEnd(t, choice, c.Usage)
	m.checkSources(t, choice)
}

func (m *meant) checkCalls(t *testing.T, got *wireMessage) {
	t.Helper()
	var calls []meantCall
	for _, c := range got.ToolCalls {
		var args any
		if err := json.Unmarshal([]byte(*c.Function.Arguments), &args); err != nil {
			t.Fatal(err)
		}
		calls = append(calls, meantCall{c.Function.Name, args})
	}
	if !reflect.DeepEqual(calls, m.calls) {
		t.Errorf("calls %v, want %v", calls, m.calls)
	}
}

// checkEnd compares finish reasons and usage.
func (m *meant) checkEnd(t *testing.T, choice *wireChoice, u *wireUsage) {
	t.Helper()
	want, known := finishes[m.native]
	switch {
	case m.blocked && m.native == "":
		want = "content_filter"
	case !known:
		want = "stop"
	}
	if want == "stop" && len(m.calls) > 0 {
		want = "tool_calls"
	}
	if *choice.FinishReason != want || text(choice.NativeFinishReason) != m.native {
		t.Errorf("finish_reason %s (%s), want %s (%s)", *choice.FinishReason, text(choice.NativeFinishReason), want, m.native)
	}
	if m.blocked != (choice.Message.Refusal != nil) {
		t.Errorf("refusal %q", text(choice.Message.Refusal))
	}
	n := m.usage
	output := n.candidates + n.thoughts
	if n.total > 0 && n.prompt+n.toolUse+n.candidates == n.total {
		output = n.candidates
	}
	if u.PromptTokens != n.prompt+n.toolUse || u.CompletionTokens != output || u.TotalTokens != u.PromptTokens+u.CompletionTokens ||
		u.PromptDetails.Cached != n.cached || u.CompletionDetails.Reasoning != n.thoughts {
		t.Errorf("usage %s, want %+v", show(u), n)
	}
}

// checkSources wants an annotation for each stretch of text with a source, which
// is that stretch, and Google's own object.
func (m *meant) checkSources(t *testing.T, choice *wireChoice) {
	t.Helper()
	content := []rune(text(choice.Message.Content))
	got := map[meantSegment]bool{}
	for _, a := range choice.Message.Annotations {
		u := a.URLCitation
		if u.StartIndex < 0 || u.StartIndex > u.EndIndex || u.EndIndex > len(content) {
			t.Fatalf("%+v of %d characters", u, len(content))
		}
		got[meantSegment{string(content[u.StartIndex:u.EndIndex]), u.URL}] = true
		got[meantSegment{"", u.URL}] = true
	}
	segments := slices.Clone(m.segments)
	for _, s := range m.cited { // some point past the text, which was replaced before it was published
		if s.URI != "" && s.EndIndex <= len(m.content) {
			segments = append(segments, meantSegment{m.content[s.StartIndex:s.EndIndex], s.URI}) // "" where no place is told
		}
	}
	for _, s := range segments {
		if strings.Contains(string(content), s.text) && !got[s] {
			t.Errorf("no annotation %+v", s)
		}
	}
	if len(segments) == 0 && len(got) > 0 {
		t.Errorf("annotations from nowhere: %v", got)
	}
	var grounding any
	if e := choice.ExtraContent; e != nil {
		if err := json.Unmarshal(e.Google.GroundingMetadata, &grounding); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(grounding, m.grounding) {
		t.Errorf("grounding_metadata %v, want %v", grounding, m.grounding)
	}
}
