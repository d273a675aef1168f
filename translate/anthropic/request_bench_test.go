// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

// decodeAndEncode is what the request side costs.
func decodeAndEncode(t testing.TB, body []byte) (out []byte, pieces []gemini.Piece) {
	r, f := decodeMessages(requestEnv(), &Options{}, body)
	if f != nil {
		t.Fatal(f)
	}
	return r.gemini.Encode(nil, len(body))
}

func benchmarkRequest(b *testing.B, body []byte) {
	b.Helper()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		decodeAndEncode(b, body)
	}
}

func BenchmarkDecode_Hello(b *testing.B) { benchmarkRequest(b, []byte(requestBody(m38, ""))) }

func BenchmarkDecode_ClaudeCode(b *testing.B) {
	body, err := os.ReadFile("testdata/request/claude_code/client.json")
	if err != nil {
		b.Fatal(err)
	}
	benchmarkRequest(b, body)
}

func BenchmarkDecode_Image(b *testing.B) { benchmarkRequest(b, imageBody(1<<20)) }

func imageBody(size int) []byte {
	return []byte(requestBody(m38, inUser(`{"type":"image","source":{"type":"base64","media_type":"image/png","data":"`+strings.Repeat("AAAA", size/4)+`"}}`)))
}

// Images, documents and results stay in the client's body.
func TestDecode_LargeValues(t *testing.T) {
	text := strings.Repeat("word ", 1<<16)
	for _, c := range []struct {
		name, members string
		pieces        int
	}{
		{"image", inUser(`{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + strings.Repeat("AAAA", 1<<16) + `"}}`), 1},
		{"PDF as data URL", inUser(`{"type":"document","source":{"type":"base64","data":"data:application/pdf;base64,` + strings.Repeat("AAAA", 1<<16) + `"}}`), 1},
		{"text", inUser(`{"type":"text","text":"` + text + `"}`), 1},
		{"text document", inUser(`{"type":"document","title":"T","source":{"type":"text","data":"` + text + `"}}`), 1},
		{"system", `"system":[{"type":"text","text":"` + text + `"}]`, 1},
		{"answer", inAssistant(`{"type":"text","text":"` + text + `"}`), 1},
		{"image in a result", inUser(`{"type":"tool_result","tool_use_id":"t1","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + strings.Repeat("AAAA", 1<<16) + `"}}]}`), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := []byte(requestBody(m38, c.members))
			if size := allocated(10, func() { decodeAndEncode(t, body) }); size > 16<<10 {
				t.Errorf("%d bytes for a body of %d", size, len(body))
			}
			if _, pieces := decodeAndEncode(t, body); len(pieces) != c.pieces {
				t.Errorf("%d pieces", len(pieces))
			}
		})
	}
}

// allocated is how many bytes a call allocates, on average.
func allocated(runs uint64, call func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		call()
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / runs
}

// What a short request costs.
func TestDecode_Allocations(t *testing.T) {
	body := []byte(requestBody(m38, `"system":[{"type":"text","text":"S"}],"tools":[`+declared("f", "")+`],`+inAssistant(useBlock("t1"))))
	if n := testing.AllocsPerRun(100, func() { decodeAndEncode(t, body) }); n > 60 {
		t.Errorf("%v allocations", n)
	}
}
