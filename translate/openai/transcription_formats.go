// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// appendFormat appends the transcript as response_format wants it.
// Source: specs/openai.md §18.
func (x *Transcription) appendFormat(dst []byte, t *transcript) []byte {
	switch x.format {
	case "text":
		return append(append(dst, t.text...), '\n')
	case "srt":
		return appendCues(dst, t, ",", true)
	case "vtt":
		return appendCues(append(dst, "WEBVTT\n\n"...), t, ".", false)
	case "verbose_json":
		return x.appendVerbose(dst, t)
	case "diarized_json":
		return x.appendDiarized(dst, t)
	}
	dst = rawjson.AppendQuoted(append(dst, `{"text":`...), t.text)
	if !x.translate { // OpenAI's translations have no usage
		dst = appendAudioUsage(append(dst, `,"usage":`...), x.answer.Usage)
	}
	return append(dst, '}')
}

func appendAudioUsage(dst []byte, u gemini.Usage) []byte {
	dst = appendTokenCounts(append(dst, `{"type":"tokens",`...), u)
	dst = appendInt(append(dst, `,"input_token_details":{"audio_tokens":`...), u.PromptAudio)
	dst = appendInt(append(dst, `,"text_tokens":`...), max(0, u.Input()-u.PromptAudio))
	return append(dst, '}', '}')
}

func (x *Transcription) appendVerbose(dst []byte, t *transcript) []byte {
	task := "transcribe"
	if x.translate {
		task = "translate"
	}
	dst = append(append(append(dst, `{"task":"`...), task...), `","language":`...)
	dst = rawjson.AppendQuoted(dst, t.language)
	dst = appendSeconds(append(dst, `,"duration":`...), t.duration())
	dst = rawjson.AppendQuoted(append(dst, `,"text":`...), t.text)
	dst = append(dst, `,"segments":[`...)
	for i, s := range t.segments {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendInt(append(dst, `{"id":`...), int64(i))
		dst = s.appendTimes(append(dst, `,"seek":0,`...))
		dst = rawjson.AppendQuoted(append(dst, `,"text":`...), s.text)
		dst = append(dst, `,"tokens":[],"temperature":0,"avg_logprob":0,"compression_ratio":0,"no_speech_prob":0}`...)
	}
	dst = append(dst, ']')
	if x.words {
		dst = append(dst, `,"words":[`...)
		for i, w := range t.words {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = rawjson.AppendQuoted(append(dst, `{"word":`...), w.text)
			dst = append(w.appendTimes(append(dst, ',')), '}')
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

func (x *Transcription) appendDiarized(dst []byte, t *transcript) []byte {
	dst = append(dst, `{"task":"transcribe","duration":`...)
	dst = rawjson.AppendQuoted(append(appendSeconds(dst, t.duration()), `,"text":`...), t.text)
	dst = append(dst, `,"segments":[`...)
	for i, s := range t.segments {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendInt(append(dst, `{"type":"transcript.text.segment","id":"seg_`...), int64(i))
		dst = s.appendTimes(append(dst, '"', ','))
		dst = rawjson.AppendQuoted(append(dst, `,"text":`...), s.text)
		dst = rawjson.AppendQuoted(append(dst, `,"speaker":`...), cmp.Or(s.speaker, "A"))
		dst = append(dst, '}')
	}
	dst = append(dst, `],"usage":`...)
	return append(appendAudioUsage(dst, x.answer.Usage), '}')
}

func (s *segment) appendTimes(dst []byte) []byte {
	dst = appendSeconds(append(dst, `"start":`...), s.start)
	return appendSeconds(append(dst, `,"end":`...), s.end)
}

// appendSeconds appends a time to the millisecond.
func appendSeconds(dst []byte, f float64) []byte {
	return strconv.AppendFloat(dst, math.Round(f*1000)/1000, 'f', -1, 64)
}

// appendCues appends subtitles. SubRip numbers them and separates milliseconds by
// a comma, WebVTT by a dot. A cue ends with an empty line, and an arrow belongs to
// its times, so that neither may be in its text.
func appendCues(dst []byte, t *transcript, point string, numbered bool) []byte {
	for i, s := range t.segments {
		if numbered {
			dst = append(appendInt(dst, int64(i+1)), '\n')
		}
		text := strings.ReplaceAll(strings.Join(strings.Fields(s.text), " "), "-->", "→")
		dst = fmt.Appendf(dst, "%s --> %s\n%s\n\n", clock(s.start, point), clock(s.end, point), text)
	}
	return dst
}

// clock writes a time as hours, minutes, seconds and milliseconds.
func clock(f float64, point string) string {
	ms := int64(math.Round(f * 1000))
	return fmt.Sprintf("%02d:%02d:%02d%s%03d", ms/3600000, ms/60000%60, ms/1000%60, point, ms%1000)
}
