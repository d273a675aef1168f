// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"strconv"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
	"github.com/gemini-balance/caddy-gemini-balance/translate/schema"
)

// Tools, by specs/native-anthropic.md C.3. All names are read first, so that invented
// ones cannot clash, and declared last, when the conversation has told which of the
// deferred ones are loaded.

// tool is one tool that the client runs.
type tool struct {
	name                string
	description, schema rawjson.Value
	param               toolPath // where its schema stands
	deferred            bool
}

// toolPath is the place of a tool in the request, written out only for errors: the
// index in tools, or of the message that defines it where inline is set.
type toolPath struct {
	i      int
	inline string
}

func (p toolPath) field(tail string) string {
	if p.inline != "" {
		return p.inline + "." + tail
	}
	return "tools." + strconv.Itoa(p.i) + "." + tail
}

// readTools reads tools.
func (d *decoder) readTools() {
	v := d.in.tools
	if v == nil || !d.is(v, rawjson.Array, "tools") {
		return
	}
	for i, t := range v.Elems() {
		if i >= maxTools {
			d.reject("tools", "At most %d tools are supported", maxTools)
		}
		if d.failure != nil {
			return
		}
		if t.Kind() != rawjson.Object {
			d.is(t, rawjson.Object, "tools."+strconv.Itoa(i))
			return
		}
		d.readTool(t, toolPath{i: i})
	}
}

// toolMembers are those of a tool; null ones are nil. Others mean nothing to Gemini.
type toolMembers struct {
	typ, name, description, schema, deferred, strict rawjson.Value
	allowed, blocked                                 rawjson.Value // domains
}

func readToolMembers(v rawjson.Value) (m toolMembers) {
	for k, e := range v.Members() {
		if e.IsNull() {
			continue
		}
		switch string(k.Inner()) {
		case "type":
			m.typ = e
		case "name":
			m.name = e
		case "description":
			m.description = e
		case "input_schema":
			m.schema = e
		case "defer_loading":
			m.deferred = e
		case "strict":
			m.strict = e
		case "allowed_domains":
			m.allowed = e
		case "blocked_domains":
			m.blocked = e
		}
	}
	return m
}

// readTool reads one tool of any kind.
func (d *decoder) readTool(v rawjson.Value, param toolPath) {
	m := readToolMembers(v)
	if m.typ != nil && m.typ.Kind() != rawjson.String {
		d.is(m.typ, rawjson.String, param.field("type"))
		return
	}
	typ := m.typ.Text()
	if typ != "" && typ != "custom" {
		if d.serverTool(typ, &m, param) || d.failure != nil {
			return
		}
		if m.schema = clientSchema(typ); m.schema == nil {
			d.reject(param.field("type"), "unsupported tool type %q", clip(typ))
			return
		}
	}
	if m.name.Kind() != rawjson.String {
		d.is(m.name, rawjson.String, param.field("name"))
		return
	}
	t := tool{name: m.name.Text(), schema: m.schema, param: param, deferred: m.deferred.IsTrue()}
	if t.name == "" {
		d.reject(param.field("name"), "String should have at least 1 character")
		return
	}
	if !m.description.IsEmptyString() {
		if t.description = m.description; t.description != nil && t.description.Kind() != rawjson.String {
			d.is(t.description, rawjson.String, param.field("description"))
			return
		}
	}
	if t.schema == nil {
		d.missing(param.field("input_schema"))
		return
	}
	if !d.req.names.Declare(t.name) {
		d.reject("tools", "Tool names must be unique, and %q is used twice", clip(t.name))
		return
	}
	d.strict = d.strict || m.strict.IsTrue()
	d.tools = append(d.tools, t)
}

// load makes a deferred or removed tool count, or not.
func (d *decoder) load(name string, on bool) {
	if d.loaded == nil {
		d.loaded = map[string]bool{}
	}
	d.loaded[name] = on
}

// effective reports whether a tool is offered to the model.
func (d *decoder) effective(t *tool) bool {
	if on, ok := d.loaded[t.name]; ok {
		return on
	}
	return !t.deferred || d.searchable || d.in.toolChoice.Get("name").Is(t.name)
}

// declare writes the tools that are offered.
func (d *decoder) declare() {
	for i := range d.tools {
		if t := &d.tools[i]; d.effective(t) {
			d.functions = append(d.functions, d.declaration(t))
		}
		if d.failure != nil {
			return
		}
	}
	switch {
	case len(d.functions) == 0:
	case len(d.functions) > maxFunctions:
		d.reject("tools", "At most %d tools are supported at a time", maxFunctions)
	case !d.req.features.Has(capability.Functions):
		d.reject("tools", "%s does not support tools", d.req.target)
	}
}

// declaration converts one tool.
func (d *decoder) declaration(t *tool) gemini.FunctionDeclaration {
	f := gemini.FunctionDeclaration{Name: d.req.names.Sent(t.name), Description: t.description}
	if schema.IsEmpty(t.schema) {
		return f
	}
	param := func() string { return t.param.field("input_schema") }
	if t.schema.Kind() != rawjson.Object {
		d.is(t.schema, rawjson.Object, param())
		return f
	}
	out, err := schema.Light(t.schema)
	if err == nil && !schema.IsObject(out) {
		d.reject(param()+".type", "Input should be 'object'")
		return f
	}
	if err == nil && schema.IsEmpty(out) {
		return f
	}
	if f.JSONSchema = out; err == nil && !d.req.features.Has(capability.JSONSchema) {
		f.JSONSchema = nil
		f.Schema, err = schema.Strict(t.schema)
	}
	if err != nil {
		d.reject(param(), "%v", err)
	}
	return f
}

// clientSchema is what the tools take that Anthropic names by a type and a date: they
// come without a schema, because Claude knows them. nil is an unknown one.
func clientSchema(typ string) rawjson.Value {
	switch {
	case strings.HasPrefix(typ, "bash_"):
		return bashSchema
	case typ == "text_editor_20241022", typ == "text_editor_20250124":
		return undoingEditorSchema
	case strings.HasPrefix(typ, "text_editor_"):
		return editorSchema
	case strings.HasPrefix(typ, "memory_"):
		return memorySchema
	}
	return nil
}

var (
	bashSchema = rawjson.Value(`{"type":"object","properties":{` +
		`"command":{"type":"string","description":"The command to run. Required unless restart is true."},` +
		`"restart":{"type":"boolean","description":"Restarts the shell."}}}`)
	editorSchema        = editor(`"view","create","str_replace","insert"`)
	undoingEditorSchema = editor(`"view","create","str_replace","insert","undo_edit"`)
	memorySchema        = rawjson.Value(`{"type":"object","properties":{` +
		`"command":{"type":"string","enum":["view","create","str_replace","insert","delete","rename"]},` +
		`"path":{"type":"string","description":"Path below /memories; all commands but rename need it."},` +
		`"view_range":` + viewRange + `,` +
		`"file_text":{"type":"string","description":"create: the content of the file."},` +
		`"old_str":{"type":"string","description":"str_replace: the text to replace."},` +
		`"new_str":{"type":"string","description":"str_replace: the text that takes its place."},` +
		`"insert_line":{"type":"integer","description":"insert: the line after which to insert; 0 is the beginning."},` +
		`"insert_text":{"type":"string","description":"insert: the text to insert."},` +
		`"old_path":{"type":"string","description":"rename: the present path."},` +
		`"new_path":{"type":"string","description":"rename: the path to be."}},"required":["command"]}`)
)

const viewRange = `{"type":"array","items":{"type":"integer"},"description":"view: the first and the last line to show; -1 is the end."}`

// editor is the schema of a text editor with these commands. Its newer versions call
// the text to insert insert_text.
func editor(commands string) rawjson.Value {
	return rawjson.Value(`{"type":"object","properties":{` +
		`"command":{"type":"string","enum":[` + commands + `]},` +
		`"path":{"type":"string","description":"Absolute path of the file or directory."},` +
		`"view_range":` + viewRange + `,` +
		`"file_text":{"type":"string","description":"create: the content of the file."},` +
		`"old_str":{"type":"string","description":"str_replace: the text to replace; it must occur exactly once."},` +
		`"new_str":{"type":"string","description":"str_replace: the text that takes its place. insert: the text to insert."},` +
		`"insert_line":{"type":"integer","description":"insert: the line after which to insert; 0 is the beginning."},` +
		`"insert_text":{"type":"string","description":"insert: the text to insert, where new_str is not used for it."}},"required":["command","path"]}`)
}
