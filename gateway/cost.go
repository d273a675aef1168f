// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"strings"
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

const (
	// unseenOutput is what an answer is taken for, in tokens, before one of the model
	// was seen: some sentences and the thoughts before them.
	unseenOutput = 1000
	// unseenImage is the same for models that draw. Source: specs/gateways.md §1E.
	unseenImage = 1290
)

// priced tells the pool what an answer cost, whether or not anybody got it, where
// the pool counts that. What has no price, or no usage, costs what was foretold.
func (x *exchange) priced(res result) result {
	if x.g.Pool.Spends() && x.metered() {
		u := x.conv.Usage()
		if u.Reported && res.failure == nil {
			x.g.outputs.learn(x.record.UserID, x.call.Model, u.Output())
		}
		res.outcome.Cost = x.cost(u)
	}
	return res
}

// cost is what Google charges for usage, in nano-USD; 0 for unknown, and where the
// pool does not count it.
func (x *exchange) cost(u gemini.Usage) int64 {
	if !u.Reported || !x.g.Pool.Spends() {
		return 0
	}
	cost, _ := x.g.Prices.Cost(x.call.Model, time.Now(), used(u))
	return cost
}

// foretell returns what the request is taken to cost, in nano-USD; 0 for unknown.
func (x *exchange) foretell() int64 {
	u := usage.Used{Prompt: x.size.tokens}
	switch draws := strings.Contains(x.call.Model, "-image"); {
	case !x.call.Generate:
	case draws:
		u.Output = x.g.outputs.guess(x.record.UserID, x.call.Model, unseenImage)
		u.OutputImage = u.Output
	default:
		u.Output = x.g.outputs.guess(x.record.UserID, x.call.Model, unseenOutput)
	}
	cost, _ := x.g.Prices.Cost(x.call.Model, time.Now(), u)
	return cost
}

// used is usageMetadata as it is charged. Grounding is left out: how much of it is
// given away is not known here.
func used(u gemini.Usage) usage.Used {
	tiers := [...]usage.Tier{
		gemini.StandardTier: usage.Standard, gemini.FlexTier: usage.Flex, gemini.PriorityTier: usage.Priority, gemini.OtherTier: usage.UnknownTier,
	}
	return usage.Used{
		Prompt: u.Prompt, ToolUse: u.ToolUse, Cached: u.Cached, Output: max(0, u.Output()-u.Thoughts), Thoughts: u.Thoughts,
		PromptAudio: u.PromptAudio, PromptImage: u.PromptImage, PromptVideo: u.PromptVideo,
		CachedAudio: u.CachedAudio, CachedImage: u.CachedImage, CachedVideo: u.CachedVideo,
		OutputAudio: u.CandidatesAudio, OutputImage: u.CandidatesImage, OutputVideo: u.CandidatesVideo,
		Tier: tiers[u.Tier],
	}
}

// outputs learns how long the answers to a user key and of a model mostly are, while
// that matters. The zero value is ready.
type outputs struct {
	mu    sync.Mutex
	means map[estimated]mean
}

// mean is one that forgets: its value is sum / n.
type mean struct{ n, sum float64 }

// guess returns the length of an answer in tokens; unseen before there was one.
func (o *outputs) guess(user, model string, unseen int64) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	m, seen := o.means[estimated{user, model}]
	if !seen {
		return unseen
	}
	return int64(m.sum / m.n)
}

// learn takes the length of an answer.
func (o *outputs) learn(user, model string, tokens int64) {
	k := estimated{user, model}
	o.mu.Lock()
	defer o.mu.Unlock()
	m, seen := o.means[k]
	if !seen && (o.means == nil || len(o.means) >= maxEstimated) {
		o.means = map[estimated]mean{} // a fresh start costs a few guesses
	}
	o.means[k] = mean{m.n*estimateFade + 1, m.sum*estimateFade + float64(tokens)}
}
