// SPDX-License-Identifier: Apache-2.0

// Package capability knows what each model takes: the dialects ask it before they
// write a request, so that none is refused for what could be known.
package capability

import (
	_ "embed"
	"slices"
	"strings"
)

// Table is what models take: the built-in table, capabilities.json, with
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
type Table struct{ own []tableEntry }

// Trait is something a model family takes without answering 400, or several of
// them together.
type Trait uint32

// The traits, in the order of the table above.
const (
	Sampling      Trait = 1 << iota // temperature, top_p and top_k
	Penalties                       // presence_penalty and frequency_penalty
	LogProbs                        // logprobs
	Functions                       // function declarations
	JSONMode                        // answers held to JSON
	JSONWithTools                   // … together with tools
	MixedTools                      // Google's tools together with functions
	System                          // a system instruction
	Prefill                         // the conversation may end with the model
	UserFirst                       // the conversation must begin with the user
	JSONSchema                      // schemas are JSON Schema
	Validated                       // function calling mode VALIDATED
	Signed                          // calls in the history need a thought signature
	PartMedia                       // media in results of functions, resolution of each medium
	Speaks                          // answers are spoken
	Draws                           // answers may have images
)

// traitNames are the traits as tables call them.
var traitNames = map[string]Trait{
	"sampling": Sampling, "penalties": Penalties, "logprobs": LogProbs, "functions": Functions, "json": JSONMode,
	"json_with_tools": JSONWithTools, "mixed_tools": MixedTools, "system": System, "prefill": Prefill,
	"user_first": UserFirst, "json_schema": JSONSchema, "validated": Validated, "signatures": Signed,
	"part_media": PartMedia, "audio_output": Speaks, "image_output": Draws,
}

// Family is what the table says of a model. It is read only.
type Family struct {
	// Name is the built-in entry's match: models of one name take each other's
	// thought signatures.
	Name   string
	Traits Trait
	Reasoning
	Candidates  int64 // largest candidateCount
	OutputLimit int64 // largest maxOutputTokens; 0 = unknown
}

// Has reports whether the family has all of the traits.
func (f *Family) Has(t Trait) bool { return f.Traits&t == t }

// Searches reports whether Google Search can be among the tools. Speech, images of
// Gemini 2 and Gemma, which have none of Google's tools, are those that cannot be held to
// JSON either. Source: specs/openai.md §2.
func (f *Family) Searches() bool { return f.Has(JSONMode) }

// tableEntry is one element of a table.
type tableEntry struct {
	match       glob
	says        Trait // what it is about
	traits      Trait // … and is so
	reasoning   *Reasoning
	candidates  *int64
	outputLimit *int64
}

// apply writes what the entry says into f.
func (e *tableEntry) apply(f *Family) {
	f.Traits = f.Traits&^e.says | e.traits
	if e.reasoning != nil {
		f.Reasoning = *e.reasoning
	}
	if e.candidates != nil {
		f.Candidates = *e.candidates
	}
	if e.outputLimit != nil {
		f.OutputLimit = *e.outputLimit
	}
}

//go:embed capabilities.json
var builtInTable []byte

// builtIn is the built-in table, worked out.
var builtIn = func() (list []builtInFamily) {
	c, err := Parse(builtInTable)
	if err != nil {
		panic("capabilities.json: " + err.Error()) // a test parses it
	}
	for _, e := range c.own {
		f := Family{Name: e.match.String(), Candidates: 1}
		e.apply(&f)
		list = append(list, builtInFamily{e.match, f})
	}
	return list
}()

type builtInFamily struct {
	match glob
	Family
}

// Of finds what the built-in table says of a model id.
func Of(id string) *Family {
	for i := range builtIn {
		if f := &builtIn[i]; f.match.matches(id) {
			return &f.Family
		}
	}
	return &builtIn[len(builtIn)-1].Family
}

// Family finds what is known of a model id.
func (c *Table) Family(id string) *Family {
	f := Of(id)
	if c == nil {
		return f
	}
	var merged *Family
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
