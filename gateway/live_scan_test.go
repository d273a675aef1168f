// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/translate/gemini"
	"github.com/gemini-balance/caddy-gemini-balance/translate/rawjson"
)

// allMembers captures the members that are named "want".
type allMembers struct {
	doc  string
	seen []string // depth, value, and whether it stands where it is said to end
}

func (a *allMembers) member(_ int, name []byte) bool { return string(name) == "want" }

func (a *allMembers) captured(depth int, v rawjson.Value, end int) {
	a.seen = append(a.seen, fmt.Sprint(depth, string(v), strings.HasSuffix(a.doc[:end], string(v))))
}

func TestJSONScan(t *testing.T) {
	for name, tc := range map[string]struct {
		doc  string
		want []string
	}{
		"string":      {`{"want":"a"}`, []string{`1"a"true`}},
		"space":       {" { \"want\" :\n\"a\" } ", []string{`1"a"true`}},
		"literal":     {`{"want":true,"x":{"want":12}}`, []string{`1true true`, `212 true`}},
		"containers":  {`{"want":{"want":[1,{"a":"}"}]},"x":[{"want":[]}]}`, []string{`1{"want":[1,{"a":"}"}]}true`, `3[]true`}},
		"escapes":     {`{"w\u0061nt":"\"","x":"\\","want":"\\\""}`, []string{`1"\""true`, `1"\\\""true`}},
		"no member":   {`{"x":"want","y":["want"],"z":"\"want\":1"}`, nil},
		"long name":   {`{"` + strings.Repeat("want", 30) + `":1,"want":2}`, []string{`12 true`}},
		"empty":       {`{"want":""}`, []string{`1""true`}},
		"empty again": {`{"want":{},"want":[]}`, []string{`1{}true`, `1[]true`}},
	} {
		t.Run(name, func(t *testing.T) {
			for size := 1; size <= len(tc.doc); size++ {
				w := &allMembers{doc: tc.doc}
				s := jsonScan{watch: w}
				for rest := tc.doc; rest != ""; {
					n := min(size, len(rest))
					s.write([]byte(rest[:n]))
					rest = rest[n:]
				}
				got := make([]string, 0, len(w.seen))
				for _, line := range w.seen {
					got = append(got, strings.ReplaceAll(line, " ", ""))
				}
				want := make([]string, 0, len(tc.want))
				for _, line := range tc.want {
					want = append(want, strings.ReplaceAll(line, " ", ""))
				}
				if !reflect.DeepEqual(got, want) || !s.whole() {
					t.Fatalf("in pieces of %d: %q, want %q; whole: %v", size, got, want, s.whole())
				}
			}
		})
	}
	for _, doc := range []string{`{"a":`, `{"a":"`, `{"a":1}}`, strings.Repeat("[", 200) + strings.Repeat("]", 200)} {
		s := jsonScan{watch: &allMembers{}}
		s.write([]byte(doc))
		if s.whole() {
			t.Errorf("%.20q is taken for whole", doc)
		}
	}
}

// FuzzJSONScan: whatever comes, in whatever pieces, the same is seen.
func FuzzJSONScan(f *testing.F) {
	f.Add(`{"want":{"a":["}",1]},"b":"\"want"}`, 3)
	f.Add(`}{"want":1`, 1)
	f.Fuzz(func(t *testing.T, doc string, size int) {
		size = 1 + max(size, -size)%64
		whole, pieces := &allMembers{doc: doc}, &allMembers{doc: doc}
		one, many := jsonScan{watch: whole}, jsonScan{watch: pieces}
		one.write([]byte(doc))
		for rest := doc; rest != ""; {
			n := min(max(size, 1), len(rest))
			many.write([]byte(rest[:n]))
			rest = rest[n:]
		}
		if !reflect.DeepEqual(whole.seen, pieces.seen) || one.whole() != many.whole() {
			t.Fatalf("%q: %q in one piece, %q in pieces of %d", doc, whole.seen, pieces.seen, size)
		}
	})
}

func TestLiveUsage(t *testing.T) {
	const (
		text = `{"serverContent":{"modelTurn":{"parts":[]}}}`
		end  = `{"serverContent":{"turnComplete":true}}`
		both = `{"usageMetadata":%s,"serverContent":{"turnComplete":true}}`
		only = `{"usageMetadata":%s}`
	)
	use := func(form string, prompt, response int) string {
		return fmt.Sprintf(form, fmt.Sprintf(`{"promptTokenCount":%d,"responseTokenCount":%d,"totalTokenCount":%d}`, prompt, response, prompt+response))
	}
	for name, tc := range map[string]struct {
		messages   []string
		in, out    int64
		unreported bool
	}{
		"nothing":                 {messages: []string{text, end}, unreported: true},
		"with the end":            {[]string{text, use(both, 10, 5), text, use(both, 30, 7)}, 40, 12, false},
		"after the end":           {[]string{text, end, use(only, 10, 5), text, end, use(only, 30, 7)}, 40, 12, false},
		"growing in a turn":       {[]string{text, use(only, 10, 2), text, use(only, 10, 5), end, text, use(only, 30, 7), end}, 40, 12, false},
		"growing over the end":    {[]string{text, use(only, 10, 2), text, end, use(only, 10, 5)}, 10, 5, false},
		"while the user speaks":   {[]string{text, use(both, 10, 5), use(only, 20, 0), text, use(both, 30, 7)}, 40, 12, false},
		"a tool call and content": {[]string{`{"toolCall":{"functionCalls":[]}}`, use(only, 10, 5), text, use(both, 20, 9)}, 20, 9, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := &serverWatch{}
			s := jsonScan{watch: w}
			for _, m := range tc.messages {
				s.reset()
				s.write([]byte(m))
				w.end()
			}
			u := w.usage.total()
			if u == (gemini.Usage{}) != tc.unreported || u.Input() != tc.in || u.Output() != tc.out {
				t.Errorf("got %+v, want %d in, %d out", u, tc.in, tc.out)
			}
		})
	}
}
