// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

const (
	contentType = "application/json"
	eventStream = "text/event-stream; charset=utf-8"
)

// errorClass is how Anthropic words a kind of failure.
type errorClass struct {
	status int
	kind   string // "type" on the wire
}

// errorClasses is the table of specs/native-anthropic.md C.8. A fault of our own
// keys is never a 401 or 403: clients would throw their own good key away.
var errorClasses = map[translate.Kind]errorClass{
	translate.Internal:         {500, "api_error"},
	translate.InvalidRequest:   {400, "invalid_request_error"},
	translate.Unauthenticated:  {401, "authentication_error"},
	translate.Forbidden:        {403, "permission_error"},
	translate.ModelNotFound:    {404, "not_found_error"},
	translate.NotFound:         {404, "not_found_error"},
	translate.UnknownURL:       {404, "not_found_error"},
	translate.MethodNotAllowed: {405, "invalid_request_error"},
	translate.TooLarge:         {413, "request_too_large"},
	translate.UnsupportedMedia: {415, "invalid_request_error"},
	translate.UserRateLimited:  {429, "rate_limit_error"},
	translate.BudgetSpent:      {402, "billing_error"},
	translate.RateLimited:      {429, "rate_limit_error"},
	translate.QuotaExhausted:   {429, "rate_limit_error"},
	translate.NoKeys:           {500, "api_error"},
	translate.Location:         {500, "api_error"},
	translate.Overloaded:       {529, "overloaded_error"},
	translate.Timeout:          {504, "timeout_error"},
	translate.Upstream:         {500, "api_error"},
	translate.EmptyAnswer:      {500, "api_error"},
	translate.MalformedAnswer:  {500, "api_error"},
	translate.Truncated:        {500, "api_error"},
	translate.Canceled:         {499, "api_error"},
}

func classify(f *translate.Failure) errorClass {
	switch class, ok := errorClasses[f.Kind]; {
	case !ok:
		return errorClasses[translate.Internal]
	case f.Kind == translate.Forbidden && f.Param == "model":
		// Claude Code takes any 403 for a credential that has failed.
		return errorClasses[translate.ModelNotFound]
	default:
		return class
	}
}

// Error is the answer for a failure of any endpoint of Anthropic's. Its body has
// no request_id before [Identify].
func Error(f *translate.Failure) translate.Answer {
	return translate.Answer{Status: classify(f).status, ContentType: contentType, Body: append(appendError(nil, f), '}')}
}

// Identify puts the id of the request, which the header request-id has too, into an
// answer of [Error]. Any other answer stays as it is.
func Identify(a translate.Answer, requestID string) translate.Answer {
	n := len(a.Body) - 1
	if a.Status < 400 || n <= 0 || a.Body[n] != '}' {
		return a
	}
	body := append(a.Body[:n:n], `,"request_id":`...)
	a.Body = append(rawjson.AppendQuoted(body, requestID), '}')
	return a
}

// appendError appends the error object, but for its last brace.
func appendError(dst []byte, f *translate.Failure) []byte {
	dst = append(dst, `{"type":"error","error":{"type":"`...)
	dst = append(append(dst, classify(f).kind...), `","message":`...)
	return append(rawjson.AppendQuoted(dst, message(f)), '}')
}

// appendErrorEvent appends the event that ends a stream without success.
func appendErrorEvent(dst []byte, f *translate.Failure) []byte {
	return append(appendError(append(dst, "event: error\ndata: "...), f), endEvent...)
}

// message is what a failure says in Anthropic's words.
func message(f *translate.Failure) string {
	switch {
	case f.Code == "context_length_exceeded":
		if m, ok := tooLong(f.Message); ok {
			return m
		}
	case f.Kind == translate.Unauthenticated && f.Code != translate.CodeMissingKey:
		return "invalid x-api-key" // SDKs and tools know no other words for it
	}
	param := f.Param
	if name, ok := fields[param]; ok {
		param = name
	}
	if param == "" || strings.HasPrefix(f.Message, param) {
		return f.Message
	}
	return param + ": " + f.Message
}

// fields are Anthropic's names of what other dialects call differently.
var fields = map[string]string{"stop": "stop_sequences"}

var number = regexp.MustCompile(`\d+(?:,\d{3})*`)

// tooLong words what Google says of a prompt that exceeds the model's window, as in
// "The input token count (1048600) exceeds the maximum number of tokens allowed
// (1048576).". Claude Code reads both numbers and compacts the conversation by
// them; where Google tells only the maximum, the count is one more.
// Source: specs/native-anthropic.md C.8.
func tooLong(message string) (string, bool) {
	var counts []int64
	for _, s := range number.FindAllString(message, -1) {
		if n, err := strconv.ParseInt(strings.ReplaceAll(s, ",", ""), 10, 64); err == nil && n >= 100 { // 1 in "gemini-1.5" is no count
			counts = append(counts, n)
		}
	}
	switch len(counts) {
	case 0:
		return "", false
	case 1:
		counts = []int64{counts[0] + 1, counts[0]}
	}
	n, limit := max(counts[0], counts[1]), min(counts[0], counts[1])
	return "prompt is too long: " + strconv.FormatInt(n, 10) + " tokens > " + strconv.FormatInt(limit, 10) + " maximum", true
}

// longestWait is how long Claude Code sleeps when it is told to; beyond, it gives
// up at once.
const longestWait = time.Minute

// Retry is what the headers retry-after, 0 for none, and x-should-retry tell of an
// error answer; ok is false where they have no place. A wait longer than clients
// bear is cut, as a key may come back sooner, unless it is known to last: then they
// should not try again by themselves. Source: specs/native-anthropic.md C.8.
func Retry(f *translate.Failure) (after time.Duration, again, ok bool) {
	if s := classify(f).status; s != 429 && s != 529 {
		return 0, false, false
	}
	switch {
	case f.Kind == translate.QuotaExhausted:
		return f.RetryAfter, false, true
	case f.Kind == translate.UserRateLimited && f.RetryAfter > longestWait:
		return f.RetryAfter, false, true // exact: no key of ours ends it
	default:
		return min(f.RetryAfter, longestWait), true, true
	}
}
