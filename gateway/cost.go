// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

const (
	// unseenOutput is what an answer is taken for, in tokens, before one of the model
	// was seen: some sentences and the thoughts before them.
	unseenOutput = 1000
	// unseenImage is the same for models that draw. Source: specs/gateways.md §1E.
	unseenImage = 1290
)

// videoSeconds is how long a video is where the request does not say.
// Source: Google's reference of Veo's durationSeconds.
const videoSeconds = 8

// priced tells the pool what an answer cost, whether or not anybody got it, where
// the pool counts that. What has no price, or no usage, costs what was foretold.
func (x *exchange) priced(res result) result {
	u := x.conv.Usage()
	if u.Reported && res.failure == nil && x.charges() {
		x.g.outputs.learn(x.record.UserID, x.call.Model, u.Output())
	}
	if x.g.Pool.Spends() && x.metered() {
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
	var b bill
	if b.add(x.site().prices, x.call.Model, u, usage.Used{}); b.unpriced {
		return 0
	}
	return b.cost
}

// foretell returns what the request is taken to cost, in nano-USD, to be reserved
// until spent tells. priced is false where that is not known; what is free costs 0.
// The model is the present target of its alias: one that the request falls back to
// may cost more, which spent has then.
func (x *exchange) foretell() (nano int64, priced bool) {
	if x.call == nil || !x.charges() {
		return 0, true
	}
	u, known := x.foretold()
	if !known {
		return 0, false
	}
	return x.site().prices.Cost(x.priceModel(), time.Now(), u)
}

// foretold is what the request is taken to use; known is false where nothing can be
// said of that.
func (x *exchange) foretold() (u usage.Used, known bool) {
	u = usage.Used{Prompt: x.size.tokens, Requests: 1}
	switch {
	case x.rt.verb == "predictLongRunning":
		return x.videos()
	case x.rt.verb == "predict":
		return usage.Used{Images: x.parameter("sampleCount", 1)}, true
	case x.makesBatch():
		u.Tier = usage.Batch // of the prompts alone: what it writes is charged when it is done
		return u, true
	case x.rt.op == opInteract && x.call.Model == "": // an agent asks what it likes
		return u, false
	case x.call.Generate && strings.Contains(x.call.Model, "-image"):
		u.Output = x.g.outputs.guess(x.record.UserID, x.call.Model, unseenImage)
		u.OutputImage = u.Output
	case x.call.Generate || x.rt.op == opInteract:
		u.Output = x.g.outputs.guess(x.record.UserID, x.call.Model, unseenOutput)
	}
	return u, true
}

// videos is what the videos that a request asks for are charged by. Google charges for
// those that it has made, which no answer tells the length of.
func (x *exchange) videos() (u usage.Used, known bool) {
	u = usage.Used{Seconds: x.parameter("durationSeconds", videoSeconds) * x.parameter("sampleCount", 1), Resolution: "720p", Requests: 1}
	if doc, err := rawjson.Parse(x.body); err == nil {
		if r := doc.Get("parameters").Get("resolution"); !r.IsNull() {
			u.Resolution = strings.ToLower(r.Text())
		}
	}
	return u, x.body != nil
}

// maxParameter bounds numbers of requests that money is worked out from, far above what
// Google takes, so that no product of two of them is too large to count.
const maxParameter = 1_000_000

// parameter is a number among those of predict and predictLongRunning, from 0 to
// maxParameter.
func (x *exchange) parameter(name string, otherwise int64) int64 {
	doc, err := rawjson.Parse(x.body)
	if err != nil {
		return otherwise
	}
	v := doc.Get("parameters").Get(name)
	n, ok := v.Int()
	if !ok {
		if n, err = strconv.ParseInt(v.Text(), 10, 64); err != nil { // as protobuf's JSON has int64
			return otherwise
		}
	}
	return min(max(n, 0), maxParameter)
}

// tiers are Google's service tiers as prices know them.
var tiers = [...]usage.Tier{
	gemini.StandardTier: usage.Standard, gemini.FlexTier: usage.Flex, gemini.PriorityTier: usage.Priority,
	gemini.BatchTier: usage.Batch, gemini.OtherTier: usage.UnknownTier,
}

// tierOf is the other way round.
func tierOf(t usage.Tier) gemini.ServiceTier {
	return gemini.ServiceTier(slices.Index(tiers[:], t)) //nolint:gosec // one of five
}

// used is usageMetadata as it is charged. What Google gives away of grounding is not
// taken off: see usage.Used.
func used(u gemini.Usage) usage.Used {
	return usage.Used{
		Prompt: u.Prompt, ToolUse: u.ToolUse, Cached: u.Cached, Output: max(0, u.Output()-u.Thoughts), Thoughts: u.Thoughts,
		PromptAudio: u.PromptAudio, PromptImage: u.PromptImage, PromptVideo: u.PromptVideo,
		CachedAudio: u.CachedAudio, CachedImage: u.CachedImage, CachedVideo: u.CachedVideo,
		OutputAudio: u.CandidatesAudio, OutputImage: u.CandidatesImage, OutputVideo: u.CandidatesVideo,
		Queries: u.Queries, Grounded: min(u.Queries, 1), Maps: u.Maps, Images: u.Images, Requests: 1,
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
