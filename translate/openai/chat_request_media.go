// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/media"
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
	raw := media.TextIn(&d.doc, v)
	if media.IsDataURL(raw.Bytes) {
		return d.dataURL(p, raw, "", tail)
	}
	if len(raw.Bytes) > 8192 {
		d.rejectPart(tail, "'%s' is not a URL. Send inline data as data:<type>;base64,<data>.", d.path(tail))
		return false
	}
	s := strings.TrimSpace(string(raw.Bytes))
	switch lower := strings.ToLower(s); {
	case strings.HasPrefix(s, filesAPI) && gemini.ValidModelID(s[len(filesAPI):]):
		return d.fileName(p, s[len(filesAPI):], tail)
	case strings.HasPrefix(s, "files/") && gemini.ValidModelID(s[len("files/"):]):
		return d.fileName(p, s[len("files/"):], tail)
	case strings.HasPrefix(lower, "gs://"):
		p.FileData = &gemini.FileData{MIMEType: media.MIMEByName(s), URI: rawjson.Quote(s)}
	case media.IsYouTube(s):
		p.FileData = &gemini.FileData{URI: rawjson.Quote(s)}
	case d.opts.Fetch && (strings.HasPrefix(lower, "https://") || strings.HasPrefix(lower, "http://")):
		d.remote(p, s, tail)
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

// dataURL reads data:[type][;parameters][;base64],media.Text.
func (d *decoder) dataURL(p *gemini.Part, raw media.Text, name, tail string) bool {
	comma := bytes.IndexByte(raw.Bytes[:min(len(raw.Bytes), 1024)], ',')
	if comma < 0 {
		d.rejectPart(tail, "'%s' is not a valid data URL: it has no comma before the data.", d.path(tail))
		return false
	}
	mime, encoded := media.DataType(string(raw.Bytes[5:comma]))
	data := raw.From(comma + 1)
	if !encoded {
		text, err := url.PathUnescape(string(data.Bytes))
		if err != nil {
			d.rejectPart(tail, "'%s' is not a valid data URL: %v.", d.path(tail), err)
			return false
		}
		clean := base64.StdEncoding.AppendEncode(nil, []byte(text))
		if mime == "" && media.MIMEByName(name) == "" && media.Sniff(clean) == "" && !strings.HasPrefix(tail, "image_url") {
			mime = "text/plain" // what RFC 2397 takes it for
		}
		return d.inline(p, mime, name, clean, tail)
	}
	clean, ok := media.Base64(data)
	if !ok {
		d.rejectPart(tail, "'%s' is not a valid data URL: the data is not base64.", d.path(tail))
		return false
	}
	return d.inline(p, mime, name, clean, tail)
}

// inline settles the type of the data: as declared, by the file's name, by its
// first bytes, and takes it unless Gemini cannot read it.
func (d *decoder) inline(p *gemini.Part, mime, name string, data []byte, tail string) bool {
	if len(data) == 0 {
		d.rejectPart(tail, "'%s' contains no data.", d.path(tail))
		return false
	}
	mime = media.CanonicalMIME(mime)
	if vague := mime == "" || mime == "application/octet-stream" || strings.HasSuffix(mime, "/*"); vague {
		found := media.MIMEByName(name)
		if found == "" {
			found = media.Sniff(data)
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
