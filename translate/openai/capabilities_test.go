// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"fmt"
	"strings"
	"testing"
)

// The rows of the table in specs/openai.md §2, column by column.
func TestCapabilities_BuiltIn(t *testing.T) {
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
			f := familyOf(c.id)
			thinking := "none"
			switch f.thinking {
			case byBudget:
				if thinking = fmt.Sprintf("%d–%d", f.minBudget, f.maxBudget); f.off {
					thinking += " or 0"
				}
			case byLevel:
				thinking = strings.Join(f.levels, " ")
			}
			var columns []string
			for column := range strings.FieldsSeq(all) {
				if map[string]bool{
					"sampling": f.has(sampling), "penalties": f.has(penalties | logProbs), "n8": f.candidates == 8,
					"json+functions": f.has(functions | jsonMode | jsonWithTools), "mixed": f.has(mixedTools),
					"system": f.has(system), "prefill": f.has(prefill),
				}[column] {
					columns = append(columns, column)
				}
			}
			if got := strings.Join(columns, " "); thinking != c.thinking || got != c.columns {
				t.Errorf("got  %s; %s\nwant %s; %s", thinking, got, c.thinking, c.columns)
			}
			if f.has(penalties) != f.has(logProbs) {
				t.Error("penalties and logprobs are one column")
			}
			generation3 := strings.Contains(c.columns, "mixed")
			if f.has(signed) != generation3 || f.has(partMedia) != generation3 {
				t.Error("signatures and media resolution belong to Gemini 3")
			}
		})
	}
}

// An operator's entries win over the built-in table, property by property.
func TestCapabilities_Operator(t *testing.T) {
	c, err := ParseCapabilities([]byte(`{"note":"ours","models":[
		{"match":"gemini-4-pro","prefill":true},
		{"match":"gemini-4-*","note":"measured","sampling":true,"prefill":false,"thinking_budget":{"min":10,"max":20,"off":true},"candidates":4,"output_limit":1000},
		{"match":"*-mute","thinking_levels":[]},
		{"match":"gemini-2.5-flash","mixed_tools":true}
	]}`))
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Capabilities: c}
	for _, row := range []struct{ name, model, fields, member, want string }{
		{"a property that it names", "gemini-4-flash", `"temperature":1,"n":3,"max_tokens":5000`, "generationConfig", `{"temperature":1,"candidateCount":3,"maxOutputTokens":1000}`},
		{"budgets for levels", "gemini-4-flash", `"reasoning_effort":"high"`, "generationConfig", `{"thinkingConfig":{"thinkingBudget":20}}`},
		{"a budget that can be off", "gemini-4-flash", `"reasoning_effort":"none"`, "generationConfig", `{"thinkingConfig":{"thinkingBudget":0}}`},
		{"no thinking", "new-mute", `"reasoning_effort":"high"`, "generationConfig", `null`},
		{"what it does not name stays as built in", "gemini-4-flash", `"frequency_penalty":1`, "generationConfig", `null`},
		{"other models stay as built in", "gemini-3.7-flash", `"temperature":1`, "generationConfig", `null`},
		{"a built-in family is corrected", m25, `"tools":[` + f + `,{"type":"web_search"}]`, "tools", `[{"googleSearch":{}},{"functionDeclarations":[{"name":"f"}]}]`},
		{"exact matches only where there is no star", "gemini-2.5-flash-lite", `"temperature":1`, "generationConfig", `{"temperature":1}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			sameJSON(t, upstream(t, decodeWith(t, requestEnv(), o, body(row.model, row.fields)))[row.member], row.want)
		})
	}
	t.Run("of entries that fit, the first holds", func(t *testing.T) {
		for model, contents := range map[string]int{"gemini-4-pro": 2, "gemini-4-flash": 3} {
			r := decodeWith(t, requestEnv(), o, `{"model":"`+model+`","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"Sure"}]}`)
			if len(r.Gemini.Contents) != contents {
				t.Errorf("%s: %d contents, want %d", model, len(r.Gemini.Contents), contents)
			}
		}
	})
	t.Run("signatures", func(t *testing.T) {
		c, err := ParseCapabilities([]byte(`{"models":[{"match":"gemini-3-*","signatures":false}]}`))
		if err != nil {
			t.Fatal(err)
		}
		r := decodeWith(t, requestEnv(), Options{Capabilities: c}, `{"model":"`+m3+`","messages":[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[{"id":"c","thought_signature":"S","function":{"name":"w","arguments":"{}"}}]}]}`)
		if !r.Unsign() || signatures(r)[0] != "" {
			t.Errorf("signatures %q, of a model that wants none", signatures(r))
		}
	})
}

func TestParseCapabilities_Errors(t *testing.T) {
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
			_, err := ParseCapabilities([]byte(c.doc))
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

// FuzzParseCapabilities checks that no table panics, and that every accepted one
// can be asked.
func FuzzParseCapabilities(f *testing.F) {
	f.Add(builtInTable)
	f.Add([]byte(`{"models":[{"match":"*a*b","thinking_levels":["LOW"],"candidates":3,"output_limit":9,"system":false}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		c, err := ParseCapabilities(doc)
		if err != nil {
			return
		}
		for _, id := range []string{"", "a-b", m25, m3} {
			known := c.family(id)
			if known.candidates < 1 || known.candidates > maxChoices {
				t.Fatalf("%d candidates", known.candidates)
			}
			switch known.thinking {
			case byLevel:
				for effort := range efforts {
					if known.level(effort) == "" {
						t.Fatalf("no level for %s", effort)
					}
				}
			case byBudget:
				if n := known.budget("high"); n < known.minBudget || n > known.maxBudget {
					t.Fatalf("budget %d", n)
				}
			}
		}
	})
}
