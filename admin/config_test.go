// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
)

func TestConfig_Fields(t *testing.T) {
	f := newFixture(t, settings.Patch{"retry.budget": 0.5, "heartbeat": 30 * time.Second})
	for _, s := range []scenario{
		{name: "all that a form needs", method: "GET", path: "/admin/config", status: 200, contains: []string{
			`"heartbeat":{"value":"30s","default":"15s","source":"caddyfile","locked":true,"type":"duration","min":"0s","max":"10m0s","directive":"heartbeat","effect":"next_request"}`,
			`"limits.budget.day":{"value":0,`, `"options":["prefix","off"]`, `"unit":"tokens"`,
		}},
		{name: "dotted and nested", method: "PATCH", path: "/admin/config", body: `{"limits.budget.day":2.5,"timeouts":{"idle":"2m"}}`, status: 200, contains: []string{
			`"limits.budget.day":{"value":2.5,`, `"timeouts.idle":{"value":"2m0s"`,
		}},
		{name: "all faults at once", method: "PATCH", path: "/admin/config", body: `{"limits":{"rpm":0},"reasoning":"loud","nonsense":{"x":1}}`, status: 400, contains: []string{
			`"field":"limits.rpm"`, `"field":"reasoning"`, `"field":"nonsense"`,
		}},
		{name: "locked", method: "PATCH", path: "/admin/config", body: `{"heartbeat":"1s"}`, status: 409, contains: []string{`"code":"locked"`, `"field":"heartbeat"`}},
		{name: "back by null", method: "PATCH", path: "/admin/config", body: `{"timeouts.idle":null}`, status: 200, contains: []string{`"timeouts.idle":{"value":"5m0s","default":"5m0s","source":"default"`}},
		{name: "back by DELETE", method: "DELETE", path: "/admin/config/limits.budget.day", status: 200, contains: []string{`"limits.budget.day":{"value":0,"default":0,"source":"default"`}},
		{name: "back of what is locked", method: "DELETE", path: "/admin/config/heartbeat", status: 409},
		{name: "back of what is not", method: "DELETE", path: "/admin/config/master_key", status: 404},
	} {
		s.run(t, f)
	}
}

// TestConfig_IfMatch: of many who saw the same state exactly one changes it.
func TestConfig_IfMatch(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.spec = nil // parallel requests
	for round := range 10 {
		etag := f.admin("GET", "/admin/config", "").Header().Get("ETag")
		if !strings.HasPrefix(etag, `"`) {
			t.Fatalf("ETag is %q", etag)
		}
		var won, changed atomic.Int32
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				r := request("PATCH", "/admin/config", `{"limits.rpm":`+[]string{"7", "8"}[i%2]+strings.Repeat("0", round%5)+[]string{"1", "2", "3", "4", "5", "6"}[i/2]+`}`)
				r.Header.Set("Authorization", "Bearer "+adminKey)
				r.Header.Set("If-Match", etag)
				switch code := f.do(r).Code; code {
				case http.StatusOK:
					won.Add(1)
				case http.StatusPreconditionFailed:
					changed.Add(1)
				default:
					t.Errorf("status %d", code)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || changed.Load() != 11 {
			t.Fatalf("%d were taken and %d refused", won.Load(), changed.Load())
		}
	}
}

func TestConfig_ExportImport(t *testing.T) {
	f := newFixture(t, settings.Patch{"heartbeat": 30 * time.Second})
	f.must("POST", "/admin/config", `{"strategy":"round_robin","limits":{"budget":{"month":12.000000001}}}`)
	file := strings.TrimSpace(f.admin("GET", "/admin/config/export", "").Body.String())
	for _, want := range []string{`"round_robin"`, `12.000000001`, `"30s"`} {
		if !strings.Contains(file, want) {
			t.Errorf("the file lacks %s: %s", want, file)
		}
	}
	f.must("POST", "/admin/config", `{"strategy":"least_used","retry":{"attempts":7},"limits.budget.month":null}`)
	for _, s := range []scenario{
		{name: "dry run", body: `{"dry_run":true,"settings":` + file + `}`, status: 200, contains: []string{
			`{"name":"strategy","from":"least_used","to":"round_robin"}`, `{"name":"retry.attempts","from":7,"to":3}`, `"skipped":[]`,
		}, excludes: []string{`"config"`}},
		{name: "import", body: `{"settings":` + file + `}`, status: 200, contains: []string{`"strategy":{"value":"round_robin"`, `"limits.budget.month":{"value":12.000000001,`, `"retry.attempts":{"value":3,`}},
		{name: "again", body: `{"settings":` + file + `}`, status: 200, contains: []string{`"changed":[]`}},
		{name: "what is locked is skipped", body: `{"settings":{"heartbeat":"5s"}}`, status: 200, contains: []string{`"skipped":["heartbeat"]`, `"heartbeat":{"value":"30s"`}},
		{name: "of another program", body: `{"settings":{"model_list":[]}}`, status: 400, contains: []string{`"model_list"`}},
		{name: "no file", body: `{}`, status: 400},
	} {
		s.method, s.path = "POST", "/admin/config/import"
		s.run(t, f)
	}
}

func TestConfig_TellsOpenPages(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	l, full := f.state.events.join([]string{"config"})
	if full {
		t.Fatal("no room for a listener")
	}
	defer f.state.events.leave(l)
	f.must("POST", "/admin/config", `{"heartbeat":"20s"}`)
	etag := f.admin("GET", "/admin/config", "").Header().Get("ETag")
	pending, _ := f.state.events.take(l)
	if len(pending) != 1 || pending[0].name != "config" || string(pending[0].data) != `{"etag":`+etag+`}` {
		t.Errorf("pending %+v, want the ETag %s", pending, etag)
	}
}
