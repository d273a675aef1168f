// SPDX-License-Identifier: Apache-2.0

package capability

import (
	"fmt"
	"strings"
	"testing"
)

// The rows of the table in specs/openai.md §2, column by column.
func TestBuiltIn(t *testing.T) {
	const all = "sampling penalties n8 json+functions mixed system prefill"
	for _, c := range []struct{ id, thinking, columns string }{
		{"gemma-2-27b-it", "none", "sampling prefill"},
		{"gemma-3-27b-it", "none", "sampling prefill"},
		{"gemma-4-31b-it", "none", "sampling system prefill"},
		{"gemini-1.5-pro", "none", "sampling penalties n8 system prefill"},
		{"gemini-2.0-flash", "none", "sampling penalties n8 system prefill"},
		{"gemini-2.5-pro", "128–32768", "sampling n8 system prefill"},
		{"gemini-2.5-flash", "1–24576 or 0", "sampling n8 system prefill"},
		{"gemini-2.5-flash-lite", "512–24576 or 0", "sampling n8 system prefill"},
		{"gemini-3-pro-preview", "LOW HIGH", "sampling json+functions mixed system prefill"},
		{"gemini-3-flash-preview", "MINIMAL LOW MEDIUM HIGH", "sampling json+functions mixed system prefill"},
		{"gemini-3.1-pro-preview", "LOW MEDIUM HIGH", "sampling json+functions mixed system prefill"},
		{"gemini-3.1-pro-preview-customtools", "LOW MEDIUM HIGH", "sampling json+functions mixed system prefill"},
		{"gemini-pro-latest", "LOW MEDIUM HIGH", "sampling json+functions mixed system prefill"},
		{"gemini-3.1-flash-lite", "MINIMAL LOW MEDIUM HIGH", "sampling json+functions mixed system prefill"},
		{"gemini-3.5-flash", "MINIMAL LOW MEDIUM HIGH", "sampling json+functions mixed system prefill"},
		{"gemini-3.5-flash-lite", "MINIMAL LOW MEDIUM HIGH", "sampling json+functions mixed system"},
		{"gemini-3.6-flash", "MINIMAL LOW MEDIUM HIGH", "json+functions mixed system"},
		{"gemini-3.7-flash", "LOW MEDIUM HIGH", "json+functions mixed system"},
		{"gemini-3.8-flash", "LOW MEDIUM HIGH", "json+functions mixed system"},
		{"gemini-flash-latest", "LOW MEDIUM HIGH", "json+functions mixed system"},
		{"gemini-3.7-flash-lite", "MINIMAL LOW MEDIUM HIGH", "json+functions mixed system"},
		{"gemini-flash-lite-latest", "MINIMAL LOW MEDIUM HIGH", "json+functions mixed system"},
		{"gemini-2.5-flash-image", "none", "sampling system prefill"},
		{"gemini-3-pro-image-preview", "128–32768", "sampling mixed system prefill"},
		{"gemini-3.1-flash-image", "none", "sampling mixed system prefill"},
		{"gemini-2.5-flash-preview-tts", "none", "sampling prefill"},
		{"gemini-9-ultra", "LOW MEDIUM HIGH", "json+functions mixed system"},
		{"some-alias", "LOW MEDIUM HIGH", "json+functions mixed system"},
	} {
		t.Run(c.id, func(t *testing.T) {
			f := Of(c.id)
			thinking := "none"
			switch f.Thinking {
			case ByBudget:
				if thinking = fmt.Sprintf("%d–%d", f.MinBudget, f.MaxBudget); f.Off {
					thinking += " or 0"
				}
			case ByLevel:
				thinking = strings.Join(f.Levels, " ")
			}
			var columns []string
			for column := range strings.FieldsSeq(all) {
				if map[string]bool{
					"sampling": f.Has(Sampling), "penalties": f.Has(Penalties | LogProbs), "n8": f.Candidates == 8,
					"json+functions": f.Has(Functions | JSONMode | JSONWithTools), "mixed": f.Has(MixedTools),
					"system": f.Has(System), "prefill": f.Has(Prefill),
				}[column] {
					columns = append(columns, column)
				}
			}
			if got := strings.Join(columns, " "); thinking != c.thinking || got != c.columns {
				t.Errorf("got  %s; %s\nwant %s; %s", thinking, got, c.thinking, c.columns)
			}
			if f.Has(Penalties) != f.Has(LogProbs) {
				t.Error("penalties and logprobs are one column")
			}
			generation3 := strings.Contains(c.columns, "mixed")
			if f.Has(Signed) != generation3 || f.Has(PartMedia) != generation3 {
				t.Error("signatures and media resolution belong to Gemini 3")
			}
		})
	}
}

func TestParse_Errors(t *testing.T) {
	entry := func(members string) string { return `{"models":[{"match":"a"},{"match":"b",` + members + `}]}` }
	for _, c := range []struct{ name, doc, want string }{
		{"not JSON", `{"models":[}`, "no valid JSON: "},
		{"not an object", `[]`, "the table is an array, want an object"},
		{"no models", `{}`, "models is nothing, want an array"},
		{"models of another type", `{"models":{}}`, "models is an object, want an array"},
		{"unknown member", `{"model":[],"models":[]}`, "model is unknown; a table has models and note"},
		{"member twice", `{"models":[],"models":[]}`, "models is given twice"},
		{"entry of another type", `{"models":["gemini"]}`, "models[0] is a string, want an object"},
		{"no match", `{"models":[{"system":true}]}`, "models[0].match is missing"},
		{"match that no id fits", `{"models":[{"match":"models/x"}]}`, `models[0].match is "models/x", want a model id`},
		{"match of another type", `{"models":[{"match":1}]}`, "models[0].match is a number, want a string"},
		{"unknown property", entry(`"colour":true`), "models[1].colour is unknown; known are match, note, audio_output, "},
		{"property twice", entry(`"system":true,"system":true`), "models[1].system is given twice"},
		{"property of another type", entry(`"system":"yes"`), "models[1].system is a string, want a boolean"},
		{"property null", entry(`"system":null`), "models[1].system is null, want a boolean"},
		{"note of another type", entry(`"note":1`), "models[1].note is a number, want a string"},
		{"candidates zero", entry(`"candidates":0`), "models[1].candidates must be a whole number from 1 to 8"},
		{"candidates in words", entry(`"candidates":"8"`), "models[1].candidates must be a whole number"},
		{"output limit fractional", entry(`"output_limit":1.5`), "models[1].output_limit must be a whole number"},
		{"both kinds of thinking", entry(`"thinking_levels":["LOW"],"thinking_budget":{"min":1,"max":2}`), "models[1].thinking_budget stands beside thinking_levels"},
		{"budget without max", entry(`"thinking_budget":{"min":1}`), "models[1].thinking_budget must have min and max"},
		{"budget upside down", entry(`"thinking_budget":{"min":2,"max":1}`), "models[1].thinking_budget must have min and max"},
		{"budget of another type", entry(`"thinking_budget":1`), "models[1].thinking_budget is a number, want an object"},
		{"budget member unknown", entry(`"thinking_budget":{"min":1,"max":1,"zero":true}`), "models[1].thinking_budget.zero is unknown"},
		{"budget switch in words", entry(`"thinking_budget":{"min":1,"max":1,"off":1}`), "models[1].thinking_budget.off is a number, want a boolean"},
		{"unknown level", entry(`"thinking_levels":["LOW","EXTREME"]`), "models[1].thinking_levels[1] must be one of MINIMAL, LOW, MEDIUM, HIGH"},
		{"levels not in order", entry(`"thinking_levels":["HIGH","LOW"]`), "models[1].thinking_levels[1] must be one of"},
		{"levels of another type", entry(`"thinking_levels":"LOW"`), "models[1].thinking_levels is a string, want an array"},
		{"too many entries", `{"models":[` + strings.Repeat(`{"match":"a"},`, maxEntries) + `{"match":"a"}]}`, "models has more than 1000 entries"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.doc))
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s…", err, c.want)
			}
		})
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, id string
		want        bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"a*", "ab", true}, {"a*", "ba", false}, {"*a", "ba", true}, {"*a", "ab", false},
		{"*", "", true}, {"*", "x", true}, {"a*a", "a", false}, {"a*a", "aa", true}, {"a*b*c", "a-b-c", true},
		{"a*b*c", "acb", false}, {"*-tts*", "x-tts", true}, {"*ab*ab*", "abxab", true}, {"*ab*ab*", "abxa", false},
	} {
		if got := newGlob(c.pattern).matches(c.id); got != c.want {
			t.Errorf("%q matches %q: %v", c.pattern, c.id, got)
		}
	}
}

// FuzzParse checks that no table panics, and that every accepted one
// can be asked.
func FuzzParse(f *testing.F) {
	f.Add(builtInTable)
	f.Add([]byte(`{"models":[{"match":"*a*b","thinking_levels":["LOW"],"candidates":3,"output_limit":9,"system":false}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		c, err := Parse(doc)
		if err != nil {
			return
		}
		for _, id := range []string{"", "a-b", "gemini-2.5-flash", "gemini-3-flash-preview"} {
			known := c.Family(id)
			if known.Candidates < 1 || known.Candidates > maxCandidates {
				t.Fatalf("%d candidates", known.Candidates)
			}
			switch known.Thinking {
			case ByLevel:
				for effort := range efforts {
					if known.Level(effort) == "" {
						t.Fatalf("no level for %s", effort)
					}
				}
			case ByBudget:
				if n := known.Budget("high"); n < known.MinBudget || n > known.MaxBudget {
					t.Fatalf("budget %d", n)
				}
			}
		}
	})
}

// TestReasoning_Tokens: an operator's number of tokens as each kind of model takes it.
func TestReasoning_Tokens(t *testing.T) {
	off, never := Reasoning{Thinking: ByBudget, MinBudget: 512, MaxBudget: 24576, Off: true}, Reasoning{Thinking: ByBudget, MinBudget: 128, MaxBudget: 32768}
	for _, c := range []struct {
		family             *Reasoning
		budget, limit, got int64
	}{
		{&off, 0, 0, 0}, {&off, -1, 0, -1}, {&off, 1, 0, 512}, {&off, 5000, 0, 5000}, {&off, 1 << 40, 0, 24576},
		{&never, 0, 0, 128}, {&never, -1, 0, -1}, {&never, 32769, 0, 32768},
		{&off, 5000, 513, 5000}, {&off, 5000, 512, 0}, {&off, -1, 20, 0}, {&never, -1, 20, 128},
	} {
		if got := c.family.Tokens(c.budget, c.limit); got != c.got {
			t.Errorf("%d of %+v with %d for all: %d, want %d", c.budget, *c.family, c.limit, got, c.got)
		}
	}
	for budget, want := range map[int64]string{-1: "none", 0: "none", 1: "low", 4095: "low", 4096: "medium", 12287: "medium", 12288: "high"} {
		if got := EffortOf(budget); got != want {
			t.Errorf("%d tokens are %q, want %q", budget, got, want)
		}
	}
}
