// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// answers makes answers of all kinds of parts in any order.
type answers struct{ *rand.Rand }

func (r answers) one(list ...string) string { return list[r.IntN(len(list))] }

// words are text with what JSON, Markdown and byte offsets stumble over.
func (r answers) words() string {
	var b strings.Builder
	for range 1 + r.IntN(5) {
		b.WriteString(r.one("a", "né", "😀", "\"", "\\", "\n", "\u2028", "<b>", "\x7f", "</thought>", "```", " ", "日本", "\t", "e\u0301"))
	}
	return b.String()
}

func (r answers) value(depth int) any {
	switch r.IntN(7 - 3*min(depth, 1)) {
	case 0:
		return r.words()
	case 1:
		return float64(r.IntN(1 << 20))
	case 2:
		return r.Float64()
	case 3:
		return r.one("true", "") == "true"
	case 4:
		return []any{r.value(depth + 1), nil}
	default:
		return map[string]any{r.words(): r.value(depth + 1), "": nil}
	}
}

// part is a part of an answer; n makes its signature unlike others.
func (r answers) part(n int) map[string]any {
	var p map[string]any
	switch r.IntN(8) {
	case 0, 1, 2:
		p = map[string]any{"text": r.words()}
		return p
	case 3:
		return map[string]any{"text": r.words(), "thought": true}
	case 4:
		call := map[string]any{"name": r.one("f", "weather_in", "a.b:c")}
		if r.IntN(3) > 0 {
			call["args"] = map[string]any{"x": r.value(0), r.words(): r.value(0)}
		}
		p = map[string]any{"functionCall": call}
		if r.IntN(2) == 0 {
			p["thoughtSignature"] = fmt.Sprintf("c2ln%04d", n)
		}
		return p
	case 5:
		data := base64.StdEncoding.EncodeToString([]byte(r.words()))
		return map[string]any{"inlineData": map[string]any{"mimeType": r.one("image/png", "image/jpeg"), "data": data}}
	case 6:
		return map[string]any{"executableCode": map[string]any{"language": "PYTHON", "code": r.words()}}
	default:
		if r.IntN(3) == 0 {
			return map[string]any{"codeExecutionResult": map[string]any{"outcome": "OUTCOME_OK"}}
		}
		return map[string]any{"codeExecutionResult": map[string]any{"outcome": "OUTCOME_OK", "output": r.words()}}
	}
}

// supports are up to three stretches of the model's text with sources. Offsets
// count from the part's start where index is not 0.
func (r answers) supports(parts []any) (list []any) {
	for i, v := range parts {
		p := v.(map[string]any)
		text, ok := p["text"].(string)
		if !ok || p["thought"] != nil || r.IntN(3) > 0 {
			continue
		}
		from, to := r.IntN(len(text)), 1+r.IntN(len(text))
		for from > 0 && !utf8.RuneStart(text[from]) {
			from--
		}
		for to < len(text) && !utf8.RuneStart(text[to]) {
			to++
		}
		if from >= to {
			continue
		}
		segment := map[string]any{"endIndex": to, "text": text[from:to]}
		if i > 0 {
			segment["partIndex"] = i
		}
		if from > 0 {
			segment["startIndex"] = from
		}
		list = append(list, map[string]any{"segment": segment, "groundingChunkIndices": []any{r.IntN(2)}})
	}
	return list
}

func (r answers) answer() map[string]any {
	var parts []any
	for n := range 1 + r.IntN(7) {
		parts = append(parts, r.part(n))
	}
	candidate := map[string]any{"content": map[string]any{"role": "model", "parts": parts}, "finishReason": r.one("STOP", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "BRAND_NEW")}
	if list := r.supports(parts); len(list) > 0 {
		candidate["groundingMetadata"] = map[string]any{
			"groundingChunks":   []any{map[string]any{"web": map[string]any{"uri": "https://a/\"?x=<1>", "title": r.words()}}, map[string]any{"maps": map[string]any{"uri": "https://b"}}},
			"groundingSupports": list,
		}
	}
	prompt, candidates, thoughts, tools := r.IntN(100), r.IntN(100), r.IntN(2)*r.IntN(100), r.IntN(2)*r.IntN(50)
	usage := map[string]any{"promptTokenCount": prompt, "totalTokenCount": prompt + candidates + thoughts + tools}
	for name, n := range map[string]int{"candidatesTokenCount": candidates, "thoughtsTokenCount": thoughts, "toolUsePromptTokenCount": tools, "cachedContentTokenCount": prompt / 2} {
		if n > 0 { // as Google leaves out zeros
			usage[name] = n
		}
	}
	return map[string]any{"responseId": "R", "candidates": []any{candidate}, "usageMetadata": usage}
}

// TestChat_Generated: answers that nobody thought of say the same whole, in events
// of one part, and in every framing; see TestRecordings_Meaning.
func TestChat_Generated(t *testing.T) {
	for seed := range uint64(400) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			doc, err := json.Marshal(answers{rand.New(rand.NewPCG(seed, 1))}.answer()) //nolint:gosec // the same in every run
			if err != nil {
				t.Fatal(err)
			}
			var m meant
			m.read(t, doc)
			ask := func(*ChatRequest) {}
			c, err := respond(t, chat(), string(doc))
			if err == nil {
				m.check(t, c, false)
			}
			m.checkPlayed(t, entry{}, err, ask, [][]byte{doc})
			m.checkPlayed(t, entry{}, err, ask, byParts(t, doc))
			if t.Failed() {
				t.Logf("%s", doc)
			}
		})
	}
}
