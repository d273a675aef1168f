// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/gateway"
)

// Where a site has Caddy's directive tracing, requests have spans below Caddy's own:
// one of kind client for each attempt, as OpenTelemetry's conventions for generative AI
// name it, and an internal one where a Gemini key was waited for. They are made when
// what they are about is over, with its times: so nothing is carried along with a
// request, and without tracing each costs a look into its context.
//
// Google is sent no traceparent: it is the client's and the operator's, and Google's
// API does nothing with it. Source: specs/gateways.md §1D.

// tracerName is the scope of the spans.
const tracerName = "github.com/gemini-balance/caddy-gemini-balance"

// span begins a span at a time that is over; the caller ends it.
func span(ctx context.Context, name string, kind trace.SpanKind, begun time.Time) trace.Span {
	provider := trace.SpanFromContext(ctx).TracerProvider()
	tracer := provider.Tracer(tracerName, trace.WithInstrumentationVersion(moduleVersion))
	_, s := tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithTimestamp(begun))
	return s
}

// moduleVersion is version, found out once.
var moduleVersion = version()

// traced reports whether somebody records the request.
func traced(ctx context.Context) bool { return trace.SpanFromContext(ctx).IsRecording() }

// traceWait makes the span of a wait for a Gemini key.
func traceWait(ctx context.Context, w *gateway.Wait) {
	if !traced(ctx) {
		return
	}
	s := span(ctx, "wait for a Gemini key", trace.SpanKindInternal, w.Started)
	s.SetAttributes(attribute.String("gen_ai.request.model", w.Model), attribute.String("gemini_balance.request_id", w.RequestID))
	if w.Failed {
		s.SetStatus(codes.Error, "no Gemini key came")
	}
	s.End(trace.WithTimestamp(w.Started.Add(w.Duration)))
}

// traceAttempt makes the span of an attempt.
func traceAttempt(ctx context.Context, a *gateway.Attempt, outcome, host string) {
	if !traced(ctx) {
		return
	}
	operation := operationOf(a)
	name := operation
	if a.Model != "" {
		name += " " + a.Model
	}
	s := span(ctx, name, trace.SpanKindClient, a.Started)
	s.SetAttributes(
		attribute.String("gen_ai.operation.name", operation),
		attribute.String("gen_ai.provider.name", "gcp.gemini"),
		attribute.String("gemini_balance.request_id", a.RequestID),
		attribute.String("gemini_balance.key_id", a.KeyID),
		attribute.String("gemini_balance.outcome", outcome),
		attribute.Int("gemini_balance.attempt", a.Number),
	)
	if name, port, err := net.SplitHostPort(host); err == nil {
		n, _ := strconv.Atoi(port)
		s.SetAttributes(attribute.String("server.address", name), attribute.Int("server.port", n))
	} else {
		s.SetAttributes(attribute.String("server.address", host))
	}
	if a.Model != "" {
		s.SetAttributes(attribute.String("gen_ai.request.model", a.Model))
	}
	if a.Stream() {
		s.SetAttributes(attribute.Bool("gen_ai.request.stream", true))
	}
	if a.Hedge {
		s.SetAttributes(attribute.Bool("gemini_balance.hedge", true))
	}
	if a.Outcome.Status > 0 {
		s.SetAttributes(attribute.Int("http.response.status_code", a.Outcome.Status))
	}
	s.SetAttributes(parametersOf(a.Parameters())...)
	s.SetAttributes(answerOf(a)...)
	if v := a.Outcome.Verdict; v != balancer.OK {
		s.SetAttributes(attribute.String("error.type", outcome))
		if v != balancer.Canceled {
			s.SetStatus(codes.Error, a.Outcome.Reason)
		}
	}
	s.End(trace.WithTimestamp(a.Started.Add(a.Duration)))
}

// operations are the conventions' words for endpoints; others are as we call them.
var operations = map[string]string{
	"chat.completions": "chat", "responses": "chat", "messages": "chat", "completions": "text_completion",
	"generateContent": "generate_content", "streamGenerateContent": "generate_content",
	"embeddings": "embeddings", "embedContent": "embeddings", "batchEmbedContents": "embeddings",
}

func operationOf(a *gateway.Attempt) string {
	word := a.Endpoint()
	if known, there := operations[word]; there {
		return known
	}
	return strings.ReplaceAll(word, ".", "_")
}

// parametersOf are what the request sets of how the model writes.
func parametersOf(p gateway.Parameters) (out []attribute.KeyValue) {
	for _, n := range [...]struct {
		name  string
		value *int64
	}{{"max_tokens", p.MaxTokens}, {"top_k", p.TopK}, {"seed", p.Seed}, {"choice.count", p.Candidates}} {
		if n.value != nil {
			out = append(out, attribute.Int64("gen_ai.request."+n.name, *n.value))
		}
	}
	for _, n := range [...]struct {
		name  string
		value *float64
	}{{"temperature", p.Temperature}, {"top_p", p.TopP}, {"frequency_penalty", p.FrequencyPenalty}, {"presence_penalty", p.PresencePenalty}} {
		if n.value != nil {
			out = append(out, attribute.Float64("gen_ai.request."+n.name, *n.value))
		}
	}
	if len(p.Stop) > 0 {
		out = append(out, attribute.StringSlice("gen_ai.request.stop_sequences", p.Stop))
	}
	return out
}

// answerOf is what came of the attempt.
func answerOf(a *gateway.Attempt) (out []attribute.KeyValue) {
	if first := a.FirstOutput(); first > 0 && a.Stream() {
		out = append(out, attribute.Float64("gen_ai.response.time_to_first_chunk", first.Seconds()))
	}
	u := a.Usage()
	if u.Version != "" {
		out = append(out, attribute.String("gen_ai.response.model", u.Version))
	}
	s := a.Summary()
	if id := s.ResponseID(); id != "" {
		out = append(out, attribute.String("gen_ai.response.id", id))
	}
	if reasons := s.FinishReasons(); len(reasons) > 0 {
		for i, word := range reasons {
			reasons[i] = strings.ToLower(word) // as other tracers of Gemini write them
		}
		out = append(out, attribute.StringSlice("gen_ai.response.finish_reasons", reasons))
	}
	if !u.Reported {
		return out
	}
	out = append(out, attribute.Int64("gen_ai.usage.input_tokens", u.Input()), attribute.Int64("gen_ai.usage.output_tokens", u.Output()))
	if u.Cached > 0 {
		out = append(out, attribute.Int64("gen_ai.usage.cache_read.input_tokens", u.Cached))
	}
	if u.Thoughts > 0 {
		out = append(out, attribute.Int64("gen_ai.usage.reasoning.output_tokens", u.Thoughts))
	}
	return out
}
