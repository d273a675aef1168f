// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

const placeholder = "skip_thought_signature_validator"

// sealedBy is the signature that a model's answer carries.
func sealedBy(model string, parts []gemini.Part, pairs ...string) string {
	e := envelope{family: familyOf(model), parts: parts}
	for i := 0; i < len(pairs); i += 2 {
		e.calls = append(e.calls, signedCall{pairs[i], rawjson.Quote(pairs[i+1])})
	}
	return e.seal(&Options{})
}

func thinkingBlock(signature string) string {
	return `{"type":"thinking","thinking":"I think","signature":"` + signature + `"}`
}

func useBlock(id string) string {
	return `{"type":"tool_use","id":"` + id + `","name":"f","input":{}}`
}

// signaturesOf lists those of all parts of the model, "" for none.
func signaturesOf(r *request) string {
	var all []string
	for _, c := range r.gemini.Contents {
		for _, p := range c.Parts {
			if c.Role == "model" {
				all = append(all, p.ThoughtSignature.Text())
			}
		}
	}
	return strings.Join(all, " ")
}

// The layers of C.5, by what they yield.
func TestDecode_Signatures(t *testing.T) {
	memo := func(model, id string) requestMemo { return requestMemo{memoKey(model, id): "MEMO"} }
	for _, c := range []struct {
		name, model, blocks string
		memo                requestMemo
		want                string
	}{
		{"envelope", m38, thinkingBlock(sealedBy(m38, nil, "t1", "SIG")) + "," + useBlock("t1"), nil, "SIG"},
		{"envelope before memo", m38, thinkingBlock(sealedBy(m38, nil, "t1", "SIG")) + "," + useBlock("t1"), memo(m38, "t1"), "SIG"},
		{"redacted thinking", m38, `{"type":"redacted_thinking","data":"` + sealedBy(m38, nil, "t1", "SIG") + `"},` + useBlock("t1"), nil, "SIG"},
		{"parallel calls", m38, thinkingBlock(sealedBy(m38, nil, "t1", "SIG")) + "," + useBlock("t1") + "," + useBlock("t2"), nil, "SIG "},
		{"the nearest envelope", m38, thinkingBlock(sealedBy(m38, nil, "t1", "OLD")) + "," + thinkingBlock(sealedBy(m38, nil, "t1", "SIG")) + "," + useBlock("t1"), nil, "SIG"},
		{"two envelopes", m38, thinkingBlock(sealedBy(m38, nil, "t1", "A")) + "," + useBlock("t1") + "," + thinkingBlock(sealedBy(m38, nil, "t2", "B")) + "," + useBlock("t2"), nil, "A B"},
		{"envelope without calls", m38, thinkingBlock(sealedBy(m38, nil)) + "," + useBlock("t1"), nil, placeholder},
		{"envelope of another call", m38, thinkingBlock(sealedBy(m38, nil, "t9", "SIG")) + "," + useBlock("t1"), nil, placeholder},
		{"envelope of another family", m38, thinkingBlock(sealedBy(m3, nil, "t1", "SIG")) + "," + useBlock("t1"), nil, placeholder},
		{"of the same family", "gemini-3.8-pro", thinkingBlock(sealedBy(m38, nil, "t1", "SIG")) + "," + useBlock("t1"), nil, "SIG"},
		{"Claude's own", m38, thinkingBlock("EqQBCgIYAhIM") + "," + useBlock("t1"), nil, placeholder},
		{"memo", m38, thinkingBlock("EqQBCgIYAhIM") + "," + useBlock("t1"), memo(m38, "t1"), "MEMO"},
		{"memo without thinking", m38, useBlock("t1"), memo(m38, "t1"), "MEMO"},
		{"memo of another family", m38, useBlock("t1"), memo(m3, "t1"), placeholder},
		{"nothing", m38, useBlock("t1") + "," + useBlock("t2"), nil, placeholder + " "},
		{"text before the call", m38, `{"type":"text","text":"a"},` + useBlock("t1"), nil, " " + placeholder},
		{"2.5 insists on none", m25, useBlock("t1"), nil, ""},
		{"2.5 takes its own", m25, thinkingBlock(sealedBy(m25, nil, "t1", "SIG")) + "," + useBlock("t1"), nil, "SIG"},
		{"text", m38, thinkingBlock(sealedBy(m38, nil, "text", "SIG")) + `,{"type":"text","text":"a"},{"type":"text","text":"b"}`, nil, "SIG "},
		{"broken envelope", m38, thinkingBlock("gw1.*") + "," + useBlock("t1"), nil, placeholder},
		{"envelope of no object", m38, thinkingBlock("gw1."+base64.RawURLEncoding.EncodeToString([]byte(`[]`))) + "," + useBlock("t1"), nil, placeholder},
		{"envelope with no signature", m38, thinkingBlock("gw1."+base64.RawURLEncoding.EncodeToString([]byte(`{"m":"`+familyOf(m38)+`","c":[{"i":"t1","s":"a b"},{"i":"t1","s":1},7]}`))) + "," + useBlock("t1"), nil, placeholder},
		{"no signature", m38, `{"type":"thinking","thinking":"t"},` + useBlock("t1"), nil, placeholder},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := requestEnv()
			if c.memo != nil {
				env.Memo = c.memo
			}
			r := decodeRequest(t, env, Options{}, requestBody(c.model, inAssistant(c.blocks)))
			if got := signaturesOf(r); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if strings.Contains(string(r.gemini.Append(nil)), "I think") {
				t.Error("thinking is sent")
			}
		})
	}
}

// What Google's own tools did comes back at its place, and is not told in words too.
func TestDecode_ReplayedParts(t *testing.T) {
	parts := []gemini.Part{
		gemini.DecodePart(rawjson.Value(`{"toolCall":{"toolType":"GOOGLE_SEARCH_WEB","id":"g1"},"thoughtSignature":"A"}`)),
		gemini.DecodePart(rawjson.Value(`{"toolResponse":{"id":"g1"},"thoughtSignature":"B"}`)),
	}
	code := []gemini.Part{gemini.DecodePart(rawjson.Value(`{"executableCode":{"language":"PYTHON","code":"1"}}`))}
	told := `{"type":"server_tool_use","id":"s1","name":"web_search","input":{"query":"oslo"}},{"type":"web_search_tool_result","tool_use_id":"s1","content":[{"type":"web_search_result","url":"https://a","title":"A"}]}`
	tools := `"tools":[` + declared("f", "") + `],`
	for _, c := range []struct{ name, model, blocks, want string }{
		{"before the blocks", m38, thinkingBlock(sealedBy(m38, parts)) + "," + told, `[{"toolCall":{"toolType":"GOOGLE_SEARCH_WEB","id":"g1"},"thoughtSignature":"A"},{"toolResponse":{"id":"g1"},"thoughtSignature":"B"}]`},
		{"after the blocks", m38, told + `,{"type":"text","text":"a"},` + thinkingBlock(sealedBy(m38, parts, "t1", "S")) + "," + useBlock("t1"), `[{"text":"a"},{"toolCall":{"toolType":"GOOGLE_SEARCH_WEB","id":"g1"},"thoughtSignature":"A"},{"toolResponse":{"id":"g1"},"thoughtSignature":"B"},{"functionCall":{"id":"t1","name":"f","args":{}},"thoughtSignature":"S"}]`},
		{"code", m38, thinkingBlock(sealedBy(m38, code)) + `,{"type":"text","text":"a"}`, `[{"executableCode":{"language":"PYTHON","code":"1"}},{"text":"a"}]`},
		{"of another family", m38, thinkingBlock(sealedBy(m3, parts)) + "," + told, `[{"text":"[web_search: oslo]\nA (https://a)"}]`},
		{"of a model that does not take them", m25, thinkingBlock(sealedBy(m25, parts)) + "," + told, `[{"text":"[web_search: oslo]\nA (https://a)"}]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := decodeRequest(t, requestEnv(), Options{}, requestBody(c.model, tools+inAssistant(c.blocks)))
			sent := sentUpstream(t, r)
			equalJSON(t, member(sent, "contents.1.parts"), c.want)
			flag := member(sent, "toolConfig.includeServerSideToolInvocations")
			if want := strings.Contains(c.want, "toolCall"); (flag == true) != want {
				t.Errorf("flag %v", flag)
			}
		})
	}
}

// Refused signatures are replaced, once. Source: F.26.
func TestRequest_Unsign(t *testing.T) {
	r := decodeRequest(t, requestEnv(), Options{}, requestBody(m38, inAssistant(thinkingBlock(sealedBy(m38, nil, "t1", "SIG"))+","+useBlock("t1")+","+useBlock("t2"))))
	if !r.unsign() || signaturesOf(r) != placeholder+" " || r.unsign() {
		t.Errorf("%q", signaturesOf(r))
	}
	r = decodeRequest(t, requestEnv(), Options{}, requestBody(m25, inAssistant(thinkingBlock(sealedBy(m25, nil, "t1", "SIG"))+","+useBlock("t1"))))
	if !r.unsign() || signaturesOf(r) != "" || r.unsign() {
		t.Errorf("%q", signaturesOf(r))
	}
}

// Refused schemas are written more plainly, and so again in the next request.
func TestRequest_Relax(t *testing.T) {
	env := requestEnv()
	env.Memo = requestMemo{}
	body := requestBody(m38, `"tools":[{"name":"f","input_schema":{"type":"object","properties":{"a":{"type":"string","minLength":2}}}}]`)
	r := decodeRequest(t, env, Options{}, body)
	if !r.relax(env.Memo) {
		t.Fatal("nothing to relax")
	}
	equalJSON(t, member(sentUpstream(t, r), "tools.0.functionDeclarations.0.parameters.properties.a"), `{"type":"string","minLength":2}`)
	again := decodeRequest(t, env, Options{}, body)
	equalJSON(t, member(sentUpstream(t, again), "tools.0.functionDeclarations.0.parametersJsonSchema"), `null`)
	if !r.relax(env.Memo) || r.relax(env.Memo) {
		t.Error("want two plainer forms")
	}
}

// Keys of the gateway's keep envelopes shut.
func TestEnvelope_Sealed(t *testing.T) {
	o := Options{
		Seal: func(data []byte) string { return "k" + base64.RawURLEncoding.EncodeToString(data) },
		Open: func(sealed string) ([]byte, bool) {
			data, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(sealed, "k"))
			return data, strings.HasPrefix(sealed, "k") && err == nil
		},
	}
	e := envelope{family: "x", calls: []signedCall{{"t1", rawjson.Quote("SIG")}}}
	signature := e.seal(&o)
	if !strings.HasPrefix(signature, "gw1.k") {
		t.Fatal(signature)
	}
	if got, ok := openEnvelope(&o, rawjson.Quote(signature)); !ok || got.family != "x" || len(got.calls) != 1 || got.calls[0].signature.Text() != "SIG" {
		t.Errorf("%+v", got)
	}
	for _, foreign := range []string{e.seal(&Options{}), "gw1.", "k", "", "gw1.k*"} {
		if _, ok := openEnvelope(&o, rawjson.Quote(foreign)); ok {
			t.Errorf("%q opens", foreign)
		}
	}
}

// A signature has no more than what fits, and what it has is read back.
func TestEnvelope_Size(t *testing.T) {
	large := gemini.DecodePart(rawjson.Value(`{"toolResponse":{"x":"` + strings.Repeat("a", maxEnvelope) + `"}}`))
	e := envelope{family: "x", calls: []signedCall{{`a"b`, rawjson.Quote("SIG")}}, parts: []gemini.Part{large}}
	got, ok := openEnvelope(&Options{}, rawjson.Quote(e.seal(&Options{})))
	if !ok || len(got.parts) != 0 || len(got.calls) != 1 || got.calls[0].id != `a"b` {
		t.Errorf("%+v", got)
	}
	if signature := (&envelope{}).seal(&Options{}); !json.Valid([]byte(`"` + signature + `"`)) {
		t.Error(signature)
	}
}
