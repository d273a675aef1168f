// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

const chunk = `{"candidates":[{"content":{"parts":[{"text":"All work and no play makes Jack a dull boy. "}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":21,"totalTokenCount":65,"promptTokensDetails":[{"modality":"TEXT","tokenCount":9}],"thoughtsTokenCount":35},"modelVersion":"gemini-3.8-flash","responseId":"hlP6ae3uJuqGz7IP"}`

// TestMessages_Event_Allocations: an event of text costs no garbage.
func TestMessages_Event_Allocations(t *testing.T) {
	for name, change := range map[string][]func(*plan){"text": {streamed}, "thinking": {streamed, thinks}} {
		x := messages(change...)
		x.Begin()
		dst, frame := make([]byte, 0, 4096), translate.Frame{Data: []byte(chunk)}
		allocs := testing.AllocsPerRun(100, func() {
			out, err := x.Event(dst[:0], frame)
			if err != nil || len(out) == 0 {
				t.Fatal(err)
			}
		})
		if allocs > 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

func BenchmarkMessages_Event(b *testing.B) {
	x := messages(streamed, thinks)
	x.Begin()
	dst, frame := make([]byte, 0, 4096), translate.Frame{Data: []byte(chunk)}
	b.ReportAllocs()
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		if out, err := x.Event(dst[:0], frame); err != nil || len(out) == 0 {
			b.Fatal(err)
		}
	}
}
