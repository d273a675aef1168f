// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"fmt"
	"strings"
	"testing"
)

// Rows of specs/openai.md §3 that need more than one message to show.
func TestDecodeChat_Turns(t *testing.T) {
	const call = `{"id":"c1","type":"function","function":{"name":"w","arguments":"{}"}}`
	const fc = `{"functionCall":{"id":"c1","name":"w","args":{}}}`
	q, u := `{"role":"user","content":"q"}`, `{"role":"user","content":"u"}`
	qWant, uWant := `{"role":"user","parts":[{"text":"q"}]}`, `{"role":"user","parts":[{"text":"u"}]}`
	fr := func(id, name, response string) string {
		return `{"functionResponse":{"id":"` + id + `","name":"` + name + `","response":` + response + `}}`
	}
	turn := func(role string, parts ...string) string {
		return `{"role":"` + role + `","parts":[` + strings.Join(parts, ",") + `]}`
	}
	two := `{"role":"assistant","tool_calls":[` + call + `,{"id":"c2","function":{"name":"v","arguments":"{}"}}]}`
	twoWant := turn("model", fc, `{"functionCall":{"id":"c2","name":"v","args":{}}}`)
	for _, c := range []struct{ name, model, messages, system, want string }{
		{"3.2 system without content", m3, `{"role":"system"},{"role":"system","content":""},{"role":"developer","content":[{"type":"text","text":""}]},` + q, `null`, qWant},
		{"3.2 system in parts, one each", m3, `{"role":"system","content":[{"type":"text","text":"A"},{"type":"input_text","text":"B"}]},` + q, `{"parts":[{"text":"A"},{"text":"B"}]}`, qWant},
		{"3.2 system between turns does not part them", m3, q + `,{"role":"system","content":"S"},` + u, `{"parts":[{"text":"S"}]}`, turn("user", `{"text":"q"}`, `{"text":"u"}`)},
		{"3.2 only system, gemma-3", "gemma-3-27b-it", `{"role":"system","content":"S"}`, `null`, turn("user", `{"text":"S"}`)},
		{"3.2 system of a speech model", "gemini-2.5-flash-preview-tts", `{"role":"system","content":"S"},` + q, `null`, turn("user", `{"text":"S\n\n"}`, `{"text":"q"}`)},
		{"3.3 an empty message among others", m3, `{"role":"user","content":[{"type":"text","text":""}]},` + q + `,{"role":"user","content":""}`, `null`, qWant},
		{"3.3 parts keep their order", m3, `{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},{"type":"text","text":"b"}]}`, `null`,
			turn("user", `{"text":"a"}`, `{"inlineData":{"mimeType":"image/png","data":"AAAA"}}`, `{"text":"b"}`)},
		{"3.4 text, images, calls, in this order", m25, q + `,{"role":"assistant","tool_calls":[` + call + `],"images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}],"content":"t"},{"role":"tool","tool_call_id":"c1","content":"r"}`, `null`,
			qWant + `,` + turn("model", `{"text":"t"}`, `{"inlineData":{"mimeType":"image/png","data":"AAAA"}}`, fc) + `,` + turn("user", fr("c1", "w", `{"output":"r"}`))},
		{"3.4 a custom call and its result", m25, q + `,{"role":"assistant","tool_calls":[{"id":"c1","type":"custom","custom":{"name":"w"}}]},{"role":"tool","tool_call_id":"c1","content":"r"}`, `null`,
			qWant + `,` + turn("model", `{"functionCall":{"id":"c1","name":"w","args":{"input":""}}}`) + `,` + turn("user", fr("c1", "w", `{"output":"r"}`))},
		{"3.5 the name beside an unknown id", m25, q + `,` + two + `,{"role":"tool","tool_call_id":"x","name":"v","content":"V"},{"role":"tool","tool_call_id":"c1","content":"W"}`, `null`,
			qWant + `,` + twoWant + `,` + turn("user", fr("c1", "w", `{"output":"W"}`), fr("c2", "v", `{"output":"V"}`))},
		{"3.5 the name of no call", m25, q + `,{"role":"tool","tool_call_id":"x","name":"v","content":"V"}`, `null`, turn("user", `{"text":"q"}`, `{"text":"[tool result x]: V"}`)},
		{"3.5 results to two turns", m25, q + `,{"role":"assistant","tool_calls":[` + call + `]},{"role":"tool","tool_call_id":"c1","content":"1"},{"role":"assistant","tool_calls":[{"id":"c2","function":{"name":"w","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c2","content":"2"}`, `null`,
			qWant + `,` + turn("model", fc) + `,` + turn("user", fr("c1", "w", `{"output":"1"}`)) + `,` + turn("model", `{"functionCall":{"id":"c2","name":"w","args":{}}}`) + `,` + turn("user", fr("c2", "w", `{"output":"2"}`))},
		{"3.5 detail of an image in a result has no place", m3, q + `,{"role":"assistant","tool_calls":[` + call + `]},{"role":"tool","tool_call_id":"c1","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}}]}`, `null`,
			qWant + `,` + turn("model", strings.TrimSuffix(fc, "}")+`,"thoughtSignature":"skip_thought_signature_validator"}`) + `,` + turn("user", `{"functionResponse":{"id":"c1","name":"w","response":{"output":""},"parts":[{"inlineData":{"mimeType":"image/png","data":"AAAA"}}]}}`)},
		{"3.6 what the model says after results is another turn", m25, q + `,{"role":"assistant","tool_calls":[` + call + `]},{"role":"tool","tool_call_id":"c1","content":"r"},{"role":"assistant","content":"t"},` + u, `null`,
			qWant + `,` + turn("model", fc) + `,` + turn("user", fr("c1", "w", `{"output":"r"}`)) + `,` + turn("model", `{"text":"t"}`) + `,` + uWant},
		{"3.7 no results at all", m25, q + `,` + two + `,` + u, `null`,
			qWant + `,` + twoWant + `,` + turn("user", fr("c1", "w", `{"error":"no result was provided"}`), fr("c2", "v", `{"error":"no result was provided"}`)) + `,` + uWant},
		{"3.7 an orphan after a model turn without calls", m25, q + `,{"role":"assistant","content":"t"},{"role":"tool","tool_call_id":"x","name":"w","content":"{\"a\":1}"}`, `null`,
			qWant + `,` + turn("model", `{"text":"t"}`) + `,` + turn("user", `{"text":"[tool result x]: {\"a\":1}"}`)},
		{"3.7 an orphan of an object", m25, q + `,{"role":"tool","tool_call_id":"x","content":{"a":"b"}}`, `null`, turn("user", `{"text":"q"}`, `{"text":"[tool result x]: {\"a\":\"b\"}"}`)},
		{"3.7 a call first, on gemma", "gemma-4-31b-it", `{"role":"assistant","tool_calls":[` + call + `]},{"role":"tool","tool_call_id":"c1","content":"r"}`, `null`,
			turn("user", `{"text":" "}`) + `,` + turn("model", fc) + `,` + turn("user", fr("c1", "w", `{"output":"r"}`))},
		{"3.7 prefill on 3.5 flash", "gemini-3.5-flash", q + `,{"role":"assistant","content":"S"}`, `null`, qWant + `,` + turn("model", `{"text":"S"}`)},
		{"3.7 prefill on 3.5 flash lite", "gemini-3.5-flash-lite", q + `,{"role":"assistant","content":"S"}`, `null`, qWant + `,` + turn("model", `{"text":"S"}`) + `,` + turn("user", `{"text":"Continue."}`)},
		{"3.7 prefill on gemma", "gemma-3-27b-it", q + `,{"role":"assistant","content":"S"}`, `null`, qWant + `,` + turn("model", `{"text":"S"}`)},
		{"3.7 an empty text at the end of the model's", m36, q + `,{"role":"assistant","content":[{"type":"text","text":"S"},{"type":"text","text":""}]},` + u, `null`, qWant + `,` + turn("model", `{"text":"S"}`) + `,` + uWant},
		{"3.7 media alone get no filler", m3, `{"role":"user","content":[{"type":"file","file":{"filename":"a.pdf","file_data":"AAAA"}}]}`, `null`, turn("user", `{"inlineData":{"mimeType":"application/pdf","data":"AAAA"}}`)},
		{"3.7 bytes that are no UTF-8", m3, "{\"role\":\"user\",\"content\":\"a\xffb\"}", `null`, turn("user", `{"text":"a�b"}`)},
		{"3.7 NUL", m3, `{"role":"user","content":"a\u0000b"}`, `null`, turn("user", `{"text":"a\u0000b"}`)},
		{"3.7 a pair of surrogates stays", m3, `{"role":"user","content":"\ud83d\ude00"}`, `null`, turn("user", `{"text":"😀"}`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := upstream(t, decodeWith(t, requestEnv(), Options{}, fmt.Sprintf(`{"model":%q,"messages":[%s]}`, c.model, c.messages)))
			sameJSON(t, got["contents"], `[`+c.want+`]`)
			sameJSON(t, got["systemInstruction"], c.system)
		})
	}
	t.Run("3.5 the id is the name of a tool", func(t *testing.T) {
		got := upstream(t, decodeWith(t, requestEnv(), Options{}, `{"model":"`+m25+`","tools":[{"type":"function","function":{"name":"v"}},{"type":"function","function":{"name":"1 w"}}],"messages":[`+q+`,
			{"role":"assistant","tool_calls":[{"id":"c1","function":{"name":"1 w","arguments":"{}"}},{"id":"c2","function":{"name":"v","arguments":"{}"}}]},
			{"role":"tool","tool_call_id":"v","content":"V"},{"role":"tool","tool_call_id":"1 w","content":"W"}]}`))
		sameJSON(t, got["contents"].([]any)[2], turn("user", fr("c1", "_1_w", `{"output":"W"}`), fr("c2", "v", `{"output":"V"}`)))
	})
}

// Further rows of specs/openai.md §5.2, §5.5 and §5.6.
func TestDecodeChat_BuiltInTools(t *testing.T) {
	schema := `"response_format":{"type":"json_schema","json_schema":{"schema":{"type":"object","properties":{"a":{"type":"string"}}}}}`
	for _, c := range []struct{ name, model, fields, tools, config string }{
		{"web_search of another date", m3, `"tools":[{"type":"web_search_2030_01_01"}]`, `[{"googleSearch":{}}]`, `null`},
		{"web_search_preview of another date", m3, `"tools":[{"type":"web_search_preview_2030_01_01"}],"tool_choice":{"type":"web_search_preview_2030_01_01"}`, `[{"googleSearch":{}}]`, `null`},
		{"all of Google's tools", m3, `"tools":[{"type":"web_search"},{"type":"code_interpreter"},{"url_context":{}},{"google_maps":{}}]`,
			`[{"googleSearch":{}},{"codeExecution":{}},{"urlContext":{}},{"googleMaps":{}}]`, `null`},
		{"custom, flat", m3, `"tools":[{"type":"custom","name":"f","format":{"type":"grammar","syntax":"lark","definition":"G"}}]`,
			`[{"functionDeclarations":[{"name":"f","description":"The input must follow this grammar:\nG","parametersJsonSchema":{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}}]}]`, `null`},
		{"custom of free text", m3, `"tools":[{"type":"custom","custom":{"name":"f","description":"d","format":{"type":"text"}}}]`,
			`[{"functionDeclarations":[{"name":"f","description":"d","parametersJsonSchema":{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}}]}]`, `null`},
		{"JSON with search on 2.5", m25, `"tools":[{"type":"web_search"}],` + schema, `[{"googleSearch":{}}]`, `null`},
		{"JSON with search on 3", m3, `"tools":[{"type":"web_search"}],` + schema, `[{"googleSearch":{}}]`,
			`{"responseMimeType":"application/json","responseJsonSchema":{"type":"object","properties":{"a":{"type":"string"}}}}`},
		{"search of an image model of Gemini 3", "gemini-3.1-flash-image", `"tools":[{"google_search":{}}]`, `[{"googleSearch":{}}]`, `null`},
		{"search by the model's name", m25 + "-search", ``, `[{"googleSearch":{}}]`, `null`},
		{"search by the name of OpenAI's models", "gpt-4o-search-preview", ``, `[{"googleSearch":{}}]`, `null`},
		{"required, of Google's tools alone", m3, `"tools":[{"type":"web_search"}],"tool_choice":"required"`, `[{"googleSearch":{}}]`, `null`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := upstream(t, decodeWith(t, requestEnv(), Options{}, body(c.model, c.fields)))
			sameJSON(t, got["tools"], c.tools)
			sameJSON(t, got["generationConfig"], c.config)
		})
	}
	for pseudo, native := range map[string]string{
		"googleSearch": "googleSearch", "google_search": "googleSearch", "codeExecution": "codeExecution", "code_execution": "codeExecution",
		"urlContext": "urlContext", "url_context": "urlContext",
	} {
		t.Run("5.6 function "+pseudo, func(t *testing.T) {
			for _, parameters := range []string{``, `,"parameters":{}`, `,"parameters":{"type":"object","properties":{}}`} {
				got := upstream(t, decodeWith(t, requestEnv(), Options{}, body(m3, `"tools":[{"type":"function","function":{"name":"`+pseudo+`"`+parameters+`}}]`)))
				sameJSON(t, got["tools"], `[{"`+native+`":{}}]`)
			}
		})
	}
	t.Run("a speech model has none", func(t *testing.T) {
		rejects(t, Options{}, body("gemini-2.5-flash-preview-tts", `"tools":[{"type":"web_search"}]`), "tools[0]", "does not support tools")
	})
	for _, typ := range []string{"computer_use", "computer-preview", "web_fetch", "websearch"} {
		t.Run("tool "+typ, func(t *testing.T) {
			rejects(t, Options{}, body(m3, `"tools":[{"type":"`+typ+`"}]`), "tools[0].type", typ)
		})
	}
}

// The table of specs/openai.md §8.1, all of it.
func TestDecodeChat_Effort(t *testing.T) {
	for _, c := range []struct{ model, none, minimal, low, medium, high, xhigh string }{
		{"gemini-2.5-pro", "128", "1024", "1024", "8192", "24576", "32768"},
		{"gemini-2.5-flash", "0", "1024", "1024", "8192", "24576", "24576"},
		{"gemini-2.5-flash-lite", "0", "1024", "1024", "8192", "24576", "24576"},
		{"gemini-3-pro-preview", "LOW", "LOW", "LOW", "HIGH", "HIGH", "HIGH"},
		{"gemini-3-flash-preview", "MINIMAL", "MINIMAL", "LOW", "MEDIUM", "HIGH", "HIGH"},
		{"gemini-3.1-pro-preview", "LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH"},
		{"gemini-3.1-flash-lite", "MINIMAL", "MINIMAL", "LOW", "MEDIUM", "HIGH", "HIGH"},
		{"gemini-3.5-flash", "MINIMAL", "MINIMAL", "LOW", "MEDIUM", "HIGH", "HIGH"},
		{"gemini-3.5-flash-lite", "MINIMAL", "MINIMAL", "LOW", "MEDIUM", "HIGH", "HIGH"},
		{"gemini-3.6-flash", "MINIMAL", "MINIMAL", "LOW", "MEDIUM", "HIGH", "HIGH"},
		{"gemini-3.7-flash", "LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH"},
		{"gemini-flash-latest", "LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH"},
		{"gemini-3.7-flash-lite", "MINIMAL", "MINIMAL", "LOW", "MEDIUM", "HIGH", "HIGH"},
		{"gemini-3-pro-image-preview", "128", "1024", "1024", "8192", "24576", "32768"},
		{"gemini-2.0-flash", "", "", "", "", "", ""},
		{"gemma-3-27b-it", "", "", "", "", "", ""},
		{"gemini-2.5-flash-image", "", "", "", "", "", ""},
		{"gemini-3.1-flash-image", "", "", "", "", "", ""},
		{"gemini-2.5-flash-preview-tts", "", "", "", "", "", ""},
	} {
		for effort, want := range map[string]string{"none": c.none, "minimal": c.minimal, "low": c.low, "medium": c.medium, "high": c.high, "xhigh": c.xhigh, "max": c.xhigh} {
			t.Run(c.model+" "+effort, func(t *testing.T) {
				thinking := decodeWith(t, requestEnv(), Options{}, body(c.model, `"reasoning_effort":"`+effort+`"`)).Gemini.Config.Thinking
				if got := thinking.Level + string(thinking.Budget); got != want || thinking.Include {
					t.Errorf("got %q, want %q; %+v", got, want, thinking)
				}
			})
		}
		t.Run(c.model+" absent", func(t *testing.T) {
			if thinking := decodeWith(t, requestEnv(), Options{}, body(c.model, "")).Gemini.Config.Thinking; thinking.Level != "" || thinking.Budget != nil {
				t.Errorf("%+v", thinking)
			}
		})
	}
}

// specs/openai.md §8.2: each key of the pass-through in both spellings, at both
// places.
func TestDecodeChat_PassThrough(t *testing.T) {
	const tools, config, top = "tools", "generationConfig", ""
	for _, c := range []struct{ snake, camel, value, member, want string }{
		{"thinking_config", "thinkingConfig", `{"thinking_budget":5,"x":1}`, config, `{"thinkingConfig":{"thinkingBudget":5}}`},
		{"thinking_config", "thinkingConfig", `{"thinkingLevel":"HIGH","includeThoughts":null}`, config, `{"thinkingConfig":{"thinkingLevel":"HIGH"}}`},
		{"cached_content", "cachedContent", `"cachedContents/a"`, "cachedContent", `"cachedContents/a"`},
		{"safety_settings", "safetySettings", `[{"category":"HARM_CATEGORY_HATE_SPEECH","threshold":"BLOCK_ONLY_HIGH"}]`, "safetySettings", `[{"category":"HARM_CATEGORY_HATE_SPEECH","threshold":"BLOCK_ONLY_HIGH"}]`},
		{"media_resolution", "mediaResolution", `"MEDIA_RESOLUTION_HIGH"`, config, `{"mediaResolution":"MEDIA_RESOLUTION_HIGH"}`},
		{"top_k", "topK", `7`, config, `{"topK":7}`},
		{"response_modalities", "responseModalities", `["TEXT","image"]`, config, `{"responseModalities":["TEXT","IMAGE"]}`},
		{"speech_config", "speechConfig", `{"language_code":"de-DE"}`, config, `{"speechConfig":{"languageCode":"de-DE"}}`},
		{"image_config", "imageConfig", `{"aspect_ratio":"1:1","imageSize":"2K","x":[]}`, config, `{"imageConfig":{"aspectRatio":"1:1","imageSize":"2K"}}`},
		{"tools", "tools", `[{"google_search":{}},{"urlContext":{}}]`, tools, `[{"googleSearch":{}},{"urlContext":{}}]`},
		{"unheard_of", "unheardOf", `{"a":1}`, top, ``},
	} {
		for _, key := range []string{c.snake, c.camel} {
			for _, place := range []string{`"google":{%s}`, `"extra_body":{"google":{%s}}`} {
				t.Run(fmt.Sprintf(place, key), func(t *testing.T) {
					got := upstream(t, decodeWith(t, requestEnv(), Options{}, body(m25, fmt.Sprintf(place, fmt.Sprintf("%q:%s", key, c.value)))))
					if c.member == top {
						if len(got) != 1 {
							t.Errorf("got %v", got)
						}
						return
					}
					sameJSON(t, got[c.member], c.want)
				})
			}
		}
	}
	for _, c := range []struct{ name, fields, param, message string }{
		{"cached content with a system message", `"cached_content":"cachedContents/a"`, "cached_content", "together"},
		{"cached content with a tool choice of Google's", `"cached_content":"cachedContents/a","tools":[{"google_search":{}}]`, "cached_content", "together"},
		{"threshold", `"google":{"safety_settings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"HIGH"}]}`, "google.safety_settings[0].threshold", "BLOCK_NONE"},
		{"media resolution", `"google":{"media_resolution":"huge"}`, "google.media_resolution", "huge"},
		{"modality", `"extra_body":{"google":{"response_modalities":["smell"]}}`, "extra_body.google.response_modalities[0]", "modality"},
		{"top_k", `"google":{"top_k":0}`, "google.top_k", "between 1"},
		{"budget", `"google":{"thinking_config":{"thinking_budget":-2}}`, "google.thinking_config.thinking_budget", "between -1"},
		{"include_thoughts", `"google":{"thinking_config":{"include_thoughts":"yes"}}`, "google.thinking_config.include_thoughts", "expected a boolean"},
		{"speech config", `"google":{"speech_config":{"voice_config":[]}}`, "google.speech_config.voice_config", "expected an object"},
		{"google of another type", `"google":[]`, "google", "expected an object"},
		{"extra_body of another type", `"extra_body":""`, "extra_body", "expected an object"},
		{"google in extra_body of another type", `"extra_body":{"google":1}`, "extra_body.google", "expected an object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rejects(t, Options{}, `{"model":"`+m25+`","messages":[{"role":"system","content":"S"},{"role":"user","content":"q"}],`+c.fields+`}`, c.param, c.message)
		})
	}
}

// The last rows of specs/openai.md §9: null is absent, and a wrong type is refused
// with the field's name.
func TestDecodeChat_Types(t *testing.T) {
	plain := string(decodeWith(t, requestEnv(), Options{}, body(m2, "")).Gemini.Append(nil))
	wrong := map[string]string{
		"temperature": `"hot"`, "top_p": `[]`, "top_k": `"3"`, "n": `"1"`, "stop": `5`, "seed": `"x"`, "stream": `1`, "stream_options": `true`,
		"max_completion_tokens": `"9"`, "max_tokens": `{}`, "presence_penalty": `"1"`, "frequency_penalty": `true`, "logprobs": `1`,
		"top_logprobs": `"2"`, "logit_bias": `[]`, "response_format": `"json_object"`, "modalities": `"text"`, "audio": `"alloy"`,
		"image_config": `"16:9"`, "tools": `{}`, "tool_choice": `true`, "parallel_tool_calls": `"no"`, "functions": `"f"`, "function_call": `1`,
		"reasoning_effort": `3`, "service_tier": `1`, "web_search_options": `true`, "safety_settings": `{}`, "cached_content": `{}`,
		"extra_body": `[]`, "google": `"x"`,
	}
	for name, value := range wrong {
		t.Run(name, func(t *testing.T) {
			if got := string(decodeWith(t, requestEnv(), Options{}, body(m2, `"`+name+`":null`)).Gemini.Append(nil)); got != plain {
				t.Errorf("null gives %s", got)
			}
			rejects(t, Options{}, body(m2, `"`+name+`":`+value), name, "nvalid type for '"+name+"'")
		})
	}
	var f chatFields
	for _, name := range []string{"user", "safety_identifier", "metadata", "store", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "moderation", "prediction", "verbosity"} {
		t.Run("ignored "+name, func(t *testing.T) {
			if f.field(name) == nil {
				t.Error("strict mode would refuse it")
			}
			for _, value := range []string{`null`, `{}`, `"x"`, `true`} {
				if got := string(decodeWith(t, requestEnv(), Options{Strict: true}, body(m2, `"`+name+`":`+value)).Gemini.Append(nil)); got != plain {
					t.Errorf("%s gives %s", value, got)
				}
			}
		})
	}
}

// Further rows of specs/openai.md §9, by generationConfig.
func TestDecodeChat_MoreParameters(t *testing.T) {
	for _, c := range []struct{ name, model, fields, want string }{
		{"temperature of the ends", m3, `"temperature":2,"top_p":1`, `{"temperature":2,"topP":1}`},
		{"temperature zero is sent", m3, `"temperature":0`, `{"temperature":0}`},
		{"n on an image model", "gemini-2.5-flash-image", `"n":2`, `null`},
		{"n of the limit", m25, `"n":8`, `{"candidateCount":8}`},
		{"five stops", m3, `"stop":["1","2","3","4","5",""]`, `{"stopSequences":["1","2","3","4","5"]}`},
		{"stop of nothing", m3, `"stop":[]`, `null`},
		{"limit of gemma 3", "gemma-3-27b-it", `"max_tokens":100000`, `{"maxOutputTokens":8192}`},
		{"limit of an image model", "gemini-3.1-flash-image", `"max_tokens":100000`, `{"maxOutputTokens":32768}`},
		{"limit of the newest", "gemini-flash-latest", `"max_tokens":100000`, `{"maxOutputTokens":65536}`},
		{"limit of a model of unknown size", "gemini-9-ultra", `"max_tokens":1000000`, `{"maxOutputTokens":1000000}`},
		{"limit beyond 32 bits", "gemini-9-ultra", `"max_completion_tokens":9007199254740993`, `{"maxOutputTokens":2147483647}`},
		{"penalties of zero on 2.0", m2, `"frequency_penalty":0,"presence_penalty":0.0`, `null`},
		{"negative penalty on 2.0", m2, `"presence_penalty":-2`, `{"presencePenalty":-2}`},
		{"seed negative", m3, `"seed":-7`, `{"seed":-7}`},
		{"seed of 64 bits", m3, `"seed":18446744073709551615`, `{"seed":2147483647}`},
		{"seed of zero", m3, `"seed":0`, `{"seed":0}`},
		{"seed with low bits of zero", m3, `"seed":36893488147419103232`, `{"seed":0}`},
		{"logprobs without alternatives", m2, `"logprobs":true,"top_logprobs":0`, `{"responseLogprobs":true}`},
		{"logprobs false with none", m25, `"logprobs":false,"top_logprobs":0`, `null`},
		{"modalities null", m3, `"modalities":null`, `null`},
		{"image config of a text model", m3, `"image_config":{"aspect_ratio":"1:1"}`, `null`},
		{"stream options without a stream", m3, `"stream_options":{"include_usage":true,"include_obfuscation":true}`, `null`},
		{"JSON of an image model of Gemini 3", "gemini-3-pro-image-preview", `"response_format":{"type":"json_object"}`, `{"responseMimeType":"application/json"}`},
		{"schema keeps the client's order", m3, `"response_format":{"type":"json_schema","json_schema":{"name":"n","description":"d","schema":{"type":"object","properties":{"thoughts":{"type":"string"},"answer":{"type":"string"}},"required":["thoughts","answer"],"propertyOrdering":["thoughts","answer"]}}}`,
			`{"responseMimeType":"application/json","responseJsonSchema":{"type":"object","properties":{"thoughts":{"type":"string"},"answer":{"type":"string"}},"required":["thoughts","answer"],"propertyOrdering":["thoughts","answer"]}}`},
		{"budget equal to the limit", m25, `"reasoning_effort":"low","max_tokens":1024`, `{"maxOutputTokens":1024,"thinkingConfig":{"thinkingBudget":768}}`},
		{"budget below the limit", m25, `"reasoning_effort":"low","max_tokens":1025`, `{"maxOutputTokens":1025,"thinkingConfig":{"thinkingBudget":1024}}`},
		{"levels need no room", m3, `"reasoning_effort":"high","max_tokens":10`, `{"maxOutputTokens":10,"thinkingConfig":{"thinkingLevel":"HIGH"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			sameJSON(t, upstream(t, decodeWith(t, requestEnv(), Options{}, body(c.model, c.fields)))["generationConfig"], c.want)
		})
	}
	t.Run("properties in the client's order", func(t *testing.T) {
		out := string(decodeWith(t, requestEnv(), Options{}, body(m3, `"response_format":{"type":"json_schema","json_schema":{"schema":{"$schema":"x","type":"object","properties":{"z":{"type":"string"},"a":{"type":"string"}}}}}`)).Gemini.Append(nil))
		if !strings.Contains(out, `"properties":{"z":{"type":"string"},"a":{"type":"string"}}`) {
			t.Error(out)
		}
	})
	for name, c := range map[string]struct{ fields, param, message string }{
		"top_p below":        {`"top_p":-0.1`, "top_p", "between 0 and 1"},
		"temperature below":  {`"temperature":-1`, "temperature", "between 0 and 2"},
		"temperature on 3.6": {`"temperature":3`, "temperature", "between 0 and 2"},
		"seed of letters":    {`"seed":1e30`, "seed", "integer"},
		"max_tokens beside":  {`"max_completion_tokens":5,"max_tokens":-1`, "max_tokens", "between 1"},
		"format flat":        {`"response_format":{"type":"json_schema","schema":{}}`, "response_format.json_schema", "expected an object"},
	} {
		t.Run(name, func(t *testing.T) { rejects(t, Options{}, body(m36, c.fields), c.param, c.message) })
	}
}

// Further rows of specs/openai.md §4.1 to §4.3.
func TestDecodeChat_MoreParts(t *testing.T) {
	inline := func(mime string) string { return `{"inlineData":{"mimeType":"` + mime + `","data":"AAAA"}}` }
	for _, c := range []struct{ name, part, want string }{
		{"detail medium", `{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"medium"}}`, `{"inlineData":{"mimeType":"image/png","data":"AAAA"},"mediaResolution":{"level":"MEDIA_RESOLUTION_MEDIUM"}}`},
		{"detail null", `{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":null}}`, inline("image/png")},
		{"YouTube live", `{"type":"video_url","video_url":{"url":"https://www.youtube.com/live/x"}}`, `{"fileData":{"fileUri":"https://www.youtube.com/live/x"}}`},
		{"YouTube on phones", `{"type":"video_url","video_url":"https://m.youtube.com/watch?v=x"}`, `{"fileData":{"fileUri":"https://m.youtube.com/watch?v=x"}}`},
		{"gs without an extension", `{"type":"image_url","image_url":{"url":"gs://b/o"}}`, `{"fileData":{"fileUri":"gs://b/o"}}`},
		{"input_video as input_video", `{"type":"input_video","input_video":{"url":"data:video/webm;base64,AAAA"}}`, inline("video/webm")},
		{"file_url part", `{"type":"file_url","file_url":{"url":"data:application/pdf;base64,AAAA"}}`, inline("application/pdf")},
		{"audio as a data URL", `{"type":"input_audio","input_audio":{"data":"data:audio/mp3;base64,AAAA","format":"wav"}}`, inline("audio/mpeg")},
		{"audio of an upper-case format", `{"type":"input_audio","input_audio":{"data":"AAAA","format":"MP3"}}`, inline("audio/mpeg")},
		{"audio without a format", `{"type":"input_audio","input_audio":{"data":"AAAA"}}`, inline("audio/wav")},
		{"percent encoding that is text", `{"type":"file","file":{"file_data":"data:,a%2Cb"}}`, `{"inlineData":{"mimeType":"text/plain","data":"YSxi"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := upstream(t, decodeWith(t, requestEnv(), Options{}, `{"model":"`+m3+`","messages":[{"role":"user","content":[`+c.part+`]}]}`))
			sameJSON(t, got["contents"], `[{"role":"user","parts":[`+c.want+`]}]`)
		})
	}
	for declared, mime := range map[string]string{
		"image/jpg": "image/jpeg", "audio/mp3": "audio/mpeg", "audio/x-wav": "audio/wav", "audio/wave": "audio/wav", "image/png": "image/png",
		"image/webp": "image/webp", "image/heic": "image/heic", "image/heif": "image/heif", "video/quicktime": "video/quicktime", "text/html": "text/html",
		"text/css": "text/css", "text/csv": "text/csv", "text/xml": "text/xml", "text/rtf": "text/rtf", "text/x-go": "text/plain", "application/json": "application/json",
	} {
		t.Run("declared "+declared, func(t *testing.T) {
			got := upstream(t, decodeWith(t, requestEnv(), Options{}, `{"model":"`+m3+`","messages":[{"role":"user","content":[{"type":"file","file":{"file_data":"data:`+declared+`;base64,AAAA"}}]}]}`))
			sameJSON(t, got["contents"], `[{"role":"user","parts":[`+inline(mime)+`]}]`)
		})
	}
	for extension, mime := range map[string]string{
		"pdf": "application/pdf", "txt": "text/plain", "html": "text/html", "css": "text/css", "csv": "text/csv", "md": "text/markdown", "xml": "text/xml",
		"rtf": "text/rtf", "json": "application/json", "go": "text/plain", "py": "text/plain", "log": "text/plain", "yaml": "text/plain",
		"mp4": "video/mp4", "mpeg": "video/mpeg", "mov": "video/quicktime", "avi": "video/avi", "flv": "video/x-flv", "mpg": "video/mpg", "webm": "video/webm",
		"wmv": "video/wmv", "3gp": "video/3gpp", "mp3": "audio/mpeg", "wav": "audio/wav", "heic": "image/heic",
	} {
		t.Run("extension "+extension, func(t *testing.T) {
			got := upstream(t, decodeWith(t, requestEnv(), Options{}, `{"model":"`+m3+`","messages":[{"role":"user","content":[{"type":"file","file":{"filename":"a.b.`+strings.ToUpper(extension)+`","file_data":"AAAA"}}]}]}`))
			sameJSON(t, got["contents"], `[{"role":"user","parts":[`+inline(mime)+`]}]`)
		})
	}
	for name, c := range map[string]struct{ part, tail, message string }{
		"gif by its name":     {`{"type":"file","file":{"filename":"a.gif","file_data":"AAAA"}}`, "file.file_data", "image/gif"},
		"svg by its content":  {`{"type":"file","file":{"file_data":"PHN2Zz4="}}`, "file.file_data", "svg"},
		"input_image of chat": {`{"type":"input_image","image_url":"data:image/png;base64,AAAA"}`, "type", "Unsupported content part type"},
		"video without a URL": {`{"type":"video_url"}`, "video_url", "Missing"},
		"file of a number":    {`{"type":"file","file":5}`, "file", "expected an object"},
		"file_id of a number": {`{"type":"file","file":{"file_id":5}}`, "file.file_id", "expected a string"},
		"bad percent":         {`{"type":"file","file":{"file_data":"data:text/plain,%zz"}}`, "file.file_data", "not a valid data URL"},
		"ftp":                 {`{"type":"image_url","image_url":{"url":"ftp://a/b.png"}}`, "image_url.url", "not a URL"},
		"empty URL":           {`{"type":"image_url","image_url":{"url":""}}`, "image_url.url", "not a URL"},
		"no YouTube video":    {`{"type":"video_url","video_url":{"url":"https://www.youtube.com/@channel"}}`, "video_url.url", "remote"},
		"format of a number":  {`{"type":"input_audio","input_audio":{"data":"AAAA","format":1}}`, "input_audio.format", "expected a string"},
	} {
		t.Run(name, func(t *testing.T) {
			rejects(t, Options{}, `{"model":"`+m3+`","messages":[{"role":"user","content":[`+c.part+`]}]}`, "messages[0].content[0]."+c.tail, c.message)
		})
	}
}

// specs/openai.md §9: safety settings of the operator.
func TestSafetySettings(t *testing.T) {
	for word, threshold := range map[string]string{"off": "OFF", "block_none": "BLOCK_NONE", "block_only_high": "BLOCK_ONLY_HIGH", "": "", "other": ""} {
		t.Run(word, func(t *testing.T) {
			want := `null`
			if threshold != "" {
				want = ""
				for _, category := range []string{"HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT"} {
					want += `{"category":"HARM_CATEGORY_` + category + `","threshold":"` + threshold + `"},`
				}
				if threshold == "OFF" {
					threshold = "BLOCK_NONE"
				}
				want = `[` + want + `{"category":"HARM_CATEGORY_CIVIC_INTEGRITY","threshold":"` + threshold + `"}]`
			}
			o := Options{Safety: SafetySettings(word)}
			sameJSON(t, upstream(t, decodeWith(t, requestEnv(), o, body(m3, "")))["safetySettings"], want)
			own := `[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_ONLY_HIGH"}]`
			sameJSON(t, upstream(t, decodeWith(t, requestEnv(), o, body(m3, `"safety_settings":`+own)))["safetySettings"], own)
		})
	}
}
