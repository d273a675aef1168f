// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"encoding/json"
	"regexp"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// wireError is an error answer as SDKs read it.
type wireError struct {
	Type  string `json:"type"`
	Error struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	} `json:"error"`
	RequestID string `json:"request_id"`
}

// TestError is the table of C.8.
func TestError(t *testing.T) {
	for _, tc := range []struct {
		name    string
		f       translate.Failure
		status  int
		typ     string
		message string
	}{
		{"field", translate.Failure{Kind: translate.InvalidRequest, Param: "messages", Message: "Field required"}, 400, "invalid_request_error", "messages: Field required"},
		{"no field", translate.Failure{Kind: translate.InvalidRequest, Message: "Bad."}, 400, "invalid_request_error", "Bad."},
		{"field of another dialect", translate.Failure{Kind: translate.InvalidRequest, Param: "stop", Message: "Too many."}, 400, "invalid_request_error", "stop_sequences: Too many."},
		{"missing key", translate.Failure{Kind: translate.Unauthenticated, Code: translate.CodeMissingKey, Message: "No key."}, 401, "authentication_error", "No key."},
		{"wrong key", translate.Failure{Kind: translate.Unauthenticated, Message: "Unknown key."}, 401, "authentication_error", "invalid x-api-key"},
		{"forbidden", translate.Failure{Kind: translate.Forbidden, Message: "No."}, 403, "permission_error", "No."},
		{"forbidden model", translate.Failure{Kind: translate.Forbidden, Param: "model", Message: "No."}, 404, "not_found_error", "model: No."},
		{"unknown route", translate.Failure{Kind: translate.UnknownURL, Message: "No."}, 404, "not_found_error", "No."},
		{"unknown object", translate.Failure{Kind: translate.NotFound, Message: "No."}, 404, "not_found_error", "No."},
		{"method", translate.Failure{Kind: translate.MethodNotAllowed, Message: "No."}, 405, "invalid_request_error", "No."},
		{"too large", translate.Failure{Kind: translate.TooLarge, Message: "No."}, 413, "request_too_large", "No."},
		{"media type", translate.Failure{Kind: translate.UnsupportedMedia, Message: "No."}, 415, "invalid_request_error", "No."},
		{"user's limit", translate.Failure{Kind: translate.UserRateLimited, Message: "No."}, 429, "rate_limit_error", "No."},
		{"all rest", translate.Failure{Kind: translate.RateLimited, Message: "No."}, 429, "rate_limit_error", "No."},
		{"day is used up", translate.Failure{Kind: translate.QuotaExhausted, Message: "No."}, 429, "rate_limit_error", "No."},
		{"no keys", translate.Failure{Kind: translate.NoKeys, Status: 403, Message: "No."}, 500, "api_error", "No."},
		{"location", translate.Failure{Kind: translate.Location, Message: "No."}, 500, "api_error", "No."},
		{"overloaded", translate.Failure{Kind: translate.Overloaded, Message: "No."}, 529, "overloaded_error", "No."},
		{"timeout", translate.Failure{Kind: translate.Timeout, Message: "No."}, 504, "timeout_error", "No."},
		{"upstream", translate.Failure{Kind: translate.Upstream, Message: "No."}, 500, "api_error", "No."},
		{"empty", *translate.NoContent(), 500, "api_error", translate.NoContent().Message},
		{"malformed", translate.Failure{Kind: translate.MalformedAnswer, Message: "No."}, 500, "api_error", "No."},
		{"cut off", *translate.CutOff(), 500, "api_error", translate.CutOff().Message},
		{"bug", translate.Failure{Kind: translate.Internal, Message: "No."}, 500, "api_error", "No."},
		{"unknown kind", translate.Failure{Kind: 200, Message: "No."}, 500, "api_error", "No."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := Identify(Error(&tc.f), "req_1")
			var e wireError
			strict(t, a.Body, &e)
			if a.Status != tc.status || a.ContentType != "application/json" || e.Type != "error" || e.RequestID != "req_1" ||
				e.Error.Type != tc.typ || e.Error.Message != tc.message {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	for kind := translate.Internal; kind <= translate.Canceled; kind++ {
		if _, ok := errorClasses[kind]; !ok {
			t.Errorf("kind %d has no class", kind)
		}
	}
	ok := translate.Answer{Status: 200, Body: []byte(`{}`)}
	if a := Identify(ok, "req_1"); string(a.Body) != `{}` {
		t.Errorf("%s", a.Body)
	}
}

// TestError_TooLong: Claude Code reads both numbers, and only in these words.
func TestError_TooLong(t *testing.T) {
	for message, want := range map[string]string{
		"The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).":                                   "prompt is too long: 1196265 tokens > 1048575 maximum",
		"The input token count exceeds the maximum number of tokens allowed 1048576.":                                               "prompt is too long: 1048577 tokens > 1048576 maximum",
		"Request contains text fields of gemini-2.5 that are too large: token count of 1,200,000 exceeds the maximum of 1,048,576.": "prompt is too long: 1200000 tokens > 1048576 maximum",
		"The input token count exceeds the limit.":                                                                                  "The input token count exceeds the limit.",
	} {
		a := Error(&translate.Failure{Kind: translate.InvalidRequest, Code: "context_length_exceeded", Message: message})
		var e wireError
		if err := json.Unmarshal(a.Body, &e); err != nil || e.Error.Message != want || a.Status != 400 {
			t.Errorf("%s: %d %s", message, a.Status, a.Body)
		}
		if want != message && !regexp.MustCompile(`^prompt is too long: \d+ tokens > \d+ maximum$`).MatchString(e.Error.Message) {
			t.Errorf("Claude Code would not know %q", e.Error.Message)
		}
	}
}

// TestMessages_Error: a model that nobody knows is named as the client named it.
func TestMessages_Error(t *testing.T) {
	a := messages().Error(&translate.Failure{Kind: translate.ModelNotFound, Param: "model", Message: "No Gemini key may use it."})
	var e wireError
	if err := json.Unmarshal(a.Body, &e); err != nil || a.Status != 404 || e.Error.Message != "model: claude-x. No Gemini key may use it." {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

func TestRetry(t *testing.T) {
	for _, tc := range []struct {
		name  string
		f     translate.Failure
		after time.Duration
		again bool
		ok    bool
	}{
		{"soon", translate.Failure{Kind: translate.RateLimited, RetryAfter: 20 * time.Second}, 20 * time.Second, true, true},
		{"unknown", translate.Failure{Kind: translate.RateLimited}, 0, true, true},
		{"some key may come back sooner", translate.Failure{Kind: translate.RateLimited, RetryAfter: time.Hour}, time.Minute, true, true},
		{"overloaded", translate.Failure{Kind: translate.Overloaded, RetryAfter: 5 * time.Second}, 5 * time.Second, true, true},
		{"user's minute", translate.Failure{Kind: translate.UserRateLimited, RetryAfter: 7 * time.Second}, 7 * time.Second, true, true},
		{"user's day", translate.Failure{Kind: translate.UserRateLimited, RetryAfter: 7 * time.Hour}, 7 * time.Hour, false, true},
		{"day is used up", translate.Failure{Kind: translate.QuotaExhausted, RetryAfter: 7 * time.Hour}, 7 * time.Hour, false, true},
		{"client's fault", translate.Failure{Kind: translate.InvalidRequest}, 0, false, false},
		{"upstream", translate.Failure{Kind: translate.Upstream}, 0, false, false},
	} {
		if after, again, ok := Retry(&tc.f); after != tc.after || again != tc.again || ok != tc.ok {
			t.Errorf("%s: %v %v %v", tc.name, after, again, ok)
		}
	}
}
