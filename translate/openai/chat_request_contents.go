// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// contents writes the turns as Gemini takes them and mends what it would
// refuse. Source: specs/openai.md §3.2, §3.6 and §3.7.
func (d *decoder) contents() {
	g := &d.req.Gemini
	if d.schemaText != nil && len(d.system)+len(d.turns) > 0 {
		d.system = append(d.system, schemaPart(d.schemaText))
	}
	g.Contents = make([]gemini.Content, 0, len(d.turns)+1)
	if d.needsOpening() {
		g.Contents = append(g.Contents, gemini.Content{Role: "user", Parts: []gemini.Part{{Text: rawjson.Value(`" "`)}}})
	}
	for i := range d.turns {
		t := &d.turns[i]
		role := "user"
		if t.model {
			role = "model"
			t.sign(d.family)
		}
		g.Contents = append(g.Contents, gemini.Content{Role: role, Parts: t.parts})
		if len(t.calls) > 0 {
			g.Contents = append(g.Contents, gemini.Content{Role: "user", Parts: d.responses(t)})
		}
	}
	if n := len(d.turns); n > 0 && d.turns[n-1].model && len(d.turns[n-1].calls) == 0 && !d.family.Has(capability.Prefill) {
		g.Contents = append(g.Contents, gemini.Content{Role: "user", Parts: []gemini.Part{{Text: rawjson.Value(`"Continue."`)}}})
	}
	d.instruct()
	d.serverSide()
	if len(g.Contents) == 0 {
		d.reject(d.words.conversation, "'%s' must contain non-empty content.", d.words.conversation)
	}
}

// needsOpening reports whether a user turn must come before the first turn:
// calls may only follow one, and some models want to alternate from the user on.
func (d *decoder) needsOpening() bool {
	if len(d.turns) == 0 || !d.turns[0].model || len(d.system) > 0 && !d.family.Has(capability.System) {
		return false // in the last case the instruction comes first
	}
	return len(d.turns[0].calls) > 0 || d.family.Has(capability.UserFirst)
}

// responses answers the calls of a turn, all of them, in their order.
func (d *decoder) responses(t *turn) []gemini.Part {
	parts := make([]gemini.Part, 0, len(t.calls))
	for i := range t.calls {
		c := &t.calls[i]
		r := &gemini.FunctionResponse{ID: t.parts[c.part].FunctionCall.ID, Name: c.name, Response: c.response}
		if r.Response == nil {
			r.Response = gemini.NoResult
		}
		parts = append(parts, gemini.Part{FunctionResponse: r})
		if d.family.Has(capability.PartMedia) {
			for i := range c.media {
				c.media[i].MediaResolution = "" // has no place in there
			}
			r.Parts = c.media
		} else {
			parts = append(parts, c.media...)
		}
	}
	return parts
}

// instruct places the system messages: as systemInstruction, in the first user
// content for models without one, or as the content where there is no other.
func (d *decoder) instruct() {
	g := &d.req.Gemini
	switch {
	case len(d.system) == 0:
	case len(d.turns) == 0:
		g.Contents = append(g.Contents, gemini.Content{Role: "user", Parts: d.system})
	case d.family.Has(capability.System):
		g.SystemInstruction = d.system
	default:
		text := []byte{'"'}
		for _, p := range d.system {
			text = append(append(text, p.Text.Inner()...), `\n\n`...)
		}
		first := gemini.Part{Text: append(text, '"')}
		if d.turns[0].model {
			g.Contents = append([]gemini.Content{{Role: "user", Parts: []gemini.Part{first}}}, g.Contents...)
			return
		}
		g.Contents[0].Parts = append([]gemini.Part{first}, g.Contents[0].Parts...)
	}
}
