// SPDX-License-Identifier: Apache-2.0

package openai

import "strings"

// trait is something a model family takes without answering 400.
type trait uint32

const (
	sampling      trait = 1 << iota // temperature, top_p and top_k have an effect
	penalties                       // presence and frequency penalty
	logProbs                        // logprobs
	functions                       // function declarations
	jsonMode                        // responseMimeType application/json
	jsonWithTools                   // the same together with tools
	mixedTools                      // built-in tools together with functions
	system                          // systemInstruction
	prefill                         // a model turn at the end
	alternation                     // contents must begin with a user turn
	jsonSchema                      // parametersJsonSchema, responseJsonSchema
	validated                       // function calling mode VALIDATED
	signed                          // function calls in history need a signature
	partMedia                       // mediaResolution per part, media in functionResponse
	speaks                          // answers in audio only
	draws                           // answers with images
)

// thinking is how a family's reasoning is steered.
type thinking uint8

const (
	noThinking thinking = iota // a thinkingConfig is refused
	byBudget                   // thinkingBudget, a number of tokens
	byLevel                    // thinkingLevel, a word
)

// family is one row of the table of specs/openai.md §2.
type family struct {
	prefix, infix string // of the model ids in this row
	traits        trait
	candidates    int64 // largest candidateCount
	outputLimit   int64 // largest maxOutputTokens; 0 = unknown
	thinking      thinking
	minBudget     int64  // byBudget: smallest budget besides zero
	maxBudget     int64  // byBudget
	canDisable    bool   // byBudget: takes 0
	lowest        string // byLevel: the level of least thinking
	medium        string // byLevel: what medium effort maps to
}

func (f *family) has(t trait) bool { return f.traits&t == t }

const (
	classic = functions | jsonMode | system | prefill
	since25 = classic | jsonSchema | validated
	since3  = since25 | jsonWithTools | mixedTools | signed | partMedia
	newest  = since3 &^ prefill
)

// families is searched from the top; the first row whose prefix and infix match
// holds. The last one makes unknown models behave like the newest.
var families = []family{
	{prefix: "", infix: "-tts", traits: sampling | prefill | jsonSchema | speaks, candidates: 1},
	{prefix: "gemini-3-pro-image", traits: (since3 | sampling | draws) &^ functions, candidates: 1, thinking: byBudget, minBudget: 128, maxBudget: 32768},
	{prefix: "gemini-2", infix: "-image", traits: sampling | system | prefill | jsonSchema | draws, candidates: 1},
	{prefix: "", infix: "-image", traits: (since3 | sampling | draws) &^ functions, candidates: 1},
	{prefix: "gemma-2", traits: sampling | functions | prefill | alternation, candidates: 1},
	{prefix: "gemma-3", traits: sampling | functions | prefill | alternation, candidates: 1},
	{prefix: "gemma-", traits: sampling | functions | system | prefill | alternation, candidates: 1},
	{prefix: "gemini-1", traits: classic | sampling | penalties | logProbs, candidates: 8, outputLimit: 8192},
	{prefix: "gemini-2.0-", traits: classic | sampling | penalties | logProbs, candidates: 8, outputLimit: 8192},
	{prefix: "gemini-2.5-pro", traits: since25 | sampling, candidates: 8, outputLimit: 65536, thinking: byBudget, minBudget: 128, maxBudget: 32768},
	{prefix: "gemini-2.5-flash-lite", traits: since25 | sampling, candidates: 8, outputLimit: 65536, thinking: byBudget, minBudget: 512, maxBudget: 24576, canDisable: true},
	{prefix: "gemini-2.5-", traits: since25 | sampling, candidates: 8, outputLimit: 65536, thinking: byBudget, minBudget: 1, maxBudget: 24576, canDisable: true},
	{prefix: "gemini-3-pro", traits: since3 | sampling, candidates: 1, outputLimit: 65536, thinking: byLevel, lowest: "LOW", medium: "HIGH"},
	{prefix: "gemini-3-", traits: since3 | sampling, candidates: 1, outputLimit: 65536, thinking: byLevel, lowest: "MINIMAL", medium: "MEDIUM"},
	{prefix: "gemini-3.1-pro", traits: since3 | sampling, candidates: 1, outputLimit: 65536, thinking: byLevel, lowest: "LOW", medium: "MEDIUM"},
	{prefix: "gemini-pro-latest", traits: since3 | sampling, candidates: 1, outputLimit: 65536, thinking: byLevel, lowest: "LOW", medium: "MEDIUM"},
	{prefix: "gemini-3.1-flash", traits: since3 | sampling, candidates: 1, outputLimit: 65536, thinking: byLevel, lowest: "MINIMAL", medium: "MEDIUM"},
	{prefix: "gemini-3.5-flash-lite", traits: newest | sampling, candidates: 1, outputLimit: 65536, thinking: byLevel, lowest: "MINIMAL", medium: "MEDIUM"},
	{prefix: "gemini-3.5-", traits: since3 | sampling, candidates: 1, outputLimit: 65536, thinking: byLevel, lowest: "MINIMAL", medium: "MEDIUM"},
	{prefix: "gemini-3.6-", traits: newest, candidates: 1, outputLimit: 65536, thinking: byLevel, lowest: "MINIMAL", medium: "MEDIUM"},
	{prefix: "gemini-", infix: "flash-lite", traits: newest, candidates: 1, thinking: byLevel, lowest: "MINIMAL", medium: "MEDIUM"},
	{prefix: "", traits: newest, candidates: 1, thinking: byLevel, lowest: "LOW", medium: "MEDIUM"},
}

// familyOf finds the row of a model id.
func familyOf(id string) *family {
	for i := range families {
		f := &families[i]
		if strings.HasPrefix(id, f.prefix) && strings.Contains(id, f.infix) {
			return f
		}
	}
	return &families[len(families)-1]
}
