// SPDX-License-Identifier: Apache-2.0

package native

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

const contentType = "application/json; charset=UTF-8"

// status is Google's pair of HTTP status and its name.
type status struct {
	code int
	name string
}

// statuses says how each kind of failure looks when Google has it. A fault of
// our own keys is never a 401 or 403: the client would throw its own key away.
// Source: specs/native-anthropic.md A.15.
var statuses = map[translate.Kind]status{
	translate.Internal:         {500, "INTERNAL"},
	translate.InvalidRequest:   {400, "INVALID_ARGUMENT"},
	translate.Unauthenticated:  {400, "INVALID_ARGUMENT"},
	translate.Forbidden:        {403, "PERMISSION_DENIED"},
	translate.ModelNotFound:    {404, "NOT_FOUND"},
	translate.NotFound:         {404, "NOT_FOUND"},
	translate.UnknownURL:       {404, "NOT_FOUND"},
	translate.MethodNotAllowed: {405, "UNIMPLEMENTED"},
	translate.TooLarge:         {413, "INVALID_ARGUMENT"},
	translate.UnsupportedMedia: {415, "INVALID_ARGUMENT"},
	translate.UserRateLimited:  {429, "RESOURCE_EXHAUSTED"},
	translate.BudgetSpent:      {429, "RESOURCE_EXHAUSTED"},
	translate.RateLimited:      {429, "RESOURCE_EXHAUSTED"},
	translate.QuotaExhausted:   {429, "RESOURCE_EXHAUSTED"},
	translate.NoKeys:           {503, "UNAVAILABLE"},
	translate.Location:         {503, "UNAVAILABLE"},
	translate.Overloaded:       {503, "UNAVAILABLE"},
	translate.Timeout:          {504, "DEADLINE_EXCEEDED"},
	translate.Upstream:         {500, "INTERNAL"},
	translate.EmptyAnswer:      {503, "UNAVAILABLE"},
	translate.MalformedAnswer:  {503, "UNAVAILABLE"},
	translate.Truncated:        {503, "UNAVAILABLE"},
	translate.Canceled:         {499, "CANCELLED"},
}

// relayed are the kinds for which Google's own error object may be passed on.
// The others tell of one key of the pool, or of none.
var relayed = map[translate.Kind]bool{
	translate.InvalidRequest: true,
	translate.ModelNotFound:  true,
	translate.NotFound:       true,
	translate.TooLarge:       true,
	translate.Overloaded:     true,
	translate.Timeout:        true,
	translate.Upstream:       true,
}

// CodeUnimplemented is the Code of a failure to do what Google can and no gateway.
const CodeUnimplemented = "unimplemented"

const (
	invalidKey = "API key not valid. Please pass a valid API key."
	missingKey = "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API."
)

// Error implements [translate.Exchange]. Where a stream of JSON array elements
// was asked for, the error stands in an array too.
func (x *Exchange) Error(f *translate.Failure) translate.Answer {
	answer := Error(f)
	if x.call.Stream == translate.JSONArray {
		answer.Body = append(append([]byte{'['}, answer.Body...), ']')
	}
	return answer
}

// Abort implements [translate.Exchange]. In a stream of server-sent events only
// a bare object, written in one piece, is understood by all of Google's SDKs.
// Source: specs/native-anthropic.md A.5.
func (x *Exchange) Abort(dst []byte, f *translate.Failure) []byte {
	_, body := object(f)
	if x.call.Stream == translate.JSONArray {
		dst = append(dst, "\n,\r\n"...)
		dst = append(dst, body...)
		return append(dst, "\n]"...)
	}
	return append(dst, body...)
}

// Error is the answer to a native request that never became an [Exchange].
func Error(f *translate.Failure) translate.Answer {
	code, body := object(f)
	return translate.Answer{Status: code, ContentType: contentType, Body: body}
}

// object returns the error object of f and its code.
func object(f *translate.Failure) (code int, body []byte) {
	if relayed[f.Kind] {
		if code, body := google(f.Details); code != 0 {
			return code, body
		}
	}
	s, ok := statuses[f.Kind]
	if !ok {
		s = statuses[translate.Internal]
	}
	switch f.Code {
	case CodeUnimplemented:
		s = status{501, "UNIMPLEMENTED"}
	case CodeUnknownOutcome:
		s = status{424, "UNKNOWN"}
	}
	message := f.Message
	if f.Kind == translate.Unauthenticated {
		message = invalidKey
		if f.Code == translate.CodeMissingKey {
			s, message = status{403, "PERMISSION_DENIED"}, missingKey
		}
	} else if f.Param != "" && !strings.Contains(message, f.Param) {
		message = f.Param + ": " + message
	}
	b := append([]byte(nil), `{"error":{"code":`...)
	b = strconv.AppendInt(b, int64(s.code), 10)
	b = append(b, `,"message":`...)
	b = rawjson.AppendQuoted(b, message)
	b = append(b, `,"status":`...)
	b = rawjson.AppendQuoted(b, s.name)
	b = appendDetails(b, f, s)
	return s.code, append(b, '}', '}')
}

// google takes over an error object of Google's, with or without the member
// around it. It returns code 0 when that cannot be shown to a client.
func google(details []byte) (code int, body []byte) {
	v, err := rawjson.Parse(details)
	if err != nil {
		return 0, nil
	}
	inner := v
	if e := v.Get("error"); e != nil {
		inner = e
	}
	n, ok := inner.Get("code").Int()
	if !ok || n < 400 || n > 599 || n == 401 || n == 403 || inner.Get("message").Kind() != rawjson.String {
		return 0, nil
	}
	body = append(append([]byte(nil), `{"error":`...), inner...)
	return int(n), append(body, '}')
}

// quotas are Google's words for what limits of user keys are the like of. gemini-cli
// waits where it reads PerMinute, and gives a model up where it reads PerDay.
// Source: specs/openai.md §13.2, specs/native-anthropic.md A.15.
var quotas = map[string]string{
	"rpm":            "GenerateRequestsPerMinutePerProjectPerModel",
	"tpm":            "GenerateContentInputTokensPerModelPerMinute",
	"rpd":            "GenerateRequestsPerDayPerProjectPerModel",
	"tpd":            "GenerateContentInputTokensPerModelPerDay",
	"monthly_tokens": "GenerateContentInputTokensPerModelPerMonth",
	"concurrency":    "ConcurrentRequestsPerMinutePerUser",
	"budget.day":     "BudgetPerDayPerUser",
	"budget.month":   "BudgetPerMonthPerUser",
	"budget.total":   "BudgetPerUser",
}

// violation is one of a QuotaFailure: the limit of the user key that is used up.
func violation(f *translate.Failure) string {
	quota, known := quotas[f.Limit]
	if !known {
		quota = quotas["rpm"]
	}
	v := `{"quotaId":"` + quota + `"`
	if f.LimitValue > 0 && f.Kind != translate.BudgetSpent { // money is no whole number
		v += `,"quotaValue":"` + strconv.FormatInt(f.LimitValue, 10) + `"`
	}
	return v + "}"
}

// appendDetails appends the details that SDKs and gemini-cli act on.
func appendDetails(b []byte, f *translate.Failure, s status) []byte {
	const domain = `"type.googleapis.com/google.rpc.`
	var list []string
	switch f.Kind {
	case translate.Unauthenticated:
		if s.code == 400 {
			list = append(list, `{"@type":`+domain+`ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com","metadata":{"service":"generativelanguage.googleapis.com"}}`)
		}
	case translate.InvalidRequest:
		if f.Param != "" {
			list = append(list, `{"@type":`+domain+`BadRequest","fieldViolations":[{"field":`+string(rawjson.Quote(f.Param))+`,"description":`+string(rawjson.Quote(f.Message))+`}]}`)
		}
	case translate.QuotaExhausted:
		list = append(list, `{"@type":`+domain+`QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel"}]}`)
	case translate.UserRateLimited, translate.BudgetSpent:
		list = append(list, `{"@type":`+domain+`QuotaFailure","violations":[`+violation(f)+`]}`)
	case translate.RateLimited:
		// gemini-cli gives a model up unless it sees a minute's quota.
		if f.RetryAfter <= time.Minute {
			list = append(list, `{"@type":`+domain+`QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel"}]}`)
		}
	}
	if s.code == 429 && f.RetryAfter > 0 {
		seconds := int64(math.Ceil(f.RetryAfter.Seconds()))
		list = append(list, `{"@type":`+domain+`RetryInfo","retryDelay":"`+strconv.FormatInt(seconds, 10)+`s"}`)
	}
	if len(list) == 0 {
		return b
	}
	b = append(b, `,"details":[`...)
	b = append(b, strings.Join(list, ",")...)
	return append(b, ']')
}
