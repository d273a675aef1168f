// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/responses"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

// named is what a file is uploaded as.
func named(name, data string) openai.FileNewParams {
	return openai.FileNewParams{File: openai.File(strings.NewReader(data), name, "text/plain"), Purpose: openai.FilePurposeUserData}
}

// goneTo demands that err is a 404 of the API.
func goneTo(t *testing.T, what string, err error) {
	t.Helper()
	var apiErr *openai.Error
	if !errors.As(err, &apiErr) || apiErr.StatusCode != 404 || !strings.HasPrefix(apiErr.Message, "No such File object: file-") {
		t.Errorf("%s: %v", what, err)
	}
}

func TestOpenAIGoFiles(t *testing.T) {
	client := openaiAt(healthy, healthy.key)
	file, err := client.Files.New(t.Context(), named("notes.txt", "some notes"))
	if err != nil {
		t.Fatal(err)
	}
	if file.Bytes != 10 || file.Filename != "notes.txt" || file.Purpose != "user_data" || file.ExpiresAt-file.CreatedAt != 48*3600 {
		t.Errorf("%+v", file)
	}
	got, err := client.Files.Get(t.Context(), file.ID)
	if err != nil || got.ID != file.ID || got.CreatedAt != file.CreatedAt {
		t.Errorf("%+v, %v", got, err)
	}
	params := hello(plainModel)
	params.Messages = []openai.ChatCompletionMessageParamUnion{openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
		openai.TextContentPart("What is it?"), openai.FileContentPart(openai.ChatCompletionContentPartFileFileParam{FileID: openai.String(file.ID)}),
	})}
	if answer, err := client.Chat.Completions.New(t.Context(), params); err != nil || answer.Choices[0].Message.Content == "" {
		t.Errorf("%+v, %v", answer, err)
	}
	ask := responses.ResponseNewParams{Model: plainModel, Input: responses.ResponseNewParamsInputUnion{OfInputItemList: []responses.ResponseInputItemUnionParam{
		responses.ResponseInputItemParamOfMessage(responses.ResponseInputMessageContentListParam{
			{OfInputFile: &responses.ResponseInputFileParam{FileID: openai.String(file.ID)}},
		}, responses.EasyInputMessageRoleUser),
	}}}
	both(t, func(t *testing.T, streamed bool) {
		if r := respond(t, client, streamed, ask); r.Status != "completed" {
			t.Errorf("%+v", r)
		}
	})
	key, err := healthy.userKey()
	if err != nil {
		t.Fatal(err)
	}
	stranger := openaiAt(healthy, key)
	_, err = stranger.Files.Get(t.Context(), file.ID)
	goneTo(t, "a stranger reads", err)
	_, err = stranger.Files.Delete(t.Context(), file.ID)
	goneTo(t, "a stranger deletes", err)
	_, err = stranger.Chat.Completions.New(t.Context(), params)
	goneTo(t, "a stranger asks", err)
	if page, err := stranger.Files.List(t.Context(), openai.FileListParams{}); err != nil || len(page.Data) != 0 {
		t.Errorf("a stranger lists: %+v, %v", page, err)
	}
	if deleted, err := client.Files.Delete(t.Context(), file.ID); err != nil || !deleted.Deleted {
		t.Errorf("%+v, %v", deleted, err)
	}
	_, err = client.Files.Get(t.Context(), file.ID)
	goneTo(t, "after deletion", err)
	if v := healthy.google.Violations(fakegemini.Foreign); len(v) > 0 {
		t.Error(v)
	}
}

func TestOpenAIGoFiles_Pages(t *testing.T) {
	key, err := healthy.userKey()
	if err != nil {
		t.Fatal(err)
	}
	client := openaiAt(healthy, key)
	for i := range 5 {
		if _, err := client.Files.New(t.Context(), named(fmt.Sprint(i, ".txt"), "x")); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	pages := client.Files.ListAutoPaging(t.Context(), openai.FileListParams{Limit: openai.Int(2)})
	for pages.Next() {
		seen[pages.Current().Filename] = true
	}
	if pages.Err() != nil || len(seen) != 5 {
		t.Errorf("%v, %v", seen, pages.Err())
	}
}

// TestOpenAIGoFiles_Large: 64 MiB, which nobody holds at once.
func TestOpenAIGoFiles_Large(t *testing.T) {
	client := openaiAt(healthy, healthy.key)
	file, err := client.Files.New(t.Context(), openai.FileNewParams{
		File: openai.File(bytes.NewReader(make([]byte, 64<<20)), "large.bin", "application/octet-stream"), Purpose: openai.FilePurposeUserData,
	})
	if err != nil || file.Bytes != 64<<20 {
		t.Fatalf("%+v, %v", file, err)
	}
	if _, err := client.Files.Delete(t.Context(), file.ID); err != nil {
		t.Error(err)
	}
}
