// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"slices"
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// wish is a setting that may be left open.
type wish uint8

const (
	unsaid wish = iota
	yes
	no
)

// budgets is Google's own mapping of efforts to tokens. Source: specs/openai.md §8.1.
var budgets = map[string]int64{
	"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 32768,
}

// thinking decides thinkingConfig from reasoning_effort, the suffix of the model
// or the pass-through, of which the first that is there holds.
func (d *decoder) thinking() {
	t := &d.req.Gemini.Config.Thinking
	effort := ""
	if v := d.in.reasoningEffort; v != nil {
		if !d.is(v, rawjson.String, d.words.effort) {
			return
		}
		effort = v.Text()
		if _, ok := budgets[effort]; !ok && effort != "none" {
			d.reject(d.words.effort, "Unknown reasoning effort %q. Use none, minimal, low, medium, high, xhigh or max.", clip(effort))
			return
		}
	} else if t.Level == "" && t.Budget == nil && d.suffixEffort != "" {
		if effort = d.effortSuffix(); d.failure != nil {
			return
		}
	}
	switch {
	case d.family.thinking == noThinking:
		*t = gemini.ThinkingConfig{}
	case effort == "":
	case d.family.thinking == byLevel:
		t.Level = d.family.level(effort)
	default:
		d.budget = d.family.budget(effort)
		t.Budget = number(d.budget)
	}
	d.fitBudget()
	d.showThoughts(effort)
}

// effortSuffix reads model(high) and model(8192).
func (d *decoder) effortSuffix() string {
	s := d.suffixEffort
	if _, ok := budgets[s]; ok || s == "none" {
		return s
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < -1 {
		d.reject("model", "The suffix (%s) of the model is neither a reasoning effort nor a number of tokens.", clip(s))
		return ""
	}
	if d.family.thinking != noThinking {
		d.budget = n
		d.req.Gemini.Config.Thinking.Budget = number(n)
	}
	return ""
}

// efforts are the levels that efforts ask for, as places in thinkingLevels.
var efforts = map[string]int{"none": 0, "minimal": 0, "low": 1, "medium": 2, "high": 3, "xhigh": 3, "max": 3}

// level is the column of families that think by levels: the least that is as much
// as was asked for, or the most there is.
func (r *reasoning) level(effort string) string {
	for _, level := range r.levels {
		if slices.Index(thinkingLevels, level) >= efforts[effort] {
			return level
		}
	}
	return r.levels[len(r.levels)-1]
}

// budget is the column of families that think by budgets.
func (r *reasoning) budget(effort string) int64 {
	if effort == "none" {
		if r.off {
			return 0
		}
		return r.minBudget
	}
	return min(max(budgets[effort], r.minBudget), r.maxBudget)
}

// fitBudget leaves room for an answer: thoughts count as output, and a budget
// that reaches the limit is refused or ends in an empty answer.
func (d *decoder) fitBudget() {
	config := &d.req.Gemini.Config
	limit := config.MaxOutputTokens
	if d.family.thinking != byBudget || limit == 0 || d.budget <= 0 || limit > d.budget {
		return
	}
	d.budget = max(d.family.minBudget, limit*3/4)
	config.Thinking.Budget = number(d.budget)
}

// showThoughts asks for thoughts where they will be shown.
func (d *decoder) showThoughts(effort string) {
	req := d.req
	switch d.opts.Reasoning {
	case ReasoningTags, ReasoningOff:
		req.Reasoning = d.opts.Reasoning
	default:
		req.Reasoning = ReasoningContent
	}
	asked := d.thoughts == yes || d.thoughts == unsaid && d.opts.Reasoning != ""
	off := effort == "none" || string(req.Gemini.Config.Thinking.Budget) == "0"
	req.Gemini.Config.Thinking.Include = asked && !off && req.Reasoning != ReasoningOff && d.family.thinking != noThinking
}
