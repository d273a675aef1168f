// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
)

func openaiAt(g *gateway, key string) openai.Client {
	return openai.NewClient(option.WithBaseURL(g.base+"/v1"), option.WithAPIKey(key), option.WithMaxRetries(0))
}

func hello(model string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    model,
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Say hello.")},
	}
}

// accumulate reads a stream the way the SDK's documentation does it.
func accumulate(t *testing.T, client openai.Client, params openai.ChatCompletionNewParams) openai.ChatCompletion {
	t.Helper()
	stream := client.Chat.Completions.NewStreaming(t.Context(), params)
	var acc openai.ChatCompletionAccumulator
	chunks := 0
	for stream.Next() {
		if chunks++; !acc.AddChunk(stream.Current()) {
			t.Fatalf("the accumulator refuses chunk %d: %s", chunks, stream.Current().RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if chunks < 2 || len(acc.Choices) != 1 {
		t.Fatalf("%d chunks, %d choices", chunks, len(acc.Choices))
	}
	return acc.ChatCompletion
}

// complete asks once, streamed or not.
func complete(t *testing.T, client openai.Client, streamed bool, params openai.ChatCompletionNewParams) openai.ChatCompletion {
	t.Helper()
	if streamed {
		return accumulate(t, client, params)
	}
	answer, err := client.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.Choices) != 1 {
		t.Fatalf("%d choices", len(answer.Choices))
	}
	return *answer
}

// both runs a test for whole answers and for streams.
func both(t *testing.T, f func(t *testing.T, streamed bool)) {
	t.Helper()
	t.Run("whole", func(t *testing.T) { f(t, false) })
	t.Run("streamed", func(t *testing.T) { f(t, true) })
}

func TestOpenAIGoChat(t *testing.T) {
	client := openaiAt(healthy, healthy.key)
	both(t, func(t *testing.T, streamed bool) {
		params := hello(plainModel)
		if streamed {
			params.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
		}
		answer := complete(t, client, streamed, params)
		if c := answer.Choices[0]; c.Message.Content == "" || c.FinishReason != "stop" {
			t.Errorf("content %q, finish reason %q", c.Message.Content, c.FinishReason)
		}
		if u := answer.Usage; u.PromptTokens == 0 || u.TotalTokens != u.PromptTokens+u.CompletionTokens {
			t.Errorf("usage %+v", u)
		}
	})
}

func TestOpenAIGoTurns(t *testing.T) {
	client := openaiAt(healthy, healthy.key)
	both(t, func(t *testing.T, streamed bool) {
		params := hello(plainModel)
		for range 3 {
			answer := complete(t, client, streamed, params)
			if answer.Choices[0].Message.Content == "" {
				t.Fatal("no content")
			}
			params.Messages = append(params.Messages, answer.Choices[0].Message.ToParam(), openai.UserMessage("And then?"))
		}
	})
}

// The Go SDK loses unknown fields between turns: the gateway's memory has to
// bring the signatures back.
func TestOpenAIGoTools(t *testing.T) {
	client := openaiAt(healthy, healthy.key)
	city := shared.FunctionParameters{
		"type":       "object",
		"properties": map[string]any{"city": map[string]any{"type": "string"}},
		"required":   []string{"city"},
	}
	both(t, func(t *testing.T, streamed bool) {
		params := openai.ChatCompletionNewParams{
			Model:    signingModel,
			Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(callBoth)},
			Tools: []openai.ChatCompletionToolUnionParam{
				openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: "get_weather", Parameters: city}),
				openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: "get_time", Parameters: city}),
			},
		}
		first := complete(t, client, streamed, params).Choices[0]
		if first.FinishReason != "tool_calls" || len(first.Message.ToolCalls) != 2 {
			t.Fatalf("finish reason %q, %d calls", first.FinishReason, len(first.Message.ToolCalls))
		}
		params.Messages = append(params.Messages, first.Message.ToParam())
		for _, call := range first.Message.ToolCalls {
			if !json.Valid([]byte(call.Function.Arguments)) {
				t.Errorf("arguments are not JSON: %s", call.Function.Arguments)
			}
			params.Messages = append(params.Messages, openai.ToolMessage("fine", call.ID))
		}
		second := complete(t, client, streamed, params).Choices[0]
		if second.FinishReason != "stop" || second.Message.Content == "" {
			t.Errorf("after the results: finish reason %q, content %q", second.FinishReason, second.Message.Content)
		}
	})
}

func TestOpenAIGoStructured(t *testing.T) {
	client := openaiAt(healthy, healthy.key)
	both(t, func(t *testing.T, streamed bool) {
		params := hello(plainModel)
		params.ResponseFormat = openai.ChatCompletionNewParamsResponseFormatUnion{
			OfJSONSchema: &shared.ResponseFormatJSONSchemaParam{JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{
				Name: "city", Strict: openai.Bool(true), Schema: citySchema,
			}},
		}
		var city struct {
			Name       *string
			Population *float64
		}
		content := complete(t, client, streamed, params).Choices[0].Message.Content
		if err := json.Unmarshal([]byte(content), &city); err != nil || city.Name == nil || city.Population == nil {
			t.Errorf("%s: %v", content, err)
		}
	})
}

func TestOpenAIGoImage(t *testing.T) {
	client := openaiAt(healthy, healthy.key)
	both(t, func(t *testing.T, streamed bool) {
		params := hello(plainModel)
		params.Messages = []openai.ChatCompletionMessageParamUnion{openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
			openai.TextContentPart("What is it?"),
			openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: "data:image/png;base64," + pixel}),
		})}
		if complete(t, client, streamed, params).Choices[0].Message.Content == "" {
			t.Error("no content")
		}
	})
}

func TestOpenAIGoModels(t *testing.T) {
	client := openaiAt(healthy, healthy.key)
	found := false
	models := client.Models.ListAutoPaging(t.Context())
	for models.Next() {
		found = found || models.Current().ID == plainModel
	}
	if models.Err() != nil || !found {
		t.Errorf("list has %s: %v; %v", plainModel, found, models.Err())
	}
	if m, err := client.Models.Get(t.Context(), plainModel); err != nil || m.ID != plainModel {
		t.Errorf("retrieve: %+v, %v", m, err)
	}
}

func TestOpenAIGoErrors(t *testing.T) {
	hot := hello(plainModel)
	hot.Temperature = openai.Float(9)
	for _, c := range []struct {
		name   string
		client openai.Client
		params openai.ChatCompletionNewParams
		status int
		code   string
	}{
		{"unknown user key", openaiAt(healthy, "gb-wrong"), hello(plainModel), 401, "invalid_api_key"},
		{"unknown model", openaiAt(healthy, healthy.key), hello("gemini-none"), 404, "model_not_found"},
		{"bad request", openaiAt(healthy, healthy.key), hot, 400, ""},
		{"all keys out of quota", openaiAt(exhausted, exhausted.key), hello(plainModel), 429, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			both(t, func(t *testing.T, streamed bool) {
				var err error
				if streamed {
					stream := c.client.Chat.Completions.NewStreaming(t.Context(), c.params)
					for stream.Next() {
					}
					err = stream.Err()
				} else {
					_, err = c.client.Chat.Completions.New(t.Context(), c.params)
				}
				var apiErr *openai.Error
				if !errors.As(err, &apiErr) {
					t.Fatalf("not an *openai.Error: %v", err)
				}
				if apiErr.StatusCode != c.status || c.code != "" && apiErr.Code != c.code || apiErr.Message == "" {
					t.Errorf("status %d, code %q, message %q", apiErr.StatusCode, apiErr.Code, apiErr.Message)
				}
				if c.status == http.StatusTooManyRequests {
					if n, _ := strconv.Atoi(apiErr.Response.Header.Get("Retry-After")); n < 1 {
						t.Errorf("Retry-After %q", apiErr.Response.Header.Get("Retry-After"))
					}
				}
			})
		})
	}
}

func TestOpenAIGoCancel(t *testing.T) {
	client := openaiAt(healthy, healthy.key)
	upstreamFeels(t, func() time.Time {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		params := hello(plainModel)
		params.Messages = []openai.ChatCompletionMessageParamUnion{openai.UserMessage(slowPrompt)}
		stream := client.Chat.Completions.NewStreaming(ctx, params)
		if !stream.Next() {
			t.Fatal("no chunk:", stream.Err())
		}
		cancel()
		return time.Now()
	})
}
