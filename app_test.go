// SPDX-License-Identifier: Apache-2.0

package geminibalance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/goleak"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// provision makes an App of its JSON, as Caddy does before it starts one.
func provision(t testing.TB, config string) (*App, error) {
	t.Helper()
	ctx, err := caddy.ProvisionContext(&caddy.Config{
		AppsRaw: caddy.ModuleMap{"gemini_balance": json.RawMessage(config)},
		Logging: &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{
			WriterRaw: json.RawMessage(`{"output": "discard"}`),
		}}}},
	})
	if err != nil {
		return nil, err
	}
	app, err := ctx.App("gemini_balance")
	if err != nil {
		return nil, err
	}
	return app.(*App), nil
}

func mustProvision(t testing.TB, config string) *App {
	t.Helper()
	app, err := provision(t, config)
	if err != nil {
		t.Fatal(err)
	}
	return app
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestProvision_Refuses(t *testing.T) {
	t.Setenv("GB_TEST_KEY", "AIzaSy-5ecret")
	t.Setenv("GB_TEST_SPACED", "AIzaSy 5ecret")
	keys := filepath.Join(t.TempDir(), "keys")
	write(t, keys, "good\nAIzaSy 5ecret\n")
	for _, tc := range []struct{ name, config, want string }{
		{"literal key", `{"keys": [{"key": "AIzaSy-5ecret"}]}`, "keys[0].key holds a literal secret"},
		{"empty key", `{"keys": [{"name": "x"}]}`, "keys[0].key is empty"},
		{"unset key", `{"keys": [{"key": "{env.GB_TEST_KEY}"}, {"key": "{env.GB_TEST_UNSET}"}]}`, "keys[1].key: the placeholder {env.GB_TEST_UNSET} is empty"},
		{"malformed key", `{"keys": [{"key": "{env.GB_TEST_SPACED}"}]}`, "keys[0]: the key holds a space"},
		{"malformed line", `{"keys_file": ` + quoted(keys) + `}`, ":2: the key holds a space"},
		{"no keys file", `{"keys_file": "/nowhere/keys"}`, "keys_file: open /nowhere/keys"},
		{"literal master key", `{"master_key": "c2VjcmV0"}`, "master_key holds a literal secret"},
		{"unknown store", `{"store": {"backend": "redis"}}`, "gemini_balance.stores.redis"},
		{"store directory from nothing", `{"store": {"backend": "badger", "dir": "{env.GB_TEST_UNSET}"}}`, "store directory"},
		{"unknown field", `{"upstreams": "x"}`, "unknown field"},
		{"plain upstream", `{"upstream": "http://example.com"}`, "must use https"},
		{"upstream with a path", `{"upstream": "https://example.com/v1"}`, "scheme and host only"},
		{"strategy", `{"strategy": "fastest"}`, "strategy 'fastest' is unknown, want adaptive, least_used, round_robin"},
		{"proxy", `{"proxies": ["http://a:1", "ftp://b:1"]}`, "proxies[1]: proxy has the scheme"},
		{"proxy twice", `{"proxies": ["http://a:1", "http://a:1"]}`, "proxies[1] is a proxy that is listed already"},
		{"proxy with a password", `{"proxies": ["http://u:p@a:1"]}`, "proxies[0] holds a literal user name or password"},
		{"affinity", `{"affinity": "sticky"}`, "affinity 'sticky' is unknown, want prefix or off"},
		{"quota without a model", `{"quotas": [{"rpm": 1}]}`, "quotas[0]: the model is empty"},
		{"quota without a limit", `{"quotas": [{"model": "*", "rpm": 1}, {"model": "*"}]}`, "quotas[1]: it sets none"},
		{"quota below zero", `{"quotas": [{"model": "*", "rpd": -1}]}`, "quotas[0]: rpm, tpm, rpd and spend must be above 0"},
		{"quota of a strange tier", `{"quotas": [{"model": "*", "tier": "gold", "rpm": 1}]}`, `quotas[0]: the tier is "gold", want free or paid`},
		{"spend of a model", `{"quotas": [{"model": "gemini-*", "spend": 10}]}`, "quotas[0]: a spend limit is one for all models together: its model must be *"},
		{"spend below zero", `{"quotas": [{"model": "*", "spend": -1}]}`, "quotas[0]: spend is '-1', want US dollars above 0, such as 10 or 2.50"},
		{"spend of nothing", `{"quotas": [{"model": "*", "spend": 0.00}]}`, "quotas[0]: spend is '0.00', want"},
		{"spend below a nano-USD", `{"quotas": [{"model": "*", "spend": 0.0000000001}]}`, "quotas[0]: spend is '0.0000000001', want"},
		{"spend beyond all money", `{"quotas": [{"model": "*", "spend": 9223372037}]}`, "quotas[0]: spend is '9223372037', want"},
		{"spend with an exponent", `{"quotas": [{"model": "*", "spend": 1e1}]}`, "quotas[0]: spend is '1e1', want"},
		{"no quota", `{"quotas": [null]}`, "quotas[0] is empty"},
		{"weight", `{"keys": [{"key": "{env.GB_TEST_KEY}", "weight": 101}]}`, "keys[0]: weight is 101"},
		{"attempts", `{"retry": {"attempts": 99}}`, "retry.attempts must be"},
		{"budget", `{"retry": {"budget": 1.5}}`, "retry.budget must be"},
		{"wait", `{"retry": {"wait": "1h"}}`, "retry.wait must be"},
		{"hedge", `{"retry": {"hedge": 5}}`, "retry.hedge must be"},
		{"timeout", `{"timeouts": {"idle": -1}}`, "timeouts.idle must be from"},
		{"limit", `{"limits": {"rpm": -1}}`, "limits.rpm must be from"},
		{"budget limit", `{"limits": {"budget": {"day": "much"}}}`, "limits.budget.day: \"much\" is no amount"},
		{"request log", `{"request_log": {"max_size": 5}}`, "request_log.max_size must be from"},
		{"prices missing", `{"prices": "/nowhere/prices.json"}`, "prices: open /nowhere/prices.json"},
		{"prices unset", `{"prices": "{env.UNSET_PRICES}"}`, "prices: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := provision(t, tc.config)
			checkError(t, err, tc.want)
			if err != nil && strings.Contains(err.Error(), "5ecret") {
				t.Errorf("the error tells the secret: %v", err)
			}
		})
	}
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// TestProvision_OpensNothing is what lets `caddy validate` run beside a server.
func TestProvision_OpensNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	app := mustProvision(t, `{"store": {"backend": "badger", "dir": `+quoted(dir)+`}}`)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory is there: %v", err)
	}
	must(t, app.Cleanup())
}

func badgerConfig(dir, key string) string {
	return `{"store": {"backend": "badger", "dir": ` + quoted(dir) + `}, "keys": [{"key": "{env.` + key + `}"}]}`
}

// TestReload_KeepsState goes through what Caddy does on a reload: the new App
// starts before the old one is cleaned up.
func TestReload_KeepsState(t *testing.T) {
	t.Setenv("GB_TEST_A", "key-a")
	t.Setenv("GB_TEST_B", "key-b")
	dir := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(dir, link))

	a := mustProvision(t, badgerConfig(filepath.Join(dir, "new", "store"), "GB_TEST_A"))
	must(t, a.Start())
	must(t, a.shared.pool.SetState(t.Context(), balancer.KeyID("key-a"), balancer.StateDisabled, "test"))

	b := mustProvision(t, badgerConfig(filepath.Join(link, "new", "..", "new", "store"), "GB_TEST_B"))
	must(t, b.Start())
	must(t, a.Cleanup())
	if a.shared != b.shared {
		t.Fatal("the second configuration opened the store again")
	}
	if _, ok := b.shared.pool.Get(balancer.KeyID("key-a")); ok {
		t.Error("a key of the old configuration is still in the pool")
	}
	c := mustProvision(t, badgerConfig(filepath.Join(dir, "new", "store"), "GB_TEST_A"))
	must(t, c.Start())
	must(t, b.Cleanup())
	if k, ok := c.shared.pool.Get(balancer.KeyID("key-a")); !ok || k.State != balancer.StateDisabled {
		t.Errorf("the key that came back is %v, %v; want it disabled as before", k.State, ok)
	}
	must(t, c.Cleanup())
	if n, open := resources.References(c.shared.identity); open {
		t.Errorf("the store has %d users left", n)
	}
	if _, err := c.shared.store.Get("x"); err != store.ErrClosed {
		t.Errorf("the store answers %v, want it closed", err)
	}
}

// TestReload_FailedRestoresDeclarations is a reload that fails after our Start:
// Caddy cleans the new App up and the old one goes on.
func TestReload_FailedRestoresDeclarations(t *testing.T) {
	t.Setenv("GB_TEST_A", "key-a")
	t.Setenv("GB_TEST_B", "key-b")
	a := mustProvision(t, `{"store": {"backend": "memory"}, "keys": [{"key": "{env.GB_TEST_A}"}], "retry": {"attempts": 2}}`)
	must(t, a.Start())
	b := mustProvision(t, `{"store": {"backend": "memory"}, "keys": [{"key": "{env.GB_TEST_B}"}], "retry": {"attempts": 7}}`)
	must(t, b.Start())
	if got := a.shared.settings.Current().Retry.Attempts; got != 7 {
		t.Errorf("attempts %d while the new configuration runs, want 7", got)
	}
	must(t, b.Cleanup())
	if got := a.shared.settings.Current().Retry.Attempts; got != 2 {
		t.Errorf("attempts %d, want 2 as before", got)
	}
	if _, ok := a.shared.pool.Get(balancer.KeyID("key-a")); !ok {
		t.Error("the key of the running configuration is gone")
	}
	if _, ok := a.shared.pool.Get(balancer.KeyID("key-b")); ok {
		t.Error("the key of the failed configuration stayed")
	}
	if newest.Load() != a {
		t.Error("metrics are about the failed configuration")
	}
	must(t, a.Cleanup())
}

// TestReload_QuotasAndWeights: what a reload says of both counts from then on, and
// what it does not say any more is gone.
func TestReload_QuotasAndWeights(t *testing.T) {
	t.Setenv("GB_TEST_A", "key-a")
	config := func(key, quotas string) string {
		return `{"store": {"backend": "memory"}, "probe": false, "keys": [{"key": "{env.GB_TEST_A}"` + key + `}], "quotas": [` + quotas + `]}`
	}
	limit := func(a *App) any {
		c := a.shared.pool.Explain(balancer.ExplainQuery{Model: "m"}).Candidates[0]
		if c.RPD.Limit == nil {
			return nil
		}
		return fmt.Sprint(*c.RPD.Limit, " ", c.RPD.Source, " ", c.Score.Weight)
	}
	spend := func(a *App) any {
		w := a.shared.pool.Explain(balancer.ExplainQuery{Model: "m"}).Candidates[0].Spend
		if w == nil || w.Limit == nil {
			return nil
		}
		return *w.Limit
	}
	a := mustProvision(t, config(`, "weight": 3`, `{"model": "m", "rpd": 7}, {"model": "*", "spend": 2.5}`))
	must(t, a.Start())
	if got := spend(a); got != int64(2_500_000_000) {
		t.Errorf("spend limit %v nano-USD", got)
	}
	if got := limit(a); got != "7 set 3" {
		t.Errorf("limit %v", got)
	}
	b := mustProvision(t, config("", `{"model": "m*", "project": "gk_*", "rpd": 9}`))
	must(t, b.Start())
	must(t, a.Cleanup())
	if got := limit(b); got != "9 set 1" {
		t.Errorf("limit %v after a reload", got)
	}
	c := mustProvision(t, config("", ""))
	must(t, c.Start())
	must(t, b.Cleanup())
	if limit, spend := limit(c), spend(c); limit != nil || spend != nil {
		t.Errorf("limits %v and %v after a reload without any", limit, spend)
	}
	must(t, c.Cleanup())
}

func TestStart_RefusesAnotherMasterKey(t *testing.T) {
	t.Setenv("GB_TEST_M1", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	t.Setenv("GB_TEST_M2", "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	dir := t.TempDir()
	config := func(key string) string {
		return `{"store": {"backend": "badger", "dir": ` + quoted(dir) + `}, "master_key": "{env.` + key + `}"}`
	}
	a := mustProvision(t, config("GB_TEST_M1"))
	must(t, a.Start())
	b := mustProvision(t, config("GB_TEST_M2"))
	checkError(t, b.Start(), "master key")
	must(t, b.Cleanup())
	if n, _ := resources.References(a.shared.identity); n != 1 {
		t.Errorf("the store has %d users, want 1", n)
	}
	must(t, a.Cleanup())
	// The same with a store that is not open: nothing may stay locked.
	b = mustProvision(t, config("GB_TEST_M2"))
	checkError(t, b.Start(), "master key")
	must(t, b.Cleanup())
	a = mustProvision(t, config("GB_TEST_M1"))
	must(t, a.Start())
	must(t, a.Cleanup())
}

// TestHandler_WaitsForStart sends a request before Start: Caddy starts apps in
// any order, and the server may listen first.
func TestHandler_WaitsForStart(t *testing.T) {
	app := mustProvision(t, `{"store": {"backend": "memory"}}`)
	h := new(Handler)
	must(t, h.Provision(app.ctx))
	answer := make(chan *httptest.ResponseRecorder)
	serve := func(ctx context.Context, path string) {
		rec := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, path, nil).WithContext(ctx)
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), rec, nil)
		err := h.ServeHTTP(rec, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(http.StatusTeapot)
			return nil
		}))
		if err != nil {
			t.Error(err)
		}
		answer <- rec
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	go serve(gone, "/health")
	if got := (<-answer).Code; got != 499 {
		t.Errorf("status %d for a client that left, want 499", got)
	}
	go serve(t.Context(), "/health")
	select {
	case rec := <-answer:
		t.Errorf("answered %d before Start", rec.Code)
	case <-time.After(20 * time.Millisecond):
	}
	must(t, app.Start())
	if got := (<-answer).Code; got != http.StatusOK {
		t.Errorf("status %d after Start", got)
	}
	go serve(t.Context(), "/elsewhere")
	if got := (<-answer).Code; got != http.StatusTeapot {
		t.Errorf("status %d for another path, want that of the next handler", got)
	}
	must(t, app.Cleanup())
	go serve(t.Context(), "/health")
	rec := <-answer
	if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" || !json.Valid(rec.Body.Bytes()) {
		t.Errorf("after Cleanup: %d %v %s", rec.Code, rec.Header(), rec.Body)
	}
}
