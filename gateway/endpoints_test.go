// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

func (w *world) post(path, body string, header ...string) answer {
	w.t.Helper()
	return w.do(w.t.Context(), http.MethodPost, path, body, header...)
}

// TestResponses_Continue: a response is continued by its id, by its owner only,
// until it is deleted.
func TestResponses_Continue(t *testing.T) {
	w := newWorld(t, keys(2))
	type response struct {
		ID, Status string
		Output     []struct {
			Content []struct{ Text string }
		}
	}
	create := func(body string, header ...string) (r response, a answer) {
		t.Helper()
		a = w.post("/v1/responses", body, header...)
		_ = json.Unmarshal([]byte(a.body), &r)
		return r, a
	}
	first, a := create(fmt.Sprintf(`{"model":%q,"input":"My name is Ann. [[say Hello Ann]]"}`, model))
	if a.status != 200 || first.Status != "completed" || !strings.HasPrefix(first.ID, "resp_") {
		t.Fatalf("%d %s", a.status, a.body)
	}
	next := fmt.Sprintf(`{"model":%q,"input":"Who am I?","previous_response_id":%q}`, model, first.ID)
	if _, a = create(next); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	entries := w.google.Entries()
	if sent := string(entries[len(entries)-1].Body); !strings.Contains(sent, "My name is Ann") || !strings.Contains(sent, "Hello Ann") || !strings.Contains(sent, "Who am I?") {
		t.Errorf("the conversation did not go upstream whole: %s", sent)
	}
	_, other, err := w.users.Create(t.Context(), users.Spec{Name: "other", Unlimited: true})
	must(t, err)
	if _, a = create(next, "Authorization", "Bearer "+other); a.status != 404 && a.status != 400 {
		t.Errorf("another user continued it: %d %s", a.status, a.body)
	}
	if a := w.do(t.Context(), http.MethodGet, "/v1/responses/"+first.ID, ""); a.status != 200 || !strings.Contains(a.body, "Hello Ann") {
		t.Errorf("reading: %d %s", a.status, a.body)
	}
	if a := w.do(t.Context(), http.MethodGet, "/v1/responses/"+first.ID, "", "Authorization", "Bearer "+other); a.status != 404 {
		t.Errorf("another user read it: %d %s", a.status, a.body)
	}
	if a := w.do(t.Context(), http.MethodDelete, "/v1/responses/"+first.ID, "", "Authorization", "Bearer "+other); a.status != 404 {
		t.Errorf("another user deleted it: %d %s", a.status, a.body)
	}
	if a := w.do(t.Context(), http.MethodDelete, "/v1/responses/"+first.ID, ""); a.status != 200 || !strings.Contains(a.body, `"deleted":true`) {
		t.Errorf("deleting: %d %s", a.status, a.body)
	}
	if _, a = create(next); a.status == 200 {
		t.Error("a deleted response was continued")
	}
	private, _ := create(fmt.Sprintf(`{"model":%q,"input":"secret","store":false}`, model))
	if _, a = create(fmt.Sprintf(`{"model":%q,"input":"x","previous_response_id":%q}`, model, private.ID)); a.status == 200 {
		t.Error("a response that was not to be stored was continued")
	}
}

func TestResponses_Stream(t *testing.T) {
	w := newWorld(t, keys(2))
	a := w.post("/v1/responses", fmt.Sprintf(`{"model":%q,"input":"hi","stream":true}`, model))
	if a.status != 200 || !strings.HasPrefix(a.body, "event: response.created\n") || !strings.Contains(a.body, "event: response.completed\n") {
		t.Errorf("%d %s", a.status, a.body)
	}
	a = w.post("/v1/responses", fmt.Sprintf(`{"model":%q,"input":"[[events 9]][[pace 9ms]][[error_event 4]]","stream":true}`, model))
	if a.status != 200 || !strings.Contains(a.body, "event: response.failed\n") || strings.Contains(a.body, "response.completed") {
		t.Errorf("%d %s", a.status, a.body)
	}
	a = w.post("/v1/responses/input_tokens", fmt.Sprintf(`{"model":%q,"input":"hi"}`, model))
	if a.status != 200 || !strings.Contains(a.body, `"input_tokens":`) {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestEmbeddings_Batch: more inputs than one call takes are answered in order,
// also when one call meets a dead key.
func TestEmbeddings_Batch(t *testing.T) {
	google := keys(3)
	google.Keys[1].State = fakegemini.KeyInvalid
	w := newWorld(t, google)
	var inputs []string
	for i := range 250 {
		inputs = append(inputs, fmt.Sprint("text ", i))
	}
	list, _ := json.Marshal(inputs)
	a := w.post("/v1/embeddings", `{"model":"gemini-embedding-001","dimensions":128,"encoding_format":"float","input":`+string(list)+`}`)
	var got struct {
		Data []struct {
			Index     int
			Embedding []float64
		}
	}
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.status != 200 || len(got.Data) != 250 {
		t.Fatalf("%d %v %d %.300s", a.status, err, len(got.Data), a.body)
	}
	alone := w.post("/v1/embeddings", `{"model":"gemini-embedding-001","dimensions":128,"encoding_format":"float","input":"text 249"}`)
	var one struct {
		Data []struct{ Embedding []float64 }
	}
	must(t, json.Unmarshal([]byte(alone.body), &one))
	if fmt.Sprint(got.Data[249].Embedding) != fmt.Sprint(one.Data[0].Embedding) || got.Data[249].Index != 249 {
		t.Error("the last input of the batch has another vector than alone")
	}
	if n := w.google.Count(fakegemini.ByStatus(200), fakegemini.ByMethod("batchEmbedContents")); n != 4 {
		t.Errorf("%d calls answered, want 3 for 250 inputs and 1 for one", n)
	}
	w.google.Script(fakegemini.Rule{Method: "batchEmbedContents", Skip: 1, Times: 1, Steer: fakegemini.Steer{Status: 400}})
	if a := w.post("/v1/embeddings", `{"model":"gemini-embedding-001","input":`+string(list)+`}`); a.status != 400 {
		t.Errorf("a part failed for good: %d %.300s", a.status, a.body)
	}
}

func TestFurtherEndpoints(t *testing.T) {
	w := newWorld(t, keys(2))
	for name, tc := range map[string]struct{ path, body, kind, contains string }{
		"completions":        {"/v1/completions", fmt.Sprintf(`{"model":%q,"prompt":"Say [[say once]]"}`, model), "application/json", `"text":"once"`},
		"completions stream": {"/v1/completions", fmt.Sprintf(`{"model":%q,"prompt":"Say [[say once]]","stream":true}`, model), "text/event-stream", "data: [DONE]"},
		"image":              {"/v1/images/generations", `{"model":"gemini-2.5-flash-image","prompt":"a fox"}`, "application/json", `"b64_json":"`},
		"two images":         {"/v1/images/generations", `{"model":"gemini-2.5-flash-image","prompt":"a fox","n":2}`, "application/json", `"b64_json":"`},
		"speech":             {"/v1/audio/speech", `{"model":"gemini-2.5-flash-preview-tts","input":"hello","voice":"alloy","response_format":"wav"}`, "audio/wav", "RIFF"},
		"two choices":        {"/v1/chat/completions", fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hi"}],"n":2}`, model), "application/json", `"index":1`},
	} {
		a := w.post(tc.path, tc.body)
		if a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), tc.kind) || !strings.Contains(a.body, tc.contains) {
			t.Errorf("%s: %d %v %.400s", name, a.status, a.header, a.body)
		}
	}
}

// form is a multipart body of fields and one file.
func form(t testing.TB, file, name string, data []byte, fields ...string) (kind, body string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(fields); i += 2 {
		must(t, w.WriteField(fields[i], fields[i+1]))
	}
	part, err := w.CreateFormFile(file, name)
	must(t, err)
	_, err = part.Write(data)
	must(t, err)
	must(t, w.Close())
	return w.FormDataContentType(), b.String()
}

func TestForms(t *testing.T) {
	w := newWorld(t, keys(2))
	png, _ := base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
	wav := append([]byte("RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\x3e\x00\x00\x00\x7d\x00\x00\x02\x00\x10\x00data\x00\x00\x00\x00"), make([]byte, 100)...)
	for _, tc := range []struct {
		path, file, name string
		data             []byte
		fields           []string
		contains         string
	}{
		{"/v1/images/edits", "image", "a.png", png, []string{"model", "gemini-2.5-flash-image", "prompt", "make it red"}, `"b64_json":"`},
		{"/v1/audio/transcriptions", "file", "a.wav", wav, []string{"model", "gemini-2.5-flash", "prompt", "[[say what was said]]"}, `"text":"what was said"`},
		{"/v1/audio/translations", "file", "a.wav", wav, []string{"model", "gemini-2.5-flash"}, `"text":"`},
	} {
		kind, body := form(t, tc.file, tc.name, tc.data, tc.fields...)
		if a := w.post(tc.path, body, "Content-Type", kind); a.status != 200 || !strings.Contains(a.body, tc.contains) {
			t.Errorf("%s: %d %.400s", tc.path, a.status, a.body)
		}
		if a := w.post(tc.path, `{}`, "Content-Type", "application/json"); a.status != 415 || !strings.Contains(a.body, "multipart/form-data") {
			t.Errorf("%s as JSON: %d %.400s", tc.path, a.status, a.body)
		}
	}
}

// TestSpeech_SaysIt: a text that the model took for an instruction is asked to be
// said, once.
func TestSpeech_SaysIt(t *testing.T) {
	w := newWorld(t, keys(2))
	w.google.Script(fakegemini.Rule{Times: 1, Steer: fakegemini.Steer{Status: 400, Body: `{"error":{"code":400,"message":"Model tried to generate text, but it should only be used for TTS.","status":"INVALID_ARGUMENT"}}`}})
	a := w.post("/v1/audio/speech", `{"model":"gemini-2.5-flash-preview-tts","input":"Write a poem","voice":"alloy","response_format":"wav"}`)
	entries := w.google.Entries()
	if a.status != 200 || len(entries) != 2 || !strings.Contains(string(entries[1].Body), "Say: Write a poem") {
		t.Errorf("%d %.200s, %d attempts", a.status, a.body, len(entries))
	}
}
