// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/internal/fakegemini"
	"github.com/gemini-balance/caddy-gemini-balance/settings"
	"github.com/gemini-balance/caddy-gemini-balance/translate/openai"
)

// sent is what of a request to Google defaults may set.
type sent struct {
	GenerationConfig struct {
		ThinkingConfig json.RawMessage
	}
	Tools          []map[string]json.RawMessage
	SafetySettings []struct{ Threshold string }
}

// last is the last request to Google that had a body.
func (w *world) last() (raw string, s sent) {
	w.t.Helper()
	entries := w.google.Entries(fakegemini.Attempts)
	raw = string(entries[len(entries)-1].Body)
	must(w.t, json.Unmarshal([]byte(raw), &s))
	return raw, s
}

// TestDefaults: what the operator wants of requests that say nothing themselves, by
// model and, before that, by alias. Source: specs/ui.md §3.6.
func TestDefaults(t *testing.T) {
	w, aliases, models := operated(t, func(c *Config) {
		c.Aliases = []settings.Alias{{Name: "declared", Targets: []string{"gemini-2.5-flash"}, ThinkingBudget: new(int64(2000)), Search: true}}
	})
	must(t, aliases.Replace([]settings.Alias{
		{Name: "deep", Targets: []string{"gemini-2.5-flash"}, ThinkingBudget: new(int64(-1))},
		{Name: "quick-*", Targets: []string{model}, ThinkingBudget: new(int64(0))},
		{Name: "searching", Targets: []string{"gemini-2.5-flash"}, Search: true},
		{Name: "searching-3", Targets: []string{model}, Search: true},
		{Name: "drawing", Targets: []string{"gemini-2.5-flash-image"}, Search: true},
		{Name: "open", Targets: []string{"gemma-3-27b-it"}, Search: true},
		{Name: "plain", Targets: []string{"gemini-2.5-flash"}},
	}, ""))
	must(t, models.Update("gemini-2.5-flash", func(m *settings.Model) {
		m.ThinkingBudget, m.Safety = new(int64(500_000)), "block_only_high"
	}))
	must(t, models.Update("gemini-2.5-pro", func(m *settings.Model) { m.ThinkingBudget = new(int64(0)) }))
	must(t, models.Update("gemini-2.5-flash-lite", func(m *settings.Model) { m.ThinkingBudget = new(int64(4096)) }))
	must(t, models.Update(model, func(m *settings.Model) { m.ThinkingBudget = new(int64(20_000)) }))
	const (
		chat      = "/v1/chat/completions"
		responses = "/v1/responses"
		messages  = "/v1/messages"
		asJSON    = `,"response_format":{"type":"json_object"}`
		functions = `,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"string"}}}}}]`
	)
	for _, c := range []struct {
		name, path, model, more string
		thinking                string // "" for none
		search                  bool
		safety                  string // "" for none
	}{
		{"chat", chat, "gemini-2.5-flash", ``, `{"thinkingBudget":24576}`, false, "BLOCK_ONLY_HIGH"},
		{"chat, as the client says", chat, "gemini-2.5-flash", `,"reasoning_effort":"low"`, `{"thinkingBudget":1024}`, false, "BLOCK_ONLY_HIGH"},
		{"chat, as the suffix says", chat, "gemini-2.5-flash(512)", ``, `{"thinkingBudget":512}`, false, "BLOCK_ONLY_HIGH"},
		{"chat, as the pass-through says", chat, "gemini-2.5-flash", `,"extra_body":{"google":{"thinking_config":{"thinking_budget":700}}}`, `{"thinkingBudget":700}`, false, "BLOCK_ONLY_HIGH"},
		{"chat with a short answer", chat, "gemini-2.5-flash", `,"max_tokens":4000`, `{"thinkingBudget":3000}`, false, "BLOCK_ONLY_HIGH"},
		{"chat with its own filters", chat, "gemini-2.5-flash", `,"safety_settings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"OFF"}]`, `{"thinkingBudget":24576}`, false, "OFF"},
		{"chat by levels", chat, model, ``, `{"thinkingLevel":"HIGH"}`, false, ""},
		{"as few as can be", chat, "gemini-2.5-pro", ``, `{"thinkingBudget":128}`, false, ""},
		{"a model without", chat, "gemini-2.5-flash-image", ``, ``, false, ""},
		{"least thoughts that fit", chat, "gemini-2.5-flash-lite", `,"max_tokens":600`, `{"thinkingBudget":512}`, false, ""},
		{"no room for any", chat, "gemini-2.5-flash-lite", `,"max_tokens":512`, `{"thinkingBudget":0}`, false, ""},
		{"a short answer by levels", chat, model, `,"max_tokens":20`, ``, false, ""},
		{"a short answer with few thoughts", chat, "quick-one", `,"max_tokens":20`, `{"thinkingLevel":"MINIMAL"}`, false, ""},
		{"alias", chat, "deep", ``, `{"thinkingBudget":-1}`, false, "BLOCK_ONLY_HIGH"},
		{"pattern by levels", chat, "quick-one", ``, `{"thinkingLevel":"MINIMAL"}`, false, ""},
		{"alias without", chat, "plain", ``, `{"thinkingBudget":24576}`, false, "BLOCK_ONLY_HIGH"},
		{"alias of the configuration", chat, "declared", ``, `{"thinkingBudget":2000}`, true, "BLOCK_ONLY_HIGH"},
		{"alias with a search", chat, "searching", ``, `{"thinkingBudget":24576}`, true, "BLOCK_ONLY_HIGH"},
		{"search beside functions, which the model refuses", chat, "searching", functions, `{"thinkingBudget":24576}`, false, "BLOCK_ONLY_HIGH"},
		{"search beside functions", chat, "searching-3", functions, `{"thinkingLevel":"HIGH"}`, true, ""},
		{"search beside code", chat, "searching", `,"tools":[{"codeExecution":{}}]`, `{"thinkingBudget":24576}`, true, "BLOCK_ONLY_HIGH"},
		{"no tools, as the client says", chat, "searching", `,"tool_choice":"none"`, `{"thinkingBudget":24576}`, false, "BLOCK_ONLY_HIGH"},
		{"no tools of several, as the client says", chat, "searching-3", `,"tool_choice":"none"` + functions, `{"thinkingLevel":"HIGH"}`, false, ""},
		{"no search with JSON, which the model refuses", chat, "searching", asJSON, `{"thinkingBudget":24576}`, false, "BLOCK_ONLY_HIGH"},
		{"search with JSON", chat, "searching-3", asJSON, `{"thinkingLevel":"HIGH"}`, true, ""},
		{"search with text, as the client says", chat, "searching", `,"response_format":{"type":"text"}`, `{"thinkingBudget":24576}`, true, "BLOCK_ONLY_HIGH"},
		{"no search of what draws", chat, "drawing", ``, ``, false, ""},
		{"no search of open models", chat, "open", ``, ``, false, ""},
		{"responses", responses, "deep", ``, `{"thinkingBudget":-1}`, false, "BLOCK_ONLY_HIGH"},
		{"responses, as the client says", responses, "deep", `,"reasoning":{"effort":"low"}`, `{"thinkingBudget":1024}`, false, "BLOCK_ONLY_HIGH"},
		{"responses with a search", responses, "searching", ``, `{"thinkingBudget":24576}`, true, "BLOCK_ONLY_HIGH"},
		{"responses without tools, as the client says", responses, "searching", `,"tool_choice":"none"`, `{"thinkingBudget":24576}`, false, "BLOCK_ONLY_HIGH"},
		{"responses in JSON", responses, "searching", `,"text":{"format":{"type":"json_object"}}`, `{"thinkingBudget":24576}`, false, "BLOCK_ONLY_HIGH"},
		{"completions", "/v1/completions", "deep", ``, `{"thinkingBudget":-1}`, false, "BLOCK_ONLY_HIGH"},
		{"messages", messages, "gemini-2.5-flash", `,"max_tokens":64000`, `{"thinkingBudget":24576}`, false, "BLOCK_ONLY_HIGH"},
		{"messages, as the client says", messages, "gemini-2.5-flash", `,"max_tokens":64000,"thinking":{"type":"enabled","budget_tokens":2048}`, `{"includeThoughts":true,"thinkingBudget":2048}`, false, "BLOCK_ONLY_HIGH"},
		{"messages without, as the client says", messages, "gemini-2.5-flash", `,"max_tokens":64000,"thinking":{"type":"disabled"}`, `{"thinkingBudget":0}`, false, "BLOCK_ONLY_HIGH"},
		{"messages with an effort", messages, "gemini-2.5-flash", `,"max_tokens":64000,"output_config":{"effort":"high"}`, `{"thinkingBudget":8192}`, false, "BLOCK_ONLY_HIGH"},
		{"a probe leaves room for the answer", messages, "gemini-2.5-flash", `,"max_tokens":20`, `{"thinkingBudget":0}`, false, "BLOCK_ONLY_HIGH"},
		{"messages by levels", messages, "quick-one", `,"max_tokens":64000`, `{"thinkingLevel":"MINIMAL"}`, false, ""},
		{"messages with a search", messages, "searching", `,"max_tokens":64000`, `{"thinkingBudget":24576}`, true, "BLOCK_ONLY_HIGH"},
		{"messages with a search beside functions", messages, "searching-3", `,"max_tokens":64000,"tools":[{"name":"f","input_schema":{"type":"object"}}]`, `{"thinkingLevel":"HIGH"}`, false, ""},
		{"messages without tools, as the client says", messages, "searching", `,"max_tokens":64000,"tool_choice":{"type":"none"}`, `{"thinkingBudget":24576}`, false, "BLOCK_ONLY_HIGH"},
		{"messages in JSON", messages, "searching", `,"max_tokens":64000,"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}`, `{"thinkingBudget":24576}`, false, "BLOCK_ONLY_HIGH"},
		{"messages of open models", messages, "open", `,"max_tokens":64000`, ``, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			question := `"messages":[{"role":"user","content":"Hi"}]`
			switch c.path {
			case responses:
				question = `"input":"Hi"`
			case "/v1/completions":
				question = `"prompt":"Hi"`
			}
			if a := w.post(c.path, fmt.Sprintf(`{"model":%q,%s%s}`, c.model, question, c.more), "anthropic-version", "2023-06-01"); a.status != 200 {
				t.Fatalf("%d %s", a.status, a.body)
			}
			raw, got := w.last()
			if string(got.GenerationConfig.ThinkingConfig) != c.thinking {
				t.Errorf("thinks %s, want %s", got.GenerationConfig.ThinkingConfig, c.thinking)
			}
			if strings.Contains(raw, `"googleSearch"`) != c.search {
				t.Errorf("search: want %v in %s", c.search, raw)
			}
			safety := ""
			if len(got.SafetySettings) > 0 {
				safety = got.SafetySettings[0].Threshold
			}
			if safety != c.safety {
				t.Errorf("filters %q, want %q", safety, c.safety)
			}
		})
	}
	t.Run("Google's own dialect", func(t *testing.T) {
		const body = `{"contents":[{"parts":[{"text":"Hi"}]}]}`
		for _, name := range []string{"deep", "gemini-2.5-flash", "searching"} {
			if a := w.post("/v1beta/models/"+name+":generateContent", body); a.status != 200 {
				t.Fatalf("%d %s", a.status, a.body)
			}
			if raw, _ := w.last(); raw != body {
				t.Errorf("by %s as %s", name, raw)
			}
		}
	})
	t.Run("taken back", func(t *testing.T) {
		must(t, models.Update("gemini-2.5-flash", func(m *settings.Model) { *m = settings.Model{} }))
		w.asks("plain")
		if a := w.asks("plain")["openai"]; a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if raw, _ := w.last(); strings.Contains(raw, "thinkingConfig") && strings.Contains(raw, "24576") || strings.Contains(raw, "safetySettings") {
			t.Errorf("still as %s", raw)
		}
	})
}

// TestDefaults_Fallback: each target of an alias has its own.
func TestDefaults_Fallback(t *testing.T) {
	w, aliases, models := operated(t)
	must(t, aliases.Replace([]settings.Alias{{Name: "chain", Targets: []string{"gemini-gone", "gemini-2.5-flash"}}}, ""))
	must(t, models.Update("gemini-2.5-flash", func(m *settings.Model) { m.ThinkingBudget = new(int64(333)) }))
	if a := w.asks("chain")["openai"]; a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	entries := w.google.Entries(fakegemini.Attempts)
	for _, e := range entries {
		if has := strings.Contains(string(e.Body), `"thinkingBudget":333`); has != (e.Model == "gemini-2.5-flash") && e.Method == "generateContent" && strings.Contains(string(e.Body), "systemInstruction") {
			t.Errorf("%s: %s", e.Model, e.Body)
		}
	}
}

// TestDefaults_FirstOutput: a model may take longer, or less long, than others.
func TestDefaults_FirstOutput(t *testing.T) {
	w, _, models := operated(t)
	must(t, w.gw.Settings.Update(settings.Patch{"timeouts.first_output": 100 * time.Millisecond}))
	must(t, models.Update(model, func(m *settings.Model) { m.FirstOutput = time.Minute }))
	slow := func(model string) int {
		return w.post("/v1/chat/completions", fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"[[delay 400ms]] Hi"}]}`, model)).status
	}
	if got := slow(model); got != 200 {
		t.Errorf("the patient one: %d", got)
	}
	if got := slow("gemini-2.5-flash"); got != 504 {
		t.Errorf("another: %d", got)
	}
	must(t, w.gw.Settings.Update(settings.Patch{"timeouts.first_output": time.Minute}))
	must(t, models.Update(model, func(m *settings.Model) { m.FirstOutput = 100 * time.Millisecond }))
	if got := slow(model); got != 504 {
		t.Errorf("the impatient one: %d", got)
	}
	if got := slow("gemini-2.5-flash"); got != 200 {
		t.Errorf("another, with time: %d", got)
	}
}

// TestDefaults_Price: an operator's own price is what requests cost from then on.
func TestDefaults_Price(t *testing.T) {
	books := new(bookkeeper)
	w, _, models := operated(t, func(c *Config) { c.Observer = books })
	cost := func() (nano, input, output int64) {
		t.Helper()
		books.served.Add(1)
		if a := w.post("/v1/chat/completions", fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"Hi"}]}`, model)); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		books.served.Wait()
		r := books.records[len(books.records)-1]
		return r.Cost, r.Input, r.Output + r.Thoughts
	}
	before, _, _ := cost()
	must(t, models.Update(model, func(m *settings.Model) { m.Price = &settings.Price{Input: 3_000_000_000, Output: 7_000_000_000} }))
	if got, in, out := cost(); got == before || got != 3000*in+7000*out {
		t.Errorf("%d nano-USD for %d and %d tokens, before %d", got, in, out, before)
	}
	must(t, models.Update(model, func(m *settings.Model) { m.Price = nil }))
	if got, _, _ := cost(); got != before {
		t.Errorf("taken back: %d, before %d", got, before)
	}
}

// TestDefaults_Words: what settings take is what dialects know.
func TestDefaults_Words(t *testing.T) {
	for _, word := range settings.Safeties() {
		if openai.SafetySettings(word) == nil {
			t.Errorf("%s is no safety setting", word)
		}
	}
}
