// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// golden compares with a file of testdata/answer; GOLDEN=write writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "answer", name)
	if os.Getenv("GOLDEN") == "write" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs:\n%s", file, got)
	}
}

// TestMessages_Stream_Golden: each testdata/answer/*.upstream.sse becomes, to the
// byte, the file beside it. The worked example of C.12 is one of them.
func TestMessages_Stream_Golden(t *testing.T) {
	for name, change := range map[string][]func(*plan){
		"example":   {thinks},
		"case24":    {thinks},
		"plain":     nil,
		"search":    {searches},
		"stop":      {stopsAt("END")},
		"refusal":   nil,
		"code":      {codes, thinks},
		"omitted":   {omits},
		"fetch":     {fetches},
		"toolsides": {searches, thinks},
	} {
		t.Run(name, func(t *testing.T) {
			up, err := os.ReadFile(filepath.Join("testdata", "answer", name+".upstream.sse"))
			if err != nil {
				t.Fatal(err)
			}
			x := messages(append(change, streamed)...)
			x.plan.model = "claude-sonnet-5-5"
			out, err := play(x, strings.NewReader(string(up)))
			if err != nil {
				t.Fatal(err)
			}
			collect(t, out)
			golden(t, name+".sse", string(out))
		})
	}
}

// TestMessages_Stream_NothingBeforeContent: as long as nothing useful came, another
// key may still answer.
func TestMessages_Stream_NothingBeforeContent(t *testing.T) {
	x := messages(streamed, thinks)
	x.Begin()
	for _, doc := range []string{
		``, `[DONE]`, `{"usageMetadata":{"promptTokenCount":3}}`, `{"candidates":[{"index":0}]}`,
		`{"candidates":[{"content":{}}]}`, event(`{"text":""}`), event(`{}`), event(`{"text":"","thoughtSignature":"S"}`),
		event(`{"text":"","thought":true}`), event(search), `{"candidates":[{"finishReason":"STOP"}]}`, `{"promptFeedback":{"blockReason":"SAFETY"}}`,
	} {
		if out, err := x.Event(nil, translate.Frame{Data: []byte(doc)}); err != nil || len(out) > 0 {
			t.Errorf("%s: %q, %v", doc, out, err)
		}
	}
}

// TestMessages_Stream_States is C.13 over events of their own: the names of the
// events in order, message_start with its ping and the end left out.
func TestMessages_Stream_States(t *testing.T) {
	const block, delta, end = "start", "delta", "stop"
	one := func(deltas int) string {
		return block + strings.Repeat(" "+delta, deltas) + " " + end
	}
	for _, tc := range []struct {
		name   string
		change []func(*plan)
		events []string
		want   string
	}{
		{"text goes on", nil, []string{hello, hello, hello}, one(3)},
		{"thought goes on, one signature", []func(*plan){thinks}, []string{think, think}, one(3)},
		{"thought, text", []func(*plan){thinks}, []string{think, hello}, one(2) + " " + one(1)},
		{"thought, call", []func(*plan){thinks}, []string{think, callF}, one(2) + " " + one(1)},
		{"thought, text, call", []func(*plan){thinks}, []string{think, hello, callF}, one(2) + " " + one(1) + " " + one(1) + " " + one(1)},
		{"thought, text, unsigned call", []func(*plan){thinks}, []string{think, hello, callG}, one(2) + " " + one(1) + " " + one(1)},
		{"thought, text and call at once", []func(*plan){thinks}, []string{think, hello + "," + callF}, one(2) + " " + one(1) + " " + one(1)},
		{"two steps", []func(*plan){thinks}, []string{think, callF, think, callF}, one(2) + " " + one(1) + " " + one(2) + " " + one(1)},
		{"call, text, call", nil, []string{callF, hello, callF}, one(1) + " " + one(1) + " " + one(1)},
		{"text, empty signed text", []func(*plan){thinks}, []string{hello, `{"text":"","thoughtSignature":"S"}`}, one(1)},
		{"thought unasked", nil, []string{think, hello}, one(1)},
		{"text, thought, text", []func(*plan){thinks}, []string{hello, think, hello}, one(1) + " " + one(2) + " " + one(1)},
		{"Google's calls keep a thought open", []func(*plan){thinks}, []string{think, search, result, hello}, one(2) + " " + one(1)},
		{"Google's calls amid text", []func(*plan){thinks}, []string{hello, search, hello}, one(1) + " " + one(1) + " " + one(1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			docs := make([]string, 0, len(tc.events)+1)
			for _, e := range tc.events {
				docs = append(docs, event(e))
			}
			out, err := streamDocs(messages(append(tc.change, streamed)...), append(docs, stop)...)
			if err != nil {
				t.Fatal(err)
			}
			_, names := collect(t, []byte(out))
			got := strings.NewReplacer("content_block_", "", "message_start ping ", "", " message_delta message_stop", "").Replace(strings.Join(names, " "))
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// TestMessages_Stream_LateReasons: models repeat finishReason, send more text after
// it, or another reason.
func TestMessages_Stream_LateReasons(t *testing.T) {
	out, err := streamDocs(messages(streamed), answered(hello, "STOP"), answered(hello, "MAX_TOKENS"), `{"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":9}}`)
	if err != nil {
		t.Fatal(err)
	}
	if m, _ := collect(t, []byte(out)); m.text() != "HiHi" || *m.StopReason != "max_tokens" || m.Usage.Output != 9 || m.Usage.Input != 5 {
		t.Errorf("%s", show(m))
	}
}

// TestMessages_Stream_Cut: a stream that breaks off never ends like a whole one.
func TestMessages_Stream_Cut(t *testing.T) {
	out, err := streamDocs(messages(streamed), event(hello))
	if !isFailure(err, translate.Truncated) || strings.Contains(out, "message_stop") || strings.Contains(out, "message_delta") {
		t.Errorf("%s, %v", out, err)
	}
	x := messages(streamed)
	out, err = streamDocs(x, event(hello), `{"error":{"code":503,"message":"busy"}}`)
	var inside *translate.UpstreamError
	if !errors.As(err, &inside) || inside.Status != 503 {
		t.Fatal(err)
	}
	out = string(x.Abort([]byte(out), &translate.Failure{Kind: translate.Overloaded, Message: "busy"}))
	if want := "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n"; !strings.HasSuffix(out, want) {
		t.Errorf("%s", out)
	}
	if out := messages().Abort(nil, &translate.Failure{}); len(out) > 0 {
		t.Errorf("%s in an answer of one piece", out)
	}
}

// TestMessages_Heartbeat: a ping in streams, nothing elsewhere.
func TestMessages_Heartbeat(t *testing.T) {
	if h := messages(streamed).Heartbeat(); h != "event: ping\ndata: {\"type\":\"ping\"}\n\n" {
		t.Errorf("%q", h)
	}
	if h := messages().Heartbeat(); h != "" {
		t.Errorf("%q", h)
	}
}

// TestMessages_Stops cuts text at sequences that Gemini was not told, wherever the
// events divide them.
func TestMessages_Stops(t *testing.T) {
	for _, tc := range []struct {
		name   string
		stops  []string
		pieces []string
		text   string
		cut    string
	}{
		{"none found", []string{"END"}, []string{"a", "bE"}, "abE", ""},
		{"in one piece", []string{"END"}, []string{"aENDb"}, "a", "END"},
		{"divided", []string{"END"}, []string{"aE", "N", "Db", "c"}, "a", "END"},
		{"begun twice", []string{"aab"}, []string{"aa", "ab!"}, "a", "aab"},
		{"begun in vain", []string{"END"}, []string{"xEN", "y"}, "xENy", ""},
		{"the first counts", []string{"later", "first"}, []string{"x first later"}, "x ", "first"},
		{"at the start", []string{"END"}, []string{"END", "x"}, "", "END"},
		{"of several bytes", []string{"✂é"}, []string{"a✂", "éb"}, "a", "✂é"},
		{"line break", []string{"\n\n"}, []string{`a\n`, `\nb`}, "a", "\n\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			docs := make([]string, 0, len(tc.pieces)+2)
			var parts []string
			for _, p := range tc.pieces {
				docs = append(docs, event(`{"text":"`+p+`"}`))
				parts = append(parts, `{"text":"`+p+`"}`)
			}
			out, err := streamDocs(messages(streamed, stopsAt(tc.stops...)), append(docs, event(callF), stop)...)
			if err != nil {
				t.Fatal(err)
			}
			streamedMessage, _ := collect(t, []byte(out))
			whole, err := respond(t, messages(stopsAt(tc.stops...)), answered(strings.Join(parts, ",")+","+callF, "STOP"))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range []*wireMessage{streamedMessage, whole} {
				if m.text() != tc.text {
					t.Errorf("text %q, want %q", m.text(), tc.text)
				}
				want, calls := "tool_use", 1
				if tc.cut != "" {
					want, calls = "stop_sequence", 0
				}
				if *m.StopReason != want || (m.StopSequence != nil) != (tc.cut != "") || m.StopSequence != nil && *m.StopSequence != tc.cut {
					t.Errorf("%s", m.end())
				}
				if n := strings.Count(show(m.Content), `"tool_use"`); n != calls {
					t.Errorf("%d calls", n)
				}
			}
		})
	}
}

// TestMessages_Stops_Early: the client does not wait for what it never sees, and what
// goes wrong after it is no matter.
func TestMessages_Stops_Early(t *testing.T) {
	x := messages(streamed, stopsAt("END"))
	x.Begin()
	out, err := x.Event(nil, translate.Frame{Data: []byte(event(`{"text":"aEND"}`))})
	if err != nil || !strings.Contains(string(out), "message_stop") {
		t.Fatalf("%s, %v", out, err)
	}
	for _, doc := range []string{`{"error":{"code":500}}`, `<`, `{"usageMetadata":{"promptTokenCount":4}}`} {
		if out, err := x.Event(nil, translate.Frame{Data: []byte(doc)}); err != nil || len(out) > 0 {
			t.Errorf("%s: %s, %v", doc, out, err)
		}
	}
	if out, err := x.End(nil); err != nil || len(out) > 0 || len(x.Abort(nil, &translate.Failure{})) > 0 {
		t.Errorf("%s, %v", out, err)
	}
	if x.Usage().Prompt != 4 {
		t.Errorf("usage %+v", x.Usage())
	}
}

// TestMessages_Stream_Estimate: a stream starts with what the prompt was taken for
// where Google has not counted it yet, and ends with Google's count.
func TestMessages_Stream_Estimate(t *testing.T) {
	const counted = `{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":70,"cachedContentTokenCount":20}}`
	for _, tc := range []struct {
		name, first string
		estimate    int64
		want        string
	}{
		{"not counted yet", event(hello), 120, `"usage":{"input_tokens":120,`},
		{"counted", counted, 120, `"usage":{"input_tokens":50,`},
		{"unknown", event(hello), 0, `"usage":{"input_tokens":0,`},
	} {
		x := messages(streamed)
		x.Estimate(tc.estimate)
		x.Begin()
		out, err := x.Event(nil, translate.Frame{Data: []byte(tc.first)})
		if err != nil || !strings.Contains(string(out), tc.want) {
			t.Errorf("%s: %v, starts with %s", tc.name, err, out)
		}
		if out, err = x.Event(nil, translate.Frame{Data: []byte(counted)}); err != nil {
			t.Fatal(err)
		}
		_, _ = x.Event(nil, translate.Frame{Data: []byte(stop)})
		if out, err = x.End(out); err != nil || !strings.Contains(string(out), `"usage":{"input_tokens":50,"cache_read_input_tokens":20,`) {
			t.Errorf("%s: %v, ends with %s", tc.name, err, out)
		}
	}
}
