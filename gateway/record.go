// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"net/http"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
	"github.com/gemini-balance/caddy-gemini-balance/upstream"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// maxErrorText is how much of what a client was told is recorded.
const maxErrorText = 500

// endpointWords are what records call the operations whose name is always the same;
// see exchange.endpointWord.
var endpointWords = map[operation]string{ //nolint:gosec // names of endpoints, no credentials
	opChat: "chat.completions", opCompletions: "completions", opResponses: "responses", opInputTokens: "responses.input_tokens",
	opResponse: "responses.kept", opEmbeddings: "embeddings", opImages: "images.generations", opImageEdits: "images.edits",
	opSpeech: "audio.speech", opTranscriptions: "audio.transcriptions", opTranslations: "audio.translations",
	opFiles: "files", opFile: "files", opModels: "models", opModel: "models", opNativeModels: "models",
	opMessages: "messages", opCountTokens: "messages.count_tokens", opAnthropicModels: "models", opAnthropicModel: "models",
	opInteract: "interactions", opUpload: "upload", opDownload: "download", opLive: "live", opAuthTokens: "auth_tokens",
}

// endpointWord names the request's endpoint among those of its dialect; "" for none.
func (x *exchange) endpointWord() string {
	switch x.rt.op {
	case opNative, opMake:
		return x.rt.verb
	case opCollection, opResource:
		kind, _, _ := strings.Cut(x.rt.name, "/")
		if x.rt.verb != "" {
			return kind + "." + x.rt.verb
		}
		return kind
	default:
		return endpointWords[x.rt.op]
	}
}

// fill completes the record from what the request came to.
func (x *exchange) fill() {
	r, b := &x.record, &x.bill
	r.Endpoint, r.Agent = x.endpointWord(), x.r.UserAgent()
	r.IP = x.address()
	if x.call != nil {
		r.Asked = cmp.Or(x.call.Named, x.call.Asked, x.call.Model)
	}
	r.Input, r.Cached, r.ToolUse, r.Thoughts = b.used.Prompt, b.used.Cached, b.used.ToolUse, b.used.Thoughts
	r.Output = max(0, b.used.Output()-b.used.Thoughts)
	r.Version, r.Estimated = b.used.Version, b.estimated
	if _, nano := x.spent(); nano >= 0 {
		r.Cost, r.Priced, r.Price = nano, true, b.row
	}
	r.Status = x.out.status
	r.At = time.Now()
	r.Duration = r.At.Sub(x.accepted)
	r.Bodies = x.kept()
}

// leased notes with which key an attempt is made.
func (x *exchange) leased(lease *balancer.Lease) {
	x.record.KeyID, x.record.Project, x.record.Code = lease.KeyID(), lease.Project(), ""
	x.short = ""
}

// tried notes how an attempt ended. Most requests make one, so the list begins with
// room for one: 96 bytes.
func (x *exchange) tried(lease *balancer.Lease, o *balancer.Outcome, started time.Time) {
	x.record.Tries = append(x.record.Tries, usage.Try{
		KeyID: lease.KeyID(), Project: lease.Project(), Status: o.Status, Verdict: VerdictWord(o.Verdict), Reason: o.Reason,
		Started: started.Sub(x.accepted), Duration: time.Since(started),
	})
}

// adopt takes over what the attempts of a part of the request came to.
func (x *exchange) adopt(part *usage.Record) {
	r := &x.record
	r.Attempts += part.Attempts
	r.KeyID, r.Project, r.Code = part.KeyID, part.Project, part.Code
	r.Waited = max(r.Waited, part.Waited) // parts run side by side
	r.Tries = append(r.Tries, part.Tries...)
}

// noteFailure notes what the client is told of a failure.
func (x *exchange) noteFailure(f *translate.Failure) {
	x.record.Outcome = outcomes[f.Kind]
	if f.Kind != translate.Canceled { // nobody is told
		x.record.Error = clipText(upstream.Redact(f.Message), maxErrorText)
	}
}

// googleWord is Google's own word for an error, as RESOURCE_EXHAUSTED; where the
// answer has none, the one for its status. "" for none.
func googleWord(status int, body []byte) string {
	if doc, err := rawjson.Parse(body); err == nil {
		for _, first := range doc.Elems() { // of a stream that is an array
			doc = first
			break
		}
		word := doc.Get("error").Get("status").Text()
		if word != "" && len(word) <= 40 && !strings.ContainsFunc(word, func(c rune) bool { return c != '_' && (c < 'A' || c > 'Z') }) {
			return word
		}
	}
	return statusWords[status]
}

// statusWords are Google's words for errors by their HTTP status.
var statusWords = map[int]string{
	http.StatusBadRequest: "INVALID_ARGUMENT", http.StatusUnauthorized: "UNAUTHENTICATED", http.StatusForbidden: "PERMISSION_DENIED",
	http.StatusNotFound: "NOT_FOUND", http.StatusConflict: "ALREADY_EXISTS", http.StatusTooManyRequests: "RESOURCE_EXHAUSTED", 499: "CANCELLED",
	http.StatusInternalServerError: "INTERNAL", http.StatusNotImplemented: "UNIMPLEMENTED",
	http.StatusServiceUnavailable: "UNAVAILABLE", http.StatusGatewayTimeout: "DEADLINE_EXCEEDED",
}

// verdictWords are the words for the ends of attempts in records, metrics and logs.
var verdictWords = [...]string{
	balancer.OK:                "ok",
	balancer.Canceled:          "canceled",
	balancer.BadRequest:        "bad_request",
	balancer.BadSignature:      "bad_signature",
	balancer.Blocked:           "blocked",
	balancer.InvalidKey:        "invalid_key",
	balancer.LeakedKey:         "leaked_key",
	balancer.SuspendedKey:      "suspended_key",
	balancer.MisconfiguredKey:  "misconfigured_key",
	balancer.UnfundedProject:   "unfunded_project",
	balancer.Location:          "location",
	balancer.ForeignResource:   "foreign_resource",
	balancer.ModelForbidden:    "model_forbidden",
	balancer.ModelMissing:      "model_missing",
	balancer.RateLimited:       "rate_limited",
	balancer.Exhausted:         "exhausted",
	balancer.SpendLimited:      "spend_limited",
	balancer.NoQuota:           "no_quota",
	balancer.Throttled:         "throttled",
	balancer.CapacityExhausted: "capacity_exhausted",
	balancer.Overloaded:        "overloaded",
	balancer.ServerError:       "server_error",
	balancer.UpstreamTimeout:   "timeout",
	balancer.Network:           "network",
	balancer.RouteBlocked:      "route_blocked",
	balancer.Unusable:          "unusable",
	balancer.Unclassified:      "unclassified",
}

// VerdictWord is the word for the end of an attempt.
func VerdictWord(v balancer.Verdict) string {
	if int(v) < len(verdictWords) && verdictWords[v] != "" {
		return verdictWords[v]
	}
	return "unclassified"
}
