// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// strict writes a tree that converter A has read in the OpenAPI subset.
type strict struct {
	root  *node
	defs  map[string]*node
	bare  bool           // without constraints
	most  int            // references deep that a recursive definition is expanded
	open  map[string]int // definitions being expanded → how often
	depth int            // sum of open
	nodes int
	err   error
}

// maxRecursion is how many references deep a recursive definition is expanded
// (B6).
const maxRecursion = 5

// maxExpanded is how many schemas one may become when references are expanded.
const maxExpanded = 20_000

const anyObject = `{"type":"object"}`

// append writes n, the subschema at the given depth.
func (s *strict) append(dst []byte, n *node, depth int) []byte {
	if s.err != nil {
		return dst
	}
	if depth > MaxDepth {
		s.err = ErrDepth
		return dst
	}
	if s.nodes++; len(dst) > MaxSize || s.nodes > maxExpanded {
		s.err = ErrExpansion
		return dst
	}
	if m := n.get("$ref"); m != nil {
		return s.inline(dst, m.ref.target, depth)
	}
	n, null := unionOfOne(n)
	if n.get("$ref") != nil {
		at := len(dst)
		dst = s.append(dst, n, depth)
		return makeNullable(dst, at, null)
	}
	types := n.types()
	if k := without(types, "null"); len(types) > 1 && len(k) < len(types) {
		types, null = k, true
	}
	if len(n.members) == 0 || onlyDefs(n) {
		return makeNullable(append(dst, anyObject...), len(dst), null)
	}
	dst = append(dst, '{')
	start := len(dst)
	w := &keywords{strict: s, n: n, types: types, depth: depth, start: start, dst: dst}
	w.write()
	if null {
		w.key("nullable")
		w.dst = append(w.dst, "true"...)
	}
	return append(w.dst, '}')
}

func onlyDefs(n *node) bool {
	for _, m := range n.members {
		if m.name != "$defs" {
			return false
		}
	}
	return true
}

// makeNullable adds the keyword to the schema written at dst[at:].
func makeNullable(dst []byte, at int, null bool) []byte {
	if !null || len(dst) <= at+2 || dst[len(dst)-1] != '}' || bytes.HasSuffix(dst, []byte(`"nullable":true}`)) {
		return dst
	}
	return append(dst[:len(dst)-1], `,"nullable":true}`...)
}

// inline writes the definition a reference means (B6).
func (s *strict) inline(dst []byte, target string, depth int) []byte {
	name, rest, ok := local(target)
	def := s.defs[name]
	if target == "#" {
		name, ok, def = target, true, s.root
	}
	if !ok || rest != "" || def == nil || s.open[name] > 0 && s.depth >= s.most {
		return append(dst, anyObject...)
	}
	s.open[name]++
	s.depth++
	dst = s.append(dst, def, depth)
	s.depth--
	s.open[name]--
	return dst
}

// unionOfOne resolves anyOf with a null branch (B4): null is a property of the
// schema, and a union of one is that one.
func unionOfOne(n *node) (_ *node, null bool) {
	m := n.get("anyOf")
	if m == nil {
		return n, false
	}
	var list []*node
	for _, b := range m.list {
		if t := b.types(); len(t) == 1 && t[0] == "null" {
			null = true
			continue
		}
		list = append(list, b)
	}
	out := &node{}
	for _, k := range n.members {
		if k != m {
			out.members = append(out.members, k)
		}
	}
	switch len(list) {
	case 0:
		if len(out.members) == 0 {
			out.setTypes([]string{"null"}, "")
			null = false
		}
		return out, null
	case 1:
		if list[0].get("$ref") != nil {
			return list[0], null
		}
		out.merge(list[0])
		inner, innerNull := unionOfOne(out)
		return inner, null || innerNull
	}
	out.members = append(out.members, &member{key: m.key, name: "anyOf", list: list})
	return out, null
}

func without(list []string, s string) []string {
	var kept []string
	for _, e := range list {
		if e != s {
			kept = append(kept, e)
		}
	}
	return kept
}

// keywords writes the keywords of one schema.
type keywords struct {
	*strict
	n     *node
	types []string // without null
	depth int
	start int // offset after the opening brace
	dst   []byte
}

func (w *keywords) key(name string) {
	if len(w.dst) > w.start {
		w.dst = append(w.dst, ',')
	}
	w.dst = append(rawjson.AppendQuoted(w.dst, name), ':')
}

func (w *keywords) is(name string) bool { return len(w.types) == 1 && w.types[0] == name }

// write goes through the allow-list of B1.
func (w *keywords) write() {
	union := w.n.get("anyOf")
	shaped := w.n.get("properties") != nil || w.n.get("items") != nil
	enum := w.n.get("enum")
	if union == nil && len(w.types) > 1 && enum != nil && stringly(enum.words) {
		w.types = []string{"string"} // of several kinds, its words become one (B3)
	}
	if union != nil && !shaped || len(w.types) > 1 {
		w.union(union)
		return
	}
	w.impliedType(enum)
	for _, m := range w.n.members {
		if w.bare && constrains(m.name) || w.misplaced(m.name) {
			continue
		}
		switch m.name {
		case "type":
			if len(w.types) == 1 && !(enum != nil && stringly(enum.words)) {
				w.key("type")
				w.dst = rawjson.AppendQuoted(w.dst, w.types[0])
			}
		case "enum":
			w.enum(m.words)
		case "format":
			if w.allowsFormat(m.raw.Text()) {
				w.raw(m)
			}
		case "properties":
			w.properties(m)
		case "items":
			w.key("items")
			w.dst = w.append(w.dst, m.node, w.depth+1)
		case "required", "propertyOrdering":
			w.key(m.name)
			w.dst = appendArray(w.dst, m.words)
		case "title", "description", "minItems", "maxItems", "minProperties", "maxProperties",
			"minLength", "maxLength", "pattern", "minimum", "maximum", "default", "example":
			w.raw(m)
		}
	}
	if w.is("array") && w.n.get("items") == nil {
		w.tuple()
	}
}

// misplaced reports whether a keyword is about a type that the schema has not:
// Gemini refuses "minimum" of a string, which numbers in an enum become (B3).
func (w *keywords) misplaced(keyword string) bool {
	switch keyword {
	case "minimum", "maximum":
		e := w.n.get("enum")
		return !w.is("integer") && !w.is("number") || e != nil && stringly(e.words)
	}
	typ := about(keyword)
	return typ != "" && !w.is(typ)
}

// constrains reports whether a keyword is left out of a bare schema.
func constrains(keyword string) bool {
	switch keyword {
	case "format", "title", "minItems", "maxItems", "minProperties", "maxProperties",
		"minLength", "maxLength", "pattern", "minimum", "maximum", "default", "example":
		return true
	}
	return false
}

func (w *keywords) raw(m *member) {
	w.key(m.name)
	w.dst = append(w.dst, m.raw...)
}

// impliedType writes a type where the schema has none: the subset has no "any".
func (w *keywords) impliedType(enum *member) {
	switch {
	case len(w.types) > 0:
		return
	case enum != nil:
		if stringly(enum.words) {
			return // the enum brings its type
		}
		w.types = []string{"string"}
	case w.n.get("items") != nil || w.n.get("prefixItems") != nil:
		w.types = []string{"array"}
	default:
		w.types = []string{"object"}
	}
	w.key("type")
	w.dst = rawjson.AppendQuoted(w.dst, w.types[0])
}

// stringly reports whether an enum has members that must become strings (B3).
func stringly(words []rawjson.Value) bool {
	for _, e := range words {
		if e.Kind() != rawjson.String {
			return true
		}
	}
	return false
}

func (w *keywords) enum(words []rawjson.Value) {
	convert := stringly(words)
	var list []rawjson.Value
	for _, e := range words {
		if e.Kind() != rawjson.String {
			e = rawjson.Quote(string(e))
		}
		if !e.IsEmptyString() {
			list = append(list, e)
		}
	}
	if convert {
		w.key("type")
		w.dst = append(w.dst, `"string"`...)
		if !w.bare {
			w.key("format")
			w.dst = append(w.dst, `"enum"`...)
		}
	}
	if len(list) > 0 {
		w.key("enum")
		w.dst = appendArray(w.dst, list)
	}
}

// allowsFormat is B7.
func (w *keywords) allowsFormat(format string) bool {
	if e := w.n.get("enum"); e != nil && stringly(e.words) {
		return false
	}
	switch format {
	case "enum", "date-time":
		return w.is("string")
	case "int32", "int64", "float", "double":
		return w.is("integer") || w.is("number")
	}
	return false
}

func (w *keywords) properties(m *member) {
	if len(m.table) == 0 { // B9
		return
	}
	w.key("properties")
	w.dst = append(w.dst, '{')
	for i, p := range m.table {
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		w.dst = append(append(w.dst, p.key...), ':')
		w.dst = w.append(w.dst, p.node, w.depth+1)
	}
	w.dst = append(w.dst, '}')
}

// tuple gives an array without items some: a union of the tuple's, or strings
// (B8).
func (w *keywords) tuple() {
	w.key("items")
	m := w.n.get("prefixItems")
	if m == nil {
		w.dst = append(w.dst, `{"type":"string"}`...)
		return
	}
	var list []string
	seen := map[string]bool{}
	for _, e := range m.list {
		if s := string(w.append(nil, e, w.depth+2)); !seen[s] {
			seen[s] = true
			list = append(list, s)
		}
	}
	w.branches(list)
}

// branches writes schemas as a union, one alone as itself.
func (w *keywords) branches(list []string) {
	if len(list) == 1 {
		w.dst = append(w.dst, list[0]...)
		return
	}
	w.dst = append(append(append(w.dst, `{"anyOf":[`...), strings.Join(list, ",")...), "]}"...)
}

// union writes anyOf, or several types as one (B2). Beside it only annotations
// may stand (B5); a type moves into branches that have none.
func (w *keywords) union(m *member) {
	for _, k := range w.n.members {
		if k.name == "title" || k.name == "description" {
			w.raw(k)
		}
	}
	w.key("anyOf")
	w.dst = append(w.dst, '[')
	if m == nil {
		w.typeBranches()
	} else {
		for i, b := range m.list {
			if i > 0 {
				w.dst = append(w.dst, ',')
			}
			if len(w.types) == 1 && b.get("type") == nil && b.get("$ref") == nil && b.get("anyOf") == nil {
				typed := &node{members: append([]*member(nil), b.members...)}
				typed.setTypes(w.types, "")
				b = typed
			}
			w.dst = w.append(w.dst, b, w.depth+1)
		}
	}
	w.dst = append(w.dst, ']')
}

// typeBranches writes one branch for each type, with the keywords that are
// about it.
func (w *keywords) typeBranches() {
	for i, t := range w.types {
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		b := &node{}
		b.setTypes([]string{t}, "")
		for _, k := range w.n.members {
			if about(k.name) == t || k.name == "enum" && t == "string" && !stringly(k.words) {
				b.members = append(b.members, k)
			}
		}
		w.dst = w.append(w.dst, b, w.depth+1)
	}
}

// about names the type a keyword restricts.
func about(keyword string) string {
	switch keyword {
	case "properties", "required", "propertyOrdering", "minProperties", "maxProperties":
		return "object"
	case "items", "prefixItems", "minItems", "maxItems":
		return "array"
	case "minLength", "maxLength", "pattern":
		return "string"
	}
	return ""
}
