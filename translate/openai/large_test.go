// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// converter makes an exchange of a request's body.
type converter func(body []byte) (translate.Exchange, *translate.Failure)

func toChat(body []byte) (translate.Exchange, *translate.Failure) {
	return NewChat(answerEnv(), Options{}, body)
}

func toResponses(body []byte) (translate.Exchange, *translate.Failure) {
	return NewResponses(answerEnv(), Options{}, body)
}

// list joins n elements; the format takes the number of the round.
func list(n int, formats ...string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strings.ReplaceAll(formats[i%len(formats)], "#", fmt.Sprint(i/len(formats))))
	}
	return b.String()
}

const chatTool = `{"type":"function","function":{"name":"tool_#","description":"Looks up what number # is.","parameters":{"type":"object","properties":{"q":{"type":"string","description":"what"},"limit":{"type":["integer","null"],"minimum":1},"order":{"$ref":"#/$defs/order"}},"required":["q"],"additionalProperties":false,"$defs":{"order":{"type":"string","enum":["up","down"]}}}}}`

func flatTool() string {
	tool := strings.Replace(chatTool, `"function":{`, "", 1)
	return tool[:len(tool)-1]
}

// chatOf and itemsOf are requests about a conversation.
func chatOf(messages string) string {
	return `{"model":"gemini-2.5-flash","messages":[` + messages + `]}`
}
func itemsOf(items string) string {
	return `{"model":"gemini-2.5-flash","store":false,"input":[` + items + `]}`
}

const text200 = "The quick brown fox jumps over the lazy dog while the band plays on, and on, and on into the night that never seems to end for those who have to wait for the first train in the morning in the rain."

// largeRequests are requests that grow with a number.
var largeRequests = []struct {
	name   string
	most   int     // the largest number that is served
	factor float64 // most bytes to allocate, by those of the request
	to     converter
	body   func(n int) string
}{
	{"chat messages", maxMessages, 10, toChat, func(n int) string {
		return chatOf(list(n, `{"role":"user","content":"# `+text200+`"}`, `{"role":"assistant","content":[{"type":"text","text":"# `+text200+`"}]}`))
	}},
	{"chat messages with calls", maxMessages, 10, toChat, func(n int) string {
		return chatOf(list(n, `{"role":"user","content":"`+text200+`"}`,
			`{"role":"assistant","content":null,"tool_calls":[{"id":"call_#","type":"function","function":{"name":"tool","arguments":"{\"n\":#}"}}]}`,
			`{"role":"tool","tool_call_id":"call_#","content":"{\"answer\":#}"}`,
			`{"role":"assistant","content":"`+text200+`"}`))
	}},
	{"chat messages of one role", maxMessages, 10, toChat, func(n int) string {
		return chatOf(list(n, `{"role":"user","content":"`+text200+`"}`))
	}},
	{"chat answers in a row", maxMessages, 10, toChat, func(n int) string {
		return chatOf(`{"role":"user","content":"Hi"},` + list(n-1, `{"role":"assistant","content":"`+text200+`"}`))
	}},
	{"chat orders", maxMessages, 10, toChat, func(n int) string {
		return chatOf(list(n, `{"role":"system","content":"`+text200+`"}`, `{"role":"user","content":"`+text200+`"}`))
	}},
	{"chat parts", maxMessages, 10, toChat, func(n int) string {
		return chatOf(`{"role":"user","content":[` + list(n, `{"type":"text","text":"`+text200+`"}`) + `]}`)
	}},
	{"chat calls at once", 4_000, 10, toChat, func(n int) string {
		return chatOf(`{"role":"user","content":"Hi"},{"role":"assistant","tool_calls":[` +
			list(n, `{"id":"call_#","type":"function","function":{"name":"tool","arguments":"{\"n\":#}"}}`) + `]},` +
			list(n, `{"role":"tool","tool_call_id":"call_#","content":"`+text200+`"}`))
	}},
	{"chat calls of one id", 4_000, 10, toChat, func(n int) string {
		return chatOf(`{"role":"user","content":"Hi"},{"role":"assistant","tool_calls":[` +
			list(n, `{"id":"call","type":"function","function":{"name":"tool","arguments":"{\"n\":#}"}}`) + `]},` +
			list(n, `{"role":"tool","tool_call_id":"call","content":"`+text200+`"}`))
	}},
	{"chat results without ids", 4_000, 10, toChat, func(n int) string {
		return chatOf(`{"role":"user","content":"Hi"},{"role":"assistant","tool_calls":[` +
			list(n, `{"id":"call_#","type":"function","function":{"name":"tool","arguments":"{\"n\":#}"}}`) + `]},` +
			list(n, `{"role":"tool","content":"`+text200+`"}`))
	}},
	{"chat tools", maxFunctions, 24, toChat, func(n int) string {
		body := chatOf(`{"role":"user","content":"Hi"}`)
		return body[:len(body)-1] + `,"tools":[` + list(n, chatTool) + `]}`
	}},
	{"responses messages", maxMessages, 10, toResponses, func(n int) string {
		return itemsOf(list(n, `{"role":"user","content":"# `+text200+`"}`, `{"type":"message","role":"assistant","id":"msg_#","content":[{"type":"output_text","text":"# `+text200+`","annotations":[]}]}`))
	}},
	{"responses messages with calls", maxMessages, 10, toResponses, func(n int) string {
		return itemsOf(list(n, `{"role":"user","content":"`+text200+`"}`,
			`{"type":"function_call","call_id":"call_#","name":"tool","arguments":"{\"n\":#}"}`,
			`{"type":"function_call_output","call_id":"call_#","output":"{\"answer\":#}"}`,
			`{"role":"assistant","content":"`+text200+`"}`))
	}},
	{"responses answers in a row", maxMessages, 10, toResponses, func(n int) string {
		return itemsOf(`{"role":"user","content":"Hi"},` + list(n-1, `{"role":"assistant","content":"`+text200+`"}`))
	}},
	{"responses calls at once", maxMessages/2 - 1, 8, toResponses, func(n int) string {
		return itemsOf(`{"role":"user","content":"Hi"},` +
			list(n, `{"type":"function_call","call_id":"call_#","name":"tool","arguments":"{\"n\":#}"}`) + `,` +
			list(n, `{"type":"function_call_output","call_id":"call_#","output":"`+text200+`"}`))
	}},
	{"responses reasoning", maxMessages / 2, 8, toResponses, func(n int) string {
		return itemsOf(`{"role":"user","content":"Hi"},` + list(2*n-2,
			`{"type":"reasoning","id":"rs_#","summary":[{"type":"summary_text","text":"`+text200+`"}],"encrypted_content":"`+envelope(signedLast, "", "c2ln")+`"}`,
			`{"role":"assistant","content":"`+text200+`"}`))
	}},
	{"responses tools", maxFunctions, 24, toResponses, func(n int) string {
		body := itemsOf(`{"role":"user","content":"Hi"}`)
		return body[:len(body)-1] + `,"tools":[` + list(n, flatTool()) + `]}`
	}},
}

// TestLargeRequests: they are served up to the limits, and cost what they are
// long, not its square.
func TestLargeRequests(t *testing.T) {
	for _, tc := range largeRequests {
		t.Run(tc.name, func(t *testing.T) {
			few, many := []byte(tc.body(tc.most/8)), []byte(tc.body(tc.most))
			small, large := cost(t, tc.to, few), cost(t, tc.to, many)
			growth := float64(len(many)) / float64(len(few))
			for what, ratio := range map[string]float64{
				"bytes":       float64(large.bytes) / float64(small.bytes),
				"allocations": float64(large.count) / float64(small.count),
			} {
				t.Logf("%s: %.1f times as many for %.1f times the length", what, ratio, growth)
				if ratio > 1.7*growth { // slices double as they grow
					t.Errorf("%s: %.1f times as many for %.1f times the length", what, ratio, growth)
				}
			}
			if factor := float64(large.bytes) / float64(len(many)); factor > tc.factor {
				t.Errorf("%.1f times the request is allocated, want at most %.0f", factor, tc.factor)
			}
		})
	}
}

// spent is what a conversion takes from the heap.
type spent struct{ bytes, count uint64 }

// cost converts a body and checks that Gemini could read the result.
func cost(t *testing.T, to converter, body []byte) spent {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	x, f := to(body)
	runtime.ReadMemStats(&after)
	if f != nil {
		t.Fatal(f)
	}
	if !json.Valid(x.Call().Whole()) {
		t.Fatal("what is sent is not JSON")
	}
	return spent{after.TotalAlloc - before.TotalAlloc, after.Mallocs - before.Mallocs}
}

// withImage are requests with an image of so many bytes, as base64 in a data URL.
var withImage = []struct {
	name string
	to   converter
	body func(size int) string
}{
	{"chat", toChat, func(size int) string {
		return chatOf(`{"role":"user","content":[{"type":"text","text":"What is it?"},{"type":"image_url","image_url":{"url":"` + dataURL(size) + `"}}]}`)
	}},
	{"responses", toResponses, func(size int) string {
		return itemsOf(`{"role":"user","content":[{"type":"input_text","text":"What is it?"},{"type":"input_image","detail":"auto","image_url":"` + dataURL(size) + `"}]}`)
	}},
	{"input tokens", func(body []byte) (translate.Exchange, *translate.Failure) {
		return NewInputTokens(answerEnv(), Options{}, body)
	}, func(size int) string {
		return itemsOf(`{"role":"user","content":[{"type":"input_file","filename":"a.pdf","file_data":"` + dataURL(size) + `"}]}`)
	}},
}

func dataURL(size int) string {
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("\x89PNG\r\n\x1a\n"), size/8))
}

// TestLargeImages: an image is sent from the client's body, without a copy.
func TestLargeImages(t *testing.T) {
	for _, tc := range withImage {
		for _, size := range []int{1 << 20, 20 << 20} {
			t.Run(fmt.Sprintf("%s %d MiB", tc.name, size>>20), func(t *testing.T) {
				body := []byte(tc.body(size))
				if s := cost(t, tc.to, body); s.bytes > 64<<10 {
					t.Errorf("%d bytes are allocated for a request of %d", s.bytes, len(body))
				}
				x, _ := tc.to(body)
				data := []byte(strings.TrimPrefix(dataURL(size), "data:image/png;base64,"))
				if !bytes.Contains(x.Call().Whole(), data) {
					t.Error("the image is not what was sent")
				}
			})
		}
	}
}

// benchmarkRequest converts a request over and over.
func benchmarkRequest(b *testing.B, to converter, body string) {
	b.Helper()
	doc := []byte(body)
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, f := to(doc); f != nil {
			b.Fatal(f)
		}
	}
}

// BenchmarkRequest is what the gateway does with a request: decoded, and encoded
// for Gemini.
func BenchmarkRequest(b *testing.B) {
	small := strings.Repeat(text200, 4)[:730]
	b.Run("chat 1 kB", func(b *testing.B) {
		benchmarkRequest(b, toChat, chatOf(`{"role":"system","content":"You are helpful."},{"role":"user","content":"`+small+`"}`))
	})
	b.Run("responses 1 kB", func(b *testing.B) {
		benchmarkRequest(b, toResponses, itemsOf(`{"role":"system","content":"You are helpful."},{"role":"user","content":"`+small+`"}`))
	})
	for _, tc := range withImage {
		b.Run(tc.name+" 1 MiB image", func(b *testing.B) { benchmarkRequest(b, tc.to, tc.body(1<<20)) })
	}
	for _, tc := range largeRequests {
		b.Run(fmt.Sprintf("%s %d", tc.name, tc.most), func(b *testing.B) { benchmarkRequest(b, tc.to, tc.body(tc.most)) })
	}
}
