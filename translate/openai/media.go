// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// maxLine is the longest line of a stream that OpenAI's Go SDK reads.
// Source: specs/openai.md §12.3.
const maxLine = 32 << 20

// media takes over inline data: images and audio; others have no place in a
// chat completion.
func (x *Chat) media(dst []byte, c *choice, p *gemini.Part) ([]byte, error) {
	d := p.InlineData
	if x.req.Stream && len(d.Data) > maxLine-(64<<10) {
		return dst, &translate.Failure{
			Kind: translate.MalformedAnswer, Code: "image_too_large", Status: 200,
			Message: "Gemini's answer has an image that is too large for a streamed answer; ask without stream.",
		}
	}
	switch {
	case strings.HasPrefix(d.MIMEType, "image/"):
		c.output = true
		dst = x.image(dst, c, p)
	case strings.HasPrefix(d.MIMEType, "audio/"):
		c.output = true
		dst = x.audio(dst, c, d)
	}
	return dst, nil
}

func (x *Chat) image(dst []byte, c *choice, p *gemini.Part) []byte {
	n := c.imgCount
	c.imgCount++
	x.rememberImage(p)
	if !x.req.Stream {
		if n > 0 {
			c.images = append(c.images, ',')
		}
		c.images = appendImage(c.images, n, p)
		return dst
	}
	if c.tagOpen {
		dst = x.closeTag(dst, c)
	}
	dst = x.open(dst, c, true)
	dst = append(dst, `{"images":[`...)
	dst = appendImage(dst, n, p)
	return x.close(append(dst, ']', '}'))
}

// appendImage appends an image in the shape that OpenRouter made common.
func appendImage(dst []byte, n int, p *gemini.Part) []byte {
	dst = append(dst, `{"type":"image_url","index":`...)
	dst = strconv.AppendInt(dst, int64(n), 10)
	dst = append(dst, `,"image_url":{"url":"data:`...)
	dst = rawjson.AppendEscaped(dst, p.InlineData.MIMEType)
	dst = append(append(dst, `;base64,`...), p.InlineData.Data...)
	dst = append(dst, '"', '}')
	if signature := p.ThoughtSignature.Inner(); len(signature) > 0 {
		dst = appendSignature(append(dst, ','), signature)
	}
	return append(dst, '}')
}

// audioLife is how long an audio id is said to be known: OpenAI's hour.
const audioLife = 3600

// audio takes over sound. Streams carry bare samples, as OpenAI's do.
func (x *Chat) audio(dst []byte, c *choice, d *gemini.Blob) []byte {
	if c.audioID == "" {
		c.audioID = "audio_" + x.env.NewID(24)
	}
	if !x.req.Stream {
		c.sound = append(c.sound, d)
		return dst
	}
	dst = x.open(dst, c, true)
	dst = append(dst, `{"audio":`...)
	dst = x.appendAudio(dst, c, d, false)
	return x.close(append(dst, '}'))
}

func (x *Chat) appendAudio(dst []byte, c *choice, d *gemini.Blob, wave bool) []byte {
	dst = append(append(append(dst, `{"id":"`...), c.audioID...), `","data":"`...)
	rate, pcm := sampleRate(d.MIMEType)
	if wave && pcm {
		dst = appendWave(dst, d.Data, rate)
	} else {
		dst = append(dst, d.Data...)
	}
	dst = append(dst, `","expires_at":`...)
	dst = strconv.AppendInt(dst, x.env.Now.Unix()+audioLife, 10)
	return append(dst, `,"transcript":""}`...)
}

// joined is all sound of a message, which has one place for it: samples of one
// rate go together, of files only the first can be told.
func joined(sound []*gemini.Blob) *gemini.Blob {
	first := sound[0]
	rate, pcm := sampleRate(first.MIMEType)
	if len(sound) == 1 || !pcm {
		return first
	}
	var samples []byte
	for _, d := range sound {
		if r, ok := sampleRate(d.MIMEType); !ok || r != rate {
			return first
		}
		var err error
		if samples, err = base64.StdEncoding.AppendDecode(samples, d.Data); err != nil {
			return first
		}
	}
	return &gemini.Blob{MIMEType: first.MIMEType, Data: base64.StdEncoding.AppendEncode(nil, samples)}
}

// sampleRate reads "audio/L16;codec=pcm;rate=24000", which Gemini calls its
// bare 16 bit samples of one channel.
func sampleRate(mimeType string) (rate uint32, pcm bool) {
	kind, parameters, _ := strings.Cut(mimeType, ";")
	if !strings.EqualFold(kind, "audio/L16") && !strings.EqualFold(kind, "audio/pcm") {
		return 0, false
	}
	rate = 24000
	for p := range strings.SplitSeq(parameters, ";") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(p), "rate="); ok {
			if n, err := strconv.ParseUint(v, 10, 32); err == nil && n > 0 {
				rate = uint32(n)
			}
		}
	}
	return rate, true
}

// appendWave appends base64 of a WAV file with the samples that data is base64
// of. A header of 44 bytes does not end on a border of base64, so both are
// encoded anew.
func appendWave(dst, data []byte, rate uint32) []byte {
	file := make([]byte, waveHeader, waveHeader+base64.StdEncoding.DecodedLen(len(data)))
	file, err := base64.StdEncoding.AppendDecode(file, data)
	if err != nil {
		return append(dst, data...)
	}
	putWaveHeader(file[:waveHeader], rate, len(file)-waveHeader)
	return base64.StdEncoding.AppendEncode(dst, file)
}

// waveHeader is the length of the header of a WAV file.
const waveHeader = 44

// putWaveHeader writes the header of size bytes of 16 bit samples of one channel.
func putWaveHeader(to []byte, rate uint32, size int) {
	le := binary.LittleEndian
	copy(to, "RIFF....WAVEfmt ")
	le.PutUint32(to[4:], uint32(size+waveHeader-8))
	le.PutUint32(to[16:], 16)
	le.PutUint16(to[20:], 1) // PCM
	le.PutUint16(to[22:], 1) // channels
	le.PutUint32(to[24:], rate)
	le.PutUint32(to[28:], 2*rate)
	le.PutUint16(to[32:], 2)
	le.PutUint16(to[34:], 16)
	copy(to[36:], "data")
	le.PutUint32(to[40:], uint32(size))
}
