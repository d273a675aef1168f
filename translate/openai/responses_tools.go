// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// namespaced is a tool of a namespace: {"type":"namespace","name","tools":[…]}.
// Gemini has no such thing, so that the function is declared under both names
// in one, and calls of it name both again.
// Source: specs/native-anthropic.md §E, Codex CLI.
type namespaced struct{ space, name string }

// namespace reads the tools of a namespace.
func (d *decoder) namespace(list []tool, v rawjson.Value, i int) []tool {
	path := toolPath{list: "tools", i: i}
	name, tools := v.Get("name"), v.Get("tools")
	if !d.isTool(name, rawjson.String, path, ".name") || !d.isTool(tools, rawjson.Array, path, ".tools") {
		return list
	}
	space := name.Text()
	for j, f := range tools.Elems() {
		at := toolPath{list: path.String() + ".tools", i: j}
		if !d.isTool(f, rawjson.Object, at, "") {
			return list
		}
		t := d.namespaceTool(f, space, at)
		if d.failure != nil || len(list) >= maxTools {
			return list
		}
		if t.name != "" { // "" stands for a built-in tool
			list = append(list, t)
		}
	}
	return list
}

// namespaceTool reads one function or custom tool of a namespace.
func (d *decoder) namespaceTool(v rawjson.Value, space string, path toolPath) (t tool) {
	bare := v.Get("name")
	if !d.isTool(bare, rawjson.String, path, ".name") {
		return t
	}
	full := joinNamespace(space, bare.Text())
	v = renamed(v, full)
	switch typ := v.Get("type"); {
	case typ.IsNull(), typ.Is("function"):
		t = d.function(v, path)
	case typ.Is("custom"):
		t = d.custom(v, path)
	default:
		d.reject(path.String()+".type", "Tools of type %q are not supported in a namespace.", clip(typ.Text()))
		return t
	}
	if d.req.names.spaces == nil {
		d.req.names.spaces = map[string]namespaced{}
	}
	d.req.names.spaces[full] = namespaced{space, bare.Text()}
	return t
}

// joinNamespace is the one name of a tool in a namespace.
func joinNamespace(space, name string) string {
	if space == "" || strings.HasSuffix(space, "__") {
		return space + name
	}
	return space + "__" + name
}

// renamed is a copy of an object with another name; the last one counts.
func renamed(v rawjson.Value, name string) rawjson.Value {
	out := append([]byte(nil), v[:len(v)-1]...)
	out = append(out, `,"name":`...)
	return append(rawjson.AppendQuoted(out, name), '}')
}

// fullName is the name of a call or choice that may name its namespace apart.
func fullName(v, name rawjson.Value) rawjson.Value {
	if space := v.Get("namespace"); space.Kind() == rawjson.String && !space.IsEmptyString() {
		return rawjson.Quote(joinNamespace(space.Text(), name.Text()))
	}
	return name
}
