// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"google.golang.org/genai"
)

func genaiAt(t *testing.T, g *gateway, key string) *genai.Client {
	t.Helper()
	client, err := genai.NewClient(t.Context(), &genai.ClientConfig{
		APIKey:      key,
		Backend:     genai.BackendGeminiAPI,
		HTTPOptions: genai.HTTPOptions{BaseURL: g.base, RetryOptions: &genai.HTTPRetryOptions{Attempts: genai.Ptr(int32(1))}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// generate asks once, streamed or not, and returns the text and the last answer.
func generate(ctx context.Context, client *genai.Client, streamed bool, model string, contents []*genai.Content, config *genai.GenerateContentConfig) (text string, last *genai.GenerateContentResponse, err error) {
	if !streamed {
		last, err = client.Models.GenerateContent(ctx, model, contents, config)
		if err != nil {
			return "", nil, err
		}
		return last.Text(), last, nil
	}
	for chunk, err := range client.Models.GenerateContentStream(ctx, model, contents, config) {
		if err != nil {
			return text, last, err
		}
		text, last = text+chunk.Text(), chunk
	}
	return text, last, nil
}

func TestGenAIGoGenerate(t *testing.T) {
	client := genaiAt(t, healthy, healthy.key)
	png := []byte("\x89PNG\r\n\x1a\n")
	for _, c := range []struct {
		name     string
		contents []*genai.Content
	}{
		{"text", genai.Text("Say hello.")},
		{"image", []*genai.Content{genai.NewContentFromParts([]*genai.Part{
			genai.NewPartFromText("What is it?"), genai.NewPartFromBytes(png, "image/png"),
		}, genai.RoleUser)}},
		{"turns", []*genai.Content{
			genai.NewContentFromText("My name is Ada.", genai.RoleUser),
			genai.NewContentFromText("Hello Ada.", genai.RoleModel),
			genai.NewContentFromText("What is my name?", genai.RoleUser),
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			both(t, func(t *testing.T, streamed bool) {
				text, last, err := generate(t.Context(), client, streamed, plainModel, c.contents, nil)
				if err != nil {
					t.Fatal(err)
				}
				if text == "" || last.Candidates[0].FinishReason != genai.FinishReasonStop || last.UsageMetadata.TotalTokenCount == 0 {
					t.Errorf("text %q, last answer %+v", text, last)
				}
			})
		})
	}
}

func TestGenAIGoStructured(t *testing.T) {
	client := genaiAt(t, healthy, healthy.key)
	both(t, func(t *testing.T, streamed bool) {
		text, _, err := generate(t.Context(), client, streamed, plainModel, genai.Text("Name a city."),
			&genai.GenerateContentConfig{ResponseMIMEType: "application/json", ResponseJsonSchema: citySchema})
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid([]byte(text)) {
			t.Errorf("not JSON: %s", text)
		}
	})
}

func TestGenAIGoTools(t *testing.T) {
	client := genaiAt(t, healthy, healthy.key)
	city := &genai.Schema{Type: genai.TypeObject, Properties: map[string]*genai.Schema{"city": {Type: genai.TypeString}}}
	config := &genai.GenerateContentConfig{Tools: []*genai.Tool{{FunctionDeclarations: []*genai.FunctionDeclaration{
		{Name: "get_weather", Description: "Weather of a city", Parameters: city},
		{Name: "get_time", Description: "Local time of a city", Parameters: city},
	}}}}
	both(t, func(t *testing.T, streamed bool) {
		chat, err := client.Chats.Create(t.Context(), signingModel, config, nil)
		if err != nil {
			t.Fatal(err)
		}
		send := func(parts ...genai.Part) (text string, calls []*genai.FunctionCall) {
			t.Helper()
			if !streamed {
				answer, err := chat.SendMessage(t.Context(), parts...)
				if err != nil {
					t.Fatal(err)
				}
				return answer.Text(), answer.FunctionCalls()
			}
			for chunk, err := range chat.SendMessageStream(t.Context(), parts...) {
				if err != nil {
					t.Fatal(err)
				}
				text += chunk.Text()
				calls = append(calls, chunk.FunctionCalls()...)
			}
			return text, calls
		}
		_, calls := send(genai.Part{Text: callBoth})
		if len(calls) != 2 {
			t.Fatalf("%d calls", len(calls))
		}
		var results []genai.Part
		for _, call := range calls {
			results = append(results, genai.Part{FunctionResponse: &genai.FunctionResponse{
				ID: call.ID, Name: call.Name, Response: map[string]any{"output": "fine"},
			}})
		}
		if text, _ := send(results...); text == "" {
			t.Error("no text after the results")
		}
	})
}

func TestGenAIGoOtherMethods(t *testing.T) {
	client := genaiAt(t, healthy, healthy.key)
	count, err := client.Models.CountTokens(t.Context(), plainModel, genai.Text("Say hello."), nil)
	if err != nil || count.TotalTokens == 0 {
		t.Errorf("countTokens: %+v, %v", count, err)
	}
	embedded, err := client.Models.EmbedContent(t.Context(), embedModel, genai.Text("one"), nil)
	if err != nil || len(embedded.Embeddings) != 1 || len(embedded.Embeddings[0].Values) == 0 {
		t.Errorf("embedContent: %v", err)
	}
	if m, err := client.Models.Get(t.Context(), plainModel, nil); err != nil || m.Name != "models/"+plainModel {
		t.Errorf("models.get: %+v, %v", m, err)
	}
	found := false
	for m, err := range client.Models.All(t.Context()) {
		if err != nil {
			t.Fatal("models.list:", err)
		}
		found = found || m.Name == "models/"+plainModel
	}
	if !found {
		t.Error("models.list lacks", plainModel)
	}
}

func TestGenAIGoErrors(t *testing.T) {
	hot := &genai.GenerateContentConfig{Temperature: genai.Ptr[float32](9)}
	for _, c := range []struct {
		name   string
		client *genai.Client
		model  string
		config *genai.GenerateContentConfig
		code   int
		status string
	}{
		{"unknown user key", genaiAt(t, healthy, "gb-wrong"), plainModel, nil, 400, "INVALID_ARGUMENT"}, // as Google says it
		{"unknown model", genaiAt(t, healthy, healthy.key), "gemini-none", nil, 404, "NOT_FOUND"},
		{"bad request", genaiAt(t, healthy, healthy.key), plainModel, hot, 400, "INVALID_ARGUMENT"},
		{"all keys out of quota", genaiAt(t, exhausted, exhausted.key), plainModel, nil, 429, "RESOURCE_EXHAUSTED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			both(t, func(t *testing.T, streamed bool) {
				_, _, err := generate(t.Context(), c.client, streamed, c.model, genai.Text("Say hello."), c.config)
				var apiErr genai.APIError
				if !errors.As(err, &apiErr) {
					t.Fatalf("not a genai.APIError: %v", err)
				}
				if apiErr.Code != c.code || apiErr.Status != c.status || apiErr.Message == "" {
					t.Errorf("got %d %s %q", apiErr.Code, apiErr.Status, apiErr.Message)
				}
			})
		})
	}
}

func TestGenAIGoCancel(t *testing.T) {
	client := genaiAt(t, healthy, healthy.key)
	upstreamFeels(t, func() (gone time.Time) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for _, err := range client.Models.GenerateContentStream(ctx, plainModel, genai.Text(slowPrompt), nil) {
			if gone.IsZero() && err != nil {
				t.Fatal(err)
			}
			if gone.IsZero() {
				gone = time.Now()
				cancel()
			}
		}
		return gone
	})
}
