// SPDX-License-Identifier: Apache-2.0

// Package types decodes what the converters write into the official SDKs' types,
// strictly and without a gateway.
package types

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/packages/respjson"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/openai"
	"github.com/gemini-balance/caddy-gemini-balance/translate/sse"
)

const recordings = "../../../../shared/recordings"

func env() translate.Env {
	n := 0
	return translate.Env{Now: time.Unix(1790000000, 0), NewID: func(size int) string { n++; return fmt.Sprintf("%0*d", size, n) }}
}

const request = `{"model":"gemini-3-flash-preview","instructions":"I","input":"q","store":false,"reasoning":{"effort":"low","summary":"auto"},
	"tools":[{"type":"function","name":"weather","parameters":{"type":"object","properties":{}},"strict":true},{"type":"custom","name":"patch"}],"metadata":{"a":"b"},"user":"u"`

// newer are members that the SDK's types have or miss, but OpenAI's API has not
// or has: by the type and its member.
var newer = []string{
	"Response.access_programs",                    // required by the type, of OpenAI's own accounts
	"Response.store",                              // OpenAI's answers have it
	"ResponseFunctionCallArgumentsDoneEvent.name", // in the API's documentation, not in the type
	"ResponseCustomToolCall.status",               // in lists of items alone
	"ResponseCustomToolCallOutput.status",         // likewise
}

// check walks a decoded value: no member the type does not know, none that is
// required and missing, none of another JSON type.
func check(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	if variant := v.MethodByName("AsAny"); variant.IsValid() {
		v = variant.Call(nil)[0].Elem()
		if !v.IsValid() {
			t.Errorf("%s: no variant", path)
			return
		}
	}
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			check(t, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
	case reflect.Struct:
		if meta := v.FieldByName("JSON"); meta.IsValid() && !strings.Contains(v.Type().Name(), "Union") {
			checkStruct(t, v, meta, path)
		}
	}
}

func checkStruct(t *testing.T, v, meta reflect.Value, path string) {
	t.Helper()
	name := v.Type().Name()
	for _, extra := range meta.FieldByName("ExtraFields").MapKeys() {
		if !slices.Contains(newer, name+"."+extra.String()) {
			t.Errorf("%s: %s does not know %q", path, name, extra)
		}
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		field, ok := meta.FieldByName(f.Name).Interface, meta.FieldByName(f.Name).IsValid()
		if !ok {
			continue
		}
		state := field().(respjson.Field)
		member, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		required := f.Tag.Get("api") == "required" || f.Tag.Get("default") != ""
		switch {
		case state.Valid():
			check(t, v.Field(i), path+"."+member)
		case state.Raw() == "" && required && !slices.Contains(newer, name+"."+member):
			t.Errorf("%s: %s lacks %q", path, name, member)
		case state.Raw() != "" && state.Raw() != respjson.Null:
			t.Errorf("%s.%s: not for %s: %s", path, member, name, state.Raw())
		}
	}
}

func decode[T any](t *testing.T, doc []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(doc, &v); err != nil {
		t.Fatalf("%v in %s", err, doc)
	}
	check(t, reflect.ValueOf(v), "")
	return v
}

// events plays a stream and returns the documents of what the client gets.
func events(t *testing.T, body []byte) (docs [][]byte, err error) {
	t.Helper()
	x, f := openai.NewResponses(env(), openai.Options{}, []byte(request+`,"stream":true}`))
	if f != nil {
		t.Fatal(f)
	}
	out, err := play(x, body)
	if err != nil {
		out = x.Abort(out, &translate.Failure{Kind: translate.Upstream, Message: "It broke."})
	}
	return split(t, out), err
}

// play sends a body through the exchange.
func play(x *openai.Responses, body []byte) (out []byte, err error) {
	x.Begin()
	in := sse.NewReader(bytes.NewReader(body))
	defer in.Release()
	for err == nil {
		var raw, data []byte
		if raw, data, err = in.Next(); err == nil {
			out, err = x.Event(out, translate.Frame{Raw: raw, Data: data})
		}
	}
	if errors.Is(err, io.EOF) {
		out, err = x.End(out)
	}
	return out, err
}

// split returns the documents of a stream of events.
func split(t *testing.T, out []byte) (docs [][]byte) {
	t.Helper()
	for block := range strings.SplitSeq(strings.TrimSuffix(string(out), "\n\n"), "\n\n") {
		_, doc, ok := strings.Cut(block, "\ndata: ")
		if !ok {
			t.Fatalf("not an event: %q", block)
		}
		docs = append(docs, []byte(doc))
	}
	return docs
}

// streamed checks each event, and that the SDK puts them together to what the
// last one says.
func streamed(t *testing.T, body []byte) {
	t.Helper()
	docs, err := events(t, body)
	accumulate(t, docs, err)
}

func accumulate(t *testing.T, docs [][]byte, err error) {
	t.Helper()
	var sum responses.ResponseAccumulator
	for _, doc := range docs {
		e := decode[responses.ResponseStreamEventUnion](t, doc)
		if e.Type == "" {
			t.Errorf("no type: %s", doc)
		}
		var server responses.ResponsesServerEventUnion
		if err := json.Unmarshal(doc, &server); err != nil {
			t.Fatal(err)
		}
		if err := sum.AddEvent(server); err != nil {
			t.Fatalf("the accumulator refuses %s: %v", doc, err)
		}
	}
	last := decode[responses.ResponseStreamEventUnion](t, docs[len(docs)-1])
	if want := "response." + string(last.Response.Status); last.Type != want || (last.Type == "response.failed") != (err != nil) {
		t.Errorf("ends with %s, %v", last.Type, err)
	}
	if got := sum.Snapshot().OutputText(); err == nil && got != last.Response.OutputText() {
		t.Errorf("accumulated %q, last event %q", got, last.Response.OutputText())
	}
}

func TestResponsesRecordings(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(recordings, "*", "*.*"))
	if len(files) == 0 {
		t.Skip("no recordings beside the project")
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			if filepath.Ext(file) == ".sse" {
				streamed(t, body)
				return
			}
			streamed(t, sse.Append(nil, "", body))
			x, f := openai.NewResponses(env(), openai.Options{}, []byte(request+`}`))
			if f != nil {
				t.Fatal(f)
			}
			if out, err := x.Response(nil, body); err == nil {
				r := decode[responses.Response](t, out)
				if r.ID == "" || len(r.Output) == 0 || r.Usage.TotalTokens != r.Usage.InputTokens+r.Usage.OutputTokens {
					t.Errorf("%s", out)
				}
			}
		})
	}
}

// TestResponsesItems has an item of every kind, for where there are no recordings.
func TestResponsesItems(t *testing.T) {
	const parts = `{"text":"Hm","thought":true},{"text":"né à","thoughtSignature":"QQ=="},{"functionCall":{"name":"weather","args":{"a":1}},"thoughtSignature":"Qg=="},
		{"functionCall":{"name":"patch","args":{"input":"x"}}},{"inlineData":{"mimeType":"image/png","data":"AAAA"}},{"executableCode":{"language":"PYTHON","code":"1"}},
		{"codeExecutionResult":{"output":"1"}},{"text":"end"}`
	const grounding = `{"webSearchQueries":["q"],"groundingChunks":[{"web":{"uri":"http://a","title":"A"}}],"groundingSupports":[{"segment":{"endIndex":6},"groundingChunkIndices":[0]}]}`
	for name, doc := range map[string]string{
		"all kinds":  `{"candidates":[{"content":{"parts":[` + parts + `]},"finishReason":"STOP","groundingMetadata":` + grounding + `}]}`,
		"incomplete": `{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"MAX_TOKENS"}]}`,
		"blocked":    `{"promptFeedback":{"blockReason":"OTHER"}}`,
		"empty":      `{"candidates":[{"finishReason":"STOP"}]}`,
		"broken":     `{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			compact := bytes.NewBuffer(nil)
			if err := json.Compact(compact, []byte(doc)); err != nil {
				t.Fatal(err)
			}
			streamed(t, sse.Append(nil, "", compact.Bytes()))
		})
	}
}

// TestResponsesKept: what is told later of a kept answer is as good as the answer.
func TestResponsesKept(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(recordings, "*", "*.sse"))
	if len(files) == 0 {
		t.Skip("no recordings beside the project")
	}
	o := openai.Options{Previous: func(string) ([]byte, bool) { return nil, false }}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			x, f := openai.NewResponses(env(), o, []byte(strings.Replace(request, `"store":false`, `"store":true`, 1)+`,"stream":true}`))
			if f != nil {
				t.Fatal(f)
			}
			if _, err := play(x, body); err != nil {
				return // it is not kept
			}
			_, items := x.Stored()
			k := &openai.Kept{Items: items, Document: x.Document(), Trace: x.Trace()}
			for _, encrypted := range []bool{false, true} {
				again, f := k.Events(nil, -1, encrypted)
				if f != nil {
					t.Fatal(f)
				}
				accumulate(t, split(t, again), nil)
				whole, f := k.Response(nil, encrypted)
				if f != nil {
					t.Fatal(f)
				}
				decode[responses.Response](t, whole)
				list, f := k.Input(nil, openai.ItemQuery{Limit: 100, Encrypted: encrypted})
				if f != nil {
					t.Fatal(f)
				}
				if l := itemsOf(t, list); len(l.Data) != 1 || l.HasMore {
					t.Errorf("%s", list)
				}
			}
		})
	}
}

// itemsOf decodes a list of items. Which of two types a message is cannot be told by
// its type, and the SDK's types for the items of lists embed those of the items.
func itemsOf(t *testing.T, doc []byte) (l responses.ResponseItemList) {
	t.Helper()
	if err := json.Unmarshal(doc, &l); err != nil {
		t.Fatal(err)
	}
	for _, item := range l.Data {
		raw := []byte(item.RawJSON())
		switch {
		case item.Type == "message" && item.Role == "assistant":
			decode[responses.ResponseOutputMessage](t, raw)
		case item.Type == "message":
			decode[responses.ResponseInputMessageItem](t, raw)
		case item.Type == "function_call":
			decode[responses.ResponseFunctionToolCall](t, raw)
		case item.Type == "custom_tool_call":
			decode[responses.ResponseCustomToolCall](t, raw)
		case item.Type == "custom_tool_call_output":
			decode[responses.ResponseCustomToolCallOutput](t, raw)
		default:
			check(t, reflect.ValueOf(item), "")
		}
		if item.ID == "" || item.Status == "" && item.Type != "reasoning" {
			t.Errorf("no id or no status: %s", raw)
		}
	}
	return l
}

// TestResponsesInputItems lists items of the kinds that clients send.
func TestResponsesInputItems(t *testing.T) {
	o := openai.Options{Previous: func(string) ([]byte, bool) { return nil, false }}
	x, f := openai.NewResponses(env(), o, []byte(`{"model":"gemini-3-flash-preview","input":[{"role":"user","content":"a"},{"role":"developer","content":"d"},
		{"role":"user","content":[{"type":"input_text","text":"b"},{"type":"input_image","image_url":"data:image/png;base64,iVBORw0KGgo=","detail":"auto"}]},
		{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"Hm"}]},{"role":"assistant","content":"c"},
		{"type":"function_call","call_id":"call_1","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"call_1","output":"r"},
		{"type":"custom_tool_call","call_id":"call_2","name":"p","input":"x"},{"type":"custom_tool_call_output","call_id":"call_2","output":"r"}]}`))
	if f != nil {
		t.Fatal(f)
	}
	if _, err := x.Response(nil, []byte(`{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}`)); err != nil {
		t.Fatal(err)
	}
	_, items := x.Stored()
	list, f := (&openai.Kept{Items: items, Document: x.Document(), Trace: x.Trace()}).Input(nil, openai.ItemQuery{Limit: 100})
	if f != nil {
		t.Fatal(f)
	}
	if l := itemsOf(t, list); len(l.Data) != 9 || l.FirstID != l.Data[0].ID {
		t.Errorf("%s", list)
	}
}

func TestResponsesInputTokens(t *testing.T) {
	x, f := openai.NewInputTokens(env(), openai.Options{}, []byte(request+`}`))
	if f != nil {
		t.Fatal(f)
	}
	out, err := x.Response(nil, []byte(`{"totalTokens":31}`))
	if err != nil {
		t.Fatal(err)
	}
	if n := decode[responses.InputTokenCountResponse](t, out); n.InputTokens != 31 {
		t.Errorf("%s", out)
	}
}

// TestResponsesParams: what the SDK makes of its own parameters is accepted.
func TestResponsesParams(t *testing.T) {
	params := responses.ResponseNewParams{
		Model: "gemini-2.5-flash", Instructions: param.NewOpt("I"), MaxOutputTokens: param.NewOpt[int64](100), Store: param.NewOpt(false),
		Include:   []responses.ResponseIncludable{responses.ResponseIncludableReasoningEncryptedContent},
		Reasoning: shared.ReasoningParam{Effort: shared.ReasoningEffortLow, Summary: shared.ReasoningSummaryAuto},
		Tools:     []responses.ToolUnionParam{responses.ToolParamOfFunction("weather", map[string]any{"type": "object"}, true)},
		Input: responses.ResponseNewParamsInputUnion{OfInputItemList: responses.ResponseInputParam{
			responses.ResponseInputItemParamOfMessage("Hi", responses.EasyInputMessageRoleUser),
			responses.ResponseInputItemParamOfReasoning("rs_1", []responses.ResponseReasoningItemSummaryParam{{Text: "Hm"}}),
			responses.ResponseInputItemParamOfFunctionCall(`{"a":1}`, "call_1", "weather"),
			{OfFunctionCallOutput: &responses.ResponseInputItemFunctionCallOutputParam{
				CallID: param.NewOpt("call_1"), Output: responses.ResponseInputItemFunctionCallOutputOutputUnionParam{OfString: param.NewOpt("4 C")},
			}},
		}},
	}
	body, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	x, f := openai.NewResponses(env(), openai.Options{Strict: true}, body)
	if f != nil {
		t.Fatalf("%v in %s", f, body)
	}
	const want = `{"systemInstruction":{"parts":[{"text":"I"}]},"contents":[{"role":"user","parts":[{"text":"Hi"}]},` +
		`{"role":"model","parts":[{"functionCall":{"id":"call_1","name":"weather","args":{"a":1}}}]},` +
		`{"role":"user","parts":[{"functionResponse":{"id":"call_1","name":"weather","response":{"output":"4 C"}}}]}],` +
		`"tools":[{"functionDeclarations":[{"name":"weather"}]}],"toolConfig":{"functionCallingConfig":{"mode":"VALIDATED"}},` +
		`"generationConfig":{"maxOutputTokens":100,"thinkingConfig":{"includeThoughts":true,"thinkingBudget":75}}}`
	if got := string(x.Call().Body); got != want {
		t.Errorf("%s became\n     %s\nwant %s", body, got, want)
	}
}
