// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

// leased leases the key of an id for a model and ends that so.
func (f *fixture) leased(model, id string, o balancer.Outcome) {
	f.t.Helper()
	l, err := f.pool.Lease(context.Background(), balancer.Want{Model: model, Bound: &balancer.Binding{KeyID: id}})
	if err != nil {
		f.t.Fatal(err)
	}
	l.Done(o)
}

func TestExplain(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	ready := f.must("POST", "/admin/keys/gemini", `{"key":"AQ.canary-1","name":"first","project":"p1","tags":["a"],"weight":3}`)["id"].(string)
	resting := f.must("POST", "/admin/keys/gemini", `{"key":"AQ.canary-2","tags":["a"],"paid":true}`)["id"].(string)
	dead := f.addGeminiKey(3)
	f.leased("gemini-x", dead, balancer.Outcome{Verdict: balancer.LeakedKey, Blame: balancer.ScopeKey, State: balancer.StateLeaked, Reason: "403 leaked"})
	f.leased("gemini-x", resting, balancer.Outcome{
		Verdict: balancer.RateLimited, Blame: balancer.ScopeProjectModel, Rest: time.Minute, Reason: "429 said Google",
		Limits: []balancer.Limit{{ID: "RequestsPerMinute", Value: 15}, {ID: "RequestsPerDay", Value: 200}},
	})
	if err := f.pool.SetLimits([]balancer.LimitRule{{Model: "gemini-*", Project: "p1", RPD: 50}}); err != nil {
		t.Fatal(err)
	}
	user := f.must("POST", "/admin/keys/user", `{"name":"team","tags":["a"],"models":["gemini-x"]}`)["id"].(string)
	paying := f.must("POST", "/admin/keys/user", `{"name":"payer","paid_only":true}`)["id"].(string)
	for _, s := range []scenario{
		{name: "all", path: "?model=gemini-x", contains: []string{
			`"strategy":"adaptive"`, `"affinity":"none"`, `"total":3`, `"counts":{"cooling":1,"leaked":1,"ready":1}`, `"standing":"ready","rank":1`,
			`"why":"per-minute quota"`, `"reason":"429 said Google"`, `"hint":"Google found the key in public`, `"weight":3`,
			`"limit":15,"source":"learned","since":"2026-11-25T12:00:00Z"`, `"limit":50,"source":"set"`,
			`"projects":2,"day":{"left":250,"unknown":0},"minute":{"left":0,"unknown":1}`,
		}, excludes: []string{"canary"}},
		{name: "Google's name of a model", path: "?model=models/gemini-x", contains: []string{`"model":"gemini-x"`, `"cooling":1`}},
		{name: "another model", path: "?model=gemini-y", contains: []string{`"ready":2`, `"left":50,"unknown":1`}},
		{name: "a page", path: "?model=gemini-x&limit=1&offset=1", contains: []string{`"offset":1`, `"total":3`, resting}, excludes: []string{ready, dead}},
		{name: "one standing", path: "?model=gemini-x&standing=leaked", contains: []string{`"total":1`, dead}, excludes: []string{ready}},
		{name: "a user key with tags", path: "?model=gemini-x&user_key=" + user, contains: []string{`"allowed":true`, `"wrong_tag":1`, `"tags":["a"]`}},
		{name: "a user key that may not", path: "?model=gemini-y&user_key=" + user, contains: []string{`"allowed":false`, "gemini-x only"}},
		{name: "a user key that pays", path: "?model=gemini-x&user_key=" + paying, contains: []string{`"paid_only":true`, `"unpaid":2`, `"projects":1`}},
		{name: "no such user key", path: "?user_key=nobody", status: 404, contains: []string{"user_key_not_found"}},
		{name: "a further name", path: "?model=house", contains: []string{`"model":"gemini-x"`, `"alias":{"name":"house","source":"caddyfile","targets":["gemini-x"]}`, `"cooling":1`}},
		{name: "a further name for a user key", path: "?model=models/house&user_key=" + user, contains: []string{`"allowed":true`}},
		{name: "no such standing", path: "?standing=tired", status: 400, contains: []string{"standing"}},
		{name: "tokens", path: "?tokens=-1", status: 400, contains: []string{"tokens"}},
		{name: "long model", path: "?model=" + strings.Repeat("m", 300), status: 400, contains: []string{"model"}},
	} {
		s.method, s.path = "GET", "/admin/explain"+s.path
		if s.status == 0 {
			s.status = http.StatusOK
		}
		s.run(t, f)
	}
}

func TestQuotas(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	one, two := f.addGeminiKey(1), f.addGeminiKey(2)
	f.leased("gemini-x", one, balancer.Outcome{Input: 70, Limits: []balancer.Limit{{ID: "InputTokensPerMinute", Value: 1000}}})
	f.leased("gemini-y", two, balancer.Outcome{})
	for _, s := range []scenario{
		{name: "of a project", path: "?project=" + one, contains: []string{`"total":1`, `"model":"gemini-x","keys":1,"rpm":{"used":1,"limit":null}`, `"tpm":{"used":70,"limit":1000,"source":"learned","since":"2026-11-25T12:00:00Z"}`}, excludes: []string{two}},
		{name: "of a model", path: "?model=gemini-y&project=" + two, contains: []string{`"total":1`, `"rpd":{"used":1,"limit":null}`}, excludes: []string{"gemini-x"}},
		{name: "none", path: "?model=gemini-z", contains: []string{`"items":[],"total":0`}},
		{name: "a page", path: "?limit=1&offset=1", contains: []string{`"offset":1`}},
		{name: "unknown", path: "?q=x", status: 400},
	} {
		s.method, s.path = "GET", "/admin/quotas"+s.path
		if s.status == 0 {
			s.status = http.StatusOK
		}
		s.run(t, f)
	}
}

// TestStats_Forecast: what is left stands beside what was used.
func TestStats_Forecast(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	id := f.addGeminiKey(1)
	f.addGeminiKey(2)
	f.leased("gemini-x", id, balancer.Outcome{Limits: []balancer.Limit{{ID: "RequestsPerDay", Value: 20}}})
	scenario{name: "left", method: "GET", path: "/admin/stats", status: 200, contains: []string{
		`"forecast":[{"model":"gemini-x","projects":2,"day":{"left":19,"unknown":1},"minute":{"left":null,"unknown":2},"resets":"2026-11-26T08:00:00Z"}]`,
	}}.run(t, f)
}

func TestGeminiKeys_WeightAndHint(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	for _, s := range []scenario{
		{name: "weight", body: `{"key":"AQ.canary-1","weight":2}`, status: 201, contains: []string{`"weight":2`}, excludes: []string{"old type"}},
		{name: "none", body: `{"key":"AQ.canary-2"}`, status: 201, contains: []string{`"weight":1`}},
		{name: "old type", body: `{"key":"AIzaSyCanary-1"}`, status: 201, contains: []string{`"advice":"This is a key of the old type`}},
		{name: "zero", body: `{"key":"AQ.canary-3","weight":0}`, status: 400, contains: []string{`"weight"`, "1 to 100"}},
		{name: "too heavy", body: `{"key":"AQ.canary-3","weight":101}`, status: 400, contains: []string{`"weight"`}},
		{name: "a fraction", body: `{"key":"AQ.canary-3","weight":1.5}`, status: 400, contains: []string{"a whole number"}},
	} {
		s.method, s.path = "POST", "/admin/keys/gemini"
		s.run(t, f)
	}
}

func TestUserKeys_Explain(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	id := f.must("POST", "/admin/keys/user", `{"name":"mine","explain":true}`)["id"].(string)
	if key := f.must("GET", "/admin/keys/user/"+id, ""); key["explain"] != true {
		t.Errorf("explain is %v", key["explain"])
	}
	other, _ := f.createUserKey("yours")
	if key := f.must("GET", "/admin/keys/user/"+other, ""); key["explain"] != nil {
		t.Errorf("explain is %v by itself", key["explain"])
	}
	if w := f.admin("POST", "/admin/keys/user", fmt.Sprintf(`{"name":"x","explain":%q}`, "yes")); w.Code != http.StatusBadRequest {
		t.Errorf("a word: %d", w.Code)
	}
}
