// SPDX-License-Identifier: Apache-2.0

package anthropic

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

// FuzzMessages feeds anything as an answer: what comes out is always valid, keeps the
// protocol, and does not depend on how the bytes were cut.
func FuzzMessages(f *testing.F) {
	for _, pattern := range []string{filepath.Join(recordings, "*", "*.*"), filepath.Join("testdata", "answer", "*.upstream.sse")} {
		files, _ := filepath.Glob(pattern)
		for i, file := range files {
			if body, err := os.ReadFile(file); err == nil && len(body) < 4<<10 {
				f.Add(body, byte(i))
			}
		}
	}
	for i, doc := range []string{
		event(think + "," + hello + "," + callF), event(search + "," + hello), event(code + "," + output),
		answered(`{"text":"<\ud800\u2028>EN"},{"text":"D"},{"functionCall":{"name":"\"","args":["\\"]}},{"inlineData":{"mimeType":"image/\"","data":"\\\""}}`, `\"`),
		`{"responseId":"\"\u0000","candidates":[{"content":{"parts":[{"text":"né"},{"executableCode":{"language":"\"","code":"\n"}}]},"groundingMetadata": {"webSearchQueries":["\""],"groundingChunks":[{"web":{"uri":"\""}}], "groundingSupports":[{"segment":{"startIndex":1,"endIndex":3},"groundingChunkIndices":[0]},{"segment":{"endIndex":2},"groundingChunkIndices":[0]}]},"urlContextMetadata":{"urlMetadata":[{"retrievedUrl":"\\"}]},"finishReason":"STOP"},{"index":200}]}`,
	} {
		f.Add([]byte("data: "+doc+"\n\ndata: "+stop+"\r\n\r\n"), byte(255-i))
	}
	f.Fuzz(func(t *testing.T, body []byte, flags byte) {
		change := []func(*plan){func(p *plan) { p.oneCall = flags&32 != 0 }}
		for i, c := range []func(*plan){thinks, omits, searches, codes, fetches} {
			if flags>>i&1 != 0 {
				change = append(change, c)
			}
		}
		if flags&128 != 0 {
			change = append(change, jsonOnly)
		}
		if flags&64 != 0 {
			change = append(change, stopsAt("END", "\n"))
		}
		x := messages(append(change, streamed)...)
		whole, err := play(x, bytes.NewReader(body))
		if !utf8.Valid(whole) {
			t.Fatalf("not valid: %q", whole)
		}
		if err == nil {
			collect(t, whole)
		} else if strings.Contains(string(whole), "event: message_stop") {
			t.Fatalf("%v after the end: %s", err, whole)
		}
		pieces, errPieces := play(x, iotest.OneByteReader(bytes.NewReader(body)))
		if !bytes.Equal(whole, pieces) || (err == nil) != (errPieces == nil) {
			t.Fatalf("in single bytes: %q, %v\nwhole: %q, %v", pieces, errPieces, whole, err)
		}
		out, err := messages(change...).Response(nil, body)
		if err != nil {
			return
		}
		if !json.Valid(out) || !utf8.Valid(out) {
			t.Fatalf("not valid: %q", out)
		}
		respond(t, messages(change...), string(body))
	})
}
