// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

func TestGeminiKeys_Add(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	long := strings.Repeat("字", 65)
	many := `{"keys":["` + strings.Join(slices.Repeat([]string{"AIzaSyCanary-many"}, 1001), `","`) + `"]}`
	for _, s := range []scenario{
		{
			name: "one", body: `{"key":"AIzaSyCanary-1","name":"first","project":"p1","tags":["a","b"],"paid":true}`, status: 201,
			contains: []string{`"id":"gk_`, `"name":"first"`, `"project":"p1"`, `"tags":["a","b"]`, `"paid":true`, `"source":"store"`, `"state":"untested"`, `"duplicate":false`, `"items":[{"id":"gk_`},
		},
		{
			name: "one again", body: `{"key":"AIzaSyCanary-1","name":"other"}`, status: 200,
			contains: []string{`"duplicate":true`, `"name":"first"`}, excludes: []string{"other"},
		},
		{name: "space around", body: `{"key":" AIzaSyCanary-1\r\n"}`, status: 200, contains: []string{`"duplicate":true`}},
		{
			name: "new, twice and bad", body: `{"keys":["AIzaSyCanary-2","AIzaSyCanary-1","AIzaSyCanary-2","with space",""]}`, status: 201,
			contains: []string{`"duplicate":false,"error":`, `"duplicate":true`}, excludes: []string{"with space"},
		},
		{name: "only bad", body: `{"keys":["with space",""]}`, status: 400, contains: []string{"keys[0]", "keys[1]", "invalid_key"}, excludes: []string{"with space"}},
		{name: "of somebody else", body: `{"key":"sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"}`, status: 400, contains: []string{`"field":"key"`, "something else than a Gemini key"}},
		{name: "one bad", body: `{"key":""}`, status: 400, contains: []string{`"field":"key"`}},
		{name: "none", body: `{}`, status: 400, contains: []string{`"missing"`}},
		{name: "empty list", body: `{"keys":[]}`, status: 400, contains: []string{`"missing"`}},
		{name: "both", body: `{"key":"a","keys":["b"]}`, status: 400, contains: []string{"ambiguous"}},
		{name: "1,001", body: many, status: 400, contains: []string{"too_many", "1000"}},
		{
			name: "unknown fields", body: `{"key":"AIzaSyCanary-3","colour":1,"id":"gk_0","state":"active"}`, status: 400,
			contains: []string{`"colour"`, `"id"`, `"state"`, "unknown_field", "2 more"}, excludes: []string{"AIzaSyCanary-3"},
		},
		{name: "other case", body: `{"Key":"AIzaSyCanary-3"}`, status: 400, contains: []string{`"Key"`}},
		{name: "repeated field", body: `{"key":"AIzaSyCanary-3","key":"AIzaSyCanary-4"}`, status: 400, contains: []string{"repeated_field"}},
		{
			name: "wrong types", body: `{"key":1,"keys":"x","tags":[1],"paid":"yes"}`, status: 400,
			contains: []string{`"field":"key"`, `"field":"keys"`, `"field":"tags[0]"`, `"field":"paid"`, "must be a string", "must be a list", "must be true or false"},
		},
		{name: "long name", body: `{"key":"AIzaSyCanary-3","name":"` + long + `"}`, status: 400, contains: []string{"64 characters"}},
		{name: "name that turns text around", body: `{"key":"AIzaSyCanary-3","name":"a\u202eb"}`, status: 400, contains: []string{"text direction"}},
		{name: "name with a line break", body: `{"key":"AIzaSyCanary-3","name":"a\nb"}`, status: 400},
		{name: "empty tag", body: `{"key":"AIzaSyCanary-3","tags":["a"," "]}`, status: 400, contains: []string{"tags[1]"}},
		{name: "no proxy", body: `{"key":"AIzaSyCanary-3","proxy":"ftp://user:hunter2@host"}`, status: 400, contains: []string{"proxy"}, excludes: []string{"hunter2"}},
		{name: "HTML in a name stays text", body: `{"key":"AIzaSyCanary-5","name":"<script>"}`, status: 201, excludes: []string{"<script>"}},
		{
			name: "proxy with a password", body: `{"key":"AIzaSyCanary-6","proxy":"socks5://user:hunter2@proxy.example:1080"}`, status: 201,
			contains: []string{`"proxy":"socks5://proxy.example:1080"`}, excludes: []string{"hunter2", "user"},
		},
		{name: "family in a name", body: `{"key":"AIzaSyCanary-7","name":"👨‍👩‍👧 家"}`, status: 201},
	} {
		s.method, s.path = "POST", "/admin/keys/gemini"
		s.run(t, f)
	}
}

func TestGeminiKeys_ThousandAtOnce(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	var keys []string
	for i := range 1000 {
		keys = append(keys, geminiSecret(i))
	}
	body, _ := json.Marshal(map[string]any{"keys": keys, "tags": []string{"batch"}})
	answer := f.must("POST", "/admin/keys/gemini", string(body))
	items := answer["items"].([]any)
	if _, single := answer["id"]; single || len(items) != 1000 {
		t.Fatalf("%d items, id at the top: %t", len(items), single)
	}
	for i, item := range items { // in the order of the request
		if got, want := item.(map[string]any)["id"], balancer.KeyID(keys[i]); got != want {
			t.Fatalf("item %d is %v, want %v", i, got, want)
		}
	}
	if again := f.admin("POST", "/admin/keys/gemini", string(body)); again.Code != http.StatusOK {
		t.Errorf("the same again: %d, want 200", again.Code)
	}
	if total := f.must("GET", "/admin/keys/gemini", "")["total"]; total != 1000.0 {
		t.Errorf("total = %v, want 1000", total)
	}
}

func TestGeminiKeys_List(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	for i := range 3 {
		f.addGeminiKey(i)
	}
	f.must("POST", "/admin/keys/gemini", `{"key":"AIzaSyCanary-x","name":"zebra","project":"p9","tags":["blue"]}`)
	id := balancer.KeyID("AIzaSyCanary-x")
	f.must("POST", "/admin/keys/gemini/"+id+"/disable", "")
	for _, s := range []scenario{
		{name: "all", path: "", status: 200, contains: []string{`"total":4`, `"offset":0`, `"untested":3`, `"disabled":1`, `"active":0`}},
		{name: "page", path: "?limit=2&offset=2", status: 200, contains: []string{`"total":4`, `"offset":2`}},
		{name: "beyond the end", path: "?offset=10", status: 200, contains: []string{`"items":[]`, `"total":4`}},
		{name: "by state", path: "?status=disabled", status: 200, contains: []string{`"total":1`, "zebra"}},
		{name: "by name", path: "?q=ZEB", status: 200, contains: []string{`"total":1`, "zebra"}},
		{name: "by tag", path: "?q=blue", status: 200, contains: []string{`"total":1`}},
		{name: "by project", path: "?q=p9", status: 200, contains: []string{`"total":1`}},
		{name: "by id", path: "?q=" + id, status: 200, contains: []string{`"total":1`}},
		{name: "no match", path: "?q=nothing", status: 200, contains: []string{`"items":[]`, `"total":0`}},
		{name: "sorted", path: "?sort=name&order=desc&limit=1", status: 200, contains: []string{"zebra"}},
		{name: "limit 0", path: "?limit=0", status: 400, contains: []string{"from 1 to 500"}},
		{name: "limit 501", path: "?limit=501", status: 400},
		{name: "limit 500", path: "?limit=500", status: 200},
		{name: "limit of words", path: "?limit=ten", status: 400},
		{name: "negative offset", path: "?offset=-1", status: 400},
		{name: "unknown status", path: "?status=happy", status: 400, contains: []string{"active, untested"}},
		{name: "empty status", path: "?status=", status: 400},
		{name: "unknown sort", path: "?sort=secret", status: 400},
		{name: "unknown order", path: "?order=up", status: 400},
		{name: "two faults", path: "?limit=x&sort=y", status: 400, contains: []string{`"field":"limit"`, `"field":"sort"`}},
		{name: "a whole key", path: "?q=AIzaSy" + strings.Repeat("C", 33), status: 400, contains: []string{`"field":"q"`, "first 12 hex digits"}, excludes: []string{"AIzaSyCC"}},
		{name: "a whole key of the new type", path: "?q=AQ.Ab8RN6" + strings.Repeat("D", 40), status: 400, excludes: []string{"Ab8RN6"}},
		{name: "long search", path: "?q=" + strings.Repeat("x", 257), status: 400},
	} {
		s.method, s.path = "GET", "/admin/keys/gemini"+s.path
		s.run(t, f)
	}
}

// TestGeminiKeys_PagesOfTenThousand walks all pages of a large pool in every
// order: each key once, and the default stays bounded.
func TestGeminiKeys_PagesOfTenThousand(t *testing.T) {
	const n = 10_000
	f := newFixture(t, settings.Patch{})
	f.spec = nil // checked elsewhere; here it would be the slowest part
	for at := 0; at < n; at += maxKeys {
		var keys []string
		for i := range maxKeys {
			keys = append(keys, geminiSecret(at+i))
		}
		body, _ := json.Marshal(map[string]any{"keys": keys, "name": fmt.Sprint("batch ", at/maxKeys)})
		f.must("POST", "/admin/keys/gemini", string(body))
	}
	for _, order := range []string{"", "&sort=id&order=asc", "&sort=name&order=desc"} {
		seen := make(map[string]bool, n)
		for offset := 0; ; offset += maxLimit {
			answer := f.must("GET", fmt.Sprintf("/admin/keys/gemini?limit=%d&offset=%d%s", maxLimit, offset, order), "")
			items := answer["items"].([]any)
			if answer["total"] != float64(n) {
				t.Fatalf("total = %v, want %d", answer["total"], n)
			}
			for _, item := range items {
				seen[item.(map[string]any)["id"].(string)] = true
			}
			if len(items) == 0 {
				break
			}
		}
		if len(seen) != n {
			t.Errorf("order %q: %d keys on all pages, want %d", order, len(seen), n)
		}
	}
	if items := f.must("GET", "/admin/keys/gemini", "")["items"].([]any); len(items) != 100 {
		t.Errorf("%d items without parameters, want 100", len(items))
	}
}

func TestGeminiKeys_OneKey(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	id := f.addGeminiKey(1)
	f.pool.Declare([]balancer.NewKey{{Secret: "AIzaSyCanary-declared", Name: "declared"}})
	declared := balancer.KeyID("AIzaSyCanary-declared")
	for _, s := range []scenario{
		{name: "get", method: "GET", path: id, status: 200, contains: []string{`"id":"` + id, `"name":"key 1"`}},
		{name: "disable", method: "POST", path: id + "/disable", status: 200, contains: []string{`"state":"disabled"`, "operator"}},
		{name: "disable again", method: "POST", path: id + "/disable", status: 200, contains: []string{`"state":"disabled"`}},
		{name: "enable", method: "POST", path: id + "/enable", status: 200, contains: []string{`"state":"untested"`}},
		{name: "enable again", method: "POST", path: id + "/enable", status: 200, contains: []string{`"state":"untested"`}},
		{name: "reset", method: "POST", path: id + "/reset", status: 200, contains: []string{`"state":"untested"`}},
		{name: "declared is shown", method: "GET", path: declared, status: 200, contains: []string{`"source":"config"`, "declared"}},
		{name: "declared can be disabled", method: "POST", path: declared + "/disable", status: 200, contains: []string{`"state":"disabled"`}},
		{name: "declared can be reset", method: "POST", path: declared + "/reset", status: 200, contains: []string{`"state":"untested"`, "reset by an operator", `"source":"config"`}},
		{name: "declared cannot be deleted", method: "DELETE", path: declared, status: 409, contains: []string{`"code":"declared"`, "Caddyfile", "disable it"}},
		{name: "delete", method: "DELETE", path: id, status: 204},
		{name: "delete again", method: "DELETE", path: id, status: 404, contains: []string{"gemini_key_not_found"}},
		{name: "get deleted", method: "GET", path: id, status: 404},
		{name: "enable deleted", method: "POST", path: id + "/enable", status: 404},
		{name: "disable deleted", method: "POST", path: id + "/disable", status: 404},
		{name: "reset deleted", method: "POST", path: id + "/reset", status: 404},
	} {
		s.path = "/admin/keys/gemini/" + s.path
		s.run(t, f)
	}
}

func TestGeminiKeys_Probe(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	id := f.addGeminiKey(1)
	path := "/admin/keys/gemini/" + id + "/probe"
	scenario{name: "off", method: "POST", path: path, status: 409, contains: []string{`"code":"probe_off"`, "Caddyfile"}}.run(t, f)
	f.pool.SetProbed(true)
	due, _ := f.pool.Probes(10)
	if len(due) != 1 {
		t.Fatalf("%d probes of one new key", len(due))
	}
	due[0].Done(balancer.Outcome{Status: 200}, nil)
	scenario{name: "probed is shown", method: "GET", path: "/admin/keys/gemini/" + id, status: 200, contains: []string{`"state":"active"`, `"validated_at":"` + f.clock.now().UTC().Format(time.RFC3339)}}.run(t, f)
	if due, _ := f.pool.Probes(10); len(due) != 0 {
		t.Fatalf("%d probes are due before anybody asked for one", len(due))
	}
	scenario{name: "on", method: "POST", path: path, status: 202, contains: []string{`"id":"` + id, `"state":"active"`}}.run(t, f)
	scenario{name: "no body", method: "POST", path: path, body: `{"x":1}`, status: 400}.run(t, f)
	scenario{name: "unknown key", method: "POST", path: "/admin/keys/gemini/gk_000000000000/probe", status: 404}.run(t, f)
	if due, _ := f.pool.Probes(10); len(due) != 1 || due[0].KeyID() != id {
		t.Errorf("due: %v", due)
	}
}

// TestGeminiKeys_ChangesAreDurable opens a second pool on the store after each
// answer, as a start after a crash would.
func TestGeminiKeys_ChangesAreDurable(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	clock := f.clock.now
	state := func(id string) balancer.State {
		key, _ := openPool(t, f.store, clock).Get(id)
		return key.State
	}
	id := f.addGeminiKey(1)
	if got := state(id); got != balancer.StateUntested {
		t.Errorf("after adding: state %q", got)
	}
	f.must("POST", "/admin/keys/gemini/"+id+"/disable", "")
	if got := state(id); got != balancer.StateDisabled {
		t.Errorf("after disable: state %q", got)
	}
	f.must("DELETE", "/admin/keys/gemini/"+id, "")
	if got := state(id); got != "" {
		t.Errorf("after delete: state %q", got)
	}
}

// TestGeminiKeys_Rests leases a key and lets Google refuse it for a minute.
func TestGeminiKeys_Rests(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	id := f.addGeminiKey(1)
	scenario{name: "nothing rests", method: "GET", path: "/admin/keys/gemini/rests", status: 200, contains: []string{`"items":[]`, `"total":0`}}.run(t, f)
	lease, err := f.pool.Lease(t.Context(), balancer.Want{Model: "gemini-x", Tried: new(balancer.Tried)})
	if err != nil {
		t.Fatal(err)
	}
	lease.Done(balancer.Outcome{
		Verdict: balancer.RateLimited, Blame: balancer.ScopeProjectModel, Retry: balancer.RetryOther,
		Rest: time.Minute, Status: 429, Reason: "quota of the minute is used up",
	})
	for _, s := range []scenario{
		{name: "one rests", path: "/admin/keys/gemini/rests", status: 200, contains: []string{
			`"total":1`, `"project":"` + id, `"model":"gemini-x"`, `"kind":"cooling"`, `"until":"2026-11-25T12:01:00Z"`, "quota of the minute",
		}},
		{name: "limit", path: "/admin/keys/gemini/rests?limit=1", status: 200, contains: []string{`"total":1`}},
		{name: "limit 0", path: "/admin/keys/gemini/rests?limit=0", status: 400},
		{name: "offset is not offered", path: "/admin/keys/gemini/rests?offset=1", status: 400},
		{name: "status counts it", path: "/admin/status", status: 200, contains: []string{`"resting":1`}},
	} {
		s.method = "GET"
		s.run(t, f)
	}
	scenario{name: "enabling leaves it", method: "POST", path: "/admin/keys/gemini/" + id + "/enable", status: 200}.run(t, f)
	scenario{name: "still one", method: "GET", path: "/admin/keys/gemini/rests", status: 200, contains: []string{`"total":1`}}.run(t, f)
	scenario{name: "a reset ends it", method: "POST", path: "/admin/keys/gemini/" + id + "/reset", status: 200, contains: []string{`"state":"untested"`}}.run(t, f)
	scenario{name: "none is left", method: "GET", path: "/admin/keys/gemini/rests", status: 200, contains: []string{`"items":[]`, `"total":0`}}.run(t, f)
	if rests := openPool(t, f.store, func() time.Time { return f.clock.now() }).Rests(0); len(rests) != 0 {
		t.Errorf("after a restart rest %+v", rests)
	}
}

// TestGeminiKeys_SortsExist: each order that is offered is one the pool knows.
func TestGeminiKeys_SortsExist(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	for i, body := range []string{
		`{"key":"AIzaSyCanary-a","name":"b","project":"2"}`, `{"key":"AIzaSyCanary-b","name":"c","project":"1"}`, `{"key":"AIzaSyCanary-c","name":"a","project":"3"}`,
	} {
		f.clock.advance(time.Second)
		id := f.must("POST", "/admin/keys/gemini", body)["id"].(string)
		if i == 1 {
			f.must("POST", "/admin/keys/gemini/"+id+"/disable", "")
		}
	}
	value := func(item any, field string) string {
		v := fmt.Sprint(item.(map[string]any)[field])
		if field == "state" {
			return fmt.Sprint(slices.Index(balancer.States, balancer.State(v))) // in the order of use
		}
		if field == "status" {
			return fmt.Sprint(slices.Index(balancer.Statuses, balancer.Status(v)))
		}
		return v
	}
	for _, field := range geminiKeySorts {
		for order, less := range map[string]int{"asc": -1, "desc": 1} {
			items := f.must("GET", "/admin/keys/gemini?sort="+field+"&order="+order, "")["items"].([]any)
			if !slices.IsSortedFunc(items, func(a, b any) int { return -less * strings.Compare(value(a, field), value(b, field)) }) {
				t.Errorf("sort=%s order=%s: %v", field, order, items)
			}
		}
	}
}
