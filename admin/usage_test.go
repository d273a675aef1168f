// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

func init() {
	objects["/admin/requests/"] = func(f *fixture) string {
		f.served(usage.Record{RequestID: "req_walked", Status: 200, Outcome: "ok"})
		return "req_walked"
	}
	// What is asked for without saying by what.
	unhappy["GET /admin/stats/top"] = "invalid_query"
}

// served adds requests that have just ended, and has the log take them.
func (f *fixture) served(records ...usage.Record) {
	f.t.Helper()
	for _, r := range records {
		if r.At.IsZero() {
			r.At = f.clock.now()
		}
		f.usage.Add(r)
	}
	if err := f.usage.Flush(); err != nil {
		f.t.Fatal(err)
	}
}

// traffic is one request of each class, of a key and a user that exist.
func (f *fixture) traffic() (key, user string) {
	spec := f.spec
	f.spec = nil // others check what these answer
	key = f.addGeminiKey(1)
	user, _ = f.createUserKey("alice")
	f.spec = spec
	ok := usage.Record{
		RequestID: "req_ok", Dialect: "openai", Endpoint: "chat.completions", Asked: "gpt-4o", Model: "gemini-3-pro", Version: "gemini-3-pro-001",
		KeyID: key, Project: "p1", UserID: user, IP: netip.MustParseAddr("192.0.2.7"), Agent: "=cmd|' /C calc'!A0", Status: 200, Outcome: "ok", Attempts: 1,
		Stream: true, Input: 100, Cached: 20, Output: 30, Thoughts: 10, ToolUse: 5, Cost: 123_456, Priced: true, Price: "google 2026-10-07",
		Waited: 3 * time.Millisecond, FirstOutput: 400 * time.Millisecond, Duration: 2400 * time.Millisecond,
		Tries: []usage.Try{{KeyID: key, Project: "p1", Status: 200, Verdict: "ok", Started: 3 * time.Millisecond, Duration: 2397 * time.Millisecond}},
	}
	retried := ok
	retried.RequestID, retried.Attempts, retried.Priced, retried.Cost = "req_retried", 2, false, 0
	retried.Tries = []usage.Try{{KeyID: "gk_gone", Status: 429, Verdict: "rate_limited", Reason: "per minute", Duration: 50 * time.Millisecond}, ok.Tries[0]}
	refused := usage.Record{RequestID: "req_refused", Dialect: "anthropic", Model: "gemini-3-pro", UserID: user, Status: 429, Outcome: "user_rate_limited"}
	lost := usage.Record{
		RequestID: "req_lost", Dialect: "openai", Model: "gemini-3-flash", KeyID: key, UserID: user, Status: 503, Outcome: "overloaded", Code: "UNAVAILABLE",
		Error: "The model is overloaded.", Attempts: 1, Duration: time.Second, Tries: []usage.Try{{KeyID: key, Project: "p1", Status: 503, Verdict: "overloaded", Reason: "The model is overloaded."}},
	}
	f.served(ok, retried, refused, lost)
	return key, user
}

func TestRequests_List(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	key, user := f.traffic()
	all := []string{"req_lost", "req_refused", "req_retried", "req_ok"}
	for query, want := range map[string][]string{
		"":                                      all,
		"limit=2":                               all[:2],
		"class=retried":                         {"req_retried"},
		"class=client_error":                    {"req_refused"},
		"class=failed":                          {"req_lost"},
		"status=200":                            {"req_retried", "req_ok"},
		"code=429":                              {"req_retried"},
		"code=UNAVAILABLE":                      {"req_lost"},
		"reason=rate_limited":                   {"req_retried"},
		"reason=user_rate_limited":              {"req_refused"},
		"model=gemini-3-flash":                  {"req_lost"},
		"user=" + user:                          all,
		"user=nobody":                           {},
		"key=" + key:                            {"req_lost", "req_retried", "req_ok"},
		"key=gk_gone":                           {"req_retried"},
		"dialect=anthropic":                     {"req_refused"},
		"min_ms=1001":                           {"req_retried", "req_ok"},
		"min_attempts=2":                        {"req_retried"},
		"request_id=req_ok":                     {"req_ok"},
		"from=2026-11-25T12:00:00Z":             all,
		"to=2026-11-25T12:00:00Z":               {},
		"from=2026-11-25T13:00:00%2B01:00":      all,
		"class=ok&user=" + user + "&status=200": {"req_ok"},
	} {
		answer := f.must("GET", "/admin/requests?"+query, "")
		got := []string{}
		for _, item := range answer["items"].([]any) {
			got = append(got, item.(map[string]any)["id"].(string))
		}
		if !slices.Equal(got, want) || answer["complete"] != true {
			t.Errorf("%q: %v, complete %v, want %v", query, got, answer["complete"], want)
		}
	}
	// Pages follow each other.
	first := f.must("GET", "/admin/requests?limit=3", "")
	second := f.must("GET", fmt.Sprintf("/admin/requests?limit=3&cursor=%v", first["next"]), "")
	if items := second["items"].([]any); len(items) != 1 || items[0].(map[string]any)["id"] != "req_ok" || second["next"] != nil {
		t.Errorf("second page %v", second)
	}
	// Nothing follows a page that the last row fills.
	for _, query := range []string{"limit=4", "limit=1&class=ok"} {
		if whole := f.must("GET", "/admin/requests?"+query, ""); whole["next"] != nil || whole["complete"] != true {
			t.Errorf("%s: next %v, complete %v", query, whole["next"], whole["complete"])
		}
	}
}

func TestRequests_Show(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.traffic()
	for _, s := range []scenario{
		{name: "priced", path: "/req_ok", status: 200, contains: []string{`"cost_nano":123456`, `"user_name":"alice"`, `"key_hint":"AIza`, `"ttft_ms":400`, `"tokens":{"input":100,"cached":20,"output":30,"thoughts":10,"tool_use":5}`, `"ip":"192.0.2.7"`, `"class":"ok"`, `"bodies"`}},
		{name: "price unknown", path: "/req_retried", status: 200, contains: []string{`"cost_nano":null`, `"verdict":"rate_limited","reason":"per minute"`, `"class":"retried"`}},
		{name: "not tried", path: "/req_refused", status: 200, contains: []string{`"ttft_ms":null`, `"tries":[]`, `"key_id":""`}},
		{name: "failed", path: "/req_lost", status: 200, contains: []string{`"code":"UNAVAILABLE"`, `"error":"The model is overloaded."`}},
		{name: "unknown", path: "/req_none", status: 404, contains: []string{"request_not_found"}},
		{name: "bad class", path: "?class=good", status: 400, contains: []string{`"field":"class"`}},
		{name: "bad status", path: "?status=99", status: 400, contains: []string{`"field":"status"`}},
		{name: "bad time", path: "?from=yesterday", status: 400, contains: []string{`"field":"from"`}},
		{name: "times the wrong way", path: "?from=2026-11-25T12:00:00Z&to=2026-11-25T11:00:00Z", status: 400, contains: []string{`"field":"to"`}},
		{name: "bad cursor", path: "?cursor=!", status: 400, contains: []string{`"field":"cursor"`}},
		{name: "a cursor that is only a number", path: "?cursor=zzz", status: 400, contains: []string{`"field":"cursor"`}},
		{name: "bad format", path: "/export?format=xlsx", status: 400, contains: []string{`"field":"format"`}},
	} {
		s.method, s.path = "GET", "/admin/requests"+s.path
		if s.name == "priced" {
			s.excludes, s.contains = []string{`"bodies"`}, s.contains[:len(s.contains)-1]
		}
		s.run(t, f)
	}
}

func TestRequests_Export(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.traffic()
	w := f.admin("GET", "/admin/requests/export?class=ok", "")
	lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "id,at,status,") || strings.Contains(lines[1], ",=cmd") || !strings.Contains(lines[1], "'=cmd") {
		t.Errorf("csv: %s", w.Body)
	}
	if got := w.Header().Get("Content-Disposition"); got != `attachment; filename="requests-20261125-120000.csv"` {
		t.Errorf("Content-Disposition %s", got)
	}
	w = f.admin("GET", "/admin/requests/export?format=ndjson", "")
	lines = strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	if len(lines) != 4 {
		t.Fatalf("ndjson: %s", w.Body)
	}
	var columns []string
	for _, line := range lines {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		names := slices.Sorted(maps.Keys(row))
		if columns == nil {
			columns = names
		}
		if !slices.Equal(names, columns) {
			t.Errorf("columns %v, of the first line %v", names, columns)
		}
	}
}

func TestRequests_Histogram(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.traffic()
	f.clock.advance(50 * time.Minute)
	f.traffic2(t)
	for query, want := range map[string][4]float64{
		"":                          {2, 1, 1, 1},
		"class=ok":                  {2, 0, 0, 0},
		"model=gemini-3-flash":      {0, 0, 0, 1},
		"to=2026-11-25T12:30:00Z":   {1, 1, 1, 1},
		"from=2026-11-25T12:30:00Z": {1, 0, 0, 0},
	} {
		answer := f.must("GET", "/admin/requests/histogram?"+query, "")
		var got [4]float64
		for i, name := range []string{"ok", "retried", "client_error", "failed"} {
			for _, n := range answer[name].([]any) {
				got[i] += n.(float64)
			}
		}
		if got != want || answer["complete"] != true || len(answer["t"].([]any)) != len(answer["ok"].([]any)) {
			t.Errorf("%q: %v, want %v", query, got, want)
		}
	}
}

// traffic2 is one more request, of now.
func (f *fixture) traffic2(t *testing.T) {
	t.Helper()
	f.served(usage.Record{RequestID: "req_later", Model: "gemini-3-pro", Status: 200, Outcome: "ok", Attempts: 1, Duration: time.Second, Input: 1, Priced: true, Cost: 7})
}

func TestOverview(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	key, user := f.traffic()
	f.clock.advance(90 * time.Minute)
	f.traffic2(t)
	v := f.must("GET", "/admin/overview?window=1h", "")
	figures, before := v["figures"].(map[string]any), v["before"].(map[string]any)
	if figures["requests"] != 1.0 || figures["cost_nano"] != 7.0 || figures["success"] != 1.0 || figures["in_flight"] != 0.0 {
		t.Errorf("figures %v", figures)
	}
	if before["requests"] != 4.0 || before["cost_nano"] != 123456.0 || before["in_flight"] != nil || fmt.Sprint(before["success"]) != "0.6666666666666666" {
		t.Errorf("before %v", before)
	}
	if pool := v["pool"].(map[string]any); pool["total"] != 1.0 || pool["usable"] != 1.0 {
		t.Errorf("pool %v", pool)
	}
	v = f.must("GET", "/admin/overview?window=6h", "")
	errors := v["errors"].([]any)
	if len(errors) != 2 {
		t.Fatalf("errors %v", errors)
	}
	for _, e := range errors {
		e := e.(map[string]any)
		fate := e["fate"].(map[string]any)
		if e["code"] == "429" && (e["reason"] != "rate_limited" || fate["retried"] != 1.0 || e["keys"] != 1.0 || e["share"] != 0.5) ||
			e["code"] == "503" && (e["reason"] != "overloaded" || fate["failed"] != 1.0) {
			t.Errorf("error %v", e)
		}
	}
	if users := v["users"].([]any); len(users) != 1 || users[0].(map[string]any)["name"] != "alice" || users[0].(map[string]any)["id"] != user {
		t.Errorf("users %v", users)
	}
	if models := v["models"].([]any); len(models) != 2 || models[0].(map[string]any)["model"] != "gemini-3-pro" || models[0].(map[string]any)["requests"] != 4.0 {
		t.Errorf("models %v", models)
	}
	top := f.must("GET", "/admin/stats/top?by=key&window=24h", "")
	first := top["items"].([]any)[0].(map[string]any)
	if first["id"] != key || first["attempts"] != 3.0 || first["errors"] != 1.0 || top["total"] != 2.0 || !strings.HasPrefix(first["name"].(string), "AIza") {
		t.Errorf("keys %v", top)
	}
	for by, want := range map[string]float64{"model": 2, "user": 1, "error": 2} {
		if got := f.must("GET", "/admin/stats/top?window=7d&by="+by, "")["total"]; got != want {
			t.Errorf("top by %s: %v, want %v", by, got, want)
		}
	}
}

func TestStats_Series(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	key, user := f.traffic()
	f.clock.advance(30 * time.Minute)
	f.traffic2(t)
	sum := func(v map[string]any, names ...string) (total float64) {
		for _, name := range names {
			for _, n := range v[name].([]any) {
				total += n.(float64)
			}
		}
		return total
	}
	for query, want := range map[string]float64{
		"window=1h": 5, "window=6h": 5, "window=24h": 5, "window=7d": 5, "window=30d": 5, "window=1y": 5,
		"model=gemini-3-pro": 4, "user=" + user: 4, "key=" + key: 3, "user=" + user + "&model=gemini-3-flash": 1, "user=nobody": 0,
	} {
		v := f.must("GET", "/admin/stats/series?"+query, "")
		n := len(v["t"].([]any))
		if got := sum(v, "ok", "retried", "client_error", "failed"); got != want || n > 400 || n < 56 || len(v["p95_ms"].([]any)) != n || v["open"] != true {
			t.Errorf("%s: %v requests in %d buckets, want %v", query, got, n, want)
		}
	}
	if v := f.must("GET", "/admin/stats/series", ""); sum(v, "cost_nano") != 123463 || sum(v, "unpriced") != 2 || sum(v, "tokens_in") != 211 {
		t.Errorf("cost %v, unpriced %v, tokens %v", sum(v, "cost_nano"), sum(v, "unpriced"), sum(v, "tokens_in"))
	}
	if w := f.admin("GET", "/admin/stats/series?key=a&user=b", ""); w.Code != http.StatusBadRequest {
		t.Errorf("key and user: %d", w.Code)
	}
	for path, want := range map[string][]string{"/admin/overview": overviewWindows, "/admin/stats/top": overviewWindows, "/admin/stats/series": slices.Collect(maps.Keys(chartWindows))} {
		for _, p := range parseDocument(t).Paths[path]["get"].Parameters {
			if p.Name == "window" && !sameWords(p.Schema.Enum, want) {
				t.Errorf("%s: window is one of %v, want %v", path, p.Schema.Enum, want)
			}
		}
	}
}

// Bodies are for admins.
func TestRequests_BodiesAreNotForViewers(t *testing.T) {
	f := newFixture(t, settings.Patch{})
	f.traffic()
	r := request("GET", "/admin/requests/req_ok", "")
	r.Header.Set("Authorization", viewerKey)
	if w := f.do(r); w.Code != 200 || strings.Contains(w.Body.String(), `"bodies"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Requests are told of as they end, no more than 20 a second, and stats each second.
func TestEvents_OfUsage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, settings.Patch{})
		r, cancel := streamRequest(t, "/admin/events?topics=requests,stats")
		p := new(pageStream)
		done := f.listen(r, p)
		time.Sleep(250 * time.Millisecond)
		f.traffic()
		time.Sleep(150 * time.Millisecond)
		synctest.Wait()
		if got := strings.Count(p.read(), "event: request\n"); got != 4 {
			t.Errorf("%d events of 4 requests: %s", got, p.read())
		}
		for i := range 500 {
			f.usage.Add(usage.Record{RequestID: fmt.Sprint("req_", i), At: f.clock.now(), Status: 200, Outcome: "ok"})
		}
		if err := f.usage.Flush(); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		text := p.read()
		if got := strings.Count(text, "event: request\n"); got < 20 || got > 64 || !strings.Contains(text, `"sampled":`) {
			t.Errorf("%d events of 504 requests", got)
		}
		if got := strings.Count(text, "event: stats\n"); got != 3 || !strings.Contains(text, `"requests_per_min":504`) {
			t.Errorf("%d events of stats: %s", got, text)
		}
		cancel()
		<-done
		time.Sleep(5 * time.Second)
		f.state.Close()
	})
}
