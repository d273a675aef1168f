// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strconv"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
	"github.com/gemini-balance/caddy-gemini-balance/translate/schema"
)

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

// output reads what kinds of output are wanted: modalities, audio, image_config.
func (d *decoder) output() {
	config := &d.req.Gemini.Config
	var text, image, audio bool
	if v := d.in.modalities; v != nil && d.is(v, rawjson.Array, "modalities") {
		for i, m := range v.Elems() {
			switch {
			case m.Is("text"):
				text = true
			case m.Is("image"):
				image = true
			case m.Is("audio"):
				audio = true
			default:
				d.reject(index("modalities", i, ""), "Unknown modality. Supported are text, image and audio.")
			}
		}
	}
	if v := d.in.audio; v != nil {
		d.is(v, rawjson.Object, "audio")
	}
	if image {
		config.ResponseModalities = []string{"IMAGE"}
		if text {
			config.ResponseModalities = []string{"TEXT", "IMAGE"}
		}
	}
	switch {
	case audio && !d.family.Has(capability.Speaks):
		d.reject("modalities", "%s cannot answer with audio; use a model whose id ends in -tts.", d.req.Target)
	case d.family.Has(capability.Speaks): // these models answer nothing else
		config.ResponseModalities = []string{"AUDIO"}
		d.audio(d.in.audio)
	}
	if v := d.in.imageConfig; v != nil && d.is(v, rawjson.Object, "image_config") && d.family.Has(capability.Draws) {
		config.ImageConfig = d.copyKnown(v, imageShape, "image_config")
	}
}

// audio reads the voice and the container of spoken answers.
func (d *decoder) audio(v rawjson.Value) {
	d.req.AudioFormat = "wav"
	if v == nil || !d.is(v, rawjson.Object, "audio") {
		return
	}
	if f := v.Get("format"); !f.IsNull() && d.is(f, rawjson.String, "audio.format") {
		switch d.req.AudioFormat = f.Text(); d.req.AudioFormat {
		case "wav", "pcm16":
		default:
			d.reject("audio.format", "Audio format %q is not supported. Use wav or pcm16.", clip(d.req.AudioFormat))
		}
	}
	d.voice(v.Get("voice"), "audio.voice")
}

// voice reads a name, or the object with one.
func (d *decoder) voice(voice rawjson.Value, param string) {
	if voice.Kind() == rawjson.Object {
		voice, param = voice.Get("id"), param+".id"
	}
	if voice.IsNull() || !d.is(voice, rawjson.String, param) {
		return
	}
	name, ok := voiceName(voice.Text())
	if !ok {
		d.reject(param, "Unknown voice %q. Use a voice of Gemini, such as Kore, or of OpenAI, such as alloy.", clip(voice.Text()))
	}
	d.req.Gemini.Config.SpeechConfig = rawjson.Value(`{"voiceConfig":{"prebuiltVoiceConfig":{"voiceName":"` + name + `"}}}`)
}

// geminiVoices and openAIVoices are the voices of specs/openai.md §17.
var (
	geminiVoices = strings.Fields(`Zephyr Puck Charon Kore Fenrir Leda Orus Aoede Callirrhoe Autonoe Enceladus
		Iapetus Umbriel Algieba Despina Erinome Algenib Rasalgethi Laomedeia Achernar Alnilam Schedar Gacrux
		Pulcherrima Achird Zubenelgenubi Vindemiatrix Sadachbia Sadaltager Sulafat`)
	openAIVoices = map[string]string{
		"alloy": "Kore", "ash": "Orus", "ballad": "Algieba", "cedar": "Charon", "coral": "Aoede", "echo": "Puck",
		"fable": "Enceladus", "marin": "Leda", "nova": "Zephyr", "onyx": "Alnilam", "sage": "Sulafat",
		"shimmer": "Despina", "verse": "Fenrir",
	}
)

// voiceName returns Gemini's name of a voice.
func voiceName(name string) (string, bool) {
	if v, ok := openAIVoices[strings.ToLower(name)]; ok {
		return v, true
	}
	for _, v := range geminiVoices {
		if strings.EqualFold(v, name) {
			return v, true
		}
	}
	return "", false
}

// format reads response_format, or text.format of the Responses API.
// Source: specs/openai.md §9.1.
func (d *decoder) format() {
	v, param := d.in.responseFormat, d.words.format
	if v == nil || !d.is(v, rawjson.Object, param) {
		return
	}
	typ := v.Get("type")
	if typ.IsNull() {
		d.reject(param+".type", "Missing required parameter: '%s.type'.", param)
		return
	}
	if !d.is(typ, rawjson.String, param+".type") {
		return
	}
	var raw rawjson.Value
	switch string(typ.Inner()) {
	case "text":
		return
	case "json_object":
	case "json_schema":
		js := v
		if nested := v.Get("json_schema"); !d.words.items || !nested.IsNull() {
			js = nested
		}
		if !d.is(js, rawjson.Object, param+".json_schema") {
			return
		}
		if raw = js.Get("schema"); raw.IsNull() || raw.Kind() == rawjson.Object && raw.Len() == 0 {
			raw = nil
		} else if !d.is(raw, rawjson.Object, d.words.schema) {
			return
		}
	default:
		d.reject(param+".type", "Response format %q is not supported. Use text, json_object or json_schema.", clip(typ.Text()))
		return
	}
	d.json(raw)
}

// json asks for JSON, in the way the model can be asked.
func (d *decoder) json(raw rawjson.Value) {
	config := &d.req.Gemini.Config
	if !d.family.Has(capability.JSONMode) {
		d.reject(d.words.format, "%s cannot be held to JSON.", d.req.Target)
		return
	}
	d.req.JSONMode = true
	if len(d.req.Gemini.Tools) > 0 && !d.family.Has(capability.JSONWithTools) {
		if raw != nil {
			d.schemaText = raw
		}
		return
	}
	config.ResponseMIMEType = "application/json"
	if raw == nil {
		return
	}
	convert, to := schema.Light, &config.ResponseJSONSchema
	if !d.family.Has(capability.JSONSchema) {
		convert, to = schema.Strict, &config.ResponseSchema
	}
	out, err := convert(raw)
	if err != nil {
		d.reject(d.words.schema, "Invalid schema: %v.", err)
		return
	}
	*to = out
}

// schemaPart says in words what models refuse as a setting beside tools.
func schemaPart(raw rawjson.Value) gemini.Part {
	const head = "Unless you call a function, answer with one JSON value and nothing else. It must follow this JSON Schema:\n"
	return gemini.Part{Text: rawjson.Quote(head + string(rawjson.Compact(nil, raw)))}
}
