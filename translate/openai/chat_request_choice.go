// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"slices"

	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// toolChoice reads tool_choice, the deprecated function_call and
// parallel_tool_calls. Source: specs/openai.md §6.
func (d *decoder) toolChoice() {
	if v := d.in.parallelToolCalls; v != nil && d.is(v, rawjson.Bool, "parallel_tool_calls") {
		d.req.ParallelCalls = v.IsTrue()
	}
	v, param := d.in.toolChoice, "tool_choice"
	if v == nil {
		v, param = d.in.functionCall, "function_call"
	}
	switch v.Kind() {
	case rawjson.Missing:
		d.choiceAuto()
	case rawjson.String:
		d.choiceWord(v, param)
	case rawjson.Object:
		d.choiceObject(v, param)
	default:
		d.reject(param, "Invalid type for '%s': expected a string or an object, but got %s instead.", param, v.Kind())
	}
}

// choiceAuto leaves Google's default, unless arguments must follow the schema.
func (d *decoder) choiceAuto() {
	if d.strict && len(d.functions) > 0 && d.family.Has(capability.Validated) {
		d.req.Gemini.ToolConfig.Mode = "VALIDATED"
	}
}

func (d *decoder) choiceWord(v rawjson.Value, param string) {
	config := &d.req.Gemini.ToolConfig
	switch word := v.Text(); word {
	case "auto":
		d.choiceAuto()
	case "none":
		// Declarations stay, so that calls in the history are known; built-in
		// tools have no such switch.
		d.builtIns, d.toolless = nil, true
		if len(d.functions) > 0 {
			config.Mode = "NONE"
		}
	case "required", "any":
		switch {
		case len(d.functions) > 0:
			config.Mode = "ANY"
		case len(d.builtIns) == 0:
			d.reject(param, "'%s' is %q, but no tools were given.", param, word)
		}
	default:
		d.reject(param, "Unknown value %q for '%s'. Use none, auto, required or a tool.", clip(word), param)
	}
}

func (d *decoder) choiceObject(v rawjson.Value, param string) {
	typ := v.Get("type").Text()
	config := &d.req.Gemini.ToolConfig
	switch typ {
	case "function", "custom", "":
		if name, ok := d.chosenName(v, typ, param); ok {
			config.Mode, config.Allowed = "ANY", []string{name}
		}
	case "allowed_tools":
		d.allowedTools(v, param)
	case "auto", "none", "required", "any":
		d.choiceWord(v.Get("type"), param)
	case "code_interpreter":
		d.choiceBuiltIn("codeExecution", typ, param)
	case "image_generation":
		if !d.family.Has(capability.Draws) { // else it is among the tools, or what the model does anyway
			d.reject(param, "The tool %q in '%s' is not among the tools.", typ, param)
		}
	default:
		if isWebSearch(typ) {
			d.choiceBuiltIn("googleSearch", typ, param)
			return
		}
		d.reject(param, "Tools of type %q are not supported in '%s'.", clip(typ), param)
	}
}

// choiceBuiltIn accepts the choice of a built-in tool, which Gemini cannot be
// forced to use, as long as it is there.
func (d *decoder) choiceBuiltIn(name, typ, param string) {
	if !slices.ContainsFunc(d.builtIns, func(t gemini.Tool) bool { return t.BuiltIn == name }) {
		d.reject(param, "The tool %q in '%s' is not among the tools.", typ, param)
	}
}

// chosenName reads {"type":"function","function":{"name"}}, its flat form and
// function_call's {"name"}, and returns the name to send.
func (d *decoder) chosenName(v rawjson.Value, typ, param string) (string, bool) {
	name, path := v.Get("name"), param+".name"
	if typ != "" {
		if nested := v.Get(typ); !nested.IsNull() {
			name, path = nested.Get("name"), param+"."+typ+".name"
		}
	}
	if !d.is(name, rawjson.String, path) {
		return "", false
	}
	client := fullName(v, name).Text()
	if !d.req.names.Declared(client) {
		d.reject(param, "The tool %q is not among the tools.", clip(client))
		return "", false
	}
	return d.req.names.Sent(client), true
}

// allowedTools restricts the choice. AUTO takes no names, so that automatic
// choice becomes VALIDATED, and where a model has no such mode only the allowed
// functions are declared.
func (d *decoder) allowedTools(v rawjson.Value, param string) {
	if nested := v.Get("allowed_tools"); !nested.IsNull() {
		v, param = nested, param+".allowed_tools"
	}
	tools := v.Get("tools")
	if !d.is(v, rawjson.Object, param) || !d.is(tools, rawjson.Array, param+".tools") {
		return
	}
	if tools.Len() == 0 {
		d.reject(param+".tools", "'%s.tools' must not be empty.", param)
		return
	}
	var names []string
	for i, t := range tools.Elems() {
		path := index(param+".tools", i, "")
		if !d.is(t, rawjson.Object, path) {
			return
		}
		typ := t.Get("type").Text()
		if typ != "function" && typ != "custom" {
			continue // a built-in tool; it cannot be restricted
		}
		name, ok := d.chosenName(t, typ, path)
		if !ok {
			return
		}
		names = append(names, name)
	}
	config := &d.req.Gemini.ToolConfig
	switch mode := v.Get("mode"); {
	case mode.Is("required"):
		config.Mode = "ANY"
	case !mode.IsNull() && !mode.Is("auto"):
		d.reject(param+".mode", "'%s.mode' must be auto or required.", param)
		return
	case d.family.Has(capability.Validated):
		config.Mode = "VALIDATED"
	default:
		d.functions = slices.DeleteFunc(d.functions, func(f gemini.FunctionDeclaration) bool {
			return !slices.Contains(names, f.Name)
		})
		return
	}
	if len(names) > 0 {
		config.Allowed = names
		return
	}
	config.Mode = ""
	d.choiceAuto()
}

// cachedContent reads the name of cached content.
func (d *decoder) cachedContent(v rawjson.Value, param string) {
	switch {
	case !d.is(v, rawjson.String, param):
	case v.IsEmptyString():
		d.reject(param, "'%s' must not be empty.", param)
	default:
		d.req.Gemini.CachedContent = v
		if d.opts.Cache == nil || d.failure != nil {
			return
		}
		if f := d.opts.Cache(v.Text()); f != nil {
			f.Param, d.failure = param, f
		}
	}
}

// cached refuses what Google refuses beside cached content, which has its own
// instruction and tools.
func (d *decoder) cached() {
	g := &d.req.Gemini
	if g.CachedContent == nil {
		return
	}
	if len(g.SystemInstruction) > 0 || len(g.Tools) > 0 || g.ToolConfig.Mode != "" {
		d.reject("cached_content", "'cached_content' cannot be used together with system messages, tools or a tool choice; they belong into the cached content.")
	}
}
