// SPDX-License-Identifier: Apache-2.0

package gemini

import (
	"cmp"
	"math"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Usage is usageMetadata. In a stream every event repeats the running totals,
// so the last value of each counter holds. Prompt includes Cached; Candidates
// excludes Thoughts. The zero value means nothing was reported.
type Usage struct {
	Reported                                                   bool
	Prompt, Cached, Candidates, Thoughts, ToolUse, Total       int64 // tokens
	PromptAudio, PromptImage, CandidatesAudio, CandidatesImage int64 // tokens, parts of the above
	PromptVideo, CandidatesVideo                               int64 // likewise
	CachedAudio, CachedImage, CachedVideo                      int64 // likewise; Google does not always say
	Tier                                                       ServiceTier

	// What is charged besides tokens. It may be there where nothing was Reported.
	Queries int64 // searches with Google, those with nothing to search for and repetitions left out
	Maps    int64 // 1 if Google Maps grounded the answer
	Images  int64 // predictions that are images

	Version string // modelVersion, which prices go by; "" where the answer did not say
}

// ServiceTier is how a request was served, which it is charged by.
type ServiceTier uint8

// The service tiers. What says nothing of its tier is StandardTier.
const (
	StandardTier ServiceTier = iota
	FlexTier
	PriorityTier
	BatchTier // of the Batch API, whose results do not say so themselves
	OtherTier // one that is not known here
)

// tier reads serviceTier. Source: recorded answers have "standard"; the others are
// spelled as a request asks for them.
func tier(v rawjson.Value) ServiceTier {
	switch {
	case v.IsNull(), v.Is("standard"), v.Is("STANDARD"), v.Is("unspecified"):
		return StandardTier
	case v.Is("flex"), v.Is("FLEX"):
		return FlexTier
	case v.Is("priority"), v.Is("PRIORITY"):
		return PriorityTier
	}
	return OtherTier
}

// traffic reads trafficType, the same in other words, which answers of Vertex AI's
// models have. Throughput that was paid for beforehand has no price here.
func traffic(v rawjson.Value) ServiceTier {
	switch {
	case v.IsNull(), v.Is("ON_DEMAND"), v.Is("TRAFFIC_TYPE_UNSPECIFIED"):
		return StandardTier
	case v.Is("ON_DEMAND_FLEX"):
		return FlexTier
	case v.Is("ON_DEMAND_PRIORITY"):
		return PriorityTier
	}
	return OtherTier
}

// Input is what the request cost in tokens, built-in tools' results included.
func (u Usage) Input() int64 { return u.Prompt + u.ToolUse }

// Output is what the model wrote, thoughts included. Where Google already
// counted thoughts as candidates (total = prompt + tools + candidates) they are
// not added again. Source: specs/openai.md §11.
func (u Usage) Output() int64 {
	if u.Thoughts > 0 && u.Thoughts <= u.Candidates && u.Input()+u.Candidates == u.Total {
		return u.Candidates
	}
	return u.Candidates + u.Thoughts
}

// Plus is the usage of two calls together. Counts that one of them did not
// report make the sum unreported.
func (u Usage) Plus(v Usage) Usage {
	return Usage{
		Reported:        u.Reported && v.Reported,
		Prompt:          u.Prompt + v.Prompt,
		Cached:          u.Cached + v.Cached,
		Candidates:      u.Output() - u.Thoughts + v.Output() - v.Thoughts,
		Thoughts:        u.Thoughts + v.Thoughts,
		ToolUse:         u.ToolUse + v.ToolUse,
		Total:           u.Input() + u.Output() + v.Input() + v.Output(),
		PromptAudio:     u.PromptAudio + v.PromptAudio,
		PromptImage:     u.PromptImage + v.PromptImage,
		CandidatesAudio: u.CandidatesAudio + v.CandidatesAudio,
		CandidatesImage: u.CandidatesImage + v.CandidatesImage,
		PromptVideo:     u.PromptVideo + v.PromptVideo,
		CandidatesVideo: u.CandidatesVideo + v.CandidatesVideo,
		CachedAudio:     u.CachedAudio + v.CachedAudio,
		CachedImage:     u.CachedImage + v.CachedImage,
		CachedVideo:     u.CachedVideo + v.CachedVideo,
		Tier:            max(u.Tier, v.Tier),
		Queries:         u.Queries + v.Queries,
		Maps:            u.Maps + v.Maps,
		Images:          u.Images + v.Images,
		Version:         cmp.Or(u.Version, v.Version),
	}
}

// merge takes over what a later event reports.
func (u *Usage) merge(c *rawjson.Cursor) {
	if c.Kind() == rawjson.Null {
		c.Value()
		return
	}
	u.Reported = true
	for open := c.Open('{'); open; {
		key, ok := c.Key()
		if !ok {
			return
		}
		if n := u.counter(key); n != nil {
			*n = count(c.Value())
			continue
		}
		switch string(key) {
		case "promptTokensDetails":
			u.PromptAudio, u.PromptImage, u.PromptVideo = modalities(c)
		case "cacheTokensDetails":
			u.CachedAudio, u.CachedImage, u.CachedVideo = modalities(c)
		case "candidatesTokensDetails":
			u.CandidatesAudio, u.CandidatesImage, u.CandidatesVideo = modalities(c)
		case "serviceTier":
			u.Tier = max(u.Tier, tier(c.Value()))
		case "trafficType":
			u.Tier = max(u.Tier, traffic(c.Value()))
		default:
			c.Value()
		}
	}
}

// counter is where the count of that name is kept; nil for what is none.
func (u *Usage) counter(name []byte) *int64 {
	switch string(name) {
	case "promptTokenCount":
		return &u.Prompt
	case "cachedContentTokenCount":
		return &u.Cached
	case "candidatesTokenCount":
		return &u.Candidates
	case "thoughtsTokenCount":
		return &u.Thoughts
	case "toolUsePromptTokenCount":
		return &u.ToolUse
	case "totalTokenCount":
		return &u.Total
	}
	return nil
}

// count reads a token count; hostile numbers are cut to the range of int32,
// which no true count leaves. Source: specs/gateways.md D6.
func count(v rawjson.Value) int64 {
	n, ok := v.Int()
	if !ok {
		return 0
	}
	return min(max(n, 0), math.MaxInt32)
}

func modalities(c *rawjson.Cursor) (audio, image, video int64) {
	if !c.Open('[') {
		return 0, 0, 0
	}
	for c.Elem() {
		var modality, tokens rawjson.Value
		for open := c.Open('{'); open; {
			key, ok := c.Key()
			if !ok {
				break
			}
			switch v := c.Value(); string(key) {
			case "modality":
				modality = v
			case "tokenCount":
				tokens = v
			}
		}
		switch {
		case modality.Is("AUDIO"):
			audio += count(tokens)
		case modality.Is("IMAGE"):
			image += count(tokens)
		case modality.Is("VIDEO"):
			video += count(tokens)
		}
	}
	return audio, image, video
}

// searched counts the searches of a candidate's groundingMetadata, and notes maps.
// Source: specs/gateways.md §1E; Google does not charge for empty queries.
func (u *Usage) searched(grounding rawjson.Value) (searches int64) {
	if grounding == nil {
		return 0
	}
	queries := grounding.Get("webSearchQueries")
	for i, q := range queries.Elems() {
		again := q.IsEmptyString()
		for j, earlier := range queries.Elems() {
			if again || j >= i {
				break
			}
			again = string(earlier) == string(q)
		}
		if !again {
			searches++
		}
	}
	for _, chunk := range grounding.Get("groundingChunks").Elems() {
		if chunk.Get("maps") != nil {
			u.Maps = 1
		}
	}
	return searches
}

// by notes who answered: once, because all events of an answer repeat it.
func (u *Usage) by(version rawjson.Value) {
	if len(version) <= maxVersion && !version.Is(u.Version) {
		u.Version = version.Text()
	}
}

// maxVersion is longer than the name of any model.
const maxVersion = 150

// images counts the predictions that are images. What a filter held back is free.
func images(predictions rawjson.Value) (n int64) {
	for _, p := range predictions.Elems() {
		if p.Get("bytesBase64Encoded") != nil || p.Get("gcsUri") != nil {
			n++
		}
	}
	return n
}
