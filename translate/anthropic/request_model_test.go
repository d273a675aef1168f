// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"slices"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// TestMessages_Named: a name of Claude's that another model stands in for is known by
// both, an alias and a published name are not: permissions would be wider than they look.
func TestMessages_Named(t *testing.T) {
	alias := func(of string) func(string) string {
		return func(name string) string {
			if name == of {
				return "gemini-2.5-pro"
			}
			return name
		}
	}
	for _, c := range []struct {
		name, model  string
		resolve      func(string) string
		asked, named string
	}{
		{"Claude's", "claude-sonnet-5-5", nil, "gemini-flash-latest", "claude-sonnet-5-5"},
		{"long context", "anthropic/claude-opus-5-5[1m]", nil, "gemini-pro-latest", "claude-opus-5-5"},
		{"alias", "claude-sonnet-5-5", alias("claude-sonnet-5-5"), "claude-sonnet-5-5", ""},
		{"alias of the stand-in", "claude-sonnet-5-5", alias("gemini-flash-latest"), "gemini-flash-latest", "claude-sonnet-5-5"},
		{"published", "claude-gw-gemini-3.8-flash", nil, "gemini-3.8-flash", ""},
		{"Google's", "gemini-3.8-flash", nil, "gemini-3.8-flash", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, f := NewMessages(requestEnv(), Options{Resolve: c.resolve}, []byte(requestBody(c.model, "")))
			if f != nil {
				t.Fatal(f)
			}
			if call := x.Call(); call.Asked != c.asked || call.Named != c.named {
				t.Errorf("asked %q, named %q", call.Asked, call.Named)
			}
		})
	}
}

// TestModels_Named: a model is there for whoever may use it by either name.
func TestModels_Named(t *testing.T) {
	for _, tc := range []struct {
		visible string
		id      string
		there   bool
	}{
		{"claude-sonnet-5-5", "claude-sonnet-5-5", true},
		{"gemini-flash-latest", "claude-sonnet-5-5", true},
		{"claude-opus-5-5", "claude-sonnet-5-5", false},
		{"claude-gw-gemini-3.8-flash", "claude-gw-gemini-3.8-flash", false},
	} {
		_, f := NewModel(Options{}, tc.id, func(id string) bool { return slices.Contains([]string{tc.visible}, id) })
		if (f == nil) != tc.there || f != nil && f.Kind != translate.ModelNotFound {
			t.Errorf("who may see %s asks for %s: %v", tc.visible, tc.id, f)
		}
	}
}
