// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

// The rows of C.1 that are about one field.
func TestDecode_Params(t *testing.T) {
	tool := `{"name":"f","input_schema":{"type":"object","properties":{"a":{"type":"string"}}}}`
	format := `"output_config":{"format":{"type":"json_schema","schema":{"type":"object","properties":{"t":{"type":"string","const":"x"}}}}}`
	testRows(t, Options{}, []requestRow{
		{"max_tokens", m38, `"max_tokens":7`, "generationConfig.maxOutputTokens", `7`},
		{"max_tokens of Claude Code", m38, `"max_tokens":128000`, "generationConfig.maxOutputTokens", `65536`},
		{"max_tokens whole, with a fraction", m38, `"max_tokens":7.0`, "generationConfig.maxOutputTokens", `7`},
		{"max_tokens of an unknown model", "gemini-9", `"max_tokens":128000`, "generationConfig.maxOutputTokens", `128000`},
		{"max_tokens beyond any", m38, `"max_tokens":99999999999`, "generationConfig.maxOutputTokens", `65536`},

		{"system text", m38, `"system":"S"`, "systemInstruction", `{"parts":[{"text":"S"}]}`},
		{"system blocks", m38, `"system":[{"type":"text","text":"A","cache_control":{"type":"ephemeral"}},{"text":"B"},{"type":"text","text":""}]`, "systemInstruction", `{"parts":[{"text":"A"},{"text":"B"}]}`},
		{"no system", m38, ``, "systemInstruction", `null`},
		{"empty system", m38, `"system":""`, "systemInstruction", `null`},
		{"billing block", m38, `"system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1.330.440;"},{"type":"text","text":"A"}]`, "systemInstruction", `{"parts":[{"text":"A"}]}`},
		{"billing text alone", m38, `"system":"x-anthropic-billing-header: a"`, "systemInstruction", `null`},
		{"system of a model without", g3, `"system":"S"`, "contents", `[{"role":"user","parts":[{"text":"S"},{"text":"q"}]}]`},

		{"temperature", m3, `"temperature":0.5`, "generationConfig.temperature", `0.5`},
		{"temperature of a family without", m38, `"temperature":0.5`, "generationConfig.temperature", `null`},
		{"top_p", m3, `"top_p":0.5`, "generationConfig.topP", `0.5`},
		{"top_p 0", m3, `"top_p":0`, "generationConfig.topP", `null`},
		{"top_p of a family without", m38, `"top_p":0.5`, "generationConfig.topP", `null`},
		{"top_k", m3, `"top_k":3`, "generationConfig.topK", `3`},
		{"top_k 0", m3, `"top_k":0`, "generationConfig.topK", `null`},
		{"top_k of a family without", m38, `"top_k":3`, "generationConfig.topK", `null`},

		{"stop sequences", m38, `"stop_sequences":["a","b"]`, "generationConfig.stopSequences", `["a","b"]`},
		{"blank stop sequences", m38, `"stop_sequences":[""," ","\n\t","a"]`, "generationConfig.stopSequences", `["a"]`},
		{"six stop sequences", m38, `"stop_sequences":["a","b","b","c","d","e","f"]`, "generationConfig.stopSequences", `["a","b","c","d","e"]`},

		{"format", m38, format, "generationConfig.responseMimeType", `"application/json"`},
		{"schema of the format", m38, format, "generationConfig.responseJsonSchema", `{"type":"object","properties":{"t":{"type":"string","enum":["x"]}}}`},
		{"legacy format", m38, `"output_format":{"type":"json_schema","schema":{"type":"object","properties":{"t":{"type":"string"}}}}`, "generationConfig.responseJsonSchema", `{"type":"object","properties":{"t":{"type":"string"}}}`},
		{"format without properties", m38, `"output_config":{"format":{"type":"json_schema","schema":{}}}`, "generationConfig.responseJsonSchema", `null`},
		{"format of the older subset", m20, `"output_format":{"type":"json_schema","schema":{"type":"object","properties":{"t":{"type":"string"}}}}`, "generationConfig.responseSchema.properties.t.type", `"string"`},
		{"format with tools", m38, format + `,"tools":[` + tool + `]`, "generationConfig.responseMimeType", `"application/json"`},
		{"format with tools of 2.5", m25, format + `,"tools":[` + tool + `]`, "generationConfig.responseMimeType", `null`},
		{"format with tools of 2.5 in words", m25, format + `,"tools":[` + tool + `]`, "systemInstruction.parts.0.text", `"Unless you call a function, answer with one JSON value and nothing else. It must follow this JSON Schema:\n{\"type\":\"object\",\"properties\":{\"t\":{\"type\":\"string\",\"const\":\"x\"}}}"`},
		{"format of a model without JSON", g3, format, "generationConfig.responseMimeType", `null`},

		{"ignored", m38, `"cache_control":{"type":"ephemeral"},"service_tier":"auto","inference_geo":"us","speed":"fast","container":"c","context_management":{"edits":[{"type":"clear_thinking_20251015"}]},"diagnostics":{},"compaction":{},"fallbacks":[],"fallback_credit_token":"x","safeguards":[{"type":"dangerous_tool_use"}],"betas":["b"],"mcp_servers":[],"something_new":{"a":1},"metadata":{"user_id":"u"}`, "", `{"contents":[{"role":"user","parts":[{"text":"q"}]}],"generationConfig":{"maxOutputTokens":10000,"thinkingConfig":{"thinkingLevel":"LOW"}}}`},
		{"null is absent", m38, `"system":null,"tools":null,"tool_choice":null,"thinking":null,"output_config":null,"stop_sequences":null,"metadata":null,"temperature":null,"stream":null,"mcp_servers":null`, "", `{"contents":[{"role":"user","parts":[{"text":"q"}]}],"generationConfig":{"maxOutputTokens":10000,"thinkingConfig":{"thinkingLevel":"LOW"}}}`},
		{"escaped names", m38, `"\u0073ystem":"S"`, "systemInstruction.parts.0.text", `"S"`},
	})
}

func TestDecode_Safety(t *testing.T) {
	r := decodeRequest(t, requestEnv(), Options{Safety: []byte(`[{"category":"C","threshold":"OFF"}]`)}, requestBody(m38, ""))
	equalJSON(t, sentUpstream(t, r)["safetySettings"], `[{"category":"C","threshold":"OFF"}]`)
}

// The plan has what no request of Gemini's says.
func TestDecode_Plan(t *testing.T) {
	r := decodeRequest(t, requestEnv(), Options{}, requestBody("gemini-2.5-flash", `"max_tokens":128000,"stream":true,"stop_sequences":["a","b","c","d","e","f","g","f"]`))
	if r.maxTokens != 128000 || !r.stream || r.model != "gemini-2.5-flash" || r.thinking || r.oneCall || r.json {
		t.Errorf("%+v", r.plan)
	}
	if !slices.Equal(r.stops, []string{"f", "g"}) {
		t.Errorf("stops %q", r.stops)
	}
	if r := decodeRequest(t, requestEnv(), Options{}, requestBody(m38, `"output_format":{"type":"json_schema","schema":{}}`)); !r.json {
		t.Error("JSON was asked for")
	}
}

// Source: C.1, row metadata.user_id.
func TestDecode_Conversation(t *testing.T) {
	for _, c := range []struct{ name, members, session, want string }{
		{"none", ``, "", ""},
		{"header", ``, "h", "h"},
		{"Claude Code", `"metadata":{"user_id":"{\"device_id\":\"d\",\"account_uuid\":\"\",\"session_id\":\"s-1\"}"}`, "h", "s-1"},
		{"older Claude Code", `"metadata":{"user_id":"user_ab_account__session_s-2"}`, "", "s-2"},
		{"another user id", `"metadata":{"user_id":"alice"}`, "h", "h"},
		{"JSON without session", `"metadata":{"user_id":"{\"device_id\":\"d\"}"}`, "", ""},
		{"broken JSON", `"metadata":{"user_id":"{"}`, "h", "h"},
		{"other metadata", `"metadata":{"team":1}`, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := decodeRequest(t, requestEnv(), Options{Session: c.session}, requestBody(m38, c.members))
			if r.conversation != c.want || r.call("x").Conversation != c.want {
				t.Errorf("%q, want %q", r.conversation, c.want)
			}
			if strings.Contains(string(r.gemini.Append(nil)), "s-1") {
				t.Error("the session goes upstream")
			}
		})
	}
}

// Source: C.10.
func TestDecode_Model(t *testing.T) {
	aliases := map[string]string{"claude-opus-5-5": "gemini-2.5-pro", "gpt": "models/gemini-x", "gemini-flash-latest": "gemini-3.5-flash", "named": "claude-gw"}
	resolve := func(m string) string {
		if id, ok := aliases[m]; ok {
			return id
		}
		return m
	}
	for _, c := range []struct {
		name, model   string
		resolve       func(string) string
		asked, target string
	}{
		{"Gemini's", "gemini-3.8-flash", nil, "gemini-3.8-flash", "gemini-3.8-flash"},
		{"with its prefix", "models/gemini-3.8-flash", nil, "gemini-3.8-flash", "gemini-3.8-flash"},
		{"opus", "claude-opus-5-5", nil, "gemini-pro-latest", "gemini-pro-latest"},
		{"fable", "claude-fable-5-2", nil, "gemini-pro-latest", "gemini-pro-latest"},
		{"mythos", "claude-mythos-5-1", nil, "gemini-pro-latest", "gemini-pro-latest"},
		{"sonnet", "claude-sonnet-4-5-20250929", nil, "gemini-flash-latest", "gemini-flash-latest"},
		{"haiku", "claude-haiku-5-5", nil, "gemini-flash-lite-latest", "gemini-flash-lite-latest"},
		{"dated haiku", "claude-3-5-haiku-20241022", nil, "gemini-flash-lite-latest", "gemini-flash-lite-latest"},
		{"small", "claude-small", nil, "gemini-flash-lite-latest", "gemini-flash-lite-latest"},
		{"another of Claude's", "claude-next", nil, "gemini-flash-latest", "gemini-flash-latest"},
		{"long context", "claude-opus-5-5[1m]", nil, "gemini-pro-latest", "gemini-pro-latest"},
		{"long context of Gemini's", "gemini-3.8-flash[1m]", nil, "gemini-3.8-flash", "gemini-3.8-flash"},
		{"of another gateway", "anthropic/claude-opus-5-5", nil, "gemini-pro-latest", "gemini-pro-latest"},
		{"published", "claude-gw-gemini-3.8-flash", nil, "gemini-3.8-flash", "gemini-3.8-flash"},
		{"published, long context", "claude-gw-gemini-3.8-flash[1m]", nil, "gemini-3.8-flash", "gemini-3.8-flash"},
		{"alias", "claude-opus-5-5", resolve, "claude-opus-5-5", "gemini-2.5-pro"},
		{"alias, long context", "claude-opus-5-5[1m]", resolve, "claude-opus-5-5", "gemini-2.5-pro"},
		{"alias of the stand-in", "claude-sonnet-5-5", resolve, "gemini-flash-latest", "gemini-3.5-flash"},
		{"alias with prefix", "gpt", resolve, "gpt", "gemini-x"},
		{"no alias", "claude-haiku-5-5", resolve, "gemini-flash-lite-latest", "gemini-flash-lite-latest"},
		{"another name", "gpt-5", nil, "gpt-5", "gpt-5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := decodeRequest(t, requestEnv(), Options{Resolve: c.resolve}, requestBody(c.model, ""))
			if r.model != c.model || r.asked != c.asked || r.target != c.target {
				t.Errorf("model %q, asked %q, target %q", r.model, r.asked, r.target)
			}
		})
	}
	for _, bad := range []string{"a b", "../x", strings.Repeat("a", 129)} {
		_, f := decodeMessages(requestEnv(), &Options{}, []byte(requestBody(bad, "")))
		if f == nil || f.Kind != translate.ModelNotFound || f.Param != "model" {
			t.Errorf("%q: %+v", bad, f)
		}
	}
}

func TestDecodeCountTokens(t *testing.T) {
	r, f := decodeCountTokens(requestEnv(), &Options{}, []byte(`{"model":"claude-opus-5-5","system":"S","messages":[{"role":"user","content":"foo"}],"tools":[{"name":"f","input_schema":{"type":"object"}}]}`))
	if f != nil {
		t.Fatal(f)
	}
	if r.maxTokens != 0 || r.gemini.Config.MaxOutputTokens != 0 || len(r.gemini.Tools) != 1 || len(r.gemini.SystemInstruction) != 1 {
		t.Errorf("%+v", r)
	}
}

// Every field of the wrong type, and every fault that is found here, names its place
// as Anthropic does.
func TestDecode_Errors(t *testing.T) {
	user := func(blocks string) string { return `"messages":[{"role":"user","content":[` + blocks + `]}]` }
	assistant := func(blocks string) string {
		return `"messages":[{"role":"user","content":"q"},{"role":"assistant","content":[` + blocks + `]}]`
	}
	tool := func(members string) string {
		return `"tools":[{"name":"a","input_schema":{"type":"object"}},{` + members + `}]`
	}
	image := func(source string) string {
		return user(`{"type":"text","text":"a"},{"type":"image","source":` + source + `}`)
	}
	var stops []string
	for i := range maxStops + 1 {
		stops = append(stops, `"`+strconv.Itoa(i)+`"`)
	}
	for _, c := range []struct{ name, body, param, message string }{
		{"not JSON", `{`, "", "The request body is not valid JSON: "},
		{"no object", `[]`, "", "The request body must be a JSON object, not an array."},
		{"no model", `{"max_tokens":1,"messages":[]}`, "model", "Field required"},
		{"model of another type", `{"model":1,"max_tokens":1,"messages":[]}`, "model", "Input should be a string, not a number"},
		{"empty model", requestBody("", ""), "model", "String should have at least 1 character"},
		{"model of white space", requestBody(` \t`, ""), "model", "String should have at least 1 character"},
		{"no max_tokens", `{"model":"m","messages":[{"role":"user","content":"q"}]}`, "max_tokens", "Field required"},
		{"max_tokens null", requestBody(m38, `"max_tokens":null`), "max_tokens", "Field required"},
		{"max_tokens in words", requestBody(m38, `"max_tokens":"1"`), "max_tokens", "Input should be a number, not a string"},
		{"max_tokens 0", requestBody(m38, `"max_tokens":0`), "max_tokens", "Input should be greater than or equal to 1"},
		{"max_tokens fractional", requestBody(m38, `"max_tokens":1.5`), "max_tokens", "Input should be a valid integer"},
		{"no messages", `{"model":"m","max_tokens":1}`, "messages", "Field required"},
		{"messages of another type", requestBody(m38, `"messages":"q"`), "messages", "Input should be an array, not a string"},
		{"empty messages", requestBody(m38, `"messages":[]`), "messages", "At least one message is required"},
		{"nothing said", requestBody(m38, `"messages":[{"role":"user","content":""},{"role":"user","content":[]},{"role":"assistant","content":[{"type":"text","text":""}]}]`), "messages", "At least one message with content is required"},
		{"system message alone", requestBody(m38, `"messages":[{"role":"system","content":"S"}]`), "messages", "At least one message with content is required"},
		{"message of another type", requestBody(m38, `"messages":["q"]`), "messages.0", "Input should be an object, not a string"},
		{"no role", requestBody(m38, `"messages":[{"content":"q"}]`), "messages.0.role", "Field required"},
		{"role of another type", requestBody(m38, `"messages":[{"role":1,"content":"q"}]`), "messages.0.role", "Input should be a string, not a number"},
		{"unknown role", requestBody(m38, `"messages":[{"role":"user","content":"q"},{"role":"tool","content":"q"}]`), "messages.1.role", "Input should be 'user', 'assistant' or 'system'"},
		{"no content", requestBody(m38, `"messages":[{"role":"user"}]`), "messages.0.content", "Field required"},
		{"content of another type", requestBody(m38, `"messages":[{"role":"user","content":{}}]`), "messages.0.content", "Input should be a string or an array of blocks, not an object"},
		{"block of another type", requestBody(m38, user(`"q"`)), "messages.0.content.0", "Input should be an object, not a string"},
		{"block without type", requestBody(m38, user(`{"text":"q"}`)), "messages.0.content.0.type", "Field required"},
		{"no text", requestBody(m38, user(`{"type":"text"}`)), "messages.0.content.0.text", "Field required"},
		{"text of another type", requestBody(m38, user(`{"type":"text","text":1}`)), "messages.0.content.0.text", "Input should be a string, not a number"},
		{"no source", requestBody(m38, user(`{"type":"image"}`)), "messages.0.content.0.source", "Field required"},
		{"source without type", requestBody(m38, image(`{"data":"AAAA"}`)), "messages.0.content.1.source.type", "Field required"},
		{"unknown source", requestBody(m38, image(`{"type":"text","data":"AAAA"}`)), "messages.0.content.1.source.type", `Input tag "text" is not one of base64, url, file`},
		{"unknown source of a document", requestBody(m38, user(`{"type":"document","source":{"type":"x"}}`)), "messages.0.content.0.source.type", `Input tag "x" is not one of base64, url, file, text and content`},
		{"no data", requestBody(m38, image(`{"type":"base64","media_type":"image/png"}`)), "messages.0.content.1.source.data", "Field required"},
		{"empty data", requestBody(m38, image(`{"type":"base64","media_type":"image/png","data":""}`)), "messages.0.content.1.source.data", "The data is empty"},
		{"data of another alphabet", requestBody(m38, image(`{"type":"base64","media_type":"image/png","data":"A*=="}`)), "messages.0.content.1.source.data", "Invalid base64 data"},
		{"data URL without comma", requestBody(m38, image(`{"type":"base64","data":"data:image/png;base64"}`)), "messages.0.content.1.source.data", "The data URL has no comma before its data"},
		{"data URL of text", requestBody(m38, image(`{"type":"base64","data":"data:text/plain,a"}`)), "messages.0.content.1.source.data", "The data URL is not base64"},
		{"unknown data without type", requestBody(m38, image(`{"type":"base64","data":"AAAA"}`)), "messages.0.content.1.source.media_type", "Field required"},
		{"media type of another type", requestBody(m38, image(`{"type":"base64","media_type":1,"data":"AAAA"}`)), "messages.0.content.1.source.media_type", "Input should be a string, not a number"},
		{"no URL", requestBody(m38, image(`{"type":"url"}`)), "messages.0.content.1.source.url", "Field required"},
		{"Cloud Storage", requestBody(m38, image(`{"type":"url","url":"GS://b/a.pdf"}`)), "messages.0.content.1.source.url", "Google Cloud Storage (gs://) is not reachable by this API. Upload the file"},
		{"URL of another kind", requestBody(m38, image(`{"type":"url","url":"ftp://h/a"}`)), "messages.0.content.1.source.url", "Only http and https URLs are supported"},
		{"URL without end", requestBody(m38, image(`{"type":"url","url":"https://`+strings.Repeat("a", 9000)+`"}`)), "messages.0.content.1.source.url", "The URL is too long"},
		{"remote file without fetching", requestBody(m38, image(`{"type":"url","url":"https://h/a.png"}`)), "messages.0.content.1.source.url", "This gateway does not download remote files. Send the data as base64."},
		{"file", requestBody(m38, image(`{"type":"file","file_id":"file_1"}`)), "messages.0.content.1.source.file_id", "This gateway keeps no files. Send the data as base64."},
		{"file without id", requestBody(m38, image(`{"type":"file"}`)), "messages.0.content.1.source.file_id", "Field required"},
		{"title of another type", requestBody(m38, user(`{"type":"document","title":1,"source":{"type":"text","data":"a"}}`)), "messages.0.content.0.title", "Input should be a string, not a number"},
		{"document without data", requestBody(m38, user(`{"type":"document","source":{"type":"text"}}`)), "messages.0.content.0.source.data", "Field required"},
		{"document without content", requestBody(m38, user(`{"type":"document","source":{"type":"content"}}`)), "messages.0.content.0.source.content", "Field required"},
		{"tool use without id", requestBody(m38, assistant(`{"type":"tool_use","name":"f","input":{}}`)), "messages.1.content.0.id", "Field required"},
		{"tool use without name", requestBody(m38, assistant(`{"type":"tool_use","id":"t","input":{}}`)), "messages.1.content.0.name", "Field required"},
		{"tool use with an empty name", requestBody(m38, assistant(`{"type":"tool_use","id":"t","name":"","input":{}}`)), "messages.1.content.0", "The id and the name of a tool use must not be empty"},
		{"result without id", requestBody(m38, user(`{"type":"tool_result","content":"x"}`)), "messages.0.content.0.tool_use_id", "Field required"},
		{"result of another type", requestBody(m38, user(`{"type":"tool_result","tool_use_id":"t","content":1}`)), "messages.0.content.0.content", "Input should be a string or an array of blocks, not a number"},
		{"in a result", requestBody(m38, user(`{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"a"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"*"}}]}`)), "messages.0.content.0.content.1.source.data", "Invalid base64 data"},
		{"reference without name", requestBody(m38, user(`{"type":"tool_result","tool_use_id":"t","content":[{"type":"tool_reference"}]}`)), "messages.0.content.0.content.0.tool_name", "Field required"},
		{"system of another type", requestBody(m38, `"system":1`), "system", "Input should be a string or an array of text blocks, not a number"},
		{"system text of another type", requestBody(m38, `"system":[{"type":"text","text":"a"},{"type":"text","text":1}]`), "system.1.text", "Input should be a string, not a number"},
		{"system block of another type", requestBody(m38, `"system":["a"]`), "system.0", "Input should be an object, not a string"},
		{"effort of a system message", requestBody(m38, `"messages":[{"role":"system","content":"S","output_config":{"effort":"huge"}},{"role":"user","content":"q"}]`), "messages.0.output_config.effort", "Input should be 'low', 'medium', 'high', 'xhigh' or 'max'"},
		{"stream of another type", requestBody(m38, `"stream":"yes"`), "stream", "Input should be a boolean, not a string"},
		{"temperature too high", requestBody(m38, `"temperature":1.1`), "temperature", "Input should be between 0 and 1"},
		{"top_p too low", requestBody(m38, `"top_p":-1`), "top_p", "Input should be between 0 and 1"},
		{"top_k fractional", requestBody(m3, `"top_k":1.5`), "top_k", "Input should be a valid integer"},
		{"stop sequences of another type", requestBody(m38, `"stop_sequences":"a"`), "stop_sequences", "Input should be an array, not a string"},
		{"stop sequence of another type", requestBody(m38, `"stop_sequences":["a",1]`), "stop_sequences.1", "Input should be a string, not a number"},
		{"too many stop sequences", requestBody(m38, `"stop_sequences":[`+strings.Join(stops, ",")+`]`), "stop_sequences", "At most 1000 stop sequences are supported"},
		{"metadata of another type", requestBody(m38, `"metadata":1`), "metadata", "Input should be an object, not a number"},
		{"user id of another type", requestBody(m38, `"metadata":{"user_id":1}`), "metadata.user_id", "Input should be a string, not a number"},
		{"MCP servers", requestBody(m38, `"mcp_servers":[{"type":"url","url":"https://h","name":"n"}]`), "mcp_servers", "not supported by this gateway"},
		{"format without type", requestBody(m38, `"output_config":{"format":{}}`), "output_config.format.type", "Input should be 'json_schema'"},
		{"format without schema", requestBody(m38, `"output_format":{"type":"json_schema"}`), "output_format.schema", "Field required"},
		{"schema too deep", requestBody(m38, `"output_format":{"type":"json_schema","schema":`+strings.Repeat(`{"type":"array","items":`, 40)+`{"const":1}`+strings.Repeat("}", 40)+`}`), "output_format.schema", "the schema nests more than 32 levels deep"},
		{"output_config of another type", requestBody(m38, `"output_config":1`), "output_config", "Input should be an object, not a number"},
		{"unknown effort", requestBody(m38, `"output_config":{"effort":"none"}`), "output_config.effort", "Input should be 'low', 'medium', 'high', 'xhigh' or 'max'"},
		{"thinking of another type", requestBody(m38, `"thinking":true`), "thinking", "Input should be an object, not a boolean"},
		{"thinking without type", requestBody(m38, `"thinking":{}`), "thinking.type", "Field required"},
		{"unknown thinking", requestBody(m38, `"thinking":{"type":"x"}`), "thinking.type", "Input should be 'adaptive', 'between_tools', 'disabled' or 'enabled'"},
		{"thinking without budget", requestBody(m38, `"thinking":{"type":"enabled"}`), "thinking.budget_tokens", "Field required"},
		{"budget 0", requestBody(m38, `"thinking":{"type":"enabled","budget_tokens":0}`), "thinking.budget_tokens", "Input should be greater than or equal to 1"},
		{"tools of another type", requestBody(m38, `"tools":{}`), "tools", "Input should be an array, not an object"},
		{"tool of another type", requestBody(m38, `"tools":["a"]`), "tools.0", "Input should be an object, not a string"},
		{"tool without name", requestBody(m38, tool(`"input_schema":{}`)), "tools.1.name", "Field required"},
		{"tool with an empty name", requestBody(m38, tool(`"name":"","input_schema":{}`)), "tools.1.name", "String should have at least 1 character"},
		{"tool without schema", requestBody(m38, tool(`"name":"b"`)), "tools.1.input_schema", "Field required"},
		{"schema of another type", requestBody(m38, tool(`"name":"b","input_schema":[]`)), "tools.1.input_schema", "Input should be an object, not an array"},
		{"schema of no object", requestBody(m38, tool(`"name":"b","input_schema":{"type":"string"}`)), "tools.1.input_schema.type", "Input should be 'object'"},
		{"description of another type", requestBody(m38, tool(`"name":"b","input_schema":{},"description":1`)), "tools.1.description", "Input should be a string, not a number"},
		{"type of another type", requestBody(m38, tool(`"type":1`)), "tools.1.type", "Input should be a string, not a number"},
		{"computer", requestBody(m38, tool(`"type":"computer_20251124","name":"computer"`)), "tools.1.type", `unsupported tool type "computer_20251124"`},
		{"toolset", requestBody(m38, tool(`"type":"mcp_toolset","mcp_server_name":"s"`)), "tools.1.type", `unsupported tool type "mcp_toolset"`},
		{"name twice", requestBody(m38, tool(`"name":"a","input_schema":{}`)), "tools", `Tool names must be unique, and "a" is used twice`},
		{"both kinds of domains", requestBody(m38, tool(`"type":"web_search_20250305","name":"web_search","allowed_domains":["a"],"blocked_domains":["b"]`)), "tools.1.blocked_domains", "allowed_domains and blocked_domains cannot be used together"},
		{"domains of another type", requestBody(m38, tool(`"type":"web_search_20250305","name":"web_search","allowed_domains":"a"`)), "tools.1.allowed_domains", "Input should be an array, not a string"},
		{"tools of a model without", requestBody("gemini-2.5-flash-preview-tts", tool(`"name":"b","input_schema":{}`)), "tools", "gemini-2.5-flash-preview-tts does not support tools"},
		{"choice of another type", requestBody(m38, `"tool_choice":"auto"`), "tool_choice", "Input should be an object, not a string"},
		{"choice without type", requestBody(m38, `"tool_choice":{}`), "tool_choice.type", "Field required"},
		{"unknown choice", requestBody(m38, `"tool_choice":{"type":"x"}`), "tool_choice.type", "Input should be 'auto', 'any', 'none' or 'tool'"},
		{"any of none", requestBody(m38, `"tool_choice":{"type":"any"}`), "tool_choice", "may only be specified while providing tools"},
		{"choice without name", requestBody(m38, `"tool_choice":{"type":"tool"}`), "tool_choice.tool.name", "Field required"},
		{"choice of an unknown tool", requestBody(m38, `"tool_choice":{"type":"tool","name":"x"}`), "tool_choice.tool.name", `Tool "x" not found in provided tools`},
		{"tool defined amid the conversation", requestBody(m38, user(`{"type":"tool_addition","tool":{"type":"tool_definition","definition":{"name":"late"}}}`)), "messages.0.content.0.tool.definition.input_schema", "Field required"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, f := decodeMessages(requestEnv(), &Options{}, []byte(c.body))
			if f == nil {
				t.Fatal("accepted")
			}
			if f.Kind != translate.InvalidRequest || f.Param != c.param || !strings.HasPrefix(f.Message, c.message) {
				t.Errorf("%s: %s (kind %d)", f.Param, f.Message, f.Kind)
			}
		})
	}
}
