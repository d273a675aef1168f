// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

// traced makes the requests of a world those of a site with tracing; spans are those
// that ended, at least n: clients have their answers before.
func (w *world) traced(sampler sdktrace.Sampler, but ...string) (spans func(n int) tracetest.SpanStubs) {
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter), sdktrace.WithSampler(sampler))
	w.t.Cleanup(func() { must(w.t, provider.Shutdown(context.Background())) })
	w.wrap = func(ctx context.Context) context.Context {
		ctx, parent := provider.Tracer("caddy").Start(ctx, "handler", trace.WithSpanKind(trace.SpanKindServer))
		context.AfterFunc(ctx, func() { parent.End() })
		return ctx
	}
	return func(n int) (ours tracetest.SpanStubs) {
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			ours = nil
			for _, s := range exporter.GetSpans() {
				if s.InstrumentationScope.Name == tracerName && !slices.Contains(but, s.Name) {
					ours = append(ours, s)
				}
			}
			if len(ours) >= n {
				break
			}
		}
		return ours
	}
}

// waiting is the span of a wait. A client has its answer before its key is free again, so
// that what it asks next may wait for that.
const waiting = "wait for a Gemini key"

func attributes(s *tracetest.SpanStub) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes {
		all[string(a.Key)] = fmt.Sprint(a.Value.AsInterface())
	}
	return all
}

// TestTracing: a request is a span for each attempt and for the wait between them, all
// of them children of Caddy's, and Google hears nothing of the trace.
func TestTracing(t *testing.T) {
	w := newWorld(t, googleKeys(1), "")
	spans := w.traced(sdktrace.AlwaysSample())
	w.google.Script(fakegemini.Rule{Times: 1, Steer: fakegemini.ParseSteer("[[retry 1s]]")})
	begun := time.Now()
	status, body := w.chat(w.secret, "hello", `,"stream":true,"max_tokens":50,"temperature":0.5,"stop":["END"]`)
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	got := spans(3)
	if between := got[1:max(1, len(got)-1)]; len(between) == 0 || slices.ContainsFunc(between, func(s tracetest.SpanStub) bool { return s.Name != waiting }) {
		t.Fatalf("%d spans: %v", len(got), got)
	}
	refused, wait, served := &got[0], &got[1], &got[len(got)-1]
	for i, s := range got {
		if !s.Parent.IsValid() || s.Parent.TraceID() != got[0].Parent.TraceID() || s.Parent.SpanID() != got[0].Parent.SpanID() {
			t.Errorf("span %d is no child of Caddy's", i)
		}
		if s.StartTime.Before(begun) || s.EndTime.Before(s.StartTime) {
			t.Errorf("span %d is from %s to %s", i, s.StartTime, s.EndTime)
		}
	}
	if refused.Name != "chat "+testModel || refused.SpanKind != trace.SpanKindClient || refused.Status.Code != codes.Error {
		t.Errorf("%s, %v, %v", refused.Name, refused.SpanKind, refused.Status)
	}
	if a := attributes(refused); a["error.type"] != "rate_limited" || a["http.response.status_code"] != "429" || a["gen_ai.usage.input_tokens"] != "" {
		t.Errorf("%v", a)
	}
	if took := wait.EndTime.Sub(wait.StartTime); wait.Name != waiting || wait.SpanKind != trace.SpanKindInternal || took < 900*time.Millisecond {
		t.Errorf("%s, %v, %s", wait.Name, wait.SpanKind, took)
	}
	a := attributes(served)
	for name, want := range map[string]string{
		"gen_ai.operation.name": "chat", "gen_ai.provider.name": "gcp.gemini", "gen_ai.request.model": testModel, "gen_ai.response.model": testModel,
		"gen_ai.request.stream": "true", "gen_ai.request.max_tokens": "50", "gen_ai.request.temperature": "0.5", "gen_ai.request.stop_sequences": "[END]",
		"http.response.status_code": "200", "gemini_balance.attempt": "2", "gemini_balance.outcome": "ok", "server.address": "127.0.0.1",
	} {
		if a[name] != want {
			t.Errorf("%s is %q, want %q", name, a[name], want)
		}
	}
	for _, name := range []string{"gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.response.time_to_first_chunk", "gemini_balance.key_id", "gemini_balance.request_id"} {
		if a[name] == "" {
			t.Errorf("%s is missing in %v", name, a)
		}
	}
	for _, e := range w.google.Entries() {
		for name := range e.Header {
			if slices.Contains([]string{"Traceparent", "Tracestate", "Baggage"}, name) {
				t.Errorf("Google was sent %s: %q", name, e.Header[name])
			}
		}
	}
	for i := range got {
		if text := fmt.Sprint(got[i]); strings.Contains(text, fakegemini.DemoKey(1)) || strings.Contains(text, w.secret) {
			t.Errorf("a secret is in span %d", i)
		}
	}
}

// TestTracing_Unsampled: what is not sampled has no children either.
func TestTracing_Unsampled(t *testing.T) {
	w := newWorld(t, googleKeys(1), "")
	spans := w.traced(sdktrace.NeverSample())
	status, _ := w.chat(w.secret, "hello", "")
	w.server.Close() // after its handlers
	if n := len(spans(0)); status != 200 || n != 0 {
		t.Errorf("%d, %d spans", status, n)
	}
}

func TestOperations(t *testing.T) {
	w := newWorld(t, googleKeys(1), "")
	spans := w.traced(sdktrace.AlwaysSample(), waiting)
	for path, want := range map[string]string{
		"/v1/completions": "text_completion", "/v1/embeddings": "embeddings", "/v1/messages": "chat",
		"/v1beta/models/" + testModel + ":generateContent": "generate_content",
	} {
		before := len(spans(0))
		w.post(path, map[string]string{
			"/v1/completions": `{"model":"` + testModel + `","prompt":"hi"}`,
			"/v1/embeddings":  `{"model":"gemini-embedding-2","input":"hi"}`,
			"/v1/messages":    `{"model":"` + testModel + `","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`,
		}[path])
		got := spans(before + 1)
		if len(got) != before+1 {
			t.Errorf("%s: %d spans", path, len(got)-before)
		} else if name := got[before].Name; !strings.HasPrefix(name, want+" ") {
			t.Errorf("%s: span %q", path, name)
		}
	}
}

// TestTracing_Answers: the span of an attempt tells Google's id of its answer, which
// every dialect makes the client's of, and why it ended, in Google's words.
func TestTracing_Answers(t *testing.T) {
	w := newWorld(t, googleKeys(1), "")
	spans := w.traced(sdktrace.AlwaysSample(), waiting)
	const (
		openai    = `{"model":"` + testModel + `","messages":[{"role":"user","content":"hi%s"}]%s}`
		responses = `{"model":"` + testModel + `","input":"hi%s"%s}`
		anthropic = `{"model":"` + testModel + `","max_tokens":50,"messages":[{"role":"user","content":"hi%s"}]%s}`
		native    = `{"contents":[{"parts":[{"text":"hi%s"}]}]%s}`
		of        = "/v1beta/models/" + testModel
	)
	for _, tc := range []struct{ name, path, body, more string }{
		{"chat", "/v1/chat/completions", openai, ""},
		{"chat, streamed", "/v1/chat/completions", openai, `,"stream":true`},
		{"responses", "/v1/responses", responses, ""},
		{"responses, streamed", "/v1/responses", responses, `,"stream":true`},
		{"messages", "/v1/messages", anthropic, ""},
		{"messages, streamed", "/v1/messages", anthropic, `,"stream":true`},
		{"native", of + ":generateContent", native, ""},
		{"native, streamed", of + ":streamGenerateContent?alt=sse", native, ""},
		{"native, streamed as an array", of + ":streamGenerateContent", native, ""},
	} {
		for say, want := range map[string]string{"": "[stop]", " [[finish MAX_TOKENS]]": "[max_tokens]"} {
			before := len(spans(0))
			status, body := w.send(tc.path, fmt.Sprintf(tc.body, say, tc.more))
			got := spans(before + 1)
			if status != 200 || len(got) != before+1 {
				t.Fatalf("%s: %d %s, %d spans", tc.name, status, body, len(got)-before)
			}
			a := attributes(&got[before])
			if a["gen_ai.response.finish_reasons"] != want {
				t.Errorf("%s%s: finish_reasons is %q, want %q", tc.name, say, a["gen_ai.response.finish_reasons"], want)
			}
			// Ids of Responses are our own, because Google's are no names to store under.
			if id := a["gen_ai.response.id"]; id == "" || !strings.Contains(body, id) && tc.path != "/v1/responses" {
				t.Errorf("%s%s: id %q, the client has %s", tc.name, say, id, body)
			}
		}
	}
}

// TestTracing_Candidates: an answer of several candidates has a reason for each; each of
// several calls of a request tells its own; and an attempt that failed tells none.
func TestTracing_Candidates(t *testing.T) {
	w := newWorld(t, googleKeys(2), "")
	spans := w.traced(sdktrace.AlwaysSample(), waiting)
	for _, tc := range []struct {
		path, body string
		want       []string
	}{
		{"/v1/chat/completions", `{"model":"` + testModel + `","n":2,"messages":[{"role":"user","content":"hi"}]}`, []string{"[stop stop]"}},
		{"/v1/completions", `{"model":"` + testModel + `","prompt":["hi","ho [[finish MAX_TOKENS]]"]}`, []string{"[max_tokens]", "[stop]"}},
		{"/v1/chat/completions", `{"model":"` + testModel + `","messages":[{"role":"user","content":"hi [[status 400]]"}]}`, []string{""}},
	} {
		before := len(spans(0))
		w.send(tc.path, tc.body)
		var got []string
		ids := map[string]bool{}
		for _, s := range spans(before + len(tc.want))[before:] {
			a := attributes(&s)
			got = append(got, a["gen_ai.response.finish_reasons"])
			ids[a["gen_ai.response.id"]] = true
		}
		slices.Sort(got)
		if !slices.Equal(got, tc.want) || len(ids) != len(tc.want) || ids[""] != (tc.want[0] == "") {
			t.Errorf("%s: %q, want %q; ids %v", tc.path, got, tc.want, ids)
		}
	}
}
