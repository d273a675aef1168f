// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// answerTo is what a client is told about a verdict.
type answerTo struct {
	kind   translate.Kind
	relay  bool   // tell Google's own words and, to native clients, its error object
	text   string // told where Google's words are withheld or missing
	code   string // overrides the dialect's code
	status int    // and rpc: put into the relayed error object; 0 keeps Google's
	rpc    string
}

// answers is the table of specs/openai.md §13.4. What our keys did wrong is
// never told in Google's words: clients' key checks match them and blame the
// user's own key.
var answers = map[balancer.Verdict]answerTo{
	balancer.Canceled:          {kind: translate.Upstream, text: "Google cancelled the request."}, // a client that left is told nothing
	balancer.BadRequest:        {kind: translate.InvalidRequest, relay: true, text: "Gemini refused the request as invalid."},
	balancer.BadSignature:      {kind: translate.InvalidRequest, relay: true, text: "Gemini refused the thought signatures of the request."},
	balancer.Blocked:           {kind: translate.InvalidRequest, relay: true, text: "Gemini blocked the request.", code: "content_filter"},
	balancer.InvalidKey:        {kind: translate.NoKeys, text: noKey, code: "upstream_auth_failed"},
	balancer.LeakedKey:         {kind: translate.NoKeys, text: noKey, code: "upstream_auth_failed"},
	balancer.SuspendedKey:      {kind: translate.NoKeys, text: noKey, code: "upstream_auth_failed"},
	balancer.MisconfiguredKey:  {kind: translate.NoKeys, text: noKey, code: "upstream_auth_failed"},
	balancer.UnfundedProject:   {kind: translate.QuotaExhausted, text: "The Gemini projects of this gateway have no billing or no credits left for this request. Its operator can mend that."},
	balancer.Location:          {kind: translate.Location, text: "Google does not serve the Gemini API in the region this gateway sends from."},
	balancer.ForeignResource:   {kind: translate.NotFound, relay: true, text: "The requested object does not exist.", status: 404, rpc: "NOT_FOUND"},
	balancer.ModelForbidden:    {kind: translate.ModelNotFound, text: "No Gemini key of this gateway may use the requested model."},
	balancer.ModelMissing:      {kind: translate.ModelNotFound, relay: true, text: "The requested model does not exist."},
	balancer.NoQuota:           {kind: translate.ModelNotFound, text: "The requested model is not in the tier of any Gemini key of this gateway."},
	balancer.RateLimited:       {kind: translate.RateLimited, relay: true, text: "The rate limit of the Gemini API is reached."},
	balancer.Exhausted:         {kind: translate.QuotaExhausted, relay: true, text: "The daily quota of the Gemini API is used up."},
	balancer.SpendLimited:      {kind: translate.RateLimited, text: "The Gemini projects of this gateway have spent as much as Google lets them within ten minutes. Try again later."},
	balancer.Throttled:         {kind: translate.RateLimited, relay: true, text: "The Gemini API is throttling requests."},
	balancer.CapacityExhausted: {kind: translate.Overloaded, relay: true, text: "Google has no capacity left for this model at the moment."},
	balancer.Overloaded:        {kind: translate.Overloaded, relay: true, text: "The model is overloaded at the moment."},
	balancer.ServerError:       {kind: translate.Upstream, relay: true, text: "The Gemini API failed."},
	balancer.UpstreamTimeout:   {kind: translate.Timeout, relay: true, text: "The Gemini API did not answer in time."},
	balancer.Network:           {kind: translate.Upstream, text: "The Gemini API could not be reached, or the connection broke."},
	balancer.RouteBlocked:      {kind: translate.Overloaded, text: "Google refuses requests from this gateway's network address at the moment."},
	balancer.Unusable:          {kind: translate.MalformedAnswer, text: "The Gemini API sent an answer that cannot be used."},
	balancer.Unclassified:      {kind: translate.Upstream, text: "The Gemini API answered in a way this gateway does not know."},
}

const noKey = "No usable Gemini key is left in this gateway for this request. Your own key is fine; the gateway's operator has to look at its Gemini keys."

// Failure is what the client is told when an attempt's end is the request's end.
// body is the answer's body, nil for none. A client never learns of 401 and 403
// of our keys, nor of anything secret.
//
// Details is set where Google's error object may be relayed to native clients:
// the object itself, {"code": …, "message": …, "status": …, "details": […]}.
func Failure(o balancer.Outcome, body []byte) *translate.Failure {
	to, ok := answers[o.Verdict]
	if !ok {
		to = answers[balancer.Unclassified]
	}
	f := &translate.Failure{
		Kind: to.kind, Message: to.text, Code: to.code, Status: o.Status,
		Retry: o.Retry != balancer.RetryNever, RetryAfter: retryAfter(o),
	}
	switch {
	case o.Verdict == balancer.BadRequest && o.Status == 413:
		f.Kind = translate.TooLarge
	case o.Verdict == balancer.UnfundedProject && o.Status == 400:
		f.Kind = translate.NoKeys
	case o.Verdict == balancer.Unusable && len(body) == 0:
		f.Kind = translate.EmptyAnswer
	}
	if !to.relay {
		return f
	}
	r := newReport(Answer{Status: o.Status, Body: body})
	if !r.json {
		return f
	}
	if m := strings.TrimSpace(Redact(r.message)); m != "" {
		f.Message = m
	}
	if f.Kind == translate.InvalidRequest {
		if r.says(tooLong) {
			f.Code = "context_length_exceeded"
		}
		if len(r.fields) > 0 {
			f.Param = clientField(r.fields[0])
		}
	}
	f.Details = relayed(body, o.Status, to)
	return f
}

var tooLong = regexp.MustCompile(`token count .*exceeds|exceeds the maximum number of (?:input )?tokens`)

// overloadPause is told where Google announces nothing. Source: specs/openai.md §13.4.
const overloadPause = 5 * time.Second

// retryAfter tells the true time of recovery, or nothing. The seconds that
// Google announces beside a day quota are not true.
func retryAfter(o balancer.Outcome) time.Duration {
	switch o.Verdict {
	case balancer.RateLimited, balancer.Throttled, balancer.SpendLimited, balancer.CapacityExhausted, balancer.RouteBlocked:
		return max(o.RetryAfter, o.Rest)
	case balancer.Exhausted:
		return o.Rest
	case balancer.Overloaded:
		return max(o.RetryAfter, overloadPause)
	default:
		return 0
	}
}

// clientFields maps what both translated dialects name alike. A field that is
// not here stays unnamed: Google's own path would only mislead.
var clientFields = map[string]string{
	"contents": "messages", "tools": "tools", "system_instruction": "messages", "systemInstruction": "messages",
	"temperature": "temperature", "top_p": "top_p", "topP": "top_p", "top_k": "top_k", "topK": "top_k",
	"max_output_tokens": "max_tokens", "maxOutputTokens": "max_tokens",
	"stop_sequences": "stop", "stopSequences": "stop", "model": "model",
}

func clientField(google string) string {
	for _, prefix := range []string{"generation_config.", "generationConfig."} {
		google = strings.TrimPrefix(google, prefix)
	}
	head, _, _ := strings.Cut(google, ".")
	head, _, _ = strings.Cut(head, "[")
	return clientFields[head]
}

// relayed is Google's error object without what is secret: keys and project
// numbers anywhere, and Google's internal debug text.
func relayed(body []byte, status int, to answerTo) []byte {
	e, ok := findError(body, true)
	if !ok {
		return nil
	}
	out := struct {
		Code    any    `json:"code"`
		Message string `json:"message"`
		Status  string `json:"status,omitempty"`
		Details []any  `json:"details,omitempty"`
	}{Code: status, Message: Redact(e.Message), Status: Redact(e.Status)}
	if word := ""; json.Unmarshal(e.Code, &word) == nil && word != "" {
		out.Code = Redact(word)
	}
	if to.status != 0 {
		out.Code, out.Status = to.status, to.rpc
	}
	for _, raw := range e.Details {
		var d any
		if json.Unmarshal(raw, &d) != nil {
			continue
		}
		if m, ok := d.(map[string]any); ok {
			if t, _ := m["@type"].(string); strings.HasSuffix(t, "DebugInfo") {
				continue
			}
			if meta, ok := m["metadata"].(map[string]any); ok {
				delete(meta, "consumer")
				delete(meta, "containerInfo")
			}
		}
		out.Details = append(out.Details, scrub(d))
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil
	}
	return b
}

// scrub redacts every string of a decoded JSON value, names included.
func scrub(v any) any {
	switch v := v.(type) {
	case string:
		return Redact(v)
	case []any:
		for i := range v {
			v[i] = scrub(v[i])
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, m := range v {
			out[Redact(k)] = scrub(m)
		}
		return out
	}
	return v
}
