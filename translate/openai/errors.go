// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

const contentType = "application/json"

// errorClass is how OpenAI words a kind of failure.
type errorClass struct {
	status int
	kind   string // "type" on the wire
	code   string // "" is null
}

// errorClasses is the table of specs/openai.md §13.4. A fault of our own keys is
// never a 401 or 403: clients would throw their own good key away.
var errorClasses = map[translate.Kind]errorClass{
	translate.Internal:         {500, "server_error", "internal_error"},
	translate.InvalidRequest:   {400, "invalid_request_error", ""},
	translate.Unauthenticated:  {401, "invalid_request_error", "invalid_api_key"},
	translate.Forbidden:        {403, "invalid_request_error", "permission_denied"},
	translate.ModelNotFound:    {404, "invalid_request_error", "model_not_found"},
	translate.NotFound:         {404, "invalid_request_error", ""},
	translate.UnknownURL:       {404, "invalid_request_error", "unknown_url"},
	translate.MethodNotAllowed: {405, "invalid_request_error", "method_not_allowed"},
	translate.TooLarge:         {413, "invalid_request_error", "request_too_large"},
	translate.UnsupportedMedia: {415, "invalid_request_error", "unsupported_media_type"},
	translate.UserRateLimited:  {429, "rate_limit_error", "rate_limit_exceeded"},
	translate.BudgetSpent:      {429, "insufficient_quota", "insufficient_quota"},
	translate.RateLimited:      {429, "rate_limit_error", "rate_limit_exceeded"},
	translate.QuotaExhausted:   {429, "insufficient_quota", "insufficient_quota"},
	translate.NoKeys:           {503, "server_error", "no_upstream_keys"},
	translate.Location:         {503, "server_error", "upstream_location_unsupported"},
	translate.Overloaded:       {503, "server_error", "overloaded"},
	translate.Timeout:          {504, "server_error", "timeout"},
	translate.Upstream:         {502, "server_error", "upstream_error"},
	translate.EmptyAnswer:      {502, "server_error", "upstream_empty_response"},
	translate.MalformedAnswer:  {502, "server_error", "upstream_malformed_response"},
	translate.Truncated:        {502, "server_error", "upstream_stream_truncated"},
	translate.Canceled:         {499, "server_error", "request_canceled"},
}

// Error is the answer for a failure of any OpenAI endpoint.
func Error(f *translate.Failure) translate.Answer {
	return translate.Answer{Status: classify(f).status, ContentType: contentType, Body: appendError(nil, f)}
}

// classify finds the row of the table and what f changes in it.
func classify(f *translate.Failure) errorClass {
	class, ok := errorClasses[f.Kind]
	if !ok {
		class = errorClasses[translate.Internal]
	}
	switch {
	case f.Kind == translate.Unauthenticated: // the one code that SDKs test
	case f.Code == codeModeration: // has a type of its own
		class.kind, class.code = "image_generation_user_error", f.Code
	case f.Code != "":
		class.code = f.Code
	case f.Kind == translate.NoKeys && f.Status >= 400: // some key was refused
		class.code = "upstream_auth_failed"
	}
	return class
}

// appendError appends the error object. All four members are always there, and
// code is a string or null: typed SDKs fail on anything else.
func appendError(dst []byte, f *translate.Failure) []byte {
	class := classify(f)
	param := f.Param
	if param == "" && f.Kind == translate.ModelNotFound {
		param = "model"
	}
	dst = append(dst, `{"error":{"message":`...)
	dst = rawjson.AppendQuoted(dst, f.Message)
	dst = append(dst, `,"type":`...)
	dst = rawjson.AppendQuoted(dst, class.kind)
	dst = append(dst, `,"param":`...)
	dst = appendOptional(dst, param)
	dst = append(dst, `,"code":`...)
	dst = appendOptional(dst, class.code)
	return append(dst, '}', '}')
}

// appendOptional appends a string, or null for an empty one.
func appendOptional(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return rawjson.AppendQuoted(dst, s)
}
