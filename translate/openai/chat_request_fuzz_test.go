// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

// FuzzDecodeChat checks that no body panics, and that what is accepted becomes
// valid JSON, before and after signatures were taken away.
func FuzzDecodeChat(f *testing.F) {
	files, _ := filepath.Glob("testdata/chat_request/*/client.json")
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc)
	}
	f.Add([]byte(`{"model":"gemma-3-1b","messages":[{"role":"assistant","function_call":{"name":"\u0000","arguments":"{"}},{"role":"function","name":"x","content":[{"type":"text","text":"\ud800"}]}]}`))
	f.Add([]byte(`{"model":"a(1)","messages":[{"role":"tool","content":{"a":[1e400,-0,12345678901234567890]}}],"google":{"thinking_config":{}},"stop":["a"]}`))
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":[{"type":"file","file":{"file_data":"data:,%41"}}]}],"functions":[{"name":"a/b"}],"function_call":{"name":"a/b"}}`))
	f.Add([]byte(`{"model":"m","messages":[{"role":"assistant","content":"né","tool_calls":[{"id":"c","function":{"name":"f"}}],"extra_content":{"google":{"parts":[{"offset":2,"part":` + searchCall + `},{"offset":2,"length":1e9,"part":{"executableCode":{"code":"\ud800"}}},{"calls":1,"part":` + searchResult + `}]}}}]}`))
	f.Add([]byte(`{"model":"m","input":[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f"}}]},{"type":"function_call_output","call_id":"c","output":"r"}],"response_format":{"type":"json_object"}}`))
	f.Add([]byte(body(m3, tightTools+","+tightJSON)))
	f.Add([]byte(body(m3, `"tools":[{"type":"function","function":{"name":"google_maps","parameters":{"lat_lng":{"latitude":1e1,"longitude":-2}}}}],"seed":99999999999999999999`)))
	options := Options{Reasoning: ReasoningTags}
	f.Fuzz(func(t *testing.T, doc []byte) {
		r, failure := DecodeChat(requestEnv(), options, doc)
		if failure != nil {
			if failure.Message == "" {
				t.Fatalf("%q fails without a word", doc)
			}
			return
		}
		if out := r.Gemini.Append(nil); !json.Valid(out) {
			t.Fatalf("%q became %q", doc, out)
		}
		if !gemini.ValidModelID(r.Target) || len(r.Gemini.Contents) == 0 {
			t.Fatalf("%q: target %q, %d contents", doc, r.Target, len(r.Gemini.Contents))
		}
		r.Unsign()
		if out := r.Gemini.Append(nil); !json.Valid(out) {
			t.Fatalf("unsigned, %q became %q", doc, out)
		}
		for n := 0; r.schemas.Relax(&r.Gemini, nil); n++ {
			if out := r.Gemini.Append(nil); !json.Valid(out) || n > 1 {
				t.Fatalf("plainer, %q became %q", doc, out)
			}
		}
	})
}

func benchmarkDecode(b *testing.B, doc string) {
	b.Helper()
	body := []byte(doc)
	dst := make([]byte, 0, len(body)+4096)
	env := requestEnv()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		r, f := DecodeChat(env, Options{}, body)
		if f != nil {
			b.Fatal(f)
		}
		dst = r.Gemini.Append(dst[:0])
	}
}

func BenchmarkDecodeChat(b *testing.B) {
	text := strings.Repeat("Hello, how are you today? ", 14)
	b.Run("1kB", func(b *testing.B) {
		benchmarkDecode(b, `{"model":"gemini-2.5-flash","messages":[{"role":"system","content":"`+text+`"},{"role":"user","content":"`+text+`"}],"temperature":0.7,"max_tokens":512,"stream":true,"stream_options":{"include_usage":true}}`)
	})
	b.Run("tools", func(b *testing.B) {
		doc, err := os.ReadFile("testdata/chat_request/tool_loop/client.json")
		if err != nil {
			b.Fatal(err)
		}
		benchmarkDecode(b, string(doc))
	})
	b.Run("1MiB image", func(b *testing.B) {
		benchmarkDecode(b, `{"model":"gemini-2.5-flash","messages":[{"role":"user","content":[{"type":"text","text":"what is it?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,`+strings.Repeat("iVBORw0K", 1<<17)+`"}}]}]}`)
	})
}
