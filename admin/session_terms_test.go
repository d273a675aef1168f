// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// TestSession_TermsOfTheSettings: they hold for who signs in after the change.
func TestSession_TermsOfTheSettings(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	before := f.signIn(adminKey)
	f.must("POST", "/admin/config", `{"session":{"idle":"5m","absolute":"20m"}}`)
	after := f.signIn(adminKey)
	f.clock.advance(6 * time.Minute)
	if w := f.browser(before, "GET", "/admin/status", ""); w.Code != 200 {
		t.Errorf("a session from before has the old terms: %d", w.Code)
	}
	if w := f.browser(after, "GET", "/admin/status", ""); w.Code != 401 {
		t.Errorf("a session from after was idle for too long: %d", w.Code)
	}
	last := f.signIn(adminKey)
	for range 5 {
		f.clock.advance(4 * time.Minute)
		f.browser(last, "POST", "/admin/session/ping", "")
	}
	if w := f.browser(last, "GET", "/admin/status", ""); w.Code != 401 {
		t.Errorf("a session lasts for more than 20 minutes: %d", w.Code)
	}
}
