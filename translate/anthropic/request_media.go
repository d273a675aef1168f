// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"bytes"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/media"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// filesAPI is how the URI of an uploaded file begins.
const filesAPI = "https://generativelanguage.googleapis.com/v1beta/files/"

// source reads the source of an image or document, and appends what it is.
func (d *decoder) source(dst []gemini.Part, b rawjson.Value, kind string) []gemini.Part {
	var typ, mime, data, url, content, file rawjson.Value
	v := d.doc.Get(b, "source")
	if !d.isHere(v, rawjson.Object, "source") {
		return dst
	}
	for k, m := range d.doc.Members(v) {
		switch string(k.Inner()) {
		case "type":
			typ = m
		case "media_type":
			mime = m
		case "data":
			data = m
		case "url":
			url = m
		case "content":
			content = m
		case "file_id":
			file = m
		}
	}
	if !d.isHere(typ, rawjson.String, "source.type") {
		return dst
	}
	var p gemini.Part
	ok := false
	switch word := string(typ.Inner()); {
	case word == "base64":
		ok = (mime.IsNull() || d.isHere(mime, rawjson.String, "source.media_type")) &&
			d.isHere(data, rawjson.String, "source.data") && d.inline(&p, mime.Text(), media.TextIn(&d.doc, data), "source.data")
	case word == "url":
		ok = d.isHere(url, rawjson.String, "source.url") && d.linked(&p, url)
	case word == "file":
		ok = d.isHere(file, rawjson.String, "source.file_id") && d.uploaded(&p, file.Text(), "source.file_id")
	case word == "text" && kind == "document":
		p.Text = data
		ok = d.isHere(data, rawjson.String, "source.data") && !data.IsEmptyString()
	case word == "content" && kind == "document":
		return d.sourceContent(dst, content)
	default:
		d.reject(d.path("source.type"), "Input tag %q is not one of base64, url, file%s", clip(typ.Text()), map[bool]string{true: ", text and content"}[kind == "document"])
	}
	if ok {
		dst = append(dst, p)
	}
	return dst
}

// sourceContent reads a document that consists of blocks, or is a string.
func (d *decoder) sourceContent(dst []gemini.Part, v rawjson.Value) []gemini.Part {
	if v.Kind() == rawjson.String {
		if !v.IsEmptyString() {
			dst = append(dst, gemini.Part{Text: v})
		}
		return dst
	}
	if !d.isHere(v, rawjson.Array, "source.content") {
		return dst
	}
	for _, b := range d.doc.Elems(v) {
		switch typ := d.doc.Get(b, "type"); {
		case d.failure != nil:
			return dst
		case typ.Is("text"), typ.Is("image"): // documents in documents there are none
			dst = d.block(dst, b, typ)
		}
	}
	return dst
}

// inline reads base64 data. Some clients send it as a data URL.
func (d *decoder) inline(p *gemini.Part, mime string, text media.Text, tail string) bool {
	if media.IsDataURL(text.Bytes) {
		comma := bytes.IndexByte(text.Bytes[:min(len(text.Bytes), 1024)], ',')
		if comma < 0 {
			d.reject(d.path(tail), "The data URL has no comma before its data")
			return false
		}
		declared, encoded := media.DataType(string(text.Bytes[len("data:"):comma]))
		if !encoded {
			d.reject(d.path(tail), "The data URL is not base64")
			return false
		}
		if mime == "" {
			mime = declared
		}
		text = text.From(comma + 1)
	}
	data, ok := media.Base64(text)
	switch {
	case !ok:
		d.reject(d.path(tail), "Invalid base64 data")
		return false
	case len(data) == 0:
		d.reject(d.path(tail), "The data is empty")
		return false
	}
	if mime = media.CanonicalMIME(strings.ToLower(strings.TrimSpace(mime))); mime == "" || mime == "application/octet-stream" || strings.HasSuffix(mime, "/*") {
		if mime = media.Sniff(data); mime == "" {
			d.missing(d.path("source.media_type"))
			return false
		}
	}
	p.InlineData = &gemini.Blob{MIMEType: mime, Data: data}
	return true
}

// linked reads a URL, by the forms of OS§4.2.
func (d *decoder) linked(p *gemini.Part, v rawjson.Value) bool {
	const tail = "source.url"
	text := media.TextIn(&d.doc, v)
	if media.IsDataURL(text.Bytes) {
		return d.inline(p, "", text, tail)
	}
	if len(text.Bytes) > 8192 {
		d.reject(d.path(tail), "The URL is too long")
		return false
	}
	s := strings.TrimSpace(string(text.Bytes))
	switch lower := strings.ToLower(s); {
	case strings.HasPrefix(s, filesAPI) && gemini.ValidModelID(s[len(filesAPI):]):
		return d.named(p, s[len(filesAPI):], tail)
	case strings.HasPrefix(s, "files/") && gemini.ValidModelID(s[len("files/"):]):
		return d.named(p, s[len("files/"):], tail)
	case strings.HasPrefix(lower, "gs://"):
		d.reject(d.path(tail), "Google Cloud Storage (gs://) is not reachable by this API. Upload the file")
	case media.IsYouTube(s):
		p.FileData = &gemini.FileData{URI: rawjson.Quote(s)}
	case !strings.HasPrefix(lower, "https://") && !strings.HasPrefix(lower, "http://"):
		d.reject(d.path(tail), "Only http and https URLs are supported")
	case !d.opts.Fetch:
		d.reject(d.path(tail), "This gateway does not download remote files. Send the data as base64.")
	case !d.req.remotes.Add(p, s, d.path(tail)):
		d.reject(d.path(tail), "At most %d different remote files are supported in a request", translate.MaxRemote)
	}
	return d.failure == nil
}

// named refers to a file by Google's name for it, which must be this user's where
// files are known.
func (d *decoder) named(p *gemini.Part, id, tail string) bool {
	if d.opts.File != nil {
		return d.uploaded(p, "files/"+id, tail)
	}
	p.FileData = &gemini.FileData{URI: rawjson.Quote(filesAPI + id)}
	return true
}

// uploaded refers to a file that this user uploaded.
func (d *decoder) uploaded(p *gemini.Part, id, tail string) bool {
	if d.opts.File == nil {
		d.reject(d.path(tail), "This gateway keeps no files. Send the data as base64.")
		return false
	}
	uri, mime, f := d.opts.File(id)
	if f != nil {
		if d.failure == nil {
			f.Param, d.failure = d.path(tail), f
		}
		return false
	}
	p.FileData = &gemini.FileData{MIMEType: mime, URI: rawjson.Quote(uri)}
	return true
}
