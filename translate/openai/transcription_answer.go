// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// The answer's way: text, audioTranscription parts (models of kind A) or the JSON
// that was asked for (B) → transcript → one of the formats, see
// transcription_formats.go, or deltas.

// transcript is what was said.
type transcript struct {
	text     string // without white space around it
	pending  string // white space that may prove to be in the middle
	language string
	segments []segment
	words    []segment // speaker is not used
	finish   string    // Gemini's finishReason
	seen     bool      // a candidate came
}

// segment is a stretch of speech; times are seconds.
type segment struct {
	start, end    float64
	speaker, text string
}

// add appends text and returns what of it is certain to be in the transcript.
func (t *transcript) add(text string) (delta string) {
	if t.text == "" {
		text = strings.TrimLeftFunc(text, unicode.IsSpace)
	}
	text = t.pending + text
	delta = strings.TrimRightFunc(text, unicode.IsSpace)
	t.pending = text[len(delta):]
	t.text += delta
	return delta
}

// part takes over one part and returns what of it is certain.
func (t *transcript) part(p *gemini.Part) (delta string) {
	v := p.Transcription
	if v == nil {
		return t.add(p.Text.Text())
	}
	text := v.Get("text").Text()
	if t.text != "" && t.pending == "" && text != "" && !strings.HasPrefix(text, " ") {
		t.pending = " " // parts are turns of a conversation
	}
	if code := v.Get("languageCode").Text(); code != "" {
		t.language = code
	}
	first := len(t.words)
	for _, w := range v.Get("words").Elems() {
		t.words = append(t.words, segment{
			text: w.Get("word").Text(), start: offset(w.Get("startOffset")), end: offset(w.Get("endOffset")),
		})
	}
	t.cues(t.words[first:], strings.TrimSpace(text), v.Get("speakerLabel").Text())
	return t.add(text)
}

// offset reads a duration such as "1.250s"; absent is zero.
func offset(v rawjson.Value) float64 {
	d, err := time.ParseDuration(v.Text())
	if err != nil {
		return 0
	}
	return seconds(d.Seconds())
}

// seconds keeps times within a year, so that hostile ones can be written.
func seconds(f float64) float64 {
	return min(max(f, 0), 365*24*3600)
}

// A cue should fit on a screen and end with a sentence.
const (
	maxCueRunes   = 84
	maxCueSeconds = 7
)

// cues divides what one speaker said. Without words it is one segment, whose
// times are not known.
func (t *transcript) cues(words []segment, text, speaker string) {
	if len(words) == 0 {
		if text != "" {
			t.segments = append(t.segments, segment{text: text, speaker: speaker})
		}
		return
	}
	var cue segment
	for i, w := range words {
		if cue.text == "" {
			cue = segment{start: w.start, speaker: speaker}
		} else {
			cue.text += " "
		}
		cue.text, cue.end = cue.text+w.text, max(w.end, w.start)
		if i == len(words)-1 || strings.ContainsAny(w.text, ".?!。？！") || len([]rune(cue.text)) > maxCueRunes || cue.end-cue.start > maxCueSeconds {
			t.segments = append(t.segments, cue)
			cue = segment{}
		}
	}
}

// fault says why a finished answer is none. A transcript without an end looks
// whole to a client, so that a cut one is refused.
func (t *transcript) fault() error {
	if t.finish == "MAX_TOKENS" {
		return &translate.Failure{
			Kind: translate.InvalidRequest, Code: "audio_too_long", Param: "file", Status: 200,
			Message: "The transcript is longer than the model can write. Send the audio in pieces.",
		}
	}
	switch word, f := finishOf(t.finish, t.text != ""); {
	case f != nil:
		return f
	case word == finishFilter:
		return filtered("content_filter", t.finish)
	}
	return nil
}

// candidates takes over the first candidate of a decoded answer, and hands on
// what is certain.
func (x *Transcription) candidates(emit func(delta string)) error {
	if reason := x.answer.BlockReason; reason != nil {
		return filtered("content_filter", reason.Text())
	}
	for i := range x.answer.Candidates {
		c := &x.answer.Candidates[i]
		if c.Index != 0 {
			continue
		}
		x.text.seen = true
		for j := range c.Parts {
			if p := &c.Parts[j]; !p.Thought {
				if delta := x.text.part(p); delta != "" {
					emit(delta)
				}
			}
		}
		if !c.FinishReason.IsNull() {
			x.text.finish = c.FinishReason.Text()
		}
	}
	return nil
}

// Begin implements [translate.Exchange].
func (x *Transcription) Begin() {
	x.answer.Reset()
	x.text = transcript{}
}

// Usage implements [translate.Exchange].
func (x *Transcription) Usage() gemini.Usage { return x.answer.Usage }

// Summary implements [translate.Summarized].
func (x *Transcription) Summary() *gemini.Summary { return &x.answer.Summary }

// Response implements [translate.Exchange].
func (x *Transcription) Response(dst, body []byte) ([]byte, error) {
	if err := readAnswer(&x.answer, body); err != nil {
		return dst, err
	}
	if err := x.candidates(func(string) {}); err != nil {
		return dst, err
	}
	t := &x.text
	if err := t.fault(); err != nil {
		return dst, err
	}
	if x.timed() && !x.dedicated && t.text != "" {
		if err := t.parse(); err != nil {
			return dst, err
		}
	}
	if t.language == "" {
		t.language = x.language
	}
	t.close(float64(x.answer.Usage.PromptAudio) / tokensPerSecond)
	return x.appendFormat(dst, t), nil
}

// tokensPerSecond is what Gemini counts for audio.
const tokensPerSecond = 32

// parse reads the JSON that a model of kind B was asked for.
func (t *transcript) parse() error {
	doc, err := rawjson.Parse([]byte(t.text))
	if err != nil || doc.Get("segments").Kind() != rawjson.Array {
		return unusableMedia("Gemini did not answer with the segments of the transcript.")
	}
	t.language = doc.Get("language").Text()
	var texts []string
	for _, v := range doc.Get("segments").Elems() {
		start, _ := v.Get("start").Float()
		end, _ := v.Get("end").Float()
		s := segment{start: seconds(start), text: strings.TrimSpace(v.Get("text").Text()), speaker: v.Get("speaker").Text()}
		if s.end = max(seconds(end), s.start); s.text != "" {
			t.segments, texts = append(t.segments, s), append(texts, s.text)
		}
	}
	t.text = strings.Join(texts, " ")
	return nil
}

// close gives times to segments that have none: from the end of the one before
// to the end of the audio.
func (t *transcript) close(duration float64) {
	if len(t.segments) == 0 && t.text != "" {
		t.segments = []segment{{text: t.text}}
	}
	last := 0.0
	for i := range t.segments {
		s := &t.segments[i]
		if s.start == 0 && s.end == 0 {
			s.start, s.end = last, max(last, duration)
		}
		last = s.end
	}
}

// duration is when the last segment ends, in seconds.
func (t *transcript) duration() float64 {
	end := 0.0
	for _, s := range t.segments {
		end = math.Max(end, s.end)
	}
	return end
}

// Event implements [translate.Exchange].
func (x *Transcription) Event(dst []byte, frame translate.Frame) ([]byte, error) {
	if len(frame.Data) == 0 || string(frame.Data) == "[DONE]" {
		return dst, nil
	}
	if err := decodeAnswer(&x.answer, frame.Data); err != nil {
		return dst, err
	}
	out := dst
	err := x.candidates(func(delta string) {
		out = rawjson.AppendQuoted(append(out, `data: {"type":"transcript.text.delta","delta":`...), delta)
		out = append(out, "}\n\n"...)
	})
	return out, err
}

// End implements [translate.Exchange].
func (x *Transcription) End(dst []byte) ([]byte, error) {
	t := &x.text
	switch {
	case !t.seen:
		return dst, translate.NoContent()
	case t.finish == "":
		return dst, translate.CutOff()
	}
	if err := t.fault(); err != nil {
		return dst, err
	}
	dst = rawjson.AppendQuoted(append(dst, `data: {"type":"transcript.text.done","text":`...), t.text)
	dst = appendAudioUsage(append(dst, `,"usage":`...), x.answer.Usage)
	return append(dst, "}\n\n"...), nil
}
