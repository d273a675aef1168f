// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"path"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// filesAPI is how the URI of an uploaded file begins.
const filesAPI = "https://generativelanguage.googleapis.com/v1beta/files/"

func notFound(param, message string) *translate.Failure {
	return &translate.Failure{Kind: translate.NotFound, Message: message, Param: param}
}

// url turns a URL into inline data or a reference, by the forms of
// specs/openai.md §4.2. key is the kind of part, tail its place for errors.
func (d *decoder) url(p *gemini.Part, v rawjson.Value, key, tail string) bool {
	raw := textOf(v)
	if isDataURL(raw.bytes) {
		return d.dataURL(p, raw, "", tail)
	}
	if len(raw.bytes) > 8192 {
		d.rejectPart(tail, "'%s' is not a URL. Send inline data as data:<type>;base64,<data>.", d.path(tail))
		return false
	}
	s := strings.TrimSpace(string(raw.bytes))
	switch lower := strings.ToLower(s); {
	case strings.HasPrefix(s, filesAPI) && gemini.ValidModelID(s[len(filesAPI):]):
		return d.fileName(p, s[len(filesAPI):], tail)
	case strings.HasPrefix(s, "files/") && gemini.ValidModelID(s[len("files/"):]):
		return d.fileName(p, s[len("files/"):], tail)
	case strings.HasPrefix(lower, "gs://"):
		p.FileData = &gemini.FileData{MIMEType: mimeByName(s), URI: rawjson.Quote(s)}
	case isYouTube(s):
		p.FileData = &gemini.FileData{URI: rawjson.Quote(s)}
	case d.opts.Fetch && (strings.HasPrefix(lower, "https://") || strings.HasPrefix(lower, "http://")):
		d.remote(p, s, key, tail)
	case strings.HasPrefix(lower, "https://"), strings.HasPrefix(lower, "http://"):
		d.rejectPart(tail, "This server does not download remote files. Send the %s as a data URL (data:<type>;base64,<data>), a Files API URI or a YouTube URL.", mediaWord(key))
	default:
		d.rejectPart(tail, "'%s' is not a URL. Send inline data as data:<type>;base64,<data>.", d.path(tail))
	}
	return d.failure == nil
}

// fileName refers to a file by Google's name for it, which must be this user's
// where files are known.
func (d *decoder) fileName(p *gemini.Part, id, tail string) bool {
	if d.opts.File != nil {
		return d.fileID(p, "files/"+id, tail)
	}
	p.FileData = &gemini.FileData{URI: rawjson.Quote(filesAPI + id)}
	return true
}

func mediaWord(key string) string {
	switch key {
	case "image_url":
		return "image"
	case "video_url", "input_video":
		return "video"
	}
	return "file"
}

// isYouTube knows the addresses of public videos that Gemini reads itself.
func isYouTube(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.Port() != "" {
		return false
	}
	switch strings.ToLower(u.Hostname()) {
	case "youtu.be":
		return len(u.Path) > 1
	case "youtube.com", "www.youtube.com", "m.youtube.com":
		return u.Path == "/watch" && u.Query().Get("v") != "" ||
			strings.HasPrefix(u.Path, "/shorts/") || strings.HasPrefix(u.Path, "/live/")
	}
	return false
}

func isDataURL(raw []byte) bool {
	return len(raw) >= 5 && bytes.EqualFold(raw[:5], []byte("data:"))
}

// dataURL reads data:[type][;parameters][;base64],payload.
func (d *decoder) dataURL(p *gemini.Part, raw payload, name, tail string) bool {
	comma := bytes.IndexByte(raw.bytes[:min(len(raw.bytes), 1024)], ',')
	if comma < 0 {
		d.rejectPart(tail, "'%s' is not a valid data URL: it has no comma before the data.", d.path(tail))
		return false
	}
	mime, encoded := dataType(string(raw.bytes[5:comma]))
	data := raw.from(comma + 1)
	if !encoded {
		text, err := url.PathUnescape(string(data.bytes))
		if err != nil {
			d.rejectPart(tail, "'%s' is not a valid data URL: %v.", d.path(tail), err)
			return false
		}
		clean := base64.StdEncoding.AppendEncode(nil, []byte(text))
		if mime == "" && mimeByName(name) == "" && sniff(clean) == "" && !strings.HasPrefix(tail, "image_url") {
			mime = "text/plain" // what RFC 2397 takes it for
		}
		return d.inline(p, mime, name, clean, tail)
	}
	clean, ok := standardBase64(data)
	if !ok {
		d.rejectPart(tail, "'%s' is not a valid data URL: the data is not base64.", d.path(tail))
		return false
	}
	return d.inline(p, mime, name, clean, tail)
}

// dataType reads what stands before the comma. Of the parameters only those of
// raw audio say something about the data.
func dataType(head string) (mime string, encoded bool) {
	for i, f := range strings.Split(head, ";") {
		f = strings.TrimSpace(f)
		switch {
		case i == 0:
			mime = strings.ToLower(f)
		case strings.EqualFold(f, "base64"):
			encoded = true
		case strings.HasPrefix(mime, "audio/") && (strings.HasPrefix(f, "rate=") || strings.HasPrefix(f, "codec=")):
			mime += ";" + f
		}
	}
	return mime, encoded
}

// inline settles the type of the data: as declared, by the file's name, by its
// first bytes, and takes it unless Gemini cannot read it.
func (d *decoder) inline(p *gemini.Part, mime, name string, data []byte, tail string) bool {
	if len(data) == 0 {
		d.rejectPart(tail, "'%s' contains no data.", d.path(tail))
		return false
	}
	mime = canonicalMIME(mime)
	if vague := mime == "" || mime == "application/octet-stream" || strings.HasSuffix(mime, "/*"); vague {
		found := mimeByName(name)
		if found == "" {
			found = sniff(data)
		}
		switch {
		case found != "":
			mime = found
		case strings.HasPrefix(tail, "image_url"):
			d.rejectPart(tail, "'%s' does not say what kind of image it is.", d.path(tail))
			return false
		default:
			mime = "application/pdf"
		}
	}
	if mime == "image/gif" || mime == "image/svg+xml" {
		d.rejectPart(tail, "Gemini does not read %s. Use PNG, JPEG, WebP, HEIC or HEIF.", mime)
		return false
	}
	p.InlineData = &gemini.Blob{MIMEType: mime, Data: data}
	return true
}

// canonicalMIME corrects common wrong names and turns text Gemini has no name
// for into plain text.
func canonicalMIME(mime string) string {
	switch mime {
	case "image/jpg", "image/pjpeg":
		return "image/jpeg"
	case "audio/mp3":
		return "audio/mpeg"
	case "audio/x-wav", "audio/wave", "audio/vnd.wave":
		return "audio/wav"
	case "application/x-pdf":
		return "application/pdf"
	case "text/plain", "text/html", "text/css", "text/csv", "text/markdown", "text/md", "text/xml", "text/rtf":
		return mime
	case "application/javascript", "application/x-javascript", "application/x-yaml", "application/yaml",
		"application/toml", "application/x-sh", "application/sql", "application/x-python", "application/typescript":
		return "text/plain"
	}
	if strings.HasPrefix(mime, "text/") {
		return "text/plain"
	}
	return mime
}

// mimeByName is the type of a file's extension, "" for an unknown one.
// Source: specs/openai.md §4.3.
func mimeByName(name string) string {
	return extensions[strings.TrimPrefix(strings.ToLower(path.Ext(name)), ".")]
}

var extensions = func() map[string]string {
	m := map[string]string{
		"pdf": "application/pdf", "json": "application/json",
		"txt": "text/plain", "html": "text/html", "htm": "text/html", "css": "text/css", "csv": "text/csv",
		"md": "text/markdown", "xml": "text/xml", "rtf": "text/rtf",
		"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "heic": "image/heic",
		"heif": "image/heif", "gif": "image/gif", "svg": "image/svg+xml",
		"wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac", "ogg": "audio/ogg", "opus": "audio/ogg",
		"aac": "audio/aac", "m4a": "audio/mp4", "aiff": "audio/aiff",
		"mp4": "video/mp4", "mpeg": "video/mpeg", "mov": "video/quicktime", "avi": "video/avi", "flv": "video/x-flv",
		"mpg": "video/mpg", "webm": "video/webm", "wmv": "video/wmv", "3gp": "video/3gpp", "3gpp": "video/3gpp",
	}
	for e := range strings.FieldsSeq(`go py js ts jsx tsx c h cc cpp hpp cs java kt rs rb php pl sh bash lua r sql swift
		log yaml yml toml ini cfg conf env tex diff patch tsv jsonl proto`) {
		m[e] = "text/plain"
	}
	return m
}()

// audioMIME is the type of an input_audio format.
func audioMIME(format string) string {
	switch format {
	case "mp3":
		return "audio/mpeg"
	case "ogg", "opus":
		return "audio/ogg"
	case "m4a":
		return "audio/mp4"
	case "pcm16":
		return "audio/pcm;rate=24000"
	}
	return "audio/" + format
}
