// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strconv"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Bounds of a form. OpenAI's largest has sixteen images and a dozen fields.
const (
	maxFormParts = 64
	maxFormName  = 200 // bytes of a field's or a file's name
)

// Form is a decoded multipart/form-data body. Names keep the brackets of lists
// ("image[]"); values keep their order.
type Form struct {
	Fields map[string][]string
	Files  map[string][]File
}

// File is one file of a [Form]. Its bytes are not to be changed.
type File struct {
	Name string // base name as sent; may be empty
	Type string // media type without parameters, lower case; "" where none was sent
	Data []byte
}

// ParseForm reads a multipart/form-data body of the given Content-Type. The
// contents of all parts are copied once, into one piece of memory.
func ParseForm(contentType string, body []byte) (Form, *translate.Failure) {
	form := Form{Fields: map[string][]string{}, Files: map[string][]File{}}
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		return form, &translate.Failure{
			Kind:    translate.UnsupportedMedia,
			Message: "This endpoint takes multipart/form-data with a boundary, not " + strconv.Quote(clip(contentType)) + ".",
		}
	}
	reader := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	memory := make([]byte, 0, len(body))
	for n := 0; ; n++ {
		part, err := reader.NextRawPart()
		if err == io.EOF {
			return form, nil
		}
		if err != nil {
			return form, brokenForm(err)
		}
		if n == maxFormParts {
			return form, translate.Invalid("", "A form can have at most %d parts.", maxFormParts)
		}
		name, file := part.FormName(), part.FileName()
		if len(name) > maxFormName || len(file) > maxFormName {
			return form, translate.Invalid("", "The names in a form can have at most %d bytes.", maxFormName)
		}
		from := len(memory)
		if memory, err = readInto(memory, part); err != nil {
			return form, brokenForm(err)
		}
		data := memory[from:len(memory):len(memory)]
		typ := part.Header.Get("Content-Type")
		switch {
		case name == "":
		case file == "" && !isFile(part.Header.Get("Content-Disposition")):
			form.Fields[name] = append(form.Fields[name], string(data))
		default:
			typ, _, _ = strings.Cut(typ, ";")
			form.Files[name] = append(form.Files[name], File{Name: file, Type: strings.ToLower(strings.TrimSpace(typ)), Data: data})
		}
	}
}

// isFile tells a file without a name from a field.
func isFile(disposition string) bool {
	_, params, _ := mime.ParseMediaType(disposition)
	_, ok := params["filename"]
	return ok
}

// readInto appends all of r, for which dst has room.
func readInto(dst []byte, r io.Reader) ([]byte, error) {
	for len(dst) < cap(dst) {
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
	return dst, io.ErrUnexpectedEOF // contents are smaller than the body around them
}

func brokenForm(err error) *translate.Failure {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return translate.Invalid("", "The form ends before its last boundary.")
	}
	return translate.Invalid("", "The body is not a valid form.")
}

// value is the last value of a field as JSON would have it: numbers and booleans
// as such where the field is of that type, anything else as a string. nil where
// the field was not sent or is empty, which clients do for what is unset.
func (f Form) value(name string, kind rawjson.Kind) rawjson.Value {
	list := f.Fields[name]
	if len(list) == 0 || list[len(list)-1] == "" {
		return nil
	}
	s := list[len(list)-1]
	if kind != rawjson.String {
		if v, err := rawjson.Parse([]byte(strings.ToLower(strings.TrimSpace(s)))); err == nil && v.Kind() == kind {
			return v
		}
	}
	return rawjson.Quote(s)
}

// unknown finds a field or file that no name of the list stands for, "" for none.
func (f Form) unknown(names ...string) string {
	known := map[string]bool{}
	for _, n := range names {
		known[n] = true
	}
	for n := range f.Fields {
		if base, _, _ := strings.Cut(n, "["); !known[base] {
			return n
		}
	}
	for n := range f.Files {
		if base, _, _ := strings.Cut(n, "["); !known[base] {
			return n
		}
	}
	return ""
}
