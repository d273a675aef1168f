// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestMatch_Dialects: one path below /v1 is of several APIs, and clients write it
// in many ways. Source: specs/native-anthropic.md A.0, B.1, C.0, E and F 1 to 3.
func TestMatch_Dialects(t *testing.T) {
	const ws = "google.ai.generativelanguage."
	for _, tc := range []struct {
		name, method, target, header string // header is "Name: value"
		dialect                      Dialect
		op                           operation
		version, object, verb        string // object is the model's name, or the resource's
	}{
		// B.1, as the SDKs send it, without the prefix that Caddy takes off.
		{"JS generate", "POST", "/v1/models/M:generateContent", "", Gemini, opNative, "v1", "M", "generateContent"},
		{"Go generate", "POST", "/v1beta/models/M:generateContent", "", Gemini, opNative, "v1beta", "M", "generateContent"},
		{"JS stream", "POST", "/v1/models/M:streamGenerateContent?alt=sse", "", Gemini, opNative, "v1", "M", "streamGenerateContent"},
		{"JS list", "GET", "/v1/models", "X-Goog-Api-Key: k", Gemini, opNativeModels, "v1", "models", ""},
		{"JS list, by its own header", "GET", "/v1/models", "X-Goog-Api-Client: google-genai-sdk/3.1.0", Gemini, opNativeModels, "v1", "models", ""},
		{"an empty key is a sign, too", "GET", "/v1/models", "X-Goog-Api-Key: ", Gemini, opNativeModels, "v1", "models", ""},
		{"Go list", "GET", "/v1beta/models", "", Gemini, opNativeModels, "v1beta", "models", ""},
		{"embedContent", "POST", "/v1/models/M:batchEmbedContents", "", Gemini, opNative, "v1", "M", "batchEmbedContents"},
		{"JS upload", "POST", "/upload/v1/files", "", Gemini, opUpload, "v1", "upload/files", ""},
		{"chunk", "POST", "/upload/v1beta/files?upload_id=ABC", "", Gemini, opUpload, "v1beta", "upload/files", ""},
		{"Go upload with v1alpha", "POST", "/v1alpha/upload/v1beta/files", "", Gemini, opUpload, "v1beta", "upload/files", ""},
		{"to a store", "POST", "/upload/v1beta/fileSearchStores/S:uploadToFileSearchStore", "", Gemini, opUpload, "v1beta", "upload/fileSearchStores/S", "uploadToFileSearchStore"},
		{"to an environment", "PUT", "/upload/v1/environments/E/files/a/b.txt", "", Gemini, opUpload, "v1", "upload/environments/E/files/a/b.txt", ""},
		{"JS download", "GET", "/v1/files/ID:download?alt=media", "", Gemini, opDownload, "v1", "files/ID", "download"},
		{"download below /download", "GET", "/download/v1beta/files/ID:download?alt=media", "", Gemini, opDownload, "v1beta", "download/files/ID", "download"},
		{"download, escaped", "GET", "/v1beta/files/ID%3Adownload", "", Gemini, opDownload, "v1beta", "files/ID", "download"},
		{"operation", "GET", "/v1/models/M/operations/OP", "X-Goog-Api-Key: k", Gemini, opResource, "v1", "models/M/operations/OP", ""},
		{"interaction", "POST", "/v1/interactions", "", Gemini, opInteract, "v1", "interactions", ""},
		{"cancel it", "POST", "/v1/interactions/abc/cancel", "", Gemini, opResource, "v1", "interactions/abc/cancel", ""},
		{"token", "POST", "/v1/auth_tokens", "", Gemini, opAuthTokens, "v1", "auth_tokens", ""},
		{"Live", "GET", "/ws/" + ws + "v1.GenerativeService.BidiGenerateContent?key=K", "", Gemini, opLive, "v1", "ws/BidiGenerateContent", ""},
		{"Live of JS, no path in the base", "GET", "//ws/" + ws + "v1beta.GenerativeService.BidiGenerateContent?key=K", "", Gemini, opLive, "v1beta", "ws/BidiGenerateContent", ""},
		{"Live with a token", "GET", "/ws/" + ws + "v1alpha.GenerativeService.BidiGenerateContentConstrained?access_token=x", "", Gemini, opLive, "v1alpha", "ws/BidiGenerateContentConstrained", ""},
		{"music", "GET", "/ws/" + ws + "v1alpha.GenerativeService.BidiGenerateMusic?key=K", "", Gemini, opLive, "v1alpha", "ws/BidiGenerateMusic", ""},
		{"another service", "GET", "/ws/google.ai.other.v1.GenerativeService.BidiGenerateContent", "", "", opUnknown, "", "", ""},
		// F 1 to 3.
		{"Anthropic's list", "GET", "/v1/models", "Anthropic-Version: 2023-06-01", Anthropic, opAnthropicModels, "v1beta", "", ""},
		{"by x-api-key", "GET", "/v1/models/claude-x", "X-Api-Key: k", Anthropic, opAnthropicModel, "v1beta", "claude-x", ""},
		{"by Claude Code", "GET", "/v1/models?limit=1000", "User-Agent: claude-cli/2.1.330 (external, cli)", Anthropic, opAnthropicModels, "v1beta", "", ""},
		{"OpenAI's list", "GET", "/v1/models", "Authorization: Bearer k", OpenAI, opModels, "v1beta", "", ""},
		// C.0.
		{"messages", "POST", "/v1/messages?beta=true", "", Anthropic, opMessages, "v1beta", "", ""},
		{"messages for a client with a key of Google's", "POST", "/v1/messages", "X-Goog-Api-Key: k", Anthropic, opMessages, "v1beta", "", ""},
		{"messages, version twice", "POST", "/v1/v1/messages", "", Anthropic, opMessages, "v1beta", "", ""},
		{"count", "POST", "/v1/messages/count_tokens?beta=true", "", Anthropic, opCountTokens, "v1beta", "", ""},
		{"below anthropic", "POST", "/anthropic/v1/messages", "", Anthropic, opMessages, "v1beta", "", ""},
		{"below anthropic, twice", "POST", "/anthropic/v1/v1/messages", "", Anthropic, opMessages, "v1beta", "", ""},
		{"its models need no header", "GET", "/anthropic/v1/models", "Authorization: Bearer k", Anthropic, opAnthropicModels, "v1beta", "", ""},
		{"batches", "POST", "/v1/messages/batches", "", Anthropic, opUnknown, "v1beta", "", ""},
		{"files", "GET", "/v1/files", "X-Api-Key: k", Anthropic, opUnknown, "v1beta", "", ""},
		{"complete", "POST", "/v1/complete", "", Anthropic, opUnknown, "v1beta", "", ""},
		{"telemetry", "POST", "/api/event_logging/batch", "", Anthropic, opUnknown, "v1beta", "", ""},
		// E.
		{"Open WebUI", "GET", "/v1//models", "Authorization: Bearer k", OpenAI, opModels, "v1beta", "", ""},
		{"LobeChat", "GET", "/v1beta/models?key=K", "", Gemini, opNativeModels, "v1beta", "models", ""},
		{"NextChat's bill", "GET", "/dashboard/billing/usage", "", OpenAI, opUnknown, "v1beta", "", ""},
		{"SillyTavern as Vertex", "POST", "/v1/publishers/google/models/M:generateContent", "Authorization: Bearer k", Gemini, opNative, "v1beta", "M", "generateContent"},
		{"Continue", "POST", "/models/M:streamGenerateContent?key=K", "", Gemini, opNative, "v1beta", "M", "streamGenerateContent"},
		{"no model's method", "GET", "/models", "", "", opUnknown, "", "", ""},
		{"version twice", "POST", "/v1beta/v1beta/models/M:countTokens", "", Gemini, opNative, "v1beta", "M", "countTokens"},
		{"two versions", "POST", "/v1/v1beta/models/M:countTokens", "", Gemini, opNative, "v1beta", "M", "countTokens"},
		{"trailing slash", "GET", "/v1beta/cachedContents/", "", Gemini, opCollection, "v1beta", "cachedContents", ""},
		{"an escaped slash", "GET", "/v1beta/files%2Fabc", "", Gemini, opResource, "v1beta", "files/abc", ""},
		{"environments, as discovery has them", "GET", "/v1beta/environments/E:get", "", Gemini, opResource, "v1beta", "environments/E", "get"},
		{"likewise", "POST", "/v1beta/environments:create", "", Gemini, opCollection, "v1beta", "environments", "create"},
		{"a document", "DELETE", "/v1beta/fileSearchStores/S/documents/D?force=true", "", Gemini, opResource, "v1beta", "fileSearchStores/S/documents/D", ""},
		{"an upload's operation", "GET", "/v1beta/fileSearchStores/S/upload/operations/O", "", Gemini, opResource, "v1beta", "fileSearchStores/S/upload/operations/O", ""},
		{"a tuned model", "POST", "/v1beta/tunedModels/T:generateContent", "", Gemini, opNative, "v1beta", "T", "generateContent"},
		{"PaLM", "POST", "/v1beta/models/M:generateText", "", Gemini, opUnknown, "v1beta", "", ""},
		{"dots", "GET", "/v1beta/files/..", "", Gemini, opUnknown, "v1beta", "", ""},
		{"dots in a path", "GET", "/v1beta/environments/E/files/a/../../x", "", Gemini, opUnknown, "v1beta", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := request(t, tc.method, tc.target, tc.header)
			rt, ours := match(r)
			object := rt.name
			if rt.model != "" && rt.op != opResource {
				object = rt.model
			}
			if ours != (tc.dialect != "") || rt.dialect != tc.dialect || rt.op != tc.op || rt.version != tc.version || object != tc.object || rt.verb != tc.verb {
				t.Errorf("%s %s: %+v, ours %v; want %+v", tc.method, tc.target, rt, ours, tc)
			}
			if rt.op != opUnknown && !rt.allowed {
				t.Errorf("%s is not allowed", tc.method)
			}
		})
	}
}

// request makes one as net/http reads it; header is "Name: value" or empty.
func request(t *testing.T, method, target, header string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(method, "http://gw/", nil)
	var err error
	r.URL, err = r.URL.Parse("http://gw" + target)
	must(t, err)
	if name, value, ok := strings.Cut(header, ": "); ok {
		r.Header.Set(name, value)
	}
	return r
}

// TestHello: who only asks whether somebody is there needs no key.
func TestHello(t *testing.T) {
	w := newWorld(t, keys(1))
	for _, line := range []string{
		"HEAD /", "HEAD /api/hello", "GET /api/hello", "HEAD /anthropic/api/hello", "GET /anthropic/api/hello", "HEAD /anthropic", "HEAD /v1/models",
	} {
		method, path, _ := strings.Cut(line, " ")
		if a := w.do(t.Context(), method, path, "", "Authorization", ""); a.status != 200 || a.body != "" {
			t.Errorf("%s: %d %q", line, a.status, a.body)
		}
	}
	if a := w.do(t.Context(), "HEAD", "/v1/models", "", "Authorization", "Bearer wrong"); a.status != 401 {
		t.Errorf("HEAD /v1/models with a wrong key: %d", a.status)
	}
	if n := w.google.Count(); n > 0 {
		t.Errorf("Google was asked %d times", n)
	}
}

// TestCredential_Dialects: where keys stand, and which counts.
// Source: specs/native-anthropic.md A.4 and C.0; DESIGN.md §2.2.
func TestCredential_Dialects(t *testing.T) {
	for _, tc := range []struct {
		name    string
		target  string
		dialect Dialect
		header  http.Header
		want    string
		err     error
	}{
		{"bearer", "/", OpenAI, http.Header{"Authorization": {"Bearer k"}}, "k", nil},
		{"x-api-key", "/", Anthropic, http.Header{"X-Api-Key": {"k"}}, "k", nil},
		{"x-goog-api-key", "/", Gemini, http.Header{"X-Goog-Api-Key": {"k"}}, "k", nil},
		{"?key=", "/?key=k", Gemini, nil, "k", nil},
		{"gemini-cli sends both", "/", Gemini, http.Header{"Authorization": {"Bearer k"}, "X-Goog-Api-Key": {"k"}}, "k", nil},
		{"gemini-cli without a key", "/", Gemini, http.Header{"X-Goog-Api-Key": {""}}, "", nil},
		{"empty next to a good one", "/?key=", Gemini, http.Header{"Authorization": {"Bearer k"}, "X-Goog-Api-Key": {""}}, "k", nil},
		{"pasted", "/?key=%20k%0A", Gemini, http.Header{"X-Api-Key": {" k\t"}}, "k", nil},
		{"two", "/?key=a", Gemini, http.Header{"X-Goog-Api-Key": {"b"}}, "", errConflict},
		{"two of OpenAI's", "/", OpenAI, http.Header{"Authorization": {"Bearer a"}, "X-Api-Key": {"b"}}, "", errConflict},
		{"two of Anthropic's", "/", Anthropic, http.Header{"Authorization": {"Bearer a"}, "X-Api-Key": {"b"}}, "b", nil},
		{"an empty one of Anthropic's", "/", Anthropic, http.Header{"Authorization": {"Bearer a"}, "X-Api-Key": {""}}, "a", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, tc.target, nil)
			r.Header = tc.header
			got, err := credential(r, tc.dialect)
			if err != tc.err || err == nil && got != tc.want { //nolint:errorlint // the very value
				t.Errorf("%q, %v; want %q, %v", got, err, tc.want, tc.err)
			}
		})
	}
}
