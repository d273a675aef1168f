// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
	"github.com/gemini-balance/caddy-gemini-balance/translate/schema"
)

// customSchema is what a custom tool becomes: a function of one text.
const customSchema = `{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}`

// tools reads tools or the deprecated functions: first all names, so that
// invented ones cannot clash, then the declarations.
// Source: specs/openai.md §5.1 and §5.2.
func (d *decoder) tools() {
	tools, param := d.in.tools, "tools"
	if tools == nil && d.in.functions != nil {
		tools, param = d.in.functions, "functions"
		d.req.LegacyFunctions = true
	}
	if tools == nil || !d.is(tools, rawjson.Array, param) {
		return
	}
	var list []tool
	for i, v := range tools.Elems() {
		if i >= maxTools {
			d.reject(param, "At most %d tools are supported.", maxTools)
		}
		if d.words.items && v.Get("type").Is("namespace") {
			list = d.namespace(list, v, i)
		} else if t := d.tool(v, param, i); t.name != "" {
			list = append(list, t)
		}
		if d.failure != nil {
			return
		}
	}
	if len(list) == 0 {
		return
	}
	if len(list) > maxFunctions {
		d.reject(param, "At most %d functions are supported.", maxFunctions)
		return
	}
	if !d.family.Has(capability.Functions) {
		d.reject(param, "%s does not support functions.", d.req.Target)
		return
	}
	declarations := make([]gemini.FunctionDeclaration, 0, len(list))
	for _, t := range list {
		declarations = append(declarations, d.declaration(t))
	}
	d.functions = declarations
}

// tool is one function tool of the client.
type tool struct {
	name                    string
	description, parameters rawjson.Value
	path                    toolPath
}

// toolPath is the place of a tool in the request, written out only for errors.
type toolPath struct {
	list string // tools or functions
	i    int
	tail string // ".function", ".custom" or ""
}

func (p toolPath) String() string { return index(p.list, p.i, p.tail) }

// isTool is is for a field of a tool.
func (d *decoder) isTool(v rawjson.Value, kind rawjson.Kind, p toolPath, tail string) bool {
	return v.Kind() == kind || d.is(v, kind, p.String()+tail)
}

// tool reads one tool. Built-in tools are noted, not returned.
func (d *decoder) tool(v rawjson.Value, param string, i int) (t tool) {
	path := toolPath{list: param, i: i}
	if !d.isTool(v, rawjson.Object, path, "") {
		return t
	}
	if d.req.LegacyFunctions {
		return d.function(v, path)
	}
	typ := v.Get("type")
	if !typ.IsNull() && !d.isTool(typ, rawjson.String, path, ".type") {
		return t
	}
	switch word := string(typ.Inner()); word {
	case "function", "custom":
		f := v.Get(word)
		if f.IsNull() && v.Get("name").Kind() == rawjson.String {
			f = v // flat, as the Responses API writes it
		} else if path.tail = "." + word; !d.isTool(f, rawjson.Object, path, "") {
			return t
		}
		if word == "custom" {
			return d.custom(f, path)
		}
		return d.function(f, path)
	case "code_interpreter":
		d.builtIn("codeExecution", nil, path.String())
	case "image_generation":
		if !d.family.Has(capability.Draws) {
			d.reject(path.String()+".type", "%s cannot generate images; use a model whose id contains -image.", d.req.Target)
			return t
		}
		if d.req.Gemini.Config.ResponseModalities == nil {
			d.req.Gemini.Config.ResponseModalities = []string{"TEXT", "IMAGE"}
		}
	default:
		if isWebSearch(word) {
			d.builtIn("googleSearch", nil, path.String())
			return t
		}
		if d.nativeTool(v, path.String()) || d.failure != nil || d.words.items && word == "tool_search" {
			return t
		}
		if typ.IsNull() {
			d.reject(path.String()+".type", "Missing required parameter: '%s'.", path.String()+".type")
			return t
		}
		d.reject(path.String()+".type", "Tools of type %q are not supported. Supported are function, custom, web_search and code_interpreter.", clip(word))
	}
	return t
}

// isWebSearch knows the types of OpenAI's search, which come with dates.
func isWebSearch(typ string) bool {
	return typ == "web_search" || strings.HasPrefix(typ, "web_search_")
}

// function reads a function tool. Without parameters and with the name of a
// built-in tool it means that tool (§5.6).
func (d *decoder) function(v rawjson.Value, path toolPath) (t tool) {
	var strictly rawjson.Value
	var name rawjson.Value
	for k, m := range v.Members() {
		if m.IsNull() {
			continue
		}
		switch string(k.Inner()) {
		case "name":
			name = m
		case "description":
			t.description = m
		case "parameters":
			t.parameters = m
		case "strict":
			strictly = m
		}
	}
	t.path = path
	if !d.isTool(name, rawjson.String, path, ".name") {
		return t
	}
	t.name = name.Text()
	if t.name == "" {
		d.reject(path.String()+".name", "A function must have a name.")
		return t
	}
	if t.description != nil && !d.isTool(t.description, rawjson.String, path, ".description") {
		return t
	}
	if strictly != nil && d.isTool(strictly, rawjson.Bool, path, ".strict") && strictly.IsTrue() {
		d.strict = true
	}
	native := nativeName(t.name)
	if native == "googleMaps" && d.place(t.parameters, path.String()+".parameters") || native != "" && schema.IsEmpty(t.parameters) {
		d.builtIn(native, nil, path.String())
		return tool{}
	}
	if !d.req.names.Declare(t.name) {
		d.reject(path.String()+".name", "The function name %q is used twice.", clip(t.name))
	}
	return t
}

// custom reads a custom tool, which takes free text. A grammar cannot be
// enforced; the description asks for it.
func (d *decoder) custom(v rawjson.Value, path toolPath) (t tool) {
	name, description := v.Get("name"), v.Get("description")
	if !d.isTool(name, rawjson.String, path, ".name") || !description.IsNull() && !d.isTool(description, rawjson.String, path, ".description") {
		return t
	}
	t = tool{name: name.Text(), parameters: rawjson.Value(customSchema), path: path}
	if t.name == "" || !d.req.names.Declare(t.name) {
		d.reject(path.String()+".name", "The name of a custom tool must be there and unique.")
		return t
	}
	if d.req.names.custom == nil {
		d.req.names.custom = map[string]bool{}
	}
	d.req.names.custom[t.name] = true
	if !description.IsNull() {
		t.description = description
	}
	format := v.Get("format")
	grammar := format.Get("grammar").Get("definition")
	if grammar.IsNull() {
		grammar = format.Get("definition")
	}
	if grammar.Kind() == rawjson.String {
		text := t.description.Text()
		if text != "" {
			text += "\n\n"
		}
		t.description = rawjson.Quote(text + "The input must follow this grammar:\n" + grammar.Text())
	}
	return t
}

// declaration converts one function tool.
func (d *decoder) declaration(t tool) gemini.FunctionDeclaration {
	f := gemini.FunctionDeclaration{Name: d.req.names.Sent(t.name)}
	if !t.description.IsEmptyString() {
		f.Description = t.description
	}
	if schema.IsEmpty(t.parameters) {
		return f
	}
	if !d.isTool(t.parameters, rawjson.Object, t.path, ".parameters") {
		return f
	}
	out, err := schema.Light(t.parameters)
	if err == nil && !schema.IsObject(out) {
		d.reject(t.path.String()+".parameters", "The parameters of a function must be a schema of type object.")
		return f
	}
	if err == nil && schema.IsEmpty(out) {
		return f
	}
	if f.JSONSchema = out; err == nil && !d.family.Has(capability.JSONSchema) {
		f.JSONSchema = nil
		f.Schema, err = schema.Strict(t.parameters)
	}
	if err != nil {
		d.reject(t.path.String()+".parameters", "Invalid schema of function %q: %v.", clip(t.name), err)
	}
	return f
}

// nativeName returns Gemini's name of a built-in tool in either spelling.
func nativeName(s string) string {
	switch s {
	case "googleSearch", "google_search":
		return "googleSearch"
	case "codeExecution", "code_execution":
		return "codeExecution"
	case "urlContext", "url_context":
		return "urlContext"
	case "googleMaps", "google_maps":
		return "googleMaps"
	}
	return ""
}

// nativeTool reads a tool as Gemini's API writes it: {"googleSearch":{}}, with
// no type or with that name as type.
func (d *decoder) nativeTool(v rawjson.Value, path string) bool {
	typ := v.Get("type")
	for k, m := range v.Members() {
		name := nativeName(string(k.Inner()))
		if name == "" || !typ.IsNull() && nativeName(typ.Text()) != name {
			continue
		}
		var options rawjson.Value
		switch {
		case m.IsNull():
		case name == "googleSearch":
			options = d.copyKnown(m, searchShape, path+"."+k.Text())
		case name == "googleMaps":
			options = d.copyKnown(m, mapsShape, path+"."+k.Text())
			d.place(m, path+"."+k.Text())
		default:
			d.is(m, rawjson.Object, path+"."+k.Text())
		}
		d.builtIn(name, options, path)
		return true
	}
	if name := nativeName(typ.Text()); name != "" {
		d.builtIn(name, nil, path)
		return true
	}
	return false
}

// builtIn notes a built-in tool that the client asked for.
func (d *decoder) builtIn(name string, options rawjson.Value, path string) {
	for i := range d.builtIns {
		if d.builtIns[i].BuiltIn == name {
			if options != nil {
				d.builtIns[i].Options = options
			}
			return
		}
	}
	if d.builtInPath == "" {
		d.builtInPath = path
	}
	d.builtIns = append(d.builtIns, gemini.Tool{BuiltIn: name, Options: options})
}

// search reads the other ways to ask for a web search.
func (d *decoder) search() {
	if v := d.in.webSearchOptions; v != nil && d.is(v, rawjson.Object, "web_search_options") {
		d.builtIn("googleSearch", nil, "web_search_options")
	}
}

// searchByDefault reports whether the operator wants a search that nothing else in the
// request speaks against: what the client asked for is not given up for it.
func (d *decoder) searchByDefault() bool {
	asJSON := d.in.responseFormat != nil && !d.in.responseFormat.Get("type").Is("text")
	return d.defaults.Search && d.family.Searches() && !d.toolless &&
		(len(d.functions) == 0 || d.family.Has(capability.MixedTools)) &&
		(!asJSON || d.family.Has(capability.JSONWithTools)) &&
		d.req.Gemini.CachedContent == nil // which has its own tools
}

// combine puts built-in tools and functions together where the model takes both
// (§5.5).
func (d *decoder) combine() {
	g := &d.req.Gemini
	if d.suffixSearch && (len(d.functions) == 0 || d.family.Has(capability.MixedTools)) || d.searchByDefault() {
		d.builtIn("googleSearch", nil, "model")
	}
	if len(d.builtIns) > 0 && len(d.functions) > 0 {
		switch {
		case d.family.Has(capability.MixedTools):
		case d.words.items: // agents declare a search beside their functions whatever the model
			g.Tools = []gemini.Tool{{Functions: d.functions}}
			g.ToolConfig.RetrievalRaw = nil
			return
		default:
			d.reject(d.builtInPath, "%s cannot use built-in tools and functions in one request.", d.req.Target)
			return
		}
		g.ToolConfig.ServerSide = true
		if g.ToolConfig.Mode == "" {
			g.ToolConfig.Mode = "VALIDATED"
		}
	}
	if len(d.builtIns) > 0 && d.family.Has(capability.Speaks) {
		d.reject(d.builtInPath, "%s does not support tools.", d.req.Target)
		return
	}
	if len(d.builtIns) == 0 {
		g.ToolConfig.RetrievalRaw = nil
	}
	g.Tools = d.builtIns
	if len(d.functions) > 0 {
		g.Tools = append(g.Tools, gemini.Tool{Functions: d.functions})
	}
}
