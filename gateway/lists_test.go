// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// TestLists_Servable: models that the operator lets no key serve are in no list, and
// neither are aliases of them, whatever the key that was asked for the list may use.
func TestLists_Servable(t *testing.T) {
	const outside = "gemini-3.8-flash"
	w := newWorld(t, keys(2), func(c *Config) {
		c.Aliases = []settings.Alias{{Name: "mine", Targets: []string{model}}, {Name: "both", Targets: []string{outside, model}}, {Name: "lost", Targets: []string{outside}}}
	})
	all, _, _ := w.pool.List(balancer.Query{Limit: 10})
	for _, k := range all {
		must(t, w.pool.Edit(t.Context(), k.ID, balancer.Patch{Models: &[]string{"gemini-3-*", "gemini-embedding-*"}}))
	}
	for _, list := range []struct{ path, prefix string }{{"/v1/models", ""}, {"/anthropic/v1/models?limit=1000", ""}, {"/v1beta/models?pageSize=1000", "models/"}, {"/status", ""}} {
		a := w.get(list.path)
		if a.status != http.StatusOK {
			t.Fatalf("%s: %d %s", list.path, a.status, a.body)
		}
		for name, want := range map[string]bool{model: true, "mine": true, "both": true, outside: false, "lost": false, "gemini-2.5-pro": false} {
			if got := strings.Contains(a.body, `"`+list.prefix+name+`"`); got != want {
				t.Errorf("%s has %s: %v, want %v: %s", list.path, name, got, want, a.body)
			}
		}
	}
	for _, path := range []string{"/v1/models/", "/anthropic/v1/models/", "/v1beta/models/"} {
		for name, want := range map[string]int{model: 200, "mine": 200, outside: 404} {
			if a := w.get(path + name); a.status != want {
				t.Errorf("%s%s: %d, want %d", path, name, a.status, want)
			}
		}
	}
	if ids := w.gw.models(); len(ids) == 0 || slices.Contains(ids, outside) {
		t.Errorf("known are %v", ids)
	}
}
