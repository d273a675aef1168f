// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// Patch names values for some fields, by dotted name; of the types that
// [Field.Value] returns. A nil value means back to the default. The zero Patch
// says nothing.
//
// Its JSON is nested or dotted, in any mixture:
//
//	{"strategy": "adaptive", "retry": {"attempts": 3, "wait": "10s"}, "timeouts.idle": "5m"}
type Patch map[string]any

// Fault says what is wrong with one field.
type Fault struct {
	Field   string // such as "retry.wait"
	Code    string // invalid_value, wrong_type, unknown_field or repeated_field
	Message string // what is allowed: "must be …"; never the value
}

// InvalidError lists the fields of an update that cannot be taken; nothing of it
// was.
type InvalidError struct{ Faults []Fault } // at least one

// Error names the fields and what they may be.
func (e *InvalidError) Error() string {
	texts := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		texts[i] = f.Field + " " + f.Message
	}
	return strings.Join(texts, "; ")
}

// LockedError is the answer to an update of what the Caddyfile sets.
type LockedError struct{ Fields []string } // in the order of [Fields], such as "retry.wait"

// Error names the fields and says where to change them.
func (e *LockedError) Error() string {
	return strings.Join(e.Fields, ", ") + ": set in the Caddyfile, which wins; change it there and reload, or remove it there to set it here"
}

// ErrChanged is the answer to an update for a state that is not in force any more.
var ErrChanged = errors.New("the settings were changed by somebody else in the meantime")

// ParsePatch reads a patch from a JSON object, strictly: every name must be a
// field, or a group of fields with an object of them, and be given once. null asks
// for the default. It returns an [*InvalidError] with all faults, or any other
// error where body is no JSON object.
func ParsePatch(body []byte) (Patch, error) {
	r := &patchReader{dec: json.NewDecoder(bytes.NewReader(body)), patch: Patch{}}
	r.dec.UseNumber()
	if err := r.open(); err != nil {
		return nil, err
	}
	if err := r.group("", 0); err != nil {
		return nil, err
	}
	if r.dec.More() {
		return nil, errors.New("settings: more than one JSON value")
	}
	if len(r.faults) > 0 {
		return nil, &InvalidError{r.faults}
	}
	return r.patch, nil
}

type patchReader struct {
	dec    *json.Decoder
	patch  Patch
	seen   map[string]bool
	faults []Fault
}

func (r *patchReader) open() error {
	token, err := r.dec.Token()
	if err != nil {
		return err
	}
	if token != json.Delim('{') {
		return errors.New("settings: not a JSON object")
	}
	return nil
}

func (r *patchReader) fault(name, code, message string) {
	r.faults = append(r.faults, Fault{name, code, message})
}

// maxNesting bounds objects in objects; names have three parts at most.
const maxNesting = 8

// group reads the members of an object that was opened.
func (r *patchReader) group(prefix string, depth int) error {
	for r.dec.More() {
		token, err := r.dec.Token()
		if err != nil {
			return err
		}
		name := prefix + token.(string) // a member's name is a string
		var raw json.RawMessage
		switch f, known := byName[name]; {
		case known:
			if err := r.dec.Decode(&raw); err != nil {
				return err
			}
			r.field(f, raw)
		case depth < maxNesting && isGroup(name):
			if err := r.nested(name, depth); err != nil {
				return err
			}
		default:
			if err := r.dec.Decode(&raw); err != nil {
				return err
			}
			r.fault(name, "unknown_field", "is not a setting; GET /admin/config lists them")
		}
	}
	_, err := r.dec.Token() // }
	return err
}

// nested reads the value of a group's name.
func (r *patchReader) nested(name string, depth int) error {
	token, err := r.dec.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('{'):
		return r.group(name+".", depth+1)
	case json.Delim('['):
		r.fault(name, "wrong_type", "must be an object")
		return r.skipRest()
	}
	r.fault(name, "wrong_type", "must be an object")
	return nil
}

// skipRest consumes what is left of a list that was opened.
func (r *patchReader) skipRest() error {
	for r.dec.More() {
		var raw json.RawMessage
		if err := r.dec.Decode(&raw); err != nil {
			return err
		}
	}
	_, err := r.dec.Token() // ]
	return err
}

func (r *patchReader) field(f *Field, raw json.RawMessage) {
	if r.seen == nil {
		r.seen = map[string]bool{}
	}
	if r.seen[f.Name] {
		r.fault(f.Name, "repeated_field", "is given more than once")
		return
	}
	r.seen[f.Name] = true
	if string(raw) == "null" {
		r.patch[f.Name] = nil
		return
	}
	value, wrong := f.parse(raw)
	if wrong == nil {
		wrong = f.check(value)
	}
	if wrong != nil {
		r.faults = append(r.faults, *wrong)
		return
	}
	r.patch[f.Name] = value
}

func isGroup(name string) bool {
	return slices.ContainsFunc(fields, func(f *Field) bool { return strings.HasPrefix(f.Name, name+".") })
}

// UnmarshalJSON implements [json.Unmarshaler] by [ParsePatch].
func (p *Patch) UnmarshalJSON(body []byte) (err error) {
	*p, err = ParsePatch(body)
	return err
}

// MarshalJSON gives the nested form, fields in the order of [Fields]; null for
// those that go back to the default.
func (p Patch) MarshalJSON() ([]byte, error) { return json.Marshal(p.tree()) }

// tree nests the fields by the parts of their names.
func (p Patch) tree() map[string]any {
	root := map[string]any{}
	for _, f := range fields {
		value, named := p[f.Name]
		if !named {
			continue
		}
		if value != nil {
			value = f.JSON(value)
		}
		plant(root, f.Name, value)
	}
	return root
}

// plant puts a leaf into a tree of objects.
func plant(tree map[string]any, name string, leaf any) {
	for {
		group, rest, nested := strings.Cut(name, ".")
		if !nested {
			tree[name] = leaf
			return
		}
		below, ok := tree[group].(map[string]any)
		if !ok {
			below = map[string]any{}
			tree[group] = below
		}
		tree, name = below, rest
	}
}

// check looks at names, types and bounds of a patch that a program made.
func (p Patch) check() error {
	var faults []Fault
	for _, f := range fields {
		value, named := p[f.Name]
		if !named || value == nil {
			continue
		}
		if fault := f.check(value); fault != nil {
			faults = append(faults, *fault)
		}
	}
	for name := range p {
		if byName[name] == nil {
			faults = append(faults, Fault{name, "unknown_field", "is not a setting"})
		}
	}
	if len(faults) > 0 {
		return &InvalidError{faults}
	}
	return nil
}

// locked names the fields of p that declared sets.
func (p Patch) locked(declared Patch) (names []string) {
	for _, f := range fields {
		if _, named := p[f.Name]; named && declared[f.Name] != nil {
			names = append(names, f.Name)
		}
	}
	return names
}

// FieldOf finds a field by its dotted name; any other is an [*InvalidError].
func FieldOf(name string) (*Field, error) {
	if f := byName[name]; f != nil {
		return f, nil
	}
	return nil, &InvalidError{[]Fault{{name, "unknown_field", "is not a setting; GET /admin/config lists them"}}}
}
