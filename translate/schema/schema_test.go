// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// The schema of specs/openai.md §5.4 and both of its conversions.
const specExample = `{"type":"object","$schema":"x","additionalProperties":false,"required":["a","ghost"],
 "properties":{"a":{"const":"v"},"b":{"type":["integer","null"],"exclusiveMinimum":0},"c":{"$ref":"#/definitions/C"},"title":{"type":"string"}},
 "definitions":{"C":{"oneOf":[{"type":"string"},{"type":"number"}]}}}`

var lightCases = []struct{ name, in, want string }{
	{"spec example", specExample,
		`{"type":"object","additionalProperties":false,"required":["a"],"properties":{"a":{"type":"string","enum":["v"]},"b":{"type":["integer","null"],"minimum":1},"c":{"$ref":"#/$defs/C"},"title":{"type":"string"}},"$defs":{"C":{"anyOf":[{"type":"string"},{"type":"number"}]}}}`},
	{"clean schema is untouched", `{ "type":"object", "properties":{"z":{"type":"string"},"a":{"type":"number"}} }`,
		`{ "type":"object", "properties":{"z":{"type":"string"},"a":{"type":"number"}} }`},
	{"A1 annotations dropped", `{"$schema":"s","$comment":"c","strict":true,"examples":[{}],"readOnly":true,"writeOnly":true,"deprecated":true,"contentEncoding":"base64","type":"string"}`, `{"type":"string"}`},
	{"A2 definitions renamed", `{"type":"object","properties":{"a":{"$ref":"#/definitions/X"}},"definitions":{"X":{"type":"string"}}}`,
		`{"type":"object","properties":{"a":{"$ref":"#/$defs/X"}},"$defs":{"X":{"type":"string"}}}`},
	{"A2 reference in URI encoding", `{"type":"object","properties":{"a":{"$ref":"#/definitions/Partial%3CX%3E"},"b":{"$ref":"#/$defs/p%20q~1r"}},"definitions":{"Partial<X>":{"type":"string"}},"$defs":{"p q/r":{"type":"integer"}}}`,
		`{"type":"object","properties":{"a":{"$ref":"#/$defs/Partial<X>"},"b":{"$ref":"#/$defs/p q~1r"}},"$defs":{"Partial<X>":{"type":"string"},"p q/r":{"type":"integer"}}}`},
	{"A2 name that looks like URI encoding", `{"type":"object","properties":{"a":{"$ref":"#/$defs/p%20q"},"b":{"$ref":"#/$defs/50%"}},"$defs":{"p%20q":{"type":"string"},"50%":{"type":"string"}}}`,
		`{"type":"object","properties":{"a":{"$ref":"#/$defs/p%20q"},"b":{"$ref":"#/$defs/50%"}},"$defs":{"p%20q":{"type":"string"},"50%":{"type":"string"}}}`},
	{"A2 nested definitions hoisted", `{"type":"object","properties":{"a":{"type":"object","properties":{"x":{"$ref":"#/$defs/X"}},"$defs":{"X":{"type":"string"}}}}}`,
		`{"type":"object","properties":{"a":{"type":"object","properties":{"x":{"$ref":"#/$defs/X"}}}},"$defs":{"X":{"type":"string"}}}`},
	{"A2 clash renamed", `{"type":"object","properties":{"r":{"$ref":"#/$defs/X"},"a":{"type":"object","properties":{"x":{"$ref":"#/$defs/X"}},"$defs":{"X":{"type":"string"}}}},"$defs":{"X":{"type":"number"}}}`,
		`{"type":"object","properties":{"r":{"$ref":"#/$defs/X"},"a":{"type":"object","properties":{"x":{"$ref":"#/$defs/X_2"}}}},"$defs":{"X":{"type":"number"},"X_2":{"type":"string"}}}`},
	{"A2 pointer to a nested definition", `{"type":"object","properties":{"p":{"$ref":"#/properties/a/$defs/X"},"a":{"type":"object","$defs":{"X":{"type":"string"}}}}}`,
		`{"type":"object","properties":{"p":{"$ref":"#/$defs/X"},"a":{"type":"object"}},"$defs":{"X":{"type":"string"}}}`},
	{"A2 pointer to a property", `{"type":"object","properties":{"list":{"type":"array","items":{"$ref":"#/properties/one"}},"one":{"type":"object","properties":{"v":{"type":"string"}}},"first":{"$ref":"#/properties/list/items"},"b":{"anyOf":[{"type":"string"},{"$ref":"#/properties/b/anyOf/0"}]}}}`,
		`{"type":"object","properties":{"list":{"type":"array","items":{"$ref":"#/$defs/one"}},"one":{"type":"object","properties":{"v":{"type":"string"}}},"first":{"$ref":"#/$defs/list_items"},"b":{"anyOf":[{"type":"string"},{"$ref":"#/$defs/b_anyOf_0"}]}},"$defs":{"one":{"type":"object","properties":{"v":{"type":"string"}}},"list_items":{"$ref":"#/$defs/one"},"b_anyOf_0":{"type":"string"}}}`},
	{"A2 pointer to a property whose name is taken", `{"type":"object","properties":{"X":{"type":"string"},"a":{"$ref":"#/properties/X"},"c":{"$ref":"#/$defs/X"}},"$defs":{"X":{"type":"number"}}}`,
		`{"type":"object","properties":{"X":{"type":"string"},"a":{"$ref":"#/$defs/X_2"},"c":{"$ref":"#/$defs/X"}},"$defs":{"X":{"type":"number"},"X_2":{"type":"string"}}}`},
	{"A2 recursion by pointer", `{"type":"object","properties":{"t":{"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#/properties/t"}}}}}}`,
		`{"type":"object","properties":{"t":{"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#/$defs/t"}}}}},"$defs":{"t":{"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#/$defs/t"}}}}}}`},
	{"A2 pointer to nothing", `{"type":"object","properties":{"a":{"$ref":"#/properties/none"}}}`, `{"type":"object","properties":{"a":{"$ref":"#/properties/none"}}}`},
	{"A2 reference to the root", `{"type":"object","properties":{"a":{"$ref":"#"}}}`, `{"type":"object","properties":{"a":{"$ref":"#"}}}`},
	{"A3 const number", `{"type":"object","properties":{"a":{"const":3}}}`, `{"type":"object","properties":{"a":{"type":"integer","enum":[3]}}}`},
	{"A3 const boolean keeps the type", `{"type":"object","properties":{"a":{"const":true}}}`, `{"type":"object","properties":{"a":{"type":"boolean"}}}`},
	{"A4 allOf of one reference", `{"type":"object","properties":{"a":{"description":"d","allOf":[{"$ref":"#/$defs/X"}]}},"$defs":{"X":{"type":"string"}}}`,
		`{"type":"object","properties":{"a":{"$ref":"#/$defs/X"}},"$defs":{"X":{"type":"string"}}}`},
	{"A4 allOf of many objects", `{"allOf":[{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]},{"type":"object","properties":{"a":{"type":"number"},"b":{"type":"number"}},"required":["b"]}]}`,
		`{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"number"}},"required":["a","b"]}`},
	{"A4 allOf with a reference among others", `{"type":"object","properties":{"p":{"type":"object","properties":{"x":{"type":"string"}},"allOf":[{"$ref":"#/$defs/B"}]}},"$defs":{"B":{"type":"object","properties":{"y":{"type":"string"}}}}}`,
		`{"type":"object","properties":{"p":{"type":"object","properties":{"x":{"type":"string"},"y":{"type":"string"}}}},"$defs":{"B":{"type":"object","properties":{"y":{"type":"string"}}}}}`},
	{"A4 required in one branch, its property in another", `{"allOf":[{"type":"object","properties":{"a":{"type":"string"},"b":{}}},{"required":["a","ghost"]},{"$ref":"#/$defs/R"}],"$defs":{"R":{"required":["b"]}}}`,
		`{"type":"object","properties":{"a":{"type":"string"},"b":{}},"required":["a","b"],"$defs":{"R":{}}}`},
	{"A5 siblings of a reference", `{"type":"object","properties":{"a":{"description":"d","$ref":"#/$defs/X","default":1}},"$defs":{"X":{"type":"string"}}}`,
		`{"type":"object","properties":{"a":{"$ref":"#/$defs/X"}},"$defs":{"X":{"type":"string"}}}`},
	{"A6 keywords without effect", `{"type":"object","not":{},"if":{},"then":{},"else":{},"dependentRequired":{},"patternProperties":{},"propertyNames":{},"unevaluatedProperties":false,"properties":{"n":{"type":"number","multipleOf":2},"l":{"type":"array","uniqueItems":true}}}`,
		`{"type":"object","properties":{"n":{"type":"number"},"l":{"type":"array"}}}`},
	{"A6 exclusive bounds of integers", `{"type":"integer","exclusiveMinimum":0.5,"exclusiveMaximum":10}`, `{"type":"integer","minimum":1,"maximum":9}`},
	{"A6 exclusive bounds of numbers", `{"type":"number","exclusiveMinimum":0,"maximum":3}`, `{"type":"number","maximum":3}`},
	{"A6 exclusive bounds of draft 4", `{"type":"integer","minimum":3,"exclusiveMinimum":true}`, `{"type":"integer","minimum":4}`},
	{"A6 the tighter bound stays", `{"type":"integer","minimum":7,"exclusiveMinimum":1}`, `{"type":"integer","minimum":7}`},
	{"A6 bounds that are no numbers for Google", `{"type":"number","minimum":1e999,"maximum":-1e400}`, `{"type":"number"}`},
	{"A6 string constraints kept", `{"type":"string","pattern":"^a","minLength":1,"maxLength":2,"default":{"$schema":1}}`, `{"type":"string","pattern":"^a","minLength":1,"maxLength":2,"default":{"$schema":1}}`},
	{"A7 boolean properties", `{"type":"object","properties":{"a":true,"b":false},"required":["a","b"]}`, `{"type":"object","properties":{"a":{}},"required":["a"]}`},
	{"A8 number enum kept", `{"type":"integer","enum":[1,2],"$comment":""}`, `{"type":"integer","enum":[1,2]}`},
	{"A8 null in enum", `{"type":"string","enum":["a",null]}`, `{"type":["string","null"],"enum":["a"]}`},
	{"A8 null among words of two kinds", `{"enum":[1,"a",2,null]}`, `{"type":["integer","string","null"],"enum":[1,"a",2]}`},
	{"A8 booleans among strings", `{"enum":["auto",true]}`, `{"enum":["auto","true"]}`},
	{"A9 ghost required", `{"type":"object","properties":{"a":{}},"required":["b"]}`, `{"type":"object","properties":{"a":{}}}`},
	{"A10 additionalProperties", `{"type":"object","additionalProperties":false,"properties":{"m":{"type":"object","additionalProperties":{"const":"x"}}}}`,
		`{"type":"object","additionalProperties":false,"properties":{"m":{"type":"object","additionalProperties":{"type":"string","enum":["x"]}}}}`},
	{"properties named like keywords", `{"type":"object","properties":{"title":{"const":1},"format":{"type":"string"},"$ref":{"type":"string"},"required":{"type":"string"},"$schema":{"type":"string"},"not":{"type":"string"},"definitions":{"type":"string"},"enum":{"type":"string"},"default":{"type":"string"}},"required":["$ref","required"]}`,
		`{"type":"object","properties":{"title":{"type":"integer","enum":[1]},"format":{"type":"string"},"$ref":{"type":"string"},"required":{"type":"string"},"$schema":{"type":"string"},"not":{"type":"string"},"definitions":{"type":"string"},"enum":{"type":"string"},"default":{"type":"string"}},"required":["$ref","required"]}`},
	{"recursive reference is not inlined", `{"type":"object","$schema":"","properties":{"root":{"$ref":"#/definitions/T"}},"definitions":{"T":{"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#/definitions/T"}}}}}}`,
		`{"type":"object","properties":{"root":{"$ref":"#/$defs/T"}},"$defs":{"T":{"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#/$defs/T"}}}}}}`},
	{"a root that is a reference", `{"$ref":"#/definitions/R","definitions":{"R":{"type":"object","properties":{"n":{"$ref":"#/definitions/R"}}}}}`,
		`{"type":"object","properties":{"n":{"$ref":"#/$defs/R"}},"$defs":{"R":{"type":"object","properties":{"n":{"$ref":"#/$defs/R"}}}}}`},
	{"root without type", `{"properties":{"a":{}}}`, `{"type":"object","properties":{"a":{}}}`},
	{"types in upper case and unknown ones", `{"type":"OBJECT","properties":{"a":{"type":"any"},"b":{"type":["STRING"]}}}`, `{"type":"object","properties":{"a":{},"b":{"type":"string"}}}`},
	{"tuples of old drafts", `{"type":"array","items":[{"type":"string"},true]}`, `{"type":"array","prefixItems":[{"type":"string"},{}]}`},
	{"nullable of OpenAPI", `{"type":"string","nullable":true}`, `{"type":["string","null"]}`},
	{"a union with anything", `{"type":"object","properties":{"a":{"description":"d","anyOf":[{"type":"string"},{}]}}}`, `{"type":"object","properties":{"a":{"description":"d"}}}`},
}

func convert(t *testing.T, f func(rawjson.Value) (rawjson.Value, error), in string) string {
	t.Helper()
	v, err := rawjson.Parse([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	out, err := f(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestLight(t *testing.T) {
	for _, c := range lightCases {
		t.Run(c.name, func(t *testing.T) {
			got := convert(t, Light, c.in)
			if got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
			if again := convert(t, Light, got); again != got {
				t.Errorf("twice gives\n%s, once\n%s", again, got)
			}
		})
	}
}

func TestStrict(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"spec example", specExample,
			`{"type":"object","required":["a"],"properties":{"a":{"type":"string","enum":["v"]},"b":{"type":"integer","minimum":1,"nullable":true},"c":{"anyOf":[{"type":"string"},{"type":"number"}]},"title":{"type":"string"}}}`},
		{"B1 allow-list", `{"type":"object","additionalProperties":false,"$id":"x","x-custom":1,"properties":{"a":{"type":"string","title":"t"}}}`,
			`{"type":"object","properties":{"a":{"type":"string","title":"t"}}}`},
		{"B2 type with null", `{"type":["string","null"],"maxLength":3}`, `{"type":"string","maxLength":3,"nullable":true}`},
		{"B2 several types", `{"description":"d","type":["string","integer","null"],"minLength":1}`, `{"description":"d","anyOf":[{"type":"string","minLength":1},{"type":"integer"}],"nullable":true}`},
		{"B3 enum of numbers", `{"type":"integer","enum":[1,2]}`, `{"type":"string","format":"enum","enum":["1","2"]}`},
		{"B3 bounds of an enum of numbers", `{"type":"integer","enum":[1,2],"minimum":0,"maximum":9}`, `{"type":"string","format":"enum","enum":["1","2"]}`},
		{"B1 keywords about another type", `{"type":"string","minItems":1,"properties":{"a":{}},"items":{},"minimum":1,"minLength":2}`, `{"type":"string","minLength":2}`},
		{"B6 pointer to a property", `{"type":"object","properties":{"one":{"type":"number"},"a":{"$ref":"#/properties/one"}}}`, `{"type":"object","properties":{"one":{"type":"number"},"a":{"type":"number"}}}`},
		{"B3 empty string in enum", `{"type":"string","enum":["","a"]}`, `{"type":"string","enum":["a"]}`},
		{"B3 enum of two types", `{"type":["integer","string"],"enum":[1,"a"],"minimum":1}`, `{"type":"string","format":"enum","enum":["1","a"]}`},
		{"B4 null among words of two kinds", `{"enum":[1,"a",null]}`, `{"type":"string","format":"enum","enum":["1","a"],"nullable":true}`},
		{"B4 null in enum", `{"type":"string","enum":["a",null]}`, `{"type":"string","enum":["a"],"nullable":true}`},
		{"B4 anyOf with null", `{"description":"d","anyOf":[{"type":"string"},{"type":"null"}]}`, `{"description":"d","type":"string","nullable":true}`},
		{"B6 reference in URI encoding", `{"type":"object","properties":{"a":{"$ref":"#/definitions/Partial%3CX%3E"}},"definitions":{"Partial<X>":{"type":"string"}}}`,
			`{"type":"object","properties":{"a":{"type":"string"}}}`},
		{"B4 reference or null", `{"type":"object","properties":{"a":{"anyOf":[{"$ref":"#/$defs/X"},{"type":"null"}]}},"$defs":{"X":{"type":"number"}}}`,
			`{"type":"object","properties":{"a":{"type":"number","nullable":true}}}`},
		{"B5 siblings of anyOf", `{"type":"object","properties":{"a":{"default":1,"description":"d","oneOf":[{"type":"string"},{"type":"number"}]}}}`,
			`{"type":"object","properties":{"a":{"description":"d","anyOf":[{"type":"string"},{"type":"number"}]}}}`},
		{"B5 type moves into branches", `{"type":"string","anyOf":[{"pattern":"a"},{"pattern":"b"}]}`, `{"anyOf":[{"pattern":"a","type":"string"},{"pattern":"b","type":"string"}]}`},
		{"B7 formats", `{"type":"object","properties":{"a":{"type":"string","format":"email"},"b":{"type":"string","format":"date-time"},"c":{"type":"integer","format":"int64"},"d":{"type":"integer","format":"uint8"}}}`,
			`{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string","format":"date-time"},"c":{"type":"integer","format":"int64"},"d":{"type":"integer"}}}`},
		{"B6 the whole, within itself", `{"type":"object","properties":{"a":{"$ref":"#"}}}`,
			strings.Repeat(`{"type":"object","properties":{"a":`, 6) + `{"type":"object"}` + strings.Repeat(`}}`, 6)},
		{"B8 array without items", `{"type":"array"}`, `{"type":"array","items":{"type":"string"}}`},
		{"B8 tuple", `{"type":"array","prefixItems":[{"type":"string"},{"type":"number"},{"type":"string"}]}`, `{"type":"array","items":{"anyOf":[{"type":"string"},{"type":"number"}]}}`},
		{"B9 nested empty object", `{"type":"object","properties":{"a":{"type":"object","properties":{}}}}`, `{"type":"object","properties":{"a":{"type":"object"}}}`},
		{"B7 boolean property", `{"type":"object","properties":{"a":true}}`, `{"type":"object","properties":{"a":{"type":"object"}}}`},
		{"B10 fractional counts", `{"type":"array","items":{"type":"string"},"minItems":1.5,"maxItems":3}`, `{"type":"array","items":{"type":"string"},"maxItems":3}`},
		{"B11 required inside a property", `{"type":"object","properties":{"a":{"type":"string","required":true},"b":{"type":"any"}}}`,
			`{"type":"object","required":["a"],"properties":{"a":{"type":"string"},"b":{"type":"object"}}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := convert(t, Strict, c.in); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestStrict_CutsRecursion(t *testing.T) {
	got := convert(t, Strict, `{"type":"object","properties":{"t":{"$ref":"#/$defs/T"}},"$defs":{"T":{"type":"object","properties":{"t":{"$ref":"#/$defs/T"}}}}}`)
	if n := strings.Count(got, `"properties"`); n != 1+maxRecursion {
		t.Errorf("expanded %d times: %s", n-1, got)
	}
	if strings.Contains(got, "$ref") {
		t.Errorf("left a reference: %s", got)
	}
}

// What converter A made gives converter B the same as the schema itself, so that
// a request needs to keep only the former.
func TestStrict_OfLight(t *testing.T) {
	for _, c := range lightCases {
		t.Run(c.name, func(t *testing.T) {
			if got, want := convert(t, Strict, convert(t, Light, c.in)), convert(t, Strict, c.in); got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
		})
	}
}

func TestBare(t *testing.T) {
	const in = `{"type":"object","title":"T","properties":{"a":{"type":"string","format":"date-time","minLength":1,"maxLength":2,"pattern":"x","default":"d","description":"kept"},
		"b":{"type":"array","minItems":1,"maxItems":2,"items":{"type":"integer","minimum":1,"maximum":2,"enum":[1,2]}},"minimum":{"type":"string","enum":["u"]}},"required":["a"],"minProperties":1}`
	want := `{"type":"object","properties":{"a":{"type":"string","description":"kept"},"b":{"type":"array","items":{"type":"string","enum":["1","2"]}},"minimum":{"type":"string","enum":["u"]}},"required":["a"]}`
	got := convert(t, Bare, in)
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if again := convert(t, Bare, convert(t, Strict, in)); again != got {
		t.Errorf("after converter B\n%s", again)
	}
}

func TestLimits(t *testing.T) {
	deep := strings.Repeat(`{"type":"array","items":`, 40) + `{}` + strings.Repeat(`}`, 40)
	wide := `{"type":"object","description":"` + strings.Repeat("x", MaxSize) + `"}`
	bomb := &bytes.Buffer{}
	bomb.WriteString(`{"type":"object","properties":{"a":{"$ref":"#/$defs/d0"}},"$defs":{`)
	for i := range 24 {
		c, next := string(rune('a'+i)), string(rune('a'+i+1))
		name := c
		if i == 0 {
			name = "d0"
		}
		bomb.WriteString(`"` + name + `":{"type":"object","properties":{"x":{"$ref":"#/$defs/` + next + `"},"y":{"$ref":"#/$defs/` + next + `"}}},`)
	}
	bomb.WriteString(`"y":{"type":"string"}}}`)
	triples := `{"type":"object","properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{`
	for c := 'a'; c < 'k'; c++ {
		triples += `"` + string(c) + `":{"allOf":[{"type":"object"}` + strings.Repeat(`,{"$ref":"#/$defs/`+string(c+1)+`"}`, 3) + `]},`
	}
	triples += `"k":{"type":"object"}}}`
	for _, c := range []struct {
		name, in string
		f        func(rawjson.Value) (rawjson.Value, error)
		want     error
	}{
		{"light depth", deep, Light, ErrDepth},
		{"strict depth", deep, Strict, ErrDepth},
		{"light size", wide, Light, ErrSize},
		{"strict size", wide, Strict, ErrSize},
		{"strict expansion", bomb.String(), Strict, ErrExpansion},
		{"light expansion", triples, Light, ErrExpansion},
		{"kind", `[]`, Light, ErrKind},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := rawjson.Parse([]byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.f(v); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestIsEmpty(t *testing.T) {
	for in, want := range map[string]bool{
		`null`: true, `{}`: true, `{"type":"object"}`: true, `{"type":"object","properties":{}}`: true,
		`{"type":"object","properties":{},"additionalProperties":false}`: true, `{"type":"object","properties":{},"required":[]}`: true,
		`{"type":"object","properties":{"a":{}}}`: false, `{"type":"string"}`: false, `{"$ref":"#/$defs/a"}`: false,
		`{"type":"object","additionalProperties":{"type":"string"}}`: false, `[]`: false,
	} {
		if got := IsEmpty(rawjson.Value(in)); got != want {
			t.Errorf("IsEmpty(%s) = %v", in, got)
		}
	}
}

// FuzzSchema checks that no schema panics, that output is JSON, that converter A
// is idempotent and that converter B leaves nothing the subset refuses.
func FuzzSchema(f *testing.F) {
	for _, c := range lightCases {
		f.Add([]byte(c.in))
	}
	f.Add([]byte(`{"allOf":[{"$ref":"#/$defs/A"}],"$defs":{"A":{"allOf":[{"$ref":"#/$defs/A"},{"type":"object"}]}}}`))
	f.Add([]byte(`{"$ref":"#/$defs/A","$defs":{"A":{"$ref":"#/$defs/B"},"B":{"$ref":"#/$defs/A"}}}`))
	f.Add([]byte(`{"anyOf":[{"anyOf":[{"type":"null"}]},{"type":"null"}],"enum":[null],"const":null}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		v, err := rawjson.Parse(doc)
		if err != nil {
			return
		}
		IsEmpty(v)
		if a, err := Light(v); err == nil {
			if !json.Valid(a) {
				t.Fatalf("A(%s) = %s", v, a)
			}
			again, err := Light(a)
			if err != nil || !bytes.Equal(again, a) {
				t.Fatalf("A(%s) = %s, A of it %s, %v", v, a, again, err)
			}
		}
		if b, err := Bare(v); err == nil && !json.Valid(b) {
			t.Fatalf("bare %s is %s", v, b)
		}
		if b, err := Strict(v); err == nil {
			var doc any
			reader := json.NewDecoder(bytes.NewReader(b))
			reader.UseNumber() // a default may be any
			if err := reader.Decode(&doc); err != nil || !json.Valid(b) {
				t.Fatalf("B(%s) = %s: %v", v, b, err)
			}
			if bad := unsupported(doc); bad != "" {
				t.Fatalf("B(%s) = %s has %s", v, b, bad)
			}
		}
	})
}

// unsupported names a keyword outside of the subset.
func unsupported(schema any) string {
	object, ok := schema.(map[string]any)
	if !ok {
		return "a schema that is no object"
	}
	for k, v := range object {
		switch k {
		case "type", "format", "title", "description", "nullable", "enum", "minItems", "maxItems", "required", "propertyOrdering",
			"minProperties", "maxProperties", "minLength", "maxLength", "pattern", "minimum", "maximum", "default", "example":
			if _, list := v.([]any); k == "type" && list {
				return "an array of types"
			}
		case "items":
			if bad := unsupported(v); bad != "" {
				return bad
			}
		case "anyOf":
			for _, e := range v.([]any) {
				if bad := unsupported(e); bad != "" {
					return bad
				}
			}
		case "properties":
			for _, e := range v.(map[string]any) {
				if bad := unsupported(e); bad != "" {
					return bad
				}
			}
		default:
			return k
		}
	}
	return ""
}

func BenchmarkLight(b *testing.B) {
	clean := `{"type":"object","properties":{"city":{"type":"string","description":"The city"},"unit":{"type":"string","enum":["c","f"]},"days":{"type":"array","items":{"type":"integer"}}},"required":["city"],"additionalProperties":false}`
	for name, in := range map[string]string{"clean": clean, "rewritten": specExample} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Light(rawjson.Value(in)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
