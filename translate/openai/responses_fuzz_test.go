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

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// FuzzDecodeResponses checks that no body panics, and that what is accepted
// becomes valid JSON, before and after signatures were taken away, and is kept
// as valid JSON.
func FuzzDecodeResponses(f *testing.F) {
	files, _ := filepath.Glob("testdata/responses/*/client.json")
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc, []byte(`[{"role":"user","content":"q"}]`))
	}
	f.Add([]byte(`{"model":"m","previous_response_id":"x","input":[`+reasoned(signedTail, "", "U2ln")+`,`+reasoned(signedCall, "\u0000", "U2ln")+`,{"type":"function_call","call_id":"\u0000","name":"a/b","namespace":"\ud800","arguments":"["}]}`), []byte(`[{"type":"function_call","name":"w"}]`))
	f.Add([]byte(`{"model":"m","tools":[{"type":"web_search"},{"type":"function","name":"f"}],"input":[`+reasoned(nativeWhole, "", searchCall)+`,{"type":"reasoning","encrypted_content":"`+envelope(nativeWhole, "", `{"toolResponse":{"\"":[1]}}`)+`"},{"type":"function_call","call_id":"c","name":"f"}]}`), []byte(`[]`))
	f.Add([]byte(`{"model":"gemma-3-1b","input":[{"type":"function_call_output","call_id":"c","output":"[{\"type\":\"input_file\",\"file_data\":\"data:,%41\"}]"},{"type":"image_generation_call","result":"AAAA"}]}`), []byte(`[]`))
	f.Add([]byte(`{"model":"m","input":"","tools":[{"type":"namespace","name":"","tools":[{"name":"google_search"},{"name":"\""}]}],"tool_choice":{"type":"function","name":"\"","namespace":""}}`), []byte(`{`))
	f.Fuzz(func(t *testing.T, doc, previous []byte) {
		o := Options{Previous: func(string) ([]byte, bool) { return previous, true }}
		x, failure := NewResponses(answerEnv(), o, doc)
		y, failure2 := NewInputTokens(answerEnv(), o, doc)
		if (failure == nil) != (failure2 == nil) {
			t.Fatalf("%v, but to count %v", failure, failure2)
		}
		if failure != nil {
			if failure.Message == "" {
				t.Fatalf("%q fails without a word", doc)
			}
			return
		}
		if !json.Valid(x.Call().Whole()) || !json.Valid(y.Call().Whole()) {
			t.Fatalf("%q became %q", doc, x.Call().Whole())
		}
		x.Unsign()
		if !json.Valid(x.Call().Whole()) {
			t.Fatalf("unsigned, %q became %q", doc, x.Call().Whole())
		}
		out, err := x.Response(nil, []byte(finished(`{"text":"a","thoughtSignature":"U2ln"}`, "STOP")))
		if err != nil || !json.Valid(out) || !utf8.Valid(out) {
			t.Fatalf("%q is answered with %q, %v", doc, out, err)
		}
		if id, items := x.Stored(); id != "" {
			list, f := x.kept(t).Input(nil, ItemQuery{Limit: 100})
			if !json.Valid(items) || f != nil || !json.Valid(list) {
				t.Fatalf("%q is kept as %q, listed as %q, %v", doc, items, list, f)
			}
		}
	})
}

// FuzzResponses feeds anything as an answer: what comes out is always valid,
// keeps the protocol, and does not depend on how the bytes were cut.
func FuzzResponses(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join(recordings, "*", "*.*"))
	for i, file := range files {
		if body, err := os.ReadFile(file); err == nil && len(body) < 4<<10 {
			f.Add(body, byte(i))
		}
	}
	for i, doc := range []string{sayHi, callF, stop, inband, finished(`{"text":"<\ud800\u2028>"},{"functionCall":{"name":"\"","args":["\\"]}},{"inlineData":{"mimeType":"image/\"","data":"\\\""}},{"executableCode":{"code":"\""}},{"text":"x","thoughtSignature":"\""}`, `\"`)} {
		f.Add([]byte("data: "+doc+"\n\ndata: "+stop+"\n\n"), byte(i))
	}
	f.Add([]byte("data: "+finished(searchCall+","+searchResult+`,{"text":"a"},{"toolCall":{"toolType":"GOOGLE_SEARCH_WEB","args":{"queries":[1,"\""]}}},`+signedF, "STOP")+"\n\n"), byte(5))
	f.Add([]byte(`data: {"responseId":"\"\u0000","candidates":[{"content":{"parts":[{"text":"né"},{"functionCall":{"name":"patch"}},{"text":"é"}]},"groundingMetadata": {"webSearchQueries":[1,"\""],"groundingChunks":[{"web":{"uri":"\""}}], "groundingSupports":[{"segment":{"endIndex":3},"groundingChunkIndices":[0]}]},"finishReason":"STOP"},{"index":200}]}`+"\r\r"), byte(3))
	f.Fuzz(func(t *testing.T, body []byte, flags byte) {
		members := declared
		for i, m := range []string{`"store":false`, `"parallel_tool_calls":false`, `"include":["reasoning.encrypted_content"]`, `"text":{"format":{"type":"json_object"}}`} {
			if flags>>i&1 != 0 {
				members += "," + m
			}
		}
		o := Options{Reasoning: []string{ReasoningContent, ReasoningTags, ReasoningOff, ""}[flags>>4&3]}
		if flags>>6&1 != 0 {
			o.Previous = func(string) ([]byte, bool) { return nil, false }
		}
		x := responses(t, o, members+`,"stream":true`)
		whole, err := playResponses(x, bytes.NewReader(body))
		if err == nil {
			collectResponses(t, whole)
			if id, items := x.Stored(); id != "" {
				k := x.kept(t)
				again, f := k.Events(nil, -1, false)
				if !json.Valid(items) || f != nil || !bytes.Equal(again, whole) && !x.req.Logprobs {
					t.Fatalf("kept: %q\nevents %q, %v\nof %q", items, again, f, whole)
				}
			}
		} else {
			collectResponses(t, x.Abort(bytes.Clone(whole), &translate.Failure{Message: "m"}))
		}
		if !utf8.Valid(whole) {
			t.Fatalf("not valid: %q", whole)
		}
		pieces, err2 := playResponses(x, iotest.OneByteReader(bytes.NewReader(body)))
		if !bytes.Equal(whole, pieces) || (err == nil) != (err2 == nil) {
			t.Fatalf("in single bytes: %q, %v\nwhole: %q, %v", pieces, err2, whole, err)
		}
		wholeResponse(t, responses(t, o, members), body)
	})
}

func BenchmarkResponses_Event(b *testing.B) {
	doc := textEvent()
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	x := responses(b, Options{}, `"stream":true`)
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

// BenchmarkResponses_Stream is a whole stream of 200 events with its end.
func BenchmarkResponses_Stream(b *testing.B) {
	doc := textEvent()
	b.ReportAllocs()
	x := responses(b, Options{}, `"stream":true`)
	var out []byte
	for b.Loop() {
		x.Begin()
		out = out[:0]
		for range 200 {
			out, _ = x.Event(out, translate.Frame{Data: doc})
		}
		x.all.finish = []byte(`"STOP"`)
		var err error
		if out, err = x.End(out); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResponses_Response(b *testing.B) {
	doc := []byte(finished(`{"text":"`+strings.Repeat("Hello there. ", 70)+`"}`, "STOP"))
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	x := responses(b, Options{}, "")
	var out []byte
	for b.Loop() {
		x.Begin()
		var err error
		if out, err = x.Response(out[:0], doc); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeResponses(b *testing.B) {
	for _, name := range []string{"codex", "agent_loop"} {
		body, err := os.ReadFile("testdata/responses/" + name + "/client.json")
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, f := NewResponses(requestEnv(), Options{}, body); f != nil {
					b.Fatal(f)
				}
			}
		})
	}
}

func TestResponses_Event_Allocations(t *testing.T) {
	doc := textEvent()
	x := responses(t, Options{}, `"stream":true`)
	x.Begin()
	out := make([]byte, 0, 8192)
	event := func() { out, _ = x.Event(out[:0], translate.Frame{Data: doc}) }
	event()
	if n := testing.AllocsPerRun(200, event); n > 1 {
		t.Errorf("%v allocations per event", n)
	}
}
