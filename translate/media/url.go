// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bytes"
	"net/url"
	"strings"
)

// IsYouTube knows the addresses of public videos that Gemini reads itself.
func IsYouTube(s string) bool {
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

// IsDataURL reports whether raw begins as data URLs do.
func IsDataURL(raw []byte) bool {
	return len(raw) >= 5 && bytes.EqualFold(raw[:5], []byte("data:"))
}

// DataType reads what stands before the comma. Of the parameters only those of
// raw audio say something about the data.
func DataType(head string) (mime string, encoded bool) {
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
