// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"slices"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate/schema"
)

// declared is a tool with one property.
func declared(name, more string) string {
	return `{"name":"` + name + `","input_schema":{"type":"object","properties":{"a":{"type":"string"}}}` + more + `}`
}

// The text of C.3, but for results.
func TestDecode_Tools(t *testing.T) {
	const at = "tools"
	one := `[{"functionDeclarations":[{"name":"f","parametersJsonSchema":{"type":"object","properties":{"a":{"type":"string"}}}}]}]`
	f := func(more string) string { return `"tools":[` + declared("f", more) + `]` }
	search := `{"type":"web_search_20250305","name":"web_search","max_uses":8,"user_location":{"type":"approximate"}}`
	testRows(t, Options{}, []requestRow{
		{"none", m38, `"tools":[]`, at, `null`},
		{"custom", m38, f(`,"type":"custom","strict":false,"input_examples":[{"a":"b"}],"cache_control":{"type":"ephemeral"},"eager_input_streaming":true,"allowed_callers":["direct"]`), at, one},
		{"description", m38, f(`,"description":"d"`), at + ".0.functionDeclarations.0.description", `"d"`},
		{"empty description", m38, f(`,"description":""`), at, one},
		{"no properties", m38, `"tools":[{"name":"f","input_schema":{"type":"object","properties":{}}}]`, at, `[{"functionDeclarations":[{"name":"f"}]}]`},
		{"keywords of Claude Code", m38, `"tools":[{"name":"f","input_schema":{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"n":{"type":"integer","exclusiveMinimum":0,"default":1},"s":{"type":"string","maxLength":3,"pattern":"^a"}},"required":["n"],"additionalProperties":false}}]`, at + ".0.functionDeclarations.0.parametersJsonSchema",
			`{"type":"object","properties":{"n":{"type":"integer","minimum":1,"default":1},"s":{"type":"string","maxLength":3,"pattern":"^a"}},"required":["n"],"additionalProperties":false}`},
		{"older subset", m20, f(``), at, `[{"functionDeclarations":[{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"string"}}}}]}]`},
		{"impossible name", m38, `"tools":[` + declared("a/b", "") + `,` + declared("a_b", "") + `]`, at + ".0.functionDeclarations.0.name", `"a_b_2"`},
		{"long name", m38, `"tools":[` + declared(strings.Repeat("a", 128), "") + `]`, at + ".0.functionDeclarations.0.name", `"` + strings.Repeat("a", 64) + `"`},

		{"deferred", m38, `"tools":[` + declared("f", "") + `,` + declared("DeferredToolPlaceholder", `,"defer_loading":true`) + `]`, at, one},
		{"deferred alone", m38, `"tools":[` + declared("x", `,"defer_loading":true`) + `]`, at, `null`},
		{"deferred and chosen", m38, f(`,"defer_loading":true`) + `,"tool_choice":{"type":"tool","name":"f"}`, at, one},
		{"deferred and searched for by the server", m38, `"tools":[` + declared("f", `,"defer_loading":true`) + `,{"type":"tool_search_tool_regex_20251119","name":"tool_search_tool_regex"}]`, at, one},
		{"loaded by reference", m38, f(`,"defer_loading":true`) + `,` + inUser(`{"type":"tool_result","tool_use_id":"t","content":[{"type":"tool_reference","tool_name":"f"}]}`), at, one},
		{"loaded by the server's search", m38, f(`,"defer_loading":true`) + `,` + inAssistant(`{"type":"tool_search_tool_result","tool_use_id":"t","content":{"type":"tool_search_tool_search_result","tool_references":[{"type":"tool_reference","tool_name":"f"}]}}`), at, one},
		{"added", m38, f(`,"defer_loading":true`) + `,` + inUser(`{"type":"tool_addition","tool":{"type":"tool_reference","name":"f"}},{"type":"text","text":"a"}`), at, one},
		{"added by a system message", m38, f(`,"defer_loading":true`) + `,"messages":[{"role":"user","content":"q"},{"role":"system","content":[{"type":"tool_addition","tool":{"type":"tool_reference","name":"f"}}]}]`, at, one},
		{"removed", m38, f(``) + `,` + inUser(`{"type":"tool_removal","tool":{"type":"tool_reference","name":"f"}},{"type":"text","text":"a"}`), at, `null`},
		{"removed and added again", m38, f(``) + `,` + inUser(`{"type":"tool_removal","tool":{"type":"tool_reference","name":"f"}},{"type":"tool_addition","tool":{"type":"tool_reference","name":"f"}},{"type":"text","text":"a"}`), at, one},
		{"defined amid the conversation", m38, inUser(`{"type":"tool_addition","tool":{"type":"tool_definition","definition":` + declared("f", "") + `}},{"type":"text","text":"a"}`), at, one},
		{"defined twice", m38, f(``) + `,` + inUser(`{"type":"tool_addition","tool":{"type":"tool_definition","definition":`+declared("f", "")+`}},{"type":"text","text":"a"}`), at, one},
		{"added before a compaction", m38, f(`,"defer_loading":true`) + `,` + inUser(`{"type":"compaction","content":"so far","tool_changes":[{"type":"tool_addition","tool":{"type":"tool_reference","name":"f"}}]}`), at, one},

		{"web search", m38, `"tools":[` + search + `],"tool_choice":{"type":"auto"}`, at, `[{"googleSearch":{}}]`},
		{"web search with functions", m38, `"tools":[` + search + `,` + declared("f", "") + `]`, at, `[{"googleSearch":{}},` + one[1:]},
		{"… needs a flag", m38, `"tools":[` + search + `,` + declared("f", "") + `]`, "toolConfig", `{"includeServerSideToolInvocations":true,"functionCallingConfig":{"mode":"VALIDATED"}}`},
		{"web search with functions of 2.5", m25, `"tools":[` + search + `,` + declared("f", "") + `]`, at, one},
		{"… without the flag", m25, `"tools":[` + search + `,` + declared("f", "") + `]`, "toolConfig", `null`},
		{"web search with deferred functions of 2.5", m25, `"tools":[` + search + `,` + declared("f", `,"defer_loading":true`) + `]`, at, `[{"googleSearch":{}}]`},
		{"web fetch", m38, `"tools":[{"type":"web_fetch_20250910","name":"web_fetch","citations":{"enabled":true}}]`, at, `[{"urlContext":{}}]`},
		{"code execution", m38, `"tools":[{"type":"code_execution_20250825","name":"code_execution"}]`, at, `[{"codeExecution":{}}]`},
		{"all three", m38, `"tools":[{"type":"code_execution_20250825","name":"c"},{"type":"web_fetch_20250910","name":"w"},` + search + `]`, at, `[{"googleSearch":{}},{"urlContext":{}},{"codeExecution":{}}]`},
		{"advisor", m38, `"tools":[{"type":"advisor_20260301","name":"advisor","model":"claude-opus-5-5"},` + declared("f", "") + `]`, at, one},
		{"domains", m38, `"tools":[{"type":"web_search_20250305","name":"web_search","allowed_domains":["a.com","b.com"]},{"type":"web_fetch_20250910","name":"web_fetch","blocked_domains":["c.com"]}]`, "systemInstruction.parts",
			`[{"text":"Only use web pages of these domains: a.com, b.com."},{"text":"Do not use web pages of these domains: c.com."}]`},
	})
}

// Source: C.3, tool_choice; OS§6.
func TestDecode_ToolChoice(t *testing.T) {
	tools := func(more string) string { return `"tools":[` + declared("a/b", more) + `,` + declared("c", "") + `]` }
	with := func(choice string) string { return tools("") + `,"tool_choice":` + choice }
	search := `"tools":[{"type":"web_search_20250305","name":"web_search"}]`
	const at = "toolConfig.functionCallingConfig"
	testRows(t, Options{}, []requestRow{
		{"none said", m38, tools(""), "toolConfig", `null`},
		{"auto", m38, with(`{"type":"auto"}`), "toolConfig", `null`},
		{"strict", m38, tools(`,"strict":true`), at, `{"mode":"VALIDATED"}`},
		{"strict, auto", m38, tools(`,"strict":true`) + `,"tool_choice":{"type":"auto"}`, at, `{"mode":"VALIDATED"}`},
		{"strict of a model that cannot", m20, tools(`,"strict":true`), at, `null`},
		{"strict, any", m38, tools(`,"strict":true`) + `,"tool_choice":{"type":"any"}`, at, `{"mode":"ANY"}`},
		{"any", m38, with(`{"type":"any"}`), at, `{"mode":"ANY"}`},
		{"tool", m38, with(`{"type":"tool","name":"a/b"}`), at, `{"mode":"ANY","allowedFunctionNames":["a_b"]}`},
		{"none", m38, with(`{"type":"none"}`), at, `{"mode":"NONE"}`},
		{"none keeps declarations", m38, with(`{"type":"none"}`), "tools.0.functionDeclarations.1.name", `"c"`},
		{"none of Google's tools", m38, search + `,"tool_choice":{"type":"none"}`, "tools", `null`},
		{"a server tool", m38, search + `,"tool_choice":{"type":"tool","name":"web_search"}`, "toolConfig", `null`},
		{"a server tool stays", m38, search + `,"tool_choice":{"type":"tool","name":"web_search"}`, "tools", `[{"googleSearch":{}}]`},
		{"any server tool", m38, search + `,"tool_choice":{"type":"any"}`, "toolConfig", `null`},
		{"none without tools", m38, `"tool_choice":{"type":"none"}`, "toolConfig", `null`},
		{"one call", m38, with(`{"type":"auto","disable_parallel_tool_use":true}`), "systemInstruction.parts", `[{"text":"Call at most one function at a time, and wait for its result before you call another."}]`},
		{"one call of no tools", m38, `"tool_choice":{"type":"auto","disable_parallel_tool_use":true}`, "systemInstruction", `null`},
	})
	if r := decodeRequest(t, requestEnv(), Options{}, requestBody(m38, with(`{"type":"any","disable_parallel_tool_use":true}`))); !r.oneCall {
		t.Error("parallel calls are not disabled")
	}
}

// The plan has the server tools that were sent, and the client's names of all.
func TestDecode_ToolPlan(t *testing.T) {
	const tools = `"tools":[{"type":"web_search_20250305","name":"web_search","blocked_domains":["c.com"]},{"type":"code_execution_20250825"},{"name":"a/b","input_schema":{}}]`
	r := decodeRequest(t, requestEnv(), Options{}, requestBody(m38, tools))
	if r.search == nil || r.search.typ != "web_search_20250305" || !slices.Equal(r.search.blocked, []string{"c.com"}) || r.fetch != nil || r.code == nil || r.code.name != "code_execution" {
		t.Errorf("%+v %+v %+v", r.search, r.fetch, r.code)
	}
	for sent, name := range map[string]string{"a_b": "a/b", "default_api:a_b": "a/b", "other": "other"} {
		if got := r.names.Client(sent); got != name {
			t.Errorf("%s is %s", sent, got)
		}
	}
	if r := decodeRequest(t, requestEnv(), Options{}, requestBody(m25, tools)); r.search != nil || r.code != nil {
		t.Error("server tools that gave way are planned for")
	}
}

// Names are the same in declarations, history, results and choice.
func TestDecode_ToolNames(t *testing.T) {
	r := decodeRequest(t, requestEnv(), Options{}, requestBody(m25, `"tools":[`+declared("mcp__srv__größe", "")+`],"tool_choice":{"type":"tool","name":"mcp__srv__größe"},`+
		`"messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"mcp__srv__größe","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"x"}]}]`))
	sent := sentUpstream(t, r)
	for _, at := range []string{"tools.0.functionDeclarations.0.name", "toolConfig.functionCallingConfig.allowedFunctionNames.0", "contents.1.parts.0.functionCall.name", "contents.2.parts.0.functionResponse.name"} {
		if got := member(sent, at); got != "mcp__srv__gr__e" {
			t.Errorf("%s is %v", at, got)
		}
	}
	if got := r.names.Client("mcp__srv__gr__e"); got != "mcp__srv__größe" {
		t.Errorf("comes back as %s", got)
	}
}

// The schemas of tools that come without one.
func TestClientSchema(t *testing.T) {
	for _, c := range []struct{ typ, name, has, lacks string }{
		{"bash_20250124", "bash", `"restart"`, `"path"`},
		{"text_editor_20241022", "str_replace_editor", `"undo_edit"`, `"rename"`},
		{"text_editor_20250124", "str_replace_editor", `"undo_edit"`, `"rename"`},
		{"text_editor_20250429", "str_replace_based_edit_tool", `"insert_line"`, `"undo_edit"`},
		{"text_editor_20250728", "str_replace_based_edit_tool", `"view_range"`, `"undo_edit"`},
		{"memory_20250818", "memory", `"rename"`, `"undo_edit"`},
	} {
		t.Run(c.typ, func(t *testing.T) {
			r := decodeRequest(t, requestEnv(), Options{}, requestBody(m38, `"tools":[{"type":"`+c.typ+`","name":"`+c.name+`","max_characters":100}]`))
			f := r.gemini.Tools[0].Functions[0]
			if s := string(f.JSONSchema); f.Name != c.name || !strings.Contains(s, c.has) || strings.Contains(s, c.lacks) {
				t.Errorf("%s %s", f.Name, s)
			}
			if out, err := schema.Light(f.JSONSchema); err != nil || string(out) != string(f.JSONSchema) {
				t.Errorf("%s, %v", out, err)
			}
		})
	}
}

func TestDecode_ManyTools(t *testing.T) {
	list := func(n int, more string) string {
		var tools []string
		for i := range n {
			tools = append(tools, declared("f"+strings.Repeat("x", i%50)+string(rune('a'+i/50)), more))
		}
		return `"tools":[` + strings.Join(tools, ",") + `]`
	}
	for _, c := range []struct {
		name, members, message string
	}{
		{"too many at a time", list(maxFunctions+1, ""), "At most 512 tools are supported at a time"},
		{"too many", list(maxTools+1, `,"defer_loading":true`), "At most 1024 tools are supported"},
	} {
		_, f := decodeMessages(requestEnv(), &Options{}, []byte(requestBody(m38, c.members)))
		if f == nil || f.Message != c.message || f.Param != "tools" {
			t.Errorf("%s: %+v", c.name, f)
		}
	}
	decodeRequest(t, requestEnv(), Options{}, requestBody(m38, list(maxTools, `,"defer_loading":true`)))
}
