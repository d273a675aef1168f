// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"slices"
	"unicode/utf8"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Speech is one POST /v1/audio/speech. It implements [translate.Exchange].
//
//	input            the text, after instructions and a colon where there are any
//	voice            speechConfig; OpenAI's names by a table
//	response_format  wav (also where absent) or pcm; others need an encoder
//	stream_format    audio (default) or sse: deltas of base64
//	speed            ignored
//
// Neither systemInstruction nor thinkingConfig is sent: models that speak refuse
// both. Source: specs/openai.md §17.
type Speech struct {
	unary
	format string // pcm, wav or "" for wav where Gemini sends samples
	kind   string // Content-Type of the last answer
	again  func() // writes the call for another attempt; nil after that
}

var _ translate.Exchange = (*Speech)(nil)

// maxSpeech is OpenAI's limit of an input, in characters.
const maxSpeech = 4096

// speechFields are the members of the body, null and absent ones nil.
type speechFields struct {
	model, input, voice, instructions, speed, responseFormat, streamFormat rawjson.Value
}

func (f *speechFields) field(name string) *rawjson.Value {
	switch name {
	case "model":
		return &f.model
	case "input":
		return &f.input
	case "voice":
		return &f.voice
	case "instructions":
		return &f.instructions
	case "speed":
		return &f.speed
	case "response_format":
		return &f.responseFormat
	case "stream_format":
		return &f.streamFormat
	}
	return nil
}

// NewSpeech decodes a speech request.
func NewSpeech(env translate.Env, o Options, body []byte) (*Speech, *translate.Failure) {
	doc, f := parseBody(body)
	if f != nil {
		return nil, f
	}
	d := newDecoder(env, &o, &chatWords)
	in := &speechFields{}
	d.sort(doc, in.field)
	x := &Speech{}
	var text rawjson.Value
	f = d.run(
		func() { d.model(in.model) },
		func() {
			if !d.family.Has(capability.Speaks) {
				d.reject("model", "%s does not speak; use a model whose id ends in -tts.", d.req.Target)
			}
		},
		func() { d.voice(in.voice, "voice") },
		func() { x.options(d, in) },
		func() { text = d.speech(in) },
	)
	if f != nil {
		return nil, f
	}
	d.req.Gemini.Contents = userText(text)
	d.req.Gemini.Config.ResponseModalities = []string{"AUDIO"}
	x.generate(d, len(text))
	x.again = func() {
		d.req.Gemini.Contents = userText(slices.Concat(rawjson.Value(`"Say: `), text[1:]))
		x.call.Body, x.call.Pieces = d.req.Gemini.Encode(nil, x.call.Length())
	}
	return x, nil
}

func (x *Speech) options(d *decoder, in *speechFields) {
	switch v := in.responseFormat; {
	case v == nil:
	case v.Is("wav") || v.Is("pcm"):
		x.format = v.Text()
	case v.Is("mp3") || v.Is("opus") || v.Is("aac") || v.Is("flac"):
		d.reject("response_format", "Gemini speaks in bare samples, and this server does not compress them to %s. Use wav or pcm.", v.Text())
	default:
		d.reject("response_format", "'response_format' must be wav or pcm.")
	}
	switch v := in.streamFormat; {
	case v == nil || v.Is("audio"):
	case v.Is("sse"):
		x.stream = true
	default:
		d.reject("stream_format", "'stream_format' must be audio or sse.")
	}
	if in.speed != nil {
		d.within(in.speed, "speed", 0.25, 4)
	}
}

// speech is what the model is to say, and how.
func (d *decoder) speech(in *speechFields) rawjson.Value {
	if in.input == nil || in.input.IsEmptyString() {
		d.reject("input", "Missing required parameter: 'input'.")
		return nil
	}
	if !d.is(in.input, rawjson.String, "input") || in.instructions != nil && !d.is(in.instructions, rawjson.String, "instructions") {
		return nil
	}
	if len(in.input) > maxSpeech && utf8.RuneCountInString(in.input.Text()) > maxSpeech {
		d.reject("input", "'input' must have at most %d characters.", maxSpeech)
		return nil
	}
	if in.instructions == nil || in.instructions.IsEmptyString() {
		return in.input
	}
	return slices.Concat(in.instructions[:len(in.instructions)-1], rawjson.Value(": "), in.input[1:])
}

// Unsign implements [translate.Exchange]: there are no signatures, but text that
// reads like an order, which the model then tried to answer in writing. The
// second attempt says that it is to be read out. Source: specs/openai.md §17.
func (x *Speech) Unsign() bool {
	if x.again == nil {
		return false
	}
	x.again()
	x.again = nil
	return true
}

// ContentType implements [translate.Exchange].
func (x *Speech) ContentType() string {
	switch {
	case x.stream:
		return eventStream
	case x.kind != "":
		return x.kind
	case x.format == "pcm":
		return "audio/pcm"
	default:
		return "audio/wav"
	}
}
