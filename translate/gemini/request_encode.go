// SPDX-License-Identifier: Apache-2.0

package gemini

import (
	"encoding/base64"
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// writer appends members and elements with the commas between them.
type writer struct {
	b      []byte
	cut    bool // large values become pieces
	pieces []Piece
}

// sep writes a comma unless b ends with an opening bracket or a colon.
func (w *writer) sep() {
	n := len(w.b)
	if n == 0 {
		return
	}
	if c := w.b[n-1]; c != '{' && c != '[' && c != ':' || c == ':' && w.atPiece() {
		w.b = append(w.b, ',')
	}
}

// atPiece reports whether what was written last is a piece.
func (w *writer) atPiece() bool {
	n := len(w.pieces)
	return n > 0 && w.pieces[n-1].At == len(w.b)
}

// value appends what is copied, or keeps it as a piece.
func (w *writer) value(p Piece) {
	switch {
	case w.cut && len(p.Data) >= minPiece:
		p.At = len(w.b)
		w.pieces = append(w.pieces, p)
	case p.Raw:
		w.b = base64.StdEncoding.AppendEncode(w.b, p.Data)
	default:
		w.b = append(w.b, p.Data...)
	}
}

// key starts a member; name must need no escaping.
func (w *writer) key(name string) {
	w.sep()
	w.b = append(append(append(w.b, '"'), name...), '"', ':')
}

func (w *writer) raw(name string, v rawjson.Value) {
	if len(v) > 0 {
		w.key(name)
		w.value(Piece{Data: v})
	}
}

func (w *writer) str(name, s string) {
	if s != "" {
		w.key(name)
		w.b = rawjson.AppendQuoted(w.b, s)
	}
}

func (w *writer) strs(name string, list []string) {
	if len(list) == 0 {
		return
	}
	w.key(name)
	w.b = append(w.b, '[')
	for _, s := range list {
		w.sep()
		w.b = rawjson.AppendQuoted(w.b, s)
	}
	w.b = append(w.b, ']')
}

func (w *writer) raws(name string, list []rawjson.Value) {
	if len(list) == 0 {
		return
	}
	w.key(name)
	w.b = append(w.b, '[')
	for _, v := range list {
		w.sep()
		w.b = append(w.b, v...)
	}
	w.b = append(w.b, ']')
}

func (w *writer) int(name string, n int64) {
	if n != 0 {
		w.key(name)
		w.b = strconv.AppendInt(w.b, n, 10)
	}
}

func (w *writer) flag(name string, on bool) {
	if on {
		w.key(name)
		w.b = append(w.b, "true"...)
	}
}

func (w *writer) open()  { w.sep(); w.b = append(w.b, '{') }
func (w *writer) close() { w.b = append(w.b, '}') }

// Append appends the JSON encoding of r to dst.
func (r *Request) Append(dst []byte) []byte {
	w := &writer{b: append(dst, '{')}
	w.request(r)
	return w.b
}

// Encode is Append to head, but for large values, which it returns as pieces.
// size is about what the whole takes.
func (r *Request) Encode(head []byte, size int) (body []byte, pieces []Piece) {
	rest := max(0, size-r.cut())
	w := &writer{cut: true, b: make([]byte, 0, len(head)+rest+rest/8+192)} // Google's words are longer than some clients'
	w.b = append(append(w.b, head...), '{')
	w.request(r)
	return w.b, w.pieces
}

// cut is about how much of the encoding is going to be in pieces.
func (r *Request) cut() (n int) {
	n = cutOf(r.SystemInstruction)
	for i := range r.Contents {
		n += cutOf(r.Contents[i].Parts)
	}
	return n
}

func cutOf(parts []Part) (n int) {
	large := func(data []byte) {
		if len(data) >= minPiece {
			n += len(data)
		}
	}
	for i := range parts {
		p := &parts[i]
		large(p.Text)
		large(p.ThoughtSignature)
		if p.InlineData != nil {
			large(p.InlineData.Data)
			if raw := p.InlineData.Raw; len(raw) >= minPiece {
				n += base64.StdEncoding.EncodedLen(len(raw))
			}
		}
		if p.FunctionCall != nil {
			large(p.FunctionCall.Args)
		}
		if p.FunctionResponse != nil {
			large(p.FunctionResponse.Response)
			n += cutOf(p.FunctionResponse.Parts)
		}
	}
	return n
}

func (w *writer) request(r *Request) {
	if len(r.SystemInstruction) > 0 {
		w.key("systemInstruction")
		w.open()
		w.parts(r.SystemInstruction)
		w.close()
	}
	w.key("contents")
	w.b = append(w.b, '[')
	for i := range r.Contents {
		w.open()
		w.str("role", r.Contents[i].Role)
		w.parts(r.Contents[i].Parts)
		w.close()
	}
	w.b = append(w.b, ']')
	w.tools(r.Tools)
	w.toolConfig(&r.ToolConfig)
	w.raw("safetySettings", r.SafetySettings)
	w.config(&r.Config)
	w.raw("cachedContent", r.CachedContent)
	w.str("serviceTier", r.ServiceTier)
	w.close()
}

func (w *writer) parts(parts []Part) {
	w.key("parts")
	w.b = append(w.b, '[')
	for i := range parts {
		w.part(&parts[i])
	}
	w.b = append(w.b, ']')
}

// Append appends the JSON encoding of a part to dst.
func (p *Part) Append(dst []byte) []byte {
	w := &writer{}
	w.part(p)
	return append(dst, w.b...)
}

func (w *writer) part(p *Part) {
	w.open()
	w.raw("text", p.Text)
	w.flag("thought", p.Thought)
	if d := p.InlineData; d != nil {
		w.key("inlineData")
		w.open()
		w.str("mimeType", d.MIMEType)
		w.key("data")
		w.b = append(w.b, '"')
		w.value(Piece{Data: d.Data, Media: true})
		w.value(Piece{Data: d.Raw, Media: true, Raw: true})
		w.b = append(w.b, '"')
		w.close()
	}
	if f := p.FileData; f != nil {
		w.key("fileData")
		w.open()
		w.str("mimeType", f.MIMEType)
		w.raw("fileUri", f.URI)
		w.close()
	}
	if c := p.FunctionCall; c != nil {
		w.key("functionCall")
		w.open()
		w.raw("id", c.ID)
		w.raw("name", c.Name)
		w.raw("args", c.Args)
		w.close()
	}
	if r := p.FunctionResponse; r != nil {
		w.key("functionResponse")
		w.open()
		w.raw("id", r.ID)
		w.raw("name", r.Name)
		w.raw("response", r.Response)
		if len(r.Parts) > 0 {
			w.parts(r.Parts)
		}
		w.close()
	}
	w.raw("executableCode", p.ExecutableCode)
	w.raw("codeExecutionResult", p.CodeResult)
	if p.ServerToolKey != "" {
		w.raw(p.ServerToolKey, p.ServerTool)
	}
	if p.MediaResolution != "" {
		w.key("mediaResolution")
		w.open()
		w.str("level", p.MediaResolution)
		w.close()
	}
	w.raw("thoughtSignature", p.ThoughtSignature)
	w.close()
}

func (w *writer) tools(tools []Tool) {
	if len(tools) == 0 {
		return
	}
	w.key("tools")
	w.b = append(w.b, '[')
	for i := range tools {
		t := &tools[i]
		w.open()
		if t.BuiltIn != "" {
			w.key(t.BuiltIn)
			if t.Options.IsNull() {
				w.b = append(w.b, '{', '}')
			} else {
				w.b = append(w.b, t.Options...)
			}
		} else {
			w.key("functionDeclarations")
			w.b = append(w.b, '[')
			for j := range t.Functions {
				f := &t.Functions[j]
				w.open()
				w.str("name", f.Name)
				w.raw("description", f.Description)
				w.raw("parametersJsonSchema", f.JSONSchema)
				w.raw("parameters", f.Schema)
				w.close()
			}
			w.b = append(w.b, ']')
		}
		w.close()
	}
	w.b = append(w.b, ']')
}

func (w *writer) toolConfig(c *ToolConfig) {
	if c.Mode == "" && !c.ServerSide && c.RetrievalRaw.IsNull() {
		return
	}
	w.key("toolConfig")
	w.open()
	if c.Mode != "" {
		w.key("functionCallingConfig")
		w.open()
		w.str("mode", c.Mode)
		w.strs("allowedFunctionNames", c.Allowed)
		w.close()
	}
	w.flag("includeServerSideToolInvocations", c.ServerSide)
	w.raw("retrievalConfig", c.RetrievalRaw)
	w.close()
}

func (w *writer) config(c *GenerationConfig) {
	before := len(w.b)
	w.key("generationConfig")
	w.open()
	empty := len(w.b)
	w.raw("temperature", c.Temperature)
	w.raw("topP", c.TopP)
	w.raw("topK", c.TopK)
	w.int("candidateCount", c.CandidateCount)
	w.int("maxOutputTokens", c.MaxOutputTokens)
	w.raws("stopSequences", c.StopSequences)
	w.raw("presencePenalty", c.PresencePenalty)
	w.raw("frequencyPenalty", c.FrequencyPenalty)
	w.raw("seed", c.Seed)
	w.flag("responseLogprobs", c.ResponseLogprobs)
	w.int("logprobs", c.Logprobs)
	w.str("responseMimeType", c.ResponseMIMEType)
	w.raw("responseJsonSchema", c.ResponseJSONSchema)
	w.raw("responseSchema", c.ResponseSchema)
	w.strs("responseModalities", c.ResponseModalities)
	w.str("mediaResolution", c.MediaResolution)
	w.raw("speechConfig", c.SpeechConfig)
	w.raw("imageConfig", c.ImageConfig)
	w.raw("audioTranscriptionConfig", c.AudioTranscription)
	if t := &c.Thinking; t.Include || t.Level != "" || len(t.Budget) > 0 {
		w.key("thinkingConfig")
		w.open()
		w.flag("includeThoughts", t.Include)
		w.str("thinkingLevel", t.Level)
		w.raw("thinkingBudget", t.Budget)
		w.close()
	}
	if len(w.b) == empty {
		w.b = w.b[:before]
		return
	}
	w.close()
}
