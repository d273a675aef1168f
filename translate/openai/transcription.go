// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"path"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/capability"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/media"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// Transcription is one POST /v1/audio/transcriptions or /translations. It
// implements [translate.Exchange].
//
//	file             inline audio
//	language         audioTranscriptionConfig.languageCodes, or a word in the instruction
//	prompt           customVocabulary, split at commas, or words in the instruction
//	response_format  json (default), text, verbose_json, srt, vtt, diarized_json; those
//	                 with times come from words, or from JSON the model is asked for
//	temperature      temperature
//	timestamp_granularities[]  word: only of models that transcribe by themselves
//	stream           deltas of json and text; ignored for whisper-1, as by OpenAI
//	include[], chunking_strategy, known_speaker_names[], known_speaker_references[]: ignored
//
// Two kinds of models serve it: those whose id ends in -transcribe (A) have
// settings for it, all others (B) are asked in words. Source: specs/openai.md §18.
type Transcription struct {
	unary
	format    string
	language  string // as asked; answers may know better
	translate bool
	dedicated bool // kind A
	words     bool // timestamp_granularities has word
	answer    gemini.Response
	text      transcript // of a stream
}

var _ translate.Exchange = (*Transcription)(nil)

const (
	// maxAudio is what fits inline. Source: specs/openai.md §18.
	maxAudio = 70 << 20
	// maxVocabulary is how many words a prompt may teach.
	maxVocabulary = 1000
)

// transcriptionNames are the names of fields and files, without brackets.
var transcriptionNames = []string{
	"file", "model", "language", "prompt", "response_format", "temperature", "timestamp_granularities", "stream",
	"include", "chunking_strategy", "known_speaker_names", "known_speaker_references",
}

// NewTranscription decodes the form of a transcription, or of a translation to
// English. The result aliases the form only until it returns.
func NewTranscription(env translate.Env, o Options, form Form, translateToEnglish bool) (*Transcription, *translate.Failure) {
	d := newDecoder(env, &o, &chatWords)
	x := &Transcription{translate: translateToEnglish}
	audio := &gemini.Blob{}
	text := func(name string) string { return form.value(name, rawjson.String).Text() }
	x.language = text("language")
	f := d.run(
		func() {
			if name := form.unknown(transcriptionNames...); name != "" && o.Strict {
				d.reject(clip(name), "Unrecognized request argument supplied: %s", clip(name))
			}
		},
		func() { d.model(form.value("model", rawjson.String)) },
		func() { x.family(d) },
		func() { d.sound(audio, form.Files["file"]) },
		func() { x.output(d, form) },
		func() {
			if v := form.value("temperature", rawjson.Number); v != nil && d.within(v, "temperature", 0, 2) && d.family.Has(capability.Sampling) {
				d.req.Gemini.Config.Temperature = v
			}
		},
		func() { x.instruct(d, audio, text("prompt")) },
	)
	if f != nil {
		return nil, f
	}
	x.generate(d, len(audio.Raw)/3*4)
	if x.stream {
		x.call.Path = "/v1beta/models/" + d.req.Target + ":streamGenerateContent"
		x.call.Query, x.call.Stream = "alt=sse", translate.SSE
	}
	return x, nil
}

func (x *Transcription) family(d *decoder) {
	x.dedicated = strings.HasSuffix(d.req.Target, "-transcribe") || strings.Contains(d.req.Target, "-transcribe-")
	if x.dedicated && x.translate {
		d.reject("model", "%s transcribes but does not translate; use a model such as gemini-flash-latest.", d.req.Target)
	}
	if d.family.Has(capability.Speaks) {
		d.reject("model", "%s speaks but does not write.", d.req.Target)
	}
}

// sound takes the file.
func (d *decoder) sound(to *gemini.Blob, files []File) {
	if len(files) != 1 {
		d.reject("file", "Exactly one 'file' is needed.")
		return
	}
	f := files[0]
	to.MIMEType, to.Raw = audioType(f), f.Data
	switch {
	case len(f.Data) == 0:
		d.reject("file", "The file %q is empty.", clip(f.Name))
	case len(f.Data) > maxAudio:
		d.failure = &translate.Failure{
			Kind: translate.TooLarge, Param: "file",
			Message: "The audio is larger than 70 MB, which Gemini takes in one request. Send it in pieces or compressed.",
		}
	case to.MIMEType == "":
		d.reject("file", "The file %q is no audio that Gemini reads: FLAC, M4A, MP3, MP4, MPEG, MPGA, OGA, OGG, WAV or WEBM.", clip(f.Name))
	}
}

// audioExtensions are the names of OpenAI's formats. Some mean video elsewhere.
var audioExtensions = map[string]string{
	".flac": "audio/flac", ".m4a": "audio/mp4", ".mp4": "audio/mp4", ".mp3": "audio/mpeg", ".mpga": "audio/mpeg",
	".mpeg": "audio/mpeg", ".oga": "audio/ogg", ".ogg": "audio/ogg", ".opus": "audio/ogg", ".wav": "audio/wav",
	".webm": "audio/webm", ".aac": "audio/aac", ".aiff": "audio/aiff", ".aif": "audio/aiff",
}

// audioType is the type of a file by its name, its first bytes or as declared.
func audioType(f File) string {
	if mime := audioExtensions[strings.ToLower(path.Ext(f.Name))]; mime != "" {
		return mime
	}
	for _, mime := range []string{media.SniffBytes(f.Data[:min(len(f.Data), 64)]), media.CanonicalMIME(f.Type)} {
		switch kind, rest, _ := strings.Cut(mime, "/"); {
		case kind == "audio":
			return mime
		case mime == "video/mp4" || mime == "video/webm":
			return "audio/" + rest
		}
	}
	return ""
}

// output reads what the client wants back.
func (x *Transcription) output(d *decoder, form Form) {
	x.format = "json"
	if v := form.value("response_format", rawjson.String); v != nil {
		x.format = v.Text()
	}
	switch x.format {
	case "json", "text", "verbose_json", "srt", "vtt", "diarized_json":
	default:
		d.reject("response_format", "'response_format' must be json, text, verbose_json, srt, vtt or diarized_json.")
	}
	for _, name := range []string{"timestamp_granularities[]", "timestamp_granularities"} {
		for _, v := range form.Fields[name] {
			switch v {
			case "segment", "":
			case "word":
				x.words = true
			default:
				d.reject("timestamp_granularities[]", "'timestamp_granularities[]' must be word or segment.")
			}
		}
	}
	switch {
	case x.words && x.format != "verbose_json":
		d.reject("timestamp_granularities[]", "Timestamps are part of response_format verbose_json only.")
	case x.words && !x.dedicated:
		d.reject("timestamp_granularities[]", "%s does not know when words are spoken; ask for segment, or use a model whose id ends in -transcribe.", d.req.Target)
	}
	if v := form.value("stream", rawjson.Bool); v != nil && d.is(v, rawjson.Bool, "stream") && v.IsTrue() && strings.TrimSpace(d.req.Model) != "whisper-1" {
		x.stream = true
	}
	if x.stream && x.timed() {
		d.reject("stream", "Only response_format json and text can be streamed.")
	}
}

// timed reports whether the answer has times, or speakers.
func (x *Transcription) timed() bool { return x.format != "json" && x.format != "text" }

// instruct writes the request.
func (x *Transcription) instruct(d *decoder, audio *gemini.Blob, prompt string) {
	parts := []gemini.Part{{InlineData: audio}}
	if x.dedicated {
		d.req.Gemini.Config.AudioTranscription = x.settings(prompt)
	} else {
		if x.timed() {
			if !d.family.Has(capability.JSONMode | capability.JSONSchema) {
				d.reject("response_format", "%s cannot write %s.", d.req.Target, x.format)
			}
			d.req.Gemini.Config.ResponseMIMEType = "application/json"
			d.req.Gemini.Config.ResponseJSONSchema = segmentSchema
		}
		parts = append(parts, gemini.Part{Text: rawjson.Quote(x.instruction(prompt))})
	}
	d.req.Gemini.Contents = []gemini.Content{{Role: "user", Parts: parts}}
}

// instruction asks a model of kind B.
func (x *Transcription) instruction(prompt string) string {
	s := "Transcribe the speech verbatim"
	switch {
	case x.translate:
		s = "Translate the speech to English"
	case x.language != "":
		s += " in " + x.language
	}
	what := "transcript"
	if x.translate {
		what = "translation"
	}
	if x.timed() {
		s += ", in segments of about one sentence with their start and end in seconds"
		if x.format == "diarized_json" {
			s += " and the speaker (A, B, …)"
		}
	}
	s += ". Output only the " + what + "."
	if prompt != "" {
		s += " Context: " + prompt
	}
	return s
}

// segmentSchema is what a model of kind B answers with where times are wanted.
// They are what it believes, not what it measured.
var segmentSchema = rawjson.Value(`{"type":"object","properties":{"language":{"type":"string","description":"ISO 639-1 code of the spoken language"},` +
	`"segments":{"type":"array","items":{"type":"object","properties":{"start":{"type":"number"},"end":{"type":"number"},` +
	`"speaker":{"type":"string"},"text":{"type":"string"}},"required":["start","end","text"]}}},"required":["language","segments"]}`)

// settings are those of a model of kind A.
func (x *Transcription) settings(prompt string) rawjson.Value {
	var members, vocabulary []string
	if x.language != "" {
		members = append(members, `"languageCodes":[`+string(rawjson.Quote(x.language))+`]`)
	}
	for word := range strings.SplitSeq(prompt, ",") {
		if word = strings.TrimSpace(word); word != "" && len(vocabulary) < maxVocabulary {
			vocabulary = append(vocabulary, string(rawjson.Quote(word)))
		}
	}
	if len(vocabulary) > 0 {
		members = append(members, `"customVocabulary":[`+strings.Join(vocabulary, ",")+`]`)
	}
	if x.timed() {
		members = append(members, `"wordTimestamp":true`)
	}
	if x.format == "diarized_json" {
		members = append(members, `"diarization":true`)
	}
	return rawjson.Value("{" + strings.Join(members, ",") + "}")
}

// ContentType implements [translate.Exchange].
func (x *Transcription) ContentType() string {
	switch {
	case x.stream:
		return eventStream
	case x.format == "text" || x.format == "srt" || x.format == "vtt":
		return plainText
	default:
		return contentType
	}
}
