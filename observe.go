// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/gateway"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// observer reports what happens in the requests of a handler: metrics, access
// log fields, placeholders, and a log at debug level.
type observer struct {
	app    *App
	logger *zap.Logger
}

// lastStatus is the request variable with Google's status of the last attempt.
const lastStatus = "gemini_balance.upstream_status"

// Attempted implements gateway.Observer.
func (o observer) Attempted(ctx context.Context, a gateway.Attempt) {
	outcome := gateway.VerdictWord(a.Outcome.Verdict)
	if a.Outcome.Verdict == balancer.OK {
		o.app.shared.models.add(a.Model)
	}
	metrics.attempts.WithLabelValues(o.app.shared.models.label(a.Model), outcome).Inc()
	caddyhttp.SetVar(ctx, lastStatus, a.Outcome.Status)
	if c := o.logger.Check(zapcore.DebugLevel, "attempt"); c != nil {
		c.Write(
			zap.String("request_id", a.RequestID), zap.Int("number", a.Number), zap.String("key_id", a.KeyID),
			zap.String("model", a.Model), zap.String("outcome", outcome), zap.Int("upstream_status", a.Outcome.Status),
			zap.String("reason", a.Outcome.Reason), zap.Duration("duration", a.Duration),
		)
	}
}

// Waited implements gateway.Observer.
func (o observer) Waited(context.Context, gateway.Wait) {}

// Refused implements gateway.Observer.
func (o observer) Refused(context.Context, gateway.Refusal) {}

// Served implements gateway.Observer.
func (o observer) Served(ctx context.Context, r usage.Record) {
	s := &served{Record: r}
	s.upstreamStatus, _ = caddyhttp.GetVar(ctx, lastStatus).(int)
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

// count adds a request to the metrics.
func (o observer) count(s *served) {
	model := o.app.shared.models.label(s.Model)
	metrics.requests.WithLabelValues(s.Dialect, model, s.Outcome).Inc()
	metrics.duration.WithLabelValues(s.Dialect).Observe(s.Duration.Seconds())
	if s.FirstOutput > 0 {
		metrics.firstOutput.WithLabelValues(s.Dialect).Observe(s.FirstOutput.Seconds())
	}
	for _, t := range [...]struct {
		kind  string
		count int64
	}{{"input", s.Input}, {"cached", s.Cached}, {"output", s.Output}, {"thoughts", s.Thoughts}} {
		if t.count > 0 {
			metrics.tokens.WithLabelValues(model, t.kind).Add(float64(t.count))
		}
	}
}

// served is a finished request, for logs and placeholders.
type served struct {
	usage.Record
	upstreamStatus int
}

// MarshalLogObject implements zapcore.ObjectMarshaler. Names are those of the
// placeholders.
func (s *served) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("request_id", s.RequestID)
	enc.AddString("dialect", s.Dialect)
	enc.AddString("model", s.Model)
	enc.AddString("outcome", s.Outcome)
	enc.AddString("key_id", s.KeyID)
	enc.AddInt("attempts", s.Attempts)
	enc.AddInt("upstream_status", s.upstreamStatus)
	enc.AddBool("stream", s.Stream)
	enc.AddInt64("input_tokens", s.Input)
	enc.AddInt64("cached_tokens", s.Cached)
	enc.AddInt64("output_tokens", s.Output)
	enc.AddInt64("thought_tokens", s.Thoughts)
	enc.AddDuration("latency", s.FirstOutput)
	enc.AddDuration("duration", s.Duration)
	return nil
}

// placeholder is a caddy.ReplacerFunc: nothing is computed for those that nobody
// asks for.
func (s *served) placeholder(name string) (any, bool) {
	const prefix = "http.gemini_balance."
	if name == "http.auth.user.id" && s.UserID != "" {
		return s.UserID, true
	}
	if len(name) <= len(prefix) || name[:len(prefix)] != prefix {
		return nil, false
	}
	ms := func(d time.Duration) float64 { return d.Seconds() * 1e3 }
	switch name[len(prefix):] {
	case "request_id":
		return s.RequestID, true
	case "dialect":
		return s.Dialect, true
	case "model":
		return s.Model, true
	case "outcome":
		return s.Outcome, true
	case "key_id":
		return s.KeyID, true
	case "attempts":
		return s.Attempts, true
	case "upstream_status":
		return s.upstreamStatus, true
	case "stream":
		return s.Stream, true
	case "input_tokens":
		return s.Input, true
	case "cached_tokens":
		return s.Cached, true
	case "output_tokens":
		return s.Output, true
	case "thought_tokens":
		return s.Thoughts, true
	case "latency":
		return s.FirstOutput, true
	case "latency_ms":
		return ms(s.FirstOutput), true
	case "duration":
		return s.Duration, true
	case "duration_ms":
		return ms(s.Duration), true
	}
	return nil, false
}

// reportState tells operators that a Gemini key changed its state: at warn level
// and as an event where a key is lost, at info where one is back.
func (a *App) reportState(c balancer.StateChange) {
	fields := []zap.Field{
		zap.String("key_id", c.KeyID), zap.String("from", string(c.From)), zap.String("to", string(c.To)), zap.String("reason", c.Reason),
	}
	event := ""
	switch was, is := inService(c.From), inService(c.To); {
	case was && !is && c.To == balancer.StateDisabled:
		event = "key_disabled"
		a.logger.Info("Gemini key was taken out of service", fields...)
	case was && !is:
		event = "key_disabled"
		a.logger.Warn("Gemini key is out of service", fields...)
	case !was && is:
		event = "key_recovered"
		a.logger.Info("Gemini key is back in service", fields...)
	case !was:
		a.logger.Info("Gemini key out of service changed its state", fields...)
	default: // untested → active: one for every key after an import
		a.logger.Debug("Gemini key works", fields...)
	}
	if event == "" || !a.events.ShouldEmit(event) {
		return
	}
	a.events.Emit(a.ctx, event, map[string]any{
		"key_id": c.KeyID, "from": string(c.From), "to": string(c.To), "reason": c.Reason,
	})
}

// reportStore tells operators that what is learnt at run time cannot be written
// to the store, or that it can again.
func (a *App) reportStore(what string, err error) {
	if err != nil {
		a.logger.Error("the store cannot be written; trying on, but a restart now would lose what is new", zap.String("what", what), zap.Error(err))
		return
	}
	a.logger.Info("the store can be written again", zap.String("what", what))
}

// inService reports whether keys in a state are leased.
func inService(s balancer.State) bool {
	return s == balancer.StateActive || s == balancer.StateUntested
}

// maxModels bounds the model labels of metrics.
const maxModels = 200

// modelNames are the models that exist as far as we know: those of the
// configuration and those that Google answered for. Clients may ask for any name,
// so others get no label of their own. The zero value is ready. Safe for
// concurrent use.
type modelNames struct {
	known sync.Map // string → nothing
	count atomic.Int64
}

// add makes models known, as far as there is room.
func (m *modelNames) add(models ...string) {
	for _, model := range models {
		if _, known := m.known.Load(model); known || model == "" || m.count.Load() >= maxModels {
			continue
		}
		if _, known := m.known.LoadOrStore(model, nil); !known {
			m.count.Add(1)
		}
	}
}

// learn makes the models known that answered in the past.
func (m *modelNames) learn(t usage.Totals) {
	for model, c := range t.ByModel {
		if c.Failed < c.Requests {
			m.add(model)
		}
	}
}

// label is the model as a label: "" for requests without one, such as lists of
// models.
func (m *modelNames) label(model string) string {
	if model == "" {
		return ""
	}
	if _, known := m.known.Load(model); known {
		return model
	}
	return usage.Other
}
