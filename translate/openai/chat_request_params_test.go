// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

const hi = `"messages":[{"role":"user","content":"hi"}]`

// body makes a request of a model and more members.
func body(model, fields string) string {
	if fields != "" {
		fields = "," + fields
	}
	return fmt.Sprintf(`{"model":%q,%s%s}`, model, hi, fields)
}

// The rows of specs/openai.md §8.1, §8.2, §9 and §9.1 and the request rows of
// §21 about parameters, by the generationConfig they give.
func TestDecodeChat_GenerationConfig(t *testing.T) {
	const pro, lite = "gemini-2.5-pro", "gemini-2.5-flash-lite"
	jsonSchemaFormat := `"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object","properties":{"z":{"type":"string"},"a":{"const":"x"}},"required":["z"]}}}`
	for _, c := range []struct{ name, model, fields, want string }{
		{"nothing", m3, ``, `null`},
		{"temperature", m3, `"temperature":0.7`, `{"temperature":0.7}`},
		{"temperature null", m3, `"temperature":null`, `null`},
		{"temperature without effect", m36, `"temperature":0.7,"top_p":0.5,"top_k":3`, `null`},
		{"top_p", m25, `"top_p":0.5`, `{"topP":0.5}`},
		{"top_p zero", m25, `"top_p":0`, `null`},
		{"top_k", m25, `"top_k":40`, `{"topK":40}`},
		{"n one", m3, `"n":1`, `null`},
		{"n on 2.5", m25, `"n":2`, `{"candidateCount":2}`},
		{"21.36 n on 3", m3, `"n":2`, `null`},
		{"stop string", m3, `"stop":"END"`, `{"stopSequences":["END"]}`},
		{"stop array", m3, `"stop":["a","","b"]`, `{"stopSequences":["a","b"]}`},
		{"stop empty", m3, `"stop":""`, `null`},
		{"max_completion_tokens wins", m3, `"max_tokens":5,"max_completion_tokens":7`, `{"maxOutputTokens":7}`},
		{"max_tokens", m3, `"max_tokens":5`, `{"maxOutputTokens":5}`},
		{"max_tokens clamped", m25, `"max_tokens":1000000`, `{"maxOutputTokens":65536}`},
		{"21.34 penalty on 2.5 dropped", m25, `"frequency_penalty":0.5,"presence_penalty":1`, `null`},
		{"penalty on 2.0", m2, `"frequency_penalty":0.5,"presence_penalty":0`, `{"frequencyPenalty":0.5}`},
		{"seed", m3, `"seed":42`, `{"seed":42}`},
		{"seed beyond int32", m3, `"seed":4294967297`, `{"seed":1}`},
		{"logprobs on 2.0", m2, `"logprobs":true,"top_logprobs":3`, `{"responseLogprobs":true,"logprobs":3}`},
		{"logprobs false", m25, `"logprobs":false`, `null`},
		{"logit_bias empty", m3, `"logit_bias":{}`, `null`},
		{"modalities text", m3, `"modalities":["text"]`, `null`},
		{"modalities image", "gemini-2.5-flash-image", `"modalities":["text","image"]`, `{"responseModalities":["TEXT","IMAGE"]}`},
		{"modalities image only", "gemini-2.5-flash-image", `"modalities":["image"],"image_config":{"aspect_ratio":"16:9","image_size":"1K","x":1}`, `{"responseModalities":["IMAGE"],"imageConfig":{"aspectRatio":"16:9","imageSize":"1K"}}`},
		{"audio", "gemini-2.5-flash-preview-tts", `"modalities":["text","audio"],"audio":{"voice":"alloy","format":"wav"}`, `{"responseModalities":["AUDIO"],"speechConfig":{"voiceConfig":{"prebuiltVoiceConfig":{"voiceName":"Kore"}}}}`},
		{"audio by Gemini's voice", "gemini-2.5-flash-preview-tts", `"modalities":["audio"],"audio":{"voice":{"id":"puck"},"format":"pcm16"}`, `{"responseModalities":["AUDIO"],"speechConfig":{"voiceConfig":{"prebuiltVoiceConfig":{"voiceName":"Puck"}}}}`},
		{"tts without modalities", "gemini-2.5-flash-preview-tts", ``, `{"responseModalities":["AUDIO"]}`},
		{"ignored fields", m3, `"user":"u","metadata":{},"store":true,"prompt_cache_key":"k","prediction":{},"verbosity":"low","safety_identifier":"s","unheard_of":[1]`, `null`},

		{"format text", m3, `"response_format":{"type":"text"}`, `null`},
		{"format json_object", m3, `"response_format":{"type":"json_object"}`, `{"responseMimeType":"application/json"}`},
		{"format json_schema", m3, jsonSchemaFormat, `{"responseMimeType":"application/json","responseJsonSchema":{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"string","enum":["x"]}},"required":["z"]}}`},
		{"format json_schema on 2.0", m2, jsonSchemaFormat, `{"responseMimeType":"application/json","responseSchema":{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"string","enum":["x"]}},"required":["z"]}}`},
		{"format json_schema without schema", m3, `"response_format":{"type":"json_schema","json_schema":{"name":"n"}}`, `{"responseMimeType":"application/json"}`},
		{"format json_schema with an empty schema", m3, `"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}}`, `{"responseMimeType":"application/json"}`},
		{"format json_object with tools on 3", m3, `"response_format":{"type":"json_object"},"tools":[{"type":"function","function":{"name":"f"}}]`, `{"responseMimeType":"application/json"}`},
		{"21.37 format json_object with tools on 2.5", m25, `"response_format":{"type":"json_object"},"tools":[{"type":"function","function":{"name":"f"}}]`, `null`},

		{"effort none 2.5 flash", m25, `"reasoning_effort":"none"`, `{"thinkingConfig":{"thinkingBudget":0}}`},
		{"effort none 2.5 lite", lite, `"reasoning_effort":"none"`, `{"thinkingConfig":{"thinkingBudget":0}}`},
		{"effort none 2.5 pro", pro, `"reasoning_effort":"none"`, `{"thinkingConfig":{"thinkingBudget":128}}`},
		{"effort none 3 flash", m3, `"reasoning_effort":"none"`, `{"thinkingConfig":{"thinkingLevel":"MINIMAL"}}`},
		{"effort none 3.1 pro", "gemini-3.1-pro-preview", `"reasoning_effort":"none"`, `{"thinkingConfig":{"thinkingLevel":"LOW"}}`},
		{"effort none newest flash", "gemini-flash-latest", `"reasoning_effort":"none"`, `{"thinkingConfig":{"thinkingLevel":"LOW"}}`},
		{"effort minimal 2.5", m25, `"reasoning_effort":"minimal"`, `{"thinkingConfig":{"thinkingBudget":1024}}`},
		{"effort minimal 3.7", "gemini-3.7-flash", `"reasoning_effort":"minimal"`, `{"thinkingConfig":{"thinkingLevel":"LOW"}}`},
		{"effort minimal 3.7 lite", "gemini-3.7-flash-lite", `"reasoning_effort":"minimal"`, `{"thinkingConfig":{"thinkingLevel":"MINIMAL"}}`},
		{"effort low 2.5", m25, `"reasoning_effort":"low"`, `{"thinkingConfig":{"thinkingBudget":1024}}`},
		{"effort low 3", m3, `"reasoning_effort":"low"`, `{"thinkingConfig":{"thinkingLevel":"LOW"}}`},
		{"effort medium 2.5", m25, `"reasoning_effort":"medium"`, `{"thinkingConfig":{"thinkingBudget":8192}}`},
		{"effort medium 3", m3, `"reasoning_effort":"medium"`, `{"thinkingConfig":{"thinkingLevel":"MEDIUM"}}`},
		{"effort medium 3 pro", "gemini-3-pro-preview", `"reasoning_effort":"medium"`, `{"thinkingConfig":{"thinkingLevel":"HIGH"}}`},
		{"effort high 2.5", m25, `"reasoning_effort":"high"`, `{"thinkingConfig":{"thinkingBudget":24576}}`},
		{"effort high 3", m3, `"reasoning_effort":"high"`, `{"thinkingConfig":{"thinkingLevel":"HIGH"}}`},
		{"effort xhigh pro", pro, `"reasoning_effort":"xhigh"`, `{"thinkingConfig":{"thinkingBudget":32768}}`},
		{"effort max flash", m25, `"reasoning_effort":"max"`, `{"thinkingConfig":{"thinkingBudget":24576}}`},
		{"effort max 3", m3, `"reasoning_effort":"max"`, `{"thinkingConfig":{"thinkingLevel":"HIGH"}}`},
		{"effort without thinking", m2, `"reasoning_effort":"high"`, `null`},
		{"effort gemma", "gemma-3-27b-it", `"reasoning_effort":"high"`, `null`},
		{"effort flash image", "gemini-2.5-flash-image", `"reasoning_effort":"high"`, `null`},
		{"effort 3 pro image", "gemini-3-pro-image-preview", `"reasoning_effort":"low"`, `{"thinkingConfig":{"thinkingBudget":1024}}`},
		{"budget leaves room for an answer", m25, `"reasoning_effort":"high","max_completion_tokens":1000`, `{"maxOutputTokens":1000,"thinkingConfig":{"thinkingBudget":750}}`},
		{"budget has a minimum", pro, `"reasoning_effort":"high","max_tokens":100`, `{"maxOutputTokens":100,"thinkingConfig":{"thinkingBudget":128}}`},
		{"effort by suffix", m3 + "(low)", ``, `{"thinkingConfig":{"thinkingLevel":"LOW"}}`},
		{"budget by suffix", m25 + "(2048)", ``, `{"thinkingConfig":{"thinkingBudget":2048}}`},
		{"effort by suffix beside search", m3 + "(low):search", ``, `{"thinkingConfig":{"thinkingLevel":"LOW"}}`},
		{"effort field before suffix", m3 + "(low)", `"reasoning_effort":"high"`, `{"thinkingConfig":{"thinkingLevel":"HIGH"}}`},

		{"google thinking_config", m25, `"google":{"thinking_config":{"thinking_budget":500,"include_thoughts":true}}`, `{"thinkingConfig":{"includeThoughts":true,"thinkingBudget":500}}`},
		{"extra_body thinkingConfig", m3, `"extra_body":{"google":{"thinkingConfig":{"thinkingLevel":"low","includeThoughts":true}}}`, `{"thinkingConfig":{"includeThoughts":true,"thinkingLevel":"LOW"}}`},
		{"google others", m25, `"google":{"media_resolution":"low","top_k":5,"response_modalities":["text"],"speech_config":{"voice_config":{"prebuilt_voice_config":{"voice_name":"Kore","x":1}},"language_code":"en-US"},"image_config":{"aspectRatio":"1:1"},"unknown":1}`,
			`{"topK":5,"responseModalities":["TEXT"],"mediaResolution":"MEDIA_RESOLUTION_LOW","speechConfig":{"voiceConfig":{"prebuiltVoiceConfig":{"voiceName":"Kore"}},"languageCode":"en-US"},"imageConfig":{"aspectRatio":"1:1"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := upstream(t, decodeWith(t, requestEnv(), Options{}, body(c.model, c.fields)))
			sameJSON(t, got["generationConfig"], c.want)
		})
	}
}

func TestDecodeChat_IncludesThoughts(t *testing.T) {
	asks := `"google":{"thinking_config":{"include_thoughts":true}}`
	for _, c := range []struct {
		name, option, model, fields string
		include                     bool
		style                       string
	}{
		{"default does not ask", "", m3, ``, false, ReasoningContent},
		{"default asks with the client", "", m3, asks, true, ReasoningContent},
		{"operator asks", ReasoningContent, m3, ``, true, ReasoningContent},
		{"operator asks for tags", ReasoningTags, m3, ``, true, ReasoningTags},
		{"client declines", ReasoningContent, m3, `"google":{"thinking_config":{"include_thoughts":false}}`, false, ReasoningContent},
		{"effort none never", ReasoningContent, m3, `"reasoning_effort":"none"`, false, ReasoningContent},
		{"off never", ReasoningOff, m3, asks, false, ReasoningOff},
		{"model without thinking never", ReasoningContent, m2, asks, false, ReasoningContent},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := decodeWith(t, requestEnv(), Options{Reasoning: c.option}, body(c.model, c.fields))
			if r.Gemini.Config.Thinking.Include != c.include || r.Reasoning != c.style {
				t.Errorf("include %v, style %q", r.Gemini.Config.Thinking.Include, r.Reasoning)
			}
		})
	}
}

func TestDecodeChat_ThoughtTagsDoNotComeBack(t *testing.T) {
	r := decodeWith(t, requestEnv(), Options{Reasoning: ReasoningTags}, `{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"q"},{"role":"assistant","content":"<thought>hm\n</thought>a\"b"}]}`)
	if got := r.Gemini.Contents[1].Parts[0].Text.Text(); got != `a"b` {
		t.Errorf("got %q", got)
	}
}

// Members of the request beside contents and generationConfig.
func TestDecodeChat_TopLevel(t *testing.T) {
	for _, c := range []struct{ name, fields, member, want string }{
		{"service_tier auto", `"service_tier":"auto"`, "serviceTier", `null`},
		{"service_tier default", `"service_tier":"default"`, "serviceTier", `null`},
		{"service_tier scale", `"service_tier":"scale"`, "serviceTier", `null`},
		{"service_tier flex", `"service_tier":"flex"`, "serviceTier", `"flex"`},
		{"service_tier priority", `"service_tier":"priority"`, "serviceTier", `"priority"`},
		{"service_tier fast", `"service_tier":"fast"`, "serviceTier", `"priority"`},
		{"safety_settings", `"safety_settings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"OFF","x":1}]`, "safetySettings", `[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"OFF"}]`},
		{"safety_settings in extra_body", `"extra_body":{"google":{"safety_settings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}]}}`, "safetySettings", `[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}]`},
		{"no safety_settings", ``, "safetySettings", `null`},
		{"cached_content", `"cached_content":"cachedContents/a"`, "cachedContent", `"cachedContents/a"`},
		{"cached_content in google", `"google":{"cached_content":"cachedContents/a"}`, "cachedContent", `"cachedContents/a"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			sameJSON(t, upstream(t, decodeWith(t, requestEnv(), Options{}, body(m3, c.fields)))[c.member], c.want)
		})
	}
	t.Run("safety of the operator", func(t *testing.T) {
		o := Options{Safety: []byte(`[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"OFF"}]`)}
		sameJSON(t, upstream(t, decodeWith(t, requestEnv(), o, body(m3, "")))["safetySettings"], string(o.Safety))
	})
}

// What the answer side is told.
func TestDecodeChat_Flags(t *testing.T) {
	r := decodeWith(t, requestEnv(), Options{}, body("models/"+m2, `"stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false},"functions":[{"name":"f"}],"service_tier":"auto","parallel_tool_calls":false,"response_format":{"type":"json_object"},"logprobs":true,"top_logprobs":4,"n":3`))
	if r.Model != "models/"+m2 || r.Target != m2 || !r.Stream || !r.IncludeUsage || !r.LegacyFunctions || !r.ServiceTier ||
		r.ParallelCalls || !r.JSONMode || !r.Logprobs || r.TopLogprobs != 4 || r.N != 3 {
		t.Errorf("%+v", r)
	}
	r = decodeWith(t, requestEnv(), Options{}, body(m3, ""))
	if r.Stream || r.IncludeUsage || r.LegacyFunctions || r.ServiceTier || !r.ParallelCalls || r.JSONMode || r.N != 1 {
		t.Errorf("%+v", r)
	}
	r = decodeWith(t, requestEnv(), Options{}, body("gemini-2.5-flash-preview-tts", `"modalities":["audio"],"audio":{"voice":"alloy","format":"pcm16"}`))
	if r.AudioFormat != "pcm16" {
		t.Errorf("audio format %q", r.AudioFormat)
	}
}

func TestDecodeChat_Model(t *testing.T) {
	aliases := map[string]string{"gpt-4o": "gemini-flash-latest", "fast": "models/gemini-2.5-flash:search", "gemini-x-search": "gemini-x-search"}
	o := Options{Resolve: func(m string) string {
		if to, ok := aliases[m]; ok {
			return to
		}
		return m
	}}
	for _, c := range []struct {
		in, asked, target string
		search            bool
	}{
		{"gemini-2.5-flash", "gemini-2.5-flash", "gemini-2.5-flash", false},
		{" models/gemini-2.5-flash ", "gemini-2.5-flash", "gemini-2.5-flash", false},
		{"google/gemini-2.5-flash", "gemini-2.5-flash", "gemini-2.5-flash", false},
		{"gemini/gemini-2.5-flash", "gemini-2.5-flash", "gemini-2.5-flash", false},
		{"gpt-4o", "gpt-4o", "gemini-flash-latest", false},
		{" models/gpt-4o", "gpt-4o", "gemini-flash-latest", false},
		{"gpt-4o:search", "gpt-4o", "gemini-flash-latest", true},
		{"models/gpt-4o(high)", "gpt-4o", "gemini-flash-latest", false},
		{"gpt-4o-search-preview", "gpt-4o", "gemini-flash-latest", true},
		{"gemini-2.5-flash-search", "gemini-2.5-flash", "gemini-2.5-flash", true},
		{"gemini-2.5-flash:search(high)", "gemini-2.5-flash", "gemini-2.5-flash", true},
		{"gpt-4o(low):search", "gpt-4o", "gemini-flash-latest", true},
		{"fast", "fast", "gemini-2.5-flash", true},
		{"gemini-2.5-flash(high)", "gemini-2.5-flash", "gemini-2.5-flash", false},
		{"my-search", "my-search", "my-search", false},
	} {
		t.Run(c.in, func(t *testing.T) {
			r := decodeWith(t, requestEnv(), o, body(c.in, ""))
			if r.Model != c.in || r.Asked != c.asked || r.Target != c.target || (len(r.Gemini.Tools) == 1) != c.search {
				t.Errorf("model %q, asked %q, target %q, tools %v", r.Model, r.Asked, r.Target, r.Gemini.Tools)
			}
		})
	}
	for _, bad := range []string{"", " ", "../x", "a/b", "a?b", "a:b", "tunedModels/x", "-a", "a b", "a%2fb", "é", strings.Repeat("a", 129), "models/../x", "a(high", "a(high)b"} {
		t.Run("bad "+bad, func(t *testing.T) {
			r, f := DecodeChat(requestEnv(), o, []byte(body(bad, "")))
			if f == nil || f.Kind != translate.InvalidRequest || f.Param != "model" {
				t.Errorf("got %v, %v", r, f)
			}
		})
	}
}

// Everything that is refused, with the path of the field at fault.
func TestDecodeChat_Rejects(t *testing.T) {
	user := func(content string) string {
		return `{"model":"gemini-3-flash-preview","messages":[{"role":"user","content":` + content + `}]}`
	}
	message := func(m string) string {
		return `{"model":"gemini-3-flash-preview","messages":[{"role":"user","content":"q"},` + m + `]}`
	}
	tool := func(f string) string {
		return body(m3, `"tools":[{"type":"function","function":{"name":"a"}},`+f+`]`)
	}
	for _, c := range []struct{ name, body, param, message string }{
		{"not JSON", `{"model":`, "", "not valid JSON"},
		{"not an object", `[]`, "", "must be a JSON object"},
		{"no model", `{` + hi + `}`, "model", "must provide a model"},
		{"model of another type", `{"model":1,` + hi + `}`, "model", "expected a string, but got a number"},
		{"empty model", `{"model":"",` + hi + `}`, "model", "must provide a model"},
		{"model of white space", `{"model":" \t",` + hi + `}`, "model", "must provide a model"},
		{"no messages", `{"model":"m"}`, "messages", "Missing"},
		{"no message", `{"model":"m","messages":[]}`, "messages", "empty"},
		{"messages of another type", `{"model":"m","messages":{}}`, "messages", "expected an array"},
		{"message of another type", `{"model":"m","messages":["x"]}`, "messages[0]", "expected an object"},
		{"message without role", `{"model":"m","messages":[{"content":"x"}]}`, "messages[0].role", "Missing"},
		{"unknown role", `{"model":"m","messages":[{"role":"god","content":"x"}]}`, "messages[0].role", "god"},
		{"nothing but emptiness", user(`""`), "messages", "non-empty"},
		{"too many messages", `{"model":"m","messages":[` + strings.Repeat(`{"role":"user","content":"x"},`, maxMessages) + `{"role":"user","content":"x"}]}`, "messages", "10000"},
		{"content of another type", user(`5`), "messages[0].content", "expected a string or an array"},
		{"system with an image", message(`{"role":"system","content":[{"type":"text","text":"t"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}`), "messages[1].content[1].type", "only contain text"},
		{"remote image of an earlier answer", message(`{"role":"assistant","images":[{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]}`), "messages[1].images[0].image_url.url", "remote"},
		{"too many tool calls", message(`{"role":"assistant","tool_calls":[` + strings.Repeat(`{"function":{"name":"f"}},`, maxMessages) + `{"function":{"name":"f"}}]}`), "messages[1].tool_calls", "10000"},
		{"audio without data", user(`[{"type":"input_audio","input_audio":{"data":"","format":"wav"}}]`), "messages[0].content[0].input_audio.data", "no data"},
		{"audio of white space", user(`[{"type":"input_audio","input_audio":{"data":"\n ","format":"wav"}}]`), "messages[0].content[0].input_audio.data", "no data"},
		{"audio options of another type", body(m3, `"audio":"x"`), "audio", "expected an object"},
		{"cached content without a name", body(m3, `"cached_content":""`), "cached_content", "empty"},
		{"cached content without a name, for Google", body(m3, `"google":{"cached_content":""}`), "google.cached_content", "empty"},
		{"no allowed tools", body(m3, `"tools":[{"type":"function","function":{"name":"a"}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[]}}`), "tool_choice.allowed_tools.tools", "empty"},
		{"audio of an earlier answer", message(`{"role":"assistant","audio":{"id":"a"}}`), "messages[1].audio", "Audio"},
		{"tool call without name", message(`{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{}}]}`), "messages[1].tool_calls[0].function.name", "Missing"},
		{"tool call of another type", message(`{"role":"assistant","tool_calls":[{"id":"a","type":"mcp"}]}`), "messages[1].tool_calls[0].type", ""},
		{"tool call id of another type", message(`{"role":"assistant","tool_calls":[{"id":1,"function":{"name":"f"}}]}`), "messages[1].tool_calls[0].id", "a number"},
		{"arguments of another type", message(`{"role":"assistant","tool_calls":[{"id":"a","function":{"name":"f","arguments":5}}]}`), "messages[1].tool_calls[0].function.arguments", "a number"},
		{"tool_call_id of another type", message(`{"role":"tool","tool_call_id":5,"content":""}`), "messages[1].tool_call_id", "a number"},

		{"unknown part", user(`[{"type":"text","text":"a"},{"type":"hologram"}]`), "messages[0].content[1].type", "Unsupported content part type"},
		{"refusal of a user", user(`[{"type":"refusal","refusal":"a"}]`), "messages[0].content[0].type", "Unsupported content part type"},
		{"part without type", user(`[{"text":"a"}]`), "messages[0].content[0].type", "expected a string"},
		{"part of another type", user(`["a"]`), "messages[0].content[0]", "expected an object"},
		{"text of another type", user(`[{"type":"text","text":5}]`), "messages[0].content[0].text", "a number"},
		{"image without url", user(`[{"type":"image_url","image_url":{}}]`), "messages[0].content[0].image_url.url", "expected a string"},
		{"image missing", user(`[{"type":"image_url"}]`), "messages[0].content[0].image_url", "Missing"},
		{"image detail", user(`[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"huge"}}]`), "messages[0].content[0].image_url.detail", "auto"},
		{"remote image", user(`[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]`), "messages[0].content[1].image_url.url", "Send the image as a data URL"},
		{"remote video", user(`[{"type":"video_url","video_url":{"url":"https://example.com/a.mp4"}}]`), "messages[0].content[0].video_url.url", "Send the video as a data URL"},
		{"bare base64 image", user(`[{"type":"image_url","image_url":{"url":"iVBORw0KGgo="}}]`), "messages[0].content[0].image_url.url", "not a URL"},
		{"files path tricks", user(`[{"type":"image_url","image_url":{"url":"files/../models"}}]`), "messages[0].content[0].image_url.url", "not a URL"},
		{"another host with youtube in its name", user(`[{"type":"video_url","video_url":{"url":"https://youtube.com.evil.example/watch?v=1"}}]`), "messages[0].content[0].video_url.url", "remote"},
		{"data URL of bad base64", user(`[{"type":"image_url","image_url":{"url":"data:image/png;base64,A*AA"}}]`), "messages[0].content[0].image_url.url", "not base64"},
		{"data URL without comma", user(`[{"type":"image_url","image_url":{"url":"data:image/png;base64"}}]`), "messages[0].content[0].image_url.url", "comma"},
		{"data URL without data", user(`[{"type":"image_url","image_url":{"url":"data:image/png;base64,"}}]`), "messages[0].content[0].image_url.url", "no data"},
		{"image of no known kind", user(`[{"type":"image_url","image_url":{"url":"data:;base64,AAAA"}}]`), "messages[0].content[0].image_url.url", "what kind"},
		{"gif", user(`[{"type":"image_url","image_url":{"url":"data:image/gif;base64,AAAA"}}]`), "messages[0].content[0].image_url.url", "image/gif"},
		{"svg", user(`[{"type":"image_url","image_url":{"url":"data:image/svg+xml,%3Csvg/%3E"}}]`), "messages[0].content[0].image_url.url", "image/svg+xml"},
		{"audio of bad base64", user(`[{"type":"input_audio","input_audio":{"data":"*","format":"wav"}}]`), "messages[0].content[0].input_audio.data", "base64"},
		{"file of bad base64", user(`[{"type":"file","file":{"file_data":"*","filename":"a.pdf"}}]`), "messages[0].content[0].file.file_data", "base64"},
		{"file of nothing", user(`[{"type":"file","file":{}}]`), "messages[0].content[0].file", "file_data"},

		{"temperature too high", body(m3, `"temperature":2.1`), "temperature", "between 0 and 2"},
		{"temperature of another type", body(m3, `"temperature":"1"`), "temperature", "a string"},
		{"top_p too high", body(m3, `"top_p":1.1`), "top_p", "between 0 and 1"},
		{"top_k zero", body(m3, `"top_k":0`), "top_k", "between 1"},
		{"21.36 n on 3, streamed", body(m3, `"n":2,"stream":true`), "n", "in a stream"},
		{"n on 3, too many", body(m3, `"n":9`), "n", "8 choices"},
		{"n on 2.5", body(m25, `"n":9`), "n", "8 choices"},
		{"n zero", body(m25, `"n":0`), "n", "between 1"},
		{"stop too many", body(m3, `"stop":["1","2","3","4","5","6"]`), "stop", "At most 5"},
		{"stop of another type", body(m3, `"stop":["1",2]`), "stop[1]", "a number"},
		{"max_tokens zero", body(m3, `"max_tokens":0`), "max_tokens", "between 1"},
		{"max_completion_tokens negative", body(m3, `"max_completion_tokens":-1`), "max_completion_tokens", "between 1"},
		{"max_tokens fractional", body(m3, `"max_tokens":1.5`), "max_tokens", "integer"},
		{"penalty too high", body(m3, `"presence_penalty":3`), "presence_penalty", "between -2 and 2"},
		{"seed fractional", body(m3, `"seed":1.5`), "seed", "integer"},
		{"21.35 logprobs on 2.5", body(m25, `"logprobs":true`), "logprobs", "does not support"},
		{"top_logprobs alone", body(m2, `"top_logprobs":2`), "top_logprobs", "logprobs"},
		{"top_logprobs too many", body(m2, `"logprobs":true,"top_logprobs":21`), "top_logprobs", "between 0 and 20"},
		{"logit_bias", body(m3, `"logit_bias":{"50256":-100}`), "logit_bias", "no equivalent"},
		{"audio of a text model", body(m3, `"modalities":["text","audio"]`), "modalities", "-tts"},
		{"unknown modality", body(m3, `"modalities":["smell"]`), "modalities[0]", "modality"},
		{"audio format", body("gemini-2.5-flash-preview-tts", `"modalities":["audio"],"audio":{"voice":"alloy","format":"mp3"}`), "audio.format", "wav or pcm16"},
		{"unknown voice", body("gemini-2.5-flash-preview-tts", `"modalities":["audio"],"audio":{"voice":"bob","format":"wav"}`), "audio.voice", "bob"},
		{"stream of another type", body(m3, `"stream":"yes"`), "stream", "expected a boolean"},
		{"stream_options of another type", body(m3, `"stream_options":[]`), "stream_options", "an array"},
		{"include_usage of another type", body(m3, `"stream_options":{"include_usage":1}`), "stream_options.include_usage", "a number"},
		{"service_tier unknown", body(m3, `"service_tier":"gold"`), "service_tier", "gold"},
		{"effort unknown", body(m3, `"reasoning_effort":"ultra"`), "reasoning_effort", "ultra"},
		{"effort suffix unknown", body(m3+"(ultra)", ``), "model", "suffix"},
		{"effort with thinking_config", body(m3, `"reasoning_effort":"low","google":{"thinking_config":{}}`), "google.thinking_config", "together"},
		{"level with budget", body(m3, `"extra_body":{"google":{"thinking_config":{"thinking_level":"low","thinking_budget":1}}}`), "extra_body.google.thinking_config", "together"},
		{"level unknown", body(m3, `"google":{"thinking_config":{"thinking_level":"x"}}`), "google.thinking_config.thinking_level", "Unknown"},
		{"safety category", body(m3, `"safety_settings":[{"category":"X","threshold":"OFF"}]`), "safety_settings[0].category", "HARM_CATEGORY_HARASSMENT"},
		{"cached_content with tools", body(m3, `"cached_content":"cachedContents/a","tools":[{"type":"function","function":{"name":"f"}}]`), "cached_content", "together"},
		{"format without type", body(m3, `"response_format":{}`), "response_format.type", "Missing"},
		{"format unknown", body(m3, `"response_format":{"type":"grammar"}`), "response_format.type", "grammar"},
		{"format json_schema missing", body(m3, `"response_format":{"type":"json_schema"}`), "response_format.json_schema", "expected an object"},
		{"format schema of another type", body(m3, `"response_format":{"type":"json_schema","json_schema":{"schema":[]}}`), "response_format.json_schema.schema", "an array"},
		{"json on gemma", body("gemma-3-27b-it", `"response_format":{"type":"json_object"}`), "response_format", "JSON"},
		{"json on tts", body("gemini-2.5-flash-preview-tts", `"response_format":{"type":"json_object"}`), "response_format", "JSON"},
		{"json on 2.5 image", body("gemini-2.5-flash-image", `"response_format":{"type":"json_object"}`), "response_format", "JSON"},

		{"tools of another type", body(m3, `"tools":{}`), "tools", "an object"},
		{"tool twice", tool(`{"type":"function","function":{"name":"a"}}`), "tools[1].function.name", "twice"},
		{"tool without name", tool(`{"type":"function","function":{}}`), "tools[1].function.name", "nothing"},
		{"tool without function", tool(`{"type":"function"}`), "tools[1].function", "nothing"},
		{"tool without type", tool(`{}`), "tools[1].type", "Missing"},
		{"parameters of another type", tool(`{"type":"function","function":{"name":"b","parameters":"x"}}`), "tools[1].function.parameters", "a string"},
		{"parameters that are no object", tool(`{"type":"function","function":{"name":"b","parameters":{"type":"string"}}}`), "tools[1].function.parameters", "type object"},
		{"parameters too deep", tool(`{"type":"function","function":{"name":"b","parameters":{"type":"object","properties":{"a":` + strings.Repeat(`{"type":"array","items":`, 33) + `{}` + strings.Repeat(`}`, 33) + `}}}}`), "tools[1].function.parameters", "32"},
		{"too many tools", body(m3, `"tools":[`+strings.Repeat(`{"type":"web_search"},`, maxTools)+`{"type":"web_search"}]`), "tools", "1024"},
		{"too many functions", body(m3, `"tools":[`+manyTools(maxFunctions+1)+`]`), "tools", "512"},
		{"functions of an image model", body("gemini-2.5-flash-image", `"tools":[{"type":"function","function":{"name":"f"}}]`), "tools", "does not support functions"},
		{"mixed tools on 2.5", body(m25, `"tools":[{"type":"function","function":{"name":"f"}},{"type":"web_search"}]`), "tools[1]", "built-in tools and functions"},
		{"mixed with web_search_options on 2.5", body(m25, `"web_search_options":{},"tools":[{"type":"function","function":{"name":"f"}}]`), "web_search_options", "built-in tools and functions"},
		{"image_generation of a text model", tool(`{"type":"image_generation"}`), "tools[1].type", "-image"},
		{"choice unknown", body(m3, `"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"maybe"`), "tool_choice", "maybe"},
		{"choice of no tool", body(m3, `"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":"g"}}`), "tool_choice", "not among"},
		{"choice required without tools", body(m3, `"tool_choice":"required"`), "tool_choice", "no tools"},
		{"choice of a function without tools", body(m3, `"tool_choice":{"type":"function","function":{"name":"g"}}`), "tool_choice", "not among"},
		{"choice of a missing built-in", body(m3, `"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"web_search_preview"}`), "tool_choice", "not among"},
		{"choice of another type", body(m3, `"tool_choice":5`), "tool_choice", "a number"},
		{"function_call of no function", body(m3, `"functions":[{"name":"f"}],"function_call":{"name":"g"}`), "function_call", "not among"},
		{"parallel_tool_calls of another type", body(m3, `"parallel_tool_calls":1`), "parallel_tool_calls", "a number"},
		{"pass-through of a function", body(m3, `"google":{"tools":[{"functionDeclarations":[]}]}`), "google.tools[0]", "built-in"},
	} {
		t.Run(c.name, func(t *testing.T) { rejects(t, Options{}, c.body, c.param, c.message) })
	}
	for _, typ := range []string{"file_search", "computer_use_preview", "mcp", "local_shell", "shell", "apply_patch", "namespace"} {
		t.Run("tool "+typ, func(t *testing.T) {
			rejects(t, Options{}, body(m3, `"tools":[{"type":"`+typ+`"}]`), "tools[0].type", typ)
		})
	}
	t.Run("strict unknown field", func(t *testing.T) {
		rejects(t, Options{Strict: true}, body(m3, `"foo":1`), "foo", "Unrecognized request argument supplied: foo")
	})
	t.Run("strict penalty", func(t *testing.T) {
		rejects(t, Options{Strict: true}, body(m3, `"presence_penalty":1`), "presence_penalty", "does not support")
	})
}

func manyTools(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"type":"function","function":{"name":"f%d"}}`, i)
	}
	return b.String()
}

func rejects(t *testing.T, o Options, body, param, message string) {
	t.Helper()
	r, f := DecodeChat(requestEnv(), o, []byte(body))
	if f == nil {
		t.Fatalf("accepted: %s", r.Gemini.Append(nil))
	}
	if f.Kind != translate.InvalidRequest || f.Param != param || !strings.Contains(f.Message, message) {
		t.Errorf("got kind %d, %q: %q; want %q: …%s…", f.Kind, f.Param, f.Message, param, message)
	}
}
