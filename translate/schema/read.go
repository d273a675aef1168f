// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"strconv"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// reader builds the tree of a schema and applies the rules of converter A on
// the way.
type reader struct {
	defs     []*member // the root's definitions, under their final names
	defRaw   map[string]rawjson.Value
	pointers map[string]string // "#/properties/a/$defs/X" → final name
	refs     []*reference
	inlining int // references being expanded by allOf and at the root
	nodes    int // still allowed
}

func read(v rawjson.Value) (*reader, *node, error) {
	// A schema has no more nodes than half its bytes; what is allowed beyond
	// bounds what allOf may expand a small one to.
	r := &reader{defRaw: map[string]rawjson.Value{}, pointers: map[string]string{}, nodes: 1000 + len(v)/2}
	if v.Kind() != rawjson.Object {
		return nil, nil, ErrKind
	}
	root, sc, err := r.node(v, 0, nil, "#")
	if err != nil {
		return nil, nil, err
	}
	if root, err = r.inlineRoot(root, sc); err != nil {
		return nil, nil, err
	}
	if err := r.hoist(v); err != nil {
		return nil, nil, err
	}
	root.remove("$defs")
	if len(r.defs) > 0 {
		root.members = append(root.members, &member{key: rawjson.Quote("$defs"), name: "$defs", table: r.defs})
	}
	if root.get("type") == nil && root.get("properties") != nil {
		root.setTypes([]string{"object"}, root.members[0].name)
	}
	r.link()
	return r, root, nil
}

// inlineRoot replaces a root that is only a reference, as generators of named
// types write it, by what it refers to: Gemini wants an object there.
func (r *reader) inlineRoot(root *node, sc *scope) (*node, error) {
	for range 8 {
		m := root.get("$ref")
		if m == nil {
			break
		}
		raw, from, ok := r.resolve(m.ref)
		if !ok {
			break
		}
		next, _, err := r.node(raw, 1, from, "")
		if err != nil {
			return nil, err
		}
		root = next
	}
	return root, nil
}

// resolve returns the definition that ref means, and the scope around it.
func (r *reader) resolve(ref *reference) (rawjson.Value, *scope, bool) {
	name, s, rest, ok := ref.definition()
	if !ok || rest != "" || s == nil || s.raw[name].Kind() != rawjson.Object {
		return nil, nil, false
	}
	return s.raw[name], s, true
}

// link writes the final names into all references.
func (r *reader) link() {
	for _, ref := range r.refs {
		if name, s, rest, ok := ref.definition(); ok {
			if s != nil {
				ref.target = refDefs + pointerEncoder.Replace(s.final[name]) + rest
			} else {
				ref.target = refDefs + pointerEncoder.Replace(name) + rest
			}
		} else if final, ok := r.pointers[ref.target]; ok {
			ref.target = refDefs + pointerEncoder.Replace(final)
		}
	}
}

// node reads one schema. Anything that is no object counts as a schema without
// demands; false is handled where it can be said.
func (r *reader) node(v rawjson.Value, depth int, sc *scope, path string) (*node, *scope, error) {
	if depth > MaxDepth {
		return nil, nil, ErrDepth
	}
	if r.nodes--; r.nodes < 0 {
		return nil, nil, ErrExpansion
	}
	n := &node{}
	sc, err := r.define(v, depth, sc, path)
	if err != nil {
		return nil, nil, err
	}
	for k, m := range v.Members() {
		if err := r.keyword(n, k, m, depth, sc, path); err != nil {
			return nil, nil, err
		}
	}
	if err := r.rules(n, depth, sc); err != nil {
		return nil, nil, err
	}
	return n, sc, nil
}

// define hoists the definitions of v, if it has any, to the root (A2). The same
// definition brought twice is kept once, another one of the same name renamed.
func (r *reader) define(v rawjson.Value, depth int, sc *scope, path string) (*scope, error) {
	var own *scope
	for k, table := range v.Members() {
		if (!k.Is("$defs") && !k.Is("definitions")) || table.Kind() != rawjson.Object {
			continue
		}
		if own == nil {
			own = &scope{parent: sc, final: map[string]string{}, raw: map[string]rawjson.Value{}}
		}
		for name, def := range table.Members() {
			own.raw[name.Text()] = def
		}
	}
	if own == nil {
		return sc, nil
	}
	var fresh []*member
	for k, table := range v.Members() {
		if !k.Is("$defs") && !k.Is("definitions") {
			continue
		}
		for key := range table.Members() {
			name := key.Text()
			if _, done := own.final[name]; done {
				continue
			}
			final := name
			for i := 2; ; i++ {
				have, taken := r.defRaw[final]
				if !taken {
					m := &member{key: rawjson.Quote(final), name: name}
					r.defRaw[final] = own.raw[name]
					r.defs, fresh = append(r.defs, m), append(fresh, m)
					break
				}
				if bytes.Equal(have, own.raw[name]) {
					break
				}
				final = name + "_" + strconv.Itoa(i)
			}
			own.final[name] = final
			if pointer := named(path, k.Text(), name); pointer != "" {
				r.pointers[pointer] = final
			}
		}
	}
	for _, m := range fresh {
		n, _, err := r.node(own.raw[m.name], depth+1, own, named(path, "$defs", m.name))
		if err != nil {
			return nil, err
		}
		m.node, m.name = n, m.key.Text()
	}
	return own, nil
}

// keyword reads one member of a schema into n.
func (r *reader) keyword(n *node, k, v rawjson.Value, depth int, sc *scope, path string) error {
	m := &member{key: k, name: k.Text()}
	if k.Escaped() {
		m.key = rawjson.Quote(m.name)
	}
	kind := v.Kind()
	var err error
	switch m.name {
	case "$schema", "strict", "examples", "$comment", "readOnly", "writeOnly", "deprecated", "contentEncoding", // A1
		"not", "if", "then", "else", "dependentRequired", "patternProperties", "propertyNames", // A6
		"unevaluatedProperties", "multipleOf", "uniqueItems",
		"dependentSchemas", "dependencies", "contains", "minContains", "maxContains", "unevaluatedItems", "contentSchema", "additionalItems",
		"$defs", "definitions":
		return nil
	case "properties":
		m.table, err = r.properties(n, v, depth, sc, path)
	case "items":
		return r.items(n, m, v, depth, sc, path)
	case "additionalProperties":
		if kind == rawjson.Object {
			m.node, _, err = r.node(v, depth+1, sc, below(path, "additionalProperties", ""))
		} else if m.raw = v; kind != rawjson.Bool {
			return nil
		}
	case "anyOf", "oneOf", "allOf", "prefixItems":
		if m.name == "oneOf" {
			m.name, m.key = "anyOf", rawjson.Quote("anyOf")
		}
		if m.list, err = r.list(m.name, v, depth, sc, below(path, m.name, "")); len(m.list) == 0 {
			return err
		}
	case "required":
		if m.words, m.isList = stringsOf(v), true; kind != rawjson.Array {
			if !v.IsTrue() {
				return nil
			}
			m = &member{key: k, name: "required", raw: v} // B11, lifted by the parent
		}
	case "propertyOrdering":
		if m.words = stringsOf(v); len(m.words) == 0 {
			return nil
		}
	case "enum":
		for _, e := range v.Elems() {
			m.words = append(m.words, e)
		}
		if len(m.words) == 0 {
			return nil
		}
	case "type":
		return readType(n, v)
	case "$ref":
		if kind != rawjson.String {
			return nil
		}
		m.ref = &reference{target: v.Text(), scope: sc}
		r.refs = append(r.refs, m.ref)
	case "description", "title", "format", "pattern", "$id", "$anchor":
		if m.raw = v; kind != rawjson.String {
			return nil
		}
	case "minimum", "maximum":
		if m.raw = v; !finite(v) {
			return nil
		}
	case "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties":
		if _, whole := v.Int(); kind != rawjson.Number || !whole { // B10
			return nil
		}
		m.raw = v
	case "const", "default", "example", "exclusiveMinimum", "exclusiveMaximum", "nullable":
		m.raw = v
	default:
		// Gemini ignores what it does not know. Leaving it out also bounds the
		// number of keywords, so that looking one up may be a linear search.
		return nil
	}
	if err == nil {
		n.set(m)
	}
	return err
}

// properties reads the table of an object. A property that is false does not
// exist (A7); one with a boolean required moves it to the parent (B11).
func (r *reader) properties(n *node, v rawjson.Value, depth int, sc *scope, path string) ([]*member, error) {
	table, at := []*member{}, map[string]int{}
	for k, s := range v.Members() {
		if s.Kind() == rawjson.Bool && !s.IsTrue() {
			continue
		}
		name := k.Text()
		child, _, err := r.node(s, depth+1, sc, named(path, "properties", name))
		if err != nil {
			return nil, err
		}
		if req := child.get("required"); req != nil && req.raw != nil {
			child.remove("required")
			n.lifted(k)
		}
		m := &member{key: k, name: name, node: child}
		if i, again := at[name]; again {
			table[i] = m
			continue
		}
		at[name] = len(table)
		table = append(table, m)
	}
	return table, nil
}

// lifted adds a name to the required ones of n.
func (n *node) lifted(key rawjson.Value) {
	m := n.get("required")
	if m == nil || m.raw != nil {
		m = &member{name: "required", isList: true}
		n.set(m)
	}
	m.words = append(m.words, key)
}

func (r *reader) items(n *node, m *member, v rawjson.Value, depth int, sc *scope, path string) (err error) {
	switch {
	case v.Kind() == rawjson.Array: // a tuple as drafts before 2020-12 write it
		m.name, m.key = "prefixItems", rawjson.Quote("prefixItems")
		m.list, err = r.list("prefixItems", v, depth, sc, below(path, "items", ""))
		if len(m.list) == 0 {
			return err
		}
	case v.Kind() == rawjson.Object || v.IsTrue():
		m.node, _, err = r.node(v, depth+1, sc, below(path, "items", ""))
	default:
		return nil
	}
	if err == nil {
		n.set(m)
	}
	return err
}

// list reads an array of schemas. One that is false adds nothing to a union.
func (r *reader) list(name string, v rawjson.Value, depth int, sc *scope, path string) ([]*node, error) {
	var list []*node
	for i, e := range v.Elems() {
		if e.Kind() == rawjson.Bool && !e.IsTrue() && name != "prefixItems" {
			continue
		}
		n, _, err := r.node(e, depth+1, sc, below(path, strconv.Itoa(i), ""))
		if err != nil {
			return nil, err
		}
		if req := n.get("required"); req != nil && req.raw != nil {
			n.remove("required")
		}
		if name == "allOf" {
			n.requireAll(stringsOf(e.Get("required")))
		}
		list = append(list, n)
	}
	return list, nil
}

// named extends a JSON pointer by a keyword and a name. One to a member without a
// name is given up: it would read like one to the whole table.
func named(path, keyword, name string) string {
	if name == "" {
		return ""
	}
	return below(path, keyword, name)
}

// below extends a JSON pointer by a keyword and, unless it is empty, a name. Long
// pointers are given up, "", before building them costs more than the schema.
func below(path, keyword, name string) string {
	if path == "" || len(path)+len(name) > 1024 {
		return ""
	}
	path += "/" + keyword
	if name != "" {
		path += "/" + pointerEncoder.Replace(name)
	}
	return path
}

// finite reports whether v is a number that Google can read.
func finite(v rawjson.Value) bool {
	_, ok := v.Float()
	return ok
}

func stringsOf(v rawjson.Value) (list []rawjson.Value) {
	for _, e := range v.Elems() {
		if e.Kind() == rawjson.String {
			list = append(list, e)
		}
	}
	return list
}
