// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Thinking, by the table in specs/native-anthropic.md C.4. Anthropic has two ways to
// say how much, a budget of tokens and an effort, and Google has two others; efforts
// lead to both of Google's by the table of OS§8.1.

// fewTokens is below which max_tokens no model is made to think by an effort alone:
// such requests are probes, and the thoughts would leave nothing for the answer.
const fewTokens = 1024

// quiet is what efforts mean without thinking: background jobs send them along.
var quiet = map[string]string{"": "none", "low": "low", "medium": "low", "high": "medium", "xhigh": "high", "max": "high"}

// efforts reads output_config.effort. System messages may ask for another one later.
func (d *decoder) efforts() {
	v := d.in.outputConfig
	if v == nil || !d.is(v, rawjson.Object, "output_config") {
		return
	}
	d.readEffort(v.Get("effort"), "output_config.effort")
}

func (d *decoder) readEffort(v rawjson.Value, param string) {
	if v.IsNull() || !d.is(v, rawjson.String, param) {
		return
	}
	word := v.Text()
	if _, ok := quiet[word]; !ok || word == "" {
		d.reject(param, "Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
		return
	}
	d.effort = word
}

// thinking reads thinking and decides on thinkingConfig.
func (d *decoder) thinking() {
	r, v := d.req, d.in.thinking
	typ := ""
	if v != nil {
		if !d.is(v, rawjson.Object, "thinking") || !d.is(v.Get("type"), rawjson.String, "thinking.type") {
			return
		}
		typ = v.Get("type").Text()
	}
	switch typ {
	case "enabled":
		n := v.Get("budget_tokens")
		if !d.is(n, rawjson.Number, "thinking.budget_tokens") {
			return
		}
		budget, _ := n.Int()
		if budget < 1 {
			d.reject("thinking.budget_tokens", "Input should be greater than or equal to 1")
			return
		}
		d.think(budget)
	case "adaptive", "between_tools":
		d.think(-1)
	case "disabled":
		d.thinkLittle("none")
		return
	case "":
		if d.effort == "" && d.defaults.Thinking != nil && (r.maxTokens == 0 || r.maxTokens >= fewTokens) {
			d.thinkByDefault(*d.defaults.Thinking)
			return
		}
		effort := quiet[d.effort]
		if 0 < r.maxTokens && r.maxTokens < fewTokens {
			effort = "none"
		}
		d.thinkLittle(effort)
		return
	default:
		d.reject("thinking.type", "Input should be 'adaptive', 'between_tools', 'disabled' or 'enabled'")
		return
	}
	r.thinking = true
	r.thoughts = !v.Get("display").Is("omitted")
	r.gemini.Config.Thinking.Include = r.thoughts && r.features.Thinking != capability.NoThinking
}

// think asks for thoughts of about so many tokens; -1 leaves it to the model. An
// effort counts more than the number where models think by levels.
func (d *decoder) think(budget int64) {
	r := d.req
	config, features := &r.gemini.Config, r.features
	switch features.Thinking {
	case capability.ByLevel:
		effort := d.effort
		if effort == "" && budget > 0 {
			effort = capability.EffortOf(budget)
		}
		if effort != "" {
			config.Thinking.Level = features.Level(effort)
		}
	case capability.ByBudget:
		switch {
		case budget > 0:
			budget = min(max(budget, features.MinBudget), features.MaxBudget)
		case d.effort != "":
			budget = features.Budget(d.effort)
		}
		config.Thinking.Budget = integer(features.Fit(budget, config.MaxOutputTokens))
	case capability.NoThinking:
	}
}

// thinkByDefault asks for as many thoughts as the operator wants where the client did
// not say, and shows none, as the client did not ask for any.
func (d *decoder) thinkByDefault(tokens int64) {
	config, features := &d.req.gemini.Config, d.req.features
	switch {
	case features.Thinking == capability.ByBudget:
		config.Thinking.Budget = integer(features.Fit(features.Tokens(tokens, config.MaxOutputTokens), config.MaxOutputTokens))
	case features.Thinking == capability.ByLevel && tokens >= 0:
		config.Thinking.Level = features.Level(capability.EffortOf(tokens))
	}
}

// thinkLittle asks for no more thoughts than an effort needs, and shows none.
func (d *decoder) thinkLittle(effort string) {
	config, features := &d.req.gemini.Config, d.req.features
	switch features.Thinking {
	case capability.ByLevel:
		config.Thinking.Level = features.Level(effort)
	case capability.ByBudget:
		config.Thinking.Budget = integer(features.Fit(features.Budget(effort), config.MaxOutputTokens))
	case capability.NoThinking:
	}
}
