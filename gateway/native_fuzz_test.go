// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// FuzzMentioned: in whatever body, a name of a cache that is not the user's is
// found if it stands where Google looks, and the bytes stay as they are where
// nothing is put in.
func FuzzMentioned(f *testing.F) {
	w := newWorld(f, keys(1))
	for _, seed := range []string{
		`{"cachedContent":"cachedContents/x"}`, `{"a":[{"cached_content":"cachedContents\/x"}]}`, `{"\u0063achedContent":"y"}`,
		`{"functionCall":{"args":{"cachedContent":"cachedContents/x"}}}`, `[[["` + strings.Repeat("a", 99) + `"]]]`, `{"fileData":{"fileUri":"gs://a"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://gw/", nil)
		must(t, err)
		x := &exchange{g: w.gw, r: r, rt: route{dialect: Gemini, op: opNative}, body: bytes.Clone(body)}
		_, failure := x.mentioned()
		if failure == nil && !bytes.Equal(x.body, body) {
			t.Errorf("%q became %q", body, x.body)
		}
		var doc any
		if failure == nil && json.Unmarshal(body, &doc) == nil && namesCache(doc, "") {
			t.Errorf("%q names a cache, and is let through", body)
		}
	})
}

// namesCache looks for a cache in what encoding/json read, as Google would.
func namesCache(v any, in string) bool {
	switch v := v.(type) {
	case map[string]any:
		for k, m := range v {
			free := k == "arguments" || (k == "args" || k == "response") && (strings.HasPrefix(strings.ReplaceAll(strings.ToLower(in), "_", ""), "function") || strings.HasPrefix(in, "tool"))
			switch strings.ToLower(strings.ReplaceAll(k, "_", "")) {
			case "parameters", "parametersjsonschema", "responseschema", "responsejsonschema", "inputschema", "schema", "result":
				free = true // or may be
			}
			if free {
				continue
			}
			if text, ok := m.(string); ok && text != "" && (k == "cachedContent" || k == "cached_content") || namesCache(m, k) {
				return true
			}
		}
	case []any:
		for _, m := range v {
			if namesCache(m, in) {
				return true
			}
		}
	}
	return false
}

// BenchmarkMentioned is what the look for references costs a request of 50 KB.
func BenchmarkMentioned(b *testing.B) {
	w := newWorld(b, keys(1))
	turn := `{"role":"user","parts":[{"text":"` + strings.Repeat("some words, a \\\"quote\\\" and more. ", 30) + `"}]},`
	body := []byte(`{"contents":[` + strings.Repeat(turn, 50) + strings.TrimSuffix(turn, ",") + `]}`)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		x := &exchange{g: w.gw, body: body}
		if _, f := x.mentioned(); f != nil {
			b.Fatal(f)
		}
	}
}
