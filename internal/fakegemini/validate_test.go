// SPDX-License-Identifier: Apache-2.0

package fakegemini

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

func clientTLS(s *Server) *tls.Config {
	return &tls.Config{RootCAs: s.Roots, MinVersion: tls.VersionTLS12}
}

const (
	user   = `{"role":"user","parts":[{"text":"weather?"}]}`
	tools  = `"tools":[{"functionDeclarations":[{"name":"weather","parameters":{"type":"OBJECT","properties":{"city":{"type":"STRING"},"unit":{"type":"STRING","enum":["c","f"]}},"required":["city"]}},{"name":"clock"}]}]`
	signed = `,"thoughtSignature":"skip_thought_signature_validator"`
)

func model(parts string) string { return `{"role":"model","parts":[` + parts + `]}` }
func call(id, name, sig string) string {
	return `{"functionCall":{"id":"` + id + `","name":"` + name + `","args":{}}` + sig + `}`
}
func result(id, name string) string {
	return `{"functionResponse":{"id":"` + id + `","name":"` + name + `","response":{"t":4}}}`
}
func turn(parts ...string) string {
	return `{"role":"user","parts":[` + strings.Join(parts, ",") + `]}`
}

func TestValidation(t *testing.T) {
	c := start(t, Config{})
	for name, v := range map[string]struct{ model, body, want string }{
		"fine":                      {"gemini-3.8-flash", `{"contents":[` + user + `]}`, ""},
		"snake case":                {"gemini-3.8-flash", `{"contents":[` + user + `],"system_instruction":{"parts":[{"text":"s"}]},"generation_config":{"max_output_tokens":9}}`, ""},
		"unknown at the top":        {"gemini-3.8-flash", `{"contents":[` + user + `],"messages":[]}`, `Unknown name "messages": Cannot find field.`},
		"unknown in a schema":       {"gemini-3.8-flash", `{"contents":[` + user + `],"tools":[{"functionDeclarations":[{"name":"f","parameters":{"type":"OBJECT","properties":{"a":{"const":1}}}}]}]}`, `Unknown name "const" at 'tools[0].function_declarations[0].parameters.properties[0].value': Cannot find field.`},
		"anything in a JSON schema": {"gemini-3.8-flash", `{"contents":[` + user + `],"tools":[{"functionDeclarations":[{"name":"f","parametersJsonSchema":{"type":"object","const":1}}]}]}`, ""},
		"wrong kind":                {"gemini-3.8-flash", `{"contents":["hi"]}`, `Invalid value at 'contents[0]'`},
		"no JSON":                   {"gemini-3.8-flash", `{"contents":`, `Invalid JSON payload received.`},
		"no contents":               {"gemini-3.8-flash", `{}`, `contents is not specified`},
		"no parts":                  {"gemini-3.8-flash", `{"contents":[{"role":"user","parts":[]}]}`, `must not be empty`},
		"empty text":                {"gemini-3.8-flash", `{"contents":[{"role":"user","parts":[{"text":""}]}]}`, `required oneof field 'data'`},
		"two data":                  {"gemini-3.8-flash", `{"contents":[{"role":"user","parts":[{"text":"a","inlineData":{"mimeType":"image/png","data":""}}]}]}`, `oneof field 'data' is already set`},
		"role":                      {"gemini-3.8-flash", `{"contents":[{"role":"assistant","parts":[{"text":"a"}]}]}`, `valid role: user, model`},
		"signature missing":         {"gemini-3.8-flash", `{"contents":[` + user + `,` + model(call("a", "weather", "")) + `,` + turn(result("a", "weather")) + `],` + tools + `}`, "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly, and missing thought_signature may lead to degraded model performance. Additional data, function call `default_api:weather`, position 2."},
		"signature not needed":      {"gemini-2.5-flash", `{"contents":[` + user + `,` + model(call("a", "weather", "")) + `,` + turn(result("a", "weather")) + `],` + tools + `}`, ""},
		"signature of old turns":    {"gemini-3.8-flash", `{"contents":[` + user + `,` + model(call("a", "weather", "")) + `,` + turn(result("a", "weather")) + `,` + model(`{"text":"4"}`) + `,` + user + `],` + tools + `}`, ""},
		"signature placeholder":     {"gemini-3.8-flash", `{"contents":[` + user + `,` + model(call("a", "weather", signed)+`,`+call("b", "clock", "")) + `,` + turn(result("a", "weather"), result("b", "clock")) + `],` + tools + `}`, ""},
		"signature corrupted":       {"gemini-3.8-flash", `{"contents":[` + user + `,` + model(call("a", "weather", `,"thoughtSignature":"Zm9v"`)) + `,` + turn(result("a", "weather")) + `],` + tools + `}`, "Corrupted thought signature."},
		"second step unsigned":      {"gemini-3.8-flash", `{"contents":[` + user + `,` + model(call("a", "weather", signed)) + `,` + turn(result("a", "weather")) + `,` + model(call("b", "clock", "")) + `,` + turn(result("b", "clock")) + `],` + tools + `}`, "`default_api:clock`, position 4"},
		"result missing":            {"gemini-2.5-flash", `{"contents":[` + user + `,` + model(call("a", "weather", "")+`,`+call("b", "clock", "")) + `,` + turn(result("a", "weather")) + `],` + tools + `}`, "number of function response parts is equal"},
		"results swapped":           {"gemini-2.5-flash", `{"contents":[` + user + `,` + model(call("a", "weather", "")+`,`+call("b", "clock", "")) + `,` + turn(result("b", "clock"), result("a", "weather")) + `],` + tools + `}`, "functionResponse.id does not match functionCall.id"},
		"result without call":       {"gemini-2.5-flash", `{"contents":[` + user + `,` + turn(result("a", "weather")) + `]}`, "function response turn comes immediately after a function call turn"},
		"call first":                {"gemini-2.5-flash", `{"contents":[` + model(call("a", "weather", "")) + `,` + turn(result("a", "weather")) + `]}`, "function call turn comes immediately after a user turn"},
		"trailing model turn":       {"gemini-3.8-flash", `{"contents":[` + user + `,` + model(`{"text":"Sure, {"}`) + `]}`, "Requests ending with a model turn are not supported"},
		"trailing turn of old ones": {"gemini-2.5-flash", `{"contents":[` + user + `,` + model(`{"text":"Sure, {"}`) + `]}`, ""},
		"penalty":                   {"gemini-2.5-flash", `{"contents":[` + user + `],"generationConfig":{"frequencyPenalty":0.5}}`, "Penalty is not enabled"},
		"candidates":                {"gemini-3.8-flash", `{"contents":[` + user + `],"generationConfig":{"candidateCount":2}}`, "Multiple candidates is not enabled"},
		"temperature":               {"gemini-3.8-flash", `{"contents":[` + user + `],"generationConfig":{"temperature":3}}`, "temperature must be in the range"},
		"budget and level":          {"gemini-3.8-flash", `{"contents":[` + user + `],"generationConfig":{"thinkingConfig":{"thinkingBudget":1,"thinkingLevel":"LOW"}}}`, "only set only one of thinking budget and thinking level"},
		"JSON with tools":           {"gemini-2.5-flash", `{"contents":[` + user + `],"generationConfig":{"responseMimeType":"application/json"},` + tools + `}`, "Function calling with a response mime type"},
		"JSON with tools, new":      {"gemini-3.8-flash", `{"contents":[` + user + `],"generationConfig":{"responseMimeType":"application/json"},` + tools + `}`, ""},
		"function name":             {"gemini-3.8-flash", `{"contents":[` + user + `],"tools":[{"functionDeclarations":[{"name":"1/read file"}]}]}`, "Invalid function name"},
		"system for gemma":          {"gemma-3-27b-it", `{"contents":[` + user + `],"systemInstruction":{"parts":[{"text":"s"}]}}`, "Developer instruction is not enabled"},
		"too long":                  {"gemma-3-27b-it", `{"contents":[` + turn(`{"text":"`+strings.Repeat("long", 131073)+`"}`) + `]}`, "The input token count (131073) exceeds the maximum number of tokens allowed (131072)."},
	} {
		status, body, err := c.do(v.model, "generateContent", v.body)
		got := ""
		if d, perr := rawjson.Parse([]byte(body)); perr == nil {
			got = d.Get("error").Get("message").Text()
		}
		if err != nil || v.want == "" && status != 200 || v.want != "" && (status != 400 || !strings.Contains(got, v.want)) {
			t.Errorf("%s: %d %s %v", name, status, got, err)
		}
	}
}

func TestFunctionCalls(t *testing.T) {
	c := start(t, Config{})
	body := func(prompt, more string) string {
		return `{"contents":[` + turn(`{"text":"`+prompt+`"}`) + `],` + tools + more + `}`
	}
	for name, v := range map[string]struct{ model, body, want string }{
		"one":             {"gemini-3.8-flash", body("hi", ""), "weather+"},
		"parallel":        {"gemini-3.8-flash", body("in parallel", ""), "weather+ clock-"},
		"three":           {"gemini-3.8-flash", body("[[calls 3]]", ""), "weather+ clock- weather-"},
		"none asked for":  {"gemini-3.8-flash", body("[[no_calls]]", ""), ""},
		"mode none":       {"gemini-3.8-flash", body("hi", `,"toolConfig":{"functionCallingConfig":{"mode":"NONE"}}`), ""},
		"one allowed":     {"gemini-3.8-flash", body("hi", `,"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["clock"]}}`), "clock+"},
		"after a result":  {"gemini-2.5-flash", `{"contents":[` + user + `,` + model(call("a", "weather", "")) + `,` + turn(result("a", "weather")) + `],` + tools + `}`, ""},
		"gemma signs not": {"gemma-3-27b-it", body("hi", ""), "weather-"},
	} {
		r := c.ask(v.model, v.body)
		var got []string
		for _, p := range r.Candidates[0].Parts {
			if p.FunctionCall == nil {
				continue
			}
			mark := "-"
			if len(p.ThoughtSignature) > 0 {
				mark = "+"
			}
			got = append(got, p.FunctionCall.Name.Text()+mark)
			if p.FunctionCall.Name.Is("weather") && string(rawjson.Compact(nil, p.FunctionCall.Args)) != `{"city":"example","unit":"c"}` {
				t.Errorf("%s: args %s", name, p.FunctionCall.Args)
			}
		}
		if strings.Join(got, " ") != v.want || !r.Candidates[0].FinishReason.Is("STOP") {
			t.Errorf("%s: %v", name, got)
		}
	}
	// What it signed comes back accepted.
	r := c.ask("gemini-3.8-flash", body("hi", ""))
	p := r.Candidates[0].Parts[0]
	status, answer, _ := c.do("gemini-3.8-flash", "generateContent", fmt.Sprintf(`{"contents":[%s,%s,%s],%s}`, user,
		model(`{"functionCall":{"id":`+string(p.FunctionCall.ID)+`,"name":"weather","args":{}},"thoughtSignature":`+string(p.ThoughtSignature)+`}`),
		turn(result(p.FunctionCall.ID.Text(), "weather")), tools))
	if status != 200 || !strings.Contains(answer, `The tool weather answered {\"t\":4}`) {
		t.Errorf("%d %s", status, answer)
	}
	_, stream, _ := c.do("gemini-3.8-flash", "streamGenerateContent?alt=sse", body("hi", ""))
	if strings.Count(stream, "data: ") != 2 || !strings.Contains(stream, `{"parts":[{"text":""}],"role":"model"},"finishMessage":"Model generated function call(s).","finishReason":"STOP"`) {
		t.Errorf("stream %s", stream)
	}
}

func TestStructured(t *testing.T) {
	c := start(t, Config{})
	for name, v := range map[string]struct{ config, want string }{
		"free":       {`"responseMimeType":"application/json"`, `{"answer":"weather?"}`},
		"schema":     {`"responseMimeType":"application/json","responseSchema":{"type":"OBJECT","properties":{"n":{"type":"INTEGER","minimum":3},"l":{"type":"ARRAY","minItems":2,"items":{"type":"STRING","format":"date"}},"e":{"type":"STRING","enum":["x","y"]},"b":{"type":"BOOLEAN"}}}`, `{"n":3,"l":["2026-11-25","2026-11-25"],"e":"x","b":true}`},
		"references": {`"responseMimeType":"application/json","responseJsonSchema":{"$ref":"#/$defs/N","$defs":{"N":{"type":"object","properties":{"v":{"type":["string","null"]},"u":{"anyOf":[{"const":7},{"type":"null"}]}}}}}`, `{"v":"example","u":7}`},
		"enum":       {`"responseMimeType":"text/x.enum","responseSchema":{"type":"STRING","enum":["red","blue"]}`, `red`},
		"stop":       {`"stopSequences":["simulated"]`, `This is the `},
		"limit":      {`"maxOutputTokens":4,"thinkingConfig":{"thinkingBudget":0}`, `This is the simu`},
	} {
		model := "gemini-2.5-flash"
		r := c.ask(model, `{"contents":[`+user+`],"generationConfig":{`+v.config+`}}`)
		if got := r.Candidates[0].Parts[0].Text.Text(); got != v.want {
			t.Errorf("%s: %q", name, got)
		}
		if cut := r.Candidates[0].FinishReason.Is("MAX_TOKENS"); cut != (name == "limit") {
			t.Errorf("%s: finish %s", name, r.Candidates[0].FinishReason)
		}
	}
}

func TestRecursiveSchemaEnds(t *testing.T) {
	v, err := rawjson.Parse([]byte(`{"$ref":"#/$defs/N","$defs":{"N":{"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#/$defs/N"}}},"required":["kids"]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rawjson.Parse(instance(nil, v, v, "x", 0)); err != nil {
		t.Error(err)
	}
}
