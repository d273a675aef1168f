// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

// ChatRequest is a decoded POST /v1/chat/completions: the request for Gemini
// and what the conversion of its answer has to know.
type ChatRequest struct {
	Model  string // as the client wrote it; answers echo it
	Target string // Gemini model id

	Stream          bool // stream
	IncludeUsage    bool // stream_options.include_usage
	LegacyFunctions bool // functions instead of tools: answer with function_call
	ServiceTier     bool // service_tier was given: answers name the tier
	ParallelCalls   bool // parallel_tool_calls; true where absent
	JSONMode        bool // response_format asked for JSON
	Logprobs        bool // logprobs
	TopLogprobs     int  // top_logprobs, 0 to 20
	N               int  // number of choices, at least 1

	// Reasoning is how thoughts are shown: reasoning_content, thought_tags or off.
	Reasoning string
	// AudioFormat is how audio is sent back, wav or pcm16; "" where none was asked for.
	AudioFormat string

	Gemini gemini.Request
}

// DecodeChat decodes a chat completions request. The result aliases body, which
// must not change while it is in use.
func DecodeChat(env translate.Env, o Options, body []byte) (*ChatRequest, *translate.Failure) {
	return nil, translate.Invalid("", "not implemented")
}

// ToolName returns the client's name of a tool for the name that was sent to
// Gemini. Names it does not know pass through.
func (r *ChatRequest) ToolName(sent string) string { return sent }

// CustomTool reports whether the client declared the tool of this name (its
// own, see [ChatRequest.ToolName]) as a custom one: its call is answered with
// type custom and the member "input" of the arguments as plain text.
func (r *ChatRequest) CustomTool(name string) bool { return false }

// Unsign replaces thought signatures that Google refused by the documented
// placeholder. It reports false where nothing was left to replace.
func (r *ChatRequest) Unsign() bool { return false }
