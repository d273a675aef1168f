// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/anthropic"
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
		return kept(anthropic.NewModel(o, x.rt.model, x.shown()))
	default:
		aliases := make([]anthropic.Alias, len(x.site().aliases.listed))
		for i, a := range x.site().aliases.listed {
			aliases[i] = anthropic.Alias(a)
		}
		list, f := anthropic.NewModels(o, x.r.URL.Query(), aliases, x.shown())
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
	if x.site().defaults {
		o.Defaults = x.site().wanted
	}
	if x.g.Resources != nil {
		o.File = x.file
	}
	if x.g.envelopes != nil {
		o.Seal, o.Open = x.g.envelopes.seal, x.g.envelopes.open
	}
	return o
}

// anthropicRetry says whether and when to come back. Source:
// specs/native-anthropic.md C.8.
func anthropicRetry(h http.Header, f *translate.Failure) {
	after, again, ok := anthropic.Retry(f)
	if f.Kind == translate.BudgetSpent { // a status that nobody tries again by itself
		after, again, ok = f.RetryAfter, false, true
	}
	if !ok {
		return
	}
	h["X-Should-Retry"] = []string{strconv.FormatBool(again)}
	if after > 0 {
		h["Retry-After"] = []string{strconv.FormatInt(int64((after+time.Second-1)/time.Second), 10)}
	}
}
