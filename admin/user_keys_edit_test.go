// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

func init() {
	operationBodies["POST /admin/keys/user/bulk"] = `{"action":"disable","ids":["none"]}`
	operationBodies["PATCH /admin/keys/user/{id}"] = `{"note":"walked"}`
	operationBodies["POST /admin/keys/user/{id}/rotate"] = `{"grace_s":60}`
	unhappy["POST /admin/keys/user/{id}/restore"] = "user_key_not_found" // nothing was deleted
}

func TestUserKeys_Edit(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	id, secret := f.createUserKey("alice")
	item := "/admin/keys/user/" + id
	for _, s := range []scenario{
		{name: "name", body: `{"name":"bob"}`, status: 200, contains: []string{`"name":"bob"`, `"rpm":600`}},
		{name: "one limit", body: `{"limits":{"rpm":5}}`, status: 200, contains: []string{`"name":"bob"`, `"rpm":5,"tpm":4000000`}},
		{name: "a limit of 0", body: `{"limits":{"rpm":0}}`, status: 400, contains: []string{`"field":"limits.rpm"`, "null in a PATCH"}},
		{name: "a budget of 0", body: `{"limits":{"budget":{"day":0}}}`, status: 400, contains: []string{`"field":"limits.budget.day"`}},
		{name: "null is the default", body: `{"limits":{"rpm":null}}`, status: 200, contains: []string{`"rpm":600`}},
		{name: "a part of the budget", body: `{"limits":{"budget":{"day":1,"month":2}}}`, status: 200, contains: []string{`"budget":{"day":1,"month":2}`}},
		{name: "another part", body: `{"limits":{"budget":{"day":null,"total":3.5}}}`, status: 200, contains: []string{`"budget":{"month":2,"total":3.5}`}},
		{name: "no budget", body: `{"limits":{"budget":null}}`, status: 200, excludes: []string{"budget\":"}},
		{name: "lists", body: `{"models":["gemini-*"],"labels":["x"],"cidrs":["10.0.0.0/8"],"dialects":["openai"]}`, status: 200, contains: []string{`"models":["gemini-*"]`, `"labels":["x"]`}},
		{name: "lists cleared", body: `{"models":null,"labels":[],"cidrs":null,"dialects":null}`, status: 200, contains: []string{`"models":[]`, `"labels":[]`, `"cidrs":[]`, `"dialects":[]`}},
		{name: "expiry", body: `{"expires_at":"2027-01-31T00:00:00Z"}`, status: 200, contains: []string{`"expires_at":"2027-01-31T00:00:00Z"`}},
		{name: "never", body: `{"expires_at":null}`, status: 200, excludes: []string{"expires_at"}},
		{name: "unlimited", body: `{"unlimited":true,"limits":{"rpm":null}}`, status: 200, contains: []string{`"limits":{"tpm":4000000,"rpd":100000,"concurrency":50}`}},
		{name: "nothing", body: `{}`, status: 200, contains: []string{`"name":"bob"`}},
		{name: "unknown field", body: `{"enabled":false}`, status: 400, contains: []string{`"enabled"`}},
		{name: "wrong type", body: `{"limits":{"rpm":"5"}}`, status: 400, contains: []string{`"limits.rpm"`}},
		{name: "invalid", body: `{"limits":{"rpm":-1}}`, status: 400, contains: []string{"limits.rpm"}},
		{name: "past", body: `{"expires_at":"2020-01-01T00:00:00Z"}`, status: 400, contains: []string{"past"}},
		{name: "long name", body: fmt.Sprintf(`{"name":"%065d"}`, 0), status: 400, contains: []string{`"name"`}},
		{name: "list", body: `[]`, status: 400},
	} {
		s.method, s.path = http.MethodPatch, item
		s.excludes = append(s.excludes, secret, `"hash"`)
		s.run(t, f)
	}
	scenario{name: "unknown key", method: "PATCH", path: "/admin/keys/user/nobody", body: `{}`, status: 404}.run(t, f)
}

// TestUserKeys_EditIfMatch: who has read another version changes nothing.
func TestUserKeys_EditIfMatch(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	id, _ := f.createUserKey("alice")
	item := "/admin/keys/user/" + id
	tag := f.admin("GET", item, "").Header().Get("ETag")
	if tag == "" {
		t.Fatal("no ETag")
	}
	for _, s := range []scenario{
		{name: "the version that was read", body: `{"note":"1"}`, status: 200},
		{name: "once more", body: `{"note":"2"}`, status: 412, contains: []string{`"changed"`}},
	} {
		s.method, s.path, s.header = "PATCH", item, map[string]string{"If-Match": tag}
		s.run(t, f)
	}
	if note := f.must("GET", item, "")["note"]; note != "1" {
		t.Errorf("note %v", note)
	}
}

func TestUserKeys_Rotate(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	id, first := f.createUserKey("alice")
	rotate := "/admin/keys/user/" + id + "/rotate"
	works := func(secret string, want bool) {
		t.Helper()
		if _, err := f.users.Authenticate(secret); (err == nil) != want {
			t.Errorf("…%s: %v, want %v", secret[len(secret)-4:], err, want)
		}
	}
	made := f.must("POST", rotate, `{"grace_s":3600}`)
	second := made["key"].(string)
	if made["old_until"] != "2026-11-25T13:00:00Z" || made["hint"] != "gb-"+id[:4]+"…"+second[len(second)-4:] {
		t.Errorf("%v", made)
	}
	works(first, true)
	works(second, true)
	scenario{
		name: "shown while both work", method: "GET", path: "/admin/keys/user/" + id, status: 200,
		contains: []string{`"rotating":{"old_until":"2026-11-25T13:00:00Z"}`}, excludes: []string{first, second},
	}.run(t, f)
	f.clock.advance(time.Hour)
	works(first, false)
	scenario{name: "and not after it", method: "GET", path: "/admin/keys/user/" + id, status: 200, contains: []string{`"rotating":null`}}.run(t, f)
	third := f.must("POST", rotate, `{}`)["key"].(string)
	works(second, false)
	works(third, true)
	for _, s := range []scenario{
		{name: "no body", path: rotate, status: 200, contains: []string{`"key":"gb-`}, excludes: []string{"old_until\":\"2"}},
		{name: "negative", path: rotate, body: `{"grace_s":-1}`, status: 400, contains: []string{"grace_s"}},
		{name: "too long", path: rotate, body: `{"grace_s":2592001}`, status: 400},
		{name: "fraction", path: rotate, body: `{"grace_s":1.5}`, status: 400},
		{name: "unknown key", path: "/admin/keys/user/nobody/rotate", body: `{}`, status: 404},
	} {
		s.method = "POST"
		s.run(t, f)
	}
}

func TestUserKeys_DeleteAndRestore(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	id, secret := f.createUserKey("alice")
	item := "/admin/keys/user/" + id
	for _, s := range []scenario{
		{name: "nothing to restore", method: "POST", path: item + "/restore", status: 404},
		{name: "delete", method: "DELETE", path: item, status: 204},
		{name: "gone", method: "GET", path: item, status: 404},
		{name: "no edit", method: "PATCH", path: item, body: `{"note":"x"}`, status: 404},
		{name: "no secret", method: "POST", path: item + "/rotate", body: `{}`, status: 404, excludes: []string{`"key"`}},
		{name: "not in the list", method: "GET", path: "/admin/keys/user", status: 200, contains: []string{`"total":0`, `"deleted":1`}},
		{name: "in that of the deleted", method: "GET", path: "/admin/keys/user?status=deleted", status: 200, contains: []string{`"total":1`, `"deleted_at":"2026-11-25T12:00:00Z"`, `"status":"deleted"`}},
		{name: "restore", method: "POST", path: item + "/restore", status: 200, contains: []string{`"name":"alice"`, `"status":"active"`}, excludes: []string{"deleted_at"}},
		{name: "back", method: "GET", path: item, status: 200},
	} {
		s.excludes = append(s.excludes, secret)
		s.run(t, f)
	}
	if _, err := f.users.Authenticate(secret); err != nil {
		t.Error(err)
	}
}

// TestUserKeys_Standing: what was used shows in the key's windows, its money and the
// books.
func TestUserKeys_Standing(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	made := f.must("POST", "/admin/keys/user", `{"name":"alice","unlimited":true,"limits":{"rpm":60,"rpd":10,"budget":{"day":0.00001}}}`)
	id := made["id"].(string)
	account, err := f.users.Authenticate(made["key"].(string))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		ad, refusal := account.Admit(f.clock.now(), users.Ask{Model: "gemini-x", Dialect: "openai", IP: netip.MustParseAddr("192.0.2.9"), Cost: 5000, Priced: true})
		if refusal != nil {
			t.Fatal(refusal)
		}
		ad.Settle(users.Used{Tokens: 30, Cost: 4000})
		f.usage.Add(usage.Record{At: f.clock.now(), UserID: id, Model: "gemini-x", Outcome: "ok", Status: 200, Attempts: 1, Input: 10, Output: 20, Cost: 4000, Priced: true})
	}
	scenario{name: "detail", method: "GET", path: "/admin/keys/user/" + id, status: 200, contains: []string{
		`{"limit":"rpm","max":60,"used":2,"remaining":58,"resets_at":"2026-11-25T12:00:02Z"}`,
		`{"limit":"rpd","max":10,"used":2,"remaining":8,"resets_at":"2026-11-26T00:00:00Z"}`,
		`{"limit":"budget.day","max":10000,"used":8000,"remaining":2000,`,
		`"spent":{"day_nano":8000,"month_nano":8000,"total_nano":8000}`,
		`"by_model":[{"model":"gemini-x","requests":2,"tokens":60,"cost_nano":8000}]`,
		`"fullest":{"limit":"budget.day","used":8000,"max":10000}`,
		`"last_used":"2026-11-25T12:00:00Z"`, `"last_ip":"192.0.2.9"`, `"requests_24h":2`, `"tokens_24h":60`, `"cost_24h_nano":8000`,
	}}.run(t, f)
	scenario{name: "list", method: "GET", path: "/admin/keys/user?q=alice", status: 200, contains: []string{
		`"fullest":{"limit":"budget.day","used":8000,"max":10000}`, `"requests_24h":2`,
	}}.run(t, f)
}

func TestUserKeys_List(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	for i, body := range []string{
		`{"name":"Anna","labels":["Lab"],"expires_at":"2026-11-28T00:00:00Z"}`,
		`{"name":"bert","tags":["fast"]}`,
		`{"name":"Carl","labels":["lab"],"expires_at":"2027-11-28T00:00:00Z"}`,
	} {
		made := f.must("POST", "/admin/keys/user", body)
		f.usage.Add(usage.Record{At: f.clock.now(), UserID: made["id"].(string), Model: "m", Outcome: "ok", Status: 200, Attempts: 1, Input: int64(10 * (3 - i)), Cost: int64(i), Priced: true})
		f.clock.advance(time.Second)
	}
	f.usage.Add(usage.Record{At: f.clock.now(), UserID: "gone", Model: "m", Outcome: "ok", Status: 200, Attempts: 1, Input: 1000})
	for query, want := range map[string]string{
		"":                                       "Carl bert Anna",
		"sort=created&order=asc":                 "Anna bert Carl",
		"sort=name&order=asc":                    "Anna bert Carl",
		"sort=name":                              "Carl bert Anna",
		"sort=expires_at&order=asc":              "Anna Carl bert",
		"sort=tokens_24h":                        "Anna bert Carl",
		"sort=cost_24h_nano":                     "Carl bert Anna",
		"sort=last_used":                         "Carl bert Anna",
		"limit=1&offset=1":                       "bert",
		"tag=LAB":                                "Carl Anna",
		"tag=fast":                               "bert",
		"expiring=7d":                            "Anna",
		"expiring=3650":                          "Carl Anna",
		"unused=1":                               "",
		"status=expired":                         "",
		"q=BERT":                                 "bert", // long enough to be in nobody's random id
		"q=carl&status=active&tag=lab&sort=name": "Carl",
	} {
		t.Run(query, func(t *testing.T) {
			var names []string
			for _, item := range f.must("GET", "/admin/keys/user?"+query, "")["items"].([]any) {
				names = append(names, item.(map[string]any)["name"].(string))
			}
			if got := strings.Join(names, " "); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
	for _, query := range []string{"status=cooling", "expiring=soon", "expiring=0", "unused=-1", "unused=3651d", "sort=rpm", "order=up"} {
		scenario{name: query, method: "GET", path: "/admin/keys/user?" + query, status: 400, contains: []string{strings.Split(query, "=")[0]}}.run(t, f)
	}
}

func TestUserKeys_Bulk(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	var ids []string
	for i := range 5 {
		id, _ := f.createUserKey(fmt.Sprintf("user %d", i))
		ids = append(ids, id)
	}
	two := fmt.Sprintf(`"ids":[%q,%q,%q,"nobody"]`, ids[0], ids[1], ids[1])
	for _, s := range []scenario{
		{name: "disable", body: `{"action":"disable",` + two + `}`, status: 200, contains: []string{`{"changed":2,"skipped":1}`}},
		{name: "again", body: `{"action":"disable",` + two + `}`, status: 200, contains: []string{`{"changed":0,"skipped":3}`}},
		{name: "by filter", body: `{"action":"enable","filter":{"status":"disabled"},"expected_count":2}`, status: 200, contains: []string{`{"changed":2,"skipped":0}`}},
		{name: "except", body: fmt.Sprintf(`{"action":"label","filter":{"q":"user"},"except":[%q],"expected_count":4,"labels":["Blue"]}`, ids[4]), status: 200, contains: []string{`{"changed":4,"skipped":0}`}},
		{name: "another count", body: `{"action":"delete","filter":{"tag":"blue"},"expected_count":5}`, status: 409, contains: []string{"count_changed", `"expected":5,"found":4`}},
		{name: "delete without a count", body: `{"action":"delete","filter":{"tag":"blue"}}`, status: 400, contains: []string{`"field":"expected_count"`}},
		{name: "unlabel", body: `{"action":"unlabel","filter":{"tag":"blue"},"labels":["BLUE"]}`, status: 200, contains: []string{`{"changed":4,"skipped":0}`}},
		{name: "extend", body: `{"action":"extend",` + two + `,"expires_at":"2027-01-01T00:00:00Z"}`, status: 200, contains: []string{`{"changed":2,"skipped":1}`}},
		{name: "never", body: `{"action":"extend","filter":{"expiring":"365d"},"expires_at":null}`, status: 200, contains: []string{`{"changed":2,"skipped":0}`}},
		{name: "past", body: `{"action":"extend",` + two + `,"expires_at":"2020-01-01T00:00:00Z"}`, status: 400, contains: []string{"past"}},
		{name: "limits", body: `{"action":"limits",` + two + `,"limits":{"rpm":7,"budget":{"day":2}}}`, status: 200, contains: []string{`{"changed":2,"skipped":1}`}},
		{name: "delete", body: `{"action":"delete",` + two + `}`, status: 200, contains: []string{`{"changed":2,"skipped":1}`}},
		{name: "restore", body: `{"action":"restore","filter":{}}`, status: 200, contains: []string{`{"changed":2,"skipped":0}`}},
		{name: "unknown action", body: `{"action":"explode",` + two + `}`, status: 400, contains: []string{`"action"`}},
		{name: "nobody", body: `{"action":"enable"}`, status: 400, contains: []string{`"ids"`}},
		{name: "ids and filter", body: `{"action":"enable","filter":{},` + two + `}`, status: 400},
		{name: "no labels", body: `{"action":"label",` + two + `}`, status: 400, contains: []string{`"labels"`}},
		{name: "no limits", body: `{"action":"limits",` + two + `}`, status: 400, contains: []string{`"limits"`}},
		{name: "no expiry", body: `{"action":"extend",` + two + `}`, status: 400, contains: []string{`"expires_at"`}},
		{name: "limits of another action", body: `{"action":"enable",` + two + `,"limits":{}}`, status: 400, contains: []string{`"limits"`}},
		{name: "wrong filter", body: `{"action":"enable","filter":{"status":"ill","expiring":"x"}}`, status: 400, contains: []string{"filter.status", "filter.expiring"}},
		{name: "unknown filter", body: `{"action":"enable","filter":{"name":"x"}}`, status: 400, contains: []string{"filter.name"}},
		{name: "a limit of 0", body: `{"action":"limits",` + two + `,"limits":{"rpd":0}}`, status: 400, contains: []string{`"field":"limits.rpd"`}},
		{name: "wrong limit", body: `{"action":"limits",` + two + `,"limits":{"rpm":-7}}`, status: 400, contains: []string{"limits.rpm"}},
	} {
		s.method, s.path = "POST", "/admin/keys/user/bulk"
		s.run(t, f)
	}
	key := f.must("GET", "/admin/keys/user/"+ids[0], "")
	if limits := fmt.Sprint(key["limits"]); !strings.Contains(limits, "rpm:7 ") || !strings.Contains(limits, "day:2") || !strings.Contains(limits, "rpd:100000") {
		t.Errorf("limits %s", limits)
	}
}

// TestUserKeys_BulkJob: more than 500 are a job.
func TestUserKeys_BulkJob(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.must("POST", "/admin/keys/user", `{"name":"lab","count":600}`)
	w := f.admin("POST", "/admin/keys/user/bulk", `{"action":"disable","filter":{"q":"lab"},"expected_count":600}`)
	if w.Code != http.StatusAccepted {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	f.state.jobs.workers.Wait()
	job := f.must("GET", w.Header().Get("Location"), "")
	if job["state"] != "done" || fmt.Sprint(job["counts"]) != "map[changed:600 skipped:0]" || job["done"] != float64(600) {
		t.Errorf("%v", job)
	}
	if counts := f.must("GET", "/admin/keys/user", "")["counts"].(map[string]any); counts["disabled"] != float64(600) {
		t.Errorf("%v", counts)
	}
}
