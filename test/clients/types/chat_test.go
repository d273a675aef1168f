// SPDX-License-Identifier: Apache-2.0

package types

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/ssestream"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/openai"
	"github.com/gemini-balance/caddy-gemini-balance/translate/sse"
)

func init() {
	for _, owner := range []string{"ChatCompletionMessage", "ChatCompletionChunkChoiceDelta"} {
		newer = append(newer, owner+".reasoning_content", owner+".images", owner+".extra_content", owner+".annotations", owner+".audio")
	}
	newer = append(
		newer,
		"ChatCompletionChunkChoice.native_finish_reason",
		"ChatCompletionChoice.extra_content", "ChatCompletionChunkChoice.extra_content", // Google's own endpoint has them
		"ChatCompletionMessageFunctionToolCall.extra_content", "ChatCompletionChunkChoiceDeltaToolCall.extra_content",
		"ChatCompletionChunkChoiceDeltaToolCall.custom", // the SDK misses it in chunks
		"Model.context_length", "Model.max_output_tokens", "Model.display_name",
	)
}

const question = `"model":"gemini-3-flash-preview","messages":[{"role":"user","content":"q"}],"tools":[{"type":"function","function":{"name":"weather"}},{"type":"custom","custom":{"name":"patch"}}]`

// completion converts an answer in one piece, nil where it is none.
func completion(t *testing.T, more string, body []byte) *sdk.ChatCompletion {
	t.Helper()
	x, f := openai.NewChat(env(), openai.Options{}, []byte(`{`+question+more+`}`))
	if f != nil {
		t.Fatal(f)
	}
	x.Begin()
	out, err := x.Response(nil, body)
	if err != nil {
		refused(t, err)
		return nil
	}
	v := decode[sdk.ChatCompletion](t, out)
	if v.ID == "" || len(v.Choices) == 0 || v.Usage.TotalTokens != v.Usage.PromptTokens+v.Usage.CompletionTokens ||
		v.Usage.CompletionTokensDetails.ReasoningTokens > v.Usage.CompletionTokens || v.Usage.PromptTokensDetails.CachedTokens > max(v.Usage.PromptTokens, v.Usage.PromptTokensDetails.CachedTokens) {
		t.Errorf("%s", out)
	}
	for i, c := range v.Choices {
		known(t, c.FinishReason)
		for _, call := range c.Message.ToolCalls {
			if call.ID == "" || call.Type == "function" && !json.Valid([]byte(call.Function.Arguments)) {
				t.Errorf("choice %d: %s", i, call.RawJSON())
			}
		}
	}
	return &v
}

// refused wants an error that is told to clients as one.
func refused(t *testing.T, err error) {
	t.Helper()
	var f *translate.Failure
	var inside *translate.UpstreamError
	if !errors.As(err, &f) && !errors.As(err, &inside) {
		t.Errorf("%T: %v", err, err)
	}
}

// known wants one of the reasons that the SDK documents.
func known(t *testing.T, reason string) {
	t.Helper()
	switch reason {
	case "stop", "length", "tool_calls", "content_filter", "function_call":
	default:
		t.Errorf("finish_reason %q", reason)
	}
}

// chunks plays a stream through the SDK's own reader and accumulator, nil where it
// broke. Its error is the SDK's.
func chunks(t *testing.T, more string, body []byte) (*sdk.ChatCompletion, error) {
	t.Helper()
	x, f := openai.NewChat(env(), openai.Options{}, []byte(`{`+question+more+`,"stream":true,"stream_options":{"include_usage":true}}`))
	if f != nil {
		t.Fatal(f)
	}
	x.Begin()
	in := sse.NewReader(bytes.NewReader(body))
	defer in.Release()
	var out []byte
	var err error
	for err == nil {
		var raw, data []byte
		if raw, data, err = in.Next(); err == nil {
			out, err = x.Event(out, translate.Frame{Raw: raw, Data: data})
		}
	}
	if errors.Is(err, io.EOF) {
		out, err = x.End(out)
	}
	if err != nil {
		out = x.Abort(out, &translate.Failure{Kind: translate.Upstream, Message: "It broke."})
	}
	response := &http.Response{Header: http.Header{"Content-Type": {x.ContentType()}}, Body: io.NopCloser(bytes.NewReader(out))}
	stream := ssestream.NewStream[sdk.ChatCompletionChunk](ssestream.NewDecoder(response), nil)
	var sum sdk.ChatCompletionAccumulator
	reasons := map[int64]string{}
	usages := 0
	for stream.Next() {
		chunk := decode[sdk.ChatCompletionChunk](t, []byte(stream.Current().RawJSON()))
		if !sum.AddChunk(chunk) {
			t.Fatalf("the accumulator refuses %s", chunk.RawJSON())
		}
		for _, c := range chunk.Choices {
			if reasons[c.Index] != "" {
				t.Errorf("after the end of choice %d: %s", c.Index, chunk.RawJSON())
			}
			reasons[c.Index] = c.FinishReason
		}
		if chunk.Usage.RawJSON() != "" {
			usages++
		}
	}
	if (stream.Err() != nil) != (err != nil) {
		t.Fatalf("the SDK: %v, the converter: %v\n%s", stream.Err(), err, out)
	}
	if err != nil {
		refused(t, err)
		return nil, stream.Err()
	}
	for _, reason := range reasons {
		known(t, reason)
	}
	if len(reasons) == 0 || len(reasons) > len(sum.Choices) || usages != 1 || !bytes.HasSuffix(out, []byte("\n\ndata: [DONE]\n\n")) {
		t.Errorf("%d choices, %d ends, %d usages: %s", len(sum.Choices), len(reasons), usages, out)
	}
	return &sum.ChatCompletion, nil
}

// alike compares what a client gets unstreamed and streamed. Ids that are made
// here come in another order.
func alike(t *testing.T, a, b *sdk.ChatCompletion) {
	t.Helper()
	if a.ID != b.ID && !strings.HasPrefix(a.ID, "chatcmpl-000") || a.Usage.TotalTokens != b.Usage.TotalTokens || len(a.Choices) > len(b.Choices) {
		t.Fatalf("%s\n%+v", a.RawJSON(), b)
	}
	for i := range a.Choices {
		x := &a.Choices[i]
		y := &b.Choices[x.Index] // the accumulator leaves room for those between
		if x.Message.Content != y.Message.Content || x.Message.Refusal != y.Message.Refusal || x.FinishReason != y.FinishReason || len(x.Message.ToolCalls) != len(y.Message.ToolCalls) {
			t.Fatalf("choice %d\n%s\n%+v", i, a.RawJSON(), b)
		}
		for j := range x.Message.ToolCalls {
			if x, y := x.Message.ToolCalls[j], y.Message.ToolCalls[j]; strings.HasPrefix(x.ID, "call_000") != strings.HasPrefix(y.ID, "call_000") || x.Type == "function" && x.Function.RawJSON() != "" && (x.Function.Name != y.Function.Name || x.Function.Arguments != y.Function.Arguments) {
				t.Errorf("call %d\n%s\n%+v", j, x.RawJSON(), y)
			}
		}
	}
}

func TestChatRecordings(t *testing.T) {
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
				_, _ = chunks(t, "", body)
				return
			}
			whole := completion(t, "", body)
			if sum, err := chunks(t, "", sse.Append(nil, "", body)); whole != nil && err == nil {
				alike(t, whole, sum)
			} else if (whole == nil) != (err != nil) {
				t.Errorf("unary %v, streamed %v", whole, err)
			}
		})
	}
}

// FuzzChat: whatever Google answers, the SDK reads what a client is sent.
func FuzzChat(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join(recordings, "*", "*.*"))
	for i, file := range files {
		if body, err := os.ReadFile(file); err == nil && len(body) < 4<<10 {
			f.Add(body, byte(i))
		}
	}
	for i, parts := range []string{
		`{"functionCall":{"name":"weather"}},{"functionCall":{"name":"patch","args":{"input":"\""}}},{"text":"<\ud800\u2028>","thoughtSignature":"S"}`,
		`{"inlineData":{"mimeType":"image/\"","data":"\\\""}},{"inlineData":{"mimeType":"audio/L16;rate=1","data":"AA=="}},{"executableCode":{"language":"\"","code":"\n"}}`,
	} {
		doc := `{"responseId":"\"","candidates":[{"content":{"parts":[` + parts + `]},"finishReason":"X\"","groundingMetadata":{"groundingChunks":[{"web":{"uri":"\""}}],"groundingSupports":[{"segment":{"endIndex":1},"groundingChunkIndices":[0]}]},
			"logprobsResult":{"chosenCandidates":[{"token":"\"","logProbability":-1e5}]}},{"index":3}],"usageMetadata":{"promptTokenCount":-1,"thoughtsTokenCount":1e3}}`
		f.Add([]byte(doc), byte(i))
		f.Add(sse.Append(nil, "", []byte(strings.ReplaceAll(doc, "\n", ""))), byte(i))
	}
	f.Fuzz(func(t *testing.T, body []byte, flags byte) {
		more := ""
		if flags&1 != 0 {
			more += `,"parallel_tool_calls":false`
		}
		if flags&2 != 0 {
			more += `,"response_format":{"type":"json_object"}`
		}
		if flags&4 != 0 {
			more += `,"reasoning_effort":"low"`
		}
		_, _ = chunks(t, more, body)
		_ = completion(t, more, body)
	})
}

// FuzzEndpoints does the same for the endpoints whose answers come in one piece.
func FuzzEndpoints(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join(recordings, "*", "*.json"))
	for _, file := range files {
		if body, err := os.ReadFile(file); err == nil && len(body) < 4<<10 {
			f.Add(body)
		}
	}
	for _, doc := range []string{words, sketch, `{"embeddings":[{"values":[3,-4e-3]}]}`, `{"models":[{"name":"models/\"","inputTokenLimit":1e3}],"nextPageToken":"\""}`} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		embeddings, f := openai.NewEmbeddings(env(), openai.Options{}, []byte(`{"model":"gemini-embedding-001","input":"a"}`))
		if out := unary(t, embeddings, f, body); out != nil {
			decode[sdk.CreateEmbeddingResponse](t, out)
		}
		images, f := openai.NewImageGeneration(env(), openai.Options{}, []byte(`{"model":"gemini-3.1-flash-image","prompt":"p"}`))
		if out := unary(t, images, f, body); out != nil {
			decode[sdk.ImagesResponse](t, out)
		}
		text, f := openai.NewCompletion(env(), openai.Options{}, []byte(`{"model":"gemini-3-flash-preview","prompt":"p"}`))
		if out := unary(t, text, f, body); out != nil {
			for _, c := range decode[sdk.Completion](t, out).Choices {
				known(t, string(c.FinishReason))
			}
		}
		for _, format := range []string{"json", "verbose_json"} {
			sound, f := openai.NewTranscription(env(), openai.Options{}, recorded(format), false)
			switch out := unary(t, sound, f, body); {
			case out == nil:
			case format == "json":
				decode[sdk.Transcription](t, out)
			default:
				decode[sdk.TranscriptionVerbose](t, out)
			}
		}
		models, f := openai.NewModels("", []openai.Alias{{ID: "gpt", Target: "gemini-x"}}, nil)
		if out := unary(t, models, f, body); out != nil {
			for _, doc := range listed(t, out) {
				decode[sdk.Model](t, doc)
			}
		}
		model, f := openai.NewModels("gemini-x", nil, nil)
		if out := unary(t, model, f, body); out != nil {
			decode[sdk.Model](t, out)
		}
	})
}

// unary converts one answer, nil where it is none.
func unary(t *testing.T, x translate.Exchange, f *translate.Failure, body []byte) []byte {
	t.Helper()
	if f != nil {
		t.Fatal(f)
	}
	x.Begin()
	out, err := x.Response(nil, body)
	if err != nil {
		refused(t, err)
		return nil
	}
	return out
}

func listed(t *testing.T, out []byte) []json.RawMessage {
	t.Helper()
	var list struct {
		Object string
		Data   []json.RawMessage
	}
	if err := json.Unmarshal(out, &list); err != nil || list.Object != "list" || list.Data == nil {
		t.Fatalf("%v in %s", err, out)
	}
	return list.Data
}

func TestModels(t *testing.T) {
	x, f := openai.NewModels("", []openai.Alias{{ID: "gpt-4o", Target: "gemini-x"}}, nil)
	out := answered(t, x, f, `{"models":[{"name":"models/gemini-x","inputTokenLimit":9,"outputTokenLimit":8,"displayName":"X"},{"name":"models/y"}]}`)
	ids := ""
	for _, doc := range listed(t, out) {
		m := decode[sdk.Model](t, doc)
		ids += m.ID + " "
		if m.Created == 0 || m.OwnedBy != "google" {
			t.Errorf("%s", doc)
		}
	}
	if ids != "gpt-4o gemini-x y " {
		t.Errorf("models %s", ids)
	}
}

// TestErrors: the SDK reads the error object of every kind of failure.
func TestErrors(t *testing.T) {
	for kind := translate.Internal; kind <= translate.Canceled; kind++ {
		for _, f := range []translate.Failure{{Kind: kind, Message: "m\"\n<é>"}, {Kind: kind, Message: "m", Param: "messages[0].content", Code: "some_code"}} {
			a := openai.Error(&f)
			var body struct{ Error json.RawMessage }
			if err := json.Unmarshal(a.Body, &body); err != nil {
				t.Fatal(err)
			}
			e := decode[sdk.Error](t, body.Error)
			if e.Message != f.Message || e.Type == "" || a.Status < 400 || f.Param != "" && e.Param != f.Param {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		}
	}
}
