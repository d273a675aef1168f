// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

const tts = "gemini-2.5-flash-preview-tts"

func speech(t testing.TB, members string) *Speech {
	t.Helper()
	x, f := NewSpeech(answerEnv(), Options{}, []byte(`{"model":"`+tts+`","input":"Hi \"you\"","voice":"alloy"`+members+`}`))
	if f != nil {
		t.Fatal(f)
	}
	return x
}

// audioPart is a part with these bytes.
func audioPart(mime, data string) string {
	return `{"inlineData":{"mimeType":"` + mime + `","data":"` + base64.StdEncoding.EncodeToString([]byte(data)) + `"}}`
}

const l16 = "audio/L16;codec=pcm;rate=24000"

// samplesOf checks a WAV file and returns what is in it.
func samplesOf(t testing.TB, file []byte, rate uint32) string {
	t.Helper()
	le := binary.LittleEndian
	if len(file) < 44 || string(file[:4]) != "RIFF" || string(file[8:16]) != "WAVEfmt " || string(file[36:40]) != "data" ||
		int(le.Uint32(file[4:])) != len(file)-8 || le.Uint32(file[16:]) != 16 || le.Uint16(file[20:]) != 1 || le.Uint16(file[22:]) != 1 ||
		le.Uint32(file[24:]) != rate || le.Uint32(file[28:]) != 2*rate || le.Uint16(file[32:]) != 2 || le.Uint16(file[34:]) != 16 || int(le.Uint32(file[40:])) != len(file)-44 {
		t.Fatalf("not a WAV file: %q", file[:min(len(file), 44)])
	}
	return string(file[44:])
}

// heard puts the deltas of a stream together.
func heard(t testing.TB, stream []byte) (audio []byte, total int64) {
	t.Helper()
	events := strings.Split(strings.TrimSuffix(string(stream), "\n\n"), "\n\n")
	for i, e := range events {
		doc, ok := strings.CutPrefix(e, "data: ")
		var w struct {
			Type  string `json:"type"`
			Audio []byte `json:"audio"`
			Usage *struct {
				InputTokens  int64 `json:"input_tokens"`
				OutputTokens int64 `json:"output_tokens"`
				TotalTokens  int64 `json:"total_tokens"`
			} `json:"usage"`
		}
		strict(t, []byte(doc), &w)
		switch last := i == len(events)-1; {
		case !ok || last != (w.Type == "speech.audio.done") || !last && w.Type != "speech.audio.delta" || last != (w.Usage != nil):
			t.Fatalf("event %d of %d: %.100s", i, len(events), e)
		case last:
			total = w.Usage.TotalTokens
		}
		audio = append(audio, w.Audio...)
	}
	return audio, total
}

// TestSpeech_Requests are the request rows of §17.
func TestSpeech_Requests(t *testing.T) {
	for _, tc := range []struct{ name, members, text, voice string }{
		{"plain", ``, `"Hi \"you\""`, "Kore"},
		{"instructions", `,"instructions":"Say \"softly\""`, `"Say \"softly\": Hi \"you\""`, "Kore"},
		{"no instructions", `,"instructions":""`, `"Hi \"you\""`, "Kore"},
		{"Gemini's voice", `,"voice":"pUCK"`, `"Hi \"you\""`, "Puck"},
		{"voice by id", `,"voice":{"id":"Zephyr"}`, `"Hi \"you\""`, "Zephyr"},
		{"no voice", `,"voice":null`, `"Hi \"you\""`, ""},
		{"speed", `,"speed":1.5,"response_format":"wav","stream_format":"audio"`, `"Hi \"you\""`, "Kore"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			call := speech(t, tc.members).Call()
			voice := ""
			if tc.voice != "" {
				voice = `,"speechConfig":{"voiceConfig":{"prebuiltVoiceConfig":{"voiceName":"` + tc.voice + `"}}}`
			}
			want := `{"contents":[{"role":"user","parts":[{"text":` + tc.text + `}]}],"generationConfig":{"responseModalities":["AUDIO"]` + voice + `}}`
			if string(call.Whole()) != want {
				t.Errorf("\n got %s\nwant %s", call.Whole(), want)
			}
			if call.Path != "/v1beta/models/"+tts+":generateContent" || call.Stream != translate.Unary || !call.Generate {
				t.Errorf("%+v", call)
			}
		})
	}
	for openai, gemini := range openAIVoices {
		if x := speech(t, `,"voice":"`+openai+`"`); !strings.Contains(string(x.Call().Whole()), `"`+gemini+`"`) {
			t.Errorf("%s is not %s", openai, gemini)
		}
	}
}

func TestSpeech_Rejects(t *testing.T) {
	for _, tc := range []struct{ name, members, param, message string }{
		{"no model", `"model":null,"input":"a"`, "model", "model"},
		{"model that writes", `"model":"gemini-flash-latest","input":"a"`, "model", "-tts"},
		{"no input", `"voice":"alloy"`, "input", "Missing"},
		{"empty input", `"input":""`, "input", "Missing"},
		{"input of another type", `"input":["a"]`, "input", "expected a string"},
		{"long input", `"input":"` + strings.Repeat("é", maxSpeech+1) + `"`, "input", "4096"},
		{"instructions of another type", `"input":"a","instructions":1`, "instructions", "expected a string"},
		{"voice", `"input":"a","voice":"bob"`, "voice", "bob"},
		{"voice of another type", `"input":"a","voice":{"id":1}`, "voice.id", "expected a string"},
		{"mp3", `"input":"a","response_format":"mp3"`, "response_format", "mp3. Use wav or pcm"},
		{"opus", `"input":"a","response_format":"opus"`, "response_format", "opus"},
		{"aac", `"input":"a","response_format":"aac"`, "response_format", "aac"},
		{"flac", `"input":"a","response_format":"flac"`, "response_format", "flac"},
		{"another format", `"input":"a","response_format":"ogg"`, "response_format", "wav or pcm"},
		{"stream format", `"input":"a","stream_format":"ws"`, "stream_format", "sse"},
		{"speed", `"input":"a","speed":5`, "speed", "0.25"},
		{"strict", `"input":"a","x":1`, "x", "Unrecognized"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, f := NewSpeech(answerEnv(), Options{Strict: true}, []byte(`{"model":"`+tts+`",`+tc.members+`}`))
			if f == nil || f.Kind != translate.InvalidRequest || f.Param != tc.param || !strings.Contains(f.Message, tc.message) {
				t.Errorf("%+v", f)
			}
		})
	}
	longest := `{"model":"` + tts + `","input":"` + strings.Repeat("é", maxSpeech) + `"}`
	if _, f := NewSpeech(answerEnv(), Options{}, []byte(longest)); f != nil {
		t.Error(f)
	}
}

// TestSpeech_Answers are the answer rows of §17.
func TestSpeech_Answers(t *testing.T) {
	wave := make([]byte, waveHeader)
	putWaveHeader(wave, 16000, 4)
	file := string(wave[:12]) + "LIST\x03\x00\x00\x00abc\x00" + string(wave[12:]) + "abcd" // as others write it
	for _, tc := range []struct{ name, members, parts, kind, want string }{
		{"wav by default", ``, audioPart(l16, "abcd"), "audio/wav", "wav:abcd"},
		{"wav", `,"response_format":"wav"`, audioPart(l16, "abcd"), "audio/wav", "wav:abcd"},
		{"pcm", `,"response_format":"pcm"`, audioPart(l16, "abcd"), "audio/pcm", "abcd"},
		{"several parts", `,"response_format":"pcm"`, audioPart(l16, "ab") + `,{"text":"x"},` + audioPart(l16, "cd"), "audio/pcm", "abcd"},
		{"several parts of wav", ``, audioPart(l16, "ab") + `,` + audioPart(l16, "cd"), "audio/wav", "wav:abcd"},
		{"thought", `,"response_format":"pcm"`, strings.Replace(audioPart(l16, "xx"), `{`, `{"thought":true,`, 1) + `,` + audioPart(l16, "abcd"), "audio/pcm", "abcd"},
		{"escaped base64", `,"response_format":"pcm"`, `{"inlineData":{"mimeType":"audio/pcm","data":"\/\/8="}}`, "audio/pcm", "\xff\xff"},
		{"mp3 by default", ``, audioPart("audio/mp3", "ID3"), "audio/mpeg", "ID3"},
		{"wav from Google", `,"response_format":"wav"`, audioPart("audio/x-wav", file), "audio/wav", file},
		{"pcm of wav from Google", `,"response_format":"pcm"`, audioPart("audio/wav", file), "audio/pcm", "abcd"},
	} {
		for _, streams := range []bool{false, true} {
			t.Run(tc.name, func(t *testing.T) {
				members, kind := tc.members, tc.kind
				if streams {
					members, kind = members+`,"stream_format":"sse"`, eventStream
				}
				x := speech(t, members)
				x.Begin()
				out, err := x.Response([]byte("#"), []byte(strings.TrimSuffix(finished(tc.parts, "STOP"), "}")+`,"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4}}`))
				if err != nil {
					t.Fatal(err)
				}
				got := out[1:]
				if streams {
					var total int64
					if got, total = heard(t, got); total != 7 {
						t.Errorf("%d tokens", total)
					}
				}
				if want, ok := strings.CutPrefix(tc.want, "wav:"); ok {
					if samples := samplesOf(t, got, 24000); samples != want {
						t.Errorf("%q", samples)
					}
				} else if string(got) != tc.want {
					t.Errorf("%q", got)
				}
				if x.ContentType() != kind || x.Usage().Output() != 4 {
					t.Errorf("%s, %+v", x.ContentType(), x.Usage())
				}
			})
		}
	}
}

func TestSpeech_Faults(t *testing.T) {
	for _, tc := range []struct {
		name, members, answer string
		kind                  translate.Kind
		retry                 bool
	}{
		{"§21.46 other", ``, finished(``, "OTHER"), translate.EmptyAnswer, true},
		{"text", ``, finished(`{"text":"Hi"}`, "STOP"), translate.EmptyAnswer, true},
		{"nothing", ``, `{}`, translate.EmptyAnswer, true},
		{"blocked", ``, `{"promptFeedback":{"blockReason":"SAFETY"}}`, translate.InvalidRequest, false},
		{"filtered", ``, finished(``, "PROHIBITED_CONTENT"), translate.InvalidRequest, false},
		{"no base64", ``, finished(`{"inlineData":{"mimeType":"audio/L16","data":"a?"}}`, "STOP"), translate.MalformedAnswer, true},
		{"large, no base64 in the middle", ``, finished(`{"inlineData":{"mimeType":"audio/L16","data":"`+strings.Repeat("AAAA", 3<<14)+"????"+strings.Repeat("AAAA", 3<<14)+`"}}`, "STOP"), translate.MalformedAnswer, true},
		{"the same, streamed", `,"stream_format":"sse"`, finished(`{"inlineData":{"mimeType":"audio/L16","data":"`+strings.Repeat("AAAA", 3<<14)+"????"+strings.Repeat("AAAA", 3<<14)+`"}}`, "STOP"), translate.MalformedAnswer, true},
		{"mp3 for wav", `,"response_format":"wav"`, finished(audioPart("audio/mpeg", "ID3"), "STOP"), translate.MalformedAnswer, false},
		{"two files", ``, finished(audioPart("audio/mpeg", "ID3")+","+audioPart("audio/mpeg", "ID3"), "STOP"), translate.MalformedAnswer, false},
		{"a wav without samples", `,"response_format":"pcm"`, finished(audioPart("audio/wav", "RIFFxxxxWAVEfmt \xff\xff\xff\x7f"), "STOP"), translate.MalformedAnswer, true},
		{"cut", ``, `{"candidates":[{`, translate.Truncated, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := speech(t, tc.members)
			var f *translate.Failure
			out, err := x.Response([]byte("#"), []byte(tc.answer))
			if !errors.As(err, &f) || f.Kind != tc.kind || f.Retry != tc.retry || string(out) != "#" {
				t.Errorf("%+v, %.50q", err, out)
			}
			if a := x.Error(f); a.ContentType != contentType || !json.Valid(a.Body) {
				t.Errorf("%+v", a)
			}
		})
	}
}

// TestSpeech_Unsign: text that reads like an order is tried once more, to be
// read out.
func TestSpeech_Unsign(t *testing.T) {
	x := speech(t, "")
	before := x.Call()
	if !x.Unsign() || x.Call() != before || !strings.Contains(string(x.Call().Whole()), `"text":"Say: Hi \"you\""`) || !strings.Contains(string(x.Call().Whole()), "Kore") {
		t.Errorf("%s", x.Call().Whole())
	}
	if x.Unsign() {
		t.Error("twice")
	}
}

func TestSpeech_Recordings(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(recordings, "audio", "*.json"))
	if len(files) == 0 {
		t.Skip("no recordings beside the project")
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pcm, err := speech(t, `,"response_format":"pcm"`).Response(nil, body)
		if err != nil || len(pcm) < 10<<10 {
			t.Fatalf("%s: %d bytes, %v", file, len(pcm), err)
		}
		wave, err := speech(t, "").Response(nil, body)
		if err != nil || samplesOf(t, wave, 24000) != string(pcm) {
			t.Errorf("%s: another sound in the file, %v", file, err)
		}
		stream, err := speech(t, `,"stream_format":"sse"`).Response(nil, body)
		if err != nil {
			t.Fatal(err)
		}
		if all, _ := heard(t, stream); !bytes.Equal(all, wave) {
			t.Errorf("%s: another sound in the deltas", file)
		}
	}
}
