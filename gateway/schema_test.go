// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/balancer"
)

// TestSchemaRefused: a schema that Google refuses is tried in plainer forms before
// the client hears of it, no key is blamed, and the form that was taken is
// remembered. Source: specs/openai.md §5.3.
func TestSchemaRefused(t *testing.T) {
	const request = `{"model":%q,"messages":[{"role":"user","content":"hi"}],"stream":%v,"n":%d,"tools":[{"type":"function","function":{"name":"f",
		"parameters":{"type":"object","properties":{"a":{"type":["string","null"],"pattern":"x"}}}}}]}`
	const (
		light  = `"parametersJsonSchema":`
		strict = `"parameters":{"type":"object","properties":{"a":{"type":"string","pattern":"x","nullable":true}}}`
		bare   = `"parameters":{"type":"object","properties":{"a":{"type":"string","nullable":true}}}`
	)
	for _, tc := range []struct {
		name        string
		keys        int
		stream      bool
		n           int
		message     string
		takes       string
		sends       []string // the forms of the first request's calls
		status      int
		sendsLater  string
		wantMessage string
	}{
		{"taken in the older form", 1, false, 1, "The specified schema produces a constraint that has too many states for serving.", strict, []string{light, strict}, 200, strict, ""},
		{"taken in the older form, streamed", 2, true, 1, "Invalid JSON payload received. Unknown name \\\"x\\\" at 'tools[0].function_declarations[0].parameters'", strict, []string{light, strict}, 200, strict, ""},
		{"taken without constraints", 1, false, 1, "A schema in the request exceeds the maximum allowed nesting depth.", bare, []string{light, strict, bare}, 200, bare, ""},
		{"taken in no form", 2, false, 1, "The schema is wrong.", "nothing", []string{light, strict, bare}, 400, bare, "The schema is wrong."},
		{"several choices", 1, false, 2, "Too many states for serving.", strict, []string{light, light, strict, strict}, 200, strict, ""},
		{"another 400", 1, false, 1, "Please ensure that function call turn comes immediately after a user turn.", strict, []string{light}, 400, light, "Please ensure"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var mu sync.Mutex
			var got []string
			w := newWorld(t, keys(tc.keys), scripted(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				form := "none"
				for _, f := range []string{light, strict, bare} {
					if strings.Contains(string(body), f) {
						form = f
					}
				}
				mu.Lock()
				got = append(got, form)
				mu.Unlock()
				switch {
				case form != tc.takes:
					w.WriteHeader(400)
					_, _ = io.WriteString(w, `{"error":{"code":400,"message":"`+tc.message+`","status":"INVALID_ARGUMENT"}}`)
				case tc.stream:
					_, _ = io.WriteString(w, "data: "+wholeAnswer+"\r\n\r\n")
				default:
					_, _ = io.WriteString(w, wholeAnswer)
				}
			}))
			ask := func() answer {
				got = nil
				return w.post("/v1/chat/completions", fmt.Sprintf(request, model, tc.stream, tc.n))
			}
			first := ask()
			if first.status != tc.status || !strings.Contains(first.body, tc.wantMessage) {
				t.Errorf("%d %s", first.status, first.body)
			}
			if strings.Join(got, "\n") != strings.Join(tc.sends, "\n") {
				t.Errorf("sent\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.sends, "\n"))
			}
			if ask(); len(got) != tc.n || got[0] != tc.sendsLater {
				t.Errorf("sent later\n%s\nwant\n%s", strings.Join(got, "\n"), tc.sendsLater)
			}
			list, _, _ := w.pool.List(balancer.Query{Limit: 10})
			for _, k := range list {
				if k.State != balancer.StateActive && k.State != balancer.StateUntested {
					t.Errorf("key %s is %s: %s", k.ID, k.State, k.StateReason)
				}
			}
			if rests := w.pool.Rests(10); len(rests) > 0 {
				t.Errorf("rests %+v", rests)
			}
		})
	}
}
