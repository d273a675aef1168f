// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/anthropic"
)

// unavailable is what a client is told when no key can be leased. A failure that
// an attempt met says more than "nothing left to try".
func (x *exchange) unavailable(err error, last *translate.Failure) *translate.Failure {
	u, ok := errors.AsType[*balancer.Unavailable](err)
	if !ok {
		if x.r.Context().Err() != nil {
			return x.gone().failure
		}
		if x.stopped.Load() {
			return stopping().failure
		}
		return &translate.Failure{Kind: translate.Timeout, Message: "No Gemini key became free in time: " + fmt.Sprint(context.Cause(x.ctx)) + "."}
	}
	f := &translate.Failure{Message: u.Message, RetryAfter: u.RetryAfter}
	switch u.Reason {
	case balancer.AllTried:
		if last != nil {
			return last
		}
		f.Kind = translate.Upstream
	case balancer.TooLarge:
		// As if the prompt exceeded the model's window: SDKs do not try that again, and
		// tools compact the conversation.
		f.Kind, f.Code = translate.InvalidRequest, codeTooLong
	case balancer.AllResting:
		f.Kind = restKind(u.Verdict)
	case balancer.AllExhausted:
		f.Kind = translate.QuotaExhausted
	case balancer.ModelUnavailable:
		if last != nil && last.Kind == translate.ModelNotFound {
			return last
		}
		f.Kind, f.Param = translate.ModelNotFound, "model"
	default:
		f.Kind = translate.NoKeys
		if u.Reason == balancer.NoKeys && x.refs.bound != nil { // what it names is out of reach
			f.Kind = translate.NotFound
		} else if last != nil && last.Kind == translate.NoKeys { // it has just learned why
			return last
		}
	}
	if x.short = u.Reason; u.Crowded {
		x.short = queueFull
	}
	return f
}

// queueFull is the word of observers for requests that found too many others waiting.
const queueFull balancer.UnavailableReason = "queue_full"

// codeTooLong is the code of a failure for a prompt that is too long.
// Source: specs/openai.md §13.4.
const codeTooLong = "context_length_exceeded"

// overMinute reports whether a request failed because it has more tokens than a
// project may use of the model in a minute. Google's own word has a status.
func overMinute(f *translate.Failure) bool { return f.Code == codeTooLong && f.Status == 0 }

// restKind is what it means for a client that keys rest for a verdict: not every
// rest is a quota's.
func restKind(v balancer.Verdict) translate.Kind {
	switch v {
	case balancer.Location:
		return translate.Location
	case balancer.RouteBlocked, balancer.CapacityExhausted, balancer.Overloaded, balancer.ServerError, balancer.Network:
		return translate.Overloaded
	case balancer.UnfundedProject:
		return translate.QuotaExhausted
	default:
		return translate.RateLimited
	}
}

// refuse tells the client of a failure: as an error answer, or in-band where a
// heartbeat or output has already sent the header.
func (x *exchange) refuse(f *translate.Failure) {
	x.noteFailure(f)
	x.turnedAway(f)
	if x.out.started() {
		x.abort(f)
		return
	}
	var a translate.Answer
	switch {
	case f.Kind == translate.Canceled:
		a = translate.Answer{Status: 499} // nobody reads it; the access log does
	case x.conv != nil:
		a = x.conv.Error(f)
	default:
		a = x.rt.failure(f)
	}
	if x.rt.dialect == Anthropic {
		a = anthropic.Identify(a, x.record.RequestID)
		anthropicRetry(x.out.w.Header(), f)
	} else {
		setRetryAfter(x.out.w.Header(), f)
	}
	_ = x.out.answer(a)
}

// abort ends a stream that has begun, without a success marker.
func (x *exchange) abort(f *translate.Failure) {
	x.noteFailure(f)
	x.record.Partial = true
	if f.Kind == translate.Canceled {
		return
	}
	_ = x.out.output(x.conv.Abort(nil, f), x.conv.ContentType(), time.Now())
}

// outcomes are the words for failures in logs, metrics and books.
var outcomes = map[translate.Kind]string{
	translate.Internal:         "internal",
	translate.InvalidRequest:   "invalid_request",
	translate.Unauthenticated:  "unauthenticated",
	translate.Forbidden:        "forbidden",
	translate.ModelNotFound:    "model_not_found",
	translate.NotFound:         "not_found",
	translate.UnknownURL:       "unknown_url",
	translate.MethodNotAllowed: "method_not_allowed",
	translate.TooLarge:         "too_large",
	translate.UnsupportedMedia: "unsupported_media",
	translate.UserRateLimited:  "user_rate_limited",
	translate.BudgetSpent:      "budget_spent",
	translate.RateLimited:      "rate_limited",
	translate.QuotaExhausted:   "quota_exhausted",
	translate.NoKeys:           "no_keys",
	translate.Location:         "location",
	translate.Overloaded:       "overloaded",
	translate.Timeout:          "timeout",
	translate.Upstream:         "upstream",
	translate.EmptyAnswer:      "empty_answer",
	translate.MalformedAnswer:  "malformed_answer",
	translate.Truncated:        "truncated",
	translate.Canceled:         "canceled",
}

// borne is how long OpenAI's SDKs wait at most where they are told how long. Of
// what is longer they try again at once.
const borne = time.Minute

// setRetryAfter says when to come back, or that no SDK should by itself before
// the day is over. Source: specs/openai.md §13.4.
func setRetryAfter(h http.Header, f *translate.Failure) {
	if f.Kind == translate.QuotaExhausted || f.Kind == translate.BudgetSpent || f.Kind == translate.UserRateLimited && f.RetryAfter > borne {
		h.Set("X-Should-Retry", "false")
	}
	if f.RetryAfter <= 0 {
		return
	}
	seconds := int64((f.RetryAfter + time.Second - 1) / time.Second)
	h.Set("Retry-After", fmt.Sprint(seconds))
	h.Set("Retry-After-Ms", fmt.Sprint(f.RetryAfter.Milliseconds()))
}
