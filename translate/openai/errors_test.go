// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// TestError is the table of specs/openai.md §13.4.
func TestError(t *testing.T) {
	for _, tc := range []struct {
		name   string
		f      translate.Failure
		status int
		body   string
	}{
		{"user key wrong", translate.Failure{Kind: translate.Unauthenticated, Message: "m"}, 401, `"type":"invalid_request_error","param":null,"code":"invalid_api_key"`},
		{"user key missing", translate.Failure{Kind: translate.Unauthenticated, Code: translate.CodeMissingKey, Message: "m"}, 401, `"type":"invalid_request_error","param":null,"code":"invalid_api_key"`},
		{"local validation", *translate.Invalid("messages[0].role", "m"), 400, `"type":"invalid_request_error","param":"messages[0].role","code":null`},
		{"unsupported parameter", translate.Failure{Kind: translate.InvalidRequest, Param: "n", Code: "unsupported_value", Message: "m"}, 400, `"type":"invalid_request_error","param":"n","code":"unsupported_value"`},
		{"upstream 400", translate.Failure{Kind: translate.InvalidRequest, Status: 400, Message: "m"}, 400, `"type":"invalid_request_error","param":null,"code":null`},
		{"too long", translate.Failure{Kind: translate.InvalidRequest, Code: "context_length_exceeded", Message: "The input token count (9) exceeds the maximum"}, 400, `"type":"invalid_request_error","param":null,"code":"context_length_exceeded"`},
		{"model", translate.Failure{Kind: translate.ModelNotFound, Message: "m"}, 404, `"type":"invalid_request_error","param":"model","code":"model_not_found"`},
		{"url", translate.Failure{Kind: translate.UnknownURL, Message: "m"}, 404, `"type":"invalid_request_error","param":null,"code":"unknown_url"`},
		{"too large", translate.Failure{Kind: translate.TooLarge, Message: "m"}, 413, `"type":"invalid_request_error","param":null,"code":"request_too_large"`},
		{"all cooling", translate.Failure{Kind: translate.RateLimited, Message: "m"}, 429, `"type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"`},
		{"user's limit", translate.Failure{Kind: translate.UserRateLimited, Message: "m"}, 429, `"type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"`},
		{"day used up", translate.Failure{Kind: translate.QuotaExhausted, Message: "m"}, 429, `"type":"insufficient_quota","param":null,"code":"insufficient_quota"`},
		{"no keys", translate.Failure{Kind: translate.NoKeys, Message: "m"}, 503, `"type":"server_error","param":null,"code":"no_upstream_keys"`},
		{"keys refused", translate.Failure{Kind: translate.NoKeys, Status: 403, Message: "m"}, 503, `"type":"server_error","param":null,"code":"upstream_auth_failed"`},
		{"location", translate.Failure{Kind: translate.Location, Message: "m"}, 503, `"type":"server_error","param":null,"code":"upstream_location_unsupported"`},
		{"upstream 500", translate.Failure{Kind: translate.Upstream, Message: "m"}, 502, `"type":"server_error","param":null,"code":"upstream_error"`},
		{"overloaded", translate.Failure{Kind: translate.Overloaded, Message: "m"}, 503, `"type":"server_error","param":null,"code":"overloaded"`},
		{"timeout", translate.Failure{Kind: translate.Timeout, Message: "m"}, 504, `"type":"server_error","param":null,"code":"timeout"`},
		{"a kind nobody knows", translate.Failure{Kind: 255, Message: "m"}, 500, `"type":"server_error","param":null,"code":"internal_error"`},
	} {
		a := Error(&tc.f)
		want := `{"error":{"message":` + show(tc.f.Message) + `,` + tc.body + `}}`
		if a.Status != tc.status || string(a.Body) != want || a.ContentType != "application/json" {
			t.Errorf("%s: %d %s\nwant %d %s", tc.name, a.Status, a.Body, tc.status, want)
		}
	}
	for kind := translate.Internal; kind <= translate.Canceled; kind++ {
		if _, ok := errorClasses[kind]; !ok {
			t.Errorf("kind %d has no row", kind)
		}
		if s := Error(&translate.Failure{Kind: kind}).Status; (s == 401) != (kind == translate.Unauthenticated) || (s == 403) != (kind == translate.Forbidden) {
			t.Errorf("kind %d: %d makes clients doubt their own key", kind, s)
		}
	}
}

func TestModels(t *testing.T) {
	upstream := `{"models":[{"name":"models/gemini-flash-latest","displayName":"Flash <1>","inputTokenLimit":1048576,"outputTokenLimit":65536,"supportedGenerationMethods":["generateContent"]},
		{"name":"models/gemini-live","supportedGenerationMethods":["bidiGenerateContent"]},
		{"name":"models/gemini-embedding-2","supportedGenerationMethods":["embedContent"]},{"name":"models/hidden"},{}]}`
	aliases := []Alias{{"gpt-4o", "gone-1"}, {"gpt-4o", "gemini-flash-latest"}, {"gpt-4o", "gemini-embedding-2"}, {"gone", "nothing"}}
	x, f := NewModels("", aliases, func(id string) bool { return id != "hidden" })
	if f != nil || x.Call().Path != "/v1beta/models" || x.Call().Query != "pageSize=1000" {
		t.Fatal(f, x.Call())
	}
	out, err := x.Response(nil, []byte(upstream))
	want := `{"object":"list","data":[{"id":"gpt-4o","object":"model","created":1686935002,"owned_by":"google","context_length":1048576,"max_output_tokens":65536,"display_name":"Flash <1>"},` +
		`{"id":"gemini-flash-latest","object":"model","created":1686935002,"owned_by":"google","context_length":1048576,"max_output_tokens":65536,"display_name":"Flash <1>"},` +
		`{"id":"gemini-embedding-2","object":"model","created":1686935002,"owned_by":"google"}]}`
	if err != nil || string(out) != want {
		t.Errorf("list: %s, %v", out, err)
	}
	for id, path := range map[string]string{"models/gemini-x": "/v1beta/models/gemini-x", "gpt-4o": "/v1beta/models/gone-1"} {
		x, f := NewModels(id, aliases, nil)
		if f != nil || x.Call().Path != path || x.Call().Asked != strings.TrimPrefix(id, "models/") {
			t.Fatalf("%s: %v", id, f)
		}
		out, err := x.Response(nil, []byte(`{"name":"models/gemini-x"}`))
		if err != nil || len(out) == 0 {
			t.Errorf("%s: %s, %v", id, out, err)
		}
	}
	for _, id := range []string{"../x", "a?b", "a:b", ".a", "a/b", "hidden"} {
		_, f := NewModels(id, nil, func(id string) bool { return id != "hidden" })
		if f == nil || f.Kind != translate.ModelNotFound {
			t.Errorf("%s: %v", id, f)
		}
	}
	x, _ = NewModels("x", nil, nil)
	a := x.Error(&translate.Failure{Kind: translate.NotFound, Message: "upstream words"})
	if a.Status != 404 || string(a.Body) != `{"error":{"message":"The model 'x' does not exist.","type":"invalid_request_error","param":"model","code":"model_not_found"}}` {
		t.Errorf("unknown: %d %s", a.Status, a.Body)
	}
	x, _ = NewModels("", []Alias{{"a", " models/gemini-flash-latest(high)"}, {"b", "google/gemini-embedding-2"}}, nil)
	out, err = x.Join(nil, [][]byte{[]byte(upstream), []byte(`{"models":[{"name":"models/hidden"},{"name":"models/more"}]}`)})
	var ids []string
	for part := range strings.SplitSeq(string(out), `{"id":"`) {
		id, _, _ := strings.Cut(part, `"`)
		ids = append(ids, id)
	}
	if got := strings.Join(ids[1:], " "); err != nil || got != "a b gemini-flash-latest gemini-embedding-2 hidden more" {
		t.Errorf("two pages: %s, %v", got, err)
	}
	for doc, query := range map[string]string{`{"models":[]}`: "", `{"nextPageToken":""}`: "", `{"nextPageToken":"a&b"}`: "pageSize=1000&pageToken=a%26b", `{`: ""} {
		next := x.Next([]byte(doc))
		if next == nil != (query == "") || next != nil && (next.Query != query || next.Path != "/v1beta/models") {
			t.Errorf("after %s: %+v", doc, next)
		}
	}
	for doc, kind := range map[string]translate.Kind{`{`: translate.Truncated, `{}`: translate.EmptyAnswer} {
		x, _ := NewModels("", nil, nil)
		if _, err := x.Response(nil, []byte(doc)); err == nil || err.(*translate.Failure).Kind != kind {
			t.Errorf("%s: %v", doc, err)
		}
	}
}
