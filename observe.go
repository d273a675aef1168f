// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"context"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/gateway"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// observer reports what happens in the requests of a handler: metrics, access
// log fields, placeholders, events, spans, and a log at debug level.
type observer struct {
	app    *App
	logger *zap.Logger
}

// What is known of a request before it is served, as variables of it.
const (
	lastStatus = "gemini_balance.upstream_status" // of the last attempt
	refusedBy  = "gemini_balance.refused_by"
)

// Waited implements gateway.Observer.
func (o observer) Waited(ctx context.Context, w gateway.Wait) { traceWait(ctx, &w) }

// Attempted implements gateway.Observer.
func (o observer) Attempted(ctx context.Context, a gateway.Attempt) {
	outcome := gateway.VerdictWord(a.Outcome.Verdict)
	if a.Outcome.Verdict == balancer.OK {
		o.app.shared.models.add(a.Model)
	}
	series := metrics.models.of(o.app.shared.models.label(a.Model))
	series.attempts.of(outcome).Inc()
	series.attempt.Observe(a.Duration.Seconds())
	if a.Hedge {
		metrics.hedges.WithLabelValues(hedged(&a)).Inc()
	}
	caddyhttp.SetVar(ctx, lastStatus, a.Outcome.Status)
	traceAttempt(ctx, &a, outcome, o.app.upstream.Host())
	if c := o.logger.Check(zapcore.DebugLevel, "attempt"); c != nil {
		c.Write(
			zap.String("request_id", a.RequestID), zap.Int("number", a.Number), zap.String("key_id", a.KeyID),
			zap.String("model", a.Model), zap.String("outcome", outcome), zap.Int("upstream_status", a.Outcome.Status),
			zap.String("reason", a.Outcome.Reason), zap.Duration("duration", a.Duration), zap.Bool("hedge", a.Hedge),
		)
	}
}

// hedged is the word for what became of a second attempt.
func hedged(a *gateway.Attempt) string {
	switch {
	case a.Outcome.Verdict == balancer.OK:
		return "won"
	case a.Lost():
		return "lost"
	}
	return "failed"
}

// Refused implements gateway.Observer.
func (o observer) Refused(ctx context.Context, r gateway.Refusal) {
	reason := refusalWord(&r)
	metrics.refused.of(reason).Inc()
	caddyhttp.SetVar(ctx, refusedBy, reason)
	o.app.shared.tellRefusal(&r)
}

// refusalWords are what may turn a request away: limits of user keys, what there is
// with the pool, and the gateway's own memory.
var refusalWords = map[string]bool{
	"rpm": true, "tpm": true, "rpd": true, "tpd": true, "monthly_tokens": true, "concurrency": true,
	"budget.day": true, "budget.month": true, "budget.total": true,
	"models": true, "dialects": true, "cidrs": true, "price": true, "key": true, "store": true,
	string(balancer.NoKeys): true, string(balancer.AllDead): true, string(balancer.AllResting): true, string(balancer.AllExhausted): true,
	string(balancer.ModelUnavailable): true, string(balancer.AllTried): true, string(balancer.TooLarge): true, "queue_full": true,
	"memory": true,
}

// refusalWord is the reason as a label.
func refusalWord(r *gateway.Refusal) string {
	if refusalWords[r.Reason] {
		return r.Reason
	}
	return usage.Other
}

// Served implements gateway.Observer.
func (o observer) Served(ctx context.Context, r *usage.Record) {
	s := &served{Record: r}
	s.upstreamStatus, _ = caddyhttp.GetVar(ctx, lastStatus).(int)
	if r.Outcome != "ok" {
		s.refusedBy, _ = caddyhttp.GetVar(ctx, refusedBy).(string)
	}
	o.count(s)
	if repl, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		repl.Map(s.placeholder)
	}
	if extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
		extra.Set(zap.Object("gemini_balance", s))
	}
	if r.Partial && r.Status < 400 && r.Outcome != "canceled" {
		caddyhttp.SetVar(ctx, caddyhttp.LogLevelVar, "ERROR")
	}
	if c := o.logger.Check(zapcore.DebugLevel, "request"); c != nil {
		c.Write(zap.Inline(s), zap.String("user_id", r.UserID), zap.Int("status", r.Status))
	}
}

// count adds a request to the metrics. It allocates nothing.
func (o observer) count(s *served) {
	series := metrics.models.of(o.app.shared.models.label(s.Model))
	series.requests.of(requestLabels{s.Dialect, s.Outcome}).Inc()
	metrics.durations.of(s.Dialect).Observe(s.Duration.Seconds())
	if s.FirstOutput > 0 {
		series.firstOutput.Observe(s.FirstOutput.Seconds())
	}
	if s.Attempts > 0 || s.Waited > 0 {
		metrics.wait.Observe(s.Waited.Seconds())
	}
	add(series.input, s.Input)
	add(series.cached, s.Cached)
	add(series.output, s.Output)
	add(series.thoughts, s.Thoughts)
	add(series.toolUse, s.ToolUse)
	switch {
	case s.Priced && s.Cost > 0:
		series.cost.Add(s.usd())
	case !s.Priced && s.Attempts > 0:
		series.unpriced.Inc()
	}
}

func add(c prometheus.Counter, n int64) {
	if n > 0 {
		c.Add(float64(n))
	}
}
