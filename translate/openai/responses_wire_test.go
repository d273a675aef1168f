// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/sse"
)

// The wire types of the Responses API, as strictly as its typed SDKs read them.

type wireResponse struct {
	ID                 string            `json:"id"`
	Object             string            `json:"object"`
	CreatedAt          int64             `json:"created_at"`
	CompletedAt        *int64            `json:"completed_at"`
	Status             string            `json:"status"`
	Error              *wireFault        `json:"error"`
	IncompleteDetails  *wireReason       `json:"incomplete_details"`
	Instructions       *string           `json:"instructions"`
	MaxOutputTokens    *int64            `json:"max_output_tokens"`
	MaxToolCalls       *int64            `json:"max_tool_calls"`
	Model              string            `json:"model"`
	Output             []wireItem        `json:"output"`
	ParallelToolCalls  bool              `json:"parallel_tool_calls"`
	PreviousResponseID *string           `json:"previous_response_id"`
	Reasoning          wireEffort        `json:"reasoning"`
	Store              bool              `json:"store"`
	Temperature        float64           `json:"temperature"`
	Text               wireTextConfig    `json:"text"`
	ToolChoice         json.RawMessage   `json:"tool_choice"`
	Tools              []json.RawMessage `json:"tools"`
	TopLogprobs        int               `json:"top_logprobs"`
	TopP               float64           `json:"top_p"`
	Truncation         string            `json:"truncation"`
	Background         bool              `json:"background"`
	ServiceTier        string            `json:"service_tier,omitempty"`
	PromptCacheKey     string            `json:"prompt_cache_key,omitempty"`
	SafetyIdentifier   string            `json:"safety_identifier,omitempty"`
	User               *string           `json:"user"`
	Metadata           map[string]string `json:"metadata"`
	Usage              *wireTokens       `json:"usage"`
}

type wireFault struct{ Code, Message string }

type wireReason struct{ Reason string }

type wireEffort struct {
	Effort  *string `json:"effort"`
	Summary *string `json:"summary"`
}

type wireTextConfig struct {
	Format    json.RawMessage `json:"format"`
	Verbosity string          `json:"verbosity"`
}

type wireTokens struct {
	InputTokens  int64 `json:"input_tokens"`
	InputDetails struct {
		Cached     int64 `json:"cached_tokens"`
		CacheWrite int64 `json:"cache_write_tokens"`
	} `json:"input_tokens_details"`
	OutputTokens  int64 `json:"output_tokens"`
	OutputDetails struct {
		Reasoning int64 `json:"reasoning_tokens"`
	} `json:"output_tokens_details"`
	TotalTokens int64 `json:"total_tokens"`
}

// wireItem is any item of the output.
type wireItem struct {
	Type      string          `json:"type"`
	ID        string          `json:"id"`
	Status    string          `json:"status,omitempty"`
	Role      string          `json:"role,omitempty"`
	Content   []wirePart      `json:"content,omitempty"`
	Summary   []wireSummary   `json:"summary,omitempty"`
	Encrypted string          `json:"encrypted_content,omitempty"`
	CallID    string          `json:"call_id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Namespace string          `json:"namespace,omitempty"`
	Arguments *string         `json:"arguments,omitempty"`
	Input     *string         `json:"input,omitempty"`
	Result    *string         `json:"result,omitempty"`
	Code      *string         `json:"code,omitempty"`
	Container string          `json:"container_id,omitempty"`
	Outputs   []wireLogs      `json:"outputs,omitempty"`
	Action    *wireAction     `json:"action,omitempty"`
	Extra     json.RawMessage `json:"-"`
}

type wireSummary struct{ Type, Text string }

type wireLogs struct{ Type, Logs string }

type wireAction struct {
	Type, Query string
	Queries     []string
}

type wirePart struct {
	Type        string          `json:"type"`
	Text        *string         `json:"text,omitempty"`
	Refusal     *string         `json:"refusal,omitempty"`
	Annotations []wireCitation  `json:"annotations,omitempty"`
	Logprobs    []wireFlatToken `json:"logprobs,omitempty"`
}

type wireCitation struct {
	Type       string `json:"type"`
	StartIndex int    `json:"start_index"`
	EndIndex   int    `json:"end_index"`
	URL        string `json:"url"`
	Title      string `json:"title"`
}

type wireFlatToken struct {
	Token   string          `json:"token"`
	Logprob float64         `json:"logprob"`
	Bytes   []int           `json:"bytes,omitempty"`
	Top     []wireFlatToken `json:"top_logprobs,omitempty"`
}

// wireEvent is any event of a stream.
type wireEvent struct {
	Type            string           `json:"type"`
	SequenceNumber  *int             `json:"sequence_number"`
	Response        *wireResponse    `json:"response"`
	OutputIndex     *int             `json:"output_index"`
	Item            *wireItem        `json:"item"`
	ItemID          string           `json:"item_id"`
	ContentIndex    *int             `json:"content_index"`
	SummaryIndex    *int             `json:"summary_index"`
	AnnotationIndex *int             `json:"annotation_index"`
	Part            *wirePart        `json:"part"`
	Delta           *string          `json:"delta"`
	Text            *string          `json:"text"`
	Refusal         *string          `json:"refusal"`
	Name            *string          `json:"name"`
	Arguments       *string          `json:"arguments"`
	Input           *string          `json:"input"`
	Code            *string          `json:"code"`
	Logprobs        *[]wireFlatToken `json:"logprobs"`
	Annotation      *wireCitation    `json:"annotation"`
}

// itemSteps is the order of the events of an item after output_item.added and
// before output_item.done, by type of the item; * may repeat.
var itemSteps = map[string]string{
	"reasoning":             `^(reasoning_summary_part\.added (reasoning_summary_text\.delta )+reasoning_summary_text\.done reasoning_summary_part\.done )?$`,
	"message":               `^content_part\.added ((output_text\.delta )*(output_text\.annotation\.added )*output_text\.done |refusal\.delta refusal\.done )content_part\.done $`,
	"function_call":         `^function_call_arguments\.delta function_call_arguments\.done $`,
	"custom_tool_call":      `^custom_tool_call_input\.delta custom_tool_call_input\.done $`,
	"image_generation_call": `^image_generation_call\.in_progress image_generation_call\.generating image_generation_call\.completed $`,
	"web_search_call":       `^web_search_call\.in_progress web_search_call\.searching web_search_call\.completed $`,
	"code_interpreter_call": `^code_interpreter_call\.in_progress code_interpreter_call_code\.delta code_interpreter_call_code\.done code_interpreter_call\.interpreting code_interpreter_call\.completed $`,
}

// responsesStream checks the protocol of a stream, event by event.
type responsesStream struct {
	t       testing.TB
	n       int
	started *wireResponse
	last    *wireResponse
	done    []wireItem
	open    *wireItem
	steps   strings.Builder
	deltas  strings.Builder
	sources []wireCitation
	tokens  []wireFlatToken
}

// collectResponses reads a whole stream and returns the final response.
func collectResponses(t testing.TB, stream []byte) *wireResponse {
	t.Helper()
	s := &responsesStream{t: t}
	for block := range strings.SplitSeq(strings.TrimSuffix(string(stream), "\n\n"), "\n\n") {
		name, data, ok := strings.Cut(block, "\ndata: ")
		if name, ok2 := strings.CutPrefix(name, "event: "); !ok || !ok2 {
			t.Fatalf("not an event: %q", block)
		} else {
			s.event(name, []byte(data))
		}
	}
	if s.last == nil {
		t.Fatalf("no last event in %s", stream)
	}
	if s.last.Status != "failed" && s.open != nil {
		t.Fatalf("item %s stays open", s.open.ID)
	}
	if a, b := show(s.last.Output), show(s.done); a != b && len(s.done)+len(s.last.Output) > 0 {
		t.Fatalf("output is not the items that were done:\n%s\n%s", a, b)
	}
	return s.last
}

func (s *responsesStream) event(name string, data []byte) {
	s.t.Helper()
	var e wireEvent
	strict(s.t, data, &e)
	if s.last != nil || e.Type != name || e.SequenceNumber == nil || *e.SequenceNumber != s.n {
		s.t.Fatalf("event %d: %s %s", s.n, name, data)
	}
	s.n++
	step := strings.TrimPrefix(name, "response.")
	switch {
	case s.n == 1 && step == "created", s.n == 2 && step == "in_progress":
		if s.started = e.Response; e.Response.Status != "in_progress" || e.Response.Usage != nil || len(e.Response.Output) > 0 {
			s.t.Fatalf("%s", data)
		}
	case s.started == nil:
		s.t.Fatalf("first: %s", data)
	case e.Response != nil:
		s.last = e.Response
		if e.Response.Status != step || e.Response.ID != s.started.ID {
			s.t.Fatalf("%s", data)
		}
	case step == "output_item.added":
		if s.open != nil || *e.OutputIndex != len(s.done) || e.Item.Status == "completed" {
			s.t.Fatalf("items overlap: %s", data)
		}
		s.open = e.Item
		s.steps.Reset()
		s.deltas.Reset()
		s.sources, s.tokens = nil, nil
	case s.open == nil || *e.OutputIndex != len(s.done):
		s.t.Fatalf("outside of its item: %s", data)
	case step == "output_item.done":
		s.itemDone(e.Item, data)
	default:
		s.step(step, &e, data)
	}
}

func (s *responsesStream) step(step string, e *wireEvent, data []byte) {
	s.t.Helper()
	if e.ItemID != s.open.ID {
		s.t.Fatalf("another item: %s", data)
	}
	s.steps.WriteString(step + " ")
	if inPart := s.open.Type == "message"; inPart != (e.ContentIndex != nil) || s.open.Type == "reasoning" != (e.SummaryIndex != nil) {
		s.t.Fatalf("index: %s", data)
	}
	if e.Delta != nil {
		s.deltas.WriteString(*e.Delta)
		if s.open.Type == "message" && strings.HasPrefix(step, "output_text") {
			s.tokens = append(s.tokens, *e.Logprobs...)
		}
	}
	for _, whole := range []*string{e.Text, e.Refusal, e.Arguments, e.Input, e.Code} {
		if whole != nil && *whole != s.deltas.String() {
			s.t.Fatalf("%q was sent: %s", s.deltas.String(), data)
		}
	}
	if e.Annotation != nil {
		if *e.AnnotationIndex != len(s.sources) {
			s.t.Fatalf("annotation: %s", data)
		}
		s.sources = append(s.sources, *e.Annotation)
	}
}

func (s *responsesStream) itemDone(item *wireItem, data []byte) {
	s.t.Helper()
	if item.ID != s.open.ID || item.Type != s.open.Type || item.CallID != s.open.CallID || item.Name != s.open.Name {
		s.t.Fatalf("another item: %s", data)
	}
	if !regexp.MustCompile(itemSteps[item.Type]).MatchString(s.steps.String()) {
		s.t.Fatalf("events of %s: %s", item.Type, s.steps.String())
	}
	whole := ""
	for _, p := range item.Content {
		whole += text(p.Text) + text(p.Refusal)
		if a, b := show(p.Annotations), show(s.sources); a != b && len(p.Annotations)+len(s.sources) > 0 {
			s.t.Fatalf("annotations %s, sent %s", a, b)
		}
		if len(p.Logprobs) < len(s.tokens) {
			s.t.Fatalf("%d logprobs, sent %d", len(p.Logprobs), len(s.tokens))
		}
	}
	for _, p := range item.Summary {
		whole += p.Text
	}
	if whole += text(item.Arguments) + text(item.Input) + text(item.Code); whole != s.deltas.String() {
		s.t.Fatalf("%q was sent: %s", s.deltas.String(), data)
	}
	s.done = append(s.done, *item)
	s.open = nil
}

// responses returns an exchange for a request with these members besides model
// and input.
func responses(t testing.TB, o Options, members string) *Responses {
	t.Helper()
	if members != "" {
		members = "," + members
	}
	x, f := NewResponses(answerEnv(), o, []byte(`{"model":"gemini-3-flash-preview","input":"Hi"`+members+`}`))
	if f != nil {
		t.Fatal(f)
	}
	return x
}

// playResponses sends a body through the reader and the exchange.
func playResponses(x *Responses, body io.Reader) ([]byte, error) {
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
		for i := range data { // the bytes of a frame are void when the next one comes
			data[i] = '#'
		}
	}
}

// wholeResponse converts an answer in one piece.
func wholeResponse(t testing.TB, x *Responses, body []byte) (*wireResponse, error) {
	t.Helper()
	x.env = answerEnv()
	x.Begin()
	out, err := x.Response(nil, body)
	if err != nil {
		if len(out) > 0 {
			t.Fatalf("%v, but %s", err, out)
		}
		return nil, err
	}
	var r wireResponse
	strict(t, out, &r)
	return &r, nil
}

var anyID = regexp.MustCompile(`(resp|msg|rs|fc|ctc|ig|ws|ci|call)_0+\d+`)

// anonymous is a response without its random ids.
func anonymous(r *wireResponse) string { return anyID.ReplaceAllString(show(r), "$1") }

// bothResponses converts an answer whole and as a stream of the same documents,
// and checks that a client sees the same.
func bothResponses(t testing.TB, o Options, members string, docs ...string) (*wireResponse, error) {
	t.Helper()
	if members != "" {
		members += ","
	}
	var stream bytes.Buffer
	for _, doc := range docs {
		fmt.Fprintf(&stream, "data: %s\n\n", doc)
	}
	x := responses(t, o, members+`"stream":true`)
	out, err := playResponses(x, &stream)
	var s *wireResponse
	if err == nil {
		s = collectResponses(t, out)
	}
	if len(docs) != 1 {
		return s, err
	}
	r, err2 := wholeResponse(t, responses(t, o, members+`"stream":false`), []byte(docs[0]))
	if fmt.Sprint(err) != fmt.Sprint(err2) {
		t.Fatalf("whole %v, streamed %v", err2, err)
	}
	if err == nil {
		if a, b := anonymous(r), anonymous(s); a != b {
			t.Fatalf("whole  %s\nstream %s", a, b)
		}
	}
	return s, err
}
