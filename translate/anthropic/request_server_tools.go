// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"slices"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// serverTool takes a tool that Anthropic runs, if typ is one: Google runs its own in
// its place. max_uses and user_location have no counterpart.
func (d *decoder) serverTool(typ string, m *toolMembers, param toolPath) bool {
	t := &serverTool{typ: typ, name: m.name.Text()}
	switch {
	case strings.HasPrefix(typ, "tool_search_tool_"):
		d.searchable = true // Gemini sees all tools, so that there is nothing to search
		return true
	case strings.HasPrefix(typ, "advisor_"):
		return true // a model that other models ask; there is none
	case strings.HasPrefix(typ, "web_search_"):
		d.domains(t, m, param)
		d.req.search = t
	case strings.HasPrefix(typ, "web_fetch_"):
		d.domains(t, m, param)
		d.req.fetch = t
	case strings.HasPrefix(typ, "code_execution_"):
		d.req.code = t
	default:
		return false
	}
	if t.name == "" {
		t.name = typ[:strings.LastIndexByte(typ, '_')]
	}
	d.serverNames = append(d.serverNames, t.name)
	return true
}

// domains reads where a search may look.
func (d *decoder) domains(t *serverTool, m *toolMembers, param toolPath) {
	read := func(v rawjson.Value, tail string) (list []string) {
		if v == nil || !d.is(v, rawjson.Array, param.field(tail)) {
			return nil
		}
		for _, e := range v.Elems() {
			if !d.is(e, rawjson.String, param.field(tail)) {
				return nil
			}
			list = append(list, e.Text())
		}
		return list
	}
	t.allowed, t.blocked = read(m.allowed, "allowed_domains"), read(m.blocked, "blocked_domains")
	if len(t.allowed) > 0 && len(t.blocked) > 0 {
		d.reject(param.field("blocked_domains"), "allowed_domains and blocked_domains cannot be used together")
	}
}

// combine puts Google's tools and functions together where the model takes both;
// elsewhere functions win. Source: C.3, OS§5.5.
func (d *decoder) combine() {
	r, g := d.req, &d.req.gemini
	if (len(d.functions) > 0 && !r.features.Has(capability.MixedTools)) || r.features.Has(capability.Speaks) {
		r.search, r.fetch, r.code = nil, nil, nil
	}
	for _, b := range [...]struct {
		tool *serverTool
		name string
	}{{r.search, "googleSearch"}, {r.fetch, "urlContext"}, {r.code, "codeExecution"}} {
		if b.tool == nil {
			continue
		}
		g.Tools = append(g.Tools, gemini.Tool{BuiltIn: b.name})
		d.tellDomains(b.tool)
	}
	if d.searchByDefault() {
		g.Tools = append(g.Tools, gemini.Tool{BuiltIn: "googleSearch"})
	}
	if len(d.functions) > 0 {
		if len(g.Tools) > 0 {
			g.ToolConfig.ServerSide = true
			if g.ToolConfig.Mode == "" {
				g.ToolConfig.Mode = "VALIDATED"
			}
		}
		g.Tools = append(g.Tools, gemini.Tool{Functions: d.functions})
	}
	if d.replays && len(g.Tools) > 0 {
		g.ToolConfig.ServerSide = true
	}
}

// searchByDefault reports whether the operator wants a search that nothing else in the
// request speaks against. The answer tells nothing of it: the client knows no such tool.
// With functions it would have to, since what Google's tools did must come back in the
// next turn.
func (d *decoder) searchByDefault() bool {
	asJSON := d.in.outputFormat != nil || !d.in.outputConfig.Get("format").IsNull()
	return d.defaults.Search && d.req.features.Searches() && d.req.search == nil && len(d.functions) == 0 &&
		!d.in.toolChoice.Get("type").Is("none") && (!asJSON || d.req.features.Has(capability.JSONWithTools))
}

// tellDomains says in words what Google's tools cannot be held to. Citations of
// other domains are left out of the answer.
func (d *decoder) tellDomains(t *serverTool) {
	for _, rule := range [...]struct {
		text    string
		domains []string
	}{{"Only use web pages of these domains: ", t.allowed}, {"Do not use web pages of these domains: ", t.blocked}} {
		if len(rule.domains) > 0 {
			d.instruct(rule.text + strings.Join(rule.domains, ", ") + ".")
		}
	}
}

// instruct adds a sentence to the system instruction, once.
func (d *decoder) instruct(text string) {
	if !slices.ContainsFunc(d.system, func(p gemini.Part) bool { return p.Text.Is(text) }) {
		d.system = append(d.system, gemini.Part{Text: rawjson.Quote(text)})
	}
}

// choice reads tool_choice.
func (d *decoder) choice() {
	v, g := d.in.toolChoice, &d.req.gemini
	typ := v.Get("type")
	if v != nil && (!d.is(v, rawjson.Object, "tool_choice") || !d.is(typ, rawjson.String, "tool_choice.type")) {
		return
	}
	if v.Get("disable_parallel_tool_use").IsTrue() && len(d.functions) > 0 {
		d.req.oneCall = true
		d.instruct("Call at most one function at a time, and wait for its result before you call another.")
	}
	switch word := typ.Text(); word {
	case "", "auto":
		if d.strict && len(d.functions) > 0 && d.req.features.Has(capability.Validated) {
			g.ToolConfig.Mode = "VALIDATED"
		}
	case "any":
		switch {
		case len(d.functions) > 0:
			g.ToolConfig.Mode = "ANY"
		case len(d.serverNames) == 0:
			d.reject("tool_choice", "may only be specified while providing tools")
		}
	case "none":
		// Declarations stay, so that calls in the history are known; Google's tools
		// have no such switch.
		d.req.search, d.req.fetch, d.req.code = nil, nil, nil
		if len(d.functions) > 0 {
			g.ToolConfig.Mode = "NONE"
		}
	case "tool":
		d.chosen(v.Get("name"))
	default:
		d.reject("tool_choice.type", "Input should be 'auto', 'any', 'none' or 'tool'")
	}
}

// chosen forces one tool. Google's own cannot be forced.
func (d *decoder) chosen(v rawjson.Value) {
	if !d.is(v, rawjson.String, "tool_choice.tool.name") {
		return
	}
	name := v.Text()
	switch g := &d.req.gemini; {
	case slices.ContainsFunc(d.tools, func(t tool) bool { return t.name == name && d.effective(&t) }):
		g.ToolConfig.Mode, g.ToolConfig.Allowed = "ANY", []string{d.req.names.Sent(name)}
	case slices.Contains(d.serverNames, name):
	default:
		d.reject("tool_choice.tool.name", "Tool %q not found in provided tools", clip(name))
	}
}
