// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"strings"
	"testing"
)

// The table of C.4, for each way in which models think.
func TestDecode_Thinking(t *testing.T) {
	level := func(word string, include bool) string {
		var out []string
		if word != "" {
			out = append(out, `"thinkingLevel":"`+word+`"`)
		}
		if include {
			out = append(out, `"includeThoughts":true`)
		}
		if out == nil {
			return `null`
		}
		return `{` + strings.Join(out, ",") + `}`
	}
	budget := func(n string, include bool) string {
		if include {
			return `{"thinkingBudget":` + n + `,"includeThoughts":true}`
		}
		return `{"thinkingBudget":` + n + `}`
	}
	enabled := func(n string) string {
		return `"max_tokens":50000,"thinking":{"type":"enabled","budget_tokens":` + n + `}`
	}
	effort := func(word string) string { return `,"output_config":{"effort":"` + word + `"}` }
	const adaptive, betweenTools, disabled = `"thinking":{"type":"adaptive"},"max_tokens":50000`, `"thinking":{"type":"between_tools"},"max_tokens":50000`, `"thinking":{"type":"disabled"},"max_tokens":50000`
	const absent = `"max_tokens":50000`
	testRows(t, Options{}, func() (rows []requestRow) {
		for _, r := range []requestRow{
			{"enabled 1024", m38, enabled("1024"), "", level("LOW", true)},
			{"enabled 4095", m38, enabled("4095"), "", level("LOW", true)},
			{"enabled 4096", m38, enabled("4096"), "", level("MEDIUM", true)},
			{"enabled 12287", m38, enabled("12287"), "", level("MEDIUM", true)},
			{"enabled 12288", m38, enabled("12288"), "", level("HIGH", true)},
			{"enabled, of a model without MEDIUM", "gemini-3-pro-preview", enabled("4096"), "", level("HIGH", true)},
			{"enabled, effort", m38, enabled("1024") + effort("high"), "", level("HIGH", true)},
			{"enabled, omitted", m38, `"thinking":{"type":"enabled","budget_tokens":1024,"display":"omitted"}`, "", level("LOW", false)},
			{"enabled, 2.5", m25, enabled("5000"), "", budget("5000", true)},
			{"enabled, 2.5, effort", m25, enabled("5000") + effort("low"), "", budget("5000", true)},
			{"enabled, 2.5, too much", m25, enabled("40000"), "", budget("24576", true)},
			{"enabled, 2.5 pro, too little", p25, enabled("1"), "", budget("128", true)},
			{"enabled, 2.5, beyond max_tokens", m25, `"max_tokens":4000,"thinking":{"type":"enabled","budget_tokens":5000}`, "", budget("3000", true)},
			{"enabled, of a model that does not think", m20, enabled("5000"), "", `null`},

			{"adaptive", m38, adaptive, "", level("", true)},
			{"adaptive low", m38, adaptive + effort("low"), "", level("LOW", true)},
			{"adaptive medium", m38, adaptive + effort("medium"), "", level("MEDIUM", true)},
			{"adaptive high", m38, adaptive + effort("high"), "", level("HIGH", true)},
			{"adaptive xhigh", m38, adaptive + effort("xhigh"), "", level("HIGH", true)},
			{"adaptive max", m38, adaptive + effort("max"), "", level("HIGH", true)},
			{"adaptive, 2.5", m25, adaptive, "", budget("-1", true)},
			{"adaptive low, 2.5", m25, adaptive + effort("low"), "", budget("1024", true)},
			{"adaptive medium, 2.5", m25, adaptive + effort("medium"), "", budget("8192", true)},
			{"adaptive high, 2.5", m25, adaptive + effort("high"), "", budget("24576", true)},
			{"adaptive max, 2.5", m25, adaptive + effort("max"), "", budget("24576", true)},
			{"adaptive max, 2.5 pro", p25, adaptive + effort("max"), "", budget("32768", true)},
			{"adaptive omitted", m38, `"thinking":{"type":"adaptive","display":"omitted"}`, "", level("", false)},
			{"adaptive summarized", m38, `"thinking":{"type":"adaptive","display":"summarized"}`, "", level("", true)},
			{"adaptive updates", m38, `"thinking":{"type":"adaptive","display":"updates"}`, "", level("", true)},
			{"between tools", m38, betweenTools, "", level("", true)},
			{"between tools high", m38, betweenTools + effort("high"), "", level("HIGH", true)},
			{"between tools, 2.5", m25, betweenTools, "", budget("-1", true)},

			{"disabled", m38, disabled, "", level("LOW", false)},
			{"disabled, of a model with MINIMAL", m3, disabled, "", level("MINIMAL", false)},
			{"disabled, effort", m38, disabled + effort("high"), "", level("LOW", false)},
			{"disabled, 2.5", m25, disabled + effort("high"), "", budget("0", false)},
			{"disabled, 2.5 pro", p25, disabled, "", budget("128", false)},

			{"absent", m38, absent, "", level("LOW", false)},
			{"absent, of a model with MINIMAL", m3, absent, "", level("MINIMAL", false)},
			{"absent low", m3, absent + effort("low"), "", level("LOW", false)},
			{"absent medium", m38, absent + effort("medium"), "", level("LOW", false)},
			{"absent high", m38, absent + effort("high"), "", level("MEDIUM", false)},
			{"absent xhigh", m38, absent + effort("xhigh"), "", level("HIGH", false)},
			{"absent max", m38, absent + effort("max"), "", level("HIGH", false)},
			{"absent, 2.5", m25, absent, "", budget("0", false)},
			{"absent, 2.5 pro", p25, absent, "", budget("128", false)},
			{"absent medium, 2.5", m25, absent + effort("medium"), "", budget("1024", false)},
			{"absent high, 2.5", m25, absent + effort("high"), "", budget("8192", false)},
			{"absent max, 2.5", m25, absent + effort("max"), "", budget("24576", false)},
			{"a probe", m3, `"max_tokens":1` + effort("high"), "", level("MINIMAL", false)},
			{"a probe, 2.5", m25, `"max_tokens":1` + effort("high"), "", budget("0", false)},
			{"nearly a probe", m3, `"max_tokens":1024` + effort("high"), "", level("MEDIUM", false)},
			{"effort of a model that does not think", m20, absent + effort("high"), "", `null`},

			{"effort of a system message", m38, adaptive + effort("high") + `,"messages":[{"role":"user","content":"q"},{"role":"system","content":"S","output_config":{"effort":"low"}}]`, "", level("LOW", true)},
			{"the last effort of system messages", m38, adaptive + `,"messages":[{"role":"user","content":"q"},{"role":"system","content":"S","output_config":{"effort":"low"}},{"role":"system","content":"T","output_config":{"effort":"medium"}},{"role":"system","content":"U"}]`, "", level("MEDIUM", true)},
			{"effort of a message that is cleared", m38, adaptive + `,"messages":[{"role":"system","content":"S","clear_at":"next_user_message","output_config":{"effort":"low"}},{"role":"user","content":"q"}]`, "", level("LOW", true)},
		} {
			r.at = "generationConfig.thinkingConfig"
			rows = append(rows, r)
		}
		return rows
	}())
}

// Who did not ask for thinking gets no blocks of it, and who wants none shown gets
// empty ones.
func TestDecode_ThinkingPlan(t *testing.T) {
	for _, c := range []struct {
		name, members      string
		thinking, thoughts bool
	}{
		{"absent", ``, false, false},
		{"effort alone", `"output_config":{"effort":"high"}`, false, false},
		{"disabled", `"thinking":{"type":"disabled"}`, false, false},
		{"enabled", `"thinking":{"type":"enabled","budget_tokens":1024}`, true, true},
		{"adaptive", `"thinking":{"type":"adaptive"}`, true, true},
		{"omitted", `"thinking":{"type":"adaptive","display":"omitted"}`, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := decodeRequest(t, requestEnv(), Options{}, requestBody(m38, c.members))
			if r.thinking != c.thinking || r.thoughts != c.thoughts {
				t.Errorf("thinking %v, thoughts %v", r.thinking, r.thoughts)
			}
		})
	}
}
