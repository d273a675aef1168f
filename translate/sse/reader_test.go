// SPDX-License-Identifier: Apache-2.0

package sse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

type frame struct{ raw, data string }

// read returns all frames of a body that ends cleanly.
func read(t testing.TB, f Frames) (frames []frame) {
	t.Helper()
	for {
		raw, data, err := f.Next()
		if err == io.EOF {
			return frames
		}
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		frames = append(frames, frame{string(raw), string(data)})
	}
}

// chunks is a body that arrives in pieces of the sizes in plan, over and over.
type chunks struct {
	body []byte
	plan []byte
	at   int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.body) == 0 {
		return 0, io.EOF
	}
	n := 1
	if len(c.plan) > 0 {
		n = int(c.plan[c.at%len(c.plan)])
		c.at++
	}
	n = copy(p, c.body[:min(n, len(c.body))])
	c.body = c.body[n:]
	return n, nil
}

var bodies = []struct {
	name, body string
	datas      []string
}{
	{"LF", "data: a\n\ndata: b\n\n", []string{"a", "b"}},
	{"CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", []string{"a", "b"}},
	{"CR", "data: a\r\rdata: b\r\r", []string{"a", "b"}},
	{"mixed", "data: a\n\r\ndata: b\r\n\ndata: c\r\r\ndata: d\n\r\n", []string{"a", "b", "c", "d"}},
	{"LF CR", "data: a\n\rdata: b\n\r", []string{"a", "b"}},
	{"no final newline", "data: a\n\ndata: b", []string{"a", "b"}},
	{"one final newline", "data: a\n\ndata: b\r\n", []string{"a", "b"}},
	{"byte order mark", "\xEF\xBB\xBFdata: a\n\ndata: b\n\n", []string{"a", "b"}},
	{"byte order mark in the second event is a name", "data: a\n\n\xEF\xBB\xBFdata: b\n\n", []string{"a", "\xEF\xBB\xBFdata: b"}},
	{"comment", ": ping\n\ndata: a\n\n: pong\n\n", []string{"", "a", ""}},
	{"comment inside an event", ": x\ndata: a\n: y\n\n", []string{"a"}},
	{"data lines", "data: {\ndata:  \"a\":1\r\ndata\rdata:}\n\n", []string{"{\n \"a\":1\n\n}"}},
	{"no blank after the colon", "data:a\n\n", []string{"a"}},
	{"other fields", "event: x\nid: 1\nretry: 5\ndata: a\nother: y\nplain\n\n", []string{"a"}},
	{"blank lines before", "\n\r\n\rdata: a\n\n\n\ndata: b\n\n\n", []string{"a", "b", ""}},
	{"DONE", "data: a\n\ndata: [DONE]\n\n", []string{"a", "[DONE]"}},
	{"bare object at the end", "data: a\n\n{\n  \"error\": {\n\n    \"code\": 503\n  }\n}\n", []string{"a", "{\n  \"error\": {\n\n    \"code\": 503\n  }\n}"}},
	{"bare array only", "[{\"error\":{}}]", []string{"[{\"error\":{}}]"}},
	{"bare object after an event name", "event: error\n{\"error\":{}}\n\n", []string{"{\"error\":{}}"}},
	{"HTML", "<html>\n\nSorry\n", []string{"<html>\n\nSorry"}},
	{"empty", "", nil},
	{"blank only", "\r\n\n", []string{""}},
}

func TestReader(t *testing.T) {
	for _, tc := range bodies {
		t.Run(tc.name, func(t *testing.T) {
			for size := 1; size <= len(tc.body)+1; size++ {
				got := read(t, NewReader(&chunks{body: []byte(tc.body), plan: []byte{byte(size)}}))
				var raws strings.Builder
				var datas []string
				for _, f := range got {
					raws.WriteString(f.raw)
					datas = append(datas, f.data)
				}
				if raws.String() != tc.body {
					t.Fatalf("pieces of %d: raws joined = %q", size, raws.String())
				}
				if !slices.Equal(datas, tc.datas) {
					t.Fatalf("pieces of %d: data = %q, want %q", size, datas, tc.datas)
				}
			}
		})
	}
}

func FuzzReader(f *testing.F) {
	for _, tc := range bodies {
		f.Add([]byte(tc.body), []byte{1, 3, 2, 7})
	}
	f.Fuzz(func(t *testing.T, body, plan []byte) {
		checkChunking(t, body, plan, func(r io.Reader) Frames { return NewReader(r) })
	})
}

// checkChunking compares any cutting with the whole.
func checkChunking(t *testing.T, body, plan []byte, open func(io.Reader) Frames) {
	for i := range plan {
		plan[i] = max(plan[i], 1)
	}
	whole := read(t, open(bytes.NewReader(body)))
	var raws strings.Builder
	for _, f := range whole {
		if f.raw == "" {
			t.Fatal("an empty frame")
		}
		raws.WriteString(f.raw)
	}
	if raws.String() != string(body) {
		t.Fatalf("raws joined = %q, want %q", raws.String(), body)
	}
	for name, r := range map[string]io.Reader{
		"pieces":          &chunks{body: body, plan: plan},
		"bytes":           iotest.OneByteReader(bytes.NewReader(body)),
		"end with data":   iotest.DataErrReader(bytes.NewReader(body)),
		"pieces and data": iotest.DataErrReader(&chunks{body: body, plan: plan}),
	} {
		frames := open(r)
		if got := read(t, frames); !slices.Equal(got, whole) {
			t.Fatalf("%s: %q, want %q", name, got, whole)
		}
		frames.Release()
	}
}

func TestReader_Ready(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	frames := NewReader(r)
	if frames.Ready() {
		t.Error("ready before anything was read")
	}
	go io.WriteString(w, "data: a\n\ndata: b\n\ndata: c\n")
	for _, want := range []bool{true, false} {
		if _, _, err := frames.Next(); err != nil || frames.Ready() != want {
			t.Fatalf("Ready after an event = %v, %v; want %v", frames.Ready(), err, want)
		}
	}
	go func() { io.WriteString(w, "\n"); w.Close() }()
	if _, data, err := frames.Next(); err != nil || string(data) != "c" {
		t.Fatalf("third event %q, %v", data, err)
	}
	if _, _, err := frames.Next(); err != io.EOF {
		t.Fatalf("at the end: %v", err)
	}
}

// TestReader_CRWithoutWaiting: CR CR ends an event at once; only after CRLF or LF
// may the CR of a blank line have an LF behind it.
func TestReader_CRWithoutWaiting(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	go io.WriteString(w, "data: a\r\r")
	if raw, _, err := NewReader(r).Next(); err != nil || string(raw) != "data: a\r\r" {
		t.Fatalf("%q, %v", raw, err)
	}
}

func TestReader_SourceFails(t *testing.T) {
	cut := errors.New("connection reset")
	for name, open := range map[string]func(io.Reader) Frames{
		"sse":   func(r io.Reader) Frames { return NewReader(r) },
		"array": func(r io.Reader) Frames { return NewArrayReader(r) },
	} {
		body := map[string]string{"sse": "data: {}\n\ndata: {\"a", "array": "[{},\n{\"a"}[name]
		f := open(io.MultiReader(strings.NewReader(body), iotest.ErrReader(cut)))
		if _, data, err := f.Next(); err != nil || string(data) != "{}" {
			t.Errorf("%s: first frame %q, %v", name, data, err)
		}
		if _, data, err := f.Next(); err != cut {
			t.Errorf("%s: after the cut %q, %v", name, data, err)
		}
		f.Release()
		if _, _, err := f.Next(); err != io.EOF {
			t.Errorf("%s: after Release: %v", name, err)
		}
	}
}

func TestReader_Large(t *testing.T) {
	big := "data: {\"x\":\"" + strings.Repeat("A", 5<<20) + "\"}\r\n\r\n"
	got := read(t, NewReader(iotest.HalfReader(strings.NewReader(big+"data: z\r\n\r\n"))))
	if len(got) != 2 || got[0].raw != big || got[1].data != "z" {
		t.Fatalf("%d frames", len(got))
	}
	r := NewReader(strings.NewReader(big))
	r.max = 1 << 20
	if _, _, err := r.Next(); err != ErrTooLarge {
		t.Errorf("an event over the limit: %v", err)
	}
	a := NewArrayReader(strings.NewReader("[" + strings.TrimSuffix(big[6:], "\r\n\r\n") + "]"))
	a.max = 1 << 20
	if _, _, err := a.Next(); err != ErrTooLarge {
		t.Errorf("an element over the limit: %v", err)
	}
}

// TestReader_Recordings reads every recorded stream whole, in single bytes and
// with each kind of line end.
func TestReader_Recordings(t *testing.T) {
	files, _ := filepath.Glob("../../../shared/recordings/*/*.sse")
	if len(files) == 0 {
		t.Skip("no recordings beside the project")
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lf := bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n"))
		want := read(t, NewReader(bytes.NewReader(lf)))
		for _, end := range []string{"\n", "\r\n", "\r"} {
			doc := bytes.ReplaceAll(lf, []byte("\n"), []byte(end))
			got := read(t, NewReader(iotest.OneByteReader(bytes.NewReader(doc))))
			if len(got) != len(want) {
				t.Fatalf("%s: %d frames, want %d", file, len(got), len(want))
			}
			for i := range got {
				if got[i].data != want[i].data {
					t.Errorf("%s: frame %d with %q differs", file, i, end)
				}
			}
		}
	}
}

func TestAppend(t *testing.T) {
	for _, tc := range []struct{ name, data, want string }{
		{"", `{"a":1}`, "data: {\"a\":1}\n\n"},
		{"ping", `{}`, "event: ping\ndata: {}\n\n"},
		{"", "a\nb\r\nc\rd", "data: a\ndata: b\ndata: c\ndata: d\n\n"},
		{"", "", "data: \n\n"},
	} {
		if got := string(Append(nil, tc.name, []byte(tc.data))); got != tc.want {
			t.Errorf("Append(%q, %q) = %q", tc.name, tc.data, got)
		}
	}
}

func FuzzAppend(f *testing.F) {
	f.Add("x", []byte("a\nb"))
	f.Fuzz(func(t *testing.T, _ string, data []byte) {
		got := read(t, NewReader(bytes.NewReader(Append(nil, "e", data))))
		want := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))
		if len(got) != 1 || got[0].data != want {
			t.Fatalf("%q came back as %q", data, got)
		}
	})
}

// loop is a body that never ends.
type loop struct {
	event []byte
	at    int
}

func (l *loop) Read(p []byte) (n int, err error) {
	for n < len(p) {
		c := copy(p[n:], l.event[l.at:])
		n += c
		l.at = (l.at + c) % len(l.event)
	}
	return n, nil
}

func event(size int) string {
	return "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"" + strings.Repeat("word ", size/5) + "\"}]}}]}"
}

func TestReader_AllocatesNothing(t *testing.T) {
	for _, end := range []string{"\n\n", "\r\n\r\n", "\r\r", "\ndata: more\n\n"} {
		r := NewReader(&loop{event: []byte(event(600) + end)})
		r.Next()
		if n := testing.AllocsPerRun(1000, func() { r.Next(); r.Ready() }); n != 0 {
			t.Errorf("%q: %v allocations per event", end, n)
		}
	}
	r := NewArrayReader(&loop{event: []byte(",\r\n" + event(600)[6:])})
	r.Next()
	if n := testing.AllocsPerRun(1000, func() { r.Next(); r.Ready() }); n != 0 {
		t.Errorf("array: %v allocations per element", n)
	}
}

func BenchmarkReader(b *testing.B) {
	for _, size := range []int{600, 1 << 20} {
		b.Run(fmt.Sprint("sse/", size), func(b *testing.B) {
			bench(b, NewReader(&loop{event: []byte(event(size) + "\r\n\r\n")}), size)
		})
		b.Run(fmt.Sprint("array/", size), func(b *testing.B) {
			bench(b, NewArrayReader(&loop{event: []byte(",\r\n" + event(size)[6:])}), size)
		})
	}
}

func bench(b *testing.B, f Frames, size int) {
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := f.Next(); err != nil {
			b.Fatal(err)
		}
	}
}
