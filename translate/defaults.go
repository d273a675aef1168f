// SPDX-License-Identifier: Apache-2.0

package translate

// Defaults are what an operator wants of requests for a model that say nothing of it
// themselves. The zero value wants nothing. Only dialects that are translated know of
// them: Google's own is passed on as it is.
type Defaults struct {
	// Thinking is how many tokens of thoughts there may be, cut to what the model takes:
	// 0 for as few as it can do with, -1 for as many as it likes; nil says nothing.
	Thinking *int64
	// Search has Google Search among the tools, where the model takes it beside what the
	// request asks for: functions, JSON, cached content, or no tools at all.
	Search bool
	// Safety are settings as Google takes them, in place of those of the dialect's
	// options; nil says nothing.
	Safety []byte
}
