// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/sse"
)

func nothingKept(string) ([]byte, bool) { return nil, false }

// kept is what the gateway keeps of an answer.
func (x *Responses) kept(t testing.TB) *Kept {
	t.Helper()
	id, items := x.Stored()
	if id == "" {
		t.Fatal("not kept")
	}
	return &Kept{items, x.Document(), x.Trace()}
}

// keptStream plays a stream and returns its bytes beside what is kept of it.
func keptStream(t testing.TB, members string, body []byte) (stream []byte, k *Kept, err error) {
	t.Helper()
	x := responses(t, Options{Previous: nothingKept}, members+`"stream":true`)
	if stream, err = playResponses(x, bytes.NewReader(body)); err != nil {
		return stream, nil, err
	}
	return stream, x.kept(t), nil
}

// TestReplay_Events: the events of a kept answer are those it was streamed in,
// byte for byte, and the protocol's where it was not.
func TestReplay_Events(t *testing.T) {
	cases, bodies := load(t)
	for _, tc := range cases {
		body := bodies[tc.Recording]
		if !tc.Stream {
			body = sse.Append(nil, "", body)
		}
		for _, members := range []string{`"reasoning":{"summary":"auto"},`, `"include":["reasoning.encrypted_content"],`} {
			want, k, err := keptStream(t, members, body)
			if err != nil {
				continue
			}
			got, f := k.Events(nil, -1, false)
			if f != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %v\n got %.2000s\nwant %.2000s", tc.Recording, f, got, want)
			}
		}
		if tc.Stream {
			continue
		}
		x := responses(t, Options{Previous: nothingKept}, `"reasoning":{"summary":"auto"}`)
		r, err := wholeResponse(t, x, bodies[tc.Recording])
		if err != nil {
			continue
		}
		events, f := x.kept(t).Events(nil, -1, false)
		if f != nil {
			t.Fatal(f)
		}
		if got := collectResponses(t, events); show(got) != show(r) {
			t.Errorf("%s: %s\nwant %s", tc.Recording, show(got), show(r))
		}
	}
}

// every has an item of each kind.
var every = finished(`{"text":"Hm","thought":true,"thoughtSignature":"UA=="},{"text":"né à","thoughtSignature":"QQ=="},{"functionCall":{"name":"f","args":{"a":"\""}},"thoughtSignature":"Qg=="},`+
	`{"functionCall":{"name":"ns__g"}},{"functionCall":{"name":"patch","args":{"input":"x"}}},{"functionCall":{"name":"patch","args":{"input":""}}},{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="}},`+
	`{"executableCode":{"language":"PYTHON","code":"1"}},{"codeExecutionResult":{"output":"1"}},`+searchCall+`,`+searchResult+`,{"text":"end"}`, "MAX_TOKENS")

func TestReplay_EventsOfEveryItem(t *testing.T) {
	for name, doc := range map[string]string{
		"every kind": every,
		"blocked":    `{"promptFeedback":{"blockReason":"OTHER"}}`,
		"empty":      finished("", "STOP"),
		"sources": strings.Replace(finished(`{"text":"né à"}`, "STOP"), `"finishReason"`,
			`"groundingMetadata":{"webSearchQueries":["q"],"groundingChunks":[{"web":{"uri":"http://a","title":"A"}}],"groundingSupports":[{"segment":{"endIndex":3},"groundingChunkIndices":[0]},{"segment":{"endIndex":6},"groundingChunkIndices":[0]}]},"finishReason"`, 1),
	} {
		want, k, err := keptStream(t, declared+",", sse.Append(nil, "", []byte(doc)))
		if err != nil {
			t.Fatal(err)
		}
		all, f := k.Events(nil, -1, false)
		if f != nil || !bytes.Equal(all, want) {
			t.Errorf("%s: %v\n got %s\nwant %s", name, f, all, want)
		}
		blocks := bytes.SplitAfter(want, []byte("\n\n"))
		for after := range len(blocks) + 1 {
			got, f := k.Events([]byte("x"), int64(after), false)
			if rest := bytes.Join(blocks[min(after+1, len(blocks)):], nil); f != nil || string(got) != "x"+string(rest) {
				t.Errorf("%s after %d: %v %s", name, after, f, got)
			}
		}
	}
}

// TestReplay_EventsLogprobs: log probabilities go along with their text.
func TestReplay_EventsLogprobs(t *testing.T) {
	frame := func(text string, finish string) string {
		return "data: " + `{"candidates":[{"content":{"parts":[{"text":"` + text + `"}]},"logprobsResult":{"topCandidates":[{"candidates":[{"token":"` + text + `","logProbability":-0.5}]}],"chosenCandidates":[{"token":"` + text + `","logProbability":-0.5}]}` + finish + "}]}\n\n"
	}
	x, f := NewResponses(answerEnv(), Options{Previous: nothingKept}, []byte(`{"model":"gemini-2.0-flash","input":"Hi","stream":true,"top_logprobs":2,"include":["message.output_text.logprobs"]}`))
	if f != nil {
		t.Fatal(f)
	}
	want, err := playResponses(x, strings.NewReader(frame("a", "")+frame("né", "")+frame("c", `,"finishReason":"STOP"`)))
	if err != nil {
		t.Fatal(err)
	}
	if got, f := x.kept(t).Events(nil, -1, false); f != nil || !bytes.Equal(got, want) || bytes.Count(want, []byte(`"logprob":-0.5`)) < 9 {
		t.Errorf("%v\n got %s\nwant %s", f, got, want)
	}
}

// TestReplay_Encrypted: signatures that were kept, but not asked for, can be had later.
func TestReplay_Encrypted(t *testing.T) {
	_, k, err := keptStream(t, declared+",", sse.Append(nil, "", []byte(every)))
	if err != nil {
		t.Fatal(err)
	}
	plain, f := k.Response(nil, false)
	full, f2 := k.Response(nil, true)
	events, f3 := k.Events(nil, -1, true)
	if f != nil || f2 != nil || f3 != nil {
		t.Fatal(f, f2, f3)
	}
	if bytes.Contains(plain, []byte("encrypted_content")) || bytes.Count(full, []byte("encrypted_content")) < 5 {
		t.Errorf("%s\n%s", plain, full)
	}
	var r wireResponse
	strict(t, full, &r)
	if got := collectResponses(t, events); show(got) != show(r) {
		t.Errorf("events end with %s\nwant %s", show(got), show(r))
	}
}

func TestReplay_Unreadable(t *testing.T) {
	for _, k := range []*Kept{{}, {Items: []byte(`[]`), Document: []byte(`{`), Trace: []byte(`{}`)}, {Items: []byte(`[]`), Document: []byte(`{}`), Trace: []byte(`{}`)}} {
		if out, f := k.Events(nil, -1, false); f == nil || len(out) > 0 {
			t.Errorf("%s, %v", out, f)
		}
		if _, f := k.Response(nil, true); k.Items == nil && f == nil {
			t.Error("nothing can be read")
		}
		if _, f := k.Input(nil, ItemQuery{Limit: 20}); k.Items == nil && f == nil {
			t.Error("nothing can be listed")
		}
	}
}

// TestReplay_Input lists what an answer was given to.
func TestReplay_Input(t *testing.T) {
	stored := map[string][]byte{}
	o := Options{Previous: func(id string) ([]byte, bool) { items, ok := stored[id]; return items, ok }}
	env := answerEnv()
	ask := func(members string) *Kept {
		t.Helper()
		x, f := NewResponses(env, o, []byte(`{"model":"gemini-3-flash-preview",`+members+`}`))
		if f != nil {
			t.Fatal(f)
		}
		x.Begin()
		if _, err := x.Response(nil, []byte(finished(`{"text":"answer","thoughtSignature":"QQ=="}`, "STOP"))); err != nil {
			t.Fatal(err)
		}
		id, items := x.Stored()
		stored[id] = items
		return x.kept(t)
	}
	type list struct {
		Object  string           `json:"object"`
		Data    []map[string]any `json:"data"`
		FirstID *string          `json:"first_id"`
		LastID  *string          `json:"last_id"`
		HasMore bool             `json:"has_more"`
	}
	get := func(k *Kept, q ItemQuery) (l list, short []string) {
		t.Helper()
		out, f := k.Input(nil, q)
		if f != nil {
			t.Fatal(f)
		}
		strict(t, out, &l)
		for _, item := range l.Data {
			line := fmt.Sprint(item["type"], " ", item["role"], " ", item["status"])
			if content, ok := item["content"].([]any); ok {
				part := content[0].(map[string]any)
				line += fmt.Sprint(" ", part["type"], " ", part["text"])
			}
			if item["id"] == nil {
				t.Errorf("no id: %v", item)
			}
			short = append(short, line)
		}
		if l.Object != "list" || len(l.Data) > 0 && (*l.FirstID != l.Data[0]["id"] || *l.LastID != l.Data[len(l.Data)-1]["id"]) || len(l.Data) == 0 && l.FirstID != nil {
			t.Errorf("%s", out)
		}
		return l, short
	}
	first := ask(`"input":"one"`)
	var r wireResponse
	strict(t, first.Document, &r)
	k := ask(`"previous_response_id":"` + r.ID + `","input":[{"role":"user","content":"two"},{"type":"function_call","id":"fc_own","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"r"},{"role":"assistant","content":"three"},{"type":"message","role":"user","status":null,"content":[{"type":"input_text","text":"four"}]}]`)
	all, short := get(k, ItemQuery{Limit: 20, Ascending: true})
	want := []string{
		"message user completed input_text one", "message assistant completed output_text answer", "message user completed input_text two",
		"function_call <nil> completed", "function_call_output <nil> completed", "message assistant completed output_text three", "message user completed input_text four",
	}
	if !slices.Equal(short, want) || all.HasMore {
		t.Errorf("%q, more %v", short, all.HasMore)
	}
	slices.Reverse(want)
	if _, short = get(k, ItemQuery{Limit: 20}); !slices.Equal(short, want) {
		t.Errorf("newest first: %q", short)
	}
	if _, short = get(k, ItemQuery{Limit: 20, Ascending: true, Encrypted: true}); len(short) != len(want)+1 || !strings.HasPrefix(short[1], "reasoning") {
		t.Errorf("with signatures: %q", short)
	}
	page, short := get(k, ItemQuery{Limit: 2, After: all.Data[3]["id"].(string)})
	if !page.HasMore || !slices.Equal(short, want[4:6]) {
		t.Errorf("page: %q, more %v", short, page.HasMore)
	}
	if page, short = get(k, ItemQuery{Limit: 2, After: all.Data[0]["id"].(string)}); page.HasMore || len(short) != 0 {
		t.Errorf("behind the last: %q, more %v", short, page.HasMore)
	}
	if _, f := k.Input(nil, ItemQuery{Limit: 2, After: "msg_x"}); f == nil || f.Kind != translate.NotFound || f.Param != "after" {
		t.Errorf("after an unknown one: %v", f)
	}
	// The ids that items got are good for references.
	x, f := NewResponses(env, o, []byte(`{"model":"gemini-3-flash-preview","input":[{"type":"item_reference","id":"`+all.Data[2]["id"].(string)+`"}]}`))
	if f != nil || !strings.Contains(string(x.Call().Whole()), `{"text":"two"}`) {
		t.Errorf("reference: %v", f)
	}
	if !json.Valid(k.Trace) {
		t.Errorf("%s", k.Trace)
	}
}
