// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"time"
)

// The upstream answers with prepared bytes, so that its own cost is small and
// equal for all systems. The model's name picks the scenario.
const (
	modelSmall  = "gemini-3-flash-preview" // one small answer
	modelFast   = "gemini-3.5-flash"       // 50 events at full speed
	modelSlow   = "gemini-3.6-flash"       // 50 events 10 ms apart
	modelHeld   = "gemini-3.7-flash"       // one event, and silence until the client leaves; two, where they are an array
	modelVector = "gemini-embedding-001"   // an embedding of 768 dimensions
	events      = 50
)

// What the answers are made of, and how many of each: one of each event, in a stream.
const (
	fox, foxes      = "The quick brown fox jumps over the lazy dog. ", 8
	lorem, lorems   = "lorem ipsum ", 18
	number, numbers = "0.03608", 768 // as far as a vector keeps it whose length is made one
)

func startUpstream() (*httptest.Server, error) {
	small := []byte(`{"candidates":[{"content":{"parts":[{"text":"` + strings.Repeat(fox, foxes) + `"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":180,"candidatesTokenCount":80,"totalTokenCount":260,"promptTokensDetails":[{"modality":"TEXT","tokenCount":180}]},"modelVersion":"gemini-3-flash-preview","responseId":"b36LaY3KGr2jnsEP"}`)
	values := `{"values":[` + strings.Repeat("-"+number+"4392,", numbers-1) + number + `4392]}`
	whole := map[string][]byte{
		"generateContent":    small,
		"batchEmbedContents": []byte(`{"embeddings":[` + values + `]}`),
		"embedContent":       []byte(`{"embedding":` + values + `}`),
	}
	var sse, array [events][]byte
	for i := range events {
		finish, before, after := "", ",\r\n", "\n"
		if i == 0 {
			before = "["
		}
		if i == events-1 {
			finish, after = `"finishReason":"STOP",`, "\n]\n"
		}
		event := fmt.Sprintf("{\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"%s\"}],\"role\": \"model\"},%s\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 180,\"candidatesTokenCount\": %d,\"totalTokenCount\": %d,\"promptTokensDetails\": [{\"modality\": \"TEXT\",\"tokenCount\": 180}]},\"modelVersion\": \"gemini-3.5-flash\",\"responseId\": \"b36LaY3KGr2jnsEPgI2t6Ao\"}",
			strings.Repeat(lorem, lorems), finish, i+1, 181+i)
		sse[i], array[i] = []byte("data: "+event+"\r\n\r\n"), []byte(before+event+after)
	}
	return listen(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodGet { // a probe of a Gemini key
			_, _ = w.Write([]byte(`{"models":[]}`))
			return
		}
		_, verb, _ := strings.Cut(path.Base(r.URL.Path), ":")
		if answer, ok := whole[verb]; ok {
			w.Header().Set("Content-Type", "application/json; charset=UTF-8")
			_, _ = w.Write(answer)
			return
		}
		if r.URL.Query().Get("alt") == "sse" {
			w.Header().Set("Content-Type", "text/event-stream")
			stream(w, r, sse[:], 1)
		} else { // as Google does: a peer may show an event when the next one comes
			w.Header().Set("Content-Type", "application/json; charset=UTF-8")
			stream(w, r, array[:], 2)
		}
	}))
}

// stream sends a list of events; the model that holds its streams sends so many of them.
func stream(w http.ResponseWriter, r *http.Request, list [][]byte, held int) {
	slow, holds := strings.Contains(r.URL.Path, modelSlow), strings.Contains(r.URL.Path, modelHeld)
	flush := w.(http.Flusher).Flush
	for i, event := range list {
		if slow {
			time.Sleep(10 * time.Millisecond)
		}
		_, _ = w.Write(event)
		flush()
		if holds && i+1 == held {
			<-r.Context().Done()
			return
		}
	}
}
