// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// served is a finished request, for logs and placeholders.
type served struct {
	*usage.Record
	upstreamStatus int    // of the last attempt, 0 for none
	refusedBy      string // see gateway.Refusal; "" for none
}

// usd is what Google charges in US dollars.
func (s *served) usd() float64 { return float64(s.Cost) / 1e9 }

// MarshalLogObject implements zapcore.ObjectMarshaler. Names are those of the
// placeholders.
func (s *served) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("request_id", s.RequestID)
	enc.AddString("dialect", s.Dialect)
	enc.AddString("endpoint", s.Endpoint)
	enc.AddString("model", s.Model)
	if s.Asked != s.Model {
		enc.AddString("asked_model", s.Asked)
	}
	enc.AddString("outcome", s.Outcome)
	if s.refusedBy != "" {
		enc.AddString("refused_by", s.refusedBy)
	}
	enc.AddString("key_id", s.KeyID)
	if s.Project != s.KeyID {
		enc.AddString("project", s.Project)
	}
	enc.AddInt("attempts", s.Attempts)
	enc.AddInt("upstream_status", s.upstreamStatus)
	if s.Code != "" {
		enc.AddString("upstream_error", s.Code)
	}
	enc.AddBool("stream", s.Stream)
	if s.Partial {
		enc.AddBool("partial", true)
	}
	enc.AddInt64("input_tokens", s.Input)
	enc.AddInt64("cached_tokens", s.Cached)
	enc.AddInt64("output_tokens", s.Output)
	enc.AddInt64("thought_tokens", s.Thoughts)
	if s.ToolUse != 0 {
		enc.AddInt64("tool_use_tokens", s.ToolUse)
	}
	if s.Estimated {
		enc.AddBool("estimated", true)
	}
	if s.Priced {
		enc.AddFloat64("cost_usd", s.usd())
	}
	enc.AddDuration("wait", s.Waited)
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
	name = name[len(prefix):]
	if v, known := s.told(name); known {
		return v, true
	}
	return s.measured(name)
}

// told is what the request was and became.
func (s *served) told(name string) (any, bool) {
	switch name {
	case "request_id":
		return s.RequestID, true
	case "dialect":
		return s.Dialect, true
	case "endpoint":
		return s.Endpoint, true
	case "model":
		return s.Model, true
	case "asked_model":
		return s.Asked, true
	case "outcome":
		return s.Outcome, true
	case "refused_by":
		return s.refusedBy, true
	case "key_id":
		return s.KeyID, true
	case "project":
		return s.Project, true
	case "attempts":
		return s.Attempts, true
	case "upstream_status":
		return s.upstreamStatus, true
	case "upstream_error":
		return s.Code, true
	case "stream":
		return s.Stream, true
	case "partial":
		return s.Partial, true
	}
	return nil, false
}

// measured is what it took.
func (s *served) measured(name string) (any, bool) {
	ms := func(d time.Duration) float64 { return d.Seconds() * 1e3 }
	switch name {
	case "input_tokens":
		return s.Input, true
	case "cached_tokens":
		return s.Cached, true
	case "output_tokens":
		return s.Output, true
	case "thought_tokens":
		return s.Thoughts, true
	case "tool_use_tokens":
		return s.ToolUse, true
	case "estimated":
		return s.Estimated, true
	case "cost_usd":
		if !s.Priced {
			return "", true
		}
		return s.usd(), true
	case "wait":
		return s.Waited, true
	case "wait_ms":
		return ms(s.Waited), true
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
