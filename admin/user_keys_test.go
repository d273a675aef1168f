// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"fmt"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

func TestUserKeys_Create(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	for _, s := range []scenario{
		{
			name: "name only takes the defaults", body: `{"name":"alice"}`, status: 201,
			contains: []string{`"key":"gb-`, `"id":"`, `"name":"alice"`, `"enabled":true`, fmt.Sprintf(`"rpm":%d`, users.DefaultLimits.RPM)},
		},
		{name: "nothing at all", body: `{}`, status: 201},
		{name: "no limits on demand", body: `{"name":"bob","unlimited":true}`, status: 201, contains: []string{`"limits":{}`, `"unlimited":true`}},
		{
			name: "everything", body: `{"name":"carol","limits":{"rpm":1,"tpm":2,"rpd":3,"concurrency":4},"models":["gemini-*"],"dialects":["openai"],"cidrs":["10.0.0.0/8"],"tags":["a"],"paid_only":true,"expires_at":"2027-01-31T00:00:00Z"}`, status: 201,
			contains: []string{`"limits":{"rpm":1,"tpm":2,"rpd":3,"concurrency":4}`, `"models":["gemini-*"]`, `"paid_only":true`, `"expires_at":"2027-01-31T00:00:00Z"`},
		},
		{
			name: "unknown fields", body: `{"name":"x","admin":true,"limits":{"rpm":1,"rpmm":2},"key":"gb-mine"}`, status: 400,
			contains: []string{`"admin"`, `"limits.rpmm"`, `"key"`}, excludes: []string{"gb-mine"},
		},
		{
			name: "wrong types", body: `{"name":1,"limits":{"rpm":"60"},"expires_at":"tomorrow"}`, status: 400,
			contains: []string{`"limits.rpm"`, "a whole number", `"expires_at"`, "a time such as"}, excludes: []string{"tomorrow"},
		},
		{name: "limits of 0", body: `{"limits":{"rpm":0,"concurrency":-0,"budget":0}}`, status: 400, contains: []string{
			`"field":"limits.rpm"`, `"field":"limits.concurrency"`, `"field":"limits.budget"`, "set unlimited for no limit",
		}},
		{name: "budgets of 0", body: `{"limits":{"budget":{"day":0,"month":1,"total":0e5}},"unlimited":true}`, status: 400, contains: []string{
			`"field":"limits.budget.day"`, `"field":"limits.budget.total"`, "disable the key",
		}, excludes: []string{"budget.month"}},
		{name: "limits left open", body: `{"limits":{"rpm":null,"tpm":7,"budget":null}}`, status: 201, contains: []string{`"rpm":600`, `"tpm":7`}},
		{name: "fraction of a request", body: `{"limits":{"rpm":1.5}}`, status: 400, contains: []string{`"limits.rpm"`}},
		{name: "limits that are none", body: `{"limits":[]}`, status: 400, contains: []string{"must be an object"}},
		{name: "negative limit", body: `{"limits":{"rpm":-1}}`, status: 400, contains: []string{"limits.rpm"}},
		{name: "budget", body: `{"limits":{"budget":12.50}}`, status: 201, contains: []string{`"budget":{"total":12.5}`}},
		{name: "budgets", body: `{"limits":{"budget":{"day":0.000000001,"month":1}},"unpriced":true}`, status: 201, contains: []string{`"budget":{"day":0.000000001,"month":1}`, `"unpriced":true`}},
		{name: "a budget that is none", body: `{"limits":{"budget":{"day":"5"}}}`, status: 400, contains: []string{"limits.budget"}},
		{name: "less than a nano-dollar", body: `{"limits":{"budget":0.0000000001}}`, status: 400, contains: []string{"limits.budget", "nine decimals"}},
		{name: "tokens of days and months", body: `{"limits":{"tpd":5,"monthly_tokens":6}}`, status: 201, contains: []string{`"tpd":5,"monthly_tokens":6`}},
		{name: "labels and a note", body: `{"labels":["Team A"],"note":"for the\nlab"}`, status: 201, contains: []string{`"labels":["Team A"]`, `"note":"for the\nlab"`}},
		{name: "misleading label", body: `{"labels":["a\u202eb"]}`, status: 400, contains: []string{"labels[0]"}},
		{name: "three", body: `{"name":"lab","count":3}`, status: 201, contains: []string{`"items":[`, `"name":"lab 1"`, `"name":"lab 3"`}},
		{name: "none", body: `{"count":0}`, status: 400, contains: []string{"count"}},
		{name: "too many", body: `{"count":1001}`, status: 400, contains: []string{"count is 1001", `"errors":[{"field":"count","code":"invalid_value",`}},
		{name: "in the past", body: `{"expires_at":"2020-01-01T00:00:00Z"}`, status: 400, contains: []string{"past", `"field":"expires_at"`}},
		{name: "unknown dialect", body: `{"dialects":["smtp"]}`, status: 400, contains: []string{"smtp", `"field":"dialects`}},
		{name: "no network", body: `{"cidrs":["home"]}`, status: 400, contains: []string{`"field":"cidrs"`}},
		{name: "no pattern", body: `{"models":["["]}`, status: 400, contains: []string{`"field":"models"`}},
		{name: "negative", body: `{"limits":{"rpm":-1}}`, status: 400, contains: []string{"limits.rpm is -1", `"field":"limits.rpm"`}},
		{name: "misleading name", body: `{"name":"a\u2066b"}`, status: 400},
		{name: "long name", body: fmt.Sprintf(`{"name":"%065d"}`, 0), status: 400},
		{name: "empty tag", body: `{"tags":[""]}`, status: 400, contains: []string{"tags[0]"}},
	} {
		s.method, s.path = "POST", "/admin/keys/user"
		s.run(t, f)
	}
}

func TestUserKeys_Lifecycle(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	id, secret := f.createUserKey("alice")
	f.createUserKey("bob")
	authenticate := func(want error) {
		t.Helper()
		if _, err := f.users.Authenticate(secret); err != want {
			t.Errorf("Authenticate = %v, want %v", err, want)
		}
	}
	authenticate(nil)
	item := "/admin/keys/user/" + id
	noSecret := []string{secret, `"key":`, `"hash"`}
	for _, s := range []scenario{
		{name: "get", method: "GET", path: item, status: 200, contains: []string{`"id":"` + id, `"enabled":true`}, excludes: noSecret},
		{name: "list", method: "GET", path: "/admin/keys/user", status: 200, contains: []string{`"total":2`, "alice", "bob"}, excludes: noSecret},
		{name: "page", method: "GET", path: "/admin/keys/user?limit=1&offset=1", status: 200, contains: []string{`"total":2`, `"offset":1`}},
		{name: "search", method: "GET", path: "/admin/keys/user?q=ALI", status: 200, contains: []string{`"total":1`, "alice"}},
		{name: "search by a whole key", method: "GET", path: "/admin/keys/user?q=" + secret, status: 400, contains: []string{`"field":"q"`}, excludes: noSecret},
		{name: "no match", method: "GET", path: "/admin/keys/user?q=nobody", status: 200, contains: []string{`"items":[]`, `"total":0`}},
		{name: "limit 501", method: "GET", path: "/admin/keys/user?limit=501", status: 400},
		{name: "unknown sort", method: "GET", path: "/admin/keys/user?sort=hash", status: 400},
		{name: "disable", method: "POST", path: item + "/disable", status: 200, contains: []string{`"enabled":false`}, excludes: noSecret},
	} {
		s.run(t, f)
	}
	authenticate(users.ErrDisabled)
	scenario{name: "enable", method: "POST", path: item + "/enable", status: 200, contains: []string{`"enabled":true`}, excludes: noSecret}.run(t, f)
	authenticate(nil)
	scenario{name: "delete", method: "DELETE", path: item, status: 204}.run(t, f)
	authenticate(users.ErrUnknownKey)
	for _, s := range []scenario{
		{name: "get deleted", method: "GET", path: item, status: 404, contains: []string{"user_key_not_found"}},
		{name: "delete deleted", method: "DELETE", path: item, status: 404},
		{name: "enable deleted", method: "POST", path: item + "/enable", status: 404},
		{name: "disable deleted", method: "POST", path: item + "/disable", status: 404},
		{name: "the key is no id", method: "GET", path: "/admin/keys/user/" + secret, status: 404, excludes: []string{secret}},
	} {
		s.run(t, f)
	}
}

// TestUserKeys_ChangesAreDurable opens a second registry on the store, as a
// start after a crash would.
func TestUserKeys_ChangesAreDurable(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	id, secret := f.createUserKey("alice")
	authenticate := func(want error) {
		t.Helper()
		r, err := users.Open(f.store, users.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Authenticate(secret); err != want {
			t.Errorf("Authenticate = %v, want %v", err, want)
		}
	}
	authenticate(nil)
	f.must("POST", "/admin/keys/user/"+id+"/disable", "")
	authenticate(users.ErrDisabled)
	f.must("DELETE", "/admin/keys/user/"+id, "")
	authenticate(users.ErrUnknownKey)
}
