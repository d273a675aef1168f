// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// responsesUpstream is the request as Google gets it, decoded.
func responsesUpstream(t testing.TB, env translate.Env, o Options, body string) map[string]any {
	t.Helper()
	x, f := NewResponses(env, o, []byte(body))
	if f != nil {
		t.Fatalf("NewResponses: %v", f)
	}
	var m map[string]any
	if err := json.Unmarshal(x.Call().Whole(), &m); err != nil {
		t.Fatalf("%s: %v", x.Call().Whole(), err)
	}
	return m
}

// envelope is the encrypted_content of a signature.
func envelope(kind signedPart, callID, signature string) string {
	return string(appendEnvelope(nil, kind, callID, []byte(signature)))
}

func reasoned(kind signedPart, callID, signature string) string {
	return `{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"` + envelope(kind, callID, signature) + `"}`
}

func TestResponses_Input(t *testing.T) {
	const (
		png     = "iVBORw0KGgo="
		user    = `{"role":"user","content":"q"}`
		fc      = `{"type":"function_call","call_id":"c1","name":"w","arguments":"{\"c\":\"Oslo\"}"}`
		fc2     = `{"type":"function_call","id":"fc_2","call_id":"c2","name":"w","arguments":""}`
		out     = `{"type":"function_call_output","call_id":"c1","output":"r"}`
		out2    = `{"type":"function_call_output","call_id":"c2","output":"s"}`
		gUser   = `{"role":"user","parts":[{"text":"q"}]}`
		gCall   = `{"functionCall":{"id":"c1","name":"w","args":{"c":"Oslo"}}}`
		gCall2  = `{"functionCall":{"id":"c2","name":"w","args":{}}}`
		gResult = `{"functionResponse":{"id":"c1","name":"w","response":{"output":"r"}}}`
		gOther  = `{"functionResponse":{"id":"c2","name":"w","response":{"output":"s"}}}`
	)
	model := func(parts string) string { return `{"role":"model","parts":[` + parts + `]}` }
	users := func(parts string) string { return `{"role":"user","parts":[` + parts + `]}` }
	signed := strings.Replace(gCall, `}}}`, `}},"thoughtSignature":"U2ln"}`, 1)
	called := gUser + `,` + model(gCall)
	withOutput := func(output string) string {
		return `[` + user + `,` + fc + `,{"type":"function_call_output","call_id":"c1","output":` + output + `}]`
	}
	for _, c := range []struct{ name, model, input, system, want string }{
		{"20.1 input is a string", m3, `"Hi"`, ``, users(`{"text":"Hi"}`)},
		{"20.2 message with type", m3, `[{"type":"message","role":"user","content":[{"type":"input_text","text":"Hi"}]}]`, ``, users(`{"text":"Hi"}`)},
		{"20.2 message without type", m3, `[{"role":"user","content":"Hi"}]`, ``, users(`{"text":"Hi"}`)},
		{"20.2 system and developer", m3, `[{"role":"developer","content":[{"type":"input_text","text":"D"}]},{"role":"system","content":"S"},` + user + `]`, `{"parts":[{"text":"D"},{"text":"S"}]}`, gUser},
		{"20.2 assistant output_text and refusal", m3, `[` + user + `,{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"a","annotations":[],"logprobs":[]},{"type":"refusal","refusal":"no"}]},{"role":"user","content":"u"}]`, ``,
			gUser + `,` + model(`{"text":"a"},{"text":"no"}`) + `,` + users(`{"text":"u"}`)},
		{"20.2 input_image data URL, with detail", m3, `[{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,` + png + `","detail":"low"}]}]`, ``,
			users(`{"inlineData":{"mimeType":"image/png","data":"` + png + `"},"mediaResolution":{"level":"MEDIA_RESOLUTION_LOW"}}`)},
		{"20.2 input_image as an object", m3, `[{"role":"user","content":[{"type":"input_image","image_url":{"url":"data:image/png;base64,` + png + `"}}]}]`, ``,
			users(`{"inlineData":{"mimeType":"image/png","data":"` + png + `"}}`)},
		{"20.2 input_image file_id", m3, `[{"role":"user","content":[{"type":"input_image","file_id":"file-1","image_url":null,"detail":"auto"}]}]`, ``,
			users(`{"fileData":{"mimeType":"image/png","fileUri":"https://generativelanguage.googleapis.com/v1beta/files/abc"}}`)},
		{"20.2 input_file file_data", m3, `[{"role":"user","content":[{"type":"input_file","filename":"a.go","file_data":"cGFja2FnZQ=="}]}]`, ``,
			users(`{"inlineData":{"mimeType":"text/plain","data":"cGFja2FnZQ=="}}`)},
		{"20.2 input_file file_url", m3, `[{"role":"user","content":[{"type":"input_file","file_url":"https://youtu.be/x"}]}]`, ``,
			users(`{"fileData":{"fileUri":"https://youtu.be/x"}}`)},
		{"20.2 input_file file_id", m3, `[{"role":"user","content":[{"type":"input_file","file_id":"file-1"}]}]`, ``,
			users(`{"fileData":{"mimeType":"image/png","fileUri":"https://generativelanguage.googleapis.com/v1beta/files/abc"}}`)},
		{"20.2 input_audio", m3, `[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"UklGRg==","format":"wav"}}]}]`, ``,
			users(`{"inlineData":{"mimeType":"audio/wav","data":"UklGRg=="}}`)},
		{"20.2 call and output", m25, `[` + user + `,` + fc + `,` + out + `]`, ``, called + `,` + users(gResult)},
		{"20.2 consecutive calls are parallel", m25, `[` + user + `,` + fc + `,` + fc2 + `,` + out + `,` + out2 + `]`, ``,
			gUser + `,` + model(gCall+`,`+gCall2) + `,` + users(gResult+`,`+gOther)},
		{"20.2 calls parted by reasoning are parallel", m25, `[` + user + `,` + fc + `,{"type":"reasoning","id":"rs_9","summary":[]},` + fc2 + `,` + out + `,` + out2 + `]`, ``,
			gUser + `,` + model(gCall+`,`+gCall2) + `,` + users(gResult+`,`+gOther)},
		{"20.2 a call goes on with the message before", m25, `[` + user + `,{"role":"assistant","content":"t"},` + fc + `,` + out + `]`, ``,
			gUser + `,` + model(`{"text":"t"},`+gCall) + `,` + users(gResult)},
		{"20.2 a message after the call of the same step", m25, `[` + user + `,` + fc + `,{"role":"assistant","content":"t"},` + out + `]`, ``,
			gUser + `,` + model(gCall+`,{"text":"t"}`) + `,` + users(gResult)},
		{"20.2 reversed outputs", m25, `[` + user + `,` + fc + `,` + fc2 + `,` + out2 + `,` + out + `]`, ``,
			gUser + `,` + model(gCall+`,`+gCall2) + `,` + users(gResult+`,`+gOther)},
		{"20.2 outputs that are not together", m25, `[` + user + `,` + fc + `,` + fc2 + `,` + out + `,{"role":"user","content":"u"},` + out2 + `]`, ``,
			gUser + `,` + model(gCall+`,`+gCall2) + `,` + users(gResult+`,`+gOther) + `,` + users(`{"text":"u"}`)},
		{"20.2 sequential calls stay sequential", m25, `[` + user + `,` + fc + `,` + out + `,` + fc2 + `,` + out2 + `]`, ``,
			called + `,` + users(gResult) + `,` + model(gCall2) + `,` + users(gOther)},
		{"3.7 call without output", m25, `[` + user + `,` + fc + `]`, ``,
			called + `,` + users(`{"functionResponse":{"id":"c1","name":"w","response":{"error":"no result was provided"}}}`)},
		{"3.7 output without call", m25, `[` + user + `,` + out + `]`, ``, users(`{"text":"q"},{"text":"[tool result c1]: r"}`)},
		{"20.2 output is a list", m3, withOutput(`[{"type":"input_text","text":"see"},{"type":"input_image","image_url":"data:image/png;base64,` + png + `"}]`), ``,
			gUser + `,` + model(strings.Replace(signed, "U2ln", "skip_thought_signature_validator", 1)) + `,` + users(`{"functionResponse":{"id":"c1","name":"w","response":{"output":"see"},"parts":[{"inlineData":{"mimeType":"image/png","data":"`+png+`"}}]}}`)},
		{"20.2 output is a list with a file", m3, withOutput(`[{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,JVBERi0="}]`), ``,
			gUser + `,` + model(strings.Replace(signed, "U2ln", "skip_thought_signature_validator", 1)) + `,` + users(`{"functionResponse":{"id":"c1","name":"w","response":{"output":""},"parts":[{"inlineData":{"mimeType":"application/pdf","data":"JVBERi0="}}]}}`)},
		{"20.2 custom tool output is a list", m25, `[` + user + `,{"type":"custom_tool_call","call_id":"c1","name":"w","input":""},{"type":"custom_tool_call_output","call_id":"c1","output":[{"type":"input_text","text":"r"}]}]`, ``,
			gUser + `,` + model(`{"functionCall":{"id":"c1","name":"w","args":{"input":""}}}`) + `,` + users(gResult)},
		{"21.15 a result is missing, then the user", m25, `[` + user + `,` + fc + `,` + fc2 + `,` + out + `,{"role":"user","content":"u"}]`, ``,
			gUser + `,` + model(gCall+`,`+gCall2) + `,` + users(gResult+`,{"functionResponse":{"id":"c2","name":"w","response":{"error":"no result was provided"}}}`) + `,` + users(`{"text":"u"}`)},
		{"21.16 output that is no JSON", m25, withOutput(`"Error: no such file"`), ``, called + `,` + users(`{"functionResponse":{"id":"c1","name":"w","response":{"output":"Error: no such file"}}}`)},
		{"21.17 output of a list, a number, null", m25, `[` + user + `,` + fc + `,{"type":"function_call_output","call_id":"c1","output":"[1,2]"},` + fc2 + `,{"type":"function_call_output","call_id":"c2","output":"5"}]`, ``,
			called + `,` + users(`{"functionResponse":{"id":"c1","name":"w","response":{"output":[1,2]}}}`) + `,` + model(gCall2) + `,` + users(`{"functionResponse":{"id":"c2","name":"w","response":{"output":"5"}}}`)},
		{"21.18 numbers that a double cannot hold", m25, withOutput(`"{\"id\":9007199254740993}"`), ``, called + `,` + users(`{"functionResponse":{"id":"c1","name":"w","response":{"id":"9007199254740993"}}}`)},
		{"21.20 placeholder on the first of two calls", m3, `[` + user + `,` + fc + `,` + fc2 + `,` + out + `,` + out2 + `]`, ``,
			gUser + `,` + model(strings.Replace(signed, "U2ln", "skip_thought_signature_validator", 1)+`,`+gCall2) + `,` + users(gResult+`,`+gOther)},
		{"21.22 the first of two calls is signed", m3, `[` + user + `,` + reasoned(signedCall, "c1", "U2ln") + `,` + fc + `,` + fc2 + `,` + out + `,` + out2 + `]`, ``,
			gUser + `,` + model(signed+`,`+gCall2) + `,` + users(gResult+`,`+gOther)},
		{"21.27 empty text beside an image", m3, `[{"role":"user","content":[{"type":"input_text","text":""},{"type":"input_image","image_url":"data:image/png;base64,` + png + `"}]}]`, ``,
			users(`{"inlineData":{"mimeType":"image/png","data":"` + png + `"}}`)},
		{"21.28 empty message of the model", m3, `[` + user + `,{"role":"assistant","content":[{"type":"output_text","text":""}]},{"role":"user","content":"u"}]`, ``, users(`{"text":"q"},{"text":"u"}`)},
		{"21.29 a model without instructions", "gemma-3-27b-it", `[{"role":"developer","content":"D"},` + user + `]`, ``, users(`{"text":"D\n\n"},{"text":"q"}`)},
		{"20.2 output is a list as text", m25, withOutput(`"[{\"type\":\"input_text\",\"text\":\"see\"},{\"type\":\"input_image\",\"image_url\":\"data:image/png;base64,` + png + `\"}]"`), ``,
			called + `,` + users(`{"functionResponse":{"id":"c1","name":"w","response":{"output":"see"}}},{"inlineData":{"mimeType":"image/png","data":"`+png+`"}}`)},
		{"20.2 a list of other things is data", m25, withOutput(`"[{\"type\":\"input_text\",\"text\":\"see\"},{\"type\":\"row\"}]"`), ``,
			called + `,` + users(`{"functionResponse":{"id":"c1","name":"w","response":{"output":[{"type":"input_text","text":"see"},{"type":"row"}]}}}`)},
		{"20.2 a list as text that is no media is data", m25, withOutput(`"[{\"type\":\"input_image\",\"image_url\":\"https://example.com/a.png\"}]"`), ``,
			called + `,` + users(`{"functionResponse":{"id":"c1","name":"w","response":{"output":[{"type":"input_image","image_url":"https://example.com/a.png"}]}}}`)},
		{"3.5 output is an object as text", m25, withOutput(`"{\"t\":4}"`), ``, called + `,` + users(`{"functionResponse":{"id":"c1","name":"w","response":{"t":4}}}`)},
		{"20.2 custom tool call", m25, `[` + user + `,{"type":"custom_tool_call","id":"ctc_1","call_id":"c1","name":"w","input":"x\"y"},{"type":"custom_tool_call_output","call_id":"c1","output":"r"}]`, ``,
			gUser + `,` + model(`{"functionCall":{"id":"c1","name":"w","args":{"input":"x\"y"}}}`) + `,` + users(gResult)},
		{"E call with a namespace", m25, `[` + user + `,{"type":"function_call","call_id":"c1","name":"fn","namespace":"mcp","arguments":"{}"},` + out + `]`, ``,
			gUser + `,` + model(`{"functionCall":{"id":"c1","name":"mcp__fn","args":{}}}`) + `,` + users(strings.Replace(gResult, `"w"`, `"mcp__fn"`, 1))},
		{"20.4 signature of a call", m3, `[` + user + `,` + reasoned(signedCall, "c1", "U2ln") + `,` + fc + `,` + out + `]`, ``, gUser + `,` + model(signed) + `,` + users(gResult)},
		{"20.4 signature of another call", m3, `[` + user + `,` + reasoned(signedCall, "c9", "U2ln") + `,` + fc + `,` + out + `]`, ``,
			gUser + `,` + model(strings.Replace(signed, "U2ln", "skip_thought_signature_validator", 1)) + `,` + users(gResult)},
		{"20.4 an id used again is not signed by the first", m3, `[` + user + `,` + reasoned(signedCall, "c1", "U2ln") + `,` + fc + `,` + out + `,` + fc + `,` + out + `]`, ``,
			gUser + `,` + model(signed) + `,` + users(gResult) + `,` + model(strings.Replace(signed, "U2ln", "skip_thought_signature_validator", 1)) + `,` + users(gResult)},
		{"20.4 signature of a text", m3, `[` + user + `,` + reasoned(signedText, "", "U2ln") + `,{"role":"assistant","content":"t"},{"role":"user","content":"u"}]`, ``,
			gUser + `,` + model(`{"text":"t","thoughtSignature":"U2ln"}`) + `,` + users(`{"text":"u"}`)},
		{"20.4 signature of the text before", m3, `[` + user + `,{"role":"assistant","content":"t"},` + reasoned(signedLast, "", "U2ln") + `,{"role":"user","content":"u"}]`, ``,
			gUser + `,` + model(`{"text":"t","thoughtSignature":"U2ln"}`) + `,` + users(`{"text":"u"}`)},
		{"20.4 signature of an empty text", m3, `[` + user + `,{"role":"assistant","content":"t"},` + reasoned(signedTail, "", "U2ln") + `,{"role":"user","content":"u"}]`, ``,
			gUser + `,` + model(`{"text":"t"},{"text":"","thoughtSignature":"U2ln"}`) + `,` + users(`{"text":"u"}`)},
		{"20.4 signature of a thought", m3, `[` + user + `,` + reasoned(signedThought, "", "U2ln") + `,{"role":"assistant","content":"t"},{"role":"user","content":"u"}]`, ``,
			gUser + `,` + model(`{"text":"hm","thought":true,"thoughtSignature":"U2ln"},{"text":"t"}`) + `,` + users(`{"text":"u"}`)},
		{"20.4 reasoning does not cross a user message", m3, `[` + user + `,` + reasoned(signedText, "", "U2ln") + `,` + reasoned(signedThought, "", "U2ln") + `,{"role":"user","content":"u"},{"role":"assistant","content":"t"},{"role":"user","content":"v"}]`, ``,
			users(`{"text":"q"},{"text":"u"}`) + `,` + model(`{"text":"t"}`) + `,` + users(`{"text":"v"}`)},
		{"20.4 foreign, spoofed and nested contents are dropped", m3, `[` + user + `,{"type":"reasoning","encrypted_content":"gAAAAABo"},{"type":"reasoning","encrypted_content":"gs1.e30"},{"type":"reasoning","encrypted_content":"gs1.***"},` +
			reasoned(signedText, "", envelope(signedText, "", "U2ln")) + `,` + reasoned("user", "", "U2ln") + `,{"type":"reasoning","encrypted_content":null},{"role":"assistant","content":"t"},{"role":"user","content":"u"}]`, ``,
			gUser + `,` + model(`{"text":"t"}`) + `,` + users(`{"text":"u"}`)},
		{"7.2 a call's own extra_content", m3, `[` + user + `,` + strings.Replace(fc, `"name"`, `"extra_content":{"google":{"thought_signature":"U2ln"}},"name"`, 1) + `,` + out + `]`, ``, gUser + `,` + model(signed) + `,` + users(gResult)},
		{"20.2 image of an earlier answer", m3, `[` + user + `,` + reasoned(signedImage, "", "U2ln") + `,{"type":"image_generation_call","id":"ig_1","status":"completed","result":"` + png + `"},{"role":"user","content":"u"}]`, ``,
			gUser + `,` + model(`{"inlineData":{"mimeType":"image/png","data":"`+png+`"},"thoughtSignature":"U2ln"}`) + `,` + users(`{"text":"u"}`)},
		{"20.2 an item with a type null is a message", m3, `[{"type":null,"role":"user","content":"q"}]`, ``, gUser},
		{"20.2 other tools' items are dropped", m3, `[` + user + `,{"type":"web_search_call","id":"ws_1","status":"completed"},{"type":"code_interpreter_call","id":"ci_1"},{"type":"mcp_call"},{"type":"compaction"},{"type":"computer_call"},{"type":"computer_call_output"},{"type":"image_generation_call","result":null}]`, ``, gUser},
		{"20.2 trailing assistant text where it is taken", m25, `[` + user + `,{"role":"assistant","content":"Sure, {"}]`, ``, gUser + `,` + model(`{"text":"Sure, {"}`)},
		{"20.2 trailing assistant text where it is refused", m36, `[` + user + `,{"role":"assistant","content":"Sure, {"}]`, ``, gUser + `,` + model(`{"text":"Sure, {"}`) + `,` + users(`{"text":"Continue."}`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := Options{File: func(id string) (string, string, *translate.Failure) {
				if id != "file-1" && id != "files/abc" {
					return "", "", NoSuchFile("", id)
				}
				return "https://generativelanguage.googleapis.com/v1beta/files/abc", "image/png", nil
			}}
			got := responsesUpstream(t, requestEnv(), o, fmt.Sprintf(`{"model":%q,"input":%s}`, c.model, c.input))
			sameJSON(t, got["contents"], `[`+c.want+`]`)
			if c.system == "" {
				c.system = "null"
			}
			sameJSON(t, got["systemInstruction"], c.system)
		})
	}
}

func TestResponses_Memo(t *testing.T) {
	env := requestEnv()
	env.Memo = fixedMemo{memoKey("gemini-3-flash-preview", "c1"): "U2ln"}
	got := responsesUpstream(t, env, Options{}, `{"model":"gemini-3-flash-preview","input":[{"role":"user","content":"q"},{"type":"function_call","call_id":"c1","name":"w","arguments":"{}"}]}`)
	sameJSON(t, got["contents"].([]any)[1], `{"role":"model","parts":[{"functionCall":{"id":"c1","name":"w","args":{}},"thoughtSignature":"U2ln"}]}`)
}

func TestResponses_Parameters(t *testing.T) {
	const schema = `{"type":"object","properties":{"b":{"type":"string"},"a":{"type":"string"}},"required":["b","a"],"additionalProperties":false}`
	for _, c := range []struct{ name, model, members, want string }{
		{"20.1 instructions come first", m3, `"instructions":"I","input":[{"role":"system","content":"S"},{"role":"user","content":"q"}]`, `{"systemInstruction":{"parts":[{"text":"I"},{"text":"S"}]}}`},
		{"20.1 numbers", m25, `"temperature":0.5,"top_p":0.9,"max_output_tokens":100`, `{"generationConfig":{"temperature":0.5,"topP":0.9,"maxOutputTokens":100}}`},
		{"20.1 service_tier", m3, `"service_tier":"flex"`, `{"serviceTier":"flex"}`},
		{"20.1 logprobs", m2, `"top_logprobs":3,"include":["message.output_text.logprobs"]`, `{"generationConfig":{"responseLogprobs":true,"logprobs":3}}`},
		{"20.1 include of logprobs without support", m3, `"include":["message.output_text.logprobs","file_search_call.results"]`, `{}`},
		{"20.1 ignored fields", m3, `"metadata":{"a":"b"},"user":"u","prompt_cache_key":"k","safety_identifier":"s","truncation":"auto","max_tool_calls":3,"context_management":[{"type":"compaction"}],"client_metadata":{"x":1},"stream_options":{"include_obfuscation":false},"background":false,"prompt":null,"conversation":null,"previous_response_id":null,"unheard_of":1`, `{}`},
		{"20.1 text.format text", m3, `"text":{"format":{"type":"text"},"verbosity":"low"}`, `{}`},
		{"20.1 text.format json_object", m3, `"text":{"format":{"type":"json_object"}}`, `{"generationConfig":{"responseMimeType":"application/json"}}`},
		{"20.1 text.format json_schema is flat", m3, `"text":{"format":{"type":"json_schema","name":"n","strict":true,"schema":` + schema + `}}`, `{"generationConfig":{"responseMimeType":"application/json","responseJsonSchema":` + schema + `}}`},
		{"8.1 effort by level", m3, `"reasoning":{"effort":"low"}`, `{"generationConfig":{"thinkingConfig":{"thinkingLevel":"LOW"}}}`},
		{"8.1 effort by budget, with summary", m25, `"reasoning":{"effort":"medium","summary":"auto"}`, `{"generationConfig":{"thinkingConfig":{"includeThoughts":true,"thinkingBudget":8192}}}`},
		{"8.1 summary alone", m3, `"reasoning":{"summary":"detailed"}`, `{"generationConfig":{"thinkingConfig":{"includeThoughts":true}}}`},
		{"8.1 generate_summary", m3, `"reasoning":{"effort":null,"generate_summary":"concise"}`, `{"generationConfig":{"thinkingConfig":{"includeThoughts":true}}}`},
		{"8.1 effort none shows nothing", m25, `"reasoning":{"effort":"none","summary":"auto"}`, `{"generationConfig":{"thinkingConfig":{"thinkingBudget":0}}}`},
		{"8.2 pass-through", m3, `"extra_body":{"google":{"thinking_config":{"thinking_level":"high"}}},"safety_settings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"OFF"}]`,
			`{"generationConfig":{"thinkingConfig":{"thinkingLevel":"HIGH"}},"safetySettings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"OFF"}]}`},
		{"5.1 flat function tool", m25, `"tools":[{"type":"function","name":"w","description":"d","parameters":` + schema + `,"strict":false}]`,
			`{"tools":[{"functionDeclarations":[{"name":"w","description":"d","parametersJsonSchema":` + schema + `}]}]}`},
		{"5.1 strict", m25, `"tools":[{"type":"function","name":"w","parameters":null,"strict":true}]`,
			`{"tools":[{"functionDeclarations":[{"name":"w"}]}],"toolConfig":{"functionCallingConfig":{"mode":"VALIDATED"}}}`},
		{"5.2 flat custom tool with a grammar", m25, `"tools":[{"type":"custom","name":"p","description":"d","format":{"type":"grammar","syntax":"lark","definition":"G"}}]`,
			`{"tools":[{"functionDeclarations":[{"name":"p","description":"d\n\nThe input must follow this grammar:\nG","parametersJsonSchema":` + customSchema + `}]}]}`},
		{"5.2 web_search", m25, `"tools":[{"type":"web_search","search_context_size":"low"}]`, `{"tools":[{"googleSearch":{}}]}`},
		{"5.2 code_interpreter", m25, `"tools":[{"type":"code_interpreter","container":{"type":"auto"}}]`, `{"tools":[{"codeExecution":{}}]}`},
		{"5.2 image_generation", "gemini-3-pro-image", `"tools":[{"type":"image_generation"}]`, `{"generationConfig":{"responseModalities":["TEXT","IMAGE"]}}`},
		{"6 image_generation chosen", "gemini-3-pro-image", `"tools":[{"type":"image_generation"}],"tool_choice":{"type":"image_generation"}`, `{"generationConfig":{"responseModalities":["TEXT","IMAGE"]}}`},
		{"5.5 search and functions on 3", m3, `"tools":[{"type":"web_search"},{"type":"function","name":"w"}]`,
			`{"tools":[{"googleSearch":{}},{"functionDeclarations":[{"name":"w"}]}],"toolConfig":{"functionCallingConfig":{"mode":"VALIDATED"},"includeServerSideToolInvocations":true}}`},
		{"E search and functions on 2.5: functions win", m25, `"tools":[{"type":"web_search"},{"type":"function","name":"w"}]`, `{"tools":[{"functionDeclarations":[{"name":"w"}]}]}`},
		{"E namespace is flattened", m25, `"tools":[{"type":"namespace","name":"mcp","description":"d","tools":[{"type":"function","name":"a","description":"A"},{"type":"function","name":"b"}]},{"type":"namespace","name":"x__","tools":[{"type":"function","name":"a"}]}]`,
			`{"tools":[{"functionDeclarations":[{"name":"mcp__a","description":"A"},{"name":"mcp__b"},{"name":"x__a"}]}]}`},
		{"E tool_search is ignored", m25, `"tools":[{"type":"tool_search"},{"type":"function","name":"w"}]`, `{"tools":[{"functionDeclarations":[{"name":"w"}]}]}`},
		{"6 required", m25, `"tools":[{"type":"function","name":"w"}],"tool_choice":"required"`, `{"tools":[{"functionDeclarations":[{"name":"w"}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY"}}}`},
		{"6 none", m25, `"tools":[{"type":"function","name":"w"}],"tool_choice":"none"`, `{"tools":[{"functionDeclarations":[{"name":"w"}]}],"toolConfig":{"functionCallingConfig":{"mode":"NONE"}}}`},
		{"6 flat function", m25, `"tools":[{"type":"function","name":"w"}],"tool_choice":{"type":"function","name":"w"}`, `{"tools":[{"functionDeclarations":[{"name":"w"}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["w"]}}}`},
		{"6 custom", m25, `"tools":[{"type":"custom","name":"w"}],"tool_choice":{"type":"custom","name":"w"}`, `{"tools":[{"functionDeclarations":[{"name":"w","parametersJsonSchema":` + customSchema + `}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["w"]}}}`},
		{"6 allowed_tools is flat", m25, `"tools":[{"type":"function","name":"w"},{"type":"function","name":"v"}],"tool_choice":{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"v"}]}`,
			`{"tools":[{"functionDeclarations":[{"name":"w"},{"name":"v"}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["v"]}}}`},
		{"6 web_search_preview", m25, `"tools":[{"type":"web_search_preview"}],"tool_choice":{"type":"web_search_preview"}`, `{"tools":[{"googleSearch":{}}]}`},
		{"E choice with a namespace", m25, `"tools":[{"type":"namespace","name":"mcp","tools":[{"type":"function","name":"a"}]}],"tool_choice":{"type":"function","name":"a","namespace":"mcp"}`,
			`{"tools":[{"functionDeclarations":[{"name":"mcp__a"}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["mcp__a"]}}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			members := c.members
			if !strings.Contains(members, `"input"`) {
				members += `,"input":"q"`
			}
			got := responsesUpstream(t, requestEnv(), Options{}, fmt.Sprintf(`{"model":%q,%s}`, c.model, members))
			delete(got, "contents")
			sameJSON(t, any(got), c.want)
		})
	}
}

func TestResponses_Rejects(t *testing.T) {
	for _, c := range []struct{ name, members, param, code string }{
		{"no input", `"model":"m"`, "input", ""},
		{"empty input", `"input":[]`, "input", ""},
		{"input of nothing", `"input":""`, "input", ""},
		{"input of another type", `"input":5`, "input", ""},
		{"no model", `"model":null,"input":"q"`, "model", ""},
		{"item of another type", `"input":["q"]`, "input[0]", ""},
		{"item without type and role", `"input":[{"content":"q"}]`, "input[0].type", ""},
		{"unknown item", `"input":[{"role":"user","content":"q"},{"type":"poem"}]`, "input[1].type", ""},
		{"20.2 item_reference", `"input":[{"type":"item_reference","id":"msg_1"}]`, "input[0].id", ""},
		{"20.2 unknown role", `"input":[{"role":"tool","content":"q"}]`, "input[0].role", ""},
		{"message without role", `"input":[{"type":"message","content":"q"}]`, "input[0].role", ""},
		{"system with an image", `"input":[{"role":"system","content":[{"type":"input_image","image_url":"x"}]}]`, "input[0].content[0].type", ""},
		{"part of another kind", `"input":[{"role":"user","content":[{"type":"poem"}]}]`, "input[0].content[0].type", ""},
		{"remote image", `"input":[{"role":"user","content":[{"type":"input_image","image_url":"https://example.com/a.png"}]}]`, "input[0].content[0].image_url", ""},
		{"image without source", `"input":[{"role":"user","content":[{"type":"input_image"}]}]`, "input[0].content[0].image_url", ""},
		{"unknown file", `"input":[{"role":"user","content":[{"type":"input_file","file_id":"file-9"}]}]`, "input[0].content[0].file_id", ""},
		{"file data that is none", `"input":[{"role":"user","content":[{"type":"input_file","file_data":"***"}]}]`, "input[0].content[0].file_data", ""},
		{"detail unknown", `"input":[{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,iVBORw0KGgo=","detail":"x"}]}]`, "input[0].content[0].detail", ""},
		{"call without name", `"input":[{"type":"function_call","call_id":"c"}]`, "input[0].name", ""},
		{"arguments of another type", `"input":[{"type":"function_call","call_id":"c","name":"w","arguments":5}]`, "input[0].arguments", ""},
		{"input of a custom call", `"input":[{"type":"custom_tool_call","call_id":"c","name":"w","input":5}]`, "input[0].input", ""},
		{"call_id of another type", `"input":[{"type":"function_call","call_id":5,"name":"w"}]`, "input[0].call_id", ""},
		{"call_id of an output", `"input":[{"type":"function_call_output","call_id":5,"output":"r"}]`, "input[0].call_id", ""},
		{"output of another type", `"input":[{"type":"function_call_output","call_id":"c","output":5}]`, "input[0].output", ""},
		{"output with a bad part", `"input":[{"type":"function_call_output","call_id":"c","output":[{"type":"poem"}]}]`, "input[0].output[0].type", ""},
		{"image that is none", `"input":[{"type":"image_generation_call","result":"***"}]`, "input[0].result", ""},
		{"20.1 background", `"input":"q","background":true`, "background", "unsupported_parameter"},
		{"20.1 prompt", `"input":"q","prompt":{"id":"p"}`, "prompt", "unsupported_parameter"},
		{"20.1 conversation", `"input":"q","conversation":"conv_1"`, "conversation", "unsupported_parameter"},
		{"20.1 previous_response_id without a store", `"input":"q","previous_response_id":"resp_1"`, "previous_response_id", "unsupported_parameter"},
		{"instructions", `"input":"q","instructions":["x"]`, "instructions", ""},
		{"metadata", `"input":"q","metadata":"x"`, "metadata", ""},
		{"store", `"input":"q","store":"yes"`, "store", ""},
		{"include", `"input":"q","include":"x"`, "include", ""},
		{"include of others", `"input":"q","include":[1]`, "include[0]", ""},
		{"max_output_tokens", `"input":"q","max_output_tokens":0`, "max_output_tokens", ""},
		{"temperature", `"input":"q","temperature":3`, "temperature", ""},
		{"top_logprobs without support", `"input":"q","top_logprobs":3`, "top_logprobs", ""},
		{"effort", `"input":"q","reasoning":{"effort":"much"}`, "reasoning.effort", ""},
		{"effort of another type", `"input":"q","reasoning":{"effort":5}`, "reasoning.effort", ""},
		{"summary", `"input":"q","reasoning":{"summary":"much"}`, "reasoning.summary", ""},
		{"reasoning", `"input":"q","reasoning":"high"`, "reasoning", ""},
		{"8.2 effort and thinking_config", `"input":"q","reasoning":{"effort":"low"},"google":{"thinking_config":{}}`, "google.thinking_config", ""},
		{"text", `"input":"q","text":"x"`, "text", ""},
		{"text.format", `"input":"q","text":{"format":"json"}`, "text.format", ""},
		{"text.format.type", `"input":"q","text":{"format":{}}`, "text.format.type", ""},
		{"9.1 grammar", `"input":"q","text":{"format":{"type":"grammar"}}`, "text.format.type", ""},
		{"text.format.schema", `"input":"q","text":{"format":{"type":"json_schema","name":"n","schema":5}}`, "text.format.schema", ""},
		{"5.2 file_search", `"input":"q","tools":[{"type":"file_search"}]`, "tools[0].type", ""},
		{"5.2 image_generation on a text model", `"input":"q","tools":[{"type":"image_generation"}]`, "tools[0].type", ""},
		{"tool without name", `"input":"q","tools":[{"type":"function"}]`, "tools[0].function", ""},
		{"tools of one name", `"input":"q","tools":[{"type":"function","name":"w"},{"type":"function","name":"w"}]`, "tools[1].name", ""},
		{"namespace without tools", `"input":"q","tools":[{"type":"namespace","name":"n"}]`, "tools[0].tools", ""},
		{"namespace with another kind", `"input":"q","tools":[{"type":"namespace","name":"n","tools":[{"type":"web_search","name":"x"}]}]`, "tools[0].tools[0].type", ""},
		{"6 unknown tool chosen", `"input":"q","tools":[{"type":"function","name":"w"}],"tool_choice":{"type":"function","name":"v"}`, "tool_choice", ""},
		{"6 image_generation chosen on a text model", `"input":"q","tool_choice":{"type":"image_generation"}`, "tool_choice", ""},
		{"6 required without tools", `"input":"q","tool_choice":"required"`, "tool_choice", ""},
		{"model that speaks", `"model":"gemini-2.5-flash-preview-tts","input":"q"`, "model", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			members := c.members
			if !strings.Contains(members, `"model"`) {
				members = `"model":"gemini-3-flash-preview",` + members
			}
			x, f := NewResponses(requestEnv(), Options{}, []byte(`{`+members+`}`))
			if f == nil {
				t.Fatalf("accepted: %s", x.Call().Whole())
			}
			if f.Param != c.param || f.Code != c.code || f.Message == "" {
				t.Errorf("param %q code %q: %s", f.Param, f.Code, f.Message)
			}
		})
	}
	for _, body := range []string{``, `[]`, `{"model":`, `"x"`} {
		if _, f := NewResponses(requestEnv(), Options{}, []byte(body)); f == nil || f.Kind != translate.InvalidRequest {
			t.Errorf("%q: %v", body, f)
		}
	}
	if _, f := NewResponses(requestEnv(), Options{Strict: true}, []byte(`{"model":"m","input":"q","unheard_of":1}`)); f == nil || f.Param != "unheard_of" {
		t.Errorf("strict: %v", f)
	}
}

// TestResponses_Golden compares whole requests of real clients.
func TestResponses_Golden(t *testing.T) {
	files, err := filepath.Glob("testdata/responses/*/client.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden requests", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			x, f := NewResponses(requestEnv(), Options{}, body)
			if f != nil {
				t.Fatal(f)
			}
			want := filepath.Join(filepath.Dir(file), "upstream.json")
			if *update {
				if err := os.WriteFile(want, append(x.Call().Whole(), '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			doc, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(x.Call().Whole()) + "\n"; got != string(doc) {
				t.Errorf("\n got %s\nwant %s", got, doc)
			}
		})
	}
}

func TestResponses_Call(t *testing.T) {
	x, f := NewResponses(requestEnv(), Options{}, []byte(`{"model":"models/gemini-2.5-flash","input":"q","stream":true}`))
	if f != nil {
		t.Fatal(f)
	}
	if c := x.Call(); c.Path != "/v1beta/models/gemini-2.5-flash:streamGenerateContent" || c.Query != "alt=sse" || c.Stream != translate.SSE || !c.Generate || c.Model != "gemini-2.5-flash" || c.Asked != "gemini-2.5-flash" {
		t.Errorf("%+v", c)
	}
	if x.ContentType() != "text/event-stream; charset=utf-8" || x.Heartbeat() == "" {
		t.Error(x.ContentType())
	}
	x, _ = NewResponses(requestEnv(), Options{}, []byte(`{"model":"gemini-2.5-flash","input":"q"}`))
	if c := x.Call(); c.Path != "/v1beta/models/gemini-2.5-flash:generateContent" || c.Query != "" || c.Stream != translate.Unary {
		t.Errorf("%+v", c)
	}
}

func TestResponses_Unsign(t *testing.T) {
	x, f := NewResponses(requestEnv(), Options{}, []byte(`{"model":"gemini-3-flash-preview","input":[{"role":"user","content":"q"},`+
		reasoned(signedCall, "c1", "U2ln")+`,{"type":"function_call","call_id":"c1","name":"w","arguments":"{}"}]}`))
	if f != nil {
		t.Fatal(f)
	}
	if !x.Unsign() || x.Unsign() {
		t.Error("not once")
	}
	v, err := rawjson.Parse(x.Call().Whole())
	if err != nil || !strings.Contains(string(v), "skip_thought_signature_validator") || strings.Contains(string(v), "U2ln") {
		t.Errorf("%s", v)
	}
}

func TestResponses_ManyItems(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"model":"gemini-3-flash-preview","input":[{"role":"user","content":"q"}`)
	for i := range 4_999 {
		fmt.Fprintf(&b, `,{"type":"function_call","call_id":"c%d","name":"w","arguments":"{}"},{"type":"function_call_output","call_id":"c%d","output":"r"}`, i, i)
	}
	got := responsesUpstream(t, requestEnv(), Options{}, b.String()+`]}`)
	if n := len(got["contents"].([]any)); n != 1+2*4_999 {
		t.Errorf("%d contents", n)
	}
	if _, f := NewResponses(requestEnv(), Options{}, []byte(b.String()+strings.Repeat(`,{"role":"user","content":"q"}`, 5)+`]}`)); f == nil || f.Param != "input" {
		t.Errorf("too many: %v", f)
	}
}

func TestInputTokens(t *testing.T) {
	x, f := NewInputTokens(requestEnv(), Options{}, []byte(`{"model":"gemini-2.5-flash","instructions":"I","input":"q","tools":[{"type":"function","name":"w"}],"personality":"friendly"}`))
	if f != nil {
		t.Fatal(f)
	}
	c := x.Call()
	if c.Path != "/v1beta/models/gemini-2.5-flash:countTokens" || c.Generate || c.Stream != translate.Unary {
		t.Errorf("%+v", c)
	}
	sameJSON(t, parsed(t, string(c.Body)), `{"generateContentRequest":{"model":"models/gemini-2.5-flash","systemInstruction":{"parts":[{"text":"I"}]},"contents":[{"role":"user","parts":[{"text":"q"}]}],"tools":[{"functionDeclarations":[{"name":"w"}]}]}}`)
	out, err := x.Response([]byte("x"), []byte(`{"totalTokens":31,"promptTokensDetails":[{"modality":"TEXT","tokenCount":31}]}`))
	if err != nil || string(out) != `x{"object":"response.input_tokens","input_tokens":31}` {
		t.Errorf("%s, %v", out, err)
	}
	for _, doc := range []string{`{}`, `{"totalTokens":"many"}`, `[]`, `{"totalTokens":`, `{"error":{"code":400}}`} {
		if out, err := x.Response(nil, []byte(doc)); err == nil {
			t.Errorf("%s became %s", doc, out)
		}
	}
	if _, f := NewInputTokens(requestEnv(), Options{}, []byte(`{"model":"m"}`)); f == nil || f.Param != "input" {
		t.Errorf("%v", f)
	}
	x, f = NewInputTokens(requestEnv(), Options{}, []byte(`{"model":"gemini-3-flash-preview","input":[{"role":"user","content":"q"},`+reasoned(signedCall, "c1", "U2ln")+`,{"type":"function_call","call_id":"c1","name":"w"}]}`))
	if f != nil || !x.Unsign() || strings.Contains(string(x.Call().Whole()), "U2ln") || !json.Valid(x.Call().Whole()) {
		t.Errorf("%v %s", f, x.Call().Whole())
	}
}
