// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// hoist makes definitions of the schemas that references point to elsewhere in the
// document, as in "#/properties/list/items", which generators write for what
// occurs twice: Gemini follows references to definitions only.
func (r *reader) hoist(doc rawjson.Value) error {
	for i := 0; ; i++ {
		if i == len(r.refs) { // it grows
			return nil
		}
		target := r.refs[i].target
		tail, ok := strings.CutPrefix(target, "#/")
		if _, done := r.pointers[target]; !ok || done {
			continue
		}
		if _, _, _, ok := r.refs[i].definition(); ok {
			continue
		}
		raw, name := follow(doc, tail)
		if raw.Kind() != rawjson.Object {
			continue
		}
		final := r.free(name)
		r.pointers[target], r.defRaw[final] = final, raw
		m := &member{key: rawjson.Quote(final), name: final}
		r.defs = append(r.defs, m)
		n, _, err := r.node(raw, 1, nil, "")
		if err != nil {
			return err
		}
		m.node = n
	}
}

// free is a name that no definition has.
func (r *reader) free(name string) string {
	if name == "" {
		name = "schema"
	}
	final := name
	for i := 2; ; i++ {
		if _, taken := r.defRaw[final]; !taken {
			return final
		}
		final = name + "_" + strconv.Itoa(i)
	}
}

// follow goes along a JSON pointer in URI encoding from schema to schema, and makes
// a name of it. What is no schema is nothing.
func follow(doc rawjson.Value, pointer string) (v rawjson.Value, name string) {
	v = doc
	var words []string
	within := "" // the keyword whose table or list v is; "" for a schema
	for step := range strings.SplitSeq(pointer, "/") {
		if plain, err := url.PathUnescape(step); err == nil {
			step = plain
		}
		step = pointerDecoder.Replace(step)
		switch {
		case v.Kind() == rawjson.Array:
			v, within = element(v, step), ""
		case within != "":
			v, within = v.Get(step), ""
		default:
			v = v.Get(step)
			switch step {
			case "properties", "$defs", "definitions", "anyOf", "oneOf", "allOf", "prefixItems":
				within = step
			case "items", "additionalProperties":
				if v.Kind() == rawjson.Array {
					within = step
				}
			default:
				return nil, ""
			}
		}
		if within != "properties" && len(words) < 8 {
			words = append(words, step)
		}
		if v.IsNull() {
			return nil, ""
		}
	}
	if within != "" {
		return nil, ""
	}
	return v, strings.Join(words, "_")
}

// element is the one of a list that a step of a pointer names.
func element(list rawjson.Value, step string) rawjson.Value {
	n, err := strconv.Atoi(step)
	if err != nil {
		return nil
	}
	for i, e := range list.Elems() {
		if i == n {
			return e
		}
	}
	return nil
}
