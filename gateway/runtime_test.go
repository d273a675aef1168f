// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/users"
)

// operated is a world whose operator sets aliases and models while it runs.
func operated(t *testing.T, edit ...func(*Config)) (*world, *settings.Aliases, *settings.PerModel) {
	t.Helper()
	db := memory.New()
	aliases, err := settings.OpenAliases(db)
	must(t, err)
	models, err := settings.OpenPerModel(db)
	must(t, err)
	w := newWorld(t, keys(2), append(edit, func(c *Config) {
		c.Named, c.PerModel, c.Guests, c.Catalog = aliases, models, new(Guests), new(Catalog)
	})...)
	return w, aliases, models
}

func hide(models *settings.PerModel, id string, hidden bool) error {
	return models.Update(id, func(m *settings.Model) { m.Hidden = hidden })
}

// asks is a question for a model in each dialect.
func (w *world) asks(name string) map[string]answer {
	w.t.Helper()
	return map[string]answer{
		"openai":    w.post("/v1/chat/completions", fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"Hi"}]}`, name)),
		"anthropic": w.post("/v1/messages", fmt.Sprintf(`{"model":%q,"max_tokens":50,"messages":[{"role":"user","content":"Hi"}]}`, name), "anthropic-version", "2023-06-01"),
		"gemini":    w.post("/v1beta/models/"+name+":generateContent", `{"contents":[{"parts":[{"text":"Hi"}]}]}`),
	}
}

// listings are the lists of models of each dialect.
func (w *world) listings() map[string]string {
	w.t.Helper()
	get := func(path string, header ...string) string {
		a := w.do(w.t.Context(), http.MethodGet, path, "", header...)
		if a.status != 200 {
			w.t.Errorf("%s: %d %s", path, a.status, a.body)
		}
		return a.body
	}
	return map[string]string{
		"openai": get("/v1/models"), "anthropic": get("/v1/models?limit=1000", "anthropic-version", "2023-06-01"), "gemini": get("/v1beta/models?pageSize=1000"),
	}
}

func TestRuntime_Aliases(t *testing.T) {
	w, aliases, _ := operated(t, func(c *Config) {
		c.Aliases = []settings.Alias{{Name: "house", Targets: []string{model}}, {Name: "mine-*", Targets: []string{model}}}
	})
	for dialect, a := range w.asks("fast-one") {
		if a.status != 404 {
			t.Errorf("%s before: %d %s", dialect, a.status, a.body)
		}
	}
	must(t, aliases.Replace([]settings.Alias{
		{Name: "house", Targets: []string{"gemini-nowhere"}},  // the Caddyfile's stands before it
		{Name: "mine-too", Targets: []string{"gemini-no"}},    // so does its pattern
		{Name: "fast-*", Targets: []string{"gone-1", model}},  // a chain
		{Name: "fast-two", Targets: []string{"gemini-never"}}, // after the pattern that takes its name
		{Name: "quiet", Targets: []string{model}, Hidden: true},
		{Name: "loud", Targets: []string{model}},
	}, ""))
	for _, name := range []string{"fast-one", "fast-two", "house", "mine-too", "quiet", "loud"} {
		for dialect, a := range w.asks(name) {
			if a.status != 200 || a.header.Get("X-Gemini-Balance-Model") != model {
				t.Errorf("%s in %s: %d %s", name, dialect, a.status, a.body)
			}
		}
	}
	for dialect, list := range w.listings() {
		if !strings.Contains(list, "loud") || !strings.Contains(list, "house") || strings.Contains(list, "quiet") || strings.Contains(list, "fast-") {
			t.Errorf("%s lists %s", dialect, list)
		}
	}
	if a := w.do(t.Context(), http.MethodGet, "/v1/models/fast-x", ""); a.status != 200 && !strings.Contains(a.body, "fast-x") {
		t.Errorf("a name of a pattern: %d %s", a.status, a.body)
	}
	now := time.Now()
	if got := w.gw.Hits.Day("fast-*", now); got != 6 {
		t.Errorf("fast-* has %d hits, want 6", got)
	}
	if got := w.gw.Hits.Day("fast-two", now); got != 0 {
		t.Errorf("fast-two has %d hits, want none", got)
	}
	must(t, aliases.Replace(nil, ""))
	if a := w.asks("loud")["openai"]; a.status != 404 {
		t.Errorf("after: %d %s", a.status, a.body)
	}
}

// TestRuntime_AliasesUnderTraffic: while the list changes, each request is answered
// by one list or the other.
func TestRuntime_AliasesUnderTraffic(t *testing.T) {
	w, aliases, models := operated(t)
	lists := [][]settings.Alias{
		{{Name: "x", Targets: []string{model}}, {Name: "a-*", Targets: []string{model}}},
		{{Name: "a-*", Targets: []string{model}}, {Name: "x", Targets: []string{"gone", model}}},
	}
	must(t, aliases.Replace(lists[0], ""))
	stop := make(chan struct{})
	var changes, asking sync.WaitGroup
	changes.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := aliases.Replace(lists[i%2], ""); err != nil {
				t.Error(err)
			}
			if err := hide(models, "gemini-2.5-pro", i%3 == 0); err != nil {
				t.Error(err)
			}
			if err := w.gw.Settings.Update(settings.Patch{"retry.attempts": int64(2 + i%3)}); err != nil {
				t.Error(err)
			}
		}
	})
	for range 4 {
		asking.Go(func() {
			for range 20 {
				for _, name := range []string{"x", "a-1"} {
					if a := w.asks(name)["openai"]; a.status != 200 {
						t.Errorf("%s: %d %s", name, a.status, a.body)
					}
				}
				w.do(w.t.Context(), http.MethodGet, "/v1/models", "")
			}
		})
	}
	asking.Wait()
	close(stop)
	changes.Wait()
}

func TestRuntime_HiddenModels(t *testing.T) {
	w, aliases, models := operated(t)
	must(t, aliases.Replace([]settings.Alias{
		{Name: "only", Targets: []string{model}}, {Name: "chain", Targets: []string{model, "gemini-2.5-flash"}},
	}, ""))
	must(t, hide(models, model, true))
	for _, name := range []string{model, "only"} {
		for dialect, a := range w.asks(name) {
			if a.status != 404 || strings.Contains(a.body, "hidden") {
				t.Errorf("%s in %s: %d %s", name, dialect, a.status, a.body)
			}
		}
	}
	for dialect, a := range w.asks("chain") {
		if got := a.header.Get("X-Gemini-Balance-Model"); a.status != 200 || got != "gemini-2.5-flash" {
			t.Errorf("chain in %s: %d by %s", dialect, a.status, got)
		}
	}
	for dialect, list := range w.listings() {
		if strings.Contains(list, model+`"`) || strings.Contains(list, `"only"`) || !strings.Contains(list, "chain") {
			t.Errorf("%s lists %s", dialect, list)
		}
	}
	for path, header := range map[string][]string{"/v1/models/" + model: nil, "/v1beta/models/" + model: nil, "/anthropic/v1/models/" + model: {"anthropic-version", "2023-06-01"}} {
		if a := w.do(t.Context(), http.MethodGet, path, "", header...); a.status != 404 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := w.do(t.Context(), http.MethodGet, "/status", ""); strings.Contains(a.body, model+`"`) {
		t.Errorf("/status tells of it: %s", a.body)
	}
	must(t, hide(models, model, false))
	if a := w.asks(model)["openai"]; a.status != 200 {
		t.Errorf("offered again: %d %s", a.status, a.body)
	}
}

func TestRuntime_UnknownModels(t *testing.T) {
	w, _, _ := operated(t)
	asked := func() int { return int(w.google.Requests()) }
	must(t, w.gw.Settings.Update(settings.Patch{"models.unknown": settings.UnknownRefuse}))
	before := asked()
	if a := w.asks("gemini-not-yet")["openai"]; a.status != 404 || asked() == before {
		t.Errorf("while nothing is known Google is asked: %d %s", a.status, a.body)
	}
	w.listings()
	w.gw.known.Store(nil)
	before = asked()
	for dialect, a := range w.asks("gemini-not-yet") {
		if a.status != 404 {
			t.Errorf("%s: %d %s", dialect, a.status, a.body)
		}
	}
	if asked() != before {
		t.Error("Google was asked for a model that nobody has")
	}
	if a := w.asks(model)["openai"]; a.status != 200 {
		t.Errorf("a known model: %d %s", a.status, a.body)
	}
}

func TestRuntime_SettingsOfTheNextRequest(t *testing.T) {
	w, _, _ := operated(t)
	chat := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}]}`, model, strings.Repeat("long ", 500))
	if a := w.post("/v1/chat/completions", chat); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	must(t, w.gw.Settings.Update(settings.Patch{"max_request_size": int64(1024)}))
	if a := w.post("/v1/chat/completions", chat); a.status != 413 {
		t.Errorf("max_request_size: %d %s", a.status, a.body)
	}
	must(t, w.gw.Settings.Update(settings.Patch{"max_request_size": nil, "timeouts.first_output": 100 * time.Millisecond}))
	slow := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"[[hang]] Hi"}]}`, model)
	if a := w.post("/v1/chat/completions", slow); a.status != 504 {
		t.Errorf("timeouts.first_output: %d %s", a.status, a.body)
	}
}

// TestSite_OwnOptionsWin: what a site says itself does not follow the settings.
func TestSite_OwnOptionsWin(t *testing.T) {
	off := false
	w, _, _ := operated(t, func(c *Config) {
		c.MaxRequestSize, c.Heartbeat, c.Reasoning, c.FetchImages, c.Timeouts.Idle = 5000, -1, settings.ReasoningTags, &off, time.Minute
	})
	must(t, w.gw.Settings.Update(settings.Patch{
		"max_request_size": int64(9999), "heartbeat": time.Second, "reasoning": settings.ReasoningOff, "timeouts.idle": time.Hour, "timeouts.total": time.Hour,
	}))
	s := w.gw.site()
	if s.maxRequestSize != 5000 || s.heartbeat != -1 || s.reasoning != settings.ReasoningTags || s.fetches || s.timeouts.Idle != time.Minute {
		t.Errorf("got %+v", s)
	}
	if s.timeouts.Total != time.Hour {
		t.Errorf("what the site leaves open is %v", s.timeouts.Total)
	}
	if w.gw.site() != s {
		t.Error("nothing changed, and the site was made anew")
	}
}

func TestGuests(t *testing.T) {
	w, _, _ := operated(t)
	key, _, err := w.users.Create(t.Context(), users.Spec{Name: "limited", Models: []string{model}, Limits: users.Limits{RPM: 1}})
	must(t, err)
	ended := make(chan struct{})
	now := time.Now()
	limited, _ := w.gw.Guests.Issue(key.ID, "", ended, now)
	free, until := w.gw.Guests.Issue("", "", nil, now)
	if until.Sub(now) != 10*time.Minute {
		t.Errorf("a guest may stay until %v", until)
	}
	try := func(secret string) int {
		w.key = secret
		return w.asks(model)["openai"].status
	}
	if got := []int{try(limited), try(limited), try(free), try(free)}; fmt.Sprint(got) != "[200 429 200 200]" {
		t.Errorf("got %v", got)
	}
	w.key = free
	if h := w.asks(model)["gemini"].header; h.Get(keyHeader) == "" || h.Get("X-Gemini-Balance-Attempts") != "1" {
		t.Errorf("a guest is not told which key served: %v", h)
	}
	close(ended)
	if got := []int{try(limited), try(free), try(free + "x"), try("gbp-")}; fmt.Sprint(got) != "[401 200 401 401]" {
		t.Errorf("after the session: %v", got)
	}
	if _, _, ok := w.gw.Guests.find(free, now.Add(10*time.Minute)); ok {
		t.Error("a guest stays for more than ten minutes")
	}
	for range 2 * maxGuests {
		w.gw.Guests.Issue("", "", nil, time.Now())
	}
	if got := len(w.gw.Guests.keys); got > maxGuests {
		t.Errorf("%d guests", got)
	}
}

// A guest with a Gemini key is served by that one, however good others are, and is
// told what is wrong with it.
func TestGuests_OneGeminiKey(t *testing.T) {
	w, _, _ := operated(t)
	all, _, _ := w.pool.List(balancer.Query{})
	for _, k := range all {
		w.key, _ = w.gw.Guests.Issue("", k.ID, nil, time.Now())
		for range 5 {
			if got := w.asks(model)["openai"].header.Get(keyHeader); got != k.ID {
				t.Fatalf("%s served in place of %s", got, k.ID)
			}
		}
		must(t, w.pool.SetState(t.Context(), k.ID, balancer.StateDisabled, "test"))
		if a := w.asks(model)["openai"]; a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "1 disabled") {
			t.Errorf("with the key disabled: %d %s", a.status, a.body)
		}
		must(t, w.pool.SetState(t.Context(), k.ID, balancer.StateActive, "test"))
	}
	w.key, _ = w.gw.Guests.Issue("", "nobody", nil, time.Now())
	if a := w.asks(model)["openai"]; a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "nobody") {
		t.Errorf("without the key: %d %s", a.status, a.body)
	}
}

func TestHits_Day(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Hits
		for range 30 {
			h.add("x", time.Now())
			time.Sleep(time.Hour)
		}
		if got := h.Day("x", time.Now()); got != 23 {
			t.Errorf("%d in the last day, want 23: one an hour, none in the hour that runs", got)
		}
		if got := h.Day("y", time.Now()); got != 0 {
			t.Errorf("an unknown name has %d", got)
		}
		at := time.Now()
		if n := testing.AllocsPerRun(100, func() { h.add("x", at) }); n > 0 {
			t.Errorf("counting allocates %v times", n)
		}
	})
}

func TestCatalog_Learn(t *testing.T) {
	var c Catalog
	for _, body := range []string{
		`{"models":[{"name":"models/a","inputTokenLimit":1000,"outputTokenLimit":10,"supportedGenerationMethods":["generateContent"]},{"name":"tunedModels/x"},{"name":"models/"}]}`,
		`{"name":"models/b","inputTokenLimit":5}`, `{"error":{}}`, `nonsense`, `[]`, ``,
	} {
		c.Learn([]byte(body), time.Unix(1, 0))
	}
	all := c.All()
	if len(all) != 2 || all[0].ID != "a" || all[0].InputMax != 1000 || all[0].Methods[0] != "generateContent" || all[1].ID != "b" || all[1].OutputMax != 0 {
		t.Errorf("got %+v", all)
	}
}
