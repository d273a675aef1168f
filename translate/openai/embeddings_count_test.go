// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// specs/openai.md §14: the option embeddings_count_tokens.
func TestEmbeddings_CountTokens(t *testing.T) {
	o := Options{CountTokens: true}
	t.Run("a call beside that of the vectors", func(t *testing.T) {
		x := embeddings(t, `"input":["a","b\n"]`, o)
		calls := x.Calls()
		if len(calls) != 2 {
			t.Fatalf("%d calls", len(calls))
		}
		if got := calls[1].Path + " " + string(calls[1].Body); got != `/v1beta/models/gemini-embedding-001:countTokens {"contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"user","parts":[{"text":"b\n"}]}]}` {
			t.Error(got)
		}
		vectors, count := `{"embeddings":[{"values":[1]},{"values":[1]}]}`, `{"totalTokens":7}`
		for i, body := range []string{vectors, count} {
			if err := x.Check(i, []byte(body)); err != nil {
				t.Errorf("call %d: %v", i, err)
			}
		}
		out, err := x.Join(nil, [][]byte{[]byte(vectors), []byte(count)})
		if err != nil {
			t.Fatal(err)
		}
		var w wireEmbeddings
		if err := json.Unmarshal(out, &w); err != nil {
			t.Fatal(err)
		}
		if len(w.Data) != 2 || w.Usage.PromptTokens != 7 || w.Usage.TotalTokens != 7 || x.Estimated() || x.Usage().Prompt != 7 {
			t.Errorf("%s; usage %+v", out, x.Usage())
		}
	})
	t.Run("one for each hundred inputs", func(t *testing.T) {
		var inputs, vectors []string
		for i := range 150 {
			inputs, vectors = append(inputs, fmt.Sprintf("%q", fmt.Sprint("text ", i))), append(vectors, `{"values":[1]}`)
		}
		x := embeddings(t, `"input":[`+strings.Join(inputs, ",")+`]`, o)
		if len(x.Calls()) != 4 || !strings.Contains(string(x.Calls()[3].Body), `"text 100"`) || strings.Contains(string(x.Calls()[3].Body), `"text 99"`) {
			t.Fatalf("%d calls, the last %s", len(x.Calls()), x.Calls()[3].Body)
		}
		answer := func(n int) []byte { return []byte(`{"embeddings":[` + strings.Join(vectors[:n], ",") + `]}`) }
		if _, err := x.Join(nil, [][]byte{answer(100), answer(50), []byte(`{"totalTokens":300}`), []byte(`{"totalTokens":160}`)}); err != nil || x.Usage().Prompt != 460 {
			t.Errorf("usage %+v, %v", x.Usage(), err)
		}
	})
	t.Run("none for models that tell", func(t *testing.T) {
		x, f := NewEmbeddings(answerEnv(), o, []byte(`{"model":"gemini-embedding-2","input":"a"}`))
		if f != nil || len(x.Calls()) != 1 {
			t.Errorf("%v", f)
		}
	})
	t.Run("none without the option", func(t *testing.T) {
		if n := len(embeddings(t, `"input":"a"`).Calls()); n != 1 {
			t.Errorf("%d calls", n)
		}
	})
	t.Run("faults", func(t *testing.T) {
		x := embeddings(t, `"input":"a"`, o)
		for _, body := range []string{``, `{}`, `{"totalTokens":-1}`, `{"error":{"code":500}}`} {
			if x.Check(1, []byte(body)) == nil {
				t.Errorf("accepted %q", body)
			}
		}
	})
}
