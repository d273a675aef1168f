// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// hop is what a client sees of one answer.
type hop struct{ text, finish, token string }

func readHop(t *testing.T, events ...string) (h hop) {
	t.Helper()
	for _, e := range events {
		var doc struct {
			Candidates []struct {
				FinishReason, ContinuationToken string
				Content                         struct{ Parts []struct{ Text string } }
			}
		}
		if err := json.Unmarshal([]byte(e), &doc); err != nil || len(doc.Candidates) == 0 {
			t.Fatalf("%v %s", err, e)
		}
		c := doc.Candidates[0]
		for _, p := range c.Content.Parts {
			h.text += p.Text
		}
		h.finish = c.FinishReason
		if c.ContinuationToken != "" {
			h.token = c.ContinuationToken
		}
	}
	return h
}

func TestContinuation(t *testing.T) {
	s := twoProjects(Config{})
	ask := func(token string) string {
		return strings.Replace(say("[[continue 2]] [[say one two three four five six]]"), "{", `{"continuationToken":"`+token+`",`, 1)
	}
	const unary, stream = "/v1beta/models/gemini-3.8-flash:generateContent", "/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse"
	next := map[string]func(token string) hop{
		"unary": func(token string) hop { return readHop(t, ring(s, "POST", unary, "b", ask(token)).Body.String()) },
		"stream": func(token string) hop {
			var events []string
			for e := range strings.SplitSeq(strings.TrimSpace(ring(s, "POST", stream, "b", ask(token)).Body.String()), "\r\n\r\n") {
				events = append(events, strings.TrimPrefix(e, "data: "))
			}
			return readHop(t, events...)
		},
	}
	for name, next := range next {
		var whole, token string
		for i, finish := range []string{"CONTINUATION", "CONTINUATION", "STOP"} {
			h := next(token)
			if _, err := base64.StdEncoding.DecodeString(h.token); h.finish != finish || (h.token == "") != (finish == "STOP") || h.text == "" || err != nil {
				t.Errorf("%s, hop %d: %+v %v", name, i, h, err)
			}
			if i == 0 {
				walk(t, s, []step{{"another project", "c", "POST", unary, ask(h.token), 400, "Invalid continuation token."}})
			}
			whole, token = whole+h.text, h.token
		}
		if whole != "one two three four five six" {
			t.Errorf("%s: %q", name, whole)
		}
	}
	if v := s.Violations(Foreign); len(v) != 2 {
		t.Errorf("violations: %v", v)
	}
}

func TestContinuation_Checkpoints(t *testing.T) {
	s := twoProjects(Config{})
	body := say("[[checkpoints]] [[events 3]] [[say one two three]]")
	const stream = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
	var events []string
	for e := range strings.SplitSeq(strings.TrimSpace(ring(s, "POST", stream, "a", body).Body.String()), "\r\n\r\n") {
		events = append(events, strings.TrimPrefix(e, "data: "))
	}
	if len(events) != 3 {
		t.Fatal(events)
	}
	first := readHop(t, events[0])
	if first.finish != "" || first.token == "" || readHop(t, events[2]).token != "" {
		t.Errorf("%+v", first)
	}
	rest := readHop(t, ring(s, "POST", "/v1beta/models/gemini-2.5-flash:generateContent", "b", strings.Replace(body, "{", `{"continuation_token":"`+first.token+`",`, 1)).Body.String())
	if first.text+rest.text != "one two three" || rest.finish != "STOP" {
		t.Errorf("%+v %+v", first, rest)
	}
}

func TestServerTools(t *testing.T) {
	s := twoProjects(Config{})
	const model = "/v1beta/models/gemini-3.8-flash:generateContent"
	w := ring(s, "POST", model, "a", `{"contents":[{"role":"user","parts":[{"text":"[[server_tools 2]] [[say done]]"}]}],"tools":[{"googleSearch":{}}],"toolConfig":{"includeServerSideToolInvocations":true}}`)
	var doc struct {
		Candidates []struct {
			Content struct {
				Parts []struct {
					ToolCall, ToolResponse *struct{ ID, ToolType string }
					ThoughtSignature, Text string
				}
			}
		}
		UsageMetadata struct{ ToolUsePromptTokenCount, TotalTokenCount int64 }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	parts := doc.Candidates[0].Content.Parts
	if len(parts) != 5 || parts[0].ToolCall == nil || parts[1].ToolResponse == nil || parts[0].ToolCall.ID != parts[1].ToolResponse.ID ||
		parts[0].ToolCall.ToolType != "GOOGLE_SEARCH_WEB" || parts[0].ThoughtSignature == "" || parts[4].Text != "done" || doc.UsageMetadata.ToolUsePromptTokenCount != 80 {
		t.Errorf("%s", w.Body)
	}
	back := `{"contents":[{"role":"user","parts":[{"text":"q"}]},{"role":"model","parts":[{"toolCall":{"id":"x","toolType":"GOOGLE_SEARCH_WEB"},"thoughtSignature":"` + parts[0].ThoughtSignature +
		`"},{"toolResponse":{"id":"x","toolType":"GOOGLE_SEARCH_WEB"},"thoughtSignature":"` + parts[1].ThoughtSignature + `"},{"text":"done"}]},{"role":"user","parts":[{"text":"on"}]}]}`
	walk(t, s, []step{
		{"sent back", "a", "POST", model, back, 200, "You said: on"},
		{"with a signature of nobody", "a", "POST", model, strings.Replace(back, parts[0].ThoughtSignature, "bm9uZQ==", 1), 400, "Corrupted thought signature."},
	})
}
