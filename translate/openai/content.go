// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/media"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// textParts reads the content of a message that may only be text.
func (d *decoder) textParts(dst []gemini.Part, v rawjson.Value) []gemini.Part {
	for i, e := range d.doc.Elems(v) {
		typ := d.doc.Get(e, "type")
		if d.part = i; !typ.Is("text") && !typ.Is("input_text") && !typ.Is("output_text") && typ.Kind() == rawjson.String {
			d.rejectPart("type", "System and developer messages can only contain text, not %q.", clip(typ.Text()))
			return dst
		}
	}
	d.part = -1
	return d.parts(dst, v, false)
}

// parts reads content, a string or a list, and appends its parts. Empty text is
// dropped: Gemini refuses it.
func (d *decoder) parts(dst []gemini.Part, v rawjson.Value, assistant bool) []gemini.Part {
	switch v.Kind() {
	case rawjson.Missing, rawjson.Null:
		return dst
	case rawjson.String:
		if v.IsEmptyString() {
			return dst
		}
		return append(dst, gemini.Part{Text: v})
	case rawjson.Array:
	default:
		d.rejectPart(d.list, "Invalid type for '%s': expected a string or an array of parts, but got %s instead.", d.path(d.list), v.Kind())
		return dst
	}
	for i, e := range d.doc.Elems(v) {
		if d.part = i; i >= maxMessages {
			d.part = -1
			d.rejectPart(d.list, "At most %d parts are supported in a message.", maxMessages)
		}
		if d.failure != nil || !d.isPart(e, rawjson.Object, "") {
			return dst
		}
		if p, ok := d.contentPart(e, assistant); ok {
			dst = append(dst, p)
		}
	}
	d.part = -1
	return dst
}

// contentPart reads one part by the table of specs/openai.md §4.1.
func (d *decoder) contentPart(v rawjson.Value, assistant bool) (p gemini.Part, ok bool) {
	var typ, text, refusal, extra, media rawjson.Value
	mediaKey := ""
	for k, e := range d.doc.Members(v) {
		switch key := string(k.Inner()); key {
		case "type":
			typ = e
		case "text":
			text = e
		case "refusal":
			refusal = e
		case "extra_content":
			extra = e
		case "image_url", "input_audio", "file", "video_url", "file_url", "input_video":
			media, mediaKey = e, key
		}
	}
	if !d.isPart(typ, rawjson.String, "type") {
		return p, false
	}
	word := string(typ.Inner())
	switch word {
	case "input_image", "input_file":
		if !d.words.items {
			d.unsupported(word)
			return p, false
		}
		return p, d.itemMedia(&p, v, word)
	case "text", "input_text", "output_text":
		ok = d.isPart(text, rawjson.String, "text") && !text.IsEmptyString()
		p.Text = text
	case "refusal":
		if !assistant {
			d.unsupported(word)
			return p, false
		}
		ok = d.isPart(refusal, rawjson.String, "refusal") && !refusal.IsEmptyString()
		p.Text = refusal
	case "image_url", "video_url", "file_url":
		ok = mediaKey == word && d.linked(&p, media, word)
	case "input_video":
		ok = mediaKey != "" && d.linked(&p, media, mediaKey)
	case "input_audio":
		ok = d.inputAudio(&p, media)
	case "file":
		ok = d.file(&p, media)
	default:
		d.unsupported(word)
	}
	if !ok && d.failure == nil && word != "text" && p.Text == nil {
		d.rejectPart(word, "Missing required parameter: '%s'.", d.path(word))
	}
	if assistant && ok {
		p.ThoughtSignature = googleSignature(extra)
	}
	return p, ok
}

func (d *decoder) unsupported(word string) {
	d.rejectPart("type", "Unsupported content part type %q.", clip(word))
}

// linked reads {"image_url":{"url","detail"}} and its kin; also the bare URL
// that some clients send in place of the object.
func (d *decoder) linked(p *gemini.Part, v rawjson.Value, key string) bool {
	if v.Kind() == rawjson.String {
		return d.url(p, v, key, key)
	}
	if !d.isPart(v, rawjson.Object, key) {
		return false
	}
	var url, detail rawjson.Value
	for k, e := range d.doc.Members(v) {
		switch string(k.Inner()) {
		case "url":
			url = e
		case "detail":
			detail = e
		}
	}
	if url.Kind() != rawjson.String {
		return d.isPart(url, rawjson.String, key+".url")
	}
	if !d.url(p, url, key, key+".url") {
		return false
	}
	if detail.IsNull() {
		return true
	}
	return d.detail(p, detail, key+".detail")
}

// detail sets the resolution of one part, which Gemini 3 and newer take.
func (d *decoder) detail(p *gemini.Part, v rawjson.Value, tail string) bool {
	level := ""
	switch {
	case v.Is("auto"):
	case v.Is("low"):
		level = "MEDIA_RESOLUTION_LOW"
	case v.Is("medium"):
		level = "MEDIA_RESOLUTION_MEDIUM"
	case v.Is("high"):
		level = "MEDIA_RESOLUTION_HIGH"
	case v.Is("original"):
		level = "MEDIA_RESOLUTION_ULTRA_HIGH"
	default:
		d.rejectPart(tail, "'%s' must be auto, low, medium, high or original.", d.path(tail))
		return false
	}
	if d.family.Has(capability.PartMedia) {
		p.MediaResolution = level
	}
	return true
}

func (d *decoder) inputAudio(p *gemini.Part, v rawjson.Value) bool {
	if !d.isPart(v, rawjson.Object, "input_audio") {
		return false
	}
	data, format := d.doc.Get(v, "data"), d.doc.Get(v, "format")
	if !d.isPart(data, rawjson.String, "input_audio.data") || !format.IsNull() && !d.isPart(format, rawjson.String, "input_audio.format") {
		return false
	}
	raw := media.TextIn(&d.doc, data)
	if media.IsDataURL(raw.Bytes) {
		return d.dataURL(p, raw, "", "input_audio.data")
	}
	clean, ok := media.Base64(raw)
	if !ok {
		d.rejectPart("input_audio.data", "'%s' is not valid base64.", d.path("input_audio.data"))
		return false
	}
	if len(clean) == 0 {
		d.rejectPart("input_audio.data", "'%s' contains no data.", d.path("input_audio.data"))
		return false
	}
	mime := audioMIME(strings.ToLower(format.Text()))
	if format.IsNull() {
		if mime = media.Sniff(clean); mime == "" {
			mime = "audio/wav"
		}
	}
	p.InlineData = &gemini.Blob{MIMEType: mime, Data: clean}
	return true
}

// file reads {"file":{"file_data","filename"}}, {"file":{"file_id"}} and the
// de-facto {"file":{"file_url"}}.
func (d *decoder) file(p *gemini.Part, v rawjson.Value) bool {
	if !d.isPart(v, rawjson.Object, "file") {
		return false
	}
	var data, name, id, url rawjson.Value
	for k, e := range d.doc.Members(v) {
		if e.IsNull() {
			continue
		}
		switch string(k.Inner()) {
		case "file_data":
			data = e
		case "filename":
			name = e
		case "file_id":
			id = e
		case "file_url":
			url = e
		}
	}
	switch {
	case data != nil:
		if !d.isPart(data, rawjson.String, "file.file_data") {
			return false
		}
		return d.fileData(p, media.TextIn(&d.doc, data), name.Text(), "file.file_data")
	case id != nil:
		return d.isPart(id, rawjson.String, "file.file_id") && d.fileID(p, id.Text(), "file.file_id")
	case url != nil:
		return d.isPart(url, rawjson.String, "file.file_url") && d.url(p, url, "file_url", "file.file_url")
	}
	d.rejectPart("file", "'%s' must have file_data or file_id.", d.path("file"))
	return false
}

func (d *decoder) fileData(p *gemini.Part, raw media.Text, name, tail string) bool {
	if media.IsDataURL(raw.Bytes) {
		return d.dataURL(p, raw, name, tail)
	}
	clean, ok := media.Base64(raw)
	if !ok {
		d.rejectPart(tail, "'%s' is neither a data URL nor base64.", d.path(tail))
		return false
	}
	return d.inline(p, "", name, clean, tail)
}

// fileID finds an uploaded file. Unknown ids and those of others look the same.
func (d *decoder) fileID(p *gemini.Part, id, tail string) bool {
	f := NoSuchFile("", id)
	if d.opts.File != nil {
		var uri, mime string
		if uri, mime, f = d.opts.File(id); f == nil {
			p.FileData = &gemini.FileData{MIMEType: mime, URI: rawjson.Quote(uri)}
			return true
		}
	}
	if d.failure == nil {
		d.failure = f
		f.Param = d.path(tail)
	}
	return false
}

// spoken removes thoughts from content that was shown in tags and comes back:
// they must not turn into something the model said.
func (d *decoder) spoken(v rawjson.Value) rawjson.Value {
	if d.opts.Reasoning != ReasoningTags || v.Kind() != rawjson.String {
		return v
	}
	text := textBytes(v)
	rest, ok := bytes.CutPrefix(text, []byte("<thought>"))
	if !ok {
		return v
	}
	if _, answer, ok := bytes.Cut(rest, []byte("</thought>")); ok {
		return rawjson.Quote(string(answer))
	}
	return v
}
