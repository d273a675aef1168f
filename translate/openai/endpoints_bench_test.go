// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// bench converts an answer over and over, as the gateway does it: into a body of
// the answer's size.
func bench(b *testing.B, x translate.Exchange, answer string) {
	b.Helper()
	doc := []byte(answer)
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		x.Begin()
		if _, err := x.Response(make([]byte, 0, len(doc)+512), doc); err != nil {
			b.Fatal(err)
		}
	}
}

// mebibyte is base64 of 768 KiB.
var mebibyte = strings.Repeat("AAECAwQF", 1<<17)

func BenchmarkImage_1MiB(b *testing.B) {
	answer := finished(`{"inlineData":{"mimeType":"image/png","data":"`+mebibyte+`"}}`, "STOP")
	b.Run("unary", func(b *testing.B) { bench(b, draw(b, image3, ""), answer) })
	b.Run("stream", func(b *testing.B) { bench(b, draw(b, image3, `,"stream":true`), answer) })
}

func BenchmarkSpeech_1MiB(b *testing.B) {
	answer := finished(`{"inlineData":{"mimeType":"`+l16+`","data":"`+mebibyte+`"}}`, "STOP")
	for name, members := range map[string]string{"wav": "", "pcm": `,"response_format":"pcm"`, "sse": `,"stream_format":"sse"`} {
		b.Run(name, func(b *testing.B) { bench(b, speech(b, members), answer) })
	}
}

func BenchmarkTranscription_Decode_1MiB(b *testing.B) {
	kind, body := formBody(b, upload{"file", "a.wav", "", mebibyte}, upload{"model", "", "", m25})
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	env := answerEnv()
	for b.Loop() {
		form, f := ParseForm(kind, body)
		if f == nil {
			_, f = NewTranscription(env, Options{}, form, false)
		}
		if f != nil {
			b.Fatal(f)
		}
	}
}

// BenchmarkEmbeddings is a full call: 100 vectors of 768 values.
func BenchmarkEmbeddings(b *testing.B) {
	values := make([]string, 768)
	for i := range values {
		values[i] = fmt.Sprint(float32(i%17-8) / 1300)
	}
	vector := `{"values":[` + strings.Join(values, ",") + `]}`
	answer := `{"embeddings":[` + vector + strings.Repeat(","+vector, 99) + `]}`
	input, _ := json.Marshal(strings.Split(strings.Repeat("word ", 99)+"word", " "))
	for _, format := range []string{"float", "base64"} {
		b.Run(format, func(b *testing.B) {
			bench(b, embeddings(b, `"input":`+string(input)+`,"encoding_format":"`+format+`"`), answer)
		})
	}
}

// allocated is how many bytes f takes from the heap, over some runs.
func allocated(f func()) uint64 {
	const runs = 20
	f()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / runs
}

// TestMedia_Allocations: a megabyte of an answer is copied once, to the client.
func TestMedia_Allocations(t *testing.T) {
	for _, tc := range []struct {
		name   string
		x      translate.Exchange
		answer string
	}{
		{"image", draw(t, image3, ""), finished(`{"inlineData":{"mimeType":"image/png","data":"`+mebibyte+`"}}`, "STOP")},
		{"speech", speech(t, ""), finished(`{"inlineData":{"mimeType":"`+l16+`","data":"`+mebibyte+`"}}`, "STOP")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			doc := []byte(tc.answer)
			dst := make([]byte, 0, len(doc)+512)
			n := allocated(func() {
				tc.x.Begin()
				if _, err := tc.x.Response(dst, doc); err != nil {
					t.Fatal(err)
				}
			})
			if n > 16<<10 {
				t.Errorf("%d bytes beside the client's body", n)
			}
		})
	}
}
