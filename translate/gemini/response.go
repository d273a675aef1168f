// SPDX-License-Identifier: Apache-2.0

package gemini

import (
	"math"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Response is one GenerateContentResponse: a whole answer, or one event of a
// streamed one. Its leaves alias the decoded document.
type Response struct {
	Candidates   []Candidate
	BlockReason  rawjson.Value // promptFeedback.blockReason; nil when the prompt was not blocked
	BlockMessage rawjson.Value // promptFeedback.blockReasonMessage
	Usage        Usage
	ModelVersion rawjson.Value
	ResponseID   rawjson.Value
	Error        rawjson.Value // an error object in place of an answer; nil otherwise
}

// Candidate is one of the alternatives a model answers with.
type Candidate struct {
	Index         int // 0 when absent, as proto3 leaves out zeros
	Parts         []Part
	FinishReason  rawjson.Value // string; nil while the stream goes on
	FinishMessage rawjson.Value
	Grounding     rawjson.Value // groundingMetadata
	Citations     rawjson.Value // citationMetadata
	Logprobs      rawjson.Value // logprobsResult
	SafetyRatings rawjson.Value
	URLContext    rawjson.Value // urlContextMetadata
}

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
}

// ServiceTier is how a request was served, which it is charged by.
type ServiceTier uint8

// The service tiers. What says nothing of its tier is StandardTier.
const (
	StandardTier ServiceTier = iota
	FlexTier
	PriorityTier
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

// Input is what the request cost in tokens, built-in tools' results included.
func (u Usage) Input() int64 { return u.Prompt + u.ToolUse }

// Output is what the model wrote, thoughts included. Where Google already
// counted thoughts as candidates (total = prompt + tools + candidates) they are
// not added again. Source: specs/openai.md §11.
func (u Usage) Output() int64 {
	if u.Thoughts > 0 && u.Total > 0 && u.Input()+u.Candidates == u.Total {
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
		switch string(key) {
		case "promptTokenCount":
			u.Prompt = count(c.Value())
		case "cachedContentTokenCount":
			u.Cached = count(c.Value())
		case "candidatesTokenCount":
			u.Candidates = count(c.Value())
		case "thoughtsTokenCount":
			u.Thoughts = count(c.Value())
		case "toolUsePromptTokenCount":
			u.ToolUse = count(c.Value())
		case "totalTokenCount":
			u.Total = count(c.Value())
		case "promptTokensDetails":
			u.PromptAudio, u.PromptImage, u.PromptVideo = modalities(c)
		case "cacheTokensDetails":
			u.CachedAudio, u.CachedImage, u.CachedVideo = modalities(c)
		case "candidatesTokensDetails":
			u.CandidatesAudio, u.CandidatesImage, u.CandidatesVideo = modalities(c)
		case "serviceTier":
			u.Tier = tier(c.Value())
		default:
			c.Value()
		}
	}
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

// Reset forgets everything but the memory of the slices.
func (r *Response) Reset() {
	*r = Response{Candidates: r.Candidates[:0]}
}

// Decode reads one document into r. Candidates are replaced and their memory is
// reused, Usage is merged, so that one Response serves a whole stream. It
// accepts both spellings of names, camelCase and snake_case, where recorded
// answers have both. The error is a *[rawjson.SyntaxError].
func (r *Response) Decode(doc []byte) error {
	v, err := rawjson.Parse(doc)
	if err != nil {
		return err
	}
	r.DecodeValue(v)
	return nil
}

// DecodeValue is [Response.Decode] for a document that was parsed already. An
// error wrapped in an array, as streamGenerateContent without alt=sse sends it,
// is found as well.
func (r *Response) DecodeValue(v rawjson.Value) {
	r.Candidates = r.Candidates[:0]
	r.Error, r.BlockReason, r.BlockMessage = nil, nil, nil
	if v.Kind() == rawjson.Array {
		for _, e := range v.Elems() {
			v = e
			break
		}
	}
	c := v.Cursor()
	for open := c.Open('{'); open; {
		key, ok := c.Key()
		if !ok {
			return
		}
		switch string(key) {
		case "candidates":
			for open := c.Open('['); open && c.Elem(); {
				r.candidate(&c)
			}
		case "promptFeedback":
			m := c.Value()
			if b := m.Get("blockReason"); !b.IsNull() {
				r.BlockReason, r.BlockMessage = b, m.Get("blockReasonMessage")
			}
		case "usageMetadata":
			r.Usage.merge(&c)
		case "modelVersion":
			r.ModelVersion = c.Value()
		case "responseId":
			r.ResponseID = c.Value()
		case "error":
			if m := c.Value(); !m.IsNull() {
				r.Error = m
			}
		default:
			c.Value()
		}
	}
}

func (r *Response) candidate(c *rawjson.Cursor) {
	n := len(r.Candidates)
	if n < cap(r.Candidates) {
		r.Candidates = r.Candidates[:n+1]
	} else {
		r.Candidates = append(r.Candidates, Candidate{})
	}
	to := &r.Candidates[n]
	*to = Candidate{Parts: to.Parts[:0]}
	for open := c.Open('{'); open; {
		key, ok := c.Key()
		if !ok {
			return
		}
		if string(key) == "content" {
			to.content(c)
			continue
		}
		m := c.Value()
		switch string(key) {
		case "index":
			if i, ok := m.Int(); ok && i >= 0 && i <= math.MaxInt16 {
				to.Index = int(i)
			}
		case "finishReason":
			if !m.IsNull() {
				to.FinishReason = m
			}
		case "finishMessage":
			to.FinishMessage = m
		case "groundingMetadata":
			to.Grounding = m
		case "citationMetadata":
			to.Citations = m
		case "logprobsResult":
			to.Logprobs = m
		case "safetyRatings":
			to.SafetyRatings = m
		case "urlContextMetadata":
			to.URLContext = m
		}
	}
}

func (to *Candidate) content(c *rawjson.Cursor) {
	for open := c.Open('{'); open; {
		key, ok := c.Key()
		if !ok {
			return
		}
		if string(key) != "parts" {
			c.Value()
			continue
		}
		for open := c.Open('['); open && c.Elem(); {
			var p Part
			for open := c.Open('{'); open; {
				key, ok := c.Key()
				if !ok {
					break
				}
				p.set(key, c.Value())
			}
			to.Parts = append(to.Parts, p)
		}
	}
}

// DecodePart reads one part, as it stands in an answer or a native request.
func DecodePart(v rawjson.Value) Part {
	var p Part
	for k, m := range v.Members() {
		p.set(k.Inner(), m)
	}
	return p
}

// set takes over one member of a part.
func (p *Part) set(key []byte, m rawjson.Value) {
	if m.IsNull() {
		return
	}
	switch string(key) {
	case "text":
		p.Text = m
	case "thought":
		p.Thought = m.IsTrue()
	case "thoughtSignature", "thought_signature":
		p.ThoughtSignature = m
	case "inlineData", "inline_data":
		p.InlineData = &Blob{Data: m.Get("data").Inner()}
		p.InlineData.MIMEType = either(m, "mimeType", "mime_type").Text()
	case "fileData", "file_data":
		p.FileData = &FileData{URI: either(m, "fileUri", "file_uri")}
		p.FileData.MIMEType = either(m, "mimeType", "mime_type").Text()
	case "functionCall", "function_call":
		p.FunctionCall = &FunctionCall{ID: m.Get("id"), Name: m.Get("name"), Args: m.Get("args")}
	case "functionResponse", "function_response":
		p.FunctionResponse = &FunctionResponse{ID: m.Get("id"), Name: m.Get("name"), Response: m.Get("response")}
	case "executableCode":
		p.ExecutableCode = m
	case "codeExecutionResult":
		p.CodeResult = m
	case "audioTranscription":
		p.Transcription = m
	case "toolCall", "toolResponse":
		p.ServerToolKey, p.ServerTool = string(key), m
	}
}

func either(v rawjson.Value, a, b string) rawjson.Value {
	if m := v.Get(a); m != nil {
		return m
	}
	return v.Get(b)
}
