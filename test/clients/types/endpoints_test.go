// SPDX-License-Identifier: Apache-2.0

package types

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	sdk "github.com/openai/openai-go/v3"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/openai"
)

func init() {
	newer = append(
		newer,
		"TranscriptionVerbose.task", // in the API's documentation, not in the type
		"ChatCompletionChoice.native_finish_reason", // OpenRouter's
	)
}

// answered converts one answer, or several of a batch.
func answered[T translate.Exchange](t *testing.T, x T, f *translate.Failure, answers ...string) []byte {
	t.Helper()
	if f != nil {
		t.Fatal(f)
	}
	var out []byte
	var err error
	if batch, ok := any(x).(translate.Batch); ok && len(answers) > 1 {
		bodies := make([][]byte, len(answers))
		for i, a := range answers {
			bodies[i] = []byte(a)
		}
		out, err = batch.Join(nil, bodies)
	} else {
		x.Begin()
		out, err = x.Response(nil, []byte(answers[0]))
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// documents are the JSON of events.
func documents(t *testing.T, stream []byte) (docs [][]byte) {
	t.Helper()
	for block := range strings.SplitSeq(strings.TrimSuffix(string(stream), "\n\n"), "\n\n") {
		_, doc, ok := strings.Cut("\n"+block, "\ndata: ")
		if !ok {
			t.Fatalf("not an event: %q", block)
		}
		if doc != "[DONE]" {
			docs = append(docs, []byte(doc))
		}
	}
	return docs
}

const (
	counts = `"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":5,"totalTokenCount":14}`
	words  = `{"candidates":[{"content":{"parts":[{"text":"Hello"}]},"finishReason":"STOP"}],` + counts + `}`
	sketch = `{"candidates":[{"content":{"parts":[{"text":"A cat"},{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="}}]},"finishReason":"STOP"}],` + counts + `}`
)

func TestEmbeddings(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(recordings, "embeddings", "embeddings-batch*.json"))
	answer := `{"embeddings":[{"values":[3,4]},{"values":[0,1]}]}`
	for _, file := range files {
		if body, err := os.ReadFile(file); err == nil && strings.Count(string(body), `"values"`) == 2 {
			answer = string(body)
		}
	}
	for _, format := range []string{"float", "base64"} { // the type reads both
		x, f := openai.NewEmbeddings(env(), openai.Options{}, []byte(`{"model":"gemini-embedding-001","input":["a","b"],"encoding_format":"`+format+`"}`))
		v := decode[sdk.CreateEmbeddingResponse](t, answered(t, x, f, answer))
		if len(v.Data) != 2 || v.Data[1].Index != 1 || len(v.Data[0].Embedding) < 2 || v.Usage.PromptTokens == 0 {
			t.Errorf("%s: %+v", format, v)
		}
	}
}

func TestImages(t *testing.T) {
	const request = `{"model":"gemini-3.1-flash-image","prompt":"p","n":2,"size":"1024x1024"`
	for _, format := range []string{"b64_json", "url"} {
		x, f := openai.NewImageGeneration(env(), openai.Options{}, []byte(request+`,"response_format":"`+format+`"}`))
		v := decode[sdk.ImagesResponse](t, answered(t, x, f, sketch, sketch))
		if len(v.Data) != 2 || v.Data[0].B64JSON+v.Data[0].URL == "" || v.Usage.TotalTokens != 28 {
			t.Errorf("%s: %+v", format, v)
		}
	}
	x, f := openai.NewImageGeneration(env(), openai.Options{}, []byte(request+`,"stream":true}`))
	for _, doc := range documents(t, answered(t, x, f, sketch, sketch)) {
		if v := decode[sdk.ImageGenCompletedEvent](t, doc); v.B64JSON == "" || v.Type != "image_generation.completed" {
			t.Errorf("%s", doc)
		}
	}
	form := openai.Form{
		Fields: map[string][]string{"model": {"gemini-3.1-flash-image"}, "prompt": {"p"}, "stream": {"true"}},
		Files:  map[string][]openai.File{"image": {{Name: "a.png", Data: []byte("\x89PNG\r\n\x1a\n")}}},
	}
	x, f = openai.NewImageEdit(env(), openai.Options{}, form)
	for _, doc := range documents(t, answered(t, x, f, sketch)) {
		if v := decode[sdk.ImageEditCompletedEvent](t, doc); v.Type != "image_edit.completed" {
			t.Errorf("%s", doc)
		}
	}
}

func recorded(format string, more ...string) openai.Form {
	fields := map[string][]string{"model": {"gemini-2.5-flash"}, "response_format": {format}}
	for i := 0; i < len(more); i += 2 {
		fields[more[i]] = []string{more[i+1]}
	}
	return openai.Form{Fields: fields, Files: map[string][]openai.File{"file": {{Name: "a.wav", Data: []byte("RIFF")}}}}
}

func TestTranscriptions(t *testing.T) {
	x, f := openai.NewTranscription(env(), openai.Options{}, recorded("json"), false)
	if v := decode[sdk.Transcription](t, answered(t, x, f, words)); v.Text != "Hello" || v.Usage.AsTokens().TotalTokens != 14 {
		t.Errorf("%+v", v)
	}
	const segments = `{"candidates":[{"content":{"parts":[{"text":"{\"language\":\"en\",\"segments\":[{\"start\":0,\"end\":1.5,\"text\":\"Hello\"}]}"}]},"finishReason":"STOP"}],` + counts + `}`
	x, f = openai.NewTranscription(env(), openai.Options{}, recorded("verbose_json"), false)
	if v := decode[sdk.TranscriptionVerbose](t, answered(t, x, f, segments)); v.Duration != 1.5 || len(v.Segments) != 1 {
		t.Errorf("%+v", v)
	}
	x, f = openai.NewTranscription(env(), openai.Options{}, recorded("json"), true)
	if v := decode[sdk.Translation](t, answered(t, x, f, words)); v.Text != "Hello" {
		t.Errorf("%+v", v)
	}
	x, f = openai.NewTranscription(env(), openai.Options{}, recorded("json", "stream", "true"), false)
	if f != nil {
		t.Fatal(f)
	}
	x.Begin()
	out, err := x.Event(nil, translate.Frame{Data: []byte(words)})
	if err == nil {
		out, err = x.End(out)
	}
	docs := documents(t, out)
	if err != nil || len(docs) != 2 {
		t.Fatalf("%s, %v", out, err)
	}
	if v := decode[sdk.TranscriptionTextDeltaEvent](t, docs[0]); v.Delta != "Hello" {
		t.Errorf("%+v", v)
	}
	if v := decode[sdk.TranscriptionTextDoneEvent](t, docs[1]); v.Text != "Hello" || v.Usage.TotalTokens != 14 {
		t.Errorf("%+v", v)
	}
}

func TestCompletions(t *testing.T) {
	x, f := openai.NewCompletion(env(), openai.Options{}, []byte(`{"model":"gemini-3-flash-preview","prompt":["a","b"]}`))
	if v := decode[sdk.Completion](t, answered(t, x, f, words, words)); len(v.Choices) != 2 || v.Choices[1].Text != "Hello" || v.Usage.TotalTokens != 28 {
		t.Errorf("%+v", v)
	}
	x, f = openai.NewCompletion(env(), openai.Options{}, []byte(`{"model":"gemini-3-flash-preview","prompt":"a","stream":true}`))
	if f != nil {
		t.Fatal(f)
	}
	x.Begin()
	out, err := x.Event(nil, translate.Frame{Data: []byte(words)})
	if err == nil {
		out, err = x.End(out)
	}
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, doc := range documents(t, out) {
		text += decode[sdk.Completion](t, doc).Choices[0].Text
	}
	if text != "Hello" {
		t.Errorf("%q of %s", text, out)
	}
}

func TestChoices(t *testing.T) {
	x, f := openai.NewChat(env(), openai.Options{}, []byte(`{"model":"gemini-3-flash-preview","messages":[{"role":"user","content":"a"}],"n":2}`))
	if v := decode[sdk.ChatCompletion](t, answered(t, x, f, words, words)); len(v.Choices) != 2 || v.Choices[1].Index != 1 || v.Usage.TotalTokens != 28 {
		t.Errorf("%+v", v)
	}
}
