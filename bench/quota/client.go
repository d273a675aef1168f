// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Sample is what a client saw of one request.
type Sample struct {
	Arrival
	N          int
	Ended      time.Duration // since the start
	Status     int           // 0 = cut before any
	RetryAfter time.Duration // announced; negative = nothing
	Whole      bool          // the text is whole
	Complete   bool          // it looks complete: finish reason, [DONE]
	Failed     bool          // 200, then an error in-band or a cut
	Text       string        // of the answer, for conversations
	Error      string        // first bytes of an error
}

// Served reports whether it is an answer.
func (s *Sample) Served() bool { return s.Status == http.StatusOK && s.Whole && s.Complete }

// message is one of a conversation, in OpenAI's words.
type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// ask sends a request straight to the gateway's handler: what lies before it is
// no part of the question.
func (w *world) ask(a Arrival, n int, stream bool, conversation []message) Sample {
	messages := append(conversation, message{"user", a.Prompt})
	body, err := json.Marshal(map[string]any{"model": a.Model, "messages": messages, "stream": stream})
	if err != nil {
		panic(err) // our own types
	}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://gateway/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		panic(err) // our own URL
	}
	r.RemoteAddr = "127.0.0.1:1"
	r.Header.Set("Authorization", "Bearer "+w.key)
	answer := &recorder{header: http.Header{}}
	w.serve(answer, r)
	s := Sample{Arrival: a, N: n, Status: answer.status, RetryAfter: -1}
	if ms, err := strconv.ParseInt(answer.header.Get("Retry-After-Ms"), 10, 64); err == nil {
		s.RetryAfter = time.Duration(ms) * time.Millisecond
	}
	switch {
	case s.Status != http.StatusOK:
		s.Error = string(answer.body.Bytes()[:min(answer.body.Len(), 300)])
	case stream:
		s.readStream(answer.body.String())
	default:
		s.readWhole(answer.body.Bytes())
	}
	s.Whole = strings.HasSuffix(s.Text, mark(n))
	s.Failed = s.Status == http.StatusOK && !s.Complete
	return s
}

// serve calls the gateway; a panic cuts the connection, as net/http does it.
func (w *world) serve(answer *recorder, r *http.Request) {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
			panic(p)
		}
	}()
	w.gw.Load().ServeHTTP(answer, r)
}

// chunk is what is read of an answer or of an event.
type chunk struct {
	Choices []struct {
		Message, Delta struct{ Content string }
		FinishReason   string `json:"finish_reason"`
	}
	Error json.RawMessage
}

func (s *Sample) readWhole(body []byte) {
	var c chunk
	if json.Unmarshal(body, &c) != nil || len(c.Choices) != 1 {
		s.Error = string(body[:min(len(body), 300)])
		return
	}
	s.Text, s.Complete = c.Choices[0].Message.Content, c.Choices[0].FinishReason != ""
}

// readStream takes either mark of an end as "looks complete": clients differ.
func (s *Sample) readStream(body string) {
	var text strings.Builder
	for line := range strings.Lines(body) {
		data, ok := strings.CutPrefix(strings.TrimSpace(line), "data: ")
		if !ok {
			continue
		}
		if data == "[DONE]" {
			s.Complete = true
			continue
		}
		var c chunk
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			s.Error = "not JSON: " + data[:min(len(data), 100)]
			continue
		}
		if c.Error != nil {
			s.Error = string(c.Error)
		}
		for _, choice := range c.Choices {
			text.WriteString(choice.Delta.Content)
			s.Complete = s.Complete || choice.FinishReason != ""
		}
	}
	s.Text = text.String()
}

// recorder is a client's connection in memory.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}

// Flush implements [http.Flusher].
func (r *recorder) Flush() { r.WriteHeader(http.StatusOK) }

// SetWriteDeadline is what [http.ResponseController] looks for.
func (r *recorder) SetWriteDeadline(time.Time) error { return nil }
