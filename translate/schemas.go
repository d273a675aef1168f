// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"hash/maphash"
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
	"github.com/gemini-balance/caddy-gemini-balance/translate/schema"
)

// Schemas is in which form the JSON Schemas of a request are written. Google refuses
// some that its documents allow: too many states, nested too deep, or nothing that
// its message tells. They are tried again in the older subset, and last without
// constraints. Which form a model took last is remembered by the schemas' hash,
// because agents send the same tools with every request. The zero value is that of
// JSON Schema itself. Source: specs/openai.md §5.3.
type Schemas struct {
	form plainness
	key  string // in the memo; "" without schemas or memo
}

// plainness is the form of a request's schemas.
type plainness uint8

const (
	asJSONSchema plainness = iota // converter A
	asSubset                      // converter B
	asBare                        // … without constraints
)

// Start begins with the form that the model took last. It has to be called once,
// when the request's schemas are written as the model's family takes them.
func (s *Schemas) Start(r *gemini.Request, model string, family *capability.Family, memo Memo) {
	if !family.Has(capability.JSONSchema) {
		s.form = asSubset
	}
	if memo == nil || !hasSchemas(r) {
		return
	}
	s.key = capability.Of(model).Name + "/schema/" + strconv.FormatUint(schemasHash(r), 36)
	if form, ok := memo.Signature(s.key); ok && len(form) == 1 {
		for s.form < plainness(form[0]-'0') && s.plainer(r) {
		}
	}
}

// Relax writes the schemas in the next plainer form and remembers it. It reports
// false, and changes nothing, where there is none; see [Relaxed].
func (s *Schemas) Relax(r *gemini.Request, memo Memo) bool {
	if !s.plainer(r) {
		return false
	}
	if memo != nil && s.key != "" {
		memo.Remember(s.key, string(rune('0'+s.form)))
	}
	return true
}

// plainer writes the schemas in the next plainer form, all or none.
func (s *Schemas) plainer(r *gemini.Request) bool {
	if s.form == asBare || !hasSchemas(r) {
		return false
	}
	convert := schema.Strict
	if s.form == asSubset {
		convert = schema.Bare
	}
	functions := make([][]gemini.FunctionDeclaration, len(r.Tools))
	for i, t := range r.Tools {
		for _, f := range t.Functions {
			v := either(f.JSONSchema, f.Schema)
			if f.JSONSchema = nil; v != nil {
				out, err := convert(v)
				if err != nil {
					return false
				}
				if f.Schema = out; schema.IsEmpty(out) {
					f.Schema = nil
				}
			}
			functions[i] = append(functions[i], f)
		}
	}
	if v := either(r.Config.ResponseJSONSchema, r.Config.ResponseSchema); v != nil {
		out, err := convert(v)
		if err != nil {
			return false
		}
		r.Config.ResponseJSONSchema, r.Config.ResponseSchema = nil, out
	}
	for i := range functions {
		r.Tools[i].Functions = functions[i]
	}
	s.form++
	return true
}

func either(a, b rawjson.Value) rawjson.Value {
	if a != nil {
		return a
	}
	return b
}

// eachSchema calls do with every schema of the request until it returns false.
func eachSchema(r *gemini.Request, do func(rawjson.Value) bool) {
	for _, t := range r.Tools {
		for i := range t.Functions {
			f := &t.Functions[i]
			if v := either(f.JSONSchema, f.Schema); v != nil && !do(v) {
				return
			}
		}
	}
	if v := either(r.Config.ResponseJSONSchema, r.Config.ResponseSchema); v != nil {
		do(v)
	}
}

func hasSchemas(r *gemini.Request) (has bool) {
	eachSchema(r, func(rawjson.Value) bool {
		has = true
		return false
	})
	return has
}

// hashSeed is the process's own, so that nobody can prepare schemas of one hash.
var hashSeed = maphash.MakeSeed()

func schemasHash(r *gemini.Request) uint64 {
	var h maphash.Hash
	h.SetSeed(hashSeed)
	eachSchema(r, func(v rawjson.Value) bool {
		_, _ = h.Write(v)
		_ = h.WriteByte(0)
		return true
	})
	return h.Sum64()
}
