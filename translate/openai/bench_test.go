// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// textEvent is an event as Gemini sends them, of about 600 bytes.
func textEvent() []byte {
	return []byte(`{"candidates": [{"content": {"parts": [{"text": "` + strings.Repeat("Words as they come, ", 10) + `\n"}],"role": "model"},"index": 0}],` +
		`"usageMetadata": {"promptTokenCount": 34,"candidatesTokenCount": 17,"totalTokenCount": 51,"promptTokensDetails": [{"modality": "TEXT","tokenCount": 34}]},` +
		`"modelVersion": "gemini-2.5-flash","responseId": "KE2UadmeCLqhmPUP2qf1-QU"}`)
}

func BenchmarkChat_Event(b *testing.B) {
	doc := textEvent()
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	x := chat(streamed, withUsage)
	x.Begin()
	var out []byte
	for i := 0; b.Loop(); i++ {
		if i%200 == 0 {
			x.Begin()
		}
		var err error
		if out, err = x.Event(out[:0], translate.Frame{Data: doc}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkChat_Response(b *testing.B) {
	doc := []byte(finished(`{"text":"`+strings.Repeat("Hello there. ", 70)+`"}`, "STOP"))
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	x := chat()
	var out []byte
	for b.Loop() {
		x.Begin()
		var err error
		if out, err = x.Response(out[:0], doc); err != nil {
			b.Fatal(err)
		}
	}
}

func TestChat_Event_Allocations(t *testing.T) {
	doc := textEvent()
	x := chat(streamed)
	x.Begin()
	out := make([]byte, 0, 4096)
	event := func() { out, _ = x.Event(out[:0], translate.Frame{Data: doc}) }
	event()
	if n := testing.AllocsPerRun(200, event); n > 1 {
		t.Errorf("%v allocations per event", n)
	}
}

// BenchmarkChat_Decode is the part of BenchmarkChat_Event that reads.
func BenchmarkChat_Decode(b *testing.B) {
	doc := textEvent()
	b.ReportAllocs()
	x := chat(streamed)
	for b.Loop() {
		if err := x.answer.Decode(doc); err != nil {
			b.Fatal(err)
		}
	}
}
