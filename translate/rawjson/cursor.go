// SPDX-License-Identifier: Apache-2.0

package rawjson

// Cursor walks a parsed value from front to back and looks at each byte once,
// where nested loops over [Value.Members] look once per level of nesting. It is
// for the decoders of the hot path:
//
//	for open := c.Open('{'); open; {
//		key, ok := c.Key()
//		if !ok {
//			break
//		}
//		switch string(key) {
//		case "name":
//			name = c.Value()
//		default:
//			c.Value()
//		}
//	}
//
// After each Key or Elem that returned true, exactly one of Value and Open (with
// its whole loop) must follow. The bytes must be of a parsed value, as for Value;
// others end every loop at some point and reach nothing out of range.
type Cursor struct {
	doc Value
	i   int
}

// Cursor returns a cursor that stands before v.
func (v Value) Cursor() Cursor { return Cursor{doc: v} }

// Kind is the type of the value the cursor stands before.
func (c *Cursor) Kind() Kind {
	if c.i >= len(c.doc) {
		return Missing
	}
	return c.doc[c.i:].Kind()
}

// Open moves into an object or array, whose bracket it takes. Before any other
// value it moves over it and returns false; no loop may follow then.
func (c *Cursor) Open(bracket byte) bool {
	if c.i < len(c.doc) && c.doc[c.i] == bracket {
		c.i++
		return true
	}
	c.Value()
	return false
}

// Key moves to the next member's value and returns its name, encoded, without
// quotes. At the object's end it moves behind it and returns false.
func (c *Cursor) Key() (name []byte, ok bool) {
	c.separator()
	if c.i >= len(c.doc) || c.doc[c.i] != '"' {
		c.i++
		return nil, false
	}
	from := c.i + 1
	c.i = skipString(c.doc, c.i, nil)
	name = c.doc[from:max(from, c.i-1)]
	c.i = space(c.doc, c.i)
	c.i = space(c.doc, c.i+1) // the colon
	return name, true
}

// Elem moves to the next element. At the array's end it moves behind it and
// returns false.
func (c *Cursor) Elem() bool {
	c.separator()
	if c.i >= len(c.doc) || c.doc[c.i] == ']' {
		c.i++
		return false
	}
	return true
}

// Value returns the value the cursor stands before and moves behind it.
func (c *Cursor) Value() Value {
	from := min(c.i, len(c.doc))
	if c.i = skip(c.doc, from, nil); c.i <= from { // no value: only in what was not parsed
		c.i = min(from+1, len(c.doc))
	}
	return c.doc[from:c.i:c.i]
}

func (c *Cursor) separator() {
	if c.i = space(c.doc, c.i); c.i < len(c.doc) && c.doc[c.i] == ',' {
		c.i = space(c.doc, c.i+1)
	}
}

// Offset is how many bytes of the value that the cursor walks are before it.
func (c *Cursor) Offset() int { return min(c.i, len(c.doc)) }
