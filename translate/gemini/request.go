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

import "github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"

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
