// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"
)

// maxDepth bounds nested JSON; our deepest body has three levels.
const maxDepth = 16

// decode reads a JSON object into the struct that into points to, strictly:
// names are exact, unknown and repeated ones are errors, and so is any value of
// another type. All faults are reported at once, by field; values are never
// repeated, since they may be secrets.
func decode(body []byte, into any) error {
	trimmed := bytes.TrimSpace(body)
	if len(trimmed) == 0 || trimmed[0] != '{' || !utf8.Valid(body) || !json.Valid(body) {
		return problem(http.StatusBadRequest, "invalid_json", "The body is not a JSON object."+where(body))
	}
	c := &checker{dec: json.NewDecoder(bytes.NewReader(body))}
	if err := c.value(reflect.TypeOf(into).Elem(), "", 0); err != nil && !errors.Is(err, errFaulty) {
		return err
	}
	if err := invalid("invalid_body", c.faults); err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return problem(http.StatusBadRequest, "invalid_json", "The body cannot be read.")
	}
	return nil
}

// where tells at which byte JSON breaks off.
func where(body []byte) string {
	var v json.RawMessage
	if syntax, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(body, &v)); ok {
		return fmt.Sprintf(" It breaks off at byte %d.", syntax.Offset)
	}
	return ""
}

// mostFaults is how many faults are looked for: nobody reads on, and a body of
// nothing else must not cost more than one that is right.
const mostFaults = 5 * maxFaults

// errFaulty ends the walk over a body that has mostFaults.
var errFaulty = errors.New("too many faults")

// checker walks over valid JSON beside the type that it is for.
type checker struct {
	dec    *json.Decoder
	faults []fieldError
}

func (c *checker) fault(path, code, message string) {
	c.faults = append(c.faults, fieldError{clip(path), code, message})
}

// value consumes one value. An error means that walking on is pointless.
func (c *checker) value(t reflect.Type, path string, depth int) error {
	if len(c.faults) >= mostFaults {
		return errFaulty
	}
	if depth > maxDepth {
		return problem(http.StatusBadRequest, "invalid_json", "The body is nested too deeply.")
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == rawType {
		return c.skip()
	}
	if readsItself(t) || t.Kind() != reflect.Struct && t.Kind() != reflect.Slice {
		return c.leaf(t, path)
	}
	open, err := c.dec.Token()
	if err != nil {
		return err
	}
	switch {
	case open == nil: // null leaves a field as it is
		return nil
	case t.Kind() == reflect.Struct && open == json.Delim('{'):
		return c.object(t, path, depth)
	case t.Kind() == reflect.Slice && open == json.Delim('['):
		return c.list(t, path, depth)
	}
	c.fault(path, "wrong_type", "must be "+kindName(t))
	if _, nested := open.(json.Delim); nested {
		return c.rest()
	}
	return nil
}

func (c *checker) object(t reflect.Type, path string, depth int) error {
	fields := fieldsOf(t)
	seen := make(map[string]bool, len(fields))
	for c.dec.More() {
		token, err := c.dec.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		at := strings.TrimPrefix(path+"."+name, ".")
		field, known := fields[name]
		switch {
		case !known:
			c.fault(at, "unknown_field", "is not a field of this request")
			field = rawType
		case seen[name]:
			c.fault(at, "repeated_field", "is given more than once")
		}
		seen[name] = true
		if err := c.value(field, at, depth+1); err != nil {
			return err
		}
	}
	_, err := c.dec.Token() // }
	return err
}

func (c *checker) list(t reflect.Type, path string, depth int) error {
	for i := 0; c.dec.More(); i++ {
		if err := c.value(t.Elem(), fmt.Sprintf("%s[%d]", path, i), depth+1); err != nil {
			return err
		}
	}
	_, err := c.dec.Token() // ]
	return err
}

// leaf tries a value on its type.
func (c *checker) leaf(t reflect.Type, path string) error {
	var raw json.RawMessage
	if err := c.dec.Decode(&raw); err != nil {
		return err
	}
	err := json.Unmarshal(raw, reflect.New(t).Interface())
	if err == nil {
		return nil
	}
	if _, own := errors.AsType[*json.UnmarshalTypeError](err); own || t == timeType {
		c.fault(path, "wrong_type", "must be "+kindName(t))
	} else {
		c.fault(path, "invalid_value", err.Error()) // by a type of ours, which repeats no value
	}
	return nil
}

func (c *checker) skip() error {
	var raw json.RawMessage
	return c.dec.Decode(&raw)
}

// rest consumes what is left of a list or object that was opened.
func (c *checker) rest() error {
	for open := 1; open > 0; {
		token, err := c.dec.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			open++
		case json.Delim('}'), json.Delim(']'):
			open--
		}
	}
	return nil
}

var (
	rawType  = reflect.TypeFor[json.RawMessage]()
	timeType = reflect.TypeFor[time.Time]()
	jsonType = reflect.TypeFor[json.Unmarshaler]()
	textType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func readsItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(jsonType) || p.Implements(textType)
}

// fieldsOf lists the JSON names of a struct, those of embedded structs included.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := make(map[string]reflect.Type)
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && name != "" && name != "-" {
			fields[name] = f.Type
		}
	}
	return fields
}

// kindName says what a JSON value of type t looks like.
func kindName(t reflect.Type) string {
	switch {
	case t == timeType:
		return "a time such as 2027-01-31T00:00:00Z"
	case readsItself(t) && reflect.PointerTo(t).Implements(textType):
		return "a string"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	default:
		return "an object"
	}
}
