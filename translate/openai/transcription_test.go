// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// The wire types of transcriptions, as strictly as OpenAI's typed SDKs read them.
type wireTranscription struct {
	Text  *string         `json:"text"`
	Usage *wireAudioUsage `json:"usage"`
}

type wireAudioUsage struct {
	Type              string `json:"type"`
	InputTokens       int64  `json:"input_tokens"`
	OutputTokens      int64  `json:"output_tokens"`
	TotalTokens       int64  `json:"total_tokens"`
	InputTokenDetails struct {
		AudioTokens int64 `json:"audio_tokens"`
		TextTokens  int64 `json:"text_tokens"`
	} `json:"input_token_details"`
}

type wireVerbose struct {
	Task     string   `json:"task"`
	Language *string  `json:"language"`
	Duration *float64 `json:"duration"`
	Text     *string  `json:"text"`
	Segments []struct {
		ID               int     `json:"id"`
		Seek             int     `json:"seek"`
		Start            float64 `json:"start"`
		End              float64 `json:"end"`
		Text             string  `json:"text"`
		Tokens           []int   `json:"tokens"`
		Temperature      float64 `json:"temperature"`
		AvgLogprob       float64 `json:"avg_logprob"`
		CompressionRatio float64 `json:"compression_ratio"`
		NoSpeechProb     float64 `json:"no_speech_prob"`
	} `json:"segments"`
	Words []struct {
		Word  string  `json:"word"`
		Start float64 `json:"start"`
		End   float64 `json:"end"`
	} `json:"words"`
}

const (
	modelA = "gemini-3.8-flash-transcribe"
	riff   = "RIFF\x00\x00\x00\x00WAVE"
)

func transcription(t testing.TB, model string, translates bool, fields ...string) *Transcription {
	t.Helper()
	parts := []upload{{"file", "a.wav", "", riff}, {"model", "", "", model}}
	for i := 0; i < len(fields); i += 2 {
		parts = append(parts, upload{fields[i], "", "", fields[i+1]})
	}
	x, f := NewTranscription(answerEnv(), Options{}, formOf(t, parts...), translates)
	if f != nil {
		t.Fatal(f)
	}
	return x
}

func transcribed(t testing.TB, x *Transcription, doc string) string {
	t.Helper()
	x.Begin()
	out, err := x.Response([]byte("#"), []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return string(out[1:])
}

// TestTranscription_Requests are the request rows of §18.
func TestTranscription_Requests(t *testing.T) {
	schema := `"responseMimeType":"application/json","responseJsonSchema":` + string(segmentSchema)
	for _, tc := range []struct {
		name, model string
		translates  bool
		fields      []string
		text        string // the instruction; "" for none
		config      string
	}{
		{"B", m25, false, nil, "Transcribe the speech verbatim. Output only the transcript.", ``},
		{"B with everything", m25, false, []string{"language", "de", "prompt", `Say "Grüezi"`, "temperature", "0.2"},
			`Transcribe the speech verbatim in de. Output only the transcript. Context: Say "Grüezi"`, `"temperature":0.2`},
		{"B translates", m25, true, []string{"language", "de"}, "Translate the speech to English. Output only the translation.", ``},
		{"B with times", m25, false, []string{"response_format", "verbose_json", "timestamp_granularities[]", "segment"},
			"Transcribe the speech verbatim, in segments of about one sentence with their start and end in seconds. Output only the transcript.", schema},
		{"B with speakers", m25, false, []string{"response_format", "diarized_json"},
			"Transcribe the speech verbatim, in segments of about one sentence with their start and end in seconds and the speaker (A, B, …). Output only the transcript.", schema},
		{"ignored", m25, false, []string{"include[]", "logprobs", "chunking_strategy", "auto", "known_speaker_names[]", "x", "stream", "false", "prompt", ""},
			"Transcribe the speech verbatim. Output only the transcript.", ``},
		{"temperature without effect", m36, false, []string{"temperature", "0.2"}, "Transcribe the speech verbatim. Output only the transcript.", ``},
		{"A", modelA, false, nil, "", `"audioTranscriptionConfig":{}`},
		{"A with everything", modelA, false, []string{"language", "de", "prompt", `Grüezi,  "Znüni" ,,`, "response_format", "verbose_json", "timestamp_granularities[]", "word"}, "",
			`"audioTranscriptionConfig":{"languageCodes":["de"],"customVocabulary":["Grüezi","\"Znüni\""],"wordTimestamp":true}`},
		{"A with speakers", modelA, false, []string{"response_format", "diarized_json"}, "", `"audioTranscriptionConfig":{"wordTimestamp":true,"diarization":true}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			call := transcription(t, tc.model, tc.translates, tc.fields...).Call()
			text, config := "", ""
			if tc.text != "" {
				text = `,{"text":` + show(tc.text) + `}`
			}
			if tc.config != "" {
				config = `,"generationConfig":{` + tc.config + `}`
			}
			want := `{"contents":[{"role":"user","parts":[{"inlineData":{"mimeType":"audio/wav","data":"UklGRgAAAABXQVZF"}}` + text + `]}]` + config + `}`
			if string(call.Whole()) != want {
				t.Errorf("\n got %s\nwant %s", call.Whole(), want)
			}
			if call.Stream != translate.Unary || call.Path != "/v1beta/models/"+tc.model+":generateContent" || !call.Generate {
				t.Errorf("%+v", call)
			}
		})
	}
	x := transcription(t, modelA, false, "prompt", strings.Repeat("word,", maxVocabulary+5))
	if n := strings.Count(string(x.Call().Whole()), `"word"`); n != maxVocabulary {
		t.Errorf("%d words of vocabulary", n)
	}
}

// TestTranscription_Types are the media types of §18.
func TestTranscription_Types(t *testing.T) {
	for _, tc := range []struct{ name, typ, data, want string }{
		{"a.flac", "", "?", "audio/flac"}, {"a.m4a", "", "?", "audio/mp4"}, {"a.mp4", "video/mp4", "?", "audio/mp4"}, {"a.MP3", "", "?", "audio/mpeg"},
		{"a.mpga", "", "?", "audio/mpeg"}, {"a.mpeg", "", "?", "audio/mpeg"}, {"a.oga", "", "?", "audio/ogg"}, {"a.ogg", "", "?", "audio/ogg"},
		{"a.wav", "", "?", "audio/wav"}, {"a.webm", "", "?", "audio/webm"},
		{"blob", "", "fLaC", "audio/flac"}, {"blob", "", "\x1aE\xdf\xa3", "audio/webm"}, {"blob", "", "\x00\x00\x00\x20ftypisom", "audio/mp4"},
		{"blob", "audio/x-wav", "?", "audio/wav"}, {"blob", "video/webm", "?", "audio/webm"},
		{"a.txt", "text/plain", "?", ""}, {"a.png", "image/png", "?", ""},
	} {
		if got := audioType(File{Name: tc.name, Type: tc.typ, Data: []byte(tc.data)}); got != tc.want {
			t.Errorf("%s %s %q: %q, want %q", tc.name, tc.typ, tc.data, got, tc.want)
		}
	}
}

func TestTranscription_Rejects(t *testing.T) {
	file, model := upload{"file", "a.wav", "", riff}, upload{"model", "", "", m25}
	field := func(name, value string) []upload { return []upload{file, model, {name, "", "", value}} }
	for _, tc := range []struct {
		name    string
		form    []upload
		param   string
		message string
	}{
		{"no file", []upload{model}, "file", "one 'file'"},
		{"file in words", []upload{model, {"file", "", "", "x"}}, "file", "one 'file'"},
		{"two files", []upload{model, file, file}, "file", "one 'file'"},
		{"empty file", []upload{model, {"file", "a.wav", "", ""}}, "file", "empty"},
		{"no audio", []upload{model, {"file", "a.txt", "text/plain", "x"}}, "file", "no audio"},
		{"no model", []upload{file}, "model", "model"},
		{"model that speaks", []upload{file, {"model", "", "", tts}}, "model", "speaks"},
		{"format", field("response_format", "xml"), "response_format", "verbose_json"},
		{"granularity", field("timestamp_granularities[]", "phone"), "timestamp_granularities[]", "word or segment"},
		{"words without verbose_json", []upload{file, {"model", "", "", modelA}, {"timestamp_granularities[]", "", "", "word"}}, "timestamp_granularities[]", "verbose_json only"},
		{"words of B", append(field("response_format", "verbose_json"), upload{"timestamp_granularities[]", "", "", "word"}), "timestamp_granularities[]", "-transcribe"},
		{"times of a model without schema", []upload{file, {"model", "", "", "gemma-3-27b"}, {"response_format", "", "", "srt"}}, "response_format", "cannot write srt"},
		{"temperature", field("temperature", "3"), "temperature", "between"},
		{"temperature in words", field("temperature", "hot"), "temperature", "a number"},
		{"stream in words", field("stream", "often"), "stream", "a boolean"},
		{"stream of subtitles", append(field("stream", "true"), upload{"response_format", "", "", "srt"}), "stream", "json and text"},
		{"strict", field("x", "1"), "x", "Unrecognized"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, f := NewTranscription(answerEnv(), Options{Strict: true}, formOf(t, tc.form...), false)
			if f == nil || f.Kind != translate.InvalidRequest || f.Param != tc.param || !strings.Contains(f.Message, tc.message) {
				t.Errorf("%+v", f)
			}
		})
	}
	if _, f := NewTranscription(answerEnv(), Options{}, formOf(t, file, upload{"model", "", "", modelA}), true); f == nil || f.Param != "model" || !strings.Contains(f.Message, "does not translate") {
		t.Errorf("translation by a transcriber: %+v", f)
	}
	large := Form{Fields: map[string][]string{"model": {m25}}, Files: map[string][]File{"file": {{Name: "a.wav", Data: make([]byte, maxAudio+1)}}}}
	if _, f := NewTranscription(answerEnv(), Options{}, large, false); f == nil || f.Kind != translate.TooLarge {
		t.Errorf("large: %+v", f)
	}
}

const audioUsage = `,"usageMetadata":{"promptTokenCount":74,"candidatesTokenCount":6,"totalTokenCount":80,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":64},{"modality":"TEXT","tokenCount":10}]}}`

func spoken(parts string) string {
	return strings.TrimSuffix(finished(parts, "STOP"), "}") + audioUsage
}

// segmented is what a model of kind B answers with where times are wanted.
func segmented(doc string) string { return spoken(`{"text":` + show(doc) + `}`) }

func TestTranscription_JSON(t *testing.T) {
	for _, tc := range []struct{ name, parts, want string }{
		{"text", `{"text":"\n Grüezi \"mitenand\". \n"}`, "Grüezi \"mitenand\"."},
		{"parts", `{"text":"I think","thought":true},{"text":"Hello"},{"text":" world"}`, "Hello world"},
		{"no speech", ``, ""},
		{"white space", `{"text":" \n"}`, ""},
		{"A", `{"audioTranscription":{"text":"Hello"}},{"audioTranscription":{"text":"there."}},{"audioTranscription":{"text":" Ok"}}`, "Hello there. Ok"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := transcription(t, m25, false)
			out := transcribed(t, x, spoken(tc.parts))
			var w wireTranscription
			strict(t, []byte(out), &w)
			u := w.Usage
			if *w.Text != tc.want || u.Type != "tokens" || u.InputTokens != 74 || u.OutputTokens != 6 || u.TotalTokens != 80 || u.InputTokenDetails.AudioTokens != 64 || u.InputTokenDetails.TextTokens != 10 {
				t.Errorf("%s", out)
			}
			if x.ContentType() != contentType || x.Usage().Output() != 6 {
				t.Errorf("%s, %+v", x.ContentType(), x.Usage())
			}
			y := transcription(t, m25, false, "response_format", "text")
			if out := transcribed(t, y, spoken(tc.parts)); out != tc.want+"\n" || y.ContentType() != plainText {
				t.Errorf("text: %q, %s", out, y.ContentType())
			}
		})
	}
}

func TestTranscription_Translation(t *testing.T) {
	if out := transcribed(t, transcription(t, m25, true), spoken(`{"text":"Hello"}`)); out != `{"text":"Hello"}` {
		t.Error(out)
	}
}

const twoSegments = `{"language":"de","segments":[{"start":0,"end":1.5,"text":" Grüezi. ","speaker":"A"},{"start":3661.5,"end":3662.0004,"text":"Two\n\nlines --> here"},{"start":4000,"end":1,"text":""}]}`

// wordsA are parts as models of kind A answer.
const wordsA = `{"audioTranscription":{"text":"Hello there. Bye","languageCode":"en","speakerLabel":"spk_1","words":[{"word":"Hello","endOffset":"0.500s"},{"word":"there.","startOffset":"0.6s","endOffset":"1.25s"},{"word":"Bye","startOffset":"2s","endOffset":"2.5s"}]}},` +
	`{"audioTranscription":{"text":"So long.","speakerLabel":"spk_2","words":[{"word":"So","startOffset":"3s","endOffset":"3.2s"},{"word":"long.","startOffset":"3.2s","endOffset":"4s"}]}}`

func TestTranscription_Verbose(t *testing.T) {
	out := transcribed(t, transcription(t, m25, false, "response_format", "verbose_json"), segmented(twoSegments))
	var w wireVerbose
	strict(t, []byte(out), &w)
	if w.Task != "transcribe" || *w.Language != "de" || *w.Duration != 3662 || *w.Text != "Grüezi. Two\n\nlines --> here" || len(w.Segments) != 2 || w.Words != nil {
		t.Errorf("%s", out)
	}
	if s := w.Segments[1]; s.ID != 1 || s.Start != 3661.5 || s.End != 3662 || s.Tokens == nil {
		t.Errorf("%s", show(s))
	}
	out = transcribed(t, transcription(t, m25, true, "response_format", "verbose_json"), segmented(twoSegments))
	if !strings.Contains(out, `"task":"translate"`) {
		t.Errorf("%s", out)
	}

	out = transcribed(t, transcription(t, modelA, false, "response_format", "verbose_json", "timestamp_granularities[]", "word"), spoken(wordsA))
	w = wireVerbose{}
	strict(t, []byte(out), &w)
	if *w.Language != "en" || *w.Duration != 4 || *w.Text != "Hello there. Bye So long." || len(w.Segments) != 3 || len(w.Words) != 5 {
		t.Fatalf("%s", out)
	}
	if s := w.Segments[0]; s.Text != "Hello there." || s.Start != 0 || s.End != 1.25 || w.Words[1].Start != 0.6 {
		t.Errorf("%s", out)
	}

	// Without words the times are those of the audio: 64 tokens are two seconds.
	out = transcribed(t, transcription(t, modelA, false, "response_format", "verbose_json", "language", "fr"), spoken(`{"text":"Salut"}`))
	w = wireVerbose{}
	strict(t, []byte(out), &w)
	if *w.Language != "fr" || *w.Duration != 2 || len(w.Segments) != 1 || w.Segments[0].Text != "Salut" {
		t.Errorf("%s", out)
	}
	out = transcribed(t, transcription(t, m25, false, "response_format", "verbose_json"), spoken(``))
	w = wireVerbose{}
	strict(t, []byte(out), &w)
	if *w.Text != "" || w.Segments == nil || len(w.Segments) != 0 {
		t.Errorf("no speech: %s", out)
	}
}

func TestTranscription_Subtitles(t *testing.T) {
	for _, tc := range []struct{ name, model, format, answer, want string }{
		{"srt of B", m25, "srt", segmented(twoSegments), "1\n00:00:00,000 --> 00:00:01,500\nGrüezi.\n\n2\n01:01:01,500 --> 01:01:02,000\nTwo lines → here\n\n"},
		{"vtt of B", m25, "vtt", segmented(twoSegments), "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nGrüezi.\n\n01:01:01.500 --> 01:01:02.000\nTwo lines → here\n\n"},
		{"srt of A", modelA, "srt", spoken(wordsA), "1\n00:00:00,000 --> 00:00:01,250\nHello there.\n\n2\n00:00:02,000 --> 00:00:02,500\nBye\n\n3\n00:00:03,000 --> 00:00:04,000\nSo long.\n\n"},
		{"srt of silence", m25, "srt", spoken(``), ""},
		{"vtt of silence", m25, "vtt", segmented(`{"language":"","segments":[]}`), "WEBVTT\n\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := transcription(t, tc.model, false, "response_format", tc.format)
			if got := transcribed(t, x, tc.answer); got != tc.want {
				t.Errorf("\n got %q\nwant %q", got, tc.want)
			}
			if x.ContentType() != plainText {
				t.Error(x.ContentType())
			}
		})
	}
	long := transcript{}
	words := make([]segment, 100)
	for i := range words {
		words[i] = segment{text: "word", start: float64(i), end: float64(i) + 0.5}
	}
	long.cues(words, "", "")
	for _, s := range long.segments {
		if s.end-s.start > maxCueSeconds+1 || len(s.text) > maxCueRunes+5 {
			t.Errorf("cue %+v", s)
		}
	}
}

func TestTranscription_Diarized(t *testing.T) {
	for model, answer := range map[string]string{m25: segmented(twoSegments), modelA: spoken(wordsA)} {
		out := transcribed(t, transcription(t, model, false, "response_format", "diarized_json"), answer)
		var w struct {
			Task     string   `json:"task"`
			Duration *float64 `json:"duration"`
			Text     *string  `json:"text"`
			Segments []struct {
				Type    string   `json:"type"`
				ID      string   `json:"id"`
				Start   *float64 `json:"start"`
				End     *float64 `json:"end"`
				Text    string   `json:"text"`
				Speaker string   `json:"speaker"`
			} `json:"segments"`
			Usage *wireAudioUsage `json:"usage"`
		}
		strict(t, []byte(out), &w)
		last := w.Segments[len(w.Segments)-1]
		if w.Task != "transcribe" || w.Segments[0].ID != "seg_0" || last.Type != "transcript.text.segment" || last.Speaker == "" {
			t.Errorf("%s", out)
		}
		if model == modelA && last.Speaker != "spk_2" {
			t.Errorf("%s", out)
		}
	}
}

func TestTranscription_Faults(t *testing.T) {
	for _, tc := range []struct {
		name, format, answer string
		kind                 translate.Kind
		retry                bool
	}{
		{"nothing", "json", `{}`, translate.EmptyAnswer, true},
		{"other", "json", finished(``, "OTHER"), translate.EmptyAnswer, true},
		{"blocked", "json", `{"promptFeedback":{"blockReason":"SAFETY"}}`, translate.InvalidRequest, false},
		{"filtered", "json", finished(`{"text":"Half"}`, "RECITATION"), translate.InvalidRequest, false},
		{"too long", "json", finished(`{"text":"Half"}`, "MAX_TOKENS"), translate.InvalidRequest, false},
		{"no segments", "srt", segmented(`{"text":"a"}`), translate.MalformedAnswer, true},
		{"no JSON", "srt", segmented(`Hello`), translate.MalformedAnswer, true},
		{"cut", "json", `{"candidates":`, translate.Truncated, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := transcription(t, m25, false, "response_format", tc.format)
			var f *translate.Failure
			out, err := x.Response([]byte("#"), []byte(tc.answer))
			if !errors.As(err, &f) || f.Kind != tc.kind || f.Retry != tc.retry || string(out) != "#" {
				t.Errorf("%+v, %q", err, out)
			}
		})
	}
}

// streamed plays documents as a stream and returns what a client reads.
func streamedTranscript(x *Transcription, docs ...string) (out []byte, err error) {
	x.Begin()
	for _, doc := range docs {
		data := []byte(doc)
		if out, err = x.Event(out, translate.Frame{Raw: data, Data: data}); err != nil {
			return out, err
		}
		clear(data) // the bytes of a frame are void when the next one comes
	}
	return x.End(out)
}

func TestTranscription_Stream(t *testing.T) {
	x := transcription(t, m25, false, "stream", "true")
	if call := x.Call(); call.Stream != translate.SSE || call.Query != "alt=sse" || !strings.HasSuffix(call.Path, ":streamGenerateContent") || x.ContentType() != eventStream {
		t.Errorf("%+v", call)
	}
	piece := func(text string) string {
		return `{"candidates":[{"content":{"parts":[{"text":` + show(text) + `}]}}]}`
	}
	out, err := streamedTranscript(x, piece(" \n"), piece("\nHello "), piece(" \n"), piece("\"you\""), spoken(`{"text":" \n"}`))
	if err != nil {
		t.Fatal(err)
	}
	var joined string
	var done *string
	for e := range strings.SplitSeq(strings.TrimSuffix(string(out), "\n\n"), "\n\n") {
		doc, _ := strings.CutPrefix(e, "data: ")
		var w struct {
			Type  string          `json:"type"`
			Delta string          `json:"delta"`
			Text  *string         `json:"text"`
			Usage *wireAudioUsage `json:"usage"`
		}
		strict(t, []byte(doc), &w)
		if (w.Type == "transcript.text.done") != (w.Text != nil) || (w.Type == "transcript.text.delta") == (w.Usage != nil) || done != nil {
			t.Errorf("%s", e)
		}
		joined += w.Delta
		done = w.Text
	}
	if want := "Hello  \n\"you\""; joined != want || done == nil || *done != want {
		t.Errorf("deltas %q, whole %q", joined, *done)
	}
	if x.Usage().Total != 80 {
		t.Errorf("%+v", x.Usage())
	}
	if out, err := streamedTranscript(x, spoken(``)); err != nil || strings.Count(string(out), "data: ") != 1 || !strings.Contains(string(out), `"text":""`) {
		t.Errorf("silence: %s, %v", out, err)
	}
	if abort := string(x.Abort(nil, translate.CutOff())); !strings.HasPrefix(abort, `data: {"error":`) || !json.Valid([]byte(strings.TrimSpace(strings.TrimPrefix(abort, "data: ")))) {
		t.Errorf("%q", abort)
	}
	if x := transcription(t, "whisper-1", false, "stream", "true"); x.Call().Stream != translate.Unary {
		t.Error("whisper-1 streams")
	}
	for _, tc := range []struct {
		name string
		docs []string
		want translate.Kind
	}{
		{"nothing", nil, translate.EmptyAnswer},
		{"no end", []string{piece("Hello")}, translate.Truncated},
		{"filtered", []string{piece("Hello"), finished(``, "SAFETY")}, translate.InvalidRequest},
		{"blocked", []string{`{"promptFeedback":{"blockReason":"SAFETY"}}`}, translate.InvalidRequest},
		{"other", []string{finished(``, "OTHER")}, translate.EmptyAnswer},
		{"no JSON", []string{`Hello`}, translate.MalformedAnswer},
	} {
		var f *translate.Failure
		if out, err := streamedTranscript(x, tc.docs...); !errors.As(err, &f) || f.Kind != tc.want || strings.Contains(string(out), "done") {
			t.Errorf("%s: %s, %v", tc.name, out, err)
		}
	}
	var e *translate.UpstreamError
	if _, err := streamedTranscript(x, inband); !errors.As(err, &e) {
		t.Errorf("error in the stream: %v", err)
	}
}
