// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

const declared = `"tools":[{"type":"function","name":"f"},{"type":"custom","name":"patch"},{"type":"namespace","name":"ns","tools":[{"type":"function","name":"g"}]},{"type":"function","name":"1/read file"}]`

// outline writes the items of an output in short, without random ids.
func outline(r *wireResponse) string {
	var b strings.Builder
	for _, item := range r.Output {
		if b.Len() > 0 {
			b.WriteString(" | ")
		}
		b.WriteString(item.Type)
		if item.Status != "" && item.Status != "completed" {
			b.WriteString("(" + item.Status + ")")
		}
		for _, s := range item.Summary {
			b.WriteString(" " + s.Text)
		}
		if item.Encrypted != "" {
			kind, id, s, _ := openEnvelope([]byte(show(item.Encrypted)))
			carried := s.Text()
			if kind == nativeWhole {
				carried = string(s)
			}
			fmt.Fprintf(&b, " <%s %s %s>", kind, anyID.ReplaceAllString(id, "$1"), carried)
		}
		for _, p := range item.Content {
			b.WriteString(" " + p.Type + ":" + text(p.Text) + text(p.Refusal))
			for _, a := range p.Annotations {
				fmt.Fprintf(&b, " [%d-%d %s %s]", a.StartIndex, a.EndIndex, a.URL, a.Title)
			}
			for _, l := range p.Logprobs {
				b.WriteString(" " + show(l))
			}
		}
		if item.Name != "" {
			b.WriteString(" " + item.Namespace + ":" + item.Name + " " + anyID.ReplaceAllString(item.CallID, "$1"))
		}
		b.WriteString(strings.TrimRight(" "+text(item.Arguments)+text(item.Input)+text(item.Result)+text(item.Code), " "))
		for _, l := range item.Outputs {
			b.WriteString(" => " + l.Logs)
		}
		if item.Action != nil {
			b.WriteString(" " + show(item.Action.Queries))
		}
	}
	return b.String()
}

func TestResponses_Output(t *testing.T) {
	const withSignatures = `"store":false`
	sources := `"groundingMetadata":{"webSearchQueries":["q1","q2"],"groundingChunks":[{"web":{"uri":"http://a","title":"A"}}],"groundingSupports":[{"segment":{"endIndex":7},"groundingChunkIndices":[0]}]}`
	doc := func(parts, rest string) string {
		return `{"candidates":[{"content":{"role":"model","parts":[` + parts + `]},` + rest + `}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":7,"thoughtsTokenCount":3,"totalTokenCount":15},"responseId":"R"}`
	}
	const done = `"finishReason":"STOP"`
	for _, c := range []struct {
		name, members string
		docs          []string
		want          string
	}{
		{"20.3 text", "", []string{doc(`{"text":"Hi"}`, done)}, "message output_text:Hi"},
		{"20.3 thought, text and calls", declared, []string{doc(`{"text":"Hm","thought":true},{"text":"Let me see."},{"functionCall":{"name":"f","args":{"c":"Oslo"}}},{"functionCall":{"id":"native_id_1","name":"f"}}`, done)},
			`reasoning Hm | message output_text:Let me see. | function_call :f call {"c":"Oslo"} | function_call :f native_id_1 {}`},
		{"20.3 a new item when the kind changes", declared, []string{doc(`{"text":"a"},{"text":"b"},{"functionCall":{"name":"f"}},{"text":"c"},{"text":"d","thought":true},{"text":"e"}`, done)},
			`message output_text:ab | function_call :f call {} | message output_text:c | reasoning d | message output_text:e`},
		{"21.44 thoughts on both sides of a text", "", []string{doc(`{"text":"a","thought":true},{"text":"b","thought":true},{"text":"c"},{"text":"d"}`, done)}, `reasoning ab | message output_text:cd`},
		{"20.3 custom tool", declared, []string{doc(`{"functionCall":{"name":"patch","args":{"input":"x\"\ny"}}}`, done)}, "custom_tool_call :patch call x\"\ny"},
		{"5.2 custom tool without input", declared, []string{doc(`{"functionCall":{"name":"patch","args":{"a":1}}}`, done)}, `custom_tool_call :patch call {"a":1}`},
		{"E namespace", declared, []string{doc(`{"functionCall":{"name":"ns__g","args":{}}}`, done)}, `function_call ns:g call {}`},
		{"21.47 name that was cleaned", declared, []string{doc(`{"functionCall":{"name":"_1_read_file"}}`, done)}, `function_call :1/read file call {}`},
		{"10.4 name with a prefix", declared, []string{doc(`{"functionCall":{"name":"default_api:f"}}`, done)}, `function_call :f call {}`},
		{"21.4 empty id", declared, []string{doc(`{"functionCall":{"id":"","name":"f"}}`, done)}, `function_call :f call {}`},
		{"21.2 calls in two events", declared, []string{doc(`{"functionCall":{"name":"f"}}`, `"index":0`), doc(`{"functionCall":{"name":"f","args":{"a":1}}}`, `"index":0`), doc(`{"text":""}`, done)},
			`function_call :f call {} | function_call :f call {"a":1}`},
		{"6 one call at a time", declared + `,"parallel_tool_calls":false`, []string{doc(`{"functionCall":{"name":"f"}},{"functionCall":{"name":"f","args":{"a":1}}}`, done)}, `function_call :f call {}`},
		{"20.3 image", "", []string{doc(`{"text":"Here:"},{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="}},{"inlineData":{"mimeType":"image/png","data":"AAAA"},"thought":true}`, done)},
			`message output_text:Here: | image_generation_call iVBORw0KGgo=`},
		{"21.48 only an image", "", []string{doc(`{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="}}`, done)}, `image_generation_call iVBORw0KGgo=`},
		{"20.3 sound has no item", "", []string{doc(`{"text":"a"},{"inlineData":{"mimeType":"audio/L16","data":"AAAA"}}`, done)}, `message output_text:a`},
		{"20.3 code", "", []string{doc(`{"text":"a"},{"executableCode":{"language":"PYTHON","code":"print(1)\n"}},{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"1\n"}},{"text":"b"}`, done)},
			"message output_text:a | code_interpreter_call print(1)\n => 1\n | message output_text:b"},
		{"21.43 code result without output", "", []string{doc(`{"executableCode":{"language":"PYTHON","code":"x"}},{"codeExecutionResult":{"outcome":"OUTCOME_OK"}}`, done)}, "code_interpreter_call x => "},
		{"code without result", "", []string{doc(`{"executableCode":{"language":"PYTHON","code":"x"}},{"text":"b"}`, done)}, "code_interpreter_call x | message output_text:b"},
		{"result without code", "", []string{doc(`{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"1"}}`, done)}, "code_interpreter_call => 1"},
		{"10.2 file", "", []string{doc(`{"fileData":{"fileUri":"http://f","mimeType":"x/y"}}`, done)}, "message output_text:[http://f](http://f)"},
		{"10.2 server tools are not shown", "", []string{doc(`{"toolCall":{"id":"x"}},{"toolResponse":{"id":"x"}},{"text":"a"}`, done)}, "message output_text:a"},
		{"20.3 searches that Gemini tells of itself", "", []string{doc(searchCall+","+searchResult+","+strings.Replace(searchCall, "capital", "country", 1)+","+searchResult, `"index":0`), doc(`{"text":"né à X, ok"}`, done+`,`+sources)},
			`web_search_call ["capital"] | web_search_call ["country"] | message output_text:né à X, ok [0-5 http://a A]`},
		{"20.3 a search after a text", "", []string{doc(`{"text":"Wait."},`+searchCall+","+searchResult, `"index":0`), doc(`{"text":"né à X, ok"}`, done)},
			`message output_text:Wait. | web_search_call ["capital"] | message output_text:né à X, ok`},
		{"20.3 a search and nothing else", "", []string{doc(searchCall+","+searchResult, done)}, `web_search_call ["capital"] | message output_text:`},
		{"20.4 search", withSignatures, []string{doc(searchCall+","+searchResult+`,{"text":"a"}`, done)},
			`web_search_call ["capital"] | reasoning <part  ` + searchCall + `> | reasoning <part  ` + searchResult + `> | message output_text:a`},
		{"20.4 code", withSignatures, []string{doc(`{"executableCode":{"language":"PYTHON","code":"1"},"thoughtSignature":"QQ=="},{"codeExecutionResult":{"output":"1"}},{"text":"a"}`, done)},
			`reasoning <part  {"executableCode":{"language":"PYTHON","code":"1"},"thoughtSignature":"QQ=="}> | code_interpreter_call 1 => 1 | reasoning <part  {"codeExecutionResult":{"output":"1"}}> | message output_text:a`},
		{"20.3 search before the message", "", []string{doc(`{"text":"né à X, ok"}`, done+`,`+sources)}, `web_search_call ["q1","q2"] | message output_text:né à X, ok [0-5 http://a A]`},
		{"20.3 search known late", "", []string{doc(`{"text":"né à X, ok"}`, `"index":0`), doc(`{"text":"!"}`, done+`,`+sources), doc(`{"text":""}`, done+`,`+sources)},
			`message output_text:né à X, ok! [0-5 http://a A] | web_search_call ["q1","q2"]`},
		{"10.6 sources of a second message", declared, []string{doc(`{"text":"né "},{"functionCall":{"name":"f"}},{"text":"à X"}`, done+`,"groundingMetadata":{"groundingChunks":[{"web":{"uri":"http://a","title":"A"}}],"groundingSupports":[{"segment":{"startIndex":4,"endIndex":8},"groundingChunkIndices":[0]}]}`)},
			`web_search_call null | message output_text:né  | function_call :f call {} | message output_text:à X [0-3 http://a A]`},
		{"10.6 sources of two messages", declared, []string{doc(`{"text":"né "},{"functionCall":{"name":"f"}},{"text":"à X"}`, done+`,"groundingMetadata":{"groundingChunks":[{"web":{"uri":"http://a","title":"A"}}],"groundingSupports":[{"segment":{"endIndex":3},"groundingChunkIndices":[0]},{"segment":{"startIndex":4,"endIndex":8},"groundingChunkIndices":[0]}]}`)},
			`web_search_call null | message output_text:né  [0-2 http://a A] | function_call :f call {} | message output_text:à X [0-3 http://a A]`},
		{"10.6 citations", "", []string{doc(`{"text":"abc"}`, done+`,"citationMetadata":{"citationSources":[{"startIndex":1,"endIndex":2,"uri":"http://c"}]}`)}, `message output_text:abc [1-2 http://c ]`},
		{"21.6 cut while thinking", "", []string{doc(``, `"finishReason":"MAX_TOKENS"`)}, "message(incomplete) output_text:"},
		{"10.3 cut in a text", "", []string{doc(`{"text":"a"}`, `"finishReason":"MAX_TOKENS"`)}, "message(incomplete) output_text:a"},
		{"10.3 cut in a thought", "", []string{doc(`{"text":"a","thought":true}`, `"finishReason":"MAX_TOKENS"`)}, "reasoning(incomplete) a"},
		{"10.3 cut after a call", declared, []string{doc(`{"functionCall":{"name":"f"}}`, `"finishReason":"MAX_TOKENS"`)}, "function_call :f call {}"},
		{"20.3 only thoughts", "", []string{doc(`{"text":"a","thought":true}`, done)}, "reasoning a | message output_text:"},
		{"20.5 empty answer", "", []string{doc(``, done)}, "message output_text:"},
		{"10.3 filtered", "", []string{doc(`{"text":"a"}`, `"finishReason":"SAFETY"`)}, "message(incomplete) output_text:a"},
		{"21.8 blocked prompt", "", []string{`{"promptFeedback":{"blockReason":"OTHER"},"usageMetadata":{"promptTokenCount":5,"totalTokenCount":5}}`}, "message(incomplete) refusal:The request was blocked by Gemini (OTHER)."},
		{"10.5 blocked after a text", "", []string{doc(`{"text":"a"}`, `"index":0`), `{"promptFeedback":{"blockReason":"SAFETY"}}`}, "message(incomplete) output_text:a"},
		{"20.4 signatures on demand only", declared, []string{doc(`{"functionCall":{"name":"f"},"thoughtSignature":"U2ln"},{"text":"a","thoughtSignature":"U2ln"}`, done)}, "function_call :f call {} | message output_text:a"},
		{"20.4 call", declared + "," + withSignatures, []string{doc(`{"functionCall":{"name":"f"},"thoughtSignature":"U2ln"},{"functionCall":{"name":"f"}}`, done)},
			"reasoning <fc call U2ln> | function_call :f call {} | function_call :f call {}"},
		{"20.4 include", declared + `,"include":["reasoning.encrypted_content"]`, []string{doc(`{"functionCall":{"name":"f"},"thoughtSignature":"U2ln"}`, done)}, "reasoning <fc call U2ln> | function_call :f call {}"},
		{"20.4 call after a thought", declared + "," + withSignatures, []string{doc(`{"text":"Hm","thought":true},{"functionCall":{"name":"f"},"thoughtSignature":"U2ln"}`, done)},
			"reasoning Hm <fc call U2ln> | function_call :f call {}"},
		{"20.4 text", withSignatures, []string{doc(`{"text":"Hm","thought":true},{"text":"a","thoughtSignature":"U2ln"},{"text":"b"}`, done)}, "reasoning Hm <text  U2ln> | message output_text:ab"},
		{"20.4 text signed at its end", withSignatures, []string{doc(`{"text":"a"}`, `"index":0`), doc(`{"text":"b","thoughtSignature":"U2ln"}`, done)}, "message output_text:ab | reasoning <last  U2ln>"},
		{"21.24 signature on an empty text at the end", withSignatures, []string{doc(`{"text":"a"}`, `"index":0`), doc(`{"text":"","thoughtSignature":"U2ln"}`, done)}, "message output_text:a | reasoning <tail  U2ln>"},
		{"20.4 empty signed text after a call", declared + "," + withSignatures, []string{doc(`{"functionCall":{"name":"f"}},{"text":"","thoughtSignature":"U2ln"}`, done)}, "function_call :f call {} | reasoning <tail  U2ln>"},
		{"20.4 two signed texts", withSignatures, []string{doc(`{"text":"a","thoughtSignature":"QQ=="},{"text":"b","thoughtSignature":"Qg=="},{"text":"","thoughtSignature":"Qw=="}`, done)},
			"reasoning <text  QQ==> | message output_text:a | reasoning <text  Qg==> | message output_text:b | reasoning <tail  Qw==>"},
		{"20.4 a signed text and an empty one", withSignatures, []string{doc(`{"text":"a"},{"text":"b","thoughtSignature":"QQ=="},{"text":"","thoughtSignature":"Qg=="}`, done)},
			"message output_text:ab | reasoning <last  QQ==> | reasoning <tail  Qg==>"},
		{"20.4 thought", withSignatures, []string{doc(`{"text":"a","thought":true,"thoughtSignature":"QQ=="},{"text":"b","thought":true},{"text":"c","thoughtSignature":"Qg=="}`, done)},
			"reasoning a <thought  QQ==> | reasoning b <text  Qg==> | message output_text:c"},
		{"20.4 image", withSignatures, []string{doc(`{"inlineData":{"mimeType":"image/png","data":"AAAA"},"thoughtSignature":"U2ln"}`, done)}, "reasoning <image  U2ln> | image_generation_call AAAA"},
		{"8.3 several candidates: the first", "", []string{`{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"},{"index":1,"content":{"parts":[{"text":"b"}]},"finishReason":"STOP"}]}`}, "message output_text:a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := bothResponses(t, Options{}, c.members, c.docs...)
			if err != nil {
				t.Fatal(err)
			}
			if got := outline(r); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestResponses_Status(t *testing.T) {
	for reason, want := range map[string]string{
		"STOP": "completed", "MAX_TOKENS": "incomplete max_output_tokens", "SAFETY": "incomplete content_filter",
		"BLOCKLIST": "incomplete content_filter", "PROHIBITED_CONTENT": "incomplete content_filter", "SPII": "incomplete content_filter",
		"IMAGE_SAFETY": "incomplete content_filter", "RECITATION": "incomplete content_filter", "LANGUAGE": "incomplete content_filter",
		"OTHER": "completed", "MALFORMED_FUNCTION_CALL": "completed", "UNEXPECTED_TOOL_CALL": "completed", "NO_IMAGE": "completed", "SOMETHING_NEW": "completed", "": "completed",
	} {
		r, err := bothResponses(t, Options{}, "", finished(`{"text":"a"}`, reason))
		if err != nil {
			t.Fatalf("%s: %v", reason, err)
		}
		got := r.Status
		if r.IncompleteDetails != nil {
			got += " " + r.IncompleteDetails.Reason
		}
		if got != want || (r.CompletedAt != nil) != (r.Status == "completed") || r.Error != nil {
			t.Errorf("%s: %s, want %s", reason, got, want)
		}
	}
}

func TestResponses_Faults(t *testing.T) {
	for _, c := range []struct {
		name string
		docs []string
		kind translate.Kind
	}{
		{"21.7 malformed call", []string{`{"candidates":[{"content":{},"finishReason":"MALFORMED_FUNCTION_CALL"}]}`}, translate.MalformedAnswer},
		{"10.3 missing signature", []string{`{"candidates":[{"content":{},"finishReason":"MISSING_THOUGHT_SIGNATURE"}]}`}, translate.MalformedAnswer},
		{"10.3 other without content", []string{`{"candidates":[{"finishReason":"OTHER"}]}`}, translate.EmptyAnswer},
		{"21.9 nothing", []string{`{}`}, translate.EmptyAnswer},
		{"10.5 neither candidates nor a reason", []string{`{"promptFeedback":{},"usageMetadata":{"promptTokenCount":1}}`}, translate.EmptyAnswer},
		{"no document", nil, translate.EmptyAnswer},
		{"12.3 no end", []string{`{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}`, `{"usageMetadata":{"promptTokenCount":1}}`}, translate.Truncated},
		{"no JSON", []string{`nope`}, translate.MalformedAnswer},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f *translate.Failure
			if r, err := bothResponses(t, Options{}, "", c.docs...); !errors.As(err, &f) || f.Kind != c.kind {
				t.Errorf("%v, %s", err, show(r))
			}
		})
	}
	var e *translate.UpstreamError
	if _, err := bothResponses(t, Options{}, "", `{"error":{"code":503,"message":"m"}}`); !errors.As(err, &e) || e.Status != 503 {
		t.Errorf("%v", err)
	}
}

// finishedLess is an event that is not the last.
func finishedLess(parts string) string {
	return `{"candidates":[{"content":{"role":"model","parts":[` + parts + `]}}]}`
}

// TestResponses_Hold: nothing is sent before there is output, so that another
// key may still be tried.
func TestResponses_Hold(t *testing.T) {
	x := responses(t, Options{}, `"stream":true`)
	x.Begin()
	for _, doc := range []string{`{"usageMetadata":{"promptTokenCount":1}}`, finishedLess(searchCall), finishedLess(searchResult), `{"candidates":[{"content":{"role":"model","parts":[{"text":""}]}}]}`, `{"candidates":[{}]}`} {
		if out, err := x.Event(nil, translate.Frame{Data: []byte(doc)}); err != nil || len(out) > 0 {
			t.Errorf("%s: %s, %v", doc, out, err)
		}
	}
	if out, err := x.Event(nil, translate.Frame{}); err != nil || len(out) > 0 {
		t.Errorf("comment: %s, %v", out, err)
	}
	out, err := x.Event(nil, translate.Frame{Data: []byte(sayHi)})
	if err != nil || !strings.HasPrefix(string(out), "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,") {
		t.Errorf("%s, %v", out, err)
	}
}

func TestResponses_Abort(t *testing.T) {
	for kind, code := range map[translate.Kind]string{
		translate.Upstream: "server_error", translate.Truncated: "server_error", translate.RateLimited: "rate_limit_exceeded",
		translate.QuotaExhausted: "rate_limit_exceeded", translate.UserRateLimited: "rate_limit_exceeded", translate.InvalidRequest: "invalid_prompt",
	} {
		for _, sent := range []int{0, 1, 2} { // events before
			x := responses(t, Options{Previous: func(string) ([]byte, bool) { return nil, false }}, declared+`,"stream":true`)
			x.Begin()
			var out []byte
			for _, doc := range []string{callF, sayHi}[:sent] {
				out, _ = x.Event(out, translate.Frame{Data: []byte(doc)})
			}
			r := collectResponses(t, x.Abort(out, &translate.Failure{Kind: kind, Message: "It broke."}))
			if r.Status != "failed" || r.Error == nil || r.Error.Code != code || r.Error.Message != "It broke." || r.CompletedAt != nil || len(r.Output) != min(sent, 1) {
				t.Errorf("after %d events: %s", sent, show(r))
			}
			if id, items := x.Stored(); id != "" || items != nil || x.Document() != nil {
				t.Error("a failed response is kept")
			}
		}
	}
}

func TestResponses_Envelope(t *testing.T) {
	o := Options{}
	r, err := bothResponses(t, o, "", finished(`{"text":"a"}`, "STOP"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Object != "response" || r.CreatedAt != 1790000000 || r.Model != "gemini-3-flash-preview" || r.Store || r.Temperature != 1 || string(r.ToolChoice) != `"auto"` ||
		len(r.Tools) != 0 || !r.ParallelToolCalls || r.Truncation != "disabled" || string(r.Text.Format) != `{"type":"text"}` || r.Instructions != nil ||
		r.MaxOutputTokens != nil || r.User != nil || r.Metadata == nil || r.Reasoning.Effort != nil || r.PreviousResponseID != nil || !strings.HasPrefix(r.ID, "resp_") {
		t.Errorf("%s", show(r))
	}
	r, err = bothResponses(t, o, `"instructions":"I","max_output_tokens":100,"temperature":0.5,"top_p":0.25,"tool_choice":{"type":"function","name":"f"},`+declared+`,
		"parallel_tool_calls":false,"reasoning":{"effort":"low","summary":"auto"},"text":{"format":{"type":"json_object"},"verbosity":"low"},"metadata":{"a":"b"},
		"user":"u","max_tool_calls":3,"service_tier":"flex","prompt_cache_key":"k","safety_identifier":"s","store":true,"truncation":"auto"`, finished(`{"text":"{}"}`, "STOP"))
	if err != nil {
		t.Fatal(err)
	}
	if *r.Instructions != "I" || *r.MaxOutputTokens != 100 || r.Temperature != 0.5 || r.TopP != 0.25 || string(r.ToolChoice) != `{"type":"function","name":"f"}` || len(r.Tools) != 4 ||
		r.ParallelToolCalls || *r.Reasoning.Effort != "low" || *r.Reasoning.Summary != "auto" || string(r.Text.Format) != `{"type":"json_object"}` || r.Text.Verbosity != "low" ||
		r.Metadata["a"] != "b" || *r.User != "u" || *r.MaxToolCalls != 3 || r.ServiceTier != "flex" || r.PromptCacheKey != "k" || r.SafetyIdentifier != "s" || r.Store {
		t.Errorf("%s", show(r))
	}
}

func TestResponses_Usage(t *testing.T) {
	for usage, want := range map[string]string{
		`{"promptTokenCount":29,"candidatesTokenCount":15,"thoughtsTokenCount":45,"totalTokenCount":94,"toolUsePromptTokenCount":5,"cachedContentTokenCount":4}`: `34 4 60 45 94`,
		`{"promptTokenCount":29,"thoughtsTokenCount":45,"totalTokenCount":74}`:                                                                                   `29 0 45 45 74`,
		`{"promptTokenCount":10,"candidatesTokenCount":30,"thoughtsTokenCount":20,"totalTokenCount":40}`:                                                         `10 0 30 20 40`,
		`null`: `0 0 0 0 0`,
	} {
		r, err := bothResponses(t, Options{}, "", `{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}],"usageMetadata":`+usage+`}`)
		if err != nil {
			t.Fatal(err)
		}
		u := r.Usage
		if got := fmt.Sprint(u.InputTokens, u.InputDetails.Cached, u.OutputTokens, u.OutputDetails.Reasoning, u.TotalTokens); got != want {
			t.Errorf("%s: %s, want %s", usage, got, want)
		}
	}
}

func TestResponses_Logprobs(t *testing.T) {
	const probs = `"logprobsResult":{"chosenCandidates":[{"token":"né","logProbability":-0.5},{"token":"!"}],"topCandidates":[{"candidates":[{"token":"né","logProbability":-0.5},{"token":"x","logProbability":-2}]}]}`
	body := `data: {"candidates":[{"content":{"parts":[{"text":"né!"}]},` + probs + `}]}` + "\n\n" + `data: {"candidates":[{"content":{"parts":[{"text":"é"}]},"finishReason":"STOP",` + probs + `}]}` + "\n\n"
	x, f := NewResponses(answerEnv(), Options{}, []byte(`{"model":"gemini-2.0-flash","input":"q","top_logprobs":1,"stream":true}`))
	if f != nil {
		t.Fatal(f)
	}
	out, err := playResponses(x, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r := collectResponses(t, out)
	tokens := r.Output[0].Content[0].Logprobs
	if len(tokens) != 4 || show(tokens[0]) != `{"token":"né","logprob":-0.5,"bytes":[110,195,169],"top_logprobs":[{"token":"né","logprob":-0.5,"bytes":[110,195,169]}]}` {
		t.Errorf("%s", show(tokens))
	}
	if n := strings.Count(string(out), `"delta":"né!","logprobs":[{"token":"né","logprob":-0.5,"top_logprobs":[{"token":"né","logprob":-0.5}]},`); n != 1 {
		t.Errorf("%s", out)
	}
}

func TestResponses_LogprobsUnasked(t *testing.T) {
	r, err := bothResponses(t, Options{}, "", `{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP","logprobsResult":{"chosenCandidates":[{"token":"a"}]}}]}`)
	if err != nil || len(r.Output[0].Content[0].Logprobs) > 0 {
		t.Errorf("%s, %v", show(r), err)
	}
}

func TestResponses_Fence(t *testing.T) {
	r, err := wholeResponse(t, responses(t, Options{}, `"text":{"format":{"type":"json_object"}}`), []byte(finished("{\"text\":\"```json\\n{}\\n```\"}", "STOP")))
	if err != nil || *r.Output[0].Content[0].Text != "{}" {
		t.Errorf("%s, %v", show(r), err)
	}
}

func TestResponses_ReasoningOff(t *testing.T) {
	r, err := bothResponses(t, Options{Reasoning: ReasoningOff}, `"reasoning":{"summary":"auto"},"store":false`, finished(`{"text":"Hm","thought":true,"thoughtSignature":"U2ln"},{"text":"a"}`, "STOP"))
	if err != nil || outline(r) != "message output_text:a" {
		t.Errorf("%s, %v", outline(r), err)
	}
}

func TestResponses_LargeImage(t *testing.T) {
	image := `{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"` + strings.Repeat("AAAA", maxLine/8) + `"}}]},"finishReason":"STOP"}]}`
	x := responses(t, Options{}, `"stream":true`)
	out, err := playResponses(x, strings.NewReader("data: "+image+"\n\ndata: "+image+"\n\ndata: "+image+"\n\n"))
	var f *translate.Failure
	if !errors.As(err, &f) || f.Code != "image_too_large" {
		t.Fatal(err)
	}
	if r := collectResponses(t, x.Abort(out, f)); r.Status != "failed" || len(r.Output) != 1 {
		t.Errorf("%d items", len(r.Output))
	}
}

// TestResponses_Signatures: what one answer tells is what the next request
// sends, part by part.
func TestResponses_Signatures(t *testing.T) {
	const parts = `{"text":"Hm","thought":true},{"text":"See:","thoughtSignature":"QQ=="},{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="},"thoughtSignature":"Qg=="},{"functionCall":{"name":"f","args":{"a":1}},"thoughtSignature":"Qw=="},{"functionCall":{"name":"f","args":{}}},{"text":"","thoughtSignature":"RA=="}`
	const want = `{"text":"See:","thoughtSignature":"QQ=="},{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="},"thoughtSignature":"Qg=="},{"functionCall":{"id":"A","name":"f","args":{"a":1}},"thoughtSignature":"Qw=="},{"functionCall":{"id":"B","name":"f","args":{}}},{"text":"","thoughtSignature":"RA=="}`
	kept := map[string][]byte{}
	previous := func(id string) ([]byte, bool) { items, ok := kept[id]; return items, ok }
	for _, c := range []struct {
		name    string
		o       Options
		members string
	}{{"stateless", Options{}, `"store":false`}, {"stored", Options{Previous: previous}, ""}} {
		t.Run(c.name, func(t *testing.T) {
			members := declared
			if c.members != "" {
				members += "," + c.members
			}
			x := responses(t, c.o, members)
			x.env.Memo = nil
			x.Begin()
			out, err := x.Response(nil, []byte(finished(parts, "STOP")))
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
			var wire wireResponse
			strict(t, out, &wire)
			var ids []string
			for _, item := range wire.Output {
				if item.CallID != "" {
					ids = append(ids, item.CallID)
				}
			}
			input := `{"model":"gemini-3-flash-preview","input":[{"role":"user","content":"Hi"},` + strings.Trim(string(r.Output), "[]") + `,{"type":"function_call_output","call_id":"` + ids[0] + `","output":"r"}]}`
			if id, items := x.Stored(); id != "" {
				if id != r.ID || c.members != "" || strings.Contains(string(out), "encrypted_content") || !strings.Contains(string(out), `"store":true`) {
					t.Fatalf("%s: %s", id, out)
				}
				kept[id] = items
				input = `{"model":"gemini-3-flash-preview","previous_response_id":"` + id + `","input":[{"type":"function_call_output","call_id":"` + ids[0] + `","output":"r"}]}`
			} else if c.members == "" {
				t.Fatal("not stored")
			}
			got := responsesUpstream(t, requestEnv(), c.o, input)["contents"].([]any)
			sameJSON(t, got[0], `{"role":"user","parts":[{"text":"Hi"}]}`)
			sameJSON(t, got[1], strings.NewReplacer(`"A"`, show(ids[0]), `"B"`, show(ids[1])).Replace(`{"role":"model","parts":[`+want+`]}`))
		})
	}
}

// An item of a kept answer may be referred to by its id alone, and is kept whole
// with the next answer.
func TestResponses_Reference(t *testing.T) {
	kept := map[string][]byte{}
	o := Options{Previous: func(id string) ([]byte, bool) { items, ok := kept[id]; return items, ok }}
	env := answerEnv()
	ask := func(input string) (*Responses, string) {
		t.Helper()
		x, f := NewResponses(env, o, []byte(`{"model":"gemini-2.5-flash","input":`+input+`}`))
		if f != nil {
			t.Fatal(f)
		}
		x.Begin()
		out, err := x.Response(nil, []byte(finished(`{"text":"answer"}`, "STOP")))
		if err != nil {
			t.Fatal(err)
		}
		var r wireResponse
		strict(t, out, &r)
		id, items := x.Stored()
		kept[id] = items
		return x, r.Output[len(r.Output)-1].ID
	}
	_, first := ask(`"one"`)
	x, second := ask(`[{"role":"user","content":"one"},{"type":"item_reference","id":"` + first + `"},{"role":"user","content":"two"}]`)
	if sent := string(x.Call().Whole()); strings.Count(sent, `"text":"answer"`) != 1 {
		t.Errorf("sent %s", sent)
	}
	if _, items := x.Stored(); strings.Contains(string(items), "item_reference") || strings.Count(string(items), `"text":"answer"`) != 2 {
		t.Errorf("kept %s", items)
	}
	if first == second {
		t.Errorf("both items are %s", first)
	}
	for _, id := range []string{"", "msg_1", first + "x", "msg_" + strings.Repeat("0", 40)} {
		_, f := NewResponses(requestEnv(), o, []byte(`{"model":"m","input":[{"type":"item_reference","id":"`+id+`"}]}`))
		if f == nil || f.Kind != translate.NotFound || f.Param != "input[0].id" {
			t.Errorf("%q: %v", id, f)
		}
	}
}

func TestResponses_Stored(t *testing.T) {
	kept := map[string][]byte{}
	o := Options{Previous: func(id string) ([]byte, bool) { items, ok := kept[id]; return items, ok }}
	id := ""
	for turn, input := range []string{`"one"`, `[{"role":"user","content":[{"type":"input_text","text":"two"}]}]`, `"three"`} {
		body := `{"model":"gemini-2.5-flash","instructions":"I` + fmt.Sprint(turn) + `","stream":true,"input":` + input
		if id != "" {
			body += `,"previous_response_id":"` + id + `"`
		}
		env := answerEnv()
		env.NewID = func(n int) string { return fmt.Sprintf("%0*d", n, turn) }
		x, f := NewResponses(env, o, []byte(body+`}`))
		if f != nil {
			t.Fatal(f)
		}
		var got map[string]any
		if err := json.Unmarshal(x.Call().Whole(), &got); err != nil {
			t.Fatal(err)
		}
		if contents := got["contents"].([]any); len(contents) != 1+2*turn {
			t.Errorf("turn %d: %s", turn, x.Call().Whole())
		}
		sameJSON(t, got["systemInstruction"], `{"parts":[{"text":"I`+fmt.Sprint(turn)+`"}]}`) // those of before do not last
		if id, _ := x.Stored(); id != "" {
			t.Error("stored before the end")
		}
		x.Begin()
		out, err := x.Event(nil, translate.Frame{Data: []byte(finished(`{"text":"answer"}`, "STOP"))})
		if err == nil {
			out, err = x.End(out)
		}
		if err != nil {
			t.Fatal(err)
		}
		r := collectResponses(t, out)
		var items []byte
		if id, items = x.Stored(); id != r.ID || !json.Valid(items) {
			t.Fatalf("%s: %s", id, items)
		}
		kept[id] = items
		var document wireResponse
		strict(t, x.Document(), &document)
		if show(document) != show(r) || !r.Store {
			t.Errorf("document %s", x.Document())
		}
	}
	for _, c := range []struct{ name, body, param, code string }{
		{"unknown", `"previous_response_id":"resp_x"`, "previous_response_id", "previous_response_not_found"},
		{"of another type", `"previous_response_id":5`, "previous_response_id", ""},
	} {
		if _, f := NewResponses(requestEnv(), o, []byte(`{"model":"m","input":"q",`+c.body+`}`)); f == nil || f.Param != c.param || f.Code != c.code {
			t.Errorf("%s: %v", c.name, f)
		}
	}
	kept["poem"] = []byte(`[{"type":"poem"}]`)
	if _, f := NewResponses(requestEnv(), o, []byte(`{"model":"m","input":"q","previous_response_id":"poem"}`)); f == nil || f.Param != "previous_response_id" {
		t.Errorf("fault of what was kept: %v", f)
	}
	kept["bad"] = []byte(`{`)
	if _, f := NewResponses(requestEnv(), o, []byte(`{"model":"m","input":"q","previous_response_id":"bad"}`)); f == nil {
		t.Error("damaged items pass")
	}
	if _, f := NewResponses(requestEnv(), o, []byte(`{"model":"m","input":[{"type":"poem"}],"previous_response_id":"`+id+`"}`)); f == nil || f.Param != "input[0].type" {
		t.Errorf("position of a fault: %v", f)
	}
	x, f := NewResponses(requestEnv(), o, []byte(`{"model":"gemini-2.5-flash","previous_response_id":"`+id+`","store":false}`))
	if f != nil {
		t.Fatal(f)
	}
	if _, err := x.Response(nil, []byte(finished(`{"text":"a"}`, "STOP"))); err != nil {
		t.Fatal(err)
	}
	if id, _ := x.Stored(); id != "" {
		t.Error("stored against the client's will")
	}
}

// TestResponses_Example is the stream of events that specs/openai.md §20.5
// describes, byte for byte.
func TestResponses_Example(t *testing.T) {
	x := responses(t, Options{}, `"stream":true,"store":false,`+declared)
	out, err := playResponses(x, strings.NewReader(
		`data: {"candidates":[{"content":{"parts":[{"text":"Hm","thought":true}]}}],"usageMetadata":{"promptTokenCount":5},"responseId":"R"}`+"\r\n\r\n"+
			`data: {"candidates":[{"content":{"parts":[{"text":"Hi "},{"text":"you"},{"functionCall":{"name":"f","args":{"a": 1}},"thoughtSignature":"U2ln"}]}}]}`+"\r\n\r\n"+
			`data: {"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":7,"thoughtsTokenCount":3,"totalTokenCount":15}}`+"\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	collectResponses(t, out)
	const file = "testdata/responses_example.sse"
	if *update {
		if err := os.WriteFile(file, out, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != string(want) {
		t.Errorf("\n got %s\nwant %s", out, want)
	}
}
