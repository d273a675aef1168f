// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

// endpoint makes the exchange of a JSON body.
type endpoint func(body []byte) (translate.Exchange, *translate.Failure)

func made[T translate.Exchange](x T, f *translate.Failure) (translate.Exchange, *translate.Failure) {
	if f != nil {
		return nil, f
	}
	return x, nil
}

// jsonEndpoints are the endpoints besides chat completions whose requests are
// JSON.
var jsonEndpoints = map[string]endpoint{
	"embeddings": func(b []byte) (translate.Exchange, *translate.Failure) {
		return made(NewEmbeddings(answerEnv(), Options{}, b))
	},
	"images": func(b []byte) (translate.Exchange, *translate.Failure) {
		return made(NewImageGeneration(answerEnv(), Options{}, b))
	},
	"speech": func(b []byte) (translate.Exchange, *translate.Failure) {
		return made(NewSpeech(answerEnv(), Options{}, b))
	},
	"completions": func(b []byte) (translate.Exchange, *translate.Failure) {
		return made(NewCompletion(answerEnv(), Options{}, b))
	},
}

// checkCalls wants calls that can be sent.
func checkCalls(t *testing.T, x translate.Exchange) {
	t.Helper()
	calls := []*translate.Call{x.Call()}
	if b, ok := x.(translate.Batch); ok {
		calls = append(calls, b.Calls()...)
	}
	if len(calls) > maxCalls+1 {
		t.Fatalf("%d calls", len(calls))
	}
	for _, c := range calls {
		if !json.Valid(c.Body) || !utf8.Valid(c.Body) || !gemini.ValidModelID(c.Model) {
			t.Fatalf("model %q, body %q", c.Model, c.Body)
		}
	}
}

// FuzzEndpoints checks that no body of any endpoint panics, and that what is
// accepted becomes calls that can be sent.
func FuzzEndpoints(f *testing.F) {
	for _, doc := range []string{
		`{"model":"m","input":["a","\ud800"],"dimensions":3,"task_type":"retrieval_document","title":"\u0000"}`,
		`{"model":"x-image","prompt":"p","size":"1024x512","n":10,"quality":"hd","stream":true}`,
		`{"model":"x-tts","input":"\"","instructions":"\\","voice":{"id":"kore"},"response_format":"pcm"}`,
		`{"model":"m","prompt":["a","b"],"n":2,"google":{"thinking_config":{}},"max_tokens":1}`,
		`{"model":"gemini-3-flash-preview(high)","prompt":"a","input":"b"}`,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for name, e := range jsonEndpoints {
			x, failure := e(body)
			if failure != nil {
				if failure.Message == "" {
					t.Fatalf("%s: %q fails without a word", name, body)
				}
				continue
			}
			checkCalls(t, x)
			if x.Unsign() {
				checkCalls(t, x)
			}
		}
	})
}

// FuzzTranscriptionForm does the same for what a form can say.
func FuzzTranscriptionForm(f *testing.F) {
	f.Add("m", "de\"", "a,b\x00", "srt", "0.5", "word", true, "a.wav", "audio/wav", []byte("RIFF"))
	f.Add("x-transcribe", "", "", "verbose_json", "1e400", "word", false, "", "", []byte("ID3"))
	f.Fuzz(func(t *testing.T, model, language, prompt, format, temperature, granularity string, stream bool, name, typ string, data []byte) {
		form := Form{
			Fields: map[string][]string{
				"model": {model}, "language": {language}, "prompt": {prompt}, "response_format": {format},
				"temperature": {temperature}, "timestamp_granularities[]": {granularity},
			},
			Files: map[string][]File{"file": {{Name: name, Type: typ, Data: data}}, "image": {{Name: name, Type: typ, Data: data}}},
		}
		if stream {
			form.Fields["stream"] = []string{"true"}
		}
		if x, failure := NewTranscription(answerEnv(), Options{}, form, false); failure == nil {
			checkCalls(t, x)
		}
		form.Fields["size"], form.Fields["n"] = []string{format}, []string{temperature}
		if x, failure := NewImageEdit(answerEnv(), Options{}, form); failure == nil {
			checkCalls(t, x)
		}
	})
}

// FuzzEndpointAnswers feeds anything as the answer: what comes out is valid, and
// is nothing where there is an error.
func FuzzEndpointAnswers(f *testing.F) {
	for _, dir := range []string{"embeddings", "images", "audio", "predict", "text"} {
		files, _ := filepath.Glob(filepath.Join(recordings, dir, "*.json"))
		for _, file := range files {
			if body, err := os.ReadFile(file); err == nil && len(body) < 4<<10 {
				f.Add(body)
			}
		}
	}
	f.Add([]byte(finished(`{"inlineData":{"mimeType":"audio/L16;rate=1","data":"AA\/A"}},{"inlineData":{"mimeType":"image/\"","data":"\"\\"}},{"text":"\ud800"}`, "STOP")))
	f.Add([]byte(spoken(wordsA)))
	f.Add([]byte(segmented(twoSegments)))
	f.Add([]byte(`{"embeddings":[{"values":[1e308,-1,0.5]}]}`))
	f.Add([]byte(finished(audioPart("audio/wav", "RIFF\xff\xff\xff\xffWAVEdata\xff\xff\xff\xff"), "STOP")))
	type mode struct {
		name string
		make func(t testing.TB) translate.Exchange
	}
	modes := []mode{
		{"embeddings", func(t testing.TB) translate.Exchange { return embeddings(t, `"input":"a"`) }},
		{"embeddings in base64", func(t testing.TB) translate.Exchange { return embeddings(t, `"input":"a","encoding_format":"base64"`) }},
		{"images", func(t testing.TB) translate.Exchange { return draw(t, image3, "") }},
		{"images converted", func(t testing.TB) translate.Exchange {
			return draw(t, image3, `,"output_format":"jpeg","response_format":"url"`)
		}},
		{"images streamed", func(t testing.TB) translate.Exchange { return draw(t, image3, `,"stream":true`) }},
		{"speech", func(t testing.TB) translate.Exchange { return speech(t, "") }},
		{"speech bare", func(t testing.TB) translate.Exchange { return speech(t, `,"response_format":"pcm"`) }},
		{"speech streamed", func(t testing.TB) translate.Exchange { return speech(t, `,"stream_format":"sse"`) }},
		{"completions", func(t testing.TB) translate.Exchange { return completion(t, m3, `"prompt":"a"`) }},
	}
	for _, format := range []string{"json", "text", "srt", "vtt", "verbose_json", "diarized_json"} {
		for _, model := range []string{m25, modelA} {
			modes = append(modes, mode{format + " by " + model, func(t testing.TB) translate.Exchange {
				return transcription(t, model, false, "response_format", format)
			}})
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, m := range modes {
			x := m.make(t)
			x.Begin()
			out, err := x.Response([]byte("#"), body)
			if err != nil {
				if string(out) != "#" {
					t.Fatalf("%s: %v, but %q", m.name, err, out)
				}
				continue
			}
			switch out = out[1:]; x.ContentType() {
			case contentType:
				if !json.Valid(out) || !utf8.Valid(out) {
					t.Fatalf("%s: %q", m.name, out)
				}
			case eventStream:
				for e := range bytes.SplitSeq(bytes.TrimSuffix(out, []byte("\n\n")), []byte("\n\n")) {
					_, doc, ok := bytes.Cut(e, []byte("data: "))
					if !ok || !json.Valid(doc) || !utf8.Valid(doc) || bytes.ContainsAny(doc, "\r\n") {
						t.Fatalf("%s: %q", m.name, e)
					}
				}
			}
		}
		for _, x := range []translate.Exchange{transcription(t, m25, false, "stream", "true"), completion(t, m3, `"prompt":"a","stream":true`)} {
			x.Begin()
			out, err := x.Event(nil, translate.Frame{Data: body})
			if err == nil {
				out, _ = x.End(out)
			}
			for e := range bytes.SplitSeq(bytes.TrimSuffix(out, []byte("\n\n")), []byte("\n\n")) {
				doc, _ := bytes.CutPrefix(e, []byte("data: "))
				if len(doc) > 0 && string(doc) != "[DONE]" && (!json.Valid(doc) || !utf8.Valid(doc)) {
					t.Fatalf("%q", e)
				}
			}
		}
	})
}
