// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"bytes"
	"encoding/binary"
)

// sniffed is how many bytes tell a file's type.
const sniffed = 512

// Types are the media types that Gemini reads and that can be told from a file's
// first bytes; text cannot. Source: specs/openai.md §4.3.
func Types() []string {
	return []string{
		"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif",
		"application/pdf",
		"audio/wav", "audio/mpeg", "audio/aac", "audio/ogg", "audio/flac", "audio/aiff", "audio/mp4",
		"video/mp4", "video/mpeg", "video/quicktime", "video/avi", "video/x-flv", "video/webm", "video/wmv", "video/3gpp",
	}
}

// sniff returns the type of a file that begins with b, "" for an unknown one.
func sniff(b []byte) string {
	for _, m := range magic {
		if bytes.HasPrefix(b, []byte(m.start)) && bytes.HasPrefix(b[min(m.at, len(b)):], []byte(m.then)) {
			return m.mime
		}
	}
	switch {
	case len(b) >= 12 && string(b[4:8]) == "ftyp":
		return sniffBoxes(b)
	case bytes.HasPrefix(b, []byte("\x1aE\xdf\xa3")) && bytes.Contains(b[:min(64, len(b))], []byte("\x42\x82\x84webm")):
		return "video/webm" // of Matroska's doctypes the one that is read
	case len(b) > 376 && b[0] == 'G' && b[188] == 'G' && b[376] == 'G':
		return "video/mpeg" // a transport stream
	}
	return sniffFrame(b)
}

// magic are the patterns that stand at fixed places: start at 0 and then at at.
var magic = []struct {
	start      string
	at         int
	then, mime string
}{
	{"\x89PNG\r\n\x1a\n", 0, "", "image/png"},
	{"\xff\xd8\xff", 0, "", "image/jpeg"},
	{"RIFF", 8, "WEBPVP8", "image/webp"},
	{"GIF8", 0, "", "image/gif"},
	{"%PDF-", 0, "", "application/pdf"},
	{"RIFF", 8, "WAVE", "audio/wav"},
	{"RIFF", 8, "AVI ", "video/avi"},
	{"FORM", 8, "AIFF", "audio/aiff"},
	{"FORM", 8, "AIFC", "audio/aiff"},
	{"ID3", 0, "", "audio/mpeg"},
	{"fLaC", 0, "", "audio/flac"},
	{"OggS", 28, "OpusHead", "audio/ogg"},
	{"OggS", 28, "\x01vorbis", "audio/ogg"},
	{"OggS", 28, "\x7fFLAC", "audio/ogg"},
	{"OggS", 28, "Speex   ", "audio/ogg"},
	{"FLV\x01", 0, "", "video/x-flv"},
	{"\x30\x26\xb2\x75\x8e\x66\xcf\x11", 0, "", "video/wmv"},
	{"\x00\x00\x01\xba", 0, "", "video/mpeg"},
	{"\x00\x00\x01\xb3", 0, "", "video/mpeg"},
}

// brands are those of ISO base media files. mif1 and msf1 are HEIF of any codec
// and say more in the compatible brands.
var brands = map[string]string{
	"heic": "image/heic", "heix": "image/heic", "heim": "image/heic", "heis": "image/heic",
	"hevc": "image/heic", "hevx": "image/heic", "mif1": "image/heif", "msf1": "image/heif",
	"avif": "image/avif", "avis": "image/avif",
	"M4A ": "audio/mp4", "M4B ": "audio/mp4", "F4A ": "audio/mp4",
	"qt  ": "video/quicktime",
	"3gp3": "video/3gpp", "3gp4": "video/3gpp", "3gp5": "video/3gpp", "3gp6": "video/3gpp", "3gp7": "video/3gpp",
	"3gr6": "video/3gpp", "3gs7": "video/3gpp", "3ge6": "video/3gpp",
	"isom": "video/mp4", "iso2": "video/mp4", "iso4": "video/mp4", "iso5": "video/mp4", "iso6": "video/mp4",
	"mp41": "video/mp4", "mp42": "video/mp4", "avc1": "video/mp4", "hvc1": "video/mp4", "dash": "video/mp4",
	"mmp4": "video/mp4", "MSNV": "video/mp4", "M4V ": "video/mp4", "M4VH": "video/mp4", "M4VP": "video/mp4", "F4V ": "video/mp4",
}

// sniffBoxes reads the brands of a ftyp box.
func sniffBoxes(b []byte) string {
	mime := brands[string(b[8:12])]
	if mime != "image/heif" {
		return mime
	}
	end := min(int(min(binary.BigEndian.Uint32(b), sniffed)), len(b))
	for at := 16; at+4 <= end; at += 4 {
		if m := brands[string(b[at:at+4])]; m == "image/avif" || m == "image/heic" {
			return m
		}
	}
	return mime
}

// sniffFrame knows the sounds that begin with a frame and no signature, by all
// the bits that a frame's header fixes.
func sniffFrame(b []byte) string {
	if len(b) < 4 || b[0] != 0xff {
		return ""
	}
	switch {
	case b[1]&0xf6 == 0xf0 && b[2]>>2&15 <= 12:
		return "audio/aac"
	case b[1]&0xe6 == 0xe2 && b[1]&0x18 != 0x08 && b[2]>>4 != 0 && b[2]>>4 != 15 && b[2]>>2&3 != 3:
		return "audio/mpeg"
	}
	return ""
}
