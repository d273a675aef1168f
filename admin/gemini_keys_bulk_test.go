// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

func TestGeminiKeys_Bulk(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	var ids []string
	for i := range 4 {
		ids = append(ids, f.addGeminiKey(i))
	}
	f.pool.Declare([]balancer.NewKey{{Secret: "AIzaSyCanary-declared", Name: "mine", Tags: []string{"t"}}})
	list, _ := json.Marshal(ids[:2])
	for _, s := range []scenario{
		{name: "by ids", body: `{"action":"disable","ids":` + string(list) + `}`, status: 200, contains: []string{`"changed":2`, `"skipped":0`, `"errors":[]`}},
		{name: "again", body: `{"action":"disable","ids":` + string(list) + `}`, status: 200, contains: []string{`"changed":0`, `"skipped":2`, `"errors":[]`}},
		{name: "by filter, but one", body: `{"action":"enable","filter":{"status":"disabled"},"except":["` + ids[0] + `"],"expected_count":1}`, status: 200, contains: []string{`"changed":1`}},
		{name: "another count", body: `{"action":"enable","filter":{"status":"disabled"},"expected_count":2}`, status: 409, contains: []string{"count_changed", `"expected":2`, `"found":1`}},
		{name: "tag", body: `{"action":"tag","filter":{},"tags":["eu"]}`, status: 200, contains: []string{`"changed":4`, `"skipped":1`, `"declared"`, "tags"}},
		{name: "untag", body: `{"action":"untag","filter":{"tag":"eu"},"tags":["eu"]}`, status: 200, contains: []string{`"changed":4`}},
		{name: "weight", body: `{"action":"weight","filter":{},"weight":7}`, status: 200, contains: []string{`"changed":5`}},
		{name: "reset", body: `{"action":"reset","ids":["` + ids[3] + `","gk_none"]}`, status: 200, contains: []string{`"changed":1`, `"gemini_key_not_found"`}},
		{name: "delete without a count", body: `{"action":"delete","filter":{}}`, status: 400, contains: []string{"expected_count"}},
		{name: "delete", body: `{"action":"delete","filter":{},"expected_count":5}`, status: 200, contains: []string{`"changed":4`, `"skipped":1`, `"declared"`}},
		{name: "restore", body: `{"action":"restore","filter":{}}`, status: 200, contains: []string{`"changed":4`}},
		{name: "no action", body: `{"filter":{}}`, status: 400, contains: []string{`"field":"action"`}},
		{name: "no keys", body: `{"action":"enable"}`, status: 400, contains: []string{`"field":"ids"`}},
		{name: "both", body: `{"action":"enable","ids":["a"],"filter":{}}`, status: 400, contains: []string{"ambiguous"}},
		{name: "tags for another action", body: `{"action":"enable","filter":{},"tags":["a"]}`, status: 400, contains: []string{`"field":"tags"`}},
		{name: "no tags", body: `{"action":"tag","filter":{}}`, status: 400, contains: []string{`"field":"tags"`}},
		{name: "no weight", body: `{"action":"weight","filter":{}}`, status: 400, contains: []string{`"field":"weight"`}},
		{name: "unknown status", body: `{"action":"enable","filter":{"status":"happy"}}`, status: 400, contains: []string{"filter.status"}},
	} {
		s.method, s.path = "POST", "/admin/keys/gemini/bulk"
		s.run(t, f)
	}
}

func TestGeminiKeys_BulkIsAJobAbove500(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.spec = nil
	f.job("POST", "/admin/keys/gemini/import", map[string]any{"text": keyText(0, maxAtOnce+1), "batch": "b"})
	j := f.job("POST", "/admin/keys/gemini/bulk", map[string]any{"action": "disable", "filter": map[string]any{}, "expected_count": maxAtOnce + 1})
	if j["kind"] != "bulk" || countsOfJob(j)["changed"] != maxAtOnce+1 || j["done"] != float64(maxAtOnce+1) {
		t.Errorf("%v", j)
	}
	if n := f.must("GET", "/admin/keys/gemini?status=disabled", "")["total"]; n != float64(maxAtOnce+1) {
		t.Errorf("%v are disabled", n)
	}
}

// Many keys are deleted, and whole keys shown and exported, with the admin key again
// only.
func TestGeminiKeys_Sudo(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.job("POST", "/admin/keys/gemini/import", map[string]any{"text": keyText(0, massDelete+1)})
	cookie := f.signIn(adminKey)
	id := balancer.KeyID(keyOf(0))
	calls := []struct{ name, path, body string }{
		{"reveal", "/admin/keys/gemini/" + id + "/reveal", ""},
		{"export of secrets", "/admin/keys/gemini/export", `{"format":"txt","secrets":true}`},
		{"mass delete", "/admin/keys/gemini/bulk", fmt.Sprintf(`{"action":"delete","filter":{},"expected_count":%d}`, massDelete+1)},
	}
	for _, c := range calls {
		if w := f.browser(cookie, "POST", c.path, c.body); w.Code != http.StatusForbidden || problemCode(w) != "sudo_required" || strings.Contains(w.Body.String(), "Canary") {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
	}
	if w := f.browser(cookie, "POST", "/admin/keys/gemini/export", `{"format":"csv"}`); w.Code != 200 || strings.Contains(w.Body.String(), "Canary") {
		t.Errorf("export without secrets: %d %s", w.Code, w.Body)
	}
	if w := f.browser(cookie, "POST", "/admin/session/sudo", fmt.Sprintf(`{"key":%q}`, adminKey)); w.Code != 200 {
		t.Fatalf("sudo: %d %s", w.Code, w.Body)
	}
	for _, c := range calls {
		w := f.browser(cookie, "POST", c.path, c.body)
		if w.Code != http.StatusOK || c.name != "mass delete" && !strings.Contains(w.Body.String(), keyOf(0)) {
			t.Errorf("%s with the admin key: %d %s", c.name, w.Code, w.Body)
		}
	}
	audit := f.admin("GET", "/admin/audit", "").Body.String()
	if !strings.Contains(audit, "with secrets") || !strings.Contains(audit, "/reveal") || strings.Contains(audit, "Canary") {
		t.Errorf("the audit log: %s", audit)
	}
}

func TestGeminiKeys_RevealCanBeForbidden(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	if err := f.config.Settings.Update(settings.Patch{"keys.reveal": false}); err != nil {
		t.Fatal(err)
	}
	id := f.addGeminiKey(1)
	scenario{name: "reveal", method: "POST", path: "/admin/keys/gemini/" + id + "/reveal", status: 403, contains: []string{"reveal_off"}}.run(t, f)
	scenario{name: "export", method: "POST", path: "/admin/keys/gemini/export", body: `{"format":"json","secrets":true}`, status: 403, contains: []string{"reveal_off"}}.run(t, f)
}

func TestGeminiKeys_Edit(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	id := f.addGeminiKey(1)
	path := "/admin/keys/gemini/" + id
	tag := f.admin("GET", path, "").Header().Get("ETag")
	for _, s := range []scenario{
		{name: "with the version", body: `{"name":"new","note":"a\nb","tags":["x"],"models":["gemini-*"],"weight":9,"paid":true}`, status: 200, header: map[string]string{"If-Match": tag},
			contains: []string{`"name":"new"`, `"note":"a\nb"`, `"tags":["x"]`, `"models":["gemini-*"]`, `"weight":9`, `"paid":true`}},
		{name: "with an old version", body: `{"name":"newer"}`, status: 412, header: map[string]string{"If-Match": tag}, contains: []string{`"changed"`}},
		{name: "without a version", body: `{"note":""}`, status: 200, contains: []string{`"note":""`, `"name":"new"`}},
		{name: "long note", body: `{"note":"` + strings.Repeat("ä", 501) + `"}`, status: 400, contains: []string{"500 characters"}},
		{name: "longest note", body: `{"note":"` + strings.Repeat("ä", 500) + `"}`, status: 200},
		{name: "long name", body: `{"name":"` + strings.Repeat("x", 65) + `"}`, status: 400},
		{name: "wrong glob", body: `{"models":["a b"]}`, status: 400, contains: []string{`"field":"models"`}},
		{name: "wrong proxy", body: `{"proxy":"ftp://u:hunter2@h"}`, status: 400, contains: []string{`"field":"proxy"`}, excludes: []string{"hunter2"}},
		{name: "proxy", body: `{"proxy":"http://u:hunter2@h:1"}`, status: 200, contains: []string{`"proxy":"http://h:1"`}, excludes: []string{"hunter2"}},
		{name: "weight 0", body: `{"weight":0}`, status: 400},
		{name: "secret is no field", body: `{"key":"x"}`, status: 400, contains: []string{"unknown_field"}},
	} {
		s.method, s.path = "PATCH", path
		s.run(t, f)
	}
	f.pool.Declare([]balancer.NewKey{{Secret: "AIzaSyCanary-declared", Name: "mine"}})
	declared := balancer.KeyID("AIzaSyCanary-declared")
	scenario{name: "declared name", method: "PATCH", path: "/admin/keys/gemini/" + declared, body: `{"name":"x","note":"y"}`, status: 409, contains: []string{`"declared"`, `"field":"name"`}, excludes: []string{`"field":"note"`}}.run(t, f)
	scenario{name: "declared, what is open", method: "PATCH", path: "/admin/keys/gemini/" + declared, body: `{"note":"y"}`, status: 200, contains: []string{`"note":"y"`, `"locked":["name"]`}}.run(t, f)
	scenario{name: "declared cannot be deleted", method: "DELETE", path: "/admin/keys/gemini/" + declared, status: 409, contains: []string{"declared"}}.run(t, f)
	history := f.must("GET", path, "")["history"].([]any)
	if first := history[0].(map[string]any); first["what"] != "edited" || first["detail"] != "proxy" {
		t.Errorf("history: %v", history)
	}
}

func TestGeminiKeys_DeleteAndRestore(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	id := f.addGeminiKey(1)
	path := "/admin/keys/gemini/" + id
	for _, s := range []scenario{
		{name: "restore what is there", method: "POST", path: path + "/restore", status: 404},
		{name: "delete", method: "DELETE", path: path, status: 204},
		{name: "gone", method: "GET", path: path, status: 404},
		{name: "deleted", method: "GET", path: "/admin/keys/gemini/deleted", status: 200, contains: []string{id, `"deleted_at"`, `"total":1`}},
		{name: "restore", method: "POST", path: path + "/restore", status: 200, contains: []string{id}, excludes: []string{"deleted_at"}},
		{name: "delete again", method: "DELETE", path: path, status: 204},
		{name: "purge", method: "POST", path: path + "/purge", status: 204},
		{name: "none is left", method: "GET", path: "/admin/keys/gemini/deleted", status: 200, contains: []string{`"total":0`}},
	} {
		s.run(t, f)
	}
}

func TestGeminiKeys_Validate(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	id := f.addGeminiKey(1)
	path := "/admin/keys/gemini/" + id + "/validate"
	for _, c := range []struct {
		name    string
		outcome balancer.Outcome
		err     error
		want    string
	}{
		{"valid", balancer.Outcome{}, nil, `"ok":true,"verdict":"valid"`},
		{"invalid", balancer.Outcome{Verdict: balancer.InvalidKey, State: balancer.StateInvalid, Reason: "API_KEY_INVALID"}, nil, `"ok":false,"verdict":"invalid","message":"API_KEY_INVALID"`},
		{"no room at Google", balancer.Outcome{Verdict: balancer.RateLimited}, nil, `"verdict":"rate_limited"`},
		{"no room by our count", balancer.Outcome{}, balancer.ErrNoRoom, `"verdict":"rate_limited"`},
		{"no way", balancer.Outcome{Verdict: balancer.Network}, nil, `"verdict":"unreachable"`},
		{"no money", balancer.Outcome{Verdict: balancer.UnfundedProject}, nil, `"verdict":"unreachable"`},
	} {
		f.google = func(context.Context, string, string) (balancer.Outcome, error) { return c.outcome, c.err }
		scenario{name: c.name, method: "POST", path: path, status: 200, contains: []string{c.want, `"id":"` + id}}.run(t, f)
	}
	asked := ""
	f.google = func(_ context.Context, _, model string) (balancer.Outcome, error) {
		asked = model
		return balancer.Outcome{}, nil
	}
	f.must("POST", path, `{"model":"models/gemini-x"}`)
	if asked != "gemini-x" {
		t.Errorf("asked for %q", asked)
	}
	f.google = func(context.Context, string, string) (balancer.Outcome, error) {
		return balancer.Outcome{}, balancer.ErrNotFound
	}
	scenario{name: "unknown", method: "POST", path: "/admin/keys/gemini/gk_none/validate", status: 404}.run(t, f)
}

// A validation asks as many keys at a time as it may, tells of each, disables what is
// invalid if it is to, runs once at a time, and ends when it is cancelled.
func TestGeminiKeys_ValidateAll(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.job("POST", "/admin/keys/gemini/import", map[string]any{"text": keyText(0, 60)})
	bad := balancer.KeyID(keyOf(7))
	running := make(chan struct{}, 60)
	most := 0
	gate := make(chan struct{})
	f.google = func(ctx context.Context, id, _ string) (balancer.Outcome, error) {
		running <- struct{}{}
		select {
		case <-gate:
		case <-ctx.Done():
			return balancer.Outcome{}, ctx.Err()
		}
		if id == bad {
			return balancer.Outcome{Verdict: balancer.InvalidKey, State: balancer.StateInvalid, Reason: "bad"}, nil
		}
		return balancer.Outcome{}, nil
	}
	w := f.admin("POST", "/admin/keys/gemini/validate", `{"all":true,"concurrency":4,"disable_invalid":true}`)
	id := decoded(t, w)["id"].(string)
	for range 4 {
		<-running
		most++
	}
	again := f.admin("POST", "/admin/keys/gemini/validate", `{"all":true}`)
	if again.Code != http.StatusConflict || problemCode(again) != "job_running" || decoded(t, again)["job"] != id {
		t.Errorf("a second start: %d %s", again.Code, again.Body)
	}
	select {
	case <-running:
		t.Error("more than 4 at a time")
	default:
	}
	close(gate)
	f.state.jobs.workers.Wait()
	j := f.must("GET", "/admin/jobs/"+id, "")
	if got := countsOfJob(j); got["valid"] != 59 || got["invalid"] != 1 || j["done"] != 60.0 {
		t.Errorf("%v", j)
	}
	if k, _ := f.pool.Get(bad); k.State != balancer.StateDisabled || !strings.Contains(k.StateReason, "bad") {
		t.Errorf("%s %s", k.State, k.StateReason)
	}
	gate = make(chan struct{})
	for len(running) > 0 {
		<-running
	}
	w = f.admin("POST", "/admin/keys/gemini/validate", `{"filter":{"status":"untested"},"concurrency":2}`)
	id = decoded(t, w)["id"].(string)
	<-running
	f.must("POST", "/admin/jobs/"+id+"/cancel", "")
	f.state.jobs.workers.Wait()
	if j := f.must("GET", "/admin/jobs/"+id, ""); j["state"] != "cancelled" || len(countsOfJob(j)) != 0 {
		t.Errorf("cancelled: %v", j)
	}
	for _, s := range []scenario{
		{name: "nothing", body: `{}`, status: 400, contains: []string{`"field":"ids"`}},
		{name: "concurrency", body: `{"all":true,"concurrency":65}`, status: 400, contains: []string{"1 to 64"}},
		{name: "count", body: `{"all":true,"expected_count":2}`, status: 409, contains: []string{"count_changed"}},
	} {
		s.method, s.path = "POST", "/admin/keys/gemini/validate"
		s.run(t, f)
	}
}

// What is exported with its keys can be imported again, and is the same.
func TestExport_RoundTrip(t *testing.T) {
	for _, format := range exportFormats {
		t.Run(format, func(t *testing.T) {
			f := newFixture(t, settings.Patch{})
			f.must("POST", "/admin/keys/gemini", `{"key":"`+keyOf(0)+`","name":"=cmd|' /C calc'!A0","note":"+1 \"quoted\"\nand more","tags":["a","b"],"weight":5,"models":["gemini-*"],"paid":true,"project":"p"}`)
			f.must("POST", "/admin/keys/gemini", `{"key":"`+keyOf(1)+`","name":"@x"}`)
			f.must("POST", "/admin/keys/gemini/"+balancer.KeyID(keyOf(1))+"/disable", "")
			masked := f.admin("POST", "/admin/keys/gemini/export", fmt.Sprintf(`{"format":%q}`, format))
			if masked.Code != 200 || strings.Contains(masked.Body.String(), "Canary") || !strings.Contains(masked.Body.String(), balancer.Mask(keyOf(0))) {
				t.Errorf("%d %s", masked.Code, masked.Body)
			}
			w := f.admin("POST", "/admin/keys/gemini/export", fmt.Sprintf(`{"format":%q,"secrets":true}`, format))
			if !strings.HasPrefix(w.Header().Get("Content-Disposition"), `attachment; filename="gemini-keys-`) {
				t.Errorf("%v", w.Header())
			}
			if format == "csv" && (strings.Contains(w.Body.String(), ",=cmd") || strings.Contains(w.Body.String(), ",@x")) {
				t.Errorf("a spreadsheet would run this: %s", w.Body)
			}
			g := newFixture(t, settings.Patch{})
			g.job("POST", "/admin/keys/gemini/import", map[string]any{"text": w.Body.String()})
			for i := range 2 {
				id := balancer.KeyID(keyOf(i))
				want, _ := f.pool.Get(id)
				got, ok := g.pool.Get(id)
				if !ok {
					t.Fatalf("%s is missing", id)
				}
				if format == "txt" {
					continue
				}
				want.Note = strings.ReplaceAll(want.Note, "\n", "") // one line is left of it
				if got.Name != want.Name || got.Note != want.Note || !slices.Equal(got.Tags, want.Tags) || !slices.Equal(got.Models, want.Models) ||
					got.Weight != want.Weight || got.Paid != want.Paid || got.Project != want.Project || (got.State == balancer.StateDisabled) != (want.State == balancer.StateDisabled) {
					t.Errorf("was %+v\nis %+v", want, got)
				}
			}
		})
	}
	f := newFixture(t, settings.Patch{})
	scenario{name: "format", method: "POST", path: "/admin/keys/gemini/export", body: `{"format":"xlsx"}`, status: 400, contains: []string{`"field":"format"`}}.run(t, f)
	if w := f.admin("POST", "/admin/keys/gemini/export", `{"format":"json"}`); strings.TrimSpace(w.Body.String()) != "[\n]" {
		t.Errorf("no keys: %q", w.Body)
	}
}

// A row shows what the last 24 hours brought, and can be sorted by it.
func TestGeminiKeys_Day(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	quiet, busy := f.addGeminiKey(1), f.addGeminiKey(2)
	for i := range 3 {
		f.usage.Add(usage.Record{At: f.clock.now(), KeyID: busy, Status: 200, Outcome: "ok", Attempts: 1, Input: 10, Output: 5, Cost: 7, Priced: true,
			Tries: []usage.Try{{KeyID: busy, Status: 200, Verdict: "ok"}}, RequestID: fmt.Sprint(i)})
	}
	f.usage.Add(usage.Record{At: f.clock.now(), KeyID: busy, Status: 429, Outcome: "rate_limited", Attempts: 1, Tries: []usage.Try{{KeyID: busy, Status: 429, Verdict: "rate_limited"}}})
	for _, by := range []string{"requests_24h", "errors_24h", "tokens_24h", "cost_24h"} {
		items := f.must("GET", "/admin/keys/gemini?order=desc&sort="+by, "")["items"].([]any)
		first := items[0].(map[string]any)
		if first["id"] != busy || items[1].(map[string]any)["id"] != quiet {
			t.Errorf("by %s: %v", by, items)
		}
		hours := first["hours"].([]any)
		if first["requests_24h"] != 4.0 || first["errors_24h"] != 1.0 || first["tokens_24h"] != 45.0 || first["cost_24h_nano"] != 21.0 || hours[23] != 4.0 {
			t.Errorf("%v", first)
		}
	}
}

// Pages that listen hear which keys changed, and how many there are of each.
func TestGeminiKeys_Events(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	id := f.addGeminiKey(1)
	w := &keyWatch{pool: f.pool}
	if e := w.event(); e != nil {
		t.Errorf("at first: %v", e)
	}
	if e := w.event(); e != nil {
		t.Errorf("nothing changed: %v", e)
	}
	f.must("POST", "/admin/keys/gemini/"+id+"/disable", "")
	e, _ := w.event().(keysEvent)
	if fmt.Sprint(e.Changed) != "["+id+"]" || e.Counts["disabled"] != 1 || e.Counts["all"] != 1 || e.Counts["untested"] != 0 {
		t.Errorf("%+v", e)
	}
	f.job("POST", "/admin/keys/gemini/import", map[string]any{"text": keyText(300, 200)})
	if e, _ := w.event().(keysEvent); e.Changed != "many" || e.Counts["all"] != 201 {
		t.Errorf("%+v", e)
	}
	f.clock.advance(time.Second)
	if e := w.event(); e != nil {
		t.Errorf("nothing changed: %v", e)
	}
}
