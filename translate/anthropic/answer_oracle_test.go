// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// What a recorded answer means is read here a second time, with encoding/json and as
// plainly as the tables of specs/native-anthropic.md C.6 say it; nothing of the
// converters is used, so that both cannot err alike.

// meant is what a recorded answer says.
type meant struct {
	kind    string   // as cases.json has it
	reasons []string // likewise

	text, thoughts string
	code           []string // that Google ran, and what came of it
	media          int
	calls          []meantCall
	tools          int // parts of Google's own tools
	toolSize       int // bytes of them, signatures included
	segments       []meantSegment
	queries        []string
	sites          map[string]bool
	native         string // the last finishReason
	blocked        bool
	usage          struct{ prompt, toolUse, cached, candidates, thoughts, total int64 }
}

type meantCall struct {
	name, signature string
	args            any
}

// meantSegment is a stretch of the text with a source.
type meantSegment struct{ text, url string }

type plainPart struct {
	Text             *string
	Thought          bool
	ThoughtSignature string
	FunctionCall     *struct {
		Name string
		Args any
	}
	InlineData     *struct{ MimeType string }
	ExecutableCode *struct{ Language, Code string }
	CodeResult     *struct{ Output string } `json:"codeExecutionResult"`
	ToolCall       json.RawMessage
	ToolResponse   json.RawMessage
}

// read takes over one document.
func (m *meant) read(t *testing.T, doc []byte) {
	t.Helper()
	var a struct {
		Candidates []struct {
			Content           struct{ Parts []plainPart }
			FinishReason      string
			GroundingMetadata struct {
				WebSearchQueries  []string
				GroundingChunks   []map[string]struct{ URI string }
				GroundingSupports []struct {
					Segment               struct{ Text string }
					GroundingChunkIndices []int
				}
			}
		}
		PromptFeedback struct{ BlockReason string }
		UsageMetadata  map[string]json.RawMessage
	}
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
		m.part(p)
	}
	if c.FinishReason != "" {
		m.native = c.FinishReason
	}
	g := c.GroundingMetadata
	m.queries = append(m.queries, g.WebSearchQueries...)
	for _, s := range g.GroundingSupports {
		for _, i := range s.GroundingChunkIndices {
			for _, p := range g.GroundingChunks[i] {
				if p.URI != "" && s.Segment.Text != "" {
					m.segments = append(m.segments, meantSegment{s.Segment.Text, p.URI})
				}
			}
		}
	}
	for _, chunk := range g.GroundingChunks {
		for _, p := range chunk {
			if p.URI != "" {
				if m.sites == nil {
					m.sites = map[string]bool{}
				}
				m.sites[p.URI] = true
			}
		}
	}
}

func (m *meant) part(p plainPart) {
	switch {
	case p.FunctionCall != nil:
		args := p.FunctionCall.Args
		if args == nil {
			args = map[string]any{}
		}
		m.calls = append(m.calls, meantCall{p.FunctionCall.Name, p.ThoughtSignature, args})
	case p.Thought:
		if p.Text != nil {
			m.thoughts += *p.Text
		}
	case p.InlineData != nil:
		m.media++
	case p.ExecutableCode != nil:
		m.code = append(m.code, p.ExecutableCode.Code)
	case p.CodeResult != nil:
		m.code = append(m.code, p.CodeResult.Output)
	case p.ToolCall != nil || p.ToolResponse != nil:
		m.tools++
		m.toolSize += len(p.ToolCall) + len(p.ToolResponse) + len(p.ThoughtSignature)
	case p.Text != nil:
		m.text += *p.Text
	}
}

// check compares with what a client got.
func (m *meant) check(t *testing.T, x *Messages, got *wireMessage) {
	t.Helper()
	p := x.plan
	text, thoughts := "", ""
	var code []string
	notes, tools := 0, 0
	signatures := map[string]string{}
	var calls []meantCall
	for _, b := range got.Content {
		switch b.Type {
		case "text":
			notes += strings.Count(*b.Text, "[Gemini answered with ")
			text += *b.Text
		case "thinking":
			thoughts += *b.Thinking
			tools += readSignature(t, *b.Signature, signatures)
		case "tool_use":
			var args any
			if err := json.Unmarshal(b.Input, &args); err != nil {
				t.Fatal(err)
			}
			calls = append(calls, meantCall{b.Name, b.ID, args})
		case "server_tool_use", "code_execution_tool_result":
			var v struct{ Code, Stdout, Stderr string }
			_ = json.Unmarshal(slices.Concat(b.Input, b.Content), &v)
			if b.Name == "code_execution" || b.Name == "" {
				code = append(code, v.Code+v.Stdout+v.Stderr)
			}
		}
	}
	m.checkText(t, p, text, code, notes)
	want := m.thoughts
	if !p.thoughts {
		want = ""
	}
	if thoughts != want {
		t.Errorf("thoughts %q, want %q", thoughts, want)
	}
	if p.thinking && tools != m.tools && m.toolSize < maxEnvelope-1000 { // larger ones are left out
		t.Errorf("%d parts of Google's tools, want %d", tools, m.tools)
	}
	m.checkCalls(t, x, calls, signatures)
	m.checkEnd(t, got)
	if p.search != nil {
		m.checkSources(t, got)
	}
}

// readSignature reads an envelope, and counts the parts of Google's tools in it.
func readSignature(t *testing.T, signature string, to map[string]string) int {
	t.Helper()
	sealed, ok := strings.CutPrefix(signature, "gw1.")
	doc, err := base64.RawURLEncoding.DecodeString(sealed)
	if !ok || err != nil {
		t.Fatalf("signature %s", signature)
	}
	var e struct {
		C []struct{ I, S string }
		P []plainPart
	}
	if err := json.Unmarshal(doc, &e); err != nil {
		t.Fatal(err)
	}
	for _, c := range e.C {
		to[c.I] = c.S
	}
	n := 0
	for _, p := range e.P {
		if p.ToolCall != nil || p.ToolResponse != nil {
			n++
		}
	}
	return n
}

// checkText compares what is visible. Code and media stand between the text, where no
// block says what they are.
func (m *meant) checkText(t *testing.T, p *plan, text string, code []string, notes int) {
	t.Helper()
	if notes != m.media {
		t.Errorf("%d notes of media, want %d", notes, m.media)
	}
	if m.media == 0 && (len(m.code) == 0 || p.code != nil) && text != m.text {
		t.Errorf("text %q, want %q", text, m.text)
	}
	if p.code == nil {
		for _, c := range m.code {
			if !strings.Contains(text, c) {
				t.Errorf("code %q is lost", c)
			}
		}
	} else if !slices.Equal(code, m.code) {
		t.Errorf("code %q, want %q", code, m.code)
	}
}

// checkCalls compares calls, and wants the signature of each where it comes back from:
// in the envelope of a thinking block, and in the memo.
func (m *meant) checkCalls(t *testing.T, x *Messages, calls []meantCall, signatures map[string]string) {
	t.Helper()
	if len(calls) != len(m.calls) {
		t.Fatalf("%d calls, want %d", len(calls), len(m.calls))
	}
	remembered := slices.Collect(maps.Values(x.env.Memo.(memo)))
	for i, got := range calls {
		want := m.calls[i]
		if got.name != want.name || !reflect.DeepEqual(got.args, want.args) {
			t.Errorf("call %v, want %v", got, want)
		}
		if want.signature == "" {
			continue
		}
		if id := got.signature; x.plan.thinking && signatures[id] != want.signature {
			t.Errorf("signature %.20s… of %s is lost", want.signature, id)
		}
		if !slices.Contains(remembered, want.signature) {
			t.Errorf("signature %.20s… is not remembered", want.signature)
		}
	}
}

// reasonsOf is the table of C.6 for the reasons that were recorded.
var reasonsOf = map[string]string{
	"MAX_TOKENS": "max_tokens", "SAFETY": "refusal", "RECITATION": "refusal",
	"PROHIBITED_CONTENT": "refusal", "SPII": "refusal", "BLOCKLIST": "refusal",
}

func (m *meant) checkEnd(t *testing.T, got *wireMessage) {
	t.Helper()
	want, known := reasonsOf[m.native]
	switch {
	case known:
	case m.blocked && m.native == "":
		want = "refusal"
	case len(m.calls) > 0:
		want = "tool_use"
	default:
		want = "end_turn"
	}
	if *got.StopReason != want || len(m.reasons) > 0 && !slices.Contains(m.reasons, want) {
		t.Errorf("stop_reason %s, want %s (%s), one of %s", *got.StopReason, want, m.native, m.reasons)
	}
	n, u := m.usage, got.Usage
	output := n.candidates + n.thoughts
	if n.total > 0 && n.thoughts > 0 && n.prompt+n.toolUse+n.candidates == n.total {
		output = n.candidates
	}
	if u.Input != max(0, n.prompt+n.toolUse-n.cached) || u.CacheRead != n.cached || u.CacheCreation != 0 || u.Output != output || u.Details.Thinking != n.thoughts {
		t.Errorf("usage %s, want %+v", show(u), n)
	}
}

// checkSources wants a citation for each stretch of text with a source, and each
// search and page.
func (m *meant) checkSources(t *testing.T, got *wireMessage) {
	t.Helper()
	cited := map[string]string{} // the text that cites a page
	var queries []string
	sites := map[string]bool{}
	for _, b := range got.Content {
		for _, c := range b.Citations {
			cited[c.URL] += *b.Text
		}
		if b.Type == "server_tool_use" && b.Name == "web_search" {
			var v struct{ Query string }
			if err := json.Unmarshal(b.Input, &v); err != nil {
				t.Fatal(err)
			}
			queries = append(queries, v.Query)
		}
		if b.Type == "web_search_tool_result" {
			var list []struct{ URL string }
			if err := json.Unmarshal(b.Content, &list); err != nil {
				t.Fatal(err)
			}
			for _, r := range list {
				sites[r.URL] = true
			}
		}
	}
	for _, s := range m.segments {
		if strings.Contains(m.text, s.text) && !strings.Contains(cited[s.url], s.text) {
			t.Errorf("%q does not cite %s", s.text, s.url)
		}
	}
	for _, q := range m.queries {
		if q != "" && !slices.Contains(queries, q) {
			t.Errorf("no search for %q in %q", q, queries)
		}
	}
	if !maps.Equal(sites, m.sites) {
		t.Errorf("pages %v, want %v", sites, m.sites)
	}
	if len(m.segments) == 0 && len(cited) > 0 {
		t.Errorf("citations from nowhere: %v", cited)
	}
}
