// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"
)

const (
	imageModel = "gemini-2.5-flash-image"
	voiceModel = "gemini-2.5-flash-preview-tts"
)

func say(model, text string) responses.ResponseNewParams {
	return responses.ResponseNewParams{
		Model: model, Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(text)},
	}
}

// respond asks once, streamed or not.
func respond(t *testing.T, client openai.Client, streamed bool, params responses.ResponseNewParams) responses.Response {
	t.Helper()
	if !streamed {
		r, err := client.Responses.New(t.Context(), params)
		if err != nil {
			t.Fatal(err)
		}
		return *r
	}
	stream := client.Responses.NewStreaming(t.Context(), params)
	var last responses.Response
	var text strings.Builder
	for stream.Next() {
		switch event := stream.Current().AsAny().(type) {
		case responses.ResponseTextDeltaEvent:
			text.WriteString(event.Delta)
		case responses.ResponseCompletedEvent:
			last = event.Response
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if text.String() != last.OutputText() {
		t.Errorf("deltas %q, text %q", text.String(), last.OutputText())
	}
	return last
}

func TestOpenAIGoResponses(t *testing.T) {
	client := openaiAt(healthy, healthy.key)
	both(t, func(t *testing.T, streamed bool) {
		first := respond(t, client, streamed, say(plainModel, "My name is Ada. [[say Hello Ada]]"))
		if first.Status != "completed" || first.OutputText() != "Hello Ada" || first.Usage.TotalTokens == 0 {
			t.Fatalf("%+v", first)
		}
		next := say(plainModel, "Who am I?")
		next.PreviousResponseID = openai.String(first.ID)
		if second := respond(t, client, streamed, next); second.Usage.InputTokens <= first.Usage.InputTokens {
			t.Error("the conversation did not go along")
		}
		if kept, err := client.Responses.Get(t.Context(), first.ID, responses.ResponseGetParams{}); err != nil || kept.OutputText() != "Hello Ada" {
			t.Errorf("%+v, %v", kept, err)
		}
		if err := client.Responses.Delete(t.Context(), first.ID); err != nil {
			t.Error(err)
		}
		_, err := client.Responses.New(t.Context(), next)
		var apiErr *openai.Error
		if !errors.As(err, &apiErr) || apiErr.StatusCode != 400 || apiErr.Code != "previous_response_not_found" {
			t.Errorf("a deleted response: %v", err)
		}
	})
}

func TestOpenAIGoResponsesTools(t *testing.T) {
	client := openaiAt(healthy, healthy.key)
	tool := func(name string) responses.ToolUnionParam {
		return responses.ToolUnionParam{OfFunction: &responses.FunctionToolParam{Name: name, Strict: openai.Bool(true), Parameters: map[string]any{
			"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"}, "additionalProperties": false,
		}}}
	}
	both(t, func(t *testing.T, streamed bool) {
		params := say(signingModel, callBoth)
		params.Tools = []responses.ToolUnionParam{tool("get_weather"), tool("get_time")}
		first := respond(t, client, streamed, params)
		var results []responses.ResponseInputItemUnionParam
		for _, item := range first.Output {
			if item.Type == "function_call" {
				if !json.Valid([]byte(item.AsFunctionCall().Arguments)) {
					t.Errorf("arguments %s", item.AsFunctionCall().Arguments)
				}
				result := responses.ResponseInputItemParamOfFunctionCallOutput("fine")
				result.OfFunctionCallOutput.CallID = openai.String(item.CallID)
				results = append(results, result)
			}
		}
		if len(results) != 2 {
			t.Fatalf("%d calls", len(results))
		}
		params.PreviousResponseID = openai.String(first.ID)
		params.Input = responses.ResponseNewParamsInputUnion{OfInputItemList: results}
		if text := respond(t, client, streamed, params).OutputText(); !strings.Contains(text, "get_weather") || !strings.Contains(text, "get_time") {
			t.Errorf("after the results: %q", text)
		}
	})
}

func TestOpenAIGoResponsesStructured(t *testing.T) {
	client := openaiAt(healthy, healthy.key)
	both(t, func(t *testing.T, streamed bool) {
		params := say(plainModel, "Name a city.")
		params.Text = responses.ResponseTextConfigParam{Format: responses.ResponseFormatTextConfigParamOfJSONSchema("city", citySchema)}
		var city struct {
			Name       *string
			Population *float64
		}
		text := respond(t, client, streamed, params).OutputText()
		if err := json.Unmarshal([]byte(text), &city); err != nil || city.Name == nil || city.Population == nil {
			t.Errorf("%s: %v", text, err)
		}
	})
}

func TestOpenAIGoEmbeddings(t *testing.T) {
	client := openaiAt(healthy, healthy.key)
	var inputs []string
	for i := range 150 {
		inputs = append(inputs, fmt.Sprint("text ", i))
	}
	embed := func(format openai.EmbeddingNewParamsEncodingFormat, inputs ...string) []openai.Embedding {
		t.Helper()
		answer, err := client.Embeddings.New(t.Context(), openai.EmbeddingNewParams{
			Model: embedModel, Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: inputs}, EncodingFormat: format, Dimensions: openai.Int(128),
		})
		if err != nil {
			t.Fatal(err)
		}
		return answer.Data
	}
	many, one := embed("", inputs...), embed("float", inputs[149])
	if len(many) != 150 || many[149].Index != 149 || len(one[0].Embedding) != 128 {
		t.Fatalf("%d vectors, of %d numbers", len(many), len(one[0].Embedding))
	}
	for i, x := range one[0].Embedding {
		if d := x - many[149].Embedding[i]; d > 1e-6 || d < -1e-6 {
			t.Fatalf("number %d: %v alone, %v among 150", i, x, many[149].Embedding[i])
		}
	}
}

func TestOpenAIGoImages(t *testing.T) {
	client := openaiAt(healthy, healthy.key)
	png := func(answer *openai.ImagesResponse, err error) {
		t.Helper()
		if err != nil || len(answer.Data) == 0 {
			t.Fatal(answer, err)
		}
		if data, err := base64.StdEncoding.DecodeString(answer.Data[0].B64JSON); err != nil || !bytes.HasPrefix(data, []byte("\x89PNG")) {
			t.Errorf("%.20q, %v", data, err)
		}
	}
	png(client.Images.Generate(t.Context(), openai.ImageGenerateParams{Model: imageModel, Prompt: "A cat"}))
	data, _ := base64.StdEncoding.DecodeString(pixel)
	png(client.Images.Edit(t.Context(), openai.ImageEditParams{
		Model: imageModel, Prompt: "A hat on it",
		Image: openai.ImageEditParamsImageUnion{OfFile: openai.File(bytes.NewReader(data), "cat.png", "image/png")},
	}))
}

func TestOpenAIGoAudio(t *testing.T) {
	client := openaiAt(healthy, healthy.key)
	resp, err := client.Audio.Speech.New(t.Context(), openai.AudioSpeechNewParams{
		Model: voiceModel, Input: "Hello.", ResponseFormat: "wav",
		Voice: openai.AudioSpeechNewParamsVoiceUnion{OfString: param.NewOpt("alloy")},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	wav, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.HasPrefix(wav, []byte("RIFF")) || len(wav) < 1000 {
		t.Fatalf("%d bytes, %.4q, %v", len(wav), wav, err)
	}
	heard, err := client.Audio.Transcriptions.New(t.Context(), openai.AudioTranscriptionNewParams{
		Model: plainModel, File: openai.File(bytes.NewReader(wav), "hello.wav", "audio/wav"),
	})
	if err != nil || !strings.Contains(heard.Text, "audio") {
		t.Errorf("%+v, %v", heard, err)
	}
}
