// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"mime/multipart"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// upload is a part of a form: a file where name is not empty.
type upload struct{ field, name, typ, data string }

// formBody is a multipart body with these parts, in their order.
func formBody(t testing.TB, parts ...upload) (contentType string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		h := textproto.MIMEHeader{}
		disposition := `form-data; name="` + p.field + `"`
		if p.name != "" {
			disposition += `; filename="` + p.name + `"`
		}
		h.Set("Content-Disposition", disposition)
		if p.typ != "" {
			h.Set("Content-Type", p.typ)
		}
		part, err := w.CreatePart(h)
		if err == nil {
			_, err = part.Write([]byte(p.data))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	return w.FormDataContentType(), b.Bytes()
}

func formOf(t testing.TB, parts ...upload) Form {
	t.Helper()
	kind, body := formBody(t, parts...)
	form, f := ParseForm(kind, body)
	if f != nil {
		t.Fatal(f)
	}
	return form
}

func TestParseForm(t *testing.T) {
	binary := "\x00\r\n--not the boundary\r\n\xff"
	form := formOf(t,
		upload{"model", "", "", "m"}, upload{"image[]", "a.png", "Image/PNG; x=y", binary}, upload{"model", "", "text/plain", "n"},
		upload{"image[]", "dir/b.png", "", ""}, upload{"", "", "", "nameless"},
	)
	if got := form.Fields["model"]; !slices.Equal(got, []string{"m", "n"}) || len(form.Fields) != 1 {
		t.Errorf("fields %q", form.Fields)
	}
	files := form.Files["image[]"]
	if len(files) != 2 || files[0].Name != "a.png" || files[0].Type != "image/png" || string(files[0].Data) != binary || files[1].Name != "b.png" || len(files[1].Data) != 0 {
		t.Errorf("files %+v", files)
	}
	if cap(files[0].Data) != len(files[0].Data) {
		t.Error("appending to one file would overwrite the next")
	}
	form, f := ParseForm("multipart/form-data; boundary=x", []byte("--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\"\r\n\r\nRIFF\r\n--x--\r\n"))
	if f != nil || len(form.Files["file"]) != 1 {
		t.Errorf("a file without a name: %+v, %v", form, f)
	}
}

func TestParseForm_Rejects(t *testing.T) {
	kind, whole := formBody(t, upload{"a", "", "", "b"}, upload{"f", "f", "", strings.Repeat("x", 1000)})
	many := slices.Repeat([]upload{{"a", "", "", "b"}}, maxFormParts+1)
	manyKind, manyBody := formBody(t, many...)
	longKind, longBody := formBody(t, upload{strings.Repeat("n", maxFormName+1), "", "", "b"})
	fileKind, fileBody := formBody(t, upload{"a", strings.Repeat("n", maxFormName+1), "", "b"})
	for _, tc := range []struct {
		name, kind string
		body       []byte
		want       translate.Kind
		message    string
	}{
		{"JSON", "application/json", []byte(`{}`), translate.UnsupportedMedia, "application/json"},
		{"no type", "", whole, translate.UnsupportedMedia, "multipart/form-data"},
		{"no boundary", "multipart/form-data", whole, translate.UnsupportedMedia, "boundary"},
		{"another multipart", "multipart/mixed; boundary=x", whole, translate.UnsupportedMedia, "mixed"},
		{"empty", kind, nil, translate.InvalidRequest, "ends before"},
		{"cut within a file", kind, whole[:len(whole)-500], translate.InvalidRequest, "ends before"},
		{"cut within a header", kind, whole[:80], translate.InvalidRequest, "form"},
		{"another boundary", "multipart/form-data; boundary=other", whole, translate.InvalidRequest, "ends before"},
		{"too many parts", manyKind, manyBody, translate.InvalidRequest, "64 parts"},
		{"long field name", longKind, longBody, translate.InvalidRequest, "200 bytes"},
		{"long file name", fileKind, fileBody, translate.InvalidRequest, "200 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, f := ParseForm(tc.kind, tc.body)
			if f == nil || f.Kind != tc.want || !strings.Contains(f.Message, tc.message) {
				t.Errorf("%v, want %q", f, tc.message)
			}
		})
	}
	if _, f := ParseForm(kind, whole); f != nil {
		t.Error(f)
	}
}

func TestForm_Value(t *testing.T) {
	form := Form{Fields: map[string][]string{"n": {"1", " 2 "}, "yes": {"True"}, "word": {"two"}, "empty": {""}, "quoted": {`"a"`}}}
	for _, tc := range []struct {
		name string
		kind rawjson.Kind
		want string
	}{
		{"n", rawjson.Number, "2"}, {"yes", rawjson.Bool, "true"}, {"word", rawjson.Number, `"two"`}, {"n", rawjson.String, `" 2 "`},
		{"empty", rawjson.String, ""}, {"absent", rawjson.String, ""}, {"quoted", rawjson.String, `"\"a\""`},
	} {
		if got := form.value(tc.name, tc.kind); string(got) != tc.want {
			t.Errorf("%s as %s: %s, want %s", tc.name, tc.kind, got, tc.want)
		}
	}
}

// TestParseForm_Lines are forms that only look unusual.
func TestParseForm_Lines(t *testing.T) {
	const part = "Content-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n"
	for _, tc := range []struct{ name, body, want string }{
		{"plain", "--x\r\n" + part + "--x--\r\n", "b"},
		{"preamble and epilogue", "Hello\r\n--x\r\n" + part + "--x--\r\nBye", "b"},
		{"padding", "--x \t\r\n" + part + "--x--", "b"},
		{"header in small letters", "--x\r\ncontent-disposition:form-data;name=a\r\n\r\nb\r\n--x--", "b"},
		{"empty value", "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n--x--", ""},
		{"a longer boundary inside", "--x\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--xy\r\nc\r\n--x--", "b\r\n--xy\r\nc"},
		{"another disposition", "--x\r\nContent-Disposition: attachment; name=a\r\n\r\nz\r\n--x\r\n" + part + "--x--", "b"},
		{"no header", "--x\r\n\r\nz\r\n--x\r\n" + part + "--x--", "b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			form, f := ParseForm("multipart/form-data; boundary=x", []byte(tc.body))
			if got := form.Fields["a"]; f != nil || len(got) != 1 || got[0] != tc.want {
				t.Errorf("%q, %v", got, f)
			}
		})
	}
	form := formOf(t, upload{"file", `C:\\dir\\ä.wav`, "", "x"})
	if got := form.Files["file"]; len(got) != 1 || got[0].Name != "ä.wav" {
		t.Errorf("%+v", form)
	}
	if _, f := ParseForm("multipart/form-data; boundary=x", []byte("--x\r\nA: "+strings.Repeat("b", maxFormHeader)+"\r\n\r\n\r\n--x--")); f == nil {
		t.Error("a header without bounds was read")
	}
}

// TestParseForm_Allocations: files are not copied.
func TestParseForm_Allocations(t *testing.T) {
	kind, body := formBody(t, upload{"file", "a.wav", "audio/wav", strings.Repeat("x", 1<<20)}, upload{"model", "", "", "m"})
	n := allocated(func() {
		if _, f := ParseForm(kind, body); f != nil {
			t.Fatal(f)
		}
	})
	if n > 16<<10 {
		t.Errorf("%d bytes for a form of %d", n, len(body))
	}
}

// FuzzParseForm checks that no body panics, and that what is found was sent.
func FuzzParseForm(f *testing.F) {
	kind, body := formBody(f, upload{"model", "", "", "m"}, upload{"image[]", "a.png", "image/png", "\x89PNG\r\n\x1a\n"})
	f.Add(kind, body)
	f.Add("multipart/form-data; boundary=x", []byte("--x\r\nContent-Disposition: form-data; name=a; filename*=utf-8''%41\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=41\r\n--x--"))
	f.Add("multipart/form-data; boundary=\"\"", []byte("--"))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		form, failure := ParseForm(kind, body)
		if failure != nil {
			if failure.Message == "" {
				t.Fatal("no word")
			}
			return
		}
		n := 0
		for _, list := range form.Files {
			for _, file := range list {
				if n++; !bytes.Contains(body, file.Data) {
					t.Fatalf("%q was not sent", file.Data)
				}
			}
		}
		for name, list := range form.Fields {
			for _, v := range list {
				if n++; !bytes.Contains(body, []byte(v)) || len(name) > maxFormName {
					t.Fatalf("%q = %q was not sent", name, v)
				}
			}
		}
		if n > maxFormParts {
			t.Fatalf("%d parts", n)
		}
	})
}
