// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// isClean reports whether [Light] has nothing to change in v, without
// allocating. Most clients send such schemas with every request. A keyword it
// does not know makes it say no, which costs time but is never wrong.
func isClean(v rawjson.Value, depth int) bool {
	if v.Kind() != rawjson.Object || depth > MaxDepth {
		return false
	}
	var seen uint32
	var required, properties, typ rawjson.Value
	ref, plain := false, false
	for k, m := range v.Members() {
		bit, ok := cleanMember(k.Inner(), m, depth)
		if !ok || bit != 0 && seen&bit != 0 {
			return false
		}
		seen |= bit
		switch string(k.Inner()) {
		case "required":
			required, plain = m, true
		case "properties":
			properties, plain = m, true
		case "type":
			typ, plain = m, true
		case "$ref":
			ref = true
		case "$defs", "$id", "$anchor":
		default:
			plain = true
		}
	}
	if ref && (plain || depth == 0) || depth == 0 && typ == nil && properties != nil {
		return false
	}
	return declared(required, properties)
}

// cleanMember checks one keyword and returns its bit, to find repeated ones.
func cleanMember(key []byte, m rawjson.Value, depth int) (bit uint32, ok bool) {
	kind := m.Kind()
	switch string(key) {
	case "type":
		return 1 << 0, cleanType(m)
	case "description":
		return 1 << 1, kind == rawjson.String
	case "title":
		return 1 << 2, kind == rawjson.String
	case "format":
		return 1 << 3, kind == rawjson.String
	case "enum":
		return 1 << 4, cleanEnum(m)
	case "items":
		return 1 << 5, isClean(m, depth+1)
	case "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties":
		_, whole := m.Int()
		return 0, kind == rawjson.Number && whole
	case "minimum":
		return 1 << 6, finite(m)
	case "maximum":
		return 1 << 7, finite(m)
	case "anyOf":
		return 1 << 8, cleanList(m, depth+1)
	case "prefixItems":
		return 1 << 9, cleanList(m, depth+1)
	case "properties":
		return 1 << 10, cleanTable(m, depth+1)
	case "additionalProperties":
		return 1 << 11, kind == rawjson.Bool || isClean(m, depth+1)
	case "required":
		return 1 << 12, m.Len() > 0 && allStrings(m)
	case "propertyOrdering":
		return 1 << 13, allStrings(m)
	case "$ref":
		inner := m.Inner()
		return 1 << 14, string(inner) == "#" || bytes.HasPrefix(inner, []byte("#/$defs/")) && bytes.IndexByte(inner, '%') < 0
	case "$defs":
		return 1 << 15, depth == 0 && cleanTable(m, depth+1)
	case "$id", "$anchor":
		return 0, kind == rawjson.String
	case "pattern":
		return 1 << 16, kind == rawjson.String
	case "default":
		return 1 << 17, true
	}
	return 0, false
}

func cleanType(m rawjson.Value) bool {
	if m.Kind() == rawjson.String {
		return isType(m.Inner())
	}
	n := 0
	for _, e := range m.Elems() {
		if !isType(e.Inner()) {
			return false
		}
		n++
	}
	return n > 1
}

func isType(b []byte) bool {
	switch string(b) {
	case "string", "number", "integer", "boolean", "array", "object", "null":
		return true
	}
	return false
}

func cleanEnum(m rawjson.Value) bool {
	n := 0
	for _, e := range m.Elems() {
		if k := e.Kind(); k != rawjson.String && k != rawjson.Number {
			return false
		}
		n++
	}
	return n > 0
}

func cleanList(m rawjson.Value, depth int) bool {
	n := 0
	for _, e := range m.Elems() {
		if e.Len() == 0 || !isClean(e, depth) {
			return false
		}
		n++
	}
	return n > 0
}

func cleanTable(m rawjson.Value, depth int) bool {
	if m.Kind() != rawjson.Object {
		return false
	}
	for _, s := range m.Members() {
		if !isClean(s, depth) {
			return false
		}
	}
	return true
}

func allStrings(m rawjson.Value) bool {
	for _, e := range m.Elems() {
		if e.Kind() != rawjson.String {
			return false
		}
	}
	return m.Kind() == rawjson.Array
}

// declared reports whether every required name is a property. Comparing each
// with each is the cheapest way for the sizes people write; larger ones are left
// to the converter, which uses a map.
func declared(required, properties rawjson.Value) bool {
	if required == nil {
		return true
	}
	if len(required) > 1024 {
		return false
	}
next:
	for _, r := range required.Elems() {
		for k := range properties.Members() {
			if bytes.Equal(k, r) {
				continue next
			}
		}
		return false
	}
	return true
}
