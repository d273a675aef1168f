// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
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

// thinking decides thinkingConfig from reasoning_effort, the pass-through, the suffix
// of the model or the operator's default, of which the first that is there holds.
func (d *decoder) thinking() {
	t := &d.req.Gemini.Config.Thinking
	effort := ""
	if v := d.in.reasoningEffort; v != nil {
		if !d.is(v, rawjson.String, d.words.effort) {
			return
		}
		effort = v.Text()
		if !capability.IsEffort(effort) {
			d.reject(d.words.effort, "Unknown reasoning effort %q. Use none, minimal, low, medium, high, xhigh or max.", clip(effort))
			return
		}
	} else if t.Level == "" && t.Budget == nil && d.suffixEffort != "" {
		if effort = d.effortSuffix(); d.failure != nil {
			return
		}
	} else if t.Level == "" && t.Budget == nil && d.defaults.Thinking != nil {
		d.thinkByDefault(*d.defaults.Thinking)
	}
	switch {
	case d.family.Thinking == capability.NoThinking:
		*t = gemini.ThinkingConfig{}
	case effort == "":
	case d.family.Thinking == capability.ByLevel:
		t.Level = d.family.Level(effort)
	default:
		d.budget = d.family.Budget(effort)
		t.Budget = number(d.budget)
	}
	d.fitBudget()
	d.showThoughts(effort)
}

// fewTokens is below which no model is made to think by levels for want of a word of the
// client: such requests are probes, and the thoughts would leave nothing for the answer.
const fewTokens = 1024

// thinkByDefault asks for as many thoughts as the operator wants where the client did
// not say.
func (d *decoder) thinkByDefault(tokens int64) {
	t, limit := &d.req.Gemini.Config.Thinking, d.req.Gemini.Config.MaxOutputTokens
	switch {
	case d.family.Thinking == capability.ByBudget:
		d.budget = d.family.Tokens(tokens, limit)
		t.Budget = number(d.budget)
	case d.family.Thinking == capability.ByLevel && (tokens == 0 || tokens > 0 && (limit == 0 || limit >= fewTokens)):
		t.Level = d.family.Level(capability.EffortOf(tokens))
	}
}

// effortSuffix reads model(high) and model(8192).
func (d *decoder) effortSuffix() string {
	s := d.suffixEffort
	if capability.IsEffort(s) {
		return s
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < -1 {
		d.reject("model", "The suffix (%s) of the model is neither a reasoning effort nor a number of tokens.", clip(s))
		return ""
	}
	if d.family.Thinking != capability.NoThinking {
		d.budget = n
		d.req.Gemini.Config.Thinking.Budget = number(n)
	}
	return ""
}

// fitBudget leaves room for an answer.
func (d *decoder) fitBudget() {
	config := &d.req.Gemini.Config
	if fit := d.family.Fit(d.budget, config.MaxOutputTokens); fit != d.budget {
		d.budget = fit
		config.Thinking.Budget = number(fit)
	}
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
	req.Gemini.Config.Thinking.Include = asked && !off && req.Reasoning != ReasoningOff && d.family.Thinking != capability.NoThinking
}
