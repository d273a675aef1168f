// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/media"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// The answer's way: all audio parts, joined → the file, or deltas of it. Samples
// are decoded once, right into the client's body; deltas are not decoded at all.

// maxDelta is the longest audio of one delta, in base64: borders of four
// characters are borders of bytes.
const maxDelta = 256 << 10

// Response implements [translate.Exchange].
func (x *Speech) Response(dst, body []byte) ([]byte, error) {
	var answer gemini.Response
	if err := readAnswer(&answer, body); err != nil {
		return dst, err
	}
	x.usage, x.said = answer.Usage, answer.Summary
	var sound []*gemini.Blob
	for p := range visible(&answer) {
		if b := p.InlineData; b != nil && strings.HasPrefix(b.MIMEType, "audio/") && len(b.Data) > 0 {
			clean, ok := media.Base64(innerText(b.Data))
			if !ok || x.stream && !media.IsBase64(clean) { // what is cut into pieces is checked in full
				return dst, unusableMedia("Gemini answered with audio that is not base64.")
			}
			sound = append(sound, &gemini.Blob{MIMEType: b.MIMEType, Data: clean})
		}
	}
	if len(sound) == 0 {
		if reason, ok := refused(&answer); ok {
			return dst, filtered("content_filter", reason)
		}
		return dst, translate.NoContent() // also where finishReason is OTHER, which does not last
	}
	rate, samples := sampleRate(sound[0].MIMEType)
	if !samples {
		return x.container(dst, sound)
	}
	size := 0
	for _, b := range sound {
		size += decodedLen(b.Data)
	}
	var header []byte
	if x.kind = "audio/pcm"; x.format != "pcm" {
		x.kind = "audio/wav"
		header = make([]byte, waveHeader)
		putWaveHeader(header, rate, size)
	}
	if x.stream {
		return x.appendDeltas(dst, header, sound), nil
	}
	out := append(slices.Grow(dst, len(header)+size+2), header...)
	for _, b := range sound {
		var err error
		if out, err = base64.StdEncoding.AppendDecode(out, b.Data); err != nil {
			return dst, unusableMedia("Gemini answered with audio that is not base64.")
		}
	}
	return out, nil
}

// container handles audio that came as a file, as newer models may send it.
func (x *Speech) container(dst []byte, sound []*gemini.Blob) ([]byte, error) {
	kind, _, _ := strings.Cut(media.CanonicalMIME(strings.ToLower(sound[0].MIMEType)), ";")
	if len(sound) > 1 || x.format == "wav" && kind != "audio/wav" || x.format == "pcm" && kind != "audio/wav" {
		return dst, &translate.Failure{
			Kind: translate.MalformedAnswer, Status: 200,
			Message: "Gemini answered with " + clip(kind) + ", which cannot be turned into " + cmp.Or(x.format, "wav") + " here.",
		}
	}
	x.kind = kind
	if x.format != "pcm" {
		if x.stream {
			return x.appendDeltas(dst, nil, sound), nil
		}
		out, err := base64.StdEncoding.AppendDecode(dst, sound[0].Data)
		if err != nil {
			return dst, unusableMedia("Gemini answered with audio that is not base64.")
		}
		return out, nil
	}
	x.kind = "audio/pcm"
	file, err := base64.StdEncoding.AppendDecode(nil, sound[0].Data)
	bare := waveSamples(file)
	if err != nil || bare == nil {
		return dst, unusableMedia("Gemini answered with a WAV file that has no samples.")
	}
	if x.stream {
		return x.appendDeltas(dst, bare, nil), nil
	}
	return append(dst, bare...), nil
}

// waveSamples finds the data of a WAV file, nil where it has none.
func waveSamples(file []byte) []byte {
	if len(file) < 12 || !bytes.Equal(file[:4], []byte("RIFF")) || !bytes.Equal(file[8:12], []byte("WAVE")) {
		return nil
	}
	for rest := file[12:]; len(rest) >= 8; {
		size := int64(binary.LittleEndian.Uint32(rest[4:]))
		chunk := rest[8:]
		if bytes.Equal(rest[:4], []byte("data")) {
			return chunk[:min(size, int64(len(chunk)))]
		}
		if size += size & 1; size > int64(len(chunk)) {
			return nil
		}
		rest = chunk[size:]
	}
	return nil
}

// appendDeltas appends head, which is not encoded yet, then the sound, then what
// it cost. Source: specs/openai.md §17, stream_format.
func (x *Speech) appendDeltas(dst, head []byte, sound []*gemini.Blob) []byte {
	const start, end = "data: {\"type\":\"speech.audio.delta\",\"audio\":\"", "\"}\n\n"
	if sound = append([]*gemini.Blob{{Data: base64.StdEncoding.AppendEncode(nil, head)}}, sound...); len(head) == 0 {
		sound = sound[1:]
	}
	size := 256
	for _, b := range sound {
		size += len(b.Data) + (len(b.Data)/maxDelta+1)*(len(start)+len(end))
	}
	dst = slices.Grow(dst, size)
	for _, b := range sound {
		for piece := range slices.Chunk(b.Data, maxDelta) {
			dst = append(append(append(dst, start...), piece...), end...)
		}
	}
	dst = append(dst, "data: {\"type\":\"speech.audio.done\",\"usage\":{"...)
	dst = append(appendTokenCounts(dst, x.usage), "}}\n\n"...)
	return dst
}

// appendTokenCounts appends the members that the usage of audio has.
func appendTokenCounts(dst []byte, u gemini.Usage) []byte {
	dst = appendInt(append(dst, `"input_tokens":`...), u.Input())
	dst = appendInt(append(dst, `,"output_tokens":`...), u.Output())
	return appendInt(append(dst, `,"total_tokens":`...), u.Input()+u.Output())
}

// innerText is the text of a string whose encoded inside is given.
func innerText(inner []byte) media.Text {
	if bytes.IndexByte(inner, '\\') < 0 {
		return media.Text{Bytes: inner}
	}
	return media.TextOf(slices.Concat(rawjson.Value{'"'}, inner, rawjson.Value{'"'}))
}

// decodedLen is how many bytes padded base64 stands for.
func decodedLen(data []byte) int {
	padding := len(data) - len(bytes.TrimRight(data, "="))
	return len(data)/4*3 - padding
}
