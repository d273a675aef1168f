// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestMatch(t *testing.T) {
	google := http.Header{"X-Goog-Api-Key": {"k"}}
	bearer := http.Header{"Authorization": {"Bearer k"}}
	for _, tc := range []struct {
		method, target string
		header         http.Header
		ours           bool
		want           route
	}{
		{"POST", "/v1/chat/completions", nil, true, route{dialect: OpenAI, op: opChat, allowed: true}},
		{"POST", "/v1/chat/completions/", nil, true, route{dialect: OpenAI, op: opChat, allowed: true}},
		{"POST", "//v1//chat/completions", nil, true, route{dialect: OpenAI, op: opChat, allowed: true}},
		{"POST", "/v1/v1/chat/completions", nil, true, route{dialect: OpenAI, op: opChat, allowed: true}},
		{"POST", "/openai/v1/chat/completions", nil, true, route{dialect: OpenAI, op: opChat, allowed: true}},
		{"POST", "/v1beta/openai/chat/completions", nil, true, route{dialect: OpenAI, op: opChat, allowed: true}},
		{"POST", "/v1beta/openai/chat/completions", google, true, route{dialect: OpenAI, op: opChat, allowed: true}},
		{"POST", "/v1/chat/completions", google, true, route{dialect: OpenAI, op: opChat, allowed: true}},
		{"POST", "/v1/chat/completions?key=x", nil, true, route{dialect: OpenAI, op: opChat, allowed: true}},
		{"GET", "/v1/chat/completions", nil, true, route{dialect: OpenAI, op: opChat}},
		{"POST", "/v1/chat", nil, true, route{dialect: OpenAI}},
		{"POST", "/v1/moderations", nil, true, route{dialect: OpenAI}},
		{"GET", "/v1", nil, true, route{dialect: OpenAI}},
		{"POST", "/v1/files", nil, true, route{dialect: OpenAI, op: opFiles, allowed: true}},
		{"HEAD", "/openai/v1/files/", nil, true, route{dialect: OpenAI, op: opFiles, allowed: true}},
		{"DELETE", "/v1/files", nil, true, route{dialect: OpenAI, op: opFiles}},
		{"DELETE", "/v1beta/openai/files/file-1-a", google, true, route{dialect: OpenAI, op: opFile, allowed: true}},
		{"GET", "/v1/files/file-1-a/content", nil, true, route{dialect: OpenAI, op: opFile, verb: "content", allowed: true}},
		{"DELETE", "/v1/files/file-1-a/content", nil, true, route{dialect: OpenAI, op: opFile, verb: "content"}},
		{"GET", "/v1/files/file-1-a/other", nil, true, route{dialect: OpenAI}},
		{"GET", "/v1/files/..%2Fx", nil, true, route{dialect: OpenAI}},
		{"GET", "/v1/files/a", google, true, route{dialect: Gemini, version: "v1", op: opResource, id: "a", name: "files/a", allowed: true}},
		{"GET", "/v1/models", nil, true, route{dialect: OpenAI, op: opModels, allowed: true}},
		{"HEAD", "/v1/models", bearer, true, route{dialect: OpenAI, op: opModels, allowed: true}},
		{"GET", "/v1/models/gemini-x", nil, true, route{dialect: OpenAI, op: opModel, model: "gemini-x", allowed: true}},
		{"GET", "/v1/models/models/gemini-x", nil, true, route{dialect: OpenAI, op: opModel, model: "gemini-x", allowed: true}},
		{"GET", "/v1/models", google, true, route{dialect: Gemini, op: opNativeModels, version: "v1", allowed: true}},
		{"GET", "/v1/models?key=x", nil, true, route{dialect: Gemini, op: opNativeModels, version: "v1", allowed: true}},
		{"GET", "/v1beta/models", nil, true, route{dialect: Gemini, op: opNativeModels, version: "v1beta", allowed: true}},
		{"GET", "/v1beta/v1beta/models/m", nil, true, route{dialect: Gemini, op: opNativeModels, version: "v1beta", model: "m", allowed: true}},
		{"POST", "/v1beta/models/m:generateContent", nil, true, route{dialect: Gemini, op: opNative, version: "v1beta", model: "m", verb: "generateContent", allowed: true}},
		{"POST", "/v1/models/m:streamGenerateContent", nil, true, route{dialect: Gemini, op: opNative, version: "v1", model: "m", verb: "streamGenerateContent", allowed: true}},
		{"POST", "/v1alpha/models/m%3AcountTokens", nil, true, route{dialect: Gemini, op: opNative, version: "v1alpha", model: "m", verb: "countTokens", allowed: true}},
		{"POST", "/v1beta/models/m:deleteEverything", nil, true, route{dialect: Gemini, version: "v1beta"}},
		{"POST", "/v1beta/models/../files:generateContent", nil, true, route{dialect: Gemini, version: "v1beta"}},
		{"POST", "/v1beta/models/a%2Fb:generateContent", nil, true, route{dialect: Gemini, version: "v1beta"}},
		{"POST", "/V1/chat/completions", nil, false, route{}},
		{"GET", "/", nil, false, route{}},
		{"GET", "/v1x/models", nil, false, route{}},
		{"GET", "/index.html", nil, false, route{}},
	} {
		r := httptest.NewRequest(tc.method, "http://gw/", nil)
		r.URL, _ = r.URL.Parse("http://gw" + tc.target)
		maps.Copy(r.Header, tc.header)
		got, ours := match(r)
		got.methods, got.public = "", nil
		if got.dialect == OpenAI {
			got.version = ""
		}
		if ours != tc.ours || got.dialect != tc.want.dialect || got.op != tc.want.op || got.model != tc.want.model ||
			got.verb != tc.want.verb || got.version != tc.want.version || got.allowed != tc.want.allowed {
			t.Errorf("%s %s: %+v, ours %v; want %+v", tc.method, tc.target, got, ours, tc.want)
		}
	}
}

// FuzzMatch: no path reaches a model endpoint with a model that could leave its
// place in the upstream path.
func FuzzMatch(f *testing.F) {
	f.Add("/v1beta/models/m:generateContent")
	f.Add("/v1/v1beta//models/..:generateContent")
	f.Fuzz(func(t *testing.T, path string) {
		r := httptest.NewRequest(http.MethodPost, "http://gw/", nil)
		r.URL.Path = path
		rt, _ := match(r)
		if rt.op == opNative && rt.model == "" {
			t.Fatalf("%q: a verb without a model", path)
		}
		for _, c := range rt.model {
			if c == '/' || c == ':' {
				t.Fatalf("%q: model %q", path, rt.model)
			}
		}
	})
}
