// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

// The upstream answers with prepared bytes, so that its own cost is small and
// equal for both systems. The model's name picks the scenario.
const (
	modelSmall  = "gemini-3-flash-preview" // one small answer
	modelFast   = "gemini-3.5-flash"       // 50 events at full speed
	modelSlow   = "gemini-3.6-flash"       // 50 events 10 ms apart
	modelHeld   = "gemini-3.7-flash"       // one event, and silence until the client leaves
	modelVector = "gemini-embedding-001"   // an embedding of 768 dimensions
	events      = 50
)

func startUpstream() (*httptest.Server, error) {
	small := []byte(`{"candidates":[{"content":{"parts":[{"text":"` + strings.Repeat("The quick brown fox jumps over the lazy dog. ", 8) + `"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":180,"candidatesTokenCount":80,"totalTokenCount":260,"promptTokensDetails":[{"modality":"TEXT","tokenCount":180}]},"modelVersion":"gemini-3-flash-preview","responseId":"b36LaY3KGr2jnsEP"}`)
	vector := []byte(`{"embeddings":[{"values":[` + strings.Repeat("-0.036084392,", 767) + `0.036084392]}]}`)
	var list [events][]byte
	for i := range list {
		finish := ""
		if i == events-1 {
			finish = `"finishReason":"STOP",`
		}
		list[i] = fmt.Appendf(nil, "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"%s\"}],\"role\": \"model\"},%s\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 180,\"candidatesTokenCount\": %d,\"totalTokenCount\": %d,\"promptTokensDetails\": [{\"modality\": \"TEXT\",\"tokenCount\": 180}]},\"modelVersion\": \"gemini-3.5-flash\",\"responseId\": \"b36LaY3KGr2jnsEPgI2t6Ao\"}\r\n\r\n",
			strings.Repeat("lorem ipsum ", 18), finish, i+1, 181+i)
	}
	return listen(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodGet { // a probe of a Gemini key
			_, _ = w.Write([]byte(`{"models":[]}`))
			return
		}
		if strings.HasSuffix(r.URL.Path, ":batchEmbedContents") {
			w.Header().Set("Content-Type", "application/json; charset=UTF-8")
			_, _ = w.Write(vector)
			return
		}
		if strings.HasSuffix(r.URL.Path, ":generateContent") {
			w.Header().Set("Content-Type", "application/json; charset=UTF-8")
			_, _ = w.Write(small)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		flush := w.(http.Flusher).Flush
		for _, event := range list {
			if strings.Contains(r.URL.Path, modelSlow) {
				time.Sleep(10 * time.Millisecond)
			}
			_, _ = w.Write(event)
			flush()
			if strings.Contains(r.URL.Path, modelHeld) {
				<-r.Context().Done()
				return
			}
		}
	}))
}
