// SPDX-License-Identifier: Apache-2.0

package gemini

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

const recordings = "../../../shared/recordings"

// textEvent is an event as Google sends it.
func textEvent(text string, rest string, candidates, total int) string {
	return fmt.Sprintf(`{"candidates": [{"content": {"parts": [{"text": %s}],"role": "model"},%s"index": 0}],"usageMetadata": {"promptTokenCount": 13,"candidatesTokenCount": %d,`+
		`"totalTokenCount": %d,"promptTokensDetails": [{"modality": "TEXT","tokenCount": 13}]},"modelVersion": "gemini-2.5-flash","responseId": "b36La"}`,
		text, rest, candidates, total)
}

// alike decodes documents one after the other by a shape and without, and reports how
// many fitted.
func alike(t *testing.T, docs ...string) (fitted int) {
	t.Helper()
	var got, want Response
	for n, doc := range docs {
		mine := []byte(doc)
		if got.shape.fits(mine) {
			fitted++
		}
		err := got.Decode(mine)
		v, wantErr := rawjson.Parse([]byte(doc))
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("document %d: error %v, without a shape %v\n%s", n, err, wantErr, strings.Join(docs, "\n"))
		}
		if err != nil {
			continue
		}
		want.DecodeValue(v)
		if a, b := leaves(got), leaves(want); a != b {
			t.Fatalf("document %d:\n%s\nwithout a shape\n%s\n%s", n, a, b, strings.Join(docs, "\n"))
		}
		clear(mine) // as the next event overwrites it
	}
	return fitted
}

// leaves is everything that a Response says.
func leaves(r Response) string {
	r.begun, r.ended, r.shape = false, false, nil
	var b strings.Builder
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				fmt.Fprintf(&b, "%s:", v.Type().Field(i).Name)
				walk(v.Field(i))
			}
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Slice:
			if v.Type().Elem().Kind() == reflect.Uint8 {
				fmt.Fprintf(&b, "%q,", v.Bytes())
				return
			}
			for i := range v.Len() {
				walk(v.Index(i))
			}
		default:
			fmt.Fprintf(&b, "%v,", v)
		}
	}
	walk(reflect.ValueOf(r))
	return b.String()
}

func TestShape(t *testing.T) {
	a, b := textEvent(`"one"`, "", 1, 14), textEvent(`"two"`, "", 2, 15)
	for name, tc := range map[string]struct {
		third string
		fits  bool
	}{
		"text and counts":       {textEvent(`"th\"r\n\u00e9 é"`, "", 300, 12345), true},
		"no text":               {textEvent(`""`, "", 3, 16), true},
		"an end":                {textEvent(`"three"`, `"finishReason": "STOP",`, 3, 16), false},
		"half a pair":           {textEvent(`"\ud800"`, "", 3, 16), false},
		"no UTF-8":              {textEvent("\"\xff\"", "", 3, 16), false},
		"a control character":   {textEvent("\"\n\"", "", 3, 16), false},
		"a bad escape":          {textEvent(`"\x"`, "", 3, 16), false},
		"no string":             {textEvent(`null`, "", 3, 16), false},
		"the string's end":      {textEvent(`"three`, "", 3, 16), false},
		"more members":          {textEvent(`"three","thought":true`, "", 3, 16), false},
		"another part":          {textEvent(`"three"},{"text":"four"`, "", 3, 16), false},
		"another model":         {strings.Replace(b, "2.5-flash", "3.5-flash", 1), false},
		"a fraction":            {strings.Replace(b, ": 15", ": 15.5", 1), false},
		"an exponent":           {strings.Replace(b, ": 15", ": 15e3", 1), false},
		"a negative count":      {strings.Replace(b, ": 15", ": -15", 1), false},
		"a leading zero":        {strings.Replace(b, ": 15", ": 015", 1), false},
		"no digits":             {strings.Replace(b, ": 15", ": ", 1), false},
		"beyond all counts":     {strings.Replace(b, ": 15", ": 4294967296", 1), false},
		"a count in a string":   {strings.Replace(b, ": 15", `: "15"`, 1), false},
		"something after it":    {b + "}", false},
		"cut in the text":       {b[:60], false},
		"cut in a count":        {b[:strings.Index(b, `"totalTokenCount": `)+20], false},
		"nothing":               {"", false},
		"an error in its place": {`{"error":{"code":503}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			fitted := alike(t, a, b, tc.third, a, b)
			if want := map[bool]int{true: 3, false: 1}[tc.fits]; fitted < want || tc.fits != (fitted == 3) && fitted > 2 {
				t.Errorf("%d events fitted", fitted)
			}
			var r Response
			for _, doc := range []string{a, b} {
				_ = r.Decode([]byte(doc))
			}
			if r.shape.fits([]byte(tc.third)) != tc.fits {
				t.Errorf("fits: %v, want %v", !tc.fits, tc.fits)
			}
		})
	}
}

// What is there twice counts as DecodeValue has it.
func TestShape_Twice(t *testing.T) {
	for _, doc := range []string{
		`{"candidates":[{"content":{"parts":[{"text":"%d","text":"x"}]}}],"usageMetadata":{"totalTokenCount":%d}}`,
		`{"candidates":[{"content":{"parts":[{"text":"%d"}],"parts":[]}}],"usageMetadata":{"totalTokenCount":%d}}`,
		`{"candidates":[{"content":{"parts":[{"text":"%d"}]},"content":{}}],"usageMetadata":{"totalTokenCount":1,"totalTokenCount":%d}}`,
		`{"candidates":[{"content":{"parts":[{"text":"%d"}]}}],"candidates":[{}],"usageMetadata":{"totalTokenCount":%d}}`,
		`{"candidates":[{"content":{"parts":[{"text":"%d"}]}}],"usageMetadata":{"totalTokenCount":%d},"usageMetadata":{"totalTokenCount":7}}`,
		`[{"candidates":[{"content":{"parts":[{"text":"%d"}]}}],"usageMetadata":{"totalTokenCount":%d}}]`,
		`{"candidates":[{"content":{"parts":[{"text":"%d"}]}}],"usageMetadata":{"totalTokenCount":%d,"totalTokenCount":"12"}}`,
		`{"candidates":[{"content":{"parts":[{"text":"%d"}]}}],"usageMetadata":{"totalTokenCount":%d},"usageMetadata":{"totalTokenCount":4294967296}}`,
		`{"candidates":[{"content":{"parts":[{"text":"%d"}]}}],"usageMetadata":{"totalTokenCount":%d,"promptTokenCount":-1}}`,
		` {"candidates":[{"content":{"parts":[{"text":"%d"}]}}],"usageMetadata":{"totalTokenCount":%d}} `,
		`{"candidates":[{"content":{"parts":[{"text":"%d","inlineData":{"data":"AAAA"}}]}}],"usageMetadata":{"totalTokenCount":%d}}`,
		`[{"candidates":[{"content":{"parts":[{"text":"%d"}]}}]},{"usageMetadata":{"totalTokenCount":%d}}]`,
		`{"candidates":[{"content":{"parts":[{"text":"%d","text":null}]}}],"usageMetadata":{"totalTokenCount":%d}}`,
		`{"candidates":[{"content":{"parts":[{"te\\u0078t":"%d"}]}}],"usageMetadata":{"totalTokenCount":%d}}`,
	} {
		var docs []string
		for i := range 6 {
			docs = append(docs, fmt.Sprintf(doc, i, i))
		}
		alike(t, docs...)
	}
}

// An answer of which no two events look alike is not learnt for ever.
func TestShape_Unfit(t *testing.T) {
	var r Response
	for i := range 20 {
		if err := r.Decode([]byte(textEvent(`"x"`, fmt.Sprintf(`"n%d": 1,`, i), i, i))); err != nil {
			t.Fatal(err)
		}
	}
	if r.shape.unfit != maxUnfit || len(r.shape.holes) > 0 {
		t.Errorf("learnt %d times, %d holes", r.shape.unfit, len(r.shape.holes))
	}
	r.Reset()
	if r.shape.unfit != 0 || r.begun {
		t.Error("another answer begins with what was learnt of the one before")
	}
}

// Every recorded stream means the same by shapes as without, and most of its text
// fits.
func TestShape_Recordings(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(recordings, "*", "*.sse"))
	if len(files) == 0 {
		t.Skip("no recordings beside the project")
	}
	fitted, events := 0, 0
	for _, file := range files {
		docs := eventsOf(t, file)
		events += len(docs)
		fitted += alike(t, docs...)
	}
	t.Logf("%d of %d events of %d streams fitted", fitted, events, len(files))
	if fitted == 0 {
		t.Error("no event fitted")
	}
}

func eventsOf(t testing.TB, file string) (docs []string) {
	t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(body) {
		if data, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			docs = append(docs, string(bytes.TrimSpace(data)))
		}
	}
	return docs
}

// FuzzShape decodes three events, the last one changed at will, by a shape and without.
func FuzzShape(f *testing.F) {
	f.Add(textEvent(`"one"`, "", 1, 14), textEvent(`"two"`, "", 2, 15), textEvent(`"three"`, "", 3, 16))
	files, _ := filepath.Glob(filepath.Join(recordings, "*", "*.sse"))
	for _, file := range files {
		for docs := range slices.Chunk(eventsOf(f, file), 3) {
			if len(docs) == 3 {
				f.Add(docs[0], docs[1], docs[2])
			}
		}
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		alike(t, a, b, c, b, c)
	})
}

func BenchmarkShape(b *testing.B) {
	text := `"` + strings.Repeat("lorem ipsum ", 18) + `"`
	docs := [][]byte{[]byte(textEvent(text, "", 1, 14)), []byte(textEvent(text, "", 2, 15))}
	for name, decode := range map[string]func(r *Response, doc []byte) error{
		"shape": (*Response).Decode,
		"parsed": func(r *Response, doc []byte) error {
			v, err := rawjson.Parse(doc)
			r.DecodeValue(v)
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			var r Response
			b.ReportAllocs()
			for i := range b.N {
				if err := decode(&r, docs[i&1]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
