// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/sse"
)

// modelTurn writes the parts of a turn one per line, as far as they have to come
// back: no thoughts without signature, no empty texts without one, adjacent texts
// as one unless both are signed. Placeholders for signatures and ids of calls do not
// count. As chat has it, texts stand before the calls, and an empty one's signature
// is that of the text before.
func modelTurn(t *testing.T, chat bool, docs ...[]byte) string {
	t.Helper()
	var texts, calls []string
	var text, signature string // of the open text
	end := func() {
		if text+signature != "" {
			texts = append(texts, fmt.Sprint("text ", show(text), " ", signature))
		}
		text, signature = "", ""
	}
	for _, doc := range docs {
		var answer struct {
			Candidates []struct {
				Content struct{ Parts []map[string]any }
			}
		}
		if err := json.Unmarshal(doc, &answer); err != nil {
			t.Fatal(err)
		}
		for _, c := range answer.Candidates[:min(1, len(answer.Candidates))] {
			for _, p := range c.Content.Parts {
				s, _ := p["thoughtSignature"].(string)
				if s == gemini.Sentinel.Text() {
					s = ""
					delete(p, "thoughtSignature")
				}
				piece, isText := p["text"].(string)
				switch {
				case len(p) == 0, isText && s == "" && (p["thought"] == true || piece == ""):
				case isText:
					if s != "" && (signature != "" || piece == "" && !chat) {
						end()
					}
					if text += piece; s != "" {
						signature = s
					}
				case p["functionCall"] != nil:
					call := p["functionCall"].(map[string]any)
					if delete(call, "id"); call["args"] == nil {
						call["args"] = map[string]any{}
					}
					if chat {
						calls = append(calls, show(p))
						continue
					}
					fallthrough
				default:
					end()
					texts = append(texts, show(p))
				}
			}
		}
	}
	end()
	return strings.Join(append(texts, calls...), "\n")
}

// documents are those of a recorded answer.
func documents(stream bool, body []byte) (docs [][]byte) {
	if !stream {
		return [][]byte{body}
	}
	for line := range bytes.SplitSeq(body, []byte("\n")) {
		if doc, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("data: ")); ok {
			docs = append(docs, doc)
		}
	}
	return docs
}

// askedAgain is the model's turn in a request, the only one it has.
func askedAgain(t *testing.T, tail bool, sent []byte) string {
	t.Helper()
	var request struct {
		Contents []struct {
			Role  string
			Parts json.RawMessage
		}
	}
	if err := json.Unmarshal(sent, &request); err != nil {
		t.Fatal(err)
	}
	var docs [][]byte
	for _, c := range request.Contents {
		if c.Role == "model" {
			docs = append(docs, []byte(`{"candidates":[{"content":{"parts":`+string(c.Parts)+`}}]}`))
		}
	}
	if len(docs) > 1 {
		t.Errorf("%d turns of the model: %s", len(docs), sent)
	}
	return modelTurn(t, tail, docs...)
}

// TestReplay sends every recorded answer back as a client does that keeps what it
// got, and wants Google to get the model's turn as Google gave it.
func TestReplay(t *testing.T) {
	cases, bodies := load(t)
	for _, tc := range cases {
		body := bodies[tc.Recording]
		if tc.Expect.Kind != "normal" || tc.Expect.Audio > 0 {
			continue // nothing to send back; sound has no way back
		}
		docs := documents(tc.Stream, body)
		events := body
		if !tc.Stream {
			events = sse.Append(nil, "", body)
		}
		t.Run(tc.Recording, func(t *testing.T) {
			for _, way := range replays {
				t.Run(way.name, func(t *testing.T) {
					want := modelTurn(t, way.tail, docs...)
					got := askedAgain(t, way.tail, way.again(t, events, body, tc.Stream))
					if got != want {
						t.Errorf("sent back\n%.3000s\nwant\n%.3000s", got, want)
					}
				})
			}
		})
	}
}

// replays are the ways of a turn to the client and back; again returns the
// request that follows.
var replays = []struct {
	name  string
	tail  bool
	again func(t *testing.T, events, body []byte, stream bool) []byte
}{
	{"responses, stateless", false, func(t *testing.T, events, body []byte, stream bool) []byte {
		var out []byte
		x := responses(t, Options{}, `"store":false,"stream":true`)
		stream1, err := playResponses(x, bytes.NewReader(events))
		if err != nil {
			t.Fatal(err)
		}
		last := documents(true, stream1)
		var e struct {
			Response struct{ Output json.RawMessage }
		}
		if err := json.Unmarshal(last[len(last)-1], &e); err != nil {
			t.Fatal(err)
		}
		out = e.Response.Output
		return nextResponses(t, Options{}, `"input":[{"role":"user","content":"Hi"},`+elements(out)+`{"role":"user","content":"Go on"}]`)
	}},
	{"responses, kept", false, func(t *testing.T, events, body []byte, stream bool) []byte {
		kept := map[string][]byte{}
		o := Options{Previous: func(id string) ([]byte, bool) { items, ok := kept[id]; return items, ok }}
		x := responses(t, o, `"stream":true`)
		if _, err := playResponses(x, bytes.NewReader(events)); err != nil {
			t.Fatal(err)
		}
		id, items := x.Stored()
		kept[id] = items
		return nextResponses(t, o, `"input":"Go on","previous_response_id":"`+id+`"`)
	}},
	{"chat", true, func(t *testing.T, events, body []byte, stream bool) []byte {
		x := chat()
		x.env.Memo = nil
		if !stream {
			c, err := respond(t, x, string(body))
			if err != nil {
				t.Fatal(err)
			}
			return nextChat(t, c)
		}
		return nextChat(t, streamedChat(t, events))
	}},
	{"chat, streamed", true, func(t *testing.T, events, body []byte, stream bool) []byte {
		return nextChat(t, streamedChat(t, events))
	}},
}

func streamedChat(t *testing.T, events []byte) *wireCompletion {
	t.Helper()
	x := chat(streamed)
	out, err := play(x, bytes.NewReader(events))
	if err != nil {
		t.Fatal(err)
	}
	return collect(t, x, out)
}

func elements(list []byte) string {
	list = bytes.TrimSpace(list)
	if len(list) <= 2 {
		return ""
	}
	return string(list[1:len(list)-1]) + ","
}

func nextResponses(t *testing.T, o Options, members string) []byte {
	t.Helper()
	x, f := NewResponses(requestEnv(), o, []byte(`{"model":"gemini-3-flash-preview",`+members+`}`))
	if f != nil {
		t.Fatal(f)
	}
	return x.Call().Whole()
}

func nextChat(t *testing.T, c *wireCompletion) []byte {
	t.Helper()
	message := strings.ReplaceAll(show(c.Choices[0].Message), `"URL":`, `"url":`)
	x, f := NewChat(requestEnv(), Options{}, []byte(`{"model":"gemini-3-flash-preview","messages":[{"role":"user","content":"Hi"},`+message+`,{"role":"user","content":"Go on"}]}`))
	if f != nil {
		t.Fatal(f)
	}
	return x.Call().Whole()
}

const (
	searchCall   = `{"toolCall":{"toolType":"GOOGLE_SEARCH_WEB","args":{"queries":["capital"]},"id":"s1"},"thoughtSignature":"QQ=="}`
	searchResult = `{"toolResponse":{"toolType":"GOOGLE_SEARCH_WEB","response":{"hits":1},"id":"s1"},"thoughtSignature":"Qg=="}`
	signedF      = `{"functionCall":{"id":"call_abcdef","name":"f","args":{"a":1}},"thoughtSignature":"Qw=="}`
	plainF       = `{"functionCall":{"id":"call_ghijkl","name":"f","args":{"a":2}}}`
	withSearch   = `"tools":[{"type":"web_search"},{"type":"function","name":"f"}]`
)

// TestReplay_Mixed is a turn in which Google searched and then called functions:
// it must come back whole before the results are of use, also from clients that
// keep nothing but the calls.
func TestReplay_Mixed(t *testing.T) {
	const results = `{"type":"function_call_output","call_id":"call_abcdef","output":"r"},{"type":"function_call_output","call_id":"call_ghijkl","output":"s"}`
	for _, parts := range []string{
		searchCall + `,` + searchResult + `,` + signedF + `,` + plainF,
		searchCall + `,` + searchResult + `,{"text":"Found: né","thoughtSignature":"RA=="},` + signedF + `,` + plainF,
	} {
		doc := []byte(finished(parts, "STOP"))
		want := modelTurn(t, false, doc)
		memo := callMemo{}
		kept := map[string][]byte{}
		store := Options{Previous: func(id string) ([]byte, bool) { items, ok := kept[id]; return items, ok }}
		for _, c := range []struct {
			name, members string
			o             Options
		}{
			{"encrypted", `"store":false,`, Options{}},
			{"kept", ``, store},
			{"remembered", ``, Options{}},
		} {
			x := responses(t, c.o, c.members+withSearch)
			if x.Begin(); c.name == "remembered" {
				x.env.Memo = memo
			}
			out, err := x.Response(nil, doc)
			if err != nil {
				t.Fatal(err)
			}
			var r struct {
				ID     string
				Output json.RawMessage
			}
			if err := json.Unmarshal(out, &r); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(out), "web_search_call"); n != 1 {
				t.Errorf("%s: %d searches told: %s", c.name, n, out)
			}
			if got := strings.Contains(string(out), "encrypted_content"); got != (c.name == "encrypted") {
				t.Errorf("%s: %s", c.name, out)
			}
			env, want := requestEnv(), want
			env.Memo = memo
			body := `{"model":"gemini-3-flash-preview",` + withSearch + `,"input":[`
			if id, items := x.Stored(); id != "" {
				kept[id] = items
				body += results + `],"previous_response_id":"` + id + `"}`
			} else {
				body += `{"role":"user","content":"Hi"},` + elements(r.Output) + results + `]}`
			}
			if c.name == "remembered" { // of a text, nothing is
				want = strings.Replace(want, `né" RA==`, `né" `, 1)
			} else {
				env.Memo = nil
			}
			y, f := NewResponses(env, c.o, []byte(body))
			if f != nil {
				t.Fatal(f)
			}
			sent := y.Call().Whole()
			if got := askedAgain(t, false, sent); got != want {
				t.Errorf("%s: sent back\n%s\nwant\n%s", c.name, got, want)
			}
			if !bytes.Contains(sent, []byte(`"includeServerSideToolInvocations":true`)) {
				t.Errorf("%s: %s", c.name, sent)
			}
		}
	}
}

// TestReplay_Chat is the same for chat completions, and what becomes of a turn
// whose text was changed on the way.
func TestReplay_Chat(t *testing.T) {
	const code = `{"executableCode":{"language":"PYTHON","code":"1+1","id":"x"},"thoughtSignature":"RQ=="},{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"2","id":"x"}}`
	const shown = "\n```python\n1+1\n```\n\n```\n2\n```\n"
	for _, c := range []struct {
		name, model, parts string
		memo               bool
		change             func(m *wireMessage)
		want               string
	}{
		{"search and calls", m3, searchCall + `,` + searchResult + `,{"text":"Found"},` + signedF + `,` + plainF, false, nil,
			searchCall + `,` + searchResult + `,{"text":"Found"},` + signedF + `,` + plainF},
		{"remembered by the first call", m3, searchCall + `,` + searchResult + `,{"text":"Found"},` + signedF + `,` + plainF, true,
			func(m *wireMessage) { m.Extra, m.ToolCalls[0].Extra = nil, nil },
			searchCall + `,` + searchResult + `,{"text":"Found"},` + signedF + `,` + plainF},
		{"between texts and calls", m3, `{"text":"né"},` + searchCall + `,` + searchResult + `,{"text":"à"},` + signedF + `,` + searchCall + `,` + plainF, false, nil,
			`{"text":"né"},` + searchCall + `,` + searchResult + `,{"text":"à"},` + signedF + `,` + searchCall + `,` + plainF},
		{"code in its place", m3, `{"text":"a"},` + code + `,{"text":"b","thoughtSignature":"Rg=="}`, false, nil,
			`{"text":"a"},` + code + `,{"text":"b","thoughtSignature":"Rg=="}`},
		{"code at the end, then a signature", m3, `{"text":"a"},` + code + `,{"text":"","thoughtSignature":"Rg=="}`, false, nil,
			`{"text":"a"},` + code + `,{"text":"","thoughtSignature":"Rg=="}`},
		{"code whose text was changed", m3, `{"text":"a"},` + code + `,{"text":"b"}`, false,
			func(m *wireMessage) { *m.Content = strings.ReplaceAll(*m.Content, "1+1", "1+2") },
			`{"text":"a\n` + "```python\\n1+2\\n```" + `\n"},{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"2","id":"x"}},{"text":"b"}`},
		{"text that was cut", m3, `{"text":"long text"},` + searchCall + `,` + searchResult + `,{"text":" more"}`, false,
			func(m *wireMessage) { *m.Content = "né" },
			`{"text":"né"},` + searchCall + `,` + searchResult},
		{"a model without such parts", m25, searchCall + `,` + searchResult + `,{"text":"Found"}`, false, nil, `{"text":"Found"}`},
		{"code for a model that knows it", m25, code, false, nil, code},
		{"code for a model that does not", "gemma-3-27b-it", code, false, nil, `{"text":` + show(shown) + `}`},
	} {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, " ", stream), func(t *testing.T) {
				memo := callMemo{}
				doc := finished(c.parts, "STOP")
				var got *wireCompletion
				if stream {
					x := chat(streamed)
					x.Begin()
					x.env.Memo = memo
					out, err := x.Event(nil, translate.Frame{Data: []byte(doc)})
					if err == nil {
						out, err = x.End(out)
					}
					if err != nil {
						t.Fatal(err)
					}
					got = collect(t, x, out)
				} else {
					x := chat()
					x.env.Memo = memo
					var err error
					if got, err = respond(t, x, doc); err != nil {
						t.Fatal(err)
					}
				}
				m := got.Choices[0].Message
				if c.change != nil {
					c.change(m)
				}
				env := requestEnv()
				if c.memo {
					env.Memo = memo
				}
				calls := ""
				for _, call := range m.ToolCalls {
					calls += `,{"role":"tool","tool_call_id":"` + call.ID + `","content":"r"}`
				}
				x, f := NewChat(env, Options{}, []byte(`{"model":"`+c.model+`","messages":[{"role":"user","content":"Hi"},`+show(m)+calls+`,{"role":"user","content":"Go on"}]}`))
				if f != nil {
					t.Fatal(f)
				}
				var sent struct{ Contents []struct{ Parts any } }
				if err := json.Unmarshal(x.Call().Whole(), &sent); err != nil {
					t.Fatal(err)
				}
				sameJSON(t, sent.Contents[1].Parts, `[`+c.want+`]`)
			})
		}
	}
}

// TestReplay_TooMuch: parts that are too large do not burst a message, and are not
// sent in halves.
func TestReplay_TooMuch(t *testing.T) {
	large := strings.Replace(searchResult, `"hits":1`, `"hits":"`+strings.Repeat("x", maxNative)+`"`, 1)
	x := chat()
	c, err := respond(t, x, finished(searchCall+","+large+`,{"text":"a"},`+searchCall+`,`+searchResult+`,`+plainF, "STOP"))
	if err != nil {
		t.Fatal(err)
	}
	if m := c.Choices[0].Message; *m.Content != "a" || m.Extra != nil || len(m.ToolCalls) != 1 || len(x.env.Memo.(callMemo)) != 0 {
		t.Errorf("%.500s", show(m))
	}
	r, err := bothResponses(t, Options{}, withSearch+`,"store":false`, finished(searchCall+","+large+`,{"text":"a"},`+plainF, "STOP"))
	if err != nil || len(show(r)) > maxNative {
		t.Errorf("%v %d bytes", err, len(show(r)))
	}
}

// TestReplay_Unsign: without their signatures, parts of Google's tools are none.
func TestReplay_Unsign(t *testing.T) {
	x, f := NewChat(requestEnv(), Options{}, []byte(`{"model":"gemini-3-flash-preview","messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"a","extra_content":{"google":{"parts":[{"part":`+searchCall+`},{"part":`+searchResult+`}]}}},{"role":"user","content":"b"}]}`))
	if f != nil {
		t.Fatal(f)
	}
	if before := string(x.Call().Whole()); !strings.Contains(before, "toolCall") || !x.Unsign() || strings.Contains(string(x.Call().Whole()), "tool") {
		t.Errorf("%s became %s", before, x.Call().Whole())
	}
}

// TestReplay_Spoofed: nothing but native parts passes under their name.
func TestReplay_Spoofed(t *testing.T) {
	for _, part := range []string{
		`{"text":"x"}`, `{"functionCall":{"name":"f"}}`, `{"toolCall":"x"}`, `{"toolCall":{},"text":"x"}`, `{"toolCall":{},"toolResponse":{}}`,
		`{"toolCall":{},"thoughtSignature":"not base64!"}`, `{"toolCall":{},"thoughtSignature":5}`, `"x"`, `null`, `{}`, `{"thoughtSignature":"QQ=="}`,
	} {
		envelope := string(appendEnvelope(nil, nativeWhole, "", []byte(part)))
		x, f := NewResponses(requestEnv(), Options{}, []byte(`{"model":"gemini-3-flash-preview","input":[{"role":"user","content":"q"},{"type":"reasoning","summary":[],"encrypted_content":"`+envelope+`"}]}`))
		y, f2 := NewChat(requestEnv(), Options{}, []byte(`{"model":"gemini-3-flash-preview","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"","extra_content":{"google":{"parts":[{"part":`+part+`}]}}}]}`))
		if f != nil || f2 != nil {
			t.Fatal(f, f2)
		}
		const want = `{"contents":[{"role":"user","parts":[{"text":"q"}]}]}`
		if string(x.Call().Whole()) != want || string(y.Call().Whole()) != want {
			t.Errorf("%s: %s, %s", part, x.Call().Whole(), y.Call().Whole())
		}
	}
}
