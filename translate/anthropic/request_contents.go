// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// contents writes the turns as Gemini takes them and mends what it would refuse.
// Source: OS§3.5 to §3.7.
func (d *decoder) contents() {
	g, features := &d.req.gemini, d.req.features
	if len(d.turns) == 0 {
		d.reject("messages", "At least one message with content is required")
		return
	}
	if d.schemaText != nil {
		d.system = append(d.system, schemaPart(d.schemaText))
	}
	g.Contents = make([]gemini.Content, 0, len(d.turns)+2)
	if d.needsOpening() {
		g.Contents = append(g.Contents, gemini.Content{Role: "user", Parts: []gemini.Part{{Text: rawjson.Value(`" "`)}}})
	}
	for i := range d.turns {
		t := &d.turns[i]
		role := "user"
		if t.model {
			role = "model"
			d.sign(t)
		}
		g.Contents = append(g.Contents, gemini.Content{Role: role, Parts: t.parts})
		if len(t.calls) > 0 {
			g.Contents = append(g.Contents, gemini.Content{Role: "user", Parts: d.responses(t)})
		}
	}
	if t := d.last(); t.model && len(t.calls) == 0 && !features.Has(capability.Prefill) {
		g.Contents = append(g.Contents, gemini.Content{Role: "user", Parts: []gemini.Part{{Text: rawjson.Value(`"Continue."`)}}})
	}
	d.placeSystem()
}

// needsOpening reports whether a user turn must come before the first turn: calls may
// only follow one, and some models want to alternate from the user on.
func (d *decoder) needsOpening() bool {
	if !d.turns[0].model || len(d.system) > 0 && !d.req.features.Has(capability.System) {
		return false // in the last case the instruction comes first
	}
	return len(d.turns[0].calls) > 0 || d.req.features.Has(capability.UserFirst)
}

// placeSystem places the instruction, for models without one as the user's first
// words.
func (d *decoder) placeSystem() {
	g := &d.req.gemini
	switch {
	case len(d.system) == 0:
	case d.req.features.Has(capability.System):
		g.SystemInstruction = d.system
	case d.turns[0].model:
		g.Contents = append([]gemini.Content{{Role: "user", Parts: d.system}}, g.Contents...)
	default:
		g.Contents[0].Parts = append(d.system, g.Contents[0].Parts...)
	}
}
