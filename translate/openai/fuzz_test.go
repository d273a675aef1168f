// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

// FuzzChat feeds anything as an answer: what comes out is always valid, keeps
// the protocol, and does not depend on how the bytes were cut.
func FuzzChat(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join(recordings, "*", "*.*"))
	for i, file := range files {
		if body, err := os.ReadFile(file); err == nil && len(body) < 4<<10 {
			f.Add(body, byte(i))
		}
	}
	for i, doc := range []string{sayHi, callF, stop, inband, finished(`{"text":"<\ud800\u2028>"},{"functionCall":{"name":"\"","args":["\\"]}},{"inlineData":{"mimeType":"image/\"","data":"\\\""}}`, `\"`)} {
		f.Add([]byte("data: "+doc+"\n\ndata: "+stop+"\n\n"), byte(i))
	}
	f.Add([]byte(`data: {"responseId":"\"\u0000","candidates":[{"content":{"parts":[{"text":"né"},{"executableCode":{"language":"\"","code":"\n"}}]},"groundingMetadata": {"groundingChunks":[{"web":{"uri":"\""}}], "groundingSupports":[{"segment":{"endIndex":3},"groundingChunkIndices":[0]}]},"finishReason":"STOP"},{"index":200}]}`+"\r\r"), byte(3))
	f.Fuzz(func(t *testing.T, body []byte, flags byte) {
		change := func(r *ChatRequest) {
			r.IncludeUsage = flags&1 != 0
			r.ParallelCalls = flags&2 != 0
			r.LegacyFunctions = flags&4 != 0
			r.Logprobs, r.TopLogprobs = flags&8 != 0, 3
			r.JSONMode = flags&16 != 0
			r.Reasoning = []string{ReasoningContent, ReasoningTags, ReasoningOff, ""}[flags>>5&3]
		}
		x := chat(streamed, change)
		whole, err := play(x, bytes.NewReader(body))
		for line := range strings.SplitSeq(string(whole), "\n\n") {
			doc, _ := strings.CutPrefix(line, "data: ")
			if line != "" && doc != "[DONE]" && (!json.Valid([]byte(doc)) || !utf8.ValidString(doc)) {
				t.Fatalf("not valid: %q", line)
			}
		}
		if err == nil {
			collect(t, x, whole)
		}
		pieces, err2 := play(x, iotest.OneByteReader(bytes.NewReader(body)))
		if !bytes.Equal(whole, pieces) || (err == nil) != (err2 == nil) {
			t.Fatalf("in single bytes: %q, %v\nwhole: %q, %v", pieces, err2, whole, err)
		}
		y := chat(change)
		out, err := y.Response(nil, body)
		if err == nil && (!json.Valid(out) || !utf8.Valid(out)) {
			t.Fatalf("not valid: %q", out)
		}
		if err == nil {
			respond(t, chat(change), string(body))
		}
	})
}
