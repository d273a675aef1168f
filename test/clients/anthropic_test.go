// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	anthropic1 "github.com/anthropics/anthropic-sdk-go"
	option1 "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/anthropics/anthropic-sdk-go/v2"
	"github.com/anthropics/anthropic-sdk-go/v2/option"
)

func anthropicAt(g *gateway, key string) anthropic.Client {
	return anthropic.NewClient(option.WithBaseURL(g.base), option.WithAPIKey(key), option.WithMaxRetries(0))
}

func messageFor(model, text string) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{
		Model: anthropic.Model(model), MaxTokens: 16000,
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(text))},
	}
}

// message asks once, streamed or not.
func message(ctx context.Context, client anthropic.Client, streamed bool, params anthropic.MessageNewParams) (*anthropic.Message, error) {
	if !streamed {
		return client.Messages.New(ctx, params)
	}
	stream := client.Messages.NewStreaming(ctx, params)
	defer stream.Close()
	var m anthropic.Message
	for stream.Next() {
		if err := m.Accumulate(stream.Current()); err != nil {
			return nil, err
		}
	}
	return &m, stream.Err()
}

// blocks joins the texts of a message and finds its calls.
func blocks(m *anthropic.Message) (text string, calls []anthropic.ContentBlockUnion) {
	for _, b := range m.Content {
		switch b.Type {
		case "text":
			text += b.Text
		case "tool_use":
			calls = append(calls, b)
		}
	}
	return text, calls
}

func TestAnthropicGoMessages(t *testing.T) {
	client := anthropicAt(healthy, healthy.key)
	picture := messageFor(plainModel, "What is it?")
	picture.Messages[0].OfUser.Content = append(picture.Messages[0].OfUser.Content, anthropic.NewImageBlockBase64("image/png", pixel))
	for _, c := range []struct {
		name   string
		params anthropic.MessageNewParams
		want   string
	}{
		{"text", messageFor(plainModel, "Say hello."), "Say hello."},
		{"a name of Claude's", messageFor("claude-sonnet-5-5", "Say hello."), "Say hello."},
		{"image", picture, "image/png"},
	} {
		t.Run(c.name, func(t *testing.T) {
			both(t, func(t *testing.T, streamed bool) {
				m, err := message(t.Context(), client, streamed, c.params)
				if err != nil {
					t.Fatal(err)
				}
				text, _ := blocks(m)
				if !strings.Contains(text, c.want) || m.StopReason != "end_turn" || m.Model != c.params.Model {
					t.Errorf("%s", m.RawJSON())
				}
				if m.Usage.InputTokens == 0 || m.Usage.OutputTokens == 0 {
					t.Errorf("usage %+v", m.Usage)
				}
			})
		})
	}
}

// TestAnthropicGoTools gives the thinking and the calls back as they came, with
// which Google wants its signatures.
func TestAnthropicGoTools(t *testing.T) {
	client := anthropicAt(healthy, healthy.key)
	city := anthropic.ToolInputSchemaParam{Properties: map[string]any{"city": map[string]any{"type": "string"}}, Required: []string{"city"}}
	both(t, func(t *testing.T, streamed bool) {
		params := messageFor(signingModel, callBoth)
		params.Thinking = anthropic.ThinkingConfigParamUnion{OfAdaptive: &anthropic.ThinkingConfigAdaptiveParam{Display: "summarized"}}
		for _, name := range []string{"get_weather", "get_time"} {
			params.Tools = append(params.Tools, anthropic.ToolUnionParam{OfTool: &anthropic.ToolParam{Name: name, InputSchema: city}})
		}
		for turn, prompt := range []string{"", "And in Rome?"} {
			if turn > 0 {
				params.Messages = append(params.Messages, anthropic.NewUserMessage(anthropic.NewTextBlock(prompt)))
			}
			first, err := message(t.Context(), client, streamed, params)
			if err != nil {
				t.Fatal(err)
			}
			_, calls := blocks(first)
			if len(calls) != 2-turn || first.StopReason != "tool_use" || first.Content[0].Type != "thinking" || first.Content[0].Signature == "" {
				t.Fatalf("turn %d: %s %s", turn, first.StopReason, first.RawJSON())
			}
			var results []anthropic.ContentBlockParamUnion
			for _, call := range calls {
				if !json.Valid(call.Input) {
					t.Errorf("input %s", call.Input)
				}
				results = append(results, anthropic.NewToolResultBlock(call.ID, call.Name+" is fine", false))
			}
			params.Messages = append(params.Messages, first.ToParam(), anthropic.NewUserMessage(results...))
			second, err := message(t.Context(), client, streamed, params)
			if err != nil {
				t.Fatal(err)
			}
			if text, _ := blocks(second); !strings.Contains(text, "get_weather is fine") {
				t.Errorf("%s", second.RawJSON())
			}
			params.Messages = append(params.Messages, second.ToParam())
		}
	})
}

func TestAnthropicGoOtherMethods(t *testing.T) {
	client := anthropicAt(healthy, healthy.key)
	count, err := client.Messages.CountTokens(t.Context(), anthropic.MessageCountTokensParams{Model: plainModel, Messages: messageFor(plainModel, "Say hello.").Messages})
	if err != nil || count.InputTokens == 0 {
		t.Errorf("count_tokens: %+v, %v", count, err)
	}
	if m, err := client.Models.Get(t.Context(), plainModel, anthropic.ModelGetParams{}); err != nil || m.ID != plainModel {
		t.Errorf("models.get: %+v, %v", m, err)
	}
	ids := map[string]bool{}
	for pages := client.Models.ListAutoPaging(t.Context(), anthropic.ModelListParams{}); pages.Next(); {
		ids[pages.Current().ID] = true
	}
	if !ids[plainModel] {
		t.Errorf("models.list lacks %s: %v", plainModel, ids)
	}
}

func TestAnthropicGoErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		client anthropic.Client
		params anthropic.MessageNewParams
		status int
		kind   string
	}{
		{"unknown user key", anthropicAt(healthy, "gb-wrong"), messageFor(plainModel, "Hello"), 401, "authentication_error"},
		{"unknown model", anthropicAt(healthy, healthy.key), messageFor("gemini-none", "Hello"), 404, "not_found_error"},
		{"bad request", anthropicAt(healthy, healthy.key), anthropic.MessageNewParams{Model: plainModel, MaxTokens: 10}, 400, "invalid_request_error"},
		{"all keys out of quota", anthropicAt(exhausted, exhausted.key), messageFor(plainModel, "Hello"), 429, "rate_limit_error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			both(t, func(t *testing.T, streamed bool) {
				_, err := message(t.Context(), c.client, streamed, c.params)
				apiErr, ok := errors.AsType[*anthropic.Error](err)
				if !ok {
					t.Fatalf("not an anthropic.Error: %v", err)
				}
				if apiErr.StatusCode != c.status || string(apiErr.Type()) != c.kind || apiErr.Message == "" || !strings.HasPrefix(apiErr.RequestID, "req_") {
					t.Errorf("%d %s %s", apiErr.StatusCode, apiErr.RequestID, apiErr.RawJSON())
				}
			})
		})
	}
}

// TestAnthropicGoBroken: a stream that Google breaks off is no success.
func TestAnthropicGoBroken(t *testing.T) {
	_, err := message(t.Context(), anthropicAt(healthy, healthy.key), true, messageFor(plainModel, "Tell me. [[events 5]] [[error_event 2]]"))
	if err == nil {
		t.Error("no error")
	}
}

func TestAnthropicGoCancel(t *testing.T) {
	client := anthropicAt(healthy, healthy.key)
	upstreamFeels(t, func() time.Time {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stream := client.Messages.NewStreaming(ctx, messageFor(plainModel, slowPrompt))
		for stream.Next() {
			if stream.Current().Type == "content_block_delta" {
				break
			}
		}
		if err := stream.Err(); err != nil {
			t.Fatal(err)
		}
		gone := time.Now()
		cancel()
		return gone
	})
}

// TestAnthropicGoVersion1 is the major version that sends keys as x-api-key and
// asks for the older version of the API.
func TestAnthropicGoVersion1(t *testing.T) {
	client := anthropic1.NewClient(option1.WithBaseURL(healthy.base), option1.WithAPIKey(healthy.key), option1.WithMaxRetries(0))
	params := anthropic1.MessageNewParams{
		Model: "claude-opus-5-5", MaxTokens: 128000,
		Messages: []anthropic1.MessageParam{anthropic1.NewUserMessage(anthropic1.NewTextBlock("Say hello."))},
	}
	short := params
	short.MaxTokens = 16000 // it wants a stream for more
	whole, err := client.Messages.New(t.Context(), short)
	if err != nil || len(whole.Content) == 0 || whole.Usage.OutputTokens == 0 {
		t.Errorf("%+v, %v", whole, err)
	}
	stream := client.Messages.NewStreaming(t.Context(), params)
	var m anthropic1.Message
	for stream.Next() {
		if err := m.Accumulate(stream.Current()); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.Err(); err != nil || m.StopReason != "end_turn" || len(m.Content) == 0 {
		t.Errorf("%+v, %v", m, err)
	}
}
