// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
)

// askAdmin asks Caddy's admin endpoint, as far as it is ours.
func askAdmin(t *testing.T, method, path string) (status int, answer map[string]any, text string) {
	t.Helper()
	for _, route := range new(AdminAPI).Routes() {
		if route.Pattern != path {
			continue
		}
		rec := httptest.NewRecorder()
		if err := route.Handler.ServeHTTP(rec, httptest.NewRequest(method, path, nil)); err != nil {
			refused, ok := errors.AsType[caddy.APIError](err)
			if !ok {
				t.Fatal(err)
			}
			return refused.HTTPStatus, nil, refused.Error()
		}
		must(t, json.Unmarshal(rec.Body.Bytes(), &answer))
		return rec.Code, answer, rec.Body.String()
	}
	t.Fatalf("no route %s", path)
	return 0, nil, ""
}

func TestAdminAPI(t *testing.T) {
	for _, path := range []string{"/gemini_balance/health", "/gemini_balance/ready", "/gemini_balance/pool"} {
		if status, _, _ := askAdmin(t, http.MethodGet, path); status != http.StatusServiceUnavailable {
			t.Errorf("%s without a configuration: %d", path, status)
		}
	}
	google := googleKeys(2)
	google.Keys[1].State = fakegemini.KeyInvalid
	w := newWorld(t, google, `, "strategy": "round_robin"`)
	for range 2 {
		w.chat(w.secret, "hello", "")
	}
	w.server.Close() // after its handlers: clients have their answers before
	if status, _, text := askAdmin(t, http.MethodPost, "/gemini_balance/pool"); status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d %s", status, text)
	}
	status, health, text := askAdmin(t, http.MethodGet, "/gemini_balance/ready")
	if status != http.StatusOK || health["ready"] != true || health["usable_keys"] != 1.0 {
		t.Errorf("%d %s", status, text)
	}
	status, pool, text := askAdmin(t, http.MethodGet, "/gemini_balance/pool")
	keys, _ := pool["keys"].(map[string]any)
	routes, _ := pool["routes"].([]any)
	quotas, _ := pool["quotas"].([]any)
	if status != http.StatusOK || keys["active"] != 1.0 || keys["invalid"] != 1.0 || len(routes) != 1 || len(quotas) != 1 {
		t.Errorf("%d %s", status, text)
	}
	for _, secret := range []string{fakegemini.DemoKey(1), fakegemini.DemoKey(2), w.secret, "gk_"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in %s", secret, text)
		}
	}
	w.app.shared.storeFailed(partKeys)(errors.New("disk full"))
	if status, health, text := askAdmin(t, http.MethodGet, "/gemini_balance/ready"); status != http.StatusServiceUnavailable || health["ready"] != false {
		t.Errorf("with a broken store: %d %s", status, text)
	}
	if status, _, text := askAdmin(t, http.MethodGet, "/gemini_balance/health"); status != http.StatusOK || !strings.Contains(text, `"store_failing":["keys"]`) {
		t.Errorf("with a broken store: %d %s", status, text)
	}
	if got := series(t)[`store_failing{part="keys"}`]; got != 1 {
		t.Errorf("store_failing is %v", got)
	}
	w.app.shared.storeFailed(partKeys)(nil)
	if status, _, _ := askAdmin(t, http.MethodGet, "/gemini_balance/ready"); status != http.StatusOK {
		t.Errorf("recovered: %d", status)
	}
}
