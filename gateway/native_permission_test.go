// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// TestNative_Permission: a user key's models bind wherever a body names one, agents
// included, and nowhere else.
func TestNative_Permission(t *testing.T) {
	w := newWorld(t, keys(1), func(c *Config) {
		c.AdminResources = true
		c.Aliases = []settings.Alias{{Name: "fast", Targets: []string{"gemini-3-flash-preview"}}}
	})
	_, secret, err := w.users.Create(t.Context(), users.Spec{Name: "r", Unlimited: true, Models: []string{"gemini-2.5-flash", "deep-*", "fast"}})
	must(t, err)
	const (
		mine  = `"model":"models/gemini-2.5-flash"`
		other = `"model":"models/gemini-3-flash-preview"`
		at    = "/v1beta/models/gemini-2.5-flash:"
	)
	for _, tc := range []struct {
		name, path, body string
		refused          bool
	}{
		{"an agent", "/v1beta/interactions", `{"agent":"antigravity","input":"x"}`, true},
		{"one's own kind of agent", "/v1beta/interactions", `{"agent":"deep-research","input":"x"}`, false},
		{"an agent behind a model", "/v1beta/interactions", `{"model":"gemini-2.5-flash","agent":"antigravity","input":"x"}`, true},
		{"another agent behind one", "/v1beta/interactions", `{"agent":"antigravity","agent":"deep-research","input":"x"}`, true},
		{"an interaction", "/v1beta/interactions", `{"model":"gemini-3-flash-preview","input":"x"}`, true},
		{"another model behind one", "/v1beta/interactions", `{"model":"gemini-3-flash-preview","model":"gemini-2.5-flash","input":"x"}`, true},
		{"an alias", "/v1beta/interactions", `{"model":"fast","input":"x"}`, false},
		{"a base agent", "/v1beta/agents", `{"id":"mine","base_agent":"antigravity"}`, true},
		{"one's own kind of base agent", "/v1beta/agents", `{"id":"mine","base_agent":"deep-research"}`, false},
		{"a batch", at + "batchGenerateContent", `{"batch":{` + other + `,"displayName":"b"}}`, true},
		{"within a batch", at + "batchGenerateContent", `{"batch":{"inputConfig":{"requests":{"requests":[{"request":{` + other + `,` + prompt + `}}]}}}}`, true},
		{"within one's own batch", at + "batchGenerateContent", `{"batch":{` + mine + `,"displayName":"b","inputConfig":{"requests":{"requests":[{"request":{` + mine + `,` + prompt + `}}]}}}}`, false},
		{"embeddings", at + "batchEmbedContents", `{"requests":[{` + other + `,"content":{"parts":[{"text":"x"}]}}]}`, true},
		{"counting", at + "countTokens", `{"generateContentRequest":{` + other + `,` + prompt + `}}`, true},
		{"counting, in snake case", at + "countTokens", `{"generate_content_request":{"m\u006fdel":"gemini-3-flash-preview",` + prompt + `}}`, true},
		{"counting one's own", at + "countTokens", `{"generateContentRequest":{` + mine + `,` + prompt + `}}`, false},
		{"a cache", "/v1beta/cachedContents", `{` + other + `}`, true},
		{"tuning", "/v1beta/tunedModels?tunedModelId=mine-1", `{"displayName":"t","baseModel":"models/gemini-3-flash-preview"}`, true},
		{"tuning, in snake case", "/v1beta/tunedModels?tunedModelId=mine-1", `{"displayName":"t","base_model":"models/gemini-3-flash-preview"}`, true},
		{"tuning one's own", "/v1beta/tunedModels?tunedModelId=mine-2", `{"displayName":"t","baseModel":"models/gemini-2.5-flash"}`, false},
		{"a car", at + "generateContent", `{"tools":[{"functionDeclarations":[{"name":"f","parameters":{"type":"OBJECT","properties":{"model":{"type":"STRING","default":"Ford"}},"example":{"model":"Ford","agent":"Bond"}}}]}],"contents":[` +
			`{"role":"user","parts":[{"text":"x"}]},{"role":"model","parts":[{"functionCall":{"name":"f","args":{"model":"Ford"}}}]},{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"model":"Ford"}}}]}]}`, false},
		{"a car's schema", at + "generateContent", `{"generationConfig":{"responseMimeType":"application/json","responseJsonSchema":{"type":"object","default":{"model":"Ford"}}},` + prompt + `}`, false},
		{"a car that a tool found", "/v1beta/interactions", `{"model":"gemini-2.5-flash","input":[{"type":"function_result","name":"f","call_id":"c","result":{"model":"Ford","agent":"Bond"}}]}`, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.google.Forget()
			a := w.post(tc.path, tc.body, "Authorization", "Bearer "+secret)
			if (a.status == 403) != tc.refused || (w.google.Count() == 0) != tc.refused {
				t.Errorf("%d %s, and Google was asked %d times; want refused %v", a.status, a.body, w.google.Count(), tc.refused)
			}
		})
	}
}
