// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gemini-balance/caddy-gemini-balance/store"
	"github.com/gemini-balance/caddy-gemini-balance/store/memory"
	"github.com/gemini-balance/caddy-gemini-balance/usage"
)

// Bodies are kept where the operator says so, of all requests or of those that failed,
// up to a bound; otherwise nothing is collected.
func TestBodies(t *testing.T) {
	chat := func(prompt string) string {
		return `{"model":"` + model + `","messages":[{"role":"user","content":"` + prompt + `"}]}`
	}
	long := strings.Repeat("long ", usage.MaxBody/4)
	for _, tc := range []struct {
		name, body string
		mode       usage.BodyMode
		kept, cut  bool
		response   string // what is in it
	}{
		{"off", chat("hello"), usage.BodiesOff, false, false, ""},
		{"not set", chat("hello"), "", false, false, ""},
		{"all", chat("hello"), usage.BodiesAll, true, false, `"chat.completion"`},
		{"all, a stream", strings.Replace(chat("hello"), "{", `{"stream":true,`, 1), usage.BodiesAll, true, false, "data: [DONE]"},
		{"all, an error", chat("[[status 400]]"), usage.BodiesAll, true, false, `"error"`},
		{"errors, none", chat("hello"), usage.BodiesErrors, false, false, ""},
		{"errors, one", chat("[[status 400]]"), usage.BodiesErrors, true, false, `"error"`},
		{"long ones", chat(long), usage.BodiesAll, true, true, "long long"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var o watch
			w := newBubble(t, keys(1), o.on, func(c *Config) {
				sealer, err := store.NewSealer(make([]byte, store.MasterKeySize))
				must(t, err)
				c.Usage, err = usage.Open(memory.New(), usage.Options{Sealer: sealer, Log: usage.LogOptions{Bodies: tc.mode}})
				must(t, err)
			})
			w.do(t.Context(), http.MethodPost, "/v1/chat/completions", tc.body)
			must(t, w.gw.Usage.Flush())
			r, found, err := w.gw.Usage.Log().Find(t.Context(), o.records[0].RequestID)
			if err != nil || !found || (r.Bodies != nil) != tc.kept || o.records[0].Bodies != nil {
				t.Fatalf("found %v, bodies %v, %v", found, r.Bodies, err)
			}
			if b := r.Bodies; b != nil {
				if string(b.Request) != tc.body[:min(len(tc.body), usage.MaxBody)] || !strings.Contains(string(b.Response), tc.response) || b.Cut != tc.cut || len(b.Response) > usage.MaxBody {
					t.Errorf("%d bytes asked: %.100s\n%d bytes answered: %.100s\ncut %v", len(b.Request), b.Request, len(b.Response), b.Response, b.Cut)
				}
			}
		})
	}
}
