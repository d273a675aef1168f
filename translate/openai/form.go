// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"mime"
	"strconv"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Bounds of a form. OpenAI's largest has sixteen images and a dozen fields.
const (
	maxFormParts  = 64
	maxFormName   = 200     // bytes of a field's or a file's name
	maxFormHeader = 4 << 10 // bytes of a part's header
)

// Form is a decoded multipart/form-data body. Names keep the brackets of lists
// ("image[]"); values keep their order.
type Form struct {
	Fields map[string][]string
	Files  map[string][]File
}

// File is one file of a [Form]. Its bytes are those of the body.
type File struct {
	Name string // base name as sent; may be empty
	Type string // media type without parameters, lower case; "" where none was sent
	Data []byte
}

// ParseForm reads a multipart/form-data body of the given Content-Type. Files
// alias body. A part without a name is left out; a content-transfer-encoding,
// which RFC 7578 deprecates, is not undone.
//
// mime/multipart would copy every file, and reaches the network packages.
func ParseForm(contentType string, body []byte) (Form, *translate.Failure) {
	form := Form{Fields: map[string][]string{}, Files: map[string][]File{}}
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		return form, &translate.Failure{
			Kind:    translate.UnsupportedMedia,
			Message: "This endpoint takes multipart/form-data with a boundary, not " + strconv.Quote(clip(contentType)) + ".",
		}
	}
	parts := formReader{delimiter: []byte("\r\n--" + params["boundary"])}
	if !parts.start(body) {
		return form, formCut()
	}
	for n := 0; ; n++ {
		header, data, ok := parts.next()
		if !ok {
			if parts.ended {
				return form, nil
			}
			return form, formCut()
		}
		if n == maxFormParts {
			return form, translate.Invalid("", "A form can have at most %d parts.", maxFormParts)
		}
		name, file, isFile := disposition(header)
		switch {
		case len(name) > maxFormName || len(file) > maxFormName:
			return form, translate.Invalid("", "The names in a form can have at most %d bytes.", maxFormName)
		case name == "":
		case isFile:
			typ, _, _ := strings.Cut(headerValue(header, "Content-Type"), ";")
			form.Files[name] = append(form.Files[name], File{Name: file, Type: strings.ToLower(strings.TrimSpace(typ)), Data: data})
		default:
			form.Fields[name] = append(form.Fields[name], string(data))
		}
	}
}

func formCut() *translate.Failure {
	return translate.Invalid("", "The form ends before its last boundary, or is not a form of that boundary.")
}

// formReader walks the parts of a body. Source: RFC 2046 §5.1.1.
type formReader struct {
	delimiter []byte // CRLF, two dashes, the boundary
	rest      []byte // what follows the last delimiter
	ended     bool   // that was the closing one
}

// start moves behind the first delimiter, which needs no line before it.
func (r *formReader) start(body []byte) bool {
	if rest, ok := bytes.CutPrefix(body, r.delimiter[2:]); ok && r.follows(rest) {
		r.rest = rest
		return true
	}
	_, ok := r.cut(body)
	return ok
}

// next returns the header, with a CRLF before each line, and the content of a part.
func (r *formReader) next() (header, data []byte, ok bool) {
	if r.ended = bytes.HasPrefix(r.rest, []byte("--")); r.ended {
		return nil, nil, false
	}
	end := bytes.Index(r.rest[:min(len(r.rest), maxFormHeader)], []byte("\r\n\r\n"))
	if end < 0 {
		return nil, nil, false
	}
	header = bytes.TrimLeft(r.rest[:end], " \t")
	data, ok = r.cut(r.rest[end+4:])
	return header, data, ok
}

// cut divides body at the next delimiter and moves behind it.
func (r *formReader) cut(body []byte) (before []byte, ok bool) {
	for at := 0; ; {
		n := bytes.Index(body[at:], r.delimiter)
		if n < 0 {
			return nil, false
		}
		at += n
		if rest := body[at+len(r.delimiter):]; r.follows(rest) {
			r.rest = rest
			return body[:at:at], true
		}
		at += len(r.delimiter) // the boundary of another form within this one
	}
}

// follows reports whether a delimiter can stand before rest.
func (r *formReader) follows(rest []byte) bool {
	line := bytes.TrimLeft(rest[:min(len(rest), 64)], " \t")
	return bytes.HasPrefix(rest, []byte("--")) || bytes.HasPrefix(line, []byte("\r\n"))
}

// headerValue is that of the header line of this name, "" for none.
func headerValue(header []byte, name string) string {
	for line := range bytes.SplitSeq(header, []byte("\r\n")) {
		if k, v, ok := bytes.Cut(line, []byte(":")); ok && strings.EqualFold(string(bytes.TrimSpace(k)), name) {
			return string(bytes.TrimSpace(v))
		}
	}
	return ""
}

// disposition reads the names of a part. A file may have an empty one.
func disposition(header []byte) (name, file string, isFile bool) {
	kind, params, err := mime.ParseMediaType(headerValue(header, "Content-Disposition"))
	if err != nil || kind != "form-data" {
		return "", "", false
	}
	file, isFile = params["filename"]
	return params["name"], file[strings.LastIndexAny(file, `/\`)+1:], isFile
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
