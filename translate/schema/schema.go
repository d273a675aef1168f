// SPDX-License-Identifier: Apache-2.0

// Package schema turns the JSON Schemas of OpenAI and Anthropic clients into
// what Gemini accepts. The order of members is kept everywhere, because Gemini
// writes properties in the order it reads them.
//
// There are two targets. [Light] is for parametersJsonSchema and
// responseJsonSchema, which ignore unknown keywords; it repairs only what is
// refused or means something else there. [Strict] is for parameters and
// responseSchema, an OpenAPI 3 subset where one unknown keyword fails the whole
// request; it loses what the subset cannot say.
//
// Source: specs/openai.md §5.3 and §5.4, whose rule numbers the comments name.
package schema

import (
	"errors"
	"fmt"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Limits of a schema, before and after conversion.
const (
	MaxDepth = 32      // schemas within schemas
	MaxSize  = 1 << 20 // bytes
)

// The errors of [Light] and [Strict]; all are the client's fault.
var (
	ErrDepth = fmt.Errorf("the schema nests more than %d levels deep", MaxDepth)
	ErrSize  = fmt.Errorf("the schema is larger than %d bytes", MaxSize)
	ErrKind  = errors.New("a schema must be an object")

	ErrExpansion = errors.New("the schema grows too large when its references are expanded")
)

// Light converts v for Gemini's JSON Schema fields (converter A). A schema that
// needs no change is returned as it is. Converting twice changes nothing.
func Light(v rawjson.Value) (rawjson.Value, error) {
	if len(v) > MaxSize {
		return nil, ErrSize
	}
	if isClean(v, 0) {
		return v, nil
	}
	_, root, err := read(v)
	if err != nil {
		return nil, err
	}
	out := root.append(make([]byte, 0, len(v)))
	if len(out) > MaxSize {
		return nil, ErrSize
	}
	return out, nil
}

// Strict converts v for Gemini's OpenAPI fields (converter B). What [Light] made of
// a schema gives the same as the schema itself.
func Strict(v rawjson.Value) (rawjson.Value, error) { return subset(v, false) }

// Bare is [Strict] without the keywords that restrict values or only describe
// them for validators: for schemas that Google finds too complex. What is left is
// the form: types, properties, enums, descriptions.
func Bare(v rawjson.Value) (rawjson.Value, error) { return subset(v, true) }

func subset(v rawjson.Value, bare bool) (rawjson.Value, error) {
	if len(v) > MaxSize {
		return nil, ErrSize
	}
	c, root, err := read(v)
	if err != nil {
		return nil, err
	}
	defs := make(map[string]*node, len(c.defs))
	for _, d := range c.defs {
		defs[d.name] = d.node
	}
	out, err := expand(root, defs, bare, maxRecursion, len(v))
	if errors.Is(err, ErrExpansion) { // better less of a recursive schema than none
		out, err = expand(root, defs, bare, 0, len(v))
	}
	return out, err
}

// expand writes a schema that converter A has read, recursive definitions so many
// references deep.
func expand(root *node, defs map[string]*node, bare bool, most, size int) (rawjson.Value, error) {
	s := strict{root: root, defs: defs, bare: bare, most: most, open: map[string]int{}}
	out := s.append(make([]byte, 0, size), root, 0)
	if s.err != nil {
		return nil, s.err
	}
	if len(out) > MaxSize {
		return nil, ErrSize
	}
	return out, nil
}

// IsEmpty reports whether v asks for no property at all: missing, null, {}, or
// an object without properties. Gemini refuses such parameters of a function;
// they must be left out. Source: specs/openai.md §5.1.
func IsEmpty(v rawjson.Value) bool {
	if v.IsNull() {
		return true
	}
	if v.Kind() != rawjson.Object {
		return false
	}
	for k, m := range v.Members() {
		switch string(k.Inner()) {
		case "type":
			if t := string(m.Inner()); t != "object" && t != "OBJECT" {
				return false
			}
		case "properties", "required":
			if m.Len() > 0 {
				return false
			}
		case "$ref", "allOf", "anyOf", "oneOf", "patternProperties", "items", "enum", "const":
			return false
		case "additionalProperties":
			if m.Kind() == rawjson.Object && m.Len() > 0 {
				return false
			}
		}
	}
	return true
}

// IsObject reports whether the converted schema v describes an object.
func IsObject(v rawjson.Value) bool {
	typ := v.Get("type")
	if typ.IsNull() {
		return !v.Get("anyOf").IsNull() || !v.Get("$ref").IsNull()
	}
	for _, e := range typ.Elems() {
		if e.Is("object") {
			return true
		}
	}
	return typ.Is("object")
}
