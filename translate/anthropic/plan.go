// SPDX-License-Identifier: Apache-2.0

package anthropic

import "github.com/gemini-balance/caddy-gemini-balance/translate/gemini"

// plan is what the conversion of an answer has to know of its request.
type plan struct {
	model  string // as the client wrote it; answers echo it
	asked  string // what aliases and permissions go by
	named  string // the name of Claude's that asked stands in for, "" for none; permissions go by it as well
	target string // Gemini model id
	family string // models of one family take each other's thought signatures

	stream    bool  // stream
	maxTokens int64 // max_tokens as the client wrote it, 0 for count_tokens

	// thinking: the client asked for thinking and must get signed thinking blocks.
	// Without it, answers have none.
	thinking bool
	// thoughts: the text of thoughts is shown in them; else it stays empty.
	thoughts bool

	// oneCall: disable_parallel_tool_use; only the first call of an answer counts.
	oneCall bool
	// stops are stop sequences that Gemini was not told, as it takes five: what comes
	// after one of them is to be cut. None is empty.
	stops []string
	// json: output_config.format asked for JSON.
	json bool

	// The server tools that are declared and sent. A tool that had to give way to
	// functions is not among them.
	search, fetch, code *serverTool

	names gemini.ToolNames // Client gives the client's name of a tool

	conversation string // the client's name of it, "" for none; see [translate.Call]
}

// serverTool is a tool of Anthropic's that one of Google's stands for.
type serverTool struct {
	typ, name        string   // for example web_search_20250305 and web_search
	allowed, blocked []string // domains, whose citations are let through or not
}
