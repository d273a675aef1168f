// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// instance appends a small value that a schema allows: every property, the first
// of every choice, the least of every number. say is what strings say.
func instance(dst []byte, schema, root rawjson.Value, say string, depth int) []byte {
	if depth > 8 {
		return append(dst, "null"...)
	}
	if ref := schema.Get("$ref"); ref != nil {
		return instance(dst, resolve(root, ref.Text()), root, say, depth+1)
	}
	for _, fixed := range []string{"const", "example", "default"} {
		if v := schema.Get(fixed); v != nil {
			return append(dst, v...)
		}
	}
	for _, v := range schema.Get("enum").Elems() {
		return append(dst, v...)
	}
	for _, union := range []string{"anyOf", "any_of", "oneOf"} {
		for _, s := range schema.Get(union).Elems() {
			return instance(dst, s, root, say, depth+1)
		}
	}
	for _, s := range schema.Get("allOf").Elems() {
		return instance(dst, s, root, say, depth+1)
	}
	switch kindOf(schema) {
	case "string":
		return rawjson.AppendQuoted(dst, text(schema.Get("format").Text(), say))
	case "integer", "number":
		if v := schema.Get("minimum"); v != nil {
			return append(dst, v...)
		}
		return append(dst, '1')
	case "boolean":
		return append(dst, "true"...)
	case "null":
		return append(dst, "null"...)
	case "array":
		n, ok := get(schema, "minItems").Int()
		if !ok {
			n = 1
		}
		dst = append(dst, '[')
		for i := range min(n, 100) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = instance(dst, schema.Get("items"), root, say, depth+1)
		}
		return append(dst, ']')
	}
	dst = append(dst, '{')
	first := true
	for name, s := range schema.Get("properties").Members() {
		if depth > 4 && !required(schema, name) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(append(dst, name...), ':')
		dst = instance(dst, s, root, say, depth+1)
	}
	return append(dst, '}')
}

// kindOf is the type of a schema in lower case; of several the first.
func kindOf(schema rawjson.Value) string {
	t := schema.Get("type")
	for _, e := range t.Elems() {
		t = e
		break
	}
	switch {
	case t != nil:
		return strings.ToLower(t.Text())
	case schema.Get("properties") != nil:
		return "object"
	case schema.Get("items") != nil:
		return "array"
	case schema == nil:
		return "string"
	}
	return "object"
}

func required(schema, name rawjson.Value) bool {
	for _, r := range schema.Get("required").Elems() {
		if r.Text() == name.Text() {
			return true
		}
	}
	return false
}

// resolve follows a local reference such as #/$defs/Node.
func resolve(root rawjson.Value, ref string) rawjson.Value {
	v := root
	for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#"), "/") {
		if name != "" {
			v = v.Get(name)
		}
	}
	return v
}

func text(format, say string) string {
	switch format {
	case "date-time":
		return "2026-11-25T12:00:00Z"
	case "date":
		return "2026-11-25"
	case "time":
		return "12:00:00Z"
	case "email":
		return "someone@example.com"
	case "uri":
		return "https://example.com/"
	case "uuid":
		return "00000000-0000-4000-8000-000000000000"
	}
	return say
}
