// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"hash/maphash"
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
	"github.com/gemini-balance/caddy-gemini-balance/translate/schema"
)

// Google refuses some schemas that its documents allow: too many states, nested
// too deep, or nothing that its message tells. They are tried again in the older
// subset, and last without constraints. Which form a model took last is remembered
// by the schemas' hash, because agents send the same tools with every request.
// Source: specs/openai.md §5.3.

// plainness is the form of a request's schemas.
type plainness uint8

const (
	asJSONSchema plainness = iota // converter A
	asSubset                      // converter B
	asBare                        // … without constraints
)

// relaxation is the state of a request's schemas.
type relaxation struct {
	form plainness
	key  string // in the memo; "" without schemas or memo
}

var (
	_ translate.Relaxed = (*Chat)(nil)
	_ translate.Relaxed = (*Responses)(nil)
)

// Relax implements [translate.Relaxed].
func (x *Chat) Relax() bool {
	if !x.req.relax(x.env.Memo) {
		return false
	}
	x.call.Body, x.call.Pieces = x.req.Gemini.Encode(nil, x.call.Length())
	return true
}

// Relax implements [translate.Relaxed].
func (x *Responses) Relax() bool {
	if !x.req.relax(x.env.Memo) {
		return false
	}
	x.call.Body, x.call.Pieces = x.req.Gemini.Encode(nil, x.call.Length())
	return true
}

// relaxed starts from the form that the model took last.
func (d *decoder) relaxed() {
	r := d.req
	if !d.family.Has(capability.JSONSchema) {
		r.schemas.form = asSubset
	}
	if d.env.Memo == nil || !r.hasSchemas() {
		return
	}
	r.schemas.key = capability.Of(r.Target).Name + "/schema/" + strconv.FormatUint(r.schemasHash(), 36)
	if form, ok := d.env.Memo.Signature(r.schemas.key); ok && len(form) == 1 {
		for r.schemas.form < plainness(form[0]-'0') && r.plainer() {
		}
	}
}

// relax writes the schemas in the next plainer form and remembers it.
func (r *ChatRequest) relax(memo translate.Memo) bool {
	if !r.plainer() {
		return false
	}
	if memo != nil && r.schemas.key != "" {
		memo.Remember(r.schemas.key, string(rune('0'+r.schemas.form)))
	}
	return true
}

// plainer writes the schemas in the next plainer form, all or none.
func (r *ChatRequest) plainer() bool {
	if r.schemas.form == asBare || !r.hasSchemas() {
		return false
	}
	convert := schema.Strict
	if r.schemas.form == asSubset {
		convert = schema.Bare
	}
	functions := make([][]gemini.FunctionDeclaration, len(r.Gemini.Tools))
	for i, t := range r.Gemini.Tools {
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
	config := &r.Gemini.Config
	if v := either(config.ResponseJSONSchema, config.ResponseSchema); v != nil {
		out, err := convert(v)
		if err != nil {
			return false
		}
		config.ResponseJSONSchema, config.ResponseSchema = nil, out
	}
	for i := range functions {
		r.Gemini.Tools[i].Functions = functions[i]
	}
	r.schemas.form++
	return true
}

func either(a, b rawjson.Value) rawjson.Value {
	if a != nil {
		return a
	}
	return b
}

// eachSchema calls do with every schema of the request until it returns false.
func (r *ChatRequest) eachSchema(do func(rawjson.Value) bool) {
	for _, t := range r.Gemini.Tools {
		for i := range t.Functions {
			f := &t.Functions[i]
			if v := either(f.JSONSchema, f.Schema); v != nil && !do(v) {
				return
			}
		}
	}
	if v := either(r.Gemini.Config.ResponseJSONSchema, r.Gemini.Config.ResponseSchema); v != nil {
		do(v)
	}
}

func (r *ChatRequest) hasSchemas() (has bool) {
	r.eachSchema(func(rawjson.Value) bool {
		has = true
		return false
	})
	return has
}

// hashSeed is the process's own, so that nobody can prepare schemas of one hash.
var hashSeed = maphash.MakeSeed()

func (r *ChatRequest) schemasHash() uint64 {
	var h maphash.Hash
	h.SetSeed(hashSeed)
	r.eachSchema(func(v rawjson.Value) bool {
		_, _ = h.Write(v)
		_ = h.WriteByte(0)
		return true
	})
	return h.Sum64()
}
