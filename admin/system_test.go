// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

func TestStatus(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	scenario{
		name: "empty pool", method: "GET", path: "/admin/status", status: 200,
		contains: []string{`"version":"v0.0.0-test"`, `"store":"memory"`, `"strategy":"adaptive"`, `"ready":false`, `"uptime_seconds":3600`, `"total":0`, `"active":0`},
	}.run(t, f)
	id := f.addGeminiKey(1)
	scenario{
		name: "one key", method: "GET", path: "/admin/status", status: 200,
		contains: []string{`"ready":true`, `"total":1,"usable":1`, `"untested":1`},
	}.run(t, f)
	f.must("POST", "/admin/keys/gemini/"+id+"/disable", "")
	scenario{
		name: "disabled key", method: "GET", path: "/admin/status", status: 200,
		contains: []string{`"ready":false`, `"total":1,"usable":0`, `"disabled":1`},
	}.run(t, f)
}

func TestStats(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.usage.Add(usage.Record{At: f.clock.now(), Model: "gemini-x", KeyID: "gk_1", UserID: "u1", Status: 200, Outcome: "ok", Attempts: 2, Input: 10, Cached: 4, Output: 5, Thoughts: 3})
	f.clock.advance(2 * time.Hour)
	f.usage.Add(usage.Record{At: f.clock.now(), Model: "gemini-y", Status: 429, Outcome: "rate_limited", Attempts: 1})
	const both = `"requests":2,"failed":1,"attempts":3,"input":10,"cached":4,"output":5,"thoughts":3`
	for _, s := range []scenario{
		{name: "all", path: "", status: 200, contains: []string{`"window":"all"`, both, `"gemini-x":{`, `"gk_1":{`, `"u1":{`, `"rate_limited":{`}, excludes: []string{`"since"`}},
		{name: "all by name", path: "?window=all", status: 200, contains: []string{both}},
		{name: "last hour", path: "?window=1h", status: 200, contains: []string{`"requests":1,"failed":1`, `"since":"2026-11-25T13:00:00Z"`, `"by_user":{}`}, excludes: []string{"gemini-x"}},
		{name: "six hours", path: "?window=6h", status: 200, contains: []string{both}},
		{name: "a day", path: "?window=24h", status: 200, contains: []string{both}},
		{name: "a week", path: "?window=7d", status: 200, contains: []string{both, `"since":"2026-11-18T00:00:00Z"`}},
		{name: "a month is not kept", path: "?window=30d", status: 400, contains: []string{"1h, 24h, 6h, 7d, all"}},
	} {
		s.method, s.path = "GET", "/admin/stats"+s.path
		s.run(t, f)
	}
}

// TestStats_WhoseFault: what clients did wrong is not told as a failure, in sums and by
// name.
func TestStats_WhoseFault(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	add := func(status, attempts int, outcome string) {
		f.usage.Add(usage.Record{At: f.clock.now(), Model: "gemini-x", UserID: "u1", Status: status, Outcome: outcome, Attempts: attempts})
	}
	add(200, 1, "ok")
	add(200, 2, "ok")
	add(400, 1, "invalid_request")
	add(429, 0, "user_limit")
	add(499, 1, "canceled")
	add(503, 3, "overloaded")
	v := f.must("GET", "/admin/stats", "")
	for _, sums := range []any{v, v["by_model"].(map[string]any)["gemini-x"], v["by_user"].(map[string]any)["u1"]} {
		c := sums.(map[string]any)
		for name, want := range map[string]float64{"requests": 6, "retried": 1, "client_errors": 3, "failed": 1} {
			if c[name] != want {
				t.Errorf("%s is %v, want %v", name, c[name], want)
			}
		}
	}
}

func TestConfig(t *testing.T) {
	f := newFixture(t, settings.Patch{"retry.budget": 0.5})
	for _, s := range []scenario{
		{name: "values and sources", method: "GET", status: 200, contains: []string{
			`"strategy":{"value":"adaptive","source":"default","locked":false}`,
			`"attempts":{"value":3,"source":"default","locked":false}`,
			`"budget":{"value":0.5,"source":"caddyfile","locked":true}`,
			`"wait":{"value":"10s","source":"default","locked":false}`,
			`"hedge":{"value":0,"source":"default","locked":false}`,
		}},
		{name: "change", method: "POST", body: `{"strategy":"round_robin","retry":{"attempts":2,"wait":"1500ms","hedge":0.05}}`, status: 200, contains: []string{
			`"strategy":{"value":"round_robin","source":"store","locked":false}`,
			`"attempts":{"value":2,"source":"store","locked":false}`, `"value":"1.5s"`, `"hedge":{"value":0.05,"source":"store","locked":false}`,
		}},
		{name: "nothing", method: "POST", body: `{}`, status: 200, contains: []string{`"attempts":{"value":2`}},
		{name: "locked", method: "POST", body: `{"retry":{"attempts":9,"budget":0.1}}`, status: 409, contains: []string{`"code":"locked"`, `"field":"retry.budget"`, "Caddyfile"}},
		{name: "unknown strategy", method: "POST", body: `{"strategy":"psychic"}`, status: 400, contains: []string{`"field":"strategy"`, "round_robin"}},
		{name: "out of range", method: "POST", body: `{"retry":{"attempts":0}}`, status: 400, contains: []string{`"field":"retry.attempts"`}},
		{name: "hedge as words", method: "POST", body: `{"retry":{"hedge":"5%"}}`, status: 400, contains: []string{`"field":"retry.hedge"`}},
		{name: "hedge out of range", method: "POST", body: `{"retry":{"hedge":5}}`, status: 400, contains: []string{`"field":"retry.hedge"`}},
		{name: "wait without unit", method: "POST", body: `{"retry":{"wait":10}}`, status: 400, contains: []string{`"field":"retry.wait"`, "a string"}},
		{name: "wait of words", method: "POST", body: `{"retry":{"wait":"long"}}`, status: 400, contains: []string{"such as 10s"}},
		{name: "unknown fields", method: "POST", body: `{"retry":{"tries":1},"master_key":"x"}`, status: 400, contains: []string{`"retry.tries"`, `"master_key"`}},
		{name: "refused changes change nothing", method: "GET", status: 200, contains: []string{`"attempts":{"value":2`, `"value":"1.5s"`}},
	} {
		s.path = "/admin/config"
		s.run(t, f)
	}
	st, err := settings.Open(f.store, settings.Patch{})
	if err != nil {
		t.Fatal(err)
	}
	if got := st.Current().Retry; got.Attempts != 2 || got.Wait != 1500*time.Millisecond {
		t.Errorf("after a start: %+v, want what was set", got)
	}
}

// TestConfig_PoolKnowsTheStrategies holds settings and balancer together.
func TestConfig_PoolKnowsTheStrategies(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	for _, name := range settings.Strategies() {
		if err := f.pool.SetStrategy(name); err != nil {
			t.Errorf("SetStrategy(%q) = %v", name, err)
		}
	}
}
