// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/genai"
)

const (
	liveModel  = "gemini-2.5-flash-native-audio-preview"
	videoModel = "veo-3.1-generate-preview"
)

// until asks again until it is done.
func until[T any](t *testing.T, ask func() (T, error), done func(T) bool) T {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		got, err := ask()
		if err != nil {
			t.Fatal(err)
		}
		if done(got) {
			return got
		}
	}
	t.Fatal("still not done")
	panic("unreachable")
}

// missing checks that Google's form of 404 came.
func missing(t *testing.T, err error) {
	t.Helper()
	if apiErr, ok := errors.AsType[genai.APIError](err); !ok || apiErr.Code != http.StatusNotFound {
		t.Errorf("want 404, got %v", err)
	}
}

func TestGenAIGoFiles(t *testing.T) {
	ctx, client := t.Context(), genaiAt(t, healthy, healthy.key)
	for _, size := range []int{100, 8<<20 + 17} { // one piece, and two
		file, err := client.Files.Upload(ctx, bytes.NewReader(bytes.Repeat([]byte("a"), size)), &genai.UploadFileConfig{MIMEType: "text/plain", DisplayName: "note.txt"})
		if err != nil || file.SizeBytes == nil || *file.SizeBytes != int64(size) {
			t.Fatalf("%+v, %v", file, err)
		}
		if got, err := client.Files.Get(ctx, file.Name, nil); err != nil || got.State != genai.FileStateActive {
			t.Errorf("get: %+v, %v", got, err)
		}
		answer, err := client.Models.GenerateContent(ctx, plainModel, []*genai.Content{genai.NewContentFromParts([]*genai.Part{
			genai.NewPartFromText("What is it?"), genai.NewPartFromURI(file.URI, file.MIMEType),
		}, genai.RoleUser)}, nil)
		if err != nil || !strings.Contains(answer.Text(), file.Name) {
			t.Errorf("in a prompt: %v, %v", answer, err)
		}
		found := false
		for f, err := range client.Files.All(ctx) {
			found = found || err == nil && f.Name == file.Name
		}
		if !found {
			t.Error("not listed")
		}
		if _, err := client.Files.Delete(ctx, file.Name, nil); err != nil {
			t.Error(err)
		}
		_, err = client.Files.Get(ctx, file.Name, nil)
		missing(t, err)
	}
}

func TestGenAIGoCaches(t *testing.T) {
	ctx, client := t.Context(), genaiAt(t, healthy, healthy.key)
	cache, err := client.Caches.Create(ctx, plainModel, &genai.CreateCachedContentConfig{
		Contents: genai.Text(strings.Repeat("A text that is asked about again and again. ", 500)), TTL: 10 * time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Models.GenerateContent(ctx, plainModel, genai.Text("What is in it?"), &genai.GenerateContentConfig{CachedContent: cache.Name})
	if err != nil || answer.UsageMetadata.CachedContentTokenCount == 0 {
		t.Errorf("in a prompt: %v, %v", answer, err)
	}
	if renewed, err := client.Caches.Update(ctx, cache.Name, &genai.UpdateCachedContentConfig{TTL: time.Hour}); err != nil || !renewed.ExpireTime.After(cache.ExpireTime) {
		t.Errorf("update: %+v, %v", renewed, err)
	}
	found := false
	for c, err := range client.Caches.All(ctx) {
		found = found || err == nil && c.Name == cache.Name
	}
	if !found {
		t.Error("not listed")
	}
	if _, err := client.Caches.Delete(ctx, cache.Name, nil); err != nil {
		t.Error(err)
	}
	_, err = client.Caches.Get(ctx, cache.Name, nil)
	missing(t, err)
}

func TestGenAIGoBatches(t *testing.T) {
	ctx, client := t.Context(), genaiAt(t, healthy, healthy.key)
	lines := `{"key": "one", "request": {"contents": [{"role": "user", "parts": [{"text": "One."}]}]}}` + "\n"
	source, err := client.Files.Upload(ctx, strings.NewReader(lines), &genai.UploadFileConfig{MIMEType: "application/jsonl"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		src  *genai.BatchJobSource
	}{
		{"in the request", &genai.BatchJobSource{InlinedRequests: []*genai.InlinedRequest{{Contents: genai.Text("One.")}}}},
		{"by file", &genai.BatchJobSource{FileName: source.Name}},
	} {
		t.Run(c.name, func(t *testing.T) {
			made, err := client.Batches.Create(ctx, plainModel, c.src, nil)
			if err != nil {
				t.Fatal(err)
			}
			job := until(t, func() (*genai.BatchJob, error) { return client.Batches.Get(ctx, made.Name, nil) },
				func(j *genai.BatchJob) bool { return j.State == genai.JobStateSucceeded })
			if c.src.FileName == "" {
				if len(job.Dest.InlinedResponses) != 1 || !strings.Contains(job.Dest.InlinedResponses[0].Response.Text(), "One.") {
					t.Errorf("%+v", job.Dest)
				}
			} else if results, err := client.Files.Download(ctx, genai.NewDownloadURIFromFile(&genai.File{Name: job.Dest.FileName, DownloadURI: job.Dest.FileName}), nil); err != nil || !bytes.Contains(results, []byte(`"one"`)) {
				t.Errorf("results: %s, %v", results, err)
			}
			if _, err := client.Batches.Delete(ctx, made.Name, nil); err != nil {
				t.Error(err)
			}
			_, err = client.Batches.Get(ctx, made.Name, nil)
			missing(t, err)
		})
	}
}

func TestGenAIGoVideos(t *testing.T) {
	ctx, client := t.Context(), genaiAt(t, healthy, healthy.key)
	operation, err := client.Models.GenerateVideos(ctx, videoModel, "A cat", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	operation = until(t, func() (*genai.GenerateVideosOperation, error) {
		return client.Operations.GetVideosOperation(ctx, operation, nil)
	}, func(o *genai.GenerateVideosOperation) bool { return o.Done })
	if len(operation.Response.GeneratedVideos) == 0 {
		t.Fatalf("%+v", operation)
	}
	data, err := client.Files.Download(ctx, genai.NewDownloadURIFromGeneratedVideo(operation.Response.GeneratedVideos[0]), nil)
	if err != nil || len(data) == 0 || bytes.HasPrefix(data, []byte("{")) {
		t.Errorf("%.200s, %v", data, err)
	}
}

// TestGenAIGoLive needs a ws:// base, because the SDK takes wss:// for every other.
func TestGenAIGoLive(t *testing.T) {
	client, err := genai.NewClient(t.Context(), &genai.ClientConfig{
		APIKey: healthy.key, Backend: genai.BackendGeminiAPI,
		HTTPOptions: genai.HTTPOptions{BaseURL: strings.Replace(healthy.base, "http://", "ws://", 1)},
	})
	if err != nil {
		t.Fatal(err)
	}
	session, err := client.Live.Connect(t.Context(), liveModel, &genai.LiveConnectConfig{ResponseModalities: []genai.Modality{genai.ModalityText}})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	for _, prompt := range []string{"Hello.", "And again."} {
		if err := session.SendClientContent(genai.LiveClientContentInput{Turns: genai.Text(prompt)}); err != nil {
			t.Fatal(err)
		}
		var said string
		for done := false; !done; {
			m, err := session.Receive()
			if err != nil {
				t.Fatal(err)
			}
			if c := m.ServerContent; c != nil {
				if c.ModelTurn != nil {
					for _, p := range c.ModelTurn.Parts {
						said += p.Text
					}
				}
				done = c.TurnComplete
			}
		}
		if !strings.Contains(said, prompt) {
			t.Errorf("it said %q", said)
		}
	}
}
