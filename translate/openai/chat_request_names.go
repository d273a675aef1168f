// SPDX-License-Identifier: Apache-2.0

package openai

import "github.com/gemini-balance/caddy-gemini-balance/translate/gemini"

// toolNames are the names of a request's tools, with what of them is OpenAI's own.
type toolNames struct {
	gemini.ToolNames
	custom map[string]bool       // those of custom tools
	spaces map[string]namespaced // tools that stand in a namespace, by declared name
}
