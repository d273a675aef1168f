// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/sse"
)

// The wire types of Anthropic's answers, as strictly as its typed SDKs read them.

type wireMessage struct {
	ID           string       `json:"id"`
	Type         string       `json:"type"`
	Role         string       `json:"role"`
	Model        string       `json:"model"`
	Content      []wireBlock  `json:"content"`
	StopReason   *string      `json:"stop_reason"`
	StopSequence *string      `json:"stop_sequence"`
	StopDetails  *wireDetails `json:"stop_details"`
	Container    any          `json:"container"`
	Usage        *wireUsage   `json:"usage"`
}

type wireDetails struct {
	Type        string  `json:"type"`
	Category    *string `json:"category"`
	Explanation string  `json:"explanation"`
}

type wireBlock struct {
	Type      string          `json:"type"`
	Text      *string         `json:"text,omitempty"`
	Citations []wireCitation  `json:"citations,omitempty"`
	Thinking  *string         `json:"thinking,omitempty"`
	Signature *string         `json:"signature,omitempty"`
	ID        string          `json:"id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Input     json.RawMessage `json:"input,omitempty"`
	ToolUseID string          `json:"tool_use_id,omitempty"`
	Content   json.RawMessage `json:"content,omitempty"`
}

type wireCitation struct {
	Type           string `json:"type"`
	URL            string `json:"url"`
	Title          string `json:"title"`
	CitedText      string `json:"cited_text"`
	EncryptedIndex string `json:"encrypted_index"`
}

type wireUsage struct {
	Input         int64           `json:"input_tokens"`
	CacheCreation int64           `json:"cache_creation_input_tokens"`
	CacheRead     int64           `json:"cache_read_input_tokens"`
	Output        int64           `json:"output_tokens"`
	Creation      json.RawMessage `json:"cache_creation,omitempty"`
	Details       *struct {
		Thinking int64 `json:"thinking_tokens"`
	} `json:"output_tokens_details,omitempty"`
	ServiceTier string `json:"service_tier,omitempty"`
	ServerTools *struct {
		Searches int64 `json:"web_search_requests"`
		Fetches  int64 `json:"web_fetch_requests"`
	} `json:"server_tool_use"`
}

type wireEvent struct {
	Type    string       `json:"type"`
	Message *wireMessage `json:"message"`
	Index   *int         `json:"index"`
	Block   *wireBlock   `json:"content_block"`
	Delta   *wireDelta   `json:"delta"`
	Usage   *wireUsage   `json:"usage"`
}

type wireDelta struct {
	Type         string        `json:"type"`
	Text         *string       `json:"text"`
	Thinking     *string       `json:"thinking"`
	Signature    *string       `json:"signature"`
	PartialJSON  *string       `json:"partial_json"`
	Citation     *wireCitation `json:"citation"`
	StopReason   *string       `json:"stop_reason"`
	StopSequence *string       `json:"stop_sequence"`
	StopDetails  *wireDetails  `json:"stop_details"`
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
}

// collector puts a message together from its events, as SDKs do, and insists on all
// that one of them insists on.
type collector struct {
	t       testing.TB
	message *wireMessage
	open    *wireBlock
	input   string
	signed  bool // the open block got its signature
	ended   bool // message_delta came
	stopped bool // message_stop came
	names   []string
}

func collect(t testing.TB, stream []byte) (*wireMessage, []string) {
	t.Helper()
	c := &collector{t: t}
	for event := range strings.SplitSeq(strings.TrimSuffix(string(stream), "\n\n"), "\n\n") {
		name, rest, ok := strings.Cut(event, "\ndata: ")
		name, named := strings.CutPrefix(name, "event: ")
		if !ok || !named || strings.ContainsAny(rest, "\r\n") {
			t.Fatalf("event %q", event)
		}
		var e wireEvent
		strict(t, []byte(rest), &e)
		if e.Type != name {
			t.Fatalf("event %s is named %s", rest, name)
		}
		if c.stopped {
			t.Fatalf("%s after message_stop", rest)
		}
		c.names = append(c.names, name)
		c.event(&e, rest)
	}
	if !c.stopped {
		t.Fatalf("no message_stop in %s", stream)
	}
	return c.message, c.names
}

func (c *collector) event(e *wireEvent, doc string) {
	c.t.Helper()
	if (c.message == nil) != (e.Type == "message_start") && e.Type != "ping" {
		c.t.Fatalf("message_start is not first, or twice: %s", doc)
	}
	if c.ended && e.Type != "message_stop" {
		c.t.Fatalf("%s after message_delta", doc)
	}
	switch e.Type {
	case "ping":
	case "message_start":
		c.message = e.Message
		if e.Message.StopReason != nil || e.Message.Usage == nil || e.Message.Content == nil || len(e.Message.Content) > 0 {
			c.t.Fatalf("%s", doc)
		}
	case "content_block_start":
		if c.open != nil || *e.Index != len(c.message.Content) {
			c.t.Fatalf("out of order: %s", doc)
		}
		c.message.Content = append(c.message.Content, *e.Block)
		c.open = &c.message.Content[len(c.message.Content)-1]
		c.input, c.signed = "", false
	case "content_block_delta":
		if c.open == nil || *e.Index != len(c.message.Content)-1 {
			c.t.Fatalf("out of order: %s", doc)
		}
		c.delta(e.Delta, doc)
	case "content_block_stop":
		if c.open == nil || *e.Index != len(c.message.Content)-1 {
			c.t.Fatalf("out of order: %s", doc)
		}
		c.stop(doc)
	case "message_delta":
		if c.ended = true; c.open != nil || e.Delta.StopReason == nil || e.Usage == nil || e.Usage.Details == nil {
			c.t.Fatalf("%s", doc)
		}
		c.message.StopReason, c.message.StopSequence, c.message.StopDetails = e.Delta.StopReason, e.Delta.StopSequence, e.Delta.StopDetails
		c.message.Usage = e.Usage
	case "message_stop":
		if c.stopped = true; !c.ended {
			c.t.Fatal("message_stop without message_delta")
		}
	default:
		c.t.Fatalf("unknown event %s", doc)
	}
}

func (c *collector) delta(d *wireDelta, doc string) {
	c.t.Helper()
	switch want := map[string]string{
		"text_delta": "text", "citations_delta": "text", "thinking_delta": "thinking", "signature_delta": "thinking",
	}[d.Type]; {
	case d.Type == "input_json_delta" && strings.HasSuffix(c.open.Type, "tool_use"):
		c.input += *d.PartialJSON
	case want != c.open.Type:
		c.t.Fatalf("%s in a block of %s", doc, c.open.Type)
	case c.signed:
		c.t.Fatalf("after the signature: %s", doc)
	case d.Type == "text_delta":
		*c.open.Text += *d.Text
	case d.Type == "citations_delta":
		c.open.Citations = append(c.open.Citations, *d.Citation)
	case d.Type == "thinking_delta":
		*c.open.Thinking += *d.Thinking
	case d.Type == "signature_delta":
		*c.open.Signature, c.signed = *d.Signature, true
	}
}

func (c *collector) stop(doc string) {
	c.t.Helper()
	switch {
	case c.open.Type == "thinking" && (!c.signed || *c.open.Signature == ""):
		c.t.Fatalf("a thinking block without signature: %s", doc)
	case c.open.Type == "text" && *c.open.Text == "":
		c.t.Fatalf("an empty text block: %s", doc)
	case strings.HasSuffix(c.open.Type, "tool_use"):
		c.open.Input = json.RawMessage(c.input)
		if !json.Valid(c.open.Input) || c.open.Input[0] != '{' {
			c.t.Fatalf("input %s", c.input)
		}
	}
	c.open = nil
}

// memo remembers signatures.
type memo map[string]string

func (m memo) Signature(id string) (string, bool) { s, ok := m[id]; return s, ok }
func (m memo) Remember(id, signature string)      { m[id] = signature }

func answerEnv() translate.Env {
	n := 0
	return translate.Env{
		Now:   time.Unix(1790000000, 0),
		Memo:  memo{},
		NewID: func(size int) string { n++; return fmt.Sprintf("%0*d", size, n) },
	}
}

// messages returns an exchange; each of change alters the plan.
func messages(change ...func(*plan)) *Messages {
	req := &request{}
	req.model, req.target, req.asked, req.family = "claude-x", m38, m38, familyOf(m38)
	req.features = (&Options{}).Capabilities.Family(m38)
	for _, c := range change {
		c(&req.plan)
	}
	return newMessages(answerEnv(), &Options{}, req, 0)
}

func streamed(p *plan) { p.stream = true }
func thinks(p *plan)   { p.thinking, p.thoughts = true, true }
func omits(p *plan)    { p.thinking, p.thoughts = true, false }
func oneCall(p *plan)  { p.oneCall = true }
func searches(p *plan) { p.search = &serverTool{typ: "web_search_20250305", name: "web_search"} }
func fetches(p *plan)  { p.fetch = &serverTool{typ: "web_fetch_20250910", name: "web_fetch"} }
func codes(p *plan)    { p.code = &serverTool{typ: "code_execution_20250522", name: "code_execution"} }
func jsonOnly(p *plan) { p.json = true }
func stopsAt(stops ...string) func(*plan) {
	return func(p *plan) { p.stops = stops }
}

// respond converts a whole answer.
func respond(t testing.TB, x *Messages, doc string) (*wireMessage, error) {
	t.Helper()
	x.Begin()
	out, err := x.Response(nil, []byte(doc))
	if err != nil {
		if len(out) > 0 {
			t.Fatalf("%v, but %s", err, out)
		}
		return nil, err
	}
	var m wireMessage
	strict(t, out, &m)
	if m.Usage == nil || m.StopReason == nil || m.Content == nil {
		t.Fatalf("members are missing in %s", out)
	}
	for _, member := range []string{`"stop_sequence":`, `"stop_details":`, `"container":null`, `"server_tool_use":`, `"cache_creation":{`} {
		if !bytes.Contains(out, []byte(member)) {
			t.Fatalf("%s lacks %s", out, member)
		}
	}
	return &m, nil
}

// streamDocs converts a stream of documents and returns all that was sent.
func streamDocs(x *Messages, docs ...string) (string, error) {
	x.Begin()
	var out []byte
	var err error
	for _, doc := range docs {
		data := []byte(doc) // the bytes of a frame are void when the next one comes
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

// play sends a body through the reader and the exchange, as the gateway does.
func play(x *Messages, body io.Reader) ([]byte, error) {
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

// both converts an answer in one piece and as a stream of one event, and checks that a
// client sees the same.
func both(t *testing.T, doc string, change ...func(*plan)) (*wireMessage, error) {
	t.Helper()
	m, err := respond(t, messages(change...), doc)
	out, errStream := streamDocs(messages(append(slices.Clone(change), streamed)...), doc)
	if fmt.Sprint(err) != fmt.Sprint(errStream) {
		t.Fatalf("unary %v, streamed %v", err, errStream)
	}
	if err != nil {
		return nil, err
	}
	s, _ := collect(t, []byte(out))
	if a, b := show(m.Content), show(s.Content); a != b {
		t.Fatalf("content differs:\nunary  %s\nstream %s", a, b)
	}
	if a, b := m.end(), s.end(); a != b {
		t.Fatalf("end differs:\nunary  %s\nstream %s", a, b)
	}
	return m, nil
}

// end is how a message ends.
func (m *wireMessage) end() string {
	u := *m.Usage
	u.Creation, u.ServiceTier = nil, ""
	return show([]any{m.ID, m.StopReason, m.StopSequence, m.StopDetails, u})
}

// text are all text blocks of a message together.
func (m *wireMessage) text() (s string) {
	for _, b := range m.Content {
		if b.Text != nil {
			s += *b.Text
		}
	}
	return s
}

// brief is the content in one line: the kind of each block and what it has.
func (m *wireMessage) brief(t testing.TB, o *Options) string {
	t.Helper()
	var all []string
	for _, b := range m.Content {
		switch b.Type {
		case "text":
			s := "text " + *b.Text
			for _, c := range b.Citations {
				s += " <" + c.URL + ">"
			}
			all = append(all, s)
		case "thinking":
			e, ok := openEnvelope(o, []byte(show(*b.Signature)))
			if !ok {
				t.Errorf("signature %s", *b.Signature)
			}
			s := "thinking " + *b.Thinking
			for _, c := range e.calls {
				s += " " + c.id + "=" + c.signature.Text()
			}
			for i := range e.parts {
				s += " +" + string(e.parts[i].Append(nil))
			}
			all = append(all, s)
		case "tool_use", "server_tool_use":
			all = append(all, b.Type+" "+b.Name+string(b.Input))
		default:
			all = append(all, b.Type+" "+string(b.Content))
		}
	}
	return strings.Join(all, " | ")
}

func show(v any) string {
	b := &strings.Builder{}
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
	return strings.TrimSpace(b.String())
}

func isFailure(err error, kind translate.Kind) bool {
	f, ok := errors.AsType[*translate.Failure](err)
	return ok && f.Kind == kind
}
