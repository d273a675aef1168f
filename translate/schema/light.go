// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// rules applies to a schema what needs all of its keywords. Subschemas are done.
func (r *reader) rules(n *node, depth int, sc *scope) error {
	if err := r.mergeAllOf(n, depth, sc); err != nil {
		return err
	}
	if n.get("$ref") != nil { // A5
		kept := n.members[:0]
		for _, m := range n.members {
			if strings.HasPrefix(m.name, "$") {
				kept = append(kept, m)
			}
		}
		n.members = kept
		return nil
	}
	n.constant()
	n.enumeration()
	n.exclusive("exclusiveMinimum", "minimum", 1)
	n.exclusive("exclusiveMaximum", "maximum", -1)
	n.nullable()
	n.requireDeclared()
	n.dropTrivialUnion()
	return nil
}

// readType keeps the type names JSON Schema knows, in lower case, each once. An
// unknown name, such as "any", means no restriction (B11).
func readType(n *node, v rawjson.Value) error {
	var types []string
	add := func(e rawjson.Value) {
		name := strings.ToLower(e.Text())
		if !isType([]byte(name)) {
			return
		}
		if slices.Contains(types, name) {
			return
		}
		types = append(types, name)
	}
	add(v)
	for _, e := range v.Elems() {
		add(e)
	}
	if len(types) > 0 {
		n.setTypes(types, "")
	}
	return nil
}

// mergeAllOf folds the branches of allOf into the schema (A4); what stands
// first wins.
func (r *reader) mergeAllOf(n *node, depth int, sc *scope) error {
	all := n.get("allOf")
	if all == nil {
		return nil
	}
	n.remove("allOf")
	if len(all.list) == 1 && all.list[0].get("$ref") != nil && n.onlyAnnotated() {
		n.members = append(n.members, all.list[0].members...)
		return nil
	}
	for _, b := range all.list {
		if m := b.get("$ref"); m != nil {
			raw, from, ok := r.resolve(m.ref)
			if !ok || r.inlining >= 8 {
				continue
			}
			r.inlining++
			expanded, _, err := r.node(raw, depth+1, from, "")
			r.inlining--
			if err != nil {
				return err
			}
			expanded.requireAll(stringsOf(raw.Get("required")))
			b = expanded
		}
		n.merge(b)
	}
	return nil
}

// requireAll gives back what requireDeclared took from a branch of allOf: the
// properties may stand in another branch.
func (n *node) requireAll(words []rawjson.Value) {
	if len(words) == 0 {
		return
	}
	m := n.get("required")
	if m == nil {
		m = &member{name: "required", isList: true}
		n.set(m)
	}
	if m.isList {
		m.words = append(m.words, words...)
	}
}

// onlyAnnotated reports whether no keyword restricts values.
func (n *node) onlyAnnotated() bool {
	for _, m := range n.members {
		switch m.name {
		case "title", "description", "default", "nullable", "$id", "$anchor":
		default:
			return false
		}
	}
	return true
}

func (n *node) merge(b *node) {
	for _, m := range b.members {
		own := n.get(m.name)
		switch {
		case own == nil:
			c := *m // the branch may be shared; tables and words grow below
			c.table = append([]*member(nil), m.table...)
			c.words = append([]rawjson.Value(nil), m.words...)
			if m.table != nil && c.table == nil {
				c.table = []*member{}
			}
			n.members = append(n.members, &c)
		case m.name == "properties":
			have := make(map[string]bool, len(own.table))
			for _, p := range own.table {
				have[p.name] = true
			}
			for _, p := range m.table {
				if !have[p.name] {
					own.table = append(own.table, p)
				}
			}
		case m.name == "required" && own.isList && m.isList:
			own.words = append(own.words, m.words...)
		}
	}
}

// constant turns const into an enum of one (A3).
func (n *node) constant() {
	c := n.get("const")
	if c == nil {
		return
	}
	typ := typeOf(c.raw)
	if n.get("enum") != nil {
		n.remove("enum")
	}
	for i, m := range n.members {
		if m == c {
			n.members[i] = &member{key: rawjson.Quote("enum"), name: "enum", words: []rawjson.Value{c.raw}}
		}
	}
	if n.get("type") == nil {
		n.setTypes([]string{typ}, "enum")
	}
}

func typeOf(v rawjson.Value) string {
	switch v.Kind() {
	case rawjson.String:
		return "string"
	case rawjson.Number:
		if _, whole := v.Int(); whole {
			return "integer"
		}
		return "number"
	case rawjson.Bool:
		return "boolean"
	case rawjson.Array:
		return "array"
	case rawjson.Object:
		return "object"
	}
	return "null"
}

// enumeration leaves strings and numbers in an enum, all that Gemini takes. null
// becomes a type (B4). Of booleans alone only the type stays, so that answers
// remain booleans; mixed with others they become strings (B3).
func (n *node) enumeration() {
	m := n.get("enum")
	if m == nil {
		return
	}
	var words, bools []rawjson.Value
	null := false
	for _, e := range m.words {
		switch e.Kind() {
		case rawjson.String, rawjson.Number:
			words = append(words, e)
		case rawjson.Bool:
			bools = append(bools, e)
		case rawjson.Null:
			null = true
		}
	}
	types := n.types()
	if len(bools) > 0 && len(words) > 0 {
		for _, b := range bools {
			words = append(words, rawjson.Quote(string(b)))
		}
		if types != nil {
			types = []string{"string"}
		}
	}
	if len(types) == 0 && len(bools) > 0 && len(words) == 0 {
		types = []string{"boolean"}
	}
	if null && !n.hasType("null") {
		if len(types) == 0 {
			for _, w := range words {
				if typ := typeOf(w); !slices.Contains(types, typ) {
					types = append(types, typ)
				}
			}
		}
		types = append(types, "null")
	}
	if len(types) > 0 {
		n.setTypes(types, "enum")
	}
	if m.words = words; len(words) == 0 {
		n.remove("enum")
	}
}

// exclusive turns an exclusive bound of integers into an inclusive one and drops
// that of others (A6). Draft 4 wrote a boolean beside the inclusive bound.
func (n *node) exclusive(name, inclusive string, step float64) {
	m := n.get(name)
	if m == nil {
		return
	}
	old := n.get(inclusive)
	bound, ok := m.raw.Float()
	if m.raw.IsTrue() && old != nil {
		bound, ok = old.raw.Float()
	}
	if !ok || !n.hasType("integer") || n.hasType("number") || math.Abs(bound) > 1<<53 {
		n.remove(name)
		return
	}
	if step > 0 {
		bound = math.Floor(bound) + step
	} else {
		bound = math.Ceil(bound) + step
	}
	if old != nil {
		if v, ok := old.raw.Float(); ok && (v-bound)*step > 0 {
			n.remove(name)
			return
		}
		n.remove(inclusive)
	}
	number := rawjson.Value(strconv.FormatInt(int64(bound), 10))
	for i, x := range n.members {
		if x == m {
			n.members[i] = &member{key: rawjson.Quote(inclusive), name: inclusive, raw: number}
		}
	}
}

// nullable turns OpenAPI's keyword into a type, the only way JSON Schema has.
func (n *node) nullable() {
	m := n.get("nullable")
	if m == nil {
		return
	}
	n.remove("nullable")
	if types := n.types(); m.raw.IsTrue() && len(types) > 0 && !n.hasType("null") {
		n.setTypes(append(types, "null"), "")
	}
}

// requireDeclared drops required names that are no properties (A9), and
// repeated ones.
func (n *node) requireDeclared() {
	m := n.get("required")
	if m == nil || !m.isList {
		return
	}
	open := map[string]bool{}
	if p := n.get("properties"); p != nil {
		for _, e := range p.table {
			open[e.name] = true
		}
	}
	var kept []rawjson.Value
	for _, w := range m.words {
		if name := w.Text(); open[name] {
			open[name] = false
			kept = append(kept, w)
		}
	}
	if m.words = kept; len(kept) == 0 {
		n.remove("required")
	}
}

// dropTrivialUnion removes an anyOf with a branch that accepts everything, which
// says nothing, but which Gemini refuses.
func (n *node) dropTrivialUnion() {
	m := n.get("anyOf")
	if m == nil {
		return
	}
	for _, b := range m.list {
		if len(b.members) == 0 {
			n.remove("anyOf")
			return
		}
	}
}
