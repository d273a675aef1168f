// SPDX-License-Identifier: Apache-2.0

package anthropic

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate"
	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
)

// FuzzDecodeMessages checks that no body panics, that what is refused names its
// field, and that what is accepted becomes a request that Gemini can read: valid JSON,
// every call answered right after its turn, also without signatures and in plainer
// schemas.
func FuzzDecodeMessages(f *testing.F) {
	files, _ := filepath.Glob("testdata/request/*/client.json")
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc)
	}
	f.Add([]byte(requestBody(g3, `"system":[{"text":"\ud800"}],"messages":[{"role":"assistant","content":[`+useBlock("t1")+`]},{"role":"system","content":"S","clear_at":"next_user_message"},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t2","content":[{"type":"tool_reference","tool_name":"\u0000"}]}]}]`)))
	f.Add([]byte(requestBody(m38, inAssistant(thinkingBlock("gw1.e30")+`,{"type":"server_tool_use","id":"s","name":"n","input":{"query":"q"}},{"type":"web_search_tool_result","tool_use_id":"s","content":[{"title":"T","url":"U"}]}`))))
	f.Add([]byte(requestBody(m25, inUser(`{"type":"document","title":"T","source":{"type":"content","content":[{"type":"image","source":{"type":"url","url":"data:,%41"}}]}}`))))
	f.Add([]byte(requestBody(m38, `"tools":[{"type":"memory_20250818","name":"a/b"},{"type":"web_search_1","allowed_domains":["x"]},{"name":"d","input_schema":{"$ref":"#"},"defer_loading":true}],"tool_choice":{"type":"tool","name":"d","disable_parallel_tool_use":true}`)))
	f.Fuzz(func(t *testing.T, doc []byte) {
		r, failure := decodeMessages(requestEnv(), &Options{Fetch: true}, doc)
		if failure != nil {
			checkFailure(t, doc, failure)
			return
		}
		checkRequest(t, doc, r)
		r.unsign()
		checkRequest(t, doc, r)
		for n := 0; r.relax(nil); n++ {
			if checkRequest(t, doc, r); n > 1 {
				t.Fatalf("%q has no plainest form", doc)
			}
		}
	})
}

func checkFailure(t *testing.T, doc []byte, f *translate.Failure) {
	t.Helper()
	if f.Message == "" || f.Param == "" && json.Valid(doc) && doc[firstByte(doc)] == '{' {
		t.Fatalf("%q fails with %+v", doc, f)
	}
}

// firstByte is where a document begins after its space.
func firstByte(doc []byte) int {
	for i, c := range doc {
		if c > ' ' {
			return i
		}
	}
	return 0
}

func checkRequest(t *testing.T, doc []byte, r *request) {
	t.Helper()
	if out := r.gemini.Append(nil); !json.Valid(out) {
		t.Fatalf("%q became %q", doc, out)
	}
	if !gemini.ValidModelID(r.target) || len(r.gemini.Contents) == 0 || r.gemini.Config.MaxOutputTokens < 1 || len(r.gemini.Config.StopSequences) > maxNativeStops {
		t.Fatalf("%q became %+v", doc, r)
	}
	for i, c := range r.gemini.Contents {
		calls := 0
		for _, p := range c.Parts {
			if p.FunctionCall != nil {
				calls++
			}
		}
		if len(c.Parts) == 0 {
			t.Fatalf("%q: content %d is empty", doc, i)
		}
		if calls > 0 && (i+1 == len(r.gemini.Contents) || results(r.gemini.Contents[i+1]) != calls) {
			t.Fatalf("%q: the calls of content %d are not answered", doc, i)
		}
		if n := results(c); n > 0 && i == 0 {
			t.Fatalf("%q begins with results", doc)
		}
	}
}

func results(c gemini.Content) (n int) {
	for _, p := range c.Parts {
		if p.FunctionResponse != nil {
			n++
		}
	}
	return n
}
