// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
)

const (
	tightTools = `"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"type":["string","null"],"pattern":"x","minLength":1}},"additionalProperties":false}}},{"type":"web_search"},{"type":"function","function":{"name":"g"}}]`
	tightJSON  = `"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","properties":{"n":{"type":"integer","minimum":1}}}}}`
)

// sent is the body of a call, decoded.
func sent(t *testing.T, c *translate.Call) (m map[string]any) {
	t.Helper()
	if err := json.Unmarshal(c.Whole(), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// specs/openai.md §5.3: schemas that Google refuses.
func TestRelax(t *testing.T) {
	for name, exchange := range map[string]func(env translate.Env, model string) translate.Relaxed{
		"chat": func(env translate.Env, model string) translate.Relaxed {
			x, f := NewChat(env, Options{}, []byte(body(model, tightTools+","+tightJSON)))
			if f != nil {
				t.Fatal(f)
			}
			return x
		},
		"responses": func(env translate.Env, model string) translate.Relaxed {
			flat := strings.NewReplacer(`"function":{"name"`, `"name"`, `}}},{"type":"web`, `}},{"type":"web`, `"g"}}]`, `"g"}]`, `"additionalProperties":false}}`, `"additionalProperties":false}`).Replace(tightTools)
			x, f := NewResponses(env, Options{}, []byte(`{"model":"`+model+`","input":"hi",`+flat+`,"text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object","properties":{"n":{"type":"integer","minimum":1}}}}}}`))
			if f != nil {
				t.Fatal(f)
			}
			return x
		},
	} {
		forms := []struct{ name, parameters, schema string }{
			{"A", `"parametersJsonSchema":{"type":"object","properties":{"a":{"type":["string","null"],"pattern":"x","minLength":1}},"additionalProperties":false}`, `"responseJsonSchema":{"type":"object","properties":{"n":{"type":"integer","minimum":1}}}`},
			{"B", `"parameters":{"type":"object","properties":{"a":{"type":"string","pattern":"x","minLength":1,"nullable":true}}}`, `"responseSchema":{"type":"object","properties":{"n":{"type":"integer","minimum":1}}}`},
			{"bare", `"parameters":{"type":"object","properties":{"a":{"type":"string","nullable":true}}}`, `"responseSchema":{"type":"object","properties":{"n":{"type":"integer"}}}`},
		}
		check := func(t *testing.T, x translate.Exchange, form int) {
			t.Helper()
			got := sent(t, x.Call())
			sameJSON(t, got["tools"], `[{"googleSearch":{}},{"functionDeclarations":[{"name":"f",`+forms[form].parameters+`},{"name":"g"}]}]`)
			sameJSON(t, got["generationConfig"], `{"responseMimeType":"application/json",`+forms[form].schema+`}`)
		}
		t.Run(name+" takes each form in turn", func(t *testing.T) {
			x := exchange(requestEnv(), m3)
			for i := range forms {
				check(t, x, i)
				if more := x.Relax(); more != (i < len(forms)-1) {
					t.Fatalf("after %s: %v", forms[i].name, more)
				}
			}
		})
		t.Run(name+" remembers", func(t *testing.T) {
			env := requestEnv()
			env.Memo = fixedMemo{}
			check(t, exchange(env, m3), 0)
			first := exchange(env, m3)
			first.Relax()
			second := exchange(env, m3)
			check(t, second, 1)
			second.Relax()
			check(t, exchange(env, "gemini-3.1-pro-preview"), 0) // other models may take it
			third := exchange(env, m3)
			if check(t, third, 2); third.Relax() {
				t.Error("there is a form after the last")
			}
		})
	}
	t.Run("a model of the older form starts there", func(t *testing.T) {
		x, _ := NewChat(requestEnv(), Options{}, []byte(body(m2, tightJSON)))
		sameJSON(t, sent(t, x.Call())["generationConfig"].(map[string]any)["responseSchema"], `{"type":"object","properties":{"n":{"type":"integer","minimum":1}}}`)
		if !x.Relax() || x.Relax() {
			t.Error("one plainer form is left")
		}
		sameJSON(t, sent(t, x.Call())["generationConfig"].(map[string]any)["responseSchema"], `{"type":"object","properties":{"n":{"type":"integer"}}}`)
	})
	t.Run("a request without schemas has none", func(t *testing.T) {
		env := requestEnv()
		memo := fixedMemo{}
		env.Memo = memo
		x, _ := NewChat(env, Options{}, []byte(body(m3, `"tools":[`+f+`]`)))
		if x.Relax() || len(memo) > 0 {
			t.Error("relaxed what is not there")
		}
	})
	t.Run("a schema too large for the older form stays as it is", func(t *testing.T) {
		schema := `{"type":"object","properties":{"a":{"$ref":"#/$defs/d0"}},"$defs":{`
		for i := range 24 {
			schema += `"d` + string(rune('0'+i)) + `":{"type":"object","properties":{"x":{"$ref":"#/$defs/d` + string(rune('1'+i)) + `"},"y":{"$ref":"#/$defs/d` + string(rune('1'+i)) + `"}}},`
		}
		schema += `"d` + string(rune('0'+24)) + `":{"type":"string"}}}`
		x, f := NewChat(requestEnv(), Options{}, []byte(body(m3, `"tools":[{"type":"function","function":{"name":"g","parameters":{"type":"object","properties":{"b":{"type":"string"}}}}},{"type":"function","function":{"name":"f","parameters":`+schema+`}}]`)))
		if f != nil {
			t.Fatal(f)
		}
		before := string(x.Call().Whole())
		if x.Relax() || string(x.Call().Whole()) != before {
			t.Error("half of the schemas changed")
		}
	})
}
