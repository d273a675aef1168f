// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// event starts an event of a stream: everything up to the members of its own.
// Source: specs/openai.md §20.5.
func (x *Responses) event(dst []byte, name string) []byte {
	dst = append(append(append(dst, "event: "...), name...), "\ndata: {\"type\":\""...)
	dst = append(append(dst, name...), `","sequence_number":`...)
	dst = strconv.AppendInt(dst, int64(x.sent), 10)
	x.sent++
	return dst
}

// itemEvent starts an event about the open item.
func (x *Responses) itemEvent(dst []byte, name string) []byte {
	return append(x.event(dst, name), x.open.place...)
}

// steps appends events that say nothing but how far an item is.
func (x *Responses) steps(dst, place []byte, names ...string) []byte {
	for _, name := range names {
		dst = append(append(x.event(dst, name), place...), "}\n\n"...)
	}
	return dst
}

// begin gives the response its id and appends the events that start a stream, and
// what waited for its first output, once.
func (x *Responses) begin(dst []byte) []byte {
	if x.begun {
		return dst
	}
	x.begun = true
	x.id = responsePrefix + x.env.NewID(responseCore)
	if x.req.Stream {
		for _, name := range [...]string{"response.created", "response.in_progress"} {
			dst = x.event(dst, name)
			dst = append(dst, `,"response":`...)
			dst = x.appendResponse(dst, ending{})
			dst = append(dst, "}\n\n"...)
		}
	}
	for _, part := range x.waiting {
		p := gemini.DecodePart(part)
		dst = x.native(dst, &p)
	}
	return dst
}

// added starts the event of a new item, up to the item.
func (x *Responses) added(dst []byte) []byte {
	dst = x.event(dst, "response.output_item.added")
	dst = append(dst, `,"output_index":`...)
	dst = strconv.AppendInt(dst, int64(x.items.count), 10)
	return append(dst, `,"item":`...)
}

// done counts the item that was added to the list from an offset on, and tells
// that it is done.
func (x *Responses) done(dst []byte, from int) []byte {
	if x.req.Stream {
		dst = x.event(dst, "response.output_item.done")
		dst = append(dst, `,"output_index":`...)
		dst = strconv.AppendInt(dst, int64(x.items.count), 10)
		dst = append(dst, `,"item":`...)
		dst = x.items.append(dst, from)
		dst = append(dst, "}\n\n"...)
	}
	x.items.count++
	return dst
}

// appendResponse appends the response object as it stands. While the answer goes
// on it has no output and no usage.
func (x *Responses) appendResponse(dst []byte, end ending) []byte {
	own := &x.req.own
	now := x.env.Now.Unix()
	dst = append(append(append(dst, `{"id":"`...), x.id...), `","object":"response","created_at":`...)
	dst = strconv.AppendInt(dst, now, 10)
	dst = append(dst, `,"completed_at":`...)
	if end.status == statusCompleted {
		dst = strconv.AppendInt(dst, now, 10)
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"status":`...)
	if end.status == "" {
		dst = append(dst, `"in_progress"`...)
	} else {
		dst = rawjson.AppendQuoted(dst, end.status)
	}
	dst = appendResponseError(append(dst, `,"error":`...), end.failure)
	dst = append(dst, `,"incomplete_details":`...)
	if end.reason == "" {
		dst = append(dst, "null"...)
	} else {
		dst = append(append(append(dst, `{"reason":"`...), end.reason...), `"}`...)
	}
	dst = appendOr(dst, `,"instructions":`, own.instructions, "null")
	dst = appendOr(dst, `,"max_output_tokens":`, x.req.limit, "null")
	dst = appendOr(dst, `,"max_tool_calls":`, own.maxToolCalls, "null")
	dst = append(dst, `,"model":`...)
	dst = rawjson.AppendQuoted(dst, x.req.Model)
	dst = append(dst, `,"output":[`...)
	if end.status != "" {
		dst = x.items.append(dst, 0)
	}
	dst = append(dst, `],"parallel_tool_calls":`...)
	dst = strconv.AppendBool(dst, x.req.ParallelCalls)
	dst = appendOr(dst, `,"previous_response_id":`, own.previousID, "null")
	dst = x.appendEcho(dst)
	dst = append(dst, `,"usage":`...)
	if end.status == "" || end.failure != nil && !x.answer.Usage.Reported {
		dst = append(dst, "null"...)
	} else {
		dst = x.appendUsage(dst)
	}
	return append(dst, '}')
}

// appendEcho appends what the request asked for, or what holds without it.
func (x *Responses) appendEcho(dst []byte) []byte {
	own, e := &x.req.own, &x.req.echo
	reasoning := own.reasoning
	summary := reasoning.Get("summary")
	if summary.IsNull() {
		summary = reasoning.Get("generate_summary")
	}
	dst = appendOr(dst, `,"reasoning":{"effort":`, reasoning.Get("effort"), "null")
	dst = appendOr(dst, `,"summary":`, summary, "null")
	dst = append(dst, `},"store":`...)
	dst = strconv.AppendBool(dst, x.req.store)
	dst = appendOr(dst, `,"temperature":`, e.temperature, "1.0")
	dst = appendOr(dst, `,"text":{"format":`, own.text.Get("format"), `{"type":"text"}`)
	dst = appendOr(dst, `,"verbosity":`, own.text.Get("verbosity"), `"medium"`)
	dst = appendOr(dst, `},"tool_choice":`, e.toolChoice, `"auto"`)
	dst = appendOr(dst, `,"tools":`, e.tools, "[]")
	dst = appendOr(dst, `,"top_logprobs":`, own.topLogprobs, "0")
	dst = appendOr(dst, `,"top_p":`, e.topP, "0.95")
	dst = append(dst, `,"truncation":"disabled","background":false`...)
	if x.req.ServiceTier {
		tier := x.req.Gemini.ServiceTier
		if tier == "" || tier == "standard" {
			tier = "default"
		}
		dst = rawjson.AppendQuoted(append(dst, `,"service_tier":`...), tier)
	}
	if own.cacheKey != nil {
		dst = append(append(dst, `,"prompt_cache_key":`...), own.cacheKey...)
	}
	if own.safetyID != nil {
		dst = append(append(dst, `,"safety_identifier":`...), own.safetyID...)
	}
	dst = appendOr(dst, `,"user":`, own.user, "null")
	return appendOr(dst, `,"metadata":`, own.metadata, "{}")
}

// appendOr appends a member with the client's value, or with another where the
// client gave none.
func appendOr(dst []byte, name string, v rawjson.Value, or string) []byte {
	if dst = append(dst, name...); v.IsNull() {
		return append(dst, or...)
	}
	return rawjson.Compact(dst, v)
}

// appendResponseError appends the error member. Its codes are few, and clients
// wait and ask again on rate_limit_exceeded.
func appendResponseError(dst []byte, f *translate.Failure) []byte {
	if f == nil {
		return append(dst, "null"...)
	}
	code := "server_error"
	switch f.Kind {
	case translate.UserRateLimited, translate.BudgetSpent, translate.RateLimited, translate.QuotaExhausted:
		code = "rate_limit_exceeded"
	case translate.InvalidRequest:
		code = "invalid_prompt"
	}
	dst = append(append(append(dst, `{"code":"`...), code...), `","message":`...)
	return append(rawjson.AppendQuoted(dst, f.Message), '}')
}

// appendUsage appends the usage object. Source: specs/openai.md §11.
func (x *Responses) appendUsage(dst []byte) []byte {
	u := x.answer.Usage
	number := func(name string, n int64) {
		dst = append(dst, name...)
		dst = strconv.AppendInt(dst, n, 10)
	}
	number(`{"input_tokens":`, u.Input())
	number(`,"input_tokens_details":{"cache_write_tokens":0,"cached_tokens":`, u.Cached)
	number(`},"output_tokens":`, u.Output())
	number(`,"output_tokens_details":{"reasoning_tokens":`, u.Thoughts)
	number(`},"total_tokens":`, u.Input()+u.Output())
	return append(dst, '}')
}
