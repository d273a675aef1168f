// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

const (
	png = "iVBORw0KGgoA" // begins as one does
	pdf = "JVBERi0xLjcK"
)

// inUser is a conversation of one message of the user.
func inUser(blocks string) string { return `"messages":[{"role":"user","content":[` + blocks + `]}]` }

// inAssistant is a conversation with one message of the assistant.
func inAssistant(blocks string) string {
	return `"messages":[{"role":"user","content":"q"},{"role":"assistant","content":[` + blocks + `]},{"role":"user","content":"r"}]`
}

// The table of C.2, for blocks of the user.
func TestDecode_UserBlocks(t *testing.T) {
	const at = "contents.0.parts"
	testRows(t, Options{Fetch: true}, []requestRow{
		{"string", m38, `"messages":[{"role":"user","content":"a"}]`, at, `[{"text":"a"}]`},
		{"text", m38, inUser(`{"type":"text","text":"a","citations":[],"cache_control":{"type":"ephemeral"}}`), at, `[{"text":"a"}]`},
		{"empty text", m38, inUser(`{"type":"text","text":""},{"type":"text","text":"a"}`), at, `[{"text":"a"}]`},
		{"image", m38, inUser(`{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + png + `"}}`), at, `[{"inlineData":{"mimeType":"image/png","data":"` + png + `"}}]`},
		{"image of an old name", m38, inUser(`{"type":"image","source":{"type":"base64","media_type":"image/jpg","data":"/9j/4A=="}}`), at, `[{"inlineData":{"mimeType":"image/jpeg","data":"/9j/4A=="}}]`},
		{"GIF", m38, inUser(`{"type":"image","source":{"type":"base64","media_type":"image/gif","data":"R0lGODlh"}}`), at, `[{"inlineData":{"mimeType":"image/gif","data":"R0lGODlh"}}]`},
		{"image without type", m38, inUser(`{"type":"image","source":{"type":"base64","data":"` + png + `"}}`), at, `[{"inlineData":{"mimeType":"image/png","data":"` + png + `"}}]`},
		{"image as data URL", m38, inUser(`{"type":"image","source":{"type":"base64","media_type":"image/png","data":"data:image/png;base64,` + png + `"}}`), at, `[{"inlineData":{"mimeType":"image/png","data":"` + png + `"}}]`},
		{"image with white space", m38, inUser(`{"type":"image","source":{"type":"base64","media_type":"image/png","data":" iVBORw0K\nGgoA"}}`), at, `[{"inlineData":{"mimeType":"image/png","data":"` + png + `"}}]`},
		{"image without padding", m38, inUser(`{"type":"image","source":{"type":"base64","media_type":"image/png","data":"_-8"}}`), at, `[{"inlineData":{"mimeType":"image/png","data":"/+8="}}]`},
		{"image by data URL", m38, inUser(`{"type":"image","source":{"type":"url","url":"data:image/png;base64,` + png + `"}}`), at, `[{"inlineData":{"mimeType":"image/png","data":"` + png + `"}}]`},
		{"Gemini's file", m38, inUser(`{"type":"image","source":{"type":"url","url":"https://generativelanguage.googleapis.com/v1beta/files/abc"}}`), at, `[{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/abc"}}]`},
		{"Gemini's file by name", m38, inUser(`{"type":"document","source":{"type":"url","url":"files/abc"}}`), at, `[{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/abc"}}]`},
		{"YouTube", m38, inUser(`{"type":"document","source":{"type":"url","url":"https://youtu.be/x1"}}`), at, `[{"fileData":{"fileUri":"https://youtu.be/x1"}}]`},
		{"remote image", m38, inUser(`{"type":"image","source":{"type":"url","url":"https://h/a.png"}}`), at, `[{"inlineData":{"data":""}}]`},
		{"PDF", m38, inUser(`{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"` + pdf + `"}}`), at, `[{"inlineData":{"mimeType":"application/pdf","data":"` + pdf + `"}}]`},
		{"PDF with title", m38, inUser(`{"type":"document","title":"T\"","context":"C","citations":{"enabled":true},"source":{"type":"base64","media_type":"application/pdf","data":"` + pdf + `"}}`), at, `[{"text":"Document: T\"\nContext: C"},{"inlineData":{"mimeType":"application/pdf","data":"` + pdf + `"}}]`},
		{"text document", m38, inUser(`{"type":"document","title":"T","source":{"type":"text","media_type":"text/plain","data":"a"}}`), at, `[{"text":"Document: T"},{"text":"a"}]`},
		{"document of blocks", m38, inUser(`{"type":"document","context":"C","source":{"type":"content","content":[{"type":"text","text":"a"},{"type":"image","source":{"type":"base64","data":"` + png + `"}},{"type":"document"}]}}`), at, `[{"text":"Context: C"},{"text":"a"},{"inlineData":{"mimeType":"image/png","data":"` + png + `"}}]`},
		{"document of a string", m38, inUser(`{"type":"document","title":null,"source":{"type":"content","content":"a"}}`), at, `[{"text":"a"}]`},
		{"search result", m38, inUser(`{"type":"search_result","title":"T","source":"https://h","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}`), at, `[{"text":"Search result: T (https://h)\na\nb"}]`},
		{"unknown", m38, inUser(`{"type":"hologram","data":1},{"type":"text","text":"a"}`), at, `[{"text":"a"}]`},
		{"container upload", m38, inUser(`{"type":"container_upload","file_id":"f"},{"type":"text","text":"a"}`), at, `[{"text":"a"}]`},
		{"compaction", m38, inUser(`{"type":"compaction","content":"so far","encrypted_content":"x"},{"type":"compaction","content":null}`), at, `[{"text":"so far"}]`},
	})
}

// The table of C.2, for blocks of the assistant.
func TestDecode_AssistantBlocks(t *testing.T) {
	const at = "contents.1.parts"
	use := func(name, input string) string {
		return `{"type":"server_tool_use","id":"s1","name":"` + name + `","input":` + input + `}`
	}
	said := `{"type":"text","text":"b"}`
	testRows(t, Options{}, []requestRow{
		{"string", m25, `"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]`, at, `[{"text":"a"}]`},
		{"text", m25, inAssistant(`{"type":"text","text":"a","citations":[{"type":"char_location"}]}`), at, `[{"text":"a"}]`},
		{"thinking", m25, inAssistant(`{"type":"thinking","thinking":"t","signature":"EqQBCgIYAhIM"},` + said), at, `[{"text":"b"}]`},
		{"redacted thinking", m25, inAssistant(`{"type":"redacted_thinking","data":"EqQBCgIYAhIM"},` + said), at, `[{"text":"b"}]`},
		{"tool use", m25, inAssistant(`{"type":"tool_use","id":"t1","name":"f","input":{"n":12345678901234567890}}`), at, `[{"functionCall":{"id":"t1","name":"f","args":{"n":"12345678901234567890"}}}]`},
		{"tool use without input", m25, inAssistant(`{"type":"tool_use","id":"t1","name":"f"}`), at, `[{"functionCall":{"id":"t1","name":"f","args":{}}}]`},
		{"tool use with another input", m25, inAssistant(`{"type":"tool_use","id":"t1","name":"f","input":[1]}`), at, `[{"functionCall":{"id":"t1","name":"f","args":{"value":[1]}}}]`},
		{"tool use of an impossible name", m25, inAssistant(`{"type":"tool_use","id":"t1","name":"a/b","input":{}}`), at, `[{"functionCall":{"id":"t1","name":"a_b","args":{}}}]`},
		{"text after a call", m25, inAssistant(`{"type":"tool_use","id":"t1","name":"f","input":{}},` + said), at, `[{"functionCall":{"id":"t1","name":"f","args":{}}},{"text":"b"}]`},
		{"web search", m25, inAssistant(use("web_search", `{"query":"oslo"}`) + `,{"type":"web_search_tool_result","tool_use_id":"s1","content":[{"type":"web_search_result","url":"https://a","title":"A","encrypted_content":"x"},{"type":"web_search_result","url":"https://b","title":""}]},` + said), at, `[{"text":"[web_search: oslo]\nA (https://a)\nhttps://b"},{"text":"b"}]`},
		{"web search that failed", m25, inAssistant(use("web_search", `{"query":"oslo"}`) + `,{"type":"web_search_tool_result","tool_use_id":"s1","content":{"type":"web_search_tool_result_error","error_code":"max_uses_exceeded"}}`), at, `[{"text":"[web_search: oslo]\nmax_uses_exceeded"}]`},
		{"web fetch", m25, inAssistant(use("web_fetch", `{"url":"https://a"}`) + `,{"type":"web_fetch_tool_result","tool_use_id":"s1","content":{"type":"web_fetch_result","url":"https://a","content":{"type":"document","title":"A","source":{"type":"text","data":"long"}}}}`), at, `[{"text":"[web_fetch: https://a]\nA (https://a)"}]`},
		{"code execution", m25, inAssistant(use("code_execution", `{"code":"print(1)"}`) + `,{"type":"code_execution_tool_result","tool_use_id":"s1","content":{"type":"code_execution_result","stdout":"1\n","stderr":"","return_code":0}}`), at, `[{"text":"[code_execution: print(1)]\n1\n"}]`},
		{"bash code execution", m25, inAssistant(use("bash_code_execution", `{"command":"ls"}`) + `,{"type":"bash_code_execution_tool_result","tool_use_id":"s1","content":{"type":"bash_code_execution_result","stdout":"","stderr":"no"}}`), at, `[{"text":"[bash_code_execution: ls]\nno"}]`},
		{"MCP", m25, inAssistant(`{"type":"mcp_tool_use","id":"s1","name":"echo","server_name":"s","input":{}},{"type":"mcp_tool_result","tool_use_id":"s1","content":[{"type":"text","text":"hi"}]}`), at, `[{"text":"[echo]\nhi"}]`},
		{"MCP with a string", m25, inAssistant(`{"type":"mcp_tool_use","id":"s1","name":"echo","input":{}},{"type":"mcp_tool_result","tool_use_id":"s1","content":"hi"}`), at, `[{"text":"[echo]\nhi"}]`},
		{"result of no call", m25, inAssistant(`{"type":"web_search_tool_result","tool_use_id":"s9","content":[]},` + said), at, `[{"text":"b"}]`},
		{"call without result", m25, inAssistant(use("web_search", `{}`) + `,` + said), at, `[{"text":"b"}]`},
		{"tool search", m25, inAssistant(use("tool_search_tool_regex", `{"query":"x"}`) + `,{"type":"tool_search_tool_result","tool_use_id":"s1","content":{"type":"tool_search_tool_search_result","tool_references":[]}},` + said), at, `[{"text":"b"}]`},
		{"advisor", m25, inAssistant(`{"type":"advisor_tool_result","tool_use_id":"s1","content":{"type":"advisor_result","text":"x"}},` + said), at, `[{"text":"b"}]`},
		{"unknown", m25, inAssistant(`{"type":"fallback","x":1},` + said), at, `[{"text":"b"}]`},
		{"compaction", m25, inAssistant(`{"type":"compaction","content":"so far"}`), at, `[{"text":"so far"}]`},
	})
}

// Roles, order and repair: the text of C.2 and of C.3 about results.
func TestDecode_Conversations(t *testing.T) {
	call := func(ids ...string) string {
		var all []string
		for _, id := range ids {
			all = append(all, `{"type":"tool_use","id":"`+id+`","name":"f","input":{}}`)
		}
		return `{"role":"assistant","content":[` + strings.Join(all, ",") + `]}`
	}
	result := func(id, content string) string {
		return `{"type":"tool_result","tool_use_id":"` + id + `","content":` + content + `}`
	}
	user := func(blocks ...string) string {
		return `{"role":"user","content":[` + strings.Join(blocks, ",") + `]}`
	}
	text := func(s string) string { return `{"type":"text","text":"` + s + `"}` }
	fc := func(id string) string { return `{"functionCall":{"id":"` + id + `","name":"f","args":{}}}` }
	fr := func(id, response string) string {
		return `{"functionResponse":{"id":"` + id + `","name":"f","response":` + response + `}}`
	}
	content := func(role string, parts ...string) string {
		return `{"role":"` + role + `","parts":[` + strings.Join(parts, ",") + `]}`
	}
	const none = `{"error":"no result was provided"}`
	q := `{"role":"user","content":"q"}`
	uq := content("user", textPart("q"))
	for _, c := range []struct {
		name, model string
		messages    []string
		want        []string
	}{
		{"messages of the user merge", m25, []string{q, user(text("a")), user()}, []string{content("user", textPart("q"), textPart("a"))}},
		{"messages of the assistant merge", m25, []string{q, `{"role":"assistant","content":"a"}`, `{"role":"assistant","content":"b"}`}, []string{uq, content("model", textPart("a"), textPart("b"))}},
		{"text and calls merge", m25, []string{q, `{"role":"assistant","content":"a"}`, call("t1"), user(result("t1", `"x"`))}, []string{uq, content("model", textPart("a"), fc("t1")), content("user", fr("t1", `{"output":"x"}`))}},
		{"empty messages are skipped", m25, []string{user(), q, `{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"x"}]}`, user(text("a"))}, []string{content("user", textPart("q"), textPart("a"))}},
		{"results in call order, text after them", m25, []string{q, call("t1", "t2"), user(result("t2", `"b"`), result("t1", `"a"`), text("go on"))},
			[]string{uq, content("model", fc("t1"), fc("t2")), content("user", fr("t1", `{"output":"a"}`), fr("t2", `{"output":"b"}`)), content("user", textPart("go on"))}},
		{"text before a result moves behind it", m25, []string{q, call("t1"), user(text("first"), result("t1", `"a"`))},
			[]string{uq, content("model", fc("t1")), content("user", fr("t1", `{"output":"a"}`)), content("user", textPart("first"))}},
		{"results in several messages", m25, []string{q, call("t1", "t2"), user(result("t1", `"a"`)), user(result("t2", `"b"`))},
			[]string{uq, content("model", fc("t1"), fc("t2")), content("user", fr("t1", `{"output":"a"}`), fr("t2", `{"output":"b"}`))}},
		{"a missing result", m25, []string{q, call("t1", "t2"), user(result("t2", `"b"`))},
			[]string{uq, content("model", fc("t1"), fc("t2")), content("user", fr("t1", none), fr("t2", `{"output":"b"}`))}},
		{"an interrupted turn", m25, []string{q, call("t1"), user(text("stop"))},
			[]string{uq, content("model", fc("t1")), content("user", fr("t1", none)), content("user", textPart("stop"))}},
		{"calls at the end", m25, []string{q, call("t1")}, []string{uq, content("model", fc("t1")), content("user", fr("t1", none))}},
		{"of two results the last", m25, []string{q, call("t1"), user(result("t1", `"a"`), result("t1", `"b"`))},
			[]string{uq, content("model", fc("t1")), content("user", fr("t1", `{"output":"b"}`))}},
		{"two calls of one id", m25, []string{q, call("t1", "t1"), user(result("t1", `"a"`), result("t1", `"b"`))},
			[]string{uq, content("model", fc("t1"), fc("t1")), content("user", fr("t1", `{"output":"a"}`), fr("t1", `{"output":"b"}`))}},
		{"one id in two turns", m25, []string{q, call("t1"), user(result("t1", `"a"`)), call("t1"), user(result("t1", `"b"`))},
			[]string{uq, content("model", fc("t1")), content("user", fr("t1", `{"output":"a"}`)), content("model", fc("t1")), content("user", fr("t1", `{"output":"b"}`))}},
		{"steps stay steps", m25, []string{q, call("t1"), user(result("t1", `"a"`)), call("t2"), user(result("t2", `"b"`)), `{"role":"assistant","content":"done"}`, q},
			[]string{uq, content("model", fc("t1")), content("user", fr("t1", `{"output":"a"}`)), content("model", fc("t2")), content("user", fr("t2", `{"output":"b"}`)), content("model", textPart("done")), uq}},
		{"a result of no call", m25, []string{user(result("t9", `"a\nb"`), text("c"))}, []string{content("user", textPart(`[tool result t9]: a\nb`), textPart("c"))}},
		{"calls first", m25, []string{call("t1"), user(result("t1", `"a"`))}, []string{content("user", textPart(" ")), content("model", fc("t1")), content("user", fr("t1", `{"output":"a"}`))}},
		{"the assistant first", m25, []string{`{"role":"assistant","content":"a"}`, q}, []string{content("model", textPart("a")), uq}},
		{"the assistant first, of a model that minds", g3, []string{`{"role":"assistant","content":"a"}`, q}, []string{content("user", textPart(" ")), content("model", textPart("a")), uq}},
		{"the instruction first, of a model without", g3, []string{`{"role":"system","content":"S"}`, `{"role":"assistant","content":"a"}`, q}, []string{content("user", textPart("S")), content("model", textPart("a")), uq}},
		{"prefill", m25, []string{q, `{"role":"assistant","content":"{"}`}, []string{uq, content("model", textPart("{"))}},
		{"prefill of a model that minds", m38, []string{q, `{"role":"assistant","content":"{"}`}, []string{uq, content("model", textPart("{")), content("user", textPart("Continue."))}},
		{"system after results", m25, []string{q, call("t1"), user(result("t1", `"a"`)), `{"role":"system","content":"S"}`, user(text("c"))},
			[]string{uq, content("model", fc("t1")), content("user", fr("t1", `{"output":"a"}`)), content("user", textPart(`<system-reminder>\nS\n</system-reminder>`)), content("user", textPart("c"))}},
		{"system after an answer", m25, []string{q, `{"role":"assistant","content":"a"}`, q, `{"role":"system","content":[{"type":"text","text":"S"},{"type":"text","text":"T"}]}`},
			[]string{uq, content("model", textPart("a")), uq, content("user", textPart(`<system-reminder>\nS\nT\n</system-reminder>`))}},
		{"system after an answer, of a model that wants turns", "gemma-4-31b-it", []string{q, `{"role":"assistant","content":"a"}`, q, `{"role":"system","content":"S"}`, q},
			[]string{uq, content("model", textPart("a")), content("user", textPart("q"), textPart(`<system-reminder>\nS\n</system-reminder>`), textPart("q"))}},
		{"system for one message only", m25, []string{q, `{"role":"assistant","content":"a"}`, `{"role":"system","content":"S","clear_at":"next_user_message"}`, q}, []string{uq, content("model", textPart("a")), uq}},
		{"system for this message", m25, []string{q, `{"role":"assistant","content":"a"}`, q, `{"role":"system","content":"S","clear_at":"next_user_message"}`},
			[]string{uq, content("model", textPart("a")), uq, content("user", textPart(`<system-reminder>\nS\n</system-reminder>`))}},
		{"empty system after an answer", m25, []string{q, `{"role":"assistant","content":"a"}`, q, `{"role":"system","content":""}`}, []string{uq, content("model", textPart("a")), uq}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := decodeRequest(t, requestEnv(), Options{}, requestBody(c.model, `"messages":[`+strings.Join(c.messages, ",")+`]`))
			equalJSON(t, sentUpstream(t, r)["contents"], `[`+strings.Join(c.want, ",")+`]`)
		})
	}
}

func textPart(s string) string { return `{"text":"` + s + `"}` }

// System messages before the first answer join the instruction.
func TestDecode_SystemMessages(t *testing.T) {
	testRows(t, Options{}, []requestRow{
		{"first", m38, `"messages":[{"role":"system","content":"S"},{"role":"user","content":"q"}]`, "systemInstruction.parts", `[{"text":"S"}]`},
		{"second", m38, `"system":"A","messages":[{"role":"user","content":"q"},{"role":"system","content":[{"type":"text","text":"S"}]}]`, "systemInstruction.parts", `[{"text":"A"},{"text":"S"}]`},
		{"for one message only", m38, `"messages":[{"role":"system","content":"S","clear_at":"next_user_message"},{"role":"user","content":"q"}]`, "systemInstruction", `null`},
		{"billing", m38, `"messages":[{"role":"user","content":"q"},{"role":"system","content":[{"type":"text","text":"x-anthropic-billing-header: a"}]}]`, "systemInstruction", `null`},
	})
}

// What results become. Source: C.3.
func TestDecode_Results(t *testing.T) {
	const at = "contents.2.parts"
	answer := func(members string) string {
		return `"messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1"` + members + `}]}]`
	}
	image := `{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + png + `"}}`
	inline := `{"inlineData":{"mimeType":"image/png","data":"` + png + `"}}`
	fr := func(response, parts string) string {
		if parts != "" {
			parts = `,"parts":[` + parts + `]`
		}
		return `{"functionResponse":{"id":"t1","name":"f","response":` + response + parts + `}}`
	}
	testRows(t, Options{}, []requestRow{
		{"string", m38, answer(`,"content":"hi"`), at, `[` + fr(`{"output":"hi"}`, "") + `]`},
		{"JSON stays text", m38, answer(`,"content":"{ \"a\": 1.0 }"`), at, `[` + fr(`{"output":"{ \"a\": 1.0 }"}`, "") + `]`},
		{"blocks", m38, answer(`,"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]`), at, `[` + fr(`{"output":"a\nb"}`, "") + `]`},
		{"error", m38, answer(`,"content":"no","is_error":true`), at, `[` + fr(`{"error":"no"}`, "") + `]`},
		{"error in blocks", m38, answer(`,"content":[{"type":"text","text":"denied"}],"is_error":true`), at, `[` + fr(`{"error":"denied"}`, "") + `]`},
		{"no content", m38, answer(``), at, `[` + fr(`{"output":""}`, "") + `]`},
		{"null", m38, answer(`,"content":null,"is_error":false`), at, `[` + fr(`{"output":""}`, "") + `]`},
		{"no blocks", m38, answer(`,"content":[]`), at, `[` + fr(`{"output":""}`, "") + `]`},
		{"image", m38, answer(`,"content":[{"type":"text","text":"a"},` + image + `]`), at, `[` + fr(`{"output":"a"}`, inline) + `]`},
		{"image for 2.5", m25, answer(`,"content":[{"type":"text","text":"a"},` + image + `]`), at, `[` + fr(`{"output":"a"}`, "") + `,` + inline + `]`},
		{"document", m38, answer(`,"content":[{"type":"document","title":"T","source":{"type":"base64","media_type":"application/pdf","data":"` + pdf + `"}}]`), at, `[` + fr(`{"output":"Document: T"}`, `{"inlineData":{"mimeType":"application/pdf","data":"`+pdf+`"}}`) + `]`},
		{"text document", m38, answer(`,"content":[{"type":"document","source":{"type":"text","data":"a"}}]`), at, `[` + fr(`{"output":"a"}`, "") + `]`},
		{"search result", m38, answer(`,"content":[{"type":"search_result","title":"T","source":"s","content":[{"type":"text","text":"a"}]}]`), at, `[` + fr(`{"output":"Search result: T (s)\na"}`, "") + `]`},
		{"tool reference", m38, answer(`,"content":[{"type":"tool_reference","tool_name":"A"},{"type":"tool_reference","tool_name":"B"}]`), at, `[` + fr(`{"output":"Tools loaded: A, B"}`, "") + `]`},
		{"browser state", m38, answer(`,"content":[{"type":"browser_state","tabs": [1]}]`), at, `[` + fr(`{"output":"{\"type\":\"browser_state\",\"tabs\":[1]}"}`, "") + `]`},
		{"unknown", m38, answer(`,"content":[{"type":"hologram"},{"type":"text","text":"a"}]`), at, `[` + fr(`{"output":"a"}`, "") + `]`},
	})
}

// Files of this user, by any name; others' do not exist.
func TestDecode_Files(t *testing.T) {
	o := Options{File: func(id string) (string, string, *translate.Failure) {
		if id == "file-1" || id == "files/abc" {
			return "https://google/files/abc", "image/png", nil
		}
		return "", "", &translate.Failure{Kind: translate.NotFound, Message: "No such file."}
	}}
	const want = `[{"fileData":{"mimeType":"image/png","fileUri":"https://google/files/abc"}}]`
	testRows(t, o, []requestRow{
		{"id", m38, inUser(`{"type":"image","source":{"type":"file","file_id":"file-1"}}`), "contents.0.parts", want},
		{"name", m38, inUser(`{"type":"image","source":{"type":"url","url":"files/abc"}}`), "contents.0.parts", want},
		{"URI", m38, inUser(`{"type":"image","source":{"type":"url","url":"https://generativelanguage.googleapis.com/v1beta/files/abc"}}`), "contents.0.parts", want},
	})
	_, f := decodeMessages(requestEnv(), &o, []byte(requestBody(m38, inUser(`{"type":"image","source":{"type":"file","file_id":"x"}}`))))
	if f == nil || f.Kind != translate.NotFound || f.Param != "messages.0.content.0.source.file_id" {
		t.Errorf("%+v", f)
	}
}

// Media by URL come later, and take their place.
func TestRequest_Provide(t *testing.T) {
	r := decodeRequest(t, requestEnv(), Options{Fetch: true}, requestBody(m38, inUser(`{"type":"image","source":{"type":"url","url":"https://h/a.png"}},{"type":"image","source":{"type":"url","url":"https://h/a.png"}}`)))
	if urls := r.remotes.URLs(); len(urls) != 1 || urls[0] != "https://h/a.png" {
		t.Fatalf("%q", urls)
	}
	size, f := r.provide(func(string) (string, []byte, error) { return "image/png", []byte("abc"), nil })
	if f != nil || size != 8 || len(r.remotes.URLs()) != 0 {
		t.Fatalf("%d, %v", size, f)
	}
	equalJSON(t, member(sentUpstream(t, r), "contents.0.parts.1"), `{"inlineData":{"mimeType":"image/png","data":"YWJj"}}`)

	r = decodeRequest(t, requestEnv(), Options{Fetch: true}, requestBody(m38, inUser(`{"type":"text","text":"a"},{"type":"image","source":{"type":"url","url":"https://h/a.png"}}`)))
	_, f = r.provide(func(string) (string, []byte, error) { return "", nil, errors.New("not there") })
	if f == nil || f.Param != "messages.0.content.1.source.url" || f.Message != "not there" || f.Kind != translate.InvalidRequest {
		t.Errorf("%+v", f)
	}
}

func TestDecode_ManyRemotes(t *testing.T) {
	var blocks []string
	for i := range translate.MaxRemote + 1 {
		url, _ := json.Marshal("https://h/" + strings.Repeat("a", i+1))
		blocks = append(blocks, `{"type":"image","source":{"type":"url","url":`+string(url)+`}}`)
	}
	_, f := decodeMessages(requestEnv(), &Options{Fetch: true}, []byte(requestBody(m38, inUser(strings.Join(blocks, ",")))))
	if f == nil || f.Param != "messages.0.content.16.source.url" || !strings.HasPrefix(f.Message, "At most 16") {
		t.Errorf("%+v", f)
	}
}
