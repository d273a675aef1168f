// SPDX-License-Identifier: Apache-2.0

package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

var documents = []string{
	`{}`, `[]`, `""`, `0`, `-1.5e+10`, `true`, `null`, ` { "a" : [ 1 , "x" , { } ] } `,
	`{"a":"\u00e9\ud83d\ude00\n\\\"","a":2}`, `"\ud800"`, `"\ud800\u0041"`, `"\udc00x"`, "\"\xff\xfe\"",
	"\"" + strings.Repeat("A", 100) + "\x01\"", `{"a":1,}`, `[1 2]`, `01`, `1.`, `"\x"`, `"abc`, `tru`, `{"a" 1}`,
	strings.Repeat("[", 129) + strings.Repeat("]", 129), `"\u12"`, `{"":{"":[[[]]]}}`, "[1,\t2,\r\n3]", `"\\"`, `"\\\""`,
	`"\ud83d\u"`, `"\ufffd"`, "{\"k\":\"" + strings.Repeat(`a\n`, 50) + "\"}",
}

// decode turns v into what encoding/json makes of it, by walking.
func decode(v Value) any { return decodeBy(nil, v) }

// decodeBy is decode by the walks of d.
func decodeBy(d *Document, v Value) any {
	switch v.Kind() {
	case Null:
		return nil
	case Bool:
		return v.IsTrue()
	case Number:
		return json.Number(v)
	case String:
		return v.Text()
	case Array:
		list := []any{}
		for _, e := range d.Elems(v) {
			list = append(list, decodeBy(d, e))
		}
		return list
	case Object:
		object := map[string]any{}
		for k, m := range d.Members(v) {
			if again := d.Get(v, k.Text()); !k.Escaped() && again == nil {
				panic("no member " + k.Text())
			}
			object[k.Text()] = decodeBy(d, m)
		}
		return object
	}
	return "missing"
}

func check(t *testing.T, doc []byte) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var want any
	valid := json.Valid(doc)
	if valid {
		if err := dec.Decode(&want); err != nil {
			t.Fatal(err)
		}
	}
	v, err := Parse(bytes.Clone(doc))
	if err != nil {
		if valid && !strings.Contains(err.Error(), "nested") {
			t.Fatalf("Parse(%q) = %v, encoding/json accepts it", doc, err)
		}
		return
	}
	if !valid {
		t.Fatalf("Parse(%q) accepts what encoding/json refuses", doc)
	}
	if got := decode(v); !reflect.DeepEqual(got, want) {
		t.Fatalf("Parse(%q) = %#v, want %#v", doc, got, want)
	}
	for _, least := range []int{2, 3, 8} {
		d, err := parseDocument(bytes.Clone(doc), least)
		if err != nil {
			t.Fatalf("parseDocument(%q) = %v", doc, err)
		}
		if got := decodeBy(&d, d.Root); !reflect.DeepEqual(got, want) {
			t.Fatalf("a document of %q, strings of %d and more known: %#v, want %#v", doc, least, got, want)
		}
		if got := decodeBy(&d, v); !reflect.DeepEqual(got, want) { // which is not of the document
			t.Fatalf("%q, walked by another document: %#v, want %#v", doc, got, want)
		}
		for i := range d.long {
			if l := d.long[i]; d.Escaped(d.Root[l.from:l.to]) != d.Root[l.from:l.to].Escaped() {
				t.Fatalf("%q: Escaped differs for %s", doc, d.Root[l.from:l.to])
			}
		}
	}
	if !utf8.Valid(v) || !json.Valid(v) {
		t.Fatalf("Parse(%q) left %q", doc, v)
	}
	if compact := Compact(nil, v); !reflect.DeepEqual(decode(compact), want) {
		t.Fatalf("Compact(%q) = %q", v, compact)
	}
}

func TestParse_AgreesWithEncodingJSON(t *testing.T) {
	for _, doc := range documents {
		check(t, []byte(doc))
	}
}

// What is cut is told to be, whatever stands in the string that has no end.
func TestParse_Cut(t *testing.T) {
	for _, doc := range []string{`{"a":"b`, "{\"a\":\"b\n", `{"a":"b\x`, `{"a":"b\u12`, `{"a":"b\`} {
		_, err := Parse([]byte(doc))
		syntax, ok := errors.AsType[*SyntaxError](err)
		if !ok || syntax.Offset != len(doc) {
			t.Errorf("%q: %v", doc, err)
		}
		_, err = Parse([]byte(doc + `"}`))
		if syntax, ok = errors.AsType[*SyntaxError](err); ok && syntax.Offset >= len(doc) && !strings.HasSuffix(doc, `\`) && !strings.HasSuffix(doc, "12") {
			t.Errorf("%q with an end: %v", doc, err)
		}
	}
}

// Long strings with escaped quotes are known as others are, and values that were cut,
// which nobody should have, end the walk.
func TestDocument_Quotes(t *testing.T) {
	doc := []byte(`{"a":["` + strings.Repeat(`say \"hi\" `, 1<<16) + `"],"b":1}`)
	d, err := ParseDocument(doc)
	if err != nil || len(d.long) != 1 {
		t.Fatalf("%d long strings are known: %v", len(d.long), err)
	}
	d.Root[d.long[0].to-1] = 'x'
	n := 0
	for range d.Members(d.Root) {
		n++
	}
	for range d.Members(d.Root[:5000:5000]) {
		n += 10
	}
	if n != 12 {
		t.Errorf("walked %d", n)
	}
}

// A document with a mebibyte is walked without going through it.
func TestDocument_Long(t *testing.T) {
	data := strings.Repeat("A", 1<<20)
	for _, tc := range []struct {
		doc   string
		known int
	}{
		{`  {"a":[{"b":"` + data + `"},"` + data + `\n"],"c":"short"} `, 2},
		{`{"a":"` + strings.Repeat("A", longString-3) + `"}`, 0},
		{`{"a":"` + strings.Repeat("A", longString-2) + `"}`, 1},
		{`{"a":"` + data + `\ud800","b":1}`, 0}, // repaired
	} {
		check(t, []byte(tc.doc))
		d, err := ParseDocument([]byte(tc.doc))
		if err != nil || len(d.long) != tc.known {
			t.Fatalf("%d long strings are known, want %d: %v", len(d.long), tc.known, err)
		}
		if tc.known == 0 {
			continue
		}
		// The quote at its end is not looked for: it may as well not be there.
		for _, l := range d.long {
			d.Root[l.to-1] = 'x'
		}
		n := 0
		for range d.Members(d.Root) {
			n++
		}
		if n != strings.Count(tc.doc, `":`)-strings.Count(tc.doc, `{"b`) {
			t.Errorf("%d members of %.30s", n, tc.doc)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, doc := range documents {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) { check(t, doc) })
}

func FuzzQuote(f *testing.F) {
	f.Add("a\"\\\n\x00\x7f<é😀\xff")
	f.Fuzz(func(t *testing.T, s string) {
		q := Quote(s)
		v, err := Parse(q)
		if err != nil || v.Text() != strings.ToValidUTF8(s, "\uFFFD") && utf8.ValidString(s) {
			t.Fatalf("Quote(%q) = %s: %v", s, q, err)
		}
	})
}

func TestParse_ErrorsSayWhere(t *testing.T) {
	for doc, want := range map[string]string{
		`{"a":1,}`:   "invalid JSON at byte 7: a member name was expected",
		`[1 2]`:      "invalid JSON at byte 3: a comma or ] was expected",
		`{"a":tru}`:  "invalid JSON at byte 5: a value was expected",
		`{"a":"b`:    "invalid JSON at byte 7: unexpected end",
		`{} x`:       "invalid JSON at byte 3: unexpected data after the value",
		"\"a\nb\"":   "invalid JSON at byte 2: a control character in a string must be escaped",
		`{"a":"\q"}`: "invalid JSON at byte 7: unknown escape sequence",
	} {
		if _, err := Parse([]byte(doc)); err == nil || err.Error() != want {
			t.Errorf("Parse(%q) = %v, want %s", doc, err, want)
		}
	}
}

func TestValue_Int(t *testing.T) {
	for doc, want := range map[string]int64{`12`: 12, `"12"`: 12, `1e3`: 1000, `-7`: -7} {
		if got, ok := Value(doc).Int(); !ok || got != want {
			t.Errorf("Int(%s) = %d, %v", doc, got, ok)
		}
	}
	for _, doc := range []string{`1.5`, `"x"`, `null`, `true`, `1e300`} {
		if got, ok := Value(doc).Int(); ok {
			t.Errorf("Int(%s) = %d", doc, got)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	small := []byte(`{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("Hello, how are you? ", 45) + `"}],"stream":true}`)
	image := []byte(`{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` + strings.Repeat("A", 1<<20) + `"}}]}]}`)
	for name, doc := range map[string][]byte{"1kB": small, "1MiB": image} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(doc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Strings are checked window by window; what lies across the border of two is one.
func TestParse_Windows(t *testing.T) {
	for _, at := range []string{"é", "汉", "😀", `\n`, `\\`, `\"`, `\u00e9`, `\ud83d\ude00`, "\x01", "\xff", "\xe6\xb1", `\ud83d`, "\xe6\xb1汉", `\x`, "\"", ""} {
		for shift := range 14 {
			for _, fill := range []string{"A", "é"} {
				before := strings.Repeat(fill, 2*near)[:near-8+shift&^1]
				doc := []byte(`"` + before + strings.Repeat(" ", shift&1) + at + strings.Repeat(fill, near) + at + `x"`)
				check(t, doc)
				v, err := Parse(doc)
				if valid := utf8.Valid(doc) && at != `\ud83d`; err == nil && valid != (&v[0] == &doc[0]) {
					t.Fatalf("%q, shifted by %d: a copy %v", at, shift, valid)
				}
			}
		}
	}
}
