// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate/sse"
)

// codexItems are the items of an answer as Codex CLI keeps and sends them: without
// ids and statuses, and of a text no more than the text.
// Source: specs/native-anthropic.md §E.
func codexItems(t *testing.T, output []json.RawMessage) string {
	t.Helper()
	var sent []string
	for _, raw := range output {
		var item map[string]any
		if err := json.Unmarshal(raw, &item); err != nil {
			t.Fatal(err)
		}
		delete(item, "id")
		if item["type"] != "web_search_call" && item["type"] != "custom_tool_call" {
			delete(item, "status")
		}
		if item["type"] == "reasoning" {
			item["content"] = nil
		}
		for _, p := range anyList(item["content"]) {
			part := p.(map[string]any)
			delete(part, "annotations")
			delete(part, "logprobs")
		}
		sent = append(sent, show(item))
	}
	return strings.Join(sent, ",")
}

func anyList(v any) []any {
	l, _ := v.([]any)
	return l
}

// TestCodex is a step of Codex CLI: its request, an answer with a search and calls
// of every kind of its tools, and the request after it, which must have the model's
// turn as it was.
func TestCodex(t *testing.T) {
	body, err := os.ReadFile("testdata/responses/codex/client.json")
	if err != nil {
		t.Fatal(err)
	}
	var request map[string]json.RawMessage
	if err := json.Unmarshal(body, &request); err != nil {
		t.Fatal(err)
	}
	const parts = `{"text":"**Looking**","thought":true},` + searchCall + `,` + searchResult + `,{"text":"I run it.","thoughtSignature":"RA=="},` +
		`{"functionCall":{"name":"shell","args":{"command":["ls"]}},"thoughtSignature":"Qw=="},{"functionCall":{"name":"mcp__docs__search","args":{"q":"x"}}},{"functionCall":{"name":"apply_patch","args":{"input":"*** Begin Patch"}}}`
	answer := []byte(finished(parts, "STOP"))

	for _, stream := range []bool{true, false} {
		request["stream"] = json.RawMessage(show(stream))
		x, f := NewResponses(answerEnv(), Options{}, []byte(show(request)))
		if f != nil {
			t.Fatal(f)
		}
		var out []byte
		if stream {
			var events []byte
			if events, err = playResponses(x, bytes.NewReader(sse.Append(nil, "", answer))); err == nil {
				collectResponses(t, events)
				docs := documents(true, events)
				out = docs[len(docs)-1]
			}
		} else {
			x.Begin()
			out, err = x.Response([]byte(`{"response":`), answer)
			out = append(out, '}')
		}
		if err != nil {
			t.Fatal(err)
		}
		var e struct {
			Response struct{ Output []json.RawMessage }
		}
		if err := json.Unmarshal(out, &e); err != nil {
			t.Fatal(err)
		}
		sent := codexItems(t, e.Response.Output)
		for _, want := range []string{
			`"type":"web_search_call"`, `"name":"shell"`, `"name":"search","namespace":"mcp__docs"`, `"input":"*** Begin Patch","name":"apply_patch"`, `"type":"custom_tool_call"`,
		} {
			if !strings.Contains(sent, want) {
				t.Errorf("stream %v: %s lacks %s", stream, sent, want)
			}
		}
		results := ""
		for _, raw := range e.Response.Output {
			var item wireItem
			if err := json.Unmarshal(raw, &item); err != nil {
				t.Fatal(err)
			}
			switch item.Type {
			case "function_call":
				results += `,{"type":"function_call_output","call_id":"` + item.CallID + `","output":"r"}`
			case "custom_tool_call":
				results += `,{"type":"custom_tool_call_output","call_id":"` + item.CallID + `","output":"{\"output\":\"Done\",\"metadata\":{\"exit_code\":0}}"}`
			}
		}
		request["input"] = json.RawMessage(`[{"type":"message","role":"user","content":[{"type":"input_text","text":"go"}]},` + sent + results + `]`)
		next, f := NewResponses(requestEnv(), Options{}, []byte(show(request)))
		if f != nil {
			t.Fatal(f)
		}
		if got, want := askedAgain(t, false, next.Call().Whole()), modelTurn(t, false, answer); got != want {
			t.Errorf("stream %v: sent back\n%s\nwant\n%s", stream, got, want)
		}
		var m struct {
			Contents []struct{ Parts []map[string]any }
		}
		if err := json.Unmarshal(next.Call().Whole(), &m); err != nil || len(m.Contents) != 3 || len(m.Contents[2].Parts) != 3 {
			t.Errorf("stream %v: %v %s", stream, err, next.Call().Whole())
		}
	}
}

// TestResponses_IDs: 20.3 gives every item an id of its own, long enough not to be
// guessed.
func TestResponses_IDs(t *testing.T) {
	r, err := bothResponses(t, Options{}, declared+`,"store":false`, every)
	if err != nil {
		t.Fatal(err)
	}
	prefixes := map[string]string{
		"reasoning": "rs_", "message": "msg_", "function_call": "fc_", "custom_tool_call": "ctc_",
		"image_generation_call": "ig_", "web_search_call": "ws_", "code_interpreter_call": "ci_",
	}
	seen := map[string]bool{}
	for _, item := range r.Output {
		rest, ok := strings.CutPrefix(item.ID, prefixes[item.Type])
		if !ok || prefixes[item.Type] == "" || len(rest) < 24 || seen[item.ID] {
			t.Errorf("%s %s", item.Type, item.ID)
		}
		seen[item.ID] = true
		if item.CallID != "" && len(item.CallID) > 64 {
			t.Errorf("call_id %s", item.CallID)
		}
	}
	if rest, ok := strings.CutPrefix(r.ID, "resp_"); !ok || len(rest) < 24 {
		t.Errorf("%s", r.ID)
	}
}
