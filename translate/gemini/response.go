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

// merge takes over what a later event reports.
func (u *Usage) merge(v rawjson.Value) {
	u.Reported = true
	for k, m := range v.Members() {
		switch string(k.Inner()) {
		case "promptTokenCount":
			u.Prompt = count(m)
		case "cachedContentTokenCount":
			u.Cached = count(m)
		case "candidatesTokenCount":
			u.Candidates = count(m)
		case "thoughtsTokenCount":
			u.Thoughts = count(m)
		case "toolUsePromptTokenCount":
			u.ToolUse = count(m)
		case "totalTokenCount":
			u.Total = count(m)
		case "promptTokensDetails":
			u.PromptAudio, u.PromptImage = modalities(m)
		case "candidatesTokensDetails":
			u.CandidatesAudio, u.CandidatesImage = modalities(m)
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

func modalities(v rawjson.Value) (audio, image int64) {
	for _, e := range v.Elems() {
		switch m := e.Get("modality"); {
		case m.Is("AUDIO"):
			audio += count(e.Get("tokenCount"))
		case m.Is("IMAGE"):
			image += count(e.Get("tokenCount"))
		}
	}
	return audio, image
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
	for k, m := range v.Members() {
		switch string(k.Inner()) {
		case "candidates":
			for _, c := range m.Elems() {
				r.candidate(c)
			}
		case "promptFeedback":
			if b := m.Get("blockReason"); !b.IsNull() {
				r.BlockReason, r.BlockMessage = b, m.Get("blockReasonMessage")
			}
		case "usageMetadata":
			r.Usage.merge(m)
		case "modelVersion":
			r.ModelVersion = m
		case "responseId":
			r.ResponseID = m
		case "error":
			if !m.IsNull() {
				r.Error = m
			}
		}
	}
}

func (r *Response) candidate(v rawjson.Value) {
	n := len(r.Candidates)
	if n < cap(r.Candidates) {
		r.Candidates = r.Candidates[:n+1]
	} else {
		r.Candidates = append(r.Candidates, Candidate{})
	}
	c := &r.Candidates[n]
	*c = Candidate{Parts: c.Parts[:0]}
	for k, m := range v.Members() {
		switch string(k.Inner()) {
		case "index":
			if i, ok := m.Int(); ok && i >= 0 && i <= math.MaxInt16 {
				c.Index = int(i)
			}
		case "content":
			for _, p := range m.Get("parts").Elems() {
				c.Parts = append(c.Parts, DecodePart(p))
			}
		case "finishReason":
			if !m.IsNull() {
				c.FinishReason = m
			}
		case "finishMessage":
			c.FinishMessage = m
		case "groundingMetadata":
			c.Grounding = m
		case "citationMetadata":
			c.Citations = m
		case "logprobsResult":
			c.Logprobs = m
		case "safetyRatings":
			c.SafetyRatings = m
		case "urlContextMetadata":
			c.URLContext = m
		}
	}
}

// DecodePart reads one part, as it stands in an answer or a native request.
func DecodePart(v rawjson.Value) Part {
	var p Part
	for k, m := range v.Members() {
		if m.IsNull() {
			continue
		}
		switch string(k.Inner()) {
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
		case "toolCall", "toolResponse":
			p.ServerToolKey, p.ServerTool = string(k.Inner()), m
		}
	}
	return p
}

func either(v rawjson.Value, a, b string) rawjson.Value {
	if m := v.Get(a); m != nil {
		return m
	}
	return v.Get(b)
}
