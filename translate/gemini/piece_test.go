// SPDX-License-Identifier: Apache-2.0

package gemini

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// large is a request with a value of every kind that becomes a piece.
func large() *Request {
	text := func(c string) rawjson.Value { return rawjson.Quote(strings.Repeat(c, minPiece)) }
	data := base64.StdEncoding.AppendEncode(nil, bytes.Repeat([]byte("image"), minPiece))
	return &Request{
		SystemInstruction: []Part{{Text: text("s")}},
		Contents: []Content{
			{Role: "user", Parts: []Part{
				{Text: text("a"), ThoughtSignature: text("b")},
				{InlineData: &Blob{MIMEType: "image/png", Data: data}},
				{InlineData: &Blob{MIMEType: "image/png", Raw: bytes.Repeat([]byte("raw"), minPiece)[1:]}},
				{Text: rawjson.Value(`"small"`)},
			}},
			{Role: "model", Parts: []Part{{FunctionCall: &FunctionCall{Name: rawjson.Value(`"f"`), Args: append(append([]byte(`{"a":`), text("c")...), '}')}}}},
			{Role: "user", Parts: []Part{{FunctionResponse: &FunctionResponse{Name: rawjson.Value(`"f"`), Response: append(append([]byte(`{"r":`), text("d")...), '}')}}}},
		},
		Tools:  []Tool{{Functions: []FunctionDeclaration{{Name: "f", Description: rawjson.Value(`"e"`), JSONSchema: rawjson.Value(`{}`)}}}},
		Config: GenerationConfig{MaxOutputTokens: 5},
	}
}

// TestRequest_Encode: the pieces in their places are what Append makes.
func TestRequest_Encode(t *testing.T) {
	r := large()
	want := r.Append(nil)
	if !json.Valid(want) {
		t.Fatalf("no JSON: %s", want)
	}
	body, pieces := r.Encode([]byte("head"), len(want))
	if len(pieces) != 7 || len(body) > 1000 || cap(body) > 2000 {
		t.Errorf("%d pieces, %d bytes of %d beside them", len(pieces), len(body), cap(body))
	}
	want = append([]byte("head"), want...)
	if n := Length(body, pieces); n != int64(len(want)) {
		t.Errorf("Length is %d, want %d", n, len(want))
	}
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole":         func(r io.Reader) io.Reader { return r },
		"byte by byte":  iotest.OneByteReader,
		"seven at once": func(r io.Reader) io.Reader { return &slow{r, 7} },
	} {
		got, err := io.ReadAll(wrap(NewReader(body, pieces, 0)))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: not the same, %v", name, err)
		}
	}
	from := bytes.Index(body, []byte(`"contents"`))
	got, err := io.ReadAll(NewReader(body, pieces, from))
	if err != nil || !bytes.Equal(got, want[bytes.Index(want, []byte(`"contents"`)):]) {
		t.Errorf("from %d: not the same, %v", from, err)
	}
}

func TestRequest_EncodeSmall(t *testing.T) {
	r := &Request{Contents: []Content{{Role: "user", Parts: []Part{{Text: rawjson.Value(`"hi"`)}}}}}
	if body, pieces := r.Encode(nil, 100); pieces != nil || string(body) != string(r.Append(nil)) {
		t.Errorf("%s with %d pieces", body, len(pieces))
	}
}

// slow reads at most n bytes at a time.
type slow struct {
	io.Reader
	n int
}

func (s *slow) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), s.n)]) }
