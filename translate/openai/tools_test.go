// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

const f = `{"type":"function","function":{"name":"f"}}`

// The rows of specs/openai.md §5.1, §5.2, §5.5 and §5.6.
func TestDecodeChat_Tools(t *testing.T) {
	params := func(schema string) string {
		return `"tools":[{"type":"function","function":{"name":"f","parameters":` + schema + `}}]`
	}
	bare := `[{"functionDeclarations":[{"name":"f"}]}]`
	for _, c := range []struct{ name, model, fields, want string }{
		{"none", m3, `"tools":[]`, `null`},
		{"function", m3, `"tools":[{"type":"function","function":{"name":"b","description":"d","strict":false,"parameters":{"type":"object","properties":{"x":{"type":"string"}}}}},{"type":"function","function":{"name":"a"}}]`,
			`[{"functionDeclarations":[{"name":"b","description":"d","parametersJsonSchema":{"type":"object","properties":{"x":{"type":"string"}}}},{"name":"a"}]}]`},
		{"flat function", m3, `"tools":[{"type":"function","name":"f","description":"d"}]`, `[{"functionDeclarations":[{"name":"f","description":"d"}]}]`},
		{"deprecated functions", m3, `"functions":[{"name":"f","parameters":{"type":"object","properties":{"x":{"type":"string"}}}}]`, `[{"functionDeclarations":[{"name":"f","parametersJsonSchema":{"type":"object","properties":{"x":{"type":"string"}}}}]}]`},
		{"parameters null", m3, params(`null`), bare},
		{"parameters {}", m3, params(`{}`), bare},
		{"parameters without properties", m3, params(`{"type":"object"}`), bare},
		{"21.33 parameters with empty properties", m3, params(`{"type":"object","properties":{}}`), bare},
		{"parameters with additionalProperties only", m3, params(`{"type":"object","properties":{},"additionalProperties":false}`), bare},
		{"parameters without type", m3, params(`{"properties":{"x":{}}}`), `[{"functionDeclarations":[{"name":"f","parametersJsonSchema":{"type":"object","properties":{"x":{}}}}]}]`},
		{"strict schema on gemma", "gemma-3-27b-it", params(`{"type":"object","properties":{"x":{"type":["string","null"]}},"additionalProperties":false}`),
			`[{"functionDeclarations":[{"name":"f","parameters":{"type":"object","properties":{"x":{"type":"string","nullable":true}}}}]}]`},
		{"21.31 keywords Gemini refuses", m3, params(`{"$schema":"s","type":"object","properties":{"a":{"const":"v"},"b":{"type":"integer","exclusiveMinimum":0},"c":{"type":["string","null"]}}}`),
			`[{"functionDeclarations":[{"name":"f","parametersJsonSchema":{"type":"object","properties":{"a":{"type":"string","enum":["v"]},"b":{"type":"integer","minimum":1},"c":{"type":["string","null"]}}}}]}]`},
		{"21.30 properties named like keywords", m3, params(`{"type":"object","properties":{"title":{"type":"string"},"format":{"type":"string"},"$ref":{"type":"string"},"required":{"type":"string"}}}`),
			`[{"functionDeclarations":[{"name":"f","parametersJsonSchema":{"type":"object","properties":{"title":{"type":"string"},"format":{"type":"string"},"$ref":{"type":"string"},"required":{"type":"string"}}}}]}]`},
		{"21.32 recursive schema", m3, params(`{"type":"object","properties":{"t":{"$ref":"#/$defs/T"}},"$defs":{"T":{"type":"object","properties":{"t":{"$ref":"#/$defs/T"}}}}}`),
			`[{"functionDeclarations":[{"name":"f","parametersJsonSchema":{"type":"object","properties":{"t":{"$ref":"#/$defs/T"}},"$defs":{"T":{"type":"object","properties":{"t":{"$ref":"#/$defs/T"}}}}}}]}]`},
		{"custom", m3, `"tools":[{"type":"custom","custom":{"name":"f","description":"d"}}]`, `[{"functionDeclarations":[{"name":"f","description":"d","parametersJsonSchema":{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}}]}]`},
		{"custom with a grammar", m3, `"tools":[{"type":"custom","custom":{"name":"f","description":"d","format":{"type":"grammar","grammar":{"syntax":"lark","definition":"G"}}}}]`,
			`[{"functionDeclarations":[{"name":"f","description":"d\n\nThe input must follow this grammar:\nG","parametersJsonSchema":{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}}]}]`},
		{"web_search", m3, `"tools":[{"type":"web_search","user_location":{}}]`, `[{"googleSearch":{}}]`},
		{"web_search_preview", m25, `"tools":[{"type":"web_search_preview_2025_03_11"}]`, `[{"googleSearch":{}}]`},
		{"web_search_options", m25, `"web_search_options":{"search_context_size":"low"}`, `[{"googleSearch":{}}]`},
		{"code_interpreter", m3, `"tools":[{"type":"code_interpreter","container":{"type":"auto"}}]`, `[{"codeExecution":{}}]`},
		{"native keys", m3, `"tools":[{"google_search":{"time_range_filter":{"start_time":"a","endTime":"b"},"x":1}},{"codeExecution":{}},{"url_context":{}},{"googleMaps":{"enableWidget":true}}]`,
			`[{"googleSearch":{"timeRangeFilter":{"startTime":"a","endTime":"b"}}},{"codeExecution":{}},{"urlContext":{}},{"googleMaps":{"enableWidget":true}}]`},
		{"native type", m3, `"tools":[{"type":"google_search"},{"type":"code_execution","code_execution":{}}]`, `[{"googleSearch":{}},{"codeExecution":{}}]`},
		{"native in google", m3, `"google":{"tools":[{"url_context":{}}]}`, `[{"urlContext":{}}]`},
		{"pseudo function", m25, `"tools":[{"type":"function","function":{"name":"googleSearch"}}]`, `[{"googleSearch":{}}]`},
		{"a real function of that name", m25, `"tools":[{"type":"function","function":{"name":"google_search","parameters":{"type":"object","properties":{"q":{"type":"string"}}}}}]`,
			`[{"functionDeclarations":[{"name":"google_search","parametersJsonSchema":{"type":"object","properties":{"q":{"type":"string"}}}}]}]`},
		{"asked for twice", m3, `"web_search_options":{},"tools":[{"type":"web_search"}]`, `[{"googleSearch":{}}]`},
		{"search suffix", m25 + ":search", ``, `[{"googleSearch":{}}]`},
		{"search suffix gives way to functions on 2.5", m25 + ":search", `"tools":[` + f + `]`, bare},
		{"search suffix with functions on 3", m3 + ":search", `"tools":[` + f + `]`, `[{"googleSearch":{}},{"functionDeclarations":[{"name":"f"}]}]`},
		{"choice none drops built-in tools", m3, `"tools":[{"type":"web_search"},` + f + `],"tool_choice":"none"`, bare},
	} {
		t.Run(c.name, func(t *testing.T) {
			sameJSON(t, upstream(t, decodeWith(t, requestEnv(), Options{}, body(c.model, c.fields)))["tools"], c.want)
		})
	}
	t.Run("image_generation", func(t *testing.T) {
		got := upstream(t, decodeWith(t, requestEnv(), Options{}, body("gemini-2.5-flash-image", `"tools":[{"type":"image_generation"}]`)))
		sameJSON(t, got["generationConfig"], `{"responseModalities":["TEXT","IMAGE"]}`)
		sameJSON(t, got["tools"], `null`)
	})
}

// The table of specs/openai.md §6, and what combining tools adds (§5.5).
func TestDecodeChat_ToolChoice(t *testing.T) {
	tools := `"tools":[` + f + `,{"type":"function","function":{"name":"g"}},{"type":"custom","custom":{"name":"c"}}],`
	strictly := `"tools":[{"type":"function","function":{"name":"f","strict":true}}]`
	mode := func(m string) string { return `{"functionCallingConfig":` + m + `}` }
	for _, c := range []struct{ name, model, fields, want string }{
		{"absent", m3, strings.TrimSuffix(tools, ","), `null`},
		{"auto", m3, tools + `"tool_choice":"auto"`, `null`},
		{"auto, strict", m3, strictly, mode(`{"mode":"VALIDATED"}`)},
		{"auto, strict on 2.0", m2, strictly, `null`},
		{"none", m3, tools + `"tool_choice":"none"`, mode(`{"mode":"NONE"}`)},
		{"required", m3, tools + `"tool_choice":"required"`, mode(`{"mode":"ANY"}`)},
		{"any", m3, tools + `"tool_choice":"any"`, mode(`{"mode":"ANY"}`)},
		{"function", m3, tools + `"tool_choice":{"type":"function","function":{"name":"g"}}`, mode(`{"mode":"ANY","allowedFunctionNames":["g"]}`)},
		{"flat function", m3, tools + `"tool_choice":{"type":"function","name":"g"}`, mode(`{"mode":"ANY","allowedFunctionNames":["g"]}`)},
		{"custom", m3, tools + `"tool_choice":{"type":"custom","custom":{"name":"c"}}`, mode(`{"mode":"ANY","allowedFunctionNames":["c"]}`)},
		{"function_call", m3, `"functions":[{"name":"f"}],"function_call":{"name":"f"}`, mode(`{"mode":"ANY","allowedFunctionNames":["f"]}`)},
		{"function_call none", m3, `"functions":[{"name":"f"}],"function_call":"none"`, mode(`{"mode":"NONE"}`)},
		{"allowed_tools auto", m3, tools + `"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"g"}}]}}`, mode(`{"mode":"VALIDATED","allowedFunctionNames":["g"]}`)},
		{"allowed_tools required", m3, tools + `"tool_choice":{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"g"},{"type":"custom","name":"c"}]}`, mode(`{"mode":"ANY","allowedFunctionNames":["g","c"]}`)},
		{"built-in that is there", m3, `"tools":[{"type":"web_search_preview"}],"tool_choice":{"type":"web_search_preview"}`, `null`},
		{"none without tools", m3, `"tool_choice":"none"`, `null`},
		{"auto without tools", m3, `"tool_choice":"auto"`, `null`},
		{"mixed tools", m3, `"tools":[` + f + `,{"type":"web_search"}]`, `{"functionCallingConfig":{"mode":"VALIDATED"},"includeServerSideToolInvocations":true}`},
		{"mixed tools required", m3, `"tool_choice":"required","tools":[` + f + `,{"type":"web_search"}]`, `{"functionCallingConfig":{"mode":"ANY"},"includeServerSideToolInvocations":true}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			sameJSON(t, upstream(t, decodeWith(t, requestEnv(), Options{}, body(c.model, c.fields)))["toolConfig"], c.want)
		})
	}
	t.Run("allowed_tools without VALIDATED", func(t *testing.T) {
		got := upstream(t, decodeWith(t, requestEnv(), Options{}, body(m2, tools+`"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"g"}}]}}`)))
		sameJSON(t, got["tools"], `[{"functionDeclarations":[{"name":"g"}]}]`)
		sameJSON(t, got["toolConfig"], `null`)
	})
	t.Run("json with ANY on 2.5", func(t *testing.T) {
		got := upstream(t, decodeWith(t, requestEnv(), Options{}, body(m25, tools+`"tool_choice":"required","response_format":{"type":"json_schema","json_schema":{"schema":{"type":"object","properties":{"a":{}}}}}`)))
		sameJSON(t, got["generationConfig"], `null`)
		if s := got["systemInstruction"]; s == nil {
			t.Error("the schema got lost")
		}
	})
}

func TestChatRequest_ToolName(t *testing.T) {
	names := []string{"1/read file", "_1_read_file", "été", "mcp/a", "mcp a", "ok.name:x-1", strings.Repeat("n", 70), strings.Repeat("n", 71)}
	var tools []string
	for _, n := range names {
		tools = append(tools, `{"type":"function","function":{"name":"`+n+`"}}`)
	}
	r := decodeWith(t, requestEnv(), Options{}, `{"model":"gemini-3-flash-preview","messages":[{"role":"user","content":"q"},
		{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"1/read file","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":""}],
		"tools":[`+strings.Join(tools, ",")+`]}`)
	sent := map[string]bool{}
	for i, d := range r.Gemini.Tools[0].Functions {
		if !gemini.ValidToolName(d.Name) || sent[d.Name] {
			t.Errorf("%q was sent as %q", names[i], d.Name)
		}
		sent[d.Name] = true
		for _, prefix := range []string{"", "default_api:", "default_api."} {
			if got := r.ToolName(prefix + d.Name); got != names[i] {
				t.Errorf("ToolName(%q) = %q, want %q", prefix+d.Name, got, names[i])
			}
		}
	}
	// 21.47; the clean name is another tool's here, so that this one got a number.
	if got := r.Gemini.Tools[0].Functions[0].Name; got != "_1_read_file_2" {
		t.Errorf("sent %q", got)
	}
	if call := r.Gemini.Contents[1].Parts[0].FunctionCall; call.Name.Text() != "_1_read_file_2" {
		t.Errorf("history names %s", call.Name)
	}
	if response := r.Gemini.Contents[2].Parts[0].FunctionResponse; response.Name.Text() != "_1_read_file_2" {
		t.Errorf("result names %s", response.Name)
	}
	for _, unknown := range []string{"other", "default_api:other", ""} {
		if got := r.ToolName(unknown); got != unknown {
			t.Errorf("ToolName(%q) = %q", unknown, got)
		}
	}
}

func TestChatRequest_CustomTool(t *testing.T) {
	r := decodeWith(t, requestEnv(), Options{}, body(m3, `"tools":[`+f+`,{"type":"custom","custom":{"name":"c"}}]`))
	if !r.CustomTool("c") || r.CustomTool("f") || r.CustomTool("x") {
		t.Error("custom tools are mixed up")
	}
}

// TestDecodeChat_DefaultSearchCached: cached content has its own tools, so that an operator's
// search must not have the request refused.
func TestDecodeChat_DefaultSearchCached(t *testing.T) {
	searching := Options{Defaults: func(string, string) translate.Defaults { return translate.Defaults{Search: true} }}
	for more, want := range map[string]string{``: `[{"googleSearch":{}}]`, `"cached_content":"cachedContents/a"`: `null`} {
		got := upstream(t, decodeWith(t, requestEnv(), searching, body(m3, more)))
		sameJSON(t, got["tools"], want)
	}
}
