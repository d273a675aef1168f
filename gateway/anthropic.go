// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/anthropic"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// anthropic is the part of the converter table that is Anthropic's API.
func (x *exchange) anthropic() (translate.Exchange, *translate.Failure) {
	switch o := x.anthropicOptions(); x.rt.op {
	case opMessages:
		return kept(anthropic.NewMessages(x.env, o, x.body))
	case opCountTokens:
		c, f := anthropic.NewCountTokens(x.env, o, x.body)
		return kept(&counting{CountTokens: c}, f)
	case opAnthropicModel:
		return kept(anthropic.NewModel(o, x.rt.model, x.visible()))
	default:
		aliases := make([]anthropic.Alias, len(x.site().aliases.listed))
		for i, a := range x.site().aliases.listed {
			aliases[i] = anthropic.Alias(a)
		}
		list, f := anthropic.NewModels(o, x.r.URL.Query(), aliases, x.visible())
		if f == nil {
			list.Also(x.g.Pool.Models())
		}
		return kept(list, f)
	}
}

func (x *exchange) anthropicOptions() anthropic.Options {
	o := anthropic.Options{
		Resolve: x.resolve, Capabilities: x.g.Capabilities, Fetch: x.fetcher() != nil, Safety: x.g.Safety,
		Session: x.r.Header.Get("X-Claude-Code-Session-Id"),
	}
	if x.g.Resources != nil {
		o.File = x.file
	}
	if x.g.envelopes != nil {
		o.Seal, o.Open = x.g.envelopes.seal, x.g.envelopes.open
	}
	return o
}

// anthropicLimits tells a client where it stands, in Anthropic's words: when all is
// there again is a time, not a wait.
func anthropicLimits(h http.Header, l users.LimitState, now time.Time) {
	var kind string
	switch l.Limit {
	case "rpm":
		kind = "Requests"
	case "tpm":
		kind = "Tokens"
	default:
		return
	}
	reset := now.Add(min(l.Reset, time.Minute) + time.Second - 1).UTC().Truncate(time.Second)
	h["Anthropic-Ratelimit-"+kind+"-Limit"] = []string{strconv.FormatInt(l.Max, 10)}
	h["Anthropic-Ratelimit-"+kind+"-Remaining"] = []string{strconv.FormatInt(l.Remaining, 10)}
	h["Anthropic-Ratelimit-"+kind+"-Reset"] = []string{reset.Format(time.RFC3339)}
}

// ownMinute is how long a user key's minute lasts at most, as requests are counted
// by the second. Clients told to wait for more than 60 seconds give up.
const ownMinute = time.Minute + time.Second

// anthropicRetry says whether and when to come back. Source:
// specs/native-anthropic.md C.8.
func anthropicRetry(h http.Header, f *translate.Failure) {
	if f.Kind == translate.UserRateLimited && f.RetryAfter <= ownMinute {
		whole := *f
		whole.RetryAfter, f = min(f.RetryAfter, time.Minute), &whole
	}
	after, again, ok := anthropic.Retry(f)
	if !ok {
		return
	}
	h["X-Should-Retry"] = []string{strconv.FormatBool(again)}
	if after > 0 {
		h["Retry-After"] = []string{strconv.FormatInt(int64((after+time.Second-1)/time.Second), 10)}
	}
}
