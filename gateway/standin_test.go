// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// TestStandIn_Permissions: a user key may ask for a name of Claude's where its models
// have that name, or the model that stands in for it; what is refused is named as it was
// asked for, and names that are no Claude's are not to be had as such.
func TestStandIn_Permissions(t *testing.T) {
	const claude, alias = "claude-sonnet-5-5", "claude-house"
	for _, tc := range []struct {
		models string // of the user key
		asked  string
		there  bool
	}{
		{"claude-*", claude, true},
		{"claude-*", claude + "[1m]", true},
		{"claude-*", "anthropic/" + claude, true},
		{"gemini-flash-latest", claude, true},
		{"gemini-pro-latest", claude, false},
		{"claude-opus-*", claude, false},
		{"claude-*", alias, true},
		{"gemini-2.5-pro", alias, false}, // an alias counts by its own name
		{"claude-*", "claude-gw-gemini-2.5-pro", false},
		{"claude-*", "gemini-2.5-pro", false},
		{"gemini-2.5-pro", "claude-gw-gemini-2.5-pro", true},
	} {
		t.Run(tc.asked+" with "+tc.models, func(t *testing.T) {
			w := newWorld(t, keys(1), func(c *Config) { c.Aliases = []settings.Alias{{Name: alias, Targets: []string{"gemini-2.5-pro"}}} })
			w.as(users.Spec{Name: "some", Models: []string{tc.models}})
			want := map[bool]int{true: http.StatusOK, false: http.StatusNotFound}[tc.there]
			for _, path := range []string{"/v1/messages", "/v1/messages/count_tokens"} {
				got := w.post(path, strings.Replace(claudeHi, claude, tc.asked, 1))
				named := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(tc.asked, "anthropic/"), "claude-gw-"), "[1m]")
				if got.status != want || !tc.there && !strings.Contains(got.body, named) {
					t.Errorf("%s: %d %s, want %d", path, got.status, got.body, want)
				}
			}
			if strings.Contains(tc.asked, "/") || strings.Contains(tc.asked, "[") {
				return
			}
			if got := w.get("/anthropic/v1/models/" + tc.asked); got.status != want {
				t.Errorf("the model: %d %s, want %d", got.status, got.body, want)
			}
		})
	}
}

// TestStandIn_Recorded: the request log has what the client asked for, and what stood in.
func TestStandIn_Recorded(t *testing.T) {
	var o watch
	w := newWorld(t, keys(1), o.on)
	if got := w.post("/v1/messages", claudeHi); got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	w.server.Close() // waits for what is still booking
	if len(o.records) != 1 || o.records[0].Asked != "claude-sonnet-5-5" || o.records[0].Model != "gemini-flash-latest" {
		t.Errorf("%+v", o.records)
	}
}
