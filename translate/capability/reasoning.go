// SPDX-License-Identifier: Apache-2.0

package capability

import "slices"

// Thinking is how a family's reasoning is steered.
type Thinking uint8

// The ways to steer it; a model knows at most one.
const (
	NoThinking Thinking = iota // a thinkingConfig is refused
	ByBudget                   // thinkingBudget, a number of tokens
	ByLevel                    // thinkingLevel, a word
)

// Reasoning is what a table says of thinking.
type Reasoning struct {
	Thinking  Thinking
	MinBudget int64 // ByBudget: smallest budget besides zero
	MaxBudget int64
	Off       bool     // ByBudget: takes 0
	Levels    []string // ByLevel: from least to most
}

// thinkingLevels are Google's words, from least to most.
var thinkingLevels = []string{"MINIMAL", "LOW", "MEDIUM", "HIGH"}

// budgets is Google's own mapping of efforts to tokens, and efforts the levels
// that they ask for, as places in thinkingLevels. Source: specs/openai.md §8.1.
var (
	budgets = map[string]int64{
		"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 32768,
	}
	efforts = map[string]int{"none": 0, "minimal": 0, "low": 1, "medium": 2, "high": 3, "xhigh": 3, "max": 3}
)

// IsEffort reports whether word is an effort: none, minimal, low, medium, high,
// xhigh or max.
func IsEffort(word string) bool {
	_, ok := efforts[word]
	return ok
}

// Level is the level that an effort asks for, of a family that thinks by levels:
// the least that is as much as was asked for, or the most there is.
func (r *Reasoning) Level(effort string) string {
	for _, level := range r.Levels {
		if slices.Index(thinkingLevels, level) >= efforts[effort] {
			return level
		}
	}
	return r.Levels[len(r.Levels)-1]
}

// Budget is the number of tokens that an effort asks for, of a family that thinks
// by budgets.
func (r *Reasoning) Budget(effort string) int64 {
	if effort == "none" {
		if r.Off {
			return 0
		}
		return r.MinBudget
	}
	return min(max(budgets[effort], r.MinBudget), r.MaxBudget)
}

// Tokens is a number of tokens as a family takes it that thinks by budgets: 0 where it
// can be switched off, -1 for as many as the model likes. Where an answer of at most
// limit tokens (0 = no limit) has no room for the fewest, it is as few as can be.
func (r *Reasoning) Tokens(budget, limit int64) int64 {
	if 0 < limit && limit <= r.MinBudget {
		budget = 0
	}
	if budget < 0 || budget == 0 && r.Off {
		return budget
	}
	return min(max(budget, r.MinBudget), r.MaxBudget)
}

// EffortOf is the effort that a number of tokens stands for.
func EffortOf(budget int64) string {
	switch {
	case budget <= 0:
		return "none"
	case budget < 4096:
		return "low"
	case budget < 12288:
		return "medium"
	default:
		return "high"
	}
}

// Fit is a budget that leaves room for an answer of at most limit tokens (0 = no
// limit): thoughts count as output, and a budget that reaches the limit is refused
// or ends in an empty answer.
func (r *Reasoning) Fit(budget, limit int64) int64 {
	if r.Thinking != ByBudget || limit == 0 || budget <= 0 || limit > budget {
		return budget
	}
	return max(r.MinBudget, limit*3/4)
}
