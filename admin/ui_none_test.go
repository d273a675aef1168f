// SPDX-License-Identifier: Apache-2.0

//go:build gb_no_ui

package admin

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// TestUI_LeftOut: go test -tags gb_no_ui -run TestUI ./admin. The API works, and
// there are no pages.
func TestUI_LeftOut(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	for _, path := range []string{"/admin", "/admin/", "/admin/ui", "/admin/ui/", "/admin/ui/x/js/main.js"} {
		r := request("GET", path, "")
		r.Header.Set("Accept", "text/html")
		if w := f.do(r); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "web UI") {
			t.Errorf("%s: %d", path, w.Code)
		}
		if w := f.admin("GET", path, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s with the key: %d %s", path, w.Code, w.Body)
		}
	}
	if v := f.must("GET", "/admin/session", ""); v["ui_hash"] != "" {
		t.Errorf("ui_hash = %v", v["ui_hash"])
	}
}
