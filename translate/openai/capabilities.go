// SPDX-License-Identifier: Apache-2.0

package openai

import (
	_ "embed"
	"slices"
	"strings"
)

// Capabilities is what models take: the built-in table, capabilities.json, with
// an operator's entries laid over it. nil is the built-in table alone. It is read
// only and may be shared.
//
// A table is {"models": [entry, …]}. An entry says for which model ids it is and
// then any of the following. The built-in entry that fits first holds; of the
// operator's, the first that names a property does.
//
//	match            model id; * stands for any characters
//	note             a remark for people, also beside models; means nothing
//	sampling         temperature, top_p and top_k have an effect; they are dropped otherwise
//	penalties        presence_penalty and frequency_penalty are taken; dropped otherwise
//	logprobs         logprobs are given; refused otherwise
//	candidates       choices that one call can write, 1 to 8; more take a call each
//	functions        functions can be declared; tools are refused otherwise
//	json             answers can be held to JSON; response_format is refused otherwise
//	json_with_tools  … together with tools; else it is asked for in words
//	mixed_tools      Google's tools and functions go together
//	system           there is a system instruction; else it becomes text of the user
//	prefill          the conversation may end with the model; else "Continue." is added
//	user_first       the conversation must begin with the user
//	json_schema      schemas are JSON Schema; else the older OpenAPI subset
//	validated        calls can be held to their schema without being forced
//	signatures       calls in the history need a thought signature
//	part_media       each medium may have its resolution, and results of functions may have media
//	audio_output     answers are spoken, and nothing else
//	image_output     answers may have images
//	output_limit     largest max_tokens, which are cut to it; 0 = unknown
//	thinking_budget  reasoning is measured in tokens: {"min", "max", "off"}, off = can be switched off
//	thinking_levels  reasoning is measured in words, from least to most, of MINIMAL, LOW, MEDIUM and HIGH
//
// A model has at most one of the last two; an empty list of levels means that it
// does not think. Source: specs/openai.md §2.
type Capabilities struct{ own []tableEntry }

// trait is something a model family takes without answering 400.
type trait uint32

const (
	sampling trait = 1 << iota
	penalties
	logProbs
	functions
	jsonMode
	jsonWithTools
	mixedTools
	system
	prefill
	userFirst
	jsonSchema
	validated
	signed
	partMedia
	speaks
	draws
)

// traitNames are the traits as tables call them.
var traitNames = map[string]trait{
	"sampling": sampling, "penalties": penalties, "logprobs": logProbs, "functions": functions, "json": jsonMode,
	"json_with_tools": jsonWithTools, "mixed_tools": mixedTools, "system": system, "prefill": prefill,
	"user_first": userFirst, "json_schema": jsonSchema, "validated": validated, "signatures": signed,
	"part_media": partMedia, "audio_output": speaks, "image_output": draws,
}

// thinking is how a family's reasoning is steered.
type thinking uint8

const (
	noThinking thinking = iota // a thinkingConfig is refused
	byBudget                   // thinkingBudget, a number of tokens
	byLevel                    // thinkingLevel, a word
)

// reasoning is what a table says of thinking.
type reasoning struct {
	thinking  thinking
	minBudget int64 // byBudget: smallest budget besides zero
	maxBudget int64
	off       bool     // byBudget: takes 0
	levels    []string // byLevel: from least to most
}

// family is what the table says of a model.
type family struct {
	name   string // the built-in entry's match: models of one name take each other's thought signatures
	traits trait
	reasoning
	candidates  int64 // largest candidateCount
	outputLimit int64 // largest maxOutputTokens; 0 = unknown
}

func (f *family) has(t trait) bool { return f.traits&t == t }

// tableEntry is one element of a table.
type tableEntry struct {
	match       glob
	says        trait // what it is about
	traits      trait // … and is so
	reasoning   *reasoning
	candidates  *int64
	outputLimit *int64
}

// apply writes what the entry says into f.
func (e *tableEntry) apply(f *family) {
	f.traits = f.traits&^e.says | e.traits
	if e.reasoning != nil {
		f.reasoning = *e.reasoning
	}
	if e.candidates != nil {
		f.candidates = *e.candidates
	}
	if e.outputLimit != nil {
		f.outputLimit = *e.outputLimit
	}
}

//go:embed capabilities.json
var builtInTable []byte

// builtIn is the built-in table, worked out.
var builtIn = func() (list []builtInFamily) {
	c, err := ParseCapabilities(builtInTable)
	if err != nil {
		panic("capabilities.json: " + err.Error()) // a test parses it
	}
	for _, e := range c.own {
		f := family{name: e.match.String(), candidates: 1}
		e.apply(&f)
		list = append(list, builtInFamily{e.match, f})
	}
	return list
}()

type builtInFamily struct {
	match glob
	family
}

// familyOf finds what the built-in table says of a model id.
func familyOf(id string) *family {
	for i := range builtIn {
		if f := &builtIn[i]; f.match.matches(id) {
			return &f.family
		}
	}
	return &builtIn[len(builtIn)-1].family
}

// family finds what is known of a model id.
func (c *Capabilities) family(id string) *family {
	f := familyOf(id)
	if c == nil {
		return f
	}
	var merged *family
	for _, e := range slices.Backward(c.own) {
		if !e.match.matches(id) {
			continue
		}
		if merged == nil {
			own := *f
			merged = &own
		}
		e.apply(merged)
	}
	if merged == nil {
		return f
	}
	return merged
}

// glob is a pattern in which * stands for any characters, cut at the stars.
type glob []string

func newGlob(pattern string) glob { return strings.Split(pattern, "*") }

func (g glob) String() string { return strings.Join(g, "*") }

func (g glob) matches(id string) bool {
	rest, ok := strings.CutPrefix(id, g[0])
	if !ok || len(g) == 1 {
		return ok && rest == ""
	}
	last := len(g) - 1
	for _, part := range g[1:last] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, g[last])
}
