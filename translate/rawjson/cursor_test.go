// SPDX-License-Identifier: Apache-2.0

package rawjson

import (
	"encoding/json"
	"reflect"
	"testing"
)

// walk is [decode] with a cursor.
func walk(c *Cursor) any {
	switch c.Kind() {
	case Object:
		object := map[string]any{}
		for c.Open('{'); ; {
			key, ok := c.Key()
			if !ok {
				return object
			}
			name := AppendText(nil, Value(append(append([]byte{'"'}, key...), '"')))
			object[string(name)] = walk(c)
		}
	case Array:
		list := []any{}
		for c.Open('['); c.Elem(); {
			list = append(list, walk(c))
		}
		return list
	default:
		return decode(c.Value())
	}
}

func TestCursor_AgreesWithMembers(t *testing.T) {
	for _, doc := range documents {
		if v, err := Parse([]byte(doc)); err == nil {
			c := v.Cursor()
			if got, want := walk(&c), decode(v); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %#v, want %#v", doc, got, want)
			}
		}
	}
}

func TestCursor_Open(t *testing.T) {
	v, _ := Parse([]byte(`{"a":[1],"b":5,"c":"x"}`))
	c := v.Cursor()
	for c.Open('{'); ; {
		key, ok := c.Key()
		if !ok {
			break
		}
		if string(key) == "c" {
			if got := c.Value(); !got.Is("x") {
				t.Errorf("c is %s", got)
			}
		} else if c.Open('{') {
			t.Errorf("%s opened as an object", key)
		}
	}
	if c.Kind() != Missing {
		t.Errorf("after the end: %s", c.Kind())
	}
}

func FuzzCursor(f *testing.F) {
	for _, doc := range documents {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		v, err := Parse(doc)
		if err != nil {
			// Not allowed, but it must end and stay in range.
			c := Value(doc).Cursor()
			for range 2 * len(doc) {
				c.Open('{')
				c.Key()
				c.Elem()
				c.Value()
			}
			return
		}
		c := v.Cursor()
		if got, want := walk(&c), decode(v); !reflect.DeepEqual(got, want) {
			b, _ := json.Marshal(got)
			t.Fatalf("%s: %s", doc, b)
		}
	})
}
