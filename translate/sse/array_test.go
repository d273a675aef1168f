// SPDX-License-Identifier: Apache-2.0

package sse

import (
	"bytes"
	"io"
	"slices"
	"testing"
)

var arrays = []struct {
	name, body string
	frames     []frame
}{
	{"as Google writes it", "[{\"a\":1}\n,\r\n{\"b\":\"}]\\\"\"}\n]\n", []frame{
		{"[{\"a\":1}", `{"a":1}`}, {"\n,\r\n{\"b\":\"}]\\\"\"}", `{"b":"}]\""}`}, {"\n]\n", ""},
	}},
	{"compact", `[{"a":[{}]},{"b":2}]`, []frame{{`[{"a":[{}]}`, `{"a":[{}]}`}, {`,{"b":2}`, `{"b":2}`}, {`]`, ""}}},
	{"object alone", ` {"error":{}} `, []frame{{` {"error":{}}`, `{"error":{}}`}, {` `, ""}}},
	{"cut", `[{"a":1},{"b`, []frame{{`[{"a":1}`, `{"a":1}`}, {`,{"b`, `{"b`}}},
	{"no array", "<html>\n[1]", []frame{{"<html>\n[1]", "<html>\n[1]"}}},
	{"empty array", "[]", []frame{{"[]", ""}}},
	{"nothing", "", nil},
}

func TestArrayReader(t *testing.T) {
	for _, tc := range arrays {
		t.Run(tc.name, func(t *testing.T) {
			for size := 1; size <= len(tc.body)+1; size++ {
				got := read(t, NewArrayReader(&chunks{body: []byte(tc.body), plan: []byte{byte(size)}}))
				if !slices.Equal(got, tc.frames) {
					t.Fatalf("pieces of %d: %q, want %q", size, got, tc.frames)
				}
			}
		})
	}
}

// TestArrayReader_NoWaiting: an element is out as soon as its brace is there.
func TestArrayReader_NoWaiting(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	go io.WriteString(w, `[{"a":1}`)
	f := NewArrayReader(r)
	if _, data, err := f.Next(); err != nil || string(data) != `{"a":1}` || f.Ready() {
		t.Fatalf("%q, %v, ready %v", data, err, f.Ready())
	}
}

func FuzzArrayReader(f *testing.F) {
	for _, tc := range arrays {
		f.Add([]byte(tc.body), []byte{1, 3, 2, 7})
	}
	f.Fuzz(func(t *testing.T, body, plan []byte) {
		checkChunking(t, bytes.Clone(body), plan, func(r io.Reader) Frames { return NewArrayReader(r) })
	})
}
