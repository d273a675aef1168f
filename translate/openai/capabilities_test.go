// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
)

// An operator's entries win over the built-in table, property by property.
func TestCapabilities_Operator(t *testing.T) {
	c, err := capability.Parse([]byte(`{"note":"ours","models":[
		{"match":"gemini-4-pro","prefill":true},
		{"match":"gemini-4-*","note":"measured","sampling":true,"prefill":false,"thinking_budget":{"min":10,"max":20,"off":true},"candidates":4,"output_limit":1000},
		{"match":"*-mute","thinking_levels":[]},
		{"match":"gemini-2.5-flash","mixed_tools":true}
	]}`))
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Capabilities: c}
	for _, row := range []struct{ name, model, fields, member, want string }{
		{"a property that it names", "gemini-4-flash", `"temperature":1,"n":3,"max_tokens":5000`, "generationConfig", `{"temperature":1,"candidateCount":3,"maxOutputTokens":1000}`},
		{"budgets for levels", "gemini-4-flash", `"reasoning_effort":"high"`, "generationConfig", `{"thinkingConfig":{"thinkingBudget":20}}`},
		{"a budget that can be off", "gemini-4-flash", `"reasoning_effort":"none"`, "generationConfig", `{"thinkingConfig":{"thinkingBudget":0}}`},
		{"no thinking", "new-mute", `"reasoning_effort":"high"`, "generationConfig", `null`},
		{"what it does not name stays as built in", "gemini-4-flash", `"frequency_penalty":1`, "generationConfig", `null`},
		{"other models stay as built in", "gemini-3.7-flash", `"temperature":1`, "generationConfig", `null`},
		{"a built-in family is corrected", m25, `"tools":[` + f + `,{"type":"web_search"}]`, "tools", `[{"googleSearch":{}},{"functionDeclarations":[{"name":"f"}]}]`},
		{"exact matches only where there is no star", "gemini-2.5-flash-lite", `"temperature":1`, "generationConfig", `{"temperature":1}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			sameJSON(t, upstream(t, decodeWith(t, requestEnv(), o, body(row.model, row.fields)))[row.member], row.want)
		})
	}
	t.Run("of entries that fit, the first holds", func(t *testing.T) {
		for model, contents := range map[string]int{"gemini-4-pro": 2, "gemini-4-flash": 3} {
			r := decodeWith(t, requestEnv(), o, `{"model":"`+model+`","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"Sure"}]}`)
			if len(r.Gemini.Contents) != contents {
				t.Errorf("%s: %d contents, want %d", model, len(r.Gemini.Contents), contents)
			}
		}
	})
	t.Run("signatures", func(t *testing.T) {
		c, err := capability.Parse([]byte(`{"models":[{"match":"gemini-3-*","signatures":false}]}`))
		if err != nil {
			t.Fatal(err)
		}
		r := decodeWith(t, requestEnv(), Options{Capabilities: c}, `{"model":"`+m3+`","messages":[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[{"id":"c","thought_signature":"S","function":{"name":"w","arguments":"{}"}}]}]}`)
		if !r.Unsign() || signatures(r)[0] != "" {
			t.Errorf("signatures %q, of a model that wants none", signatures(r))
		}
	})
}
