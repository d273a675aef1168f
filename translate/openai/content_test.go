// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

func encoded(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// The rows of specs/openai.md §4.
func TestDecodeChat_Parts(t *testing.T) {
	image := func(url string) string { return `{"type":"image_url","image_url":{"url":"` + url + `"}}` }
	video := func(url string) string { return `{"type":"video_url","video_url":{"url":"` + url + `"}}` }
	file := func(name, data string) string {
		return `{"type":"file","file":{"filename":"` + name + `","file_data":"` + data + `"}}`
	}
	inline := func(mime, data string) string {
		return `{"inlineData":{"mimeType":"` + mime + `","data":"` + data + `"}}`
	}
	png := "\x89PNG\r\n\x1a\n\x00"
	for _, c := range []struct{ name, model, part, want string }{
		{"text", m3, `{"type":"text","text":"a"}`, `{"text":"a"}`},
		{"input_text", m3, `{"type":"input_text","text":"a"}`, `{"text":"a"}`},
		{"output_text", m3, `{"type":"output_text","text":"a"}`, `{"text":"a"}`},
		{"image", m3, image("data:image/webp;base64,AAAA"), inline("image/webp", "AAAA")},
		{"image as a plain string", m3, `{"type":"image_url","image_url":"data:image/webp;base64,AAAA"}`, inline("image/webp", "AAAA")},
		{"scheme and type in upper case", m3, image("DATA:IMAGE/PNG;BASE64,AAAA"), inline("image/png", "AAAA")},
		{"parameters", m3, image("data:image/png;charset=utf-8;name=x;base64,AAAA"), inline("image/png", "AAAA")},
		{"image/jpg", m3, image("data:image/jpg;base64,AAAA"), inline("image/jpeg", "AAAA")},
		{"no type is sniffed", m3, image("data:;base64," + encoded(png)), inline("image/png", encoded(png))},
		{"octet-stream is sniffed", m3, image("data:application/octet-stream;base64,/9j/4A=="), inline("image/jpeg", "/9j/4A==")},
		{"image/* is sniffed", m3, image("data:image/*;base64," + encoded("RIFF0000WEBPVP8 ")), inline("image/webp", encoded("RIFF0000WEBPVP8 "))},
		{"line breaks and spaces", m3, image(`data:image/png;base64,AA\nAA \r\nBBBB`), inline("image/png", "AAAABBBB")},
		{"URL-safe alphabet without padding", m3, image("data:image/png;base64,-_-_AA"), inline("image/png", "+/+/AA==")},
		{"escaped slashes", m3, image(`data:image\/png;base64,\/9j\/`), inline("image/png", "/9j/")},
		{"percent encoding", m3, file("", "data:text/plain,a%20b"), inline("text/plain", encoded("a b"))},
		{"detail low on 3", m3, `{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}}`, `{"inlineData":{"mimeType":"image/png","data":"AAAA"},"mediaResolution":{"level":"MEDIA_RESOLUTION_LOW"}}`},
		{"detail high on 3", m3, `{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"high"}}`, `{"inlineData":{"mimeType":"image/png","data":"AAAA"},"mediaResolution":{"level":"MEDIA_RESOLUTION_HIGH"}}`},
		{"detail original on 3", m3, `{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"original"}}`, `{"inlineData":{"mimeType":"image/png","data":"AAAA"},"mediaResolution":{"level":"MEDIA_RESOLUTION_ULTRA_HIGH"}}`},
		{"detail auto on 3", m3, `{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"auto"}}`, inline("image/png", "AAAA")},
		{"detail low on 2.5", m25, `{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}}`, inline("image/png", "AAAA")},
		{"Files API URI", m3, image("https://generativelanguage.googleapis.com/v1beta/files/abc"), `{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/abc"}}`},
		{"Files API name", m3, image("files/abc"), `{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/abc"}}`},
		{"YouTube watch", m3, video("https://www.youtube.com/watch?v=x"), `{"fileData":{"fileUri":"https://www.youtube.com/watch?v=x"}}`},
		{"YouTube short address", m3, image("https://youtu.be/x"), `{"fileData":{"fileUri":"https://youtu.be/x"}}`},
		{"YouTube shorts", m3, video("https://youtube.com/shorts/x"), `{"fileData":{"fileUri":"https://youtube.com/shorts/x"}}`},
		{"gs", m3, video("gs://b/o.mp4"), `{"fileData":{"mimeType":"video/mp4","fileUri":"gs://b/o.mp4"}}`},
		{"video data", m3, video("data:video/mp4;base64,AAAA"), inline("video/mp4", "AAAA")},
		{"input_video", m3, `{"type":"input_video","video_url":{"url":"data:video/mp4;base64,AAAA"}}`, inline("video/mp4", "AAAA")},
		{"file_url", m3, `{"type":"file","file":{"file_url":"files/abc"}}`, `{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/abc"}}`},
		{"file as a data URL", m3, file("a.bin", "data:application/pdf;base64,AAAA"), inline("application/pdf", "AAAA")},
		{"file by extension", m3, file("a.CSV", "AAAA"), inline("text/csv", "AAAA")},
		{"file of source text", m3, file("main.go", "AAAA"), inline("text/plain", "AAAA")},
		{"file by content", m3, file("noname", encoded("%PDF-1.7 xx")), inline("application/pdf", encoded("%PDF-1.7 xx"))},
		{"file of nothing known", m3, file("", "AAAA"), inline("application/pdf", "AAAA")},
		{"octet-stream file by extension", m3, file("a.yaml", "data:application/octet-stream;base64,AAAA"), inline("text/plain", "AAAA")},
		{"file of unknown text", m3, file("", "data:text/x-python;base64,AAAA"), inline("text/plain", "AAAA")},
		{"json file", m3, file("a.json", "AAAA"), inline("application/json", "AAAA")},
		{"raw audio keeps its rate", m3, file("", "data:audio/L16;codec=pcm;rate=16000;base64,AAAA"), inline("audio/l16;codec=pcm;rate=16000", "AAAA")},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := upstream(t, decodeWith(t, requestEnv(), Options{}, `{"model":"`+c.model+`","messages":[{"role":"user","content":[`+c.part+`]}]}`))
			sameJSON(t, got["contents"], `[{"role":"user","parts":[`+c.want+`]}]`)
		})
	}
	for format, mime := range map[string]string{
		"wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac", "ogg": "audio/ogg", "opus": "audio/ogg", "aac": "audio/aac",
		"m4a": "audio/mp4", "aiff": "audio/aiff", "webm": "audio/webm", "pcm16": "audio/pcm;rate=24000", "x9": "audio/x9",
	} {
		t.Run("audio "+format, func(t *testing.T) {
			got := upstream(t, decodeWith(t, requestEnv(), Options{}, `{"model":"`+m3+`","messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AAAA","format":"`+format+`"}}]}]}`))
			sameJSON(t, got["contents"], `[{"role":"user","parts":[`+inline(mime, "AAAA")+`]}]`)
		})
	}
}

func TestDecodeChat_FileID(t *testing.T) {
	o := Options{File: func(id string) (string, string, *translate.Failure) {
		if id != "file-a" {
			return "", "", NoSuchFile("", id)
		}
		return "https://generativelanguage.googleapis.com/v1beta/files/a", "application/pdf", nil
	}}
	doc := func(id string) string {
		return `{"model":"` + m3 + `","messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"` + id + `"}}]}]}`
	}
	sameJSON(t, upstream(t, decodeWith(t, requestEnv(), o, doc("file-a")))["contents"],
		`[{"role":"user","parts":[{"fileData":{"mimeType":"application/pdf","fileUri":"https://generativelanguage.googleapis.com/v1beta/files/a"}}]}]`)
	for _, o := range []Options{o, {}} {
		_, f := DecodeChat(requestEnv(), o, []byte(doc("file-b")))
		if f == nil || f.Kind != translate.NotFound || f.Param != "messages[0].content[0].file.file_id" || f.Message != "No such File object: file-b" {
			t.Errorf("got %v", f)
		}
	}
}

// Clean base64 must not be copied: it is by far the largest thing in a request.
func TestDecodeChat_InlineDataAliasesTheBody(t *testing.T) {
	doc := []byte(`{"model":"` + m3 + `","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAABBBB"}}]}]}`)
	r, f := DecodeChat(requestEnv(), Options{}, doc)
	if f != nil {
		t.Fatal(f)
	}
	copy(doc[strings.Index(string(doc), "AAAA"):], "CCCC")
	if got := string(r.Gemini.Contents[0].Parts[0].InlineData.Data); got != "CCCCBBBB" {
		t.Errorf("got %s, a copy", got)
	}
}
