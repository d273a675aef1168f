// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"net/url"
	"slices"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// node is one schema, its keywords in the client's order.
type node struct{ members []*member }

// member is one keyword, or one entry of a table of schemas. Exactly one of the
// values is set.
type member struct {
	key    rawjson.Value // as a JSON string
	name   string
	raw    rawjson.Value   // any other keyword
	node   *node           // items, additionalProperties, entries of tables
	list   []*node         // anyOf, allOf, prefixItems
	table  []*member       // properties, $defs
	words  []rawjson.Value // strings and numbers: required, enum
	ref    *reference      // $ref
	isList bool            // an array even where it is empty
}

// get returns the keyword's member or nil.
func (n *node) get(name string) *member {
	for _, m := range n.members {
		if m.name == name {
			return m
		}
	}
	return nil
}

// set replaces the value of a keyword in its place, or appends it.
func (n *node) set(m *member) {
	if m.key == nil {
		m.key = rawjson.Quote(m.name)
	}
	for i, old := range n.members {
		if old.name == m.name {
			n.members[i] = m
			return
		}
	}
	n.members = append(n.members, m)
}

func (n *node) remove(names ...string) {
	kept := n.members[:0]
next:
	for _, m := range n.members {
		for _, name := range names {
			if m.name == name {
				continue next
			}
		}
		kept = append(kept, m)
	}
	n.members = kept
}

// types returns the lower-case names in the type keyword.
func (n *node) types() []string {
	m := n.get("type")
	if m == nil {
		return nil
	}
	if m.words == nil {
		return []string{m.raw.Text()}
	}
	list := make([]string, len(m.words))
	for i, w := range m.words {
		list[i] = w.Text()
	}
	return list
}

func (n *node) hasType(name string) bool {
	return slices.Contains(n.types(), name)
}

// setTypes writes the type keyword: one name as a string, several as an array.
// Where the keyword is new it stands before its first member named in before.
func (n *node) setTypes(types []string, before string) {
	m := &member{name: "type"}
	if len(types) == 1 {
		m.raw = rawjson.Quote(types[0])
	} else {
		for _, t := range types {
			m.words = append(m.words, rawjson.Quote(t))
		}
	}
	if n.get("type") == nil && before != "" {
		n.insert(m, before)
		return
	}
	n.set(m)
}

// insert puts m before the keyword of that name, at the end where it is absent.
func (n *node) insert(m *member, before string) {
	n.set(m)
	last := len(n.members) - 1
	for i, old := range n.members[:last] {
		if old.name == before {
			copy(n.members[i+1:], n.members[i:last])
			n.members[i] = m
			return
		}
	}
}

// append writes the node as JSON.
func (n *node) append(dst []byte) []byte {
	dst = append(dst, '{')
	for i, m := range n.members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, m.key...), ':')
		dst = m.append(dst)
	}
	return append(dst, '}')
}

func (m *member) append(dst []byte) []byte {
	switch {
	case m.node != nil:
		return m.node.append(dst)
	case m.ref != nil:
		return rawjson.AppendQuoted(dst, m.ref.target)
	case m.table != nil:
		return (&node{members: m.table}).append(dst)
	case m.words != nil:
		return appendArray(dst, m.words)
	case m.list != nil:
		dst = append(dst, '[')
		for i, e := range m.list {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = e.append(dst)
		}
		return append(dst, ']')
	default:
		return append(dst, m.raw...)
	}
}

func appendArray(dst []byte, words []rawjson.Value) []byte {
	dst = append(dst, '[')
	for i, w := range words {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, w...)
	}
	return append(dst, ']')
}

// reference is one $ref; the target is known for sure when all of the document
// was read.
type reference struct {
	target string // what to write
	scope  *scope
}

// scope holds the definitions that one schema brings. Gemini reads them at the
// root only, so that all scopes end in one table; a reference finds the nearest
// definition of its name.
type scope struct {
	parent *scope
	final  map[string]string        // name here → name in the root table
	raw    map[string]rawjson.Value // name here → the definition
}

const (
	refDefs        = "#/$defs/"
	refDefinitions = "#/definitions/"
)

// local splits a reference to a definition into its name and what follows.
func local(ref string) (name, rest string, ok bool) {
	tail, ok := strings.CutPrefix(ref, refDefs)
	if !ok {
		if tail, ok = strings.CutPrefix(ref, refDefinitions); !ok {
			return "", "", false
		}
	}
	name, rest, _ = strings.Cut(tail, "/")
	if rest != "" {
		rest = "/" + rest
	}
	return pointerDecoder.Replace(name), rest, true
}

// definition finds what the reference means: the name of a definition, the scope
// that has it, nil for none, and what follows the name. References are URIs, so a
// name may be percent-encoded; generators for TypeScript do that to Partial<X>.
func (ref *reference) definition() (name string, in *scope, rest string, ok bool) {
	name, rest, ok = local(ref.target)
	if !ok {
		return "", nil, "", false
	}
	if in = ref.scope.find(name); in == nil && strings.Contains(name, "%") {
		if plain, err := url.PathUnescape(name); err == nil {
			if s := ref.scope.find(plain); s != nil {
				return plain, s, rest, true
			}
		}
	}
	return name, in, rest, true
}

var (
	pointerDecoder = strings.NewReplacer("~1", "/", "~0", "~")
	pointerEncoder = strings.NewReplacer("~", "~0", "/", "~1")
)

// find returns the scope that defines name, the innermost first.
func (s *scope) find(name string) *scope {
	for ; s != nil; s = s.parent {
		if _, ok := s.final[name]; ok {
			return s
		}
	}
	return nil
}
