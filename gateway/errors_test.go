// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// secretLooking is what Google writes of keys and projects into its errors.
const secretLooking = "AIzaSyA0123456789abcdefghijklmnopqrstuv"

// TestErrors_Table: what the bodies of specs/openai.md §13.2 become for clients of
// OpenAI's API by the table of §13.4, whether they asked for a stream or not.
func TestErrors_Table(t *testing.T) {
	object := func(code, status, message, details string) string {
		return `{"error":{"code":` + code + `,"message":"` + message + `","status":"` + status + `","details":[` + details + `]}}`
	}
	info := func(reason string) string {
		return `{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"` + reason + `","domain":"googleapis.com","metadata":{"consumer":"projects/123456789012","containerInfo":"api_key:` + secretLooking + `"}}`
	}
	quota := func(id, value string) string {
		return `{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests","quotaId":"` + id + `","quotaDimensions":{"location":"global","model":"` + model + `"},"quotaValue":"` + value + `"}]}`
	}
	delay := func(d string) string {
		return `{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"` + d + `"}`
	}
	const over = "You exceeded your current quota, please check your plan and billing details."
	for _, tc := range []struct {
		name                string
		status              int
		body                string
		want                int
		kind, code, param   string
		retryAfter, message string
	}{
		{"invalid key", 400, object("400", "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", info("API_KEY_INVALID")), 503, "server_error", "upstream_auth_failed", "", "", "Your own key is fine"},
		{"expired key", 400, object("400", "INVALID_ARGUMENT", "API key expired. Please renew the API key.", info("API_KEY_INVALID")), 503, "server_error", "upstream_auth_failed", "", "", ""},
		{"unknown key", 400, object("400", "INVALID_ARGUMENT", "API Key not found. Please pass a valid API key.", ""), 503, "server_error", "upstream_auth_failed", "", "", ""},
		{"location", 400, object("400", "FAILED_PRECONDITION", "User location is not supported for the API use.", ""), 503, "server_error", "upstream_location_unsupported", "", "+", ""},
		{"unknown name", 400, object("400", "INVALID_ARGUMENT", `Invalid JSON payload received. Unknown name \"const\" at 'tools[0].function_declarations[0].parameters': Cannot find field.`,
			`{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"tools[0].function_declarations[0].parameters","description":"d"}]}`), 400, "invalid_request_error", "", "tools", "", `Unknown name \"const\"`},
		{"a field of ours", 400, object("400", "INVALID_ARGUMENT", "Invalid value", `{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"generation_config.max_output_tokens","description":"d"}]}`), 400, "invalid_request_error", "", "max_tokens", "", "Invalid value"},
		{"too long", 400, object("400", "INVALID_ARGUMENT", "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", ""), 400, "invalid_request_error", "context_length_exceeded", "", "", "1048576"},
		{"unauthenticated", 401, object("401", "UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access token", info("ACCESS_TOKEN_TYPE_UNSUPPORTED")), 503, "server_error", "upstream_auth_failed", "", "", ""},
		{"suspended", 403, object("403", "PERMISSION_DENIED", "Permission denied: Consumer 'api_key:"+secretLooking+"' has been suspended.", info("CONSUMER_SUSPENDED")), 503, "server_error", "upstream_auth_failed", "", "", ""},
		{"leaked", 403, object("403", "PERMISSION_DENIED", "Your API key was reported as leaked. Please use another API key.", ""), 503, "server_error", "upstream_auth_failed", "", "", ""},
		{"denied", 403, object("403", "PERMISSION_DENIED", "Your project has been denied access. Please contact support.", ""), 503, "server_error", "upstream_auth_failed", "", "", ""},
		{"service disabled", 403, object("403", "PERMISSION_DENIED", "Generative Language API has not been used in project 123456789012 before or it is disabled.", info("SERVICE_DISABLED")), 503, "server_error", "upstream_auth_failed", "", "", ""},
		{"service blocked", 403, object("403", "PERMISSION_DENIED", "Requests to this API generativelanguage.googleapis.com method x are blocked.", info("API_KEY_SERVICE_BLOCKED")), 503, "server_error", "upstream_auth_failed", "", "", ""},
		{"referrer", 403, object("403", "PERMISSION_DENIED", "Requests from referer <empty> are blocked.", info("API_KEY_HTTP_REFERRER_BLOCKED")), 503, "server_error", "upstream_auth_failed", "", "", ""},
		{"file of another project", 403, object("403", "PERMISSION_DENIED", "You do not have permission to access the File abc or it may not exist.", ""), 404, "invalid_request_error", "", "", "", ""},
		{"unknown model", 404, object("404", "NOT_FOUND", "models/x is not found for API version v1beta, or is not supported for generateContent.", ""), 404, "invalid_request_error", "model_not_found", "model", "", ""},
		{"model of others", 404, object("404", "NOT_FOUND", "This model models/x is no longer available to new users.", ""), 404, "invalid_request_error", "model_not_found", "model", "", ""},
		{"day", 429, object("429", "RESOURCE_EXHAUSTED", over, quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "20")+","+delay("38s")), 429, "insufficient_quota", "insufficient_quota", "", "+", ""},
		{"minute", 429, object("429", "RESOURCE_EXHAUSTED", over+` \nPlease retry in 45.837906927s.`, quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "10")+","+delay("45s")), 429, "rate_limit_error", "rate_limit_exceeded", "", "46", ""},
		{"bare", 429, object("429", "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).", ""), 429, "rate_limit_error", "rate_limit_exceeded", "", "+", ""},
		{"credits", 429, object("429", "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted.", ""), 429, "insufficient_quota", "insufficient_quota", "", "+", ""},
		{"array", 429, "[" + object("429", "RESOURCE_EXHAUSTED", over, quota("GenerateRequestsPerMinutePerProjectPerModel", "10")+","+delay("7s")) + "]", 429, "rate_limit_error", "rate_limit_exceeded", "", "7", ""},
		{"internal", 500, object("500", "INTERNAL", "An internal error has occurred. Please retry", ""), 502, "server_error", "upstream_error", "", "", "internal error"},
		{"bad gateway", 502, "<html><title>502</title></html>", 502, "server_error", "upstream_error", "", "", ""},
		{"overloaded", 503, object("503", "UNAVAILABLE", "The model is overloaded. Please try again later.", ""), 503, "server_error", "overloaded", "", "5", "overloaded"},
		{"deadline", 504, object("504", "DEADLINE_EXCEEDED", "Deadline expired before operation could complete.", ""), 504, "server_error", "timeout", "", "", ""},
		{"robots", 403, "<html>Our systems have detected automated queries</html>", 503, "server_error", "overloaded", "", "+", ""},
		{"nothing", 500, "", 502, "server_error", "upstream_error", "", "", ""},
		{"code is a word", 400, `{"error":{"code":"bad_thing","message":"m"}}`, 400, "invalid_request_error", "", "", "", ""},
	} {
		for _, s := range surfaces[:2] {
			t.Run(tc.name+" "+s.name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, keys(1), scripted(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(tc.status)
					_, _ = io.WriteString(w, tc.body)
				}))
				patchWait(t, w, 0)
				got := w.ask(s, "hi")
				openaiError(t, got, tc.want, tc.code)
				var e struct {
					Error struct {
						Message, Type string
						Param, Code   *string
					}
				}
				must(t, json.Unmarshal([]byte(got.body), &e))
				param, code := "", ""
				if e.Error.Param != nil {
					param = *e.Error.Param
				}
				if e.Error.Code != nil {
					code = *e.Error.Code
				}
				if e.Error.Type != tc.kind || code != tc.code || param != tc.param || !strings.Contains(got.body, tc.message) {
					t.Errorf("%s", got.body)
				}
				if after := got.header.Get("Retry-After"); after != tc.retryAfter && (tc.retryAfter != "+" || after == "" || after == "0") {
					t.Errorf("Retry-After %q, want %q", after, tc.retryAfter)
				}
				if no := got.header.Get("X-Should-Retry"); (no == "false") != (tc.kind == "insufficient_quota") {
					t.Errorf("X-Should-Retry %q", no)
				}
				for _, secret := range []string{"AIza", "123456789012", "api_key:", "<html"} {
					if strings.Contains(got.body, secret) {
						t.Errorf("%s in %s", secret, got.body)
					}
				}
			})
		}
	}
}
