// SPDX-License-Identifier: Apache-2.0

package gemini

import (
	"math"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Response is one GenerateContentResponse: a whole answer, or one event of a
// streamed one. Its leaves alias the decoded document, or memory of its own, until the
// next one is decoded.
type Response struct {
	Candidates   []Candidate
	BlockReason  rawjson.Value // promptFeedback.blockReason; nil when the prompt was not blocked
	BlockMessage rawjson.Value // promptFeedback.blockReasonMessage
	Usage        Usage
	Summary      Summary
	ModelVersion rawjson.Value
	ResponseID   rawjson.Value
	Error        rawjson.Value // an error object in place of an answer; nil otherwise

	begun bool   // a document was decoded, so that there may be more
	ended bool   // the last that was looked at for a shape had a finishReason
	shape *shape // nil before the second of them
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

// Reset forgets everything but the memory of the slices.
func (r *Response) Reset() {
	*r = Response{Candidates: r.Candidates[:0], shape: r.shape}
	r.shape.reset()
}

// Decode reads one document into r. Candidates are replaced and their memory is
// reused, Usage and Summary are merged, so that one Response serves a whole stream, and
// the same document once more changes nothing. It
// accepts both spellings of names, camelCase and snake_case, where recorded
// answers have both. The error is a *[rawjson.SyntaxError].
func (r *Response) Decode(doc []byte) error {
	if r.shape.fits(doc) {
		r.fill()
		return nil
	}
	v, err := rawjson.Parse(doc)
	if err != nil {
		return err
	}
	r.DecodeValue(v)
	r.learn(v)
	return nil
}

// DecodeValue is [Response.Decode] for a document that was parsed already. An
// error wrapped in an array, as streamGenerateContent without alt=sse sends it,
// is found as well.
func (r *Response) DecodeValue(v rawjson.Value) {
	r.shape.forget()
	r.Candidates = r.Candidates[:0]
	r.Error, r.BlockReason, r.BlockMessage = nil, nil, nil
	r.ModelVersion, r.ResponseID = nil, nil
	searches := int64(0)
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
				searches += r.Usage.searched(r.Candidates[len(r.Candidates)-1].Grounding)
				r.Usage.Queries = max(r.Usage.Queries, searches) // events repeat what there was
			}
			r.Summary.ended(r.Candidates)
		case "predictions":
			r.Usage.Images = images(c.Value())
		case "promptFeedback":
			m := c.Value()
			if b := m.Get("blockReason"); !b.IsNull() {
				r.BlockReason, r.BlockMessage = b, m.Get("blockReasonMessage")
			}
		case "usageMetadata":
			r.Usage.merge(&c)
		case "modelVersion":
			r.ModelVersion = c.Value()
			r.Usage.by(r.ModelVersion)
		case "responseId":
			r.ResponseID = c.Value()
			r.Summary.Named(r.ResponseID)
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
