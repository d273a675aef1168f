// SPDX-License-Identifier: Apache-2.0

// Package media knows the data of images, sounds and documents as clients send
// them: base64 of all kinds, data URLs, names of types.
package media

import (
	"path"
	"strings"
)

// CanonicalMIME corrects common wrong names and turns text Gemini has no name
// for into plain text.
func CanonicalMIME(mime string) string {
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

// MIMEByName is the type of a file's extension, "" for an unknown one.
// Source: specs/openai.md §4.3.
func MIMEByName(name string) string {
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
