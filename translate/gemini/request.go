// SPDX-License-Identifier: Apache-2.0

// Package gemini has the wire types of Gemini's generateContent family, which
// every other dialect is translated to and from, and the native dialect, whose
// bytes pass through untouched.
//
// The types are not a full mirror of Google's: requests hold what dialects can
// ask for, responses what they can tell. Leaves that are only moved are
// [rawjson.Value]s: a string leaf is a JSON string with its quotes, ready to be
// copied.
//
// Source: github.com/googleapis/go-genai v1.69.0 types.go (Developer API subset).
package gemini

import (
	"encoding/base64"
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Request is the body of generateContent and streamGenerateContent. Zero
// fields are left out of the encoding.
type Request struct {
	Contents          []Content
	SystemInstruction []Part // encoded as a content without role
	Tools             []Tool
	ToolConfig        ToolConfig
	SafetySettings    rawjson.Value // array, as Google takes it
	Config            GenerationConfig
	CachedContent     rawjson.Value // string "cachedContents/…"
	ServiceTier       string        // flex, standard or priority
}

// Content is one turn.
type Content struct {
	Role  string // user or model
	Parts []Part
}

// Part is one piece of a turn, in requests and in answers. Exactly one of the
// data fields is set, or none for a part that only carries a signature.
type Part struct {
	Text             rawjson.Value // string
	Thought          bool          // Text or InlineData is reasoning, not answer
	ThoughtSignature rawjson.Value // string; opaque, must return byte for byte
	InlineData       *Blob
	FileData         *FileData
	FunctionCall     *FunctionCall
	FunctionResponse *FunctionResponse
	ExecutableCode   rawjson.Value // object {language, code}
	CodeResult       rawjson.Value // object {outcome, output}
	Transcription    rawjson.Value // audioTranscription object of transcribing models; answers only
	ServerTool       rawjson.Value // toolCall or toolResponse object of a built-in tool
	ServerToolKey    string        // which of the two
	MediaResolution  string        // level, for example MEDIA_RESOLUTION_LOW; Gemini 3 and newer
}

// Blob is inline media. Data is standard base64 without quotes. Requests may
// have the bytes themselves instead, as Raw, which are encoded on their way out.
type Blob struct {
	MIMEType string
	Data     []byte
	Raw      []byte
}

// FileData points to media that Google fetches or already has.
type FileData struct {
	MIMEType string // "" leaves it to Google
	URI      rawjson.Value
}

// FunctionCall is a call the model makes. Args is an object; nil means none.
type FunctionCall struct {
	ID, Name rawjson.Value // strings; nil ID is left out
	Args     rawjson.Value
}

// FunctionResponse answers the FunctionCall with the same ID.
type FunctionResponse struct {
	ID, Name rawjson.Value
	Response rawjson.Value // object
	Parts    []Part        // media; Gemini 3 and newer
}

// Tool is one element of tools: function declarations or one built-in tool.
type Tool struct {
	Functions []FunctionDeclaration
	BuiltIn   string        // googleSearch, codeExecution, urlContext, googleMaps
	Options   rawjson.Value // object for BuiltIn; nil means {}
}

// FunctionDeclaration declares a function. At most one of the schemas is set.
type FunctionDeclaration struct {
	Name        string
	Description rawjson.Value // string
	JSONSchema  rawjson.Value // parametersJsonSchema, Gemini 2.5 and newer
	Schema      rawjson.Value // parameters, the OpenAPI subset
}

// ToolConfig steers tool use.
type ToolConfig struct {
	Mode         string   // AUTO, ANY, NONE, VALIDATED; "" leaves Google's default
	Allowed      []string // allowedFunctionNames
	ServerSide   bool     // includeServerSideToolInvocations
	RetrievalRaw rawjson.Value
}

// GenerationConfig tunes generation. Number leaves are JSON numbers; nil and
// zero fields are left out.
type GenerationConfig struct {
	Temperature, TopP, TopK           rawjson.Value
	CandidateCount, MaxOutputTokens   int64
	StopSequences                     []rawjson.Value // strings
	PresencePenalty, FrequencyPenalty rawjson.Value
	Seed                              rawjson.Value
	ResponseLogprobs                  bool
	Logprobs                          int64
	ResponseMIMEType                  string
	ResponseJSONSchema                rawjson.Value
	ResponseSchema                    rawjson.Value
	ResponseModalities                []string
	MediaResolution                   string
	SpeechConfig, ImageConfig         rawjson.Value // objects
	AudioTranscription                rawjson.Value // audioTranscriptionConfig, object
	Thinking                          ThinkingConfig
}

// ThinkingConfig steers reasoning. Level and Budget exclude each other.
type ThinkingConfig struct {
	Include bool
	Level   string        // MINIMAL, LOW, MEDIUM, HIGH
	Budget  rawjson.Value // number of tokens; -1 dynamic, 0 off
}

// writer appends members and elements with the commas between them.
type writer struct{ b []byte }

// sep writes a comma unless b ends with an opening bracket or a colon.
func (w *writer) sep() {
	if n := len(w.b); n > 0 && w.b[n-1] != '{' && w.b[n-1] != '[' && w.b[n-1] != ':' {
		w.b = append(w.b, ',')
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
		w.b = append(w.b, v...)
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
	return w.b
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
		w.b = append(append(w.b, '"'), d.Data...)
		w.b = append(base64.StdEncoding.AppendEncode(w.b, d.Raw), '"')
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
