// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"slices"
	"strings"
	"testing"
)

func TestSniff(t *testing.T) {
	box := func(brands string) string { return "\x00\x00\x00" + string(rune(8+len(brands))) + "ftyp" + brands }
	packets := strings.Repeat("G"+strings.Repeat("\x00", 187), 3)
	for _, c := range []struct{ name, data, want string }{
		{"PNG", png, "image/png"},
		{"JPEG", "\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"},
		{"WebP", "RIFF\x24\x00\x00\x00WEBPVP8 ", "image/webp"},
		{"HEIC", box("heic\x00\x00\x00\x00mif1heic"), "image/heic"},
		{"HEIC that says mif1", box("mif1\x00\x00\x00\x00mif1heic"), "image/heic"},
		{"HEIF", box("mif1\x00\x00\x00\x00mif1miaf"), "image/heif"},
		{"HEIF sequence", box("msf1\x00\x00\x00\x00msf1"), "image/heif"},
		{"AVIF", box("avif\x00\x00\x00\x00mif1"), "image/avif"},
		{"AVIF that says mif1", box("mif1\x00\x00\x00\x00avif"), "image/avif"},
		{"brands of another box", box("mif1\x00\x00\x00\x00mif1") + "avif", "image/heif"},
		{"GIF", "GIF89a", "image/gif"},
		{"PDF", "%PDF-1.7", "application/pdf"},
		{"WAV", "RIFF\x24\x00\x00\x00WAVEfmt ", "audio/wav"},
		{"MP3 with tags", "ID3\x04", "audio/mpeg"},
		{"MP3", "\xff\xfb\x90\x64", "audio/mpeg"},
		{"MP3 of MPEG-2", "\xff\xf3\x84\x64", "audio/mpeg"},
		{"AAC", "\xff\xf1\x50\x80", "audio/aac"},
		{"AAC of MPEG-2", "\xff\xf9\x50\x80", "audio/aac"},
		{"Opus", "OggS" + strings.Repeat("\x00", 24) + "OpusHead", "audio/ogg"},
		{"Vorbis", "OggS" + strings.Repeat("\x00", 24) + "\x01vorbis", "audio/ogg"},
		{"Theora", "OggS" + strings.Repeat("\x00", 24) + "\x80theora", ""},
		{"FLAC", "fLaC\x00", "audio/flac"},
		{"AIFF", "FORM\x00\x00\x00\x24AIFFCOMM", "audio/aiff"},
		{"M4A", box("M4A \x00\x00\x00\x00"), "audio/mp4"},
		{"MP4", box("isom\x00\x00\x02\x00isomiso2avc1mp41"), "video/mp4"},
		{"MOV", box("qt  \x00\x00\x00\x00"), "video/quicktime"},
		{"3GP", box("3gp4\x00\x00\x00\x00"), "video/3gpp"},
		{"unknown brand", box("crx \x00\x00\x00\x00"), ""},
		{"AVI", "RIFF\x24\x00\x00\x00AVI LIST", "video/avi"},
		{"FLV", "FLV\x01\x05", "video/x-flv"},
		{"WebM", "\x1aE\xdf\xa3\x01\x00\x00\x00\x00\x00\x00\x1f\x42\x82\x84webm", "video/webm"},
		{"Matroska", "\x1aE\xdf\xa3\x01\x00\x00\x00\x00\x00\x00\x23\x42\x82\x88matroska", ""},
		{"WMV", "\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9", "video/wmv"},
		{"MPEG program stream", "\x00\x00\x01\xba\x44", "video/mpeg"},
		{"MPEG transport stream", packets, "video/mpeg"},
		{"text that begins with G", strings.Repeat("Go ", 200), ""},
		{"UTF-16 text", "\xff\xfeh\x00i\x00", ""},
		{"zip", "PK\x03\x04", ""},
		{"HTML", "<html>", ""},
		{"RIFF of another kind", "RIFF\x24\x00\x00\x00sfbk", ""},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := sniff([]byte(c.data)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	for _, refused := range []string{"image/gif", "image/avif", "image/svg+xml", ""} {
		if slices.Contains(Types(), refused) {
			t.Errorf("%q is taken", refused)
		}
	}
}

func FuzzSniff(f *testing.F) {
	f.Add([]byte(png))
	f.Add([]byte("\xff\xff\xff\xffftypmif1\x00\x00\x00\x00heic"))
	f.Fuzz(func(_ *testing.T, b []byte) { sniff(b) })
}
